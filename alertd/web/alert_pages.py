"""What was announced: the list by state, severity and day, and each alert's own page, which links in messages open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from alertd.core.addresses import budget_path
from alertd.core.charts.html import Content, Markup, element, fragment
from alertd.core.evaluation.event_builder import handle_of
from alertd.core.evaluation.state import AlertLifecycle, Silence, State, silences_of
from alertd.core.events import Event
from alertd.core.messages import compose
from alertd.core.messages.format import age, clock_time, day, plural
from alertd.core.messages.rich_text import clean
from alertd.operations.values import where_text
from alertd.ports import AlertRow, SentMessage
from alertd.web.answers import alert_state, lifecycle_of
from alertd.web.asks import alert_forms, alert_path
from alertd.web.labels import html
from alertd.web.parts import Reader, button, card, chip, pill, scope_name

_SHOWN: Final = 100
#: A state in words, with the pill that it has.
_STATES: Final[Mapping[str, tuple[str, str]]] = {
    "firing": ("Open", "over"),
    "acknowledged": ("Acknowledged", "good"),
    "snoozed": ("Snoozed", "unknown"),
    "resolved": ("Resolved", "on_track"),
    "announced": ("Announced", "no_forecast"),
    "dry_run": ("Dry run", "no_forecast"),
}
_OPEN: Final = ("firing", "acknowledged", "snoozed")
SHOWS: Final = ("open", "unacknowledged", "all")
_COLUMNS: Final = ("What", "Budget", "State", "Since", "Delivered", "Acknowledged", "Answer")
SEVERITIES: Final = ("critical", "warning", "info")
#: From this number on, scopes of one budget announced together are one entry.
_CROWD: Final = 4
_DOTS: Final = {"critical": "over", "warning": "at_risk", "info": ""}
_SHAPES: Final = {"critical": "over", "warning": "at_risk", "info": "on_track"}
#: What became of messages, by the id of the alert that they were about.
Deliveries = Mapping[str, Sequence[SentMessage]]


def wanted_alerts(rows: Iterable[AlertRow], notes: State, given: Mapping[str, str]) -> AlertList:
    """The alerts that the address asks for, and how many there are of each kind."""
    groups = _by_event(rows)
    states = {identity: alert_state(group[0], notes) for identity, group in groups.items()}
    is_open = Counter(state for state in states.values() if state in _OPEN)
    show, severity, budget, words = (given.get(name, "")[:100] for name in ("show", "severity", "budget", "q"))
    show = show if show in SHOWS else "open" if is_open else "all"
    severity = severity if severity in SEVERITIES else ""
    in_state = {
        identity: group
        for identity, group in groups.items()
        if (show == "all" or (states[identity] in _OPEN and (show == "open" or states[identity] == "firing")))
        and budget in ("", group[0].event.budget)
        and (not words or words.casefold() in _searched(group[0], notes))
    }
    return AlertList(
        [group for group in in_state.values() if severity in ("", group[0].event.severity)],
        {"open": sum(is_open.values()), "unacknowledged": is_open["firing"], "all": len(groups)},
        Counter(group[0].event.severity for group in in_state.values()),
        {"show": show, "severity": severity, "budget": budget, "q": words},
    )


def _searched(row: AlertRow, notes: State) -> str:
    """What a search looks through: budget, scope, contributors, people, the words of the reason."""
    event, life = row.event, lifecycle_of(row, notes)
    people = [step.by for step in life.history] if life is not None else []
    values = [value or "" for _, value in event.scope] + [one.value for one in event.contributors]
    return " ".join([event.budget, event.source, event.owner, event.reason, *values, *people]).casefold()


def alerts_page(found: AlertList, notes: State, sent: Deliveries | None, reader: Reader) -> Markup:
    """The list, as the address filters it (`?show=`, `?severity=`, `?budget=`, `?q=`); silences in force below.

    `sent` is None where the database cannot be read.
    """
    counts, show, severity = found.counts, found.given["show"], found.given["severity"]
    tabs = [
        element("a", f"{name.capitalize()} {counts[name]:,}", href=found.href(show=name, severity=""),
                aria_current="page" if show == name else None)
        for name in SHOWS
    ]  # fmt: skip
    chips = [
        chip(fragment(one.capitalize(), " ", element("b", f"{found.severities[one]:,}")),
             found.href(severity="" if severity == one else one), here=severity == one, shape=_SHAPES[one])
        for one in SEVERITIES
    ]  # fmt: skip
    if found.given["budget"]:
        chips.append(chip(f"{clean(found.given['budget'], 40)} ×", found.href(budget=""), here=True))
    kept = [element("input", type="hidden", name=name, value=value) for name, value in found.given.items()
            if value and name != "q"]  # fmt: skip
    search = element(
        "form", kept,
        element("input", type="search", name="q", value=found.given["q"], maxlength=100, aria_label="Find an alert",
                placeholder="Find budget, key or person"),
        element("button", "Find", class_="btn"),
        class_="find", role="search", action="/alerts",
    )  # fmt: skip
    csv = element("a", "CSV", class_="btn", href=found.href("/alerts.csv"), download=True)
    tools = element("div", element("nav", chips, class_="chips", aria_label="Filter"),
                    element("div", search, csv, class_="end"), class_="tools")  # fmt: skip
    empty = "Nothing was announced in the last five weeks." if show == "all" else "No alert is open."
    empty = "No alert fits." if found.given["q"] or found.given["budget"] else empty
    listed = alert_table(found.groups, notes, reader, sent or {}, empty=empty)
    said = f"{counts['open']:,} open, {counts['unacknowledged']:,} of them not acknowledged"
    legend = "✓ delivered · ↻ waits or is tried again · ✗ given up"
    key = element("p", legend if sent is not None else _NOT_KNOWN, class_="card-f")
    return fragment(
        element("div", element("h1", "Alerts"), element("span", said, class_="q sm"), class_="head"),
        element(
            "section", element("nav", tabs, class_="tabs", aria_label="Which alerts"), tools, listed,
            key if found.groups else None, class_="card", aria_label="Alerts",
        ),
        silences_card(notes, reader),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class AlertList:
    """What a page of alerts shows: the groups of rows by alert, counts by tab and severity, and what was asked for."""

    groups: Sequence[Sequence[AlertRow]]
    counts: Mapping[str, int]
    severities: Mapping[str, int]
    given: Mapping[str, str]

    def href(self, path: str = "/alerts", **changed: str) -> str:
        """The address with something else."""
        given = {**self.given, **changed}
        return f"{path}?{urlencode({name: value for name, value in given.items() if value})}"

    @property
    def since(self) -> datetime | None:
        """When the first alert of the page was announced; None for a page without alerts."""
        return min((group[0].at for group in self.groups[: 2 * _SHOWN]), default=None)


def deliveries(messages: Iterable[SentMessage]) -> Deliveries:
    """What became of messages, by the alerts that they were about."""
    found: dict[str, list[SentMessage]] = {}
    for one in messages:
        for alert in one.alerts:
            found.setdefault(alert, []).append(one)
    return found


def _by_event(rows: Iterable[AlertRow]) -> dict[str, list[AlertRow]]:
    """Keys that were announced together, the newest first."""
    groups: dict[str, list[AlertRow]] = {}
    for row in sorted(rows, key=lambda row: (row.at, row.key), reverse=True):
        groups.setdefault(row.event.id, []).append(row)
    return groups


def alert_table(
    groups: Sequence[Sequence[AlertRow]], notes: State, reader: Reader, sent: Deliveries, *, empty: str
) -> Markup:
    """A row an alert under a heading a day; many scopes of one budget at one instant are one row that unfolds."""
    if not groups:
        return element("p", empty, class_="card-b quiet")
    crowds: dict[tuple[object, ...], list[Sequence[AlertRow]]] = {}
    for group in groups:
        row = group[0]
        crowds.setdefault((row.at, row.event.kind, row.event.budget, row.event.basis), []).append(group)
    shown = list(crowds.values())[:_SHOWN]
    left = len(groups) - sum(map(len, shown))
    rows, last = [], ""
    for crowd in shown:
        heading = day(crowd[0][0].at, reader.zone)
        if heading != last:
            rows.append(
                element("tr", element("th", heading, scope="colgroup", colspan=str(len(_COLUMNS))), class_="group day")
            )
            last = heading
        if len(crowd) < _CROWD:
            rows += [_row(group, notes, sent, reader) for group in crowd]
        else:
            rows.append(_crowd(crowd, notes, reader))
    heads = [element("th", words, scope="col", class_="drop-m" if words == "Budget" else None) for words in _COLUMNS]
    table = element(
        "table",
        element("caption", "Alerts", class_="vh"),
        element("thead", element("tr", heads)),
        element("tbody", rows),
        class_="alerts stackable",
    )
    more = element("p", f"{left:,} older ones are in the API.", class_="card-f") if left else None
    return fragment(element("div", table, class_="scroll"), more)


def _row(rows: Sequence[AlertRow], notes: State, sent: Deliveries, reader: Reader) -> Markup:
    row, event = rows[0], rows[0].event
    said, life = compose([event], row.at), lifecycle_of(row, notes)
    return element(
        "tr",
        element(
            "th",
            element("div", _severity(event.severity), element("a", html(said.headline), href=alert_path(event.id))),
            element("span", clean(event.reason, 160), class_="sub ind") if event.reason else None,
            scope="row",
        ),
        element("td", _about(event), class_="drop drop-m", data_l="Budget"),
        element("td", _state_pill(row, notes), data_l="State"),
        element("td", reader.at(row.at), element("span", f"{age(reader.now - row.at)} ago", class_="sub"), class_="nw",
                data_l="Since"),
        element("td", delivered(sent.get(event.id, ()), reader), class_=None if sent.get(event.id) else "drop",
                data_l="Delivered"),
        element("td", _acknowledged(row, life, notes, reader), class_=None if _answered(life) else "drop",
                data_l="Acknowledged"),
        element("td", element("div", alert_forms(event.id, life, event, reader), class_="btns"), class_="acts"),
    )  # fmt: skip


def _answered(life: AlertLifecycle | None) -> bool:
    """Whether somebody acknowledged or snoozed it."""
    return life is not None and any(step.what in ("acknowledge", "snooze") for step in life.history)


def _severity(severity: str) -> Markup:
    shape = element("svg", element("use", href=f"#i-{_SHAPES.get(severity, 'on_track')}"), class_=f"sev {severity}",
                    viewBox="0 0 10 10", aria_hidden="true")  # fmt: skip
    return fragment(shape, element("span", f"{severity}: ", class_="vh"))


def _about(event: Event) -> Content:
    if event.budget:
        return element("a", scope_name(event.budget, event.scope), href=budget_path(event.budget, event.scope))
    return element("a", clean(event.source, 60), href="/sources") if event.source else "–"


def _state_pill(row: AlertRow, notes: State) -> Markup:
    state = alert_state(row, notes)
    words, kind = _STATES.get(state, (state, ""))
    if state == "firing":
        kind = "runaway" if row.event.basis == "burn_rate" else _DOTS.get(row.event.severity) or "no_forecast"
    return pill(kind, words)


def _acknowledged(row: AlertRow, life: AlertLifecycle | None, notes: State, reader: Reader) -> Content:
    """Who did it, when and why; or that nobody has yet."""
    state = alert_state(row, notes)
    if state == "firing":
        return element("span", "nobody yet", class_="t-risk")
    last = None if life is None else next(
        (step for step in reversed(life.history) if step.what in ("acknowledge", "snooze")), None
    )  # fmt: skip
    if last is None:
        return "–"
    until = f", snoozed until {clock_time(life.until, reader.zone, reader.now)}" if (
        life is not None and life.until is not None and state == "snoozed"
    ) else ""  # fmt: skip
    why = f"“{clean(last.reason, 120)}”" if last.reason else ""
    below = element("span", why, until.lstrip(", ") if not why else until, class_="sub") if why or until else None
    return fragment(clean(last.by, 40), ", ", reader.at(last.at), below)


def delivered(messages: Sequence[SentMessage], reader: Reader) -> Content:
    """What became of an alert's messages, the last to each notifier: ✓ ops, ↻ mail, try 3, ✗ pager."""
    last = {one.notifier: one for one in messages}
    if not last:
        return "–"
    return element("div", [_channel(one, reader) for one in last.values()], class_="deliv")


