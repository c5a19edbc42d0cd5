"""A correction touches the days that are not billed yet, of the provider it is for, and nothing else."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from alertd.core.ledger.columns import Ledger
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.price_file import read_price_file
from alertd.core.pricing.tariffs import CorrectedTariff, LedgerTariff, corrections
from alertd.core.usage import Line
from tests.scenario import PRICES

FIRST, LAST = date(2026, 11, 1), date(2026, 11, 30)
LINE = Line("acme", "plain", "input")


def prices(note: dict[str, dict[str, str]], line: Line = LINE) -> list[tuple[int, Decimal]]:
    tariff = LedgerTariff(PriceBook((read_price_file("prices", PRICES),)), Ledger())
    runs = CorrectedTariff(tariff, corrections(note)).runs(line, FIRST, LAST)
    return [(day.day, price.amount * 1_000_000) for day, price in runs]


@pytest.mark.parametrize(
    ("since", "found"),
    [
        ("2026-11-18", [(1, Decimal(1)), (18, Decimal("1.25"))]),
        ("2026-10-18", [(1, Decimal("1.25"))]),
        ("2026-11-01", [(1, Decimal("1.25"))]),
        ("2026-12-01", [(1, Decimal(1))]),
    ],
)
def test_a_correction_holds_from_the_first_day_that_is_not_billed_yet(since, found):
    assert prices({"acme": {"factor": "1.25", "since": since}}) == found


def test_another_provider_s_prices_are_left_alone():
    assert prices({"other": {"factor": "1.25", "since": "2026-11-18"}}) == [(1, Decimal(1))]


def test_what_has_no_price_gets_none_by_a_correction():
    tariff = LedgerTariff(PriceBook(()), Ledger())
    note = {"acme": {"factor": "1.25", "since": "2026-11-18"}}
    runs = CorrectedTariff(tariff, corrections(note)).runs(LINE, FIRST, LAST)
    assert [type(price).__name__ for _, price in runs] == ["NoPrice", "NoPrice"]
