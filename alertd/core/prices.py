"""The price book: dated unit prices in their own currency, found by provider, model, meter, modifiers and day of use.

The user's own files win over the built-in book, which wins over the price list of a library. What none of them knows
is Unpriced with its reason, never 0. Nothing here rounds, sums or converts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any, Final, Protocol

from alertd.core.dated import days_of_change, in_force, is_assumed
from alertd.core.model_names import SELF_HOSTED, Candidate, candidates, without_snapshot
from alertd.core.pricelayer import Discount, Entry, Layer, Ratio
from alertd.core.rules import PRO_RATA, FreeAllowance, Rule
from alertd.core.usage import Line, Modifiers

#: A ratio of a ratio of a price is the deepest that any provider publishes; more is a loop in a file.
_DEEPEST: Final = 4
#: A model that is sold has a price for one of these.
_TELLING: Final = ("input", "output", "minutes", "training")
_STANDARD: Final = {
    "tier": frozenset({"", "standard", "default", "auto", "on_demand", "scale"}),
    "speed": frozenset({"", "standard"}),
    "processing": frozenset({"", "realtime", "interactive"}),
    "region": frozenset({"", "global", "not_available"}),
    "cache_ttl": frozenset({"", "5m"}),
    "context": frozenset({""}),
}
_BATCH_METER: Final = {"input": "batch_input", "output": "batch_output"}


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

    @property
    def unit(self) -> Decimal:
        """The price of one token, request or minute."""
        return self.amount / self.per

    def of(self, quantity: int) -> Decimal:
        """The exact cost of a quantity, unrounded."""
        return self.amount * quantity / self.per


@dataclass(frozen=True, slots=True)
class Unpriced:
    """No price is known; the reason names what is missing."""

    reason: str


@dataclass(frozen=True, slots=True)
class Tariff:
    """A line with the price and the billing rule of one day."""

    line: Line
    price: Price
    rule: Rule

    @property
    def linear(self) -> bool:
        """Whether quantity times unit price is the cost."""
        return self.rule.linear


class PriceList(Protocol):
    """A library's prices, asked after the book: a meter's whole history, oldest first, or why there is none."""

    @property
    def version(self) -> str: ...

    def history(self, provider: str, model: str, meter: str, modifiers: Modifiers) -> tuple[Price, ...] | Unpriced: ...

    def names(self) -> Iterator[str]: ...


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Immutable layers, the first wins; answers are remembered, so that a lookup costs a dictionary's."""

    layers: tuple[Layer, ...] = ()
    price_list: PriceList | None = None
    _histories: dict[tuple[str, str, str, Modifiers], tuple[Price, ...] | Unpriced] = field(
        default_factory=dict, repr=False, compare=False
    )
    _rules: dict[tuple[str, str], tuple[Rule, ...]] = field(default_factory=dict, repr=False, compare=False)

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

    def tariff(self, line: Line, day: date) -> Tariff | Unpriced:
        """The price and the billing rule of a line on a day."""
        price = self.price(line, day)
        if isinstance(price, Unpriced):
            return price
        return Tariff(line, price, in_force(self.rules(price.provider, line.meter), day))

    def history(self, line: Line) -> tuple[Price, ...] | Unpriced:
        """Every price that a line ever had, oldest first."""
        key = (line.provider, line.model, line.meter, line.modifiers)
        if key not in self._histories:
            meter, modifiers = normalised(line.meter, line.modifiers)
            found = self._find(line.provider, line.model, meter, modifiers) or self._not_billed(line, meter)
            self._histories[key] = found or self._why_not(line, meter, modifiers)
        return self._histories[key]

    def rules(self, provider: str, meter: str) -> tuple[Rule, ...]:
        """The billing rules of a provider's meter, oldest first; pro rata where no file has one."""
        key = (provider, meter)
        if key not in self._rules:
            patches = [patch for layer in reversed(self.layers) for seller, patch in layer.rules if seller == provider]
            self._rules[key] = _rules_for(patches, meter)
        return self._rules[key]

    def zone(self, provider: str) -> str:
        """The IANA zone of a provider's billing days and months; UTC where no file says otherwise."""
        named = next(iter(candidates(provider, "")), None)
        seller = named.provider if named else provider
        return next((layer.zones[seller] for layer in self.layers if seller in layer.zones), "UTC")

    def nearest(self, model: str, count: int = 3) -> tuple[str, ...]:
        """The known models whose names are most like this one: for a message about one that has no price."""
        short = without_snapshot(model.lower().rsplit("/", 1)[-1])
        names: dict[str, None] = {}
        for layer in self.layers:
            names.update(dict.fromkeys(layer.names()))
        names.update(dict.fromkeys(self.price_list.names() if self.price_list else ()))
        return tuple(get_close_matches(short, list(names), n=count, cutoff=0.55))

    def _find(
        self, provider: str, model: str, meter: str, modifiers: Modifiers, depth: int = 0
    ) -> tuple[Price, ...] | None:
        """The history that all sources make together: the days before a source's first price are the next one's."""
        steps: tuple[Price, ...] = ()
        for history in self._histories_of(provider, model, meter, modifiers, depth):
            if not steps:
                steps = history
            first = steps[0].since
            if first is None:
                break
            steps = (*(price for price in history if (price.since or date.min) < first), *steps)
        return steps or None

    def _histories_of(
        self, provider: str, model: str, meter: str, modifiers: Modifiers, depth: int
    ) -> Iterator[tuple[Price, ...]]:
        """What each source knows, the strongest first."""
        ways = self._ways(provider, model, depth)
        for rank in range(len(self.layers)):
            for way in ways:
                for history in self._in_layer(rank, way, meter, modifiers, depth):
                    yield _assuming(history, way)
        if (listed := self._in_list(ways, meter, modifiers)) is not None:
            yield listed

    def _ways(self, provider: str, model: str, depth: int) -> tuple[Candidate, ...]:
        """How to read a name: another provider is asked only where the named one does not know the model at all."""
        ways = candidates(provider, model)
        own = tuple(way for way in ways if not way.elsewhere)
        if len(own) == len(ways) or depth > 0:
            return own
        known = any(self._find(way.provider, way.model, meter, (), 1) for way in own for meter in _TELLING)
        return own if known else ways

    def _in_layer(
        self, rank: int, way: Candidate, meter: str, modifiers: Modifiers, depth: int
    ) -> Iterator[tuple[Price, ...]]:
        """A file's own price, then what its ratio makes of another price."""
        layer = self.layers[rank]
        if entries := layer.prices(way.provider, way.model, meter, modifiers):
            yield self._discounted(rank, tuple(_from_entry(entry, layer, way) for entry in entries))
        ratios = layer.ratios_of(way.provider, way.model, meter, modifiers)
        if not ratios or depth >= _DEEPEST:
            return
        first = ratios[0]
        rest = tuple(pair for pair in modifiers if pair[0] not in dict(first.modifiers))
        base = self._find(way.provider, way.model, first.of or meter, rest, depth + 1)
        if base and fnmatchcase(base[0].provider, first.provider):
            yield _in_part(base, ratios)

    def _in_list(self, ways: Sequence[Candidate], meter: str, modifiers: Modifiers) -> tuple[Price, ...] | None:
        if self.price_list is None:
            return None
        for way in ways:
            if way.provider in SELF_HOSTED:
                continue
            found = self.price_list.history(way.provider, way.model, meter, modifiers)
            if not isinstance(found, Unpriced):
                return _assuming(self._discounted(len(self.layers), found), way)
        return None

    def _discounted(self, rank: int, prices: tuple[Price, ...]) -> tuple[Price, ...]:
        """Prices of a layer after the discounts of the layers above it."""
        for layer in self.layers[:rank]:
            if discounts := layer.discounts_of(prices[0].provider, prices[0].model):
                prices = tuple(_less(prices, discounts, day) for day in days_of_change(prices, discounts))
        return prices

    def _not_billed(self, line: Line, meter: str) -> tuple[Price, ...] | None:
        """Calls of a model that is sold by the token cost nothing of their own: that is known, not unpriced."""
        by_token = self._find(line.provider, line.model, "input", ()) if meter == "requests" else None
        if by_token is None:
            return None
        price = by_token[-1]
        return (
            replace(price, amount=Decimal(0), per=1, since=None, ceiling=None, note="calls are not billed, tokens are"),
        )

    def _why_not(self, line: Line, meter: str, modifiers: Modifiers) -> Unpriced:
        """Why there is no price, as narrowly as the book knows."""
        name = f"{line.provider}/{line.model}" if line.provider else line.model
        if any(way.provider in SELF_HOSTED for way in candidates(line.provider, line.model)):
            return Unpriced(f"{name} is self-hosted: put your own rate into a price file")
        if modifiers and self._find(line.provider, line.model, meter, ()):
            said = ", ".join(f"{key}={value}" for key, value in modifiers)
            return Unpriced(f"{name} has a price for {meter}, but none is known for {said}")
        if any(self._find(line.provider, line.model, other, ()) for other in _TELLING):
            return Unpriced(f"{name} is known, but has no price for {meter}")
        return Unpriced(f"no price is known for {name}: add one to a price file")


