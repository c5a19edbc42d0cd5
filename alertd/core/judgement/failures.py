"""What could not be evaluated: a budget, or everything. Announced once an episode, and once when it works again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from alertd.core.evaluation.state import FAILURES, Outage, State
from alertd.core.events import Event
from alertd.core.judgement.evidence import event_id, handle_of, zone_name
from alertd.core.judgement.positions import Position
from alertd.core.judgement.verdicts import Alert

#: The key of a failure of the whole evaluation; no budget has an empty name.
_STOPPED: Final = "/evaluation"


def failed_budgets(
    positions: Iterable[Position], others: Mapping[str, str], state: State, now: datetime
) -> tuple[list[Alert], dict[str, object]]:
    """Alerts for budgets that fail since this evaluation or work again, and what to remember.

    `others` are the failures that no position tells of, by budget.
    """
    seen: dict[str, list[Position]] = {}
    for position in positions:
        seen.setdefault(position.budget.name, []).append(position)
    alerts: list[Alert] = []
    changed: dict[str, object] = {}
    for budget, scopes in seen.items():
        failing = [position for position in scopes if position.failed]
        text = others.get(budget) or (failing[0].failed if failing else "")
        details = {"failed_scopes": len(failing) or len(scopes), "scopes": len(scopes)}
        said, change = _episode(budget, text, FAILURES.get(state, budget) or Outage(), now, details)
        alerts += [Alert((key,), _about(event, scopes[0], reason)) for key, event, reason in said]
        changed |= change
    return alerts, changed


def stopped(error: str, state: State, now: datetime) -> tuple[tuple[Alert, ...], dict[str, object]]:
    """The alert that no budget is evaluated any more ("" as the error: again), and what to remember."""
    said, change = _episode(_STOPPED, error, FAILURES.get(state, _STOPPED) or Outage(), now, {"everything": True})
    return tuple(Alert((key,), replace(event, reason=f"everything {reason}")) for key, event, reason in said), change


def is_stopped(state: State) -> bool:
    """Whether it was announced that no budget is evaluated, and not yet that they are again."""
    return (FAILURES.get(state, _STOPPED) or Outage()).open


def _episode(
    name: str, error: str, before: Outage, now: datetime, details: dict[str, Any]
) -> tuple[list[tuple[str, Event, str]], dict[str, object]]:
    """The key, event and reason of what began or ended, if anything did, and the change that remembers it."""
    if bool(error) == before.open:
        return [], {}
    if error:
        episode = before.episode + 1
        after = Outage(episode, open=True, since=now)
        details = {**details, "since": now, "failed": error}
        kind, severity, reason = "source_stale", "critical", f"cannot be evaluated: {error}"
    else:
        episode = before.episode
        after = Outage(episode)
        details = {**details, "since": before.since or now, "until": now, "failed": ""}
        kind, severity, reason = "recovered", "information", "is evaluated again"
    key = f"{FAILURES.prefix}{name}/{'failed' if error else 'back'}/{episode}"
    identity = event_id(key)
    event = Event(identity, kind, severity, now, details={**details, "handle": handle_of(identity)})
    return [(key, event, reason)], FAILURES.put(after, name)


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
