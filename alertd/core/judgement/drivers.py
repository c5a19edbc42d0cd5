"""Who drives a position, and its curve by day: what a message or a page shows of one. No judgement depends on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from alertd.core.budgets import Scope
from alertd.core.events import Contributor
from alertd.core.judgement.positions import Evidence
from alertd.core.judgement.sheet import Sheet, newest_price
from alertd.core.ledger import Ledger
from alertd.core.pricing.costing import Costs

#: Labels that say who spends, the most telling first; then what: the model.
_WHO: Final = ("key", "user", "service", "project", "workspace", "team")
_RECENT_DAYS: Final = 2
_BEFORE_DAYS: Final = 7
_PACE_DAYS: Final = 7
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class _Curves:
    """Groups of series by day, [groups, days] each; `born` is the first day on which it was active."""

    spent: NDArray[np.float64]
    volume: NDArray[np.int64]
    born: Sequence[int]


def evidence(ledger: Ledger, sheet: Sheet, number: int, scope: Scope, windows: Sequence[NDArray[np.int64]]) -> Evidence:
    """The evidence of one scope of a sheet. `windows` are what every series used of late, the longest stretch first."""
    used, table, (first, last), today = sheet.used_of(number), sheet.table, sheet.days, sheet.today
    label = _telling_label(ledger, used, scope)
    groups: dict[str, list[int]] = {}
    for index in used:
        groups.setdefault(ledger.labels[index].get(label, ""), []).append(index)
    curves = _curves(table, list(groups.values()))
    found = _contributors(label, groups, curves, sheet)
    born = min(curves.born)
    seen = max(1, min(_PACE_DAYS, today - born))
    daily = curves.spent.sum(axis=0).tolist()
    now = curves.spent[:, today].tolist()
    culprit = _culprit(table, groups, windows, today)
    return Evidence(
        contributors=tuple(found[:_SHOWN]),
        contributor_count=len(found),
        pace=_rounded(sum(daily[max(0, today - seen) : today]) / seen) if today > born else None,
        culprit=(label, max(zip(now, groups, strict=True))[1] if culprit is None else culprit),
        daily=tuple(
            (day.isoformat(), _rounded(spent))
            for day, spent in zip(table.days[first:last], daily[first:last], strict=True)
        ),
    )


def _contributors(label: str, groups: Mapping[str, list[int]], curves: _Curves, sheet: Sheet) -> list[Contributor]:
    """Who spent in the period, most first; with the pace of late and before, where that is long enough known."""
    today = sheet.today
    recent = slice(max(0, today - _RECENT_DAYS), today)
    before = slice(max(0, today - _RECENT_DAYS - _BEFORE_DAYS), max(0, today - _RECENT_DAYS))
    sums = [part[:, days].sum(axis=1).tolist() for part in (curves.spent, curves.volume) for days in (recent, before)]
    found = []
    each = zip(groups.items(), curves.born, *sums, strict=True)
    for (value, group), born, pace, old_pace, volume, old_volume in each:
        spent = sum((sheet.table.exact_between(index, *sheet.days) for index in group), Decimal(0))
        known = before.stop - max(before.start, born)
        if not spent:
            continue
        if known < _RECENT_DAYS:
            found.append(Contributor(label, value, spent))
            continue
        found.append(
            Contributor(
                label,
                value,
                spent,
                pace_now=_rounded(pace / _RECENT_DAYS),
                pace_before=_rounded(old_pace / known),
                volume_change=(volume / _RECENT_DAYS) / (old_volume / known) if old_volume else None,
            )
        )
    return sorted(found, key=lambda item: (-item.spent, item.value))


def _culprit(
    table: Costs, groups: Mapping[str, list[int]], windows: Sequence[NDArray[np.int64]], today: int
) -> str | None:
    """Who spent most in the longest window in which anything was spent."""
    for counts in windows:
        parts = {
            value: sum((int(counts[i]) * newest_price(table.prices(i), today) for i in group), Decimal(0))
            for value, group in groups.items()
        }
        if sum(parts.values(), Decimal(0)):
            return max(parts, key=lambda value: (parts[value], value))
    return None


def _curves(table: Costs, groups: Sequence[list[int]]) -> _Curves:
    """The curves of groups none of which is empty."""
    order = [index for group in groups for index in group]
    begins = np.cumsum([0, *map(len, groups[:-1])])
    quantities = table.quantities[order]
    used = np.logical_or.reduceat(quantities != 0, begins)
    spent = np.add.reduceat(quantities * table.unit_prices[table.kind_of[order]], begins)
    return _Curves(spent, np.add.reduceat(quantities, begins), used.argmax(axis=1).tolist())


def _telling_label(ledger: Ledger, used: Sequence[int], scope: Scope) -> str:
    """The label that best tells who spends: the first with several values; else the model, or the one key of one."""
    taken = {name for name, _ in scope}
    for name in _WHO:
        if name not in taken and len({ledger.labels[index].get(name) for index in used}) > 1:
            return name
    keyed = "key" not in taken and all(ledger.labels[index].get("key") for index in used)
    return "key" if keyed and len({ledger.series[index].model for index in used}) == 1 else "model"


def _rounded(value: Any) -> Decimal:
    """A pace or a curve's point: a float on its way to a message, kept to a millionth."""
    return Decimal(repr(round(float(value), 6)))
