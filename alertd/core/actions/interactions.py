"""The effect of a button: a step of an alert's lifecycle, or of an action. Pure; it trusts no button.

Permission is checked where an interaction is received. Here an interaction is too old, was answered before, or
cannot happen any more, and then changes nothing; or it changes the record, with who did it, and is remembered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from alertd.core.actions.announcements import event_of_step
from alertd.core.actions.policy import ActionPolicy
from alertd.core.actions.state_machine import (
    AUDITED,
    AWAITING,
    STUCK,
    TRANSITIONS,
    VERIFIED,
    Act,
    InvalidTransitionError,
    Step,
    acts,
)
from alertd.core.evaluation.interactions import (
    APPROVE,
    BY_BUTTON,
    REFUSE,
    AlertAnswer,
    Interaction,
    answer_for_alerts,
    named_by,
    refusal,
    remember,
)
from alertd.core.evaluation.state import State
from alertd.core.events import Event
from alertd.core.messages.rich_text import clean

#: A person has at least this long to see an approved act begin, where the limit of an hour makes it wait.
BEGINS_WITHIN: Final = timedelta(hours=2)


RESTORE: Final = "restore"
DISOWN: Final = "disown"


class CannotAnswerError(ValueError):
    """Why an answer to an action changes nothing, and what to do; `forbidden` where the person may not give it."""

    def __init__(self, problem: str, remedy: str, *, forbidden: bool = False) -> None:
        self.problem, self.remedy, self.forbidden = problem, remedy, forbidden
        super().__init__(f"{problem}; {remedy}")


@dataclass(frozen=True, slots=True)
class ActionAnswer:
    """A person's answer to an action: approve, refuse, restore or disown, and why.

    `person` is the name that lists of approvers have, `by` the name in the audit, `origin` from where it came.
    """

    what: str
    person: str
    by: str
    reason: str = ""
    origin: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Move:
    """An action after a person's answer, the step for the audit, and what is announced of it."""

    act: Act
    step: Step
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class InteractionAnswer:
    """The reply to the person, and the changes to store; no changes if nothing happened."""

    said: str
    changes: Mapping[str, object] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    events: tuple[Event, ...] = ()


def answer(
    interaction: Interaction, state: State, now: datetime, terms: Mapping[str, ActionPolicy]
) -> InteractionAnswer:
    """What comes of an interaction. `terms` are those of each action: whose approval counts.

    The same interaction received again changes nothing, whichever replica receives it.
    """
    refused = refusal(interaction, state, now)
    if refused is not None:
        return InteractionAnswer(refused)
    if interaction.what in {APPROVE, REFUSE}:
        found = _answer_for_action(interaction, state, now, terms)
    else:
        alerts = answer_for_alerts(interaction, state, now)
        found = InteractionAnswer(alerts.reply, alerts.changes, tuple(_audited(interaction, alerts, now)))
    return replace(found, changes={**found.changes, **remember(interaction, state, now)}) if found.changes else found


def _audited(interaction: Interaction, alerts: AlertAnswer, now: datetime) -> Iterator[Step]:
    """A row of the audit for each alert that a button changed, as every other way to change it writes one."""
    identity = f"{AUDITED}{hashlib.sha256(interaction.key.encode()).hexdigest()[:16]}"
    for number, (alert, life) in enumerate(alerts.moved.items(), 1):
        evidence = {"on": alert, "said": alerts.reply, "via": "chat"}
        yield Step(identity, number, now, interaction.what, life.state, interaction.by, BY_BUTTON, evidence=evidence)


def answer_act(act: Act, answer: ActionAnswer, policy: ActionPolicy | None, now: datetime) -> Move:
    """An action after a person approved, refused, restored or disowned it. Raises CannotAnswerError."""
    what, person = answer.what, answer.person
    more: dict[str, Any] = {}
    if what == APPROVE:
        if act.state == AWAITING and act.expires is not None and now >= act.expires:
            raise CannotAnswerError("it has expired", "alertd actions plan says what would be done now")
        if policy is None:
            raise CannotAnswerError("this action is no longer configured", "configure it again, or act at the provider")
        if refused := policy.refuses_approver(person):
            raise CannotAnswerError(
                refused, f"approvers are: {', '.join(policy.approvers) or 'anybody with a name'}", forbidden=True
            )
        more = {"approved_by": person, "expires": now + max(policy.expiry, BEGINS_WITHIN)}
    elif what == RESTORE:
        if act.state in {VERIFIED, STUCK} and not (act.ours and act.reversible):
            off = "the key was already off before alertd acted, so alertd does not undo it"
            raise CannotAnswerError(
                "it cannot be undone" if act.ours else off, "to change it, use the provider's own page"
            )
        more = {"lease_until": None, "not_before": None, "attempts": 0, "sent": None, "error": ""}
    elif what == DISOWN:
        more = {"lease_until": None, "not_before": None, "ours": False}
    try:
        after, step = act.after(what, now, answer.by, answer.reason, audited=dict(answer.origin), **more)
    except InvalidTransitionError as error:
        raise CannotAnswerError(str(error), "alertd actions shows its history") from error
    event = event_of_step(after, step)
    return Move(after, step, (event,) if event else ())


def _answer_for_action(
    interaction: Interaction, state: State, now: datetime, terms: Mapping[str, ActionPolicy]
) -> InteractionAnswer:
    on = named_by(interaction)
    found = [act for act in acts(state.records).values() if act.id.startswith(on)]
    if len(found) != 1:
        return InteractionAnswer("This proposal is not known any more; nothing was done.")
    act = found[0]
    if act.state == AWAITING and act.expires is not None and now >= act.expires:
        return InteractionAnswer("This proposal has expired; nothing was done.")
    if (act.state, interaction.what) not in TRANSITIONS:
        return InteractionAnswer(f"It is {act.state} already; nothing was changed.")
    given = ActionAnswer(interaction.what, interaction.person, interaction.by, BY_BUTTON, {"via": "chat"})
    try:
        move = answer_act(act, given, terms.get(act.action), now)
    except CannotAnswerError as error:
        return InteractionAnswer(f"Not approved: {error.problem}; nothing was done.")
    said = f"You {'approved' if interaction.what == APPROVE else 'refused'}: {act.what} {clean(act.key_name)}."
    return InteractionAnswer(said, {act.note: move.act.to_json()}, (move.step,), move.events)
