"""One seed, one story: what its plan says happens to real daemons, and what must be true all the while.

plan -> daemons on one database -> happenings -> peace -> the oracle's last look
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from http import HTTPStatus
from pathlib import Path
from types import FrameType
from typing import Final

import httpx

from alertd.core.config_errors import SettingsError
from alertd.daemon import Daemon as Real
from alertd.ports import StoreError
from alertd.settings import Settings, load_settings
from alertd.stores.sql import SqlStore
from alertd.web.server import WebServer
from tests.simulation.coverage import Visits
from tests.simulation.machines import PROCESS, Clock, Database, Disk, Network, Process, network_of
from tests.simulation.oracle import CLOCKS_DIFFER, Oracle
from tests.simulation.people import People
from tests.simulation.plan import FAULTS, KINDS, PEOPLE, Happening, Plan
from tests.simulation.virtual_time import StandstillError, VirtualLoop, run
from tests.simulation.world import OWN, SECOND, TOKEN, Bill, Key, Prometheus, Provider, Receivers, Traffic

#: A dollar for a million tokens: tokens read as micro-dollars.
PRICES: Final = """
[[price]]
provider = "litellm"
model = "plain"
input = "1"
per = 1_000_000
currency = "USD"
"""
#: How long everything is well at the end, before the last look; half a minute at least after the last poll.
PEACE: Final = timedelta(minutes=22.5)
_SCRAPE: Final = 30.0
#: Seconds of processor time for a virtual hour of a story, before it is said to hang: ten times what one takes.
_SECONDS_PER_HOUR: Final = 120.0
#: What the log says of a step of an action.
_STEP: Final = re.compile(r"act \w+: ([a-z ]+) -> \w+ by ")
_NETWORK: Final = {"refuses": "refused", "is slow": "slow", "answers errors": "error", "is silent": "silent",
                   "takes and is cut off": "cut after"}  # fmt: skip
_HOSTS: Final = {"gateway": ("gateway",), "prometheus": ("prometheus",), "receiver": ("hook", "second"),
                 "provider": ("provider",)}  # fmt: skip


class Daemon(Real):
    """The daemon without a listening socket: its pages are asked in the process."""

    #: What waits for another process waits a little longer than in a real daemon: most of these looks find nothing.
    LOOK_EVERY, DELIVER_EVERY = timedelta(seconds=30), timedelta(seconds=15)
    FOLLOW_EVERY = timedelta(minutes=5)

    async def _serve(self) -> WebServer | None:
        return None

    async def ask(self, path: str) -> httpx.Response:
        """What the page or the API answers."""
        transport = httpx.ASGITransport(app=self._application("127.0.0.1"))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9480") as client:
            answer = await client.get(path)
        if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            raise StoreError(answer.text)
        assert answer.status_code == HTTPStatus.OK, (path, answer.status_code, answer.text[:300])
        return answer


@dataclass
class Replica:
    """A place where a daemon runs, one process after the other."""

    name: str
    process: Process | None = None
    app: Daemon | None = None
    task: asyncio.Task[None] | None = None
    started: int = 0
    #: How many evaluations its earlier processes made.
    ticks: int = 0


class Story:
    """What happens in the world of one seed."""

    def __init__(self, plan: Plan, loop: VirtualLoop, folder: Path, network: Network, url: str = "") -> None:
        self.plan, self.loop, self.network = plan, loop, network
        chance = network.chance
        self.disk = Disk(chance, url, plan.latency)
        (folder / "prices.toml").write_text(PRICES)
        self.environment = plan.environment(folder)
        teams = ("search", "support")
        keys = [Key(f"k{number}", teams[number % 2], rate, rate, SECOND if number == 3 else OWN)
                for number, rate in enumerate(chance.uniform(0.5, 3) for _ in range(4))]  # fmt: skip
        self.traffic = Traffic(lambda: loop.now, keys)
        self.prometheus = Prometheus(self.traffic)
        self.traffic.known_until[OWN] = self._read_until
        self.bill = Bill(folder / "bill.csv")
        self.bill_waits_until = loop.now
        self.provider = Provider(lambda: loop.now, self.traffic, shows_changes=plan.steered)
        self.receivers = Receivers(lambda: loop.now)
        self.oracle = Oracle(self)
        self.people = People(self)
        self.receivers.heard, self.provider.acted = self.oracle.hear, self.oracle.see_act
        network.hosts |= {"gateway": self.traffic.page, "prometheus": self.prometheus.answer,
                          "provider": self.provider.answer, "hook": self.receivers.answer,
                          "second": self.receivers.answer}  # fmt: skip
        network.complaints |= {"provider": f"{TOKEN}", "hook": "/a-secret-path"}
        self.replicas = [Replica(f"r{number}") for number in range(plan.replicas)]
        self.log: list[str] = []
        self.happened: Counter[str] = Counter()
        self.visits = Visits()
        self.ticks = self.rounds = 0
        #: When the amounts of budgets in the configuration changed, and what to.
        self.amounts: dict[str, list[tuple[datetime, Decimal]]] = {
            "all": [(loop.now, Decimal(plan.amount))], "keys": [(loop.now, Decimal(plan.of_a_key))],
        }  # fmt: skip
        self._read: dict[tuple[str, ...], Settings] = {}
        #: What waits for a cue, and the key that messages and acts were about last.
        self._waiting: list[Happening] = []
        self._last_alias = ""
        #: The key that an accident and its sequels are about.
        self._keys_of: dict[int, Key] = {}
        #: The process that took the last step of an action.
        self._at_work: Process | None = None
        self._timers: list[tuple[asyncio.TimerHandle, Callable[[], None]]] = []

    def settings(self) -> Settings:
        """The configuration as it is now; a faulty one raises SettingsError."""
        words = tuple(self.environment.values())
        if words not in self._read:
            self._read[words] = load_settings(self.environment)
        return self._read[words]

    def _read_until(self) -> datetime | None:
        """Of when what alertd has of its own gateway surely is: what it says in the database, and what it was shown."""
        stored = self.disk.rows("SELECT until_at FROM source WHERE name = 'gateway'")
        if not stored or stored[0][0] is None:
            return None
        until = datetime.fromtimestamp(stored[0][0] / 1e6, UTC) - timedelta(seconds=30)
        if any(kind.startswith("clock") for kind in self.happened):
            until -= CLOCKS_DIFFER
        return min([until, *(of for at, of in self.traffic.shown if at >= until - timedelta(minutes=1))])

    def command(self) -> Daemon:
        """What a command of the command line builds: a daemon of its own, which runs no loops."""
        process = PROCESS.get()
        store = SqlStore(Database(self.disk, process))
        return Daemon(self.settings(), self.settings, Clock(lambda: self.loop.now, process), store=store)

    def in_question(self, chance: random.Random) -> Key:
        """The key that messages and acts were about last, or any."""
        named = self.traffic.named(self._last_alias)
        return named[0] if named and chance.random() < 0.7 else chance.choice(self.traffic.keys)

    def cue(self, name: str, alias: str) -> None:
        """Something is seen that accidents may wait for."""
        self._last_alias, self._at_work = alias or self._last_alias, PROCESS.get(None)
        for one in [one for one in self._waiting if one.cue == name]:
            self._waiting.remove(one)
            self.later(self.plan.delay(one), partial(self.happen, one), at_peace=False)

    def _give_up_waiting(self, one: Happening) -> None:
        if one in self._waiting:
            self._waiting.remove(one)
            self.happen(one)

    async def tell(self) -> None:
        """The whole story, and the oracle's last look."""
        begin = self.loop.now
        self._scrape()
        self._bill()
        self._look()
        for replica in self.replicas:
            self.start(replica)
        for one in self.plan.happenings:
            at = begin + timedelta(minutes=one.minutes)
            await asyncio.sleep(max(0.0, (at - self.loop.now).total_seconds()))
            if one.cue:
                self._waiting.append(one)
                self.later(20, partial(self._give_up_waiting, one), at_peace=False)
            else:
                self.happen(one)
            self.oracle.raise_failures()
        end = begin + timedelta(hours=self.plan.hours)
        await asyncio.sleep(max(0.0, (end - self.loop.now).total_seconds()))
        self.make_peace()
        await asyncio.sleep((PEACE + 2 * self.plan.round).total_seconds())
        await self.oracle.look_at_the_end()
        for replica in self.replicas:
            if replica.app is not None:
                self._count(replica)
                replica.app.stop()
        await asyncio.sleep(20)

    def note(self, what: str) -> None:
        """A line of the story."""
        self.log.append(f"{self.loop.now:%d %H:%M:%S} {what}")

    def start(self, replica: Replica) -> None:
        """Begin a process, with the clock that its machine has."""
        try:
            settings = self.settings()
        except SettingsError:
            self.later(1, partial(self.start_again, replica))  # its supervisor tries again
            return
        skew = replica.process.skew if replica.process else timedelta()
        replica.started += 1
        process = replica.process = Process(f"{replica.name}.{replica.started}", skew)
        process.died = lambda: self.kill(replica)
        token = PROCESS.set(process)
        clock = Clock(lambda: self.loop.now, process)
        store = SqlStore(Database(self.disk, process))
        replica.app = Daemon(settings, self.settings, clock, store=store)
        replica.task = asyncio.create_task(replica.app.run(), name=process.name)
        PROCESS.reset(token)

    def kill(self, replica: Replica) -> None:
        """SIGKILL: nothing more is done, nothing that is awaited comes."""
        if replica.app is None or replica.process is None or replica.task is None:
            return
        replica.process.alive = False
        self.note(f"{replica.process.name} is dead")
        self._count(replica)
        replica.task.cancel()  # what it would still do comes to nothing: its process is not alive
        replica.app = replica.task = None
        minutes = self.network.chance.choice((0.1, 2, 30))
        self.later(minutes, lambda: self.start_again(replica))

    def later(self, minutes: float, what: Callable[[], None], *, at_peace: bool = True) -> None:
        """Do something after a while. Peace does not wait: it is done at once, or (`at_peace` False) not at all."""
        self._timers.append((self.loop.call_later(minutes * 60, what), what if at_peace else lambda: None))

    def start_again(self, replica: Replica) -> None:
        """Begin a process where none runs."""
        if replica.app is None:
            self.note(f"{replica.name} starts again")
            self.start(replica)

    def happen(self, one: Happening) -> None:
        """Let one thing happen, and what follows from it; what cannot happen now does not."""
        chance, after = self.plan.dice(one.number), 0.0
        self._happen(one.number, one.kind, chance, in_the_middle=bool(one.cue))
        for sequel in self.plan.sequels.get(one.kind, ()) if chance.random() < self.plan.follows else ():
            after += chance.choice((0.5, 2.0, 4.0, 7.0))
            dice = random.Random(chance.random())
            self.later(after, partial(self._happen, one.number, sequel, dice), at_peace=False)

    def _happen(self, number: int, kind: str, chance: random.Random, *, in_the_middle: bool = False) -> None:
        self.happened[kind] += 1
        who, _, how = kind.partition(" ")
        minutes = chance.choice((0.2, 3, 8, 30))
        self.note(f"{number}: {kind}")
        self.visits.begin(kind, self.loop.now, timedelta(minutes=minutes))
        key = self._keys_of.setdefault(number, self.in_question(chance))
        if self.plan.steered and kind == "somebody turns a key on" and not key.blocked:
            key = self._keys_of[number] = next((each for each in self.traffic.keys if each.blocked), key)
        if who in _HOSTS and how in _NETWORK:
            host, fault = chance.choice(_HOSTS[who]), _NETWORK[how]
            self.network.faults.setdefault(host, {})[fault] = chance.choice((0.3, 1.0))
            self.later(minutes, lambda: self.network.faults.get(host, {}).pop(fault, None))
        elif kind in {"somebody turns a key off", "somebody turns a key on"} or who == "key":
            self._happen_to_key(number, kind, chance, key, minutes)
        elif kind == "somebody changes an amount":
            self._change_amount(chance)
        elif kind == "somebody breaks the configuration":
            self._break_configuration(chance)
        elif who == "somebody":
            self.people.do(kind, chance, key)
        elif who in {"daemon", "clock"}:
            at_work = [each for each in self.replicas if each.process is self._at_work]
            replica = at_work[0] if in_the_middle and at_work else chance.choice(self.replicas)
            self._happen_to_daemon(kind, chance, replica, minutes)
        else:
            self._happen_elsewhere(kind, chance, minutes)

    def _happen_elsewhere(self, kind: str, chance: random.Random, minutes: float) -> None:
        match kind:
            case "disk is full":
                self.disk.fault = "the disk is full"
                self.later(chance.choice((0.5, 10)), lambda: setattr(self.disk, "fault", ""))
            case "disk is slow":
                self.disk.slowness = chance.choice((1, 20))
                self.later(minutes, lambda: setattr(self.disk, "slowness", 0.0))
            case "prometheus cannot scrape":
                self.prometheus.down = True
                self.later(minutes, lambda: setattr(self.prometheus, "down", False))
            case "bill is late":
                self.bill_waits_until = self.loop.now + timedelta(minutes=minutes)
            case "bill is corrected":
                days = sorted(self.bill.rows)
                if self.plan.steered and chance.random() < 0.5:  # a month's first or last day, back to nothing
                    date = chance.choice((days[0], days[-1]))[0]
                    self.bill.rows.update((row, Decimal(0)) for row in days if row[0] == date)
                else:
                    day = chance.choice(days)
                    change = chance.choice((Decimal(-2), Decimal(3)))
                    self.bill.rows[day] = max(Decimal(0), self.bill.rows[day] + change)
                self.bill.write(self.loop.now)
            case "gateway shows an old page":
                self.traffic.shows_old_page = True
            case "gateway restarts":
                self.traffic.restart(OWN)
            case "second gateway restarts":
                self.traffic.restart(SECOND)
            case "both restart at once":
                self.traffic.restart(OWN)
                for each in self.replicas:
                    self.kill(each)

    def _happen_to_daemon(self, kind: str, chance: random.Random, replica: Replica, minutes: float) -> None:
        app, process = replica.app, replica.process
        if app is None or process is None:
            return
        match kind:
            case "daemon is killed":
                self.kill(replica)
            case "daemon is killed in a call":
                process.doomed_in = chance.randrange(20 if self.plan.steered else 200)
            case "daemon is stopped":
                app.stop()
                self._count(replica)
                replica.app = None
                self.later(chance.choice((0.5, 10)), lambda: self.start_again(replica))
            case "daemon is frozen":
                process.running.clear()
                self.later(chance.choice((0.5, 3, 15)), process.running.set)
            case _:
                sign = 1 if kind == "clock is ahead" else -1
                process.skew = sign * timedelta(seconds=chance.choice((1, 20, 400)))
                self.later(minutes, lambda: setattr(process, "skew", timedelta()))

    def _happen_to_key(self, number: int, kind: str, chance: random.Random, key: Key, minutes: float) -> None:
        self.traffic.pass_time()
        match kind:
            case "key runs away":
                key.rate = key.usual * chance.choice((5, 20, 200))
                key.ran_away_until = self.loop.now + timedelta(minutes=minutes)
                self.later(minutes, lambda: self._calm(key))
            case "key falls silent":
                key.rate = 0
                self.later(minutes, lambda: self._calm(key))
            case "key is new":
                rate, name = chance.uniform(0.5, 3), f"k{len(self.traffic.keys)}"
                self.traffic.add(Key(name, "search", rate, rate, chance.choice((OWN, SECOND))))
                self._keys_of[number] = self.traffic.keys[-1]
            case "key is renamed":
                mates = [each for each in self.traffic.keys if each.team == key.team]
                other = chance.choice(mates if self.plan.theme == "names" else self.traffic.keys)
                own = f"{key.names[0][1]}-{len(key.names)}"
                taken = other.hash if other is not key else own  # whoever names a key may choose another's id
                self.traffic.rename(key, chance.choice((own, taken)))
                self._last_alias = key.alias
            case "somebody turns a key off" if not key.blocked:
                self.provider.change(key, "block", "a person")
            case "somebody turns a key on" if key.blocked:
                self.provider.change(key, "unblock", "a person")

    def _change_amount(self, chance: random.Random) -> None:
        """Another amount in the configuration, which the daemons read one after the other."""
        name, amount = chance.choice((("all", self.plan.amount), ("keys", self.plan.of_a_key)))
        amount *= chance.choice((1, 2, 3))
        self.environment[f"ALERTD_BUDGETS__{name.upper()}__AMOUNT"] = f"{amount} {'USD' if name == 'all' else 'tokens'}"
        self.amounts[name].append((self.loop.now, Decimal(amount)))
        self._reload(chance)
        if self.plan.steered and chance.random() < 0.4:  # and again, while daemons still read that
            self.later(chance.choice((0.0001, 0.001, 0.005)), partial(self._change_amount, chance), at_peace=False)

    def _break_configuration(self, chance: random.Random) -> None:
        name, wrong = "ALERTD_BUDGETS__ALL__AMOUNT", "many USD"
        before, self.environment[name] = self.environment[name], wrong

        def mend() -> None:
            if self.environment[name] == wrong:
                self.environment[name] = before
                self._reload(chance)

        for replica in self.replicas:
            self._read_anew(replica)
        self.later(chance.choice((0.01, 0.05, 2)), mend)

    def _reload(self, chance: random.Random) -> None:
        delays = (0, 0, 0.1, 3) if self.plan.steered else (0, 0.1, 3)
        for replica in self.replicas:
            self.later(chance.choice(delays), partial(self._read_anew, replica))

    def _read_anew(self, replica: Replica) -> None:
        if replica.app is None or replica.process is None:
            return
        replica.process.signal(signal.SIGHUP)

    def _scrape(self) -> None:
        self.prometheus.scrape()
        self.loop.call_later(_SCRAPE, self._scrape)

    def _look(self) -> None:
        """Find what changed in every daemon, for the count of what was visited."""
        for replica in self.replicas:
            if replica.app is not None:
                self.visits.look(replica.app, replica.name, self.loop.now)
                self.oracle.listen(replica.app)
        self.loop.call_later(60, self._look)

    def _bill(self) -> None:
        """Every hour and a half the bill has two days in full, and today up to some time ago."""
        now = self.loop.now
        if now >= self.bill_waits_until:
            for back in (0, 1, 2):
                day = now - timedelta(days=back)
                hours = 24 if back else max(0, now.hour - 2)
                for team, pace in (("search", Decimal("0.03")), ("support", Decimal("0.02"))):
                    row = f"{day:%Y-%m-%d}", team
                    self.bill.rows[row] = max(self.bill.rows.get(row, Decimal(0)), pace * hours)
            self.bill.write(now)
        self.loop.call_later(5400, self._bill)

    def make_peace(self) -> None:
        """Everything is well from now on, and whoever was away is back."""
        self.note("peace")
        timers, self._timers = self._timers, []
        for timer, what in timers:
            if timer.when() > self.loop.time():
                timer.cancel()
                what()
        self.network.faults.clear()
        self.traffic.shows_old_page = False
        self.disk.fault, self.disk.slowness = "", 0.0
        self.prometheus.down = False
        self.people.calm.set()
        self._waiting.clear()
        for key in self.traffic.keys:
            self._calm(key)
        for replica in self.replicas:
            if replica.process is not None:
                replica.process.running.set()
                replica.process.skew, replica.process.doomed_in = timedelta(), None
            self.start_again(replica)

    def _count(self, replica: Replica) -> None:
        rounds = replica.app.runner.rounds if replica.app is not None else {}
        self.ticks += rounds["evaluate"].runs if "evaluate" in rounds else 0
        self.rounds += sum(one.runs for one in rounds.values())

    def _calm(self, key: Key) -> None:
        self.traffic.pass_time()
        if key.rate > key.usual:
            key.ran_away_until = self.loop.now
        key.rate = key.usual


