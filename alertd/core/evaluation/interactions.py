"""The effect of a button on alerts: a step of their lifecycles. Pure; it trusts no button.

Permission is checked where the interaction is received. Here an interaction is too old, was answered before, or
cannot happen any more, and then changes nothing; or it changes the record, with who did it, and is remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from alertd.core.evaluation.state import (
    ACKNOWLEDGED,
    INTERACTIONS,
    LIFECYCLES,
    RESOLVED,
    SNOOZED,
    AlertLifecycle,
    CannotHappenError,
    State,
)

if TYPE_CHECKING:
    from alertd.core.evaluation.values import BudgetStatus

ACKNOWLEDGE: Final = "acknowledge"
SNOOZE: Final = "snooze"
APPROVE: Final = "approve"
REFUSE: Final = "refuse"
#: The reason in histories and the audit.
BY_BUTTON: Final = "a button in chat"
#: Older interactions (or such from the future) are ignored: the chat has already shown that nothing happened.
FRESH: Final = timedelta(minutes=5)
_REMEMBERED: Final = timedelta(hours=1)
#: A shorter beginning of an id names nothing.
_SHORTEST: Final = 6


@dataclass(frozen=True, slots=True)
class Interaction:
    """One press of a button. `key` is the same however often one press is heard.

    `on` names alerts, or an act, by the beginnings of their ids; `person` is who it was for lists of approvers, `by`
    for the history; `until` ends a snooze; `expires` is when the button stopped to mean anything.
    """

    key: str
    what: str
    on: tuple[str, ...]
    person: str
    by: str
    at: datetime
    until: datetime | None = None
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class AlertAnswer:
    """What to reply to the person, and the records to write; none where nothing has changed.

    `moved` are the lifecycles that changed, by the alert's id.
    """

    reply: str
    changes: Mapping[str, object] = field(default_factory=dict)
    moved: Mapping[str, AlertLifecycle] = field(default_factory=dict)


def named_in(text: str, statuses: Sequence[BudgetStatus]) -> list[BudgetStatus]:
    """The statuses that a question names: by budget, by the value of a label, or by label=value; "" names all.

    A budget's name alone is that budget. Else every word must name the status; where no name is just the word, names
    that contain it are taken.
    """
    words = text.casefold().split()
    own = [one for one in statuses if words == [one.budget.name.casefold()]]
    if own:
        return own
    names = [(one, _names_of(one)) for one in statuses]
    exact = [one for one, own in names if all(word in own for word in words)]
    return exact or [one for one, own in names if all(any(word in name for name in own) for word in words)]


def _names_of(status: BudgetStatus) -> frozenset[str]:
    values = [(label, value) for label, value in status.scope if value]
    names = [status.budget.name, status.budget.name.replace("-", "_"), *(value for _, value in values)]
    return frozenset(name.casefold() for name in (*names, *(f"{label}={value}" for label, value in values)))


def refusal(interaction: Interaction, state: State, now: datetime) -> str | None:
    """Why an interaction is left: too late, expired, or ("") answered before; None where it is to be answered."""
    if interaction.key in (INTERACTIONS.get(state) or {}):
        return ""
    if abs(now - interaction.at) > FRESH:
        return "That press came too late; nothing was done. Press again."
    if interaction.expires is not None and now >= interaction.expires:
        return "This button has expired; nothing was done."
    return None


def remember(interaction: Interaction, state: State, now: datetime) -> dict[str, object]:
    """The change that remembers an interaction as answered, and forgets old ones."""
    known = INTERACTIONS.get(state) or {}
    return INTERACTIONS.put(
        {**{key: at for key, at in known.items() if now - at < _REMEMBERED}, interaction.key: interaction.at}
    )


def named_by(interaction: Interaction) -> tuple[str, ...]:
    """The beginnings of ids that are long enough to name something."""
    return tuple(one for one in interaction.on if len(one) >= _SHORTEST)


def answer_for_alerts(interaction: Interaction, state: State, now: datetime) -> AlertAnswer:
    """What comes of an interaction with alerts: acknowledge or snooze each that it names."""
    on = named_by(interaction)
    wanted = {identity: life for identity, life in LIFECYCLES.items(state) if identity.startswith(on)}
    if not wanted:
        return AlertAnswer("This alert is not known any more; nothing was done.")
    changed: dict[str, object] = {}
    moved: dict[str, AlertLifecycle] = {}
    refused: list[str] = []
    for identity, life in wanted.items():
        try:
            moved[identity] = _moved(life, interaction, now)
        except CannotHappenError:
            refused.append(_why_unchanged(life))
        else:
            changed |= LIFECYCLES.put(moved[identity], identity)
    return AlertAnswer(_said(interaction, len(moved)) if moved else refused[0], changed, moved)


def _moved(life: AlertLifecycle, interaction: Interaction, now: datetime) -> AlertLifecycle:
    return life.after(interaction.what, now, interaction.by, BY_BUTTON, until=interaction.until)


def _why_unchanged(life: AlertLifecycle) -> str:
    """Why a press changed nothing, in terms of what somebody did before."""
    last = life.history[-1]
    if life.state == RESOLVED:
        return f"It is over since {last.at:%Y-%m-%d %H:%M} UTC ({last.reason}); nothing was done."
    until = f" until {life.until:%Y-%m-%d %H:%M} UTC" if life.state == SNOOZED and life.until else ""
    done = {ACKNOWLEDGED: "acknowledged", SNOOZED: "snoozed"}.get(life.state, life.state)
    return f"It is {done} already{until}, by {last.by}; nothing was changed."


def _said(interaction: Interaction, count: int) -> str:
    what = "it" if count == 1 else f"{count} alerts"
    if interaction.what == SNOOZE:
        until = f" until {interaction.until:%Y-%m-%d %H:%M} UTC" if interaction.until else ""
        return f"You snoozed {what}{until}."
    return f"You acknowledged {what}."
