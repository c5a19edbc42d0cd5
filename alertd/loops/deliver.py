"""Deliver: send waiting messages of the outbox and record each result. No message is dropped silently.

store.claim(lease) -> notifier.send -> store.delivered | retry_later(at) | give_up(said by the fallback)

Each notifier has its own queue, so that a receiver that is down delays no other; critical messages have reserved places
in it. A lease is renewed while a message is being sent; a process that dies or is paused leaves a row that
comes back as `uncertain` under the same key, and a paused process posts nothing when it resumes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from alertd.core.delivery import (
    ORPHANED_AFTER,
    PEOPLE_INTERVAL,
    Circuit,
    after_try,
    free_slots,
    retry_at,
    slots_for_critical,
)
from alertd.core.events import with_command_options
from alertd.core.loop_stats import DeliveryStats, Sent
from alertd.loops.runner import Runner
from alertd.loops.sending import Sending
from alertd.ports import Clock, NewMessage, Notifier, OutboxRow, Receipt, Store

log = logging.getLogger(__name__)

#: A send is cut after this; it may have arrived then.
SEND: Final = timedelta(seconds=60)
#: A message is taken over this long after the death of its process; a critical one after half of it.
LEASE: Final = timedelta(seconds=30)
#: How often all queues together look whether something waits: what fell due, or what another replica wrote and did not
#: send. A message of one's own wakes its queue at once.
LOOK: Final = timedelta(seconds=2)
_ORPHANS_A_ROUND: Final = 50


@dataclass(slots=True)
class NotifierQueue(DeliveryStats):
    """One notifier's queue: its circuit breaker, when its next message may go, and counts of results."""

    circuit: Circuit = field(default_factory=Circuit)
    free_at: datetime | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    #: Messages under way, each with whether it is critical; what its send came to is added to `totals`.
    under_way: dict[asyncio.Task[Sent], bool] = field(default_factory=dict)


