"""The ledger in memory folds what is old, and says of every day what the store says: late usage, zones, a restart."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertd.core.budgets import Amount, Budget, BurnRate, Override, parse_threshold
from alertd.core.counting.samples import Increment
from alertd.core.ledger import compaction
from alertd.core.ledger.columns import Ledger
from alertd.core.periods import PeriodRule
from alertd.core.pricing.exchange_rates import Rates
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.tariffs import exchange_of
from alertd.core.usage import Line
from alertd.loops.evaluate import Evaluate, EvaluationConfig
from tests.databases import Place
from tests.fakes import StoppedClock

NOW = datetime(2026, 9, 20, 12, tzinfo=UTC)
KOLKATA = ZoneInfo("Asia/Kolkata")
changes = st.lists(
    st.builds(
        lambda series, ago, width, n: (series, ago, width, n),
        st.integers(0, 4),
        st.integers(0, 16 * 96),
        st.sampled_from([300, 900, 3600, 86400]),
        st.integers(1, 10**9),
    ),
    max_size=25,
)
steps = st.lists(st.tuples(changes, st.sampled_from([0, 1, 30, 49, 24 * 6])), min_size=1, max_size=5)


def budget(zone, *thresholds):
    found = Budget("all", Amount(Decimal(100), "USD"), PeriodRule("month", zone))
    return replace(found, thresholds=tuple(map(parse_threshold, thresholds))) if thresholds else found


def terms(*budgets):
    return EvaluationConfig(budgets, PriceBook(()), exchange_of(Rates()), {})


def increment(now, series, ago, width, n):
    start = int(now.timestamp()) - ago * 900
    return Increment(Line("openai", "gpt-5", "input"), {"n": str(series)}, start - start % width, width, n)


async def plain(store):
    """Every bucket of the store as it is."""
    ledger = Ledger()
    ledger.add_series(await store.series())
    rows, _ = await store.usage(NOW - timedelta(days=400))
    ledger.apply(rows)
    return ledger


def midnights(zone, now):
    first = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=30)
    return [(first + timedelta(days=day)).timestamp() for day in range(32)]


async def same(evaluation, store, zones, now):
    expected = await plain(store)
    for zone in zones:
        assert (evaluation.ledger.sums(midnights(zone, now)) == expected.sums(midnights(zone, now))).all()
    # What no window of these budgets looks back over is folded into hours, and what is older than four days into days.
    for hours, minutes in ((1, 7), (24, 0), (72, 0)):
        span = (now - timedelta(hours=hours, minutes=minutes)).timestamp(), now.timestamp()
        assert (evaluation.ledger.between(*span) == expected.between(*span)).all()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@given(story=steps)
@settings(max_examples=12, deadline=None)
def test_whatever_comes_late_the_compacted_ledger_says_of_every_day_what_the_store_says(kind, story):
    async def run(place):
        async with place.open() as store:
            clock = StoppedClock(NOW)
            evaluation = Evaluate(store, clock, terms(budget(UTC), budget(KOLKATA)), lambda: None)
            for made, hours in story:
                rows = [increment(clock.at, *one) for one in made]
                assert await store.commit_counters(await store.source("gateway"), rows, {})
                await evaluation._refresh()
                await same(evaluation, store, (UTC, KOLKATA), clock.at)
                clock.at += timedelta(hours=hours)
                await store.compact(clock.at - timedelta(days=2))
            await evaluation._refresh()
            await same(evaluation, store, (UTC, KOLKATA), clock.at)

    with TemporaryDirectory() as folder:
        asyncio.run(run(Place(kind, f"sqlite:///{folder}/a.db")))


async def test_a_zone_or_a_longer_window_that_is_new_is_read_anew_from_the_store(place):
    async with place.open() as store:
        rows = [increment(NOW, n, 90 * n + 7, 300, 1000 + n) for n in range(12)]
        assert await store.commit_counters(await store.source("gateway"), rows, {})
        evaluation = Evaluate(store, StoppedClock(NOW), terms(budget(UTC)), lambda: None)
        await evaluation._refresh()
        before = evaluation.ledger
        evaluation.terms = terms(budget(KOLKATA))
        await evaluation._refresh()
        await same(evaluation, store, (UTC, KOLKATA), NOW)
        between, evaluation.terms = evaluation.ledger, terms(budget(KOLKATA, "anomaly p99"))
        await evaluation._refresh()
        await same(evaluation, store, (UTC, KOLKATA), NOW)
        week = (NOW - timedelta(days=9, minutes=7)).timestamp(), (NOW - timedelta(days=9)).timestamp()
        assert (evaluation.ledger.between(*week) == (await plain(store)).between(*week)).all()
        assert before is not between is not evaluation.ledger


async def test_a_series_that_is_always_active_takes_a_number_an_hour_and_once_it_is_four_days_old_a_day(place):
    async with place.open() as store:
        clock = StoppedClock(NOW)
        evaluation = Evaluate(store, clock, terms(budget(UTC)), lambda: None)
        rows = [increment(NOW, 0, ago, 900, 7) for ago in range(10 * 96)]
        assert await store.commit_counters(await store.source("gateway"), rows, {})
        await evaluation._refresh()
        read = evaluation.ledger.size
        clock.at += timedelta(days=4)
        await evaluation._refresh()
        assert read == 16 * 9 + 4 * (4 * 24 + 10 + 6), "two hours, four days and a half by the hour, six days"
        assert evaluation.ledger.size == 4 * (13 + 10)


@given(
    st.lists(st.sampled_from(["1h and 5m", "3d and 6h", "2w and 1d"]), max_size=3),
    st.sampled_from(["", "anomaly p99", "burn_rate 30x over 5m above usual"]),
)
def test_what_a_threshold_looks_back_over_stays_fine(windows, usual):
    texts = [f"burn_rate 2x over {text}" for text in windows] + [usual] * bool(usual)
    fine = compaction.fine_buckets([budget(UTC, *texts)] if texts else [])
    assert fine >= timedelta(hours=2)
    burning = [one for one in map(parse_threshold, texts) if isinstance(one, BurnRate)]
    assert all(fine > max(one.windows) for one in burning)
    assert fine >= timedelta(days=29) or not usual


def test_the_readings_that_an_action_is_held_against_stay_fine_and_so_do_the_windows_of_a_late_source():
    stopped = replace(budget(UTC), actions=("stop",))
    of_a_row = replace(budget(UTC), table={("a",): Override(actions=("stop",))})
    assert compaction.fine_buckets([stopped]) > timedelta(hours=48)
    assert compaction.fine_buckets([of_a_row]) > timedelta(hours=48)
    late = timedelta(hours=5)
    assert compaction.fine_buckets([budget(UTC)], late) == compaction.fine_buckets([budget(UTC)]) + late


@given(st.integers(2, 200).map(lambda hours: timedelta(hours=hours)))
def test_edges_are_the_midnights_of_all_zones_and_recent_hours_and_only_go_on(fine):
    zones = [UTC, KOLKATA, ZoneInfo("Europe/Berlin")]
    since, now = datetime(2026, 10, 10, 5, tzinfo=UTC), datetime(2026, 10, 27, 3, 20, tzinfo=UTC)
    found = compaction.edges(zones, since, now, fine)
    assert found == sorted(found)
    assert found[0] <= since.timestamp()
    assert timedelta(0) <= (now - fine) - datetime.fromtimestamp(found[-1], UTC) < timedelta(hours=1)
    local = {zone: {datetime.fromtimestamp(at, zone).hour for at in found} for zone in zones}
    assert all(0 in hours for hours in local.values())
    assert np.diff(found).max() <= 86400
    recent = [at for at in found if at >= (now - timedelta(days=4)).timestamp()]
    assert np.diff(recent).max(initial=0) <= 3600
    later = [compaction.edges(zones, since, now + timedelta(hours=n), fine) for n in range(60)]
    for before, after in pairwise(later):
        assert after[-1] >= before[-1]
        assert {at for at in after if at <= before[-1]} <= set(before)


async def test_series_that_were_deleted_are_let_go_the_next_day(place):
    async with place.open() as store:
        clock = StoppedClock(NOW)
        evaluation = Evaluate(store, clock, terms(budget(UTC)), lambda: None)
        rows = [increment(NOW, 0, 60 * 96, 900, 7), increment(NOW, 1, 4, 900, 5)]
        assert await store.commit_counters(await store.source("gateway"), rows, {})
        await evaluation._refresh()
        assert len(evaluation.ledger.series) == 2
        while await store.forget(NOW - timedelta(days=30)):
            pass
        clock.at += timedelta(days=1)
        await evaluation._refresh()
        assert [labels["n"] for labels in evaluation.ledger.labels] == ["1"]
        again = [increment(clock.at, 0, 1, 900, 3)]
        assert await store.commit_counters(await store.source("gateway"), again, {})
        await evaluation._refresh()
        assert [labels["n"] for labels in evaluation.ledger.labels] == ["1", "0"]
        await same(evaluation, store, (UTC,), clock.at)
