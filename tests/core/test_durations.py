"""Durations in buckets: nothing is lost, and a bucket holds what took no longer than its bound."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.core.loop_stats import BOUNDS, Durations


@given(st.lists(st.floats(0, 1000, allow_nan=False), max_size=30))
def test_every_bucket_holds_exactly_what_took_no_longer_than_its_bound(seconds: list[float]) -> None:
    found = Durations()
    for one in seconds:
        found.add(one)
    expected = [(bound, sum(one <= bound for one in seconds)) for bound in (*BOUNDS, inf)]
    assert list(found.cumulative()) == expected
    assert found.count == len(seconds)
    assert found.seconds == pytest.approx(sum(seconds))


def test_a_clock_that_was_set_back_takes_nothing_away() -> None:
    found = Durations()
    found.add(-5)
    assert (found.seconds, found.count) == (0, 1)
