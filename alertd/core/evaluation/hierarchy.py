"""Budgets under others: whose parent is whose, what the children of a scope come to, which explains an alert.

A scope belongs to the first of its budget's PARENT that counts all of its usage; without usage, its labels decide.
An alert of a parent names the lowest scopes without whose excess its threshold were not crossed. People who get the
alert of such a scope anyway are not notified of the parent a second time (`routing`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

import numpy as np

from alertd.core.budgets import Actual, Budget, BurnRate, Forecast, Scope, Threshold, threshold_text
from alertd.core.evaluation.event_builder import event_id, handle_of
from alertd.core.evaluation.keys import parse_status, recovered_key, repeat_key
from alertd.core.evaluation.lifecycle import threshold_of
from alertd.core.evaluation.scope_columns import scopes_without
from alertd.core.evaluation.state import EXPLAINED, LIFECYCLES, RESOLVED, State, episode_of
from alertd.core.evaluation.threshold_alerts import repeated_event
from alertd.core.evaluation.thresholds import is_crossed, key_of, thresholds_of
from alertd.core.evaluation.values import Alert, BudgetStatus, Children
from alertd.core.events import BudgetScope, Event, ParentReached
from alertd.core.ledger.columns import Ledger

#: Bases whose excess is a sum over scopes.
_SUMMED: Final = ("actual", "forecast", "burn_rate")
#: The most scopes that are named together as an explanation.
_MOST: Final = 3
_FULL: Final = Decimal(100)
#: Why an alert is announced again that nobody got, because the alert of a lower scope explained it.
UNEXPLAINED: Final = "unexplained"

Key = tuple[str, Scope]


def _key(status: BudgetStatus) -> Key:
    return status.budget.name, status.scope


def with_hierarchy(statuses: Sequence[BudgetStatus], ledger: Ledger) -> list[BudgetStatus]:
    """The statuses, each with its parent and its children; unchanged where no budget has a parent."""
    budgets = {one.budget.name: one.budget for one in statuses}
    if not any(budget.parent for budget in budgets.values()):
        return list(statuses)
    named = {_key(one): one for one in statuses}
    members = {
        name: scopes_without(budget, ledger, frozenset())
        for name, budget in budgets.items()
        if budget.parent or any(name in other.parent for other in budgets.values())
    }
    parents: dict[Key, Key] = {}
    for budget in budgets.values():
        for name in reversed(budget.parent):
            if name in budgets:
                own, above = (list(members[one].items()) for one in (budget.name, name))
                found = _containing(budget, own, budgets[name], above, len(ledger.series))
                parents |= {(budget.name, scope): (name, of) for scope, of in found.items() if (name, of) in named}
    children: dict[Key, list[BudgetStatus]] = {}
    for child, parent in parents.items():
        if child in named:
            children.setdefault(parent, []).append(named[child])
    return [
        replace(one, parent=parents.get(_key(one)), children=_children(one, children.get(_key(one), ()), members))
        for one in statuses
    ]


def _containing(
    budget: Budget,
    own: Sequence[tuple[Scope, Sequence[int]]],
    parent: Budget,
    above: Sequence[tuple[Scope, Sequence[int]]],
    count: int,
) -> dict[Scope, Scope]:
    """For each scope of a budget, the scope of the parent that counts all of its series."""
    owner = np.full(count, -1, np.int64)
    for number, (_, indices) in enumerate(above):
        owner[np.asarray(indices, np.int64)] = number
    found: dict[Scope, Scope] = {}
    for scope, indices in own:
        if not len(indices):
            fitting = [of for of, _ in above if _fits(scope, budget, of, parent)]
            if len(fitting) == 1:
                found[scope] = fitting[0]
            continue
        owners = owner[np.asarray(indices, np.int64)]
        if owners[0] >= 0 and bool((owners == owners[0]).all()):
            found[scope] = above[int(owners[0])][0]
    return found


def _fits(scope: Scope, budget: Budget, of: Scope, parent: Budget) -> bool:
    """Whether the labels of a scope without usage allow that it belongs to a scope of the parent."""
    known: dict[str, str] = {
        name: patterns[0]
        for name, patterns in budget.where.patterns
        if len(patterns) == 1 and not set(patterns[0]) & set("!*?[")
    }
    known |= {name: value or "" for name, value in scope}
    above = dict(of)
    if any(name in known and (value or "") != known[name] for name, value in above.items()):
        return False
    wanted = tuple((name, patterns) for name, patterns in parent.where.patterns if name in known)
    return type(parent.where)(wanted).matches(known) and all(name in known for name in above)


def _children(
    parent: BudgetStatus, found: Sequence[BudgetStatus], members: Mapping[str, Mapping[Scope, Sequence[int]]]
) -> Children | None:
    if not found:
        return None
    counted: Counter[int] = Counter()
    for one in found:
        counted.update(members[one.budget.name].get(one.scope, ()))
    spent = sum((one.spent for one in found), Decimal(0))
    return Children(
        scopes=tuple(map(_key, found)),
        amount=sum((one.amount.value for one in found), Decimal(0)),
        spent=spent,
        rest=parent.spent - spent,
        overlapping=any(times > 1 for times in counted.values()),
    )


@dataclass(frozen=True, slots=True)
class _Tree:
    """The statuses by budget and scope, as far as one belongs to the other."""

    named: Mapping[Key, BudgetStatus]

    def below(self, status: BudgetStatus) -> list[BudgetStatus]:
        children = status.children.scopes if status.children is not None else ()
        return [self.named[key] for key in children if key in self.named]

    def explanation(self, status: BudgetStatus, threshold: Threshold) -> list[list[BudgetStatus]]:
        """From a parent's children down, which scopes explain that a threshold of it is crossed; empty: none does."""
        path: list[list[BudgetStatus]] = []
        while True:
            ratio = Decimal(1)
            if isinstance(threshold, Actual | Forecast) and status.amount.value:
                ratio = threshold.reached_at(status.amount) / status.amount.value
            needed = _excess(status, threshold, ratio)
            above = [(one, excess) for one in self.below(status) if (excess := _excess(one, threshold, ratio) or 0) > 0]
            above.sort(key=lambda pair: -pair[1])
            chosen, whole = [], Decimal(0)
            for one, excess in above[:_MOST]:
                chosen.append(one)
                whole += excess
                if needed is not None and whole >= needed:
                    break
            else:
                return path
            path.append(chosen)
            if len(chosen) > 1:
                return path
            status = chosen[0]


