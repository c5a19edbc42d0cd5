"""One seed, one story: which faults there are, what happens when, and what must be true all the while.

settings, faults (a swarm: each seed has some of them) -> daemons on one database -> events -> peace -> the oracle
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from alertd.app import App
from alertd.settings import Settings, load_settings
from alertd.stores.sql import SqlStore
from alertd.web.server import WebServer
from tests.simulation.machines import PROCESS, Clock, Database, Disk, Network, Process, network_of
from tests.simulation.oracle import Oracle
from tests.simulation.virtual_time import VirtualLoop, run
from tests.simulation.world import TOKEN, Gateway, Key, Provider, Receivers

START: Final = datetime(2026, 11, 3, 7, 0, tzinfo=UTC)
#: A dollar for a million tokens: tokens read as micro-dollars.
PRICES: Final = """
[[price]]
provider = "litellm"
model = "plain"
input = "1"
per = 1_000_000
currency = "USD"
"""
#: How long everything is well at the end, before the last look.
PEACE: Final = timedelta(minutes=90)
#: Every kind of fault, and what it needs: "" for nothing.
FAULTS: Final = (
    "gateway restarts", "gateway refuses", "gateway is slow", "gateway answers errors", "gateway is silent",
    "receiver refuses", "receiver is slow", "receiver answers errors", "receiver takes and is cut off",
    "provider refuses", "provider is slow", "provider takes and is cut off",
    "daemon is killed", "daemon is stopped", "daemon is frozen", "clock is ahead", "clock is behind",
    "disk is full", "configuration is read anew", "key runs away", "key falls silent", "key is new",
    "both restart at once", "a person turns a key off", "a person turns a key on",
)  # fmt: skip
_NETWORK: Final = {"refuses": "refused", "is slow": "slow", "answers errors": "error", "is silent": "silent",
                   "takes and is cut off": "cut after"}  # fmt: skip
_STATUS: Final = re.compile(r'"status":\s*"(\w+)"')
_HOSTS: Final = {"gateway": ("gateway",), "receiver": ("hook", "second"), "provider": ("provider",)}


class Daemon(App):
    """The daemon without a listening socket: its pages are asked in the process."""

    async def _serve(self) -> WebServer | None:
        return None

    async def ask(self, path: str) -> Any:
        """What the API answers."""
        transport = httpx.ASGITransport(app=self._application("127.0.0.1"))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9480") as client:
            answer = await client.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:300])
        return answer.json()


@dataclass
class Replica:
    """A place where a daemon runs, one process after the other."""

    name: str
    process: Process | None = None
    app: Daemon | None = None
    task: asyncio.Task[None] | None = None
    started: int = 0


@dataclass
class Plan:
    """What a seed draws before anything happens."""

    seed: int
    hours: float
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        share = self.chance.choice((0.2, 0.5, 0.9))
        self.faults = tuple(kind for kind in FAULTS if self.chance.random() < share)
        self.replicas = self.chance.choice((1, 1, 2, 3))
        self.poll = self.chance.choice(("1m", "2m", "5m"))
        self.mode = self.chance.choice(("auto", "auto", "approve", "dry_run"))
        self.amount = self.chance.choice((3, 10, 40))
        self.of_a_key = self.chance.choice((2_000_000, 8_000_000))
        self.pace = self.chance.choice((3, 15))

    def environment(self, prices: Path) -> dict[str, str]:
        """The daemons' configuration."""
        return {
            "ALERTD_DATABASE": "sqlite:////nowhere/alertd.db",
            "ALERTD_POLL_INTERVAL": self.poll,
            "ALERTD_DIGEST": "off",
            "ALERTD_PRICES__FILES": str(prices),
            "ALERTD_SOURCES__GATEWAY__KIND": "scrape",
            "ALERTD_SOURCES__GATEWAY__URL": "http://gateway/metrics",
            "ALERTD_SOURCES__GATEWAY__PRESET": "litellm",
            "ALERTD_SOURCES__GATEWAY__PROVIDER": "litellm",
            "ALERTD_BUDGETS__ALL__AMOUNT": f"{self.amount} USD",
            "ALERTD_BUDGETS__ALL__THRESHOLDS": json.dumps(
                [*(f"actual {level}%" for level in (10, 25, 50, 80, 100, 150, 200)), "forecast 100%"]
            ),
            "ALERTD_BUDGETS__KEYS__AMOUNT": f"{self.of_a_key} tokens",
            "ALERTD_BUDGETS__KEYS__PER": "key",
            "ALERTD_BUDGETS__KEYS__THRESHOLDS": '["actual 50%", "actual 100%", "burn_rate 10x over 1h and 5m"]',
            "ALERTD_BUDGETS__KEYS__ACTIONS": "stop",
            "ALERTD_ACTIONS__STOP__KIND": "litellm",
            "ALERTD_ACTIONS__STOP__URL": "http://provider",
            "ALERTD_ACTIONS__STOP__TOKEN": TOKEN,
            "ALERTD_ACTIONS__STOP__MODE": self.mode,
            "ALERTD_ACTIONS__STOP__MAX_PER_HOUR": "100",
            "ALERTD_NOTIFIERS__HOOK__KIND": "webhook",
            "ALERTD_NOTIFIERS__HOOK__URL": "http://hook/a-secret-path",
            "ALERTD_NOTIFIERS__SECOND__KIND": "webhook",
            "ALERTD_NOTIFIERS__SECOND__URL": "http://second/a-secret-path",
        }


