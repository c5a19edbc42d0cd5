"""What was announced, in the words in which it was said, with the record of why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from alertd.core.addresses import budget_path
from alertd.core.budgets import scope_text
from alertd.core.charts.html import Markup, element
from alertd.core.evaluation.event_builder import handle_of
from alertd.core.evaluation.state import State
from alertd.core.events import Event
from alertd.core.messages import Message, compose
from alertd.core.messages.dates import clock_time, zone_of
from alertd.core.messages.spans import clean
from alertd.ports import AlertRow
from alertd.web.answers import alert_state, lifecycle_of
from alertd.web.wording import html, time

_SHOWN: Final = 100
#: States that say something to a reader; `told` does not.
_STATES: Final = {
    "firing": "open", "acknowledged": "acknowledged", "snoozed": "snoozed", "resolved": "over", "dry_run": "dry run"
}  # fmt: skip
#: So many scopes of one budget told at once are one entry.
_CROWD: Final = 4


def alert_list(rows: Iterable[AlertRow], notes: State, now: datetime, *, empty: str) -> Markup:
    """The newest first; keys that were told together are one entry."""
    told: dict[str, list[AlertRow]] = {}
    for row in sorted(rows, key=lambda row: (row.at, row.key), reverse=True):
        told.setdefault(row.event.id, []).append(row)
    if not told:
        return element("p", empty, class_="quiet")
    crowds: dict[tuple[object, ...], list[list[AlertRow]]] = {}
    for group in told.values():
        row = group[0]
        crowds.setdefault((row.at, row.event.kind, row.event.budget, row.event.basis), []).append(group)
    shown = list(crowds.values())[:_SHOWN]
    left = len(told) - sum(map(len, shown))
    more = element("p", f"{left:,} older ones are in the API.", class_="quiet") if left else None
    return element("div", element("ol", [_crowd(groups, notes, now) for groups in shown], class_="alerts"), more)


def _crowd(groups: Sequence[Sequence[AlertRow]], notes: State, now: datetime) -> list[Markup]:
    """What was told of one budget at one time: each by itself, or many scopes as one message with all below it."""
    if len(groups) < _CROWD:
        return [_entry(group, notes, now) for group in groups]
    events = [group[0].event for group in groups]
    first = groups[0][0]
    below = element("ol", [_entry(group, notes, now) for group in groups], class_="alerts")
    fold = element("details", element("summary", f"All {len(groups):,}"), below, id=f"all-{handle_of(first.event.id)}")
    said = compose(events, first.at)
    return [element("li", _headline(first, said, "", now), fold, class_=said.severity)]


def _entry(rows: Sequence[AlertRow], notes: State, now: datetime) -> Markup:
    event, said = rows[0].event, compose([rows[0].event], rows[0].at)
    keys = sorted(row.key for row in rows)
    return element(
        "li",
        _headline(rows[0], said, alert_state(rows[0], notes), now),
        element(
            "details",
            element("summary", "Why"),
            element("p", clean(event.reason)) if event.reason else None,
            [element("p", html(line)) for line in said.lines],
            element("p", html(said.footer)),
            _history(rows[0], notes, now),
            _budget_link(event),
            element("p", "Told once under ", [element("code", key, " ") for key in map(clean, keys)], class_="quiet"),
            id=f"alert-{handle_of(event.id)}",
        ),
        class_=event.severity,
    )


def _headline(row: AlertRow, said: Message, state: str, now: datetime) -> Markup:
    return element(
        "p",
        time(row.at, clock_time(row.at, zone_of(row.event), now)),
        " ",
        element("span", said.severity, class_="tag"),
        element("strong", html(said.headline)),
        element("span", f" {_STATES[state]}", class_="quiet") if _STATES.get(state) else None,
    )


def _history(row: AlertRow, notes: State, now: datetime) -> Markup | None:
    """What became of it: acknowledged by whom, reminded, ended and why."""
    life = lifecycle_of(row, notes)
    if life is None or len(life.history) <= 1:
        return None
    steps = [
        element(
            "li",
            time(step.at, clock_time(step.at, zone_of(row.event), now)),
            f" {step.state}",
            f" by {clean(step.by)}" if step.by else None,
            f": {clean(step.reason)}" if step.reason else None,
        )
        for step in life.history[1:]
    ]
    return element("ul", steps)


def _budget_link(event: Event) -> Markup | None:
    if not event.budget:
        return None
    name = f"{event.budget} {scope_text(event.scope)}".strip()
    return element("p", element("a", clean(name), href=budget_path(event.budget, event.scope)))
