"""The states of one act on one key, as a table of transitions, with every step for the audit. Pure.

proposed    rehearse -> rehearsed   ask -> awaiting   permit -> approved
awaiting    approve -> approved     refuse -> refused   expire -> expired
approved    begin -> executing      refuse -> refused   expire -> expired
executing   read, send, take over, retry -> executing   verify -> verified   fail -> failed
verified    stopped, goes on -> verified   drift -> drifted   restore -> restoring
restoring   begin, send, take over, retry -> restoring   restored -> restored   drift -> drifted   fail -> stuck
stuck       restore -> restoring
verified, stuck   disown -> disowned
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from alertd.core.events import OpenAction

PROPOSED: Final = "proposed"
REHEARSED: Final = "rehearsed"
AWAITING: Final = "awaiting"
APPROVED: Final = "approved"
EXECUTING: Final = "executing"
VERIFIED: Final = "verified"
FAILED: Final = "failed"
RESTORING: Final = "restoring"
RESTORED: Final = "restored"
STUCK: Final = "stuck"
DRIFTED: Final = "drifted"
EXPIRED: Final = "expired"
REFUSED: Final = "refused"
DISOWNED: Final = "disowned"

#: State, what happens -> the state after it. What is not here cannot happen.
TRANSITIONS: Final[Mapping[tuple[str, str], str]] = {
    ("", "propose"): PROPOSED,
    (PROPOSED, "rehearse"): REHEARSED,
    (PROPOSED, "ask"): AWAITING,
    (PROPOSED, "permit"): APPROVED,
    (AWAITING, "approve"): APPROVED,
    (AWAITING, "refuse"): REFUSED,
    (AWAITING, "expire"): EXPIRED,
    (APPROVED, "begin"): EXECUTING,
    (APPROVED, "refuse"): REFUSED,
    (APPROVED, "expire"): EXPIRED,
    (EXECUTING, "read"): EXECUTING,
    (EXECUTING, "send"): EXECUTING,
    (EXECUTING, "take over"): EXECUTING,
    (EXECUTING, "retry"): EXECUTING,
    (EXECUTING, "verify"): VERIFIED,
    (EXECUTING, "fail"): FAILED,
    (EXECUTING, "expire"): EXPIRED,
    (VERIFIED, "stopped"): VERIFIED,
    (VERIFIED, "goes on"): VERIFIED,
    (VERIFIED, "drift"): DRIFTED,
    (VERIFIED, "restore"): RESTORING,
    (RESTORING, "begin"): RESTORING,
    (RESTORING, "send"): RESTORING,
    (RESTORING, "take over"): RESTORING,
    (RESTORING, "retry"): RESTORING,
    (RESTORING, "restored"): RESTORED,
    (RESTORING, "drift"): DRIFTED,
    (RESTORING, "fail"): STUCK,
    (STUCK, "restore"): RESTORING,
    (VERIFIED, "disown"): DISOWNED,
    (STUCK, "disown"): DISOWNED,
}
#: States in which something is still to come: no second act of the same action on the same key meanwhile.
OPEN: Final = frozenset({PROPOSED, AWAITING, APPROVED, EXECUTING, VERIFIED, RESTORING, STUCK})
#: States in which a process is at work on the key, under a lease.
AT_WORK: Final = frozenset({EXECUTING, RESTORING})
#: Every state that an act can be in, in the order of a life.
STATES: Final = tuple(dict.fromkeys(TRANSITIONS.values()))
NOTE: Final = "action/"
#: The note that holds all actions: since when, by whom and why.
PAUSED: Final = "actions/paused"
#: What the ids of other rows in the audit begin with, of whatever people did; actions have ids of their own.
AUDITED: Final = "operation/"


class InvalidTransitionError(ValueError):
    """Something that an act in this state cannot undergo: which, and what can."""


@dataclass(frozen=True, slots=True)
class Step:
    """One transition for the audit: which act, its number, when, what happened, by whom, why, on what evidence.

    `request` is the provider's own id of the request, where there was one.
    """

    act: str
    number: int
    at: datetime
    what: str
    state: str
    by: str
    reason: str = ""
    request: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Act:
    """One act on one key. `target` is the label's value as usage has it, `there` the provider's id once it is known.

    `before` is the state that was read before anything was done, `ours` whether alertd changed it; `sent` is written
    before a request is sent, so that the process after a crash knows that it may have been carried out. `attempts` are
    the tries that failed; a worker that did not return is not counted. `changed_at` and `changed_by` are what the
    provider
    showed as the last change right after alertd's own, so that a later one is known for somebody else's.
    """

    id: str
    action: str
    target: str
    label: str
    position: str
    episode: str
    basis: str
    what: str
    reversible: bool
    grade: str
    event: Mapping[str, Any]
    evidence: Mapping[str, Any] = field(default_factory=dict)
    amount: str = "0"
    period_end: datetime | None = None
    state: str = ""
    since: datetime | None = None
    steps: int = 0
    expires: datetime | None = None
    approved_by: str = ""
    lease_until: datetime | None = None
    not_before: datetime | None = None
    attempts: int = 0
    sent: datetime | None = None
    there: str = ""
    before: Mapping[str, Any] | None = None
    ours: bool = False
    looked: datetime | None = None
    usage: str = ""
    changed_at: str = ""
    changed_by: str = ""
    held: str = ""
    error: str = ""

    @property
    def note(self) -> str:
        """The name of the note that keeps it."""
        return f"{NOTE}{self.id}"

    @property
    def handle(self) -> str:
        """What people type to approve, refuse or restore it."""
        return self.id[:6]

    @property
    def key_name(self) -> str:
        """What people call the key: its name at the provider where that was asked, else the label's value."""
        provider = (self.event.get("details") or {}).get("provider") or {}
        return str(provider.get("name") or self.target)

    def after(
        self, what: str, at: datetime, by: str = "alertd", reason: str = "", request: str = "", **changes: Any
    ) -> tuple[Act, Step]:
        """The act after something happened, and the step for the audit. Raises InvalidTransitionError."""
        state = TRANSITIONS.get((self.state, what))
        if state is None:
            can = ", ".join(event for state, event in TRANSITIONS if state == self.state) or "nothing any more"
            raise InvalidTransitionError(f"an act that is {self.state} cannot {what}; what can happen: {can}")
        evidence = changes.pop("audited", {})
        moved = {"since": at} if state != self.state else {}
        act = replace(self, **{**moved, **changes}, state=state, steps=self.steps + 1)
        return act, Step(self.id, act.steps, at, what, state, by, reason, request, evidence)

    def is_waiting(self, now: datetime) -> bool:
        """Whether nothing was asked of the provider yet, and nobody is about to: its reason has to hold still."""
        idle = self.lease_until is None or self.lease_until <= now
        return self.state in {AWAITING, APPROVED} or (self.state == EXECUTING and self.sent is None and idle)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` gives the same act back."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Act:
        """The act that `to_json` wrote. What only a newer version has is left out, so that a roll-back reads it."""
        return msgspec.convert(data, cls, strict=False)


def acts(notes: Mapping[str, Any]) -> dict[str, Act]:
    """All acts that are remembered, by id: in the order in which they came to where they are, the largest first."""
    found = [Act.from_json(value) for name, value in notes.items() if name.startswith(NOTE)]
    return {act.id: act for act in sorted(found, key=_turn)}


def open_actions(notes: Mapping[str, object]) -> dict[str, list[OpenAction]]:
    """What is to be shown of the actions that are not over, by the name of their budget status."""
    found: dict[str, list[OpenAction]] = {}
    for act in acts(notes).values():
        if act.state in OPEN:
            expires = act.expires if act.state == AWAITING else None
            shown = OpenAction(act.what, act.handle, act.key_name, act.state, act.reversible, expires, act.id)
            found.setdefault(act.position, []).append(shown)
    return found


def _turn(act: Act) -> tuple[float, Decimal, str]:
    since = act.since.timestamp() if act.since is not None else 0.0
    return (since, -Decimal(act.evidence.get("recent", "0")), act.id)


def replayed(steps: list[Step]) -> str:
    """The state after the recorded steps of one act. ValueError if a step is missing or not allowed."""
    state = ""
    for number, step in enumerate(steps, 1):
        after = TRANSITIONS.get((state, step.what))
        if step.number != number or after != step.state:
            raise ValueError(f"step {number} of {step.act} is {step.what} -> {step.state}, after {state or 'nothing'}")
        state = after
    return state
