"""An estimate is held against final days, and enough of them; what no budget covers is told by the month."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from alertd.core.evaluation.budget_status import StatusEvaluator
from alertd.core.evaluation.coverage import drifting, uncovered_spend
from alertd.core.evaluation.values import SourceView
from alertd.core.messages.notices import notice
from alertd.core.messages.rich_text import text_of
from tests.scenario import NOVEMBER, Scenario, budget


@pytest.mark.parametrize(
    ("final", "told"),
    [(2, False), (3, True), (4, True)],
)
def test_three_final_days_are_the_least_that_a_drift_and_a_correction_are_told_from(final, told):
    world = Scenario(budget(), at=NOVEMBER + timedelta(days=9, hours=12))
    for day in range(9):
        at = NOVEMBER + timedelta(days=day, hours=1)
        world.spend(10, at=at)
        world.bill(20, at)
    until = NOVEMBER + timedelta(days=final + 2)  # what is billed may change for two days
    late = timedelta(days=30)
    world.sources = {
        "gateway": SourceView("gateway", world.now, late, complete_from=NOVEMBER),
        "bill": SourceView("bill", until, late, complete_from=NOVEMBER),
    }
    facts = world.facts()
    events, changes = drifting(facts.ledger, facts.context, facts.announced, facts.state, Decimal("0.05"))
    assert [key for key, _ in events] == ["drift/acme/2026-11"] * told
    assert bool(changes["correction"]) is told
    assert [row["provider"] for row in changes["comparison"]["compared"]] == ["acme"]


@pytest.mark.parametrize("used", ["nothing", "a model without a price"])
def test_a_provider_that_is_known_by_its_bill_alone_has_no_estimate_to_drift_from(used):
    world = Scenario(budget(), at=NOVEMBER + timedelta(days=9, hours=12))
    for day in range(9):
        at = NOVEMBER + timedelta(days=day, hours=1)
        world.bill(20, at)
        if used != "nothing":
            world.spend(10, model="unheard-of", at=at)
    long = timedelta(days=30)
    names = ("bill",) if used == "nothing" else ("bill", "gateway")
    world.sources = {name: SourceView(name, world.now, long, complete_from=NOVEMBER) for name in names}
    facts = world.facts()
    events, changes = drifting(facts.ledger, facts.context, facts.announced, facts.state, Decimal("0.05"))
    assert events == []
    assert not changes["correction"]


def test_what_a_gateway_reports_otherwise_is_said_once_a_month_and_corrects_nothing():
    world = Scenario(budget(), at=NOVEMBER + timedelta(days=5, hours=12))
    for day in range(5):
        at = NOVEMBER + timedelta(days=day, hours=1)
        world.spend(10, at=at)
        world.bill(20, at, "gateway", charge="estimate")
    world.sources = {"gateway": SourceView("gateway", world.now, timedelta(days=30), complete_from=NOVEMBER)}
    facts = world.facts()
    events, changes = drifting(facts.ledger, facts.context, facts.announced, facts.state, Decimal("0.05"))
    ((key, event),) = events
    assert (key, event.severity) == ("drift/reported/gateway/acme/2026-11", "info"), "no key that holds actions back"
    assert not changes["correction"]
    said = notice(event, facts.context.now)
    assert text_of(said.headline) == "gateway reports $100 for acme; alertd counted $50"
    assert "alertd counts its own estimate." in [text_of(line) for line in said.lines]
    assert [text_of(one.value) for one in said.facts if one.label == "Difference"] == ["50%"]
    again, _ = drifting(facts.ledger, facts.context, {key}, facts.state, Decimal("0.05"))
    assert again == []


def test_spend_that_no_budget_covers_is_that_of_the_calendar_month():
    world = Scenario(budget(where={"team": "a"}), at=NOVEMBER + timedelta(days=2))
    world.spend(7, at=NOVEMBER - timedelta(hours=1))
    world.spend(1, at=NOVEMBER, team="a")
    facts = world.facts()
    assert uncovered_spend(facts.budgets, StatusEvaluator(facts.ledger, facts.context)) is None
    world.spend(2, at=NOVEMBER)
    found = uncovered_spend(facts.budgets, StatusEvaluator(facts.ledger, facts.context))
    assert found is not None
    assert found.uncovered == {"USD": Decimal(2)}
