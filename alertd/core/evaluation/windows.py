"""Windows that first use opens: which one each scope of a budget is in. They are remembered by the status's name.

A window of L begins with the first use at or after the end of the one before, to the start of its bucket. Where nobody
remembers, the last two lengths are read: a pause of L ends every window, so that what comes after it is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from alertd.core.budgets import Budget, Scope
from alertd.core.evaluation.scope_columns import LedgerCosts
from alertd.core.evaluation.state import WINDOW_OPENED
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.ledger.compaction import WINDOW_LOOK_BACK
from alertd.core.periods import Period

#: What nobody used for this long is forgotten: longer than two of the longest windows.
_FORGOTTEN = timedelta(days=15)


def open_windows(
    costs: LedgerCosts, budget: Budget, members_of: Mapping[Scope, Sequence[int]]
) -> Iterator[tuple[Scope, Period, bool]]:
    """Of every scope the window that is open, or the one that use would open now; and whether it is open."""
    rule, now = budget.period, costs.context.now
    idle, length = rule.containing(now), rule.length or timedelta(0)
    recent = costs.between((now - length).timestamp(), now.timestamp() + 1)
    asked: dict[Scope, datetime | None] = {}
    found: dict[Scope, datetime] = {}
    for scope, members in members_of.items():
        known = costs.context.windows.get(BudgetStatus.name_of(budget.name, scope, idle))
        if known is not None and known <= now < known + length:
            found[scope] = known
        elif len(members) and recent[np.asarray(members, np.int64)].any():
            asked[scope] = known
    if asked:
        uses = _uses(costs, {scope: members_of[scope] for scope in asked}, now - WINDOW_LOOK_BACK * length)
        for scope, known in asked.items():
            start = _opened(uses.get(scope, ()), length, known)
            if start is not None and now < start + length:
                found[scope] = start
    for scope in members_of:
        yield scope, rule.opened(found[scope]) if scope in found else idle, scope in found


def window_changes(known: Mapping[str, datetime], opened: Mapping[str, datetime], now: datetime) -> dict[str, object]:
    """The records that change: windows that opened, and those to forget."""
    changes: dict[str, object] = {}
    for name, start in opened.items():
        if known.get(name) != start:
            changes |= WINDOW_OPENED.put(start, name)
    for name, start in known.items():
        if name not in opened and now - start > _FORGOTTEN:
            changes |= WINDOW_OPENED.put(None, name)
    return changes


def _opened(uses: Iterable[datetime], length: timedelta, start: datetime | None) -> datetime | None:
    """When the last window began, given the times of use in order and when one before it began."""
    for at in uses:
        if start is None or at >= start + length:
            start = at
    return start


def _uses(
    costs: LedgerCosts, members_of: Mapping[Scope, Sequence[int]], since: datetime
) -> dict[Scope, list[datetime]]:
    """The starts of the buckets in which each scope was used since, in order."""
    names = list(members_of)
    place = {index: number for number, scope in enumerate(names) for index in members_of[scope]}
    buckets = costs.ledger.buckets(list(place), since.timestamp())
    used = buckets.quantities != 0
    scopes = np.array([place[index] for index in buckets.series[used].tolist()], np.int64)
    found: dict[Scope, list[datetime]] = {}
    for number, start in np.unique(np.stack([scopes, buckets.starts[used]]), axis=1).T.tolist():
        found.setdefault(names[number], []).append(datetime.fromtimestamp(start, UTC))
    return found
