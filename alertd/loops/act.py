"""Act: what was decided about keys is committed, and what was approved is carried out. Never twice, never forgotten.

consider (pure) -> store.commit_decisions                                      (notes, audit and messages in one)
approved -> guards -> begin under a lease -> find, read the state -> write it down -> write "send" down -> act
         -> read back -> verified | again later | failed
A lease that ran out is taken over: whoever comes next reads the state first, and acts only where it is as before. The
revision of the act's note is the fence: who was overtaken can write nothing more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from alertd.core.actions.act import APPROVED, AT_WORK, EXECUTING, VERIFIED, Act, Step, acts
from alertd.core.actions.consider import Move, Outcome, Scene, case_of, consider
from alertd.core.actions.guards import BEGUN, Block, Case, blocked
from alertd.core.actions.own import is_own
from alertd.core.actions.telling import held_act, told
from alertd.core.actions.terms import Terms
from alertd.core.events import Event
from alertd.core.judgement import restored
from alertd.core.judgement.assess import Facts
from alertd.core.judgement.positions import Position
from alertd.ports import Clock, NewMessage, Observed, Revoker, RevokerError, SourceError, Store, Target

log = logging.getLogger(__name__)

#: All requests of one try are cut after this, well before the lease ends.
BOUND: Final = timedelta(seconds=120)
LEASE: Final = timedelta(seconds=300)
#: So many tries, at growing distances, before it is a person's turn.
_TRIES: Final = 6
#: A provider is asked about so many keys at once.
_AT_ONCE: Final = 4
_FIRST_WAIT: Final = timedelta(seconds=10)
_LOOK_EVERY: Final = timedelta(minutes=15)
_HOUR: Final = timedelta(hours=1)
#: Guards whose hold is only a matter of waiting one's turn: not told.
_QUIET: Final = frozenset({"rate"})

Notes = Mapping[str, tuple[Any, int]]


@dataclass(frozen=True, slots=True)
class Action:
    """A configured action: what it may do, and how."""

    terms: Terms
    revoker: Revoker


@dataclass(frozen=True, slots=True)
class Seen:
    """What the judge saw last."""

    facts: Facts
    positions: Sequence[Position]


@dataclass(frozen=True, slots=True)
class Orders:
    """What the configuration says of acting; replaced as a whole on a reload. `secrets` are alertd's own."""

    actions: Mapping[str, Action] = field(default_factory=dict)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    dry_run: bool = False
    messages: Callable[[Sequence[Event]], Sequence[NewMessage]] = lambda _: ()


class OvertakenError(Exception):
    """Another replica has the act by now: nothing more is to be done here."""


