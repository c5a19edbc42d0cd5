"""What needs a person: open alerts that nobody acknowledged and actions that wait, with the forms that answer them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from alertd.core.actions.state_machine import AWAITING, STUCK, VERIFIED, Act
from alertd.core.addresses import budget_path
from alertd.core.budgets import Scope
from alertd.core.charts.html import Markup, element, fragment
from alertd.core.evaluation.state import FIRING, LIFECYCLES, AlertLifecycle, State
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.events import ActionStep, Event, details_of
from alertd.core.messages import compose, text_of
from alertd.core.messages.evidence import is_raise_an_answer
from alertd.core.messages.format import money
from alertd.core.messages.rich_text import clean
from alertd.ports import AlertRow
from alertd.web.acts import event_of_act, newest_first
from alertd.web.labels import html
from alertd.web.parts import Reader, ask_form, button, field, options, pill, scope_name

#: How many are shown on the front page.
MOST: Final = 5
_GRAVITY: Final = {"critical": 0, "warning": 1, "info": 2}
_COLOURS: Final = {"critical": "over", "warning": "at_risk", "info": ""}
#: The beginning of the line that gives the command.
_COMMAND: Final = "Acknowledge"
_LENGTHS: Final = (("4h", "4 hours"), ("1h", "1 hour"), ("1d", "1 day"), ("7d", "7 days"))


@dataclass(frozen=True, slots=True)
class AnnouncedAlert:
    """An alert that was announced and is not over, with its state."""

    row: AlertRow
    life: AlertLifecycle

    @property
    def id(self) -> str:
        return self.row.event.id


def open_alerts(rows: Iterable[AlertRow], notes: State, states: Sequence[str] = (FIRING,)) -> list[AnnouncedAlert]:
    """The open alerts in these states, the gravest and then the newest first."""
    lives = {identity: life for identity, life in LIFECYCLES.items(notes) if life.state in states}
    found = {row.event.id: AnnouncedAlert(row, lives[row.event.id]) for row in rows if row.event.id in lives}
    return sorted(found.values(), key=lambda one: (_GRAVITY.get(one.life.severity, 2), -one.row.at.timestamp()))


def count_open(notes: State) -> int:
    """How many alerts nobody has acknowledged."""
    return sum(life.state == FIRING for _, life in LIFECYCLES.items(notes))


def waiting_actions(notes: State) -> list[Act]:
    """The actions that wait for an answer, the newest first."""
    return [act for act in newest_first(notes) if act.state == AWAITING]


def needs_answer(alerts: Sequence[AnnouncedAlert], waiting: Sequence[Act], reader: Reader) -> Markup | None:
    """The section of the front page; None where nothing waits."""
    count = len(alerts) + len(waiting)
    if not count:
        return None
    shown = [_waiting(act, reader) for act in waiting[:MOST]]
    shown += [_open(one, reader) for one in alerts[: MOST - len(shown)]]
    rest = count - len(shown)
    more = element("a", f"{rest:,} more" if rest else "all alerts", href="/alerts", class_="sm")
    head = element(
        "div",
        element("h2", "Needs an answer", id="h-ask"),
        element("span", f"{count:,}", class_="count hot"),
        element("div", more, class_="end"),
        class_="card-h",
    )
    return element("section", head, element("ul", shown), class_="card", aria_labelledby="h-ask", id="ask")


def action_title(act: Act) -> str:
    """`Block this key: ci`."""
    return clean(f"{act.what[:1].upper()}{act.what[1:]}: {act.key_name}", 160)


def asked_actions(waiting: Sequence[Act], reader: Reader) -> Markup:
    """The actions that wait on a budget's own page."""
    return element("ul", [_waiting(act, reader) for act in waiting], class_="card approve", aria_label="Waits for you")


def _open(one: AnnouncedAlert, reader: Reader) -> Markup:
    event = one.row.event
    said = compose([event], reader.now)
    # What the page has buttons for is not said as a command.
    lines = [line for line in said.body if not text_of(line).startswith(_COMMAND)][:2]
    why = fragment([fragment(html(line), " " if text_of(line).endswith(".") else ". ") for line in lines])
    return element(
        "li",
        element(
            "div",
            element("h3", element("a", html(said.headline), href=alert_path(one.id))),
            element("p", why, element("span", "Announced ", reader.at(one.row.at), class_="q"),
                    f" · {clean(event.owner)}" if event.owner else None),
        ),
        element("div", alert_forms(one.id, one.life, event, reader), class_="btns"),
        class_=f"ask {_COLOURS.get(one.life.severity, '')}",
    )  # fmt: skip


def _waiting(act: Act, reader: Reader) -> Markup:
    event = event_of_act(act)
    expires = fragment(" Expires ", reader.at(act.expires), ";") if act.expires else None
    undo = "Can be undone." if act.reversible else "Cannot be undone."
    return element(
        "li",
        element(
            "div",
            element("h3", pill("runaway", "Waits"), " ",
                    element("a", action_title(act), href=action_path(act.id)), " ",
                    element("span", "for ", scope_name(event.budget, event.scope), ".")),
            element("p", element("b", clean(event.reason), ". "), undo, expires,
                    " nothing is done until somebody approves. ",
                    element("a", "See the evidence", href=action_path(act.id))),
        ),
        element("div", action_forms(act, reader), class_="btns"),
        class_="ask runaway",
    )  # fmt: skip


def alert_path(identity: str) -> str:
    """An alert's own page."""
    return f"/alerts/{quote(identity, safe='')}"


def action_path(identity: str) -> str:
    """An action's own page."""
    return f"/actions/{quote(identity, safe='')}"


