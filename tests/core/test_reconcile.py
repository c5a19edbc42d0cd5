"""Estimate and bill side by side: what a month of them says when prices, corrections and gaps are in it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.core.billing.reconcile import compare_reports, reconcile
from alertd.core.billing.reconcile_figures import DuplicateSources, Reconciled, duplicate_sources, report
from alertd.core.ledger.columns import Ledger, SeriesRow, UsageRow
from alertd.core.periods import midnights
from alertd.core.pricing.costing import costs
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.price_file import read_price_file
from alertd.core.pricing.source_roles import SourceRole
from alertd.core.pricing.tariffs import LedgerTariff

FIRST = date(2026, 11, 1)
PRICES = """
[[price]]
provider = "acme"
model = ["small", "large"]
input = "1"
per = 1_000_000
currency = "USD"
"""
UNTIL = {"gateway": date(2026, 11, 29), "proxy": date(2026, 11, 29), "bill": date(2026, 11, 27)}


class Month:
    """A ledger of thirty days; dollars of usage are so many million tokens."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._series: dict[tuple[Any, ...], int] = {}

    def used(self, day: int, dollars: float, model: str = "small", source: str = "gateway", **labels: str) -> None:
        self._put(source, model, labels, day, round(dollars * 10**6))

    def billed(self, day: int, dollars: float, model: str = "small", source: str = "bill", **labels: str) -> None:
        self._put(source, model, labels, day, round(dollars * 10**9), billed="USD")

    def compared(self, **more: Any) -> tuple[Reconciled, ...]:
        return reconcile(self.ledger, self.costs(), UNTIL, **more)

    def costs(self) -> Any:
        days, borders = midnights(UTC, FIRST, 30)
        book = PriceBook((read_price_file("prices", PRICES),))
        tariff = LedgerTariff(book, self.ledger)
        return costs(self.ledger, "USD", days, borders, tariff=tariff, exchange=lambda *_: Decimal(1))

    def _put(self, source: str, model: str, labels: Mapping[str, str], day: int, n: int, *, billed: str = "") -> None:
        meter = "" if billed else "input"
        key = (source, model, meter, billed, tuple(sorted(labels.items())))
        if key not in self._series:
            self._series[key] = len(self._series) + 1
            row = SeriesRow(self._series[key], source, "acme", model, meter, (), "", labels, billed)
            self.ledger.add_series([row])
        start = int(datetime(2026, 11, day, tzinfo=UTC).timestamp())
        self.ledger.apply([UsageRow(self._series[key], start, 86400, n)])


def kinds(found: Reconciled) -> list[str]:
    return [cause.kind for cause in found.causes]


def test_a_month_with_a_price_change_a_late_correction_and_an_unpriced_model_is_told_as_it_was() -> None:
    month = Month()
    for day in range(1, 30):
        month.used(day, 10 + day % 3)
        month.used(day, 4, model="brand-new")
        month.used(day, 5, model="large", source="gateway")
        price = Decimal(1) if day < 16 else Decimal("1.25")
        month.billed(day, float((10 + day % 3) * price))
        month.billed(day, 5, model="large")
        month.billed(day, 3, model="brand-new")
    month.billed(9, 2)
    month.billed(9, 10)  # the correction comes late and takes the row's place
    (found,) = month.compared()
    said = "\n".join(report([found]))
    print(said)
    assert kinds(found) == ["unpriced", "price_changed"]
    assert "has no price, so the estimate lacks it: brand-new (104,000,000)" in said
    assert "small: billed 1.00 times the estimate, from 2026-11-16 on 1.25 times" in said
    assert "2026-11-01 to 2026-11-26" in said
    assert found.drift == (found.estimated - found.billed) / found.billed
    assert found.drift < Decimal("-0.2")


def test_days_that_are_not_final_are_not_compared() -> None:
    month = Month()
    for day in range(1, 31):
        month.used(day, 10)
        month.billed(day, 10 if day < 27 else 1)
    (found,) = month.compared()
    assert kinds(found) == ["agrees"]
    assert [found.days[0].day, found.days[-1].day] == [FIRST, date(2026, 11, 26)]
    assert found.factor == 1


def test_a_discount_on_every_day_is_a_factor() -> None:
    month = Month()
    for day in range(1, 30):
        month.used(day, 10 + day)
        month.billed(day, (10 + day) * 0.9)
    (found,) = month.compared()
    assert kinds(found) == ["price_differs"]
    assert found.factor == Decimal("0.9000")


def test_a_factor_follows_the_newest_price() -> None:
    month = Month()
    for day in range(1, 30):
        month.used(day, 10)
        month.billed(day, 10 if day < 10 else 8)
    (found,) = month.compared()
    assert found.factor == Decimal("0.8000")


