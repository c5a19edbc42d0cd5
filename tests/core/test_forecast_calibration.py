"""What past projections teach: those that missed are widened, those too careful are narrowed, with measure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.core.evaluation.forecast_calibration import widened, width
from alertd.core.evaluation.state import Forecast, Score
from alertd.core.projection import project
from alertd.core.projection.series import Series
from tests.world import NOVEMBER


def period(total: float, *projected: tuple[float, float, float]) -> Score:
    forecasts = {day: Forecast(*figures) for day, figures in zip("379", projected, strict=False)}
    return Score("2026-10-01", total, forecasts)


@pytest.mark.parametrize(
    ("known", "wider"),
    [
        ([], None),
        ([period(100, (90, 100, 110))], False),
        ([period(150, (90, 100, 110), (95, 105, 115))] * 3, True),
        ([period(101, (50, 100, 200), (60, 100, 180))] * 3, False),
    ],
)
def test_projections_that_missed_are_widened_and_those_that_were_too_careful_narrowed(known, wider):
    factor = width(known)
    assert factor == 1.0 if wider is None else (factor > 1) is wider


def test_one_period_moves_the_width_less_than_six():
    missed = period(150, (90, 100, 110), (90, 100, 110))
    assert 1 < width([missed]) < width([missed] * 6)


@given(st.lists(st.floats(0, 100), min_size=3, max_size=40), st.floats(0.7, 2.5))
def test_a_widened_projection_keeps_its_middle_its_order_and_what_is_spent(values, factor):
    series = Series(NOVEMBER, np.array(values[:25]))
    before = project(series, NOVEMBER, NOVEMBER.replace(month=12))
    after = widened(before, factor)
    assert (np.diff(after.totals) >= -1e-9).all()
    assert after.totals[0] >= before.spent - 1e-9
    assert after.quantile(0.5) == pytest.approx(before.quantile(0.5), rel=1e-6, abs=1e-6)
    reach = [p.quantile(0.9) - p.quantile(0.5) for p in (before, after)]
    assert reach[1] == pytest.approx(reach[0] * factor, rel=1e-6, abs=1e-6)
