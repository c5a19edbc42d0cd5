"""Amounts that change: by the day from which they hold, and by what a period leaves to the next one."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertd.core.budgets import Amount, CarryOver
from alertd.core.evaluation.explain import explain_notes
from alertd.core.evaluation.state import CARRIED
from alertd.core.messages import compose, text_of
from tests.scenario import Scenario, budget
from tests.stories.test_summaries import unpriced

RULE = CarryOver(left=Decimal(20), overspent=Decimal(10))


def amount_now(world: Scenario) -> Decimal:
    (status,) = world.evaluate().statuses
    return status.amount.value


def month(world: Scenario, spend: float | str, until: datetime) -> None:
    """Spend on the tenth of the month, and go on to the next with everything read."""
    world.tick()
    world.now = world.now.replace(day=10)
    world.spend(spend)
    world.tick()
    world.now = until
    world.spend("0.01")
    world.tick()
    world.pass_time(hours=2)
    world.tick()


@pytest.mark.parametrize(
    ("spent", "amount"),
    [("430", "569.99"), ("300", "600"), ("499.99", "500"), ("520", "479.99"), ("900", "450")],
)
def test_what_is_left_or_overspent_goes_into_the_next_period_up_to_its_bound(spent: str, amount: str) -> None:
    world = Scenario(budget(carry_over=RULE))
    world.spend("0.01")
    month(world, spent, datetime(2026, 12, 1, 3, tzinfo=UTC))
    assert amount_now(world) == Decimal(amount)


def test_without_the_setting_nothing_is_carried_over() -> None:
    world = Scenario(budget())
    month(world, "100", datetime(2026, 12, 1, 3, tzinfo=UTC))
    assert amount_now(world) == 500
    assert dict(CARRIED.items(world.state)) == {}


def test_what_was_carried_into_a_period_is_part_of_what_it_leaves() -> None:
    world = Scenario(budget(carry_over=CarryOver(left=Amount(Decimal(1000), "USD"))))
    for last, until in ((100, datetime(2026, 12, 1, 3, tzinfo=UTC)), (100, datetime(2027, 1, 1, 3, tzinfo=UTC))):
        month(world, last, until)
    assert amount_now(world) == Decimal(500) + 400 + Decimal("399.99")


def test_a_correction_after_the_close_changes_no_amount_again() -> None:
    world = Scenario(budget(carry_over=RULE))
    month(world, "430", datetime(2026, 12, 1, 3, tzinfo=UTC))
    before = amount_now(world)
    world.spend(50, at=datetime(2026, 11, 20, tzinfo=UTC))
    world.tick()
    assert amount_now(world) == before


def test_a_month_that_is_not_fully_known_leaves_nothing_and_its_summary_says_why() -> None:
    world = Scenario(budget(carry_over=RULE))
    world.tick()
    unpriced(world, "input", 100)
    month(world, "100", datetime(2026, 12, 1, 3, tzinfo=UTC))
    assert amount_now(world) == 500
    assert "Nothing is carried over into the next period: some of its usage has no price" in closing(world)


def test_the_closing_summary_says_what_is_carried_over() -> None:
    world = Scenario(budget(carry_over=RULE))
    month(world, "430", datetime(2026, 12, 1, 3, tzinfo=UTC))
    assert "$70 of what is left is carried over: the next period's amount is that much higher" in closing(world)


def closing(world: Scenario) -> str:
    (event,) = [one.event for one in world.alerts if one.event.summary == "period_closed"]
    message = compose([event], world.now)
    return "\n".join(map(text_of, (message.headline, *message.body)))


def test_a_threshold_counts_from_the_amount_with_what_was_carried_over() -> None:
    world = Scenario(budget(carry_over=RULE))
    month(world, "300", datetime(2026, 12, 1, 3, tzinfo=UTC))  # 600 in December
    world.spend(470)
    assert [one.event.level for one in world.tick() if one.event.kind == "threshold"] == []
    world.spend(10)
    assert [one.event.level for one in world.tick() if one.event.kind == "threshold"] == [80]


@pytest.mark.parametrize(
    ("day", "amount"),
    [(date(2026, 11, 15), 500), (date(2026, 12, 1), 600), (date(2027, 1, 9), 600), (date(2027, 2, 1), 700)],
)
def test_a_period_has_the_amount_that_holds_on_its_first_day(day: date, amount: int) -> None:
    dated = ((date(2026, 11, 2), Amount(Decimal(600), "USD")), (date(2027, 2, 1), Amount(Decimal(700), "USD")))
    world = Scenario(budget(amounts=dated), at=datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
    world.spend(1)
    assert amount_now(world) == amount


@settings(max_examples=200)
@given(st.decimals(0, 2000, places=2), st.decimals(1, 2000, places=2), st.integers(0, 100), st.integers(0, 100))
def test_what_is_carried_over_never_passes_its_bounds(spent: Decimal, base: Decimal, left: int, overspent: int) -> None:
    carried = CarryOver(Decimal(left), Decimal(overspent)).of(base, base, spent)
    assert -base * overspent / 100 <= carried <= base * left / 100
    assert carried in {base - spent, base * left / 100, -base * overspent / 100}


def test_explain_says_what_was_carried_over_and_why_not() -> None:
    world = Scenario(budget(carry_over=RULE))
    month(world, "900", datetime(2026, 12, 1, 3, tzinfo=UTC))
    (status,) = world.evaluate().statuses
    said = "the amount has 50.00 USD taken off for the period that began on 2026-11-01"
    assert said in explain_notes(world.facts(), status)
