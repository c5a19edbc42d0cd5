"""Killed at every step and at any moment: nothing is lost, nothing is told under two keys, repeats are owned up to.

A child collects, judges and delivers to a receiver that refuses a third of what comes; it is killed with SIGKILL, over
and over, on one database; a last child ends the story. Then the ledger's total, the alerts, and what the receiver took
are held against the truth.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import multiprocessing
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import product

import pytest

from tests.databases import Place
from tests.servers.recording import Received, RecordingServer, Reply
from tests.system.crash_child import BEGAN, FALLBACK, GAINS, LEVEL, MOMENTS, NOTIFIERS, WORK, Death, run

#: How far the source goes beyond where the last killed child left it.
LAST_STEPS = 5
#: Every fault point: each transaction before it, inside it and after it, and a send before and after.
POINTS = [*product(WORK, MOMENTS), ("send", "before"), ("send", "after")]


@dataclass
class Receiver(RecordingServer):
    """Refuses every third post for now, and `refuses` for good; remembers what it took, in order."""

    taken: list[dict[str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def answer(self, received: Received) -> Reply:
        if received.path == "/refuses":
            return Reply(410)
        if len(self.requests) % 3 == 2:
            return Reply(503)
        self.taken.append(json.loads(received.body))
        return Reply(204)


@dataclass
class Story:
    """One database, one receiver, and how often a child was killed."""

    place: Place
    receiver: Receiver
    kills: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(
            ["tests.system.crash_child", "alertd.stores.sqlite", "alertd.stores.postgres"]
        )

    def kill_at(self, death: Death) -> None:
        """A child that dies at a point; where it does not come by in time, it is killed all the same."""
        child = self._start(10**6, death)
        child.join(10)
        self.kills["at a point" if child.exitcode == -9 else "elsewhere"] += 1
        self._end(child)

    def kill_after(self, seconds: float) -> None:
        """A child that is killed whatever it does."""
        child = self._start(10**6, None)
        child.join(seconds)
        self.kills["at random"] += 1
        self._end(child)

    def start(self) -> multiprocessing.process.BaseProcess:
        """A replica that goes on until it is killed."""
        return self._start(10**6, None)

    def kill(self, child: multiprocessing.process.BaseProcess) -> None:
        """Kill a replica that was started."""
        self.kills["at random"] += 1
        self._end(child)

    async def finish(self) -> int:
        """Let a child go on in peace for some steps, until nothing waits; the last step."""
        async with self.place.open() as store:
            end = int((await store.source("gateway")).cursor or 0) + LAST_STEPS
        child = self._start(end, None)
        child.join(60)
        ended = child.exitcode
        self._end(child)
        assert ended == 0
        return end

    async def check(self, end: int) -> str:
        """Hold everything against the truth; what is to be told of it, in a line."""
        truth = sum(GAINS.values()) * end
        levels = list(range(1, truth // LEVEL + 1))
        async with self.place.open() as store:
            rows, _ = await store.usage(BEGAN - timedelta(days=1))
            assert sum(row.quantity for row in rows) == truth
            assert sorted(int(row.key.split("/")[1]) for row in await store.alerts(BEGAN)) == levels
            assert await store.outbox_depth() == {}
        arrived: defaultdict[tuple[object, object], list[dict[str, object]]] = defaultdict(list)
        keys: defaultdict[object, set[object]] = defaultdict(set)
        for post in self.receiver.taken:
            arrived[post["notifier"], post["level"]].append(post)
            keys[post["level"]].add(post["key"])
        heard = [name for name in (*NOTIFIERS, FALLBACK) if name != "refuses"]
        lost = [(name, level) for name, level in product(heard, levels) if not arrived[name, level]]
        assert lost == []
        assert [level for level, found in keys.items() if len(found) != 1] == []
        repeats = [post for posts in arrived.values() for post in posts[1:]]
        # A replica frozen between its claim and its post sends the first copy last: of several, one does not say so.
        unsaid = [posts for posts in arrived.values() if sum(not post["uncertain"] for post in posts) > 1]
        assert unsaid == []
        for name in heard:
            firsts = [level for (notifier, level), posts in arrived.items() if notifier == name and posts]
            assert firsts == sorted(firsts)  # a conversation is told in order
        told = ", ".join(f"{count} {how}" for how, count in sorted(self.kills.items()))
        return (
            f"{self.place.kind}: killed {sum(self.kills.values())} times ({told}); {len(levels)} alerts to {len(heard)}"
            f" receivers: 0 lost, 0 under two keys, {len(repeats)} repeats, all owned up to as uncertain"
        )

    def _start(self, end: int, death: Death | None) -> multiprocessing.process.BaseProcess:
        arguments = (self.place.kind, self.place.url, self.receiver.port, end, death)
        child = self._processes.Process(target=run, args=arguments, daemon=True)
        child.start()
        return child

    def _end(self, child: multiprocessing.process.BaseProcess) -> None:
        child.kill()
        child.join()
        child.close()


@contextmanager
def story(place: Place) -> Iterator[Story]:
    with Receiver() as receiver:
        yield Story(place, receiver)


async def test_killed_at_every_point_once_and_a_few_times_at_random(durable: Place) -> None:
    dice = random.Random(20261121)
    with story(durable) as told:
        for at, moment in POINTS:
            told.kill_at(Death(at, moment, dice.randint(1, 3)))
        for _ in range(4):
            told.kill_after(dice.uniform(0.05, 0.5))
        assert told.kills["at a point"] == len(POINTS)
        print(await told.check(await told.finish()))


async def test_two_replicas_one_killed_one_stopped_beyond_its_lease_and_every_connection_cut(durable: Place) -> None:
    if durable.kind == "sqlite":
        pytest.skip("a SQLite file serves one daemon")
    # The server ends a stopped replica's transaction after 15 s; here after 1.5 s, for a quick test.
    hasty = replace(durable, url=f"{durable.url}%20-c%20idle_in_transaction_session_timeout%3D1500")
    with story(hasty) as told:
        first, second = told.start(), told.start()
        _wait_for(told, 10)
        os.kill(first.pid or 0, signal.SIGSTOP)
        _wait_for(told, 40)  # the second goes on alone
        await asyncio.sleep(2.5)  # and the lease of what the first was sending, two seconds, runs out
        os.kill(first.pid or 0, signal.SIGCONT)
        _wait_for(told, 20)
        psycopg = importlib.import_module("psycopg")
        with psycopg.connect(durable.url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'alertd'")
        _wait_for(told, 20)
        told.kill(second)
        _wait_for(told, 20)
        told.kill(first)
        print(await told.check(await told.finish()))


def _wait_for(told: Story, more: int) -> None:
    """Until the receiver took so many posts more."""
    wanted = len(told.receiver.taken) + more
    deadline = time.monotonic() + 180
    while len(told.receiver.taken) < wanted:
        assert time.monotonic() < deadline, f"{len(told.receiver.taken)} posts, {wanted} awaited"
        time.sleep(0.01)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
async def test_killed_two_hundred_and_fifty_times(durable: Place) -> None:
    """Half at points, half at random, on each database: five hundred in all."""
    dice = random.Random(time.time_ns())
    with story(durable) as told:
        for number in range(125):
            at, moment = POINTS[number % len(POINTS)]
            told.kill_at(Death(at, moment, dice.randint(1, 12)))
            told.kill_after(dice.uniform(0.03, 0.6))
        print(await told.check(await told.finish()))
