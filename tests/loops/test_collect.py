"""Collect with replicas and a database that breaks: a counter is counted once, whoever read it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from alertd.core.counting.samples import CounterSamples, CounterState, Increment
from alertd.core.usage import Line
from alertd.loops.collect import Collect, set_back
from alertd.ports import Look, Reading, SourceRow, Store, StoreError
from alertd.sources import scrape
from tests.databases import Place
from tests.fakes import StoppedClock
from tests.memory_store import MemoryStore
from tests.servers.gateway import serving_gateway

BEGAN = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Meter:
    """A counter that gains the number of the minute in every minute; a read goes one minute beyond its cursor."""

    name = "gateway"
    interval = timedelta(minutes=1)
    delay = timedelta(0)
    stale_after = timedelta(minutes=15)
    step = 1

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        minute = int(cursor or 0) + self.step
        at = BEGAN + timedelta(minutes=minute)
        points = [(at.timestamp(), str(sum(range(minute + 1))))]
        samples = [CounterSamples("raw", Line("openai", "gpt-5", "input"), {}, points, "t", BEGAN.timestamp())]
        yield Reading(str(minute), at, samples, {"t": [at.timestamp()]})

    async def look(self, now: datetime) -> Look:
        return Look("a fake")

    async def close(self) -> None: ...


class BreaksAfterCommit(MemoryStore):
    """Every third commit is written, but the answer is lost with the connection."""

    commits = 0

    async def commit_counters(
        self,
        row: SourceRow,
        increments: Sequence[Increment],
        states: Mapping[str, CounterState],
        forgotten: Sequence[str] = (),
    ) -> bool:
        taken = await super().commit_counters(row, increments, states, forgotten)
        BreaksAfterCommit.commits += 1
        if self.commits % 3 == 0:
            raise StoreError("the connection broke")
        return taken


class Overtaken(MemoryStore):
    """Another replica commits the moment before the next commit of this one."""

    other: Collect | None = None

    async def commit_counters(
        self,
        row: SourceRow,
        increments: Sequence[Increment],
        states: Mapping[str, CounterState],
        forgotten: Sequence[str] = (),
    ) -> bool:
        if self.other is not None:
            other, self.other = self.other, None
            assert await other.tick() == 1
        return await super().commit_counters(row, increments, states, forgotten)


def collect(store: Store) -> Collect:
    return Collect(Meter(), store, StoppedClock(), lambda _: BEGAN)


async def total(store: Store) -> int:
    return sum(row.quantity for row in (await store.usage(BEGAN - timedelta(days=1)))[0])


async def test_replicas_that_read_in_turn_count_every_minute_once(place: Place) -> None:
    turns = random.Random(7)
    async with place.open() as one, place.open() as other:
        replicas = [collect(one), collect(other)]
        for _ in range(30):
            assert await turns.choice(replicas).tick() == 1
        assert (await one.source("gateway")).cursor == "30"
        assert await total(one) == sum(range(31))


async def test_a_commit_whose_answer_was_lost_is_not_counted_again() -> None:
    store = BreaksAfterCommit()
    replica = collect(store)
    for turn in range(1, 13):
        if turn % 3:
            assert await replica.tick() == 1
        else:
            with pytest.raises(StoreError):
                await replica.tick()
    assert await total(store) == sum(range(13))


async def test_a_reading_that_lost_the_race_leaves_nothing_behind_for_the_next_one() -> None:
    store = Overtaken()
    slow, quick = collect(store), collect(store)
    assert await slow.tick() == 1
    slow.source.step = 3
    store.other = quick
    assert await slow.tick() == 0
    assert ((await store.source("gateway")).cursor, await total(store)) == ("2", 1 + 2)
    slow.source.step = 1
    assert await slow.tick() == 1
    assert await total(store) == 1 + 2 + 3


async def test_who_loses_the_race_with_the_first_reading_reads_again_at_once_and_is_read_up() -> None:
    # Else two replicas in step each waited for the source that it always lost, and neither announced (seed 6).
    store = Overtaken()
    slow, quick = collect(store), collect(store)
    store.other = quick
    assert slow.catching_up
    assert await slow.tick() == 1
    assert not slow.catching_up
    assert ((await store.source("gateway")).cursor, await total(store)) == ("2", 1 + 2)


async def test_what_is_used_after_the_clock_was_set_back_is_counted_at_once_and_once(place: Place) -> None:
    clock = StoppedClock()
    with serving_gateway() as (gateway, server):
        options = scrape.Options(url=f"{server.url}/metrics", preset="vllm", token=SecretStr(gateway.token))
        async with place.open() as store:
            page = Collect(scrape.build("gateway", options), store, clock, lambda _: BEGAN)
            seen = []
            for hours, tokens in ((0, 1_000_000), (1, 1_000_100), (-1, 1_000_300), (0, 1_000_300), (1, 1_000_600)):
                clock.move(hours=hours)
                gateway.tokens = tokens
                await page.tick()
                clock.move(minutes=1)
                row = await store.source("gateway")
                assert row.until is not None
                assert row.until <= clock.now(), "nothing is known of a time to come"
                seen.append(await total(store))
            await page.source.close()
    assert seen == [0, 100, 300, 300, 600]


def test_only_counters_of_a_time_to_come_are_set_back() -> None:
    now = BEGAN.timestamp()
    states = {"old": CounterState(now - 3600, 5), "ahead": CounterState(now + 3600, 7, now - 60, 2)}
    assert set_back(states, BEGAN) == {"ahead": CounterState(now - 1, 7, now - 60, 2)}
