"""Who asks for a change, its outcome, and why one was refused; and sample messages as deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import msgspec

from alertd.core.actions.state_machine import Step
from alertd.core.events import Event, NotifierTest
from alertd.core.messages.samples import SAMPLES
from alertd.ports import Delivery


class OperationError(ValueError):
    """Why nothing was changed: `problem`, and what to do (`remedy`)."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem, self.remedy = problem, remedy
        super().__init__(f"{problem}; {remedy}" if remedy else problem)


class NotFoundError(OperationError):
    """There is no such alert, action, silence, budget or notifier."""


class InvalidError(OperationError):
    """An argument that cannot be used."""


class ConflictError(OperationError):
    """Its state does not allow it."""


class ForbiddenError(OperationError):
    """This person may not."""


class ChangedError(OperationError):
    """It has changed since the person looked at it."""


class UnreachableError(OperationError):
    """The other side did not take it."""


class BusyError(OperationError):
    """Others wrote at the same time, again and again."""


#: The name of a person on this machine where no name is required.
LOCAL: Final = "local"


@dataclass(frozen=True, slots=True)
class By:
    """Who asks, from where and why: `name` as lists of approvers have it; `via` page, api, cli or slack.

    `key` makes a request idempotent for 24 hours; `fingerprint` distinguishes two requests with one key.
    """

    name: str
    via: str = "cli"
    address: str = ""
    reason: str = ""
    key: str = ""
    fingerprint: str = ""


class ChangeOutcome(msgspec.Struct, frozen=True):
    """What a change did. `on` is the id or name of what it was done to; `changed` is false where it was so before."""

    what: str
    on: str
    state: str
    said: str
    by: str
    at: datetime
    until: datetime | None = None
    changed: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """An outcome and what has to be written for it."""

    outcome: ChangeOutcome
    changes: Mapping[str, object] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    events: tuple[Event, ...] = ()


def where_text(where: Mapping[str, Sequence[str]]) -> str:
    """What a silence covers: `budget=research, team=a,b`."""
    return ", ".join(f"{label}={','.join(patterns)}" for label, patterns in where.items()) or "everything"


def sample_deliveries(notifier: str, kinds: Sequence[str], now: datetime) -> dict[str, Delivery]:
    """A delivery for each kind of SAMPLES, under new keys, so that a second test is not a repetition."""
    found: dict[str, Delivery] = {}
    for kind in kinds:
        key = f"test-notify/{kind}/{now:%Y%m%dT%H%M%S%f}"
        samples = [replace(event, id=f"{key}/{count}") for count, event in enumerate(SAMPLES[kind](now))]
        events = tuple(_named(event, notifier) for event in samples)
        found[kind] = Delivery(key=key, notifier=notifier, conversation=key, events=events)
    return found


def _named(event: Event, notifier: str) -> Event:
    return replace(event, details=NotifierTest(notifier)) if event.kind == "test" else event
