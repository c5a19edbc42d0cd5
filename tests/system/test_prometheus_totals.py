"""A real Prometheus with a month of real usage: the ledger's totals against the truth, and against `increase()`."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from alertd.sources.prometheus import Options, build
from tests.memory_ledger import Ledger
from tests.system import trace
from tests.system.backfilled import MARKS, World

pytestmark = MARKS
#: What may be missing: tokens used between a last scrape and a restart, eight times in the month.
UNSEEN = 0.0002


async def _collect(
    world: World, preset: str, ledger: Ledger, now: datetime, *, since: datetime | None = None, most: int | None = None
) -> None:
    source = build("gateway", Options(url=world.url, preset=preset))
    try:
        while await ledger.collect(source, since or world.start, now, most) == most and most:
            await source.close()
            source = build("gateway", Options(url=world.url, preset=preset))
    finally:
        await source.close()


def _end(world: World) -> datetime:
    """When the month is over and live scrapes have not begun."""
    return world.start + timedelta(seconds=trace.STEPS * trace.STEP)


@pytest.mark.parametrize(("preset", "job"), [("litellm", "gateway"), ("otel", "assistant")])
def test_a_months_totals_are_the_truth_but_for_what_no_scrape_could_see(world: World, preset: str, job: str) -> None:
    ledger = Ledger()
    asyncio.run(_collect(world, preset, ledger, _end(world)))
    found = ledger.totals()
    truth, visible = trace.truth(world.series[job]), trace.truth(world.series[job], visible=True)
    _print(preset, truth, found)
    inclusive = Counter({one.metric: 0 for one in world.series[job]})
    for one in world.series[job]:
        inclusive[one.metric] += int(one.used.sum())
    for metric, used in inclusive.items():
        says = world.increase(metric)
        print(f"{'increase()':12} {metric:52} {used:>14,} {says:>16,.0f} {says / used - 1:+.4%}")
    total = sum(truth.values())
    assert found.total() == sum(visible.values())
    assert abs(found.total() - total) <= UNSEEN * total
    # Restarts lose a little of input and of cached input apart: what is taken off may differ by that little.
    assert {key: quantity for key, quantity in found.items() if abs(quantity - visible[key]) > UNSEEN * total} == {}
    assert ledger.complete_from == world.start
    assert ledger.refused == []


def test_a_reader_killed_at_every_eighth_reading_of_a_back_fill_finds_the_same_totals(world: World) -> None:
    whole, broken = Ledger(), Ledger()
    asyncio.run(_collect(world, "litellm", whole, _end(world)))
    asyncio.run(_collect(world, "litellm", broken, _end(world), most=8))
    assert len(broken.readings) > 6
    assert broken.totals("team", "key") == whole.totals("team", "key")


def test_where_retention_is_short_the_figures_say_from_when_they_are_complete(world: World) -> None:
    ledger = Ledger()
    asyncio.run(_collect(world, "otel", ledger, _end(world), since=world.start - timedelta(days=20)))
    began = world.start - timedelta(days=2)
    assert ledger.complete_from == began, "the oldest process in retention began then; what ran before is not known"
    assert ledger.totals().total() == sum(trace.truth(world.series["assistant"], visible=True).values())


def test_live_scrapes_and_a_restart_between_two_of_them_are_counted_to_the_token(world: World) -> None:
    ledger, exporter = Ledger(), world.exporters["gateway"]
    asyncio.run(_collect(world, "litellm", ledger, _end(world)))
    before = ledger.totals().total()
    for poll in range(3):
        exporter.wait(2)
        if poll == 1:
            exporter.restart()
            exporter.wait(1)
        asyncio.run(_collect(world, "litellm", ledger, datetime.now(UTC)))
    used, seen = sum(exporter.used.values()), ledger.totals().total() - before
    contained = sum(quantity for name, quantity in exporter.used.items() if "cache" in name)
    assert 0 <= (used - contained) - seen <= 2 * 1000 * len(exporter.pages)
    assert seen > 5 * 1000 * (len(exporter.pages) // 2)


@pytest.mark.parametrize("created", [False, True], ids=["process starts alone", "with _created"])
def test_alertd_restarted_across_restarts_counts_live_scrapes_to_the_token(world: World, *, created: bool) -> None:
    """Every collect is an alertd of its own, on the cursor and the states that the last one left."""
    ledger, exporter = Ledger(), world.exporters["gateway"]
    accidents = {
        "alertd restarted": (), "the exporter restarted": (1,), "restarted while alertd was away": (1, 2),
        "restarted thrice while alertd was away": (1, 2, 3),
    }  # fmt: skip
    exporter.created = created
    exporter.restart()
    try:
        exporter.rest()
        asyncio.run(_collect(world, "litellm", ledger, _end(world)))
        asyncio.run(_collect(world, "litellm", ledger, datetime.now(UTC)))
        used, seen = Counter(exporter.used), ledger.totals()
        print(f"\nlive, {'_created and ' if created else ''}process starts: {'tokens used':>46} {'counted':>16}")
        for what, restarts in accidents.items():
            for _ in restarts or (0,):
                exporter.idle = False
                exporter.wait(2)
                exporter.rest()
                if restarts:
                    exporter.restart()
            exporter.idle = False
            exporter.wait(2)
            exporter.rest()
            asyncio.run(_collect(world, "litellm", ledger, datetime.now(UTC)))
            now, found = Counter(exporter.used), ledger.totals()
            wanted = sum(n for name, n in (now - used).items() if "cache" not in name)
            print(f"  {what:60} {wanted:>14,} {(found - seen).total():>16,}")
            assert (found - seen).total() == wanted, what
            used, seen = now, found
        assert not any(ledger.doubts[-len(accidents) :])
    finally:
        exporter.created = exporter.idle = False


def _print(preset: str, truth: Counter[tuple[str, str]], found: Counter[tuple[str, ...]]) -> None:
    print(f"\n{preset}: {trace.DAYS} days, {len(trace.RESTARTS)} restarts, {len(trace.GAPS)} gaps")
    print(f"{'ledger':12} {'model, meter':52} {'truth':>14} {'found':>16} error")
    for (model, meter), quantity in sorted((+truth).items()):
        got = found[model, meter]
        print(f"{'':12} {model + ' ' + meter:52} {quantity:>14,} {got:>16,} {got / quantity - 1:+.4%}")
    total = sum(truth.values())
    print(f"{'':12} {'all':52} {total:>14,} {found.total():>16,} {found.total() / total - 1:+.4%}")
