"""A price and its history: what one meter cost from which day on, and what ratios, discounts and sources make of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Final

from alertd.core.pricing.dated import days_of_change, in_force, is_assumed
from alertd.core.pricing.model_names import Candidate
from alertd.core.pricing.pricelayer import Discount, Entry, Ratio
from alertd.core.usage import Modifiers

#: In place of an hour: the day is a Saturday or a Sunday.
WEEKEND: Final = -1


@dataclass(frozen=True, slots=True)
class Price:
    """What `per` units of a meter cost, from which day, by which source; `provider` and `model` as the book names them.

    `ceiling` is the dearest that the same units can cost where the price depends on the size of a single request and
    that size is not known: the cost is at least `amount` and at most `ceiling`. Requests of up to `ceiling_above` input
    tokens never reach it.
    """

    provider: str
    model: str
    amount: Decimal
    per: int
    currency: str
    since: date | None = None
    source: str = ""
    note: str = ""
    assumed: str = ""
    ceiling: Decimal | None = None
    ceiling_above: int = 0
    #: What the units cost in each hour of the UTC day, where that differs; `weekdays_only`: on Saturdays and Sundays
    #: they cost `amount` in every hour.
    hourly: tuple[Decimal, ...] = ()
    weekdays_only: bool = False

    def in_hour(self, hour: int) -> Price:
        """The price in one hour of the UTC day; `WEEKEND` for any hour of a day without dearer ones."""
        if not self.hourly:
            return self
        weekend = hour == WEEKEND and self.weekdays_only
        amount = self.amount if weekend else self.hourly[max(hour, 0)]
        said = "on a day without dearer hours" if weekend else f"in an hour at {amount.normalize():f}"
        return replace(self, amount=amount, ceiling=None, hourly=(), note=f"the price {said}")

    @property
    def unit(self) -> Decimal:
        """The price of one token, request or minute."""
        return self.amount / self.per

    def of(self, quantity: int) -> Decimal:
        """The exact cost of a quantity, unrounded."""
        return self.amount * quantity / self.per


@dataclass(frozen=True, slots=True)
class Unpriced:
    """No price is known; the reason names what is missing. `known`: the model is, and only this has no price."""

    reason: str
    known: bool = False


#: Prices of one meter, oldest first, never empty.
History = tuple[Price, ...]


def from_entries(entries: Sequence[Entry], file: str, provider: str, model: str) -> History:
    """A file's entries as a history; `model` is the name that was asked for, shown where the file has only a glob."""
    return tuple(_from_entry(entry, file, provider or entry.provider, model) for entry in entries)


def joined(histories: Iterable[History]) -> History | None:
    """The history that all sources make together: the days before a source's first price are the next one's."""
    steps: History = ()
    for history in histories:
        if not steps:
            steps = history
        first = steps[0].since
        if first is None:
            break
        steps = (*(price for price in history if (price.since or date.min) < first), *steps)
    return steps or None


def supposing(prices: History, said: str) -> History:
    """The prices with what had to be supposed about the name, beside what was supposed about the day."""
    if not said:
        return prices
    return tuple(replace(price, assumed="; ".join(part for part in (price.assumed, said) if part)) for price in prices)


def in_part(base: History, ratios: Sequence[Ratio]) -> History:
    """A price and a ratio, each with its history, as one history of prices."""
    steps = []
    for day in days_of_change(base, ratios):
        ratio = in_force(ratios, day or date.min)
        price = _times(in_force(base, day or date.min), ratio.ratio, day, ratio.note)
        early = is_assumed(ratio, day or date.min) and not price.assumed
        steps.append(replace(price, assumed=f"the earliest known ratio ({ratio.since}) is assumed") if early else price)
    return tuple(steps)


def discounted(prices: History, discounts: Sequence[Discount]) -> History:
    """A history after a contract's discounts."""
    return tuple(_less(prices, discounts, day) for day in days_of_change(prices, discounts))


def _less(prices: History, discounts: Sequence[Discount], day: date | None) -> Price:
    """The price of a day after the discount of that day; a discount is never assumed for the time before it."""
    price, share = in_force(prices, day or date.min), in_force(discounts, day or date.min)
    if is_assumed(share, day or date.min):
        return replace(price, since=day)
    return _times(price, share.ratio, day, share.note)


def _times(price: Price, ratio: Decimal, since: date | None, note: str) -> Price:
    ceiling = None if price.ceiling is None else price.ceiling * ratio
    said = "; ".join(part for part in (note, price.note) if part)
    hourly = tuple(amount * ratio for amount in price.hourly)
    return replace(price, amount=price.amount * ratio, ceiling=ceiling, since=since, note=said, hourly=hourly)


def _from_entry(entry: Entry, file: str, provider: str, model: str) -> Price:
    name = model if any("*" in name for name in entry.models) else entry.models[0]
    source = f"{file}: {entry.source}" if entry.source else file
    return Price(provider, name, entry.amount, entry.per, entry.currency, entry.since, source, entry.note)


def refined(modifiers: Modifiers) -> str:
    """What a line is refined by, for a reason: " of method dpo, type full"."""
    return " of " + ", ".join(f"{name} {value}" for name, value in modifiers) if modifiers else ""


def unplaced(place: str) -> str:
    """What is supposed where a place is left out of account."""
    return f"priced without its place: it may cost more in {place}"


def merged(modifiers: Modifiers, way: Candidate) -> Modifiers:
    """A line's modifiers and what its name says; the line's own go before."""
    return tuple(sorted({**dict(way.modifiers), **dict(modifiers)}.items())) if way.modifiers else modifiers


def supposed(history: History, way: Candidate) -> History:
    """A price with what its reading supposes; a place is left out of account where the price itself names none."""
    own = history[0].model.startswith(("regional.", "global.", f"{way.place}."))
    said = (way.assumed, unplaced(way.place) if way.place and not own else "")
    return supposing(history, "; ".join(part for part in said if part))
