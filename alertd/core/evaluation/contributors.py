"""The contributors of a budget status, its curve by day, and unpriced usage. Only shown to people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alertd.core.budgets import Scope
from alertd.core.evaluation.scope_columns import ScopeColumns, newest_price
from alertd.core.evaluation.values import Evidence
from alertd.core.events import Contributor, UnpricedUsage
from alertd.core.ledger.columns import Ledger
from alertd.core.pricing.costing import Costs, NoPrice

#: Labels that say who spends, the most specific first; then what: the model.
_WHO: Final = ("key", "user", "service", "project", "workspace", "team")
_RECENT_DAYS: Final = 2
_BEFORE_DAYS: Final = 7
_PACE_DAYS: Final = 7
#: Fewer whole days say nothing beside those of the period before.
_LEAST_COMPARED: Final = 3
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class _Curves:
    """Groups of series by day, [groups, days] each; `born` is the first day on which it was active."""

    spent: NDArray[np.float64]
    volume: NDArray[np.int64]
    born: Sequence[int]


class Recent(NamedTuple):
    """What every series used of late, the longest window first, and how far each source's data go.

    `ends`: the first day that is not whole, by source. `newest`: the last day with data of any.
    `before` are the days of the period before, where they are known.
    """

    windows: Sequence[NDArray[np.int64]]
    ends: Mapping[str, int]
    newest: int
    before: tuple[int, int] | None = None


def evidence(ledger: Ledger, sheet: ScopeColumns, number: int, scope: Scope, recent: Recent) -> Evidence:
    """The evidence of one scope of a sheet. What is recent ends, for each source, where its data end."""
    windows, ends, newest, before = recent
    used, table, (first, last), today = sheet.used_of(number), sheet.table, sheet.days, sheet.today
    label = _contributor_label(ledger, used, scope)
    groups: dict[str, list[int]] = {}
    for index in used:
        groups.setdefault(ledger.labels[index].get(label, ""), []).append(index)
    curves = _curves(table, list(groups.values()))
    days = _own_days(ledger, groups.values(), ends, today)
    found = _contributors(label, groups, days, curves, sheet)
    born = min(curves.born)
    daily = curves.spent.sum(axis=0).tolist()
    now = curves.spent[:, newest].tolist()
    parts = next((parts for counts in windows if sum((parts := _spent_in(table, groups, counts, today)).values())), {})
    top_contributor = max(parts, key=lambda value: (parts[value], value), default=None)
    whole = sum(parts.values(), Decimal(0))
    return Evidence(
        contributors=tuple(found[:_SHOWN]),
        contributor_count=len(found),
        pace=_pace(table, groups.values(), days, born),
        top_contributor=(label, max(zip(now, groups, strict=True))[1] if top_contributor is None else top_contributor),
        top_contributor_spent=Decimal(0) if top_contributor is None else parts[top_contributor],
        top_contributor_share=0.0 if top_contributor is None else float(parts[top_contributor] / whole),
        daily=tuple(
            (day.isoformat(), _rounded(spent))
            for day, spent in zip(table.days[first:last], daily[first:last], strict=True)
        ),
        change=None if before is None else _change(sheet, number, daily, min([today, *ends.values()]), before),
    )


def _change(
    sheet: ScopeColumns, number: int, daily: Sequence[float], today: int, before: tuple[int, int]
) -> float | None:
    """The period's whole days against as many of the one before; None for few of them, or where it was not used then.

    A scope that was first used some days into that period is not compared with it.
    """
    first, (begin, end) = sheet.days[0], before
    days = min(today - first, end - begin)
    if days < _LEAST_COMPARED or sheet.born_ever[number] >= begin + _LEAST_COMPARED:
        return None
    past = float(sheet.table.spends(np.array(sheet.members[number]), begin, begin + days).sum())
    return sum(daily[first : first + days]) / past - 1 if past > 0 else None


def evidence_within(
    ledger: Ledger, sheet: ScopeColumns, number: int, scope: Scope, counts: NDArray[np.int64]
) -> Evidence:
    """The evidence of one scope of a window that is no period of days: who spent in it, most first."""
    used = [index for index in sheet.used_of(number) if counts[index]]
    if not used:
        return Evidence()
    label = _contributor_label(ledger, used, scope)
    groups: dict[str, list[int]] = {}
    for index in used:
        groups.setdefault(ledger.labels[index].get(label, ""), []).append(index)
    spent = _spent_in(sheet.table, groups, counts, sheet.today)
    found = sorted(spent.items(), key=lambda item: (-item[1], item[0]))
    return Evidence(
        contributors=tuple(Contributor(label, value, amount) for value, amount in found[:_SHOWN] if amount),
        contributor_count=len(found),
    )


def _own_days(ledger: Ledger, groups: Iterable[Sequence[int]], ends: Mapping[str, int], today: int) -> list[list[int]]:
    """The first day that is not whole in the data of each series of each group; today where that is not known."""
    return [[ends.get(ledger.series[index].source, today) for index in group] for group in groups]


def _pace(table: Costs, groups: Iterable[Sequence[int]], days: Sequence[Sequence[int]], born: int) -> Decimal | None:
    """What is spent a day in the last seven whole days, for each series up to where its own data end."""
    flat = [
        (index, end) for group, own in zip(groups, days, strict=True) for index, end in zip(group, own, strict=True)
    ]
    ends = {end for _, end in flat}
    if max(ends) <= born:
        return None
    pace = 0.0
    for end in ends:
        own = [index for index, at in flat if at == end]
        seen = max(1, min(_PACE_DAYS, end - born))
        pace += float(table.spends(np.array(own), max(0, end - seen), end).sum()) / seen
    return _rounded(pace)


def _contributors(
    label: str, groups: Mapping[str, list[int]], days: Sequence[Sequence[int]], curves: _Curves, sheet: ScopeColumns
) -> list[Contributor]:
    """Who spent in the period, most first; with the pace of late and before, where that is long enough known."""
    found = []
    for (value, group), own, born in zip(groups.items(), days, curves.born, strict=True):
        spent = sum((sheet.table.exact_between(index, *sheet.days) for index in group), Decimal(0))
        if not spent:
            continue
        end = max(own)
        before = slice(max(0, end - _RECENT_DAYS - _BEFORE_DAYS), max(0, end - _RECENT_DAYS))
        known = before.stop - max(before.start, born)
        if known < _RECENT_DAYS:
            found.append(Contributor(label, value, spent))
            continue
        pace, old_pace, volume, old_volume = _recent(sheet.table, group, own)
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


def _recent(table: Costs, group: Sequence[int], ends: Sequence[int]) -> tuple[float, float, int, int]:
    """What series spent in their last days and in those before, then the same of their volumes."""
    sums = [0.0, 0.0, 0, 0]
    for end in set(ends):
        own = [index for index, at in zip(group, ends, strict=True) if at == end]
        recent = slice(max(0, end - _RECENT_DAYS), end)
        before = slice(max(0, end - _RECENT_DAYS - _BEFORE_DAYS), max(0, end - _RECENT_DAYS))
        volume = table.quantities[own]
        spent = volume * table.unit_prices[table.kind_of[own]]
        parts = (spent[:, recent], spent[:, before], volume[:, recent], volume[:, before])
        sums = [total + part.sum() for total, part in zip(sums, parts, strict=True)]
    return float(sums[0]), float(sums[1]), int(sums[2]), int(sums[3])


def _spent_in(
    table: Costs, groups: Mapping[str, list[int]], counts: NDArray[np.int64], today: int
) -> dict[str, Decimal]:
    """What each group spent in a window."""
    return {
        value: sum((int(counts[i]) * newest_price(table.prices(i), today) for i in group), Decimal(0))
        for value, group in groups.items()
    }


def _curves(table: Costs, groups: Sequence[list[int]]) -> _Curves:
    """The spend curve of each group; groups must not be empty."""
    order = [index for group in groups for index in group]
    begins = np.cumsum([0, *map(len, groups[:-1])])
    quantities = table.quantities[order]
    used = np.logical_or.reduceat(quantities != 0, begins)
    spent = np.add.reduceat(quantities * table.unit_prices[table.kind_of[order]], begins)
    return _Curves(spent, np.add.reduceat(quantities, begins), used.argmax(axis=1).tolist())


def _contributor_label(ledger: Ledger, used: Sequence[int], scope: Scope) -> str:
    """The label that best says who spends: the first with several values; else the model, or the one key of one."""
    taken = {name for name, _ in scope}
    for name in _WHO:
        if name not in taken and len({ledger.labels[index].get(name) for index in used}) > 1:
            return name
    keyed = "key" not in taken and all(ledger.labels[index].get("key") for index in used)
    return "key" if keyed and len({ledger.series[index].model for index in used}) == 1 else "model"


def _rounded(value: float) -> Decimal:
    """A pace or a curve's point: a float on its way to a message, kept to a millionth."""
    return Decimal(repr(round(float(value), 6)))


