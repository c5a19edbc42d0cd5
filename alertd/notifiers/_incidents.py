"""For incident systems: one key for an alert and its resolution, and whether an event is a resolution. Pure."""

from __future__ import annotations

from typing import Final

from alertd.core.budgets import scope_text
from alertd.core.events import Event
from alertd.core.messages.format import zone_of

#: Kinds that only inform and open no incident.
INFORMATION_ONLY: Final = frozenset({"summary"})
RANKS: Final = {"info": 0, "warning": 1, "critical": 2}


def subject_of(event: Event) -> str:
    """What an alert and its end have in common: `research/team=a/2026-11-01/forecast`, `source/gateway`."""
    if event.source:
        return f"source/{event.source}"
    basis = event.basis or event.kind
    return "/".join(part for part in (event.budget, scope_text(event.scope), period_of(event), basis) if part)


def period_of(event: Event) -> str:
    """The local date of the period's first day; "" without a period."""
    if event.window is not None:
        return f"{'window' if event.anchored else 'rolling'}-{int(event.window.total_seconds())}s"
    return "" if event.period_start is None else event.period_start.astimezone(zone_of(event)).date().isoformat()


def is_end(event: Event) -> bool:
    """Whether the event says that an alert is over."""
    return event.kind == "recovered"


def is_heard(event: Event, least: str) -> bool:
    """Whether an incident system should hear of it: from a severity on; the end of an alert always."""
    return event.kind not in INFORMATION_ONLY and (is_end(event) or RANKS[event.severity] >= RANKS[least])
