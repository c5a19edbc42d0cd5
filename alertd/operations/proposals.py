"""Changes that a program asks for and a person answers: raise an amount, silence alerts, approve a waiting action.

propose -> a record that changes nothing -> accept by somebody else: the change itself, in that person's name | refuse
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import msgspec

from alertd.core.budgets import Scope, parse_duration
from alertd.core.evaluation.state import PROPOSALS, Proposal, State
from alertd.operations.changes import MOST_REASON, Operations
from alertd.operations.values import (
    LOCAL,
    By,
    ChangeOutcome,
    ConflictError,
    Decision,
    ForbiddenError,
    InvalidError,
    NotFoundError,
)

WAITING: Final = "waiting"
#: An unanswered proposal ends after this; an answered one is forgotten after the second.
_LASTS: Final = timedelta(hours=24)
_REMEMBERED: Final = timedelta(days=7)
#: More may not wait at the same time: nobody would read them.
_MOST_WAITING: Final = 50
_LONGEST_SILENCE: Final = timedelta(hours=24)
#: Ways in that one token opens.
_BY_TOKEN: Final = frozenset({"api", "page"})
#: The role that it takes to accept each kind.
ROLE_TO_ACCEPT: Final[Mapping[str, str]] = {"raise": "editor", "silence": "responder", "approve": "editor"}


class _RaiseRequest(msgspec.Struct, forbid_unknown_fields=True):
    budget: str
    amount: str
    scope: dict[str, str | None] = {}


class _SilenceRequest(msgspec.Struct, forbid_unknown_fields=True):
    where: dict[str, str | list[str]]
    length: str = msgspec.field(name="for")


class _ApproveRequest(msgspec.Struct, forbid_unknown_fields=True):
    action: str


_FIELDS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "raise": _RaiseRequest,
    "silence": _SilenceRequest,
    "approve": _ApproveRequest,
}


async def propose(operations: Operations, what: str, fields: Mapping[str, object], by: By) -> ChangeOutcome:
    """Ask a person for a change; the outcome's `on` is the proposal's id. Raises OperationError, StoreError."""
    kind = _FIELDS.get(what)
    if kind is None:
        raise InvalidError("no such kind of proposal", f"one of {', '.join(_FIELDS)}")
    if not by.reason.strip() or len(by.reason) > MOST_REASON:
        raise InvalidError(f"a reason of at most {MOST_REASON} characters is needed", "say why")
    try:
        asked = msgspec.convert(dict(fields), kind)
    except msgspec.ValidationError as error:
        raise InvalidError(f"fields: {error}", "see /openapi.json") from error
    if isinstance(asked, _RaiseRequest) and asked.budget not in operations.budgets():
        raise NotFoundError("no such budget", "alertd status lists them")
    if isinstance(asked, _SilenceRequest) and not timedelta(0) < _length(asked) <= _LONGEST_SILENCE:
        raise InvalidError("a proposed silence lasts at most 24h", "for example 4h")
    now, identity = operations.clock.now(), secrets.token_hex(4)
    proposal = Proposal(identity, what, msgspec.to_builtins(asked), by.reason, by.name, by.via, now, now + _LASTS)

    def decide(state: State) -> Decision:
        known = list(PROPOSALS.items(state))
        if sum(is_waiting(one, now) for _, one in known) >= _MOST_WAITING:
            raise ConflictError(f"{_MOST_WAITING} proposals wait already", "answer them: alertd proposals")
        forgotten = {key: one for key, one in known if now - (one.answered_at or one.expires) > _REMEMBERED}
        changes = PROPOSALS.put(proposal, identity)
        for key in forgotten:
            changes |= PROPOSALS.put(None, key)
        until = f"{proposal.expires:%Y-%m-%d %H:%M} UTC"
        said = f"Proposed: {proposal_text(proposal)}. It waits for a person until {until}."
        return operations.done("propose", identity, WAITING, said, by=by, changes=changes, until=proposal.expires)

    return await operations.commit(by, decide)


async def accept(operations: Operations, identity: str, by: By, *, may: str) -> ChangeOutcome:
    """Do what was proposed, in the name of `by`, whose role is `may`, and note it. Raises OperationError, StoreError.

    Who proposed it does not accept it, on the page neither: the same token can have signed in there. The command line
    is a person's; so is the page of a machine on which nobody has to say who they are.
    """
    proposal = await _waiting(operations, identity)
    if may != "editor" and ROLE_TO_ACCEPT[proposal.what] == "editor":
        raise ForbiddenError("this takes the role editor", "ask an editor")
    if by.name == proposal.by and (by.via == proposal.via or (by.via in _BY_TOKEN and by.name != LOCAL)):
        raise ForbiddenError("who proposed it does not accept it", "a person accepts it: alertd proposals, or the page")
    reason = f"{by.reason or 'accepted'} (proposed by {proposal.by}: {proposal.reason})"[:MOST_REASON]
    own = replace(by, reason=reason, key=f"proposal-{proposal.id}", fingerprint=proposal.id)
    asked = msgspec.convert(proposal.fields, _FIELDS[proposal.what])
    match asked:
        case _RaiseRequest():
            scope: Scope = tuple(asked.scope.items())
            outcome = await operations.raise_amount(asked.budget, scope, asked.amount, own)
        case _SilenceRequest():
            where = {label: [one] if isinstance(one, str) else one for label, one in asked.where.items()}
            outcome = await operations.silence(where, _length(asked), own)
        case _:
            assert isinstance(asked, _ApproveRequest)  # noqa: S101 - there are three kinds
            outcome = await operations.approve(asked.action, own)
    return await _answer(operations, proposal, "accepted", outcome.said, by)


async def decline(operations: Operations, identity: str, by: By) -> ChangeOutcome:
    """Refuse a proposal: nothing is changed. Raises OperationError, StoreError."""
    proposal = await _waiting(operations, identity)
    return await _answer(operations, proposal, "refused", "Refused: nothing was changed.", by)


async def proposals(operations: Operations) -> list[Proposal]:
    """Every proposal that is remembered, the newest first. Raises StoreError."""
    found = PROPOSALS.items(State.of(await operations.store.memory()))
    return sorted((one for _, one in found), key=lambda one: one.at, reverse=True)


def is_waiting(proposal: Proposal, now: datetime) -> bool:
    """Whether it waits for an answer."""
    return proposal.state == WAITING and now < proposal.expires


def state_of(proposal: Proposal, now: datetime) -> str:
    """waiting, accepted, refused or expired."""
    return "expired" if proposal.state == WAITING and now >= proposal.expires else proposal.state


def proposal_text(proposal: Proposal) -> str:
    """What it would do, on one line: `raise research to 600 USD`."""
    asked = msgspec.convert(proposal.fields, _FIELDS[proposal.what])
    match asked:
        case _RaiseRequest():
            parts = [f"{name} {value}" if value else f"without a {name}" for name, value in asked.scope.items()]
            scope = f" ({', '.join(parts)})" if parts else ""
            return f"raise {asked.budget}{scope} to {asked.amount}"
        case _SilenceRequest():
            where = ", ".join(f"{k}={','.join([v] if isinstance(v, str) else v)}" for k, v in asked.where.items())
            return f"silence {where} for {asked.length}"
        case _:
            assert isinstance(asked, _ApproveRequest)  # noqa: S101 - there are three kinds
            return f"approve action {asked.action}"


async def _waiting(operations: Operations, identity: str) -> Proposal:
    found = PROPOSALS.get(State.of(await operations.store.memory()), identity)
    if found is None:
        raise NotFoundError("no such proposal", "alertd proposals lists them")
    if not is_waiting(found, operations.clock.now()):
        raise ConflictError(f"it is {state_of(found, operations.clock.now())} already", "alertd proposals lists them")
    return found


async def _answer(operations: Operations, proposal: Proposal, state: str, said: str, by: By) -> ChangeOutcome:
    def decide(stored: State) -> Decision:
        known = PROPOSALS.get(stored, proposal.id)
        if known is None or known.state != WAITING:
            raise ConflictError("it was answered meanwhile", "alertd proposals lists them")
        after = msgspec.structs.replace(
            known, state=state, answered_by=by.name, answered_at=operations.clock.now(), said=said
        )
        return operations.done(
            "accept" if state == "accepted" else "decline", proposal.id, state, said, by=by,
            changes=PROPOSALS.put(after, proposal.id),
        )  # fmt: skip

    return await operations.commit(by, decide)


def _length(asked: _SilenceRequest) -> timedelta:
    try:
        return parse_duration(asked.length)
    except ValueError as error:
        raise InvalidError(f"for: {error}", "for example 4h") from error
