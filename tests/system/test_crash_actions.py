"""Killed at every step of an act: every key is stopped once and started once, the audit is whole, nothing is forgotten.

A child stops a dozen keys that ran away, and in the next period starts them again; it is killed with SIGKILL over and
over, on one database; a last child ends each part. Then the provider's own record is held against the audit.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from alertd.core.actions.state_machine import Step, acts, replayed
from tests.databases import Place
from tests.servers.billing import Asked, Reply, serving
from tests.system.act_child import POINTS, Task, names, names_without_reason, run
from tests.system.crash_child import Death


@dataclass
class Keys:
    """Anthropic's keys, many of them, and every status that was written, in order."""

    count: int
    status: dict[str, str] = field(default_factory=dict)
    written: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, asked: Asked) -> Reply:
        one = asked.path.removeprefix("/v1/organizations/api_keys").strip("/")
        with self.lock:
            if not one:
                known = (*names(self.count), *names_without_reason(self.count))
                rows = [{"id": f"id-{name}", "name": name, "status": "active"} for name in known]
                return Reply({"data": rows, "has_more": False, "last_id": rows[-1]["id"]})
            if asked.method == "POST" and not asked.body:
                return Reply({"type": "error"}, 400)  # the client was killed between the head and the body
            if asked.method == "POST":
                self.status[one] = json.loads(asked.body)["status"]
                self.written[one].append(self.status[one])
            return Reply({"id": one, "status": self.status.get(one, "active")}, headers={"request-id": f"req-{one}"})


@dataclass
class Story:
    """One database, one provider, and how often a child was killed."""

    place: Place
    url: str
    keys: Keys
    kills: Counter[str] = field(default_factory=Counter)
    december: bool = False
    epoch: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(
            ["tests.system.act_child", "alertd.stores.sqlite", "alertd.stores.postgres"]
        )

    def kill_at(self, death: Death) -> None:
        """A child that dies at a point; where it has nothing left to do there, it ends by itself."""
        child = self._start(death)
        child.join(20)
        self.kills[f"{death.at} {death.moment}" if child.exitcode == -9 else "not killed"] += 1
        self._end(child)

    def kill_after(self, seconds: float) -> None:
        """A child that is killed whatever it does."""
        child = self._start(None)
        child.join(seconds)
        self.kills["at random" if child.exitcode is None else "not killed"] += 1
        self._end(child)

    def finish(self) -> None:
        """A child that may end its work."""
        child = self._start(None)
        child.join(300)
        ended = child.exitcode
        self._end(child)
        assert ended == 0

    async def check(self) -> str:
        """The provider's record and the audit tell the same, in a line."""
        wanted = ["inactive", "active"] if self.december else ["inactive"]
        assert dict(self.keys.written) == {f"id-{name}": wanted for name in names(self.keys.count)}
        async with self.place.open() as store:
            notes = {name: value for name, (value, _) in (await store.memory()).items()}
            steps = await store.audit()
            for act in acts(notes).values():
                own = [step for step in steps if step.act == act.id]
                assert replayed(own) == act.state
                whats = [step.what for step in own]
                if act.action == "ask":  # its budget was raised before anybody approved: nothing left for its key
                    assert (act.state, "send" in whats, own[-1].reason[:9]) == ("expired", False, "not done ")
                    continue
                assert whats.count("verify") == 1
                sent = [step.at for step in own if step.what == "send"]
                assert sent
                assert all(begun <= at for begun in _first(own, "begin") for at in sent)
        killed = {how: count for how, count in sorted(self.kills.items()) if how != "not killed"}
        how = ", ".join(f"{count} {name}" for name, count in killed.items())
        return (
            f"{self.place.kind}: killed {sum(killed.values())} times ({how}); {self.keys.count} keys, each written"
            f" {' then '.join(wanted)} once; {len(names_without_reason(self.keys.count))} whose reason was gone, none"
            f" written; {len(steps)} steps in the audit, all replayed"
        )

    def _start(self, death: Death | None) -> multiprocessing.process.BaseProcess:
        task = Task(self.place.kind, self.place.url, self.url, self.keys.count, self.december, self.epoch)
        child = self._processes.Process(target=run, args=(task, death), daemon=True)
        child.start()
        return child

    def _end(self, child: multiprocessing.process.BaseProcess) -> None:
        child.kill()
        child.join()
        child.close()


def _first(steps: list[Step], what: str) -> list[datetime]:
    return [step.at for step in steps if step.what == what][:1]


@contextmanager
def story(place: Place, count: int) -> Iterator[Story]:
    keys = Keys(count)
    with serving(keys) as server:
        yield Story(place, server.url, keys)


async def test_killed_at_every_step_of_stopping_and_of_starting_again(durable: Place) -> None:
    dice = random.Random(20261121)
    with story(durable, 6) as told:
        for december in (False, True):
            told.december = december
            for at, moment in POINTS:
                told.kill_at(Death(at, moment, dice.randint(1, 4)))
            told.kill_after(dice.uniform(0.1, 0.5))
            told.finish()
            said = await told.check()
        assert told.kills["not killed"] <= 2
        print(said)


async def test_two_replicas_at_the_same_keys_stop_each_once(durable: Place) -> None:
    if durable.kind == "sqlite":
        pytest.skip("a SQLite file serves one daemon")
    with story(durable, 6) as told:
        children = [told._start(None) for _ in range(3)]
        for child in children:
            child.join(60)
            assert child.exitcode == 0
            told._end(child)
        print(await told.check())


@pytest.mark.chaos
@pytest.mark.timeout(3600)
async def test_killed_more_than_two_hundred_times(durable: Place) -> None:
    """On each database: while keys are stopped and while they are started again, at points and at random."""
    dice = random.Random(time.time_ns())
    with story(durable, 90) as told:
        for december in (False, True):
            told.december = december
            for number in range(110):
                at, moment = POINTS[number % len(POINTS)]
                if number % 5 == 4:
                    told.kill_after(dice.uniform(0.05, 0.6))
                told.kill_at(Death(at, moment, dice.randint(1, 4)))
            told.finish()
            said = await told.check()
        assert sum(count for how, count in told.kills.items() if how != "not killed") >= 200
        print(said)
