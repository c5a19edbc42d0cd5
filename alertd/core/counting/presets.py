"""What the token counters of known gateways and servers are called, and which disjoint meter each one feeds.

A rule names metrics (any of the spellings), the labels they must have, and the meter. `within`: that meter's counter
counts these tokens too, so they are taken off it. What no rule names (totals, reasoning, ...) would count twice.
Names as in each project's source or documentation of autumn 2026; a metric that an exporter lacks is no fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from alertd.core.counting.agent_presets import AGENTS
from alertd.core.counting.rules import Preset, Rule, counter, sums, typed
from alertd.core.usage import COST_METER

_GEN_AI: Final = sums(
    "gen_ai_client_token_usage",
    "gen_ai_client_token_usage_token",
    "gen_ai_client_token_usage_tokens",
    "gen_ai.client.token.usage",
    "gen_ai.client.token.usage_token",
    "gen_ai.client.token.usage_tokens",
) + counter("gen_ai_client_token_usage", "gen_ai.client.token.usage")  # Spring AI; a native histogram has the bare name
_GEN_AI_TYPES: Final = {
    "input": "input",
    "output": "output",
    "completion": "output",
    "cached_input": "cached_input<input",
    "input_cached": "cached_input<input",
    "cache_read_input": "cached_input<input",
    "cache_creation_input": "cache_write<input",
    "input_cache_read": "cached_input<input",
    "input_cache_write": "cache_write<input",
    "cache_write_input": "cache_write<input",
    "cached": "cached_input<input",
    "cache_read": "cached_input<input",
    "cache_write": "cache_write<input",
    "cache_creation": "cache_write<input",
    "input_tokens": "input",
    "prompt_tokens": "input",
    "prompt": "input",
    "output_tokens": "output",
    "completion_tokens": "output",
    "cached_tokens": "cached_input<input",
    "prompt_cache_tokens": "cached_input<input",
    "cache_read_input_tokens": "cached_input<input",
    "cache_creation_input_tokens": "cache_write<input",
}
_GEN_AI_MODEL: Final = (
    "gen_ai_response_model",
    "gen_ai_request_model",
    "gen_ai_original_model",
)
_GEN_AI_PROVIDERS: Final = ("gen_ai_provider_name", "gen_ai_system")
_GEN_AI_RULES: Final = (
    *typed(_GEN_AI, "gen_ai_token_type", _GEN_AI_TYPES),
    Rule((*sums("gen_ai_usage_cost_USD", "gen_ai_usage_cost"), *counter("gen_ai_usage_cost")), COST_METER),  # OpenLIT
)
_SERVICE: Final = {
    "service": ("service_name", "service"),
    "environment": ("deployment_environment_name", "deployment_environment", "environment"),
    "team": ("team",),
    "user": ("user_id", "enduser_id"),
}

PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "litellm": Preset(
            rules=(
                Rule(counter("litellm_input_tokens_metric"), "input"),
                Rule(counter("litellm_output_tokens_metric"), "output"),
                Rule(counter("litellm_input_cached_tokens_metric"), "cached_input", "input"),
                Rule(counter("litellm_input_cache_creation_tokens_metric"), "cache_write", "input"),
                Rule(counter("litellm_spend_metric"), COST_METER),
            ),
            model=("model", "litellm_model_name", "requested_model", "model_group"),
            providers=("api_provider",),
            labels={
                "team": ("team_alias", "team"),
                "key": ("api_key_alias", "hashed_api_key"),
                "user": ("user_alias", "user_email", "user"),
                "end_user": ("end_user",),
                "organization": ("org_alias", "org_id"),
                "requested_model": ("requested_model",),
            },
        ),
        "vllm": Preset(
            rules=(
                Rule(counter("vllm:prompt_tokens"), "input"),
                Rule(counter("vllm:generation_tokens"), "output"),
                Rule(counter("vllm:prompt_tokens_cached"), "cached_input", "input"),
            ),
            model=("model_name", "model"),  # Triton's vLLM backend says model
            provider="vllm",
        ),
        "vllm_ray": Preset(
            rules=(
                Rule(counter("ray_vllm_prompt_tokens", "ray_vllm:prompt_tokens", "vllm_prompt_tokens"), "input"),
                Rule(
                    counter("ray_vllm_generation_tokens", "ray_vllm:generation_tokens", "vllm_generation_tokens"),
                    "output",
                ),
                Rule(counter("ray_vllm_prompt_tokens_cached", "vllm_prompt_tokens_cached"), "cached_input", "input"),
            ),
            model=("model_name", "deployment"),
            provider="anyscale",
            labels={"application": ("application",)},
        ),
        "otel": Preset(_GEN_AI_RULES, _GEN_AI_MODEL, providers=_GEN_AI_PROVIDERS, labels=_SERVICE),
        "openlit": Preset(_GEN_AI_RULES, _GEN_AI_MODEL, providers=_GEN_AI_PROVIDERS, labels=_SERVICE),
        "envoy": Preset(
            _GEN_AI_RULES,
            _GEN_AI_MODEL,
            providers=_GEN_AI_PROVIDERS,
            labels={**_SERVICE, "requested_model": ("gen_ai_original_model",)},
        ),
        "scaleway": Preset(
            rules=typed(
                ("generative_apis_tokens_total",), "type", {"input_tokens": "input", "output_tokens": "output"}
            ),
            model=("resource_name", "model"),
            provider="scaleway",
            labels={"project": ("project_name", "project_id"), "principal": ("principal", "iam_principal")},
            delay=3600.0,
        ),
        "sglang": Preset(
            rules=(
                Rule(counter("sglang:prompt_tokens"), "input"),
                Rule(counter("sglang:generation_tokens"), "output"),
                Rule(counter("sglang:cached_tokens"), "cached_input", "input"),
            ),
            model=("model_name",),
            provider="sglang",
        ),
        "tgi": Preset(
            rules=(
                Rule(sums("tgi_request_input_length"), "input"),
                Rule(sums("tgi_request_generated_tokens"), "output"),
            ),
            model=("model_id", "model_name", "model", "job"),
            provider="tgi",
        ),
        "kong": Preset(
            rules=typed(
                ("kong_ai_llm_tokens_total", "ai_llm_tokens_total", "kong_ai_tokens_total", "ai_tokens_total"),
                "token_type",
                {
                    "prompt_tokens": "input",
                    "completion_tokens": "output",
                    "prompt_cache_tokens": "cached_input<input",
                    "cached_tokens": "cached_input<input",
                },
            ),
            model=("ai_model", "model_name"),
            providers=("ai_provider", "provider_name"),
            labels={"team": ("workspace",), "key": ("consumer",)},
        ),
        "bifrost": Preset(
            rules=(
                Rule(counter("bifrost_input_tokens"), "input"),
                Rule(counter("bifrost_output_tokens"), "output"),
                Rule(counter("bifrost_cache_read_input_tokens"), "cached_input", "input"),
                Rule(counter("bifrost_cache_write_input_tokens"), "cache_write", "input"),
                Rule(counter("bifrost_cost"), COST_METER),
            ),
            model=("model",),
            providers=("provider",),
            labels={
                "team": ("team_name", "team_id"),
                "key": ("virtual_key_name", "virtual_key_id"),
                "customer": ("customer_name", "customer_id"),
            },
        ),
        "agentgateway": Preset(
            typed(sums("agentgateway_gen_ai_client_token_usage"), "gen_ai_token_type", _GEN_AI_TYPES),
            _GEN_AI_MODEL,
            providers=_GEN_AI_PROVIDERS,
            labels=_SERVICE,
        ),
        **AGENTS,
        "apisix": Preset(
            rules=(
                Rule(counter("apisix_llm_prompt_tokens"), "input"),
                Rule(counter("apisix_llm_completion_tokens"), "output"),
            ),
            model=("llm_model", "request_llm_model"),
            labels={"key": ("consumer",)},
        ),
        "higress": Preset(
            rules=(
                Rule(counter("route_upstream_model_consumer_metric_input_token"), "input"),
                Rule(counter("route_upstream_model_consumer_metric_output_token"), "output"),
            ),
            model=("ai_model",),
            labels={"key": ("ai_consumer",), "route": ("ai_route",)},
        ),
        "llamacpp": Preset(
            rules=(
                Rule(("llamacpp:prompt_tokens_total",), "input"),
                Rule(("llamacpp:tokens_predicted_total",), "output"),
            ),
            model=("model", "model_name", "job"),
            provider="llamacpp",
        ),
        "triton": Preset(  # TensorRT-LLM's histograms of the lengths
            rules=(
                Rule(sums("nv_llm_input_token_len"), "input"),
                Rule(sums("nv_llm_output_token_len"), "output"),
            ),
            model=("model",),
            provider="triton",
        ),
        "ollama": Preset(  # Ollama has no page of its own: these are of the exporters in front of it
            rules=(
                Rule(("ollama_tokens_processed_total", "ollama_prompt_tokens_total"), "input"),
                Rule(("ollama_tokens_generated_total", "ollama_generated_tokens_total"), "output"),
            ),
            model=("model", "model_name"),
            provider="ollama",
        ),
        "dynamo": Preset(
            rules=(
                Rule(sums("dynamo_frontend_input_sequence_tokens"), "input"),
                Rule(("dynamo_frontend_output_tokens_total",), "output"),
            ),
            model=("model",),
            provider="dynamo",
        ),
    }
)
