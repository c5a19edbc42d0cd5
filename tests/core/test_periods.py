"""Periods tile time without a gap, in any zone, through summer time and short months."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alertd.core.periods import PeriodRule

BERLIN = ZoneInfo("Europe/Berlin")
KATHMANDU = ZoneInfo("Asia/Kathmandu")
ZONES = [UTC, BERLIN, KATHMANDU, ZoneInfo("America/New_York"), ZoneInfo("Pacific/Apia")]

rules = st.one_of(
    st.builds(PeriodRule, st.just("day"), st.sampled_from(ZONES)),
    st.builds(PeriodRule, st.just("week"), st.sampled_from(ZONES), st.integers(1, 7)),
    st.builds(PeriodRule, st.sampled_from(["month", "quarter", "year"]), st.sampled_from(ZONES), st.integers(1, 31)),
)
instants = st.datetimes(datetime(2012, 1, 2), datetime(2040, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001


@given(rules, instants)
def test_every_instant_lies_in_exactly_one_period_and_its_neighbours_touch_it(rule, instant):
    period = rule.containing(instant)
    assert period.start <= instant < period.end
    assert rule.following(period).start == period.end
    assert rule.previous(period).end == period.start
    assert rule.containing(period.start) == period
    assert rule.containing(period.end - timedelta(microseconds=1)) == period


#: Samoa went over the date line: it had no 30 December 2011.
APIA = ZoneInfo("Pacific/Apia")
NEVER = date(2011, 12, 30)


@given(rules, instants)
@example(PeriodRule("week", APIA, 2), datetime(2012, 1, 2, tzinfo=UTC))
def test_the_days_of_a_period_tile_it(rule, instant):
    period, daily = rule.containing(instant), PeriodRule("day", rule.zone)
    days = [daily.containing(period.start)]
    while days[-1].end < period.end:
        days.append(daily.following(days[-1]))
    assert (days[0].start, days[-1].end) == (period.start, period.end)
    never = rule.zone == APIA and period.start.astimezone(APIA).date() <= NEVER <= period.last_day
    assert len(days) == period.days - never
    assert all(timedelta(hours=22) <= day.end - day.start <= timedelta(hours=26) for day in days)


@pytest.mark.parametrize(
    ("kind", "start_day", "at", "start", "end"),
    [
        ("month", 1, "2026-11-21", "2026-11-01", "2026-12-01"),
        ("month", 15, "2026-11-14", "2026-10-15", "2026-11-15"),
        ("month", 31, "2026-02-20", "2026-01-31", "2026-02-28"),
        ("month", 31, "2026-02-28", "2026-02-28", "2026-03-31"),
        ("month", 30, "2028-02-29", "2028-02-29", "2028-03-30"),
        ("quarter", 1, "2026-11-21", "2026-10-01", "2027-01-01"),
        ("year", 1, "2026-11-21", "2026-01-01", "2027-01-01"),
        ("week", 1, "2026-11-22", "2026-11-16", "2026-11-23"),
        ("week", 7, "2026-11-22", "2026-11-22", "2026-11-29"),
        ("day", 1, "2026-11-21", "2026-11-21", "2026-11-22"),
    ],
)
def test_a_period_starts_on_its_day_clamped_in_short_months(kind, start_day, at, start, end):
    period = PeriodRule(kind, UTC, start_day).containing(datetime.fromisoformat(at + "T12:00:00+00:00"))
    assert (period.start.date().isoformat(), period.end.date().isoformat()) == (start, end)
    assert period.key == start


def test_a_month_in_berlin_is_an_hour_longer_when_summer_time_ends():
    october = PeriodRule("month", BERLIN).containing(datetime(2026, 10, 10, tzinfo=UTC))
    assert october.end - october.start == timedelta(days=31, hours=1)
    assert october.days == 31


@pytest.mark.parametrize(("kind", "day"), [("fortnight", 1), ("week", 8), ("month", 0), ("month", 32), ("day", 2)])
def test_a_rule_that_cannot_be_is_refused_with_what_can(kind, day):
    with pytest.raises(ValueError, match="a period is one of|the start day of"):
        PeriodRule(kind, UTC, day)


def test_a_period_holds_its_first_instant_and_not_the_next_ones():
    period = PeriodRule("month", BERLIN).containing(datetime(2026, 10, 25, tzinfo=UTC))
    moments = [border + step for border in (period.start, period.end) for step in (-timedelta.resolution, timedelta(0))]
    assert [moment in period for moment in moments] == [False, True, True, False]
