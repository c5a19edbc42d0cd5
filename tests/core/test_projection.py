"""A projection of a period's total: what it makes of partial days, idle weeks, weekdays, commitments and bills."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from alertd.core.projection import DAY, HOUR, Commitment, Question, Series, project, project_lines, project_many
from alertd.core.projection.series import grid_of

MARCH = (dt.datetime(2026, 3, 1, tzinfo=dt.UTC), dt.datetime(2026, 4, 1, tzinfo=dt.UTC))
STEADY = [10.0] * 40
BERLIN = ZoneInfo("Europe/Berlin")


def until_march(day, values, **more):
    """Daily values, the last of which is that of the given day of March."""
    return Series(MARCH[0] + day * DAY - len(values) * DAY, np.array(values, dtype=float), **more)


def test_a_steady_spender_is_projected_at_its_pace():
    projection = project(until_march(10, STEADY), *MARCH)
    assert projection.spent == 100.0
    assert projection.quantiles[4] == pytest.approx(310.0, rel=0.03)
    assert projection.quantiles[0] > 250.0
    assert projection.quantiles[8] < 380.0


def test_a_burstier_history_makes_a_wider_projection():
    steady, bursty = (
        project(until_march(10, values), *MARCH).quantiles for values in (STEADY, [0.0, 0.0, 0.0, 40.0] * 10)
    )
    assert bursty[8] - bursty[0] > 1.5 * (steady[8] - steady[0])


def test_without_any_history_there_is_an_answer_and_it_is_what_was_spent_before():
    projection = project(until_march(0, []), *MARCH, opening=212.4)
    assert projection.spent == 212.4
    assert set(projection.quantiles) == {212.4}


def test_a_single_day_of_history_is_enough_for_an_uncertain_answer():
    projection = project(until_march(1, [10.0]), *MARCH)
    assert projection.quantiles[0] < 310.0 < projection.quantiles[8]


def test_the_rest_of_a_partial_day_is_unknown_and_not_zero():
    noon = MARCH[0] + 9.5 * DAY
    seen_half = project(until_march(10, [*STEADY, 5.0], partial_until=noon), *MARCH)
    taken_as_whole = project(until_march(10, [*STEADY, 5.0]), *MARCH)
    assert seen_half.spent == taken_as_whole.spent == 95.0
    assert seen_half.expected == pytest.approx(project(until_march(10, STEADY), *MARCH).expected, rel=0.02)
    assert taken_as_whole.expected < seen_half.expected - 4.0
    assert seen_half.instants[0] == noon


def test_a_partial_day_counts_by_the_hours_at_which_this_series_spends():
    office = ([0.0] * 8 + [1.0] * 10 + [0.0] * 6) * 20
    morning = Series(MARCH[0] - 10 * DAY, np.array(office + [0.0] * 8), HOUR)
    evening = Series(MARCH[0] - 10 * DAY, np.array(office + [0.0] * 8 + [1.0] * 10), HOUR)
    assert project(morning, *MARCH).expected == pytest.approx(310.0, rel=0.05)
    assert project(evening, *MARCH).expected == pytest.approx(310.0, rel=0.05)


def test_a_day_that_runs_away_is_held_to_go_on_rather_than_to_turn_usual():
    today = (MARCH[0] + 10 * DAY, MARCH[0] + 11 * DAY)
    usual, runaway = (
        project(Series(MARCH[0] - 10 * DAY, np.array([1.0] * 480 + [rate] * 12), HOUR), *today) for rate in (1.0, 20.0)
    )
    assert usual.spent == 12.0
    assert usual.expected == pytest.approx(24.0, rel=0.05)
    assert runaway.spent == 240.0
    assert runaway.quantiles[4] > 240.0 + 4 * 12.0
    assert runaway.quantiles[8] > 400.0
    assert runaway.quantiles[0] < 260.0


def test_hours_are_gathered_into_days_of_the_periods_own_zone():
    period = (dt.datetime(2026, 3, 1, tzinfo=BERLIN), dt.datetime(2026, 4, 1, tzinfo=BERLIN))
    hourly = Series(dt.datetime(2026, 2, 1, tzinfo=BERLIN), np.ones(24 * 58 - 1), HOUR)
    projection = project(hourly, *period)
    assert projection.instants[0] == dt.datetime(2026, 3, 31, tzinfo=BERLIN)
    assert projection.spent == 24 * 30 - 1
    assert projection.instants[-1] == period[1]


def test_zones_that_share_the_instants_of_a_year_do_not_share_its_days():
    """New Year is one instant in Berlin and in Lagos, midsummer's midnight is not."""
    found = []
    for zone in (ZoneInfo("Africa/Lagos"), ZoneInfo("Europe/Berlin")):
        start, end = (dt.datetime(year, 1, 1, tzinfo=zone) for year in (2026, 2027))
        projection = project(Series(start, np.ones(200)), start, end)
        exhausted = projection.exhausted_at(180.5)
        assert exhausted is not None
        found.append(exhausted.likely)
    noon = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
    assert [at.replace(tzinfo=dt.UTC) for at in found] == [noon, noon]


