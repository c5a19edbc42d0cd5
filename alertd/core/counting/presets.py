"""What the token counters of known gateways and servers are called, and which disjoint meter each one feeds.

A rule names metrics (any of the spellings), the labels they must have, and the meter. `within`: that meter's counter
counts these tokens too, so they are taken off it. What no rule names (totals, reasoning, ...) would count twice.
Names as in each project's source or documentation of autumn 2026; a metric that an exporter lacks is no fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

#: Labels of a scrape target that say where a server stands, not which of its replicas it is.
PLACES: Final = ("job", "namespace", "cluster", "environment")
#: Stands for every metric, in a rule for a selector that the operator wrote.
ANY: Final = "*"
#: Labels that tell only the copies of one Prometheus apart: the same samples, to be counted once.
REPLICAS: Final = ("prometheus_replica", "replica", "__replica__")


@dataclass(frozen=True, slots=True)
class Rule:
    """Metrics that feed one meter. `where`: for each label, the values that a series must have one of."""

    metrics: tuple[str, ...]
    meter: str
    within: str = ""
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Preset:
    """How one exporter's counters are read. Of several labels the first that a series has is taken.

    `provider` is the one of every series where no label and no prefix of the model (`anyscale/...`) names it.
    `labels`: a label of the ledger, and the labels of the exporter that it may come from.
    """

    rules: tuple[Rule, ...]
    model: tuple[str, ...]
    provider: str = ""
    providers: tuple[str, ...] = ()
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: How late its samples become visible, in seconds, where that is the exporter's own doing.
    delay: float = 0.0

    def metrics(self) -> tuple[str, ...]:
        """Every spelling of every metric."""
        return tuple(dict.fromkeys(name for rule in self.rules for name in rule.metrics))


def _counter(*names: str) -> tuple[str, ...]:
    return tuple(spelling for name in names for spelling in (f"{name}_total", name))


def _sum(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}_sum" for name in names)


def _typed(metrics: tuple[str, ...], label: str, types: Mapping[str, str]) -> tuple[Rule, ...]:
    """One metric whose label tells the meters apart: `types` from the label's value to `meter` or `meter<within`."""
    rules = []
    for value, meaning in types.items():
        meter, _, within = meaning.partition("<")
        rules.append(Rule(metrics, meter, within, {label: (value,)}))
    return tuple(rules)


