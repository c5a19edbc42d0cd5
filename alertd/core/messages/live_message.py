"""The live message of a budget through its period: its status, who acknowledged what, what waits for an answer.

It is read hours after it was written, so every time in it has a date, and no age is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from alertd.core.events import Event, Live, OpenAction, OpenAlert, details_of
from alertd.core.messages import evidence
from alertd.core.messages.actions import terms
from alertd.core.messages.format import dated, missing, period_name, place, possessive, spent_of, zone_of
from alertd.core.messages.rich_text import Line, Said, Span, bold, clean, code, joined, name, plain
from alertd.core.messages.thresholds import forecast_text

#: What an open alert's state means to its reader, and whether a name and an end follow.
_STATES: Final[Mapping[str, str]] = {
    "firing": "nobody has acknowledged it yet",
    "acknowledged": "acknowledged by {by}",
    "snoozed": "snoozed{until} by {by}",
}
#: What an act's state means to its reader; what waits for an answer is said at length.
_ACTS: Final[Mapping[str, str]] = {
    "proposed": "is being prepared",
    "approved": "is approved and not done yet",
    "executing": "is being done now",
    "verified": "is done and verified",
    "restoring": "is being undone now",
    "stuck": "could not be undone; act at the provider",
}


def live_status(event: Event, now: datetime) -> Said:
    """research will probably go over: $564 of $500, runs out Fri 27 Nov"""
    live = details_of(event, Live)
    alerts = [_alert(row, event) for row in live.open_alerts]
    acts = [_act(row, event) for row in live.open_actions]
    lines = (
        *acts,
        *alerts,
        evidence.committed(event, now),
        evidence.cause(event),
        _to_do(event, waiting=bool(alerts)),
    )
    return Said(_headline(event, now), lines, (), evidence.figures(event, now))


def footer(event: Event, now: datetime) -> Line:
    """Data to Sat 21 Nov 09:38, Berlin · everything priced · owner @ana · updated Sat 21 Nov 09:40"""
    until = "" if event.data_until is None else f"Data to {_dated(event.data_until, event)}, {place(event.zone)}"
    ended = event.period_end is not None and event.period_end <= now
    owner = f"owner {clean(event.owner, 60)}" if event.owner else ""
    parts = [
        until,
        *missing(event, now),
        "the period has ended" if ended else "",
        owner,
        f"updated {_dated(now, event)}",
    ]
    return (Span(" · ".join(part for part in parts if part), "italic"),)


def _headline(event: Event, now: datetime) -> Line:
    state, whose = event.status, evidence.who(event)
    budget = possessive(period_name(event, now))
    figures = "" if event.spent is None or not event.amount else spent_of(event.spent, event.amount, event.currency)
    after = f": {figures}" if figures else ""
    match state:
        case "unknown":
            return (*whose, bold(": spend is unknown; the data are old or missing"))
        case "over":
            return (*whose, bold(f" is over {budget}{after}"))
        case "runaway":
            return (*whose, bold(f" is running away{after}"))
        case "at_risk":
            return (*whose, bold(f" {forecast_text(event, now)}"))
    return (*whose, bold(f" is within {budget}{after}"))


def _alert(row: OpenAlert, event: Event) -> Line:
    """🟠 forecast above 100%: acknowledged by ana, since Sat 21 Nov 08:31"""
    ends = "" if row.until is None else f" until {_dated(row.until, event)}"
    words = _STATES.get(row.state, clean(row.state)).format(by=clean(row.by, 60), until=ends)
    dot = "🔴" if row.severity == "critical" else "🟠"
    return (plain(f"{dot} "), bold(clean(row.threshold, 60)), plain(f": {words}, since {_dated(row.at, event)}"))


def _act(row: OpenAction, event: Event) -> Line:
    """✋ Waits for an answer: block this key `rag-indexer`. Can be undone. Expires Sat 21 Nov 04:12; nothing .."""
    what, target = clean(row.what, 80), name(row.target, "code")
    if row.state != "awaiting":
        return (plain("✋ "), bold(what), plain(" "), target, plain(f" {_ACTS.get(row.state, clean(row.state))}"))
    after = plain(f". {terms(row.reversible, '' if row.expires is None else _dated(row.expires, event))}")
    approve: Line = () if event.details_url else (plain(" "), code(f"alertd actions approve {clean(row.handle, 12)}"))
    return (plain("✋ "), bold(f"Waits for an answer: {what} "), target, after, *approve)


def _to_do(event: Event, *, waiting: bool) -> Line:
    if event.details_url:
        return ()
    raised = evidence.raise_command(event) if waiting else ()
    return joined([(plain("Raise the budget: "), *raised) if raised else (), evidence.to_do(event, commands=False)])


def _dated(instant: datetime, event: Event) -> str:
    return dated(instant, zone_of(event))
