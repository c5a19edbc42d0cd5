"""OpenAI's exports of usage and costs (platform.openai.com/usage, platform.openai.com/settings/organization/usage).

The columns are those of the organization's usage and costs interfaces; `input_tokens` holds the cached, the written
and the audio tokens, `output_tokens` the reasoning ones.
"""

from __future__ import annotations

from typing import Final

from alertd.core.formats.layout import (
    CURRENCY,
    END,
    MODEL,
    REQUESTS,
    TIME,
    Layout,
    ignored,
    label,
    modifier,
    money,
    tokens,
)

_WHERE: Final = {
    "start_time": TIME,
    "end_time": END,
    "project_id": label("project"),
    "user_id": label("user"),
    "api_key_id": label("key"),
    "organization_id": label("organization"),
    "project_name": label("project_name"),
    "organization_name": label("organization_name"),
    "user_email": label("user_email"),
    "api_key_name": label("key_name"),
    **ignored("start_time_iso", "end_time_iso", "api_source", "api_key_redacted", "object"),
}

LAYOUTS: Final = (
    Layout(
        name="openai-usage",
        title="OpenAI usage export",
        recognised_by=("start_time", "end_time", "model", "input_tokens", "output_tokens", "num_model_requests"),
        provider="openai",
        includes=frozenset({"cache", "input_modality", "output_modality"}),
        columns={
            **_WHERE,
            "model": MODEL,
            "input_tokens": tokens("input"),
            "input_cached_tokens": tokens("cached_input"),
            "input_cache_write_tokens": tokens("cache_write"),
            "output_tokens": tokens("output"),
            "input_audio_tokens": tokens("input", modality="audio"),
            "output_audio_tokens": tokens("output", modality="audio"),
            "num_model_requests": REQUESTS,
            "batch": modifier("batch"),
            "service_tier": modifier("tier"),
            **ignored("input_uncached_tokens", "input_text_tokens", "output_text_tokens", "input_cached_text_tokens"),
            **ignored("input_cached_audio_tokens", "input_image_tokens", "output_image_tokens"),
            **ignored("input_cached_image_tokens"),
        },
    ),
    Layout(
        name="openai-costs",
        title="OpenAI cost export",
        recognised_by=("start_time", "end_time", "amount_value", "amount_currency", "line_item"),
        provider="openai",
        columns={
            **_WHERE,
            "amount_value": money(),
            "amount_currency": CURRENCY,
            "line_item": label("line_item"),
            **ignored("quantity", "quantity_unit"),
        },
    ),
)