class Deliver:
    """Sends what waits. `tick` is one round over all notifiers; `run` keeps every queue busy until it is stopped."""

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
        self.queues: dict[str, NotifierQueue] = {}
        self._store = store
        self._notifiers = dict(notifiers)
        self._clock = clock
        self._fallbacks = dict(fallbacks)
        self._runner = runner or Runner(clock)
        self._jitter = jitter
        #: A dry run sends nothing, not even what was written before it.
        self.held = held
        #: What the commands in messages end with, so that they find the configuration.
        self.command_options = ""
        self._send = send
        self._lease = lease
        self._look = look
        self._orphans_said: set[str] = set()
        #: All sends under way, also those of notifiers that a reload took away.
        self._sending: set[asyncio.Task[Sent]] = set()

    async def tick(self) -> Sent:
        """One round: try every due message once; the results."""
        rounds = [self._begin(name) for name in self._notifiers]
        depth = await self._store.outbox_depth()
        begun, total = await asyncio.gather(asyncio.gather(*rounds), self._orphans(depth))
        for sent in await asyncio.gather(*(task for tasks in begun for task in tasks)):
            total += sent
        return total

    async def run(self, stop: asyncio.Event) -> None:
        """Run every notifier's queue until `stop`, also those that a reload adds.

        What is being sent at the stop is finished and recorded. To cancel this cuts it; what is cut may have arrived.
        """
        queues: dict[str, asyncio.Task[None]] = {}
        try:
            while not stop.is_set():
                for name in self._notifiers.keys() - {name for name, task in queues.items() if not task.done()}:
                    queues[name] = asyncio.create_task(self._keep_going(name, stop), name=f"deliver {name}")
                await self._runner.run("deliver orphans", self._look_around)
                await _either(stop, self._look)
            self.wake()
            if queues:
                await asyncio.wait(queues.values())  # a cancellation reaches them once, by what follows
        finally:
            for task in queues.values():
                task.cancel()
            await asyncio.gather(*queues.values(), return_exceptions=True)

    async def outlast(self) -> None:
        """Wait for the sends that are in progress now, not for those that begin meanwhile."""
        if self._sending:
            await asyncio.wait(set(self._sending))

    def wake(self) -> None:
        """Wake up: something was written to the outbox."""
        for queue in self.queues.values():
            queue.woken.set()

    def heard(self) -> bool:
        """Whether any notifier works: False if the last try of every one failed."""
        queues = [self.queues[name] for name in self._notifiers if name in self.queues]
        return not queues or any(not queue.last_error for queue in queues)

    def replace(self, notifiers: Mapping[str, Notifier], fallbacks: Mapping[str, str]) -> None:
        """Use another configuration. Messages for a removed notifier go to its fallback."""
        self._fallbacks = {**{n: f for n, f in self._fallbacks.items() if n not in notifiers}, **fallbacks}
        self._notifiers = dict(notifiers)
        self._orphans_said.clear()
        self.wake()
        self.queues = {name: queue for name, queue in self.queues.items() if name in notifiers}

    async def _keep_going(self, name: str, stop: asyncio.Event) -> None:
        """Begin what may be sent, whenever something was written, ended or fell due; end with what is under way."""
        queue = self._queue(name)
        try:
            while name in self._notifiers and not stop.is_set():
                queue.woken.clear()
                await self._runner.run(f"deliver {name}", partial(self._begin, name))
                free = (queue.free_at or self._clock.now()) - self._clock.now()
                await _either(queue.woken, free if free > timedelta() else None)
            if queue.under_way:
                await asyncio.wait(set(queue.under_way))
        finally:
            for task in queue.under_way:
                task.cancel()
            if queue.under_way:
                await asyncio.wait(set(queue.under_way))

    async def _begin(self, name: str) -> list[asyncio.Task[Sent]]:
        """Claim what this notifier may send now and begin to send it. Raises what an earlier send could not record."""
        queue, notifier, now = self._queue(name), self._notifiers[name], self._clock.now()
        for task in [task for task in queue.under_way if task.done()]:
            del queue.under_way[task]
            if not task.cancelled():
                task.result()
        if self.held or (queue.free_at is not None and now < queue.free_at):
            return []
        rows = await self._claim(queue, notifier, now)
        if rows and notifier.people:
            queue.free_at = now + PEOPLE_INTERVAL
        begun = {asyncio.create_task(self._one(queue, notifier, row)): row.is_critical for row in rows}
        for task in begun:
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
            task.add_done_callback(lambda _: queue.woken.set())
        queue.under_way |= begun
        return list(begun)

    async def _claim(self, queue: NotifierQueue, notifier: Notifier, now: datetime) -> list[OutboxRow]:
        """The messages to claim for the free slots; without one, critical messages in the reserved slots."""
        busy = len(queue.under_way)
        if limit := max(0, free_slots(queue.circuit, now, people=notifier.people) - busy):
            return await self._store.claim(now, self._lease, [notifier.name], limit)
        limit = slots_for_critical(queue.circuit, now) - sum(queue.under_way.values())
        if notifier.people:
            limit = min(limit, 1)
        if limit <= 0:
            return []
        return await self._store.claim(now, self._lease, [notifier.name], limit, critical_only=True)

    async def _one(self, queue: NotifierQueue, notifier: Notifier, row: OutboxRow) -> Sent:
        """One message of a claim: sent, and recorded under its fence."""
        events = tuple(with_command_options(event, self.command_options) for event in row.delivery.events)
        row = replace(row, delivery=replace(row.delivery, events=events))
        sending = Sending(self._store, self._clock, notifier, row, self._lease)
        # A process that was paused sends nothing: the row may be another's by now.
        sent = await self._recorded(queue, notifier, row, sending) if sending.is_leased() else Sent(overtaken=1)
        queue.totals += sent
        return sent

    async def _recorded(self, queue: NotifierQueue, notifier: Notifier, row: OutboxRow, sending: Sending) -> Sent:
        begin = self._clock.now()
        try:
            outcome = await sending.run(self._send)
        except asyncio.CancelledError:  # the daemon ends: another replica need not wait for the lease to run out
            await self._store.retry_later(row, self._clock.now(), "stopped while it was sent", uncertain=True)
            raise
        now = self._clock.now()
        queue.durations.add((now - begin).total_seconds())
        if isinstance(outcome, Receipt):
            queue.circuit, queue.last_error = after_try(queue.circuit, None, now, self._jitter()), ""
            recorded = await self._store.delivered(row, now, outcome)
            return Sent(delivered=1) if recorded else self._overtaken(notifier.name, row)
        queue.circuit, queue.last_error = after_try(queue.circuit, outcome, now, self._jitter()), outcome.reason
        queue.failures[outcome.word] += 1
        attempt, critical = row.delivery.attempt, row.is_critical
        again = retry_at(outcome, attempt, row.first_tried, now, self._jitter(), critical=critical)
        if again is None:
            return await self._give_up(notifier.name, row, outcome.reason)
        log.info("%s: again at %s: %s", notifier.name, again.isoformat(timespec="seconds"), outcome.reason)
        recorded = await self._store.retry_later(row, again, outcome.reason, uncertain=outcome.uncertain)
        if again - now < self._look:
            asyncio.get_running_loop().call_later((again - now).total_seconds(), queue.woken.set)
        return Sent(retried=1) if recorded else self._overtaken(notifier.name, row)

    async def _give_up(self, name: str, row: OutboxRow, reason: str) -> Sent:
        """Hand a message to the fallback in the transaction that gives it up; without a fallback, log an error."""
        elsewhere = self._elsewhere(name)
        sent = row.delivery
        message = elsewhere and NewMessage(sent.key, elsewhere, sent.conversation, sent.events)
        if not await self._store.give_up(row, self._clock.now(), reason, message or None):
            return self._overtaken(name, row)
        instead = f"; {elsewhere} says it instead" if elsewhere else "; it has no fallback: NOBODY WAS NOTIFIED"
        tries = "1 try" if sent.attempt == 1 else f"{sent.attempt} tries"
        log.error("%s: gave up after %s%s: %s", name, tries, instead, reason, extra={"message_key": sent.key})
        if elsewhere:
            self.wake()
        return Sent(given_up=1)

    def _elsewhere(self, name: str) -> str | None:
        """The fallback; for a removed notifier without one, the first notifier that people read."""
        named = self._fallbacks.get(name)
        if named in self._notifiers:
            return named
        if name in self._notifiers:
            return None
        return next((n for n, one in self._notifiers.items() if one.people), next(iter(self._notifiers), None))

    def _overtaken(self, name: str, row: OutboxRow) -> Sent:
        log.warning("%s: recorded too late, another replica took over: %s", name, row.delivery.key)
        return Sent(overtaken=1)

    async def _look_around(self) -> None:
        """One look for all queues: wake those for which something waits. An idle queue asks the database nothing."""
        depth = await self._store.outbox_depth()
        for name in depth:
            if name in self.queues:
                self.queues[name].woken.set()
        await self._orphans(depth)

    async def _orphans(self, depth: Mapping[str, tuple[int, datetime | None]]) -> Sent:
        """Messages to notifiers that the configuration does not have: they wait for a while, then go elsewhere."""
        now, total = self._clock.now(), Sent()
        if self.held:
            return total
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

    def _queue(self, name: str) -> NotifierQueue:
        return self.queues.setdefault(name, NotifierQueue(name))


async def _either(event: asyncio.Event, longest: timedelta | None) -> None:
    """Wait for the event, but no longer than `longest` where that is given."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None if longest is None else longest.total_seconds()):
            await event.wait()
