"""What a scope spent, split by a label and by day, and earlier periods: every split adds up to the status."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from alertd.core.evaluation.breakdown import ScopeUsage, largest
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
