"""The exports of Anthropic's console and the answers of its usage and cost reports. Input holds no cached token.

Source: platform.claude.com/docs, usage and cost API: amounts are cents, written as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Final

from alertd.core.formats.documents import at_path
from alertd.core.formats.layout import (
    CURRENCY,
    END,
    MODEL,
    TIME,
    Flat,
    Layout,
    ignored,
    label,
    modifier,
    money,
    tokens,
)

_WHERE: Final = {
    "usage_date_utc": TIME,
    "api_key": label("key"),
    "workspace": label("workspace"),
    "context_window": modifier("context"),
    "inference_geo": modifier("region"),
    "speed": modifier("speed"),
}
_REPORT: Final = {
    "starting_at": TIME,
    "ending_at": END,
    "api_key_id": label("key"),
    "workspace_id": label("workspace"),
    "model": MODEL,
}


def _dollars(objects: Iterable[object]) -> Iterator[Flat]:
    """The rows of a cost report, with their cents as dollars."""
    for one in objects:
        for row in at_path(one, "data[].results[]", ("starting_at", "ending_at")):
            try:
                cents = Decimal(row.get("amount") or 0)
            except InvalidOperation:
                continue
            yield {**row, "amount": "", "amount_dollars": f"{cents.scaleb(-2):f}"}


_NO_WORDS: Final = {"n_a": "", "": "", "unknown": "", "not_available": ""}

LAYOUTS: Final = (
    Layout(
        name="anthropic-usage",
        title="Anthropic console usage export",
        recognised_by=("usage_date_utc", "model_version", "usage_input_tokens_no_cache", "usage_output_tokens"),
        provider="anthropic",
        includes=frozenset(),
        columns={
            **_WHERE,
            "model_version": MODEL,
            "usage_type": modifier("tier"),
            "usage_input_tokens_no_cache": tokens("input", exclusive=True),
            "usage_input_tokens_cache_write_5m": tokens("cache_write", cache_ttl="5m"),
            "usage_input_tokens_cache_write_1h": tokens("cache_write", cache_ttl="1h"),
            "usage_input_tokens_cache_read": tokens("cached_input"),
            "usage_output_tokens": tokens("output"),
            "web_search_count": tokens("web_search_requests"),
        },
        values={"context_window": _NO_WORDS, "inference_geo": _NO_WORDS, "speed": _NO_WORDS, "usage_type": _NO_WORDS},
    ),
    Layout(
        name="anthropic-cost",
        title="Anthropic console cost export",
        recognised_by=("usage_date_utc", "model", "token_type", "cost_usd"),
        provider="anthropic",
        columns={
            **_WHERE,
            "context_window": label("context"),
            "inference_geo": label("region"),
            "speed": label("speed"),
            "model": MODEL,
            "usage_type": label("usage_type"),
            "token_type": label("token_type"),
            "cost_usd": money("USD"),
            "cost_type": label("cost_type"),
            **ignored("list_price_usd"),
        },
    ),
    Layout(
        name="anthropic-usage-report",
        title="Anthropic usage report (JSON)",
        recognised_by=("starting_at", "ending_at", "uncached_input_tokens", "cache_read_input_tokens", "output_tokens"),
        provider="anthropic",
        includes=frozenset(),
        path="data[].results[]",
        carry=("starting_at", "ending_at"),
        columns={
            **_REPORT,
            "service_tier": modifier("tier"),
            "context_window": modifier("context"),
            "inference_geo": modifier("region"),
            "speed": modifier("speed"),
            "uncached_input_tokens": tokens("input", exclusive=True),
            "cache_creation_ephemeral_5m_input_tokens": tokens("cache_write", cache_ttl="5m"),
            "cache_creation_ephemeral_1h_input_tokens": tokens("cache_write", cache_ttl="1h"),
            "cache_read_input_tokens": tokens("cached_input"),
            "output_tokens": tokens("output"),
            "server_tool_use_web_search_requests": tokens("web_search_requests"),
        },
        values={"context_window": _NO_WORDS, "inference_geo": _NO_WORDS, "speed": _NO_WORDS, "service_tier": _NO_WORDS},
    ),
    Layout(
        name="anthropic-cost-report",
        title="Anthropic cost report (JSON)",
        recognised_by=("starting_at", "ending_at", "amount", "currency", "amount_dollars"),
        provider="anthropic",
        objects=_dollars,
        columns={
            **_REPORT,
            "amount_dollars": money(),
            "currency": CURRENCY,
            "token_type": label("token_type"),
            "cost_type": label("cost_type"),
            "description": label("line"),
            **ignored("amount"),
        },
    ),
)
