"""What a series counts that nobody saw before: short-lived processes that push, relabels, renames, long runners."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from alertd.core.counting.counters import count
from alertd.core.counting.samples import CounterSamples
from alertd.core.usage import Line
from alertd.ports import SourceError
from alertd.sources.prometheus import Options, build
from tests.memory_ledger import Ledger
from tests.servers.prometheus import Memory, prometheus

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SINCE = NOW - timedelta(hours=6)
T, MINUTE = NOW.timestamp(), 60.0
METRIC = "gen_ai_client_token_usage_sum"
INPUT = Line("openai", "gpt-4o", "input")


def pushed(memory, instance, values, *, until, job="batch", step=MINUTE):
    """A process that pushes its counter once a `step`, the last time `until` minutes before now."""
    end = T - MINUTE * until
    points = [(end - step * (len(values) - 1 - n), str(value)) for n, value in enumerate(values)]
    labels = {"gen_ai_token_type": "input", "gen_ai_request_model": "gpt-4o"}
    memory.add(METRIC, points, job=job, instance=instance, **labels)


def read(memory, polls):
    """The ledger of one source that is polled at these minutes before now."""
    ledger, absent = Ledger(), []

    async def run(url):
        source = build("gateway", Options(url=url, preset="otel"))
        try:
            for minutes in polls:
                try:
                    await ledger.collect(source, SINCE, NOW - timedelta(minutes=minutes))
                except SourceError as error:
                    absent.append(str(error))
        finally:
            await source.close()

    with prometheus(memory) as server:
        asyncio.run(run(server.url))
    assert [text for text in absent if "absent" not in text] == []
    return ledger


def batch(jobs=10, *, every=7, value=5000):
    memory = Memory()
    for n in range(jobs):
        pushed(memory, f"uuid-{n}", (value, value), until=every * (jobs - n))
    return memory


def test_ten_batch_jobs_that_push_twice_each_count_whole_in_one_window_and_this_is_said():
    ledger = read(batch(), [0])
    assert ledger.totals().total() == 50_000
    assert "come and go" in ledger.assumed[0]
    assert "batch" in ledger.assumed[0]


def test_ten_batch_jobs_read_minute_by_minute_count_from_the_second_on():
    ledger = read(batch(), range(71, -1, -1))
    assert ledger.totals().total() == 45_000
    assert ledger.doubts[-1] == ()


def test_jobs_of_every_night_count():
    memory = Memory()
    for night in range(3):
        for worker in range(4):
            pushed(memory, f"{night}-{worker}", (100, 700, 900), until=30 + 100 * (2 - night))
    ledger = read(memory, [0])
    assert ledger.totals().total() == 4 * 800 + 8 * 900
    assert ledger.complete_from == NOW - timedelta(minutes=232)
    assert read(memory, range(350, -1, -5)).totals().total() == 4 * 800 + 8 * 900


def test_a_process_that_runs_long_is_a_base_whatever_it_counted_before():
    memory = Memory()
    pushed(memory, "old", [5_000_000 + n for n in range(120)], until=0)
    ledger = read(memory, [150, 60, 0])
    assert ledger.totals().total() == 119
    assert ledger.assumed == []


def test_a_second_long_running_process_of_a_job_is_a_base_and_said():
    memory = Memory()
    pushed(memory, "one", [1000] * 300, until=0)
    pushed(memory, "two", [5_000_000 + n for n in range(60)], until=0)
    ledger = read(memory, range(200, -1, -5))
    assert ledger.totals().total() == 59
    assert any("5,000,000" in text for texts in ledger.doubts for text in texts)


@pytest.mark.parametrize("gap", [1, 20])
def test_a_long_running_process_that_gets_another_name_does_not_count_its_history(gap):
    memory = Memory()
    for n in range(3):
        pushed(memory, f"old-{n}", [5_000_000 + one for one in range(200)], until=60)
        pushed(memory, f"new-{n}", [5_000_200 + one for one in range(60 - gap)], until=0)
    for polls in ([0], range(280, -1, -5)):
        ledger = read(memory, polls)
        assert ledger.totals().total() <= 3 * 260


def test_a_long_running_process_first_seen_among_short_ones_is_too_large_to_be_new():
    memory = batch()
    pushed(memory, "old", [5_000_000 + n for n in range(10)], until=0)
    ledger = read(memory, range(71, -1, -1))
    assert ledger.totals().total() == 45_000 + 9
    assert any("5,000,000" in text for texts in ledger.doubts for text in texts)


# relabels and renames: polls of one target, {series: value} a minute


def relabelled(*polls, created=None):
    states, found, doubts = {}, 0, []
    for minute, poll in enumerate(polls):
        at = T + 60 * minute
        samples = [
            CounterSamples(name, INPUT, {"team": name}, ((at, str(value)),), "t", created)
            for name, value in poll.items()
        ]
        result = count(
            states, samples, {"t": [at - 60, at][not minute :]}, first_read=not minute, period_start=T, now=at
        )
        states |= result.states
        found += sum(one.quantity for one in result.increments)
        doubts += result.doubts
    return found, doubts


BASE = {"a": 8_000_000, "b": 3_000_000}


@pytest.mark.parametrize("created", [None, T - 7200])
def test_series_that_come_under_other_labels_count_their_difference(created):
    found, doubts = relabelled(
        {"old-a": 0, "old-b": 0}, {"old-a": 8, "old-b": 5}, {"new-a": 10, "new-b": 7}, created=created
    )
    assert found == 17
    assert "relabel" in doubts[0]
    assert doubts[0].endswith("the figure is a lower bound, were they new, by 13")


@pytest.mark.parametrize("created", [None, T - 7200])
def test_labels_that_change_and_change_back_count_once(created):
    old, new = [{"a": 100 + n} for n in range(9)], [{"b": 100 + n} for n in range(9)]
    for flips in ([old[1], new[2], new[3], old[4], old[5]], [old[1], new[2], old[3], new[4], old[5]]):
        found, doubts = relabelled({"a": 100}, *flips, created=created)
        assert found == 5
        assert doubts


def test_a_series_born_while_another_is_missing_is_a_lower_bound():
    found, doubts = relabelled({"a": 100}, {"a": 100}, {"b": 130}, {"a": 105, "b": 140})
    assert found == 30 + 10
    assert "lower bound" in doubts[0]


def test_a_new_series_beside_the_old_ones_counts_whole():
    assert relabelled({"a": 100}, {"a": 110}, {"a": 120, "b": 500}) == (520, [])


def test_a_restart_with_new_labels_counts_whole():
    states = {}
    first = count(
        states, [CounterSamples("a", INPUT, {}, ((T, "100"),), "t", T - 900)], {}, first_read=True, period_start=T
    )
    sample = CounterSamples("b", INPUT, {}, ((T + 60, "150"),), "t", T + 30)
    second = count(first.states, [sample], {"t": [T, T + 60]}, first_read=False, period_start=T)
    assert [one.quantity for one in second.increments] == [150]
    assert second.doubts == ()


def pages(*read, created=None):
    """(counted, doubts) by reading: on each page, once a minute, the values of series by their key."""
    states, found = {}, []
    for minute, page in enumerate(read):
        at = T + MINUTE * minute
        samples = [
            CounterSamples(
                f"of {key}", INPUT, {"key": key} if key else {}, ((at, str(value)),), "t", _began(key, created)
            )
            for key, value in page.items()
        ]
        scrapes = {"t": [at - MINUTE, at] if minute else [at]}
        counted = count(states, samples, scrapes, first_read=not minute, period_start=T - 9e6, now=at)
        states |= counted.states
        found.append((sum(one.quantity for one in counted.increments), counted.doubts))
    return found


def _began(key, created):
    """One start for all, or that of each counter by its key: a sum began with its oldest part."""
    return created.get(key, min(created.values())) if isinstance(created, dict) else created


@pytest.mark.parametrize("created", [None, T - 90_000_000, {"a": T - 9e7, "b": T - 8e7, "c": T - 7e7}])
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_labels_that_are_dropped_and_are_back_count_what_was_used_and_nothing_twice(created, turns):
    """Several series become one sum, which falls into them again: metric_relabel_configs, LiteLLM's label settings."""
    apart = {"a": 50_000, "b": 60_000, "c": 0}
    read = [dict(apart)]
    for _ in range(turns):
        for one in apart:
            apart[one] += 100
        read += [{"": sum(apart.values())}]
        for one in apart:
            apart[one] += 10
        read += [{"": sum(apart.values())}]
        for one in apart:
            apart[one] += 1
        read += [dict(apart)]
    found = pages(*read, created=created)
    assert [counted for counted, _ in found] == [0, *[300, 30, 3] * turns]
    assert [bool(doubts) for _, doubts in found] == [False, *[True, False, True] * turns]


@pytest.mark.parametrize("seen", [1, 40, 109_999, 110_000, 110_001, 117_000])
def test_a_sum_is_never_counted_above_what_it_holds_more_than_its_parts(seen):
    (_, (counted, doubts)) = pages({"a": 50_000, "b": 60_000}, {"": seen})
    assert counted <= (seen if 2 * seen < 60_000 else max(0, seen - 110_000))
    assert doubts or seen < 30_000


def test_a_counter_of_a_new_key_counts_though_another_one_is_missing_just_now():
    found = pages({"a": 50_000, "b": 60_000}, {"a": 50_000, "c": 70}, {"a": 50_000, "b": 60_100, "c": 70})
    assert [counted for counted, _ in found] == [0, 70, 100]