def _channel(one: SentMessage, reader: Reader) -> Markup:
    name = clean(one.notifier, 30)
    if one.state == "delivered":
        at = clock_time(one.done_at, reader.zone, reader.now) if one.done_at else ""
        return element("span", element("i", "✓"), f" {name}", element("span", " delivered", class_="vh"), class_="y",
                       title=f"delivered {at}")  # fmt: skip
    if one.state == "waiting":
        tried = f", try {one.attempts + 1}" if one.attempts else ", waits"
        held = f"next {clock_time(one.next_try, reader.zone, reader.now)}" if one.next_try else "next at once"
        return element("span", element("i", "↻"), f" {name}{tried}", class_="w",
                       title=f"{held}. {clean(one.reason, 200)}")  # fmt: skip
    return element("span", element("i", "✗"), f" {name}, given up", class_="w", title=clean(one.reason, 200) or None)


def alert_entry(rows: Sequence[AlertRow], notes: State, sent: Deliveries | None, reader: Reader) -> Markup:
    """An alert in the list of a budget's page: what, when, what became of it."""
    row, event = rows[0], rows[0].event
    state = alert_state(row, notes)
    words, _ = _STATES.get(state, (state, ""))
    tone = "open" if state == "announced" else "good" if state in ("resolved", "acknowledged") else _DOTS.get(
        event.severity
    )  # fmt: skip
    by = _acknowledged(row, lifecycle_of(row, notes), notes, reader) if state in ("acknowledged", "snoozed") else None
    return element(
        "li",
        element("p", element("a", html(compose([event], row.at).headline), href=alert_path(event.id))),
        element("div", reader.at(row.at), f" · {event.severity} · {words.lower()}",
                fragment(" by ", by) if by else None, class_="when"),
        delivered(sent.get(event.id, ()), reader) if sent and sent.get(event.id) else None,
        class_=tone or None,
    )  # fmt: skip


