"""A tick at scale over a Prometheus-compatible server: every stage's CPU beside fetching and decoding the same answer.

    PYTHONPATH=. python tests/benchmarks/bench_tick.py [--series 100000 --budgets 10000] [--days 14]

Keys x five models x two meters, all of them active: each has new samples in every poll. Half of the budgets are
configured one by one, half are scopes of one rule `per` key; all with the default thresholds, on a ledger of so many
days. The server is a process of its own; each size runs in a process of its own, so that memory is its own too.
CPU of the whole process is counted (threads included), the best of three ticks after the first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any
from urllib.parse import parse_qs

from alertd import registry
from alertd.clients.price_files import price_book
from alertd.commands.run import collect_seldom
from alertd.core.budgets import Amount, Budget, Where
from alertd.core.counting.matchers import selector
from alertd.core.counting.samples import Increment
from alertd.core.evaluation.evaluate import evaluate
from alertd.core.evaluation.state import State
from alertd.core.periods import PeriodRule
from alertd.core.pricing.exchange_rates import Rates
from alertd.core.pricing.tariffs import exchange_of
from alertd.loops.collect import Collect
from alertd.loops.evaluate import Evaluate, EvaluationConfig
from alertd.ports import Reading, Source, Store
from alertd.sources.prometheus import Options, build
from tests.fakes import StoppedClock

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MODELS = ("gpt-5", "gpt-5-mini", "gpt-4o", "gpt-4o-mini", "gpt-4.1")
METERS = ("input", "output")
A_KEY = len(MODELS) * len(METERS)
#: Of more scopes than this so many are evaluated one by one (`core/evaluation/budget_status.py`).
MANY_SCOPES, LARGEST_SCOPES = 2000, 200
SIZES = ((1_000, 100), (10_000, 1_000), (50_000, 5_000))


def labels_of(number: int) -> dict[str, str]:
    """The labels of one raw series, as LiteLLM makes them."""
    key, rest = divmod(number, A_KEY)
    return {
        "__name__": f"litellm_{METERS[rest % 2]}_tokens_metric_total",
        "api_key_alias": f"{'key' if key % 2 else 'job'}-{key}",
        "hashed_api_key": f"{key:064x}",
        "instance": f"10.0.0.{key % 20}:4000",
        "job": "gateway",
        "model": MODELS[rest // 2],
        "team_alias": f"team-{key % 50}",
    }


class Answers(BaseHTTPRequestHandler):
    """A Prometheus of counters that grow by (7 + number % 13) a second."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    heads: tuple[str, ...] = ()

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        at, query = float(form["time"][0]), form["query"][0]
        last = int(at) // 60 * 60
        if "process_start_time_seconds" in query:
            result = ",".join(
                f'{{"metric":{{"__name__":"up","job":"gateway","instance":"10.0.0.{n}:4000"}},'
                f'"values":[[{last - 60},"1"],[{last},"1"]]}}'
                for n in range(20)
            )
        elif "_tokens_metric" not in query or "_created" in query:
            result = ""
        else:
            begun = int(NOW.timestamp()) - 86400
            parts = []
            for n, head in enumerate(self.heads):
                before = (last - 60 - begun) * (7 + n % 13)
                parts.append(f'{head},"values":[[{last - 60},"{before}"],[{last},"{before + 60 * (7 + n % 13)}"]]}}')
            result = ",".join(parts)
        body = f'{{"status":"success","data":{{"resultType":"matrix","result":[{result}]}}}}'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def serve(series: int, pipe: Connection) -> None:
    """The server's process."""
    Answers.heads = tuple('{"metric":' + json.dumps(labels_of(n), separators=(",", ":")) for n in range(series))
    server = HTTPServer(("127.0.0.1", 0), Answers)
    pipe.send(server.server_port)
    server.serve_forever()


@contextmanager
def prometheus(series: int) -> Iterator[str]:
    """Its address, for the length of a `with`."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(series, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.kill()
        process.join()


class Watch:
    """CPU seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def on(self, stage: str) -> Iterator[None]:
        began = process_time()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + process_time() - began


class Watched:
    """A source whose reading is timed."""

    def __init__(self, source: Source, watch: Watch) -> None:
        self._source, self.watch = source, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        readings = self._source.read(cursor, since, now)
        while True:
            with self.watch.on("read"):
                reading = await anext(readings, None)
            if reading is None:
                return
            yield reading


class WatchedStore:
    """A store whose commits are timed."""

    def __init__(self, store: Store, watch: Watch) -> None:
        self._store, self.watch = store, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit_counters(self, *given: Any) -> bool:
        with self.watch.on("ledger"):
            return await self._store.commit_counters(*given)


def budgets_of(count: int) -> list[Budget]:
    """Half one by one, half scopes of one rule."""
    month, amount = PeriodRule("month", UTC), Amount(Decimal(5000), "USD")
    single = [Budget(f"key-{n}", amount, month, Where.of({"key": (f"key-{n}",)})) for n in range(1, count, 2)]
    return [*single, Budget("jobs", amount, month, Where.of({"team": ("team-*",), "key": ("job-*",)}), per=("key",))]


