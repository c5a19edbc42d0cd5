"""`alertd explain` is the daemon's record: for every threshold the figures, and the rule that held an alert back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alertd.core.budgets import parse_threshold
from alertd.core.counting.samples import Increment
from alertd.core.evaluation.state import (
    EPISODES,
    SILENCES,
    Episode,
    Silence,
    ThresholdRecord,
    decode_record,
    encode_record,
    episode_key,
)
from alertd.core.pricing.exchange_rates import Rates
from alertd.core.pricing.tariffs import exchange_of
from alertd.core.usage import Line
from alertd.loops.evaluate import Evaluate, EvaluationConfig
from alertd.ports import SourceRow
from alertd.web.answers import record_evaluation
from tests.fakes import StoppedClock
from tests.memory_store import MemoryStore
from tests.scenario import NOVEMBER, Scenario, budget


def explained(world: Scenario) -> dict[str, ThresholdRecord]:
    """The thresholds of the only budget, by their text, of one evaluation that is remembered."""
    facts, decisions = world.facts(), world.evaluate()
    (record,) = record_evaluation(facts, decisions)
    world.tick()
    return {one.threshold: one for one in record.thresholds}


def met(*thresholds: str, amount: str = "100 USD") -> Scenario:
    world = Scenario(budget("research", amount, thresholds=list(thresholds)), at=NOVEMBER + timedelta(days=9))
    for day in range(9):
        world.spend(1, at=NOVEMBER + timedelta(days=day, hours=12))
    world.tick()
    return world


def test_a_level_says_what_was_spent_and_that_it_is_announced_once():
    world = met("actual 80%")
    assert explained(world)["actual 80%"].firing is False
    world.spend(90)
    first = explained(world)["actual 80%"]
    assert (first.firing, first.because) == (True, "spent 99.00 USD against 80.00 USD")
    assert first.announced_at == world.now
    world.pass_time(minutes=5)
    again = explained(world)["actual 80%"]
    assert again.announced_at == first.announced_at
    assert again.held == ("already announced: once for this period and amount",)


def test_a_burn_rate_below_its_minimum_spend_says_so_with_both_figures():
    world = met("burn_rate 10x over 1h and 5m above 20 USD", amount="5 USD")
    world.spend("2.5", at=world.now - timedelta(minutes=5))
    one = explained(world)["burn_rate 10x over 1h and 5m above 20 USD"]
    assert one.firing is False
    assert one.held == ("minimum spend: 2.50 USD in 1h is below 20 USD",)
    assert "1h: 2.50 USD" in one.because


@pytest.mark.parametrize(
    ("known", "held"),
    [
        (3, "above usual: what is usual is known after a week of use"),
        (9, "above usual: 2.50 USD in 5m is not a quarter more than the dearest hour at this time of day, 2.00 USD"),
    ],
)
def test_a_burn_rate_that_is_not_above_usual_says_so(known, held):
    rule = "burn_rate 10x over 5m above usual"
    world = Scenario(budget("research", "90 USD", thresholds=[rule]), at=NOVEMBER + timedelta(days=9))
    for day in range(1, known + 1):
        world.spend("2", at=world.now - timedelta(days=day))
    world.spend("2.5", at=world.now - timedelta(minutes=5))
    one = explained(world)[rule]
    assert (one.firing, one.held) == (False, (held,))


def test_a_silence_is_named_by_whom_and_until_when():
    world = met("actual 80%")
    silence = Silence("s1", {"budget": ("research",)}, world.now + timedelta(hours=2), "load test", "ana")
    world.state = world.state.after(SILENCES.put(silence, silence.id))
    world.spend(90)
    one = explained(world)["actual 80%"]
    assert (one.firing, one.announced_at) == (True, None)
    assert one.held == ("silence: until 2026-11-10 02:00 UTC by ana: load test",)


def test_the_cooldown_after_an_episode_says_when_the_next_may_begin():
    world = met("burn_rate 10x over 1h and 5m above 1 USD")
    burn = "burn_rate 10x over 1h and 5m above 1 USD"
    began = world.now
    world.spend(20, at=began - timedelta(minutes=5))
    assert explained(world)[burn].announced_at == began
    world.pass_time(minutes=10)
    assert explained(world)[burn].held == ("already announced: once an episode",)
    episode = Episode(1, open=False, since=began)
    world.state = world.state.after(EPISODES.put(episode, episode_key("research//2026-11-01", parse_threshold(burn))))
    world.spend(20, at=world.now - timedelta(minutes=5))
    assert explained(world)[burn].held == (
        "cooldown: the last episode began at 2026-11-10 00:00 UTC, the next may begin at 2026-11-10 01:00 UTC",
    )


def test_a_forecast_that_is_passed_already_says_so():
    world = met("forecast 100%")
    world.spend(120)
    one = explained(world)["forecast 100%"]
    assert one.held == ("already passed: the actual threshold says it",)


def test_a_forecast_before_any_history_says_what_is_missing():
    world = Scenario(budget(thresholds=["forecast 100%"]), at=NOVEMBER)
    world.spend(3)
    world.pass_time(minutes=30)
    one = explained(world)["forecast 100%"]
    assert "no data" not in one.because, "there is spend"


async def test_the_daemon_records_each_evaluation_and_what_it_announced_in_it():
    store, clock = MemoryStore(), StoppedClock(NOVEMBER + timedelta(days=5))
    terms = EvaluationConfig(
        [budget("all", "10 tokens", thresholds=["actual 50%"])], Scenario().book, exchange_of(Rates()), {}
    )
    evaluation = Evaluate(store, clock, terms, lambda: None, record_evaluation)
    at = int(clock.now().timestamp()) - 300
    row = SourceRow("gateway", cursor="1", until=clock.now())
    assert await store.commit_counters(row, [Increment(Line("acme", "plain", "input"), {}, at, 300, 7)], {})
    await evaluation.tick()
    ((text, when),) = (await store.evaluation("all")).values()
    record = decode_record(text)
    assert when == clock.now() == record.at
    assert (record.answer["budget"], record.thresholds[0].firing) == ("all", True)
    assert record.thresholds[0].because == "spent 7 tokens against 5 tokens"
    assert encode_record(decode_record(text)) == text
    evaluation.terms = EvaluationConfig([], terms.book, terms.exchange, {})
    clock.move(minutes=5)
    await evaluation.tick()
    assert await store.evaluation("all") == {record.name: (text, when)}, "nothing is recorded where there is no budget"