class Story:
    """What happens in the world of one seed."""

    def __init__(self, plan: Plan, loop: VirtualLoop, load: Callable[[], Settings], network: Network) -> None:
        self.plan, self.loop, self.load, self.network, self.chance = plan, loop, load, network, plan.chance
        self.disk = Disk(self.chance)
        teams = ("search", "support")
        keys = [Key(f"k{number}", teams[number % 2], rate, rate)
                for number, rate in enumerate(self.chance.uniform(0.5, 3) for _ in range(4))]  # fmt: skip
        self.gateway = Gateway(lambda: loop.now, {key.alias: key for key in keys})
        self.provider = Provider(lambda: loop.now, self.gateway.keys, self.gateway)
        self.receivers = Receivers(lambda: loop.now)
        self.oracle = Oracle(self)
        self.receivers.heard, self.provider.acted = self.oracle.hear, self.oracle.see_act
        network.hosts |= {"gateway": self.gateway.answer, "provider": self.provider.answer,
                          "hook": self.receivers.answer, "second": self.receivers.answer}  # fmt: skip
        self.replicas = [Replica(f"r{number}") for number in range(plan.replicas)]
        self.log: list[str] = []
        self.happened: Counter[str] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.ticks = 0
        self._reloads: list[asyncio.Future[None]] = []
        self._timers: list[asyncio.TimerHandle] = []

    async def tell(self) -> None:
        """The whole story, and the oracle's last look."""
        for replica in self.replicas:
            self.start(replica)
        end = self.loop.now + timedelta(hours=self.plan.hours)
        while self.loop.now < end:
            await asyncio.sleep(self.chance.expovariate(1 / (self.plan.pace * 60)))
            if self.plan.faults:
                self.happen(self.chance.choice(self.plan.faults))
            self.oracle.raise_failures()
        self.make_peace()
        await asyncio.sleep(PEACE.total_seconds())
        await self.oracle.look_at_the_end()
        for replica in self.replicas:
            if replica.app is not None:
                self._count(replica.app)
                replica.app.stop()
        await asyncio.sleep(20)

    def statuses(self) -> set[str]:
        """The statuses of all budgets as the last evaluation recorded them."""
        records = self.disk.connection.rows("SELECT record FROM evaluation")
        return set(_STATUS.findall(" ".join(record for (record,) in records))) or {"nothing yet"}

    def note(self, what: str) -> None:
        """A line of the story."""
        self.log.append(f"{self.loop.now:%d %H:%M:%S} {what}")

    def start(self, replica: Replica) -> None:
        """Begin a process, with the clock that its machine has."""
        skew = replica.process.skew if replica.process else timedelta()
        replica.started += 1
        process = replica.process = Process(f"{replica.name}.{replica.started}", skew)
        token = PROCESS.set(process)
        clock = Clock(lambda: self.loop.now, process)
        store = SqlStore(Database(self.disk, process))
        replica.app = Daemon(self.load(), self.load, clock, store=store)
        replica.task = asyncio.create_task(replica.app.run(), name=process.name)
        PROCESS.reset(token)

    def kill(self, replica: Replica) -> None:
        """SIGKILL: nothing more is done, nothing that is awaited comes."""
        if replica.app is None or replica.process is None or replica.task is None:
            return
        replica.process.alive = False
        self._count(replica.app)
        replica.task.cancel()  # what it would still do comes to nothing: its process is not alive
        replica.app = replica.task = None

    def later(self, minutes: float, what: Callable[[], None]) -> None:
        """Do something after a while."""
        self._timers.append(self.loop.call_later(minutes * 60, what))

    def start_again(self, replica: Replica) -> None:
        if replica.app is None:
            self.note(f"{replica.name} starts again")
            self.start(replica)

    def happen(self, kind: str) -> None:
        """Let one thing happen; what cannot happen now does not."""
        self.happened[kind] += 1
        self.note(kind)
        self.pairs.update((status, kind) for status in self.statuses())
        who, _, how = kind.partition(" ")
        minutes = self.chance.choice((0.2, 3, 20, 90))
        if who in _HOSTS and how in _NETWORK:
            self._trouble(self.chance.choice(_HOSTS[who]), _NETWORK[how], minutes)
        elif who in {"daemon", "clock", "configuration"}:
            self._happen_to_daemon(kind, self.chance.choice(self.replicas), minutes)
        elif who in {"key", "a"}:
            self._happen_to_key(kind, self.chance.choice(list(self.gateway.keys.values())), minutes)
        elif kind == "disk is full":
            self.disk.fault = "the disk is full"
            self.later(self.chance.choice((0.5, 10)), lambda: setattr(self.disk, "fault", ""))
        else:
            self.gateway.restart()
            for each in self.replicas if kind == "both restart at once" else ():
                self.kill(each)
                self.later(self.chance.choice((0.05, 1, 6)), partial(self.start_again, each))

    def _happen_to_daemon(self, kind: str, replica: Replica, minutes: float) -> None:
        app, process = replica.app, replica.process
        if app is None or process is None:
            return
        match kind:
            case "daemon is killed":
                self.kill(replica)
                self.later(self.chance.choice((0.1, 2, 30)), lambda: self.start_again(replica))
            case "daemon is stopped":
                app.stop()
                self._count(app)
                replica.app = None
                self.later(self.chance.choice((0.5, 10)), lambda: self.start_again(replica))
            case "daemon is frozen":
                process.running.clear()
                self.later(self.chance.choice((0.5, 3, 15)), process.running.set)
            case "configuration is read anew":
                token = PROCESS.set(process)
                self._reloads.append(asyncio.ensure_future(app.reload()))
                PROCESS.reset(token)
            case _:
                sign = 1 if kind == "clock is ahead" else -1
                process.skew = sign * timedelta(seconds=self.chance.choice((1, 20, 400)))
                self.later(minutes, lambda: setattr(process, "skew", timedelta()))

    def _happen_to_key(self, kind: str, key: Key, minutes: float) -> None:
        self.gateway.pass_time()
        match kind:
            case "key runs away":
                key.rate = key.usual * self.chance.choice((20, 200))
                key.ran_away_until = self.loop.now + timedelta(minutes=minutes)
                self.later(minutes, lambda: self._calm(key))
            case "key falls silent":
                key.rate = 0
                self.later(minutes, lambda: self._calm(key))
            case "key is new":
                rate, name = self.chance.uniform(0.5, 3), f"k{len(self.gateway.keys)}"
                self.gateway.keys[name] = Key(name, "search", rate, rate)
            case "a person turns a key off" if not key.blocked:
                self.provider.change(key.alias, "block", "a person")
            case "a person turns a key on" if key.blocked:
                self.provider.change(key.alias, "unblock", "a person")

    def make_peace(self) -> None:
        """Everything is well from now on, and whoever was away is back."""
        self.note("peace")
        for timer in self._timers:
            timer.cancel()
        self.network.faults.clear()
        self.disk.fault = ""
        for key in self.gateway.keys.values():
            self._calm(key)
        for replica in self.replicas:
            if replica.process is not None:
                replica.process.running.set()
                replica.process.skew = timedelta()
            self.start_again(replica)

    def _count(self, app: Daemon) -> None:
        rounds = app.runner.rounds
        self.ticks += rounds["evaluate"].runs if "evaluate" in rounds else 0

    def _trouble(self, host: str, fault: str, minutes: float) -> None:
        self.network.faults.setdefault(host, {})[fault] = self.chance.choice((0.3, 1.0))
        self.later(minutes, lambda: self.network.faults.get(host, {}).pop(fault, None))

    def _calm(self, key: Key) -> None:
        self.gateway.pass_time()
        key.rate = key.usual


