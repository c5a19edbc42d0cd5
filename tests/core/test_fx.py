"""Money of one currency in another: by the rate of the day, or a fault that names its remedy."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from alertd.core.money import Money
from alertd.core.pricing.exchange_rates import NoRate, Rate, Rates

DAY = date(2026, 6, 1)
RATES = Rates(
    [Rate("EUR", "USD", Decimal("1.10"), date(2026, 1, 1)), Rate("EUR", "USD", Decimal("1.25"), date(2026, 6, 1))]
)


def test_money_is_converted_at_the_rate_of_the_day() -> None:
    assert RATES.convert(Money(Decimal(2), "EUR"), "USD", date(2026, 5, 31)) == Money(Decimal("2.20"), "USD")
    assert RATES.convert(Money(Decimal(2), "EUR"), "USD", DAY) == Money(Decimal("2.50"), "USD")


def test_a_rate_serves_both_ways() -> None:
    assert RATES.convert(Money(Decimal(5), "USD"), "EUR", DAY) == Money(Decimal(4), "EUR")


def test_the_same_currency_needs_no_rate() -> None:
    assert Rates().convert(Money(Decimal(5), "JPY"), "JPY", DAY) == Money(Decimal(5), "JPY")


def test_no_rate_is_a_fault_with_its_remedy_and_never_one_to_one() -> None:
    found = Rates().convert(Money(Decimal(5), "CNY"), "USD", DAY)
    assert isinstance(found, NoRate)
    assert "ALERTD_FX__CNY_USD" in found.reason


def test_a_rate_is_not_assumed_for_the_days_before_it() -> None:
    assert isinstance(RATES.convert(Money(Decimal(5), "EUR"), "USD", date(2025, 12, 31)), NoRate)


def test_a_rate_without_a_day_holds_on_every_day() -> None:
    always = Rates([Rate("EUR", "USD", Decimal("1.08"))])
    assert always.convert(Money(Decimal(100), "EUR"), "USD", date(1999, 1, 1)) == Money(Decimal(108), "USD")
