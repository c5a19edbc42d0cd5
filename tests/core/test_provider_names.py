"""What bills and gateways call a provider is one id, wherever it is compared."""

from __future__ import annotations

import pytest

from alertd.core.spellings import provider_id


@pytest.mark.parametrize(
    ("name", "provider"),
    [
        ("Amazon Web Services", "aws"),
        ("Amazon Web Services, Inc.", "aws"),
        ("AWS", "aws"),
        ("bedrock", "aws"),
        ("Microsoft Azure", "azure"),
        ("Microsoft Corporation", "azure"),
        ("Google LLC", "google"),
        ("Google Cloud EMEA Limited", "google"),
        ("Anthropic, PBC", "anthropic"),
        ("OpenAI, LLC", "openai"),
        ("OpenAI OpCo, LLC", "openai"),
        ("Oracle", "oracle"),
        ("OCI", "oracle"),
        ("Mistral AI", "mistral"),
        ("Scaleway SAS", "scaleway"),
        ("Together Computer, Inc.", "together"),
        ("my-gateway", "my-gateway"),
    ],
)
def test_a_company_s_full_name_is_its_provider(name: str, provider: str) -> None:
    assert provider_id(name) == provider
    assert provider_id(provider_id(name)) == provider
