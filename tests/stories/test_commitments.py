"""What is certain if nobody stops it is named wherever its budget is shown, at once, and over a restart."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from rich.console import Console

from alertd.commands import status
from alertd.commands._context import show_record
from alertd.core.evaluation.state import COMMITMENTS, State
from alertd.core.messages import compose, text_of
from alertd.core.money import Money
from alertd.core.pricing.exchange_rates import Rates
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.tariffs import exchange_of
from alertd.core.usage import Committed
from alertd.loops.evaluate import Evaluate, EvaluationConfig
from alertd.ports import Source, SourceRow
from alertd.sources._commitments import Commitments
from alertd.web.answers import record_evaluation
from alertd.web.budget_page import budget_page
from alertd.web.identity import Person
from alertd.web.parts import Reader
from tests.fakes import StoppedClock
from tests.memory_store import MemoryStore
from tests.scenario import NOVEMBER, Scenario, budget

START = NOVEMBER + timedelta(days=21, hours=18)
DAY = timedelta(days=1)


def endpoint(name: str = "acme/llama", per_hour: str = "3.25", currency: str = "USD", **labels: str) -> Committed:
    cost = Money(Decimal(per_hour), currency)
    return Committed("together", START, None, cost, labels=labels, counted=True, name=name, per="hour")


def committed(*found: Committed, amount: str = "300 USD", at: datetime = START, **more: object) -> Scenario:
    world = Scenario(budget("labs", amount, thresholds=["actual 80%", "actual 100%", "forecast 100%"], **more), at=at)
    world.commitments = [("together", one) for one in found]
    return world


def said(world: Scenario, alert: object) -> str:
    message = compose([alert.event], world.now)  # type: ignore[attr-defined]
    return "\n".join(text_of(line) for line in (message.headline, *message.body))


def test_the_first_evaluation_announces_it_with_its_name_its_rate_its_cost_and_the_minute_of_the_end() -> None:
    world = committed(endpoint(), amount="300 USD")
    (alert,) = (one for one in world.tick() if one.event.basis == "forecast")
    text = said(world, alert)
    assert "labs will go over unless acme/llama is stopped: $643.50 of $300 by 30 Nov" in text
    assert "It costs: $3.25 an hour" in text
    assert "Budget is used up: Thu 26 Nov 14:01" in text
    assert "a contract, not a forecast" in text
    assert alert.event.exhausted_at == START + timedelta(hours=92, minutes=1)
    assert "alertd raise labs 700" in text


def test_what_is_certain_is_in_every_message_about_its_budget_also_where_it_breaks_nothing() -> None:
    world = committed(endpoint(), endpoint("seats", "0.1"), amount="2000 USD")
    world.spend(1700)
    (alert,) = (one for one in world.tick() if one.event.basis == "actual")
    text = said(world, alert)
    assert "Certain until somebody stops it: acme/llama $643.50 more" in text
    assert "seats $19.80 more" in text


def test_page_api_status_and_explain_name_it() -> None:
    world = committed(endpoint(), replace(endpoint("job-7", "12"), per="", end=START + DAY), amount="300 USD")
    facts, decisions = world.facts(), world.evaluate()
    (record,) = record_evaluation(facts, decisions)
    assert [one["name"] for one in record.answer["commitments"]] == ["acme/llama", "job-7"]  # type: ignore[attr-defined]
    assert record.answer["certain"]["total"] == "655.5"  # type: ignore[index]
    page = str(budget_page(decisions.statuses[0], State(), (), Reader(Person("ana", "viewer"), world.now, UTC)))
    console = Console(file=io.StringIO(), width=200)
    status.show([record], 1, world.now, console)
    show_record(console, record)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    for text in (page, printed):
        assert "ertain if nobody stops it" in text
        assert "acme/llama" in text
        assert "job-7" in text
    assert "3.25 USD an hour" in printed
    assert "certain: spent and committed are 655.50 USD of 300.00 USD" in printed


def test_a_commitment_without_a_rate_of_exchange_is_said_and_in_no_figure() -> None:
    world = committed(endpoint("berlin", currency="EUR"), amount="300 USD")
    world.spend(290)
    (alert,) = (one for one in world.tick() if one.event.basis == "actual")
    assert "Committed in a currency without a rate, so not counted: berlin" in said(world, alert)
    assert alert.event.exhausted_at != START + timedelta(hours=92)


def test_a_scope_is_charged_its_own_commitments_only() -> None:
    world = committed(endpoint(team="a"), amount="300 USD", per=("team",))
    world.spend(1, team="a")
    world.spend(1, team="b")
    fired = {alert.event.scope for alert in world.tick() if alert.event.basis == "forecast"}
    assert fired == {(("team", "a"),)}


def test_a_scope_that_only_a_commitment_has_is_evaluated() -> None:
    world = committed(endpoint(team="a"), amount="300 USD", per=("team",))
    fired = {alert.event.scope for alert in world.tick() if alert.event.basis == "forecast"}
    assert fired == {(("team", "a"),)}


@pytest.mark.parametrize("configured", [True, False], ids=["still configured", "no longer configured"])
async def test_after_a_restart_it_is_known_before_its_source_answers(*, configured: bool) -> None:
    store, clock = MemoryStore(), StoppedClock(START)
    await store.source_health(SourceRow("together", until=START))
    source = Commitments((), timedelta(hours=1))
    source.name = "together"
    read: Mapping[str, Sequence[Committed]] = {"together": (endpoint(),)}

    def evaluation(known: Mapping[str, Sequence[Committed]], *, of: bool = True) -> Evaluate:
        sources: dict[str, Source] = {"together": source} if of else {}
        terms = EvaluationConfig(
            [budget("labs", "300 USD", thresholds=["forecast 100%"])], PriceBook(()), exchange_of(Rates()), {},
            sources=sources, committed=lambda: known,
        )  # fmt: skip
        return Evaluate(store, clock, terms, lambda: None)

    await evaluation(read).tick()
    after = evaluation({}, of=configured)
    clock.at = START + timedelta(minutes=5)
    await after.tick()
    assert after.latest is not None
    (position,) = after.latest.statuses
    stored = dict(COMMITMENTS.items(State.of(await store.memory())))
    if configured:
        assert (position.status, [line.name for line in position.certain.lines]) == ("at_risk", ["acme/llama"])  # type: ignore[union-attr]
        assert stored == {"together": (endpoint(),)}
    else:
        assert position.certain is None
        assert stored == {}


def test_an_end_in_the_past_is_over() -> None:
    world = committed(replace(endpoint(), end=START + DAY), at=START + 2 * DAY)
    assert world.evaluate().statuses[0].certain_total == 0
