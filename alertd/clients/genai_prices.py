"""genai-prices as a price list: unit prices are read from its data; its own calculation is not used.

Its `calc_price` puts a sum of tokens into the tier of a single request of that size, and ignores a key it does not
know; so the stored prices are read instead. What a request's size decides becomes a base price and a ceiling.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from importlib.metadata import version
from statistics import mode
from typing import Final

from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import (
    ClauseAnd,
    ClauseEquals,
    ClauseOr,
    ConditionalPrice,
    MatchLogic,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    TieredPrices,
)

from alertd.clients.genai_price_keys import OTHERWISE, KeyQuery, asked_of
from alertd.core.pricing.modifiers import Size
from alertd.core.pricing.price_book import Price, Unpriced
from alertd.core.usage import Modifiers

#: Units of one price, where it is not a million tokens.
_PER: Final = {"requests": 1_000, "minutes": 60, "web_searches": 1_000, "pages": 1_000}
_MILLION: Final = 1_000_000
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
#: Who sells whose models at prices of its own, for which the list has only the maker's.
_LENT_DEARER: Final = frozenset({("azure", maker) for maker in ("deepseek", "grok", "kimi")})
#: Whose dearer hours are those of working days; the list has hours without days.
_WORKING_HOURS: Final = frozenset({"deepseek"})
#: What Bedrock puts behind a name.
_VERSION: Final = re.compile(r"(?:-20\d{6})?(?:-v\d+(?::\d+)?)?\Z")
#: What may follow an entry's name without naming another model.
_SAME_MODEL: Final = re.compile(
    r"(?:[-@:.](?:20\d{6}|20\d\d-\d\d-\d\d|\d\d-\d{4}|\d{2,4}|v\d+(?::\d+)*|latest|default|preview|exp|beta|thinking|instruct|it|0)"
    r"|\[\d+[km]\])*"
)


@dataclass(frozen=True, slots=True)
class _FoundPrice:
    amount: Decimal
    ceiling: Decimal
    note: str = ""
    assumed: str = ""
    above: int = 0
    hourly: tuple[Decimal, ...] = ()


class GenaiPrices:
    """A snapshot of genai-prices, by default the one that ships with it; nothing is fetched."""

    def __init__(self, snapshot: DataSnapshot | None = None, source: str = "") -> None:
        """`source` says where a snapshot is from that does not ship with the library."""
        self._given = snapshot
        self._found: dict[tuple[str, str], tuple[Provider, ModelInfo] | None] = {}
        self.version: str = source or f"genai-prices {version('genai-prices')}"

    @property
    def _snapshot(self) -> DataSnapshot:
        """The bundled data is read when the first question comes: a book that answers all needs none of it."""
        return self._given or get_snapshot()

    def names(self) -> Iterator[str]:
        """Every model id of the list."""
        for provider in self._snapshot.providers:
            yield from (model.id for model in provider.models)

    def history(self, provider: str, model: str, meter: str, modifiers: Modifiers) -> tuple[Price, ...] | Unpriced:
        """A meter's unit prices in US dollars, oldest first.

        An empty provider: the one that the model's name belongs to.
        """
        found = self._sold(provider, model)
        if model.endswith(_FREE):
            listing = found[0].id if found and provider else "openrouter"
            return (Price(listing, model, Decimal(0), _MILLION, "USD", None, self.version, note="free by its name"),)
        if found is None:
            return Unpriced(f"genai-prices does not know {provider}/{model}".replace(" /", " "))
        seller, sold = found
        asked = asked_of(meter, modifiers)
        if asked is None:
            said = ", ".join(f"{key}={value}" for key, value in modifiers)
            return Unpriced(f"genai-prices has no price for {meter} {said}".rstrip())
        prices = self._prices(seller, sold, asked)
        said = _supposed(seller, sold, model)
        if isinstance(prices, Unpriced) or not said:
            return prices
        return tuple(replace(one, assumed="; ".join(filter(None, (one.assumed, said)))) for one in prices)

    def _sold(self, provider: str, model: str) -> tuple[Provider, ModelInfo] | None:
        """The provider and the entry of a model, or None. Cached, because the library searches each time."""
        if (provider, model) not in self._found:
            self._found[provider, model] = self._search(provider, model)
        return self._found[provider, model]

    def _search(self, provider: str, model: str) -> tuple[Provider, ModelInfo] | None:
        for seller in (provider or None, *(() if provider else _MAKERS)):
            try:
                return self._snapshot.find_provider_model(model, None, seller, None)
            except LookupError:
                continue
        return self._without_maker(provider, model) if provider and "/" not in model else None

    def _without_maker(self, provider: str, model: str) -> tuple[Provider, ModelInfo] | None:
        """The one entry of a seller that is called so behind its maker's name (meta-llama/Llama-3.3-70B)."""
        sellers = [one for one in self._snapshot.providers if one.id == provider]
        found = [(one, sold) for one in sellers for sold in one.models if _short_name(sold) == model]
        return found[0] if len(found) == 1 else None

    def _prices(self, seller: Provider, sold: ModelInfo, asked: KeyQuery) -> tuple[Price, ...] | Unpriced:
        # A variant of a model that another provider lends is not this provider's: the library ignores it as well.
        own = any(sold is model for model in seller.models)
        variants = [one for one in sold.price_variants or () if own and _selects(one.when, asked.variant)]
        if asked.variant and not variants:
            return Unpriced(f"genai-prices has no {_said(asked.variant)} price of {seller.id} for {sold.id}")
        starts = _starts(sold, variants)
        steps: list[Price] = []
        for day in (None, *starts):
            found = _on(sold, asked, variants, day, starts)
            price = replace(_priced(seller, sold, asked, found, day), source=self.version) if found else None
            if price and (not steps or _differs(price, steps[-1])):
                steps.append(price)
        return tuple(steps) or Unpriced(f"genai-prices has no {asked.meter} price for {sold.id}")


