"""A floor is compared in its own unit: by the day's rate of exchange, by what the tokens cost, or it is said."""

from __future__ import annotations

import gc
from datetime import date
from decimal import Decimal

import pytest

from alertd.core.budgets import Amount, Override
from alertd.core.evaluation.budget_status import StatusEvaluator
from alertd.core.evaluation.evaluate import evaluate
from alertd.core.evaluation.minimum_spend import silenced_budgets, unconvertible_minimums
from alertd.core.pricing.exchange_rates import Rate
from alertd.core.pricing.source_roles import SourceRole
from tests.scenario import NOVEMBER, Scenario, budget

BURN = "burn_rate 10x over 1h and 5m above {}"
UNUSUAL = "anomaly p99 above {}"
#: Two dollars a euro up to the 16th of November, then four: a rate is the day's.
RATES = [Rate("EUR", "USD", Decimal(2), date(2026, 1, 1)), Rate("EUR", "USD", Decimal(4), date(2026, 11, 17))]

#: The budget, the minimum, the rates, what is spent at once in dollars' worth of tokens, whether somebody is told.
TABLE = [
    ("a minimum in the budget's own currency", "10 USD", "20 USD", [], 21, True),
    ("below it", "10 USD", "20 USD", [], 19, False),
    ("euros against a minimum in dollars, at two dollars a euro", "10 EUR", "20 USD", RATES[:1], 21, True),
    (
        "ten and a half euros are more than 20 dollars, nine and a half are not",
        "10 EUR",
        "20 USD",
        RATES[:1],
        19,
        False,
    ),
    ("a minimum in another currency than all prices", "10 USD", "10 EUR", RATES[:1], 21, True),
    ("which is not reached", "10 USD", "10 EUR", RATES[:1], 19, False),
    ("the rate is the one of the day", "10 USD", "10 EUR", RATES, 39, False),
    ("the rate of the day, above it", "10 USD", "10 EUR", RATES, 41, True),
    ("no rate is known: the number counts in the budget's unit", "10 USD", "20 EUR", [], 21, True),
    ("no rate is known, below the number", "10 USD", "20 EUR", [], 19, False),
    ("tokens against a minimum in money, by what they cost", "10M tokens", "20 USD", [], 21, True),
    ("tokens that cost less than the minimum", "10M tokens", "20 USD", [], 19, False),
    ("tokens against a minimum in another currency than their price", "10M tokens", "10 EUR", RATES[:1], 19, False),
    ("tokens, a minimum in a currency without a rate: there is no minimum", "10M tokens", "20 EUR", [], 19, True),
    ("money against a minimum in tokens", "10 USD", "20M tokens", [], 21, True),
    ("money that was for fewer tokens", "10 USD", "20M tokens", [], 19, False),
]


@pytest.mark.parametrize("threshold", [BURN, UNUSUAL])
@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_a_floor_in_another_unit_is_compared_in_its_own(threshold, row):
    _, amount, floor, rates, dollars, told = row
    world = Scenario(budget(amount=amount, thresholds=[threshold.format(floor)]))
    world.rates = rates
    for day in range(20):
        world.spend("0.01", at=NOVEMBER.replace(day=1 + day))
    world.now = NOVEMBER.replace(day=20, hour=12)
    world.tick()
    assert [alert for alert in world.alerts if alert.event.kind == "threshold"] == []
    world.pass_time(minutes=5)
    world.spend(dollars, at=world.now.replace(minute=0))
    world.tick()
    assert [alert.event.basis for alert in world.alerts if alert.event.kind == "threshold"] == [
        threshold.split()[0]
    ] * told


@pytest.mark.parametrize("minimum", ["20 USD", "20M tokens"])
def test_what_was_spent_before_the_window_counts_towards_no_minimum(minimum):
    world = Scenario(budget(amount="10 USD", thresholds=[f"burn_rate 10x over 1h above {minimum}"]))
    world.tick()
    begin = NOVEMBER.replace(day=20, hour=12)
    world.spend(30, at=begin.replace(minute=1))  # in the bucket that ends at five past
    world.now = begin.replace(hour=13, minute=2)
    world.spend(15, at=begin.replace(minute=59))
    assert [one.event.kind for one in world.tick() if one.event.basis == "burn_rate"] == []


