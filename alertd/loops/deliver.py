"""Deliver: what waits in the outbox is sent, and what became of it is recorded. Nothing is dropped without a word.

store.claim(lease) -> notifier.send -> store.delivered | retry_later(at) | give_up(said by the fallback)

A notifier has a lane of its own, so a dead receiver keeps nobody else waiting. A send is cut well before its lease
ends; whoever dies or sleeps in between leaves a row that comes back `uncertain`, under the same key.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Self

from alertd.core.delivery import ORPHANED_AFTER, PEOPLE_INTERVAL, Circuit, Failure, after_try, retry_at, room
from alertd.core.durations import Durations
from alertd.loops.runner import Runner
from alertd.ports import Clock, DeliveryError, NewMessage, Notifier, OutboxRow, Receipt, Store

log = logging.getLogger(__name__)

#: A send is cut after this; it may have arrived then.
SEND: Final = timedelta(seconds=60)
#: Twice the send: time enough to record it on a busy database before another may take the row over.
LEASE: Final = timedelta(seconds=120)
#: How often a lane looks for what fell due, or was written by another replica. A message of one's own wakes it at once.
LOOK: Final = timedelta(seconds=2)
#: How long a send that was cut may take to end.
_CUT_SECONDS: Final = 1.0
_ORPHANS_A_ROUND: Final = 50


@dataclass(slots=True)
class Sent:
    """What became of messages: of one round, or of one notifier since the start."""

    delivered: int = 0
    retried: int = 0
    given_up: int = 0
    #: Recorded too late: another replica had taken the row over, so the receiver may have it twice.
    overtaken: int = 0

    def __iadd__(self, other: Sent) -> Self:
        self.delivered += other.delivered
        self.retried += other.retried
        self.given_up += other.given_up
        self.overtaken += other.overtaken
        return self


@dataclass(slots=True)
class Lane:
    """One notifier's way out: its circuit, when its next message may go, and what became of all so far."""

    circuit: Circuit = field(default_factory=Circuit)
    free_at: datetime | None = None
    totals: Sent = field(default_factory=Sent)
    #: How long the sends took, and how many failed, by a small, fixed set of words.
    durations: Durations = field(default_factory=Durations)
    failures: Counter[str] = field(default_factory=Counter)
    last_error: str = ""
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class Deliver:
    """Sends what waits. `tick` is one round over all notifiers; `run` keeps every lane busy until it is stopped."""

    def __init__(
        self,
        store: Store,
        notifiers: Mapping[str, Notifier],
        clock: Clock,
        fallbacks: Mapping[str, str],
        *,
        held: bool = False,
        runner: Runner | None = None,
        jitter: Callable[[], float] = random.random,
        send: timedelta = SEND,
        lease: timedelta = LEASE,
        look: timedelta = LOOK,
    ) -> None:
        if lease <= send:
            raise ValueError(f"a lease of {lease} ends before a send of {send} is cut")
        self.lanes: dict[str, Lane] = {}
        self._store = store
        self._notifiers = dict(notifiers)
        self._clock = clock
        self._fallbacks = dict(fallbacks)
        self._runner = runner or Runner(clock)
        self._jitter = jitter
        #: A dry run sends nothing, not even what was written before it.
        self.held = held
        self._send = send
        self._lease = lease
        self._look = look
        self._orphans_said: set[str] = set()

    async def tick(self) -> Sent:
        """One round: what is due is tried once. Answers with what became of it."""
        rounds = [self._round(name) for name in self._notifiers]
        total = Sent()
        for sent in await asyncio.gather(*rounds, self._orphans()):
            total += sent
        return total

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`: every notifier's lane goes on by itself, also those that a reload adds.

        What is being sent at the stop is finished and recorded. To cancel this cuts it; what is cut may have arrived.
        """
        lanes: dict[str, asyncio.Task[None]] = {}
        try:
            while not stop.is_set():
                for name in self._notifiers.keys() - {name for name, task in lanes.items() if not task.done()}:
                    lanes[name] = asyncio.create_task(self._keep_going(name, stop), name=f"deliver {name}")
                await self._runner.run("deliver orphans", self._orphans)
                await _either(stop, self._look)
            self.wake()
            await asyncio.gather(*lanes.values())
        finally:
            for task in lanes.values():
                task.cancel()
            await asyncio.gather(*lanes.values(), return_exceptions=True)

    def wake(self) -> None:
        """Something was written: look at once."""
        for lane in self.lanes.values():
            lane.woken.set()

    def heard(self) -> bool:
        """Whether a word would reach anybody: not where the last try of every notifier failed."""
        lanes = [self.lanes[name] for name in self._notifiers if name in self.lanes]
        return not lanes or any(not lane.last_error for lane in lanes)

    def replace(self, notifiers: Mapping[str, Notifier], fallbacks: Mapping[str, str]) -> None:
        """Go on with another configuration. What waits for a notifier that is gone goes where it would have fallen."""
        self._fallbacks = {**{n: f for n, f in self._fallbacks.items() if n not in notifiers}, **fallbacks}
        self._notifiers = dict(notifiers)
        self._orphans_said.clear()
        self.wake()
        self.lanes = {name: lane for name, lane in self.lanes.items() if name in notifiers}

    async def _keep_going(self, name: str, stop: asyncio.Event) -> None:
        lane = self._lane(name)
        while name in self._notifiers and not stop.is_set():
            lane.woken.clear()
            before = lane.totals.delivered
            await self._runner.run(f"deliver {name}", partial(self._round, name))
            free = (lane.free_at or self._clock.now()) - self._clock.now()
            if lane.totals.delivered > before:
                await _either(stop, max(free, timedelta()))
            else:
                await _either(lane.woken, self._look)

    async def _round(self, name: str) -> Sent:
        """Claim what this notifier may send now, send it, record each as soon as it is known."""
        lane, notifier, now = self._lane(name), self._notifiers[name], self._clock.now()
        if self.held or (lane.free_at is not None and now < lane.free_at):
            return Sent()
        limit = room(lane.circuit, now, people=notifier.people)
        rows = await self._store.claim(now, self._lease, [name], limit) if limit else []
        if rows and notifier.people:
            lane.free_at = now + PEOPLE_INTERVAL
        total = Sent()
        for sent in await asyncio.gather(*(self._one(lane, notifier, row, now + self._lease) for row in rows)):
            total += sent
        lane.totals += total
        return total

    async def _one(self, lane: Lane, notifier: Notifier, row: OutboxRow, lease_ends: datetime) -> Sent:
        """One message of a claim: sent, and recorded under its fence."""
        if self._clock.now() + self._send > lease_ends:  # this process slept: the row may be another's by now
            return Sent(overtaken=1)
        begin = self._clock.now()
        try:
            outcome = await _sent(notifier, row, self._send)
        except asyncio.CancelledError:  # the daemon ends: whoever goes on need not wait for the lease to run out
            await self._store.retry_later(row, self._clock.now(), "stopped while it was sent", uncertain=True)
            raise
        now = self._clock.now()
        lane.durations.add((now - begin).total_seconds())
        if isinstance(outcome, Receipt):
            lane.circuit, lane.last_error = after_try(lane.circuit, None, now, self._jitter()), ""
            recorded = await self._store.delivered(row, now, outcome)
            return Sent(delivered=1) if recorded else self._overtaken(notifier.name, row)
        lane.circuit, lane.last_error = after_try(lane.circuit, outcome, now, self._jitter()), outcome.reason
        lane.failures[outcome.word] += 1
        again = retry_at(outcome, row.delivery.attempt, row.first_tried, now, self._jitter())
        if again is None:
            return await self._give_up(notifier.name, row, outcome.reason)
        log.info("%s: again at %s: %s", notifier.name, again.isoformat(timespec="seconds"), outcome.reason)
        recorded = await self._store.retry_later(row, again, outcome.reason, uncertain=outcome.uncertain)
        return Sent(retried=1) if recorded else self._overtaken(notifier.name, row)

    async def _give_up(self, name: str, row: OutboxRow, reason: str) -> Sent:
        """Say it elsewhere, in the transaction that gives it up. Without an elsewhere it is an error in the log."""
        elsewhere = self._elsewhere(name)
        sent = row.delivery
        message = elsewhere and NewMessage(sent.key, elsewhere, sent.conversation, sent.events)
        if not await self._store.give_up(row, self._clock.now(), reason, message or None):
            return self._overtaken(name, row)
        told = f"; {elsewhere} says it instead" if elsewhere else "; it has no fallback: NOBODY WAS TOLD"
        log.error("%s: gave up after %d tries%s: %s", name, sent.attempt, told, reason, extra={"message_key": sent.key})
        if elsewhere:
            self.wake()
        return Sent(given_up=1)

    def _elsewhere(self, name: str) -> str | None:
        """The fallback; for a notifier that is gone from the configuration without one, the first that people read."""
        named = self._fallbacks.get(name)
        if named in self._notifiers:
            return named
        if name in self._notifiers:
            return None
        return next((n for n, one in self._notifiers.items() if one.people), next(iter(self._notifiers), None))

    def _overtaken(self, name: str, row: OutboxRow) -> Sent:
        log.warning("%s: recorded too late, another replica took over: %s", name, row.delivery.key)
        return Sent(overtaken=1)

    async def _orphans(self) -> Sent:
        """Messages to notifiers that the configuration does not have: they wait for a while, then go elsewhere."""
        now, total = self._clock.now(), Sent()
        if self.held:
            return total
        depth = await self._store.outbox_depth()
        for name, (count, oldest) in sorted(depth.items()):
            if name in self._notifiers:
                continue
            if name not in self._orphans_said:
                log.warning("%d messages wait for notifier %s, which is not configured", count, name)
                self._orphans_said.add(name)
            if oldest is not None and oldest + ORPHANED_AFTER <= now and self._elsewhere(name):
                for row in await self._store.claim(now, self._lease, [name], _ORPHANS_A_ROUND):
                    total += await self._give_up(name, row, f"notifier {name} is no longer configured")
        return total

    def _lane(self, name: str) -> Lane:
        return self.lanes.setdefault(name, Lane())


async def _sent(notifier: Notifier, row: OutboxRow, bound: timedelta) -> Receipt | Failure:
    """What the notifier made of it, within the bound. A notifier that breaks costs this message a try, not the lane."""
    sending = asyncio.ensure_future(notifier.send(row.delivery))
    try:
        await asyncio.wait({sending}, timeout=bound.total_seconds())
    finally:
        cut = sending.cancel()  # False where it has ended
    if cut:
        await asyncio.wait({sending}, timeout=_CUT_SECONDS)
        return Failure(f"{notifier.name}: no answer within {bound.total_seconds():g} s", uncertain=True)
    if sending.cancelled():
        return Failure(f"{notifier.name}: the notifier ended its own send", uncertain=True, unexpected=True)
    match sending.exception():
        case None:
            return sending.result()
        case DeliveryError() as error:
            return Failure(str(error), error.permanent, error.uncertain, retry_after=error.retry_after)
        case error:
            log.error("%s broke over a message", notifier.name, exc_info=error)
            return Failure(f"{notifier.name}: {type(error).__name__}", uncertain=True, unexpected=True)


async def _either(event: asyncio.Event, longest: timedelta) -> None:
    """Wait for the event, but no longer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(longest.total_seconds()):
            await event.wait()
