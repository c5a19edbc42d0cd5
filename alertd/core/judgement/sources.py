"""Whether alertd can see: a source that went silent is said once, and once when it is back. It guesses no spend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from alertd.core.budgets import duration_text
from alertd.core.evaluation.keys import SourceKey
from alertd.core.evaluation.state import OUTAGES, Outage, State
from alertd.core.events import Event
from alertd.core.judgement.evidence import event_id, handle_of
from alertd.core.judgement.positions import SourceView


def blind(
    views: Iterable[SourceView], state: State, now: datetime
) -> tuple[list[tuple[str, Event]], dict[str, object]]:
    """Events, with their keys, for sources that are newly blind or back, and the changes that remember it."""
    events: list[tuple[str, Event]] = []
    changed: dict[str, object] = {}
    for view in views:
        before = OUTAGES.get(state, view.name) or Outage()
        dark = _dark_since(view, now)
        if dark is not None and not before.open:
            episode = before.episode + 1
            changed |= OUTAGES.put(Outage(episode, open=True, since=dark), view.name)
            events.append(_stale(view, str(SourceKey(view.name, "stale", episode)), now, dark))
        elif dark is None and before.open:
            changed |= OUTAGES.put(Outage(before.episode), view.name)
            key = str(SourceKey(view.name, "back", before.episode))
            events.append(_back(view, key, now, before.since or now))
    return events, changed


def _dark_since(view: SourceView, now: datetime) -> datetime | None:
    """Since when the source shows nothing, where that is longer than it may; None while it is seen.

    None also where nobody has looked since: the clock was set forward, or this machine slept.
    """
    if view.stale(now) and (view.error or view.last_ok is None or view.stale(view.last_ok)):
        return view.until
    if view.until is None and view.failing_since is not None and now - view.failing_since > view.stale_after:
        return view.failing_since
    return None


def _stale(view: SourceView, key: str, now: datetime, since: datetime) -> tuple[str, Event]:
    details = {
        "handle": handle_of(event_id(key)),
        "source": view.name,
        "since": since,
        "error": view.error or "no newer data",
        "retry_every": duration_text(view.interval),
        "actions_paused": True,
    }
    reason = f"no data from {view.name} since {since.isoformat()}"
    event = Event(event_id(key), "source_stale", "critical", now, reason=reason, data_until=view.until, details=details)
    return key, event


def said_again_of(view: SourceView, key: str, now: datetime, details: Mapping[str, Any]) -> Event:
    """The event of a source that is still blind, told again."""
    event = _stale(view, key, now, _dark_since(view, now) or now)[1]
    return replace(event, details={**event.details, **details})


def _back(view: SourceView, key: str, now: datetime, since: datetime) -> tuple[str, Event]:
    details = {"handle": handle_of(event_id(key)), "source": view.name, "since": since, "until": now}
    details["fired"] = "critical"
    reason = f"{view.name} is seen again"
    event = Event(event_id(key), "recovered", "information", now, reason=reason, data_until=view.until, details=details)
    return key, event
