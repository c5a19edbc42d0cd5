"""Old usage in compressed blocks: what it sums to does not change, whoever reads and however far the work is."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertd.core.counting.buckets import Bucket, Closed, open_window, replaced
from alertd.core.counting.samples import Increment
from alertd.core.evaluation.state import DAMAGE, RESTORED, State
from alertd.core.ledger.blocks import Buckets
from alertd.core.ledger.packing import pack, unpack
from alertd.core.ledger.sealed import is_whole
from alertd.core.usage import Line, Usage
from alertd.ports import Reading, Store, StoreDamagedError, StoreError, UsageBehindError, UsageRow
from alertd.stores.sql import SqlStore
from tests.databases import Place

MIDNIGHT = datetime(2026, 9, 1, tzinfo=UTC)
DAY = 86400
AT = int(MIDNIGHT.timestamp())
LINE = Line("openai", "gpt-5", "input")


async def count(store: Store, *increments: Increment) -> None:
    assert await store.commit_counters(await store.source("gateway"), increments, {})


async def read(store: Store, quantities: dict[int, int], hours: tuple[int, int]) -> None:
    """One record an hour after midnight, for a window of hours."""
    start = {hour: MIDNIGHT + timedelta(hours=hour) for hour in (*quantities, *hours)}
    records = [Usage(LINE, start[hour], start[hour] + timedelta(hours=1), n) for hour, n in quantities.items()]
    reading = Reading("c", MIDNIGHT, records=records, window=(start[hours[0]], start[hours[1]]))
    assert await store.commit_records(await store.source("bills"), reading)


QUARTER = 900


async def compact_all(store: Store, before: datetime) -> int:
    """How many rows went into blocks."""
    total = 0
    while gone := await store.compact(before):
        total += gone
    return total


async def held(store: Store) -> list[UsageRow]:
    return sorted(row for row in (await store.usage(MIDNIGHT))[0] if row.quantity)


increments = st.lists(
    st.builds(
        lambda series, start, width, n: Increment(LINE, {"n": str(series)}, AT + start * width, width, n),
        st.integers(0, 3),
        st.integers(0, 400),
        st.sampled_from([60, 300, 3600, 7200]),
        st.integers(-(10**12), 2**50),
    ),
    max_size=40,
)


@given(st.lists(increments, min_size=1, max_size=4), st.lists(st.integers(0, 12), max_size=4))
@settings(max_examples=25, deadline=None)
def test_sums_by_series_and_day_stay_and_a_reader_that_goes_on_has_them(
    batches: list[list[Increment]], days: list[int]
) -> None:
    """Commits and compaction in any order: who follows revisions and who starts afresh have the same sums."""

    async def story(place: Place) -> None:
        truth: defaultdict[tuple[str, int], int] = defaultdict(int)
        seen: dict[tuple[int, int, int], int] = {}
        async with place.open() as store:
            revision = 0
            for number, batch in enumerate(batches):
                await count(store, *batch)
                for one in batch:
                    truth[one.labels["n"], one.start // DAY] += one.quantity
                await store.usage_within(AT, AT + DAY, keep=True)
                await store.usage_within(AT + 2 * 3600, AT + 3 * 3600, keep=True)
                if number < len(days):
                    await compact_all(store, MIDNIGHT + timedelta(days=days[number], hours=5))
                try:
                    rows, revision = await store.usage(MIDNIGHT, revision)
                except UsageBehindError:
                    rows, revision = await store.usage(MIDNIGHT)
                    seen.clear()
                seen |= {row[:3]: row.quantity for row in rows}
            names = {row.id: row.labels["n"] for row in await store.series()}
            within = [
                row._replace(width=QUARTER)
                for day in range(40)
                for row in await store.usage_within(AT + day * DAY, AT + day * DAY + DAY)
            ]
            wide = [row for row in await held(store) if row.width > 3600]
            for found in ([UsageRow(*bucket, n) for bucket, n in seen.items()], await held(store), within + wide):
                sums: defaultdict[tuple[str, int], int] = defaultdict(int)
                for row in found:
                    sums[names[row.series], row.start // DAY] += row.quantity
                assert {k: v for k, v in sums.items() if v} == {k: v for k, v in truth.items() if v}

    for kind in ("memory", "sqlite"):
        with TemporaryDirectory() as folder:
            asyncio.run(story(Place(kind, f"sqlite:///{Path(folder) / 'a.db'}")))


async def test_what_lies_before_the_border_becomes_quarters_of_an_hour_and_hours_and_days_stay(place: Place) -> None:
    async with place.open() as store:
        fine = [Increment(LINE, {}, AT + minute * 60, 60, 1) for minute in range(120)]
        wide = [Increment(LINE, {}, AT + 3600 * hour, width, 5) for hour, width in ((2, 3600), (3, DAY))]
        await count(store, *fine, *wide)
        await compact_all(store, MIDNIGHT + timedelta(minutes=100))
        assert [(row.start - AT, row.width, row.quantity) for row in await held(store)] == [
            *((part * QUARTER, QUARTER, 15) for part in range(4)),
            *((minute * 60, 60, 1) for minute in range(60, 120)),
            (2 * 3600, 3600, 5),
            (3 * 3600, DAY, 5),
        ]
        await compact_all(store, MIDNIGHT + timedelta(days=1))
        assert [(row.width, row.quantity) for row in await held(store)] == [*[(QUARTER, 15)] * 8, (3600, 5), (DAY, 5)]
        assert await compact_all(store, MIDNIGHT + timedelta(days=1)) == 0


async def test_one_call_does_a_bounded_piece_of_the_work(durable: Place) -> None:
    async with durable.open() as store:
        await count(
            store,
            *(
                Increment(LINE, {"n": str(n)}, AT + part * QUARTER, QUARTER, 1)
                for n in range(3000)
                for part in range(12)
            ),
        )
        assert await store.compact(MIDNIGHT + timedelta(days=1)) == 24_000, "whole hours"
        assert sum(row.quantity for row in await held(store)) == 36_000
        assert await store.compact(MIDNIGHT + timedelta(days=1)) == 12_000
        assert await store.compact(MIDNIGHT + timedelta(days=1)) == 0
        assert len(await held(store)) == 36_000


async def test_a_late_increment_counts_beside_what_is_compacted_and_readers_start_anew(place: Place) -> None:
    async with place.open() as store:
        await count(store, Increment(LINE, {}, AT, 60, 5))
        _, revision = await store.usage(MIDNIGHT)
        await compact_all(store, MIDNIGHT + timedelta(days=2))
        assert (await store.usage(MIDNIGHT, revision))[0] == []
        await count(store, Increment(LINE, {}, AT, 60, 7), Increment(LINE, {"new": "1"}, AT + DAY, QUARTER, 1))
        assert sum(row.quantity for row in await held(store)) == 13
        with pytest.raises(UsageBehindError):
            await store.usage(MIDNIGHT, revision)
        _, revision = await store.usage(MIDNIGHT)
        assert (await store.usage(MIDNIGHT, revision))[0] == []


async def test_who_missed_a_change_before_it_was_compacted_is_told_to_start_anew(place: Place) -> None:
    async with place.open() as store:
        await count(store, Increment(LINE, {}, AT, 60, 5))
        _, revision = await store.usage(MIDNIGHT)
        await count(store, Increment(LINE, {}, AT, 60, 5))
        await compact_all(store, MIDNIGHT + timedelta(days=2))
        with pytest.raises(UsageBehindError):
            await store.usage(MIDNIGHT, revision)


async def test_a_compacted_day_read_again_is_replaced_and_what_vanished_goes(place: Place) -> None:
    async with place.open() as store:
        await read(store, dict.fromkeys(range(48), 10), (0, 48))
        await compact_all(store, MIDNIGHT + timedelta(days=2))
        await read(store, dict.fromkeys(range(24), 11), (0, 24))
        assert sum(row.quantity for row in await held(store)) == 24 * 11 + 24 * 10
        await read(store, {}, (0, 48))
        assert await held(store) == []


async def test_a_sum_that_does_not_fit_is_refused_and_nothing_is_written(durable: Place) -> None:
    async with durable.open() as store:
        await count(store, Increment(LINE, {}, AT, QUARTER, 2**63 - 1))
        await compact_all(store, MIDNIGHT + timedelta(days=1))
        with pytest.raises(StoreError, match="64 bits"):
            await count(store, Increment(LINE, {}, AT, QUARTER, 1))
        assert [row.quantity for row in await held(store)] == [2**63 - 1]


async def test_a_damaged_block_is_named_with_its_source_and_time(durable: Place) -> None:
    async with durable.open() as store:
        assert isinstance(store, SqlStore)
        await count(store, *(Increment(LINE, {}, AT + part * QUARTER, QUARTER, 7 + part) for part in range(8)))
        await compact_all(store, MIDNIGHT + timedelta(days=1))
        slot = AT + 4 * QUARTER
        ((block,),) = await store.database.read(
            lambda tx: tx.rows("SELECT buckets FROM usage_block WHERE slot = ?", slot)
        )
        torn = bytes(block)[:-1] + bytes([bytes(block)[-1] ^ 1])
        await store.database.write(lambda tx: tx.run("UPDATE usage_block SET buckets = ? WHERE slot = ?", torn, slot))
        with pytest.raises(StoreDamagedError, match=r"the usage of gateway from 2026-09-01 01:00 UTC on is damaged"):
            await store.usage(MIDNIGHT)


async def test_blocks_of_quarters_that_an_earlier_version_wrote_go_into_those_of_their_hour(durable: Place) -> None:
    async with durable.open() as store:
        assert isinstance(store, SqlStore)
        await count(store, *(Increment(LINE, {}, AT + part * QUARTER, QUARTER, 7) for part in range(8)))
        ((until,),) = await store.database.write(
            lambda tx: tx.rows("UPDATE turn SET number = ? WHERE name = 'closed' RETURNING number", AT + 5 * QUARTER)
        )
        await count(store, Increment(LINE, {}, AT + QUARTER, QUARTER, 1), Increment(LINE, {}, AT + 4800, 300, 1))
        assert sum(row.quantity for row in await held(store)) == 58
        await compact_all(store, datetime.fromtimestamp(until, UTC) + timedelta(hours=1))
        assert [row.quantity for row in await held(store)] == [7, 8, 7, 7, 7, 8, 7, 7]


columns = st.lists(
    st.tuples(st.integers(0, 2**40), st.integers(-(2**33), 2**33), st.integers(1, 3600), st.integers(-(2**62), 2**62)),
    max_size=30,
    unique_by=lambda row: row[:3],
)


@given(columns)
def test_a_block_gives_back_what_went_in(rows: list[tuple[int, ...]]) -> None:
    table = np.array(rows, np.int64).reshape(-1, 4)
    block = pack(Buckets(*table.T))
    found = sorted(zip(*(column.tolist() for column in unpack(block)), strict=True))
    assert found == sorted(row for row in rows if row[3])
    assert is_whole(block)


@given(columns, st.data())
def test_no_byte_of_a_block_changes_unnoticed(rows: list[tuple[int, ...]], data: st.DataObject) -> None:
    block = bytearray(pack(Buckets(*np.array(rows, np.int64).reshape(-1, 4).T)))
    place = data.draw(st.integers(0, len(block) - 1))
    block[place] ^= data.draw(st.integers(1, 255))
    assert not is_whole(bytes(block))
    with pytest.raises(ValueError, match="checksum"):
        unpack(bytes(block))


@given(
    st.integers(0, 300),
    st.integers(0, 300),
    st.dictionaries(st.integers(0, 299), st.integers(1, 9)),
    st.integers(0, 10),
)
def test_a_correction_never_counts_an_hour_twice(
    start: int, length: int, held_hours: dict[int, int], days: int
) -> None:
    """Whatever window is read again after compaction, each day holds its old figure, or the new one of whole hours."""
    closed = [Closed(days * 24, 24)]
    held_buckets: dict[Bucket, int] = defaultdict(int)
    for hour, n in held_hours.items():
        rolled = hour < days * 24
        held_buckets[Bucket(1, hour - hour % 24 if rolled else hour, 24 if rolled else 1)] += n
    window = (start, start + length)
    new = {Bucket(1, hour, 1): 100 for hour in range(*window)}
    after = {**held_buckets, **replaced(held_buckets, new, window, closed)}
    inside = range(*open_window(window, closed))
    for day in range(30):
        hours = range(day * 24, day * 24 + 24)
        untouched = sum(n for hour, n in held_hours.items() if hour in hours and hour not in inside)
        expected = untouched + 100 * sum(1 for hour in hours if hour in inside)
        assert sum(n for bucket, n in after.items() if bucket.start in hours) == expected


async def kept_sums(store: SqlStore) -> int:
    return await store._database.read(lambda tx: tx.rows("SELECT count(*) FROM usage_sum")[0][0])


async def a_day(store: SqlStore, *, keep: bool = True) -> int:
    """What a day adds up to, by the store."""
    return sum(row.quantity for row in await store.usage_within(AT, AT + DAY, keep=keep))


async def test_a_kept_sum_outlives_compaction_and_no_change(durable: Place) -> None:
    async with durable.open() as store:
        await count(store, *(Increment(LINE, {"n": str(n)}, AT + n * 3600, 300, 10) for n in range(24)))
        assert (await a_day(store), await kept_sums(store)) == (240, 1)
        await compact_all(store, MIDNIGHT + timedelta(days=2))
        # Told apart from what the blocks say by a sum that they never had.
        wrong = pack(Buckets(*(np.array([one]) for one in (1, AT, DAY, 7))))
        await store._database.write(lambda tx: tx.run("UPDATE usage_sum SET sums = ?", wrong))
        assert await a_day(store) == 7, "read, not worked out"
        await count(store, Increment(LINE, {"n": "0"}, AT + 5 * 3600, 300, 1))
        assert [await a_day(store) for _ in range(2)] == [241, 241]
        await store._database.write(lambda tx: tx.run("UPDATE usage_sum SET sums = ?", wrong[:-1] + b"?"))
        assert await a_day(store) == 241, "a damaged one is worked out anew"


async def test_a_sum_of_hours_that_lost_all_they_had_is_worked_out_anew(durable: Place) -> None:
    async with durable.open() as store:
        await read(store, {1: 5, 3: 7}, (0, 24))
        await compact_all(store, MIDNIGHT + timedelta(days=2))
        assert await a_day(store) == 12
        await read(store, {3: 7}, (0, 24))
        assert await a_day(store) == 7


async def test_a_day_takes_the_place_of_the_sums_of_its_hours_and_old_ones_go_with_their_usage(durable: Place) -> None:
    async with durable.open() as store:
        await count(store, *(Increment(LINE, {}, AT + n * 3600, 300, 10) for n in range(48)))
        for hour in range(30):
            await store.usage_within(AT + hour * 3600, AT + (hour + 1) * 3600, keep=True)
        assert (await a_day(store, keep=False), await kept_sums(store)) == (240, 30)
        assert (await a_day(store), await kept_sums(store)) == (240, 7)
        while await store.forget(MIDNIGHT + timedelta(days=1, hours=2)):
            pass
        assert await kept_sums(store) == 4


async def test_what_is_stored_of_a_source_can_be_dropped_and_is_read_again_while_others_stay(place: Place) -> None:
    async with place.open() as store:
        await read(store, {1: 5, 30: 7}, (0, 48))
        await count(store, Increment(LINE, {}, AT, 300, 10), Increment(LINE, {}, AT, DAY, 3))
        row, (_, revision) = await store.source("gateway"), await store.usage(MIDNIGHT)
        await store.read_again("gateway", "a fault", MIDNIGHT)
        assert sorted(row.quantity for row in (await store.usage(MIDNIGHT))[0]) == [5, 7]
        with pytest.raises(UsageBehindError):
            await store.usage(MIDNIGHT, revision)
        assert not await store.commit_counters(row, (), {}), "who was reading it begins anew, too"
        fresh = await store.source("gateway")
        assert (fresh.cursor, fresh.until) == (None, None)
        assert await store.commit_counters(fresh, [Increment(LINE, {}, AT, 300, 9)], {})
        assert sorted(row.quantity for row in (await store.usage(MIDNIGHT))[0]) == [5, 7, 9]
        state = State.of(await store.memory())
        assert DAMAGE.get(state).fault == "a fault"
        assert RESTORED.get(state) == MIDNIGHT


async def test_a_damaged_block_says_whose_it_is(durable: Place) -> None:
    async with durable.open() as store:
        await count(store, Increment(LINE, {}, AT, 300, 10))
        await store._database.write(lambda tx: tx.run("UPDATE usage_block SET buckets = ?", b"u2 something else"))
        with pytest.raises(StoreDamagedError) as caught:
            await store.usage(MIDNIGHT)
        assert caught.value.source == "gateway"
        await store.read_again(caught.value.source, str(caught.value), MIDNIGHT)
        assert (await store.usage(MIDNIGHT))[0] == []
