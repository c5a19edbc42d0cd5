"""Prepaid credit: what was paid less what was spent, or what the provider says; when it ends, and what is said."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from alertd.core.budgets import CreditEntry, credit_on
from alertd.core.evaluation.event_builder import credit_ends
from alertd.core.evaluation.explain import explain_thresholds
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.messages import compose, text_of
from alertd.core.money import Money
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
