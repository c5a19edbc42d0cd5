"""May this be spent? Which budget answers, and what it says by its status, its policy and the age of what is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alertd.core.budgets import AllowancePolicy, Amount, Budget, Override
from alertd.core.evaluation.allowance import AllowanceDecision, AllowanceIndex, newest_statuses
from tests.scenario import NOVEMBER, Scenario, budget

NOW = NOVEMBER + timedelta(days=10)
LASTS = timedelta(minutes=10)


def world(*budgets: Budget, **spent: float) -> Scenario:
    """Ten days in which each team spent so much in all."""
    found = Scenario(*budgets)
    for day in range(10):
        found.now = NOVEMBER + timedelta(days=day, hours=12)
        for team, dollars in spent.items():
            found.spend(round(dollars / 10, 4), team=team)
    found.now = NOW
    found.sources["gateway"] = replace(found.sources["gateway"], until=NOW)
    return found


def index(scenario: Scenario, **more: Any) -> AllowanceIndex:
    statuses = newest_statuses(scenario.evaluate().statuses)
    return AllowanceIndex(scenario.budgets, statuses, more.get("evaluated_at", scenario.now), LASTS)


def ask(
    scenario: Scenario, labels: dict[str, str], estimate: str = "", *, later: timedelta = timedelta(0)
) -> AllowanceDecision:
    wanted = Amount.parse(estimate) if estimate else None
    return index(scenario).answer(labels, wanted, scenario.now + later)


TEAM = budget("research", "100 USD", where={"team": "research"})


def test_what_is_spent_in_full_is_refused_with_its_figures_and_the_reset():
    answer = ask(world(TEAM, research=102.5), {"team": "research"})
    assert answer.deciding is not None
    assert not answer.allow
    assert answer.deciding.left == 0
    assert answer.deciding.reason == ("research has used 102.50 of 100.00 USD (102%); the budget resets on Tue 1 Dec")


def test_what_is_left_is_told_with_the_chance_of_going_over():
    deciding = ask(world(TEAM, research=25), {"team": "research"}).deciding
    assert deciding is not None
    assert (deciding.refused, deciding.left, deciding.spent) == (False, Decimal(75), Decimal(25))
    assert deciding.probability_over is not None
    assert 0 <= deciding.probability_over < 0.5


@pytest.mark.parametrize(
    ("policy", "spent", "refused", "warned"),
    [
        (AllowancePolicy("over"), 99.9, False, False),
        (AllowancePolicy("over"), 100, True, False),
        (AllowancePolicy("over", warns=True), 100, False, True),
        (AllowancePolicy("over", grace=Decimal(10)), 109, False, False),
        (AllowancePolicy("over", grace=Decimal(10)), 110, True, False),
        (AllowancePolicy("over", grace=Amount(Decimal(5), "USD")), 104, False, False),
        (AllowancePolicy("over", grace=Amount(Decimal(5), "USD")), 105, True, False),
        (AllowancePolicy("at_risk"), 80, True, False),
        (AllowancePolicy("at_risk"), 20, False, False),
        (AllowancePolicy("at_risk", warns=True), 80, False, True),
    ],
)
def test_a_policy_says_from_when_on_and_how_hard(
    policy: AllowancePolicy, spent: float, refused: object, warned: object
):
    deciding = ask(world(replace(TEAM, allowance=policy), research=spent), {"team": "research"}).deciding
    assert deciding is not None
    assert (deciding.refused, deciding.warned) == (refused, warned)


def test_a_budget_that_never_refuses_is_not_asked():
    scenario = world(replace(TEAM, allowance=AllowancePolicy("never")), research=500)
    assert ask(scenario, {"team": "research"}) == AllowanceDecision(None)


def test_the_narrowest_no_wins_and_the_others_are_named():
    broad = budget("all", "50 USD")
    narrow = budget("chat", "10 USD", where={"team": "research", "key": "chat"})
    scenario = world(broad, TEAM, narrow, research=120)
    for day in range(10):
        scenario.spend(2, at=NOVEMBER + timedelta(days=day, hours=12), team="research", key="chat")
    answer = ask(scenario, {"team": "research", "key": "chat"})
    assert [one.budget.name for one in answer.against] == ["chat", "research", "all"]
    assert answer.deciding is answer.against[0]


def test_without_a_label_that_a_budget_goes_by_it_is_not_considered_and_named():
    scenario = world(TEAM, budget("teams", "10 USD", per=("team",)), research=500)
    answer = ask(scenario, {"model": "plain"})
    assert answer.allow
    assert answer.unasked == (("research", ("team",)), ("teams", ("team",)))
    assert ask(scenario, {"team": "other"}).unasked == ()


def test_each_scope_answers_for_itself_and_a_new_one_has_its_whole_amount():
    teams = budget("teams", "100 USD", per=("team",), table={("small",): Override(amount=Amount(Decimal(5), "USD"))})
    scenario = world(teams, big=120)
    assert not ask(scenario, {"team": "big"}).allow
    fresh, small = ask(scenario, {"team": "new"}).deciding, ask(scenario, {"team": "small"}).deciding
    assert fresh is not None
    assert (fresh.refused, fresh.left) == (False, Decimal(100))
    assert small is not None
    assert (small.left, small.reason) == (Decimal(5), "team small (teams) has used nothing of 5.00 USD")


def test_usage_without_a_team_is_a_scope_of_its_own():
    scenario = world(budget("teams", "100 USD", per=("team",)), research=5)
    for day in range(10):
        scenario.spend(20, at=NOVEMBER + timedelta(days=day, hours=12))
    deciding = ask(scenario, {"team": ""}).deciding
    assert deciding is not None
    assert deciding.refused
    assert deciding.reason.startswith("usage without a team (teams) has used 200.00")


def test_an_estimate_is_held_against_what_is_left_in_its_own_unit_only():
    scenario = world(TEAM, research=90)
    assert ask(scenario, {"team": "research"}, "10 USD").allow
    answer = ask(scenario, {"team": "research"}, "10.01 USD")
    assert answer.deciding is not None
    assert answer.deciding.reason.endswith("this needs 10.01 USD, 10.00 USD are left")
    assert not answer.allow
    assert ask(scenario, {"team": "research"}, "500 EUR").allow


def test_what_is_over_stays_over_while_nothing_is_evaluated_until_its_period_ends():
    scenario = world(TEAM, research=120)
    assert not ask(scenario, {"team": "research"}, later=timedelta(days=3)).allow
    after = ask(scenario, {"team": "research"}, later=timedelta(days=25)).deciding
    assert after is not None
    assert (after.refused, after.status) == (False, "unknown")


@pytest.mark.parametrize("refuse", [False, True])
def test_an_old_evaluation_or_none_is_unknown_and_allowed_unless_the_budget_refuses_the_unknown(refuse: Any):
    scenario = world(replace(TEAM, allowance=AllowancePolicy(refuse_unknown=refuse)), research=20)
    old = ask(scenario, {"team": "research"}, later=LASTS + timedelta(seconds=1))
    never = index(scenario, evaluated_at=None).answer({"team": "research"}, None, scenario.now)
    for answer in (old, never):
        assert answer.deciding is not None
        assert answer.deciding.status == "unknown"
        assert answer.allow is not refuse
    assert ask(scenario, {"team": "research"}, later=LASTS).allow


def test_a_raised_amount_is_the_one_that_counts():
    scenario = world(TEAM, research=120)
    name = scenario.evaluate().statuses[0].name
    assert not ask(scenario, {"team": "research"}).allow
    scenario.raised[name] = Amount(Decimal(200), "USD")
    assert ask(scenario, {"team": "research"}).allow


@settings(max_examples=20)
@given(
    spent=st.integers(0, 200),
    more=st.integers(0, 100),
    grace=st.integers(0, 50),
    at=st.sampled_from(["over", "at_risk"]),
)
def test_spending_more_never_turns_a_no_into_a_yes(spent: int, more: int, grace: int, at: str):
    policy = AllowancePolicy(at, grace=Decimal(grace))
    answers = []
    for dollars in (spent, spent + more):
        scenario = Scenario(replace(TEAM, allowance=policy), at=NOW)
        scenario.spend(dollars, at=NOW - timedelta(hours=1), team="research")
        scenario.sources["gateway"] = replace(scenario.sources["gateway"], until=NOW)
        answers.append(ask(scenario, {"team": "research"}).allow)
    assert answers in ([True, True], [True, False], [False, False])
