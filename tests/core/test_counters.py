"""What counters count: first sights, resets, gaps, duplicates, and tokens that two counters hold."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.core.counting.counters import count
from alertd.core.counting.intervals import WIDTH, bucket, spread
from alertd.core.counting.samples import CounterSamples, CounterState, whole
from alertd.core.usage import Line

INPUT, CACHED = Line("openai", "gpt-5", "input"), Line("openai", "gpt-5", "cached_input")
TEAM = {"team": "research"}
MONTH = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
NOON = MONTH + 19 * 86400 + 12 * 3600
MINUTE = 60.0


def series(*points, name="a", created=None, target="gateway", **more):
    return CounterSamples(name, more.pop("line", INPUT), more.pop("labels", TEAM), points, target, created, **more)


def counted(samples, states=None, scrapes=None, *, first_read=False):
    return count(states or {}, samples, scrapes or {}, first_read=first_read, period_start=MONTH)


def total(result):
    return sum(one.quantity for one in result.increments)


def known(value, at=NOON, created=None):
    return {"a": CounterState(at, value, created)}


def test_a_reading_goes_with_its_counting_without_the_help_of_the_garbage_collector():
    class Reading(list[CounterSamples]):
        """One that can be watched."""

    reading = Reading([series((NOON, "5"))])
    watched = weakref.ref(reading)
    gc.disable()
    try:
        assert list(counted(reading, first_read=True).states) == ["a"]
        del reading
        assert watched() is None
    finally:
        gc.enable()


# an old page


@pytest.mark.parametrize(
    ("seen", "created", "before", "after", "counts"),
    [
        ("lower, and nothing is known of its start: a dip", None, None, 60, 0),
        ("lower, the start is the same: an old page", NOON - 900, NOON - 900, 60, 0),
        ("lower, the start is not told any more: a page cut short", NOON - 900, None, 60, 0),
        ("lower, it began anew since", NOON - 900, NOON + 30, 60, 300),
        ("lower for more than an hour, the start is the same", NOON - 900, NOON - 900, 3700, 0),
        ("higher, the start is the same", NOON - 900, NOON - 900, 60, 100),
    ],
)
def test_a_counter_that_went_back_counts_whole_only_where_it_may_have_begun_anew(seen, created, before, after, counts):
    value = "600" if seen.startswith("higher") else "300"
    result = counted([series((NOON + after, value), created=before)], known(500, created=created))
    assert total(result) == counts, seen
    assert bool(result.doubts) == (counts == 0), seen


def test_what_an_old_page_hid_is_counted_once_the_truth_is_back():
    start = NOON - 900
    states = known(500, created=start)
    old = counted([series((NOON + 60, "300"), created=start)], states)
    back = counted([series((NOON + 120, "700"), created=start)], {**states, **old.states})
    assert (total(old), total(back)) == (0, 200)


def test_a_window_that_still_holds_the_process_before_does_not_make_an_old_page_a_restart():
    before, start = NOON - 900, NOON - 30
    states = known(500, created=start)
    parts = [series((NOON - 60, "900"), created=before), series((NOON + 60, "0"), (NOON + 120, "700"), created=start)]
    result = counted(parts, states)
    assert total(result) == 200
    assert result.states["a"].created == start


def test_beyond_the_most_counters_new_ones_are_left_out_and_known_ones_go_on():
    scrapes = {"gateway": [NOON]}
    samples = [series((NOON + 60, "9"), name=name) for name in ("a", "b", "c", "d")]
    result = count(known(5), samples, scrapes, first_read=False, period_start=MONTH, most=2)
    assert total(result) == 4 + 9
    assert result.states.keys() == {"a", "b"}
    assert result.left_out == 2


# first sight


@pytest.mark.parametrize(
    ("seen", "first_read", "created", "earlier", "counts"),
    [
        ("the source's first read, nothing known of the counter", True, None, [], 0),
        ("the source's first read, the counter began in the period", True, NOON - 7200, [], 500),
        ("the source's first read, the counter began before the period", True, MONTH - 60, [], 0),
        ("its target was scraped before without it", False, None, [NOON - 60], 500),
        ("its target was scraped before without it, on a first read too", True, None, [NOON - 60], 500),
        ("only the same scrape is known", False, None, [NOON], 0),
        ("a new target whose process began since the last read", False, NOON - 30, [], 500),
        ("a new target whose process began long before: old counters under new labels", False, NOON - 9 * 3600, [], 0),
    ],
)
def test_a_first_sample_counts_whole_only_where_the_series_was_born(seen, first_read, created, earlier, counts):
    others = {} if first_read else {"other": CounterState(NOON - 60, 7)}
    result = counted([series((NOON, "500"), created=created)], others, {"gateway": earlier}, first_read=first_read)
    assert total(result) == counts, seen
    assert result.states["a"].value == 500


@pytest.mark.parametrize(
    ("seen", "value", "created", "counts"),
    [
        ("higher", "130", None, 30),
        ("lower, and two samples are still to come", "20", None, 0),
        ("lower: it began anew", "20", NOON + 30, 20),
        ("higher, but its process began since", "130", NOON + 30, 130),
        ("higher, and its process is the one it was", "130", NOON - 500, 30),
        ("the same", "100", None, 0),
        ("back from nothing", "0", None, 0),
    ],
)
def test_a_series_that_is_known_counts_its_difference_or_anew(seen, value, created, counts):
    old = known(100, created=NOON - 500 if created is not None else None)
    assert total(counted([series((NOON + 3600, value), created=created)], old)) == counts, seen


def test_the_same_process_seen_with_a_jittering_start_is_no_restart():
    old = known(100, created=NOON - 5)
    assert total(counted([series((NOON + 60, "130"), created=NOON - 4.2)], old)) == 30


def test_a_restart_inside_a_reading_is_told_by_its_start_though_the_counter_stands_higher():
    before = series((NOON + 60, "110"), created=NOON - 500)
    after = series((NOON + 120, "400"), (NOON + 180, "450"), created=NOON + 90)
    assert total(counted([before, after], known(100, created=NOON - 500))) == 10 + 450


# values


@pytest.mark.parametrize(
    ("text", "number"),
    [("1234", 1234), ("1.5e+07", 15_000_000), ("1234.0", 1234), ("2.5", 2), ("3.5", 4), (7.0, 7), ("NaN", None),
     ("9007199254740993", 9007199254740993)],
)  # fmt: skip
def test_values_are_exact_from_their_text(text, number):
    assert whole(text) == number


def test_thousands_are_scaled_before_they_are_rounded():
    assert whole("12.3456", Decimal(1000)) == 12346


def test_a_rounded_running_total_loses_nothing_over_many_samples():
    points = [(NOON + 60 * n, f"{n * 0.3:.1f}") for n in range(1, 1001)]
    assert total(counted([series(*points)], known(0))) == 300


@pytest.mark.parametrize("bad", ["-5", "+Inf", "-Inf", "abc"])
def test_a_value_no_counter_has_is_refused_and_told_and_the_rest_counts(bad):
    result = counted([series((NOON + 60, "110"), (NOON + 120, bad), (NOON + 180, "125"))], known(100))
    assert total(result) == 25
    assert len(result.refused) == 1
    assert "gpt-5 input" in result.refused[0]


@pytest.mark.parametrize("bad", ["NaN", "-1", "+Inf", "12x"])
def test_an_old_counter_whose_first_value_is_no_number_counts_only_what_it_grew_by(bad):
    points = (NOON, bad), (NOON + 60, "1000000"), (NOON + 120, "1000005")
    for first_read in (True, False):
        assert total(counted([series(*points)], scrapes={"gateway": [NOON]}, first_read=first_read)) == 5


def test_what_an_old_counter_grew_by_is_exact_beyond_the_digits_of_a_float():
    points = (NOON, "9007199254740993"), (NOON + 60, "9007199254740995"), (NOON + 120, "9007199254740999")
    assert total(counted([series(*points)], {"b": CounterState(NOON + 90, 1)})) == 6


def test_nan_is_skipped_in_silence():
    result = counted([series((NOON + 60, "NaN"), (NOON + 120, "130"))], known(100))
    assert (total(result), result.refused) == (30, ())


# windows


def test_a_sample_on_the_border_of_two_windows_counts_once():
    first = counted([series((NOON + 60, "110"))], known(100))
    second = counted([series((NOON + 60, "110"), (NOON + 60, "110"), (NOON + 120, "115"))], known(100) | first.states)
    assert (total(first), total(second)) == (10, 5)


def test_midnights_own_sample_closes_the_day_before():
    midnight = MONTH + 86400
    result = counted([series((midnight, "130"), (midnight + 60, "131"))], known(100, at=midnight - 60))
    assert [(one.start, one.quantity) for one in result.increments] == [(midnight - WIDTH, 30), (midnight, 1)]


def test_an_outage_over_a_months_end_is_split_by_time():
    border = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    result = counted([series((border + 3600, "4100"))], known(100, at=border - 3 * 3600))
    before = sum(one.quantity for one in result.increments if one.start < border)
    assert (before, total(result)) == (3000, 4000)


def test_a_long_idle_series_that_starts_again_is_not_spread_over_its_idleness():
    old = known(100, at=NOON - 86400)
    result = counted([series((NOON, "100"), (NOON + 60, "160"))], old)
    assert [(one.start, one.quantity) for one in result.increments] == [(bucket(NOON + 60), 60)]


def test_a_scrape_that_saw_nothing_new_bounds_a_gap():
    result = counted([series((NOON, "160"))], known(100, at=NOON - 86400), {"gateway": [NOON - 60]})
    assert [(one.start, one.quantity) for one in result.increments] == [(bucket(NOON), 60)]


def test_idle_series_are_written_once_an_hour_only():
    assert counted([series((NOON + 60, "100"))], known(100)).states == {}
    assert counted([series((NOON + 3600, "100"))], known(100)).states["a"][:3] == (NOON + 3600, 100, None)


def test_values_for_periods_add_up_once_a_period():
    points = ((NOON, "10"), (NOON + 60, "10"), (NOON + 300, "20"), (NOON + 360, "20"), (NOON + 600, "5"))
    first = counted([series(*points[:3], period=300.0)])
    again = counted([series(*points, period=300.0)], first.states)
    assert (total(first), total(again)) == (30, 5)


# tokens that two counters hold


def both(at, inputs, cached):
    return [
        series((at, str(inputs)), name="in"),
        series((at, str(cached)), name="cached", line=CACHED, within=INPUT),
    ]


def by_meter(*results):
    found = Counter()
    for result in results:
        for one in result.increments:
            found[one.line.meter] += one.quantity
    return dict(found)


def test_cached_input_is_taken_off_the_input_that_includes_it():
    states = {"in": CounterState(NOON, 0), "cached": CounterState(NOON, 0)}
    assert by_meter(counted(both(NOON + 60, 100, 80), states)) == {"input": 20, "cached_input": 80}


def test_cached_tokens_that_come_before_their_input_wait_for_it_and_no_token_counts_twice():
    states = {"in": CounterState(NOON, 0), "cached": CounterState(NOON, 0)}
    first = counted(both(NOON + 600, 0, 80), states)
    assert by_meter(first) == {}
    states |= first.states
    assert states["cached"].owed == 80
    second = counted(both(NOON + 1200, 100, 80), states)
    assert by_meter(first, second) == {"input": 20, "cached_input": 80}
    assert (states | second.states)["cached"].owed == 0


# laws

steps = st.lists(st.tuples(st.integers(1, 900), st.integers(0, 10**6), st.booleans()), min_size=1, max_size=40)


def history(moves):
    """Samples of a counter, and what was counted after each: (points, truth). True begins it anew, once in an hour.

    Two samples go on from every fall, as they do of a counter without a known start before its fall is decided.
    """
    at, value, points, truth, fell = NOON, 0, [(NOON, "0")], 0, 0.0
    for seconds, used, restarts in moves:
        at += seconds
        falls = restarts and 0 < 2 * used < value and at > fell + 3 * 3600
        value = used if falls else value + used
        truth += used
        points.append((at, str(value)))
        if falls:
            points += [(at + 1, str(value)), (at + 2, str(value))]
            at, fell = at + 3700, at
    return points, truth


@given(steps, st.lists(st.integers(0, 41), max_size=6), st.integers(0, 5))
def test_however_samples_are_cut_into_windows_their_sum_is_the_truth(moves, cuts, overlap):
    points, truth = history(moves)
    edges = sorted({0, len(points), *(min(cut, len(points)) for cut in cuts)})
    states, found = {}, 0
    for begin, end in pairwise(edges):
        result = counted([series(*points[max(0, begin - overlap) : end])], states, first_read=begin == 0)
        states |= result.states
        found += total(result)
    assert found == truth


@given(steps)
def test_reading_a_window_twice_changes_nothing(moves):
    points, _ = history(moves)
    once = counted([series(*points)], first_read=True)
    again = counted([series(*points)], once.states)
    assert (again.increments, again.states) == ((), {})


def test_a_fall_by_one_counts_nothing_until_the_old_maximum_is_passed_and_is_said():
    fallen = counted([series((NOON + 60, "99"))], known(100))
    risen = counted([series((NOON + 120, "105"))], fallen.states)
    assert (total(fallen), total(risen)) == (0, 5)
    assert "lower bound" in fallen.doubts[0]


def test_a_running_total_of_minutes_counts_in_the_meters_own_unit():
    assert total(counted([series((NOON + 60, "160"), scale=Decimal(60))], known(100))) == 160 * 60 - 100


def test_a_counter_that_comes_in_parts_counts_on_from_the_part_before():
    parts = [series((NOON + 60, "150"), created=NOON - 900), series((NOON + 120, "200"), created=NOON - 900)]
    assert total(counted(parts, known(100, created=NOON - 900))) == 100


starts = st.lists(st.sampled_from([None, NOON - 900, NOON + 1800]), min_size=1, max_size=6)


@given(st.lists(steps, min_size=1, max_size=3), st.integers(1, 5), st.integers(0, 2), starts)
def test_counters_that_simply_went_on_are_counted_in_short_and_to_the_same(many, size, overlap, starts):
    plain, fractional = {}, {}
    longest = 1 + max(map(len, many))
    for number, begin in enumerate(range(0, longest, size)):
        created = starts[number % len(starts)]
        window = slice(max(0, begin - overlap), begin + size)
        points = {str(n): history(moves)[0][window] for n, moves in enumerate(many)}
        short = [series(*own, name=name, created=created) for name, own in points.items()]
        whole = [one._replace(points=[(at, f"{value}.0") for at, value in one.points]) for one in short]
        scrapes = {"gateway": [NOON, *(at for at, _ in points["0"])]}
        results = counted(short, plain, scrapes), counted(whole, fractional, scrapes)
        plain |= results[0].states
        fractional |= results[1].states
        assert plain == fractional
        assert sorted(one[2:] for one in results[0].increments) == sorted(one[2:] for one in results[1].increments)
        assert results[0].refused == results[1].refused


@given(st.lists(steps, min_size=2, max_size=4), st.randoms())
def test_the_order_of_series_does_not_matter_and_those_of_one_ledger_series_add_up(many, chance):
    samples = [series(*history(moves)[0], name=str(n), labels=dict(TEAM)) for n, moves in enumerate(many)]
    straight = counted(samples, first_read=True)
    chance.shuffle(samples)
    shuffled = counted(samples, first_read=True)
    assert sorted((one.start, one.quantity) for one in straight.increments) == sorted(
        (one.start, one.quantity) for one in shuffled.increments
    )
    assert total(straight) == sum(history(moves)[1] for moves in many)
    assert len({one.start for one in straight.increments}) == len(straight.increments)


@given(
    st.lists(st.tuples(st.integers(1, 900), st.integers(0, 1000), st.integers(0, 1000), st.booleans()), min_size=1),
    st.integers(1, 5),
)
def test_contained_tokens_are_counted_once_whichever_counter_moves_first(moves, size):
    points = {"in": [(NOON, "0")], "cached": [(NOON, "0")]}
    at, inputs, cached = NOON, 0, 0
    for seconds, fresh, hits, late in moves:
        at += seconds
        shown_before = inputs
        inputs, cached = inputs + fresh + hits, cached + hits
        points["in"].append((at, str(shown_before if late else inputs)))
        points["cached"].append((at, str(cached)))
    points["in"].append((at + 1, str(inputs)))
    points["cached"].append((at + 1, str(cached)))
    states, results = {}, []
    for begin in range(0, len(points["in"]), size):
        window = [
            series(*points["cached"][begin : begin + size], name="cached", line=CACHED, within=INPUT),
            series(*points["in"][begin : begin + size], name="in"),
        ]
        results.append(counted(window, states, first_read=begin == 0))
        states |= results[-1].states
    found = Counter(by_meter(*results))
    assert found["cached_input"] == cached
    assert found["input"] == inputs - cached
    assert all(one.quantity > 0 for result in results for one in result.increments)


def test_an_interval_of_decades_is_spread_over_its_days():
    shares = spread(10**9, 0.0, NOON)
    assert len(shares) == NOON // 86400 + 1
    assert sum(share for _, share in shares) == 10**9


@given(st.integers(0, 10**12), st.floats(0, 10**7), st.floats(0.001, 90 * 86400))
def test_a_spread_quantity_is_whole_and_none_of_it_is_lost(quantity, begin, length):
    shares = spread(quantity, MONTH + begin, MONTH + begin + length)
    assert sum(share for _, share in shares) == quantity
    assert all(share > 0 and start % WIDTH == 0 for start, share in shares)
    assert all(MONTH + begin - 3600 <= start < MONTH + begin + length for start, _ in shares)


def test_a_quantity_beyond_the_digits_of_a_float_is_spread_exactly():
    for quantity in (10**18 + 1, 2**60 - 1, 10**27 + 7):
        assert sum(share for _, share in spread(quantity, MONTH, MONTH + 7200)) == quantity


@pytest.mark.parametrize(("age", "counts"), [(3000, 500), (4000, 0), (-30, 500), (-90, 0)])
def test_a_counter_is_new_that_began_up_to_an_hour_before_the_last_sample_and_not_a_minute_in_the_future(age, counts):
    others, at = {"other": CounterState(NOON, 7)}, NOON + (60 if age > 0 else 0)
    began = NOON - age if age > 0 else at - age
    assert total(counted([series((at, "500"), created=began)], others)) == counts


def test_what_two_counters_still_have_to_take_off_an_input_counter_is_taken_off_once():
    states = {name: CounterState(NOON, 0) for name in ("in", "cached", "warm")}
    hits = [
        series((NOON + 60, value), name=name, line=CACHED, within=INPUT)
        for name, value in (("cached", "80"), ("warm", "40"))
    ]
    first = counted([*hits, series((NOON + 60, "0"), name="in")], states)
    states |= first.states
    second = counted(
        [
            series((NOON + 120, "80"), name="cached", line=CACHED, within=INPUT),
            series((NOON + 120, "40"), name="warm", line=CACHED, within=INPUT),
            series((NOON + 120, "1000"), name="in"),
        ],
        states,
    )
    assert Counter(by_meter(first, second)) == {"cached_input": 120, "input": 880}


def test_an_input_counter_that_leaves_out_cached_tokens_is_told_with_the_remedy():
    states, told = {"in": CounterState(NOON, 0), "cached": CounterState(NOON, 0)}, []
    for minute in range(1, 6):
        result = counted(both(NOON + 60 * minute, 1000 * minute, 90_000 * minute), states)
        states |= result.states
        told += result.doubts
    assert told
    assert all("CACHED_APART=true" in text for text in told)