@dataclass(frozen=True)
class Outcome:
    """What a story came to."""

    plan: Plan
    ticks: int
    told: int
    acts: int
    happened: Counter[str]
    injected: Counter[str]
    pairs: Counter[tuple[str, str]]
    failures: list[str]
    log: list[str]
    trace: str


def play(seed: int, hours: float = 12.0) -> Outcome:
    """The story of a seed, from its beginning to the oracle's last look."""
    plan = Plan(seed, hours)
    random.seed(seed)
    network = Network(plan.chance)
    told: list[Story] = []

    async def story(loop: VirtualLoop) -> None:
        with tempfile.TemporaryDirectory() as folder:
            prices = Path(folder) / "prices.toml"
            prices.write_text(PRICES)
            env = plan.environment(prices)
            told.append(Story(plan, loop, lambda: load_settings(env), network))
            await told[0].tell()

    with network_of(network), _quiet() as lines:
        run(START, story)
    one = told[0]
    one.oracle.look_at_log(lines)
    trace = json.dumps([(str(each.at), each.receiver, each.event.get("id")) for each in one.receivers.told])
    return Outcome(plan, one.ticks, len(one.receivers.told), len(one.provider.acts), one.happened, network.injected,
                   one.pairs, one.oracle.failures, one.log, trace)  # fmt: skip


@contextmanager
def _quiet() -> Iterator[list[str]]:
    """What the daemons log, kept instead of printed."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if (process := PROCESS.get(None)) is None or process.alive:  # a killed process says nothing
                lines.append(f"{record.levelname} {self.format(record)}")

    root = logging.getLogger()
    before, level, handler = list(root.handlers), root.level, Keep()
    root.handlers, root.level = [handler], logging.INFO
    try:
        yield lines
    finally:
        root.handlers, root.level = before, level


__all__ = ["FAULTS", "Outcome", "Plan", "play"]
