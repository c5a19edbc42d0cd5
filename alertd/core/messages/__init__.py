"""The one place that composes what is said to people. A channel only renders a Message and escapes it.

`compose` is pure: events and an instant in, a Message out; the same state gives the same words in every channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from alertd.core.events import Event
from alertd.core.messages import details, live_message
from alertd.core.messages.freshness import footer, zone_named
from alertd.core.messages.groups import merged, several
from alertd.core.messages.notices import notice
from alertd.core.messages.repeats import again
from alertd.core.messages.spans import (
    BOLD,
    CODE,
    ITALIC,
    LINK,
    PLAIN,
    Line,
    Message,
    Span,
    capital,
    text_of,
    tidy,
    with_options,
)

__all__ = ["BOLD", "CODE", "ITALIC", "LINK", "PLAIN", "Line", "Message", "Span", "compose", "text_of"]

_ICONS: Final = {"info": "🔵", "warning": "🟠", "critical": "🔴"}
_ICONS_OF_KINDS: Final = {"source_stale": "⚫", "recovered": "🟢", "test": "🔵"}
_ICONS_OF_STATES: Final = {
    "over": "🔴", "runaway": "🔴", "at_risk": "🟠", "unknown": "⚫", "no_forecast": "⚪", "on_track": "🟢"
}  # fmt: skip
#: What was done and read back is no alarm; what still waits for somebody is a raised hand.
_ICONS_OF_ACTS: Final = {"executed": "🛑", "verified": "✅", "restored": "✅"}
_SUBJECT_LENGTH: Final = 150


def compose(events: Sequence[Event], now: datetime) -> Message:
    """What to say about `events` (at least one), at `now` (aware): one message, however many they are."""
    if not events:
        raise ValueError("a message needs at least one event")
    if len(events) == 1:
        event = events[0]
        headline, lines, extra = again(event, notice(event, now), now)
        extra = (zone_named(event), *extra)
        ending = live_message.footer(event, now) if details.words(event, "summary") == "live" else ()
    else:
        event = merged(events)
        headline, lines, extra = several(events, now)
        ending = ()
    subject, options = text_of(headline), details.words(events[0], "command_options")
    lines = tuple(with_options(line, options) for line in lines)
    return Message(
        icon=_icon(event, alone=len(events) == 1),
        severity=event.severity,
        headline=tidy(headline),
        lines=tuple(filter(None, map(tidy, lines))),
        footer=capital(tidy(ending or footer(event, now, *extra))),
        subject=subject if len(subject) <= _SUBJECT_LENGTH else subject[: _SUBJECT_LENGTH - 1] + "…",
    )


def _icon(event: Event, *, alone: bool) -> str:
    if alone and event.kind == "action":
        return _ICONS_OF_ACTS.get(details.words(event, "state"), "✋")
    if alone and details.words(event, "summary") == "live":
        own = _ICONS_OF_STATES.get(event.status, "🔵")
        return _ICONS["critical"] if event.severity == "critical" else own
    usual = _ICONS.get(event.severity, "🔵")
    return _ICONS_OF_KINDS.get(event.kind, usual) if alone else usual
