"""What a scope spent, split by a label and by day, and earlier periods: every split adds up to the status."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from alertd.core.evaluation.breakdown import ScopeUsage, largest
from alertd.core.evaluation.values import SourceView
from tests.scenario import NOVEMBER, Scenario, budget


@pytest.fixture
def world() -> Scenario:
    world = Scenario(budget("research", "500 USD", where={"team": "research"}))
    for step in range(-40, 17):
        at = NOVEMBER + timedelta(days=step, hours=9)
        world.spend(3, at=at, team="research", key="chat")
        world.spend(2, at=at, team="research")
        world.spend(50, at=at, team="other", key="chat")
    world.now = NOVEMBER + timedelta(days=16, hours=12)
    return world


def test_every_split_adds_up_to_what_the_status_says(world: Scenario):
    (position,) = world.evaluate().statuses
    usage = ScopeUsage(world.facts(), position)
    for label in ("key", "model", "team", "provider", "nothing"):
        found = usage.by(label)
        assert found.spent == position.spent == Decimal(85)
        assert sum(sum(part.daily) for part in found.parts) == pytest.approx(85)
    assert [(part.value, part.spent) for part in usage.by("key").parts] == [("chat", 51), ("", 34)]


def test_earlier_periods_come_newest_first_and_say_whether_they_are_complete(world: Scenario):
    (position,) = world.evaluate().statuses
    october, *earlier = ScopeUsage(world.facts(), position).past()
    assert (october.spent, october.complete, len(october.daily)) == (Decimal(5 * 31), True, 31)
    assert [one.spent for one in earlier] == [Decimal(5 * 9)]


def test_the_largest_parts_stand_alone_and_the_others_are_one(world: Scenario):
    (position,) = world.evaluate().statuses
    parts = ScopeUsage(world.facts(), position).by("key").parts
    assert largest(parts, 4) == list(parts)
    first, others = largest([*parts, *parts], 1)
    assert (first, others.value, others.spent) == (parts[0], "3 others", Decimal(34 + 51 + 34))


def test_usage_is_narrowed_by_labels_and_by_a_day(world: Scenario):
    (position,) = world.evaluate().statuses
    usage = ScopeUsage(world.facts(), position)
    chat, without = usage.only({"key": "chat"}), usage.only({"key": ""})
    assert (chat.by("model").spent, without.by("model").spent) == (Decimal(51), Decimal(34))
    assert usage.only({"key": "chat", "team": "other"}).by("key").parts == ()
    day = date(2026, 11, 5)
    one = usage.by("key", day=day)
    assert (one.days, [(part.value, part.spent) for part in one.parts]) == ((day,), [("chat", 3), ("", 2)])
    assert usage.by("key", day=date(2025, 1, 1)).parts == ()


def test_the_hours_before_an_instant_hold_what_is_known_by_the_hour(world: Scenario):
    end = world.now = NOVEMBER + timedelta(days=16, hours=12)
    for minutes, spent in ((20, 8), (70, 2)):
        world.spend(spent, at=end - timedelta(minutes=minutes), team="research", key="chat")
    (position,) = world.evaluate().statuses
    hours = ScopeUsage(world.facts(), position).only({"key": "chat"}).hourly(end)
    assert len(hours) == 24
    assert hours[-2:] == [pytest.approx(2), pytest.approx(8)]
    assert sum(hours) == pytest.approx(8 + 2 + 3), "the 3 USD of 09:00 are three hours ago, those of the day before out"


def test_a_period_is_compared_with_as_many_whole_days_of_the_one_before(world: Scenario):
    world.sources["gateway"] = SourceView("gateway", world.now, timedelta(minutes=15))
    (position,) = world.evaluate().statuses
    assert position.change == pytest.approx(0.0)
    world.spend(40, at=NOVEMBER + timedelta(days=3), team="research", key="chat")
    (position,) = world.evaluate().statuses
    assert position.change == pytest.approx(40 / (16 * 5))
    world.spend(900, at=world.now - timedelta(hours=1), team="research", key="chat")
    (position,) = world.evaluate().statuses
    assert position.change == pytest.approx(40 / (16 * 5)), "today is in neither"
    late = world.now - timedelta(days=10)
    world.sources["gateway"] = SourceView("gateway", late, timedelta(days=20))
    (position,) = world.evaluate().statuses
    assert position.change == pytest.approx(40 / (6 * 5)), "where data are late, as many days as they reach"


def test_what_was_not_used_from_the_start_of_the_period_before_is_not_compared():
    world = Scenario(budget("research", "500 USD", where={"team": "research"}))
    for step in range(-12, 9):
        world.spend(3, at=NOVEMBER + timedelta(days=step, hours=9), team="research")
        world.spend(3, at=NOVEMBER + timedelta(days=step - 30, hours=9), team="other")
    world.now = NOVEMBER + timedelta(days=8, hours=12)
    world.sources["gateway"] = SourceView("gateway", world.now, timedelta(minutes=15))
    (position,) = world.evaluate().statuses
    assert position.change is None
