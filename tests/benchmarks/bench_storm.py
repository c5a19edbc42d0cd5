"""From an alert's commit to its delivery in a storm: two `alertd run` on a PostgreSQL, a receiver that refuses 30%.

    PYTHONPATH=. python tests/benchmarks/bench_storm.py [SECONDS]

Eight budgets pass a level every 0.4 s, most of them critical. Meanwhile, every 2 s by a seeded die: a replica is killed
(SIGKILL) and started again, frozen (SIGSTOP) for 20 s, or the server ends all connections. Then everything is left in
peace until each level was delivered. Created is the row's own instant, delivered when the receiver first took it.
"""

from __future__ import annotations

import json
import math
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from tests.benchmarks.bench_latency import Page
from tests.databases import postgres_server, schema
from tests.servers.recording import Received, Reply
from tests.servers.webhook import WebhookServer
from tests.system.daemon import Daemon, env_file, wait_for

#: Actual levels of the budget, in percent: those from 100 on are critical.
LEVELS = range(51, 451)
BUDGETS = [f"B{number}" for number in range(8)]
PASS_EVERY, HARM_EVERY, FROZEN = 0.4, 2.0, 20.0


class Receiver(WebhookServer):
    """Refuses three posts of ten, by a seeded die, and notes when each event was first taken."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.chance = random.Random(7)
        self.taken: dict[str, float] = {}
        self.takes: Counter[str] = Counter()

    def answer(self, received: Received) -> Reply:
        if self.chance.random() < 0.3:
            self.refused += 1
            return Reply(503, "busy")
        reply = super().answer(received)
        self.taken.setdefault(received.json["id"], time.time())
        self.takes[received.json["id"]] += 1
        return reply


def settings(folder: str, url: str, page: Page, hook: Receiver) -> Path:
    return env_file(
        Path(folder) / "alertd.env",
        {
            "ALERTD_DATABASE": url,
            "ALERTD_POLL_INTERVAL": "1s",
            "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
            "ALERTD_DIGEST": "off",
            "ALERTD_SOURCES__GATEWAY__KIND": "scrape",
            "ALERTD_SOURCES__GATEWAY__URL": f"http://127.0.0.1:{page.server.server_address[1]}/metrics",
            "ALERTD_SOURCES__GATEWAY__PRESET": "litellm",
            **{
                f"ALERTD_BUDGETS__{name}__AMOUNT": "250 USD"  # a level is a million tokens
                for name in BUDGETS
            },
            "ALERTD_DEFAULTS__THRESHOLDS": json.dumps([f"actual {level}%" for level in LEVELS]),
            "ALERTD_NOTIFIERS__HOOK__KIND": "webhook",
            "ALERTD_NOTIFIERS__HOOK__URL": hook.url,
        },
    )


@dataclass
class Replicas:
    """Two daemons, and what is done to them."""

    file: Path
    url: str
    chance: random.Random = field(default_factory=lambda: random.Random(11))
    running: list[Daemon] = field(default_factory=list)
    frozen: dict[int, float] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)

    def harm(self) -> None:
        number = self.chance.randrange(2)
        what = self.chance.choice(("kill", "kill", "kill", "freeze", "cut off"))
        self.done[what] += 1
        if what == "kill":
            self.running[number].kill()
            self.frozen.pop(number, None)
            self.running[number] = Daemon(self.file)
        elif what == "freeze" and number not in self.frozen:
            self.running[number].signal(signal.SIGSTOP)
            self.frozen[number] = time.monotonic() + FROZEN
        elif what == "cut off":
            with psycopg.connect(self.url, autocommit=True) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                    " AND application_name = 'alertd'"
                )

    def thaw(self, *, everything: bool = False) -> None:
        for number, until in list(self.frozen.items()):
            if everything or time.monotonic() > until:
                self.running[number].signal(signal.SIGCONT)
                del self.frozen[number]


def weather(page: Page, replicas: Replicas, seconds: float) -> None:
    """Levels and harm for so long."""
    begun = time.monotonic()
    next_harm = begun + HARM_EVERY
    while time.monotonic() < begun + seconds and page.value < max(LEVELS) * 1_000_000:
        page.move()
        replicas.thaw()
        if time.monotonic() > next_harm:
            next_harm += HARM_EVERY
            replicas.harm()
        time.sleep(PASS_EVERY)
    replicas.thaw(everything=True)


def figures(waits: list[float]) -> str:
    """Median, 99 of 100, worst."""
    ranked = sorted(waits)
    return ", ".join(f"{ranked[max(0, math.ceil(share * len(ranked)) - 1)]:.1f}" for share in (0.5, 0.99, 1.0))


def main(seconds: float) -> float:
    """Print the figures; the 99 of 100 of what is critical, in seconds."""
    with TemporaryDirectory() as folder, postgres_server() as server, schema(server) as url, Receiver() as hook:
        page = Page()
        replicas = Replicas(settings(folder, url, page, hook), url)
        replicas.running += [Daemon(replicas.file), Daemon(replicas.file)]
        for daemon in replicas.running:
            wait_for("figures", lambda daemon=daemon: daemon.get("/api/v1/budgets"))
        page.value = 50_000_000
        weather(page, replicas, seconds)
        with psycopg.connect(url, autocommit=True) as database:
            waiting = "SELECT count(*) FROM outbox WHERE done_at IS NULL"
            reached = {(name.lower(), level) for name in BUDGETS for level in LEVELS if level <= page.value // 10**6}
            wait_for("every level", lambda: _levels(hook) >= reached, 600)
            wait_for("an empty outbox", lambda: database.execute(waiting).fetchone() == (0,), 600)
            rows = database.execute("SELECT message_key, created, critical FROM outbox").fetchall()
        statuses = [daemon.stop()[0] for daemon in replicas.running]
        waits = {key: hook.taken[key] - created / 1e6 for key, created, _ in rows if key in hook.taken}
        critical = [waits[key] for key, _, is_critical in rows if is_critical]
        others = [waits[key] for key, _, is_critical in rows if not is_critical]
        repeated = sum(count > 1 for count in hook.takes.values())
        done = ", ".join(f"{count} {what}" for what, count in sorted(replicas.done.items()))
        print(
            f"{seconds:.0f} s: {done}; {hook.refused} refused, {hook.posts} taken, {repeated} repeated under their key"
        )
        print(f"{len(rows)} messages; created to delivered in seconds: median, 99 of 100, worst")
        print(f"critical {len(critical)}: {figures(critical)}")
        print(f"others   {len(others)}: {figures(others)}")
        print(f"SIGTERM: {statuses}")
        return sorted(critical)[math.ceil(0.99 * len(critical)) - 1]


def _levels(hook: Receiver) -> set[tuple[str, int]]:
    return {(event["budget"], int(level)) for event in list(hook.events.values()) for level in event["levels"]}


if __name__ == "__main__":
    try:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else 66.0)
    except pytest.skip.Exception as reason:
        print(reason)
