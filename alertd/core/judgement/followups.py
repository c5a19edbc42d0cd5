"""What becomes of alerts after they were told: reminders, escalation, the end of a snooze, the end. It tells nobody.

An alert that people should act on (a warning, or critical) has a life, kept as a note under its event's id. Each look
moves it on: it ends when what it was about no longer stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from alertd.core.budgets import Budget, Threshold
from alertd.core.events import Event
from alertd.core.judgement.life import FIRING, RESOLVED, SNOOZED, Life
from alertd.core.judgement.positions import Position
from alertd.core.judgement.thresholds import Standing, key_of, thresholds_of

NOTE: Final = "life/"
#: Resolved lives are kept this long, for `alertd explain`.
_KEPT: Final = timedelta(days=40)


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Something to be told again about an alert: "reminder", "escalation" or "snooze over"."""

    life: Life
    identity: str
    what: str
    to: tuple[str, ...] = ()


def begun(events: Iterable[tuple[str, Event]]) -> dict[str, Any]:
    """The notes of the lives that begin with these events, by their first keys."""
    return {
        f"{NOTE}{event.id}": Life.begun(key, event.severity, event.at, event.reason).to_json()
        for key, event in events
        if event.severity != "information" and event.kind in {"threshold", "source_stale"}
    }


def lives(notes: Mapping[str, Any]) -> Iterator[tuple[str, Life]]:
    """All lives that are remembered, with their ids."""
    for name, value in notes.items():
        if name.startswith(NOTE):
            yield name.removeprefix(NOTE), Life.from_json(value)


def followed(
    notes: Mapping[str, Any], positions: Mapping[str, Position], now: datetime
) -> tuple[list[FollowUp], dict[str, Any]]:
    """What is to be told again now, and the lives that moved. `positions` are those of now, by name."""
    said: list[FollowUp] = []
    changed: dict[str, Any] = {}
    for identity, life in lives(notes):
        note = f"{NOTE}{identity}"
        if life.state == RESOLVED:
            if now - life.since > _KEPT:
                changed[note] = None
            continue
        position = positions.get("/".join(life.key.split("/")[:3]))
        budget = position.budget if position is not None else None
        after, what = _moved(life, _ended(life.key, position, notes), budget, now)
        if after is not life:
            changed[note] = after.to_json()
        if what:
            to = budget.escalate_to if budget is not None and what == "escalation" else ()
            said.append(FollowUp(after, identity, what, to))
    return said, changed


def _moved(life: Life, ended: str, budget: Budget | None, now: datetime) -> tuple[Life, str]:
    """One step of a life: what no longer stands ends, a snooze runs out, silence is answered by a reminder."""
    if ended:
        return life.after("end", now, "alertd", ended), ""
    if life.state == SNOOZED:
        over = life.until is not None and now >= life.until
        return (life.after("wake", now, "alertd", "the snooze is over"), "snooze over") if over else (life, "")
    if life.state != FIRING or budget is None:
        return life, ""
    patient = budget.escalate_after is None or now - life.since < budget.escalate_after
    if budget.escalate_to and not patient and not life.escalated:
        return life.after("escalate", now, "alertd", "nobody acknowledged it"), "escalation"
    if budget.remind is not None and now - life.told_at >= budget.remind:
        return life.after("remind", now, "alertd", "nobody acknowledged it"), "reminder"
    return life, ""


def _ended(key: str, position: Position | None, notes: Mapping[str, Any]) -> str:
    """Why what an alert was about no longer stands; "" while it does."""
    if key.startswith("source/"):
        note = notes.get("source/" + key.split("/")[1])
        return "" if note and note["open"] else "the source is seen again"
    if position is None:
        return "its period has ended, or its budget is gone"
    threshold = threshold_of(key, position, notes)
    if threshold is None:
        return "the amount or the thresholds have changed, or the episode is over"
    if threshold.basis == "actual" and position.spent < threshold.reached_at(position.amount):
        return "a correction lowered the spend"
    return ""


def threshold_of(key: str, position: Position, notes: Mapping[str, Any]) -> Threshold | None:
    """The threshold in force that an alert's key is of; None where its episode or its amount is over."""
    for threshold in thresholds_of(position):
        if threshold.basis == "actual":
            if key_of(position, threshold, f"{position.amount.value.normalize():f}") == key:
                return threshold
            continue
        standing = Standing.from_json(notes.get(f"standing/{position.name}/{threshold}"))
        if standing.open and key_of(position, threshold, standing.episode) == key:
            return threshold
    return None
