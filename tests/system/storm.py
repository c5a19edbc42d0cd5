"""A seeded storm over real daemons: what goes wrong, one misfortune after the other, and what must hold all the same.

After each misfortune and whatever mends it the daemons have to show the truth again, to the token. At the end every
level that was due was told once, every key that ran away was stopped once, and every outage was announced.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg

from tests.servers.faulty_servers import LIES, MOODS, OUTAGES, FaultyServers, some_tokens
from tests.system.daemon import Daemon, env_file, wait_for
from tests.system.fast_clock import FastClock

KEYS: Final = ("k1", "k2", "k3", "k4")
AMOUNT, OF_A_KEY = 100_000_000, 20_000_000
LEVELS: Final = range(1, 400)
#: What the busiest key uses in a step at most.
MOST: Final = 400_000
#: So many counters are followed at most: an explosion of labels is to end there.
MOST_SERIES: Final = 2_000
PATIENCE: Final = 240.0
#: What keeps the daemons from reading the source, or from writing down that they did.
BLINDING: Final = frozenset({"lie", "outage", "no_name", "expired_source", "no_room", "read_only", "held", "locked"})
#: Seconds of the machine after which a silent source is announced (five minutes of the daemons' clock), and some slack.
STALE_SECONDS: Final = 15 * 0.8


Level = tuple[str, str, float]


@dataclass
class Truth:
    """What was used and could be seen, by key; `hidden` no look at the page could have seen."""

    seen: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    highest: Counter[str] = field(default_factory=Counter)
    highest_total: int = 0

    def add(self, tokens: Counter[str]) -> None:
        self.seen.update(tokens)
        self.highest_total = max(self.highest_total, self.seen.total())
        self.highest = self.seen | self.highest

    def begin_anew(self, seen: Counter[str]) -> None:
        """The ledger is lost: the page shows what was used since its process began, and nothing else does."""
        self.seen = Counter(seen)

    def due(self) -> set[Level]:
        """Every level that was passed, at one time or another."""
        return passed(self.highest, self.highest_total)


@dataclass
class Storm:
    """Daemons on one database, a servers that they look at, and a die."""

    servers: FaultyServers
    fast_clock: FastClock
    folder: Path
    database: str
    chance: random.Random
    replicas: int = 1
    truth: Truth = field(default_factory=Truth)
    daemons: list[Daemon] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)
    outages: int = 0
    recoveries: int = 0
    everything: list[dict[str, Any]] = field(default_factory=list)
    #: When the source could not be read, in seconds of the machine: from, to.
    troubles: list[tuple[float, float]] = field(default_factory=list)
    #: What earlier databases had kept back, and how often a level was forgotten with one: it may be told again.
    kept_back: set[Level] = field(default_factory=set)
    forgotten: Counter[Level] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.servers.certificates.authority.cert_pem.write_to_path(str(self.folder / "ca.pem"))
        self.settings = {
            "ALERTD_DATABASE": self.database,
            "ALERTD_POLL_INTERVAL": "1s",
            "ALERTD_DIGEST": "off",
            "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
            "ALERTD_SOURCES__GATEWAY__KIND": "scrape",
            "ALERTD_SOURCES__GATEWAY__URL": f"{self.servers.at_gateway.url}/metrics",
            "ALERTD_SOURCES__GATEWAY__PRESET": "litellm",
            "ALERTD_SOURCES__GATEWAY__CA_FILE": str(self.folder / "ca.pem"),
            "ALERTD_SOURCES__GATEWAY__STALE_AFTER": "5m",
            "ALERTD_SOURCES__GATEWAY__TIMEOUT": "5s",
            "ALERTD_SOURCES__GATEWAY__MAX_SERIES": str(MOST_SERIES),
            "ALERTD_BUDGETS__ALL__AMOUNT": f"{AMOUNT} tokens",
            "ALERTD_BUDGETS__ALL__THRESHOLDS": json.dumps([f"actual {level}%" for level in LEVELS]),
            "ALERTD_BUDGETS__KEYS__AMOUNT": f"{OF_A_KEY} tokens",
            "ALERTD_BUDGETS__KEYS__PER": "key",
            "ALERTD_BUDGETS__KEYS__THRESHOLDS": '["actual 100%"]',
            "ALERTD_BUDGETS__KEYS__ACTIONS": "stop",
            "ALERTD_ACTIONS__STOP__KIND": "webhook",
            "ALERTD_ACTIONS__STOP__MODE": "auto",
            "ALERTD_ACTIONS__STOP__WHO": "all",
            "ALERTD_ACTIONS__STOP__URL": f"{self.servers.at_hook.url}/hook",
            "ALERTD_ACTIONS__STOP__CA_FILE": str(self.folder / "ca.pem"),
            "ALERTD_ACTIONS__STOP__SECRET": "s" * 16,
            "ALERTD_ACTIONS__STOP__READS": "true",
            "ALERTD_ACTIONS__STOP__MAX_PER_HOUR": "1000",
            "ALERTD_NOTIFIERS__HOOK__KIND": "webhook",
            "ALERTD_NOTIFIERS__HOOK__URL": f"{self.servers.at_receiver.url}/events",
            "ALERTD_NOTIFIERS__HOOK__CA_FILE": str(self.folder / "ca.pem"),
        }
        self.restart_with(self.settings)

    def restart_with(self, settings: dict[str, str]) -> None:
        """The configuration of every daemon from now on."""
        self.file = env_file(self.folder / "alertd.env", settings)

    # --- the run ---

    def run(self, steps: int) -> None:
        """That many misfortunes of the die's choice; the truth after each."""
        self.servers.gateway.restart()
        self.start_all()
        self.settle()
        for number in range(steps):
            name = self.chance.choice(self.misfortunes())
            self.step(f"{number} {name}", getattr(self, f"_{name}"))
        self.finish()

    def step(self, name: str, misfortune: Callable[[], None]) -> None:
        begun = time.monotonic()
        self.counted[kind := name.split(" ", 1)[-1]] += 1
        self.log.append(name)
        self.emit()
        misfortune()
        self.emit()
        self.settle()
        if kind in BLINDING:
            self.troubles.append((begun, time.monotonic()))
        self.log[-1] += f" ({time.monotonic() - begun:.1f} s)"

    def misfortunes(self) -> list[str]:
        """What can happen here, the likelier the oftener it is named."""
        common = ["kill", "stop", "freeze", "lie", "lie", "outage", "receiver", "receiver", "hook", "forward", "back",
                  "gateway_restart", "hidden", "no_name", "expired_source", "expired_receiver"]  # fmt: skip
        own = (
            ["damage", "no_room", "no_room_at_start", "locked"] if self.is_sqlite else ["cut_off", "read_only", "held"]
        )
        return common + own

    @property
    def is_sqlite(self) -> bool:
        return self.database.startswith("sqlite")

    @property
    def database_file(self) -> Path:
        return Path(self.database.removeprefix("sqlite:///"))

    def emit(self) -> None:
        tokens = some_tokens(self.chance, KEYS, MOST)
        self.truth.add(tokens)
        self.servers.gateway.emit(tokens)

    def start(self) -> Daemon:
        self.fast_clock.write()
        daemon = Daemon(self.file, environment=self.environment(), lines=Lines(self.everything))
        self.daemons.append(daemon)
        wait_for("its page", lambda: daemon.port or daemon.ended() is not None, PATIENCE)
        return daemon

    def environment(self) -> dict[str, str]:
        """The clock that a daemon lives by."""
        return self.fast_clock.environment()

    def start_all(self) -> None:
        """As a supervisor does: until all of them run."""
        while len(self.daemons) < self.replicas:
            if self.start().ended() is not None:
                self.daemons.pop()

    def one(self) -> Daemon:
        return self.chance.choice(self.daemons)

    def kill(self, daemon: Daemon) -> None:
        daemon.kill()
        self.daemons.remove(daemon)

    def settle(self) -> None:
        """Until every daemon shows the truth."""
        for daemon in self.daemons:
            wait_for(
                f"the truth {dict(self.truth.seen)}", lambda daemon=daemon: shown(daemon) == +self.truth.seen, PATIENCE
            )

    def said(self, words: str, since: int = 0) -> bool:
        return any(words in line["message"] for line in self.everything[since:])

    def hear(self, *words: str) -> None:
        """Until one of these was logged, by whichever daemon, since now."""
        since = len(self.everything)
        wait_for(f"{words} in the log", lambda: any(self.said(one, since) for one in words), PATIENCE)

    # --- what goes wrong ---

    def _kill(self) -> None:
        self.kill(self.one())
        self.emit()
        self.start_all()

    def _stop(self) -> None:
        daemon = self.one()
        status, seconds = daemon.stop()
        assert (status, seconds < 10) == (0, True)
        self.daemons.remove(daemon)
        self.start_all()

    def _freeze(self) -> None:
        daemon = self.one()
        daemon.signal(signal.SIGSTOP)
        self.emit()
        pause(self.chance.choice((0.3, 2, 8)))
        daemon.signal(signal.SIGCONT)

    def _lie(self) -> None:
        self.lying(self.chance.choice(sorted(LIES)))

    def lying(self, lie: str) -> None:
        gateway = self.servers.gateway
        self.log[-1] += f": {lie}"
        self.counted[f"lie: {lie}"] += 1
        before = gateway.lied
        gateway.lie = lie
        wait_for("three pages", lambda: gateway.lied >= before + 3, PATIENCE)
        gateway.lie = ""

    def _outage(self) -> None:
        """Long enough to be announced, and then announced to be over."""
        gateway = self.servers.gateway
        gateway.lie = self.chance.choice(OUTAGES)
        self.log[-1] += f": {gateway.lie}"
        self.announced(lambda: setattr(gateway, "lie", ""))

    def announced(self, mend: Callable[[], None]) -> None:
        """An outage of the source: said once; once mended, said to be over."""
        receiver = self.servers.receiver
        self.outages += 1
        stale, back = len(receiver.said("source_stale")), len(receiver.said("recovered"))
        wait_for("the word of the outage", lambda: len(receiver.said("source_stale")) > stale, PATIENCE)
        mend()
        wait_for("the word that it is over", lambda: len(receiver.said("recovered")) > back, PATIENCE)

    def _receiver(self) -> None:
        receiver = self.servers.receiver
        receiver.mood = self.chance.choice(MOODS)
        self.log[-1] += f": {receiver.mood}"
        self.emit()
        pause(self.chance.choice((0.5, 3)))
        receiver.mood = ""

    def _hook(self) -> None:
        self.servers.hook.mood = self.chance.choice(("503", "500 though done"))
        self.emit()
        pause(2)
        self.servers.hook.mood = ""

    def _forward(self) -> None:
        """The clock is set forward, by less than makes a source stale or by more.

        Replicas share a clock (docs/high-availability.md); theirs part for a second at a jump, so it is a small one.
        """
        self.jump(timedelta(seconds=self.chance.choice((30, 200, 3600, 7200) if self.replicas == 1 else (30, 200))))

    def _back(self) -> None:
        self.jump(-timedelta(seconds=self.chance.choice((5, 60, 600, 3600) if self.replicas == 1 else (5, 60, 200))))

    def jump(self, by: timedelta) -> None:
        self.log[-1] += f": {by.total_seconds():+.0f} s"
        self.fast_clock.jump(by)
        pause(2)

    def _gateway_restart(self) -> None:
        """After everything was seen: nothing is lost."""
        self.settle()
        self.servers.gateway.restart()

    def _hidden(self) -> None:
        """Used while nobody looked, and gone with the gateway's restart: no page ever showed it."""
        self.settle()
        while self.daemons:
            self.kill(self.daemons[0])
        unseen = some_tokens(self.chance, KEYS, MOST)
        self.truth.hidden += unseen.total()
        self.servers.gateway.emit(unseen)
        self.servers.gateway.restart()
        self.emit()
        self.start_all()

    def _no_name(self) -> None:
        """A name that no DNS knows, by a changed configuration."""
        url = "https://gateway.invalid:9/metrics"
        self.reconfigured({"ALERTD_SOURCES__GATEWAY__URL": url}, "gateway.invalid:9/metrics cannot be reached")

    def reconfigured(self, changes: dict[str, str], words: str) -> None:
        env_file(self.file, {**self.settings, **changes})
        since = len(self.everything)
        for daemon in self.daemons:
            daemon.signal(signal.SIGHUP)
        wait_for(words, lambda: self.said(words, since), PATIENCE)
        env_file(self.file, self.settings)
        for daemon in self.daemons:
            daemon.signal(signal.SIGHUP)

    def _expired_source(self) -> None:
        server, since = self.servers.at_gateway, len(self.everything)
        server.expire(expired=True)
        self._reconnect()
        wait_for("the expiry in the log", lambda: self.said("certificate has expired", since), PATIENCE)
        server.expire(expired=False)

    def _expired_receiver(self) -> None:
        server = self.servers.at_receiver
        server.expire(expired=True)
        self._reconnect()
        self.emit()
        pause(2)
        server.expire(expired=False)

    def _reconnect(self) -> None:
        """Connections that are open keep the certificate that they saw: let the daemons make new ones."""
        for daemon in self.daemons:
            daemon.signal(signal.SIGHUP)

    def _damage(self) -> None:
        """The file is damaged while nobody uses it."""
        self.settle()
        self.all_told()
        self.kept_back |= self.hushed()
        self.kill(self.daemons[0])
        file, chance = self.database_file, self.chance
        how = chance.choice(("page", "page", "half", "zeros", "empty"))
        self.log[-1] += f": {how}"
        fold(file)
        body = bytearray(file.read_bytes())
        if how == "page":
            begin = chance.randrange(len(body) // 4096) * 4096
            body[begin + (100 if begin == 0 else 0) : begin + 4096] = chance.randbytes(
                4096 - (100 if begin == 0 else 0)
            )
        elif how == "half":
            del body[len(body) // 8192 * 4096 :]
        else:
            body = bytearray(len(body) if how == "zeros" else 0)
        file.write_bytes(body)
        since = len(self.everything)
        self.start_all()
        if not self.said("the database was damaged", since):
            assert how == "page", "damage that was not found"
            return  # a page that holds nothing
        self.recoveries += 1
        if self.said("usage is read again from the sources", since):
            self.begin_anew()
        now = self.truth.seen
        self.forgotten.update(self.truth.due() - passed(now, now.total()))
        time.sleep(1.1)  # two files that are set aside have names that differ by the second

    def begin_anew(self) -> None:
        """A page has no past: what its process used is all that the new ledger can know."""
        self.truth.begin_anew(self.servers.gateway.used)

    def _no_room(self) -> None:
        """The disk takes nothing more: every write fails, as on a full disk or one that only reads."""
        daemon, since = self.daemons[0], len(self.everything)
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        wait_for("the disk's refusal in the log", lambda: self.said("the disk", since), PATIENCE)
        self.emit()
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def _no_room_at_start(self) -> None:
        """It cannot begin: it says why and ends, and the supervisor tries again."""
        self.kill(self.daemons[0])
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        try:
            with suppress(OSError):
                self.start()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        for daemon in [*self.daemons]:
            self.kill(daemon)
        assert not any("traceback" in line for line in self.everything)
        self.start_all()

    def _locked(self) -> None:
        """Another program keeps the database for a while."""
        with closing(sqlite3.connect(self.database_file, isolation_level=None, timeout=20)) as other:
            other.execute("BEGIN IMMEDIATE")
            self.emit()
            pause(self.chance.choice((1, 12)))

    def _cut_off(self) -> None:
        """Every connection to the server breaks."""
        with self.admin() as admin:
            admin.execute(_END_ALL)

    def _read_only(self) -> None:
        """The server is a standby for a while: it only reads."""
        since = len(self.everything)
        with self.admin() as admin:
            name = admin.info.dbname
            admin.execute(f'ALTER ROLE CURRENT_USER IN DATABASE "{name}" SET default_transaction_read_only = on')
            admin.execute(_END_ALL)
            wait_for("its refusal in the log", lambda: self.said("the server only reads", since), PATIENCE)
            self.emit()
            admin.execute("SET default_transaction_read_only = off")
            admin.execute(f'ALTER ROLE CURRENT_USER IN DATABASE "{name}" RESET default_transaction_read_only')
            admin.execute(_END_ALL)

    def _held(self) -> None:
        """Somebody locks alertd's tables for a while."""
        with self.admin() as admin, admin.transaction():
            admin.execute("LOCK TABLE usage, note, outbox IN ACCESS EXCLUSIVE MODE")
            self.emit()
            pause(3)

    def admin(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.database, autocommit=True, application_name="storm")

    # --- what must hold at the end ---

    def finish(self) -> None:
        """What is due arrives; then everything that was told and done is held against the truth."""
        receiver, hook = self.servers.receiver, self.servers.hook
        self.all_told()
        hushed, due = self.hushed() | self.kept_back, self.truth.due()
        ran_away = {key for key in KEYS if self.truth.highest[key] >= OF_A_KEY}
        if not self.recoveries:
            wait_for("every runaway to be stopped", lambda: ran_away <= hook.stopped, PATIENCE)
        told = receiver.told()
        self.rows = self.figures(told)
        twice = {key: ids for key, ids in told.items() if len(ids) > 1 + self.forgotten[key]}
        assert twice == {}, f"told under two keys: {twice}"
        assert told.keys() <= due, "told, and not true"
        assert hushed <= due, f"kept back, and not due: {sorted(hushed - due)}"
        assert bool(hushed) <= bool(self.recoveries), "kept back, and nothing was restored"
        assert receiver.faulty == [], receiver.faulty
        assert {key: ids for key, ids in hook.acted.items() if len(set(ids)) > 1} == {}, "acted twice"
        assert hook.stopped <= ran_away, "stopped, and it had not run away"
        self.outages_match()
        unexpected = [line for line in self.everything if "traceback" in line]
        assert unexpected == [], "an error that nobody foresaw"
        for daemon in self.daemons:
            assert daemon.get("/healthz") == {"status": "ok"}
        while self.daemons:
            assert self.daemons.pop().stop()[0] == 0

    def all_told(self) -> None:
        """Until every level that is due was told, or is kept back by the rule."""
        due = self.truth.due()

        def missing() -> set[Level]:
            return due - self.servers.receiver.told().keys() - self.hushed() - self.kept_back

        begun = time.monotonic()
        while missing():
            assert time.monotonic() - begun < PATIENCE, f"never told: {sorted(missing())}"
            pause(0.2)

    def outages_match(self) -> None:
        """Every word of blindness has its word of return, and a reason; every outage that was made has its word."""
        stale = [e for e in self.servers.receiver.said("source_stale") if "was damaged" not in e["reason"]]
        back = self.servers.receiver.said("recovered")
        damaged = len(self.servers.receiver.said("source_stale")) - len(stale)
        assert len(stale) == len(back) >= self.outages, [e["reason"] for e in (*stale, *back)]
        for event in stale:
            at = self.servers.receiver.heard[event["id"]]
            reason = any(end - begin > STALE_SECONDS and begin <= at < end + 60 for begin, end in self.troubles)
            assert reason, f"blind without a reason: {event['reason']}"
        assert damaged == self.recoveries

    def hushed(self) -> set[Level]:
        """The levels that a restored database took for told: the rule of docs/backup.md."""
        sql = "SELECT event FROM alert WHERE state = 'dry_run'"
        if self.is_sqlite:
            with closing(sqlite3.connect(self.database_file)) as db:
                rows = db.execute(sql).fetchall()
        else:
            with self.admin() as admin:
                rows = admin.execute(sql).fetchall()
        events = [json.loads(text) for (text,) in rows]
        return {
            (event["budget"], dict(event["scope"]).get("key", ""), float(level))
            for event in events
            if event["kind"] in {"threshold", "summary"} and event["basis"] == "actual"
            for level in event["levels"]
        }

    def figures(self, told: dict[Any, Any]) -> dict[str, int]:
        return {
            "misfortunes": sum(n for name, n in self.counted.items() if not name.startswith("lie:")),
            "levels told": len(told),
            "posts": self.servers.receiver.posts.total(),
            "keys stopped": len(self.servers.hook.stopped),
            "outages announced": self.outages,
            "databases made anew": self.recoveries,
            "tokens": self.truth.seen.total(),
            "tokens that nobody could see": self.truth.hidden,
        }


def passed(used: Counter[str], total: int) -> set[Level]:
    """The levels that stand at these figures."""
    whole = {("all", "", float(level)) for level in LEVELS if total * 100 >= AMOUNT * level}
    return whole | {("keys", key, 100.0) for key in KEYS if used[key] >= OF_A_KEY}


class Lines(list[dict[str, Any]]):
    """What one daemon logs, which is also written to the log of all."""

    def __init__(self, everything: list[dict[str, Any]]) -> None:
        super().__init__()
        self._everything = everything

    def append(self, line: dict[str, Any]) -> None:
        super().append(line)
        self._everything.append(line)


_END_ALL: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE pid <> pg_backend_pid() AND application_name = 'alertd'"
)


def shown(daemon: Daemon) -> Counter[str] | None:
    """What a daemon says that each key used; it has to say the same of all of them together."""
    with suppress(httpx.HTTPError):
        budgets = (daemon.get("/api/v1/budgets") or {}).get("budgets") or []
        keys = Counter({(b["scope"] or {}).get("key"): int(b["spent"] or 0) for b in budgets if b["budget"] == "keys"})
        (total,) = [int(b["spent"] or 0) for b in budgets if b["budget"] == "all"] or [0]
        return +keys if keys.total() == total else None
    assert daemon.ended() is None, f"it ended with {daemon.ended()}: {daemon.lines[-3:]}"
    return None


def fold(file: Path) -> None:
    """Bring the journal into the file, so that what is damaged is what counts."""
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def pause(seconds: float) -> None:
    """What is going on has its time: nothing is asserted of it."""
    time.sleep(seconds)