def _excess(status: BudgetStatus, threshold: Threshold, ratio: Decimal) -> Decimal | None:
    """By how much a scope is above this level of its own amount; None where that is not known."""
    amount = status.amount.value
    if isinstance(threshold, Actual):
        return status.spent - amount * ratio
    if isinstance(threshold, Forecast):
        if status.status not in {"at_risk", "over", "runaway"}:
            return None
        likely = Decimal(0) if status.projection is None else Decimal(repr(status.projection.quantile(0.5)))
        # A forecast fires below its middle too: then nothing more is needed than that the child is at risk.
        return max(max(status.certain_total, likely) - amount * ratio, Decimal("1e-9"))
    if isinstance(threshold, BurnRate):
        longest = max(threshold.windows)
        burn = status.burns.get(longest)
        if burn is None:
            return None
        share = Decimal(repr(longest / (status.period.end - status.period.start)))
        return burn.spent - amount * share * threshold.factor
    return None


def explain_alerts(
    alerts: Sequence[Alert], statuses: Iterable[BudgetStatus], announced: Mapping[str, datetime], state: State
) -> tuple[list[Alert], dict[str, object]]:
    """The alerts, those of parents with the lowest scopes that explain them; and what is remembered of these.

    Where the alert of such a scope is among them, it says which of its parents are reached, too.
    """
    named = {_key(one): one for one in statuses}
    if not any(one.children for one in named.values()):
        return list(alerts), {}
    tree, found, changes = _Tree(named), list(alerts), dict[str, object]()
    here = {_group(alert.event): n for n, alert in enumerate(alerts) if _is_for_people(alert, named)}
    for number in here.values():
        event = alerts[number].event
        status = named.get((event.budget, event.scope))
        threshold = None if status is None else _threshold(status, event)
        if status is None or threshold is None or event.period_start != status.period.start:
            continue
        path = tree.explanation(status, threshold)
        carrying: Sequence[BudgetStatus] = ()
        for step in reversed(path):
            batch = [here.get((*_key(one), event.basis, event.kind)) for one in step]
            for place in (place for place in batch if place is not None and None not in batch):
                lower = found[place].event
                found[place] = replace(found[place], event=replace(lower, also=(*lower.also, _reached(status))))
            waits = event.kind == "threshold" and _may_wait(event)
            if None not in batch or (waits and all(_fires(one, event, announced, state) for one in step)):
                carrying = step
                break
        explained_by = tuple(BudgetScope(*_key(one)) for one in (path[-1] if path else ()))
        announced_by = tuple(BudgetScope(*_key(one)) for one in carrying)
        if event.kind == "recovered":
            fired = event_id(alerts[number].keys[0].removesuffix(recovered_key("")))
            announced_by = announced_by or EXPLAINED.get(state, fired) or ()
        if explained_by or announced_by:
            both = replace(found[number].event, explained_by=explained_by, announced_by=announced_by)
            found[number] = replace(found[number], event=both)
        if carrying and event.kind == "threshold":
            changes |= EXPLAINED.put(announced_by, event.id)
    return found, changes


