"""The process that is killed: the real collect and deliver loops, a real store, an evaluation of a dozen lines.

It kills itself where `Death` says: before, inside (written, not committed) or after a transaction of a named kind,
before or after a send. Without one it goes on until it is killed from outside, or until its source is read to `end` and
nothing waits. Time runs twenty times as fast, so that leases and waits end within a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

from alertd.core.counting.samples import CounterSamples
from alertd.core.events import Event
from alertd.core.usage import Line
from alertd.loops.collect import Collect
from alertd.loops.deliver import Deliver
from alertd.ports import (
    AlertRow,
    Delivery,
    DeliveryError,
    Look,
    NewMessage,
    Reading,
    Receipt,
    Store,
    StoreError,
)
from alertd.stores import decisions, ledger, outbox
from alertd.stores.sql import SqlStore

BEGAN: Final = datetime(2026, 11, 21, 12, tzinfo=UTC)
SPEED: Final = 20
#: Tokens between two levels, and what each of three keys gains a step: a level every step or two.
LEVEL: Final = 100
GAINS: Final = {"a": 7, "b": 40, "c": 23}
NOTIFIERS: Final = ("ops", "mail", "refuses")
#: What `refuses` cannot deliver is said here.
FALLBACK: Final = "spare"
#: The transactions that a death can be at: what each loop does to the store.
WORK: Final[Mapping[str, tuple[Any, str]]] = {
    "collect": (ledger, "commit_counters"),
    "evaluate": (decisions, "commit_decisions"),
    "claim": (outbox, "claim"),
    "delivered": (outbox, "delivered"),
    "retry": (outbox, "retry_later"),
    "give up": (outbox, "give_up"),
}
MOMENTS: Final = ("before", "inside", "after")


@dataclass(frozen=True, slots=True)
class Death:
    """Die at the `nth` time that this happens: (`send`, before or after) or a transaction of WORK."""

    at: str
    moment: str
    nth: int


class FastClock:
    """The machine's time, twenty times as fast, the same in every child."""

    def now(self) -> datetime:
        return BEGAN + timedelta(seconds=(time.time() - BEGAN.timestamp()) * SPEED)


class Meter:
    """Three counters that gain the same each step; the cursor is the step."""

    name = "gateway"
    interval = timedelta(seconds=1)
    delay = timedelta(0)
    stale_after = timedelta(days=999)

    def __init__(self, end: int) -> None:
        self._end = end

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        step = int(cursor or 0) + 1
        if step > self._end:
            return
        at = BEGAN + timedelta(minutes=step)
        samples = [
            CounterSamples(
                key,
                Line("openai", "gpt-5", "input"),
                {"key": key},
                [(at.timestamp(), str(gain * step))],
                "t",
                BEGAN.timestamp(),
            )
            for key, gain in GAINS.items()
        ]
        yield Reading(str(step), at, samples, {"t": [at.timestamp()]})

    async def look(self, now: datetime) -> Look:
        return Look("a fake")

    async def close(self) -> None: ...


class Post:
    """Posts a delivery to the receiver; 204 is taken, 503 to be tried again, 410 refused for good."""

    people = False

    def __init__(self, name: str, port: int, die: Callable[[str, str], None]) -> None:
        self.name = name
        self._port = port
        self._die = die

    def address(self, event: Event) -> str:
        return ""

    async def send(self, delivery: Delivery) -> Receipt:
        self._die("send", "before")
        event = delivery.events[0]
        told = {
            "notifier": self.name,
            "key": delivery.key,
            "level": int(event.level),
            "uncertain": delivery.uncertain,
        }
        body = json.dumps(told).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            head = f"POST /{self.name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            status = int((await reader.readuntil(b"\r\n"))[9:12])
        finally:
            writer.close()
        self._die("send", "after")
        if status == 204:
            return Receipt("204", {"last": delivery.key})
        raise DeliveryError(f"{self.name}: {status}", permanent=status == 410, retry_after=timedelta(seconds=1))

    async def look(self) -> str:
        return "a fake"

    async def close(self) -> None: ...


async def evaluate(store: Store, clock: FastClock) -> None:
    """Announce every level that the ledger's total has passed: a fresh id each time, the level as the alert's key."""
    rows, _ = await store.usage(BEGAN - timedelta(days=1))
    told = {row.key for row in await store.alerts(BEGAN)}
    for level in range(1, sum(row.quantity for row in rows) // LEVEL + 1):
        if f"level/{level}" in told:
            continue
        event = Event(uuid4().hex, "threshold", "warning", clock.now(), level=Decimal(level))
        messages = [NewMessage(event.id, name, "research", (event,)) for name in NOTIFIERS]
        await store.commit_decisions([AlertRow(f"level/{level}", clock.now(), event)], messages, {})


def run(kind: str, url: str, port: int, end: int, death: Death | None) -> None:
    """The life of the child."""
    logging.disable(logging.CRITICAL)
    die = executioner(death)
    if death is not None and death.at in WORK:
        _wire(death, die)
    asyncio.run(_live(build(kind, url), port, end, die))


def build(kind: str, url: str) -> SqlStore:
    """The store under test."""
    store: SqlStore = importlib.import_module(f"alertd.stores.{kind}").build(url)
    return store


async def _live(store: Store, port: int, end: int, die: Callable[[str, str], None]) -> None:
    clock = FastClock()
    await store.open()
    collect = Collect(Meter(end), store, clock, lambda _: BEGAN)
    posts = {name: Post(name, port, die) for name in (*NOTIFIERS, FALLBACK)}
    deliver = Deliver(
        store, posts, clock, {"refuses": FALLBACK}, send=timedelta(seconds=1), lease=timedelta(seconds=2 * SPEED)
    )

    async def observe() -> bool:
        """One step of collect and evaluate; False when there is no more and nothing waits."""
        waiting = sum(count for count, _ in (await store.outbox_depth()).values())
        if waiting < 60:  # deliver is to keep up
            await collect.tick()
        await evaluate(store, clock)
        return bool(waiting) or int((await store.source("gateway")).cursor or 0) < end

    async def send() -> None:
        while True:
            with contextlib.suppress(StoreError):  # the database is away for a while: as the runner has it
                await deliver.tick()
            await asyncio.sleep(0.005)

    sending = asyncio.create_task(send())
    more = True
    while more:
        with contextlib.suppress(StoreError):
            more = await observe()
        await asyncio.sleep(0.005)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await store.close()


def executioner(death: Death | None) -> Callable[[str, str], None]:
    """A function to call at every (point, moment); it kills this process at the nth call with those of the death."""
    seen = 0

    def die(at: str, moment: str) -> None:
        nonlocal seen
        if death is not None and (at, moment) == (death.at, death.moment):
            seen += 1
            if seen == death.nth:
                os.kill(os.getpid(), signal.SIGKILL)

    return die


def _wire(death: Death, die: Callable[[str, str], None]) -> None:
    """Put the executioner around one kind of transaction, where the shared SQL begins and ends."""
    module, name = WORK[death.at]
    work = getattr(module, name)

    def watched(*args: Any, **named: Any) -> Any:
        die(death.at, "before")
        answer = work(*args, **named)
        die(death.at, "inside")
        return answer

    setattr(module, name, watched)
    if death.moment == "after":
        port = {
            "collect": "commit_counters",
            "evaluate": "commit_decisions",
            "retry": "retry_later",
            "give up": "give_up",
        }
        method = port.get(death.at, death.at)
        told = getattr(SqlStore, method)

        async def after(*args: Any, **named: Any) -> Any:
            answer = await told(*args, **named)
            die(death.at, "after")
            return answer

        setattr(SqlStore, method, after)