def normalised(meter: str, modifiers: Modifiers) -> tuple[str, Modifiers]:
    """A line's meter and modifiers without what changes no price: standard tiers go, batch becomes the batch meter."""
    left: dict[str, str] = {}
    for written, value in modifiers:
        name = "tier" if written == "service_tier" else written
        if name == "batch":
            name, value = "processing", "batch" if value.lower() in {"true", "1", "yes", "batch"} else ""  # noqa: PLW2901 - one meaning, two spellings
        if name == "tier" and value.lower() == "batch":
            name, value = "processing", "batch"  # noqa: PLW2901 - as above
        if value.lower() not in _STANDARD.get(name, frozenset({""})):
            left[name] = value
    if left.get("processing") == "batch" and (meter in _BATCH_METER or meter in _BATCH_METER.values()):
        del left["processing"]
        meter = _BATCH_METER.get(meter, meter)
    if meter != "cache_write":
        left.pop("cache_ttl", None)
    return meter, tuple(sorted(left.items()))


def _from_entry(entry: Entry, layer: Layer, way: Candidate) -> Price:
    model = way.model if any("*" in name for name in entry.models) else entry.models[0]
    source = f"{layer.name}: {entry.source}" if entry.source else layer.name
    seller = way.provider or entry.provider
    return Price(seller, model, entry.amount, entry.per, entry.currency, entry.since, source, entry.note)