@pytest.mark.parametrize("priced", [19, 21])
def test_tokens_without_a_price_leave_no_floor_to_hide_behind(priced):
    world = Scenario(budget(amount="1M tokens", thresholds=[BURN.format("20 USD")]))
    world.spend("0.01")
    world.tick()
    world.pass_time(hours=3)
    world.spend(priced, at=world.now)
    world.spend(1, at=world.now, model="mystery")
    world.pass_time(minutes=5)
    world.tick()
    assert [alert.event.basis for alert in world.alerts if alert.event.kind == "threshold"] == ["burn_rate"]


@pytest.mark.parametrize(
    ("amount", "floor", "rates", "said"),
    [
        ("10 USD", "20 USD", [], []),
        ("10 EUR", "20 USD", RATES, []),
        ("10 EUR", "20 USD", [], ["counts as 20 EUR: no rate from EUR to USD; set ALERTD_FX__EUR_USD"]),
        ("10M tokens", "20 USD", [], ["not for mystery: "]),
        ("10 USD", "20 tokens", [], ["not for the bills of bill: they name no tokens"]),
    ],
)
def test_a_floor_that_cannot_hold_as_written_is_said_with_what_it_counts_as(amount, floor, rates, said):
    world = Scenario(budget(amount=amount, thresholds=[BURN.format(floor), "actual 100%"]), at=NOVEMBER.replace(day=2))
    world.rates = rates
    world.spend(1, at=NOVEMBER)
    world.spend(1, at=NOVEMBER, model="mystery")
    world.bill(1, NOVEMBER)
    facts = world.facts()
    found = list(
        unconvertible_minimums(
            facts.budgets, facts.ledger, facts.context, StatusEvaluator(facts.ledger, facts.context).costs
        )
    )
    assert [name for name, _ in found] == ["research"] * len(said)
    assert all(part in sentence for part, (_, sentence) in zip(said, found, strict=True))


def burning(amount="1M tokens", floor="20 USD"):
    world = Scenario(budget(amount=amount, thresholds=[BURN.format(floor)]))
    world.spend("0.01")
    world.tick()
    world.pass_time(hours=3)
    return world


def test_only_what_the_longest_window_used_is_held_against_its_floor():
    world = burning()
    world.spend(15, at=world.now)
    world.spend(15, at=world.now.replace(hour=1, minute=30))
    world.pass_time(minutes=5)
    assert [alert for alert in world.tick() if alert.event.kind == "threshold"] == []


def test_tokens_are_worth_what_they_cost_also_where_a_bill_counts_as_the_money():
    world = burning()
    world.standings = {"bill": SourceRole("authoritative")}
    world.bill(1, NOVEMBER)
    world.spend(30, at=world.now)
    world.pass_time(minutes=5)
    assert [alert.event.basis for alert in world.tick() if alert.event.kind == "threshold"] == ["burn_rate"]


def test_what_an_evaluation_looked_at_goes_with_it_and_waits_for_no_search_for_cycles():
    world = Scenario(budget(amount="10 EUR", thresholds=[BURN.format("20 USD"), UNUSUAL.format("20 USD")]))
    world.rates = RATES
    world.spend("30", at=NOVEMBER.replace(day=3))
    world.now = NOVEMBER.replace(day=3, hour=1)
    facts = world.facts()
    evaluate(facts)
    gc.collect()
    gc.disable()
    try:
        evaluate(facts)
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("amount", "own", "warned"),
    [
        ("500 USD", [], []),
        ("5 USD", [], ["never fires for 5 USD, whose", "write above 0.3 USD"]),
        (
            "500 USD",
            ["10 USD", "2 USD", "900 USD"],
            ["for 2 USD, 2 amounts in all", "write above 0.12 USD"],
        ),
        ("1M tokens", [], []),
    ],
)
def test_a_minimum_spend_that_silences_a_small_budget_is_named_with_the_amount_and_the_remedy(
    amount: str, own: list[str], warned: list[str]
) -> None:
    table = {(str(count),): Override(amount=Amount.parse(text)) for count, text in enumerate(own)}
    rule = "burn_rate 10x over 1h and 5m above 20 USD"
    small = budget("b", amount, thresholds=["actual 80%", rule], per=("team",), table=table)
    found = list(silenced_budgets([small]))
    assert [name for name, _ in found] == ["b"] * bool(warned)
    for said in warned:
        assert said in found[0][1]
        assert found[0][1].startswith(rule)
