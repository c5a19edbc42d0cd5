"""What a pressed button does: a step of an alert's lifecycle, or of an action. Pure; it trusts no button.

Who may press is settled before, where the button was received. Here an interaction is too old, was answered before, or
cannot happen any more, and then changes nothing; or it changes the record, with who did it, and is remembered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from alertd.core.actions import act as acting
from alertd.core.actions.act import AWAITING, Step, acts
from alertd.core.actions.telling import told
from alertd.core.actions.terms import Terms
from alertd.core.evaluation.state import (
    ACKNOWLEDGED,
    INTERACTIONS,
    LIFECYCLES,
    RESOLVED,
    SNOOZED,
    AlertLifecycle,
    CannotHappenError,
    Press,
    State,
)
from alertd.core.events import Event

ACKNOWLEDGE: Final = "acknowledge"
SNOOZE: Final = "snooze"
APPROVE: Final = "approve"
REFUSE: Final = "refuse"
#: Older interactions (or such from the future) are ignored: the chat has already shown that nothing happened.
FRESH: Final = timedelta(minutes=5)
_REMEMBERED: Final = timedelta(hours=1)
#: A person has so long at least to see an approved act begin, where the limit of an hour makes it wait.
BEGINS_WITHIN: Final = timedelta(hours=2)
#: A shorter beginning of an id names nothing.
_SHORTEST: Final = 6


@dataclass(frozen=True, slots=True)
class Answer:
    """What to tell whoever pressed, and what is to be written; nothing, where nothing has changed."""

    said: str
    changes: Mapping[str, object] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    events: tuple[Event, ...] = ()


def answer(press: Press, state: State, now: datetime, terms: Mapping[str, Terms]) -> Answer:
    """What comes of an interaction. `terms` are those of each action: whose approval counts.

    The same press heard again changes nothing, whichever replica hears it.
    """
    known = INTERACTIONS.get(state) or {}
    if press.key in known:
        return Answer("")
    if abs(now - press.at) > FRESH:
        return Answer("That press came too late; nothing was done. Press again.")
    if press.expires is not None and now >= press.expires:
        return Answer("This button has expired; nothing was done.")
    on_act = press.what in {APPROVE, REFUSE}
    found = _on_act(press, state, now, terms) if on_act else _on_alerts(press, state, now)
    if not found.changes:
        return found
    kept = {key: at for key, at in known.items() if now - at < _REMEMBERED}
    return replace(found, changes={**found.changes, **INTERACTIONS.put({**kept, press.key: press.at})})


def _on_alerts(press: Press, state: State, now: datetime) -> Answer:
    on = tuple(one for one in press.on if len(one) >= _SHORTEST)
    wanted = {identity: life for identity, life in LIFECYCLES.items(state) if identity.startswith(on)}
    if not wanted:
        return Answer("This alert is not known any more; nothing was done.")
    changed: dict[str, object] = {}
    refused: list[str] = []
    for identity, life in wanted.items():
        try:
            changed |= LIFECYCLES.put(_moved(life, press, now), identity)
        except CannotHappenError:
            refused.append(_stands(life))
    return Answer(_said(press, len(changed)) if changed else refused[0], changed)


def _moved(life: AlertLifecycle, press: Press, now: datetime) -> AlertLifecycle:
    return life.after(press.what, now, press.by, "a button in chat", until=press.until)


def _stands(life: AlertLifecycle) -> str:
    """Why a press changed nothing, in terms of what somebody did before."""
    last = life.history[-1]
    if life.state == RESOLVED:
        return f"It is over since {last.at:%Y-%m-%d %H:%M} UTC ({last.reason}); nothing was done."
    until = f" until {life.until:%Y-%m-%d %H:%M} UTC" if life.state == SNOOZED and life.until else ""
    done = {ACKNOWLEDGED: "acknowledged", SNOOZED: "snoozed"}.get(life.state, life.state)
    return f"It is {done} already{until}, by {last.by}; nothing was changed."


def _said(press: Press, count: int) -> str:
    what = "it" if count == 1 else f"{count} alerts"
    if press.what == SNOOZE:
        until = f" until {press.until:%Y-%m-%d %H:%M} UTC" if press.until else ""
        return f"You snoozed {what}{until}."
    return f"You acknowledged {what}."


def _on_act(press: Press, state: State, now: datetime, terms: Mapping[str, Terms]) -> Answer:
    on = tuple(one for one in press.on if len(one) >= _SHORTEST)
    found = [act for act in acts(state.records).values() if act.id.startswith(on)]
    if len(found) != 1:
        return Answer("This proposal is not known any more; nothing was done.")
    act, action = found[0], terms.get(found[0].action)
    if act.state == AWAITING and act.expires is not None and now >= act.expires:
        return Answer("This proposal has expired; nothing was done.")
    more: dict[str, Any] = {}
    if press.what == APPROVE:
        refused = "this action is not configured any more" if action is None else action.refuses_approver(press.person)
        if action is None or refused:
            return Answer(f"Not approved: {refused}; nothing was done.")
        more = {"approved_by": press.person, "expires": now + max(action.expiry, BEGINS_WITHIN)}
    try:
        after, step = act.after(press.what, now, press.by, "a button in chat", **more)
    except acting.CannotHappenError:
        return Answer(f"It is {act.state} already; nothing was changed.")
    event = told(after, step)
    said = f"You {'approved' if press.what == APPROVE else 'refused'}: {act.what} {act.target}."
    return Answer(said, {after.note: after.to_json()}, (step,), (event,) if event else ())
