"""Actions on keys: the list, and each one's own page with the evidence, what an approval stops, and the buttons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from alertd.core.actions.policy import ActionPolicy
from alertd.core.actions.state_machine import APPROVED, AWAITING, Act
from alertd.core.addresses import budget_path
from alertd.core.charts.html import Content, Markup, element, fragment
from alertd.core.evaluation.breakdown import ScopeUsage
from alertd.core.evaluation.state import State
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.events import ActionStep, details_of
from alertd.core.messages.format import age, estimated, money, plural, used_of
from alertd.core.messages.rich_text import clean
from alertd.ports import Step
from alertd.web.acts import event_of_act, is_about, newest_first, open_values, paused_json, steps_of
from alertd.web.asks import action_answers, action_forms, action_path, action_title, impact_of
from alertd.web.layout import grid
from alertd.web.parts import Reader, button, card, pill, quantile, scope_name
from alertd.web.usage_section import hour_bars

_SHOWN: Final = 100
#: Usage is kept by the hour for at least two days.
_HOURS_KEPT: Final = timedelta(days=2)
#: The width of a bucket of usage, in seconds.
_BUCKET: Final = 300
#: A state in words, and the pill that it has.
STATES: Final[Mapping[str, tuple[str, str]]] = {
    "proposed": ("Proposed", "at_risk"),
    "rehearsed": ("Dry run: nothing was done", "no_forecast"),
    "awaiting": ("Waits for an answer", "runaway"),
    "approved": ("Approved, not begun", "at_risk"),
    "executing": ("Under way", "at_risk"),
    "verified": ("Done and verified", "good"),
    "failed": ("Failed", "over"),
    "restoring": ("Being undone", "at_risk"),
    "restored": ("Undone", "on_track"),
    "stuck": ("Could not be undone", "over"),
    "drifted": ("Changed by somebody else", "unknown"),
    "disowned": ("Left as it is", "no_forecast"),
    "expired": ("Expired, nothing was done", "no_forecast"),
    "refused": ("Refused", "no_forecast"),
}
#: What happened to an action, as its audit says it; `{by}` is who did it.
_STEPS: Final[Mapping[str, str]] = {
    "propose": "Proposed",
    "rehearse": "Dry run: this would have been done",
    "ask": "Asked for an answer",
    "permit": "Permitted by the policy, without a question",
    "approve": "Approved{by}",
    "refuse": "Refused{by}",
    "expire": "Expired: nothing was done",
    "begin": "Begun",
    "read": "State at the provider read",
    "send": "Request sent to the provider",
    "take over": "Taken over by another replica",
    "retry": "Failed once, tried again later",
    "verify": "Done, and verified at the provider",
    "fail": "Failed",
    "stopped": "No usage of the key since",
    "goes on": "The key is still used",
    "drift": "Changed at the provider by somebody else",
    "restore": "Undo asked for{by}",
    "restored": "Undone, and verified at the provider",
    "disown": "Left as it is{by}: alertd does not undo it",
}
#: What an action was proposed on, in words.
_EVIDENCE: Final[Mapping[str, str]] = {
    "threshold": "Threshold",
    "spent": "Spent by this key",
    "recent": "Spent in the window",
    "usual": "Usual in such a window",
    "share": "Share of the budget's spend",
    "fits": "Part of the rise that it explains",
    "requests_hour": "Requests an hour",
    "readings": "Confirmed by",
    "last_used": "Last used",
    "shared": "Also used by",
}
_DOTS: Final = {"awaiting": "open", "failed": "over", "stuck": "over", "verified": "good", "restored": "good"}


def actions_page(policies: Sequence[ActionPolicy], notes: State, reader: Reader) -> Markup:
    """What is configured, whether it is paused, then every action that is remembered."""
    found = newest_first(notes)
    return fragment(
        element(
            "div", element("h1", "Actions"), element("div", _switch(notes, reader), class_="end btns"), class_="head"
        ),
        paused_banner(notes),
        action_list(found, reader, empty="Nothing was proposed, and nothing was done."),
        element("h2", "Configured"),
        grid(
            "Configured",
            ("Action", "Does", "Mode", "Upon", "Missing"),
            [_policy(one) for one in policies],
            stacked=True,
        )
        if policies
        else element("p", "No action is configured: alertd alerts, and turns nothing off.", class_="quiet"),
    )


def _switch(notes: State, reader: Reader) -> Markup | None:
    """Pause everything, or continue."""
    if paused_json(notes) is None:
        return button("Pause all actions", "/actions/pause", reader.back) if reader.may("responder") else None
    return button("Continue", "/actions/resume", reader.back) if reader.may("editor") else None


def paused_banner(notes: State) -> Markup | None:
    """A notice that all actions are paused: who paused them, and why."""
    paused = paused_json(notes)
    if paused is None:
        return None
    why = f": {paused['reason']}" if paused["reason"] else ""
    words = clean(f"All actions are paused since {paused['at'][:16]} by {paused['by']}{why}")
    return element("p", words, class_="banner", role="status")


def action_list(found: Sequence[Act], reader: Reader, *, empty: str) -> Markup:
    """A row an action, the newest first."""
    if not found:
        return element("p", empty, class_="quiet")
    left = len(found) - _SHOWN
    more = element("p", f"{left:,} older ones are in the API.", class_="card-f") if left > 0 else None
    heads = [element("th", words, scope="col") for words in ("Action", "State", "Budget", "Since", "Answer")]
    table = element(
        "table",
        element("caption", "Actions on keys", class_="vh"),
        element("thead", element("tr", heads)),
        element("tbody", [_row(act, reader) for act in found[:_SHOWN]]),
        class_="alerts stackable mid",
    )
    return element("section", element("div", table, class_="scroll"), more, class_="card", aria_label="Actions on keys")


def _row(act: Act, reader: Reader) -> Markup:
    words, kind = STATES.get(act.state, (act.state, ""))
    event = event_of_act(act)
    about = scope_name(event.budget, event.scope)
    return element(
        "tr",
        element("th", element("a", action_title(act), href=action_path(act.id)),
                element("span", f"{clean(act.action, 40)} · {act.handle}", class_="sub"), scope="row"),
        element("td", pill(kind, words), data_l="State"),
        element("td", element("a", about, href=budget_path(event.budget, event.scope)), data_l="Budget"),
        element("td", reader.at(act.since) if act.since else "–", class_="nw", data_l="Since"),
        element("td", element("div", action_forms(act, reader), class_="btns"), class_="acts"),
    )  # fmt: skip


def action_page(
    act: Act,
    policy: ActionPolicy | None,
    steps: Sequence[Step],
    position: BudgetStatus | None,
    reader: Reader,
    *,
    usage: ScopeUsage | None = None,
) -> Markup:
    """One action. `position` is the status of its budget now; None where that is not evaluated any more.

    `usage` is that of the budget, whose hours before the proposal are shown.
    """
    event, forms = event_of_act(act), action_forms(act, reader)
    words, kind = STATES.get(act.state, (act.state, ""))
    about = scope_name(event.budget, event.scope)
    facts = [
        element("span", "budget ", element("a", about, href=budget_path(event.budget, event.scope))),
        element("span", "policy ", element("b", clean(act.action, 60))),
        element("span", "expires ", element("b", reader.at(act.expires)))
        if act.expires and act.state in (AWAITING, APPROVED) else None,
    ]  # fmt: skip
    question = f"{action_title(act)}{'?' if act.state == AWAITING else ''}"
    return fragment(
        element("div", element("a", "Actions", href="/actions"), " / ", element("code", act.handle), class_="crumbs"),
        element("div", element("h1", question), pill(kind, words), class_="head"),
        element("div", facts, class_="meta"),
        _who_may(act, policy, reader),
        element(
            "div",
            element("div", _evidence(act, position, reader, _hours(act, usage, reader)), _what_happens(act, position)),
            element(
                "div",
                _your_answer(act, reader) if forms else None,
                card("Audit", audit_list(act, steps, reader), identity="audit"),
                _without_page(act),
            ),
            class_="cols",
        ),
        _bottom(act, forms, reader),
    )


def _your_answer(act: Act, reader: Reader) -> Markup:
    """The answer with its consequence above the buttons, and a reason for the audit; a phone has them at its bottom."""
    undo = element("b", "Can be undone.", class_="t-good") if act.reversible else element(
        "b", "Cannot be undone.", class_="t-over"
    )  # fmt: skip
    waits = act.state == AWAITING
    left = None
    if act.expires is not None and waits:
        words = f"{age(act.expires - reader.now)} left" if act.expires > reader.now else "expired"
        left = element("p", words, " ", element("span", "expires ", reader.at(act.expires), class_="q"),
                       _time_left(event_of_act(act).at, act.expires, reader.now), class_="sm")  # fmt: skip
    buttons = [
        element("button", words, type="submit", formaction=f"{action_path(act.id)}/{what}",
                class_=f"btn lg {kind}".strip())
        for what, words, kind in action_answers(act, reader)
    ]  # fmt: skip
    hidden = {"back": reader.back, "seen": str(act.steps)}
    body = element(
        "form",
        element("p", undo, element("span", " Nothing happens until somebody approves.", class_="q2") if waits else None,
                class_="sm"),
        left,
        [element("input", type="hidden", name=name, value=value) for name, value in hidden.items()],
        # Several lines, so that Enter in it sends nothing.
        element("div", element("label", "Note for the audit (optional)", for_="why"),
                element("textarea", id="why", name="reason", rows="2", maxlength="500"), class_="field"),
        element("div", buttons, class_="btns keep"),
        method="post", action=action_path(act.id), class_="card-b stack",
    )  # fmt: skip
    you = fragment("Signed in as ", element("b", clean(reader.person.name, 40)),
                   f" ({reader.person.role}). The first answer counts; every channel shows it.")  # fmt: skip
    return element("section", element("div", element("h2", "Your answer", id="h-ans"), class_="card-h"), body,
                   element("p", you, class_="card-f"), class_="card approve hide-s",
                   aria_labelledby="h-ans")  # fmt: skip


def _time_left(begin: datetime, end: datetime, now: datetime) -> Markup:
    """What is left of the time for an answer, as a bar."""
    share = max(0.0, min(1.0, (end - now) / (end - begin))) if end > begin else 0.0
    return element("svg", element("rect", class_="b-track", width="100", height="4"),
                   element("rect", class_="f-at_risk", width=round(100 * share, 1), height="4"), class_="expiry",
                   viewBox="0 0 100 4", preserveAspectRatio="none", aria_hidden="true")  # fmt: skip


def _without_page(act: Act) -> Markup | None:
    """The same on the command line."""
    if act.state != AWAITING:
        return None
    lines = f"alertd actions approve {act.handle} --by YOU\nalertd actions refuse {act.handle} --by YOU"
    return card("Without this page", element("div", element("pre", lines, tabindex=0), class_="card-b"))


def _who_may(act: Act, policy: ActionPolicy | None, reader: Reader) -> Markup | None:
    """The person it waits for, if that is somebody else."""
    if act.state != AWAITING or any(what == "approve" for what, _, _ in action_answers(act, reader)):
        return None
    names = ", ".join(clean(one, 40) for one in policy.approvers) if policy is not None else ""
    words = f"Waiting for {names or 'an editor'}." if reader.may("responder") else "Your role only reads."
    return element("p", words, class_="q2")


def _bottom(act: Act, forms: Sequence[Markup], reader: Reader) -> Markup | None:
    """On a phone the buttons stick to the bottom edge, with what can be undone and until when above them."""
    if not forms:
        return None
    undo = element("b", "Can be undone. ", class_="t-good") if act.reversible else element(
        "b", "Cannot be undone. ", class_="t-over"
    )  # fmt: skip
    until = fragment("Expires ", reader.at(act.expires), "; without an answer nothing is done.") if (
        act.expires and act.state == AWAITING
    ) else None  # fmt: skip
    return element("div", element("p", undo, until, class_="sm"), list(reversed(forms)), class_="bottom ans")


def _hours(act: Act, usage: ScopeUsage | None, reader: Reader) -> Markup | None:
    """What the key spent by hour, to now while an answer is awaited, else to the proposal; None where it is too old."""
    event = event_of_act(act)
    if usage is None or reader.now - event.at > _HOURS_KEPT:
        return None
    step = _BUCKET - event.at.timestamp() % _BUCKET  # the bucket of that instant is known as a whole only
    end = reader.now if act.state == AWAITING else min(reader.now, event.at + timedelta(seconds=step))
    drawn = hour_bars(usage.only({act.label: act.target}).hourly(end), end, event.currency, reader.zone)
    return None if drawn is None else fragment(
        element("h3", f"{clean(act.key_name, 60)} by hour, to ", reader.at(end)), drawn
    )  # fmt: skip


def _evidence(act: Act, position: BudgetStatus | None, reader: Reader, drawn: Markup | None) -> Markup:
    """Why it was proposed, in facts."""
    event = event_of_act(act)
    details = details_of(event, ActionStep)
    rows: list[tuple[str, Content]] = []
    if position is not None:
        rows.append(("Budget now", used_of(position.spent, position.amount.value, position.amount.unit)))
    elif event.spent is not None and event.amount is not None:
        rows.append(("Budget then", used_of(event.spent, event.amount, event.currency)))
    rows += list(_facts(act, event.currency, reader))
    rows += [(clean(f"{name.capitalize()} at the provider", 60), clean(value, 120))
             for name, value in details.provider.items()]  # fmt: skip
    if act.usage:
        rows.append(("Usage after it", clean(act.usage, 60)))
    facts = [element("div", element("dt", name), element("dd", value)) for name, value in rows]
    said = [clean(text) for text in (act.error, act.held) if text]
    return card(
        "Why",
        element("div", element("p", element("b", clean(event.reason))),
                [element("p", one, class_="lacking") for one in said], drawn,
                element("dl", facts, class_="facts"), class_="card-b stack"),
        identity="evidence",
    )  # fmt: skip


def _facts(act: Act, unit: str, reader: Reader) -> Iterator[tuple[str, Content]]:
    """The evidence in words, without what is a secret or empty."""
    held = open_values(act.evidence)
    for name, words in _EVIDENCE.items():
        value = held.get(name)
        if value in (None, "", [], {}, ()):
            continue
        yield words, _fact(name, value, unit, reader)


def _fact(name: str, value: Any, unit: str, reader: Reader) -> Content:
    if name == "readings":
        return plural(len(value), "reading")
    try:
        if name == "last_used":
            return reader.at(datetime.fromisoformat(str(value)))
        if name in ("share", "fits"):
            return "all of it" if Decimal(str(value)) >= 1 else f"{Decimal(str(value)):.0%}"
        if name in ("spent", "recent", "usual"):
            return money(Decimal(str(value)), unit)
    except (ArithmeticError, ValueError):
        pass  # as it is
    return clean(", ".join(map(str, value)) if isinstance(value, list) else str(value), 120)


def _what_happens(act: Act, position: BudgetStatus | None) -> Markup | None:
    """What an approval does, and what no answer does."""
    if act.state not in (AWAITING, APPROVED):
        return None
    undo = "Can be undone with one tap" if act.reversible else element("b", "Cannot be undone", class_="t-over")
    likely = quantile(position, 0.5) if position is not None else None
    unit = position.amount.unit if position is not None else ""
    budget = "–" if likely is None or position is None else f"likely {estimated(likely, unit, position.spent)}, or more"
    stops = impact_of(act) or f"everything that uses {clean(act.key_name, 60)}"
    rows = [
        ("The key", f"{clean(act.what, 80)}, then read back", "keeps working; the proposal expires"),
        ("What stops", stops, "nothing"),
        ("The budget", "only what others spend is added", budget),
        ("Undo", undo, "–"),
    ]
    body = [
        element("tr", element("th", name, scope="row"), element("td", yes, data_l="If you approve"),
                element("td", no, data_l="If nobody answers"))
        for name, yes, no in rows
    ]  # fmt: skip
    heads = [element("th", words, scope="col") for words in ("What", "If you approve", "If nobody answers")]
    table = element("table", element("thead", element("tr", heads)), element("tbody", body), class_="stackable kv")
    return card("What happens", element("div", table, class_="scroll"), identity="happens")


def audit_list(act: Act, steps: Sequence[Step], reader: Reader) -> Markup:
    """Every step, the newest first: what was done, who did it, why, from where, on what evidence."""
    entries = []
    for step in reversed(steps):
        by = f" by {clean(step.by, 60)}" if step.by != "alertd" else ""
        evidence = [clean(pair) for pair in _pairs(open_values(step.evidence))]
        evidence += [f"request {clean(step.request, 60)}"] if step.request else []
        tone = "good" if by else _DOTS.get(step.state)
        fold = (
            element("details", element("summary", "Evidence"), [element("p", pair) for pair in evidence],
                    id=f"step-{act.handle}-{step.number}", class_="sm")
            if evidence else None
        )  # fmt: skip
        entries.append(
            element(
                "li",
                element("p", element("b", _STEPS.get(step.what, step.what.capitalize()).format(by=by)),
                        f": {clean(step.reason, 300)}" if step.reason else None),
                element("span", reader.at(step.at), class_="when"),
                fold,
                class_=tone,
            )
        )  # fmt: skip
    return element("ol", entries, class_="line-list") if entries else element("p", "No step is known.", class_="card-b")


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


def _policy(policy: ActionPolicy) -> Markup:
    cells = (policy.what, policy.mode.replace("_", " "), ", ".join(policy.on))
    missing = element("td", clean(policy.lacks) or "–", class_="lacking" if policy.lacks else "none", data_l="Missing")
    names = ("Does", "Mode", "Upon")
    return element(
        "tr",
        element("th", policy.name, scope="row"),
        [element("td", clean(cell), data_l=name) for name, cell in zip(names, cells, strict=True)],
        missing,
    )


def budget_actions(
    position: BudgetStatus, policies: Sequence[ActionPolicy], notes: State, reader: Reader
) -> Markup | None:
    """A budget's own section; None where it has no action and never had one."""
    own = [act for act in newest_first(notes) if is_about(act, position)]
    named = position.override.actions if position.override.actions is not None else position.budget.actions
    if not (own or named):
        return None
    modes = {one.name: one.mode.replace("_", " ") for one in policies}
    said = ", ".join(f"{name} ({modes.get(name, 'not configured')})" for name in named)
    entries = []
    for act in own[:10]:
        words, _ = STATES.get(act.state, (act.state, ""))
        link = element("a", action_title(act), href=action_path(act.id))
        entries.append(
            element("li", element("p", element("b", link), f" {words.lower()}"),
                    element("span", reader.at(act.since) if act.since else None, class_="when"),
                    class_=_DOTS.get(act.state))
        )  # fmt: skip
    listed = element("ol", entries, class_="line-list") if entries else element(
        "p", "Nothing was proposed, and nothing was done.", class_="card-b quiet"
    )  # fmt: skip
    foot = element("div", f"May act: {clean(said)}", class_="card-f") if said else None
    return card("Actions", listed, foot, identity="actions")


def audited(notes: State, steps: Iterable[Step], identity: str) -> tuple[Act | None, Sequence[Step]]:
    """The one action with an id, or the beginning of one, and its audit."""
    found = [act for act in newest_first(notes) if act.id.startswith(identity)]
    if len(found) != 1:
        return None, ()
    return found[0], steps_of(steps).get(found[0].id, ())
