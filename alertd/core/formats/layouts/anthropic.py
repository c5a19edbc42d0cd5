"""The exports of Anthropic's console: usage and costs by day. Its input holds no cached token; times are UTC days."""

from __future__ import annotations

from typing import Final

from alertd.core.formats.layout import MODEL, TIME, Layout, ignored, label, modifier, money, tokens

_WHERE: Final = {
    "usage_date_utc": TIME,
    "api_key": label("key"),
    "workspace": label("workspace"),
    "context_window": modifier("context"),
    "inference_geo": modifier("region"),
    "speed": modifier("speed"),
}
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
)
