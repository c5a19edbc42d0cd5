"""Budgets of runs: scopes that come and go by the thousand. Few are evaluated one by one, none is missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from alertd.core.evaluation.budget_status import MANY_SCOPES
from alertd.core.periods import PeriodRule
from tests.scenario import Scenario, budget

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
MANY = MANY_SCOPES + 500


def runs(rule: PeriodRule, **more: object) -> Scenario:
    """A budget of runs with more of them than are evaluated one by one: small ones, that ended hours ago."""
    levels = ["actual 80%", "actual 100%"]
    scenario = Scenario(budget("runs", "5 USD", per=("session",), period=rule, thresholds=levels, **more), at=NOON)
    scenario.spend_each("0.10", NOON - timedelta(hours=3), [{"session": f"run-{number}"} for number in range(MANY)])
    scenario.tick()
    return scenario


RULES = {"day": PeriodRule("day", UTC), "rolling": PeriodRule("rolling", UTC, length=timedelta(hours=24))}


@pytest.mark.parametrize("rule", RULES)
def test_a_run_beyond_its_allowance_is_announced_among_thousands(rule: str) -> None:
    scenario = runs(RULES[rule])
    scenario.now += timedelta(minutes=5)
    scenario.spend(6, session="run-2100")
    scenario.spend(6, session="new")
    scopes = {alert.event.scope for alert in scenario.tick() if alert.event.level == 100}
    assert scopes == {(("session", "run-2100"),), (("session", "new"),)}


@pytest.mark.parametrize("rule", RULES)
def test_what_is_not_evaluated_one_by_one_is_counted(rule: str) -> None:
    statuses = runs(RULES[rule]).evaluate().statuses
    assert len(statuses) <= 300
    assert {status.others for status in statuses} == {MANY - len(statuses)}


def test_a_run_that_is_active_or_over_stays_one_of_those_evaluated() -> None:
    scenario = runs(RULES["day"])
    scenario.spend(6, at=NOON - timedelta(hours=11), session="over")
    scenario.spend("0.30", at=NOON - timedelta(minutes=10), session="active")
    spent = {dict(one.scope)["session"]: one.spent for one in scenario.evaluate().statuses}
    assert spent["over"] == Decimal(6)
    assert spent["active"] == Decimal("0.3")


def test_few_scopes_are_all_evaluated() -> None:
    scenario = Scenario(budget("runs", per=("session",)), at=NOON)
    for number in range(100):
        scenario.spend("0.01", session=f"run-{number}")
    statuses = scenario.evaluate().statuses
    assert (len(statuses), {one.others for one in statuses}) == (100, {0})
