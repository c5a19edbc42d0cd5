"""What developers' tools export: Cursor's usage, GitHub's billing (Copilot among it).

Sources: cursor.com/docs (usage export), docs.github.com (billing reports: usage report, premium request usage report).
"""

from __future__ import annotations

from typing import Final

from alertd.core.formats.layout import MODEL, REPORTED, TIME, Layout, ignored, label, money, tokens

LAYOUTS: Final = (
    Layout(
        name="cursor",
        title="Cursor usage export",
        recognised_by=("Date", "Kind", "Model", "Input (w/ Cache Write)", "Input (w/o Cache Write)", "Cache Read"),
        money="reported",
        includes=frozenset(),
        columns={
            "date": TIME,
            "model": MODEL,
            "user": label("user"),
            "user_email": label("user"),
            "kind": label("kind"),
            "input_w_cache_write": tokens("cache_write"),
            "input_w_o_cache_write": tokens("input", exclusive=True),
            "cache_read": tokens("cached_input"),
            "output_tokens": tokens("output"),
            "output": tokens("output"),
            "cost": REPORTED,
            "cost_usd": REPORTED,
            "cost_to_you": REPORTED,
            **ignored("total_tokens", "requests", "api_cost", "cursor_token_fee"),
        },
        note="what a plan includes is not charged, and the file does not say what is: its cost is a check, the tokens"
        " are priced",
    ),
    Layout(
        name="github-billing",
        title="GitHub billing report",
        recognised_by=("date", "product", "sku", "quantity", "gross_amount", "discount_amount", "net_amount"),
        provider="github",
        products=("product", "sku"),
        columns={
            "date": TIME,
            "model": MODEL,
            "net_amount": money("USD"),
            "product": label("product"),
            "sku": label("sku"),
            "username": label("user"),
            "organization": label("organization"),
            "cost_center_name": label("cost_center"),
            "repository": label("repository"),
        },
        one_cost=True,
    ),
)
