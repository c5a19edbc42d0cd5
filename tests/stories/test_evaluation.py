"""Stories of the evaluation on a stopped clock: what is said, once, and what is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertd.core.budgets import Amount, Override, parse_threshold
from alertd.core.evaluation.state import Episode
from alertd.core.evaluation.thresholds import advance
from alertd.core.evaluation.values import SourceView
from alertd.core.events import TopContributor
from alertd.core.messages import compose, text_of
from alertd.core.money import Money
from alertd.core.pricing.source_roles import SourceRole
from tests.scenario import NOVEMBER, Scenario, budget, said

LEVELS = ["actual 50%", "actual 80%", "actual 95%", "actual 100%"]


def met(*budgets, **more) -> Scenario:
    """A world whose budgets the evaluation has seen once, with a cent of spend."""
    world = Scenario(*budgets, **more)
    world.spend("0.01")
    world.tick()
    return world


def test_a_level_is_announced_once_and_never_hides_the_next():
    world = met(budget(thresholds=LEVELS))
    world.spend(430)
    assert [alert.event.levels for alert in world.tick()] == [(Decimal(50), Decimal(80))]
    assert world.tick() == []
    world.spend(50)
    assert [alert.event.level for alert in world.tick()] == [Decimal(95)]
    world.spend(30)
    (alert,) = world.tick()
    assert (alert.event.level, alert.event.severity) == (Decimal(100), "critical")


def test_several_levels_passed_at_once_are_one_message_of_the_highest_with_all_their_keys():
    world = met(budget(thresholds=LEVELS))
    world.spend(499)
    (alert,) = world.tick()
    assert alert.event.level == 95
    assert [key.rsplit("/", 2)[-2] for key in alert.keys] == ["50", "80", "95"]


def test_a_late_correction_never_unsays_a_level_and_it_is_not_said_again_on_the_way_up():
    world = met(budget(thresholds=LEVELS))
    world.spend(410)
    assert len(world.tick()) == 1
    world.spend(-200)
    assert world.tick() == []
    world.spend(200)
    assert world.tick() == []


def test_a_new_period_starts_afresh():
    world = met(budget(thresholds=LEVELS))
    world.spend(260)
    assert said(world.tick()) == [("threshold", "research", "actual 50%")]
    world.now = datetime(2026, 12, 2, tzinfo=UTC)
    world.tick()
    world.spend(260)
    assert said(world.tick()) == [("threshold", "research", "actual 50%")]


def test_a_raised_amount_re_arms_the_levels():
    world = met(budget(thresholds=LEVELS))
    world.spend(450)
    world.tick()
    world.budgets = (budget(thresholds=LEVELS, amount="900 USD"),)
    assert [alert.event.level for alert in world.tick()] == [50]
    assert world.tick() == []


def test_a_first_start_in_mid_month_is_one_summary_for_people_and_every_event_for_machines():
    world = Scenario(budget(thresholds=LEVELS), at=datetime(2026, 11, 20, tzinfo=UTC))
    world.spend(430, at=NOVEMBER + timedelta(days=3))
    alerts = world.tick()
    assert [(a.event.kind, a.audience) for a in alerts] == [("threshold", "machines"), ("summary", "people")]
    assert alerts[1].event.levels == (Decimal(50), Decimal(80))
    assert alerts[1].event.summary == "first_start"
    assert world.tick() == []


def test_a_source_that_fails_from_the_first_start_on_keeps_nobody_elses_budget_from_being_judged():
    world = Scenario(budget())
    world.sources["bill"] = SourceView(
        "bill", None, timedelta(hours=9), error="it answers 401", failing_since=world.now
    )
    world.catching_up = world.failing = frozenset({"bill"})
    world.spend(1)
    world.tick()
    world.pass_time(minutes=5)
    world.spend(600)
    assert ("threshold", "research", "actual 100%") in said(world.tick())


def test_where_nobody_looked_since_the_clock_was_set_forward_no_blindness_is_told():
    world = met(budget())
    asleep = replace(world.sources["gateway"], last_ok=world.now)
    world.pass_time(hours=2)
    for error, told in (("", []), ("it answers 503", [("source_stale", "", "")])):
        world.sources["gateway"] = replace(asleep, error=error)
        assert said(world.tick(seen=False)) == told


def test_a_source_is_blind_since_an_hour_that_people_read_on_their_own_clocks():
    world = met(budget())
    world.policy = replace(world.policy, zone=ZoneInfo("Europe/Berlin"))
    world.pass_time(minutes=20)
    (alert,) = world.tick(seen=False)
    message = compose([alert.event], world.now)
    assert message.subject == "No data from gateway since 01:00 (20 min)"
    after = "you get one message when it returns, with what was spent meanwhile"
    assert text_of(message.footer) == f"Data to Sun 1 Nov 01:00, Berlin (20 min old) · {after}"


def test_nothing_is_judged_while_a_source_is_catching_up():
    world = Scenario(budget(thresholds=LEVELS))
    world.catching_up = frozenset({"gateway"})
    world.spend(450)
    assert world.tick() == []
    world.pass_time(days=1)
    assert world.tick(seen=False) == [], "a source that is still being read is not blind"
    world.catching_up = frozenset()
    assert len(world.tick()) > 0


def test_what_was_crossed_while_alertd_was_down_is_said_once_on_its_return_and_as_such():
    world = met(budget(thresholds=LEVELS))
    world.pass_time(hours=9)
    world.spend(450, at=world.now - timedelta(hours=4))
    (alert,) = world.tick()
    assert alert.event.found_late == "down"
    assert world.tick() == []


def test_one_budget_for_every_team_is_distinguished_and_usage_without_a_team_is_a_scope_of_its_own():
    world = met(budget(per=("team",), thresholds=["actual 80%"]))
    world.spend(450, team="a")
    world.spend(100, team="b")
    world.spend(500)
    assert said(world.tick()) == [
        ("threshold", "research", "", "actual 80%"),
        ("threshold", "research", "a", "actual 80%"),
    ]


def test_a_table_row_gives_a_scope_its_own_amount_and_thresholds():
    row = Override(amount=Amount(Decimal(100), "USD"), thresholds=budget(thresholds=["actual 50%"]).thresholds)
    world = met(budget(per=("team",), thresholds=["actual 80%"], table={("a",): row}))
    world.spend(60, team="a")
    world.spend(60, team="b")
    assert said(world.tick()) == [("threshold", "research", "a", "actual 50%")]


def test_traffic_that_a_second_source_checks_is_counted_once():
    world = met(budget(thresholds=["actual 80%"]))
    world.standings = {"bill": SourceRole("check")}
    world.spend(300)
    world.spend(300, source="bill")
    assert world.tick() == []
    world.spend(110)
    (alert,) = world.tick()
    assert alert.event.spent == Decimal("410.01")


def test_tokens_are_budgeted_as_tokens():
    world = met(budget(amount="5M tokens", thresholds=["actual 80%"]))
    world.spend(4)  # four million tokens
    (alert,) = world.tick()
    assert (alert.event.currency, alert.event.amount) == ("tokens", Decimal(5_000_000))


def test_what_has_no_price_is_said_once_and_is_in_no_figure():
    world = met(budget())
    world.spend(400, model="mystery")
    (alert,) = world.tick()
    assert alert.event.kind == "unpriced"
    assert [item.model for item in alert.event.unpriced] == ["mystery"]
    assert alert.event.spent == Decimal("0.01")
    assert world.tick() == []


def test_where_nothing_has_a_price_nothing_is_projected():
    world = met(budget("labs", where={"team": "labs"}), budget("all"))
    for _ in range(5):
        world.spend(400, model="mystery", team="labs")
        world.spend(4, team="web")
        world.now += timedelta(days=1)
        world.tick()
    labs, both = world.evaluate().statuses
    assert (labs.spent, labs.projection, labs.status) == (0, None, "no_forecast")
    assert both.projection is not None


def test_a_budget_that_matches_nothing_is_said_with_the_nearest_label():
    world = met(budget(where={"team": "reserch"}), budget("all"))
    world.spend(1, team="research")
    world.tick()
    assert "unmatched" not in {alert.event.kind for alert in world.alerts}, "what is not used yet may come at any time"
    world.now += timedelta(hours=1)
    world.tick()
    (alert,) = [alert for alert in world.alerts if alert.event.kind == "unmatched"]
    assert alert.event.budget == "research"
    assert world.tick() == []


def test_spend_that_no_budget_covers_is_said_once_a_month():
    world = Scenario(budget(where={"team": "a"}))
    world.spend(1, team="a")
    world.tick()
    world.spend(7, team="b")
    (alert,) = world.tick()
    assert alert.event.details.uncovered == {"USD": Decimal(7)}
    assert world.tick() == []


def test_a_blind_source_is_said_once_pauses_forecasts_and_is_said_again_when_it_is_back():
    world = met(budget(thresholds=["actual 80%", "forecast 100%"]))
    for _ in range(10):
        world.pass_time(days=1)
        world.spend(40)
        world.tick()
    world.pass_time(minutes=30)
    assert said(world.tick(seen=False)) == [("source_stale", "", "")]
    world.pass_time(minutes=30)
    assert world.tick(seen=False) == []
    alerts = world.tick()
    assert [a.event.kind for a in alerts if a.event.kind == "recovered"] == ["recovered"]


def test_the_blind_alert_names_the_budget_nearest_its_limit():
    world = met(budget("small", "10 USD"), budget("large", "1000 USD"))
    world.spend(7)
    world.tick()
    world.pass_time(hours=2)
    (alert,) = world.tick(seen=False)
    assert alert.event.details.nearest.budget == "small"
    assert alert.event.details.budgets == 2


def test_a_forecast_fires_once_an_episode_and_says_so_once_when_it_has_recovered():
    world = met(budget(thresholds=["forecast 100%"]))
    for _ in range(9):
        world.pass_time(days=1)
        world.spend(40)
        world.tick()
    fired = [alert for alert in world.alerts if alert.event.basis == "forecast"]
    assert [alert.event.kind for alert in fired] == ["threshold"]
    assert fired[0].event.exhausted_at is not None
    for _ in range(20):
        world.pass_time(days=1)
        world.tick()
    told = [alert.event.kind for alert in world.alerts if alert.event.basis == "forecast"]
    assert told == ["threshold", "recovered"]


def test_a_runaway_is_caught_within_minutes_and_names_the_key():
    world = met(budget(thresholds=["burn_rate 10x over 1h and 5m above 20 USD"]))
    for _ in range(5):
        world.pass_time(days=1)
        world.spend(1, key="ci")
        world.spend(1, key="indexer")
        world.tick()
    for _ in range(3):
        world.pass_time(minutes=5)
        world.spend(12, at=world.now - timedelta(seconds=1), key="indexer")
        if alerts := world.tick():
            break
    (alert,) = alerts
    assert (alert.event.basis, alert.event.severity) == ("burn_rate", "critical")
    assert alert.event.details.top_contributor == TopContributor("key", "indexer", Decimal(25), pytest.approx(25 / 26))


def test_a_level_that_is_passed_while_a_key_runs_away_is_not_on_pace():
    """The projection does not expect it to go on; whoever reads "no action needed" would go back to sleep."""
    world = met(budget(thresholds=["actual 50%", "burn_rate 10x over 1h and 5m above 20 USD"]))
    for _ in range(10):
        world.pass_time(days=1)
        world.spend(20, key="indexer")
        world.tick()
    for _ in range(3):
        world.pass_time(minutes=5)
        world.spend(25, at=world.now - timedelta(seconds=1), key="indexer")
        world.tick()
    told = {alert.event.basis: alert.event for alert in world.alerts if alert.event.kind == "threshold"}
    assert (told["burn_rate"].severity, told["actual"].severity) == ("critical", "warning")
    words = "\n".join(map(text_of, compose([told["actual"]], world.now).body))
    assert "A key is running away now" in words


def test_a_burn_rates_hour_counts_nothing_that_was_spent_before_it():
    rule = "burn_rate 10x over 1h"
    world = met(budget(amount="720 USD", thresholds=[rule]))
    begin = NOVEMBER + timedelta(days=3, hours=11)
    world.spend(200, at=begin + timedelta(minutes=1))  # in the bucket that ends at five past
    world.now = begin + timedelta(hours=1, minutes=2)
    world.spend(1, at=world.now - timedelta(seconds=1))
    assert world.tick() == []
    world.spend(9, at=world.now - timedelta(seconds=1))
    assert said(world.tick()) == [("threshold", "research", rule)]


def test_a_burn_below_its_floor_wakes_nobody():
    world = met(budget(amount="10 USD", thresholds=["burn_rate 10x over 1h and 5m above 20 USD"]))
    world.pass_time(minutes=5)
    world.spend(9, at=world.now - timedelta(seconds=1))
    assert world.tick() == []


@pytest.mark.parametrize(
    ("hour", "spent", "fires"),
    [
        pytest.param(3, 4, True, id="at night, when nobody works"),
        pytest.param(11, 4, False, id="less than the hours at which people work"),
        pytest.param(8, 2.4, False, id="two hours before people begin"),
        pytest.param(7, 2.4, True, id="three hours before people begin"),
        pytest.param(11, 26, True, id="more than a quarter above their dearest hour"),
        pytest.param(3, 0.01, False, id="at night, but below the factor"),
    ],
)
def test_above_usual_compares_with_the_dearest_hour_at_the_same_time_of_day(hour, spent, fires):
    rule = "burn_rate 30x over 5m above usual"
    world = met(budget(thresholds=[rule]))
    for day in range(10):
        for at in range(10, 17):
            world.spend(2 if at != 12 else 20, at=NOVEMBER + timedelta(days=day, hours=at))
    world.now = NOVEMBER + timedelta(days=10, hours=hour)
    world.spend(spent, at=world.now - timedelta(seconds=1))
    assert said(world.tick()) == [("threshold", "research", rule)] * fires


def test_a_burst_that_is_over_is_no_runaway():
    """It burns over the hour and not over the last five minutes: there is nothing left to stop."""
    world = met(budget(thresholds=["burn_rate 10x over 1h and 5m above 20 USD"]))
    world.pass_time(days=3)
    world.spend(100, at=world.now - timedelta(minutes=40))
    assert world.tick() == []
    world.spend(30, at=world.now - timedelta(seconds=1))
    assert said(world.tick()) == [("threshold", "research", "burn_rate 10x over 1h and 5m above 20 USD")]


@pytest.mark.parametrize(
    ("written", "settles", "gap"),
    [
        pytest.param("forecast 100% p90", timedelta(hours=6), timedelta(hours=24), id="a forecast"),
        pytest.param("burn_rate 10x over 1h and 5m", timedelta(0), timedelta(hours=1), id="a burn rate"),
    ],
)
def test_an_episode_ends_when_it_stayed_clear_and_the_next_begins_after_the_gap(written, settles, gap):
    threshold, soon = parse_threshold(written), timedelta(minutes=1)

    def look(standing, after, *, crossed):
        return advance(standing, threshold, crossed=crossed, now=NOVEMBER + after)

    standing, word = look(Episode(), timedelta(0), crossed=True)
    assert word == "fired"
    if settles:
        standing, word = look(standing, soon, crossed=False)
        assert (standing.open, word) == (True, "")
    standing, word = look(standing, soon + settles, crossed=False)
    assert (standing.open, word) == (False, "recovered")
    standing, word = look(standing, gap - soon, crossed=True)
    assert (standing.open, word) == (False, "")
    standing, word = look(standing, gap, crossed=True)
    assert (standing.number, word) == (2, "fired")


def test_one_look_above_begins_the_wait_for_the_end_anew():
    threshold, standing = parse_threshold("forecast 100% p90"), Episode()
    looks = [(0, True), (1, False), (5, True), (6, False), (11, False)]
    for hours, stood in looks:
        standing, word = advance(standing, threshold, crossed=stood, now=NOVEMBER + timedelta(hours=hours))
        assert word == ("fired" if hours == 0 else "")
    assert advance(standing, threshold, crossed=False, now=NOVEMBER + timedelta(hours=12))[1] == "recovered"


def test_an_unusual_day_is_told_once_with_what_is_usual():
    world = met(budget(thresholds=["anomaly p99"], amount="10000 USD"))
    for _ in range(14):
        world.pass_time(days=1)
        world.spend(10, key="ci")
        world.tick()
    world.pass_time(hours=3)
    world.spend(90, key="ci")
    world.pass_time(minutes=5)
    (alert,) = world.tick()
    assert (alert.event.basis, alert.event.severity) == ("anomaly", "warning")
    assert alert.event.details.usual_high < 40 < alert.event.details.window_spent
    world.pass_time(hours=1)
    assert world.tick() == []


def test_what_was_projected_is_said_beside_what_came_when_the_period_closes():
    world = met(budget(thresholds=["actual 100%"]))
    for day in range(1, 31):
        world.now = NOVEMBER + timedelta(days=day, hours=12)
        world.spend(5)
        world.tick()
    (closed,) = [alert.event for alert in world.alerts if alert.event.summary == "period_closed"]
    assert closed.spent == Decimal("145.01")
    assert sorted(map(int, closed.details.projections)) == [3, 7, 14, 21]


def test_a_credit_that_runs_low_is_told_once_with_when_it_is_gone_and_again_when_it_was_topped_up():
    world = met(budget(thresholds=["balance 50 USD"]))
    world.balances = {"gateway": Money(Decimal(200), "USD")}
    for _ in range(8):
        world.pass_time(days=1)
        world.spend(20)
        world.tick()
    world.balances = {"gateway": Money(Decimal(40), "USD")}
    (alert,) = world.tick()
    assert (alert.event.basis, alert.event.details.balance) == ("balance", Decimal(40))
    ends = (alert.event.exhausted_low, alert.event.exhausted_at, alert.event.exhausted_high)
    assert [end.day for end in ends] == [10, 11, 19]
    assert timedelta(days=1) < ends[1] - world.now < timedelta(days=4), "at this pace"
    assert world.tick() == []
    world.balances = {"gateway": Money(Decimal(240), "USD")}
    assert [alert.event.kind for alert in world.tick()] == ["recovered"]


def test_an_estimate_that_drifts_from_the_bill_is_told_once_a_month_with_both_sides():
    world = met(budget())
    world.standings = {"bill": SourceRole("check")}
    world.sources["bill"] = SourceView("bill", world.now, timedelta(days=3))
    for _ in range(9):
        world.pass_time(days=1)
        world.spend(10, at=world.now - timedelta(hours=12))
        world.bill(12, at=world.now - timedelta(hours=12))
        world.sources["bill"] = SourceView("bill", world.now, timedelta(days=3))
        world.tick()
    (alert,) = [alert for alert in world.alerts if alert.event.summary == "drift"]
    assert alert.event.details.provider == "acme"
    assert alert.event.details.estimated < alert.event.details.billed
    assert alert.event.spent is None


def test_a_closed_period_is_summed_up_once():
    world = met(budget())
    world.spend(120)
    world.tick()
    world.now = datetime(2026, 12, 1, 1, tzinfo=UTC)
    closings = [a for a in world.tick() if a.event.summary == "period_closed"]
    assert [alert.event.spent for alert in closings] == [Decimal("120.01")]
    assert world.tick() == []


def test_a_crossing_found_by_late_data_in_a_closed_period_is_said_as_such():
    world = met(budget(thresholds=["actual 100%"]))
    world.now = datetime(2026, 12, 1, 6, tzinfo=UTC)
    world.tick()
    world.spend(600, at=datetime(2026, 11, 30, 12, tzinfo=UTC))
    (alert,) = world.tick()
    assert alert.event.found_late == "correction"
    assert alert.event.period_start == NOVEMBER


@pytest.mark.parametrize("spent", [0, 399.99, 400, 499.99, 500, 501])
def test_a_level_stands_from_the_very_cent(spent):
    world = Scenario(budget(thresholds=["actual 80%", "actual 100%"]))
    world.tick()
    world.spend(spent)
    reached = {level for alert in world.tick() for level in alert.event.levels}
    assert reached == {Decimal(level) for level in (80, 100) if spent >= level * 5}


steps = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from(["a", "b"]), st.integers(1, 30), st.booleans()), max_size=12
)


@settings(max_examples=30, deadline=None)
@given(steps)
def test_a_restart_at_any_step_changes_no_message(moves):
    """An evaluation that begins with what is stored announces what one that never stopped announces."""

    def play(*, restarts: bool) -> list[tuple[str, ...]]:
        world = Scenario(
            budget(per=("team",), thresholds=["actual 50%", "actual 100%", "forecast 100%"], amount="50 USD")
        )
        for dollars, team, hours, restart in moves:
            world.spend(dollars, team=team)
            world.tick()
            if restart and restarts:
                asleep = world
                world = Scenario(*asleep.budgets, at=asleep.now)
                world.ledger, world.told, world.state = asleep.ledger, asleep.told, asleep.state
                world.alerts, world._series = asleep.alerts, asleep._series
            world.pass_time(hours=hours)
        return [alert.keys for alert in world.alerts]

    assert play(restarts=True) == play(restarts=False)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 200), max_size=15))
def test_no_key_is_told_twice_and_every_level_passed_is_told(amounts):
    world = met(budget(thresholds=LEVELS))
    for dollars in amounts:
        world.spend(dollars)
        world.tick()
        world.pass_time(minutes=10)
    keys = [key for alert in world.alerts for key in alert.keys]
    assert len(keys) == len(set(keys))
    passed = {level for level in (50, 80, 95, 100) if sum(amounts) + 0.01 >= level * 5}
    assert {level for a in world.alerts if a.event.kind == "threshold" for level in a.event.levels} == passed


FREE_MILLION = """
[[price]]
provider = "acme"
model = "plain"
input = "1"
per = 1_000_000
currency = "USD"

