"""Common column names of gateways and exports, for files of no known layout.

A name that counts tokens or money and is not here is no label: it is a fault, unless it is a parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from alertd.core.formats.layout import (
    ACCOUNT,
    CHARGE,
    CURRENCY,
    END,
    IGNORED,
    INSTANCE,
    METER,
    MODEL,
    PROVIDER,
    QUANTITY,
    REQUESTS,
    TIME,
    TOKEN_TOTAL,
    UNIT,
    Column,
    modifier,
    money,
    tokens,
)
from alertd.core.usage import METERS


def _each(column: Column, names: str) -> dict[str, Column]:
    return dict.fromkeys(names.split(), column)


#: Names of columns (as `plain` writes them) -> what they mean.
WORDS: Final[Mapping[str, Column]] = {
    **_each(tokens("input"), "input_tokens prompt_tokens input_token_count prompt_token_count tokens_prompt"),
    **_each(tokens("input"), "tokens_in tokens_input input_tokens_total total_input_tokens total_prompt_tokens"),
    **_each(
        tokens("input"),
        "num_input_tokens n_input_tokens prompt_tokens_total request_tokens n_context_tokens_total request_units",
    ),
    **_each(
        tokens("input", exclusive=True),
        "uncached_input_tokens input_uncached_tokens input_tokens_no_cache usage_input_tokens_no_cache"
        " non_cached_input_tokens input_tokens_uncached fresh_input_tokens no_cache_input_tokens",
    ),
    **_each(
        tokens("cached_input"),
        "cache_read_tokens cache_read_input_tokens cached_input_tokens cached_tokens input_cached_tokens"
        " cached_prompt_tokens prompt_cached_tokens tokens_cached cache_hit_tokens prompt_cache_hit_tokens"
        " cached_content_token_count cache_read_token_count input_tokens_cached cache_read cached_token"
        " usage_input_tokens_cache_read input_tokens_cache_read input_cache_read_tokens cache_tokens_read"
        " prompt_tokens_details_cached_tokens input_tokens_details_cached_tokens input_token_details_cache_read"
        " prompt_cache_read_tokens cached cache_hits_tokens total_cached_tokens cached_content_tokens"
        " total_cache_read_tokens cached_input_token_count cache_read_input_token_count cache_read_input"
        " input_cache_read input_cached cached_prompt cache_hits_input",
    ),
    **_each(
        tokens("cache_write"),
        "cache_write_tokens cache_creation_tokens cache_creation_input_tokens cache_write_input_tokens"
        " input_cache_write_tokens prompt_cache_write_tokens cache_creation_token_count cache_creation"
        " cache_write_token_count input_tokens_cache_write cache_tokens_write cached_write_tokens"
        " total_cache_creation_tokens total_cache_write_tokens cache_creation_input_token_count cache_create"
        " cache_create_tokens cache_write_input cache_creation_input input_cache_write input_cache_creation",
    ),
    **_each(
        tokens("cache_write", cache_ttl="5m"),
        "cache_creation_5m_tokens cache_write_5m_tokens cache_write_tokens_5m cache_creation_tokens_5m"
        " ephemeral_5m_input_tokens cache_creation_ephemeral_5m_input_tokens usage_input_tokens_cache_write_5m"
        " input_tokens_cache_write_5m cache_creation_5m_input_tokens cache_write_5m_input_tokens"
        " cache_creation_input_tokens_5m cache_write_input_tokens_5m cache_5m_tokens cache_write_5m cache_creation_5m",
    ),
    **_each(
        tokens("cache_write", cache_ttl="1h"),
        "cache_creation_1h_tokens cache_write_1h_tokens cache_write_tokens_1h cache_creation_tokens_1h"
        " ephemeral_1h_input_tokens cache_creation_ephemeral_1h_input_tokens usage_input_tokens_cache_write_1h"
        " input_tokens_cache_write_1h cache_creation_1h_input_tokens cache_write_1h_input_tokens"
        " cache_creation_input_tokens_1h cache_write_input_tokens_1h cache_1h_tokens cache_write_1h cache_creation_1h",
    ),
    **_each(
        tokens("output"),
        "output_tokens completion_tokens output_token_count completion_token_count tokens_completion tokens_out"
        " tokens_output output_tokens_total total_output_tokens total_completion_tokens num_output_tokens"
        " generated_tokens candidates_tokens candidates_token_count response_tokens n_generated_tokens_total"
        " usage_output_tokens completion_tokens_total n_output_tokens num_completion_tokens"
        " response_units",
    ),
    **_each(
        tokens("reasoning"),
        "reasoning_tokens output_reasoning_tokens tokens_reasoning reasoning_output_tokens reasoning_token_count"
        " completion_tokens_details_reasoning_tokens output_tokens_details_reasoning_tokens thinking_tokens"
        " output_token_details_reasoning completion_reasoning_tokens internal_reasoning_tokens reasoning",
    ),
    **_each(tokens("reasoning", exclusive=True), "thoughts_tokens thoughts_token_count thought_tokens thoughts"),
    **_each(
        tokens("predicted"),
        "accepted_prediction_tokens rejected_prediction_tokens completion_tokens_details_accepted_prediction_tokens"
        " completion_tokens_details_rejected_prediction_tokens",
    ),
    **_each(
        tokens("input", modality="audio"),
        "input_audio_tokens audio_input_tokens prompt_audio_tokens prompt_tokens_details_audio_tokens"
        " input_tokens_details_audio_tokens audio_prompt_tokens input_token_details_audio input_audio",
    ),
    **_each(
        tokens("output", modality="audio"),
        "output_audio_tokens audio_output_tokens completion_audio_tokens completion_tokens_details_audio_tokens"
        " output_tokens_details_audio_tokens audio_completion_tokens output_token_details_audio output_audio",
    ),
    **_each(tokens("cached_input", modality="audio"), "cached_audio_tokens input_cached_audio_tokens"),
    **_each(
        tokens("input", modality="image"), "input_image_tokens image_input_tokens prompt_image_tokens image_tokens"
    ),
    **_each(tokens("output", modality="image"), "output_image_tokens image_output_tokens completion_image_tokens"),
    **_each(tokens("input", modality="video"), "input_video_tokens video_input_tokens video_tokens"),
    **_each(tokens("input_text"), "input_text_tokens text_input_tokens prompt_text_tokens"),
    **_each(tokens("output_text"), "output_text_tokens text_output_tokens completion_text_tokens"),
    **_each(tokens("tool_input"), "tool_use_prompt_tokens tool_use_prompt_token_count tool_tokens"),
    **_each(tokens("batch_input"), "batch_input_tokens"),
    **_each(tokens("batch_output"), "batch_output_tokens"),
    **_each(tokens("training"), "training_tokens trained_tokens fine_tuning_tokens"),
    **{meter: tokens(meter) for meter in sorted(METERS - {"input", "requests"})},
    "input": tokens("input", exclusive=True),
    **_each(
        REQUESTS,
        "requests request_count num_requests num_model_requests n_requests calls call_count api_requests"
        " model_requests total_requests usage_count successful_requests",
    ),
    **_each(
        TOKEN_TOTAL,
        "total_tokens token_total tokens_total total_token_count total tokens num_tokens token_count usage_total_tokens"
        " total_usage_tokens total_units",
    ),
    **_each(
        money(),
        "cost billed_cost amount spend total_cost cost_total charge_amount billed_amount total_spend total_amount"
        " dollar_value amount_value net_cost cost_amount price_total total_price amount_due net_amount llm_cost"
        " request_cost response_cost calculated_total_cost total_charge",
    ),
    **_each(money("USD"), "dollars cost_dollars amount_dollars total_dollars cost_in_dollars"),
    **_each(
        money(),
        "sum_total_cost sum_cost",
    ),
    **_each(
        money(part=True),
        "input_cost output_cost prompt_cost completion_cost cache_read_cost cache_write_cost cache_creation_cost"
        " cached_cost cached_input_cost reasoning_cost web_search_cost tool_cost cost_input cost_output"
        " calculated_input_cost calculated_output_cost cost_web_search cost_cache cost_file_processing"
        " embedding_cost audio_cost image_cost request_fee cost_prompt cost_completion",
    ),
    **_each(CURRENCY, "currency billing_currency currency_code amount_currency cost_currency billing_currency_code"),
    **_each(
        TIME,
        "timestamp date day time start start_time starttime datetime created_at created_time createdat created"
        " usage_date usage_date_utc period_start bucket_start billing_date billing_cycle window_start date_utc"
        " start_date start_time_iso month usage_start_time usage_start charge_period_start time_start hour event_time"
        " create_time time_dimension aggregation_timestamp request_time request_timestamp start_at starting_at"
        " usage_day utc_date timestamp_utc",
    ),
    **_each(
        END,
        "end end_time endtime end_date period_end bucket_end window_end end_time_iso usage_end_time usage_end"
        " charge_period_end time_end end_at ending_at ended_at",
    ),
    **_each(
        MODEL,
        "model model_name model_id model_version model_slug slug response_model request_model gen_ai_response_model"
        " gen_ai_request_model model_permaslug base_model_name deployment_model provided_model_name snapshot_id",
    ),
    **_each(
        PROVIDER,
        "provider custom_llm_provider llm_provider provider_name provider_id service_provider_name gen_ai_system ai_org"
        " gen_ai_provider_name litellm_provider vendor",
    ),
    **_each(ACCOUNT, "account account_id billing_account billing_account_id"),
    "meter": METER,
    **_each(METER, "token_type usage_class"),
    **_each(QUANTITY, "quantity usage"),
    **_each(UNIT, "usage_unit quantity_unit unit"),
    **_each(CHARGE, "charge"),
    **_each(INSTANCE, "instance_id"),
    **_each(modifier("tier"), "tier service_tier"),
    **_each(modifier("context"), "context context_window"),
    **_each(modifier("region"), "inference_geo"),
    **{name: modifier(name) for name in ("region", "cache_ttl", "processing", "batch", "speed", "modality")},
    **{name: modifier(name) for name in ("search_type", "hardware")},
    **_each(
        IGNORED,
        "list_price list_price_usd list_cost list_cost_usd contracted_cost effective_cost retail_cost market_cost"
        " discount_percent unit_price price price_per_token input_price output_price cost_per_token cost_per_request"
        " avg_cost average_cost cost_currency_rate exchange_rate cost_type cost_source cost_category cost_center_id"
        " input_cost_per_token output_cost_per_token amount_currency_symbol totals_cost",
    ),
}

#: What training is refined by; elsewhere these are labels.
TRAINING: Final = frozenset({"size", "method", "type"})
