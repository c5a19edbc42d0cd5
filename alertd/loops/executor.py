"""Hands: one act on one key, step by step, each written down before the next. What nobody can know is not done twice.

stop: find -> read, write it down -> write "send" down -> act -> read back
undo: read -> write "send" down -> restore -> read back what was written down
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from alertd.core.actions.act import Act, Step
from alertd.core.actions.guards import Block, Case, blocked
from alertd.core.actions.own import is_own
from alertd.core.actions.telling import event_of_step
from alertd.core.actions.terms import Terms
from alertd.core.events import Event
from alertd.loops.action_config import Action
from alertd.ports import Done, Observed, Revoker, RevokerError, SourceError, Target

#: Writes events, steps and notes in one transaction; False where a revision was another's.
Write = Callable[[Sequence[Event], Sequence[Step], Mapping[str, tuple[Any, int]]], Awaitable[bool]]


class OvertakenError(Exception):
    """Another replica has the act by now: nothing more is to be done here."""


class Work:
    """One act in one worker's hands: every step is on disk before the next is taken."""

    def __init__(self, act: Act, revision: int, write: Write, now: Callable[[], datetime]) -> None:
        self.act, self._revision, self._written, self.now = act, revision, write, now

    async def record(
        self,
        what: str,
        reason: str = "",
        request: str = "",
        notes: Mapping[str, tuple[Any, int]] | None = None,
        **changes: Any,
    ) -> None:
        """One step, with what is told of it. OvertakenError where the act was another's by now."""
        after, step = self.act.after(what, self.now(), reason=reason, request=request, **changes)
        said = event_of_step(after, step)
        await self._write(after, (said,) if said else (), (step,), notes or {})

    async def keep(self, events: Sequence[Event], **changes: Any) -> None:
        """A change that is no step: nothing happened to the key."""
        await self._write(replace(self.act, **changes), events, (), {})

    async def _write(
        self, after: Act, events: Sequence[Event], steps: Sequence[Step], notes: Mapping[str, tuple[Any, int]]
    ) -> None:
        own = {after.note: (after.to_json(), self._revision)}
        if not await self._written(events, steps, {**notes, **own}):
            raise OvertakenError
        self.act, self._revision = after, self._revision + 1

    def unsent(self) -> None:
        """The request was refused: whoever reads the state next must not think that it was carried out."""
        self.act = replace(self.act, sent=None)


async def stop(work: Work, action: Action, secrets: Sequence[str]) -> None:
    """Stop the key: find it, read and keep its state, act only if it differs, read back."""
    revoker, act = action.revoker, work.act
    target = await revoker.find(act.target)
    own = is_own(secrets, target.id, target.hint)
    block = _found(action.terms, work, target, own=own)
    if block is not None:
        raise RevokerError(f"{act.target}: {block.reason}", permanent=True)
    observed = await revoker.read(target)
    done_already = observed.acted or not observed.present
    if done_already:
        ours = act.sent is not None
        why = "it had been carried out" if ours else f"it was so already: {observed.said}"
        await work.record(
            "verify", why, observed.request, ours=ours, there=target.id, lease_until=None, looked=work.now()
        )
        return
    if act.sent is not None and observed.acted is None and not revoker.lever.repeats:
        raise RevokerError("it may have been done, and its state cannot be read: look by hand", permanent=True)
    if act.before is None:
        kept = {"values": dict(observed.values), "said": observed.said}
        await work.record("read", observed.said, observed.request, there=target.id, before=kept, audited=kept)
    await _sent(work, revoker, target)


async def _sent(work: Work, revoker: Revoker, target: Target) -> None:
    before = _observed(work.act)
    await work.record("send", f"{revoker.lever.what}: {target.id}", sent=work.now())
    reason = Event.from_json(work.act.event).reason
    done, problem = await _answered(work, revoker.act(target, before, work.act.id, reason))
    after = await revoker.read(target)
    if after.acted is None and problem is not None:
        raise problem
    if after.acted is False and after.present:
        raise problem or RevokerError(f"it answered {done.said!r}, but reads as before: {after.said}")
    how = "read back" if after.acted is not None else "by its answer; its state cannot be read"
    why = f"{after.said or done.said} ({how})"
    ours = after.present or not work.act.reversible
    await work.record("verify", why, done.request, ours=ours, lease_until=None, looked=work.now(), error="")


async def undo(work: Work, revoker: Revoker) -> None:
    """Write back what was read before, where the key still is as alertd left it."""
    act = work.act
    target = Target(act.there, act.target)
    observed = await revoker.read(target)
    if not observed.present:
        await work.record("drift", f"{act.target} was deleted by somebody else", observed.request, lease_until=None)
        return
    if observed.acted is False and act.sent is None:
        await work.record("drift", f"somebody else undid it: {observed.said}", observed.request, lease_until=None)
        return
    if observed.acted is False and _as_before(revoker, act, observed):
        await work.record("restored", "it had been carried out", observed.request, lease_until=None)
        return
    if act.sent is not None and observed.acted is None and not revoker.lever.repeats:
        raise RevokerError("it may have been undone, and its state cannot be read: look by hand", permanent=True)
    await work.record("send", f"{revoker.lever.undo}: {target.id}", sent=work.now())
    done, problem = await _answered(work, revoker.restore(target, _observed(act), f"{act.id}-undo", "restore"))
    after = await revoker.read(target)
    if after.acted or (after.acted is None and problem is not None) or not _as_before(revoker, act, after):
        raise problem or RevokerError(f"it answered, but is not yet as it was: {after.said}")
    await work.record("restored", f"as before: {after.said}", done.request, lease_until=None, error="")


async def _answered(work: Work, change: Awaitable[Done]) -> tuple[Done, RevokerError | None]:
    """What a provider answered, and the problem where nobody knows whether it did as asked; a refusal is raised."""
    try:
        return await change, None
    except RevokerError as error:
        if error.uncertain:
            return Done(""), error
        work.unsent()
        raise
    except SourceError as error:
        return Done(""), RevokerError(str(error), uncertain=True)


def _as_before(revoker: Revoker, act: Act, after: Observed) -> bool:
    """Whether what was written down before is there again: a restore of several parts may have broken off."""
    if after.acted is None or not revoker.lever.exact:
        return True
    return all(after.values.get(name) == value for name, value in _observed(act).values.items())


def _found(terms: Terms, work: Work, target: Target, *, own: bool) -> Block | None:
    """The guards that can only be asked once the provider told which key it is."""
    names = frozenset({work.act.target, target.id, target.name})
    teams, belongs = frozenset(work.act.evidence.get("teams", ())), frozenset(target.teams)
    case = Case(work.now(), terms, None, work.act.basis, names=names, own=own, teams=teams, belongs=belongs)
    return blocked(case, "found")


def _observed(act: Act) -> Observed:
    before = act.before or {}
    return Observed(acted=False, values=before.get("values", {}), said=before.get("said", ""))
