"""What gateways and tracing tools export: LiteLLM, Langfuse, Helicone. Their money is their own estimate.

Sources: BerriAI/litellm (LiteLLM_SpendLogs, /global/spend/report, /user/daily/activity), langfuse.com (observations,
usageDetails: disjoint counts), Helicone/helicone (examples/export).
"""

from __future__ import annotations

from typing import Final

import msgspec

from alertd.core.formats.documents import decoded, flat
from alertd.core.formats.layout import (
    IGNORED,
    MODEL,
    PROVIDER,
    REPORTED,
    REQUESTS,
    TIME,
    TOKEN_TOTAL,
    Cells,
    Column,
    Flat,
    Layout,
    ignored,
    label,
    tokens,
)

_ALL_WITHIN: Final = frozenset({"cache", "reasoning", "input_modality", "output_modality"})


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None
    audio_tokens: int | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class _UsageObject(msgspec.Struct):
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _OutputDetails | None = None


class _Metadata(msgspec.Struct):
    """What is read of a spend log's metadata: no prompt, no other field."""

    user_api_key_alias: str | None = None
    user_api_key_team_alias: str | None = None
    usage_object: _UsageObject | None = None


_METADATA: Final = msgspec.json.Decoder(_Metadata)
_NO_PROMPT: Final = _PromptDetails()
_NO_OUTPUT: Final = _OutputDetails()


def _metadata(text: str) -> Flat:
    """The parts of a spend log's tokens, and the aliases that its metadata holds."""
    try:
        found = _METADATA.decode(text)
    except msgspec.MsgspecError:
        return {}
    aliases = {
        "user_api_key_alias": found.user_api_key_alias or "",
        "user_api_key_team_alias": found.user_api_key_team_alias or "",
    }
    usage = found.usage_object
    if usage is None:
        return aliases
    prompt, output = usage.prompt_tokens_details or _NO_PROMPT, usage.completion_tokens_details or _NO_OUTPUT
    counts = (usage.cache_read_input_tokens, prompt.cached_tokens, usage.cache_creation_input_tokens,
              prompt.audio_tokens, output.audio_tokens, output.reasoning_tokens)  # fmt: skip
    return {**aliases, **{name: "" if n is None else str(n) for name, n in zip(_READ, counts, strict=True)}}


def _parts(prefix: str) -> dict[str, Column]:
    """What LiteLLM's usage object says of the tokens; Anthropic's and OpenAI's words repeat each other."""
    return {
        f"{prefix}cache_read_input_tokens": tokens("cached_input"),
        f"{prefix}prompt_tokens_details_cached_tokens": tokens("cached_input"),
        f"{prefix}cache_creation_input_tokens": tokens("cache_write"),
        f"{prefix}prompt_tokens_details_cache_creation_token_details_ephemeral_5m_input_tokens": tokens(
            "cache_write", cache_ttl="5m"
        ),
        f"{prefix}prompt_tokens_details_cache_creation_token_details_ephemeral_1h_input_tokens": tokens(
            "cache_write", cache_ttl="1h"
        ),
        f"{prefix}prompt_tokens_details_audio_tokens": tokens("input", modality="audio"),
        f"{prefix}completion_tokens_details_audio_tokens": tokens("output", modality="audio"),
        f"{prefix}completion_tokens_details_reasoning_tokens": tokens("reasoning"),
        **ignored(
            f"{prefix}prompt_tokens",
            f"{prefix}completion_tokens",
            f"{prefix}total_tokens",
            f"{prefix}prompt_tokens_details_text_tokens",
            f"{prefix}completion_tokens_details_text_tokens",
            f"{prefix}prompt_tokens_details_cache_creation_tokens",
            f"{prefix}completion_tokens_details_accepted_prediction_tokens",
            f"{prefix}completion_tokens_details_rejected_prediction_tokens",
            f"{prefix}prompt_tokens_details_image_tokens",
            f"{prefix}completion_tokens_details_image_tokens",
            f"{prefix}cost",
        ),
    }


#: What `_metadata` reads of the usage object, in its order.
_READ: Final = (
    "usage_object_cache_read_input_tokens",
    "usage_object_prompt_tokens_details_cached_tokens",
    "usage_object_cache_creation_input_tokens",
    "usage_object_prompt_tokens_details_audio_tokens",
    "usage_object_completion_tokens_details_audio_tokens",
    "usage_object_completion_tokens_details_reasoning_tokens",
)


def _langfuse(text: str) -> Flat:
    try:
        usage = decoded(text)
    except ValueError:
        return {}
    return flat({"usageDetails": usage}) if isinstance(usage, dict) else {}


_LANGFUSE: Final = {
    "start_time": TIME,
    "end_time": IGNORED,
    "model": MODEL,
    "provided_model_name": MODEL,
    "name": label("name"),
    "user_id": label("user"),
    "environment": label("environment"),
    "total_cost": REPORTED,
    "calculated_total_cost": REPORTED,
    **ignored("calculated_input_cost", "calculated_output_cost", "input_cost", "output_cost"),
    **ignored("cost_details_input", "cost_details_output", "cost_details_total", "input_price", "output_price"),
}