@dataclass(frozen=True)
class Outcome:
    """What a story came to."""

    seed: int
    hours: float
    replicas: int
    happenings: tuple[Happening, ...]
    ticks: int
    rounds: int
    told: int
    acts: int
    happened: Counter[str]
    injected: Counter[str]
    pairs: Counter[tuple[str, str]]
    checks: Counter[str]
    failures: list[str]
    log: list[str]
    trace: str
    #: Seconds of processor time.
    cpu: float = 0.0


def play(seed: int, hours: float = 12.0, *, only: frozenset[int] | None = None, replicas: int | None = None,
         url: str = "", seconds: float = 0) -> Outcome:  # fmt: skip
    """The story of a seed, from its beginning to the oracle's last look; `url` is of a PostgreSQL to play it on.

    A story that takes more than `seconds` of processor time (or a bound far above any that ends) is a failure.
    """
    plan = Plan(seed, hours, only, replicas)
    random.seed(seed)
    network = Network(random.Random(f"{seed}/network"))
    told: list[Story] = []

    async def story(loop: VirtualLoop) -> None:
        with tempfile.TemporaryDirectory() as folder:
            told.append(Story(plan, loop, Path(folder), network, url))
            try:
                await told[0].tell()
            except Exception as error:  # noqa: BLE001 - whatever ends a story is a failure with its seed
                if not told[0].oracle.failures:
                    told[0].oracle.fail("the story ends", "".join(traceback.format_exception(error))[-1500:])

    began = time.process_time()

    def hear(line: str) -> None:
        if (step := _STEP.search(line)) is not None:
            told[0].cue(step[1], "")

    with network_of(network), _quiet(hear) as lines:
        late: list[str] = []
        try:
            with _at_most(most := seconds or _SECONDS_PER_HOUR * (1 + hours), late):
                run(plan.start, story)
        except _TooLongError:
            late.append("its last step")
        except StandstillError:
            told[0].oracle.fail("a story ends", "it hangs: nothing is ready and no timer is set")
    one = told[0]
    one.disk.close()
    if late:
        one.oracle.failures.clear()  # what was cut off may have broken anything
        one.oracle.fail("a story ends", f"it hangs: {most:g} s of processor time were not enough; in {late[0]}")
    else:
        one.oracle.look_at_log(lines)
    trace = json.dumps([(str(each.at), each.receiver, each.event.get("id")) for each in one.receivers.told])
    return Outcome(seed, hours, plan.replicas, tuple(plan.happenings), one.ticks, one.rounds, len(one.receivers.told),
                   len(one.provider.acts), one.happened, network.injected, one.visits.pairs(), one.oracle.checks,
                   one.oracle.failures, one.log, trace, time.process_time() - began)  # fmt: skip


class _TooLongError(KeyboardInterrupt):
    """A story took too long. A scheduler catches it and goes on, so it is raised again and again."""


@contextmanager
def _at_most(seconds: float, late: list[str]) -> Iterator[None]:
    """Raise _TooLongError in what takes more processor time, again after every second; `late` gets where it was."""

    def end(_number: int, frame: FrameType | None) -> None:
        late.append("".join(traceback.format_stack(frame, limit=4)))
        raise _TooLongError

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def _quiet(hear: Callable[[str], None]) -> Iterator[list[str]]:
    """What the daemons log, kept instead of printed; `hear` gets each line."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if (process := PROCESS.get(None)) is None or process.alive:  # a killed process says nothing
                lines.append(f"{record.levelname} {self.format(record)}")
                hear(lines[-1])

    root = logging.getLogger()
    before, level, handler = list(root.handlers), root.level, Keep()
    root.handlers, root.level = [handler], logging.INFO
    for name in ("apscheduler", "httpx"):  # as the daemon's own log has it
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
    try:
        yield lines
    finally:
        root.handlers, root.level = before, level


__all__ = ["FAULTS", "KINDS", "PEOPLE", "Outcome", "play"]
