"""What is announced once: a model without a price, what was crossed before the start; and how late a digest may be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from alertd.core.evaluation.state import EPISODES, RAISED, Episode, RaisedAmount, State
from alertd.core.evaluation.values import Policy
from alertd.core.ledger.columns import SeriesRow, UsageRow
from alertd.core.messages import compose, text_of
from alertd.loops.evaluate import forget
from tests.scenario import NOVEMBER, Scenario, budget


def first_summary(world: Scenario) -> str:
    (event,) = [alert.event for alert in world.tick() if alert.audience != "machines"]
    message = compose([event], world.now)
    return "\n".join(map(text_of, (message.headline, *message.body)))


def test_the_first_summary_lists_the_thresholds_crossed_before_and_counts_no_alert_that_nobody_got():
    world = Scenario(budget(amount="100 USD", thresholds=["actual 50%", "actual 80%", "actual 100%"]))
    world.spend(86)
    said = first_summary(world)
    assert "Crossed before this start: 50% and 80%. Listed here once; not sent again." in said
    assert "sent in this period" not in said


def test_the_first_summary_of_a_budget_on_track_says_that_nothing_was_crossed():
    world = Scenario(budget(amount="100 USD", thresholds=["actual 50%"]))
    world.spend(3)
    assert "No threshold was crossed before this start" in first_summary(world)


def unpriced(world: Scenario, meter: str, number: int) -> None:
    world.ledger.add_series([SeriesRow(number, "gateway", "acme", "inhouse-7b", meter, (), "", {})])
    world.ledger.apply([UsageRow(number, int(world.now.timestamp()) // 300 * 300, 300, 3_420)])


def test_a_model_without_a_price_is_one_alert_whatever_is_counted_of_it_and_whenever():
    world = Scenario(budget())
    world.spend(1)
    world.tick()
    unpriced(world, "input", 100)
    unpriced(world, "output", 101)
    told = [alert.event for alert in world.tick() if alert.event.kind == "unpriced"]
    assert [{item.meter for item in event.unpriced} for event in told] == [{"input", "output"}]
    world.pass_time(seconds=9)
    unpriced(world, "cached_input", 102)
    assert [alert.event.kind for alert in world.tick()] == []


@pytest.mark.parametrize(("hours", "digests"), [(0, 1), (19, 1), (20, 0), (21, 0)])
def test_a_digest_is_sent_up_to_twenty_hours_late_and_then_left_out(hours: int, digests: int):
    world = Scenario(budget(), at=NOVEMBER + timedelta(days=3))
    world.policy = Policy(digest="daily")
    world.spend(1)
    world.tick()
    world.told.clear()
    world.now = datetime(2026, 11, 5, 9, tzinfo=UTC) + timedelta(hours=hours)
    assert len([one for one in world.tick() if one.event.summary == "digest"]) == digests


def test_a_digest_that_was_due_before_the_first_start_is_not_made_up_for():
    world = Scenario(budget(), at=datetime(2026, 11, 5, 9, 30, tzinfo=UTC))
    world.policy = Policy(digest="daily")
    world.spend(1)
    assert [one.event.summary for one in world.tick()] == ["first_start"]
    for _ in range(12):
        world.now += timedelta(hours=1)
        assert world.tick() == []
    world.now = datetime(2026, 11, 6, 9, 0, tzinfo=UTC)
    assert [one.event.summary for one in world.tick()] == ["digest"]


@pytest.mark.parametrize(("days", "kept"), [(400, True), (401, False)])
def test_episodes_and_raised_amounts_are_forgotten_400_days_after_their_period_began(days: int, kept):
    now = NOVEMBER + timedelta(days=days)
    raised = RaisedAmount(budget().amount.value, "USD", "ana", NOVEMBER)
    changes = {
        **EPISODES.put(Episode(3), "research//2026-11-01/forecast 100%"),
        **RAISED.put(raised, "research/team=a/2026-11-01"),
    }
    state = State(changes).after(EPISODES.put(Episode(1), "research//2027-11-01/forecast 100%"))
    assert set(forget(state, now)) == (set() if kept else set(changes))
