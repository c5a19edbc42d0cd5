"""Budgets of a window that rolls, and of an hour: they fire, free by themselves and fire again, in a window's words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from alertd.core.evaluation.state import LIFECYCLES
from alertd.core.messages import compose
from alertd.core.messages.rich_text import text_of
from alertd.core.periods import PeriodRule
from tests.scenario import Scenario, budget

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
FIVE_HOURS = PeriodRule("rolling", UTC, length=timedelta(hours=5))
SEVEN_DAYS = PeriodRule("rolling", UTC, length=timedelta(days=7))
LEVELS = ["actual 80%", "actual 100%"]


def world(rule: PeriodRule, amount: str = "100 USD", **more: object) -> Scenario:
    """A budget that was evaluated once with some usage of before, so that what follows is announced."""
    scenario = Scenario(budget("agents", amount, period=rule, thresholds=LEVELS, **more), at=NOON)
    scenario.spend("0.01", at=NOON - timedelta(days=9))
    scenario.spend("0.01")
    scenario.tick()
    return scenario


def fired(scenario: Scenario) -> list[tuple[str, int]]:
    return [(alert.event.kind, int(alert.event.level)) for alert in scenario.tick() if alert.event.level is not None]


def after(scenario: Scenario, **time: float) -> Scenario:
    scenario.now += timedelta(**time)
    return scenario


def test_a_level_fires_once_frees_by_itself_and_fires_again() -> None:
    scenario = world(FIVE_HOURS)
    after(scenario, minutes=10).spend(85)
    assert fired(scenario) == [("threshold", 80)]
    assert fired(after(scenario, minutes=1)) == []
    scenario.spend(20)
    assert fired(scenario) == [("threshold", 100)]
    assert fired(after(scenario, hours=4)) == []
    assert fired(after(scenario, hours=1.2)) == [("recovered", 100)]
    scenario.spend(90)
    assert fired(after(scenario, minutes=20)) == [("threshold", 80)]


def test_the_window_covers_its_length_and_nothing_more() -> None:
    for rule, inside, outside in ((FIVE_HOURS, 4.9, 5.2), (SEVEN_DAYS, 167.9, 168.2)):
        for ago, wanted in ((inside, Decimal(50)), (outside, Decimal(0))):
            scenario = Scenario(budget(period=rule), at=NOON)
            scenario.spend(50, at=NOON - timedelta(hours=ago))
            (status,) = scenario.evaluate().statuses
            assert status.spent == wanted, (rule, ago)


def test_over_midnight_and_over_a_change_of_price_each_day_has_its_own_price() -> None:
    prices = """
    [[price]]
    provider = "acme"
    model = "plain"
    input = "1"
    per = 1_000_000
    currency = "USD"
    [[price]]
    provider = "acme"
    model = "plain"
    input = "2"
    per = 1_000_000
    currency = "USD"
    from = 2026-11-18
    """
    scenario = Scenario(budget(period=FIVE_HOURS), at=datetime(2026, 11, 18, 2, tzinfo=UTC), prices=prices)
    scenario.spend(10, at=datetime(2026, 11, 17, 23, tzinfo=UTC))
    scenario.spend(10, at=datetime(2026, 11, 18, 1, tzinfo=UTC))
    (status,) = scenario.evaluate().statuses
    assert status.spent == Decimal(30)


def test_a_message_says_the_window_and_when_it_frees() -> None:
    scenario = world(FIVE_HOURS)
    after(scenario, minutes=10).spend(60)
    after(scenario, hours=2).spend(50)
    (alert,) = [one for one in scenario.tick() if one.event.level == 100]
    message = compose([alert.event], scenario.now)
    text = "\n".join(map(text_of, (message.headline, *message.body)))
    assert "the last 5 hours" in text
    assert "Frees: at 17:15" in text
    assert "November" not in text
    assert alert.event.frees_at == NOON + timedelta(hours=5, minutes=15)
    (status,) = scenario.evaluate().statuses
    assert (status.status, status.frees_at) == ("over", alert.event.frees_at)
    assert status.name == "agents//rolling-18000s"


def test_an_alert_of_a_window_stays_open_until_the_window_frees() -> None:
    scenario = world(FIVE_HOURS)
    after(scenario, minutes=10).spend(110)
    scenario.tick()
    after(scenario, minutes=20).tick()
    assert [life.state for _, life in LIFECYCLES.items(scenario.state)] == ["firing"]
    after(scenario, hours=5).tick()
    after(scenario, minutes=1).tick()
    assert [life.state for _, life in LIFECYCLES.items(scenario.state)] == ["resolved"]


def test_several_windows_on_one_scope_are_apart() -> None:
    scenario = Scenario(
        budget("short", "10 USD", period=FIVE_HOURS), budget("week", "50 USD", period=SEVEN_DAYS), budget("month"),
        at=NOON,
    )  # fmt: skip
    for day in range(6):
        scenario.spend(9, at=NOON - timedelta(days=day, minutes=5))
    spent = {status.budget.name: (status.spent, status.status) for status in scenario.evaluate().statuses}
    assert spent["short"] == (Decimal(9), "on_track")
    assert spent["week"] == (Decimal(54), "over")
    assert spent["month"][0] == Decimal(54)


def test_a_burn_rate_is_told_of_a_window() -> None:
    rule = ["burn_rate 3x over 1h and 5m"]
    scenario = Scenario(budget("agents", "100 USD", period=FIVE_HOURS, thresholds=rule), at=NOON)
    scenario.spend("0.01")
    scenario.tick()
    for minutes in (5, 10, 15, 20):
        scenario.spend(20, at=NOON + timedelta(minutes=minutes))
    alerts = [alert.event.basis for alert in after(scenario, minutes=21).tick()]
    assert "burn_rate" in alerts


def test_an_hour_starts_afresh_without_a_report_of_the_hour_before() -> None:
    scenario = world(PeriodRule("hour", UTC))
    after(scenario, minutes=10).spend(120)
    assert fired(scenario) == [("threshold", 100)]
    after(scenario, hours=1)
    assert [alert.event.kind for alert in scenario.tick()] == []
    (status,) = scenario.evaluate().statuses
    assert (status.spent, status.status) == (Decimal(0), "on_track")
    scenario.spend(120)
    assert fired(scenario) == [("threshold", 100)]


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Europe/Berlin"])
def test_an_hour_is_one_of_its_zone(zone: str) -> None:
    period = PeriodRule("hour", ZoneInfo(zone)).containing(NOON + timedelta(minutes=40))
    assert period.start.astimezone(ZoneInfo(zone)).minute == 0
    assert period.end - period.start == timedelta(hours=1)
    assert NOON + timedelta(minutes=40) in period


def test_a_window_of_which_a_source_is_late_does_not_say_that_it_has_recovered() -> None:
    scenario = world(FIVE_HOURS)
    after(scenario, minutes=10).spend(110)
    assert fired(scenario) == [("threshold", 100)]
    after(scenario, hours=6)
    assert [alert.event.kind for alert in scenario.tick(seen=False) if alert.event.kind == "recovered"] == []
