"""The first start: a month of counters read back from a real Prometheus, within the server's limits, also when killed.

    PYTHONPATH=. python tests/benchmarks/bench_backfill.py [--series 1000] [--days 30] [--step 60]

promtool makes the month's blocks; Prometheus runs with a bound on the samples of a query and on queries at a time, so
one that is too much is refused. A process of its own reads it into a fresh SQLite; it is killed half-way, and another
goes on. The total is then held to what the counters say. Floor: the same samples merely fetched and decoded.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from alertd import registry
from alertd.core.counting.matchers import selector
from alertd.daemon import SystemClock
from alertd.loops.collect import Collect
from alertd.sources.prometheus import Options, build
from tests.system.backfilled import prometheus, promtool

METRIC = "litellm_input_tokens_metric_total"
#: What Prometheus is started with; its own defaults are 50 million and 20.
LIMITS = ("--query.max-samples=5000000", "--query.max-concurrency=4")


def exposition(series: int, start: int, scrapes: int, step: int) -> Iterator[str]:
    """Counters that grow by 1 to 97 a scrape, each begun anew once in the month."""
    yield f"# TYPE {METRIC.removesuffix('_total')} counter\n"
    for n in range(series):
        name = f'{METRIC}{{model="gpt-4o",team="team-{n % 20}",hashed_api_key="k{n}",job="gateway"}}'
        growth, restart = n % 97 + 1, scrapes // 2 + n % 50
        for scrape in range(scrapes):
            yield f"{name} {growth * (scrape if scrape < restart else scrape - restart)} {start + scrape * step}\n"
    yield "# EOF\n"


def truth(series: int, scrapes: int) -> int:
    """What the counters came to: a restart loses what no scrape saw, here nothing, as it begins at 0."""
    return sum((n % 97 + 1) * (scrapes - 2) for n in range(series))


def measured(url: str, name: str) -> float:
    """A figure of Prometheus about itself, summed over its labels."""
    lines = httpx.get(f"{url}/metrics", trust_env=False).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def read(url: str, database: str, since: datetime, half: float, told: Any) -> None:
    """Collect into the database until the present; at `half` of it, tell and wait to be killed."""

    async def run() -> None:
        store = registry.store(database)
        await store.open()
        source = build("gateway", Options(url=url, preset="litellm", interval="60s"))

        def progress(_: str, share: float) -> None:
            if share > half:
                told.send(None)
                signal.pause()

        await Collect(source, store, SystemClock(), lambda _: since, progress).tick()
        used = resource.getrusage(resource.RUSAGE_SELF)
        rows, _ = await store.usage(since)
        told.send((sum(row.quantity for row in rows), used.ru_utime + used.ru_stime, used.ru_maxrss / 1024))
        await source.close()
        await store.close()

    asyncio.run(run())


@contextmanager
def reader(*given: Any) -> Iterator[tuple[Any, Any]]:
    """A process that reads, and where it tells."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=read, args=(*given, theirs), daemon=True)
    process.start()
    try:
        yield process, ours
    finally:
        process.kill()
        process.join()


async def floor(url: str, since: datetime, until: datetime) -> float:
    """CPU seconds to fetch and decode the same samples, six hours at a time."""
    source = build("gateway", Options(url=url, preset="litellm", interval="60s"))
    matching, began = selector(source._options.conditions()), time.process_time()
    while since < until:
        await source._server.samples(matching, since.timestamp(), (since + timedelta(hours=6)).timestamp())
        since += timedelta(hours=6)
    await source.close()
    return time.process_time() - began


def main(series: int, days: int, step: int) -> None:
    scrapes = days * 86400 // step
    start = int(time.time()) // 60 * 60 - scrapes * step
    since = datetime.fromtimestamp(start - 300, UTC)
    with TemporaryDirectory() as name:
        folder = Path(name)
        text = folder / "month.om"
        with text.open("w", encoding="utf-8", buffering=1 << 20) as out:
            out.writelines(exposition(series, start, scrapes, step))
        promtool(text, folder / "data", seconds=3600)
        text.unlink()
        config = folder / "prometheus.yml"
        config.write_text("global: {scrape_interval: 1h}\n", encoding="utf-8")
        process, url = prometheus(config, folder / "data", *LIMITS)
        try:
            once(url, f"sqlite:///{folder}/first.db", since, (series, scrapes))
            killed(url, f"sqlite:///{folder}/killed.db", since, truth(series, scrapes))
            bare = asyncio.run(floor(url, since, datetime.now(UTC)))
            print(f"floor: fetch and decode {bare:.1f} CPU s")
        finally:
            process.terminate()
            process.wait(20)


def once(url: str, database: str, since: datetime, size: tuple[int, int]) -> None:
    """Undisturbed: time, memory, bytes, queries."""
    series, scrapes = size
    before = {name: measured(url, name) for name in FIGURES}
    began = time.perf_counter()
    with reader(url, database, since, 2.0) as (_, told):
        total, cpu, memory = told.recv()
    took = time.perf_counter() - began
    queries, sent = (measured(url, name) - before[name] for name in FIGURES)
    size_now = Path(database.removeprefix("sqlite:///")).stat().st_size
    print(f"{series} series, {scrapes} scrapes each: {series * scrapes:,} samples; limits {' '.join(LIMITS)}")
    disk = size_now / 2**20
    print(f"read in {took:.0f} s ({cpu:.0f} CPU s), {memory:.0f} MB resident at most, {disk:.1f} MB on disk")
    each = series * scrapes / max(queries, 1)
    print(f"{queries:.0f} queries, {sent / 2**20:.0f} MB sent, {each:,.0f} samples a query; one at a time")
    print(f"counted {total:,}, truth {truth(*size):,}, off by {total - truth(*size):,}")


#: Prometheus's own counts: answered queries, bytes of answers.
FIGURES = (
    'prometheus_http_requests_total{code="200",handler="/api/v1/query"}',
    'prometheus_http_response_size_bytes_sum{handler="/api/v1/query"}',
)


def killed(url: str, database: str, since: datetime, wanted: int) -> None:
    """Killed half-way; another goes on from the cursor."""
    with reader(url, database, since, 0.5) as (process, told):
        told.recv()
        process.kill()
    began = time.perf_counter()
    with reader(url, database, since, 2.0) as (_, told):
        total, _, _ = told.recv()
    print(f"killed half-way: the other half in {time.perf_counter() - began:.0f} s, off by {total - wanted:,}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--step", type=int, default=60, help="seconds between scrapes")
    given = parser.parse_args()
    if shutil.which("prometheus") and shutil.which("promtool"):
        main(given.series, given.days, given.step)
    else:
        print("no `prometheus` and `promtool` on PATH: nothing to read from")