def _short_name(sold: ModelInfo) -> str:
    """An entry's name without its maker, and without Bedrock's place and version."""
    name = sold.id.lower().rpartition("/")[2]
    if not name.startswith(("regional.", "global.")):
        return name
    return _VERSION.sub("", name.removeprefix("regional.").removeprefix("anthropic."))


def _supposed(seller: Provider, sold: ModelInfo, model: str) -> str:
    """The assumption under which an entry prices the model: the same model at the same price here."""
    if not _is_named(sold, model):
        return f"{model} is taken for {sold.id}, whose name it begins with"
    own = any(sold is one for one in seller.models)
    if own or (seller.id, sold.id.partition("-")[0]) not in _LENT_DEARER:
        return ""
    return f"{seller.id} does not list it: priced as its maker's"


def _is_named(sold: ModelInfo, model: str) -> bool:
    """Whether an entry names the model, and does not only share the beginning of its name."""
    asked, own = model.lower(), sold.id.lower().rstrip("-")
    if asked.startswith("ft:"):
        return True
    if _equals(sold.match, asked) or not asked.startswith(own):
        return True
    return _SAME_MODEL.fullmatch(asked.removeprefix(own)) is not None


def _equals(match: MatchLogic, name: str) -> bool:
    match match:
        case ClauseEquals():
            return match.equals.lower() == name
        case ClauseOr():
            return any(_equals(one, name) for one in match.or_)
        case ClauseAnd():
            return any(_equals(one, name) for one in match.and_)
        case _:
            return False


def _selects(when: Mapping[str, str], variant: Mapping[str, str]) -> bool:
    return bool(variant) and all(variant.get(key) == value for key, value in when.items())


