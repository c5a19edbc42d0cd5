"""The words of messages as HTML, and the figures of a position in those words: page, chat and mail say the same."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Final

from alertd.core.charts.html import Markup, element, fragment
from alertd.core.evaluation.event_builder import event_of
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.events import Event
from alertd.core.messages import BOLD, CODE, ITALIC, LINK, Line, evidence
from alertd.core.messages.format import used_of
from alertd.core.messages.rich_text import bold, capital, plain

_TAGS: Final = {BOLD: "strong", CODE: "code", ITALIC: "em"}
_WEB: Final = re.compile(r"https?://", re.IGNORECASE)


def html(line: Line) -> Markup:
    """A line of a message. Only web addresses become links."""
    parts = []
    for span in line:
        if span.style == LINK and _WEB.match(span.href):
            parts.append(element("a", span.text, href=span.href, rel="noreferrer noopener"))
        else:
            tag = _TAGS.get(span.style)
            parts.append(element(tag, span.text) if tag else fragment(span.text))
    return fragment(parts)


def event_for(position: BudgetStatus, now: datetime) -> Event:
    """The position as messages see it, without a handle: nothing was announced that could be acknowledged."""
    event = event_of(position, "summary", "info", position.name, now, handle="")
    return replace(event, daily=None, committed=None, runaways=(), unguarded=False, late=(), seen_until=None)


def used(position: BudgetStatus) -> Markup:
    """`251.40 of 500.00 USD (50%)`; a lower bound where it is unknown; `no data yet` where nothing was ever seen."""
    if position.data_until is None:
        return fragment("no data yet")
    figures = element("strong", used_of(position.spent, position.amount.value, position.amount.unit))
    return fragment("at least ", figures) if position.status == "unknown" or position.stale_sources else figures


def forecast(position: BudgetStatus, event: Event, now: datetime) -> list[Markup]:
    """Likely total and chance, and a date where it is not on track, a line each; nothing where it is unknown."""
    if position.status == "unknown":
        return []
    out = () if position.status == "on_track" else _used_up(event, now)  # what is on track is not said to run out
    lines = [evidence.likely(event), evidence.exceeding(event), out]
    return [html(capital(line)) for line in lines if line]


def _used_up(event: Event, now: datetime) -> Line:
    """Used up *Tue 10 Nov*, or when it will be."""
    if event.exhausted_at is not None and event.exhausted_at <= now:
        return (plain("Used up "), bold(evidence.runs_out(event, now)))
    return evidence.when(event, now)
