"""The footer: how old the data are, what the figures lack, when the period ends. Absence is said, never left out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from alertd.core.budgets import TOKENS
from alertd.core.events import Event, Unpriced
from alertd.core.messages import details
from alertd.core.messages.dates import age, clock_time, day, place, zone_of
from alertd.core.messages.figures import plural, tokens
from alertd.core.messages.spans import Line, Span, clean

_TOP: Final = 3
_LATE: Final = timedelta(minutes=15)


def footer(event: Event, now: datetime, *extra: str) -> Line:
    """Data to 09:38 (2 min old) · all priced · ends 30 Nov, Berlin · no action needed"""
    zone = zone_of(event)
    parts = [data_age(event, now), *missing(event, now)]
    if event.period_end is not None:
        last = event.period_end - timedelta(seconds=1)
        verb = "ends" if event.period_end > now else "ended"
        parts.append(f"{verb} {day(last, zone, weekday=False)}, {place(event.zone)}")
    if now - event.at > _LATE:
        parts.append(f"evaluated {clock_time(event.at, zone, now)}, delivered late")
    return (Span(" · ".join(part for part in (*parts, *extra) if part), "italic"),)


def zone_named(event: Event) -> str:
    """`times in Berlin`, where no period's end names the zone of the times that are said."""
    told = event.data_until is not None or "since" in event.details
    return f"times in {place(event.zone)}" if told and event.period_end is None else ""


def data_age(event: Event, now: datetime) -> str:
    """Data to 09:38 (2 min old)"""
    seen, zone = details.instant(event, "seen_until") or event.data_until, zone_of(event)
    if seen is None:
        return ""
    late = [
        f"{clean(str(name), 40)} to {clock_time(until, zone, now)} ({age(now - until)} behind)"
        for name, told in details.rows(event, "late")
        if (until := details.as_instant(told)) is not None and until < seen
    ]
    said = f"Data to {clock_time(seen, zone, now)} ({age(now - seen)} old)"
    return f"{said}, {_listed(late)}" if late else said


def missing(event: Event, now: datetime) -> list[str]:
    """What the figures lack: what is unpriced, whose price is assumed, from when they are complete."""
    said = [unpriced_text(event.unpriced)] if event.unpriced else ["all priced"] if event.spent is not None else []
    if event.assumed_prices:
        said.append(f"assumed price: {_listed([clean(model, 40) for model in event.assumed_prices])}")
    if event.complete_from is not None:
        said.append(f"complete from {clock_time(event.complete_from, zone_of(event), now)}, earlier spend unseen")
    return said


def unpriced_text(items: Sequence[Unpriced]) -> str:
    """not priced, so not counted: gpt-6-mini 5.2M tokens"""
    by_model: dict[tuple[str, str], int] = {}
    for item in items:
        unit = item.meter if item.meter in {"requests", "minutes"} else TOKENS
        by_model[item.model, unit] = by_model.get((item.model, unit), 0) + item.quantity
    named = [f"{clean(model, 40)} {tokens(count)} {unit}" for (model, unit), count in by_model.items()]
    return f"not priced, so not counted: {_listed(named)}"


def _listed(items: Sequence[str]) -> str:
    shown = ", ".join(items[:_TOP])
    return shown if len(items) <= _TOP else f"{shown} and {plural(len(items) - _TOP, 'other')}"
