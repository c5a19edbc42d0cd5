"""Sources of different freshness beside one another: what is certain is announced at once, nothing false is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertd.core.charts.budget_chart import spent_curve
from alertd.core.evaluation.evaluate import evaluate
from alertd.core.evaluation.thresholds import STATUSES
from alertd.core.evaluation.values import BudgetStatus, SourceView
from alertd.core.messages import compose
from alertd.core.money import Money
from alertd.core.usage import Committed
from tests.scenario import Scenario, budget

NOW = datetime(2026, 11, 16, 10, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 16, tzinfo=UTC)
BURN = ["actual 80%", "actual 100%", "forecast 100%", "burn_rate 10x over 1h and 5m above 20 USD"]


def mixed(*, amount: str = "3000 USD", bill_until: datetime = MIDNIGHT, **stale: timedelta) -> Scenario:
    """A live gateway, and a bill of 10 USD a day that ends some time ago."""
    world = Scenario(budget("company", amount, thresholds=BURN), at=NOW)
    day = datetime(2026, 11, 1, tzinfo=UTC)
    while day < bill_until:
        world.spend(10, at=day, source="bill")
        day += timedelta(days=1)
    for hours in range(14 * 24):
        world.spend("0.5", at=NOW - timedelta(hours=hours + 1), key="app")
    world.sources = {
        "gateway": SourceView("gateway", NOW, stale.get("gateway", timedelta(minutes=15))),
        "bill": SourceView("bill", bill_until, stale.get("bill", timedelta(days=3))),
    }
    world.tick(seen=False)
    return world


def position_of(world: Scenario) -> BudgetStatus:
    (found,) = world.evaluate().statuses
    return found


@pytest.mark.parametrize(("hours", "pace"), [(0, "28"), (-1, "10"), (6, "28")])
def test_a_day_that_a_bill_has_seen_to_its_midnight_is_a_whole_one(hours: int, pace: str) -> None:
    until = MIDNIGHT + timedelta(hours=hours)
    world = Scenario(budget("company", "3000 USD"), at=NOW)
    for day in range(9, 16):
        world.bill(136 if day == 15 else 10, datetime(2026, 11, day, tzinfo=UTC))
    world.bill(10, datetime(2026, 11, 8, tzinfo=UTC))
    world.sources = {"gateway": SourceView("gateway", until, timedelta(days=3)),
                     "bill": SourceView("bill", until, timedelta(days=3))}  # fmt: skip
    assert position_of(world).pace == Decimal(pace)


def test_a_runaway_beside_a_bill_that_is_late_fires_and_names_the_late_bill():
    world = mixed()
    assert position_of(world).status == "on_track"
    world.spend(60, at=NOW - timedelta(minutes=6), key="labs-ci")
    world.spend(67, at=NOW - timedelta(minutes=3), key="labs-ci")
    (alert,) = [alert for alert in world.tick() if alert.event.basis == "burn_rate"]
    message = compose([alert.event], world.now)
    assert (alert.event.status, alert.event.flags) == ("runaway", ("runaway", "late"))
    assert "labs-ci is burning" in message.subject
    assert "bill to" in "".join(span.text for span in message.footer)


def test_a_chart_of_mixed_sources_has_no_cliff_where_the_late_one_ends():
    world = mixed()
    world.spend(100, at=NOW - timedelta(minutes=6))
    curve = spent_curve(position_of(world))
    assert curve[-1][0] == NOW
    assert len({at for at, _ in curve}) == len(curve)


def test_what_was_seen_over_the_amount_is_over_whatever_is_silent():
    world = mixed(amount="300 USD", bill_until=NOW - timedelta(days=5), bill=timedelta(hours=1))
    world.spend(100)
    assert ("actual", Decimal(100)) in {(a.event.basis, a.event.level) for a in world.tick()}
    found = position_of(world)
    assert (found.status, found.flags[-1]) == ("over", "late")
    assert found.stale_sources == ("bill",)


@pytest.mark.parametrize(("amount", "status"), [("100000 USD", "on_track"), ("12000 USD", "unknown")])
def test_a_silent_source_makes_a_budget_unknown_only_where_it_could_reach_the_next_threshold(amount: str, status: str):
    world = Scenario(budget(amount=amount, thresholds=["actual 100%"]), at=NOW)
    for hours in range(10 * 24):
        world.spend(1, at=NOW - timedelta(hours=hours + 1), source="other")
    world.spend(1000, at=NOW - timedelta(days=3))
    world.spend("0.01", at=NOW - timedelta(hours=14))
    world.sources = {
        "gateway": SourceView("gateway", NOW - timedelta(hours=12), timedelta(minutes=15)),
        "other": SourceView("other", NOW, timedelta(minutes=15)),
    }
    found = position_of(world)
    assert found.unseen == 12_000
    assert found.status == status


def test_a_commitment_over_the_amount_fires_at_the_first_evaluation_and_names_what_to_stop():
    world = Scenario(budget(amount="100 USD", thresholds=["forecast 100%"]), at=NOW)
    hourly = Money(Decimal("3.40"), "USD")
    endpoint = Committed("together", NOW, None, hourly, name="acme/llama", per="hour", counted=True)
    facts = world.facts()
    decisions = evaluate(replace(facts, context=replace(facts.context, commitments=[("gateway", endpoint)])))
    (found,) = decisions.statuses
    (event,) = [alert.event for alert in decisions.alerts if alert.event.basis == "forecast"]
    assert found.status == "at_risk"
    assert "will go over unless acme/llama is stopped" in compose([event], NOW).subject
    assert any("acme/llama" in span.text for span in compose([event], NOW).headline)
    assert event.exhausted_at is not None
    assert NOW < event.exhausted_at < NOW + timedelta(days=2)


@pytest.mark.parametrize("hours", [1, 2, 5, 12, 24, 48, 70])
def test_a_steady_first_day_has_a_wide_range_that_holds_the_truth(hours: int):
    world = Scenario(budget(), at=NOW)
    for hour in range(hours):
        world.spend(1, at=NOW - timedelta(hours=hour + 1))
    begun = NOW - timedelta(hours=hours)
    world.sources = {"gateway": SourceView("gateway", NOW, timedelta(minutes=15), complete_from=begun)}
    found = position_of(world)
    assert found.projection is not None
    assert "rough" in found.flags
    truth = hours + (found.period.end - NOW).total_seconds() / 3600
    assert found.projection.quantile(0.1) < truth < found.projection.quantile(0.9)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["gateway", "other", "daily"]), st.integers(0, 15 * 24), st.integers(1, 90)),
             min_size=1, max_size=25),
    st.fixed_dictionaries({"gateway": st.integers(0, 30), "other": st.integers(0, 60), "daily": st.integers(0, 90)}),
)  # fmt: skip
def test_whatever_is_late_what_is_certain_is_announced_and_nothing_false(spends, hours_late):
    world = Scenario(budget("all", "500 USD", thresholds=["actual 50%", "actual 100%", "forecast 100%"]), at=NOW)
    world.tick()
    untils = {name: NOW - timedelta(hours=late) for name, late in hours_late.items()}
    shown = Decimal(0)
    for source, ago, dollars in spends:
        at = NOW - timedelta(hours=ago, minutes=10)
        if at < untils[source]:
            world.spend(dollars, at=at, source=source)
            shown += dollars
    world.sources = {name: SourceView(name, at, timedelta(hours=2)) for name, at in untils.items()}
    alerts = world.tick(seen=False)
    found = position_of(world)
    assert found.status in STATUSES
    assert found.spent == shown
    assert (found.status == "over") == (shown >= 500)
    levels = {level for alert in alerts for level in alert.event.levels if alert.event.basis == "actual"}
    assert levels == {level for level in (50, 100) if shown >= 5 * level}
    for alert in alerts:
        if alert.event.exhausted_at is not None and shown < 500:
            assert alert.event.exhausted_at >= (found.seen_until or NOW)
