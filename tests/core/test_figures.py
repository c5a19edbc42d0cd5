"""Numbers for people: with their currency, never finer than they are known, never more than was reached."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.core.messages.format import (
    amount,
    chance,
    estimate,
    number,
    percent,
    round_amount_above,
    times,
    tokens,
    used_of,
)

AMOUNTS = st.decimals(0, 10**9, places=6)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        ("251.4", "USD", "251.40 USD"),
        ("1204.3", "USD", "1,204 USD"),
        ("999.994", "USD", "999.99 USD"),
        ("999.996", "USD", "1,000 USD"),
        ("0.004", "USD", "0.004 USD"),
        ("0.0123", "EUR", "0.012 EUR"),
        ("0.05", "USD", "0.05 USD"),
        ("0.1", "USD", "0.10 USD"),
        ("0.3", "USD", "0.30 USD"),
        ("0.000000041", "USD", "0.000000041 USD"),
        ("0", "USD", "0 USD"),
        ("-3.2", "USD", "-3.20 USD"),
        ("12345678", "USD", "12,345,678 USD"),
        ("500", "JPY", "500 JPY"),
        ("5200000", "tokens", "5.2M tokens"),
        ("950", "tokens", "950 tokens"),
        ("999999", "tokens", "1M tokens"),
        ("12345", "tokens", "12.3k tokens"),
        ("1250000000", "tokens", "1.25B tokens"),
        ("0", "tokens", "0 tokens"),
    ],
)
def test_an_amount_is_written_as_people_do(value: str, unit: str, text: str) -> None:
    assert amount(Decimal(value), unit) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("483.2", "483"), ("1237.4", "1,240"), ("48.31", "48.30"), ("4.831", "4.83"), ("0.04831", "0.048"),
     ("123456", "123,000"), ("0", "0"), ("99.96", "100"), ("2400", "2,400")],
)  # fmt: skip
def test_an_estimate_has_three_digits_that_matter(value: str, text: str) -> None:
    assert estimate(Decimal(value), "USD") == text


def test_an_estimate_is_never_below_what_is_spent() -> None:
    assert estimate(Decimal("1204.4"), "USD", Decimal("1204.3")) == "1,204"


@given(AMOUNTS, AMOUNTS)
def test_a_hundred_percent_is_said_only_where_it_is_reached(part: Decimal, whole: Decimal) -> None:
    said = percent(part, whole)
    if whole and part < whole:
        assert said != "100%"
    if whole and part >= whole:
        assert said not in {"99%", "under 1%", "0%"}


@given(AMOUNTS)
def test_a_figure_is_never_further_off_than_it_looks(value: Decimal) -> None:
    shown = Decimal(number(value, "USD").replace(",", ""))
    assert abs(shown - value) <= max(Decimal("0.5") if value >= 999 else Decimal("0.005"), value * Decimal("0.05"))
    assert bool(shown) == bool(value)


@given(AMOUNTS, AMOUNTS)
def test_more_is_never_shown_as_less(one: Decimal, other: Decimal) -> None:
    low, high = sorted((one, other))
    assert Decimal(number(low, "USD").replace(",", "")) <= Decimal(number(high, "USD").replace(",", ""))


@given(st.integers(0, 10**15))
def test_tokens_are_within_half_a_percent(count: int) -> None:
    text = tokens(count)
    scale = {"k": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}.get(text[-1], 1)
    shown = Decimal(text.rstrip("kMBT")) * scale
    assert abs(shown - count) <= Decimal(count) * Decimal("0.006")


@given(AMOUNTS.filter(bool))
def test_the_amount_to_raise_to_is_above_and_round(value: Decimal) -> None:
    higher = round_amount_above(value)
    assert value < higher <= value * 2
    assert len(str(higher.normalize().as_tuple().digits).replace(", ", "")) <= 6


def test_the_pair_reads_as_the_contract_has_it() -> None:
    assert used_of(Decimal("81.2"), Decimal(100), "USD") == "81.20 of 100.00 USD (81%)"


@pytest.mark.parametrize(("value", "text"), [("6.8", "×6.8"), ("59", "×59"), ("0.42", "×0.42"), ("1234", "×1,230")])
def test_a_multiple_is_short(value: str, text: str) -> None:
    assert times(Decimal(value)) == text


@pytest.mark.parametrize(
    ("probability", "text"), [(0.24, "24%"), (0.004, "under 1%"), (0.99, "over 99%"), (1.0, "over 99%")]
)
def test_a_chance_claims_no_certainty(probability: float, text: str) -> None:
    assert chance(probability) == text