def _starts(sold: ModelInfo, variants: Sequence[PriceVariant]) -> tuple[date, ...]:
    """The days on which a price or a variant of it begins."""
    priced: Sequence[ConditionalPrice | PriceVariant] = sold.prices if isinstance(sold.prices, list) else ()
    constraints = [one.constraint for one in (*priced, *variants)]
    return tuple(sorted({one.start_date for one in constraints if isinstance(one, StartDateConstraint)}))


def _on(
    sold: ModelInfo, asked: KeyQuery, variants: Sequence[PriceVariant], day: date | None, starts: Sequence[date]
) -> _FoundPrice | None:
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
    return _FoundPrice(part.amount if scale == 1 else part.amount * scale, ceiling, part.note, said, part.above)


def _active(variant: PriceVariant, day: date) -> bool:
    constraint = variant.constraint
    return not isinstance(constraint, StartDateConstraint) or day >= constraint.start_date


def _stored(sold: ModelInfo, asked: KeyQuery, day: date, variant: Mapping[str, str]) -> _FoundPrice | None:
    """What the list stores for a day: the price of most of its hours, and the dearest."""
    hours = [_of(sold.get_prices(datetime.combine(day, time(hour), UTC), variant), asked) for hour in range(24)]
    found = [hour for hour in hours if hour is not None]
    if not found:
        return None
    usual = mode(found)
    dearest = max(hour.ceiling for hour in found)
    by_hour = dearest > usual.ceiling
    note = usual.note or ("at least this: some hours of the day are dearer" if by_hour else "")
    sizeless = by_hour and len(found) == len(hours) and all(hour.ceiling == hour.amount for hour in found)
    hourly = tuple(hour.amount for hour in found) if sizeless else ()
    return _FoundPrice(usual.amount, dearest, note, above=0 if by_hour else usual.above, hourly=hourly)


def _of(prices: ModelPrice, asked: KeyQuery) -> _FoundPrice | None:
    for key in asked.keys:
        value = getattr(prices, key)
        if value is not None:
            note = "" if key == asked.keys[0] else OTHERWISE.get(asked.meter, "")
            above = value.tiers[0].start if isinstance(value, TieredPrices) and asked.size is None else 0
            return _FoundPrice(*_amounts(value, asked.size), note, above=above)
    return None


def _amounts(value: Decimal | TieredPrices, size: Size | None) -> tuple[Decimal, Decimal]:
    """The price and the dearest it can be: the tier of a request of this size, or the base and the last tier."""
    if not isinstance(value, TieredPrices):
        return value, value
    if size is None:
        return value.base, max(value.base, *(tier.price for tier in value.tiers))
    least = value.tiers[0].start + 1 if size.long else size.least
    most = value.tiers[0].start if size.short else size.most
    amount = next((tier.price for tier in reversed(value.tiers) if least > tier.start), value.base)
    return amount, max(amount, *(tier.price for tier in value.tiers if most is None or most > tier.start), amount)


def _priced(seller: Provider, sold: ModelInfo, asked: KeyQuery, found: _FoundPrice, day: date | None) -> Price:
    oldest = sold.prices[0].constraint if isinstance(sold.prices, list) and sold.prices else None
    since = oldest.start_date if day is None and isinstance(oldest, StartDateConstraint) else day
    tiers = _TIERED if found.ceiling > found.amount else ""
    return Price(
        provider=seller.id,
        model=sold.id,
        amount=found.amount,
        per=_PER.get(asked.meter, _MILLION),
        currency="USD",
        since=since,
        note=found.note or tiers,
        assumed=found.assumed,
        ceiling=found.ceiling if found.ceiling > found.amount else None,
        ceiling_above=found.above,
        hourly=found.hourly,
        weekdays_only=seller.id in _WORKING_HOURS,
    )


def _differs(price: Price, other: Price) -> bool:
    return (price.amount, price.ceiling, price.assumed) != (other.amount, other.ceiling, other.assumed)


def _said(variant: Mapping[str, str]) -> str:
    return " ".join(variant.values())
