"""The windows of burn rates: what they count was surely spent in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from alertd.core.counting.intervals import LONGEST, WIDTH, bucket, spread
from alertd.core.evaluation.scope_sources import span_of, surest_span

HOUR, FIVE = timedelta(hours=1), timedelta(minutes=5)
UNTIL = datetime(2026, 11, 3, 12, tzinfo=UTC)
#: Readings of one counter: seconds between two, and what was used in them.
readings = st.lists(st.integers(0, 10_000), min_size=30, max_size=90)


def counted(span, booked):
    """What a span counts of buckets: whole where they begin in it, by time where only a part lies in it."""
    total = 0.0
    for start, quantity in booked:
        last = min(span.end, start + WIDTH)
        if start < span.end and last > span.begin:
            total += quantity if start >= span.begin else quantity * (last - span.begin) / (last - start)
    return total * span.share


def read(interval, used, phase):
    """The buckets of a counter that was read once an interval up to now, and its readings as (begin, end, used)."""
    end = UNTIL.timestamp() + phase
    spans = [(end - (n + 1) * interval, end - n * interval, quantity) for n, quantity in enumerate(used)]
    booked = []
    for begin, at, quantity in spans:
        booked += spread(quantity, begin, at) if interval > LONGEST else [(bucket(at), quantity)]
    return booked, spans


@given(st.sampled_from([30, 60, 120, 300, 600, 900]), readings, st.integers(0, 299), st.sampled_from([60, 120, 240]))
def test_an_hour_counts_only_what_was_used_in_it(interval, used, phase, minutes):
    booked, spans = read(interval, used, phase)
    end, window = UNTIL.timestamp() + phase, timedelta(minutes=minutes)
    truly = sum(quantity for begin, _, quantity in spans if begin >= end - window.total_seconds())
    found = counted(span_of(window, timedelta(seconds=interval), datetime.fromtimestamp(end, UTC)), booked)
    assert found <= truly + (len(used) if interval > LONGEST else 0)  # what is spread is rounded by the bucket


@given(st.sampled_from([30, 60, 120, 300, 600]), readings, st.integers(0, 299), st.sampled_from([5, 10, 30]))
def test_the_mean_of_a_shorter_window_is_one_of_a_time_that_is_little_longer(interval, used, phase, minutes):
    booked, spans = read(interval, used, phase)
    end, window = UNTIL.timestamp() + phase, minutes * 60
    until = datetime.fromtimestamp(end, UTC)
    found = counted(surest_span(timedelta(minutes=minutes), timedelta(seconds=interval), until), booked)

    def mean(ago):
        truly = sum(quantity for begin, _, quantity in spans if begin >= end - ago)
        return truly * window / ago

    longest = window + WIDTH + 2 * interval
    assert found <= max(mean(ago) for ago in range(window, longest + 1)) + 1e-6


def test_a_steady_pace_is_known_to_a_bucket_and_a_reading():
    for phase in range(0, 300, 7):
        booked, _ = read(60, [60] * 90, phase)
        until = datetime.fromtimestamp(UNTIL.timestamp() + phase, UTC)
        assert 3600 - 360 <= counted(span_of(HOUR, timedelta(minutes=1), until), booked) <= 3600
        assert 300 - 60 <= counted(surest_span(FIVE, timedelta(minutes=1), until), booked) <= 300


def test_what_began_lately_counts_as_a_whole():
    for phase in range(0, 300, 7):
        booked, _ = read(60, [1000] * 20 + [0] * 60, phase)
        until = datetime.fromtimestamp(UNTIL.timestamp() + phase, UTC)
        assert counted(span_of(HOUR, timedelta(minutes=1), until), booked) == 20_000
