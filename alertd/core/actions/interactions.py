"""What a pressed button does: a step of an alert's lifecycle, or of an action. Pure; it trusts no button.

Permission is checked where an interaction is received. Here an interaction is too old, was answered before, or
cannot happen any more, and then changes nothing; or it changes the record, with who did it, and is remembered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from alertd.core.actions.announcements import event_of_step
from alertd.core.actions.policy import ActionPolicy
from alertd.core.actions.state_machine import AWAITING, CannotHappenError, Step, acts
from alertd.core.evaluation.interactions import APPROVE, REFUSE, answer_for_alerts, named_by, refusal, remember
from alertd.core.evaluation.state import Press, State
from alertd.core.events import Event
from alertd.core.messages.spans import clean

#: A person has at least this long to see an approved act begin, where the limit of an hour makes it wait.
BEGINS_WITHIN: Final = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Answer:
    """What to reply to the person who pressed, and what is to be written; nothing, where nothing has changed."""

    said: str
    changes: Mapping[str, object] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    events: tuple[Event, ...] = ()


def answer(press: Press, state: State, now: datetime, terms: Mapping[str, ActionPolicy]) -> Answer:
    """What comes of an interaction. `terms` are those of each action: whose approval counts.

    The same interaction received again changes nothing, whichever replica receives it.
    """
    refused = refusal(press, state, now)
    if refused is not None:
        return Answer(refused)
    if press.what in {APPROVE, REFUSE}:
        found = _answer_for_action(press, state, now, terms)
    else:
        alerts = answer_for_alerts(press, state, now)
        found = Answer(alerts.reply, alerts.changes)
    return replace(found, changes={**found.changes, **remember(press, state, now)}) if found.changes else found


def _answer_for_action(press: Press, state: State, now: datetime, terms: Mapping[str, ActionPolicy]) -> Answer:
    on = named_by(press)
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
    except CannotHappenError:
        return Answer(f"It is {act.state} already; nothing was changed.")
    event = event_of_step(after, step)
    said = f"You {'approved' if press.what == APPROVE else 'refused'}: {act.what} {clean(act.key_name)}."
    return Answer(said, {after.note: after.to_json()}, (step,), (event,) if event else ())
