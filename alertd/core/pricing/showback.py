"""What the ledger holds, day by day with its cost, for showback and chargeback: every row adds up to the total spend.

What has no price is a row with its quantity and without a cost; it is never 0. Only what counts is in it: of two
sources that see the same traffic the one whose figures are the cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal
from zoneinfo import ZoneInfo

from alertd.core.ledger.columns import Ledger
from alertd.core.pricing.costing import NANO, NoPrice, Tariff
from alertd.core.usage import DIMENSIONS, SeriesRow

Basis = Literal["usage", "bill"]
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Share:
    """What one combination of labels used on one local day.

    `labels` hold what was asked for, dimensions too; `quantity` is of one meter in its own unit, None for money alone
    or where several meters are summed. `cost` is None where something has no price, and `reason` says why.
    """

    day: date
    labels: Mapping[str, str]
    basis: Basis
    quantity: int | None
    cost: Decimal | None
    currency: str
    reason: str = ""


def shares(
    ledger: Ledger,
    tariff: Tariff,
    days: Sequence[date],
    zone: ZoneInfo,
    *,
    by: Sequence[str] = (),
    counted: Callable[[SeriesRow], bool] = lambda _: True,
    where: Callable[[Mapping[str, str]], bool] = lambda _: True,
) -> Iterator[Share]:
    """The shares of consecutive local days, in order. `by` names labels and dimensions; without it all of them."""
    borders = [datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() for day in (*days, days[-1] + _DAY)]
    sums = ledger.sums(borders)
    wanted = [(index, row) for index, row in enumerate(ledger.series) if counted(row) and where(row.all_labels())]
    prices = {row.line: _by_day(tariff, row, days) for _, row in wanted if not row.billed}
    for place, day in enumerate(days):
        groups: dict[tuple[tuple[tuple[str, str], ...], Basis, str, str], tuple[int, Decimal]] = {}
        for index, row in wanted:
            quantity = int(sums[index, place])
            if not quantity:
                continue
            cost, currency, reason = _cost(row, quantity, prices.get(row.line, ()), place)
            labels = _chosen(row, by)
            basis: Basis = "bill" if row.billed else "usage"
            key = (labels, basis, currency, reason)
            before = groups.get(key, (0, Decimal(0)))
            groups[key] = before[0] + quantity, before[1] + cost
        for (labels, of, currency, reason), (quantity, cost) in sorted(groups.items()):
            is_of_one_meter = of == "usage" and (not by or "meter" in by)
            shown = quantity if is_of_one_meter else None
            yield Share(day, dict(labels), of, shown, None if reason else cost, currency, reason)


def columns_of(rows: Iterable[SeriesRow], by: Sequence[str]) -> list[str]:
    """The labels of an export: those asked for, else every dimension and label there is."""
    if by:
        return list(dict.fromkeys(by))
    return [*DIMENSIONS, *sorted({name for row in rows for name in row.labels} - set(DIMENSIONS))]


def _chosen(row: SeriesRow, by: Sequence[str]) -> tuple[tuple[str, str], ...]:
    labels = row.all_labels()
    return tuple(sorted((name, labels[name]) for name in (by or labels) if name in labels))


def _cost(
    row: SeriesRow, quantity: int, prices: Sequence[tuple[Decimal, str] | str], place: int
) -> tuple[Decimal, str, str]:
    """The cost, its currency, and the reason if it is missing."""
    if row.billed:
        return quantity * NANO, row.billed, ""
    price = prices[place]
    return (Decimal(0), "", price) if isinstance(price, str) else (quantity * price[0], price[1], "")


def _by_day(tariff: Tariff, row: SeriesRow, days: Sequence[date]) -> list[tuple[Decimal, str] | str]:
    """For each day what a unit costs and in which currency, or why it has no price."""
    runs = tariff.runs(row.line, days[0], days[-1])
    found: list[tuple[Decimal, str] | str] = []
    at = 0
    for day in days:
        while at + 1 < len(runs) and runs[at + 1][0] <= day:
            at += 1
        price = runs[at][1]
        found.append(price.reason if isinstance(price, NoPrice) else (price.amount, price.currency))
    return found
