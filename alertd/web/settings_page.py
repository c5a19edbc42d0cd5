"""What is in force: notifiers and whether they work, who may what, silences, settings with their place; no secret."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

from alertd.core.budgets import DEFAULT_THRESHOLDS
from alertd.core.charts.html import Content, Markup, element, fragment
from alertd.core.evaluation.state import STORED_BUDGETS, State, StoredBudget
from alertd.core.loop_stats import DeliveryStats
from alertd.core.messages.rich_text import clean
from alertd.core.periods import KINDS
from alertd.operations.stored_budgets import ABSENT, tag_of
from alertd.web.alert_pages import silences_card
from alertd.web.parts import Reader, button, card, pill, table
from alertd.web.writes import BUDGET_FORM

#: Sections in their order, each with rows of a name and what is said of it.
Sections = Mapping[str, Sequence[tuple[str, str]]]
_ROLES: Final = (
    ("allowance", "asks whether something may be spent, nothing else"),
    ("viewer", "reads everything"),
    ("responder", "also acknowledges, snoozes, silences, refuses, pauses, tests; approves where APPROVERS name them"),
    (
        "editor",
        "also raises and stores budgets, enters payments, undoes, resumes; approves without APPROVERS",
    ),
)
_MOST_SHOWN: Final = 500
#: The settings of a stored budget that have a line of their own in the form: key, label, hint.
_LINES: Final = (
    ("amount", "Amount", "in money or tokens, for one period: 500 USD, 2B tokens"),
    ("where", "Which usage", "patterns by label: team=research,model=gpt-*; empty: all usage"),
    ("per", "One budget for every", "label, such as team or key; empty: one for all together"),
    ("owner", "Owner", "every message shows it: @ana"),
    ("notify", "Notify", "notifiers; empty: all of them"),
)
_PLACED: Final = frozenset({"name", "period", "thresholds", *(key for key, _, _ in _LINES)})


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
                element("span", "What is in force. The configuration is in its files; budgets can be added beside it.",
                        class_="q sm"), class_="head"),
        _notifiers(found.delivery_stats, notifiers, reader),
        element("div", _roles(found.people, reader), silences or _no_silence(), class_="two"),
        stored_budgets_card(notes, reader),
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
    none = element("p", "No notifier is configured: alertd evaluates, and sends nothing.", class_="card-b quiet")
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


# --- budgets beside the configuration ---


def stored_budgets_card(notes: State | None, reader: Reader) -> Markup:
    """The budgets that are kept in the database, who changed each when; an editor adds and edits them."""
    stored = sorted(STORED_BUDGETS.items(notes)) if notes is not None else []
    may = reader.may("editor")
    rows = [
        element("tr", element("th", element("b", name), scope="row"),
                element("td", clean(one.settings.get("amount", "–"), 40), class_="num", data_l="Amount"),
                element("td", clean(one.by, 60), data_l="By"),
                element("td", reader.at(one.at), data_l="Changed"),
                element("td", element("a", "Edit", href=budget_form_path(name), class_="btn", aria_label=f"Edit {name}")
                        if may else None, class_="acts r"))
        for name, one in stored
    ]  # fmt: skip
    heads: list[tuple[Content, str | None]] = [
        ("Budget", None), ("Amount", "num"), ("By", None), ("Changed", None),
        (element("span", "Edit", class_="vh"), None),
    ]  # fmt: skip
    none = "None is stored. Budgets of the configuration are changed in its files."
    shown = table(heads, rows) if rows else element("p", none, class_="card-b quiet")
    foot = fragment("As code: ", element("code", "alertd budgets export"), ", ", element("code", "plan"), ", ",
                    element("code", "apply"))  # fmt: skip
    add = element("a", "Add a budget", href=budget_form_path(), class_="btn") if may else None
    return card("Budgets kept in the database", shown, element("p", foot, class_="card-f"), end=add, identity="stored")


def budget_form_path(name: str = "") -> str:
    """Where a budget is added, or a stored one is changed."""
    return f"{BUDGET_FORM}?{urlencode({'name': name})}" if name else BUDGET_FORM


@dataclass(frozen=True, slots=True)
class TypedBudget:
    """The values of the form: those of a stored budget, or as they were typed when they were refused."""

    name: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    #: The tag of the stored budget that was seen, and whether it is one that is changed.
    seen: str = ABSENT
    fault: str = ""

    @property
    def is_stored(self) -> bool:
        """Whether one is changed, and none added."""
        return self.seen != ABSENT

    @classmethod
    def of_form(cls, fields: Mapping[str, Any], fault: str) -> TypedBudget:
        """As it was typed."""
        settings = {key: str(fields.get(f"set-{key}", "")) for key, _, _ in _LINES}
        settings |= {"period": str(fields.get("set-period", "month")), "thresholds": str(fields.get("thresholds", ""))}
        return cls(str(fields.get("name", "")), {**settings, "other": str(fields.get("other", ""))},
                   str(fields.get("reason", "")), str(fields.get("seen", "")) or ABSENT, fault)  # fmt: skip

    @classmethod
    def of_stored(cls, stored: StoredBudget) -> TypedBudget:
        """As it is stored: thresholds and settings without a line of their own one to a line."""
        other = "\n".join(f"{key}={value}" for key, value in stored.settings.items() if key not in _PLACED)
        written = {**stored.settings, "other": other}
        written["thresholds"] = "\n".join(_listed(written.get("thresholds", "")))
        return cls(stored.name, written, seen=tag_of(stored))

    def faults(self) -> tuple[dict[str, str], str]:
        """What is wrong with single lines of the form, and with the whole."""
        begin = f"budgets.{self.name}"
        placed, rest = dict[str, str](), list[str]()
        for one in re.split(f"; (?={re.escape(begin)}[.:])", self.fault):
            key, sign, said = one.removeprefix(begin).partition(": ")
            key = key.removeprefix(".") or "name"
            if one.startswith(begin) and sign and key in _PLACED:
                placed[key] = f"{placed[key]}; {said}" if key in placed else said
            else:
                rest.append(one)
        return placed, "; ".join(filter(None, rest))


def _listed(thresholds: str) -> list[str]:
    """Thresholds as they are stored (a JSON list, or with commas between), one by one."""
    try:
        return [str(one) for one in json.loads(thresholds)]
    except (ValueError, TypeError):
        return [one.strip() for one in thresholds.split(",") if one.strip()]


def budget_form(typed: TypedBudget, notifiers: Sequence[str], reader: Reader) -> Markup:
    """The form that adds a budget beside the configuration, or changes one; faults stand where they belong."""
    title = f"Budget {typed.name}" if typed.is_stored else "Add a budget"
    placed, rest = typed.faults()
    hints = {"notify": f"notifiers: {', '.join(notifiers)}; empty: all of them"} if notifiers else {}
    name = _line("name", "Name", "lower-case letters, digits and -", typed.name, placed.get("name", ""),
                 required=True, maxlength="60")  # fmt: skip
    if typed.is_stored:
        name = element("input", type="hidden", name="name", value=typed.name)
    lines = {
        key: _line(f"set-{key}", label, hints.get(key, hint), typed.settings.get(key, ""), placed.get(key, ""),
                   required=key == "amount")
        for key, label, hint in _LINES
    }  # fmt: skip
    chosen = typed.settings.get("period", "month")
    periods = [*KINDS, *([chosen] if chosen not in KINDS else [])]
    period = element(
        "div", element("label", "Period", for_="set-period"),
        element("select", [element("option", one, value=one, selected=one == chosen) for one in periods],
                id="set-period", name="set-period"),
        _fault("set-period", placed.get("period", "")), class_="field",
    )  # fmt: skip
    fields = element(
        "form",
        [element("input", type="hidden", name=key, value=value)
         for key, value in (("back", "/settings"), ("seen", typed.seen))],
        name, lines["amount"], period, lines["where"], lines["per"],
        _text("thresholds", "Alerts when",
              f"one a line, such as forecast 100% p70; empty: {', '.join(map(str, DEFAULT_THRESHOLDS))}",
              typed.settings.get("thresholds", ""), placed.get("thresholds", "")),
        lines["owner"], lines["notify"],
        _text("other", "Other settings", "KEY=VALUE, one a line, as in ALERTD_BUDGETS__NAME__KEY",
              typed.settings.get("other", ""), ""),
        _line("reason", "Reason, for the audit", "", typed.reason, "", maxlength="500"),
        element("div", element("button", "Store", class_="btn primary lg", type="submit"),
                element("a", "Cancel", href="/settings#stored", class_="btn lg"), class_="btns"),
        method="post", action=BUDGET_FORM, class_="card-b stack form",
    )  # fmt: skip
    delete = button("Delete this budget", f"/budgets/{quote(typed.name, safe='')}/delete", "/settings",
                    kind="danger", seen=typed.seen) if typed.is_stored else None  # fmt: skip
    said = f"Nothing was stored: {rest or 'see below.'}"
    fault = element("p", said, class_="banner over", role="alert") if typed.fault else None
    foot = "It is kept in the database and evaluated at once. A budget of the same name in the configuration wins."
    return element(
        "div",
        element("div", element("a", "Settings", href="/settings"), " / budgets", class_="crumbs"),
        element("div", element("h1", title), element("div", delete, class_="end btns"), class_="head"),
        fault,
        element("section", fields, element("p", foot, class_="card-f"), class_="card", aria_label=title),
        class_="narrow stack",
    ) if reader.may("editor") else element("p", "Your role may not change budgets.", class_="q2")  # fmt: skip


def _line(identity: str, label: str, hint: str, value: str, fault: str, **more: str | bool) -> Markup:
    described = " ".join(name for name, said in ((f"{identity}-h", hint), (f"{identity}-f", fault)) if said)
    return element(
        "div", element("label", label, for_=identity),
        element("input", id=identity, name=identity, value=value, autocomplete="off",
                aria_describedby=described or None, aria_invalid="true" if fault else None, **more),
        element("span", hint, class_="hint", id=f"{identity}-h") if hint else None, _fault(identity, fault),
        class_="field",
    )  # fmt: skip


def _text(identity: str, label: str, hint: str, value: str, fault: str) -> Markup:
    return element(
        "div", element("label", label, for_=identity),
        element("textarea", value, id=identity, name=identity, rows=str(max(3, value.count("\n") + 1)),
                aria_describedby=f"{identity}-h", aria_invalid="true" if fault else None),
        element("span", hint, class_="hint", id=f"{identity}-h"), _fault(identity, fault), class_="field",
    )  # fmt: skip


def _fault(identity: str, said: str) -> Markup | None:
    return element("span", said, class_="t-over sm", id=f"{identity}-f") if said else None
