"""One price file as values: its prices, ratios, discounts, rules and rates, and how a line is found among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar

from alertd.core.pricing.dated import ordered
from alertd.core.pricing.fx import Rate
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
    """A user's contract: what is left of every price of some models from a day on (0.85 after 15 percent)."""

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
        """The model that a name stands for; "" where the file does not say."""
        fitting = (one for one in self.aliases if one.provider in ("", provider) and _closeness(one.models, model))
        return next((one.of for one in fitting), "")

    def prices(self, provider: str, model: str, meter: str, modifiers: Modifiers) -> tuple[Entry, ...]:
        """The history of one price, oldest first; nothing where there is none or several providers sell it."""
        fitting = [
            entry
            for entry in self.entries
            if entry.meter == meter and _sold_by(entry.provider, provider) and self._fits(entry, modifiers)
        ]
        return _history(fitting, model)

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
        """Whether a price of the meter depends on the place."""
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
    """Of what fits, the most literal names for the model: an exact name before a glob, a longer glob first."""
    scored = [(score, one) for one in candidates if (score := _closeness(one.models, model)) > 0]
    best = max((score for score, _ in scored), default=0)
    chosen = [one for score, one in scored if score == best]
    return ordered(chosen) if len({one.provider for one in chosen}) == 1 else ()


def _closeness(names: Sequence[str], model: str) -> int:
    """0: another model; otherwise the larger the more literal."""
    if model in names:
        return 1_000_000
    return max((len(name) + 1 for name in names if "*" in name and fnmatchcase(model, name)), default=0)
