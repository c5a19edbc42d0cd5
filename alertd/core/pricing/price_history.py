"""The prices of one file, and a price's history: its amount from each day on, after ratios and discounts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar

from alertd.core.pricing.exchange_rates import Rate, days_of_change, in_force, is_assumed, ordered
from alertd.core.pricing.model_names import Candidate
from alertd.core.usage import Modifiers

#: Modifiers that change nothing where a file does not name them: one price holds for requests of any size.
INDIFFERENT: Final = frozenset({"context"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One published price: what a meter of some models costs from a day on. Names may be globs, in lower case."""

    provider: str
    models: tuple[str, ...]
    meter: str
    amount: Decimal
    per: int
    currency: str
    since: date | None = None
    modifiers: Modifiers = ()
    source: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A meter that is priced as a part of another meter's price; `of` is empty where it is the same meter's.

    `when` are the modifiers that it accounts for: what is left of them is looked up with the other meter.
    """

    provider: str
    models: tuple[str, ...]
    meter: str
    of: str
    ratio: Decimal
    since: date | None = None
    modifiers: Modifiers = ()
    source: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Discount:
    """A discount of a user's contract: the factor on every price of some models from a day on (0.85 for 15%)."""

    provider: str
    models: tuple[str, ...]
    ratio: Decimal
    since: date | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Alias:
    """What a user calls a model (an Azure deployment, an inference profile): it costs what `of` costs."""

    provider: str
    models: tuple[str, ...]
    of: str


Named = TypeVar("Named", Entry, Ratio, Discount)


