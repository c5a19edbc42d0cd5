"""What a unit of the ledger costs: an account's rule reaches every scope once, and the scopes add up to the bill."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from alertd.clients.price_files import built_in_layers
from alertd.core.ledger.columns import Ledger, SeriesRow, UsageRow
from alertd.core.pricing.costing import UnitPrice
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.tariffs import LedgerTariff

LLAMA, MISTRAL = "llama-3.3-70b-instruct", "mistral-small-3.1-24b-instruct-2503"
SMALL = "mistral-small-3.2-24b-instruct-2506"
BOOK = PriceBook(built_in_layers())


def ledger_of(*rows: tuple[str, str, str, datetime, int]) -> Ledger:
    """Rows of (project, model, meter, instant, tokens) at Scaleway, each a series of its own."""
    ledger = Ledger()
    for number, (project, model, meter, at, tokens) in enumerate(rows):
        labels = {"project": project}
        ledger.add_series([SeriesRow(number, "cockpit", "scaleway", model, meter, (), "", labels)])
        ledger.apply([UsageRow(number, int(at.timestamp()), 300, tokens)])
    return ledger


def cost(ledger: Ledger, index: int, day: date, tokens: int) -> Decimal:
    price = LedgerTariff(BOOK, ledger).unit_price(ledger.series[index].line, day)
    assert isinstance(price, UnitPrice)
    assert price.currency == "EUR"
    return price.amount * tokens


def test_two_projects_of_an_account_together_pay_its_bill_and_no_free_million_twice() -> None:
    at = datetime(2025, 5, 20, 12, tzinfo=UTC)
    rows = [
        ("a", LLAMA, "input", at, 800_000),
        ("b", LLAMA, "output", at, 2_500_000),
        ("a", MISTRAL, "input", at, 100_000),
        ("b", MISTRAL, "output", at, 100_000),
    ]
    ledger = ledger_of(*rows)
    together = sum(cost(ledger, index, at.date(), row[4]) for index, row in enumerate(rows))
    assert together.quantize(Decimal("0.000000001")) == Decimal("3.20")


def test_within_the_free_million_a_unit_costs_nothing_yet() -> None:
    at = datetime(2025, 5, 20, 12, tzinfo=UTC)
    assert cost(ledger_of(("a", LLAMA, "input", at, 900_000)), 0, at.date(), 900_000) == 0


def test_in_the_month_in_which_the_rule_changes_each_day_is_billed_by_its_own() -> None:
    before, after = datetime(2026, 7, 10, tzinfo=UTC), datetime(2026, 7, 20, tzinfo=UTC)
    ledger = ledger_of(("a", SMALL, "input", before, 1_000_000), ("b", SMALL, "input", after, 2_000_500))
    # The free million is spent by the first; the second is billed to the thousand, 2,001k x 0.15, up to the cent.
    together = sum(cost(ledger, index, after.date(), tokens) for index, tokens in enumerate((1_000_000, 2_000_500)))
    assert together.quantize(Decimal("0.000000001")) == Decimal("0.31")


def test_before_any_use_a_unit_costs_its_price() -> None:
    ledger = ledger_of(("a", LLAMA, "input", datetime(2025, 5, 20, tzinfo=UTC), 5))
    assert cost(ledger, 0, date(2025, 9, 1), 1_000_000) == Decimal("0.90")
