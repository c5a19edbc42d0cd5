"""Compose the text of messages, in one place. A channel only renders a Message and escapes it.

`compose` is pure: events and an instant in, a Message out; the same state gives the same text in every channel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from urllib.parse import quote

from alertd.core.budgets import Scope
from alertd.core.events import ActionStep, BurnRateReached, Event, Live, SourceStale, details_of
from alertd.core.messages import live_message
from alertd.core.messages.evidence import also, because, is_raise_an_answer
from alertd.core.messages.format import footer
from alertd.core.messages.groups import again, merged, several
from alertd.core.messages.notices import notice
from alertd.core.messages.rich_text import (
    BOLD,
    CODE,
    ITALIC,
    LINK,
    PLAIN,
    Fact,
    Line,
    Message,
    Span,
    capital,
    clean,
    link,
    text_of,
    tidy,
    with_options,
)

__all__ = ["BOLD", "CODE", "ITALIC", "LINK", "PLAIN", "Fact", "Line", "Message", "Span", "compose", "text_of"]

_ICONS: Final = {"info": "🔵", "warning": "🟠", "critical": "🔴"}
_ICONS_OF_KINDS: Final = {"source_stale": "🔌", "recovered": "🟢", "test": "🔵"}
_ICONS_OF_SUMMARIES: Final = {"first_start": "📊", "digest": "📊", "period_closed": "📊"}
_ICONS_OF_STATES: Final = {
    "over": "🔴", "runaway": "🔴", "at_risk": "🟠", "unknown": "🔌", "no_forecast": "⚪", "on_track": "🟢"
}  # fmt: skip
_TONES: Final = {"over": "critical", "runaway": "critical", "at_risk": "warning"}
_LOUDNESS: Final = ("critical", "warning", "info", "")
#: What was done and read back is no alarm; what still waits for somebody is a raised hand.
_ICONS_OF_ACTS: Final = {"executed": "🛑", "verified": "✅", "restored": "✅"}
_SUBJECT_LENGTH: Final = 150


def compose(events: Sequence[Event], now: datetime, *, links: bool = True) -> Message:
    """One message about `events` (at least one) at `now` (aware). ValueError without events.

    Without `links` it names commands also where a page is known: for people at a terminal.
    """
    if not events:
        raise ValueError("a message needs at least one event")
    if not links:
        events = [replace(event, answer_url="", details_url="") for event in events]
    events = _without_doubles(events)
    if len(events) == 1:
        event = events[0]
        said = notice(event, now)
        said = said._replace(lines=(because(event), also(event), *said.lines))
        if event.repeat:
            said = again(event, said, now)
        ending = live_message.footer(event, now) if isinstance(event.details, Live) else ()
    else:
        event = merged(events)
        said = several(events, now)
        ending = ()
    subject, options = text_of(said.headline), events[0].command_options
    return Message(
        icon=_icon(events),
        severity=event.severity,
        headline=tidy(said.headline),
        lines=tuple(filter(None, map(tidy, with_options(said.lines, options)))),
        footer=capital(tidy(ending or footer(event, now, *said.notes))),
        actions=tuple(_actions(events)) if links else (),
        subject=subject if len(subject) <= _SUBJECT_LENGTH else subject[: _SUBJECT_LENGTH - 1] + "…",
        facts=tuple(Fact(one.label, tidy(one.value)) for one in said.facts if any(span.text for span in one.value)),
        picture_url=events[0].picture_url if len(events) == 1 else "",
        tone=_tone(events, event.severity),
    )


def _without_doubles(events: Sequence[Event]) -> Sequence[Event]:
    """The events, of several levels of one credit only the first: each says what is left of it."""
    found: list[Event] = []
    known: set[tuple[str, str, Scope]] = set()
    for event in events:
        same = event.kind, event.budget, event.scope
        if event.basis != "balance" or event.repeat or same not in known:
            found.append(event)
        if event.basis == "balance":
            known.add(same)
    return found


def _tone(events: Sequence[Event], severity: str) -> str:
    """A summary is as red as its worst line; everything else as its severity says."""
    if events[0].kind != "summary":
        return severity
    return min((severity, *(_TONES.get(event.status, "info") for event in events)), key=_LOUDNESS.index)


def _actions(events: Sequence[Event]) -> Iterator[Span]:
    """Acknowledge or answer first, then the budget, raise, the runbook; of many events the page of alerts."""
    first = events[0]
    if len(events) > 1:
        if first.answer_url:
            yield link("Open alerts", f"{first.answer_url.rpartition('/alerts/')[0]}/alerts")
        elif "/budgets/" in first.details_url:
            yield link("Open all budgets", f"{first.details_url.rpartition('/budgets/')[0]}/")
        return
    proposal = details_of(first, BurnRateReached).proposed
    if first.answer_url and first.kind == "action":
        yield link("Answer" if details_of(first, ActionStep).state == "proposed" else "Open action", first.answer_url)
    elif first.answer_url:
        if proposal is not None:
            base = first.answer_url.rpartition("/alerts/")[0]
            yield link(f"Answer: {clean(proposal.what, 40)}", f"{base}/actions/{quote(proposal.handle, safe='')}")
        answered = first.kind in {"threshold", "source_stale"} and first.severity != "info"
        yield link("Acknowledge" if answered else "Open alert", first.answer_url)
    if first.details_url:
        yield link("Open budget", first.details_url)
        if first.answer_url and first.kind == "threshold" and is_raise_an_answer(first):
            yield link("Raise…", f"{first.details_url}#raise")
    if first.runbook_url and (first.answer_url or first.details_url):
        yield link("Runbook", first.runbook_url)


def _icon(events: Sequence[Event]) -> str:
    first = events[0]
    if first.summary in _ICONS_OF_SUMMARIES:
        return _ICONS_OF_SUMMARIES[first.summary]
    usual = _ICONS.get(merged(events).severity if len(events) > 1 else first.severity, "🔵")
    if len(events) > 1:
        return usual
    if first.kind == "action":
        return _ICONS_OF_ACTS.get(details_of(first, ActionStep).state, "✋")
    if isinstance(first.details, Live):
        return _ICONS["critical"] if first.severity == "critical" else _ICONS_OF_STATES.get(first.status, "🔵")
    if first.kind == "source_stale" and not isinstance(first.details, SourceStale):
        return usual
    return _ICONS_OF_KINDS.get(first.kind, usual)
