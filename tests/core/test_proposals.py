"""Amounts from what was spent: whole months, room above the projection, nothing for what is idle."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertd.core.evaluation.report import propose, rounded_up, split_idle

UTC = ZoneInfo("UTC")
FIRST = date(2026, 8, 20)
TEAM = (("team", "search"),)


@pytest.mark.parametrize(
    ("value", "amount"),
    [("0", "1"), ("0.3", "1"), ("1", "1"), ("1.01", "2"), ("9.2", "10"), ("10", "10"), ("10.01", "11"),
     ("527.2", "530"), ("530", "530"), ("1234", "1300"), ("99001", "100000")],
)  # fmt: skip
def test_an_amount_has_two_digits_and_is_never_below(value: str, amount: str) -> None:
    assert rounded_up(Decimal(value)) == Decimal(amount)


def test_even_days_propose_a_little_more_than_a_month_of_them() -> None:
    (one,) = propose({TEAM: [Decimal(10)] * 72}, FIRST, UTC)  # 20 August to 30 October
    assert one.months == [(date(2026, 9, 1), Decimal(300))]
    assert 298 <= one.likely <= one.high <= one.amount <= Decimal(360)
    assert (one.days, one.exceeded) == (72, 0)


def test_a_team_that_grows_gets_more_than_it_ever_spent_in_a_month() -> None:
    days = [Decimal(10) + Decimal(n) / 4 for n in range(103)]  # to 30 November
    (one,) = propose({TEAM: days}, FIRST, UTC)
    assert one.amount > max(cost for _, cost in one.months)


def test_days_before_the_first_cost_are_no_part_of_a_team_that_began_late() -> None:
    (one,) = propose({TEAM: [Decimal(0)] * 40 + [Decimal(10)] * 32}, FIRST, UTC)
    assert one.days == 32
    assert one.amount >= 300


def test_what_cost_nothing_lately_is_named_and_gets_no_amount() -> None:
    idle, active = (("team", "old"),), (("team", "new"),)
    costs = {
        idle: [Decimal(5)] * 40 + [Decimal(0)] * 30,
        active: [Decimal(5)] * 70,
        (("team", None),): [Decimal(0)] * 70,
    }
    kept, gone = split_idle(costs)
    assert list(kept) == [active]
    assert set(gone) == {idle, (("team", None),)}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.decimals(0, 1000, places=2), min_size=1, max_size=120),
    st.dates(date(2024, 1, 1), date(2027, 1, 1)),
)
def test_months_are_whole_and_their_costs_are_those_of_their_days(days: list[Decimal], first: date) -> None:
    for one in propose({TEAM: days}, first, UTC):
        assert sum((cost for _, cost in one.months), Decimal(0)) <= sum(days)
        assert all(month.day == 1 and month >= first for month, _ in one.months)
        assert one.high <= one.amount
        assert one.amount >= 1
