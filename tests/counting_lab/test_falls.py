"""Named worlds of counters that go back: dips, alternation, several workers, old pages, resets. One poll a minute."""

from __future__ import annotations

import pytest

from alertd.core.counting.counters import count
from alertd.core.counting.intervals import spread
from alertd.core.counting.samples import CounterSamples
from alertd.core.usage import Line

INPUT = Line("openai", "gpt-4o", "input")
NOON = 1_795_176_000.0
OLD, YOUNG = NOON - 9000, NOON - 5000
DIPS = (
    7566016,
    7565902,
    7567597,
    7569185,
    7570783,
    7572405,
    7573958,
    7575480,
    7577050,
    7578701,
    7578575,
    7580280,
    7581834,
)


def read(values, starts=None, *, polls=None):
    """(counted, doubts of every reading): values one a minute, read in `polls` readings (None: one each)."""
    states, found, doubts = {}, 0, []
    points = [(NOON + 60 * n, str(value)) for n, value in enumerate(values)]
    began = starts or [None] * len(points)
    size = 1 if polls is None else -(-len(points) // polls)
    for place in range(0, len(points), size):
        window = range(place, min(place + size, len(points)))
        samples = [CounterSamples("a", INPUT, {}, (points[n],), "t", began[n]) for n in window]
        result = count(states, samples, {}, first_read=place == 0, period_start=NOON, now=points[window[-1]][0])
        states |= result.states
        found += sum(one.quantity for one in result.increments)
        doubts.append(result.doubts)
    return found, doubts


def alternate(*workers, turns):
    """Values of workers (first value, step a minute), each minute another one; and which answered."""
    which = [turns[n % len(turns)] for n in range(60)]
    return [workers[one][0] + workers[one][1] * n for n, one in enumerate(which)], which


ONE_OR_MANY = pytest.mark.parametrize("polls", [None, 1, 7])


@ONE_OR_MANY
@pytest.mark.parametrize("start", [None, OLD])
def test_two_scrapers_of_one_target_are_dips_and_no_restart(polls, start):
    found, doubts = read(DIPS, [start] * len(DIPS), polls=polls)
    assert found == 15_818
    assert doubts[-1]


@ONE_OR_MANY
@pytest.mark.parametrize("start", [None, OLD])
@pytest.mark.parametrize("depth", [101, 1000, 3_000_000, 7_999_999])
def test_one_page_that_is_lower_costs_nothing_and_is_said(polls, start, depth):
    values = [8_000_000, 8_000_100, 8_000_200 - depth, 8_000_300, 8_001_375]
    found, doubts = read(values, [start] * 5, polls=polls)
    assert found == 1375
    assert doubts[-1]


@ONE_OR_MANY
@pytest.mark.parametrize("turns", [(0, 1), (0, 1, 1), (0, 0, 1), (0, 1, 2), (0, 1, 1, 1, 1), (0, 2, 2, 2, 1)])
@pytest.mark.parametrize("told", ["no start", "equal starts", "starts 3 s apart", "starts an hour apart"])
@pytest.mark.parametrize("second", [60_000, 30_000, 99_000])
def test_several_workers_behind_one_address_are_named_and_never_counted_again(polls, turns, told, second):
    values, which = alternate((100_000, 10), (second, 10), (20_000, 10), turns=turns)
    apart = {"no start": None, "equal starts": 0.0, "starts 3 s apart": 3.0, "starts an hour apart": 3600.0}[told]
    starts = None if apart is None else [OLD + apart * one for one in which]
    found, doubts = read(values, starts, polls=polls)
    assert 0 < found <= 10 * 59 * len(set(turns))
    assert any("several processes answer as this series" in text for text in doubts[-1])


def test_where_the_lowest_worker_answers_first_the_climb_to_the_highest_counts_once_and_is_said():
    values, _ = alternate((100_000, 10), (60_000, 10), (20_000, 10), turns=(2, 1, 0))
    found, doubts = read(values)
    assert found <= 80_000 + 10 * 59
    assert "several processes answer as this series" in doubts[-1][0]


@ONE_OR_MANY
@pytest.mark.parametrize(
    ("values", "truth"),
    [
        ([8_000_000, 8_001_000, 500, 900, 1500, 2500], 1000 + 2500),
        ([1000, 1100, 40, 80, 130, 900, 1050], 100 + 1050),
        ([1000, 1100, 0, 0, 0, 900, 1050], 100 + 1050),
    ],
)
def test_a_reset_without_a_known_start_counts_whole_once_two_samples_go_on(polls, values, truth):
    found, doubts = read(values, polls=polls)
    assert found == truth
    assert doubts[-1] == ()


@ONE_OR_MANY
def test_what_passes_the_maximum_from_before_a_reset_counts_only_above_it_and_says_so(polls):
    found, doubts = read([1000, 1100, 40, 80, 130, 900, 1300], polls=polls)
    assert found == 100 + 900 + (1300 - 1100)
    assert "it may be the process from before" in doubts[-1][0]


def test_a_fall_says_how_much_more_it_would_be_had_the_process_begun_anew():
    _, doubts = read([8000, 8100, 6000, 6010])
    assert doubts[-1][0].endswith("the figure is a lower bound; had its process begun anew, by 6,000 at least")


def test_a_restart_says_for_how_long_nothing_was_seen_before_it():
    started = NOON + 90
    samples = [
        CounterSamples("a", INPUT, {}, ((NOON, "1000"), (NOON + 60, "1100")), "t", NOON - 5000),
        CounterSamples("a", INPUT, {}, ((NOON + 120, "40"),), "t", started),
    ]
    known = count({}, samples[:1], {"t": (NOON, NOON + 60)}, first_read=True, period_start=NOON).states
    found = count(known, samples[1:], {"t": (NOON + 60, NOON + 120)}, first_read=False, period_start=NOON)
    assert found.doubts == ()
    assert found.assumed[0].startswith("what was used in the up to 30 s between the last scrape of a process and its")


def test_a_reset_is_late_until_two_samples_go_on_and_says_so():
    found, doubts = read([8000, 8100, 50, 60])
    assert found == 100
    assert "lower bound" in doubts[-1][0]


@ONE_OR_MANY
@pytest.mark.parametrize("skew", [-55, 0, 20])
def test_a_restart_that_starts_tell_counts_whole_also_where_clocks_differ(polls, skew):
    born = NOON + 90 + skew
    assert read([1000, 1100, 300, 5000], [OLD, OLD, born, born], polls=polls) == (
        5100,
        [()] * (4 if polls in (None, 7) else 1),
    )


@ONE_OR_MANY
def test_one_page_of_a_younger_replica_costs_nothing(polls):
    values, starts = [8_000_000, 8_250_000, 3_200_000, 8_501_375], [OLD, OLD, YOUNG, OLD]
    found, doubts = read(values, starts, polls=polls)
    assert found == 501_375
    assert "several processes" in doubts[-1][0]


def test_samples_ahead_of_the_clock_count_nothing_and_are_named():
    points = ((NOON, "1000"), (NOON + 86400, "5000"))
    result = count({}, [CounterSamples("a", INPUT, {}, points)], {}, first_read=True, period_start=NOON, now=NOON)
    later = count(
        result.states,
        [CounterSamples("a", INPUT, {}, ((NOON + 60, "1300"),))],
        {},
        first_read=False,
        period_start=NOON,
        now=NOON + 60,
    )
    assert "ahead" in result.doubts[0]
    assert sum(one.quantity for one in later.increments) == 300


def test_a_value_that_grows_while_its_timestamp_stands_still_is_counted():
    states, found = {}, 0
    for n, value in enumerate((1000, 1100, 1300)):
        sample = CounterSamples("a", INPUT, {}, ((NOON, str(value)),))
        result = count(states, [sample], {}, first_read=n == 0, period_start=NOON, now=NOON + 60 * n)
        states |= result.states
        found += sum(one.quantity for one in result.increments)
    assert found == 300


@pytest.mark.parametrize("interval", [30, 60, 100, 120, 150, 200, 300])
@pytest.mark.parametrize("period", [300, 600])
@pytest.mark.parametrize("jitter", [0, 7])
def test_a_gauge_counts_each_period_once_however_often_it_is_scraped(interval, period, jitter):
    states, found = {}, 0
    for n in range(3600 // interval + 1):
        at = NOON + n * interval + (jitter if n % 2 else 0)
        sample = CounterSamples("a", INPUT, {}, ((at, "1000"),), period=float(period))
        result = count(states, [sample], {}, first_read=n == 0, period_start=NOON, now=at)
        states |= result.states
        found += sum(one.quantity for one in result.increments)
        assert result.doubts == ()
    assert 3600 // period * 1000 <= found <= (3600 // period + 1) * 1000


def test_periods_between_two_scrapes_are_said_to_be_unseen():
    points = ((NOON, "1000"), (NOON + 1200, "1000"))
    sample = CounterSamples("a", INPUT, {}, points, period=300.0)
    result = count({}, [sample], {}, first_read=True, period_start=NOON, now=NOON + 1200)
    assert sum(one.quantity for one in result.increments) == 2000
    assert "without a scrape" in result.doubts[0]


@pytest.mark.parametrize("at", [0.0, -1e9, 1_795_176.0, 86_400.0])
def test_samples_of_decades_ago_count_nothing_and_are_named(at):
    states = count(
        {}, [CounterSamples("a", INPUT, {}, ((NOON, "100"),))], {}, first_read=True, period_start=NOON
    ).states
    sample = CounterSamples("b", INPUT, {}, ((at, "5000"),), "t")
    result = count(states, [sample], {"t": [-2e9, NOON]}, first_read=False, period_start=NOON, now=NOON + 60)
    assert result.increments == ()
    assert "decades away" in result.doubts[0]


@pytest.mark.parametrize("begin", [0.0, -6e10, NOON - 1e9])
def test_what_is_said_to_have_taken_decades_is_spread_over_a_bounded_time(begin):
    shares = spread(10**9, begin, NOON)
    assert sum(share for _, share in shares) == 10**9
    assert len(shares) < 23_000
