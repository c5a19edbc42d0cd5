"""When a threshold is crossed, and when its episode begins and ends: at the very borders of each rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest

from alertd.core.billing.commitments import Certain
from alertd.core.budgets import Amount, parse_threshold
from alertd.core.evaluation.state import Episode
from alertd.core.evaluation.thresholds import (
    advance,
    evaluate_status,
    is_burning,
    is_crossed,
    may_have_crossed_unseen,
    newly_reached,
    next_level,
    run_rate_total,
    severity,
)
from alertd.core.evaluation.values import BudgetStatus, Burn
from alertd.core.projection import DAY, Projection, Series, project
from alertd.core.projection.past import Unusual
from tests.scenario import NOVEMBER, budget

NOW = NOVEMBER + timedelta(days=10)
HOUR, FIVE = timedelta(hours=1), timedelta(minutes=5)


def status(spent: str = "0", *, thresholds: tuple[str, ...] = ("actual 80%", "actual 100%"), **more) -> BudgetStatus:
    one = budget(thresholds=list(thresholds))
    period = one.period.containing(NOW)
    defaults = {
        "name": BudgetStatus.name_of(one.name, (), period),
        "projection": None,
        "data_until": NOW,
        "complete_from": None,
        "seen_until": NOW,
    }
    return BudgetStatus(one, (), period, one.amount, Decimal(spent), **{**defaults, **more})


def burning(hour: float, five: float, spent: str = "100") -> dict[timedelta, Burn]:
    return {HOUR: Burn(HOUR, Decimal(spent), hour), FIVE: Burn(FIVE, Decimal(spent), five)}


@pytest.mark.parametrize(
    ("hour", "five", "spent", "crossed"),
    [
        (10, 10, "20", True),  # at the factor and at the minimum spend
        (9.9, 40, "20", None),
        (40, 9.9, "20", None),
        (40, 40, "19.99", None),
        (5, 40, "20", None),  # half of the factor is not yet clearly below
        (4.9, 40, "20", False),
        (4.9, 0, "0", False),
    ],
)
def test_a_burn_rate_needs_every_window_and_its_minimum_spend_and_ends_under_half(hour, five, spent, crossed) -> None:
    rule = "burn_rate 10x over 1h and 5m above 20 USD"
    one = status(thresholds=(rule,), burns=burning(hour, five, spent))
    assert is_crossed(one, parse_threshold(rule), NOW) is crossed
    assert is_burning(one) is (crossed is True)
    assert not is_burning(replace(one, silent=True))


@pytest.mark.parametrize(
    ("spent", "dearest", "crossed"),
    [("100", 79.9, True), ("100", 80.0, None), ("100", None, None), ("100", 0.0, True), ("9", 0.0, None)],
)
def test_above_usual_is_a_quarter_more_than_the_dearest_hour_and_never_where_nobody_knows_it(
    spent, dearest, crossed
) -> None:
    rule = "burn_rate 10x over 1h and 5m above 10 USD and usual"
    one = status(thresholds=(rule,), burns=burning(40, 40, spent), dearest_hour=dearest)
    assert is_crossed(one, parse_threshold(rule), NOW) is crossed
    assert is_crossed(replace(one, burns=burning(4, 4)), parse_threshold(rule), NOW) is False


def test_a_burn_rate_says_nothing_while_one_of_its_windows_is_missing() -> None:
    rule = "burn_rate 10x over 1h and 5m"
    one = status(thresholds=(rule,), burns={HOUR: Burn(HOUR, Decimal(100), 40)})
    assert is_crossed(one, parse_threshold(rule), NOW) is None


@pytest.mark.parametrize(("left", "crossed"), [("50", True), ("50.01", None), ("55.55", None), ("55.56", False)])
def test_a_balance_is_low_at_its_amount_and_well_again_a_tenth_above(left, crossed) -> None:
    assert is_crossed(status(balance=Decimal(left)), parse_threshold("balance 50 USD"), NOW) is crossed


@pytest.mark.parametrize(
    ("spent", "probability", "crossed"),
    [(31, 0.99, True), (30, 0.999, None), (31, 0.98, None), (31, 0.891, None), (31, 0.89, False), (4, 0.999, None)],
)
def test_a_day_is_unusual_above_its_high_with_the_probability_asked_for(spent, probability, crossed) -> None:
    today = Unusual(spent, 10, 3 if spent == 4 else 30, probability)
    rule = parse_threshold("anomaly p99 above 5 USD")
    assert is_crossed(status(today=today), rule, NOW) is crossed
    assert is_crossed(status(today=today, stale_sources=("gateway",)), rule, NOW) is None


def test_levels_are_reached_at_their_very_amount_lowest_first_and_once() -> None:
    reached = newly_reached(status("500"), {})
    assert [one.level for one in reached] == [80, 100]
    assert [one.level for one in newly_reached(status("399.99"), {})] == []
    assert [one.level for one in newly_reached(status("400"), {})] == [80]
    assert [one.level for one in newly_reached(status("500"), {reached[0].key})] == [100]


def test_what_a_silent_source_may_have_seen_matters_from_the_next_level_on() -> None:
    rules = ("actual 80%", "forecast 50%", "burn_rate 2x over 1h")
    assert next_level(status("100", thresholds=rules)) == 400
    assert next_level(status("400", thresholds=rules)) == 500
    assert next_level(status("600", thresholds=rules)) == 500
    for unseen, matters in (("299.99", False), ("300", True)):
        one = status("100", thresholds=rules, unseen=Decimal(unseen), stale_sources=("gateway",))
        assert may_have_crossed_unseen(one) is matters
        assert not may_have_crossed_unseen(replace(one, stale_sources=()))


@pytest.mark.parametrize(("level", "found"), [("100", "critical"), ("99", "warning"), ("150", "critical")])
def test_a_level_from_the_whole_amount_on_is_critical(level, found) -> None:
    assert severity(status(), Decimal(level)) == found
    assert severity(replace(status(), status="on_track"), Decimal(99)) == "info"


@pytest.mark.parametrize(
    ("rule", "gap"),
    [
        ("forecast 100%", timedelta(hours=24)),
        ("anomaly p99", timedelta(hours=24)),
        ("burn_rate 10x over 1h", timedelta(hours=1)),
        ("balance 50 USD", timedelta(0)),
    ],
)
def test_cooldown_the_next_episode_begins_at_the_earliest_a_gap_after_the_last_began(rule, gap) -> None:
    threshold, second = parse_threshold(rule), timedelta(seconds=1)
    last = Episode(3, open=False, since=NOW)
    assert advance(last, threshold, crossed=True, now=NOW + gap) == (Episode(4, open=True, since=NOW + gap), "fired")
    if gap:
        assert advance(last, threshold, crossed=True, now=NOW + gap - second) == (last, "")


def test_hysteresis_a_forecast_recovers_once_it_stayed_clearly_below_for_six_hours() -> None:
    threshold = parse_threshold("forecast 100%")
    opened, what = advance(Episode(), threshold, crossed=True, now=NOW)
    assert (opened, what) == (Episode(1, open=True, since=NOW), "fired")
    assert advance(opened, threshold, crossed=True, now=NOW + HOUR) == (opened, "")
    assert advance(opened, threshold, crossed=None, now=NOW + HOUR) == (opened, "")
    clear, what = advance(opened, threshold, crossed=False, now=NOW + HOUR)
    assert (clear.open, clear.clear_since, what) == (True, NOW + HOUR, "")
    assert advance(clear, threshold, crossed=True, now=NOW + 2 * HOUR) == (opened, "")  # it counts from anew
    early = advance(clear, threshold, crossed=False, now=NOW + 7 * HOUR - timedelta(seconds=1))
    assert early == (clear, "")
    assert advance(clear, threshold, crossed=False, now=NOW + 7 * HOUR) == (
        Episode(1, open=False, since=NOW),
        "recovered",
    )
    closed = Episode(1, open=False, since=NOW)
    assert advance(closed, threshold, crossed=False, now=NOW + 8 * HOUR) == (closed, "")


def test_a_burn_rate_ends_at_once() -> None:
    opened = Episode(1, open=True, since=NOW)
    ended = advance(opened, parse_threshold("burn_rate 10x over 1h"), crossed=False, now=NOW + FIVE)
    assert ended == (Episode(1, open=False, since=NOW), "recovered")


def test_a_balance_that_is_a_tenth_above_to_the_cent_is_not_yet_well_again() -> None:
    assert is_crossed(status(balance=Decimal(50)), parse_threshold("balance 45 USD"), NOW) is None


def test_a_forecast_fires_below_its_bound_and_ends_a_tenth_above_it() -> None:
    start = NOVEMBER.replace(day=1)
    values = np.full(10, 10.0)
    projection = project(Series(start, values, DAY), start, start + timedelta(days=30))
    bound = Decimal(repr(round(projection.fires_below(), 6)))
    one = status("100", thresholds=("forecast 100%",), idle=False)
    for amount, crossed in ((bound - 1, True), (bound * Decimal("1.05"), None), (bound * Decimal("1.2"), False)):
        at = replace(one, amount=Amount(amount, "USD"), projection=projection)
        assert is_crossed(at, parse_threshold("forecast 100%"), NOW) is crossed
        assert is_crossed(at, parse_threshold("forecast 100%"), one.period.end) is (None if crossed else crossed)
        idle = is_crossed(replace(at, idle=True), parse_threshold("forecast 100%"), NOW)
        assert idle is (None if crossed else crossed), "nothing is to come of what was idle for a week"
        assert is_crossed(replace(at, spent=amount), parse_threshold("forecast 100%"), NOW) is None, "actual says it"


def test_the_run_rate_is_what_was_spent_scaled_to_the_period_from_where_it_is_known() -> None:
    one = status("100")
    begun, end = one.period.start, one.period.end
    seen = replace(one, seen_until=begun + timedelta(days=10))
    assert run_rate_total(seen, NOW) == 300
    assert run_rate_total(replace(seen, used_since=begun + timedelta(days=5)), NOW) == 500
    assert run_rate_total(replace(seen, seen_until=begun + HOUR), NOW) == 100 * 720
    assert run_rate_total(replace(seen, seen_until=begun + HOUR - timedelta(seconds=1)), NOW) is None
    assert run_rate_total(replace(seen, seen_until=end + HOUR), NOW) == 100, "no more comes after the end"
    assert run_rate_total(seen, end) is None
    assert run_rate_total(replace(seen, spent=Decimal(0)), NOW) is None


@pytest.mark.parametrize(("history", "rough"), [(timedelta(days=3), ()), (timedelta(days=3, seconds=-1), ("rough",))])
def test_a_projection_of_less_than_three_days_is_rough(history, rough) -> None:
    start = NOVEMBER.replace(day=1)
    projection = project(Series(start, np.full(10, 10.0), DAY), start, start + timedelta(days=30))
    one = replace(status("100"), projection=projection)
    assert evaluate_status(replace(one, used_since=NOW - history), NOW) == ("on_track", rough)


@pytest.mark.parametrize(("worth", "crossed"), [("20", True), ("19.99", None)])
def test_a_minimum_spend_in_another_currency_is_reached_at_its_very_amount(worth, crossed) -> None:
    rule = "burn_rate 10x over 1h and 5m above 20 EUR"
    one = status(thresholds=(rule,), burns=burning(10, 10, "25"), worths={(HOUR, "EUR"): Decimal(worth)})
    assert is_crossed(one, parse_threshold(rule), NOW) is crossed


START = NOVEMBER.replace(day=1)


def projected(fires_below: float) -> Projection:
    """A projection whose forecast threshold at its default fires for amounts below this."""
    known = project(Series(START, np.full(10, 10.0), DAY), START, START + timedelta(days=30))
    return replace(known, totals=np.full(known.totals.size, fires_below))


def certain(ahead: str) -> Certain:
    return Certain(Decimal(0), Decimal(ahead), ())


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"spent": Decimal(500)}, "over"),  # at the very amount
        ({"spent": Decimal("499.99")}, "at_risk"),  # the run rate
        ({"spent": Decimal(500), "burns": burning(20, 20)}, "over"),
        ({"spent": Decimal(100), "burns": burning(20, 20), "projection": projected(400)}, "runaway"),
        ({"spent": Decimal(100), "burns": burning(20, 20), "silent": True, "projection": projected(400)}, "on_track"),
        ({"spent": Decimal(100), "certain": certain("400"), "projection": projected(400)}, "on_track"),
        ({"spent": Decimal(100), "certain": certain("400.01"), "projection": projected(400)}, "at_risk"),
        ({"spent": Decimal(100), "projection": projected(500)}, "on_track"),
        ({"spent": Decimal(100), "projection": projected(500.01)}, "at_risk"),
        ({"spent": Decimal(100)}, "no_forecast"),
        ({"spent": Decimal(100), "used_since": NOW - timedelta(days=5)}, "no_forecast"),  # 500 at the run rate
        ({"spent": Decimal(100), "used_since": NOW - timedelta(days=4, hours=23)}, "at_risk"),
        ({"spent": Decimal(100), "used_since": NOW - timedelta(days=1), "projection": projected(400)}, "on_track"),
        ({"seen_until": None, "data_until": None, "matched": True}, "unknown"),
        ({"matched": False}, "unknown"),
        ({"spent": Decimal(100), "failed": "KeyError"}, "unknown"),
        ({"spent": Decimal(100), "stale_sources": ("bill",), "unseen": Decimal(300)}, "unknown"),
        ({"spent": Decimal(100), "stale_sources": ("bill",), "unseen": Decimal("299.99")}, "no_forecast"),
        ({"spent": Decimal(100), "stale_sources": ("bill",), "unseen": Decimal(300), "certain": certain("401")},
         "at_risk"),
        ({"spent": Decimal(500), "stale_sources": ("bill",), "unseen": Decimal(300)}, "over"),
    ],
)  # fmt: skip
def test_the_status_is_the_first_that_holds_at_the_very_border_of_each(changes, found) -> None:
    rule = "burn_rate 10x over 1h and 5m above 20 USD"
    one = replace(status(thresholds=("actual 80%", rule), seen_until=START + timedelta(days=10)), **changes)
    assert evaluate_status(one, START + timedelta(days=10))[0] == found


def test_a_period_that_ended_within_its_budget_is_on_track_and_one_above_it_over() -> None:
    one = status("100")
    assert evaluate_status(one, one.period.end)[0] == "on_track"
    assert evaluate_status(one, one.period.end - timedelta(seconds=1))[0] == "no_forecast"
    assert evaluate_status(replace(one, spent=Decimal(501)), one.period.end)[0] == "over"


def test_a_budget_of_nothing_is_over_with_the_first_cent_and_not_before_anything_matches() -> None:
    nothing = replace(status("0", matched=False), amount=Amount(Decimal(0), "USD"))
    assert evaluate_status(nothing, NOW)[0] == "unknown"
    assert evaluate_status(replace(nothing, matched=True), NOW)[0] == "over"
    assert evaluate_status(replace(nothing, spent=Decimal("0.01")), NOW)[0] == "over"


def test_a_run_rate_instead_of_a_projection_is_rough_and_a_projection_of_unknown_age_is_not() -> None:
    assert evaluate_status(status("100"), NOW)[1] == ("rough",)
    assert evaluate_status(status("0"), NOW)[1] == ()
    assert evaluate_status(status("100", projection=projected(400)), NOW)[1] == ()
    unseen = status("100", used_since=NOW - HOUR)
    assert evaluate_status(replace(unseen, projection=projected(400), seen_until=None), NOW)[1] == ()


@pytest.mark.parametrize(
    ("changes", "crossed"),
    [
        ({"certain": certain("400.01")}, True),
        ({"certain": certain("400.01"), "projection": projected(450)}, True),
        ({"certain": certain("400")}, None),
        ({"projection": projected(500.01)}, True),
        ({"projection": projected(500)}, None),  # at its bound it neither fires nor ends
        ({"projection": projected(450.01)}, None),
        ({"projection": projected(450)}, False),  # a tenth below it ends
        ({"projection": projected(600), "stale_sources": ("bill",), "unseen": Decimal(400)}, None),
        ({"projection": projected(400), "stale_sources": ("bill",), "unseen": Decimal(400)}, None),
        ({"certain": certain("401"), "stale_sources": ("bill",), "unseen": Decimal(400)}, True),
    ],
)
def test_a_forecast_fires_and_ends_at_the_very_borders_and_what_is_certain_before_all(changes, crossed) -> None:
    one = status("100", thresholds=("forecast 100%",), **{"idle": False, **changes})
    assert is_crossed(one, parse_threshold("forecast 100%"), NOW) is crossed


@pytest.mark.parametrize(("rule", "spent"), [("above 20 tokens", "0.01"), ("above 20 USD", "20")])
def test_a_minimum_that_nobody_can_convert_hides_nothing_and_money_counts_one_for_one(rule, spent) -> None:
    burn = parse_threshold(f"burn_rate 10x over 1h and 5m {rule}")
    one = status(thresholds=(str(burn),), burns=burning(10, 10, spent))
    assert is_crossed(one, burn, NOW) is True
    eur = parse_threshold("burn_rate 10x over 1h and 5m above 20 EUR")
    assert is_crossed(replace(one, burns=burning(10, 10, "19.99")), eur, NOW) is None
    assert is_crossed(replace(one, burns=burning(10, 10, "20")), eur, NOW) is True


def test_a_burn_rate_without_a_minimum_fires_for_a_cent() -> None:
    rule = "burn_rate 10x over 1h and 5m"
    assert is_crossed(status(thresholds=(rule,), burns=burning(10, 10, "0.01")), parse_threshold(rule), NOW) is True