#: What is said of deliveries while nothing can be read.
_NOT_KNOWN: Final = "The database cannot be read: what became of the messages is not known."
_TONES: Final = {"critical": "over", "warning": "risk", "info": "ok"}


def _crowd(groups: Sequence[Sequence[AlertRow]], notes: State, reader: Reader) -> Markup:
    first = groups[0][0]
    said = compose([group[0].event for group in groups], first.at)
    links = [
        element(
            "li",
            element("a", html(compose([group[0].event], group[0].at).headline), href=alert_path(group[0].event.id)),
            f" {_STATES.get(alert_state(group[0], notes), ('', ''))[0].lower()}",
        )
        for group in groups
    ]
    fold = element("details", element("summary", f"All {len(groups):,}"), element("ul", links),
                   id=f"all-{handle_of(first.event.id)}")  # fmt: skip
    return element(
        "tr",
        element("th", element("div", _severity(said.severity), element("b", html(said.headline))), fold, scope="row"),
        element("td", clean(first.event.budget, 60), class_="drop drop-m", data_l="Budget"),
        element("td", class_="drop"),
        element("td", reader.at(first.at), class_="nw", data_l="Since"),
        [element("td", class_="drop") for _ in range(3)],
    )


def alert_page(rows: Sequence[AlertRow], notes: State, sent: Deliveries | None, reader: Reader) -> Markup:
    """One alert: what was said, what became of it (None: the database cannot be read), the forms that answer it."""
    row, event = rows[0], rows[0].event
    said, life = compose([event], row.at), lifecycle_of(row, notes)
    forms = alert_forms(event.id, life, event, reader)
    keys = sorted(one.key for one in rows)
    handle = element("code", handle_of(event.id))
    severity = element("span", event.severity, class_=f"t-{_TONES.get(event.severity, 'ok')}")
    return fragment(
        element("div", element("a", "Alerts", href="/alerts"), " / ", handle, class_="crumbs"),
        element("div", element("h1", html(said.headline)), class_="head"),
        element("p", _state_pill(row, notes), " ", severity,
                " · announced ", reader.at(row.at), f" · owner {clean(event.owner, 60)}" if event.owner else None,
                class_="q2"),
        element(
            "div",
            element(
                "div",
                element("section", element("div", element("h2", "What was said", id="h-said"), class_="card-h"),
                        element("div", [element("p", html(line)) for line in said.body],
                                element("p", html(said.footer), class_="q sm"), class_="card-b"),
                        class_="card", aria_labelledby="h-said"),
                card("Why", element("div", element("p", clean(event.reason) or "–"),
                                    element("p", "Announced once under ",
                                            [element("code", clean(key), " ") for key in keys], class_="q sm"),
                                    class_="card-b"), identity="why"),
            ),
            element("div", card("Answer", _answer(forms, event, reader), identity="answer"),
                    card("Delivery", _delivery(None if sent is None else sent.get(event.id, ()), reader),
                         identity="delivery"),
                    card("Timeline", timeline(row, life, reader), identity="timeline")),
            class_="cols",
        ),
    )  # fmt: skip