LAYOUTS: Final = (
    Layout(
        name="litellm-spend-logs",
        title="LiteLLM spend logs",
        recognised_by=("request_id", "spend", "prompt_tokens", "completion_tokens", "startTime", "model"),
        includes=_ALL_WITHIN,
        money="reported",
        cells={"metadata": Cells(_metadata, ("user_api_key_alias", "user_api_key_team_alias", *_READ))},
        columns={
            "start_time": TIME,
            "model": MODEL,
            "custom_llm_provider": PROVIDER,
            "prompt_tokens": tokens("input"),
            "completion_tokens": tokens("output"),
            "spend": REPORTED,
            "api_key": label("api_key"),
            "team_id": label("team"),
            "organization_id": label("organization"),
            "end_user": label("end_user"),
            "user": label("user"),
            "user_api_key_alias": label("key"),
            "metadata_user_api_key_alias": label("key"),
            "user_api_key_team_alias": label("team_alias"),
            "metadata_user_api_key_team_alias": label("team_alias"),
            **_parts("usage_object_"),
            **_parts("metadata_usage_object_"),
            **ignored("total_tokens"),
        },
        one_cost=True,
    ),
    Layout(
        name="litellm-spend-report",
        title="LiteLLM spend report (JSON)",
        recognised_by=("group_by_day", "team_name", "model", "spend"),
        money="reported",
        path="teams[].metadata[]",
        carry=("group_by_day", "team_name"),
        columns={
            "group_by_day": TIME,
            "team_name": label("team"),
            "model": MODEL,
            "spend": REPORTED,
            "api_key": label("api_key"),
            **ignored("total_tokens"),
        },
        note="its tokens are not split into input and output: the spend is LiteLLM's own estimate",
    ),
    Layout(
        name="litellm-daily-activity",
        title="LiteLLM daily activity (JSON)",
        recognised_by=("date", "key", "metrics.prompt_tokens", "metrics.completion_tokens", "metrics.spend"),
        includes=_ALL_WITHIN,
        money="reported",
        path="results[].breakdown.models.{}",
        carry=("date", "key"),
        columns={
            "date": TIME,
            "key": MODEL,
            "metrics_prompt_tokens": tokens("input"),
            "metrics_completion_tokens": tokens("output"),
            "metrics_cache_read_input_tokens": tokens("cached_input"),
            "metrics_cache_creation_input_tokens": tokens("cache_write"),
            "metrics_spend": REPORTED,
            "metrics_api_requests": REQUESTS,
            **ignored("metrics_total_tokens"),
        },
    ),
    Layout(
        name="langfuse",
        title="Langfuse observations",
        recognised_by=("startTime", "traceId|trace_id|type", "usageDetails|usageDetails.input|usageDetails.total"),
        includes=frozenset(),
        money="reported",
        cells={"usage_details": Cells(_langfuse)},
        counting="usage_details_",
        columns={
            **_LANGFUSE,
            "usage_details_input": tokens("input", exclusive=True),
            "usage_details_output": tokens("output"),
            "usage_details_input_cached_tokens": tokens("cached_input"),
            "usage_details_input_cache_read": tokens("cached_input"),
            "usage_details_input_cache_creation": tokens("cache_write"),
            "usage_details_input_audio_tokens": tokens("input", modality="audio"),
            "usage_details_output_audio_tokens": tokens("output", modality="audio"),
            "usage_details_output_reasoning_tokens": tokens("reasoning"),
            "usage_details_output_reasoning": tokens("reasoning"),
            **ignored("usage_details", "usage_details_total", "usage_input", "usage_output", "usage_total"),
            **ignored("prompt_tokens", "completion_tokens", "total_tokens", "input_usage", "output_usage"),
            **ignored("total_usage", "input_tokens", "output_tokens"),
        },
        one_cost=True,
    ),
    Layout(
        name="langfuse-usage",
        title="Langfuse observations without usage details",
        recognised_by=(
            "startTime",
            "traceId|trace_id|type",
            "promptTokens|inputUsage|usage.input|inputTokens",
            "model",
        ),
        money="reported",
        columns={
            **_LANGFUSE,
            "prompt_tokens": tokens("input"),
            "input_usage": tokens("input"),
            "input_tokens": tokens("input"),
            "usage_input": tokens("input"),
            "completion_tokens": tokens("output"),
            "output_usage": tokens("output"),
            "output_tokens": tokens("output"),
            "usage_output": tokens("output"),
            "total_tokens": TOKEN_TOTAL,
            **ignored("total_usage", "usage_total"),
        },
        one_cost=True,
    ),
    Layout(
        name="helicone",
        title="Helicone requests",
        recognised_by=("request_created_at", "response_id|request_id", "prompt_tokens", "completion_tokens"),
        money="reported",
        columns={
            "request_created_at": TIME,
            "response_model": MODEL,
            "model": MODEL,
            "request_model": MODEL,
            "provider": PROVIDER,
            "prompt_tokens": tokens("input"),
            "completion_tokens": tokens("output"),
            "prompt_cache_read_tokens": tokens("cached_input"),
            "prompt_cache_write_tokens": tokens("cache_write"),
            "prompt_audio_tokens": tokens("input", modality="audio"),
            "completion_audio_tokens": tokens("output", modality="audio"),
            "reasoning_tokens": tokens("reasoning"),
            "total_tokens": TOKEN_TOTAL,
            "cost": REPORTED,
            "cost_usd": REPORTED,
            "request_user_id": label("user"),
            "user_id": label("user"),
            "response_status": label("status"),
        },
        one_cost=True,
    ),
)
