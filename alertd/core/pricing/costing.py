"""The ledger in money: what every series cost on every day, exact for sums and as floats for curves. Rounds nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from alertd.core.budgets import TOKENS
from alertd.core.ledger.columns import Ledger, SeriesRow
from alertd.core.usage import TOKEN_METERS, Line

NANO: Final = Decimal("1e-9")
_NOTHING: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """The price of one unit (token, request or minute); `assumed`: the day is before the earliest known price."""

    amount: Decimal
    currency: str
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class NoPrice:
    """Why something has no price, and the nearest model that has one.

    `rate`: its price or cost is known, and the rate of exchange (`USD to EUR`) is not.
    """

    reason: str
    nearest: str = ""
    rate: str = ""


#: One unit of the first currency in the second, on a day; None where no rate is known.
Exchange = Callable[[str, str, date], Decimal | None]
#: Bills quantities used since a period's start: [many x lines] -> [many] amounts of money.
Rate = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class Tariff(Protocol):
    """What a unit costs on a day; the pricing package gives one for a ledger's usage, account-level rules included."""

    @property
    def version(self) -> str: ...

    def rate_of(self, lines: Sequence[Line], day: date, unit: str, exchange: Exchange) -> Rate | None:
        """How these lines are billed together where that is not linear, else None; see `joint_rate.rate_of`."""
        ...

    def zone(self, provider: str) -> str:
        """The IANA zone of a provider's billing days and months."""
        ...

    def runs(self, line: Line, first: date, last: date) -> Sequence[tuple[date, UnitPrice | NoPrice]]:
        """What a unit costs from each of these days on, the first of them `first`; in order, up to `last`."""
        ...


@dataclass(frozen=True, slots=True)
class Costs:
    """The ledger in one unit (a currency, or tokens) over consecutive local days.

    days      the local days; borders, in Unix seconds, are one more
    kind_of   [series]: series of one kind cost the same
    segments  [kinds]: runs of days with one price; unit_prices are the same as floats [kinds, days], 0 where unpriced
    unpriced  by series index: why it has no price (a whole series is priced or not on a day; the newest reason stays)
    """

    unit: str
    days: tuple[date, ...]
    borders: tuple[float, ...]
    quantities: NDArray[np.int64]
    kind_of: NDArray[np.int64]
    segments: Sequence[Sequence[tuple[int, int, Decimal]]]
    unit_prices: NDArray[np.float64]
    unpriced: Mapping[int, NoPrice] = field(default_factory=dict)
    assumed: frozenset[int] = frozenset()
    #: `kind_of` as a list, which is quicker one by one.
    kinds: Sequence[int] = ()
    _totals: dict[tuple[int, int], NDArray[np.int64]] = field(default_factory=dict)
    _used: dict[tuple[int, int], NDArray[np.bool_]] = field(default_factory=dict)

    def prices(self, index: int) -> Sequence[tuple[int, int, Decimal]]:
        """What a unit of one series cost, by runs of days [begin, end)."""
        return self.segments[self.kind_of[index]]

    def totals(self, first: int, last: int) -> NDArray[np.int64]:
        """The quantities of all series over the days [first, last)."""
        if (first, last) not in self._totals:
            self._totals[first, last] = self.quantities[:, first:last].sum(axis=1)
        return self._totals[first, last]

    def used(self, first: int, last: int) -> NDArray[np.bool_]:
        """Which series were used on any of the days [first, last)."""
        if (first, last) not in self._used:
            self._used[first, last] = (self.quantities[:, first:last] != 0).any(axis=1)
        return self._used[first, last]

    def exact(self, series: NDArray[np.int64], first: int, last: int) -> tuple[NDArray[np.object_], int]:
        """The exact cost of some series over the days [first, last), as whole numbers of 10 to the second's power."""
        found = np.zeros(len(series), np.object_)
        runs = list(self._runs(first, last))
        power = min((power_of(price) for _, _, of in runs for price in of.values()), default=0)
        for low, high, of in runs:
            prices = np.array([times_ten(of.get(kind, _NOTHING), -power) for kind in range(len(self.segments))], object)
            found += self.totals(low, high)[series].astype(object) * prices[self.kind_of[series]]
        return found, power

    def _runs(self, first: int, last: int) -> Iterator[tuple[int, int, dict[int, Decimal]]]:
        """Intervals of [first, last) with one price, and the kinds that have it there."""
        runs: dict[tuple[int, int], dict[int, Decimal]] = {}
        for kind, segments in enumerate(self.segments):
            for begin, end, price in segments:
                if max(first, begin) < min(last, end):
                    runs.setdefault((max(first, begin), min(last, end)), {})[kind] = price
        return ((low, high, of) for (low, high), of in runs.items())

    def exact_between(self, index: int, first: int, last: int) -> Decimal:
        """The exact cost of one series over the days [first, last)."""
        total = Decimal(0)
        for begin, end, price in self.segments[self.kind_of[index]]:
            low, high = max(first, begin), min(last, end)
            if low < high:
                total += int(self.totals(low, high)[index]) * price
        return total

    def spends(self, indices: Sequence[int] | NDArray[np.int64], first: int, last: int) -> NDArray[np.float64]:
        """What some series cost on each of the days [first, last), as floats: [series, days]; 0 where unpriced."""
        return self.quantities[indices, first:last] * self.unit_prices[self.kind_of[indices], first:last]


