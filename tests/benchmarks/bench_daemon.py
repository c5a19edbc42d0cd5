"""The real `alertd run` over a Prometheus-compatible server: CPU a poll, memory, disk and start, beside fetch+decode.

    PYTHONPATH=. python tests/benchmarks/bench_daemon.py [--series 20000] [--polls 30] [--interval 5] [--moving 100]
                                                         [--days 30] [--profile FILE]

Keys x five models x two meters; `--moving` percent of the keys have new values in every poll, the others the value they
had. One budget with a scope for each key (`PER=key`), default thresholds, SQLite, dry run: the first summary of each
scope would be sent for minutes beside the polls. With `--days` the ledger begins with so many days, a bucket a day of
each series. CPU is that of the whole process, threads and kernel included,
from /proc, from one poll's question to the next one's. The floor is the same answer, of as many samples a series as the
daemon asked for, fetched over HTTP and decoded with its labels left as bytes, in a process that does nothing else.
Server, daemon and floor are three processes.
`--profile` has py-spy (installed apart) watch the polls.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qs

import httpx
import msgspec

from alertd import registry
from alertd.sources.prometheus import Options
from tests.benchmarks import bench_tick
from tests.benchmarks.bench_tick import A_KEY, LARGEST_SCOPES, MANY_SCOPES, labels_of
from tests.system.daemon import Daemon, env_file, wait_for

TARGETS = 20
TICKS = os.sysconf("SC_CLK_TCK")


class Answers(BaseHTTPRequestHandler):
    """A Prometheus of counters that grow by (7 + number % 13) a second; some have stood still since the start."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    heads: tuple[str, ...] = ()
    moving: tuple[bool, ...] = ()
    step = 5
    begun = 0
    polls: Any = None

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        at, query = float(form["time"][0]), form["query"][0]
        span = int(query.rpartition("[")[2].rstrip("ms]")) / 1000 if query.endswith("ms]") else 0.0
        result = self.result(query, at, span)
        body = f'{{"status":"success","data":{{"resultType":"matrix","result":[{result}]}}}}'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def result(self, query: str, at: float, span: float) -> str:
        last = int(at) // self.step * self.step
        instants = range(max(last - int(span) // self.step * self.step + self.step, self.begun), last + 1, self.step)
        if "process_start_time_seconds" in query:
            ups = ",".join(f'[{instant},"1"]' for instant in instants)
            return ",".join(
                f'{{"metric":{{"__name__":"up","job":"gateway","instance":"10.0.0.{n}:4000"}},"values":[{ups}]}}'
                for n in range(TARGETS)
            )
        if "_tokens_metric" not in query or "_created" in query:
            return ""
        if not instants:
            return ""  # a Prometheus has no series where it has no sample
        with self.polls.get_lock():
            self.polls[:] = self.polls[0] + 1, span
        parts = []
        for n, head in enumerate(self.heads):
            speed = 7 + n % 13
            values = ",".join(
                f'[{instant},"{(instant - self.begun) * speed if self.moving[n] else speed}"]' for instant in instants
            )
            parts.append(f'{head},"values":[{values}]}}')
        return ",".join(parts)

    def log_message(self, *_: object) -> None:
        pass


def serve(series: int, moving: float, step: int, polls: Any, pipe: Connection) -> None:
    """The server's process."""
    Answers.heads = tuple('{"metric":' + json.dumps(labels_of(n), separators=(",", ":")) for n in range(series))
    Answers.moving = tuple((n // A_KEY * 37) % 100 < moving for n in range(series))
    Answers.step, Answers.polls = step, polls
    Answers.begun = int(time.time()) // step * step - 2 * step
    server = HTTPServer(("127.0.0.1", 0), Answers)
    pipe.send(server.server_port)
    server.serve_forever()


@contextmanager
def prometheus(series: int, moving: float, step: int, polls: Any) -> Iterator[str]:
    """Its address, for the length of a `with`."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=serve, args=(series, moving, step, polls, theirs), daemon=True
    )
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.kill()
        process.join()


def fill(path: str, series: int, days: int) -> None:
    """A ledger of `days` days, a bucket a day of each series; in a process of its own."""

    async def run() -> None:
        store = registry.store(f"sqlite:///{path}")
        await store.open()
        options = Options(url="http://127.0.0.1", preset="litellm")
        await bench_tick.fill(store, options, series, days, 1, now=datetime.now(UTC))
        await store.close()

    asyncio.run(run())


def cpu_of(pid: int) -> float:
    """CPU seconds of a process so far, all its threads, its own and the kernel's."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def megabytes(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def disk(folder: str) -> int:
    """Bytes of the database, journal included."""
    return sum(file.stat().st_size for file in Path(folder).glob("bench.db*"))


class Series(msgspec.Struct):
    metric: msgspec.Raw
    values: list[tuple[float, str]]


class Data(msgspec.Struct):
    resultType: str  # noqa: N815 - its name in the answer
    result: list[Series]


class Answer(msgspec.Struct):
    status: str
    data: Data


def floor(url: str, span: int, pipe: Connection) -> None:
    """CPU seconds of the same answer fetched and decoded: the median of seven."""
    decoder, found = msgspec.json.Decoder(Answer), []
    with httpx.Client(trust_env=False, timeout=120) as client:
        for _ in range(7):
            began = time.process_time()
            form = {"query": f"_tokens_metric[{span * 1000}ms]", "time": f"{time.time():.3f}"}
            decoder.decode(client.post(f"{url}/api/v1/query", data=form).content)
            found.append(time.process_time() - began)
    pipe.send(statistics.median(found))


def fetch_and_decode(url: str, span: int) -> float:
    """The floor, measured in a process of its own."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=floor, args=(url, span, theirs))
    process.start()
    found: float = ours.recv()
    process.join()
    return found


def settings(folder: str, url: str, series: int, interval: int) -> Path:
    return env_file(
        Path(folder) / "bench.env",
        {
            "ALERTD_DATABASE": f"sqlite:///{folder}/bench.db",
            "ALERTD_POLL_INTERVAL": f"{interval}s",
            "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
            "ALERTD_SOURCES__GATEWAY__KIND": "prometheus",
            "ALERTD_SOURCES__GATEWAY__URL": url,
            "ALERTD_SOURCES__GATEWAY__PRESET": "litellm",
            "ALERTD_SOURCES__GATEWAY__MAX_SERIES": str(max(100_000, series)),
            "ALERTD_BUDGETS__KEYS__AMOUNT": "500000 USD",
            "ALERTD_BUDGETS__KEYS__PER": "key",
            "ALERTD_NOTIFIERS__OUT__KIND": "console",
            "ALERTD_DRY_RUN": "true",
        },
    )


def started(file: Path, scopes: int) -> tuple[Daemon, float, float]:
    """A daemon that has evaluated every scope, and the wall-clock and CPU seconds until then."""
    began, now = time.monotonic(), time.time() * 1e6
    daemon = Daemon(file)
    wait_for("the page", lambda: daemon.port, 600)

    def evaluated() -> bool:
        """Asked of the database, which costs the daemon nothing."""
        with closing(sqlite3.connect(f"file:{file.parent}/bench.db?mode=ro", uri=True, timeout=60)) as base:
            ((count,),) = base.execute("SELECT count(*) FROM evaluation WHERE at > ?", (now,)).fetchall()
        return count >= scopes

    wait_for("the evaluation", evaluated, 600)
    return daemon, time.monotonic() - began, cpu_of(daemon.pid)


def polled(daemon: Daemon, polls: Any, count: int) -> list[float]:
    """CPU seconds from each poll's question to the next one's."""
    marks: list[float] = []
    for _ in range(count + 1):
        seen = polls[0]
        while polls[0] == seen:
            assert daemon.ended() is None, daemon.raw[-5:]
            time.sleep(0.01)
        marks.append(cpu_of(daemon.pid))
    return [later - earlier for earlier, later in zip(marks, marks[1:], strict=False)]


def measure(given: argparse.Namespace, folder: str, url: str, polls: Any) -> None:
    """One daemon, its polls and its second start, printed."""
    series, interval = given.series, given.interval
    file = settings(folder, url, series, interval)
    scopes = -(-series // A_KEY)
    # Only what was used has a scope; of many, the largest are evaluated one by one, the others as they come to matter.
    used = scopes if given.days else round(scopes * given.moving / 100)
    scopes = used if used <= MANY_SCOPES else min(used, LARGEST_SCOPES)
    if given.days:
        filling = multiprocessing.get_context("spawn").Process(
            target=fill, args=(f"{folder}/bench.db", series, given.days)
        )
        filling.start()
        filling.join()
        print(
            f"  {given.days} days on disk {disk(folder) / 2**20:12.1f} MB = {disk(folder) / series:,.0f} bytes a series"
        )
    daemon, seconds, cpu = started(file, scopes)
    print(f"  first start          {seconds:8.2f} s, {cpu:.2f} CPU s, {megabytes(daemon.pid):.0f} MB", flush=True)
    try:
        polled(daemon, polls, 2)
        watching = None
        if given.profile:
            spy = [shutil.which("py-spy") or f"{Path(sys.executable).parent}/py-spy", "record", "-p", str(daemon.pid)]
            watching = subprocess.Popen(
                [*spy, "-f", "raw", "-r", "200", "--gil", "-d", str(given.polls * interval), "-o", given.profile],
                stdout=subprocess.DEVNULL,
            )
        before = disk(folder)
        found = polled(daemon, polls, given.polls)
        grown = disk(folder) - before
        if watching is not None:
            watching.wait()
        resident = megabytes(daemon.pid)
        daemon.stop()
        after = disk(folder)
        least = fetch_and_decode(url, round(polls[1]))
        middle, worst, mean = statistics.median(found), max(found), statistics.mean(found)
        print(f"  fetch+decode         {least:8.3f} CPU s")
        print(f"  a poll, median       {middle:8.3f} CPU s = {middle / least:5.1f} x fetch+decode")
        print(f"  a poll, mean         {mean:8.3f} CPU s = {mean / least:5.1f} x")
        print(f"  a poll, worst        {worst:8.3f} CPU s = {worst / least:5.1f} x")
        print(f"  resident             {resident:8.0f} MB")
        each = grown / given.polls / series
        print(f"  disk                 {each:8.1f} bytes a series and poll; {after / 2**20:.1f} MB in all")
        again, seconds, cpu = started(file, scopes)
        daemon = again
        print(f"  second start         {seconds:8.2f} s, {cpu:.2f} CPU s, {megabytes(again.pid):.0f} MB")
    finally:
        if daemon.ended() is None:
            daemon.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=20_000)
    parser.add_argument("--polls", type=int, default=30)
    parser.add_argument("--interval", type=int, default=5, help="seconds between two polls and two scrapes")
    parser.add_argument("--moving", type=float, default=100, help="percent of the keys that are used")
    parser.add_argument("--days", type=int, default=0)
    parser.add_argument("--profile", default="")
    given = parser.parse_args()
    print(
        f"{given.series:,} series, {given.moving:g}% moving, {-(-given.series // A_KEY):,} scopes,"
        f" every {given.interval} s"
    )
    polls = multiprocessing.get_context("spawn").Array("d", 2)
    server = prometheus(given.series, given.moving, given.interval, polls)
    with TemporaryDirectory() as folder, server as url:
        measure(given, folder, url, polls)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