class Actor:
    """Keeps acts going. `tick` is one round: decide, commit, carry out what is due."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        orders: Orders,
        seen: Callable[[], Seen | None],
        wake_deliver: Callable[[], None] = lambda: None,
        *,
        bound: timedelta = BOUND,
        lease: timedelta = LEASE,
    ) -> None:
        if lease <= bound:
            raise ValueError(f"a lease of {lease} ends before a try of {bound} is cut")
        self.orders = orders
        self._store, self._clock, self._seen, self._wake = store, clock, seen, wake_deliver
        self._bound, self._lease = bound, lease
        self._last: Facts | None = None
        self._hands = asyncio.Semaphore(_AT_ONCE)

    async def tick(self) -> int:
        """One round; how many acts were worked on."""
        seen = self._seen()
        notes = await self._store.memory()
        if restored.NOTE in notes:
            return 0  # what was done to keys since the backup, or in what was lost of the database, is not known yet
        if seen is not None:
            scene = replace(self._scene(seen, notes), judged=seen.facts is not self._last)
            for move in consider(scene).moves:
                await self._commit(move, notes)
            self._last = seen.facts
        notes = await self._store.memory()
        if self.orders.dry_run:
            return 0
        work = [self._in_turn(act, notes, seen) for act in acts(_values(notes)).values() if self._due(act)]
        done = await asyncio.gather(*work, return_exceptions=True)
        for outcome_of_one in done:
            if isinstance(outcome_of_one, BaseException):
                raise outcome_of_one
        return len(done)

    async def preview(self, seen: Seen) -> Outcome:
        """What would be decided now, and why not more; nothing is written."""
        return consider(self._scene(seen, await self._store.memory()))

    def _scene(self, seen: Seen, notes: Notes) -> Scene:
        terms = {name: action.terms for name, action in self.orders.actions.items()}
        return Scene(self._clock.now(), terms, seen.facts, seen.positions, _values(notes), self.orders.dry_run)

    def _due(self, act: Act) -> bool:
        now = self._clock.now()
        if act.action not in self.orders.actions:
            return False
        if act.state == VERIFIED:
            return act.ours and act.reversible and (act.looked is None or now - act.looked >= _LOOK_EVERY)
        waits = any(at is not None and at > now for at in (act.lease_until, act.not_before))
        return act.state == APPROVED or (act.state in AT_WORK and not waits)

    async def _in_turn(self, act: Act, notes: Notes, seen: Seen | None) -> None:
        async with self._hands:
            await self._one(act, notes, seen)

    async def _one(self, act: Act, notes: Notes, seen: Seen | None) -> None:
        action = self.orders.actions[act.action]
        work = _Work(self, act, notes[act.note][1])
        try:
            if act.state == VERIFIED:
                await self._look(work, action.revoker)
                return
            if act.state == APPROVED:
                if seen is None or not await self._begin(work, action, notes, seen):
                    return
            else:
                await self._claim(work)
            await self._carried_out(work, action)
        except OvertakenError:
            log.info("act %s: another replica has it", act.handle)

    async def _begin(self, work: _Work, action: Action, notes: Notes, seen: Seen) -> bool:
        """Take an approved act under a lease, with its place in the hour; False where a guard holds it back."""
        act, now = work.act, self._clock.now()
        scene = self._scene(seen, notes)
        position = next((one for one in seen.positions if one.name == act.position), None)
        begun, revision = notes.get(BEGUN, ([], 0))
        recent = [row for row in begun if now - datetime.fromisoformat(row[0]) < _HOUR]
        rows = [labels for labels in seen.facts.ledger.labels if labels.get(act.label) == act.target]
        case = case_of(
            scene, action.terms, position, act.basis, names=frozenset({act.target}),
            labels=frozenset(pair for labels in rows for pair in labels.items()), approved_by=act.approved_by,
            begun=tuple(datetime.fromisoformat(at) for at, _ in recent),
        )  # fmt: skip
        block = blocked(case, "begin")
        if block is not None:
            await self._held(work, block)
            return False
        turn = {BEGUN: ([*recent, [now.isoformat(), act.id]], revision)}
        await work.record("begin", lease_until=now + self._lease, notes=turn)
        return True

    async def _held(self, work: _Work, block: Block) -> None:
        """Remember which guard holds an approved act back; said once a guard."""
        if work.act.held == f"{block.guard}: {block.reason}":
            return
        news = block.guard not in _QUIET and not work.act.held.startswith(f"{block.guard}:")
        events = [held_act(work.act, block.guard, block.reason, self._clock.now())] if news else []
        await work.keep(events, held=f"{block.guard}: {block.reason}")

    async def _claim(self, work: _Work) -> None:
        """Go on with an act that waits for its next try, or whose worker did not come back."""
        act, now = work.act, self._clock.now()
        what = "take over" if act.lease_until is not None else "retry" if act.attempts else "begin"
        reason = "its worker did not come back" if what == "take over" else act.error
        await work.record(what, reason=reason, lease_until=now + self._lease, not_before=None)

    async def _carried_out(self, work: _Work, action: Action) -> None:
        try:
            async with asyncio.timeout(self._bound.total_seconds()):
                if work.act.state == EXECUTING:
                    await _stop(work, action, self.orders.secrets)
                else:
                    await _undo(work, action.revoker)
        except RevokerError as error:
            await self._failed(work, error)
        except SourceError as error:
            await self._failed(work, RevokerError(str(error)))
        except TimeoutError:
            seconds = self._bound.total_seconds()
            await self._failed(work, RevokerError(f"{action.revoker.name}: no end within {seconds:g} s"))

    async def _failed(self, work: _Work, error: RevokerError) -> None:
        tries, now = work.act.attempts + 1, self._clock.now()
        if error.permanent or tries >= _TRIES:
            why = f"{error}" if error.permanent else f"{error} (after {tries} tries)"
            await work.record("fail", reason=why, error=str(error), lease_until=None, attempts=tries)
            return
        wait = error.retry_after or _FIRST_WAIT * 2**work.act.attempts
        await work.record(
            "retry", reason=str(error), error=str(error), lease_until=None, not_before=now + wait, attempts=tries
        )

    async def _look(self, work: _Work, revoker: Revoker) -> None:
        """Whether what was done still holds. What somebody else changed is said, not fought."""
        act, now = work.act, self._clock.now()
        try:
            async with asyncio.timeout(self._bound.total_seconds()):
                observed = await revoker.read(Target(act.there, act.target))
        except (RevokerError, SourceError, TimeoutError) as error:
            log.warning("act %s: its state cannot be read: %s", act.handle, str(error) or "no answer in time")
            await work.keep((), looked=now)
            return
        if not observed.present:
            await work.record("drift", reason=f"{act.target} was deleted by somebody else", looked=now)
        elif observed.acted is False:
            await work.record("drift", reason=f"somebody else undid it: {observed.said}", looked=now)
        else:
            await work.keep((), looked=now)

    async def _commit(self, move: Move, notes: Notes) -> bool:
        """One move of the considered ones, or nothing where another replica was first."""
        values = {**move.notes, **({move.act.note: move.act.to_json()} if move.act is not None else {})}
        return await self.write(
            move.events, move.steps, {n: (value, notes.get(n, (None, 0))[1]) for n, value in values.items()}
        )

    async def write(self, events: Sequence[Event], steps: Sequence[Step], notes: Mapping[str, tuple[Any, int]]) -> bool:
        """Notes, audit and messages in one transaction; False where a revision was another's."""
        messages = () if self.orders.dry_run else self.orders.messages(events)
        if not await self._store.commit_decisions([], messages, notes, steps):
            return False
        for step in steps:
            log.info("act %s: %s -> %s by %s: %s", step.act[:6], step.what, step.state, step.by, step.reason)
        if messages:
            self._wake()
        return True

    def now(self) -> datetime:
        return self._clock.now()


