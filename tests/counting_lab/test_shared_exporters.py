"""One exporter scraped under two jobs, or at two addresses, counts once; two exporters that look alike both count."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from alertd.core.counting.exporters import are_one
from alertd.sources.prometheus import Options, build
from tests.memory_ledger import Ledger
from tests.servers.prometheus import Memory, prometheus

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SINCE = NOW - timedelta(hours=6)
T = NOW.timestamp()
METRIC = "litellm_input_tokens_metric_total"
POLLS = pytest.mark.parametrize("polls", [(0,), tuple(range(60, -1, -1))], ids=["one window", "a poll a minute"])
PLACES = pytest.mark.parametrize(
    "places",
    [
        (("gateway", "a:4000"), ("gateway-pods", "a:4000")),
        (("gateway", "a:4000"), ("gateway", "10.0.0.1:4000")),
        (("pods", "10.0.0.1:4000"), ("gateway", "a:4000")),
    ],
    ids=["two jobs", "two instances", "both"],
)


def minutes(first, rate, *, shift=0.0, begin=60, end=0):
    """A counter, once a minute, as scraped `shift` seconds later."""
    return [(T - 60 * n + shift, str(int(first + rate * (60 - n + shift / 60)))) for n in range(begin, end - 1, -1)]


def target(memory, place, *, starts=None, first=5_000_000, rate=10, **span):
    job, instance = place
    for team, more in (("ops", 0), ("web", 700)):
        memory.add(
            METRIC, minutes(first + more, rate, **span), job=job, instance=instance, model="gpt-5", team_alias=team
        )
    scrapes = [at for at, _ in minutes(0, 0, **span)]
    memory.add("up", [(at, "1") for at in scrapes], job=job, instance=instance)
    if starts is not None:
        memory.add("process_start_time_seconds", [(at, repr(starts)) for at in scrapes], job=job, instance=instance)


def read(memory, polls, *, restart_at=None):
    return ledger_of(memory, polls, restart_at).totals().total()


def ledger_of(memory, polls, restart_at=None):
    ledger = Ledger()
    with prometheus(memory) as server:

        async def run():
            source = build("gateway", Options(url=server.url, preset="litellm"))
            for before in polls:
                if before == restart_at:
                    await source.close()
                    source = build("gateway", Options(url=server.url, preset="litellm"))
                await ledger.collect(source, SINCE, NOW - timedelta(minutes=before))
            await source.close()

        asyncio.run(run())
    return ledger


@POLLS
@PLACES
@pytest.mark.parametrize("shift", [0.0, -20.0])
@pytest.mark.parametrize("starts", [None, T - 90_000.25], ids=["no start", "a start"])
def test_one_exporter_under_two_targets_counts_once(places, polls, shift, starts):
    memory = Memory()
    target(memory, places[0], starts=starts)
    target(memory, places[1], starts=starts, shift=shift)
    assert 2 * 590 <= read(memory, polls) <= 2 * 600


@PLACES
@pytest.mark.parametrize("starts", [None, T - 90_000.25], ids=["no start", "a start"])
def test_a_second_target_that_comes_later_adds_nothing_and_takes_over_when_the_first_one_goes(places, starts):
    memory = Memory()
    target(memory, places[0], starts=starts, end=15)
    target(memory, places[1], starts=starts, shift=-20, begin=40)
    assert 2 * 590 <= read(memory, tuple(range(60, -1, -1)), restart_at=12) <= 2 * 600


@POLLS
@PLACES
@pytest.mark.parametrize("shift", [0.0, -20.0])
@pytest.mark.parametrize("other", [(5_000_040, 10), (4_999_700, 20), (5_000_000, 11), (0, 10)])
def test_two_gateways_that_are_alike_for_a_moment_both_count(places, polls, shift, other):
    memory = Memory()
    target(memory, places[0])
    target(memory, places[1], first=other[0], rate=other[1], shift=shift)
    assert 2 * (590 + 59 * other[1]) <= read(memory, polls) <= 2 * (600 + 60 * other[1])


@POLLS
@PLACES
def test_two_gateways_of_equal_values_that_began_at_different_times_both_count(places, polls):
    memory = Memory()
    target(memory, places[0], starts=T - 90_000.25)
    target(memory, places[1], starts=T - 90_000.75)
    assert read(memory, polls) == 2 * 1200


def test_values_that_do_not_move_show_nothing():
    still = {"a": [(T + 60 * n, "5000") for n in range(100)]}
    assert are_one(still, still, same_start=False).answer is None
    assert are_one(still, still, same_start=True).answer is None


def test_a_name_whose_exporter_is_another_one_by_now_is_never_counted_as_the_one_before():
    memory = Memory()
    target(memory, ("gateway", "a:4000"), starts=T - 90_000.25)
    for team, more in (("ops", 0), ("web", 700)):
        points = minutes(5_000_000 + more, 10, end=30) + minutes(9_000_000, 40, begin=29)
        memory.add(METRIC, points, job="pods", instance="10.0.0.1:4000", model="gpt-5", team_alias=team)
    scrapes = [at for at, _ in minutes(0, 0)]
    memory.add("up", [(at, "1") for at in scrapes], job="pods", instance="10.0.0.1:4000")
    starts = [(at, repr(T - (90_000.25 if at <= T - 1800 else 50_000.0))) for at in scrapes]
    memory.add("process_start_time_seconds", starts, job="pods", instance="10.0.0.1:4000")
    ledger = ledger_of(memory, tuple(range(60, -1, -1)))
    assert 2 * 590 <= ledger.totals().total() <= 2 * (600 + 30 * 40)
    assert "several processes answer" in " ".join(ledger.doubts[-1])
