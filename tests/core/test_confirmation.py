"""Readings that confirm an increase of spend, and jumps that one reading alone explains."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.core.actions.confirmation import Increase, Readings, find_jumps, without_jumps
from alertd.core.evaluation.values import SourceView
from tests.scenario import Scenario, budget

START = datetime(2026, 11, 15, 2, tzinfo=UTC)


def view(seconds: float, name: str = "gateway") -> SourceView:
    return SourceView(name, START + timedelta(seconds=seconds), timedelta(minutes=15))


def readings(*steps: tuple[float, str]) -> Readings:
    """The readings of one source: up to so many seconds, with so much spent in all."""
    found = Readings({}, Decimal(0))
    for seconds, spent in steps:
        found = found.after((view(seconds),), Decimal(spent))
    return found


@pytest.mark.parametrize(
    ("first", "second", "confirmed"),
    [("1", "1", True), ("1", "10", True), ("10", "1", True), ("1", "10.01", False), ("10.01", "1", False),
     ("1", "0", False), ("0", "1", False)],
)  # fmt: skip
def test_two_readings_confirm_each_other_where_both_show_new_spend_at_rates_within_tenfold(first, second, confirmed):
    spent = Decimal(first), Decimal(first) + Decimal(second)
    assert readings((0, "0"), (60, str(spent[0])), (120, str(spent[1]))).confirmed == confirmed


def test_a_reading_without_new_spend_is_no_increase():
    known = readings((0, "0"), (60, "0"), (120, "5"))
    assert [(one.seconds, one.amount) for one in known.increases] == [(60, Decimal(5))]


def test_a_rate_is_of_the_time_that_the_source_went_on_not_of_the_clock():
    assert not readings((0, "0"), (600, "1"), (660, "2.01")).confirmed
    assert readings((0, "0"), (600, "1"), (660, "1.9")).confirmed


def test_the_source_that_went_furthest_says_over_how_long_the_spend_came():
    known = Readings({}, Decimal(0)).after((view(0), view(-3600, "late")), Decimal(0))
    known = known.after((view(60), view(60, "late")), Decimal(61))
    assert [one.seconds for one in known.increases] == [3660]


def test_the_first_reading_ever_is_the_base_and_shows_nothing():
    assert readings((0, "500")).increases == ()


def test_a_look_at_the_same_data_or_sooner_than_half_an_interval_is_no_reading_and_loses_nothing():
    known = readings((0, "0"), (0, "5"), (29, "6"), (60, "8"))
    assert [(one.seconds, one.amount) for one in known.increases] == [(60, Decimal(8))]


def test_spend_that_was_corrected_downwards_shows_no_increase_and_the_next_is_from_there():
    known = readings((0, "0"), (60, "5"), (120, "3"), (180, "4"))
    assert [one.amount for one in known.increases] == [Decimal(5), Decimal(1)]


@given(st.lists(st.decimals("0", "1000", places=2), max_size=40))
def test_kept_as_json_they_come_back_bounded_and_with_the_largest(amounts: list[Decimal]):
    total, steps = Decimal(0), [(0.0, "0")]
    for number, amount in enumerate(amounts, 1):
        total += amount
        steps.append((60.0 * number, str(total)))
    known = readings(*steps)
    assert Readings.from_json(known.to_json()) == known
    assert len(known.increases) == min(12, sum(amount > 0 for amount in amounts))
    largest = max(amounts, default=Decimal(0))
    assert max((one.amount for one in known.increases), default=Decimal(0)) == largest


@pytest.mark.parametrize("first", [200, 199], ids=["the larger part first", "the smaller part first"])
def test_a_jump_that_falls_into_two_buckets_is_still_one(first):
    world = Scenario(budget(thresholds=["actual 100%"]), at=START)
    for minutes in range(0, 600, 30):
        world.spend(1, at=START - timedelta(minutes=700 - minutes))
    world.spend(first, at=START - timedelta(minutes=31))
    world.spend(399 - first, at=START - timedelta(minutes=26))
    (position,) = world.evaluate().statuses
    jumps = find_jumps(world.facts(), position, Readings({}, position.spent))
    assert [one.amount for one in jumps] == [Decimal(399)]
    assert without_jumps(position, jumps).spent == 20


def test_the_only_reading_that_shows_spend_is_a_jump():
    world = Scenario(budget(thresholds=["actual 100%"]), at=START)
    world.spend(200, at=START - timedelta(minutes=31))
    (position,) = world.evaluate().statuses
    assert [one.amount for one in find_jumps(world.facts(), position, Readings({}, position.spent))] == [Decimal(200)]


def test_spend_of_more_than_two_days_ago_is_no_jump_any_more():
    world = Scenario(budget(thresholds=["actual 100%"]), at=START)
    world.spend(200, at=START - timedelta(hours=49))
    (position,) = world.evaluate().statuses
    assert find_jumps(world.facts(), position, Readings({}, position.spent)) == ()


def test_usage_that_comes_in_several_buckets_at_a_like_pace_is_no_jump():
    world = Scenario(budget(thresholds=["actual 100%"]), at=START)
    world.spend(1, at=START - timedelta(minutes=700))
    for minutes in (31, 26, 21, 16):
        world.spend(100, at=START - timedelta(minutes=minutes))
    (position,) = world.evaluate().statuses
    assert find_jumps(world.facts(), position, Readings({}, position.spent)) == ()


def test_a_jump_that_left_the_window_of_a_burn_rate_is_not_taken_off_it():
    world = Scenario(budget(thresholds=["burn_rate 2x over 1h"]), at=START)
    for minutes in (10, 20, 30, 40):
        world.spend(1, at=START - timedelta(minutes=minutes))
    world.tick()
    (position,) = world.evaluate().statuses
    window = timedelta(hours=1)
    old, new = (Increase(START - timedelta(minutes=m), 60, Decimal(2)) for m in (61, 59))
    assert without_jumps(position, (old,)).burns[window] == position.burns[window]
    assert without_jumps(position, (new,)).burns[window].factor == pytest.approx(position.burns[window].factor / 2)