def resident() -> float:
    """Megabytes that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


async def fill(store: Store, options: Options, series: int, days: int, daily: int, *, now: datetime = NOW) -> None:
    """A ledger of `days` days, `daily` buckets a day and series, complete from its first day on."""
    attributor = options.attributor()
    found = [attributor.of(labels["__name__"], labels) for labels in map(labels_of, range(series))]
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    midnight = int(today.timestamp())
    for number in range(days * daily, 0, -1):
        start = midnight - 86400 // daily * number + (43200 if daily == 1 else 0)
        rows = [
            Increment(one.line, one.labels, start, 900, (20_000 + (n * 7919 + number * 104_729) % 9973) // daily)
            for n, one in enumerate(found)
            if one is not None
        ]
        row = await store.source("gateway")
        since = today - timedelta(days=days)
        assert await store.commit_counters(replace(row, complete_from=since), rows, {})


def filled(folder: str, options: Options, series: int, days: int, daily: int) -> None:
    """Fill it, in a process of its own."""

    async def run() -> None:
        store = registry.store(f"sqlite:///{folder}/tick.db")
        await store.open()
        await fill(store, options, series, days, daily)
        await store.close()

    asyncio.run(run())


async def measure(series: int, budgets: int, days: int, url: str, folder: str, *, daily: int = 1) -> dict[str, float]:
    """CPU seconds by stage, the best of three ticks; megabytes at the end."""
    options = Options(url=url, preset="litellm", interval="60s")
    watch = Watch()
    filling = multiprocessing.get_context("spawn").Process(target=filled, args=(folder, options, series, days, daily))
    filling.start()
    filling.join()
    store = registry.store(f"sqlite:///{folder}/tick.db")
    await store.open()
    clock = StoppedClock(NOW)
    source = build("gateway", options)
    # The answer by itself: what nobody can do without.
    floors = []
    for _ in range(3):
        began = process_time()
        raw = await source._server.samples(selector(options.conditions()), NOW.timestamp() - 120, NOW.timestamp())
        floors.append(process_time() - began)
        assert len(raw.series) == series
        del raw
    watched = Watched(source, watch)
    collect = Collect(watched, WatchedStore(store, watch), clock, lambda now: now - timedelta(minutes=2))
    book = price_book([])
    terms = EvaluationConfig(budgets_of(budgets), book, exchange_of(Rates()), {}, {"gateway": source})
    evaluation = Evaluate(store, clock, terms, lambda: None)
    ticks: list[dict[str, float]] = []
    for number in range(4):
        clock.at = NOW + timedelta(minutes=number)
        watch.seconds = {}
        with watch.on("collect"):
            await collect.tick()
        with watch.on("refresh"):
            await evaluation._refresh()
            state = State.of(await store.memory())
            facts = await evaluation._facts(state, frozenset(), frozenset(), {})
        with watch.on("assess"):
            decisions = evaluate(facts)
        with watch.on("commit"):
            await evaluation._commit(decisions, state)
        if number == 0:
            print(f"  first tick: {sum(watch.seconds[n] for n in ('collect', 'refresh', 'assess', 'commit')):.2f} s")
        ticks.append(watch.seconds)
    single = len(range(1, budgets, 2))
    scopes = budgets - single
    # Of many scopes, only the largest are evaluated one by one.
    followed = scopes if scopes <= MANY_SCOPES else LARGEST_SCOPES
    assert len(decisions.statuses) == single + followed, (len(decisions.statuses), single, scopes)
    assert all(p.spent > 0 and p.projection for p in decisions.statuses), "every budget has spend and a projection"
    await store.close()
    await source.close()
    best = {stage: min(tick[stage] for tick in ticks[1:]) for stage in ticks[1]}
    best["fetch+decode"] = min(floors)
    best["resident"] = resident()
    best["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return best


def child(series: int, budgets: int, days: int, pipe: Connection, daily: int = 1) -> None:
    """One size in a process of its own, set up as `alertd run` does."""
    collect_seldom()
    with prometheus(series) as url, TemporaryDirectory() as folder:
        pipe.send(asyncio.run(measure(series, budgets, days, url, folder, daily=daily)))


def size(series: int, budgets: int, days: int) -> dict[str, float]:
    """Measure one size and print it."""
    print(f"{series:,} series, {budgets:,} budgets, {days} days")
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=child, args=(series, budgets, days, theirs))
    process.start()
    theirs.close()
    found = ours.recv()
    process.join()
    floor = found["fetch+decode"]
    found["labels"] = found["read"] - floor
    found["count"] = found["collect"] - found["read"] - found["ledger"]
    total = found["collect"] + found["refresh"] + found["assess"] + found["commit"]
    for stage in ("fetch+decode", "labels", "count", "ledger", "refresh", "assess", "commit"):
        print(f"  {stage:14}{found[stage]:8.3f} s")
    print(
        f"  {'whole tick':14}{total:8.3f} s = {total / floor:.1f} x fetch+decode; "
        f"{found['resident']:.0f} MB resident, {found['megabytes']:.0f} at most"
    )
    return {"total": total, **found}


def main() -> None:
    """Print a table a size, and the growth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int)
    parser.add_argument("--budgets", type=int)
    parser.add_argument("--days", type=int, default=14)
    args = parser.parse_args()
    if args.series:
        size(args.series, args.budgets or args.series // A_KEY, args.days)
        return
    for series, budgets in SIZES:
        once, twice = size(series, budgets, args.days), size(2 * series, 2 * budgets, args.days)
        print(f"  twice the series: {twice['total'] / once['total']:.2f} x the time")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
