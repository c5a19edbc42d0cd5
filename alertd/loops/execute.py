"""Execute: commit what was decided about keys, and carry out what was approved, exactly once.

plan_actions (pure) -> store.commit_decisions                                      (notes, audit and messages in one)
approved -> guards -> begin under a lease -> find, read the state -> write it down -> write "send" down -> act
         -> read back -> verified | again later | failed
A lease that ran out is taken over: the next replica reads the state first, and acts only where it is as before. The
revision of the act's record is the fencing token: a replica whose lease was taken over can write nothing more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from alertd.core.actions.announcements import event_of_step, held_act, with_provider
from alertd.core.actions.confirmation import Readings, read_until
from alertd.core.actions.guards import BEGUN, Hold, first_hold
from alertd.core.actions.plan import ActionPlan, guard_context, plan_actions
from alertd.core.actions.state_machine import APPROVED, AT_WORK, EXECUTING, VERIFIED, Act, Step, acts
from alertd.core.actions.triggers import ActionChange, PlanContext, lost_reason
from alertd.core.evaluation.state import RESTORED
from alertd.core.evaluation.values import BudgetStatus, Facts
from alertd.core.events import Event
from alertd.loops.executor import Action, ActionConfig, OvertakenError, Work, changed_since, describe, stop, undo
from alertd.ports import Clock, Revoker, RevokerError, SourceError, Store, Target

log = logging.getLogger(__name__)

#: All requests of one try are cut after this, well before the lease ends.
BOUND: Final = timedelta(seconds=120)
LEASE: Final = timedelta(seconds=300)
#: The number of tries, with growing waits, before a person is asked.
_TRIES: Final = 6
#: The number of keys that a provider is asked about at once.
_AT_ONCE: Final = 4
_FIRST_WAIT: Final = timedelta(seconds=10)
_LOOK_EVERY: Final = timedelta(minutes=15)
#: How long a provider is asked about a key before a proposal says that it did not answer.
_ASKED: Final = timedelta(seconds=10)
_HOUR: Final = timedelta(hours=1)

Notes = Mapping[str, tuple[Any, int]]


@dataclass(frozen=True, slots=True)
class LastEvaluation:
    """What the evaluation saw last."""

    facts: Facts
    statuses: Sequence[BudgetStatus]


class ActionLoop:
    """Keeps acts going. `tick` is one round: decide, commit, carry out what is due."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        config: ActionConfig,
        seen: Callable[[], LastEvaluation | None],
        wake_deliver: Callable[[], None] = lambda: None,
        *,
        bound: timedelta = BOUND,
        lease: timedelta = LEASE,
    ) -> None:
        if lease <= bound:
            raise ValueError(f"a lease of {lease} ends before a try of {bound} is cut")
        self.config = config
        self._store, self._clock, self._seen, self._wake = store, clock, seen, wake_deliver
        self._bound, self._lease = bound, lease
        self._last: Facts | None = None
        #: What every position had spent at the evaluation before; unknown after a start.
        self._before: Mapping[str, Readings] = {}
        self._hands = asyncio.Semaphore(_AT_ONCE)

    async def tick(self) -> int:
        """One round; how many acts were worked on."""
        seen = self._seen()
        notes = await self._store.memory()
        if RESTORED.prefix in notes:
            return 0  # what was done to keys since the backup, or in what was lost of the database, is not known yet
        if seen is not None:
            context = replace(self._context(seen, notes), is_new=seen.facts is not self._last)
            changes = plan_actions(context).changes
            await self._commit_all(changes, notes)
            if changes:
                notes = await self._store.memory()
            if context.is_new:
                until = read_until(tuple(seen.facts.context.sources.values()))
                self._before = {one.name: Readings(until, one.spent) for one in seen.statuses}
            self._last = seen.facts
        if self.config.dry_run:
            return 0
        work = [self._in_turn(act, notes, seen) for act in acts(_values(notes)).values() if self._due(act)]
        done = await asyncio.gather(*work, return_exceptions=True)
        for outcome_of_one in done:
            if isinstance(outcome_of_one, BaseException):
                raise outcome_of_one
        return len(done)

    async def _commit_all(self, changes: Sequence[ActionChange], notes: Notes) -> None:
        """Commit every change in order. A new proposal first gets its key's state from the provider."""
        described = [asyncio.ensure_future(self._with_provider(change)) for change in changes]
        try:
            for task in described:
                await self._commit(await task, notes)
        finally:
            for task in described:
                task.cancel()
            await asyncio.gather(*described, return_exceptions=True)

    async def _with_provider(self, move: ActionChange) -> ActionChange:
        act = move.act
        action = self.config.actions.get(act.action) if act is not None else None
        if act is None or action is None or action.revoker.lacks or not move.steps or move.steps[0].what != "propose":
            return move
        try:
            async with self._hands, asyncio.timeout(_ASKED.total_seconds()):
                shown = await describe(act, action, self.config.secrets, self._clock.now())
        except TimeoutError:
            shown = {"problem": f"no answer within {_ASKED.total_seconds():g} s"}
        act, steps = with_provider(act, move.steps, shown)
        said = event_of_step(act, steps[-1])
        return replace(move, act=act, steps=steps, events=(said,) if said else ())

    async def preview(self, seen: LastEvaluation) -> ActionPlan:
        """What would be decided now, and why not more; nothing is written."""
        return plan_actions(self._context(seen, await self._store.memory()))

    def _context(self, seen: LastEvaluation, notes: Notes) -> PlanContext:
        terms = {name: action.terms for name, action in self.config.actions.items()}
        return PlanContext(
            self._clock.now(), terms, seen.facts, seen.statuses, _values(notes), self.config.dry_run,
            before=self._before,
        )  # fmt: skip

    async def lost(self, act: Act, seen: LastEvaluation | None = None) -> str:
        """Why nothing would be done if this action were approved now; "" where its reason holds."""
        looked = seen or self._seen()
        return "" if looked is None else lost_reason(self._context(looked, await self._store.memory()), act)

    def _due(self, act: Act) -> bool:
        now = self._clock.now()
        if act.action not in self.config.actions:
            return False
        if act.state == VERIFIED:
            return act.ours and act.reversible and (act.looked is None or now - act.looked >= _LOOK_EVERY)
        waits = any(at is not None and at > now for at in (act.lease_until, act.not_before))
        return act.state == APPROVED or (act.state in AT_WORK and not waits)

    async def _in_turn(self, act: Act, notes: Notes, seen: LastEvaluation | None) -> None:
        async with self._hands:
            await self._one(act, notes, seen)

    async def _one(self, act: Act, notes: Notes, seen: LastEvaluation | None) -> None:
        action = self.config.actions[act.action]
        work = Work(act, notes[act.note][1], self.write, self._clock.now)
        try:
            if act.state == VERIFIED:
                await self._look(work, action.revoker, self._own_changes(act, notes))
                return
            if act.state == APPROVED:
                if seen is None or not await self._begin(work, action, notes, seen):
                    return
            else:
                waits = act.is_waiting(self._clock.now())
                if seen is not None and waits and not await self._may_begin(work, action, notes, seen):
                    return
                await self._claim(work)
            await self._carried_out(work, action, self._own_changes(act, notes))
        except OvertakenError:
            log.info("act %s: another replica has it", act.handle)

    async def _begin(self, work: Work, action: Action, notes: Notes, seen: LastEvaluation) -> bool:
        """Take an approved act under a lease, with its place in the hour; False where a guard holds it back."""
        act, now = work.act, self._clock.now()
        if not await self._may_begin(work, action, notes, seen):
            return False
        recent, revision = self._begun(notes)
        turn = {BEGUN: ([*recent, [now.isoformat(), act.id]], revision)}
        await work.record("begin", lease_until=now + self._lease, notes=turn)
        return True

    def _begun(self, notes: Notes) -> tuple[list[list[str]], int]:
        """What began within the hour: when, and which act; and the revision of that note."""
        begun, revision = notes.get(BEGUN, ([], 0))
        return [row for row in begun if self._clock.now() - datetime.fromisoformat(row[0]) < _HOUR], revision

    async def _may_begin(self, work: Work, action: Action, notes: Notes, seen: LastEvaluation) -> bool:
        """Whether no guard holds an act back and its reason holds, before anything is asked of the provider."""
        act = work.act
        context = self._context(seen, notes)
        position = next((one for one in seen.statuses if one.name == act.position), None)
        recent = [row for row in self._begun(notes)[0] if row[1] != act.id]
        rows = [labels for labels in seen.facts.ledger.labels if labels.get(act.label) == act.target]
        case = guard_context(
            context, action.terms, position, act.basis, names=frozenset({act.target}),
            labels=frozenset(pair for labels in rows for pair in labels.items()), approved_by=act.approved_by,
            begun=tuple(datetime.fromisoformat(at) for at, _ in recent),
        )  # fmt: skip
        block = first_hold(case, "begin")
        if block is not None:
            turn_at = min((datetime.fromisoformat(at) for at, _ in recent), default=None)
            await self._held(work, block, action.terms.expiry, turn_at)
            return False
        lost = lost_reason(context, act, begins=True)
        if lost:
            await work.record("expire", reason=f"not done because {lost}")
            return False
        return True

    async def _held(self, work: Work, block: Hold, expiry: timedelta, begun: datetime | None) -> None:
        """Remember which guard holds back an approved act; each guard is announced once.

        What waits for its turn in the hour keeps its place: its expiry starts when the turn comes.
        """
        if work.act.held == f"{block.guard}: {block.reason}":
            return
        expires = work.act.expires
        if block.guard == "rate" and begun is not None and expires is not None:
            expires = max(expires, begun + _HOUR + expiry)
        news = not work.act.held.startswith(f"{block.guard}:")
        events = [held_act(work.act, block.guard, block.reason, self._clock.now())] if news else []
        await work.keep(events, held=f"{block.guard}: {block.reason}", expires=expires)

    async def _claim(self, work: Work) -> None:
        """Go on with an act that waits for its next try, or whose worker did not come back."""
        act, now = work.act, self._clock.now()
        what = "take over" if act.lease_until is not None else "retry" if act.attempts else "begin"
        reason = "its worker did not come back" if what == "take over" else act.error
        await work.record(what, reason=reason, lease_until=now + self._lease, not_before=None)

    def _own_changes(self, act: Act, notes: Notes) -> frozenset[str]:
        """When other acts of alertd changed the same key last, as its provider writes it."""
        known = acts(_values(notes)).values()
        return frozenset(one.changed_at for one in known if one.there == act.there and one.changed_at)

    async def _carried_out(self, work: Work, action: Action, others: Collection[str]) -> None:
        try:
            async with asyncio.timeout(self._bound.total_seconds()):
                if work.act.state == EXECUTING:
                    await stop(work, action, self.config.secrets)
                else:
                    await undo(work, action.revoker, others)
        except RevokerError as error:
            await self._failed(work, error)
        except SourceError as error:
            await self._failed(work, RevokerError(str(error)))
        except TimeoutError:
            seconds = self._bound.total_seconds()
            await self._failed(work, RevokerError(f"{action.revoker.name}: no end within {seconds:g} s"))

    async def _failed(self, work: Work, error: RevokerError) -> None:
        tries, now = work.act.attempts + 1, self._clock.now()
        if error.permanent or tries >= _TRIES:
            why = f"{error}" if error.permanent else f"{error} (after {tries} tries)"
            await work.record("fail", reason=why, error=str(error), lease_until=None, attempts=tries)
            return
        wait = error.retry_after or _FIRST_WAIT * 2**work.act.attempts
        await work.record(
            "retry", reason=str(error), error=str(error), lease_until=None, not_before=now + wait, attempts=tries
        )

    async def _look(self, work: Work, revoker: Revoker, others: Collection[str]) -> None:
        """Check that the action still holds. A change by somebody else is announced, not reverted."""
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
        elif changed := changed_since(act, observed, others):
            await work.record("drift", reason=changed, looked=now)
        else:
            await work.keep((), looked=now)

    async def _commit(self, move: ActionChange, notes: Notes) -> bool:
        """One move of the considered ones, or nothing where another replica was first."""
        values = {**move.notes, **({move.act.note: move.act.to_json()} if move.act is not None else {})}
        return await self.write(
            move.events, move.steps, {n: (value, notes.get(n, (None, 0))[1]) for n, value in values.items()}
        )

    async def write(self, events: Sequence[Event], steps: Sequence[Step], notes: Mapping[str, tuple[Any, int]]) -> bool:
        """Notes, audit and messages in one transaction; False where a revision was another's."""
        messages = () if self.config.dry_run else self.config.messages(events)
        if not await self._store.commit_decisions([], messages, notes, steps):
            return False
        for step in steps:
            log.info("act %s: %s -> %s by %s: %s", step.act[:6], step.what, step.state, step.by, step.reason)
        if messages:
            self._wake()
        return True


def _values(notes: Notes) -> dict[str, object]:
    return {name: value for name, (value, _) in notes.items()}
