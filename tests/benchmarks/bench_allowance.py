"""The allowance of the real `alertd run` under load: p50, p99 and errors, beside a bare /healthz in the same run.

    PYTHONPATH=. python tests/benchmarks/bench_allowance.py [--series 20000] [--rate 1000] [--seconds 15]
                                                            [--interval 5] [--connections 20] [--floor 100] [--process]

`--series` counters are read and evaluated every `--interval` seconds on PostgreSQL, one budget scope for each key. A
process of its own asks `--rate` questions a second over keep-alive connections, by a fixed schedule: an answer that is
late delays no later question of another connection, and its time counts from when it was due. `--floor` of them a
second ask /healthz instead: that is the floor. Phases: quiet (nothing is evaluated), evaluating, reloading (SIGHUP
every two seconds), database away (PostgreSQL's processes are stopped by SIGSTOP). With `--process` it is the process of
ALERTD_HTTP__ALLOWANCE_LISTEN that is asked, else the daemon's own address. In dry run, as a message about each
scope would be sent for minutes. The last figures are the CPU of the daemon, evaluations
included, and of the allowance's process. As root, who asks and the allowance's process come before all other work on
the machine (not under `chrt -r`: the kernel stops real-time work for 50 ms of each second in which it takes 95%).
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit

from tests.benchmarks.bench_daemon import A_KEY, cpu_of, prometheus
from tests.databases import postgres_server
from tests.system.daemon import Daemon, env_file, wait_for

Lates = dict[str, list[float]]


class Client:
    """One keep-alive connection that asks by the schedule; a fault is an answer that is not 200."""

    def __init__(self, port: int, keys: int, number: int) -> None:
        self.port, self.keys, self.number = port, keys, number
        self.found: Lates = {"allowance": [], "healthz": []}
        self.faults = 0

    async def run(self, begin: float, gap: float, floor: int, end: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        due, count = begin, self.number
        while due < end:
            await asyncio.sleep(due - time.monotonic())
            is_floor = count % floor == 0
            path = "/healthz" if is_floor else f"/api/v1/allowance?key=key-{(count * 7919 % self.keys) | 1}"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            self.found["healthz" if is_floor else "allowance"].append(time.monotonic() - due)
            if not head.startswith(b"HTTP/1.1 200") or (not is_floor and b'"allow"' not in body):
                self.faults += 1
            due, count = due + gap, count + 1
        writer.close()


def load(port: int, keys: int, given: argparse.Namespace, pipe: Connection) -> None:
    """The asking process: what it is sent is a number of seconds, what it sends back are the times and faults."""

    async def phase(seconds: float) -> tuple[Lates, int]:
        count, begin = given.connections, time.monotonic() + 0.2
        clients = [Client(port, keys, number * 13) for number in range(count)]
        gap = count / given.rate
        floor = max(1, given.rate // given.floor)
        await asyncio.gather(
            *(one.run(begin + gap * n / count, gap, floor, begin + seconds) for n, one in enumerate(clients))
        )
        lates: Lates = {name: [late for one in clients for late in one.found[name]] for name in clients[0].found}
        return lates, sum(one.faults for one in clients)

    put_first(0)
    while (seconds := pipe.recv()) is not None:
        pipe.send(asyncio.run(phase(seconds)))


def put_first(process: int) -> None:
    """As root, let a process (0: this one) have a processor whenever it wants one: the machine may be busy."""
    if os.geteuid() == 0:
        os.sched_setscheduler(process, os.SCHED_RR, os.sched_param(1))


@contextmanager
def asking(port: int, keys: int, given: argparse.Namespace) -> Iterator[Callable[[float], tuple[Lates, int]]]:
    """A function that loads the daemon for so many seconds."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=load, args=(port, keys, given, theirs), daemon=True)
    process.start()

    def ask(seconds: float) -> tuple[Lates, int]:
        ours.send(seconds)
        found: tuple[Lates, int] = ours.recv()
        return found

    try:
        yield ask
    finally:
        ours.send(None)
        process.join(5)


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


def port_of(daemon: Daemon) -> int:
    """Where the process of the allowance answers; 0 before it is known."""
    said = [line["message"] for line in daemon.lines if line.get("message", "").startswith("the allowance alone at ")]
    return int(said[-1].rpartition(":")[2]) if said else 0


