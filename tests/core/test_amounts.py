"""Amounts as people write them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from alertd.core.budgets import Amount


@pytest.mark.parametrize(
    ("written", "value", "unit"),
    [
        ("500 USD", "500", "USD"),
        ("500usd", "500", "USD"),
        ("500 GBP", "500", "GBP"),
        ("500GBP", "500", "GBP"),
        ("500 MXN", "500", "MXN"),
        ("500 BRL", "500", "BRL"),
        ("500 TRY", "500", "TRY"),
        ("5M USD", "5000000", "USD"),
        ("5MUSD", "5000000", "USD"),
        ("2k GBP", "2000", "GBP"),
        ("1,500.50 EUR", "1500.50", "EUR"),
        ("1_500_000 JPY", "1500000", "JPY"),
        ("5000 tokens", "5000", "tokens"),
        ("1 token", "1", "tokens"),
        ("5M tokens", "5000000", "tokens"),
        ("1.5Btokens", "1500000000", "tokens"),
    ],
)
def test_an_amount_is_read_as_it_is_written(written: str, value: str, unit: str) -> None:
    assert Amount.parse(written) == Amount(Decimal(value), unit)


@pytest.mark.parametrize(
    "written", ["1,5 EUR", "1.500,50 EUR", "1,50 USD", "12,34,56 USD", "-5 USD", "USD", "", "5% USD", "1.2.3 USD"]
)
def test_what_could_mean_two_amounts_or_none_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"amount"):
        Amount.parse(written)


def test_a_comma_for_decimals_is_told_what_a_comma_means() -> None:
    with pytest.raises(ValueError, match=r"a comma groups thousands \(1,500\.50\)"):
        Amount.parse("1,5 EUR")


def test_a_bare_number_takes_the_unit_it_is_given_and_no_other_is_mixed_in() -> None:
    assert Amount.parse("5k", "EUR") == Amount(Decimal(5000), "EUR")
    with pytest.raises(ValueError, match="is in USD, but the currency here is EUR"):
        Amount.parse("5 USD", "EUR")
