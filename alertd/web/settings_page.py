"""What is in force: notifiers and whether they work, who may what, silences, settings with their place; no secret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from alertd.core.charts.html import Content, Markup, element, fragment
from alertd.core.evaluation.state import State
from alertd.core.loop_stats import DeliveryStats
from alertd.core.messages.rich_text import clean
from alertd.web.alert_pages import silences_card
from alertd.web.parts import Reader, button, card, pill, table

#: Sections in their order, each with rows of a name and what is said of it.
Sections = Mapping[str, Sequence[tuple[str, str]]]
_ROLES: Final = (
    ("allowance", "asks whether something may be spent, nothing else"),
    ("viewer", "reads everything"),
    ("responder", "also acknowledges, snoozes, silences, refuses, pauses, tests; approves where APPROVERS name them"),
    ("editor", "also raises budgets, approves, undoes, resumes"),
)
_MOST_SHOWN: Final = 500


@dataclass(frozen=True, slots=True)
class InForce:
    """What the page shows: sections in words, names and roles of TOKENS_FILE, what became of messages.

    `written` are the settings that were written, as (variable, value without a secret, place).
    """

    sections: Sections
    written: Sequence[tuple[str, str, str]]
    people: Sequence[tuple[str, str]]
    delivery_stats: Sequence[DeliveryStats]


def settings_page(found: InForce, notes: State | None, reader: Reader, words: str = "") -> Markup:
    """The page; `words` narrow the settings."""
    sections, notifiers = found.sections, dict(found.sections.get("Notifiers", ()))
    shown = [
        card(name, element("div", _table(rows), class_="scroll"), identity=name.lower().replace(" ", "-"))
        for name, rows in sections.items()
        if rows and name not in ("Notifiers", "Sources")
    ]
    silences = silences_card(notes, reader) if notes is not None else None
    return fragment(
        element("div", element("h1", "Settings"),
                element("span", "What is in force. The configuration is read from its files and not edited here.",
                        class_="q sm"), class_="head"),
        _notifiers(found.delivery_stats, notifiers, reader),
        element("div", _roles(found.people, reader), silences or _no_silence(), class_="two"),
        _configuration(found.written, words),
        shown,
    )  # fmt: skip


def _notifiers(delivery_stats: Sequence[DeliveryStats], kinds: Mapping[str, str], reader: Reader) -> Markup:
    """Every notifier with what became of its messages since the start, and a button that sends a test."""
    heads: list[tuple[Content, str | None]] = [
        ("Name", None),
        ("Status", None),
        ("Delivered", "num"),
        ("Tried again", "num"),
        ("Given up", "num"),
        (element("span", "Test", class_="vh"), None),
    ]
    shown = table(heads, [_notifier(one, kinds.get(one.notifier, ""), reader) for one in delivery_stats])
    none = element("p", "No notifier is configured: alertd evaluates, and tells nobody.", class_="card-b quiet")
    foot = element("p", "Counted since the daemon started.", class_="card-f")
    return card("Notifiers", shown if delivery_stats else none, foot if delivery_stats else None)


def _notifier(one: DeliveryStats, kind: str, reader: Reader) -> Markup:
    totals = one.totals
    path = f"/notifiers/{quote(one.notifier, safe='')}/test"
    test = button("Send test", path, reader.back, label=f"Send a test through {one.notifier}")
    status = ("at_risk", "Trying again") if one.last_error else ("good", "Works") if totals.delivered else (
        "no_forecast", "Nothing sent yet"
    )  # fmt: skip
    error = element("span", clean(one.last_error), class_="sub warn") if one.last_error else None
    cells = (("Delivered", totals.delivered), ("Tried again", totals.retried), ("Given up", totals.given_up))
    return element(
        "tr",
        element("th", element("b", one.notifier), element("span", kind, class_="sub") if kind else None, scope="row"),
        element("td", pill(*status), error, data_l="Status"),
        [element("td", f"{count:,}", class_="num", data_l=name) for name, count in cells],
        element("td", element("div", test, class_="btns") if reader.may("responder") else None, class_="acts r"),
    )


def _roles(people: Sequence[tuple[str, str]], reader: Reader) -> Markup:
    """Who comes in by which name, and what each role may."""
    may = dict(_ROLES)
    if people:
        columns: tuple[str, ...] = ("Name", "Role", "May")
        rows = [
            _row(fragment(clean(name, 60), element("span", " you", class_="q") if name == reader.person.name else None),
                 role, may.get(role, ""))
            for name, role in people
        ]  # fmt: skip
    else:
        columns, rows = ("Role", "May"), [_pair(role, said) for role, said in _ROLES]
    you = fragment(
        "Signed in as ", element("b", clean(reader.person.name, 60)),
        f", with the role {reader.person.role}. Tokens and users are in ",
        element("code", "ALERTD_HTTP__TOKENS_FILE"), ", hashes only.",
    )  # fmt: skip
    shown = table([(words, None) for words in columns], rows, "stackable")
    return card("Tokens and roles", shown, element("p", you, class_="card-f"), identity="roles")


def _row(name: Content, role: str, said: str) -> Markup:
    return element("tr", element("th", element("b", name), scope="row"), element("td", role, data_l="Role"),
                   element("td", said, data_l="May"))  # fmt: skip


def _no_silence() -> Markup:
    words = "No silence is in force. A budget's page has Silence…; so has alertd silence."
    return card("Silences", element("p", words, class_="card-b quiet"))


def _configuration(in_force: Sequence[tuple[str, str, str]], words: str) -> Markup | None:
    """Every setting that was written, as it would be written again, with the file and line."""
    if not in_force:
        return None
    found = [row for row in in_force if words.casefold() in " ".join(row).casefold()]
    search = element(
        "form",
        element("input", type="search", name="q", value=words, maxlength=100, aria_label="Find a setting",
                placeholder="Find a setting"),
        element("button", "Find", class_="btn"),
        class_="find", role="search", action="/settings#configuration",
    )  # fmt: skip
    rows = [
        element("tr", element("th", element("code", clean(name, 120)), scope="row"),
                element("td", clean(value, 200), class_="q" if value == "set, not shown" else None, data_l="Value"),
                element("td", clean(place, 120), class_="q nw", data_l="From"))
        for name, value, place in found[:_MOST_SHOWN]
    ]  # fmt: skip
    shown = table([("Setting", None), ("Value", None), ("From", None)], rows, "stackable kv plain")
    none = element("p", "No setting fits.", class_="card-b quiet")
    count = f"{min(len(found), _MOST_SHOWN):,} of {len(in_force):,}"
    more = f"{count} settings that are written; what is not has its default. "
    foot = element("p", more, element("code", "alertd check"), " tries every source, notifier and database.",
                   class_="card-f")  # fmt: skip
    return card("Configuration in force", shown if rows else none, foot, end=search,
                identity="configuration")  # fmt: skip


def _table(rows: Sequence[tuple[str, str]]) -> Markup:
    return element("table", element("tbody", [_pair(*one) for one in rows]), class_="stackable kv plain")


def _pair(name: str, said: str) -> Markup:
    return element("tr", element("th", clean(name, 80), scope="row"), element("td", clean(said, 300)))
