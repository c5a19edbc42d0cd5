"""The documented example of a user's own price file does what its comments say."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from alertd.clients.price_files import price_book
from alertd.clients.reference_rates import rates_of
from alertd.core.money import Money
from alertd.core.pricing.exchange_rates import NoRate
from alertd.core.pricing.modifiers import TrainingJob
from alertd.core.pricing.price_book import Price
from alertd.core.usage import Line

EXAMPLE = Path(__file__).parents[2] / "config" / "prices.example.toml"
BOOK = price_book([EXAMPLE])


@pytest.mark.parametrize(
    ("line", "day", "amount"),
    [
        pytest.param(Line("openai", "gpt-4o", "input"), "2026-01-01", "2.10", id="the contract from its day on"),
        pytest.param(Line("openai", "gpt-4o-2024-08-06", "output"), "2026-02-01", "8.40", id="its snapshots with it"),
        pytest.param(Line("openai", "gpt-4o", "input"), "2025-12-31", "2.5", id="the public price before it"),
        pytest.param(Line("openai", "gpt-4o", "cached_input"), "2026-02-01", "1.25", id="what it does not name"),
        pytest.param(Line("", "hosted_vllm/llama-3-70b", "output"), "2026-02-01", "0.30", id="one's own machines"),
        pytest.param(Line("vllm", "llama-3-70b", "batch_input"), "2026-02-01", "0.06", id="a ratio of one's own"),
        pytest.param(Line("openai", "gpt-4o", "input", (("region", "eu"),)), "2026-02-01", "2.75", id="a region"),
        pytest.param(Line("anthropic", "claude-opus-4-5", "input"), "2026-07-01", "4.4", id="12 percent off"),
        pytest.param(Line("anthropic", "claude-opus-4-5", "input"), "2026-06-30", "5", id="nothing off before"),
        pytest.param(TrainingJob("Qwen/Qwen2.5-32B").line, "2026-02-01", "1.50", id="a fine-tuning rate"),
        pytest.param(
            Line("together", "2x_nvidia_a100_80gb_sxm", "minutes"), "2026-02-01", "54200", id="cents a minute"
        ),
    ],
)
def test_the_example_prices_a_million_of(line: Line, day: str, amount: str) -> None:
    price = BOOK.price(line, date.fromisoformat(day))
    assert isinstance(price, Price)
    assert price.of(1_000_000) == Decimal(amount)


def test_the_example_gives_rates_of_exchange_from_their_day_on() -> None:
    rates = rates_of(BOOK)
    assert rates.convert(Money(Decimal(100), "EUR"), "USD", date(2026, 3, 1)) == Money(Decimal(108), "USD")
    assert isinstance(rates.convert(Money(Decimal(100), "EUR"), "USD", date(2025, 3, 1)), NoRate)
