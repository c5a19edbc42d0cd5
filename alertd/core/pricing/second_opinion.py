"""A second price list beside the book: where the two disagree, nobody knows which is right, and people are notified.

The second list never prices anything. A price that a user's own file gives is settled and not compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Final

from alertd.core.pricing.model_names import candidates
from alertd.core.pricing.modifiers import normalised
from alertd.core.pricing.prices import Price, PriceBook, PriceList, Unpriced
from alertd.core.usage import Line

#: Two lists disagree where the prices differ by more than this part of the lower one.
DISAGREES: Final = Decimal("0.10")


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One line for which two lists have different prices, both per the same number of units."""

    line: Line
    ours: Price
    theirs: Price

    @property
    def said(self) -> str:
        """For people: mistral-large-latest input: prices disagree: 2.00 USD (one list) or 0.50 USD (other) per 1M."""
        first, second = (f"{_figure(one)} ({one.source})" for one in (self.ours, self.theirs))
        name = " ".join(part for part in (self.line.model, self.line.meter) if part)
        return f"{name}: prices disagree: {first} or {second}{_per(self.ours)}"


def other_price(book: PriceBook, line: Line, per: int, day: date) -> Price | None:
    """What the second list has for a line on a day, per as many units; None where it has nothing."""
    if book.second is None:
        return None
    key = (replace(line, account=""), day)
    if key not in book.others:
        book.others[key] = _of_second(book.second, line, day)
    found = book.others[key]
    if found is None:
        return None
    scale = Decimal(per) / found.per
    ceiling = None if found.ceiling is None else found.ceiling * scale
    return replace(found, amount=found.amount * scale, per=per, ceiling=ceiling)


def _of_second(second: PriceList, line: Line, day: date) -> Price | None:
    meter, modifiers = normalised(line.meter, line.modifiers)
    for way in candidates(line.provider, line.model):
        if way.elsewhere or way.place or way.assumed:
            continue  # the same model, or none
        given = tuple(sorted({**dict(way.modifiers), **dict(modifiers)}.items()))
        found = second.history(way.provider, way.model, meter, given)
        if not isinstance(found, Unpriced):
            return next((one for one in reversed(found) if one.since is None or one.since <= day), found[0])
    return None


def disagreements(book: PriceBook, lines: Iterable[Line], day: date) -> Iterator[Disagreement]:
    """The lines whose list price differs from the second list's by more than 10%, in the order given."""
    if book.second is None:
        return
    listed = book.without_own()
    for line in dict.fromkeys(replace(line, account="") for line in lines):
        price = listed.price(line, day)
        if isinstance(price, Unpriced) or book.is_own_price(line, day):
            continue
        theirs = other_price(book, line, price.per, day)
        if theirs is not None and _disagree(price, theirs):
            yield Disagreement(line, price, theirs)


def _disagree(ours: Price, theirs: Price) -> bool:
    """Whether the second list's price is none that ours may mean: a range where it depends on a request's size."""
    if ours.currency != theirs.currency or not _differs(ours.amount, theirs.amount):
        return False
    within = ours.ceiling is not None and ours.amount <= theirs.amount <= ours.ceiling
    return theirs.ceiling is not None or not within


def _differs(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) > DISAGREES * min(one, other)


def price_text(amount: Decimal | str) -> str:
    """A price with every digit that says something, and at least two."""
    value = Decimal(amount).normalize()
    exponent = value.as_tuple().exponent
    return f"{value:.{max(2, -exponent if isinstance(exponent, int) else 0)}f}"


def _figure(price: Price) -> str:
    return f"{price_text(price.amount)} {price.currency}"


def _per(price: Price) -> str:
    return {1_000_000: " per 1M", 1_000: " per 1,000", 1: " each"}.get(price.per, f" per {price.per:,}")
