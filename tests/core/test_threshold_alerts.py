"""What the alert of a threshold says of itself: severity, reason, dates and details, by its basis."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from alertd.core.billing.commitments import Certain, CertainLine
from alertd.core.budgets import Amount, parse_threshold
from alertd.core.evaluation.state import EPISODES, Episode, State, episode_key
from alertd.core.evaluation.threshold_alerts import alerts_of, repeated_event
from alertd.core.evaluation.values import Alert, BudgetStatus, Burn, Evidence
from alertd.core.events import ActionStep, BalanceReached, BurnRateReached, ForecastReached, details_of
from alertd.core.lazy import Deferred
from alertd.core.projection import DAY, Series, project
from alertd.core.projection.past import Unusual
from tests.scenario import NOVEMBER, budget

NOW = NOVEMBER + timedelta(days=10)
HOUR, FIVE = timedelta(hours=1), timedelta(minutes=5)
OUT = NOW + timedelta(days=3)


def status(*thresholds: str, spent: str = "100", **more) -> BudgetStatus:
    one = budget(thresholds=list(thresholds))
    period = one.period.containing(NOW)
    name = BudgetStatus.name_of(one.name, (), period)
    known = {"projection": None, "data_until": NOW, "complete_from": None, "seen_until": NOW, "name": name, **more}
    return BudgetStatus(one, (), period, one.amount, Decimal(spent), **known)


def certain(ahead: str, out=OUT) -> Certain:
    endpoint = CertainLine("acme/llama", "cloud", Decimal("3.25"), "hour", NOW, None, Decimal(0), Decimal(ahead))
    seats = CertainLine("", "seats", Decimal(10), "month", NOW, None, Decimal(10), Decimal(0))
    return Certain(Decimal(10), Decimal(ahead), (endpoint, seats), out)


def projected(total: float):
    start = NOVEMBER.replace(day=1)
    return project(Series(start, np.full(10, total / 30), DAY), start, start + timedelta(days=30))


def only(found: tuple[list[Alert], dict[str, object]]) -> Alert:
    (alert,) = found[0]
    return alert


def test_what_is_certain_is_said_as_certain_with_the_day_and_the_names_of_what_is_ahead():
    one = status("forecast 100%", certain=certain("450"), projection=projected(300))
    event = only(alerts_of(one, {}, State(), NOW, None)).event
    assert details_of(event, ForecastReached).certain
    assert (event.severity, event.exhausted_at, event.exhausted_low, event.probability_over) == (
        "warning",
        OUT,
        None,
        1,
    )
    assert event.reason == "forecast 100%: what is spent and committed (acme/llama) is 550.00"
    undated = replace(one, certain=certain("450", None))
    event = only(alerts_of(undated, {}, State(), NOW, None)).event
    assert (event.exhausted_at, event.probability_over) == (None, 1)


def test_a_forecast_that_is_not_certain_says_its_chance_and_its_own_dates():
    one = status("forecast 100%", projection=projected(900), idle=False)
    event = only(alerts_of(one, {}, State(), NOW, None)).event
    assert not details_of(event, ForecastReached).certain
    assert event.details is None
    assert event.exhausted_low is not None
    assert event.reason == "forecast 100%: the period's total exceeds it with a probability of over 99%"


@pytest.mark.parametrize("late", [None, NOW - timedelta(days=1)])
def test_what_was_crossed_while_nobody_looked_says_since_when(late):
    event = only(alerts_of(status("actual 80%", spent="450"), {}, State(), NOW, late)).event
    assert (event.found_late, event.found_late_since) == (("down", late) if late else ("", None))


@pytest.mark.parametrize(
    ("rule", "spent", "severity"),
    [("actual 80%", "450", "info"), ("actual 100%", "501", "critical"), ("forecast 100%", "100", "warning"),
     ("burn_rate 10x over 1h and 5m", "100", "critical")],
)  # fmt: skip
def test_an_alert_that_is_announced_again_is_as_grave_as_it_was(rule, spent, severity):
    one = replace(status(rule, spent=spent), status="on_track")
    event = repeated_event(one, parse_threshold(rule), "key", NOW, repeat="reminder", handle="abc123")
    assert (event.severity, event.repeat, event.handle, event.reason) == (
        severity, "reminder", "abc123", f"{rule} still fires")  # fmt: skip
    assert details_of(event, ActionStep) == ActionStep()


def test_a_runaway_has_its_figures_only_where_all_its_windows_were_seen():
    rule = "burn_rate 10x over 1h and 5m"
    both = {HOUR: Burn(HOUR, Decimal(40), 20.0), FIVE: Burn(FIVE, Decimal(10), 60.0)}
    more = {"projection": projected(300), "today": Unusual(100.0, 1.0, 9.0, 0.99)}
    event = only(alerts_of(status(rule, burns=both, **more), {}, State(), NOW, None)).event
    burn = details_of(event, BurnRateReached)
    assert (burn.window, burn.window_spent, burn.factor, burn.rate_window, burn.rising) == ("1h", 40, 20, "5m", True)
    assert event.exhausted_at == NOW + FIVE * 40, "400 USD are left, 10 go in five minutes"
    assert (event.exhausted_low, event.exhausted_high) == (None, None)
    assert event.reason == f"{rule}: every window is above it"
    again = repeated_event(status(rule, burns={HOUR: both[HOUR]}), parse_threshold(rule), "key", NOW)
    assert again.details is None


def test_a_credit_that_runs_low_says_what_is_left_and_against_which_level():
    event = only(alerts_of(status("balance 50 USD", balance=Decimal(40)), {}, State(), NOW, None)).event
    assert (details_of(event, BalanceReached), event.amount) == (BalanceReached(Decimal(40)), 50)
    assert event.reason == "balance 50 USD: 40 is left"


@pytest.mark.parametrize(
    ("pace", "gone"),
    [("10", NOW + timedelta(days=4)), ("0.000001", None), ("0.000000000001", None)],
    ids=["in four days", "in a hundred thousand years", "beyond any calendar"],
)
def test_a_credit_has_a_date_only_where_its_pace_leads_to_one(pace, gone):
    evidence = Deferred(lambda: Evidence(pace=Decimal(pace)))
    one = status("balance 50 USD", balance=Decimal(40), evidence=evidence)
    assert only(alerts_of(one, {}, State(), NOW, None)).event.exhausted_at == gone


def test_an_unusual_day_says_how_rare_it_is():
    day = Unusual(100.0, 1.0, 9.0, 0.99)
    event = only(alerts_of(status("anomaly p95", today=day), {}, State(), NOW, None)).event
    assert event.reason == "anomaly p95: fewer than one day in 100 is like today"


def test_only_forecasts_and_balances_say_that_they_have_recovered():
    for rule, recovers in (("forecast 100%", True), ("balance 50 USD", True), ("burn_rate 10x over 1h", False)):
        cleared = NOW - timedelta(hours=6)
        open_ = Episode(2, open=True, since=NOW - timedelta(days=1), clear_since=cleared)
        burns = {HOUR: Burn(HOUR, Decimal(1), 0.5)}
        one = status(rule, projection=projected(200), balance=Decimal(90), burns=burns)
        state = State(EPISODES.put(open_, episode_key(one.name, parse_threshold(rule))))
        alerts, changed = alerts_of(one, {}, state, NOW, None)
        assert [alert.event.kind for alert in alerts] == (["recovered"] if recovers else [])
        assert all((a.event.fired, a.event.since) == ("warning", open_.since) for a in alerts)
        assert changed, "the episode is over"


def test_a_source_that_went_silent_neither_begins_nor_ends_a_runaway():
    rule = "burn_rate 10x over 1h"
    hot, cold = ({HOUR: Burn(HOUR, Decimal(40), factor)} for factor in (20.0, 0.5))
    assert alerts_of(status(rule, burns=hot, silent=True), {}, State(), NOW, None) == ([], {})
    open_ = Episode(1, open=True, since=NOW - HOUR)
    one = status(rule, burns=cold, silent=True)
    state = State(EPISODES.put(open_, episode_key(one.name, parse_threshold(rule))))
    assert alerts_of(one, {}, state, NOW, None) == ([], {})


@pytest.mark.parametrize(
    ("amount", "spent", "reason"),
    [
        ("2000 USD", "1700", "spent 1,700.00 of 2,000 USD reached actual 80%"),
        ("2000000 tokens", "1700000.00", "spent 1,700,000 of 2,000,000 tokens reached actual 80%"),
    ],
)
def test_the_reason_of_a_level_is_to_the_cent_or_the_token(amount: str, spent: str, reason: str) -> None:
    one = replace(status("actual 80%", spent=spent), amount=Amount.parse(amount))
    assert only(alerts_of(one, {}, State(), NOW, None)).event.reason == reason
