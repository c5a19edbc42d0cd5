"""The lifecycle of an alert after it was announced: reminders, escalation, the end of a snooze, its resolution.

An alert that people should act on (a warning, or critical) has a lifecycle, kept under its event's id. Each evaluation
moves it on; it ends when its threshold no longer fires. Nothing is announced here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from alertd.core.budgets import Actual, Budget, Novel, Threshold
from alertd.core.evaluation.keys import parse_source, parse_status
from alertd.core.evaluation.state import (
    FIRING,
    LIFECYCLES,
    OUTAGES,
    RESOLVED,
    SNOOZED,
    AlertLifecycle,
    State,
    episode_of,
)
from alertd.core.evaluation.thresholds import key_of, novel_key, thresholds_of
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.events import Event

#: Resolved lifecycles are kept this long, for `alertd explain`.
_KEPT: Final = timedelta(days=40)


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Something to be announced again about an alert: "reminder", "escalation" or "snooze over"."""

    lifecycle: AlertLifecycle
    identity: str
    what: str
    to: tuple[str, ...] = ()


def begin_lifecycles(events: Iterable[tuple[str, Event]]) -> dict[str, object]:
    """The changes that begin the lifecycles of these events, by their first keys."""
    changes: dict[str, object] = {}
    for key, event in events:
        if event.severity != "info" and event.kind in {"threshold", "source_stale"}:
            changes |= LIFECYCLES.put(AlertLifecycle.begin(key, event.severity, event.at, event.reason), event.id)
    return changes


def follow_up(
    state: State, statuses: Mapping[str, BudgetStatus], now: datetime
) -> tuple[list[FollowUp], dict[str, object]]:
    """What is to be announced again now, and the lifecycles that moved. `statuses` are those of now, by name."""
    due: list[FollowUp] = []
    changes: dict[str, object] = {}
    for identity, lifecycle in LIFECYCLES.items(state):
        if lifecycle.state == RESOLVED:
            if now - lifecycle.since > _KEPT:
                changes |= LIFECYCLES.put(None, identity)
            continue
        status = statuses.get(str(parse_status(lifecycle.key) or ""))
        budget = status.budget if status is not None else None
        after, what = _advance(lifecycle, _ended(lifecycle.key, status, state), budget, now)
        if after is not lifecycle:
            changes |= LIFECYCLES.put(after, identity)
        if what:
            to = budget.escalate_to if budget is not None and what == "escalation" else ()
            due.append(FollowUp(after, identity, what, to))
    return due, changes


def _advance(lifecycle: AlertLifecycle, ended: str, budget: Budget | None, now: datetime) -> tuple[AlertLifecycle, str]:
    """One step: what no longer fires ends, a snooze runs out, silence is answered by a reminder."""
    if ended:
        return lifecycle.after("end", now, "alertd", ended), ""
    if lifecycle.state == SNOOZED and lifecycle.until is not None and now >= lifecycle.until:
        return lifecycle.after("wake", now, "alertd", "the snooze is over"), "snooze over"
    if lifecycle.state != FIRING or budget is None:
        return lifecycle, ""
    patient = budget.escalate_after is None or now - lifecycle.since < budget.escalate_after
    if budget.escalate_to and not patient and not lifecycle.escalated:
        return lifecycle.after("escalate", now, "alertd", "nobody acknowledged it"), "escalation"
    if budget.remind is not None and now - lifecycle.announced_at >= budget.remind:
        return lifecycle.after("remind", now, "alertd", "nobody acknowledged it"), "reminder"
    return lifecycle, ""


def _ended(key: str, status: BudgetStatus | None, state: State) -> str:
    """Why what an alert was about no longer fires; "" while it does."""
    if (source := parse_source(key)) is not None:
        outage = OUTAGES.get(state, source.source)
        return "" if outage is not None and outage.open else "the source is seen again"
    if status is None:
        return "its period has ended, or its budget is gone"
    threshold = threshold_of(key, status, state)
    if threshold is None and key.startswith(f"{status.name}/{Novel.basis}/"):
        return "in use for some days: no longer new"
    if threshold is None:
        return "the amount or the thresholds have changed, or the episode is over"
    rolls = status.period.rolls is not None  # a window frees by itself: its episode says when
    if isinstance(threshold, Actual) and not rolls and status.spent < threshold.reached_at(status.amount):
        return "a correction lowered the spend"
    return ""


def threshold_of(key: str, status: BudgetStatus, state: State) -> Threshold | None:
    """The threshold in force that an alert's key belongs to; None if its episode or its amount has ended."""
    for threshold in thresholds_of(status):
        if isinstance(threshold, Novel):
            if key in {novel_key(status, one) for one in status.novel if one.label == threshold.label}:
                return threshold
            continue
        if isinstance(threshold, Actual) and status.period.rolls is None:
            if key_of(status, threshold, status.amount.value) == key:
                return threshold
            continue
        episode = episode_of(state, status.name, threshold)
        if episode.open and key_of(status, threshold, episode.number) == key:
            return threshold
    return None