def unpriced_usage(ledger: Ledger, sheet: ScopeColumns, number: int) -> tuple[UnpricedUsage, ...]:
    """What a scope used in the period that has no price or no rate of exchange, by provider, model and meter."""
    (first, last), table = sheet.days, sheet.table
    sums: dict[tuple[str, str, str, str], int] = {}
    reasons: dict[tuple[str, str, str, str], NoPrice] = {}
    for index in sheet.used_of(number):
        if index in table.unpriced:
            row = ledger.series[index]
            kind = (row.provider, row.model, row.meter, row.billed)
            sums[kind] = sums.get(kind, 0) + int(table.quantities[index, first:last].sum())
            reasons[kind] = table.unpriced[index]
    return tuple(_unpriced(kind, quantity, reasons[kind]) for kind, quantity in sorted(sums.items()))


def _unpriced(kind: tuple[str, str, str, str], quantity: int, why: NoPrice) -> UnpricedUsage:
    """What has no price; of billed money (`kind` ends with its currency) the ledger counts billionths."""
    provider, model, meter, billed = kind
    if billed:
        cost = Decimal(quantity) / 10**9
        return UnpricedUsage(provider, model, meter, 0, why.reason, why.nearest, why.rate, cost)
    return UnpricedUsage(provider, model, meter, quantity, why.reason, why.nearest, why.rate)


def assumed_models(ledger: Ledger, sheet: ScopeColumns, number: int) -> tuple[str, ...]:
    """The models whose usage is older than their first known price, which is applied and marked as assumed."""
    used = (index for index in sheet.used_of(number) if index in sheet.table.assumed)
    return tuple(sorted({ledger.series[index].model for index in used}))
