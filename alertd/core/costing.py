"""The ledger in money: what every series cost on every day, exact for sums and as floats for curves. Rounds nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from alertd.core.budgets import TOKENS
from alertd.core.ledger import Ledger, SeriesRow
from alertd.core.usage import TOKEN_METERS, Line

NANO: Final = Decimal("1e-9")


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """What one unit (one token, request or minute) costs; `assumed` where an earlier date than the earliest known."""

    amount: Decimal
    currency: str
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class NoPrice:
    """Why something has no price, and the nearest that has one."""

    reason: str
    nearest: str = ""


#: One unit of the first currency in the second, on a day; None where no rate is known.
Exchange = Callable[[str, str, date], Decimal | None]
#: Bills quantities used since a period's start: [many x lines] -> [many] amounts of money.
Rate = Callable[[NDArray[np.float64]], NDArray[np.float64]]


class Tariff(Protocol):
    """What a unit costs on a day; the rating room gives one for a ledger's usage, account-level rules included."""

    @property
    def version(self) -> str: ...

    def rate_of(self, lines: Sequence[Line], day: date, unit: str, exchange: Exchange) -> Rate | None:
        """How these lines are billed together where that is not linear, else None; see `linewise.rate_of`."""
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
    exact     [series] of the exact cost of each stretch asked for by `exact_between`
    floats    [series, days] for curves and projections; 0 where unpriced
    unpriced  by series index: why it has no price (a whole series is priced or not on a day; the newest reason stays)
    """

    unit: str
    days: tuple[date, ...]
    borders: tuple[float, ...]
    quantities: NDArray[np.int64]
    floats: NDArray[np.float64]
    prices: Sequence[Sequence[tuple[int, int, Decimal]]]
    unpriced: Mapping[int, NoPrice] = field(default_factory=dict)
    assumed: frozenset[int] = frozenset()

    def exact_between(self, index: int, first: int, last: int) -> Decimal:
        """The exact cost of one series over the days [first, last)."""
        total = Decimal(0)
        for begin, end, price in self.prices[index]:
            low, high = max(first, begin), min(last, end)
            if low < high:
                total += int(self.quantities[index, low:high].sum()) * price
        return total


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
    """
    quantities = ledger.sums(borders)
    seen: dict[Line, tuple[list[tuple[int, int, Decimal]], NoPrice | None, bool]] = {}
    prices: list[list[tuple[int, int, Decimal]]] = []
    unpriced, assumed = {}, set()
    for index, row in enumerate(ledger.series):
        if not counted(row):
            prices.append([])
            continue
        if row.billed or unit == TOKENS:
            flat = _flat(row, unit, days, exchange)
            prices.append(flat)
            if row.billed and unit != TOKENS and not flat and quantities[index].any():
                unpriced[index] = _no_rate(row.billed, unit)
            continue
        if row.line not in seen:
            seen[row.line] = _priced(row.line, unit, days, tariff, exchange)
        segments, missing, guessed = seen[row.line]
        prices.append(segments)
        if missing is not None and quantities[index].any():
            unpriced[index] = missing
        if guessed:
            assumed.add(index)
    return Costs(
        unit, tuple(days), tuple(borders), quantities, _floats(quantities, prices), prices, unpriced, frozenset(assumed)
    )


def _flat(row: SeriesRow, unit: str, days: Sequence[date], exchange: Exchange) -> list[tuple[int, int, Decimal]]:
    """Series that need no price list: billed money, and tokens counted as tokens."""
    if unit == TOKENS:
        counts = not row.billed and row.meter in TOKEN_METERS
        return [(0, len(days), Decimal(1))] if counts else []
    rate = exchange(row.billed, unit, days[-1]) if days else None
    return [] if rate is None else [(0, len(days), NANO * rate)]


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
                missing = _no_rate(price.currency, unit)
            else:
                _append(segments, index, index + 1, price.amount * rate)
    return segments, missing, guessed


def _no_rate(base: str, unit: str) -> NoPrice:
    return NoPrice(f"no rate from {base} to {unit}; set ALERTD_FX__{base}_{unit}")


def _append(segments: list[tuple[int, int, Decimal]], begin: int, end: int, price: Decimal) -> None:
    if segments and segments[-1][1] == begin and segments[-1][2] == price:
        segments[-1] = (segments[-1][0], end, price)
    else:
        segments.append((begin, end, price))


def _floats(quantities: NDArray[np.int64], prices: Sequence[Sequence[tuple[int, int, Decimal]]]) -> NDArray[np.float64]:
    out = np.zeros(quantities.shape)
    for index, segments in enumerate(prices):
        for begin, end, price in segments:
            out[index, begin:end] = quantities[index, begin:end] * float(price)
    return out


def midnights(zone: object, first: date, count: int) -> tuple[list[date], list[float]]:
    """`count` local days from `first` on and their `count + 1` midnights in Unix seconds."""
    days = [date.fromordinal(first.toordinal() + number) for number in range(count + 1)]
    at = [datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC).timestamp() for day in days]  # type: ignore[arg-type]
    return days[:-1], at
