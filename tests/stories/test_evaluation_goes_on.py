"""One odd budget, row, zone or race never silences the others; and where everything is silent, somebody is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertd.core.budgets import Amount, Override, scope_text
from alertd.core.evaluation.evaluate import evaluate
from alertd.core.evaluation.state import RESTORED
from alertd.core.evaluation.values import BudgetStatus, SourceView
from alertd.core.events import Event, NotEvaluated
from alertd.core.messages import compose
from alertd.core.periods import PeriodRule
from alertd.core.pricing.exchange_rates import Rates
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.tariffs import exchange_of
from alertd.loops.evaluate import Evaluate, EvaluationConfig, NotStoredError
from tests.fakes import StoppedClock
from tests.memory_store import MemoryStore
from tests.scenario import NOVEMBER, Scenario, budget, said

TEXT = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(["a,b", "a=b", "a/b", "%2C", "", "é", "a%"])


def by_team(**table: str) -> Scenario:
    rows = {(team.replace("none", ""),): Override(amount=Amount.parse(amount)) for team, amount in table.items()}
    return Scenario(budget("teams", per=("team",), table=rows))


def test_a_row_without_a_team_and_usage_without_a_team_are_one_scope():
    world = by_team(research="1 USD", none="50 USD")
    world.spend(3, team="research")
    world.spend(45)
    world.spend(2, team="")
    alerts = world.tick()
    assert {(position.scope, position.amount.value, position.spent) for position in world.evaluate().statuses} == {
        ((("team", "research"),), 1, 3),
        ((("team", None),), 50, 47),
    }
    keys = [key for alert in alerts for key in alert.keys]
    assert len(set(keys)) == len(keys)


def test_a_scope_without_a_team_has_one_wording():
    world = by_team(none="50 USD")
    world.spend("0.01")
    world.tick()
    world.spend(45)
    (alert,) = world.tick()
    assert "without a team" in words(alert.event, world.now)


def test_a_pattern_for_no_team_matches_an_empty_label_and_none_at_all():
    world = Scenario(budget(where={"team": ""}), budget("named", where={"team": "*"}))
    world.spend(1)
    world.spend(2, team="")
    world.spend(4, team="a")
    assert {p.budget.name: p.spent for p in world.evaluate().statuses} == {"research": 3, "named": 4}


@settings(max_examples=200)
@given(a=st.tuples(TEXT, TEXT), b=st.tuples(TEXT, TEXT))
def test_no_two_scopes_share_a_name(a: tuple[str, str], b: tuple[str, str]):
    of = [tuple((label, value or None) for label, value in zip(("team", "key"), one, strict=True)) for one in (a, b)]
    period = PeriodRule("month", UTC).containing(NOVEMBER)
    for naming in (scope_text, lambda scope: BudgetStatus.name_of("b", scope, period)):
        assert (naming(of[0]) == naming(of[1])) == (of[0] == of[1])


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "Asia/Tokyo", "Pacific/Auckland", "America/New_York", "Asia/Kolkata", "UTC"]
)
@pytest.mark.parametrize("days", [1, 2, 5, 70])
def test_daily_bills_are_evaluated_in_every_zone(zone: str, days: int):
    now = datetime(2026, 11, 29, 8, tzinfo=UTC)
    world = Scenario(budget("b", "30 USD", period=PeriodRule("month", ZoneInfo(zone))), at=now)
    midnight = datetime(2026, 11, 29, tzinfo=UTC)
    for day in range(days):
        world.bill(2, midnight - timedelta(days=day + 1))
    world.sources = {
        "gateway": SourceView("gateway", now, timedelta(minutes=15)),
        "bill": SourceView("bill", midnight, timedelta(days=3)),
    }
    world.tick(seen=False)
    (position,) = world.evaluate().statuses
    assert position.failed == ""
    assert position.spent >= min(2 * days, 54)
    assert position.projection is not None


def without_rate(base: str, quote: str, _: object) -> Decimal:
    if "JPY" in {base, quote}:
        raise ArithmeticError("no yen today")
    return Decimal(1)


def test_a_budget_that_cannot_be_evaluated_says_so_once_and_the_others_go_on():
    world = Scenario(budget("good"), budget("yen", "500 JPY"))

    def tick():
        facts = world.facts()
        decisions = evaluate(replace(facts, context=replace(facts.context, exchange=without_rate)))
        world.told.update((key, world.now) for alert in decisions.alerts for key in alert.keys)
        world.state = world.state.after(decisions.changes)
        return decisions

    world.spend("0.01")
    first = tick()
    assert {p.budget.name: p.failed for p in first.statuses} == {"good": "", "yen": "ArithmeticError: no yen today"}
    (alert,) = [alert for alert in first.alerts if isinstance(alert.event.details, NotEvaluated)]
    assert "yen cannot be evaluated" in words(alert.event, world.now)
    world.spend(450)
    assert ("threshold", "good", "actual 80%") in said(list(tick().alerts))
    recovered = [alert.event for alert in world.tick() if isinstance(alert.event.details, NotEvaluated)]
    assert [(event.kind, event.budget) for event in recovered] == [("recovered", "yen")]
    assert "yen is evaluated again" in words(recovered[0], world.now)


class Refusing(MemoryStore):
    """Refuses what an evaluation commits, though nobody else writes."""

    refusing = True

    async def commit_decisions(self, rows, messages, notes):
        if self.refusing and notes.get(RESTORED.prefix, ("",))[0] is None:
            return False
        return await super().commit_decisions(rows, messages, notes)


async def test_a_race_lost_to_nobody_is_an_error_is_no_evaluation_and_is_announced():
    store, clock = Refusing(), StoppedClock()
    await store.commit_decisions([], [], {RESTORED.prefix: (clock.now().isoformat(), 0)})
    terms = EvaluationConfig([], PriceBook(()), exchange_of(Rates()), {})
    evaluation = Evaluate(store, clock, terms, lambda: None)
    for _ in range(3):
        with pytest.raises(NotStoredError, match="nobody else writes") as refused:
            await evaluation.tick()
        await evaluation.failed(str(refused.value))
        clock.move(minutes=4)
        assert evaluation.evaluated_at is None
    (row,) = await store.alerts(clock.now() - timedelta(days=1))
    assert "No budget can be evaluated" in words(row.event, clock.now())
    store.refusing = False
    await evaluation.tick()
    assert evaluation.evaluated_at == clock.now()
    assert {row.event.kind for row in await store.alerts(clock.now() - timedelta(days=1))} == {
        "source_stale",
        "recovered",
    }


def words(event: Event, now: datetime) -> str:
    """The headline of a message about one event."""
    return compose([event], now).subject