def _assuming(prices: tuple[Price, ...], way: Candidate) -> tuple[Price, ...]:
    """The prices with what had to be supposed about the name, beside what was supposed about the day."""
    if not way.assumed:
        return prices
    return tuple(
        replace(price, assumed="; ".join(part for part in (price.assumed, way.assumed) if part)) for price in prices
    )


def _in_part(base: Sequence[Price], ratios: Sequence[Ratio]) -> tuple[Price, ...]:
    """A price and a ratio, each with its history, as one history of prices."""
    steps = []
    for day in days_of_change(base, ratios):
        ratio = in_force(ratios, day or date.min)
        price = _times(in_force(base, day or date.min), ratio.ratio, day, ratio.note)
        early = is_assumed(ratio, day or date.min) and not price.assumed
        steps.append(replace(price, assumed=f"the earliest known ratio ({ratio.since}) is assumed") if early else price)
    return tuple(steps)


def _less(prices: Sequence[Price], discounts: Sequence[Discount], day: date | None) -> Price:
    """The price of a day after the discount of that day; a discount is never assumed for the time before it."""
    price, share = in_force(prices, day or date.min), in_force(discounts, day or date.min)
    if is_assumed(share, day or date.min):
        return replace(price, since=day)
    return _times(price, share.ratio, day, share.note)


def _times(price: Price, ratio: Decimal, since: date | None, note: str) -> Price:
    ceiling = None if price.ceiling is None else price.ceiling * ratio
    said = "; ".join(part for part in (note, price.note) if part)
    return replace(price, amount=price.amount * ratio, ceiling=ceiling, since=since, note=said)


def _rules_for(patches: Iterable[Mapping[str, Any]], meter: str) -> tuple[Rule, ...]:
    merged: dict[str, dict[str, Any]] = {}
    for patch in patches:
        rule = merged.setdefault(patch["name"], {})
        free = {**rule.get("free", {}), **patch.get("free", {})}
        rule.update({**patch, "free": free})
    own = [one for one in merged.values() if meter in one.get("meters", ())]
    chosen = own or [one for one in merged.values() if not one.get("meters")]
    rules = sorted((_rule(one) for one in chosen), key=lambda rule: rule.since or date.min)
    return tuple(rules) or (PRO_RATA,)


def _rule(patch: Mapping[str, Any]) -> Rule:
    fields = {key: value for key, value in patch.items() if key not in ("meters", "free")}
    free = patch.get("free")
    return Rule(**fields, free=FreeAllowance(**free) if free else None)
