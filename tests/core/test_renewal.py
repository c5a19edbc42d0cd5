"""Scopes far below their thresholds keep their projections: nothing that was spent is found late by it."""

from __future__ import annotations

import gc
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertd.core.budgets import Amount
from alertd.core.evaluation.evaluate import evaluate
from alertd.core.evaluation.renewal import RENEWED_WITHIN, KeptEvaluation
from alertd.core.evaluation.values import BudgetStatus
from tests.scenario import NOVEMBER, Scenario, budget

KEYS = ("a", "b", "c", "d")
MINUTE = timedelta(minutes=1)


def exchange(*_):
    """No currency but the dollar."""


class Renewed(Scenario):
    """A scenario whose evaluations follow one another; `in_turn` statuses are evaluated whole each time."""

    def __init__(self, *budgets, in_turn=0, **more):
        super().__init__(*budgets, **more)
        self.kept = KeptEvaluation(self.now, (), in_turn=in_turn)

    def facts(self):
        found = super().facts()
        return replace(found, context=replace(found.context, exchange=exchange), kept=self.kept)

    def evaluate(self):
        found = evaluate(self.facts())
        self.kept = found.kept or KeptEvaluation(self.now, (), in_turn=self.kept.in_turn)
        self.statuses = {one.name: one for one in found.statuses}
        return found

    def anew(self):
        """The statuses of now without anything kept."""
        return {one.name: one for one in evaluate(replace(self.facts(), kept=None)).statuses}


def world(**more):
    """Four keys of 100 USD a month, used evenly for ten days, evaluated once a minute since."""
    thresholds = ["actual 50%", "actual 100%", "forecast 100%", "burn_rate 10x over 1h and 5m"]
    made = Renewed(budget("keys", "100 USD", per=("key",), thresholds=thresholds), **more)
    for hour in range(240):
        for key in KEYS:
            made.spend("0.05", at=NOVEMBER + timedelta(hours=hour), key=key)
    made.now = NOVEMBER + timedelta(days=10)
    for _ in range(2):
        made.tick()
        made.now += MINUTE
    return made


def raise_first(made):
    made.raised[min(made.statuses)] = Amount(Decimal(999), "USD")


def same_projections(made):
    """The keys whose projection is the very one of the evaluation before."""
    before = dict(made.statuses)
    made.tick()
    return {one.scope[0][1] for name, one in made.statuses.items()
            if name in before and one.projection is before[name].projection}  # fmt: skip


spends = st.lists(
    st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(["0.0005", "0.3", "7", "60"])), max_size=3),
    min_size=1, max_size=12,
)  # fmt: skip


@given(spends)
@settings(max_examples=6, deadline=None)
def test_what_is_kept_says_what_an_evaluation_of_everything_says_but_for_forecasts(polls):
    kept, whole = world(), world(in_turn=1000)
    for poll in polls:
        for made in (kept, whole):
            for key, dollars in poll:
                made.spend(dollars, key=key)
        found = [
            {key for alert in made.tick() for key in alert.keys if "/forecast/" not in key} for made in (kept, whole)
        ]
        assert found[0] == found[1]
        for name, status in whole.statuses.items():
            own = kept.statuses[name]
            assert (own.spent, own.burns, own.data_until) == (status.spent, status.burns, status.data_until)
            assert own.contributors == status.contributors
        for made in (kept, whole):
            made.now += MINUTE


def test_a_scope_far_below_its_thresholds_keeps_its_projection_for_a_quarter_of_an_hour():
    made, renewed = world(), []
    for minute in range(40):
        made.spend("0.001", key="a")
        if "a" not in same_projections(made):
            renewed.append(minute)
        made.now += MINUTE
    gaps = [later - earlier for earlier, later in zip(renewed, renewed[1:], strict=False)]
    assert len(renewed) >= 2
    assert max(gaps) * MINUTE <= RENEWED_WITHIN


def test_the_statuses_of_earlier_evaluations_go_without_the_help_of_the_garbage_collector():
    made, alive = world(), []
    gc.collect()
    gc.disable()
    try:
        for _ in range(6):
            made.evaluate()
            made.now += MINUTE
            alive.append(sum(type(one) is BudgetStatus for one in gc.get_objects()))
    finally:
        gc.enable()
    assert alive[-1] == alive[2] > 0


def test_the_oldest_projections_are_renewed_first_and_so_many_at_every_evaluation():
    made, kept = world(in_turn=1), []
    for _ in range(8):
        kept.append(same_projections(made))
        made.now += MINUTE
    assert [len(one) for one in kept] == [3] * 8
    assert all(set(KEYS) == set().union(*(set(KEYS) - one for one in kept[n : n + 4])) for n in range(5))


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("it spent a hundredth of its amount", lambda made: made.spend("1.00", key="a")),
        ("it reached a level", lambda made: made.spend("38.1", key="a")),
        ("its burn rate is near its threshold", lambda made: made.spend("0.9", key="a")),
        ("its amount was raised", raise_first),
        ("it has a series more", lambda made: made.spend("0.001", key="a", user="new")),
        ("its source is late", lambda made: made.pass_time(hours=2)),
        ("a day ended", lambda made: made.pass_time(hours=24)),
        ("its budget is another one", lambda made: setattr(made, "budgets", (replace(made.budgets[0]),))),
        ("a source is being read up", lambda made: setattr(made, "catching_up", frozenset({"gateway"}))),
    ],
)  # fmt: skip
def test_a_projection_is_made_anew_at_once_where(what, change):
    made = world()
    assert "a" in same_projections(made), "it is kept before"
    made.now += MINUTE
    change(made)
    before = dict(made.statuses)
    made.tick(seen=what != "its source is late")
    assert not any(one.scope[0][1] == "a" and name in before and one.projection is before[name].projection
                   for name, one in made.statuses.items())  # fmt: skip


def test_a_scope_with_an_open_episode_is_evaluated_every_time():
    made = world()
    for _ in range(70):  # 35 USD in an hour beside 12 in ten days
        made.spend("0.5", key="b")
        made.tick()
        made.now += MINUTE
    assert any(key.startswith("episode/keys/key=b/") for key in made.state.records)
    assert "b" not in same_projections(made)
