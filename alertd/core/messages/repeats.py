"""What is said when an alert is told again: that it is no news, since when it is known, and why it comes again."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from alertd.core.events import Event
from alertd.core.messages import details
from alertd.core.messages.dates import clock_time, zone_of
from alertd.core.messages.spans import Said, bold, plain

_REPEATS: Final = {
    "reminder": ("Reminder: ", "nobody has acknowledged it"),
    "escalation": ("Escalated: ", "nobody has acknowledged it, so it comes to you"),
    "snooze over": ("Snooze over: ", "it still stands"),
}


def again(event: Event, said: Said, now: datetime) -> Said:
    """Reminder: research will probably exceed its budget / First told Fri 20 Nov 08:05; nobody has acknowledged it"""
    known = _REPEATS.get(details.words(event, "repeat"))
    if known is None:
        return said
    headline, lines, extra = said
    told = details.instant(event, "first_told")
    since = "" if told is None else f"First told {clock_time(told, zone_of(event), now)}; "
    return (bold(known[0]), *headline), ((plain(f"{since}{known[1]}"),), *lines), extra
