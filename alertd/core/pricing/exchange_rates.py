"""Values dated by the day from which they hold, and money of one currency in another at the rate of a day."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, Protocol, TypeVar

from alertd.core.money import Money

#: What the source of a central bank's rates begins with: such rates also give those between two other currencies.
REFERENCE: Final = "ECB reference rate"
_EURO: Final = "EUR"
#: The finest digit of a rate that is worked out of two others.
_FINEST: Final = Decimal("1e-12")


class Dated(Protocol):
    """A value in force from a day on; `None` means from the beginning."""

    @property
    def since(self) -> date | None: ...


S = TypeVar("S", bound=Dated)


def ordered(steps: Sequence[S]) -> tuple[S, ...]:
    """The steps by the day they begin; of two on one day the later in the sequence wins."""
    by_day = {step.since: step for step in steps}
    return tuple(by_day[day] for day in sorted(by_day, key=lambda day: day or date.min))


def in_force(steps: Sequence[S], day: date) -> S:
    """The step in force on a day; the earliest known one also applies to all earlier days."""
    begins = [step.since or date.min for step in steps]
    return steps[max(bisect_right(begins, day) - 1, 0)]


def is_assumed(step: Dated, day: date) -> bool:
    """Whether the day lies before the earliest step, so that this step is only assumed to apply."""
    return step.since is not None and day < step.since


def days_of_change(*histories: Sequence[Dated]) -> tuple[date | None, ...]:
    """Every day on which any of the histories changes, in order; None where one has no beginning."""
    days = {step.since for history in histories for step in history}
    return tuple(sorted(days, key=lambda day: day or date.min))


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
        if (both := self._through_euro(money.currency, currency, day)) is not None:
            return Money(money.amount * (both[1].rate / both[0].rate).quantize(_FINEST), currency)
        pair = f"{money.currency}_{currency}"
        remedy = f"set ALERTD_FX__{pair}, or give an [[fx]] rate in a price file"
        return NoRate(money.currency, currency, f"no rate from {money.currency} to {currency} on {day}: {remedy}")

    def used(self, base: str, quote: str, day: date) -> tuple[Rate, ...]:
        """The rates that a conversion uses: one, two of a central bank, or none where it is not possible."""
        one = self._on(base, quote, day) or self._on(quote, base, day)
        return (one,) if one is not None else self._through_euro(base, quote, day) or ()

    def _through_euro(self, base: str, quote: str, day: date) -> tuple[Rate, Rate] | None:
        own, other = self._on(_EURO, base, day), self._on(_EURO, quote, day)
        if own is None or other is None:
            return None
        return (own, other) if own.source.startswith(REFERENCE) and other.source.startswith(REFERENCE) else None

    def _on(self, base: str, quote: str, day: date) -> Rate | None:
        history = self._by_pair.get((base, quote))
        if history is None:
            return None
        rate = in_force(history, day)
        return None if is_assumed(rate, day) else rate
