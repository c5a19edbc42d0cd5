"""Old usage is deleted and nothing else, with the labels of what is used no more; replicas go on counting right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from alertd.core.counting.samples import CounterState, Increment
from alertd.core.usage import Line, Usage
from alertd.ports import Reading, Store
from alertd.stores import retention
from alertd.stores.sql import SqlStore
from tests.databases import Place

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = 3600
BORDER = NOW - timedelta(days=200)
LINE = Line("openai", "gpt-5", "input")


def used(days_ago: float, quantity: int, *, width: int = HOUR, **labels: str) -> Increment:
    start = int((NOW - timedelta(days=days_ago)).timestamp()) // HOUR * HOUR
    return Increment(LINE, labels, start, width, quantity)


async def count(store: Store, *increments: Increment) -> None:
    assert await store.commit_counters(await store.source("gateway"), increments, {"f": CounterState(1.0, 5)})


async def forgotten(store: Store, before: datetime = BORDER) -> int:
    total = 0
    while gone := await store.forget(before):
        total += gone
    return total


async def held(store: Store) -> dict[str, int]:
    """What is held by the user that it is of; every row has a series."""
    rows, _ = await store.usage(datetime(2020, 1, 1, tzinfo=UTC))
    users = {row.id: row.labels["user"] for row in await store.series()}
    found: dict[str, int] = {}
    for row in rows:
        found[users[row.series]] = found.get(users[row.series], 0) + row.quantity
    return found


async def test_what_ended_before_the_border_is_deleted_and_all_else_stays(place: Place) -> None:
    async with place.open() as store:
        day = timedelta(days=1) // timedelta(seconds=1)
        await count(store, used(300, 1, user="ana"), used(200.5, 2, user="ana", width=day), used(10, 4, user="ana"))
        assert await forgotten(store) == 1
        assert await held(store) == {"ana": 6}
        assert await forgotten(store) == 0
        assert await store.counter_states("gateway") == {"f": CounterState(1.0, 5)}


async def test_with_the_last_usage_of_a_series_its_labels_go(place: Place) -> None:
    async with place.open() as store:
        await count(store, used(300, 1, user="ana"), used(300, 1, user="bob"), used(150, 1, user="bob"))
        await forgotten(store)
        assert [row.labels for row in await store.series()] == [{"user": "bob"}]
        await forgotten(store, NOW)
        assert await store.series() == []


async def test_whoever_is_back_after_that_is_a_new_series_with_the_whole_count(place: Place) -> None:
    async with place.open() as store:
        await count(store, used(300, 1, user="ana"), used(1, 1, user="bob"))
        old = {row.labels["user"]: row.id for row in await store.series()}
        await forgotten(store)
        await count(store, used(0, 7, user="ana"), used(0, 2, user="bob"))
        assert await held(store) == {"ana": 7, "bob": 3}
        new = {row.labels["user"]: row.id for row in await store.series()}
        assert new["bob"] == old["bob"]
        assert new["ana"] > max(old.values()), "a reader that goes on from the last number it saw learns of it"


async def test_another_replica_that_knows_a_deleted_series_counts_into_no_void(place: Place) -> None:
    async with place.open() as one, place.open() as other:
        await count(one, used(300, 1, user="ana"), used(1, 1, user="bob"))
        await count(other, used(299, 1, user="ana"), used(1, 1, user="bob"))
        await forgotten(one)
        await count(other, used(0, 7, user="ana"), used(0, 1, user="bob"))
        assert await held(other) == {"ana": 7, "bob": 3}
        start = NOW - timedelta(days=1)
        record = Usage(LINE, start, start + timedelta(hours=1), 5, {"user": "eve"})
        assert await other.commit_records(
            await other.source("bills"), Reading("c", NOW, records=[record], window=(start, NOW))
        )
        assert await held(one) == {"ana": 7, "bob": 3, "eve": 5}


async def test_old_usage_that_is_read_again_is_deleted_again(place: Place) -> None:
    async with place.open() as store:
        for _ in range(2):
            start = NOW - timedelta(days=300)
            record = Usage(LINE, start, start + timedelta(hours=1), 5, {"user": "ana"})
            reading = Reading("c", NOW, records=[record], window=(start, start + timedelta(days=1)))
            assert await store.commit_records(await store.source("bills"), reading)
            assert await held(store) == {"ana": 5}
            await forgotten(store)
            assert (await held(store), await store.series()) == ({}, [])


async def test_what_is_compacted_is_deleted_block_by_block(place: Place) -> None:
    async with place.open() as store:
        await count(store, *(used(300 + hour / 24, 1, user="ana") for hour in range(48)), used(1, 1, user="ana"))
        while await store.compact(NOW - timedelta(days=2)):
            pass
        await forgotten(store)
        assert await held(store) == {"ana": 1}
        await count(store, used(0, 1, user="ana"))
        while await store.compact(NOW + timedelta(days=1)):
            pass
        assert await held(store) == {"ana": 2}


async def test_an_empty_ledger_has_nothing_to_forget(place: Place) -> None:
    async with place.open() as store:
        assert await store.forget(NOW) == 0


async def test_a_series_used_between_the_look_and_the_deletion_is_spared(durable: Place) -> None:
    """The look happens outside of any write; usage that comes meanwhile has a later revision."""
    async with durable.open() as store:
        assert isinstance(store, SqlStore)
        await count(store, used(300, 1, user="ana"), used(1, 1, user="bob"))
        assert await store.forget(BORDER) == 1
        seen = await store.database.read(retention.inventory)
        await count(store, used(0, 7, user="ana"))
        (ana,) = [row.id for row in await store.series() if row.labels["user"] == "ana"]
        unused = frozenset({ana})
        assert await store.database.write(lambda tx: retention.delete_series(tx, unused, seen.revision)) == 0
        assert await held(store) == {"ana": 7, "bob": 1}


@pytest.mark.parametrize("before", [BORDER, NOW])
async def test_a_reader_that_goes_on_holds_no_series_that_a_new_one_would_miss(place: Place, before: datetime) -> None:
    async with place.open() as store:
        await count(store, used(300, 1, user="ana"), used(100, 2, user="ana"), used(1, 3, user="bob"))
        _, revision = await store.usage(NOW - timedelta(days=400))
        await forgotten(store, before)
        await count(store, used(0, 4, user="ana"))
        more, _ = await store.usage(NOW - timedelta(days=400), revision)
        known = {row.id for row in await store.series()}
        assert [row.quantity for row in more] == [4]
        assert {row.series for row in more} <= known