def test_zones_that_share_a_period_gather_the_hours_before_it_into_days_of_their_own():
    first_days = []
    for zone in (ZoneInfo("Africa/Lagos"), ZoneInfo("Europe/Berlin")):
        start, end = (dt.datetime(2026, month, 1, tzinfo=zone) for month in (11, 12))
        hours = Series(dt.datetime(2026, 10, 10, tzinfo=dt.UTC), np.ones(24 * 30), HOUR)
        first_days.append(int(grid_of(Question(hours, start, end)).firsts[1]))
    assert first_days == [23, 22]


def test_a_month_in_which_the_clocks_change_has_its_days():
    period = (dt.datetime(2026, 3, 1, tzinfo=BERLIN), dt.datetime(2026, 4, 1, tzinfo=BERLIN))
    for start in (period[0] - 30 * DAY, dt.datetime.fromisoformat("2026-01-30T00:00:00+01:00")):
        projection = project(Series(start, np.full(30, 10.0)), *period)
        assert len(projection.instants) == 1 + 31
        assert projection.quantiles[4] == pytest.approx(310.0, rel=0.03)


def test_what_has_lain_still_for_two_weeks_may_come_back():
    projection = project(until_march(15, [*STEADY, *[0.0] * 15]), *MARCH)
    assert projection.quantiles[0] < 20.0
    assert projection.quantiles[8] > 50.0


def test_a_level_that_has_shifted_is_followed_and_not_averaged_away():
    projection = project(until_march(15, [10.0] * 60 + [100.0] * 15), *MARCH)
    assert projection.quantiles[4] > 1500.0 + 16 * 55.0
    assert project(until_march(15, [10.0] * 60 + [100.0] * 2), *MARCH).quantiles[4] > 130.0 + 200.0 + 16 * 15.0


def test_idle_weekends_are_expected_to_stay_idle():
    monday = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
    series = Series(monday, np.array(([10.0] * 5 + [0.0] * 2) * 8 + [10.0] * 5))  # ends on Friday, 6 March
    weekend = project(series, MARCH[0], dt.datetime(2026, 3, 9, tzinfo=dt.UTC))
    assert weekend.spent == 50.0
    assert weekend.expected < 53.0
    assert project(series, MARCH[0], MARCH[1]).expected == pytest.approx(50.0 + 17 * 10.0, rel=0.1)
    noon = Series(monday, np.append(series.values, 0.0), partial_until=dt.datetime(2026, 3, 7, 12, tzinfo=dt.UTC))
    assert project(noon, MARCH[0], dt.datetime(2026, 3, 9, tzinfo=dt.UTC)).expected < 53.0


def test_a_correction_lowers_the_spend_and_never_the_days_to_come_below_zero():
    corrected = project(until_march(10, [*STEADY[:-1], -60.0]), *MARCH)
    assert corrected.spent == 90.0 - 60.0
    assert corrected.quantiles[0] >= corrected.spent
    assert corrected.expected == pytest.approx(30.0 + 21 * 10.0, rel=0.25)


def test_a_commitment_is_added_as_such_and_its_past_is_not_projected_again():
    endpoint = Commitment(31.0 * 24.0, MARCH[0], MARCH[1])
    bare = project(until_march(10, STEADY), *MARCH)
    with_endpoint = project(until_march(10, [10.0] * 30 + [34.0] * 10), *MARCH, commitments=[endpoint])
    assert with_endpoint.spent == bare.spent + 240.0
    assert with_endpoint.quantiles == pytest.approx([q + 31.0 * 24.0 for q in bare.quantiles], rel=1e-6)


def test_a_job_that_is_billed_when_it_ends_costs_all_of_it_then():
    bill = Commitment(50.0, MARCH[0] + 12 * DAY, MARCH[0] + 12 * DAY, in_series=False)
    bare, billed = (project(until_march(10, STEADY), *MARCH, commitments=some) for some in ([], [bill]))
    assert billed.quantiles == pytest.approx([q + 50.0 for q in bare.quantiles])
    assert billed.fan[2].tolist() == bare.fan[2].tolist()
    assert billed.fan[3].tolist() == pytest.approx((bare.fan[3] + 50.0).tolist())
    after = Commitment(50.0, MARCH[1], MARCH[1], in_series=False)
    assert project(until_march(10, STEADY), *MARCH, commitments=[after]).quantiles == bare.quantiles


