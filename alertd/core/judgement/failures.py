"""What could not be evaluated: a budget, or everything. Announced once an episode, and once when it works again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from alertd.core.events import Event
from alertd.core.judgement.evidence import event_id, handle_of, zone_name
from alertd.core.judgement.positions import Position
from alertd.core.judgement.verdicts import Alert

#: The note of a failure of the whole evaluation; no budget has an empty name.
_STOPPED: Final = "failed//evaluation"
_NO_EPISODE: Final[Mapping[str, Any]] = {"episode": 0, "open": False}


def failed_budgets(
    positions: Iterable[Position], others: Mapping[str, str], notes: Mapping[str, Any], now: datetime
) -> tuple[list[Alert], dict[str, Any]]:
    """Alerts for budgets that fail since this evaluation or work again, and what to remember.

    `others` are the failures that no position tells of, by budget.
    """
    seen: dict[str, list[Position]] = {}
    for position in positions:
        seen.setdefault(position.budget.name, []).append(position)
    alerts: list[Alert] = []
    changed: dict[str, Any] = {}
    for budget, scopes in seen.items():
        failing = [position for position in scopes if position.failed]
        text = others.get(budget) or (failing[0].failed if failing else "")
        details = {"failed_scopes": len(failing) or len(scopes), "scopes": len(scopes)}
        name = f"failed/{budget}"
        said, note = _episode(name, text, notes.get(name) or _NO_EPISODE, now, details)
        alerts += [Alert((key,), _about(event, scopes[0], reason)) for key, event, reason in said]
        changed |= note
    return alerts, changed


def stopped(error: str, notes: Mapping[str, Any], now: datetime) -> tuple[tuple[Alert, ...], dict[str, Any]]:
    """The alert that no budget is evaluated any more ("" as the error: again), and what to remember."""
    said, note = _episode(_STOPPED, error, notes.get(_STOPPED) or _NO_EPISODE, now, {"everything": True})
    return tuple(Alert((key,), replace(event, reason=f"everything {reason}")) for key, event, reason in said), note


def is_stopped(notes: Mapping[str, Any]) -> bool:
    """Whether it was announced that no budget is evaluated, and not yet that they are again."""
    return bool((notes.get(_STOPPED) or _NO_EPISODE)["open"])


def _episode(
    name: str, error: str, before: Mapping[str, Any], now: datetime, details: dict[str, Any]
) -> tuple[list[tuple[str, Event, str]], dict[str, Any]]:
    """The key, event and reason of what began or ended, if anything did, and its note."""
    if bool(error) == bool(before["open"]):
        return [], {}
    if error:
        episode = before["episode"] + 1
        note = {"episode": episode, "open": True, "since": now.isoformat()}
        details = {**details, "since": now, "failed": error}
        kind, severity, reason = "source_stale", "critical", f"cannot be evaluated: {error}"
    else:
        episode = before["episode"]
        note = {"episode": episode, "open": False}
        details = {**details, "since": datetime.fromisoformat(before["since"]), "until": now, "failed": ""}
        kind, severity, reason = "recovered", "information", "is evaluated again"
    key = f"{name}/{'failed' if error else 'back'}/{episode}"
    identity = event_id(key)
    event = Event(identity, kind, severity, now, details={**details, "handle": handle_of(identity)})
    return [(key, event, reason)], {name: note}


def _about(event: Event, position: Position, reason: str) -> Event:
    budget = position.budget
    return replace(
        event,
        budget=budget.name,
        zone=zone_name(position.period),
        owner=budget.owner,
        channel=budget.channel,
        reason=f"{budget.name} {reason}",
    )
