"""Models as gateways, consoles and people write them: each at its price, or with what is assumed about it said."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from alertd.core.pricing.price_book import Price, PriceBook, Unpriced
from alertd.core.pricing.price_file import PriceFileError, read_price_file
from alertd.core.usage import Line

DAY = date(2026, 11, 20)
ACCOUNT = "arn:aws:bedrock:us-east-1:123456789012"
SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
VERTEX = "projects/acme/locations"


def priced(book: PriceBook, provider: str, model: str, meter: str = "input", **modifiers: str) -> Price:
    price = book.price(Line(provider, model, meter, tuple(sorted(modifiers.items()))), DAY)
    assert isinstance(price, Price), price.reason
    return price


@pytest.mark.parametrize(
    ("provider", "model", "dollars"),
    [
        # the thirty that are used most
        ("openai", "gpt-5-mini-2025-08-07", "0.25 2"),
        ("", "azure/gpt-4.1", "2 8"),
        ("openai", "gpt-5.1-codex", "1.25 10"),
        ("openai", "gpt-5.6-sol", "4 20"),
        ("openai", "gpt-6.1-sol", "2 10"),
        ("openai", "o3-mini-2025-01-31", "1.1 4.4"),
        ("", "claude-opus-5", "5 25"),
        ("", "claude-sonnet-5", "2 10"),
        ("anthropic", "claude-opus-4-6[1m]", "5 25"),
        ("", "vertex_ai/claude-opus-4-8", "5 25"),
        ("google", "claude-sonnet-4-5@20250929", "3 15"),
        ("bedrock", f"us.{SONNET}", "3.3 16.5"),
        ("bedrock", f"{ACCOUNT}:inference-profile/us.{SONNET}", "3.3 16.5"),
        ("bedrock", "global.anthropic.claude-opus-4-8", "5 25"),
        ("", "gemini-2.5-flash", "0.3 2.5"),
        ("google", "models/gemini-2.5-pro", "1.25 10"),
        ("google", "gemini-3.8-flash", "0.75 3.75"),
        ("", "openrouter/anthropic/claude-sonnet-4.5", "3 15"),
        ("openrouter", "anthropic/claude-4.6-sonnet-20260217", "3 15"),
        ("groq", "openai/gpt-oss-120b", "0.15 0.6"),
        ("mistral", "mistral-small-latest", "0.15 0.6"),
        ("mistral", "codestral-2508", "0.3 0.9"),
        ("dashscope", "qwen-plus", "0.4 1.2"),
        ("mistral", "mistral-large-latest", "0.5 1.5"),
        ("deepseek", "deepseek-reasoner", "0.28 0.42"),
        ("azure", "azure/eu/gpt-5", "1.375 11"),
        ("openrouter", "deepseek/deepseek-r1:free", "0 0"),
        ("openai", "ft:gpt-4.1-mini-2025-04-14:acme:support:x", "0.8 3.2"),
        ("", "xai/grok-4.20", "1.25 2.5"),
        # places
        ("azure", "azure/us/gpt-5", "1.375 11"),
        ("azure", "azure/us-gov/gpt-5.1", "1.71875 13.75"),
        ("azure", "azure/eu/gpt-6-sol", "2.4 12"),
        ("azure", "azure/us/gpt-6-sol", "2.2 11"),
        ("azure", "azure/apac/gpt-6.1-sol", "2.4 12"),
        ("azure", "azure/global/gpt-4o-2024-11-20", "2.5 10"),
        ("azure", "azure/global-standard/gpt-4o-mini", "0.15 0.6"),
        ("azure", "azure/datazone/gpt-4o", "2.75 11"),
        ("", f"bedrock/eu-central-1/{SONNET}", "3.3 16.5"),
        ("", f"bedrock/us-gov-west-1/{SONNET}", "3.6 18"),
        ("bedrock", f"us-gov.{SONNET}", "3.6 18"),
        ("bedrock", f"arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/{SONNET}", "3.6 18"),
        ("bedrock", f"arn:aws:bedrock:eu-west-1::foundation-model/{SONNET}", "3.3 16.5"),
        ("", f"{ACCOUNT}:inference-profile/global.anthropic.claude-opus-5", "5 25"),
        ("", f"eu.{SONNET}", "3.3 16.5"),
        ("bedrock", f"apac.{SONNET}", "3.3 16.5"),
        ("bedrock", "jp.anthropic.claude-haiku-4-5-20251001-v1:0", "1.1 5.5"),
        ("bedrock_converse", "eu.amazon.nova-lite-v1:0", "0.078 0.312"),
        ("bedrock", "apac.amazon.nova-pro-v1:0", "0.84 3.36"),
        ("bedrock", "us.amazon.nova-pro-v1:0", "0.8 3.2"),
        ("bedrock", "eu.meta.llama3-2-3b-instruct-v1:0", "0.19 0.19"),
        ("bedrock", "us.meta.llama3-3-70b-instruct-v1:0", "0.72 0.72"),
        # fine-tuned
        ("openai", "ft:gpt-4.1-2025-04-14:acme::x", "3 12"),
        ("openai", "ft:gpt-4.1-nano-2025-04-14:acme::x", "0.2 0.8"),
        ("openai", "ft:o4-mini-2025-04-16:acme::x", "4 16"),
        ("openai", "ft:gpt-4o-2024-08-06:acme::x", "3.75 15"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme::x", "0.3 1.2"),
        ("openai", "ft:gpt-3.5-turbo-0125:acme::x", "3 6"),
        # free, and names that providers and gateways add to
        ("openrouter", "qwen/qwen3-coder:free", "0 0"),
        ("", "openrouter/google/gemini-2.0-flash-exp:free", "0 0"),
        ("openrouter", "Qwen: Qwen3 Coder (free)", "0 0"),
        ("openrouter", "anthropic/claude-3.7-sonnet:thinking", "3 15"),
        ("google", "publishers/google/models/gemini-2.5-flash", "0.3 2.5"),
        ("google", f"{VERTEX}/global/publishers/anthropic/models/claude-opus-5", "5 25"),
        ("vertex_ai-anthropic_models", "claude-opus-5@default", "5 25"),
        ("fireworks_ai", "accounts/fireworks/models/gpt-oss-120b", "0.15 0.6"),
        ("together_ai", "Llama-3.3-70B-Instruct-Turbo", "0.88 0.88"),
        ("azure", "gpt-35-turbo-0125", "0.5 1.5"),
        ("", "deepseek/deepseek-r1:free", "0 0"),
        ("litellm", "meta-llama/llama-3.3-70b-instruct:free", "0 0"),
        ("", "openai:gpt-4o", "2.5 10"),
        ("", "anthropic:claude-sonnet-4-5", "3 15"),
        ("", "google-gla:gemini-2.5-pro", "1.25 10"),
        ("", f"bedrock:us.{SONNET}", "3.3 16.5"),
        ("bedrock", "anthropic.claude-sonnet-4-5", "3.3 16.5"),
        ("azure", "azure/eu-datazone/gpt-5", "1.375 11"),
        ("azure", "azure/usgovvirginia/gpt-5.1", "1.71875 13.75"),
        ("openai", "ft:gpt-4.1:acme::x", "3 12"),
        ("openai", "ft:davinci-002:acme::x", "12 12"),
        # names that move on, and those that a console shows
        ("mistral", "mistral-large-3", "0.5 1.5"),
        ("mistral", "magistral-medium-latest", "1.5 7.5"),
        ("mistral", "devstral-latest", "0.4 2"),
        ("deepseek", "deepseek-chat", "0.28 0.42"),
        ("", "Claude Opus 5", "5 25"),
        ("anthropic", "Claude Haiku 4.5", "1 5"),
        ("anthropic", "Claude 3.7 Sonnet", "3 15"),
        ("", "Anthropic: Claude Sonnet 4.5 (20250929)", "3 15"),
        ("", "Claude Sonnet 4.5 (1M context)", "3 15"),
        ("", "Claude Sonnet 4.5 (Amazon Bedrock Edition)", "3.3 16.5"),
        ("openai", "GPT-5 mini", "0.25 2"),
        ("", "OpenAI: GPT-5 Mini", "0.25 2"),
        ("", "GPT-4o (2024-08-06)", "2.5 10"),
        ("", "Gemini 2.5 Pro", "1.25 10"),
        ("mistral", "Mistral Large 3", "0.5 1.5"),
        ("aws", "Amazon Nova Lite", "0.06 0.24"),
        ("", "Nova Pro", "0.8 3.2"),
        ("", "Command R+", "2.5 10"),
        ("", "Grok 4 Fast", "0.2 0.5"),
        ("", "GPT 4.1 nano", "0.1 0.4"),
        ("", "claude-4.5-sonnet", "3 15"),
        ("anthropic", "claude-4.5-sonnet-thinking", "3 15"),
        ("", "claude-4.5-opus-high-thinking", "5 25"),
        ("", "gpt-5-high", "1.25 10"),
        ("openai", "gpt-5-mini-minimal", "0.25 2"),
    ],
)  # fmt: skip
def test_a_name_is_understood_without_anything_assumed(book: PriceBook, provider, model, dollars) -> None:
    prices = [priced(book, provider, model, meter) for meter in ("input", "output")]
    assert [price.of(1_000_000) for price in prices] == [Decimal(one) for one in dollars.split()]
    assert [price.assumed for price in prices] == ["", ""]


@pytest.mark.parametrize(
    ("provider", "model", "dollars", "said"),
    [
        ("azure", "azure/swedencentral/gpt-5", "1.25", "it may cost more in swedencentral"),
        ("azure", "azure/koreacentral/gpt-4o", "2.5", "it may cost more in koreacentral"),
        ("openrouter", "openai/gpt-5:nitro:online", "1.25", "the fastest provider"),
        ("", "databricks/databricks-claude-opus-4-5", "5", "databricks does not list it"),
        ("azure", "azure/us-gov/gpt-4o", "2.5", "it may cost more in us-gov"),
        ("", "bedrock/ap-south-1/meta.llama3-70b-instruct-v1:0", "2.65", "it may cost more in ap-south-1"),
        ("bedrock", "eu.mistral.pixtral-large-2502-v1:0", "2", "it may cost more in eu"),
        ("google", f"{VERTEX}/us-east5/publishers/anthropic/models/claude-opus-5", "5", "it may cost more in us-east5"),
        ("openai", "my-finetunes/gpt-4o", "2.5", "my-finetunes/ before its name is not known"),
        ("openai", "ft:gpt-5-2025-08-07:acme::x", "1.25", "a fine-tuned model may cost more"),
        ("azure", "gpt-4o-2024-08-06.ft-0e208cf33a6a464994aff31a08aba53f", "2.5", "hosting of a fine-tuned model"),
        ("openrouter", "openai/gpt-5:nitro", "1.25", "the fastest provider"),
        ("openrouter", "openai/gpt-5:floor", "1.25", "the cheapest provider"),
        ("openrouter", "openai/gpt-5:online", "1.25", "web searches"),
        ("openrouter", "openai/gpt-5:exacto", "1.25", "by quality"),
        ("google", "gemini-3.8-flash-cyber", "0.75", "taken for gemini-3.8-flash"),
        ("x-ai", "grok-4.20-reasoning", "1.25", "assumed to cost as grok-4.20"),
        ("databricks", "databricks-claude-sonnet-4-5", "3", "databricks does not list it"),
        ("azure_ai", "deepseek-v3.2", "0.2288", "azure does not list it"),
        ("azure", "gpt-41-mini", "0.4", "assumed to be gpt-4.1-mini"),
        ("github", "gpt-4o", "2.5", "the provider 'github' is not known"),
        ("", "Claude Sonnet 4.5 (fast)", "3", "(fast) in its name"),
    ],
)
def test_what_is_assumed_about_a_name_is_said(book: PriceBook, provider, model, dollars, said) -> None:
    price = priced(book, provider, model)
    assert price.of(1_000_000) == Decimal(dollars)
    assert said in price.assumed


@pytest.mark.parametrize(
    "model",
    [
        f"{ACCOUNT}:application-inference-profile/a1b2c3",
        f"{ACCOUNT}:provisioned-model/x9",
        "my-chat-deployment",
        "acme-medium",
        "devstral-high",
    ],
)
def test_a_name_that_says_no_model_is_unpriced(book: PriceBook, model: str) -> None:
    for provider in ("bedrock", "azure"):
        assert isinstance(book.price(Line(provider, model, "input"), DAY), Unpriced)


def test_a_deployment_costs_what_the_model_costs_that_a_file_names(book: PriceBook) -> None:
    profile = f"{ACCOUNT}:application-inference-profile/a1b2c3"
    text = f"""
        [[alias]]
        provider = "Azure OpenAI"
        model = "prod-chat"
        of = "gpt-4o"

        [[alias]]
        model = "{profile}"
        of = "us.{SONNET}"
    """
    own = PriceBook((read_price_file("own.toml", text), *book.layers), book.price_list)
    assert priced(own, "azure", "Prod-Chat").of(1_000_000) == Decimal("2.5")
    assert priced(own, "bedrock", profile).of(1_000_000) == Decimal("3.3")
    assert isinstance(own.price(Line("openai", "prod-chat", "input"), DAY), Unpriced)


def test_an_alias_of_nothing_is_a_fault() -> None:
    with pytest.raises(PriceFileError, match="alias 1: of: required"):
        read_price_file("own.toml", '[[alias]]\nmodel = "prod-chat"')


@pytest.mark.parametrize(
    ("model", "day", "dollars"),
    [
        ("mistral-large-latest", date(2025, 11, 1), "2"),
        ("mistral-large-latest", date(2025, 12, 2), "0.5"),
        ("deepseek-chat", date(2025, 6, 1), "0.27"),
        ("deepseek-chat", date(2025, 9, 10), "0.56"),
        ("deepseek-chat", date(2025, 10, 1), "0.28"),
    ],
)
def test_a_name_that_moved_on_costs_what_it_meant_on_the_day(book: PriceBook, model, day, dollars) -> None:
    price = book.price(Line(model.split("-")[0], model, "input"), day)
    assert isinstance(price, Price)
    assert price.of(1_000_000) == Decimal(dollars)


@pytest.mark.parametrize(
    ("context", "dollars"),
    [
        ("> 200k", "6"), (">200K", "6"), ("200K+", "6"), ("over 200k tokens", "6"), ("Above 200,000", "6"),
        ("long", "6"), ("long_context", "6"), ("prompts > 200k tokens", "6"), ("200k - 1M", "6"),
        ("not under 200k", "6"), ("200k-1M", "6"), ("200001", "6"), (">200k", "6"),
        ("\u2264 200k", "3"), ("<= 200K", "3"), ("<= 200k", "3"), ("<200k", "3"),
        ("up to 200k", "3"), ("0-200k", "3"), ("short", "3"),
        ("no more than 200k", "3"), ("less than or equal to 200k", "3"), ("0<Token\u2264128K", "3"), ("150000", "3"),
    ],
)  # fmt: skip
def test_a_request_s_size_is_read_in_every_word_that_consoles_use(book: PriceBook, context, dollars) -> None:
    price = priced(book, "anthropic", "claude-sonnet-4-5", context=context)
    assert (price.of(1_000_000), price.ceiling) == (Decimal(dollars), None)


@pytest.mark.parametrize(
    ("model", "meter", "modality", "dollars"),
    [
        ("gpt-realtime", "input", "audio", "32"),
        ("gpt-realtime", "output", "audio", "64"),
        ("gpt-realtime", "cached_input", "audio", "0.4"),
        ("gpt-realtime", "input", "image", "5"),
        ("gpt-realtime", "input", "text", "4"),
        ("gpt-4o", "input", "image", "2.5"),
    ],
)
def test_sound_and_pictures_cost_their_own_price(book: PriceBook, model, meter, modality, dollars) -> None:
    assert priced(book, "openai", model, meter, modality=modality).of(1_000_000) == Decimal(dollars)


def test_minutes_of_sound_and_fees_for_calls_are_priced(book: PriceBook) -> None:
    assert priced(book, "openai", "whisper-1", "minutes").of(10) == Decimal("0.06")
    assert priced(book, "perplexity", "sonar-pro", "requests").of(1_000) == 14


@pytest.mark.parametrize(
    ("line", "region", "dollars", "said"),
    [
        (("aws", SONNET), "eu-central-1", "3.3", ""),
        (("aws", SONNET), "us-gov-west-1", "3.6", ""),
        (("aws", "amazon.nova-lite-v1:0"), "us-east-1", "0.06", ""),
        (("aws", "amazon.nova-lite-v1:0"), "eu-central-1", "0.06", "it may cost more in eu-central-1"),
        (("azure", "gpt-5"), "eu", "1.375", ""),
        (("azure", "gpt-5"), "westeurope", "1.25", "it may cost more in westeurope"),
        (("azure", "gpt-5"), "global", "1.25", ""),
        (("openai", "gpt-4o"), "eu", "2.5", "it may cost more in eu"),
        (("openai", "gpt-4o"), "us-east-1", "2.5", "it may cost more in us-east-1"),
        (("anthropic", "claude-opus-5"), "us", "5.5", ""),
    ],
)
def test_a_region_beside_the_name_is_read_like_one_in_it(book: PriceBook, line, region, dollars, said) -> None:
    price = priced(book, *line, region=region)
    assert price.of(1_000_000) == Decimal(dollars)
    assert said in price.assumed
    assert bool(said) == bool(price.assumed)


def test_hours_and_seconds_cost_what_their_minutes_cost(book: PriceBook) -> None:
    assert priced(book, "openai", "whisper-1", "hours").of(2) == Decimal("0.72")
    assert priced(book, "openai", "whisper-1", "seconds").of(90) == Decimal("0.009")


def test_searches_and_pages_are_priced_by_the_thousand(book: PriceBook) -> None:
    assert priced(book, "anthropic", "claude-haiku-4-5", "web_searches").of(1_000) == 10
    assert priced(book, "mistral", "mistral-ocr-2512", "pages").of(1_000) == 2


def test_pictures_of_a_model_without_a_price_for_them_cost_what_a_contract_says_of_text(book: PriceBook) -> None:
    text = '[[price]]\nprovider = "openai"\nmodel = "gpt-4o"\ncurrency = "USD"\ninput = "2.10"'
    own = PriceBook((read_price_file("own.toml", text), *book.layers), book.price_list, own=1)
    assert priced(own, "openai", "gpt-4o", modality="image").of(1_000_000) == Decimal("2.1")
