"""Certain money is arithmetic: what is charged, what is ahead, and when it alone uses an amount up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertd.core.billing.commitments import PERS, certain_money, charged_between, pieces
from alertd.core.budgets import Amount, Budget, parse_threshold
from alertd.core.evaluation.thresholds import is_crossed
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.money import Money
from alertd.core.periods import PeriodRule
from alertd.core.usage import Committed

NOVEMBER, DECEMBER = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
JANUARY = datetime(2027, 1, 1, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def commitment(
    amount: str, per: str, start: datetime = LONG_AGO, end: datetime | None = None, zone: str = "UTC"
) -> Committed:
    return Committed("", start, end, Money(Decimal(amount), "USD"), name="seats", per=per, counted=True, zone=zone)


@pytest.mark.parametrize(
    ("amount", "per", "start", "end", "charged"),
    [
        ("1200", "month", LONG_AGO, None, "1200.00"),
        ("1200", "month", datetime(2026, 11, 10, tzinfo=UTC), None, "840.00"),
        ("1200", "month", LONG_AGO, datetime(2026, 11, 16, tzinfo=UTC), "600.00"),
        ("365", "year", LONG_AGO, None, "30.00"),
        ("70", "week", LONG_AGO, None, "300.00"),
        ("10", "day", LONG_AGO, None, "300.00"),
        ("2", "hour", datetime(2026, 11, 30, 20, 30, tzinfo=UTC), None, "8"),
        ("0.0542", "minute", datetime(2026, 11, 30, 23, 50, tzinfo=UTC), None, "0.5420"),
        ("0.0542", "minute", datetime(2026, 11, 30, 23, 50, 30, tzinfo=UTC), None, "0.5420"),
        ("36.26", "", LONG_AGO, datetime(2026, 11, 20, tzinfo=UTC), "36.26"),
        ("36.26", "", LONG_AGO, DECEMBER, "0"),
        ("1200", "month", DECEMBER, None, "0"),
    ],
)  # fmt: skip
def test_a_month_is_charged_what_begins_in_it(
    amount: str, per: str, start: datetime, end: datetime | None, charged: str
) -> None:
    assert charged_between(commitment(amount, per, start, end), NOVEMBER, DECEMBER) == Decimal(charged)


def test_a_month_of_another_zone_is_charged_whole_over_a_change_of_the_clock() -> None:
    begin, end = datetime(2026, 9, 30, 22, tzinfo=UTC), datetime(2026, 10, 31, 23, tzinfo=UTC)
    assert charged_between(commitment("1200", "month", zone="Europe/Berlin"), begin, end) == Decimal("1200.00")
    sunday = datetime(2026, 10, 24, 22, tzinfo=UTC)  # 25 hours long
    day = commitment("25", "day", zone="Europe/Berlin")
    assert charged_between(day, sunday, sunday + timedelta(hours=25)) == Decimal("25.00")


@settings(max_examples=60)
@given(
    st.sampled_from(PERS),
    st.decimals("0.01", "5000", places=2),
    st.lists(st.integers(0, 90 * 24 * 60), min_size=2, max_size=6),
    st.integers(0, 60 * 24 * 60),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "Asia/Kolkata"]),
)
def test_a_time_cut_anywhere_is_charged_the_same(
    per: str, amount: Decimal, cuts: list[int], since: int, zone: str
) -> None:
    at = sorted(datetime(2026, 9, 1, tzinfo=UTC) + timedelta(minutes=cut) for cut in cuts)
    one = commitment(str(amount), per, datetime(2026, 9, 1, tzinfo=UTC) + timedelta(minutes=since), zone=zone)
    parts = [charged_between(one, low, high) for low, high in zip(at, at[1:], strict=False)]
    assert sum(parts) == charged_between(one, at[0], at[-1])
    assert all(part >= 0 for part in parts)
    assert sum(amount for *_, amount in pieces(one, at[0], at[1], at[-1])) == charged_between(one, at[0], at[-1])


def certain(*committed: Committed, now: datetime, spent: str = "0", amount: str = "100", **more: object):
    named = [("together", one) for one in committed]
    known = {"unit": "USD", "exchange": lambda *_: None, "start": NOVEMBER, "end": DECEMBER, **more}
    return certain_money(named, now=now, spent=Decimal(spent), amount=Decimal(amount), **known)  # type: ignore[arg-type]


def test_an_endpoint_is_certain_to_break_a_budget_from_its_first_minute() -> None:
    start = datetime(2026, 12, 1, tzinfo=UTC)
    found = certain(
        commitment("0.0542", "minute", start),
        now=start + timedelta(minutes=1),
        spent="0.0542",
        start=DECEMBER,
        end=JANUARY,
    )
    assert found.charged == Decimal("0.0542")
    assert found.charged + found.ahead == Decimal("0.0542") * 31 * 24 * 60
    assert found.exhausted_at == start + timedelta(minutes=1846)  # 1845.02 minutes, and the begun one
    (line,) = found.lines
    assert (line.name, line.cost, line.per, line.since) == ("seats", Decimal("0.0542"), "minute", start)


def test_what_a_late_source_has_not_shown_yet_is_ahead() -> None:
    start, now = datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 20, 3, tzinfo=UTC)
    found = certain(commitment("1", "minute", start), now=now, seen={"together": now - timedelta(hours=1)}, end=now)
    assert (found.charged, found.ahead) == (Decimal(120), Decimal(60))


def test_a_job_that_takes_longer_than_thought_is_still_to_be_charged() -> None:
    job = Committed("together", LONG_AGO, NOVEMBER, Money(Decimal("36.26"), "USD"), name="job ft-1")
    found = certain(job, now=NOVEMBER + timedelta(days=1), spent="70")
    assert (found.charged, found.ahead) == (Decimal(0), Decimal("36.26"))
    assert found.exhausted_at == NOVEMBER + timedelta(days=1)
    assert certain(job, now=NOVEMBER + timedelta(days=1), spent="60").exhausted_at is None


def test_another_currency_without_a_rate_is_named_and_in_no_figure() -> None:
    found = certain(commitment("1200", "month"), now=NOVEMBER, unit="EUR")
    assert (found.charged, found.ahead, found.unconverted) == (0, 0, ("seats",))
    half = certain(commitment("1200", "month"), now=NOVEMBER, unit="EUR", exchange=lambda *_: Decimal("0.5"))
    assert half.ahead == Decimal("600.00")


def test_an_amount_that_is_certain_to_be_passed_fires_its_forecast_without_any_history() -> None:
    now = DECEMBER + timedelta(minutes=1)
    rule = PeriodRule("month", UTC)
    threshold = parse_threshold("forecast 100%")
    budget = Budget("endpoint", Amount(Decimal(100), "USD"), rule, thresholds=(threshold,))
    sure = certain(commitment("0.0542", "minute", DECEMBER), now=now, start=DECEMBER, end=JANUARY)
    position = BudgetStatus(
        budget,
        (),
        rule.containing(now),
        budget.amount,
        Decimal("0.0542"),
        None,
        now,
        now,
        certain=sure,
        name="endpoint",
    )
    assert is_crossed(position, threshold, now) is True
    assert is_crossed(replace(position, certain=None), threshold, now) is None
    assert is_crossed(replace(position, spent=Decimal(101)), threshold, now) is None  # the actual level says it
