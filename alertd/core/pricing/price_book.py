"""The price book: dated unit prices in their own currency, found by provider, model, meter, modifiers and day of use.

The user's own files win over the built-in book, which wins over the price list of a library. What none of them knows
is Unpriced with its reason, never 0. Nothing here rounds, sums or converts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Final, Protocol

from alertd.core.pricing.exchange_rates import in_force, is_assumed
from alertd.core.pricing.model_names import Candidate, candidates, is_opaque
from alertd.core.pricing.modifiers import normalised, of_training
from alertd.core.pricing.price_history import (
    History,
    Layer,
    Price,
    Unpriced,
    discounted,
    from_entries,
    in_part,
    joined,
    merged,
    refined,
    supposed,
    supposing,
    unplaced,
)
from alertd.core.pricing.rating_rules import BillingRule, rules_for
from alertd.core.spellings import SELF_HOSTED, provider_id, without_snapshot
from alertd.core.usage import Line, Modifiers

__all__ = ["Price", "PriceBook", "PriceList", "PricedLine", "Unpriced"]

#: A ratio of a ratio of a price is the deepest that any provider publishes; more is a loop in a file.
_DEEPEST: Final = 4
#: A model that is sold has a price for one of these.
_MAIN_METERS: Final = ("input", "output", "minutes", "training")
#: Units of time priced by the minute: (factor of the amount, factor of the units) against minutes.
_TIMES: Final = {"hours": (60, 1), "seconds": (1, 60)}
#: Providers whose model names have a region as a part of a path; a region beside the name is read like one.
_BY_PLACE: Final = frozenset({"aws", "azure"})


@dataclass(frozen=True, slots=True)
class PricedLine:
    """A line with the price and the billing rule of one day."""

    line: Line
    price: Price
    rule: BillingRule

    @property
    def linear(self) -> bool:
        """Whether quantity times unit price is the cost."""
        return self.rule.linear


class PriceList(Protocol):
    """A library's prices, used after the book: the history of a meter, oldest first, or the reason if missing."""

    @property
    def version(self) -> str: ...

    def history(self, provider: str, model: str, meter: str, modifiers: Modifiers) -> History | Unpriced: ...

    def names(self) -> Iterator[str]: ...


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Price files in order of strength, the first wins. Immutable; every lookup is cached."""

    layers: tuple[Layer, ...] = ()
    price_list: PriceList | None = None
    #: Another list, to compare with; it prices nothing.
    second: PriceList | None = None
    #: How many of the layers are the user's own.
    own: int = 0
    _histories: dict[tuple[str, str, str, Modifiers], History | Unpriced] = field(
        default_factory=dict, repr=False, compare=False
    )
    #: The second list's answers, by line and day: a name is searched for once.
    others: dict[tuple[Line, date], Price | None] = field(default_factory=dict, repr=False, compare=False)
    _near: dict[tuple[str, int], tuple[str, ...]] = field(default_factory=dict, repr=False, compare=False)
    _listed: list[PriceBook] = field(default_factory=list, repr=False, compare=False)
    _rules: dict[tuple[str, str], tuple[BillingRule, ...]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def version(self) -> str:
        """A digest of every price file and the list's version: the same string, the same prices."""
        parts = [layer.digest for layer in self.layers] + [self.price_list.version if self.price_list else ""]
        return sha256("\n".join(parts).encode()).hexdigest()[:12]

    def price(self, line: Line, day: date) -> Price | Unpriced:
        """The price of a line on a day of use (in the provider's zone); the earliest known is assumed before it."""
        history = self.history(line)
        if isinstance(history, Unpriced):
            return history
        price = in_force(history, day)
        if is_assumed(price, day):
            return replace(price, assumed=f"the earliest known price ({price.since}) is assumed for {day}")
        return price

    def without_own(self) -> PriceBook:
        """The book as it ships, without the user's files."""
        return self._parts()[0] if self.own else self

    def is_own_price(self, line: Line, day: date) -> bool:
        """Whether a user's own file gives the price itself, not only a discount on a listed one."""
        return bool(self.own) and isinstance(self._parts()[1].price(line, day), Price)

    def _parts(self) -> list[PriceBook]:
        """The layers that ship with alertd, and those of the user."""
        if not self._listed:
            ships = PriceBook(self.layers[self.own :], self.price_list)
            self._listed.extend((ships, PriceBook(self.layers[: self.own])))
        return self._listed

    def is_hourly(self, line: Line) -> bool:
        """Whether any price of a line depends on the hour of the day."""
        history = self.history(line)
        return not isinstance(history, Unpriced) and any(price.hourly for price in history)

    def tariff(self, line: Line, day: date) -> PricedLine | Unpriced:
        """The price and the billing rule of a line on a day."""
        price = self.price(line, day)
        if isinstance(price, Unpriced):
            return price
        return PricedLine(line, price, in_force(self.rules(price.provider, line.meter), day))

    def history(self, line: Line) -> History | Unpriced:
        """Every price that a line ever had, oldest first."""
        key = (line.provider, line.model, line.meter, line.modifiers)
        if key not in self._histories:
            meter, modifiers = normalised(line.meter, line.modifiers)
            if meter == "training":
                modifiers = of_training(line.model, modifiers)
            self._histories[key] = self._searched(line, meter, modifiers) or self._why_not(line, meter, modifiers)
        return self._histories[key]

    def _searched(self, line: Line, meter: str, modifiers: Modifiers) -> History | None:
        """The history of the closest known price; hours and seconds are derived from minutes if only those have one."""
        found = self._find(line.provider, line.model, meter, modifiers) or self._relaxed(line, meter, modifiers)
        if found is None and meter in _TIMES:
            times, per = _TIMES[meter]
            minutes = self._searched(line, "minutes", modifiers) or ()
            return tuple(replace(one, amount=one.amount * times, per=one.per * per) for one in minutes) or None
        return found or self._not_billed(line, meter)

    def _relaxed(self, line: Line, meter: str, modifiers: Modifiers) -> History | None:
        """The price of text where audio or image tokens have none; then the price without regard to region."""
        rest = tuple(pair for pair in modifiers if pair[0] != "modality")
        found = self._find(line.provider, line.model, meter, rest) if rest != modifiers else None
        return found or self._without_place(line, meter, modifiers) or self._without_place(line, meter, rest)

    def _without_place(self, line: Line, meter: str, modifiers: Modifiers) -> History | None:
        """The price without the line's region, marked as assumed, where no file prices the region itself."""
        place = dict(modifiers).get("region", "")
        rest = tuple(pair for pair in modifiers if pair[0] != "region")
        if not place or self._has_places(line, meter):
            return None
        if provider_id(line.provider) in _BY_PLACE:
            return self._find(line.provider, f"{place}/{line.model}", meter, rest)
        found = self._find(line.provider, line.model, meter, rest)
        return found and supposing(found, unplaced(place))

    def _has_places(self, line: Line, meter: str) -> bool:
        """Whether a file prices the model by region: then a region that it does not list is unpriced."""
        ways = [way for way in candidates(line.provider, line.model) if not way.elsewhere]
        return any(layer.has_places(way.provider, way.model, meter) for layer in self.layers for way in ways)

    def rules(self, provider: str, meter: str) -> tuple[BillingRule, ...]:
        """The billing rules of a provider's meter, oldest first; pro rata where no file has one."""
        key = (provider, meter)
        if key not in self._rules:
            patches = [patch for layer in reversed(self.layers) for seller, patch in layer.rules if seller == provider]
            self._rules[key] = rules_for(patches, meter)
        return self._rules[key]

    def zone(self, provider: str) -> str:
        """The IANA zone of a provider's billing days and months; UTC where no file says otherwise."""
        named = next(iter(candidates(provider, "")), None)
        seller = named.provider if named else provider
        return next((layer.zones[seller] for layer in self.layers if seller in layer.zones), "UTC")

    def zone_of(self, line: Line) -> str:
        """The zone of the provider that a line is billed by, however its name is written."""
        history = self.history(line)
        return self.zone(line.provider if isinstance(history, Unpriced) else history[0].provider)

    def nearest(self, model: str, count: int = 3) -> tuple[str, ...]:
        """The known models whose names are most like this one and are not its own; for a message about no price."""
        if (model, count) not in self._near:
            self._near[model, count] = self._nearest(model.strip().lower(), count)
        return self._near[model, count]

    def _nearest(self, written: str, count: int) -> tuple[str, ...]:
        short = without_snapshot(written.rsplit("/", 1)[-1])
        names: dict[str, str] = {}
        for source in (*(layer.names() for layer in self.layers), self.price_list.names() if self.price_list else ()):
            for name in source:
                names.setdefault(name.lower(), name)
        for own in (written, short):
            names.pop(own, None)
        found = get_close_matches(short, list(names), n=count, cutoff=0.55)
        return tuple(names[name] for name in found)

    def _find(self, provider: str, model: str, meter: str, modifiers: Modifiers, depth: int = 0) -> History | None:
        return joined(self._histories_of(provider, model, meter, modifiers, depth))

    def _histories_of(
        self, provider: str, model: str, meter: str, modifiers: Modifiers, depth: int
    ) -> Iterator[History]:
        """The price histories of each layer, the strongest first."""
        ways = self._ways(provider, model, depth)
        for rank in range(len(self.layers)):
            for way in ways:
                for history in self._in_layer(rank, way, meter, merged(modifiers, way), depth):
                    yield supposed(history, way)
        if (listed := self._in_list(ways, meter, modifiers)) is not None:
            yield listed

    def _ways(self, provider: str, model: str, depth: int) -> tuple[Candidate, ...]:
        """The readings of a model's name; other providers are tried only if the named one does not know the model."""
        ways = candidates(provider, self._alias(provider, model))
        own = tuple(way for way in ways if not way.elsewhere)
        if len(own) == len(ways) or depth > 0:
            return own
        known = any(self._find(way.provider, way.model, meter, (), 1) for way in own for meter in _MAIN_METERS)
        return own if known else ways

    def _in_layer(self, rank: int, way: Candidate, meter: str, modifiers: Modifiers, depth: int) -> Iterator[History]:
        """A file's own price, else its ratio times another price."""
        layer = self.layers[rank]
        if entries := layer.prices(way.provider, way.model, meter, modifiers):
            yield self._discounted(rank, from_entries(entries, layer.name, way.provider, way.model))
        ratios = layer.ratios_of(way.provider, way.model, meter, modifiers)
        if not ratios or depth >= _DEEPEST:
            return
        first = ratios[0]
        rest = tuple(pair for pair in modifiers if pair[0] not in dict(first.modifiers))
        base = self._find(way.provider, way.model, first.of or meter, rest, depth + 1)
        if base and fnmatchcase(base[0].provider, first.provider):
            yield in_part(base, ratios)

    def _in_list(self, ways: Sequence[Candidate], meter: str, modifiers: Modifiers) -> History | None:
        if self.price_list is None:
            return None
        for way in ways:
            if way.provider in SELF_HOSTED:
                continue
            found = self.price_list.history(way.provider, way.model, meter, merged(modifiers, way))
            if not isinstance(found, Unpriced):
                return supposed(self._discounted(len(self.layers), found), way)
        return None

    def _alias(self, provider: str, model: str) -> str:
        """The model that a user's file says is behind a name (a deployment, an inference profile); else the name."""
        seller = provider_id(provider)
        found = (layer.aliased(seller, model.strip().lower()) for layer in self.layers)
        return next((name for name in found if name), model)

    def _discounted(self, rank: int, prices: History) -> History:
        """The prices of a layer after the discounts of all stronger layers."""
        for layer in self.layers[:rank]:
            if discounts := layer.discounts_of(prices[0].provider, prices[0].model):
                prices = discounted(prices, discounts)
        return prices

    def _not_billed(self, line: Line, meter: str) -> History | None:
        """A price of 0 for calls of a model that is billed by token: its calls are free, not unpriced."""
        by_token = self._find(line.provider, line.model, "input", ()) if meter == "requests" else None
        if by_token is None:
            return None
        price = by_token[-1]
        return (
            replace(price, amount=Decimal(0), per=1, since=None, ceiling=None, note="calls are not billed, tokens are"),
        )

    def _why_not(self, line: Line, meter: str, modifiers: Modifiers) -> Unpriced:
        """The most exact reason why there is no price."""
        name = f"{line.provider}/{line.model}" if line.provider else line.model
        if is_opaque(line.model):
            return Unpriced(f"{name} does not say which model it is: name it with [[alias]] in a price file")
        if any(way.provider in SELF_HOSTED for way in candidates(line.provider, line.model)):
            return Unpriced(f"{name} is self-hosted: put your own rate into a price file")
        if modifiers and self._find(line.provider, line.model, meter, ()):
            said = ", ".join(f"{key}={value}" for key, value in modifiers)
            return Unpriced(f"{name} has a price for {meter}, but none is known for {said}", known=True)
        if any(self._find(line.provider, line.model, other, ()) for other in _MAIN_METERS):
            return Unpriced(f"{name} is known, but has no price for {meter}{refined(modifiers)}", known=True)
        return Unpriced(f"no price is known for {name}: add one to a price file")
