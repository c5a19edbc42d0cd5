"""What OTLP data points count: delta points once, cumulative ones by their difference, whatever is repeated or lost."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertd.core.counting.samples import CounterState
from alertd.core.counting.streams import FORGOTTEN, REMEMBERED, StreamPoint, count_streams
from alertd.core.usage import Line

T = 1_800_000_000
LINE, CACHED = Line("anthropic", "claude", "output"), Line("anthropic", "claude", "cached_input")
INPUT = Line("anthropic", "claude", "input")
LABELS = {"user": "ana"}


def point(start: float, time: float, value: float, stream: str = "s", **more: Any) -> StreamPoint:
    """A point of T + start to T + time, in seconds, received as it was sent."""
    given: dict[str, Any] = {"line": LINE, "within": None, "is_delta": True, "received": T + time, **more}
    begin, end = int((T + start) * 10**9), int((T + time) * 10**9)
    return StreamPoint(
        stream, given["line"], LABELS, given["within"], begin, end, repr(value), Decimal(1), given["is_delta"],
        given["received"],
    )  # fmt: skip


def cumulative(start: float, time: float, value: float, **more: Any) -> StreamPoint:
    return point(start, time, value, stream=f"s{start}", is_delta=False, **more)


class Counting:
    """Readings one after the other, and what they counted."""

    def __init__(self, period_start: float = T - 1000, most: int = 1000) -> None:
        self.states: dict[str, CounterState] = {}
        self.by_meter: dict[str, int] = {}
        self.said: list[str] = []
        self._period_start, self._most = period_start, most

    def read(self, *points: StreamPoint, sweep: bool = False) -> int:
        """What one reading adds."""
        found = count_streams(self.states, points, period_start=self._period_start, most=self._most, sweep=sweep)
        for one in found.increments:
            self.by_meter[one.line.meter] = self.by_meter.get(one.line.meter, 0) + one.quantity
        self.states |= found.states
        for name in found.forgotten:
            del self.states[name]
        self.said += [*found.assumed, *found.doubts]
        return sum(one.quantity for one in found.increments)


def batched(points: Sequence[StreamPoint], size: int) -> list[Sequence[StreamPoint]]:
    return [points[place : place + size] for place in range(0, len(points), size)]


VECTORS = {
    "cumulative with a lost point and a restart": (
        [cumulative(0, 60, 100), cumulative(0, 120, 250), cumulative(0, 240, 400), cumulative(250, 300, 30)], 430),
    "the same as delta, the third point lost": (
        [point(0, 60, 100), point(60, 120, 150), point(180, 240, 100), point(250, 300, 30)], 380),
    "a delta sent twice": ([point(0, 60, 100), point(0, 60, 100)], 100),
    "two processes of one identity, cumulative": (
        [cumulative(0, 60, 100), cumulative(10, 70, 50), cumulative(0, 120, 200), cumulative(10, 130, 90)], 290),
    "two processes of one identity, delta, overlapping": ([point(0, 60, 100), point(10, 70, 40)], 140),
    "a delta that comes late": ([point(0, 60, 1), point(120, 180, 4), point(60, 120, 2), point(60, 120, 2)], 7),
    "a cumulative point that comes late": ([cumulative(0, 120, 30), cumulative(0, 60, 10)], 30),
    "start equal to time: a reset at unknown start": ([cumulative(60, 60, 70), cumulative(60, 120, 90)], 20),
}  # fmt: skip


@pytest.mark.parametrize("name", VECTORS)
@pytest.mark.parametrize("readings", ["one reading", "a reading each"])
def test_vectors(name: str, readings: str) -> None:
    points, wanted = VECTORS[name]
    counting = Counting()
    for each in [points] if readings == "one reading" else [[one] for one in points]:
        counting.read(*each)
    assert sum(counting.by_meter.values()) == wanted


amounts = st.lists(st.integers(0, 10**6), min_size=1, max_size=40)
#: For each point, how often it is sent, and by how many places it is late.
disorder = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 5)), min_size=40, max_size=40)


@given(amounts, disorder, st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_every_delta_counts_once_however_often_and_late_it_comes(
    values: list[int], sent: list[tuple[int, int]], size: int
) -> None:
    points = [point(60 * n, 60 * n + 60, value) for n, value in enumerate(values)]
    arriving = sorted(
        (place + late + copy, place)
        for place, (copies, late) in zip(range(len(points)), sent, strict=False)
        for copy in range(copies)
    )
    counting = Counting()
    for reading in batched([points[place] for _, place in arriving], size):
        counting.read(*reading)
    assert counting.by_meter.get("output", 0) == sum(values)
    assert counting.said == []


@given(st.lists(amounts, min_size=1, max_size=4), st.data(), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_a_cumulative_stream_counts_what_each_process_showed_last(
    lives: list[list[int]], data: st.DataObject, size: int
) -> None:
    points, wanted = [], 0
    for place, gains in enumerate(lives):
        start, shown = place * 7.0, 0
        for step, gain in enumerate(gains):
            shown += gain
            points.append(cumulative(start, start + 60 * step + 60, shown))
    points.sort(key=lambda one: one.time)
    kept = [one for one in points if data.draw(st.booleans())]
    for start in {one.start for one in kept}:
        wanted += max(int(one.value) for one in kept if one.start == start)
    counting = Counting()
    for reading in batched([each for one in kept for each in (one, one)], size):
        counting.read(*reading)
    assert counting.by_meter.get("output", 0) == wanted


def test_cached_input_is_taken_off_the_input_that_includes_it() -> None:
    counting = Counting()
    counting.read(
        point(0, 60, 100_000, "input", line=INPUT),
        point(0, 60, 80_000, "cached", line=CACHED, within=INPUT),
        point(0, 60, 5_000, "output"),
    )
    assert counting.by_meter == {"input": 20_000, "cached_input": 80_000, "output": 5_000}


def test_cached_input_that_came_without_its_input_waits_and_is_taken_off_the_next_one() -> None:
    counting = Counting()
    assert counting.read(point(0, 60, 80_000, "cached", line=CACHED, within=INPUT)) == 0
    counting.read(
        point(60, 120, 100_000, "input", line=INPUT), point(60, 120, 1_000, "cached", line=CACHED, within=INPUT)
    )
    assert counting.by_meter == {"input": 19_000, "cached_input": 81_000}


def test_a_running_total_of_before_the_period_counts_from_its_first_point_on_and_says_so() -> None:
    counting = Counting(period_start=T)
    counting.read(cumulative(-86_400, 60, 5_000_000))
    counting.read(cumulative(-86_400, 120, 5_000_700))
    assert counting.by_meter == {"output": 700}
    assert "lower bound" in counting.said[0]


def test_a_running_total_that_falls_counts_nothing_until_it_passes_its_old_maximum() -> None:
    counting = Counting()
    counting.read(cumulative(0, 60, 1000), cumulative(0, 120, 400), cumulative(0, 180, 900), cumulative(0, 240, 1050))
    assert counting.by_meter == {"output": 1050}
    assert any("fell" in said for said in counting.said)


def test_a_point_older_than_what_is_remembered_is_not_counted_and_said() -> None:
    counting = Counting()
    counting.read(*(point(60 * n, 60 * n + 60, 1) for n in range(REMEMBERED + 1)))
    assert counting.read(point(0, 60, 1)) == 0
    assert "may be repeats" in counting.said[-1]
    assert counting.read(point(60, 120, 1)) == 0


def test_streams_that_are_idle_for_a_day_are_forgotten_and_their_points_not_counted_again() -> None:
    counting = Counting()
    counting.read(point(0, 60, 5, "old"), cumulative(0, 60, 70))
    counting.read(point(90_000, 90_060, 1, "new"), sweep=True)
    assert set(counting.states) == {"new", FORGOTTEN}
    assert counting.read(point(0, 60, 5, "old"), cumulative(0, 120, 90)) == 0


def test_no_more_streams_are_remembered_than_may_be() -> None:
    counting = Counting(most=100)
    for n in range(1000):
        counting.read(point(n, n + 1, 1, f"s{n}"))
    assert len(counting.states) <= 112
    assert counting.by_meter == {"output": 1000}


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 60)), max_size=60), st.integers(3, 8))
@settings(max_examples=60, deadline=None)
def test_forgetting_never_makes_a_figure_too_high(sent: list[tuple[int, int]], most: int) -> None:
    """Any order, any repeats: each of the points counts at most once."""
    counting = Counting(most=most)
    for stream, place in sent:
        counting.read(point(60 * place, 60 * place + 60, 1, f"s{stream}"))
    assert counting.by_meter.get("output", 0) <= len(set(sent))


def test_a_clock_that_is_wrong_by_weeks_is_said_and_its_usage_booked_on_receipt() -> None:
    counting = Counting()
    late = point(-30 * 86_400, -30 * 86_400 + 60, 9, received=T + 100.0)
    found = count_streams({}, [late, late], period_start=T, most=10)
    assert [(one.quantity, one.start) for one in found.increments] == [(9, T - T % 300)]
    assert counting.read(late) == 9
    assert "clock" in counting.said[0]


def test_usage_is_booked_over_the_interval_of_its_point() -> None:
    found = count_streams({}, [point(0, 3600, 1200)], period_start=T, most=10)
    starts = [one.start for one in found.increments]
    assert sum(one.quantity for one in found.increments) == 1200
    assert all(later - earlier == 300 for earlier, later in pairwise(starts))
