"""Sources as JSON and in words: how fresh each is, what is wrong with it, how its estimate compares with the bill."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from alertd.core.evaluation.coverage import comparisons
from alertd.core.evaluation.state import COMPARISON, State
from alertd.core.evaluation.values import SourceView
from alertd.core.messages.format import age
from alertd.core.messages.rich_text import clean
from alertd.web.answers import instant_text
from alertd.web.view import BudgetStatuses

STATES: Final = ("ok", "partial", "failing", "stale", "unread")
#: The colour of each state on the page.
COLOURS: Final[Mapping[str, str]] = {
    "ok": "ok", "partial": "risk", "failing": "risk", "stale": "over", "unread": "unknown"
}  # fmt: skip


def state_of_source(view: SourceView, now: datetime) -> tuple[str, str]:
    """One of the states, and the same in words."""
    if view.stale(now):
        return "stale", f"stale: nothing newer than {age(view.stale_after)} allowed"
    if view.failing_since is not None:
        return "failing", f"failing for {age(now - view.failing_since)}"
    if view.until is None:
        return "unread", "not read yet"
    return ("partial", "answers in part") if view.degraded else ("ok", "read")


def no_data_since(view: SourceView, now: datetime) -> datetime | None:
    """Since when nothing is seen from it, where that is longer than it may; also where nothing ever was."""
    if view.stale(now):
        return view.until
    never = view.until is None and view.failing_since is not None and now - view.failing_since > view.stale_after
    return view.failing_since if never else None


def compared_at(notes: State) -> datetime | None:
    """When estimate and bill were compared last; None where there never were both."""
    last = COMPARISON.get(notes)
    return None if last is None else last.at


def duplicates(notes: State) -> list[str]:
    """Pairs of sources that look like one, in words."""
    last = COMPARISON.get(notes)
    return [] if last is None else [clean(said) for said in last.duplicate_sources]


def sources_json(standings: BudgetStatuses, notes: State, now: datetime) -> dict[str, Any]:
    """The API's answer."""
    return {
        "version": 1,
        "evaluated_at": instant_text(standings.evaluated_at),
        "sources": [_source(view, now) for _, view in sorted(standings.sources.items())],
        "compared_at": instant_text(compared_at(notes)),
        "reconciled": list(comparisons(notes)),
        "duplicate_sources": duplicates(notes),
    }


def _source(view: SourceView, now: datetime) -> dict[str, Any]:
    return {
        "name": view.name,
        "state": state_of_source(view, now)[0],
        "data_until": instant_text(view.until),
        "complete_from": instant_text(view.complete_from),
        "interval_seconds": view.interval.total_seconds(),
        "stale_after_seconds": (view.stale_after + view.delay).total_seconds(),
        "last_ok": instant_text(view.last_ok),
        "failing_since": instant_text(view.failing_since),
        "error": clean(view.error),
        "partial": clean(view.degraded),
        "problems": [clean(said) for said in (view.error, view.degraded, view.assumed) if said],
    }