def report(name: str, lates: Lates, faults: int, cpu: list[float]) -> None:
    ours, floor = lates["allowance"], lates["healthz"]
    used = " + ".join(f"{one:.2f}" for one in cpu)
    ratio = statistics.median(ours) / statistics.median(floor)
    print(
        f"  {name:14} {len(ours):7,} answers  p50 {percentile(ours, 0.5):6.2f} ms  p99 {percentile(ours, 0.99):7.2f} ms"
        f"  worst {max(ours) * 1000:7.1f} ms  errors {faults}   /healthz p50 {percentile(floor, 0.5):6.2f}"
        f" p99 {percentile(floor, 0.99):7.2f} ms   p50 is {ratio:.2f} x /healthz   {used} CPU s",
        flush=True,
    )


def settings(folder: Path, database: str, source: str, series: int, interval: str) -> Path:
    return env_file(
        folder / "bench.env",
        {
            "ALERTD_DATABASE": database,
            "ALERTD_POLL_INTERVAL": interval,
            "ALERTD_DRY_RUN": "true",
            "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
            "ALERTD_HTTP__ALLOWANCE_LISTEN": "127.0.0.1:0",
            "ALERTD_SOURCES__GATEWAY__KIND": "prometheus",
            "ALERTD_SOURCES__GATEWAY__URL": source,
            "ALERTD_SOURCES__GATEWAY__PRESET": "litellm",
            "ALERTD_SOURCES__GATEWAY__MAX_SERIES": str(max(100_000, series)),
            "ALERTD_BUDGETS__KEYS__AMOUNT": "2 USD",
            "ALERTD_BUDGETS__KEYS__PER": "key",
            "ALERTD_BUDGETS__KEYS__ALLOWANCE_MODE": "warn",
            "ALERTD_NOTIFIERS__LOG__KIND": "console",
        },
    )


@contextmanager
def reloading(daemon: Daemon) -> Iterator[None]:
    """SIGHUP every two seconds."""
    stop = threading.Event()

    def hang_up() -> None:
        while not stop.wait(2):
            daemon.signal(signal.SIGHUP)

    thread = threading.Thread(target=hang_up)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def processes_of(database: str) -> list[int]:
    """The server's processes, the listening one first; its data are where its socket is."""
    (folder,) = parse_qs(urlsplit(database).query)["host"]
    head = int((Path(folder) / "postmaster.pid").read_text().split()[0])
    return [head, *children_of(head)]


def children_of(process: int) -> list[int]:
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _parent(p) == process]


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=20_000)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--interval", type=int, default=5)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--floor", type=int, default=100)
    parser.add_argument("--process", action="store_true")
    given = parser.parse_args()
    keys = -(-given.series // A_KEY)
    print(f"{given.series:,} series, {keys:,} scopes, every {given.interval} s, {given.rate:,} questions a second")
    polls = multiprocessing.get_context("spawn").Array("d", 2)
    server = prometheus(given.series, 100, given.interval, polls)
    with TemporaryDirectory() as folder, postgres_server() as database, server as source:
        daemon = Daemon(settings(Path(folder), database, source, given.series, f"{given.interval}s"))
        try:
            wait_for("the page", lambda: daemon.port, 120)
            wait_for("an evaluation", lambda: (daemon.get("/api/v1/budgets?budget=none") or {})["evaluated_at"], 600)
            port = wait_for("the allowance", lambda: port_of(daemon)) if given.process else daemon.port
            for pid in children_of(daemon.pid):
                put_first(pid)
            with asking(port, keys, given) as ask:
                ask(2)

                def measured(name: str) -> None:
                    pids = [daemon.pid, *children_of(daemon.pid)]
                    cpu = [cpu_of(pid) for pid in pids]
                    lates, faults = ask(given.seconds)
                    report(name, lates, faults, [cpu_of(pid) - before for pid, before in zip(pids, cpu, strict=True)])

                settings(Path(folder), database, source, given.series, "1h")
                daemon.signal(signal.SIGHUP)
                time.sleep(2 * given.interval)
                measured("quiet")
                settings(Path(folder), database, source, given.series, f"{given.interval}s")
                daemon.signal(signal.SIGHUP)
                seen = polls[0]
                wait_for("a poll", lambda: polls[0] > seen, 120)
                measured("evaluating")
                with reloading(daemon):
                    measured("reloading")
                stopped = processes_of(database)
                for pid in stopped:
                    os.kill(pid, signal.SIGSTOP)
                try:
                    measured("database away")
                finally:
                    for pid in stopped:
                        os.kill(pid, signal.SIGCONT)
        finally:
            daemon.stop()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