def test_a_budget_that_is_spent_was_used_up_when_the_spend_reached_it():
    projection = project(until_march(10, STEADY), *MARCH)
    exhaustion = projection.exhausted_at(55.0)
    assert exhaustion.low == exhaustion.likely == exhaustion.high == MARCH[0] + 5.5 * DAY
    assert projection.probability_over(55.0) == 1.0


def test_a_budget_is_used_up_about_when_its_pace_says():
    exhaustion = project(until_march(10, STEADY), *MARCH).exhausted_at(200.0)
    assert exhaustion.low < exhaustion.likely < exhaustion.high
    assert abs(exhaustion.likely - (MARCH[0] + 20 * DAY)) < 1.5 * DAY
    assert project(until_march(10, STEADY), *MARCH).exhausted_at(2000.0) is None


def test_the_default_forecast_fires_for_an_active_spender_before_the_median_would():
    projection = project(until_march(10, [0.0, 30.0] * 20), *MARCH)
    assert projection.fires_below() > projection.quantiles[4]
    assert projection.fires_below(0.2) > projection.fires_below(0.5) > projection.fires_below(0.8)


def test_a_free_tier_is_spent_before_a_token_costs_anything():
    tokens = Question(until_march(10, [1e6] * 40), *MARCH)
    bill = project_lines([tokens], lambda used: np.maximum(used[:, 0] - 20e6, 0.0) * 1e-6)
    assert bill.spent == 0.0
    assert bill.quantiles[4] == pytest.approx(11.0, rel=0.1)
    assert bill.fan[5].tolist() == pytest.approx([0.0] * bill.fan.shape[1])
    assert bill.exhausted_at(1.0).likely > MARCH[0] + 18 * DAY


def test_lines_are_drawn_from_the_same_days_so_that_their_mix_stays():
    inputs, outputs = (until_march(10, [x * k for k in (0.0, 5.0, 1.0, 9.0) * 10]) for x in (30.0, 1.0))
    seen = []

    def rate(used):
        seen.append(used)
        return used[:, 0] * 1.0 + used[:, 1] * 4.0

    project_lines([Question(inputs, *MARCH), Question(outputs, *MARCH)], rate)
    assert max(len(used) for used in seen) > 1000
    for used in (some for some in seen if len(some) > 2):
        assert used[:, 0] == pytest.approx(30.0 * used[:, 1])


def test_lines_of_one_bill_share_their_calendar():
    lines = [Question(until_march(day, STEADY), *MARCH) for day in (10, 11)]
    with pytest.raises(ValueError, match="same steps and the same period"):
        project_lines(lines, lambda used: used.sum(1))
    with pytest.raises(ValueError, match="at least one"):
        project_lines([], lambda used: used.sum(1))


@pytest.mark.parametrize("days", [1, 7, 14, 92, 366])
def test_any_length_of_period_has_an_answer(days):
    period = (MARCH[0] - days / 2 * DAY, MARCH[0] + days / 2 * DAY)
    projection = project(Series(MARCH[0] - 200 * DAY, np.full(200, 10.0)), *period)
    assert projection.spent == pytest.approx(5.0 * days)
    assert projection.expected == pytest.approx(10.0 * days, rel=0.06)


def test_a_period_that_has_not_begun_is_projected_whole():
    april = (MARCH[1], dt.datetime(2026, 5, 1, tzinfo=dt.UTC))
    projection = project(until_march(10, STEADY), *april)
    assert projection.spent == 0.0
    assert projection.expected == pytest.approx(300.0, rel=0.05)
    assert projection.instants[1] == MARCH[1] + DAY


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"step": 2 * DAY}, "step is an hour or a day, not 2 days"),
        ({"start": dt.datetime(2026, 1, 1)}, "start needs a time zone"),  # noqa: DTZ001 that is the fault
        ({"values": np.ones((2, 2))}, "values are one list of numbers, not 2 dimensions"),
        ({"partial_until": MARCH[1]}, r"partial_until 2026-04-01.* is not within the last of 3 steps"),
    ],
)
def test_a_series_that_is_none_is_refused_by_the_name_of_what_is_wrong(wrong, says):
    with pytest.raises(ValueError, match=says):
        Series(**{"start": MARCH[0], "values": np.ones(3), **wrong})


def test_a_period_that_ends_before_it_starts_is_refused():
    with pytest.raises(ValueError, match="period_end .* is not after period_start"):
        Question(until_march(10, STEADY), MARCH[1], MARCH[0])


def test_no_question_has_no_answer():
    assert project_many([]) == []
