"""Price lists compared, and the lines to paste into a price file for what has no price.

The second list never prices anything. A price that a user's own file gives is settled and not compared.

The figures are a second list's where it has them, else those of the nearest model; the block says which, so that nobody
takes them for the provider's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Final

from alertd.core.pricing.model_names import candidates, is_opaque
from alertd.core.pricing.modifiers import normalised, of_training
from alertd.core.pricing.price_book import Price, PriceBook, PriceList, Unpriced
from alertd.core.pricing.price_history import from_entries
from alertd.core.spellings import provider_id
from alertd.core.usage import METERS, Line, Modifiers

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
    """The second list's price of a line on a day, per the same number of units; None without one."""
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
    """Whether the second list's price lies outside ours, which is a range where it depends on a request's size."""
    if ours.currency != theirs.currency or not _differs(ours.amount, theirs.amount):
        return False
    within = ours.ceiling is not None and ours.amount <= theirs.amount <= ours.ceiling
    return theirs.ceiling is not None or not within


def _differs(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) > DISAGREES * min(one, other)


def price_text(amount: Decimal | str) -> str:
    """A price with all significant digits, and at least two decimals."""
    value = Decimal(amount).normalize()
    exponent = value.as_tuple().exponent
    return f"{value:.{max(2, -exponent if isinstance(exponent, int) else 0)}f}"


def _figure(price: Price) -> str:
    return f"{price_text(price.amount)} {price.currency}"


def _per(price: Price) -> str:
    return {1_000_000: " per 1M", 1_000: " per 1,000", 1: " each"}.get(price.per, f" per {price.per:,}")


#: The meters that a model is given a price for, where any of them lacks one.
_TOKENS: Final = ("input", "cached_input", "output")
_PER: Final = {"requests": 1_000, "minutes": 1}
_MILLION: Final = 1_000_000
#: What an identifier of Bedrock is supposed to stand for until its owner says: the model that most use there.
_SUPPOSED: Final = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


#: Azure's names are deployments that people name as they like.
_DEPLOYMENT: Final = '# or, for a deployment of a known model: [[alias]] with the same names and of = "gpt-4o"'


def price_blocks(book: PriceBook, lines: Iterable[Line], day: date) -> Iterator[str]:
    """A block of TOML for each model and its modifiers that has no price; what is priced is left out."""
    wanted: dict[tuple[str, str, Modifiers, int], list[str]] = {}
    for line in lines:
        if not line.model or not isinstance(book.price(line, day), Unpriced):
            continue
        meter, modifiers = normalised(line.meter, line.modifiers)
        if meter == "training":
            modifiers = of_training(line.model, modifiers)
        key = (line.provider, line.model, modifiers, _PER.get(meter, _MILLION))
        wanted.setdefault(key, []).append(meter)
    for (provider, model, modifiers, per), meters in wanted.items():
        if is_opaque(model):
            yield _alias(provider, model)
            continue
        plain = modifiers == () and set(meters) & set(_TOKENS)
        named = dict.fromkeys((*meters, *_TOKENS) if plain and not _is_priced(book, provider, model, day) else meters)
        block = _block(book, Line(provider, model, "", modifiers), list(named), per, day)
        yield f"{block}\n{_DEPLOYMENT}" if provider_id(provider) == "azure" and not modifiers else block


def _alias(provider: str, model: str) -> str:
    """A block for an identifier whose model only its owner knows."""
    return "\n".join(
        (
            "[[alias]] # put the model that is behind it",
            f"provider = {_text(provider or 'aws')}",
            f"model = {_text(model.lower())}",
            f"of = {_text(_SUPPOSED)}",
        )
    )


def _is_priced(book: PriceBook, provider: str, model: str, day: date) -> bool:
    return not isinstance(book.price(Line(provider, model, "input"), day), Unpriced)


def _block(book: PriceBook, line: Line, meters: list[str], per: int, day: date) -> str:
    found = {meter: _suggested_price(book, replace(line, meter=meter), per, day) for meter in meters}
    sources = list(dict.fromkeys(said for _, said in found.values()))
    currency = next((price.currency for price, _ in found.values() if price), "USD")
    text = ["[[price]]", f"provider = {_text(line.provider or 'openai')}", f"model = {_text(line.model.lower())}"]
    if line.modifiers:
        pairs = ", ".join(f"{_key(name)} = {_text(value)}" for name, value in line.modifiers)
        text.append(f"modifiers = {{ {pairs} }}")
    text += [f"currency = {_text(currency)}", f"per = {per}"]
    named = [(meter, price_text(price.amount if price else Decimal(1))) for meter, (price, _) in found.items()]
    text += [f'{meter} = "{amount}"' for meter, amount in named if meter in METERS]
    other = ", ".join(f'{_key(meter)} = "{amount}"' for meter, amount in named if meter not in METERS)
    text += [f"meters = {{ {other} }}"] if other else []
    text.append(f"source = {_text('; '.join(sources) + ': put the figures of the provider here')}")
    return "\n".join(text)


def _suggested_price(book: PriceBook, line: Line, per: int, day: date) -> tuple[Price | None, str]:
    """The closest known price for a line, and where it is from."""
    if (theirs := other_price(book, line, per, day)) is not None and theirs.amount:
        return theirs, f"by {theirs.source}"
    own = book.price(replace(line, modifiers=()), day)
    if isinstance(own, Price) and own.amount:
        return _price_per(own, per), "its plain price"
    for name in book.nearest(line.model):
        price = book.price(Line("", name, line.meter), day)
        if isinstance(price, Price) and price.amount:
            return _price_per(price, per), f"as {name}"
    dearest = _dearest(book, line.meter, line.provider) or _dearest(book, line.meter, "")
    return (_price_per(dearest, per), f"the dearest known of {line.meter}") if dearest else (None, "no figure is known")


def _dearest(book: PriceBook, meter: str, provider: str) -> Price | None:
    """The highest price of a meter in any file, used where no closer one is known."""
    found = [
        from_entries((entry,), layer.name, entry.provider, entry.models[0])[0]
        for layer in book.layers
        for entry in layer.entries
        if entry.meter == meter and entry.amount and provider in ("", entry.provider)
    ]
    return max(found, key=lambda price: price.unit, default=None)


def _price_per(price: Price, per: int) -> Price:
    return replace(price, amount=price.amount * per / price.per, per=per)


def _text(value: str) -> str:
    """A basic string of TOML; JSON's escapes are TOML's."""
    return json.dumps(value, ensure_ascii=True)


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else _text(name)