_GEN_AI: Final = _sum(
    "gen_ai_client_token_usage",
    "gen_ai_client_token_usage_token",
    "gen_ai_client_token_usage_tokens",
    "gen_ai.client.token.usage",
) + _counter("gen_ai_client_token_usage")  # Spring AI's is a counter; the bare name is a native histogram's
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
#: Values of a type label that count tokens which others count too, or no tokens that are billed apart.
OVERLAPPING: Final = ("total", "reasoning", "thought")
_GEN_AI_MODEL: Final = (
    "gen_ai_response_model",
    "gen_ai_request_model",
    "gen_ai_original_model",
    "gen_ai.request.model",
)
_GEN_AI_PROVIDERS: Final = ("gen_ai_provider_name", "gen_ai_system", "gen_ai.provider.name")
_GEN_AI_RULES: Final = (
    *_typed(_GEN_AI, "gen_ai_token_type", _GEN_AI_TYPES),
    *_typed(_GEN_AI, "gen_ai.token.type", _GEN_AI_TYPES),
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
                Rule(_counter("litellm_input_tokens_metric"), "input"),
                Rule(_counter("litellm_output_tokens_metric"), "output"),
                Rule(_counter("litellm_input_cached_tokens_metric"), "cached_input", "input"),
                Rule(_counter("litellm_input_cache_creation_tokens_metric"), "cache_write", "input"),
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
                Rule(_counter("vllm:prompt_tokens"), "input"),
                Rule(_counter("vllm:generation_tokens"), "output"),
                Rule(_counter("vllm:prompt_tokens_cached"), "cached_input", "input"),
            ),
            model=("model_name",),
            provider="vllm",
        ),
        "vllm_ray": Preset(
            rules=(
                Rule(_counter("ray_vllm_prompt_tokens", "ray_vllm:prompt_tokens", "vllm_prompt_tokens"), "input"),
                Rule(
                    _counter("ray_vllm_generation_tokens", "ray_vllm:generation_tokens", "vllm_generation_tokens"),
                    "output",
                ),
                Rule(_counter("ray_vllm_prompt_tokens_cached", "vllm_prompt_tokens_cached"), "cached_input", "input"),
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
            rules=_typed(
                ("generative_apis_tokens_total",), "type", {"input_tokens": "input", "output_tokens": "output"}
            ),
            model=("resource_name", "model"),
            provider="scaleway",
            labels={"project": ("project_name", "project_id"), "principal": ("principal", "iam_principal")},
            delay=3600.0,
        ),
        "sglang": Preset(
            rules=(
                Rule(_counter("sglang:prompt_tokens"), "input"),
                Rule(_counter("sglang:generation_tokens"), "output"),
                Rule(_counter("sglang:cached_tokens"), "cached_input", "input"),
            ),
            model=("model_name",),
            provider="sglang",
        ),
        "tgi": Preset(
            rules=(
                Rule(_sum("tgi_request_input_length"), "input"),
                Rule(_sum("tgi_request_generated_tokens"), "output"),
            ),
            model=("model_id", "model_name", "model", "job"),
            provider="tgi",
        ),
        "kong": Preset(
            rules=_typed(
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
                Rule(_counter("bifrost_input_tokens"), "input"),
                Rule(_counter("bifrost_output_tokens"), "output"),
                Rule(_counter("bifrost_cache_read_input_tokens"), "cached_input", "input"),
                Rule(_counter("bifrost_cache_write_input_tokens"), "cache_write", "input"),
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
            _typed(_sum("agentgateway_gen_ai_client_token_usage"), "gen_ai_token_type", _GEN_AI_TYPES),
            _GEN_AI_MODEL,
            providers=_GEN_AI_PROVIDERS,
            labels=_SERVICE,
        ),
        "claude_code": Preset(
            rules=_typed(
                ("claude_code_token_usage_tokens_total", "claude_code_token_usage_total"),
                "type",
                {"input": "input", "output": "output", "cacheRead": "cached_input", "cacheCreation": "cache_write"},
            ),
            model=("model",),
            provider="anthropic",
            labels={"user": ("user_email", "user_id"), "organization": ("organization_id",)},
        ),
        "codex": Preset(
            rules=_typed(_sum("codex_turn_token_usage", "codex_turn_token_usage_tokens"), "token_type", _GEN_AI_TYPES),
            model=("model",),
            provider="openai",
            labels=_SERVICE,
        ),
        "gemini_cli": Preset(
            # Thinking and the results of tools come beside output and input; what the cache had is within input.
            rules=_typed(
                _counter("gemini_cli_token_usage"),
                "type",
                {
                    "input": "input",
                    "output": "output",
                    "thought": "output",
                    "tool": "input",
                    "cache": "cached_input<input",
                },
            ),
            model=("model",),
            provider="google",
            labels={"user": ("user_email", "user_id")},
        ),
        "apisix": Preset(
            rules=(
                Rule(_counter("apisix_llm_prompt_tokens"), "input"),
                Rule(_counter("apisix_llm_completion_tokens"), "output"),
            ),
            model=("llm_model", "request_llm_model"),
            labels={"key": ("consumer",)},
        ),
        "higress": Preset(
            rules=(
                Rule(_counter("route_upstream_model_consumer_metric_input_token"), "input"),
                Rule(_counter("route_upstream_model_consumer_metric_output_token"), "output"),
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
        "dynamo": Preset(
            rules=(
                Rule(_sum("dynamo_frontend_input_sequence_tokens"), "input"),
                Rule(("dynamo_frontend_output_tokens_total",), "output"),
            ),
            model=("model",),
            provider="dynamo",
        ),
    }
)
#: What looks like a counter of tokens, for `alertd check` where a preset finds nothing.
TOKEN_WORDS: Final = ("token", "generated_length", "input_length")