def alert_forms(
    identity: str, life: AlertLifecycle | None, event: Event, reader: Reader, *, raises: bool = True
) -> list[Markup]:
    """What may be done to an alert now: snooze, raise, and last acknowledge. Nothing for a viewer.

    Without `raises` the link to raise the budget is left out: the page has it already.
    """
    if life is None or life.state not in ("firing", "acknowledged", "snoozed") or not reader.may("responder"):
        return []
    about, path = clean(text_of(compose([event], event.at).headline), 80), alert_path(identity)
    forms = []
    if raises and event.budget and event.kind == "threshold" and is_raise_an_answer(event) and reader.may("editor"):
        forms.append(element("a", "Raise…", href=f"{budget_path(event.budget, event.scope)}#raise", class_="btn"))
    if life.state != "snoozed":
        label = f"Snooze 4 h: {about}"
        forms.append(button("Snooze 4 h", f"{path}/snooze", reader.back, label=label, for_="4h"))
    if life.state != "acknowledged":
        forms.append(button("Acknowledge", f"{path}/acknowledge", reader.back, label=f"Acknowledge: {about}"))
    return forms


def action_answers(act: Act, reader: Reader) -> list[tuple[str, str, str]]:
    """What may be answered to an action now, as (path, words, kind of button): refuse and approve, or undo.

    Where APPROVERS are named nobody else approves, not even an editor.
    """
    policy = next((one for one in reader.policies if one.name == act.action), None)
    refused = policy is None or bool(policy.refuses_approver(reader.person.name))
    named = policy is not None and bool(policy.approvers) and not refused
    may_answer = reader.may("editor") or (reader.may("responder") and named)
    found = []
    if act.state == AWAITING:
        if may_answer and not refused:
            found.append(("approve", "Approve", "danger"))
        if reader.may("responder"):
            found.append(("refuse", "Not now", ""))
    if act.state in (VERIFIED, STUCK) and act.ours and act.reversible and may_answer:
        found.append(("restore", "Undo", ""))
    return found


def action_forms(act: Act, reader: Reader) -> list[Markup]:
    """The same as forms of one tap. Each carries what was seen."""
    name, whole = clean(act.key_name, 60), f"{act.what}, {clean(act.key_name, 60)}"
    labels = {"approve": f"Approve: {whole}", "refuse": f"Refuse: {name}", "restore": f"Undo: {whole}"}
    return [
        button(words, f"{action_path(act.id)}/{what}", reader.back, kind=kind, label=labels[what], seen=str(act.steps))
        for what, words, kind in action_answers(act, reader)
    ]


def budget_forms(position: BudgetStatus, reader: Reader) -> list[Markup]:
    """Raise and silence a budget's scope."""
    name, forms = position.budget.name, []
    if reader.may("editor"):
        amount = position.amount
        hint = f"now {money(amount.value, amount.unit)}; until the period ends, its thresholds are armed again"
        raise_form = ask_form(
            "Raise…",
            f"/budgets/{quote(name, safe='')}/raise",
            reader.back,
            [
                field("amount", f"New amount in {amount.unit}", hint=hint, name="amount", inputmode="decimal",
                      required=True, autocomplete="off"),
                field("why-raise", "Reason", name="reason", maxlength="500", autocomplete="off"),
            ],
            press="Raise",
            scope=json.dumps(dict(position.scope)),
            seen=f"{amount.value.normalize():f}",
        )  # fmt: skip
        forms.append(element("div", raise_form, id="raise"))
        if position.budget.credit:
            forms.append(_top_up_form(position, reader))
    if reader.may("responder"):
        forms.append(
            ask_form(
                "Silence…",
                "/silences",
                reader.back,
                [
                    options("silence-for", "For", "for", _LENGTHS),
                    field("why-silence", "Reason", name="reason", required=True, maxlength="500", autocomplete="off"),
                ],
                press="Silence",
                where=json.dumps(matcher(name, position.scope)),
            )
        )
    return forms


def _top_up_form(position: BudgetStatus, reader: Reader) -> Markup:
    """Enter a payment into a prepaid credit, or what is left of it. A form that is sent twice counts once."""
    return ask_form(
        "Top up…",
        f"/budgets/{quote(position.budget.name, safe='')}/top-ups",
        reader.back,
        [
            field("paid", f"Amount in {position.amount.unit}", name="amount", inputmode="decimal", required=True,
                  autocomplete="off"),
            options("what-paid", "It is", "left", (("", "a payment"), ("true", "what is left now"))),
            field("day-paid", "Day", hint="empty: today", name="day", type="date"),
            field("id-paid", "Id", hint="an invoice's number; what has the same id counts once", name="id",
                  value=f"page-{reader.now:%Y%m%d-%H%M%S}", maxlength="80", autocomplete="off"),
            field("why-paid", "Reason", name="reason", maxlength="500", autocomplete="off"),
        ],
        press="Enter",
    )  # fmt: skip


def matcher(budget: str, scope: Scope) -> dict[str, list[str]]:
    """Patterns that match this scope of this budget and nothing else."""
    labels = {"budget": budget, **{label: value or "" for label, value in scope}}
    return {label: [_literal(value)] for label, value in labels.items()}


def _literal(value: str) -> str:
    """A pattern that only this value matches; a leading `!`, which would negate it, as any one character."""
    escaped = "".join(f"[{char}]" if char in "*?[" else char for char in value)
    return f"?{escaped[1:]}" if escaped.startswith("!") else escaped


def impact_of(act: Act) -> str:
    """What stops with the key, in a sentence; "" where that is not known."""
    return clean(details_of(event_of_act(act), ActionStep).impact)
