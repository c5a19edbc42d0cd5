"""Acts on keys for people: what is proposed or done, by whom, on what evidence. Nothing can be answered here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from alertd.core.actions.policy import ActionPolicy
from alertd.core.actions.state_machine import Act
from alertd.core.addresses import budget_path
from alertd.core.budgets import scope_text
from alertd.core.charts.html import Markup, element, fragment
from alertd.core.evaluation.state import State
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.messages.dates import clock_time
from alertd.core.messages.figures import plural
from alertd.core.messages.spans import capital, clean, plain
from alertd.ports import Step
from alertd.web.acts import event_of_act, is_about, newest_first, open_values, paused_json, steps_of
from alertd.web.layout import grid
from alertd.web.wording import html, time

_SHOWN: Final = 100
#: A state in words, and how much it wants to be looked at.
_STATES: Final[Mapping[str, tuple[str, str]]] = {
    "proposed": ("proposed", "warning"),
    "rehearsed": ("dry run: nothing was done", "info"),
    "awaiting": ("waits for an answer", "critical"),
    "approved": ("approved, not begun", "warning"),
    "executing": ("under way", "warning"),
    "verified": ("done and verified", "warning"),
    "failed": ("failed", "critical"),
    "restoring": ("being restored", "warning"),
    "restored": ("restored", "info"),
    "stuck": ("could not be restored", "critical"),
    "drifted": ("changed by somebody else", "warning"),
    "disowned": ("left as it is; alertd does not undo it", "info"),
    "expired": ("expired, nothing was done", "info"),
    "refused": ("refused", "info"),
}
_UNANSWERED: Final = (
    ("awaiting", "waits for an answer", "wait for an answer"),
    ("stuck", "could not be undone", "could not be undone"),
)
#: What people can answer to an act in this state.
_ANSWERS: Final[Mapping[str, tuple[str, ...]]] = {
    "awaiting": ("approve", "refuse"),
    "approved": ("refuse",),
    "verified": ("restore", "disown"),
    "stuck": ("restore", "disown"),
}
#: What becomes of an act in this state at the hour at which it expires.
_EXPIRIES: Final[Mapping[str, str]] = {
    "awaiting": "without an answer nothing is done",
    "approved": "if it has not begun by then, nothing is done",
}


def actions_page(terms: Sequence[ActionPolicy], notes: State, steps: Iterable[Step], now: datetime) -> Markup:
    """What is configured, then every act that is remembered."""
    rows = [_terms(one) for one in terms]
    none = "No action is configured: alertd tells, and turns nothing off."
    return fragment(
        element("h1", "Actions"),
        _paused(notes),
        grid("Configured", ("Action", "Does", "Mode", "Upon", "Lacks"), rows, stacked=True)
        if rows
        else element("p", none, class_="quiet"),
        element("h2", "Acts"),
        act_list(newest_first(notes), steps, now, empty="Nothing was proposed, and nothing was done."),
        element("p", "Acts are answered with alertd actions, or with buttons in chat; this page only shows them.",
                class_="quiet"),
    )  # fmt: skip


def budget_actions(
    position: BudgetStatus, terms: Sequence[ActionPolicy], notes: State, steps: Iterable[Step], now: datetime
) -> Markup | None:
    """A budget's own section; None where it has no action and never had one."""
    own = [act for act in newest_first(notes) if is_about(act, position)]
    named = position.override.actions if position.override.actions is not None else position.budget.actions
    if not (own or named):
        return None
    modes = {one.name: one.mode.replace("_", " ") for one in terms}
    said = ", ".join(f"{name} ({modes.get(name, 'not configured')})" for name in named)
    return fragment(
        element("h2", "Actions"),
        element("p", f"May act: {clean(said)}") if said else None,
        _paused(notes),
        act_list(own, steps, now, empty="Nothing was proposed, and nothing was done."),
    )


def shown_acts(notes: State, position: BudgetStatus | None = None) -> list[str]:
    """The acts (of a budget, where one is given) that a page shows: only their audit is read."""
    found = [act for act in newest_first(notes) if position is None or is_about(act, position)]
    return [act.id for act in found[:_SHOWN]]


def unanswered(notes: State) -> Markup | None:
    """That a person has to answer; None where nobody has to."""
    states = Counter(act.state for act in newest_first(notes))
    said = [
        f"{plural(states[state], 'act')} on a key {one if states[state] == 1 else many}"
        for state, one, many in _UNANSWERED
        if states[state]
    ]
    if not said:
        return None
    return element("p", f"{'; '.join(said)}: ", element("a", "see Actions", href="/actions"), class_="notice over")