@dataclass(frozen=True, slots=True)
class Layer:
    """A price file. `rules` are patches by rule name: what a later file leaves out stays as the earlier one has it."""

    name: str
    digest: str
    entries: tuple[Entry, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    discounts: tuple[Discount, ...] = ()
    rules: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    zones: Mapping[str, str] = field(default_factory=dict)
    indifferent: Mapping[str, frozenset[str]] = field(default_factory=dict)
    rates: tuple[Rate, ...] = ()
    aliases: tuple[Alias, ...] = ()

    def aliased(self, provider: str, model: str) -> str:
        """The model that a name means; "" if the file does not say."""
        fitting = (one for one in self.aliases if one.provider in ("", provider) and _closeness(one.models, model))
        return next((one.of for one in fitting), "")

    def prices(self, provider: str, model: str, meter: str, modifiers: Modifiers) -> tuple[Entry, ...]:
        """The history of one price, oldest first; empty without a price, or if several providers sell the model."""
        sold = (one for one in self.entries if one.meter == meter and _sold_by(one.provider, provider))
        return _history([one for one in sold if self._fits(one, modifiers)], model)

    def ratios_of(self, provider: str, model: str, meter: str, modifiers: Modifiers) -> tuple[Ratio, ...]:
        """The history of the ratio that prices a meter; the one that accounts for the most modifiers wins."""
        given = dict(modifiers)
        fitting = [
            ratio
            for ratio in self.ratios
            if ratio.meter in (meter, "*") and _sold_by(ratio.provider, provider) and _covers(ratio.modifiers, given)
        ]
        most = max((len(ratio.modifiers) for ratio in fitting), default=0)
        return _history([ratio for ratio in fitting if len(ratio.modifiers) == most], model)

    def discounts_of(self, provider: str, model: str) -> tuple[Discount, ...]:
        """The history of the user's discount on a model's prices."""
        return _history([one for one in self.discounts if _sold_by(one.provider, provider)], model)

    def has_places(self, provider: str, model: str, meter: str) -> bool:
        """Whether a price of the meter depends on the region."""
        own = (one for one in self.entries if one.meter == meter and _sold_by(one.provider, provider))
        return any("region" in dict(one.modifiers) and _closeness(one.models, model) for one in own)

    def names(self) -> Iterator[str]:
        """Every model that the file names without a glob."""
        yield from (name for entry in self.entries for name in entry.models if "*" not in name)

    def _fits(self, entry: Entry, modifiers: Modifiers) -> bool:
        wanted = dict(entry.modifiers)
        free = (INDIFFERENT | self.indifferent.get(entry.provider, frozenset())) - wanted.keys()
        given = {name: value for name, value in modifiers if name not in free}
        return given.keys() == wanted.keys() and _covers(entry.modifiers, given)


def _sold_by(seller: str, provider: str) -> bool:
    return provider in ("", seller) or ("*" in seller and fnmatchcase(provider, seller))


def _covers(wanted: Modifiers, given: Mapping[str, str]) -> bool:
    return all(name in given and fnmatchcase(given[name], pattern) for name, pattern in wanted)


def _history(candidates: Sequence[Named], model: str) -> tuple[Named, ...]:
    """The entries whose names fit the model most exactly: an exact name before a glob, a longer glob first."""
    scored = [(score, one) for one in candidates if (score := _closeness(one.models, model)) > 0]
    best = max((score for score, _ in scored), default=0)
    chosen = [one for score, one in scored if score == best]
    return ordered(chosen) if len({one.provider for one in chosen}) == 1 else ()


def _closeness(names: Sequence[str], model: str) -> int:
    """How exactly a name fits a model: 0 does not fit, larger is more exact."""
    if model in names:
        return 1_000_000
    return max((len(name) + 1 for name in names if "*" in name and fnmatchcase(model, name)), default=0)


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
    """No price is known; `reason` names what is missing. `known`: the model has prices, but not for this meter."""

    reason: str
    known: bool = False


#: Prices of one meter, oldest first, never empty.
History = tuple[Price, ...]


def from_entries(entries: Sequence[Entry], file: str, provider: str, model: str) -> History:
    """A file's entries as a history; `model` is the name that was asked for, shown where the file has only a glob."""
    return tuple(_from_entry(entry, file, provider or entry.provider, model) for entry in entries)


def joined(histories: Iterable[History]) -> History | None:
    """One history from several, the strongest first; a weaker one fills the days before a stronger one begins."""
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
    """The prices, each with what was assumed about the model's name added to what was assumed about the day."""
    if not said:
        return prices
    return tuple(replace(price, assumed="; ".join(part for part in (price.assumed, said) if part)) for price in prices)


def in_part(base: History, ratios: Sequence[Ratio]) -> History:
    """The history of a ratio of a price, such as half price for batches: one entry for each change of either."""
    steps = []
    for day in days_of_change(base, ratios):
        ratio = in_force(ratios, day or date.min)
        price = _times(in_force(base, day or date.min), ratio.ratio, day, ratio.note)
        early = is_assumed(ratio, day or date.min) and not price.assumed
        steps.append(replace(price, assumed=f"the earliest known ratio ({ratio.since}) is assumed") if early else price)
    return tuple(steps)


def discounted(prices: History, discounts: Sequence[Discount]) -> History:
    """The history of a price after the discounts of the user's contract."""
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
    """A line's modifiers as words for a reason: " of method dpo, type full"."""
    return " of " + ", ".join(f"{name} {value}" for name, value in modifiers) if modifiers else ""


def unplaced(place: str) -> str:
    """The assumption to report where a price is used without regard to its region."""
    return f"priced without its place: it may cost more in {place}"


def merged(modifiers: Modifiers, way: Candidate) -> Modifiers:
    """A line's modifiers with those that its model's name adds; the line's own win."""
    return tuple(sorted({**dict(way.modifiers), **dict(modifiers)}.items())) if way.modifiers else modifiers


def supposed(history: History, way: Candidate) -> History:
    """A price with the assumptions of its name; a region is ignored if the price itself names none."""
    own = history[0].model.startswith(("regional.", "global.", f"{way.place}."))
    said = (way.assumed, unplaced(way.place) if way.place and not own else "")
    return supposing(history, "; ".join(part for part in said if part))
