"""genai-prices as a price list: the unit price of a meter, read out of its data and never through its arithmetic.

Its `calc_price` puts a sum of tokens into the tier of a single request of that size, and ignores a key it does not
know; so the stored prices are read instead. What a request's size decides becomes a base price and a ceiling.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from importlib.metadata import version
from statistics import mode
from typing import Final

from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import (
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    TieredPrices,
)

from alertd.core.pricing.prices import Price, Unpriced
from alertd.core.usage import Modifiers

#: A meter's keys in the order of preference: tokens without a price of their own cost what their class costs.
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "input": ("input_mtok",),
    "cached_input": ("cache_read_mtok", "input_mtok"),
    "cache_write": ("cache_write_mtok", "input_mtok"),
    "output": ("output_mtok",),
    "batch_input": ("input_mtok",),
    "batch_output": ("output_mtok",),
    "requests": ("requests_kcount",),
}
_ONE_HOUR_WRITE: Final = ("cache_write_1h_mtok",)
_MILLION: Final = 1_000_000
_THOUSAND: Final = 1_000
#: Modifiers that select a variant, under the name the library gives them.
_VARIANTS: Final = {"tier": "service_tier", "processing": "processing", "speed": "speed", "search_type": "search_type"}
#: Who is asked for a model that is named without its provider: its makers, not those who resell it.
_MAKERS: Final = (
    "openai",
    "anthropic",
    "google",
    "mistral",
    "deepseek",
    "x-ai",
    "cohere",
    "voyageai",
    "moonshotai",
    "zai",
)
_TIERED: Final = "at least this: large requests are dearer, and their size is not known"
#: OpenRouter's suffix of what costs nothing; the list has such models without any price.
_FREE: Final = ":free"
_SUFFIXES: Final = {"k": 1_000, "m": 1_000_000}


@dataclass(frozen=True, slots=True)
class _Asked:
    """One question to the list: the keys that may price the meter, the variant, and how large each request was."""

    meter: str
    keys: tuple[str, ...]
    variant: Mapping[str, str]
    size: int | None


@dataclass(frozen=True, slots=True)
class _Found:
    amount: Decimal
    ceiling: Decimal
    note: str = ""
    assumed: str = ""
    above: int = 0


class GenaiPrices:
    """The bundled snapshot of genai-prices; nothing is fetched."""

    def __init__(self, snapshot: DataSnapshot | None = None) -> None:
        self._given = snapshot
        self._found: dict[tuple[str, str], tuple[Provider, ModelInfo] | None] = {}
        self.version: str = f"genai-prices {version('genai-prices')}"

    @property
    def _snapshot(self) -> DataSnapshot:
        """The bundled data is read when the first question comes: a book that answers all needs none of it."""
        return self._given or get_snapshot()

    def names(self) -> Iterator[str]:
        """Every model id of the list."""
        for provider in self._snapshot.providers:
            yield from (model.id for model in provider.models)

    def history(self, provider: str, model: str, meter: str, modifiers: Modifiers) -> tuple[Price, ...] | Unpriced:
        """A meter's unit prices in US dollars, oldest first. An empty provider: whoever the model's name belongs to."""
        found = self._sold(provider, model)
        if model.endswith(_FREE) and (provider == "openrouter" or (found and found[0].id == "openrouter")):
            return (
                Price("openrouter", model, Decimal(0), _MILLION, "USD", None, self.version, note="free by its name"),
            )
        if found is None:
            return Unpriced(f"genai-prices does not know {provider}/{model}".replace(" /", " "))
        seller, sold = found
        asked = _asked(meter, modifiers)
        if asked is None:
            said = ", ".join(f"{key}={value}" for key, value in modifiers)
            return Unpriced(f"genai-prices has no price for {meter} {said}".rstrip())
        return self._prices(seller, sold, asked)

    def _sold(self, provider: str, model: str) -> tuple[Provider, ModelInfo] | None:
        """Who sells a model, under which entry; misses are remembered too, the library searches for each anew."""
        if (provider, model) not in self._found:
            self._found[provider, model] = self._search(provider, model)
        return self._found[provider, model]

    def _search(self, provider: str, model: str) -> tuple[Provider, ModelInfo] | None:
        for seller in (provider or None, *(() if provider else _MAKERS)):
            try:
                return self._snapshot.find_provider_model(model, None, seller, None)
            except LookupError:
                continue
        return None

    def _prices(self, seller: Provider, sold: ModelInfo, asked: _Asked) -> tuple[Price, ...] | Unpriced:
        # A variant of a model that another provider lends is not this provider's: the library ignores it as well.
        own = any(sold is model for model in seller.models)
        variants = [one for one in sold.price_variants or () if own and _selects(one.when, asked.variant)]
        if asked.variant and not variants:
            return Unpriced(f"genai-prices has no {_said(asked.variant)} price of {seller.id} for {sold.id}")
        starts = _starts(sold, variants)
        steps: list[Price] = []
        for day in (None, *starts):
            found = _on(sold, asked, variants, day, starts)
            price = _priced(seller, sold, asked, found, day) if found else None
            if price and (not steps or _differs(price, steps[-1])):
                steps.append(price)
        return tuple(steps) or Unpriced(f"genai-prices has no {asked.meter} price for {sold.id}")


def _asked(meter: str, modifiers: Modifiers) -> _Asked | None:
    given = dict(modifiers)
    keys = _KEYS.get(meter)
    if meter == "cache_write" and given.get("cache_ttl") == "1h":
        keys = _ONE_HOUR_WRITE
        del given["cache_ttl"]
    size = _size(given.pop("context", ""))
    variant = {_VARIANTS.get(name, ""): value for name, value in given.items()}
    if keys is None or "" in variant:
        return None
    if meter.startswith("batch_"):
        variant["processing"] = "batch"
    return _Asked(meter, keys, variant, size)


def _size(context: str) -> int | None:
    """The least tokens of each request, by its context window (200k-1M) or its own size; None: not said."""
    plain = context.lower().replace(" ", "")
    if plain.startswith(("\u2264", "<")) and plain.lstrip("\u2264<=").rstrip("km").isdecimal():
        return 1
    above = plain.startswith(">") and plain[-1:] in _SUFFIXES
    least = plain.split("-")[0].removeprefix(">")
    scale = _SUFFIXES.get(least[-1:], 1)
    digits = least.rstrip("km")
    return int(digits) * scale + (1 if (above or "-" in plain) and int(digits) else 0) if digits.isdecimal() else None


def _selects(when: Mapping[str, str], variant: Mapping[str, str]) -> bool:
    return bool(variant) and all(variant.get(key) == value for key, value in when.items())


def _starts(sold: ModelInfo, variants: Sequence[PriceVariant]) -> tuple[date, ...]:
    """The days on which a price or a variant of it begins."""
    priced: Sequence[ConditionalPrice | PriceVariant] = sold.prices if isinstance(sold.prices, list) else ()
    constraints = [one.constraint for one in (*priced, *variants)]
    return tuple(sorted({one.start_date for one in constraints if isinstance(one, StartDateConstraint)}))


def _on(
    sold: ModelInfo, asked: _Asked, variants: Sequence[PriceVariant], day: date | None, starts: Sequence[date]
) -> _Found | None:
    """The price in force from a day on; None: before the first day on which anything changed."""
    used = day or (starts[0] - timedelta(days=1) if starts else date(2024, 1, 1))
    if not variants or any(_active(one, used) for one in variants):
        return _stored(sold, asked, used, asked.variant)
    # A discount whose beginning is not recorded held before: at the same part of the price of its time.
    first = min(one.constraint.start_date for one in variants if isinstance(one.constraint, StartDateConstraint))
    then, now = _stored(sold, asked, first, {}), _stored(sold, asked, used, {})
    part = _stored(sold, asked, first, asked.variant)
    if not (then and now and part):
        return None
    scale = now.amount / then.amount if then.amount != now.amount and then.amount else Decimal(1)
    said = f"the {_said(asked.variant)} price of {first}, the earliest known, is assumed"
    ceiling = part.ceiling if scale == 1 else part.ceiling * scale
    return _Found(part.amount if scale == 1 else part.amount * scale, ceiling, part.note, said, part.above)


def _active(variant: PriceVariant, day: date) -> bool:
    constraint = variant.constraint
    return not isinstance(constraint, StartDateConstraint) or day >= constraint.start_date


def _stored(sold: ModelInfo, asked: _Asked, day: date, variant: Mapping[str, str]) -> _Found | None:
    """What the list stores for a day: the price of most of its hours, and the dearest."""
    hours = [_of(sold.get_prices(datetime.combine(day, time(hour), UTC), variant), asked) for hour in range(24)]
    found = [hour for hour in hours if hour is not None]
    if not found:
        return None
    usual = mode(found)
    dearest = max(hour.ceiling for hour in found)
    by_hour = dearest > usual.ceiling
    note = usual.note or ("at least this: some hours of the day are dearer" if by_hour else "")
    return _Found(usual.amount, dearest, note, above=0 if by_hour else usual.above)


def _of(prices: ModelPrice, asked: _Asked) -> _Found | None:
    for key in asked.keys:
        value = getattr(prices, key)
        if value is not None:
            note = "" if key == asked.keys[0] else "no price of its own: billed as input"
            above = value.tiers[0].start if isinstance(value, TieredPrices) and asked.size is None else 0
            return _Found(*_amounts(value, asked.size), note, above=above)
    return None


def _amounts(value: Decimal | TieredPrices, size: int | None) -> tuple[Decimal, Decimal]:
    """The price and the dearest it can be: the tier of a request of this size, or the base and the last tier."""
    if not isinstance(value, TieredPrices):
        return value, value
    if size is None:
        return value.base, max(value.base, *(tier.price for tier in value.tiers))
    reached = [tier.price for tier in value.tiers if size > tier.start]
    amount = reached[-1] if reached else value.base
    return amount, amount


def _priced(seller: Provider, sold: ModelInfo, asked: _Asked, found: _Found, day: date | None) -> Price:
    oldest = sold.prices[0].constraint if isinstance(sold.prices, list) and sold.prices else None
    since = oldest.start_date if day is None and isinstance(oldest, StartDateConstraint) else day
    tiers = _TIERED if found.ceiling > found.amount else ""
    return Price(
        provider=seller.id,
        model=sold.id,
        amount=found.amount,
        per=_THOUSAND if asked.meter == "requests" else _MILLION,
        currency="USD",
        since=since,
        source=f"genai-prices {version('genai-prices')}",
        note=found.note or tiers,
        assumed=found.assumed,
        ceiling=found.ceiling if found.ceiling > found.amount else None,
        ceiling_above=found.above,
    )


def _differs(price: Price, other: Price) -> bool:
    return (price.amount, price.ceiling, price.assumed) != (other.amount, other.ceiling, other.assumed)


def _said(variant: Mapping[str, str]) -> str:
    return " ".join(variant.values())
