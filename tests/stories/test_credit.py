"""Prepaid credit: what was paid less what was spent, or what the provider says; when it ends, and what is said."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertd.core.budgets import CreditEntry, credit_on
from alertd.core.evaluation.event_builder import credit_ends
from alertd.core.evaluation.explain import explain_notes, explain_thresholds
from alertd.core.evaluation.state import State
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.messages import compose, text_of
from alertd.core.money import Money
from alertd.operations.changes import Operations
from alertd.operations.values import By, ConflictError, InvalidError, NotFoundError
from tests.fakes import StoppedClock
from tests.memory_store import MemoryStore
from tests.scenario import Scenario, budget


def paid(*entries: tuple[str, str]) -> tuple[CreditEntry, ...]:
    """Top-ups as they are written: day and amount, `left 40` for what was left then."""
    return tuple(
        CreditEntry(date.fromisoformat(day), Decimal(text.removeprefix("left ")), text.startswith("left"))
        for day, text in entries
    )


def prepaid(*entries: tuple[str, str], thresholds: tuple[str, ...] = ("balance 50 USD", "balance 3d")) -> Scenario:
    return Scenario(budget("acme", "2000 USD", credit=paid(*entries), thresholds=thresholds))


def status(world: Scenario) -> BudgetStatus:
    (found,) = world.evaluate().statuses
    return found


def days(world: Scenario, count: int, dollars: float) -> list[str]:
    """So many days of this spend, evaluated twice a day; the headlines of the alerts."""
    said = []
    for _ in range(count * 2):
        world.spend(dollars / 2)
        world.pass_time(hours=12)
        said += [text_of(compose([one.event], world.now).headline) for one in world.tick()
                 if one.event.basis == "balance"]  # fmt: skip
    return said


def test_what_is_left_is_what_was_paid_less_what_was_spent_since_over_periods() -> None:
    world = prepaid(("2026-11-10", "300"), ("2026-11-20", "200"))
    world.spend(1000, at=datetime(2026, 11, 9, tzinfo=UTC))
    world.now = datetime(2026, 11, 15, 12, tzinfo=UTC)
    world.spend(120, at=datetime(2026, 11, 10, tzinfo=UTC))
    assert status(world).balance == 180
    world.now = datetime(2026, 12, 5, tzinfo=UTC)
    world.spend(30, at=datetime(2026, 12, 2, tzinfo=UTC))
    assert status(world).balance == 350


def test_what_the_provider_showed_on_a_day_takes_the_place_of_what_was_counted_before() -> None:
    world = prepaid(("2026-11-02", "300"), ("2026-11-10", "left 180.50"), ("2026-11-12", "100"))
    world.now = datetime(2026, 11, 15, 12, tzinfo=UTC)
    world.spend(110, at=datetime(2026, 11, 5, tzinfo=UTC))
    world.spend(40, at=datetime(2026, 11, 11, tzinfo=UTC))
    assert status(world).balance == Decimal("240.5")


def test_a_top_up_to_come_is_not_there_yet_and_without_any_there_is_no_credit() -> None:
    world = prepaid(("2026-11-20", "200"))
    world.spend(5)
    assert status(world).balance is None


def test_a_provider_that_tells_is_believed_and_the_difference_is_explained() -> None:
    world = prepaid(("2026-11-01", "300"))
    world.spend(100)
    world.pass_time(days=2)
    world.tick()
    world.balances = {"gateway": Money(Decimal("190.50"), "USD")}
    found = status(world)
    assert found.credit is not None
    assert (found.balance, found.credit.ledger, found.credit.by) == (Decimal("190.50"), 200, "gateway")
    explained = explain_thresholds(world.facts(), found)[0].because
    assert "paid 300.00 USD since 2026-11-01, spent 100.00 USD" in explained
    assert "so 200.00 USD by the ledger; gateway shows 190.50 USD" in explained


def test_the_end_of_the_credit_is_announced_with_its_range_and_once_and_that_it_was_topped_up() -> None:
    world = prepaid(("2026-11-01", "300"))
    world.tick()
    said = days(world, 11, 24)
    assert said == [
        "acme has $72 of credit left and runs out Fri 13 Nov",
        "acme has $48 of credit left and runs out Fri 13 Nov",
    ]
    (one,) = world.budgets
    more = (*one.credit, *paid(("2026-11-11", "500")))
    world.budgets = (budget("acme", "2000 USD", credit=more, thresholds=["balance 50 USD", "balance 3d"]),)
    assert days(world, 1, 24) == ["acme was topped up", "acme has enough credit again"]
    facts = compose([world.alerts[-1].event], world.now).facts
    assert (facts[0].label, text_of(facts[0].value)) == ("Credit left", "$524, used up Fri 4 Dec")


def test_several_alerts_of_one_credit_in_a_message_add_nothing_up_twice() -> None:
    world = prepaid(("2026-11-01", "300"), thresholds=("balance 50 USD", "balance 40 USD"))
    world.tick()
    days(world, 5, 24)
    world.spend(150)
    events = [alert.event for alert in world.tick()]
    assert [event.threshold for event in events] == ["balance 50 USD", "balance 40 USD"]
    headline = text_of(compose(events, world.now).headline)
    assert headline.startswith("acme has $30 of credit left and runs out")


def test_the_range_holds_the_true_end_of_an_even_spend() -> None:
    world = prepaid(("2026-11-01", "1000"))
    world.tick()
    days(world, 12, 20)
    ends = credit_ends(status(world))
    true = world.now + timedelta(days=float((1000 - 240) / 20))
    assert ends.low is not None
    assert ends.high is not None
    assert ends.low < true < ends.high
    assert ends.likely is not None
    assert abs(ends.likely - true) < timedelta(days=5)


ENTRIES = st.lists(
    st.builds(
        CreditEntry,
        st.dates(date(2026, 11, 1), date(2026, 11, 30)),
        st.decimals(0, 500, places=2),
        st.booleans(),
    ),
    max_size=6,
)


@settings(max_examples=200, deadline=None)
@given(ENTRIES)
def test_what_was_paid_is_the_last_that_was_left_and_all_top_ups_since(entries: list[CreditEntry]) -> None:
    entries.sort(key=lambda one: one.day)
    found = credit_on(tuple(entries), date(2026, 11, 20))
    known = [one for one in entries if one.day <= date(2026, 11, 20)]
    assert (found is None) == (not known)
    if found is not None:
        begin, amount = found
        sets = [one for one in known if one.sets]
        assert begin == (sets[-1].day if sets else known[0].day)
        later = sum((one.amount for one in known if one.day > begin), Decimal(0))
        first = sum((one.amount for one in known if one.day == begin and one.sets == bool(sets)), Decimal(0))
        assert amount == first + later


class Till:
    """Payments that people enter beside the configuration, over one store; the world evaluates with its state."""

    def __init__(self, world: Scenario) -> None:
        self.world, self.store, self.clock = world, MemoryStore(), StoppedClock(world.now)

    async def _write(self, _: object, steps: object, notes: object) -> bool:
        return await self.store.commit_decisions([], [], notes, steps)

    @property
    def operations(self) -> Operations:
        self.clock.at = self.world.now
        budgets = {one.name: one for one in self.world.budgets}
        return Operations(self.store, self.clock, self._write, budgets=lambda: budgets)

    def pay(self, amount: str, day: str = "", *, left: bool = False, identity: str = "", by: str = "ana") -> bool:
        paying = self.operations.top_up("acme", amount, By(by), day=day, left=left, identity=identity)
        outcome = asyncio.run(paying)
        self.refresh()
        return outcome.changed

    def take_back(self, identity: str) -> None:
        asyncio.run(self.operations.remove_top_up("acme", identity, By("ana")))
        self.refresh()

    def refresh(self) -> None:
        self.world.state = State.of(asyncio.run(self.store.memory()))


def test_a_payment_that_is_entered_counts_once_beside_the_configured_ones_and_the_audit_has_it() -> None:
    world = prepaid(("2026-11-02", "300"))
    world.now = datetime(2026, 11, 12, 9, tzinfo=UTC)
    world.spend(120, at=datetime(2026, 11, 5, tzinfo=UTC))
    till = Till(world)
    assert till.pay("200 USD", "2026-11-10", identity="inv-1")
    assert not till.pay("200", "2026-11-10", identity="inv-1", by="bea")  # sent twice
    assert till.pay("50")
    assert status(world).balance == 430
    with pytest.raises(ConflictError, match="inv-1 was entered as another payment"):
        till.pay("210", "2026-11-10", identity="inv-1")
    said = explain_notes(world.facts(), status(world))
    assert "credit paid on 2026-11-10: 200.00 USD, entered by ana at 2026-11-12 09:00 UTC" in said
    steps = asyncio.run(till.store.audit())
    assert [(step.what, step.by, step.evidence["said"]) for step in steps] == [
        ("top_up", "ana", "Paid on 2026-11-10: 200 USD."),
        ("top_up", "ana", "Paid on 2026-11-12: 50 USD."),
    ]
    till.take_back("inv-1")
    assert status(world).balance == 230
    with pytest.raises(NotFoundError):
        till.take_back("inv-1")


def test_what_was_left_on_a_day_takes_the_place_of_what_was_counted_before_and_the_last_entry_of_a_day_counts() -> None:
    world = prepaid(("2026-11-02", "300"), ("2026-11-10", "left 150"))
    world.now = datetime(2026, 11, 12, 9, tzinfo=UTC)
    world.spend(20, at=datetime(2026, 11, 11, tzinfo=UTC))
    till = Till(world)
    till.pay("1000", "2026-11-09")  # before what was left: it is in it
    assert status(world).balance == 130
    till.pay("140", "2026-11-10", left=True)
    world.pass_time(minutes=1)
    till.pay("145", "2026-11-10", left=True)
    assert status(world).balance == 125
    till.pay("0", "2026-11-12", left=True)
    assert status(world).balance == 0


def test_a_payment_ends_the_alert_at_the_next_evaluation() -> None:
    world = prepaid(("2026-11-01", "100"), thresholds=("balance 50 USD",))
    days(world, 4, 20)
    fired = [alert for alert in world.alerts if alert.event.basis == "balance"]
    assert [alert.event.kind for alert in fired] == ["threshold"]
    kept = world.state
    till = Till(world)
    till.pay("500")
    world.state = State({**kept.records, **world.state.records})
    assert [alert.event.kind for alert in world.tick() if alert.event.basis == "balance"] == ["recovered"]


@pytest.mark.parametrize(
    ("amount", "day", "words"),
    [
        ("300 EUR", "", "is in EUR"),
        ("0", "", "no such amount"),
        ("-5", "", "an amount is not negative"),
        ("300", "2026-11-13", "is not between 2026-11-02"),
        ("300", "2026-11-01", "is not between 2026-11-02"),
        ("300", "soon", "2026-11-20"),
    ],
)
def test_a_payment_that_cannot_be_is_refused_with_its_remedy(amount: str, day: str, words: str) -> None:
    world = prepaid(("2026-11-02", "300"))
    world.now = datetime(2026, 11, 12, 9, tzinfo=UTC)
    with pytest.raises(InvalidError, match=words):
        Till(world).pay(amount, day)


def test_a_budget_without_a_credit_takes_no_payment() -> None:
    world = Scenario(budget("acme"))
    with pytest.raises(ConflictError, match="acme has no prepaid credit; give it CREDIT"):
        Till(world).pay("300")
