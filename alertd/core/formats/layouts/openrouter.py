"""OpenRouter's activity: one row a generation, or one a day and model. Its cost is what OpenRouter charged, in USD."""

from __future__ import annotations

from typing import Final

from alertd.core.formats.layout import MODEL, REQUESTS, TIME, Layout, ignored, label, money, tokens

LAYOUTS: Final = (
    Layout(
        name="openrouter-generations",
        title="OpenRouter activity by generation",
        recognised_by=("generation_id", "created_at", "cost_total", "tokens_prompt", "model_permaslug"),
        provider="openrouter",
        includes=frozenset({"cache", "reasoning"}),
        columns={
            "created_at": TIME,
            "model_permaslug": MODEL,
            "cost_total": money("USD"),
            "tokens_prompt": tokens("input"),
            "tokens_completion": tokens("output"),
            "tokens_reasoning": tokens("reasoning"),
            "tokens_cached": tokens("cached_input"),
            "provider_name": label("served_by"),
            "variant": label("variant"),
            "api_key_name": label("key"),
            "app_name": label("app"),
            "user": label("user"),
            **ignored("generation_id", "cost_web_search", "cost_cache", "cost_file_processing", "byok_usage_inference"),
            **ignored("native_tokens_prompt", "native_tokens_completion", "native_tokens_reasoning"),
            **ignored("native_tokens_cached", "num_media_prompt", "num_media_completion", "num_search_results"),
            **ignored("tokens_prompt_native", "tokens_completion_native", "cost_upstream", "upstream_inference_cost"),
        },
    ),
    Layout(
        name="openrouter-daily",
        title="OpenRouter activity by day",
        recognised_by=("Date", "Slug", "Usage", "BYOK Usage", "Requests"),
        provider="openrouter",
        includes=frozenset({"reasoning"}),
        columns={
            "date": TIME,
            "slug": MODEL,
            "usage": money("USD"),
            "requests": REQUESTS,
            "prompt_tokens": tokens("input"),
            "completion_tokens": tokens("output"),
            "reasoning_tokens": tokens("reasoning"),
            "provider": label("served_by"),
            **ignored("byok_usage", "byok_usage_inference"),
        },
        note="BYOK Usage is charged by the provider whose key it was, not by OpenRouter: not read",
    ),
    Layout(
        name="openrouter-activity",
        title="OpenRouter activity (API)",
        recognised_by=("date", "model_permaslug", "endpoint_id", "usage", "byok_usage_inference"),
        provider="openrouter",
        includes=frozenset({"reasoning"}),
        columns={
            "date": TIME,
            "model": MODEL,
            "model_permaslug": MODEL,
            "usage": money("USD"),
            "requests": REQUESTS,
            "prompt_tokens": tokens("input"),
            "completion_tokens": tokens("output"),
            "reasoning_tokens": tokens("reasoning"),
            "provider_name": label("served_by"),
            **ignored("byok_usage_inference", "endpoint_id"),
        },
        note="what was used with a key of one's own is charged by its provider, not by OpenRouter: not read",
    ),
)