[[rule]]
provider = "acme"
name = "free-million"
sentence = "The first million is free."
free = { quantity = 1_000_000 }
"""


def test_a_free_tier_is_projected_by_its_rule_and_not_by_scaling_money():
    """150,000 tokens a day are free until the seventh day; scaled money would be 0, and is 3.50 by the rule."""
    # With a `p`: without one a forecast waits for a chance of 80% in the first week.
    world = Scenario(budget(amount="3 USD", thresholds=["forecast 100% p50"]), prices=FREE_MILLION)
    for _ in range(6):
        world.spend("0.15")
        world.pass_time(days=1)
        world.tick()
    (position,) = world.evaluate().statuses
    assert position.spent == 0
    assert 3.0 < position.projection.quantile(0.5) < 4.0
    assert [alert.event.basis for alert in world.alerts if alert.event.kind == "threshold"] == ["forecast"]


@pytest.mark.parametrize(("days", "announced"), [(6, []), (20, ["forecast"])])
def test_in_the_first_week_of_use_a_forecast_waits_for_a_chance_of_80_percent(days: int, announced: list[str]) -> None:
    """Of the same six days of November; the status says it either way."""
    world = Scenario(budget(amount="280 USD", thresholds=["forecast 100%"]), at=NOVEMBER - timedelta(days=days - 6))
    for number in range(days):
        world.pass_time(hours=12)
        world.spend(15 if number % 3 else 5)
        world.pass_time(hours=12)
        world.tick()
    (status,) = world.evaluate().statuses
    assert status.projection is not None
    assert 0.5 < status.projection.probability_over(280) < 0.8
    assert status.status == "at_risk"
    assert [alert.event.basis for alert in world.alerts if alert.event.kind == "threshold"] == announced


def test_a_budget_that_was_watched_from_its_first_cent_is_told_of_its_levels_and_not_summed_up():
    world = Scenario(budget(thresholds=["actual 80%"]))
    assert world.tick() == []
    world.spend(450)
    assert said(world.tick()) == [("threshold", "research", "actual 80%")]


def test_a_source_that_was_down_at_the_first_start_brings_one_summary_when_it_comes():
    world = Scenario(budget(thresholds=["actual 80%"]))
    world.sources["gateway"] = SourceView("gateway", None, timedelta(minutes=15), error="down", failing_since=world.now)
    world.tick(seen=False)
    world.spend(450)
    assert [alert.audience for alert in world.tick() if alert.event.kind == "threshold"] == ["machines"]
