"""Stories of prices: a model launched today, its price found a day later, and two lists that disagree."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from alertd.clients.price_files import LitellmPrices
from alertd.core.messages.format import unpriced_text
from alertd.core.messages.notices import notice
from alertd.core.messages.rich_text import text_of
from alertd.core.pricing.exchange_rates import Rate
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.price_file import read_price_file
from alertd.core.usage import SeriesRow, UsageRow
from tests.scenario import Scenario, budget

#: Another list's prices of what the world uses, in dollars per token.
TABLE = {
    "plain": {"litellm_provider": "acme", "mode": "chat", "input_cost_per_token": Decimal("2e-6")},
    "mystery": {"litellm_provider": "acme", "mode": "chat", "input_cost_per_token": Decimal("3e-6")},
}


def told(world: Scenario, kind: str) -> list[str]:
    """What was announced of a kind (or a summary) in this round: the headline and each line of it."""
    events = [alert.event for alert in world.tick()]
    own = [event for event in events if kind in {event.kind, event.summary}]
    said = [notice(event, world.now) for event in own]
    return [text_of(line) for one in said for line in (one.headline, *one.lines) if line]


def spent(world: Scenario) -> Decimal:
    (position,) = world.evaluate().statuses
    return position.spent


def with_file(world: Scenario, text: str) -> None:
    """The user puts a file above the world's own."""
    world.book = PriceBook(
        (read_price_file("own.toml", text), *world.book.layers), None, world.book.second, own=world.book.own + 1
    )


@pytest.fixture
def world() -> Scenario:
    world = Scenario(budget(thresholds=["actual 100%"]))
    world.spend(1)
    world.tick()
    return world


def test_a_model_launched_today_is_announced_with_lines_to_paste_and_again_when_it_is_priced(
    world: Scenario,
) -> None:
    world.spend(7, model="mystery")
    lines = told(world, "unpriced")
    assert lines[0] == "mystery has no price, so its cost is missing from every total"
    end = next(place for place, line in enumerate(lines) if line.startswith("source = "))
    block = [line for line in lines[lines.index("[[price]]") : end + 1] if not line.startswith("input = ")]
    assert told(world, "unpriced") == []
    assert spent(world) == Decimal(1)

    with_file(world, "\n".join([*block, 'input = "2.00"']))
    found = told(world, "models_priced")
    assert found[0] == "mystery has a price now"
    assert found[1] == "mystery: $14"
    assert spent(world) == Decimal(15)
    assert told(world, "models_priced") == told(world, "unpriced") == []


def test_a_price_for_one_meter_of_two_does_not_announce_the_model(world: Scenario) -> None:
    world.spend(7, model="mystery")
    world.ledger.add_series([SeriesRow(100, "gateway", "acme", "mystery", "output", (), "", {})])
    world.ledger.apply([UsageRow(100, int(world.now.timestamp()) // 300 * 300, 300, 1_000_000)])
    assert told(world, "unpriced")
    with_file(world, '[[price]]\nprovider = "acme"\nmodel = "mystery"\ncurrency = "USD"\ninput = "2"')
    assert told(world, "models_priced") == []
    with_file(world, '[[price]]\nprovider = "acme"\nmodel = "mystery"\ncurrency = "USD"\noutput = "3"')
    assert told(world, "models_priced")[0] == "mystery has a price now"


def test_a_model_that_always_had_a_price_is_never_said_to_have_one_now(world: Scenario) -> None:
    assert told(world, "models_priced") == []


def test_lists_that_disagree_are_announced_once_for_each_pair_of_prices(world: Scenario) -> None:
    world.book = PriceBook(world.book.layers, None, LitellmPrices(TABLE, "other.json"))
    lines = told(world, "prices_differ")
    assert lines[0] == "Price lists disagree about plain"
    assert lines[1].startswith("plain input: prices disagree: 1.00 USD (")
    assert lines[1].endswith(") or 2.00 USD (other.json) per 1M")
    assert told(world, "prices_differ") == []
    dearer = {**TABLE, "plain": {**TABLE["plain"], "input_cost_per_token": Decimal("4e-6")}}
    world.book = PriceBook(world.book.layers, None, LitellmPrices(dearer, "other.json"))
    assert "4.00 USD" in told(world, "prices_differ")[1]


def test_a_price_of_one_s_own_ends_the_disagreement(world: Scenario) -> None:
    world.book = PriceBook(world.book.layers, None, LitellmPrices(TABLE, "other.json"))
    with_file(world, '[[price]]\nprovider = "acme"\nmodel = "plain"\ncurrency = "USD"\ninput = "1.5"')
    assert told(world, "prices_differ") == []


def test_the_lines_to_paste_have_the_other_list_s_figure(world: Scenario) -> None:
    world.book = PriceBook(world.book.layers, None, LitellmPrices({"mystery": TABLE["mystery"]}, "other.json"))
    world.spend(7, model="mystery")
    lines = told(world, "unpriced")
    assert 'input = "3.00"' in lines
    assert any("by other.json" in line for line in lines)


def test_what_is_announced_can_be_stored(world: Scenario) -> None:
    world.book = PriceBook(world.book.layers, None, LitellmPrices(TABLE, "other.json"))
    world.spend(7, model="mystery")
    for alert in world.tick():
        assert json.loads(json.dumps(alert.event.to_json()))


def test_a_rate_of_exchange_that_is_missing_is_said_as_that_with_the_money_that_lacks() -> None:
    world = Scenario(budget("labs", "100 EUR", thresholds=["actual 100%"]))
    world.bill("41.20", world.now)
    lines = told(world, "unpriced")
    assert lines[0] == "No exchange rate from USD to EUR, so $41.20 is missing from labs"
    assert lines[1].startswith("To fix it, set ALERTD_FX__USD_EUR (what one USD is in EUR), or ALERTD_PRICES__RATES")
    assert not any("price]]" in line or "token" in line for line in lines)
    assert told(world, "unpriced") == []
    (status,) = world.evaluate().statuses
    assert unpriced_text(status.unpriced) == "no rate from USD to EUR, so not counted: $41.20"
    world.rates = [Rate("USD", "EUR", Decimal("0.5"))]
    assert spent(world) == Decimal("20.60")


def test_a_cost_without_a_rate_is_a_plain_decimal_in_the_api_and_the_webhook() -> None:
    world = Scenario(budget("labs", "100 EUR", thresholds=["actual 100%"]))
    world.bill("10", world.now)
    (event,) = [alert.event for alert in world.tick() if alert.event.kind == "unpriced"]
    (item,) = event.contract()["unpriced"]
    assert (item["cost"], item["rate"], item["quantity"]) == ("10", "USD to EUR", 0)


def test_a_known_price_without_a_rate_is_no_model_without_a_price() -> None:
    world = Scenario(budget("labs", "100 EUR", thresholds=["actual 100%"]))
    world.spend(3)
    headline = told(world, "unpriced")[0]
    assert headline == "No exchange rate from USD to EUR, so the price of 3M tokens is missing from labs"
