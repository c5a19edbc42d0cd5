"""What the tables of this folder are read with: the built-in book, usage of one day, and its bill."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from alertd.clients.price_files import price_book
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.rating import Bill, rate
from alertd.core.usage import Line, Modifiers, Usage

Billed = Callable[..., Bill]


@pytest.fixture(scope="session")
def book() -> PriceBook:
    return price_book()


def used(
    provider: str, model: str, meter: str, quantity: int, day: date, *, modifiers: Modifiers = (), account: str = ""
) -> Usage:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return Usage(Line(provider, model, meter, modifiers, account), start, start + timedelta(days=1), quantity)


@pytest.fixture
def billed(book: PriceBook) -> Billed:
    """The bill of (provider, model, meter, quantity) rows, all used on one day."""

    def bill(day: str, *rows: tuple[str, str, str, int], **more: object) -> Bill:
        return rate([used(*row, date.fromisoformat(day), **more) for row in rows], book)  # type: ignore[arg-type]

    return bill
