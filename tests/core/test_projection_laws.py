"""Laws of a projection: what holds for every history, found by looking for the one for which it does not."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alertd.core.projection import (
    DAY,
    HOUR,
    LEVELS,
    Commitment,
    Question,
    Series,
    project,
    project_batch,
    project_lines,
    project_many,
)

MONTH = (dt.datetime(2026, 3, 1, tzinfo=dt.UTC), dt.datetime(2026, 4, 1, tzinfo=dt.UTC))
amounts = st.one_of(st.just(0.0), st.floats(0.01, 1e6), st.floats(1.0, 100.0))
histories = st.lists(amounts, max_size=70)
signed = st.lists(st.one_of(amounts, st.floats(-1e4, 1e4)), max_size=70)


def daily(values, days_into_march=10):
    """A series whose last value is that of the given day of March."""
    return Series(MONTH[0] + days_into_march * DAY - len(values) * DAY, np.array(values, dtype=float))


def total(values, days_into_march=10):
    return project(daily(values, days_into_march), *MONTH)


@given(signed, st.integers(0, 31))
@example([2.225073858507e-311, 0.0, 1.0], 23)
def test_quantiles_are_finite_and_in_order_and_never_below_what_is_spent(values, day):
    projection = total(values, day)
    assert all(np.isfinite(projection.quantiles))
    assert all(low <= high for low, high in pairwise(projection.quantiles))
    assert projection.quantiles[0] >= projection.spent
    assert projection.expected >= projection.spent


@given(signed)
def test_on_the_last_instant_the_projection_is_the_spend(values):
    projection = total(values, 31)
    assert projection.spent == pytest.approx(sum(values[-31:]), abs=1e-6)
    assert set(projection.quantiles) == {projection.spent} == {projection.expected}
    assert projection.fires_below() == projection.spent
    assert projection.probability_over(projection.spent) == 0.0


@given(histories, st.sampled_from([2.0**-20, 0.5, 2.0, 1024.0, 2.0**40]))
def test_scaling_the_series_scales_the_answer(values, factor):
    once, scaled = total(values), total([value * factor for value in values])
    assert scaled.quantiles == pytest.approx([factor * q for q in once.quantiles], rel=1e-6)
    assert scaled.fires_below() == pytest.approx(factor * once.fires_below(), rel=1e-6)


@given(histories)
def test_the_same_question_has_the_same_answer(values):
    assert total(values).quantiles == total(values).quantiles


@settings(max_examples=30)
@given(st.lists(st.tuples(histories, st.integers(1, 31)), min_size=1, max_size=6))
def test_many_at_once_are_answered_as_each_alone(some):
    questions = [Question(daily(values, day), *MONTH) for values, day in some]
    for question, together in zip(questions, project_many(questions), strict=True):
        alone = project(question.series, *MONTH)
        assert together.quantiles == pytest.approx(alone.quantiles, rel=1e-9)
        assert together.fires_below() == pytest.approx(alone.fires_below(), rel=1e-9)


@settings(max_examples=60)
@given(st.integers(0, 70), st.integers(0, 31), st.sampled_from([None, 0.01, 0.3, 0.9]), st.integers(1, 8), st.data())
def test_series_of_one_calendar_are_answered_together_as_each_alone(length, day, seen, count, data):
    """Weekly rhythms, levels that moved, idle weeks, corrections: whatever a series is like."""
    shapes = st.sampled_from(
        [
            lambda at, n: 5.0 * ((at + n) % 7 < 5),
            lambda at, n: 100.0 if at > 20 + n else 2.0 + at % 3,
            lambda at, n: (3.0 + n) * (at <= 30 - n),
            lambda at, n: float((at * 7919 + n * 31) % 13),
            lambda at, n: (-4.0 if at % 19 == 18 else 2.0) + n,
            lambda at, n: 0.0 * (at + n),
        ]
    )
    rows = [data.draw(shapes) for _ in range(count)]
    values = np.array([[shape(at, n) for at in range(length)] for n, shape in enumerate(rows)]).reshape(count, length)
    openings = np.arange(count) * 3.0
    start = MONTH[0] + (day - length) * DAY
    until = start + (length - 1 + seen) * DAY if seen is not None and length else None

    def question(number):
        return Question(Series(start, values[number], DAY, until), *MONTH, opening=float(openings[number]))

    together = list(project_batch(question(0), values, openings))
    assert len(together) == count
    for number, one in enumerate(together):
        alone = project_many([question(number)])[0]
        assert one.totals == pytest.approx(alone.totals, rel=1e-9, abs=1e-9)
        assert one.alert_level == pytest.approx(alone.alert_level, rel=1e-9, abs=1e-9)
        assert one.spent == pytest.approx(alone.spent)
        assert one.fan.tolist() == alone.fan.tolist()


@given(st.floats(0.1, 1e4), st.integers(7, 60))
def test_one_more_day_of_the_expected_amount_does_not_move_a_steady_series(amount, days):
    before, after = total([amount] * days, 10), total([amount] * (days + 1), 11)
    assert after.expected == pytest.approx(before.expected, rel=0.02)
    assert after.quantiles[4] == pytest.approx(before.quantiles[4], rel=0.02)


@given(st.lists(st.floats(0.5, 2.0), min_size=21, max_size=60))
def test_one_more_day_of_the_expected_amount_barely_moves_a_restless_one(values):
    before = total(values, 10)
    tomorrow = (before.expected - before.spent) / 21.0
    after = total([*values, tomorrow], 11)
    assert after.expected == pytest.approx(before.expected, rel=0.05)


@given(st.lists(amounts, min_size=1, max_size=60), st.integers(0, 59), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_what_is_no_number_is_refused_with_its_place_and_a_remedy(values, place, wrong):
    values[place % len(values)] = wrong
    with pytest.raises(ValueError, match=rf"values\[{place % len(values)}\] is .*leave a step without usage at 0"):
        daily(values)


@given(histories, st.floats(0.0, 1e7), st.floats(0.0, 1e7))
def test_a_larger_budget_is_less_likely_to_be_exceeded(values, one, other):
    projection = total(values)
    small, large = sorted((one, other))
    assert 0.0 <= projection.probability_over(large) <= projection.probability_over(small) <= 1.0


@given(histories)
def test_probabilities_and_quantiles_tell_the_same(values):
    projection = total(values)
    for level, quantile in zip(LEVELS, projection.quantiles, strict=True):
        assert projection.probability_over(quantile * (1 - 1e-9) - 1e-12) >= 1.0 - level - 0.01
        assert projection.fires_below(1.0 - level) == pytest.approx(quantile)


@given(histories, st.floats(0.01, 1e7))
def test_a_budget_that_lasts_has_no_date_and_one_that_may_not_has_three_in_order(values, budget):
    projection = total(values)
    exhaustion, probability = projection.exhausted_at(budget), projection.probability_over(budget)
    if exhaustion is None:
        assert probability < 0.1
        return
    assert MONTH[0] <= exhaustion.low <= exhaustion.likely <= exhaustion.high <= MONTH[1]
    if projection.spent > budget:
        assert exhaustion.low == exhaustion.high <= MONTH[0] + 10 * DAY


@given(st.lists(amounts, min_size=1, max_size=40), st.lists(st.floats(0.01, 1.0), min_size=24, max_size=24))
def test_hours_of_whole_days_say_what_the_days_say(days, shape):
    hours = np.outer(days, np.array(shape) / sum(shape)).ravel()
    by_hours, by_days = project(Series(MONTH[0] + (10 - len(days)) * DAY, hours, HOUR), *MONTH), total(days)
    assert by_hours.quantiles == pytest.approx(by_days.quantiles, rel=1e-9, abs=1e-9)
    assert by_hours.spent == pytest.approx(by_days.spent)


@given(st.lists(amounts, min_size=1, max_size=60))
def test_a_step_seen_to_its_end_is_a_complete_one(values):
    whole = daily(values)
    seen = Series(whole.start, whole.values, partial_until=MONTH[0] + 10 * DAY)
    assert project(seen, *MONTH).quantiles == project(whole, *MONTH).quantiles


@settings(max_examples=50)
@given(st.lists(amounts, min_size=1, max_size=40), st.floats(1e-6, 1e-2))
def test_one_line_at_a_flat_price_costs_what_its_tokens_cost(values, price):
    line = Question(daily(values), *MONTH)
    bill = project_lines([line], lambda used: used[:, 0] * price)
    tokens = project(line.series, *MONTH)
    assert bill.quantiles == pytest.approx([price * q for q in tokens.quantiles], rel=1e-6)
    assert bill.fires_below() == pytest.approx(price * tokens.fires_below(), rel=1e-6)


@settings(max_examples=50)
@given(st.lists(st.tuples(amounts, amounts, amounts), min_size=1, max_size=40))
def test_lines_at_flat_prices_cost_what_the_sum_of_their_costs_does(rows):
    prices = np.array([1.0, 0.1, 8.0])
    used = np.array(rows)
    bill = project_lines([Question(daily(line), *MONTH) for line in used.T], lambda many: many @ prices)
    money = total(used @ prices)
    assert bill.quantiles == pytest.approx(money.quantiles, rel=1e-6)
    assert bill.fan[-1].tolist() == pytest.approx(money.fan[-1].tolist(), rel=1e-6)


@given(histories, st.integers(0, 31), st.floats(0.0, 1e7))
def test_a_chance_of_one_half_or_more_is_what_the_default_forecast_fires_on(values, day, budget):
    projection = total(values, day)
    for amount in (budget, projection.quantiles[4], projection.fires_below() * (1 - 1e-9), projection.fires_below()):
        assert (projection.probability_over(amount) >= 0.5) == (amount < projection.fires_below())


@given(histories, st.integers(0, 30), st.floats(0.01, 1e5), st.floats(0.0, 0.999))
def test_an_amount_that_is_certain_to_be_exceeded_has_a_chance_of_one(values, day, committed, part):
    now = MONTH[0] + day * DAY
    rent = Commitment(committed, now, MONTH[1], in_series=False)
    projection = project(daily(values, day), *MONTH, commitments=[rent])
    assert projection.probability_over(projection.spent + part * committed) == 1.0
    assert projection.quantiles[0] >= (projection.spent + committed) * (1 - 1e-9)


@settings(max_examples=50)
@given(st.lists(amounts, min_size=1, max_size=40), st.floats(1.0, 1e6), st.floats(0.0, 1e7))
def test_a_bill_with_a_free_tier_fires_on_a_chance_of_one_half_or_more(values, free, budget):
    bill = project_lines([Question(daily(values), *MONTH)], lambda used: np.maximum(used[:, 0] - free, 0.0))
    assert (bill.probability_over(budget) >= 0.5) == (budget < bill.fires_below())


@given(st.integers(1, 47), st.floats(0.01, 1e6))
def test_from_the_first_hour_a_range_is_wide_and_holds_the_run_rate(hours, amount):
    start = MONTH[0] + 9 * HOUR
    projection = project(Series(start, np.full(hours, amount), HOUR), *MONTH)
    run_rate = amount * ((MONTH[1] - start) / HOUR)
    assert projection.quantiles[0] < run_rate < projection.quantile(0.95)
    assert projection.quantiles[8] > 3 * projection.quantiles[0]