def _delivery(messages: Sequence[SentMessage] | None, reader: Reader) -> Markup:
    """Every message about an alert: its receiver, whether and when it arrived, and what the receiver answered."""
    if messages is None:
        return element("p", _NOT_KNOWN, class_="card-b lacking")
    if not messages:
        return element("p", "No message about it is kept: delivered ones are for 35 days.", class_="card-b quiet")
    entries = []
    for one in reversed(messages):
        tries = f" at try {one.attempts}" if one.attempts > 1 else ""
        so_far = f", {plural(one.attempts, 'try', 'tries')} so far" if one.attempts else ""
        words = f"waits{so_far}" if one.state == "waiting" else f"{one.state}{tries}"
        tone = "good" if one.state == "delivered" else "open" if one.state == "waiting" else "over"
        at = one.done_at or one.next_try or one.created
        why = element("span", f" · {clean(one.reason, 200)}") if one.reason else None
        entries.append(
            element("li", element("p", element("b", clean(one.notifier, 40)), f" {words}"),
                    element("div", reader.at(at), why, class_="when"), class_=tone)
        )  # fmt: skip
    return element("ol", entries, class_="line-list")


def _answer(forms: Sequence[Markup], event: Event, reader: Reader) -> Markup:
    links = []
    if event.budget:
        links.append(element("a", "Open budget", href=budget_path(event.budget, event.scope), class_="btn"))
    if event.runbook_url:
        links.append(element("a", "Runbook", href=event.runbook_url, class_="btn", rel="noreferrer noopener"))
    if event.source:
        links.append(element("a", "Open sources", href="/sources", class_="btn"))
    none = None
    if not forms:
        viewer = not reader.may("responder")
        none = element("p", "Your role only reads." if viewer else "Nothing is left to answer.", class_="quiet")
    return element("div", none, element("div", links, list(forms), class_="btns wide"), class_="card-b")