def _group(event: Event) -> tuple[str, Scope, str, str]:
    return event.budget, event.scope, event.basis, event.kind


def _is_for_people(alert: Alert, named: Mapping[Key, BudgetStatus]) -> bool:
    event = alert.event
    if alert.audience != "all" or event.repeat or event.basis not in _SUMMED:
        return False
    status = named.get((event.budget, event.scope))
    return event.severity != "info" or event.kind == "recovered" or (status is not None and status.budget.listed)


def _threshold(status: BudgetStatus, event: Event) -> Threshold | None:
    return next((one for one in thresholds_of(status) if threshold_text(one) == event.threshold), None)


def _reached(status: BudgetStatus) -> ParentReached:
    owner = status.override.owner or status.budget.owner
    return ParentReached(status.budget.name, status.scope, status.spent, status.amount.value, status.amount.unit, owner)


def _may_wait(event: Event) -> bool:
    """Whether it needs no message of its own while that of a lower scope fires: not so what is used up, or on track."""
    return event.severity != "info" and (event.basis != "actual" or (event.level or Decimal(0)) < _FULL)


def _fires(status: BudgetStatus, event: Event, announced: Mapping[str, datetime], state: State) -> bool:
    """Whether a scope was announced on the same basis, in this period, to people, and still fires."""
    for one in thresholds_of(status):
        if one.basis != event.basis:
            continue
        if isinstance(one, Actual):
            for_people = status.budget.listed or one.level(status.amount) >= _FULL
            crossed = status.spent >= one.reached_at(status.amount) and one.level(status.amount) >= (event.level or 0)
            if for_people and crossed and any(key.startswith(f"{status.name}/actual/") for key in announced):
                return True
        elif episode_of(state, status.name, one).open:
            return True
    return False


def unexplained_alerts(
    statuses: Iterable[BudgetStatus], announced: Mapping[str, datetime], state: State, now: datetime
) -> tuple[list[Alert], dict[str, object]]:
    """What fires on though no lower scope explains it any more: announced again, to those who did not get it."""
    waiting = list(EXPLAINED.items(state))
    if not waiting:
        return [], {}
    named = {_key(one): one for one in statuses}
    by_name = {one.name: one for one in named.values()}
    tree = _Tree(named)
    alerts: list[Alert] = []
    changes: dict[str, object] = {}
    for identity, _ in waiting:
        life = LIFECYCLES.get(state, identity)
        status = by_name.get(str(parse_status(life.key) or "")) if life is not None else None
        threshold = threshold_of(life.key, status, state) if life is not None and status is not None else None
        if (
            life is None
            or life.state == RESOLVED
            or status is None
            or threshold is None
            or _is_higher_level_announced(status, threshold, announced)
        ):
            changes |= EXPLAINED.put(None, identity)
        elif _is_crossed(status, threshold, now) and not tree.explanation(status, threshold):
            key = repeat_key(life.key, UNEXPLAINED, len(life.history))
            event = repeated_event(status, threshold, key, now, repeat=UNEXPLAINED,
                                   first_announced_at=life.history[0].at, handle=handle_of(identity))  # fmt: skip
            alerts.append(Alert((key,), event))
            changes |= EXPLAINED.put(None, identity)
    return [one for one in alerts if one.keys[0] not in announced], changes


def _is_higher_level_announced(status: BudgetStatus, threshold: Threshold, announced: Mapping[str, datetime]) -> bool:
    """Whether an `actual` level above it was announced meanwhile."""
    if not isinstance(threshold, Actual | Forecast):
        return False
    level = threshold.level(status.amount)
    higher = (
        one.level(status.amount)
        for one in thresholds_of(status)
        if isinstance(one, Actual) and key_of(status, one, status.amount.value) in announced
    )
    return any(one > level or (one == level and isinstance(threshold, Forecast)) for one in higher)


def _is_crossed(status: BudgetStatus, threshold: Threshold, now: datetime) -> bool:
    if isinstance(threshold, Actual):
        return status.spent >= threshold.reached_at(status.amount)
    return is_crossed(status, threshold, now) is True
