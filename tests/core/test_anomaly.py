"""A day is unusual against the days before it, by its own measure, and only where enough of them are known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.core.projection.past import LEAST_DAYS, unusual

spends = st.floats(0, 1e6)
histories = st.lists(spends, min_size=LEAST_DAYS, max_size=40).filter(lambda days: sum(days) > 1e-3)


@pytest.mark.parametrize(
    ("today", "before", "stands"),
    [
        (30.0, [10.0] * 14, True),
        (12.0, [10.0] * 14, False),
        (30.0, [5.0, 40.0, 8.0, 25.0, 60.0, 3.0, 30.0, 12.0], False),
        (10.0, [0.0] * 20 + [0.1], True),
        (0.0, [10.0] * 14, False),
    ],
)
def test_what_lies_far_outside_of_the_usual_is_unusual_and_what_varies_anyway_is_not(today, before, stands):
    found = unusual(today, before)
    assert (found.probability >= 0.99) is stands


@given(histories, spends, spends)
def test_more_is_never_less_unusual(before, one, other):
    low, high = sorted((one, other))
    assert unusual(low, before).probability <= unusual(high, before).probability + 1e-12


@given(histories, spends, st.floats(1e-3, 1e3))
def test_the_currency_does_not_matter(before, today, rate):
    found, scaled = unusual(today, before), unusual(today * rate, [day * rate for day in before])
    assert found.probability == pytest.approx(scaled.probability, abs=1e-6)


@given(st.lists(spends, max_size=LEAST_DAYS - 1), spends)
def test_a_few_days_say_nothing(before, today):
    assert unusual(today, before) is None
