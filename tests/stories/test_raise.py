"""A raise for several periods: each of them has the amount, the one after them what is configured."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from alertd.core.evaluation.state import State
from alertd.core.periods import PeriodRule
from alertd.loops.evaluate import raised_amounts
from alertd.operations.changes import Operations
from alertd.operations.values import By, InvalidError
from tests.fakes import StoppedClock
from tests.memory_store import MemoryStore
from tests.scenario import Scenario, budget

NOW = datetime(2026, 11, 20, tzinfo=UTC)
ANA = By("ana", reason="launch")


def raised(store: MemoryStore, world: Scenario, amount: str, periods: int):
    async def write(_, steps, notes):
        return await store.commit_decisions([], [], notes, steps)

    operations = Operations(store, StoppedClock(NOW), write, budgets=lambda: {one.name: one for one in world.budgets})
    outcome = asyncio.run(operations.raise_amount(world.budgets[0].name, (), amount, ANA, periods=periods))
    world.raised = raised_amounts(State.of(asyncio.run(store.memory())))
    return outcome


def amounts(world: Scenario) -> list[str]:
    found = []
    for month in (11, 12, 13, 14):
        world.now = datetime(2026 + month // 13, (month - 1) % 12 + 1, 15, tzinfo=UTC)
        found.append(str(world.evaluate().statuses[0].amount))
    return found


def test_a_raise_for_three_months_ends_with_the_third() -> None:
    store, world = MemoryStore(), Scenario(budget(), at=NOW)
    outcome = raised(store, world, "700", 3)
    assert amounts(world) == ["700 USD", "700 USD", "700 USD", "500 USD"]
    assert "Raised from 500 USD to 700 USD until 2027-01-31." in outcome.said


def test_a_raise_may_be_made_longer_and_lowers_none_that_is_higher() -> None:
    store, world = MemoryStore(), Scenario(budget(), at=NOW)
    raised(store, world, "900", 1)
    raised(store, world, "900", 2)
    assert amounts(world) == ["900 USD", "900 USD", "500 USD", "500 USD"]
    raised(store, world, "950", 3)
    assert amounts(world) == ["950 USD", "950 USD", "950 USD", "500 USD"]


@pytest.mark.parametrize(
    ("periods", "period"),
    [
        (0, PeriodRule("month", UTC)),
        (37, PeriodRule("month", UTC)),
        (2, PeriodRule("rolling", UTC, 1, timedelta(days=7))),
    ],
    ids=["none", "too many", "a window that rolls"],
)
def test_a_number_of_periods_that_cannot_be_is_refused(periods: int, period: PeriodRule) -> None:
    with pytest.raises(InvalidError, match="periods"):
        raised(MemoryStore(), Scenario(budget(period=period), at=NOW), "900", periods)
