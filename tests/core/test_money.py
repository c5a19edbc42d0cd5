"""Money that cannot be mixed up: what adds up, what compares, and what is refused instead of guessed."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from alertd.core.money import Money

DOLLAR, EURO = Money(Decimal("1.005"), "USD"), Money(Decimal(1), "EUR")


@pytest.mark.parametrize(
    "done",
    [
        pytest.param(lambda: DOLLAR + EURO, id="added"),
        pytest.param(lambda: DOLLAR - EURO, id="taken away"),
        pytest.param(lambda: DOLLAR < EURO, id="less than"),
        pytest.param(lambda: DOLLAR <= EURO, id="at most"),
    ],
)
def test_two_currencies_meet_nowhere_without_a_rate(done: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="USD and EUR do not add up without a rate"):
        done()


def test_sums_are_exact_and_only_what_people_see_is_rounded_half_to_even() -> None:
    twice = DOLLAR + DOLLAR
    assert twice == Money(Decimal("2.010"), "USD")
    assert (str(DOLLAR), str(twice - DOLLAR)) == ("1.00 USD", "1.00 USD")
    assert DOLLAR < twice <= DOLLAR + DOLLAR


@pytest.mark.parametrize(
    ("amount", "currency", "fault"),
    [
        (1.5, "USD", TypeError),
        (Decimal("NaN"), "USD", ValueError),
        (Decimal("Infinity"), "USD", ValueError),
        (Decimal(1), "usd", ValueError),
        (Decimal(1), "USD\n", ValueError),
    ],
)
def test_what_is_no_money_is_refused(amount: Decimal, currency: str, fault: type[Exception]) -> None:
    with pytest.raises(fault):
        Money(amount, currency)
