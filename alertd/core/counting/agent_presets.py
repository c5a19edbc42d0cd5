"""What coding agents and AI SDKs call their token counters, by OTLP or through a Prometheus. No gateway, no server.

Names are those of Prometheus: dots are underscores, counters end in `_total`, sums of histograms in `_sum`. Agents'
own documentation and sources of autumn 2026; what is unverified there is said at its rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from alertd.core.counting.rules import Preset, Rule, counter, sums, typed
from alertd.core.usage import COST_METER

#: Who used it. Agents have an e-mail address after a sign-in only; `enduser.id` and the teams are set in
#: OTEL_RESOURCE_ATTRIBUTES by the person who rolls them out.
_PEOPLE: Final = {
    "user": ("user_email", "enduser_id", "email", "user_account_id", "user_id", "installation_id"),
    "team": ("team_id", "team"),
    "department": ("department",),
    "cost_center": ("cost_center",),
    "project": ("project", "project_id"),
    "organization": ("organization_id",),
}
#: Kept only where SCOPE_LABELS asks for it: every run is a series of its own.
_SESSIONS: Final = {"session": ("session_id", "ulid", "conversation_id", "gen_ai_conversation_id")}
_GEN_AI_MODEL: Final = ("gen_ai_response_model", "gen_ai_request_model")
_USAGE: Final = "gen_ai_client_inference_usage"

AGENTS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "claude_code": Preset(
            rules=(
                # Disjoint: `input` leaves out what the cache had.
                *typed(
                    (
                        "claude_code_token_usage_tokens_total",
                        "claude_code_token_usage_total",
                        "claude_code.token.usage_tokens_total",
                        "claude_code.token.usage_total",
                        "claude_code.token.usage",
                    ),
                    "type",
                    {"input": "input", "output": "output", "cacheRead": "cached_input", "cacheCreation": "cache_write"},
                ),
                Rule(
                    (
                        "claude_code_cost_usage_USD_total",
                        "claude_code_cost_usage_total",
                        "claude_code.cost.usage_USD_total",
                        "claude_code.cost.usage_total",
                        "claude_code.cost.usage",
                    ),
                    COST_METER,
                ),
            ),
            model=("model",),
            provider="anthropic",
            labels={**_PEOPLE, "query_source": ("query_source",), "speed": ("speed",)},
            optional=_SESSIONS,
        ),
        "codex": Preset(
            # One record a turn; reasoning is within output. That cache writes are within input is unverified.
            rules=typed(
                sums("codex_turn_token_usage", "codex_turn_token_usage_tokens", "codex.turn.token_usage"),
                "token_type",
                {
                    "input": "input",
                    "output": "output",
                    "cached_input": "cached_input<input",
                    "cache_write_input": "cache_write<input",
                },
            ),
            model=("model",),
            provider="openai",
            labels={**_PEOPLE, "service": ("service_name", "service"), "auth_mode": ("auth_mode",)},
            optional=_SESSIONS,
        ),
        "gemini_cli": Preset(
            # Thinking and the results of tools come beside output and input; what the cache had is within input.
            rules=typed(
                counter("gemini_cli_token_usage", "gemini_cli.token.usage"),
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
            labels={**_PEOPLE, "auth_type": ("auth_type",)},
            optional=_SESSIONS,
        ),
        "copilot": Preset(
            # The cache is within input, and no metric counts it apart: volume only; its money is in GitHub's bill.
            rules=typed(
                (*sums("gen_ai_client_token_usage"), *counter("gen_ai_client_token_usage")),
                "gen_ai_token_type",
                {"input": "input", "output": "output"},
            ),
            model=_GEN_AI_MODEL,
            provider="github",
            labels={**_PEOPLE, "service": ("service_name",)},
            optional=_SESSIONS,
        ),
        "opencode": Preset(
            # The community plug-in; OPENCODE_METRIC_PREFIX can give it Claude Code's names. Whether `output` holds the
            # reasoning is unverified; adding it could count it twice.
            rules=(
                *typed(
                    counter("opencode_token_usage", "claude_code_token_usage"),
                    "type",
                    {
                        "input": "input",
                        "output": "output",
                        "cacheRead": "cached_input",
                        "cacheCreation": "cache_write",
                    },
                ),
                Rule(counter("opencode_cost_usage", "claude_code_cost_usage"), COST_METER),
            ),
            model=("model",),
            providers=("provider",),
            labels=_PEOPLE,
            optional=_SESSIONS,
        ),
        "cline": Preset(
            # Whether its input includes the cache depends on the provider: only its money is clear.
            rules=(Rule(counter("cline_cost_total", "cline_cost"), COST_METER),),
            model=("model",),
            providers=("provider",),
            labels=_PEOPLE,
            optional=_SESSIONS,
        ),
        "otel_usage": Preset(
            # The conventions since September 2026: input includes both caches, output the reasoning.
            rules=(
                Rule(counter(f"{_USAGE}_input_tokens"), "input"),
                Rule(counter(f"{_USAGE}_cache_read_input_tokens"), "cached_input", "input"),
                Rule(counter(f"{_USAGE}_cache_write_input_tokens"), "cache_write", "input"),
                Rule(counter(f"{_USAGE}_output_tokens"), "output"),
            ),
            model=_GEN_AI_MODEL,
            providers=("gen_ai_provider_name", "gen_ai_system"),
            labels={**_PEOPLE, "service": ("service_name", "service")},
            optional=_SESSIONS,
        ),
    }
)

#: Whose metrics a service sends, by its `service.name`. The names of these metrics mean something else elsewhere.
SERVICES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "claude-code": "claude_code",
        "gemini-cli": "gemini_cli",
        "github-copilot": "copilot",
        "copilot-chat": "copilot",
        "opencode": "opencode",
        "cline": "cline",
    }
)
