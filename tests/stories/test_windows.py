"""Budgets of a window that first use opens: limits of subscriptions, with a weekly cap beside them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.core.evaluation.state import LIFECYCLES, WINDOW_OPENED
from alertd.core.messages import compose
from alertd.core.messages.rich_text import text_of
from alertd.core.periods import PeriodRule
from tests.scenario import Scenario, budget

NINE = datetime(2026, 11, 18, 9, tzinfo=UTC)
FIVE_HOURS = PeriodRule("window", UTC, length=timedelta(hours=5))
LEVELS = ["actual 50%", "actual 100%"]


def world(amount: str = "100 USD", **more: object) -> Scenario:
    """A budget that was evaluated once with some usage of before, so that what follows is announced."""
    scenario = Scenario(budget("agents", amount, period=FIVE_HOURS, thresholds=LEVELS, **more), at=NINE)
    scenario.spend("0.01", at=NINE - timedelta(days=9), user="ana")
    scenario.tick()
    return scenario


def fired(scenario: Scenario) -> list[tuple[str, int]]:
    return [(alert.event.kind, int(alert.event.level)) for alert in scenario.tick() if alert.event.level is not None]


def after(scenario: Scenario, **time: float) -> Scenario:
    scenario.now += timedelta(**time)
    return scenario


def test_a_window_opens_with_the_first_use_and_closes_after_its_length() -> None:
    scenario = world()
    (idle,) = scenario.evaluate().statuses
    assert (idle.spent, idle.status, idle.frees_at) == (0, "on_track", None)
    after(scenario, minutes=7).spend(20)
    (one,) = scenario.evaluate().statuses
    assert (one.period.start, one.period.end) == (NINE + timedelta(minutes=5), NINE + timedelta(hours=5, minutes=5))
    scenario.tick()
    after(scenario, hours=4, minutes=50).spend(15)
    assert scenario.evaluate().statuses[0].spent == 35
    scenario.tick()
    after(scenario, minutes=10)
    assert scenario.evaluate().statuses[0].spent == 0
    after(scenario, minutes=30).spend(7)
    (two,) = scenario.evaluate().statuses
    assert (two.spent, two.period.start) == (7, NINE + timedelta(hours=5, minutes=35))


def test_levels_fire_once_a_window_and_their_alerts_end_with_it() -> None:
    scenario = world()
    after(scenario, minutes=10).spend(60)
    assert fired(scenario) == [("threshold", 50)]
    assert fired(after(scenario, hours=1)) == []
    scenario.spend(50)
    assert fired(scenario) == [("threshold", 100)]
    after(scenario, hours=4).tick()
    after(scenario, minutes=1).tick()
    assert {life.state for _, life in LIFECYCLES.items(scenario.state)} == {"resolved"}
    scenario.spend(70)
    assert fired(after(scenario, minutes=20)) == [("threshold", 50)]


def test_a_message_says_when_the_window_is_full_at_this_pace_and_who_spent_in_it() -> None:
    scenario = world()
    scenario.spend(9, user="ben")
    for minutes in range(0, 60, 5):
        scenario.spend(4, at=NINE + timedelta(minutes=minutes), user="ana")
    (alert,) = [one for one in after(scenario, hours=1).tick() if one.event.level == 50]
    message = compose([alert.event], scenario.now)
    headline = text_of(message.headline)
    # 57 of 100 at 10:00, 24 in the last half hour: the other 43 take 53 minutes and 45 seconds.
    assert headline.endswith("of the budget of the window since 09:00: full at 10:53 at this pace, closes at 14:00")
    (status,) = scenario.evaluate().statuses
    assert (status.status, status.full_at) == ("at_risk", NINE + timedelta(hours=1, minutes=53, seconds=45))
    assert [(one.value, one.spent) for one in status.contributors] == [("ana", Decimal(48)), ("ben", Decimal(9))]


def test_a_full_window_says_when_it_closes() -> None:
    scenario = world()
    after(scenario, minutes=30).spend(103)
    (alert,) = [one for one in scenario.tick() if one.event.level == 100]
    message = compose([alert.event], scenario.now)
    assert "the window since 09:30: $103 of $100" in text_of(message.headline)
    assert "at 14:30, when it closes" in [text_of(fact.value) for fact in message.facts]
    (status,) = scenario.evaluate().statuses
    assert (status.status, status.frees_at, status.full_at) == ("over", NINE + timedelta(hours=5, minutes=30), None)


def test_at_a_pace_that_lasts_nothing_is_full() -> None:
    scenario = world()
    for minutes in range(0, 60, 5):
        scenario.spend(1, at=NINE + timedelta(minutes=minutes))
    (status,) = after(scenario, hours=1).evaluate().statuses
    assert (status.status, status.full_at) == ("on_track", None)


def test_each_scope_has_a_window_of_its_own_and_the_week_is_a_cap_beside_it() -> None:
    week = budget("week", "50 USD", period=PeriodRule("week", UTC), per=("user",))
    scenario = Scenario(budget("agents", "20 USD", period=FIVE_HOURS, per=("user",)), week, at=NINE)
    scenario.spend(5, at=NINE - timedelta(hours=3), user="ana")
    scenario.tick()
    scenario.spend(5, user="ben")
    scenario.spend(5, user="ana")
    found = {(one.budget.name, one.scope[0][1]): (one.spent, one.period.start) for one in scenario.evaluate().statuses}
    assert found["agents", "ana"] == (10, NINE - timedelta(hours=3))
    assert found["agents", "ben"] == (5, NINE)
    assert found["week", "ana"][0] == 10


def test_a_window_that_is_long_past_is_forgotten() -> None:
    scenario = world()
    scenario.spend(5)
    scenario.tick()
    assert [start for _, start in WINDOW_OPENED.items(scenario.state)] == [NINE]
    after(scenario, days=16).tick()
    assert dict(WINDOW_OPENED.items(scenario.state)) == {}


@given(st.lists(st.integers(1, 600), min_size=1, max_size=30), st.integers(0, 29))
def test_windows_are_those_of_a_watch_that_is_started_by_use(pauses: list[int], restart: int) -> None:
    """Evaluated at every use, remembered or read anew after a restart in a pause of a whole window."""
    scenario = Scenario(budget("agents", period=FIVE_HOURS), at=NINE)
    opened: datetime | None = None
    for number, minutes in enumerate(pauses):
        pause = 5 * minutes if number != restart else 301
        after(scenario, minutes=pause)
        if number == restart:
            scenario.state = scenario.state.after(dict.fromkeys(scenario.state.records))
        scenario.spend(1)
        use = datetime.fromtimestamp(int(scenario.now.timestamp()) // 300 * 300, UTC)
        if opened is None or use >= opened + timedelta(hours=5):
            opened = use
        (status,) = scenario.evaluate().statuses
        assert status.period.start == opened
        scenario.tick()


@pytest.mark.parametrize("minutes", [0, 200, 299])
def test_the_pace_counts_only_what_is_in_the_window(minutes: int) -> None:
    scenario = Scenario(budget("agents", "100 USD", period=FIVE_HOURS), at=NINE)
    scenario.spend(95, at=NINE - timedelta(hours=5) + timedelta(minutes=5))
    scenario.tick()
    after(scenario, minutes=minutes + 10).spend(1)
    (status,) = scenario.evaluate().statuses
    assert (status.spent, status.full_at) == (1, None)
