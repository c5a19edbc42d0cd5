"""Copies of series count once, real servers all: by their samples or the labels named, whatever a label is called."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from alertd.core.counting.samples import CounterState
from alertd.core.counting.states import renamed
from alertd.sources.prometheus import Options, build
from tests.memory_ledger import Ledger
from tests.servers.prometheus import Memory, prometheus

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SINCE = NOW - timedelta(hours=6)
T = NOW.timestamp()
METRIC = "litellm_input_tokens_metric_total"
POLLS = pytest.mark.parametrize("polls", [(0,), tuple(range(60, -1, -1))], ids=["one window", "a poll a minute"])
LABEL = pytest.mark.parametrize("label", ["receive_replica", "rule_replica", "monitor", "replica", "region_copy"])


def minutes(first, rate, *, shift=0.0, count=60):
    """A counter, once a minute, as seen `shift` seconds later."""
    return [(T - 60 * n + shift, str(int(first + rate * (count - n + shift / 60)))) for n in range(count, -1, -1)]


def read(memory, polls, **options):
    ledger = Ledger()
    with prometheus(memory) as server:

        async def run():
            source = build("gateway", Options(url=server.url, preset="litellm", **options))
            try:
                for before in polls:
                    await ledger.collect(source, SINCE, NOW - timedelta(minutes=before))
            finally:
                await source.close()

        asyncio.run(run())
    return ledger.totals().total()


def served(label, *series):
    memory = Memory()
    for n, points in enumerate(series):
        for team in ("ops", "web"):
            memory.add(METRIC, points, model="gpt-5", team_alias=team, **{label: f"r{n}"})
    return memory


@POLLS
@LABEL
@pytest.mark.parametrize("copies", [2, 3])
def test_the_same_values_at_the_same_instants_are_one_series(label, polls, copies):
    memory = served(label, *[minutes(5_000_000, 10)] * copies)
    assert read(memory, polls) == 2 * 600


@POLLS
@LABEL
def test_two_scrapers_of_one_target_are_one_series(label, polls):
    memory = served(label, minutes(5_000_000, 10), minutes(5_000_000, 10, shift=-20))
    assert 2 * 590 <= read(memory, polls) <= 2 * 600


@POLLS
@LABEL
def test_a_copy_that_comes_later_counts_nothing_more(label, polls):
    memory = served(label, minutes(5_000_000, 10), minutes(5_000_000, 10)[30:])
    assert read(memory, polls) == 2 * 600


@POLLS
@pytest.mark.parametrize("label", ["replica", "monitor", "worker"])
@pytest.mark.parametrize("shift", [0.0, -20.0])
@pytest.mark.parametrize("second", [(5_000_050, 7), (100, 10), (4_999_000, 11), (0, 10)])
def test_real_servers_that_differ_in_a_label_all_count(label, polls, shift, second):
    memory = served(label, minutes(5_000_000, 10), minutes(*second, shift=shift))
    found = read(memory, polls)
    assert 2 * (600 + 59 * second[1]) <= found <= 2 * (600 + 60 * second[1])


def test_a_named_label_is_one_of_copies_whatever_the_values_are():
    memory = served("dc", minutes(5_000_000, 10), minutes(100, 10))
    assert read(memory, (0,), replica_labels=["dc"]) == 2 * 600
    assert read(memory, (0,)) == 2 * 1200


@POLLS
def test_labels_that_usage_is_attributed_by_never_tell_copies(polls):
    memory = Memory()
    for user in ("ana", "bob"):
        memory.add(METRIC, minutes(5_000_000, 10), model="gpt-5", end_user=user)
    assert read(memory, polls) == 2 * 600


@LABEL
@pytest.mark.parametrize("sources", [1, 2, 7])
def test_copies_stay_copies_whoever_reads_next(label, sources):
    """A daemon that starts anew at every reading, and several that take turns, know what the others have found."""
    memory = served(label, minutes(5_000_000, 10), minutes(5_000_000, 10, shift=7))
    ledger, options = Ledger(), {"preset": "litellm"}
    with prometheus(memory) as server:

        async def run():
            readers = [build("gateway", Options(url=server.url, **options)) for _ in range(sources)]
            for before in range(60, -1, -1):
                if sources == 1:
                    await readers[0].close()
                    readers = [build("gateway", Options(url=server.url, **options))]
                await ledger.collect(readers[before % sources], SINCE, NOW - timedelta(minutes=before))
            for one in readers:
                await one.close()

        asyncio.run(run())
    assert ledger.totals().total() == 2 * 600
    assert [said for said in ledger.doubts if said] == []


def test_states_go_on_under_another_fingerprint_and_so_do_their_heirs():
    states = {
        "a": CounterState(10.0, 5),
        "b": CounterState(12.0, 7, heir="c"),
        "c": CounterState(9.0, 3),
        "d": CounterState(8.0, 1, heir="a"),
        "ab": CounterState(3.0, 2),
    }
    put, forgotten = renamed(states, {"a": "ab", "b": "ab", "c": "c2", "gone": "x"})
    assert put == {
        "ab": CounterState(12.0, 7, heir="c2"),
        "c2": CounterState(9.0, 3),
        "d": CounterState(8.0, 1, heir="ab"),
    }
    assert sorted(forgotten) == ["a", "b", "c"]
    assert renamed(states, {}) == ({}, ()) == renamed(states, {"x": "y"})