def act_list(found: Sequence[Act], steps: Iterable[Step], now: datetime, *, empty: str) -> Markup:
    """Acts in their order, each with its audit folded below."""
    if not found:
        return element("p", empty, class_="quiet")
    audit = steps_of(steps)
    left = len(found) - _SHOWN
    more = element("p", f"{left:,} older ones are in the API.", class_="quiet") if left > 0 else None
    entries = [_entry(act, audit.get(act.id, ()), now) for act in found[:_SHOWN]]
    return fragment(element("ol", entries, class_="alerts"), more)


def _paused(notes: State) -> Markup | None:
    paused = paused_json(notes)
    if paused is None:
        return None
    why = f": {paused['reason']}" if paused["reason"] else ""
    words = f"All actions are paused since {paused['at'][:16]} by {paused['by']}{why}"
    return element("p", clean(words), class_="notice risk")


def _terms(terms: ActionPolicy) -> Markup:
    cells = (terms.what, terms.mode.replace("_", " "), ", ".join(terms.on))
    named = element("span", "lacks", class_="narrow") if terms.lacks else None
    lacks = element("td", named, clean(terms.lacks) or "–", class_="lacking" if terms.lacks else "none")
    name = element("th", terms.name, scope="row")
    return element("tr", name, [element("td", clean(cell)) for cell in cells], lacks)


def _entry(act: Act, steps: Sequence[Step], now: datetime) -> Markup:
    words, grave = _STATES.get(act.state, (act.state, "info"))
    event = event_of_act(act)
    name = clean(f"{event.budget} {scope_text(event.scope)}".strip())
    said = [event.reason, event.details.get("impact", ""), act.error, act.held, _after(act)]
    return element(
        "li",
        element(
            "p",
            time(act.since, f"{clock_time(act.since, UTC, now)} UTC") if act.since else None,
            element("span", words, class_="tag"),
            element("strong", clean(f"{act.what}: {act.key_name}")),
        ),
        element("p", element("a", name, href=budget_path(event.budget, event.scope)),
                f" · {clean(act.action)} · ", element("code", act.handle)),
        [element("p", html(capital((plain(clean(str(text))),)))) for text in said if text],
        _expiry(act, now),
        _answers(act),
        _audit(act, steps, now),
        class_=grave,
    )  # fmt: skip


def _answers(act: Act) -> list[Markup]:
    """What a person can type now."""
    verbs = _ANSWERS.get(act.state, ())
    if not verbs or ("restore" in verbs and not (act.ours and act.reversible)):
        return []
    return [element("p", element("code", f"alertd actions {verb} {act.handle}")) for verb in verbs]


def _expiry(act: Act, now: datetime) -> Markup | None:
    """Until when it waits; None where it waits for nothing, or without an end."""
    meaning = _EXPIRIES.get(act.state)
    if meaning is None or act.expires is None:
        return None
    return element("p", "Expires ", time(act.expires, f"{clock_time(act.expires, UTC, now)} UTC"), f": {meaning}.")


def _after(act: Act) -> str:
    """What the usage of the key did after it was stopped."""
    return f"usage after it: {act.usage}" if act.usage else ""


def _audit(act: Act, steps: Sequence[Step], now: datetime) -> Markup | None:
    if not steps:
        return None
    return element(
        "details",
        element("summary", f"Audit: {len(steps)} steps"),
        grid(
            f"Audit of {act.handle}",
            ("When", "What", "By", "Why", "Evidence"),
            [_step(one, now) for one in steps],
            stacked=True,
        ),
        id=f"act-{act.handle}",
    )


def _step(step: Step, now: datetime) -> Markup:
    state = f" → {step.state}"
    why = clean(step.reason)
    evidence = _pairs(open_values(step.evidence)) + ([f"request {step.request}"] if step.request else [])
    return element(
        "tr",
        element("td", time(step.at, f"{clock_time(step.at, UTC, now)} UTC")),
        element("td", step.what, element("span", state, class_="quiet")),
        element("td", clean(step.by)),
        element("td", why or "–", class_=None if why else "none"),
        element("td", [element("p", clean(pair)) for pair in evidence] or "–", class_=None if evidence else "none"),
    )


def _pairs(values: Mapping[str, Any], above: str = "") -> list[str]:
    """Evidence a line each: `share 0.62`, `values blocked False`."""
    found: list[str] = []
    for name, value in values.items():
        words = f"{above}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            found += _pairs(value, f"{words} ")
        elif value not in (None, "", [], ()):
            found.append(f"{words} {', '.join(map(str, value)) if isinstance(value, list | tuple) else value}")
    return found
