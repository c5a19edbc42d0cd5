"""Money of one currency in another, at the rate of a day that somebody gave. No rate is a fault, never 1.0."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from alertd.core.money import Money
from alertd.core.pricing.dated import in_force, is_assumed, ordered


@dataclass(frozen=True, slots=True)
class Rate:
    """One unit of `base` is worth `rate` units of `quote` from a day on; None: on every day."""

    base: str
    quote: str
    rate: Decimal
    since: date | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class NoRate:
    """No rate was given for a pair of currencies on a day; `reason` says so and names the remedy."""

    base: str
    quote: str
    reason: str


class Rates:
    """The rates that were configured, by pair; the inverse of a pair is known too."""

    def __init__(self, rates: Iterable[Rate] = ()) -> None:
        given = tuple(rates)
        pairs = {(rate.base, rate.quote) for rate in given}
        self._by_pair = {pair: ordered([rate for rate in given if (rate.base, rate.quote) == pair]) for pair in pairs}

    def convert(self, money: Money, currency: str, day: date) -> Money | NoRate:
        """The same money in another currency at the day's rate, unrounded."""
        if money.currency == currency:
            return money
        if (direct := self._on(money.currency, currency, day)) is not None:
            return Money(money.amount * direct.rate, currency)
        if (inverse := self._on(currency, money.currency, day)) is not None:
            return Money(money.amount / inverse.rate, currency)
        pair = f"{money.currency}_{currency}"
        remedy = f"set ALERTD_FX__{pair}, or give an [[fx]] rate in a price file"
        return NoRate(money.currency, currency, f"no rate from {money.currency} to {currency} on {day}: {remedy}")

    def _on(self, base: str, quote: str, day: date) -> Rate | None:
        history = self._by_pair.get((base, quote))
        if history is None:
            return None
        rate = in_force(history, day)
        return None if is_assumed(rate, day) else rate
