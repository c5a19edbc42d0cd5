"""OpenAI, Anthropic, Google, Mistral, OpenRouter and the rest: the list's prices, checked by its own arithmetic."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from genai_prices import Usage as ListUsage
from genai_prices import calc_price

from alertd.core.pricing.price_book import Price, PriceBook, Unpriced
from alertd.core.pricing.price_file import read_price_file
from alertd.core.pricing.rating import rate
from alertd.core.usage import Line, Usage

DAY = date(2026, 11, 1)


def amount(book: PriceBook, line: Line, day: date = DAY) -> Decimal | str:
    price = book.price(line, day)
    return price.reason if isinstance(price, Unpriced) else price.of(1_000_000)


@pytest.mark.parametrize(
    ("provider", "model", "meter", "dollars"),
    [
        ("openai", "gpt-4o", "input", "2.5"),
        ("openai", "gpt-4o", "cached_input", "1.25"),
        ("openai", "gpt-4o", "output", "10"),
        ("openai", "gpt-4o", "batch_input", "1.25"),
        ("openai", "gpt-4o", "batch_output", "5"),
        ("openai", "gpt-4o-2024-08-06", "input", "2.5"),
        ("openai", "gpt-4o-2099-01-01", "input", "2.5"),
        ("anthropic", "claude-opus-4-5-20251101", "cached_input", "0.5"),
        ("anthropic", "claude-opus-4-5", "cache_write", "6.25"),
        ("anthropic", "claude-opus-4-5", "batch_output", "12.5"),
        ("google", "gemini-2.5-pro", "output", "10"),
        ("mistral", "mistral-large-2411", "input", "2"),
        ("openrouter", "anthropic/claude-sonnet-4.5", "input", "3"),
        ("deepseek", "deepseek-v3.2", "output", "0.3432"),
    ],
)
def test_a_million_tokens_cost(book: PriceBook, provider, model, meter, dollars) -> None:
    assert amount(book, Line(provider, model, meter)) == Decimal(dollars)


@pytest.mark.parametrize(
    ("provider", "model", "seller", "dollars"),
    [
        ("", "gpt-4o", "openai", "2.5"),
        ("", "openai/gpt-4o", "openai", "2.5"),
        ("", "azure/gpt-4o", "azure", "2.5"),
        ("", "azure/eu/gpt-4o", "azure", "2.75"),
        ("litellm", "azure/gpt-4o", "azure", "2.5"),
        ("my-gateway", "gpt-4o", "openai", "2.5"),
        ("openai", "openai/gpt-4o", "openai", "2.5"),
        ("az.ai.openai", "gpt-4o", "azure", "2.5"),
        ("", "bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0", "aws", "3"),
        ("", "bedrock/us-east-1/anthropic.claude-3-5-sonnet-20240620-v1:0", "aws", "3"),
        ("", "vertex_ai/gemini-2.5-pro", "google", "1.25"),
        ("", "openrouter/anthropic/claude-sonnet-4.5", "openrouter", "3"),
        ("", "dashscope/qwen-max", "alibaba", "1.6"),
        ("", "anyscale/meta-llama/Llama-2-13b-chat-hf", "anyscale", "0.25"),
        ("", "together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo", "together", "0.88"),
        ("", "text-embedding-3-small", "openai", "0.02"),
    ],
)
def test_a_name_as_a_gateway_writes_it_is_sold_by(book: PriceBook, provider, model, seller, dollars) -> None:
    price = book.price(Line(provider, model, "input"), DAY)
    assert not isinstance(price, Unpriced)
    assert (price.provider, price.of(1_000_000)) == (seller, Decimal(dollars))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (Line("openai", "codex", "input"), "no price is known for openai/codex"),
        (Line("vllm", "gpt-4o", "input"), "self-hosted"),
        (Line("", "hosted_vllm/gpt-4o", "input"), "self-hosted"),
        (Line("openai", "gpt-4o", "training"), "has no price for training"),
        (Line("openai", "gpt-4o", "input", (("tier", "moonlight"),)), "tier=moonlight"),
        (Line("azure", "gpt-4o", "batch_input"), "has no price for batch_input"),
    ],
)
def test_what_nobody_lists_is_unpriced_and_says_why(book: PriceBook, line: Line, reason) -> None:
    assert reason in str(amount(book, line))


@pytest.mark.parametrize(
    ("modifiers", "dollars"),
    [
        ((("tier", "default"),), "2.5"),
        ((("tier", "batch"),), "1.25"),
        ((("batch", "true"),), "1.25"),
        ((("batch", "false"),), "2.5"),
        ((("processing", "batch"),), "1.25"),
        ((("tier", "priority"),), "4.25"),
        ((("region", "global"), ("tier", "standard")), "2.5"),
    ],
)
def test_a_modifier_of_gpt_4o_input_costs(book: PriceBook, modifiers, dollars) -> None:
    assert amount(book, Line("openai", "gpt-4o", "input", modifiers)) == Decimal(dollars)


@pytest.mark.parametrize(
    ("meter", "modifiers", "dollars"),
    [
        ("input", (("region", "us"),), "5.5"),
        ("cached_input", (("processing", "batch"),), "0.25"),
        ("cache_write", (("cache_ttl", "5m"),), "6.25"),
        ("cache_write", (("cache_ttl", "1h"),), "10"),
        ("cache_write", (("cache_ttl", "1h"), ("processing", "batch")), "5"),
    ],
)
def test_a_modifier_of_claude_costs(book: PriceBook, meter, modifiers, dollars) -> None:
    assert amount(book, Line("anthropic", "claude-opus-4-5", meter, modifiers)) == Decimal(dollars)


def test_calls_of_a_model_that_is_sold_by_the_token_are_known_to_cost_nothing(book: PriceBook) -> None:
    assert amount(book, Line("openai", "gpt-4o", "requests")) == 0
    assert "no price is known" in str(amount(book, Line("openai", "codex", "requests")))


def test_batch_before_its_first_recorded_day_is_assumed_and_never_the_full_price(book: PriceBook) -> None:
    price = book.price(Line("openai", "gpt-4o", "batch_input"), date(2025, 1, 1))
    assert not isinstance(price, Unpriced)
    assert price.of(1_000_000) == Decimal("1.25")
    assert "assumed" in price.assumed


def test_a_price_that_depends_on_each_requests_size_is_bounded_not_mispriced(book: PriceBook) -> None:
    price = book.price(Line("anthropic", "claude-sonnet-4-5", "input"), DAY)
    assert not isinstance(price, Unpriced)
    assert (price.of(1_000_000), price.ceiling, price.ceiling_above) == (3, 6, 200_000)


def test_a_size_that_is_written_in_no_digits_is_not_known(book: PriceBook) -> None:
    unsized = book.price(Line("anthropic", "claude-sonnet-4-5", "input"), DAY)
    assert book.price(Line("anthropic", "claude-sonnet-4-5", "input", (("context", "\u00b2k"),)), DAY) == unsized


def test_ten_small_requests_cost_ten_times_one_and_not_one_large_one(billed) -> None:
    rows = [
        ("anthropic", "claude-sonnet-4-5", "input", 1_000_000),
        ("anthropic", "claude-sonnet-4-5", "output", 10_000),
    ]
    bill = billed("2026-02-01", *rows)
    one = ListUsage(input_tokens=100_000, output_tokens=1_000)
    at = datetime(2026, 2, 1, tzinfo=UTC)
    by_request = calc_price(one, "claude-sonnet-4-5", provider_id="anthropic", genai_request_timestamp=at).total_price
    assert bill.totals["USD"] == 10 * by_request == Decimal("3.15")
    assert bill.at_most["USD"] == Decimal("6.225")


def test_less_input_than_a_large_request_has_needs_no_bound(billed) -> None:
    bill = billed("2026-02-01", ("anthropic", "claude-sonnet-4-5", "input", 200_000))
    assert bill.lines[0].at_most is None


def test_a_price_that_changed_is_that_of_the_day_of_use(book: PriceBook) -> None:
    line = Line("anthropic", "claude-opus-4-6", "input")
    before, after = book.price(line, date(2026, 3, 12)), book.price(line, date(2026, 3, 13))
    assert not isinstance(before, Unpriced)
    assert not isinstance(after, Unpriced)
    assert (before.ceiling, after.ceiling) == (Decimal(10), None)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1", "gpt-5.2", "o3", "gpt-4o-mini", "gpt-3.5-turbo"])
@pytest.mark.parametrize("day", [date(2025, 6, 9), date(2025, 6, 11), date(2026, 11, 1)])
def test_unit_prices_times_quantities_are_the_lists_own_figure(book: PriceBook, model, day) -> None:
    counts = {"input": 40_003, "cached_input": 60_001, "output": 20_011}
    ours = Decimal(0)
    for meter, count in counts.items():
        price = book.price(Line("openai", model, meter), day)
        assert not isinstance(price, Unpriced)
        ours += price.of(count)
    usage = ListUsage(
        input_tokens=counts["input"] + counts["cached_input"],
        cache_read_tokens=counts["cached_input"],
        output_tokens=counts["output"],
    )
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    assert ours == calc_price(usage, model, provider_id="openai", genai_request_timestamp=at).total_price


@pytest.mark.parametrize("model", ["deepseek/deepseek-r1:free", "qwen/qwen3-coder:free", "openai/gpt-oss-120b:free"])
def test_a_model_that_is_free_by_its_name_costs_nothing_and_is_not_unpriced(book: PriceBook, model: str) -> None:
    price = book.price(Line("openrouter", model, "input"), DAY)
    assert isinstance(price, Price)
    assert price.amount == 0


def test_an_inference_profile_without_a_provider_is_bedrock_s(book: PriceBook) -> None:
    name = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    bare, named = (book.price(Line(provider, name, "input"), DAY) for provider in ("", "aws"))
    assert isinstance(bare, Price)
    assert (bare.provider, bare.amount) == ("aws", Decimal("3.3"))
    assert bare == named


def deepseek(*moments: str, width: timedelta = timedelta(seconds=1)) -> list[Usage]:
    """A million tokens in and out in a window that begins at each of these instants of UTC."""
    starts = [datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in moments]
    meters = ("input", "output")
    return [
        Usage(Line("deepseek", "deepseek-v4-pro", meter), at, at + width, 1_000_000)
        for at in starts
        for meter in meters
    ]


@pytest.mark.parametrize(
    ("moments", "dollars"),
    [
        pytest.param(["2026-11-20T02:00", "2026-11-20T08:00", "2026-11-20T20:00"], "13.20", id="two dear, one not"),
        pytest.param(["2026-11-20T00:59:59"], "2.64", id="before the dear hours"),
        pytest.param(["2026-11-20T01:00"], "5.28", id="in them"),
        pytest.param(["2026-11-21T02:00", "2026-11-22T08:00"], "5.28", id="a Saturday and a Sunday"),
    ],
)
def test_a_price_by_the_hour_is_that_of_the_hour_of_use_on_working_days(book: PriceBook, moments, dollars) -> None:
    bill = rate(deepseek(*moments), book)
    assert bill.totals == bill.at_most == {"USD": Decimal(dollars)}


def test_a_window_of_several_hours_is_bounded_where_their_prices_differ(book: PriceBook) -> None:
    bill = rate(deepseek("2026-11-20T00:00", width=timedelta(days=1)), book)
    assert bill.totals == {"USD": Decimal("2.64")}
    assert bill.at_most == {"USD": Decimal("5.28")}


def test_a_contract_s_discount_is_off_every_hour_s_price(book: PriceBook) -> None:
    own = read_price_file("own.toml", '[[discount]]\nprovider = "deepseek"\nmodel = "*"\npercent = "50"')
    bill = rate(deepseek("2026-11-20T02:00"), PriceBook((own, *book.layers), book.price_list, own=1))
    assert bill.totals == {"USD": Decimal("2.64")}
