"""How long nobody is told after a replica dies: two of `alertd run` on one PostgreSQL, one of them killed.

    PYTHONPATH=. python tests/benchmarks/bench_recovery.py [KILLS]

From the kill: until a level that is passed right after it is told (by the survivor; beside it the same with both alive,
the floor), until a lone daemon on SQLite that was killed and started again has told such a level, and until a message
that the dead one was in the middle of sending is sent again: at once on SQLite, after its lease on PostgreSQL. The poll
interval is 1 s.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import pytest

from tests.benchmarks.bench_latency import Page
from tests.databases import postgres_server, schema
from tests.servers.recording import Received, Reply
from tests.servers.webhook import WebhookServer
from tests.system.daemon import Daemon, env_file, wait_for

LEVELS = 400


class Receiver(WebhookServer):
    """Notes when each event was first asked to be taken and when it was; holds what it is told to hold."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.asked: list[tuple[str, float]] = []
        self.hold = threading.Event()
        self.let_go = threading.Event()

    def answer(self, received: Received) -> Reply:
        self.asked.append((received.json["id"], time.monotonic()))
        if self.hold.is_set():
            self.hold.clear()
            self._lock.release()  # others are answered meanwhile
            self.let_go.wait(300)
            self._lock.acquire()
            return Reply(503, "too late")
        return super().answer(received)

    @property
    def told(self) -> int:
        """How many levels."""
        return sum(len(event["levels"]) for event in self.events.values() if event["event"] == "threshold")


def settings(folder: str, url: str, page: Page, hook: Receiver) -> Path:
    budget = f"ALERTD_BUDGETS__{url.partition(':')[0].upper()}"  # an event's id names its budget
    thresholds = [f"actual {2.5 * n:.2f} USD" for n in range(1, LEVELS)]
    return env_file(
        Path(folder) / "alertd.env",
        {
            "ALERTD_DATABASE": url,
            "ALERTD_POLL_INTERVAL": "1s",
            "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
            "ALERTD_SOURCES__GATEWAY__KIND": "scrape",
            "ALERTD_SOURCES__GATEWAY__URL": f"http://127.0.0.1:{page.server.server_address[1]}/metrics",
            "ALERTD_SOURCES__GATEWAY__PRESET": "litellm",
            f"{budget}__AMOUNT": "100000 USD",
            f"{budget}__THRESHOLDS": json.dumps(thresholds),
            "ALERTD_NOTIFIERS__HOOK__KIND": "webhook",
            "ALERTD_NOTIFIERS__HOOK__URL": hook.url,
            "ALERTD_NOTIFIERS__HOOK__TIMEOUT": "50s",
        },
    )


def started(file: Path) -> Daemon:
    daemon = Daemon(file)
    wait_for("figures", lambda: daemon.get("/api/v1/budgets"))
    return daemon


def level(page: Page, hook: Receiver) -> float:
    """Pass a level; the seconds until it is told."""
    known, begun = hook.told, time.monotonic()
    page.move()
    wait_for("the level", lambda: hook.told > known)
    return time.monotonic() - begun


def survived(file: Path, page: Page, hook: Receiver, kills: int) -> tuple[list[float], list[float]]:
    """Seconds until a level is told: with both alive, and with one of them killed as it is passed."""
    daemons, undisturbed, killed = [started(file), started(file)], [], []
    level(page, hook)
    for turn in range(kills):
        undisturbed.append(level(page, hook))
        time.sleep(0.37 * (turn % 4))  # not always just after a send
        daemons[turn % 2].kill()
        killed.append(level(page, hook))
        daemons[turn % 2] = started(file)
    for daemon in daemons:
        daemon.kill()
    return undisturbed, killed


def restarted(file: Path, page: Page, hook: Receiver, kills: int) -> list[float]:
    """Seconds from the kill of a lone daemon, which is started again at once, until a level is told."""
    found = []
    for _ in range(kills):
        daemon = started(file)
        level(page, hook)
        daemon.kill()
        begun = time.monotonic()
        page.move()
        known, daemon = hook.told, Daemon(file)
        wait_for("the level", lambda known=known: hook.told > known)
        found.append(time.monotonic() - begun)
        daemon.kill()
    return found


def in_the_middle(file: Path, page: Page, hook: Receiver, replicas: int) -> float:
    """Seconds from the kill of whoever was sending until the message is asked to be taken again."""
    daemons = [started(file) for _ in range(replicas)]
    level(page, hook)
    hook.let_go.clear()
    hook.hold.set()
    page.move()
    wait_for("the send", lambda: not hook.hold.is_set())
    key = hook.asked[-1][0]
    for daemon in daemons:  # whichever of them sends: the other is started again
        daemon.kill()
    begun = time.monotonic()
    daemon = started(file)
    wait_for("the message again", lambda: sum(asked == key for asked, _ in hook.asked) > 1, 300)
    daemon.kill()
    hook.let_go.set()
    return next(at for asked, at in itertools.islice(reversed(hook.asked), None) if asked == key) - begun


def main(kills: int) -> None:
    """Print the three figures."""
    with TemporaryDirectory() as folder, postgres_server() as server, schema(server) as url, Receiver() as hook:
        page = Page()
        file = settings(folder, url, page, hook)
        undisturbed, killed = survived(file, page, hook, kills)
        print(f"{kills} kills, poll 1 s; seconds until a level is told, median (worst)")
        print(f"both alive                 {median(undisturbed):5.1f} ({max(undisturbed):.1f})")
        print(f"one of two killed          {median(killed):5.1f} ({max(killed):.1f})")
        file = settings(folder, f"sqlite:///{folder}/alertd.db", page, hook)
        alone = restarted(file, page, hook, kills)
        print(f"a lone one on SQLite       {median(alone):5.1f} ({max(alone):.1f})")
        print(f"SQLite, in its send        {in_the_middle(file, page, hook, 1):5.1f}, once")
        file = settings(folder, url, page, hook)
        print(f"PostgreSQL, in its send    {in_the_middle(file, page, hook, 2):5.1f}, once")


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
    except pytest.skip.Exception as reason:
        print(reason)
