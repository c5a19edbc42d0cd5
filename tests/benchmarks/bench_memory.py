"""A day of the daemon in minutes: what it holds in memory when idle, after an hour and after a day, and its growth.

    PYTHONPATH=. python tests/benchmarks/bench_memory.py [--budgets 1000] [--hours 24] [--speed 60]

The whole daemon (scheduler, source, evaluation, outbox, page) in its own process on SQLite, by a clock that runs many
times faster than the wall's. A page of counters, input and output of a key for every budget, is scraped once a second;
the status page and the metrics are looked at meanwhile, and a webhook receives. `idle` is the same daemon with one
budget and an empty page.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import httpx

from alertd.daemon import Daemon
from alertd.settings.load import load_settings
from tests.servers.webhook import WebhookServer
from tests.system.daemon import env_file, wait_for

MEGABYTE = 2**20


class FastClock:
    """Time that runs faster from the moment on that it is let go."""

    def __init__(self) -> None:
        self._speed, self._start, self._began = 1.0, datetime.now(UTC), time.monotonic()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._speed * (time.monotonic() - self._began))

    def let_go(self, speed: float) -> None:
        self._start, self._began, self._speed = self.now(), time.monotonic(), speed


class Gateway(ThreadingHTTPServer):
    """A page of counters that every look moves on."""

    daemon_threads = True

    def __init__(self, keys: int) -> None:
        outer, self.looks = self, 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = outer.page(keys).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        Thread(target=self.serve_forever, daemon=True).start()

    def page(self, keys: int) -> str:
        self.looks += 1
        return "".join(
            f'litellm_{meter}_tokens_metric_total{{model="gpt-4o",hashed_api_key="key-{n}"}}'
            f" {self.looks * (n % 97 + 3) * share}\n"
            for n in range(keys)
            for meter, share in (("input", 300), ("output", 40))
        )


def run(file: Path, told: Any) -> None:
    """The daemon; tells its page's port, then runs by the clock that the parent asks for."""

    async def live() -> None:
        clock = FastClock()
        daemon = Daemon(load_settings({}, [file]), lambda: load_settings({}, [file]), clock)
        running = asyncio.create_task(daemon.run())
        while daemon._web is None or daemon.evaluation.evaluated_at is None:  # noqa: ASYNC110  the wiring tells nobody
            await asyncio.sleep(0.05)
        told.send(daemon._web._server.servers[0].sockets[0].getsockname()[1])
        clock.let_go(await asyncio.to_thread(told.recv))
        await asyncio.to_thread(told.recv)
        daemon.stop()
        await running

    asyncio.run(live())


class Process:
    """The process, its page and its size."""

    def __init__(self, file: Path) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=run, args=(file, theirs), daemon=True)
        self._process.start()
        self.url = f"http://127.0.0.1:{self.pipe.recv()}"

    def resident(self) -> float:
        """Megabytes."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / MEGABYTE

    def look(self, path: str) -> str:
        return httpx.get(f"{self.url}{path}", trust_env=False, timeout=60).text

    def stop(self) -> None:
        self.pipe.send("stop")
        self._process.join(60)


def settings(folder: str, name: str, url: str, hook: str, *, scopes: bool) -> Path:
    return env_file(
        Path(folder) / f"{name}.env",
        {
            "ALERTD_DATABASE": f"sqlite:///{folder}/{name}.db",
            "ALERTD_POLL_INTERVAL": "1s",
            "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
            "ALERTD_SOURCES__GATEWAY__KIND": "scrape",
            "ALERTD_SOURCES__GATEWAY__URL": f"{url}/metrics",
            "ALERTD_SOURCES__GATEWAY__PRESET": "litellm",
            "ALERTD_BUDGETS__KEYS__AMOUNT": "50 USD",
            **({"ALERTD_BUDGETS__KEYS__PER": "key"} if scopes else {}),
            "ALERTD_NOTIFIERS__HOOK__KIND": "webhook",
            "ALERTD_NOTIFIERS__HOOK__URL": hook,
        },
    )


def main(budgets: int, hours: float, speed: float) -> None:
    with TemporaryDirectory() as folder, WebhookServer() as hook, ExitStack() as stack:
        for name, keys in (("idle", 0), ("busy", budgets)):
            gateway = Gateway(keys)
            stack.callback(gateway.shutdown)
            url = f"http://127.0.0.1:{gateway.server_address[1]}"
            daemon = Process(settings(folder, name, url, hook.url, scopes=keys > 0))
            if not keys:
                daemon.pipe.send(1.0)
                daemon.look("/")
                print(f"idle                 {daemon.resident():6.0f} MB")
            else:
                day(daemon, gateway, hook, budgets, hours=hours, speed=speed)
            daemon.stop()


def day(daemon: Process, gateway: Gateway, hook: WebhookServer, budgets: int, *, hours: float, speed: float) -> None:
    """The hours by the fast clock, a line for some of them."""
    wait_for("every budget", lambda: f'"key-{budgets - 1}"' in daemon.look("/api/v1/budgets"))
    daemon.pipe.send(speed)
    print(f"after the first look {daemon.resident():6.0f} MB")
    began, seen, looks = time.monotonic(), [], gateway.looks
    for hour in range(1, int(hours) + 1):
        while (time.monotonic() - began) * speed < hour * 3600:
            time.sleep(1)
            daemon.look("/metrics")
        daemon.look("/")
        seen.append(daemon.resident())
        if hour in {1, 2, 4, 8, 12, 16, 20} or hour % 24 == 0:
            told = f"{gateway.looks - looks} polls, {len(hook.events)} events"
            print(f"after {hour:2} h           {seen[-1]:6.0f} MB, {told}")
    half = seen[len(seen) // 2 :]
    print(f"the second half: {half[0]:.0f} to {half[-1]:.0f} MB, at most {max(half):.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budgets", type=int, default=1000)
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--speed", type=float, default=60)
    given = parser.parse_args()
    main(given.budgets, given.hours, given.speed)
