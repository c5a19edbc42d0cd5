"""Something new on a scope (a model, key or region not used for 30 days): told once, and not in the first days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alertd.core.budgets import parse_threshold
from alertd.core.evaluation.state import LIFECYCLES
from alertd.core.messages import compose, text_of
from tests.scenario import PRICES, Scenario, budget

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)
BOTH = PRICES + PRICES.replace("plain", "image-9")
RULES = ["novel model above 5 USD", "novel key above 1 USD"]


def team(days: int = 20, **more: Any) -> Scenario:
    """A team that used one model by one key for some days, evaluated once."""
    scenario = Scenario(budget("web", thresholds=RULES, **more), at=NOON, prices=BOTH)
    for day in range(days, 0, -1):
        scenario.spend(3, at=NOON - timedelta(days=day), key="ci")
    scenario.tick()
    return scenario


def new(scenario: Scenario) -> list[str]:
    return [alert.event.reason.split(": ")[1] for alert in scenario.tick() if alert.event.basis == "novel"]


def test_a_new_model_is_told_once_it_costs_what_is_asked_for_and_only_once() -> None:
    scenario = team()
    scenario.spend(2, model="image-9", key="ci")
    assert new(scenario) == []
    scenario.spend(6, model="image-9", key="ci")
    assert new(scenario) == ["model image-9 had not been used for 30 days"]
    for _ in range(5):
        scenario.now += timedelta(hours=12)
        scenario.spend(6, model="image-9", key="ci")
        assert new(scenario) == []


def test_a_new_key_is_told_in_words() -> None:
    scenario = team()
    scenario.spend(2, key="stolen")
    (alert,) = [one for one in scenario.tick() if one.event.basis == "novel"]
    message = compose([alert.event], scenario.now)
    assert text_of(message.headline) == "web uses a new key: stolen, $2 so far"
    assert alert.event.severity == "warning"


def test_what_is_new_stays_open_and_is_reminded_of_until_it_is_no_longer_new() -> None:
    scenario = team(remind=timedelta(hours=4))
    scenario.spend(9, model="image-9", key="ci")
    scenario.tick()
    scenario.now += timedelta(minutes=5)
    scenario.tick()
    assert [life.state for _, life in LIFECYCLES.items(scenario.state)] == ["firing"]
    scenario.now += timedelta(hours=5)
    (again,) = scenario.tick()
    assert (again.event.repeat, again.event.severity) == ("reminder", "warning")
    assert "uses a new model: image-9, $9 so far" in text_of(compose([again.event], scenario.now).headline)
    scenario.now += timedelta(days=3)
    scenario.tick()
    ((_, life),) = LIFECYCLES.items(scenario.state)
    assert (life.state, life.history[-1].reason) == ("resolved", "in use for some days: no longer new")


def test_it_is_quiet_in_the_first_days_and_about_what_is_known() -> None:
    scenario = team(days=5)
    scenario.spend(50, model="image-9", key="other")
    assert new(scenario) == []
    scenario = team()
    scenario.spend(50, key="ci")
    assert new(scenario) == []


def test_what_was_last_used_more_than_thirty_days_ago_is_new_again() -> None:
    scenario = team()
    scenario.spend(9, model="image-9", key="ci", at=NOON - timedelta(days=40))
    scenario.spend(9, model="image-9", key="ci")
    assert new(scenario) == ["model image-9 had not been used for 30 days"]


@pytest.mark.parametrize("text", ["novel model above 5 USD", "novel key", "novel region above 100k tokens"])
def test_the_grammar_is_read_as_it_is_written(text: str) -> None:
    assert parse_threshold(text.replace("100k", "100,000")) == parse_threshold(str(parse_threshold(text)))
