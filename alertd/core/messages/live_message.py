"""What the message says that follows a budget through its period: how it stands, who has taken what on, what waits.

It is read hours after it was written, so every time in it names its day and nothing is told by its age.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from alertd.core.events import Event
from alertd.core.messages import details, evidence
from alertd.core.messages.dates import day, period_name, place, possessive, zone_of
from alertd.core.messages.figures import amount, used_of
from alertd.core.messages.freshness import missing
from alertd.core.messages.spans import Line, Said, Span, bold, clean, code, joined, name, plain
from alertd.core.messages.thresholds import how_surely

#: What an open alert's state means to its reader, and whether a name and an end follow.
_STATES: Final[Mapping[str, str]] = {
    "firing": "nobody has taken it on yet",
    "acknowledged": "taken on by {by}",
    "snoozed": "snoozed{until} by {by}",
}
#: What an act's state means to its reader; what waits for an answer is said at length.
_ACTS: Final[Mapping[str, str]] = {
    "proposed": "is being prepared",
    "approved": "is approved and not done yet",
    "executing": "is being done now",
    "verified": "is done and verified",
    "restoring": "is being undone now",
    "stuck": "could not be undone: act by hand",
}


def standing(event: Event, now: datetime) -> Said:
    """research will probably exceed its budget: runs out Fri 27 Nov (Wed 25 Nov to Mon 30 Nov)"""
    alerts = [_alert(row, event) for row in details.rows(event, "open_alerts")]
    acts = [_act(row, event) for row in details.rows(event, "open_actions")]
    lines = (
        *acts,
        *alerts,
        evidence.standing(event),
        evidence.committed(event, now),
        evidence.to_stay_inside(event),
        evidence.contributors(event),
        evidence.changed(event),
        _to_do(event, waiting=bool(alerts)),
    )
    return _headline(event, now), lines, ()


def footer(event: Event, now: datetime) -> Line:
    """Data to Sat 21 Nov 09:38 · all priced · ends 30 Nov, Berlin · follows the figures, last at Sat 21 Nov 09:40"""
    zone = zone_of(event)
    until = "" if event.data_until is None else f"Data to {_dated(event.data_until, event)}"
    end = ""
    if event.period_end is not None:
        last = event.period_end - timedelta(seconds=1)
        end = f"{'ends' if event.period_end > now else 'ended'} {day(last, zone, weekday=False)}, {place(event.zone)}"
    parts = [until, *missing(event, now), end, f"kept up to date, last at {_dated(now, event)}"]
    return (Span(" · ".join(part for part in parts if part), "italic"),)


def _headline(event: Event, now: datetime) -> Line:
    state, whose = event.status, evidence.who(event)
    budget = possessive(period_name(event, now))
    if state == "unknown":
        return (*whose, bold(": spend is unknown, the data are old or missing"))
    if state == "over":
        excess = (event.spent or Decimal(0)) - (event.amount or Decimal(0))
        over = f": {amount(excess, event.currency)} over" if excess > 0 else ""
        return (*whose, bold(f" has used up {budget}{over}"))
    if state == "runaway":
        return (*whose, bold(f" is running away: {used_of(event.spent or Decimal(0), event.amount, event.currency)}"
                             if event.amount else " is running away"))  # fmt: skip
    if state == "at_risk":
        out = evidence.runs_out(event, now)
        tail = f": runs out {out}" if out else ""
        return (
            *whose,
            bold(f" {how_surely(event.probability_over)} {budget}{tail}"),
            plain(evidence.runs_out_between(event, now) if out else ""),
        )
    if event.spent is not None and event.amount:
        return (*whose, bold(f" is inside {budget}: {used_of(event.spent, event.amount, event.currency)}"))
    return (*whose, bold(f" is inside {budget}"))


def _alert(row: Any, event: Event) -> Line:
    """🟠 forecast above 100 %: taken on by ana, since Sat 21 Nov 08:31"""
    state = str(row.get("state", ""))
    at, until = details.as_instant(row.get("at")), details.as_instant(row.get("until"))
    ends = "" if until is None else f" until {_dated(until, event)}"
    words = _STATES.get(state, clean(state)).format(by=clean(str(row.get("by", "")), 60), until=ends)
    since = "" if at is None else f", since {_dated(at, event)}"
    dot = "🔴" if row.get("severity") == "critical" else "🟠"
    return (plain(f"{dot} "), bold(clean(str(row.get("threshold", "")), 60)), plain(f": {words}{since}"))


def _act(row: Any, event: Event) -> Line:
    """Waits for your answer: block this key `rag-indexer` (reversible), expires Sat 21 Nov 04:12; nothing done yet"""
    what, target = clean(str(row.get("what", "")), 80), name(str(row.get("target", "")), "code")
    if row.get("state") != "awaiting":
        words = _ACTS.get(str(row.get("state", "")), clean(str(row.get("state", ""))))
        return (plain("✋ "), bold(what), plain(" "), target, plain(f" {words}"))
    expires = details.as_instant(row.get("expires"))
    until = "" if expires is None else f", expires {_dated(expires, event)}"
    undo = " (reversible)" if row.get("reversible") else " (NOT reversible)"
    approve = code(f"alertd actions approve {clean(str(row.get('handle', '')), 12)}")
    after = plain(f"{undo}{until}. Nothing done yet; ")
    return (plain("✋ "), bold(f"Waits for an answer: {what} "), target, after, approve)


def _to_do(event: Event, *, waiting: bool) -> Line:
    parts = evidence.to_do(event, commands=False)
    return joined([parts, evidence.raise_command(event)]) if waiting else parts


def _dated(instant: datetime, event: Event) -> str:
    """`Sat 21 Nov 09:38`: right on whatever day it is read."""
    zone = zone_of(event)
    return f"{day(instant, zone)} {instant.astimezone(zone):%H:%M}"