def test_billed_models_without_usage_were_not_seen() -> None:
    month = Month()
    for day in range(1, 30):
        month.used(day, 10)
        month.billed(day, 10)
        month.billed(day, 5, model="hidden")
    (found,) = month.compared()
    assert kinds(found) == ["not_seen"]
    assert "hidden (130.00 USD)" in found.causes[0].said


def test_a_gap_in_the_usage_is_told_by_its_first_day() -> None:
    month = Month()
    for day in range(1, 30):
        month.billed(day, 10, model="")
        if not 5 <= day <= 8:
            month.used(day, 10)
    (found,) = month.compared()
    assert "4 billed days without any usage, the first 2026-11-05" in found.causes[0].said


def test_two_sources_of_one_traffic_are_told_and_named() -> None:
    month = Month()
    for day in range(1, 30):
        month.used(day, 10 + day)
        month.used(day, (10 + day) * 1.01, source="proxy", model="acme/small-2026-01-01")
        month.billed(day, 10 + day, model="")
    (found,) = month.compared()
    assert "counted_twice" in kinds(found)
    (pair,) = duplicate_sources(month.ledger, month.costs(), {})
    assert pair == DuplicateSources("gateway", "proxy", "small", 29)
    assert "ALERTD_SOURCES__NAME__ROLE" in pair.said


@pytest.mark.parametrize(
    ("standings", "told"),
    [
        ({}, True),
        ({"gateway": SourceRole("authoritative")}, False),
        ({"proxy": SourceRole("check")}, False),
        ({"gateway": SourceRole("authoritative"), "proxy": SourceRole("authoritative")}, True),
    ],
)
def test_sources_whose_roles_are_declared_are_not_told(standings: dict[str, SourceRole], *, told: bool) -> None:
    month = Month()
    for day in range(1, 10):
        month.used(day, day)
        month.used(day, day, source="proxy")
    assert bool(duplicate_sources(month.ledger, month.costs(), standings)) is told


def test_sources_of_different_traffic_are_not_alike() -> None:
    month = Month()
    for day in range(1, 30):
        month.used(day, 10 + day % 7)
        month.used(day, 10 + day % 5 * 2, source="proxy")
    assert duplicate_sources(month.ledger, month.costs(), {}) == ()


def test_scopes_are_compared_apart() -> None:
    month = Month()
    for day in range(1, 30):
        for team, share in (("a", 1.0), ("b", 0.5)):
            month.used(day, 10, team=team)
            month.billed(day, 10 * share, team=team)
    found = {one.scope: one for one in month.compared(by=["team"])}
    assert kinds(found[(("team", "a"),)]) == ["agrees"]
    assert found[(("team", "b"),)].factor == Decimal("0.5000")
    assert next(iter(found)) == (("team", "b"),)


def test_an_estimate_of_a_gateway_and_other_charges_are_no_bill() -> None:
    month = Month()
    for day in range(1, 30):
        month.used(day, 10)
        month.billed(day, 10, charge="estimate")
        month.billed(day, 10, charge="training")
    assert month.compared() == ()


@given(dollars=st.lists(st.integers(1, 10**6), min_size=8, max_size=8), percent=st.integers(50, 200))
def test_the_factor_times_the_estimate_is_the_bill_whatever_one_price_was(dollars: list[int], percent: int) -> None:
    month = Month()
    for day, amount in enumerate(dollars, start=1):
        month.used(day, amount)
        month.billed(day, amount * percent / 100)
    (found,) = month.compared()
    assert found.factor is not None
    wanted = Decimal(percent) / 100 if abs(percent - 100) > 2 else Decimal(1)
    assert abs(found.factor - wanted) <= Decimal("0.021")


def reported(month: Month, **more: Any) -> tuple[Reconciled, ...]:
    return compare_reports(month.ledger, month.costs(), UNTIL, **more)


def test_what_a_gateway_reports_is_compared_with_its_own_tokens_and_is_no_bill() -> None:
    month = Month()
    for day in range(1, 30):
        month.used(day, 10)
        month.used(day, 3, source="proxy")
        month.billed(day, 12.5, source="gateway", charge="estimate")
    assert month.compared() == (), "no bill says what it cost"
    (found,) = reported(month)
    assert (found.estimated, found.billed, found.factor) == (280, 350, None)
    assert (found.used_by, found.billed_by, found.against) == (("gateway",), ("gateway",), "report")
    said = "\n".join(report([found]))
    assert "estimated 280.00, reported by gateway 350.00 USD, -20.0%" in said
    assert "small: reported 1.25 times the estimate on every day" in said


def test_money_of_a_source_without_tokens_is_compared_with_the_tokens_that_count() -> None:
    month = Month()
    for day in range(1, 30):
        month.used(day, 10)
        month.used(day, 10, source="proxy")
        month.billed(day, 10, source="bill", charge="estimate")
    (found,) = reported(month, standings={"proxy": SourceRole("check")})
    assert (found.used_by, found.billed_by) == (("gateway",), ("bill",))
    assert kinds(found) == ["agrees"]
