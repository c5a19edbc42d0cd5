"""Lines of the clouds' bills: which model they are for, and what is no use of a model."""

from __future__ import annotations

import pytest

from alertd.core.billing.reconcile_figures import plain_model
from alertd.core.usage import SeriesRow
from alertd.sources._bill_lines import charge_of, model_of

LINES = [
    ("aws", "Amazon Bedrock Service", "USE1-Claude4.6Sonnet-input-tokens", "claude-sonnet-4-6"),
    ("aws", "Amazon Bedrock", "USE1-Claude4.6Opus-cache-read-input-token-count-cross-region-global", "claude-opus-4-6"),
    ("aws", "Claude Sonnet 4.6 (Amazon Bedrock Edition)", "USE1-MP:USE1_InputTokenCount-Units", "claude-sonnet-4-6"),
    ("aws", "Amazon Bedrock", "USW2-anthropic.claude-opus-4-8-mantle-cache-write-tokens-global-standard",
     "claude-opus-4-8"),
    ("aws", "Amazon Bedrock", "USE1-NovaPro-input-tokens", "nova-pro"),
    ("aws", "Amazon Bedrock", "USE1-Nova2.0Lite-output-tokens-batch", "nova-2-lite"),
    ("aws", "Amazon Bedrock", "something new", ""),
    ("aws", "Amazon Elastic Compute Cloud", "USE1-input-tokens", ""),
    ("azure", "Azure OpenAI", "GPT 5 cchd Inpt Glbl", "gpt-5"),
    ("azure", "Azure OpenAI", "GPT 5 outpt Glbl", "gpt-5"),
    ("azure", "Azure OpenAI", "Inp Std", ""),
    ("azure", "Virtual Machines", "D2 v3 Input", ""),
    ("google", "Vertex AI", "Gemini 2.5 Pro Global Text Input - Predictions", "gemini-2.5-pro"),
    ("google", "Vertex AI", "Gemini 3.0 / 3.1 Pro Text Output - Predictions", ""),
    ("google", "Vertex AI", "something new", ""),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "service", "meter", "model"), LINES)
def test_a_line_names_its_model_or_none(provider: str, service: str, meter: str, model: str) -> None:
    assert model_of(provider, service, meter) == model


@pytest.mark.parametrize(
    ("category", "meter", "charge"),
    [
        ("Tax", "", "tax"),
        ("Usage", "USE1-Claude4.6Sonnet-input-tokens", ""),
        ("Usage", "USE1-Guardrail-ContentPolicyUnitsConsumed", "guardrails"),
        ("Usage", "USE1-ClaudeV2-ProvisionedThroughput-ModelUnits", "provisioned"),
        ("Credit", "USE1-NovaPro-input-tokens", ""),
    ],
)
def test_what_is_no_use_of_a_model_by_tokens_is_a_charge_of_its_own(category: str, meter: str, charge: str) -> None:
    assert charge_of(category, meter) == charge


@pytest.mark.parametrize(
    ("used", "billed"),
    [
        ("us.anthropic.claude-sonnet-4-6", "claude-sonnet-4-6"),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4.5"),
        ("amazon.nova-pro-v1:0", "nova-pro"),
        ("eu.amazon.nova-2-lite-v1:0", "nova-2-lite"),
        ("gpt-4.1", "gpt-4.1"),
    ],
)
def test_usage_and_bill_know_one_model_under_one_name(used: str, billed: str) -> None:
    def row(model: str) -> SeriesRow:
        return SeriesRow(1, "s", "aws", model, "input", (), "", {})

    assert plain_model(row(used)) == plain_model(row(billed))
