"""Old usage in wider buckets: what it sums to does not change, for whoever reads and however far the work is."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertd.core.counting.buckets import Bucket, Closed, open_window, replaced
from alertd.core.counting.counters import Increment
from alertd.core.usage import Line, Usage
from alertd.ports import Reading, Store, UsageRow
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


async def roll_all(store: Store, before: datetime, width: int = DAY) -> int:
    calls = 0
    while await store.roll_up(before, width):
        calls += 1
    return calls


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
    """Commits and roll-ups in any order: who follows revisions and who starts afresh have the same sums."""

    async def story(place: Place) -> None:
        truth: defaultdict[tuple[str, int], int] = defaultdict(int)
        seen: dict[tuple[int, int, int], int] = {}
        async with place.open() as store:
            revision = 0
            for number, batch in enumerate(batches):
                await count(store, *batch)
                for one in batch:
                    truth[one.labels["n"], one.start // DAY] += one.quantity
                if number < len(days):
                    await roll_all(store, MIDNIGHT + timedelta(days=days[number], hours=5))
                rows, revision = await store.usage(MIDNIGHT, revision)
                seen |= {row[:3]: row.quantity for row in rows}
            names = {row.id: row.labels["n"] for row in await store.series()}
            for rows in (held_rows(seen), await held(store)):
                sums: defaultdict[tuple[str, int], int] = defaultdict(int)
                for row in rows:
                    sums[names[row.series], row.start // DAY] += row.quantity
                assert {k: v for k, v in sums.items() if v} == {k: v for k, v in truth.items() if v}

    for kind in ("memory", "sqlite"):
        with TemporaryDirectory() as folder:
            asyncio.run(story(Place(kind, f"sqlite:///{Path(folder) / 'a.db'}")))


def held_rows(seen: dict[tuple[int, int, int], int]) -> list[UsageRow]:
    return [UsageRow(*bucket, quantity) for bucket, quantity in seen.items()]


async def test_whole_days_before_the_border_become_one_bucket_each(place: Place) -> None:
    async with place.open() as store:
        await count(store, *(Increment(LINE, {}, AT + hour * 3600, 3600, 1) for hour in range(60)))
        await roll_all(store, MIDNIGHT + timedelta(days=2, hours=9))
        assert [(row.start - AT, row.width, row.quantity) for row in await held(store)] == [
            (0, DAY, 24),
            (DAY, DAY, 24),
            *((hour * 3600, 3600, 1) for hour in range(48, 60)),
        ]


async def test_rolling_up_twice_and_then_wider_changes_nothing_more(place: Place) -> None:
    async with place.open() as store:
        await count(store, *(Increment(LINE, {}, AT + minute * 60, 60, minute) for minute in range(0, 3000, 7)))
        total = sum(range(0, 3000, 7))
        await roll_all(store, MIDNIGHT + timedelta(days=2), 900)
        once = await held(store)
        assert {row.width for row in once} == {900, 60}
        assert await roll_all(store, MIDNIGHT + timedelta(days=2), 900) == 0
        assert await held(store) == once
        await roll_all(store, MIDNIGHT + timedelta(days=3))
        assert [(row.width, row.quantity) for row in await held(store) if row.start == AT] == [
            (DAY, sum(range(0, 1440, 7)))
        ]
        assert sum(row.quantity for row in await held(store)) == total


async def test_the_zeros_left_behind_go_away_a_day_later(place: Place) -> None:
    if place.kind == "memory":
        pytest.skip("memory keeps its zeros: it lives for one replay")
    async with place.open() as store:
        await count(store, *(Increment(LINE, {}, AT + hour * 3600, 3600, 1) for hour in range(24)))
        border = MIDNIGHT + timedelta(days=1)
        await roll_all(store, border)
        assert len((await store.usage(MIDNIGHT))[0]) == 25
        await roll_all(store, border + timedelta(hours=23))
        assert len((await store.usage(MIDNIGHT))[0]) == 25
        for days in (1, 2):
            await roll_all(store, border + timedelta(days=days))
        assert [tuple(row) for row in (await store.usage(MIDNIGHT))[0]] == [(1, AT, DAY, 24)]


async def test_one_call_does_a_bounded_piece_of_the_work(durable: Place) -> None:
    async with durable.open() as store:
        await count(
            store,
            *(Increment(LINE, {"n": str(n)}, AT + hour * 3600, 3600, 1) for n in range(3000) for hour in range(8)),
        )
        assert await store.roll_up(MIDNIGHT + timedelta(days=1), DAY) == 20_000
        assert sum(row.quantity for row in await held(store)) == 24_000
        assert await store.roll_up(MIDNIGHT + timedelta(days=1), DAY) == 4_000
        assert await store.roll_up(MIDNIGHT + timedelta(days=1), DAY) == 0
        assert [row.quantity for row in await held(store)] == [8] * 3000


async def test_a_late_increment_to_a_rolled_up_day_counts_beside_it(place: Place) -> None:
    async with place.open() as store:
        await count(store, Increment(LINE, {}, AT, 60, 5))
        await roll_all(store, MIDNIGHT + timedelta(days=2))
        await count(store, Increment(LINE, {}, AT, 60, 7))
        assert sum(row.quantity for row in await held(store)) == 12


async def test_a_rolled_up_day_read_again_is_replaced_by_its_hours(place: Place) -> None:
    async with place.open() as store:
        await read(store, dict.fromkeys(range(48), 10), (0, 48))
        await roll_all(store, MIDNIGHT + timedelta(days=2))
        await read(store, dict.fromkeys(range(24), 11), (0, 24))
        assert sum(row.quantity for row in await held(store)) == 24 * 11 + 24 * 10


@pytest.mark.parametrize(
    ("hours", "total"), [((0, 12), 480), ((12, 24), 480), ((12, 36), 480), ((12, 60), 12 * 11 + 24 * 11 + 240)]
)
async def test_a_window_that_cuts_a_rolled_up_day_leaves_that_day_as_it_is(
    place: Place, hours: tuple[int, int], total: int
) -> None:
    """Two days were rolled up, a third was not: only whole days inside the window take the correction to 11 an hour."""
    async with place.open() as store:
        await read(store, dict.fromkeys(range(48), 10), (0, 48))
        await roll_all(store, MIDNIGHT + timedelta(days=2))
        await read(store, dict.fromkeys(range(*hours), 11), hours)
        assert sum(row.quantity for row in await held(store)) == total


@given(
    st.integers(0, 300),
    st.integers(0, 300),
    st.dictionaries(st.integers(0, 299), st.integers(1, 9)),
    st.integers(0, 10),
)
def test_a_correction_never_counts_an_hour_twice(
    start: int, length: int, held_hours: dict[int, int], days: int
) -> None:
    """Whatever window is read again after a roll-up, each day holds its old figure, or the new one of whole hours."""
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
