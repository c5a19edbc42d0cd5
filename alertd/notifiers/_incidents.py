"""What an incident system needs of an event: one key for an alert and for its end, and whether it is an end. Pure."""

from __future__ import annotations

from typing import Final

from alertd.core.budgets import scope_text
from alertd.core.events import Event
from alertd.core.messages.dates import zone_of

#: Kinds that tell something and open nothing.
TOLD_ONLY: Final = frozenset({"summary"})
RANKS: Final = {"info": 0, "warning": 1, "critical": 2}


def subject_of(event: Event) -> str:
    """What an alert and its end have in common: `research/team=a/2026-11-01/forecast`, `source/gateway`."""
    source = event.details.get("source")
    if source:
        return f"source/{source}"
    basis = event.basis or event.kind
    return "/".join(part for part in (event.budget, scope_text(event.scope), period_of(event), basis) if part)


def period_of(event: Event) -> str:
    """The local date of the period's first day; "" without a period."""
    return "" if event.period_start is None else event.period_start.astimezone(zone_of(event)).date().isoformat()


def is_end(event: Event) -> bool:
    """Whether the event says that an alert is over."""
    return event.kind == "recovered"


def is_heard(event: Event, least: str) -> bool:
    """Whether an incident system should hear of it: from a severity on; the end of an alert always."""
    return event.kind not in TOLD_ONLY and (is_end(event) or RANKS[event.severity] >= RANKS[least])
