"""What was announced, in the words in which it was said, with the record of why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from alertd.core.budgets import scope_text
from alertd.core.events import Event
from alertd.core.evidence import handle_of
from alertd.core.markup import Markup, element
from alertd.core.messages import compose
from alertd.core.messages.dates import clock_time, zone_of
from alertd.core.messages.spans import clean
from alertd.ports import AlertRow
from alertd.web.wording import budget_path, html, time

_SHOWN: Final = 100


def alert_list(rows: Iterable[AlertRow], now: datetime, *, empty: str) -> Markup:
    """The newest first; keys that were told together are one entry."""
    told: dict[str, list[AlertRow]] = {}
    for row in sorted(rows, key=lambda row: (row.at, row.key), reverse=True):
        told.setdefault(row.event.id, []).append(row)
    if not told:
        return element("p", empty, class_="quiet")
    entries = [_entry(group, now) for group in list(told.values())[:_SHOWN]]
    left = len(told) - len(entries)
    more = element("p", f"{left:,} older ones are in the API.", class_="quiet") if left else None
    return element("div", element("ol", entries, class_="alerts"), more)


def _entry(rows: Sequence[AlertRow], now: datetime) -> Markup:
    event, at = rows[0].event, rows[0].at
    said = compose([event], at)
    keys = sorted(row.key for row in rows)
    return element(
        "li",
        element(
            "p",
            time(at, clock_time(at, zone_of(event), now)),
            " ",
            element("span", event.severity, class_="tag"),
            element("strong", html(said.headline)),
            element("span", rows[0].state.replace("_", " "), class_="quiet") if rows[0].state != "firing" else None,
        ),
        element(
            "details",
            element("summary", "Why"),
            element("p", clean(event.reason)) if event.reason else None,
            [element("p", html(line)) for line in said.lines],
            element("p", html(said.footer)),
            _budget_link(event),
            element("p", "Told once under ", [element("code", key, " ") for key in map(clean, keys)], class_="quiet"),
            id=f"alert-{handle_of(event.id)}",
        ),
        class_=event.severity,
    )


def _budget_link(event: Event) -> Markup | None:
    if not event.budget:
        return None
    name = f"{event.budget} {scope_text(event.scope)}".strip()
    return element("p", element("a", clean(name), href=budget_path(event.budget, event.scope)))