def costs(
    ledger: Ledger,
    unit: str,
    days: Sequence[date],
    borders: Sequence[float],
    *,
    tariff: Tariff,
    exchange: Exchange,
    counted: Callable[[SeriesRow], bool] = lambda _: True,
) -> Costs:
    """The whole ledger in `unit` over the given local days, `borders` being their midnights in Unix seconds.

    Only series for which `counted` holds cost anything: what a second source reports of the same traffic does not.
    Prices are looked up once for every kind of series.
    """
    quantities, kind_of = ledger.sums(borders), ledger.kind_of
    seen: dict[Line, tuple[list[tuple[int, int, Decimal]], NoPrice | None, bool]] = {}
    segments: list[list[tuple[int, int, Decimal]]] = []
    missing: dict[int, NoPrice] = {}
    guessed: list[int] = []
    for kind, row in enumerate(ledger.kinds):
        if not counted(row):
            segments.append([])
            continue
        if row.billed or unit == TOKENS:
            flat = _flat(row, unit, days, exchange)
            segments.append(flat)
            if row.billed and unit != TOKENS and not flat:
                missing[kind] = no_rate(row.billed, unit)
            continue
        if row.line not in seen:
            seen[row.line] = _priced(row.line, unit, days, tariff, exchange)
        found, reason, assumed = seen[row.line]
        segments.append(found)
        if reason is not None:
            missing[kind] = reason
        if assumed:
            guessed.append(kind)
    lacking = np.flatnonzero(np.isin(kind_of, list(missing))) if missing else ()
    return Costs(
        unit, tuple(days), tuple(borders), quantities, kind_of, segments, _by_day(segments, len(days)),
        {int(index): missing[kind_of[index]] for index in lacking if quantities[index].any()},
        frozenset(np.flatnonzero(np.isin(kind_of, guessed)).tolist()) if guessed else frozenset(),
        kind_of.tolist(),
    )  # fmt: skip


def power_of(price: Decimal) -> int:
    """The power of ten of an exact amount's last digit."""
    exponent = price.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def times_ten(price: Decimal, power: int) -> int:
    """An exact amount times 10 to a power that makes it a whole number, however many digits it has."""
    sign, digits, exponent = price.as_tuple()
    whole: int = int("".join(map(str, digits))) * 10 ** max(0, int(exponent) + power)
    return -whole if sign else whole


def _flat(row: SeriesRow, unit: str, days: Sequence[date], exchange: Exchange) -> list[tuple[int, int, Decimal]]:
    """The unit prices of series that need no price list: billed money, and tokens counted as tokens."""
    if unit == TOKENS:
        counts = not row.billed and row.meter in TOKEN_METERS
        return [(0, len(days), Decimal(1))] if counts else []
    rates = [exchange(row.billed, unit, day) for day in days]
    rate = next((one for one in rates if one is not None), None)
    found: list[tuple[int, int, Decimal]] = []
    for index, own in enumerate(rates):  # days before the first rate have that one
        rate = rate if own is None else own
        if rate is not None:
            _append(found, index, index + 1, NANO * rate)
    return found


def _priced(
    line: Line, unit: str, days: Sequence[date], tariff: Tariff, exchange: Exchange
) -> tuple[list[tuple[int, int, Decimal]], NoPrice | None, bool]:
    """Runs of days with one price, [begin, end), why some days have none, and whether some price is assumed."""
    segments: list[tuple[int, int, Decimal]] = []
    missing, guessed = None, False
    runs = tariff.runs(line, days[0], days[-1])
    begins = [(since - days[0]).days for since, _ in runs]
    for begin, end, (_, price) in zip(begins, [*begins[1:], len(days)], runs, strict=True):
        if isinstance(price, NoPrice):
            missing = price
            continue
        guessed = guessed or price.assumed
        if price.currency == unit:
            _append(segments, begin, end, price.amount)
            continue
        for index in range(begin, end):
            rate = exchange(price.currency, unit, days[index])
            if rate is None:
                missing = no_rate(price.currency, unit)
            else:
                _append(segments, index, index + 1, price.amount * rate)
    return segments, missing, guessed


def no_rate(base: str, unit: str) -> NoPrice:
    """The reason that a rate of exchange is missing, with the remedy."""
    pair = f"{base} to {unit}"
    remedy = f"set ALERTD_FX__{base}_{unit}, or give it as [[fx]] in a price file"
    return NoPrice(f"no rate from {pair}; {remedy}", rate=pair)


def _append(segments: list[tuple[int, int, Decimal]], begin: int, end: int, price: Decimal) -> None:
    if segments and segments[-1][1] == begin and segments[-1][2] == price:
        segments[-1] = (segments[-1][0], end, price)
    else:
        segments.append((begin, end, price))


def _by_day(segments: Sequence[Sequence[tuple[int, int, Decimal]]], days: int) -> NDArray[np.float64]:
    out = np.zeros((len(segments), days))
    for kind, runs in enumerate(segments):
        for begin, end, price in runs:
            out[kind, begin:end] = float(price)
    return out