def timeline(row: AlertRow, life: AlertLifecycle | None, reader: Reader) -> Markup:
    """The history of an alert: announced, acknowledged (who), reminded, resolved (why)."""
    if life is None:
        entry = element("p", "Announced"), element("span", reader.at(row.at), class_="when")
        return element("ol", element("li", *entry, class_=_DOTS.get(row.event.severity)), class_="line-list")
    entries = []
    for step in reversed(life.history):
        human = step.what in ("acknowledge", "snooze")
        why = f": {clean(step.reason, 200)}" if step.reason else ""
        words = f"{step.state.capitalize()}{f' by {clean(step.by, 60)}' if step.by != 'alertd' else ''}{why}"
        tone = "good" if human or step.state == "resolved" else _DOTS.get(life.severity, "")
        entries.append(
            element("li", element("p", words), element("span", reader.at(step.at), class_="when"), class_=tone or None)
        )
    return element("ol", entries, class_="line-list")


def silences_card(notes: State, reader: Reader) -> Markup | None:
    """The silences in force, each with a button that ends it."""
    found = sorted((one for one in silences_of(notes) if one.until > reader.now), key=lambda one: one.until)
    if not found:
        return None
    rows = [_silence(one, reader) for one in found]
    heads = [element("th", words, scope="col") for words in ("Silence", "Until", "By", "Why", "Answer")]
    table = element("table", element("thead", element("tr", heads)), element("tbody", rows), class_="stackable mid")
    end = element("span", f"{plural(len(found), 'silence')} in force", class_="q sm")
    return card("Silences", element("div", table, class_="scroll"), end=end, identity="silences")


def _silence(one: Silence, reader: Reader) -> Markup:
    where = clean(where_text(one.where), 200)
    end = (
        button("End", f"/silences/{one.id}/end", reader.back, label=f"End the silence of {where}")
        if reader.may("responder")
        else None
    )
    return element(
        "tr",
        element("th", where, scope="row"),
        element("td", clock_time(one.until, reader.zone, reader.now), data_l="Until"),
        element("td", clean(one.by, 60), data_l="By"),
        element("td", clean(one.reason, 200), data_l="Why"),
        element("td", end, class_="acts"),
    )


def found_alert(rows: Iterable[AlertRow], wanted: str) -> list[AlertRow]:
    """The rows of the one alert with an id, or the beginning of one; nothing where several have it."""
    groups = {row.event.id for row in rows if row.event.id.startswith(wanted)}
    if wanted in groups:
        groups = {wanted}
    return [row for row in rows if row.event.id in groups] if len(groups) == 1 else []