class _Work:
    """One act in one worker's hands: every step is on disk before the next is taken."""

    def __init__(self, actor: Actor, act: Act, revision: int) -> None:
        self.act, self._actor, self._revision = act, actor, revision

    async def record(
        self,
        what: str,
        reason: str = "",
        request: str = "",
        notes: Mapping[str, tuple[Any, int]] | None = None,
        **changes: Any,
    ) -> None:
        """One step, with what is told of it. OvertakenError where the act was another's by now."""
        after, step = self.act.after(what, self._actor.now(), reason=reason, request=request, **changes)
        said = told(after, step)
        await self._write(after, (said,) if said else (), (step,), notes or {})

    async def keep(self, events: Sequence[Event], **changes: Any) -> None:
        """A change that is no step: nothing happened to the key."""
        await self._write(replace(self.act, **changes), events, (), {})

    async def _write(
        self, after: Act, events: Sequence[Event], steps: Sequence[Step], notes: Mapping[str, tuple[Any, int]]
    ) -> None:
        own = {after.note: (after.to_json(), self._revision)}
        if not await self._actor.write(events, steps, {**notes, **own}):
            raise OvertakenError
        self.act, self._revision = after, self._revision + 1

    def now(self) -> datetime:
        return self._actor.now()

    def unsent(self) -> None:
        """The request was refused: whoever reads the state next must not think that it was carried out."""
        self.act = replace(self.act, sent=None)


async def _stop(work: _Work, action: Action, secrets: Sequence[str]) -> None:
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


async def _sent(work: _Work, revoker: Revoker, target: Target) -> None:
    before = _observed(work.act)
    await work.record("send", f"{revoker.lever.what}: {target.id}", sent=work.now())
    said, request = "", ""
    problem: RevokerError | None = None
    try:
        done = await revoker.act(target, before, work.act.id, Event.from_json(work.act.event).reason)
        said, request = done.said, done.request
    except RevokerError as error:
        if not error.uncertain:
            work.unsent()
            raise
        problem = error
    except SourceError as error:
        problem = RevokerError(str(error), uncertain=True)
    after = await revoker.read(target)
    if after.acted is None and problem is not None:
        raise problem
    if after.acted is False and after.present:
        raise problem or RevokerError(f"it answered {said!r}, but reads as before: {after.said}")
    how = "read back" if after.acted is not None else "by its answer; its state cannot be read"
    reason = f"{after.said or said} ({how})"
    ours = after.present or not work.act.reversible
    await work.record("verify", reason, request, ours=ours, lease_until=None, looked=work.now(), error="")


async def _undo(work: _Work, revoker: Revoker) -> None:
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
    request = ""
    problem: RevokerError | None = None
    try:
        request = (await revoker.restore(target, _observed(act), f"{act.id}-undo", "restore")).request
    except RevokerError as error:
        if not error.uncertain:
            work.unsent()
            raise
        problem = error
    except SourceError as error:
        problem = RevokerError(str(error), uncertain=True)
    after = await revoker.read(target)
    if after.acted or (after.acted is None and problem is not None) or not _as_before(revoker, act, after):
        raise problem or RevokerError(f"it answered, but is not yet as it was: {after.said}")
    await work.record("restored", f"as before: {after.said}", request, lease_until=None, error="")


def _as_before(revoker: Revoker, act: Act, after: Observed) -> bool:
    """Whether what was written down before is there again: a restore of several parts may have broken off."""
    if after.acted is None or not revoker.lever.exact:
        return True
    return all(after.values.get(name) == value for name, value in _observed(act).values.items())


def _found(terms: Terms, work: _Work, target: Target, *, own: bool) -> Block | None:
    """The guards that can only be asked once the provider told which key it is."""
    names = frozenset({work.act.target, target.id, target.name})
    return blocked(Case(work.now(), terms, None, work.act.basis, names=names, own=own), "found")


def _observed(act: Act) -> Observed:
    before = act.before or {}
    return Observed(acted=False, values=before.get("values", {}), said=before.get("said", ""))


def _values(notes: Notes) -> dict[str, Any]:
    return {name: value for name, (value, _) in notes.items()}
