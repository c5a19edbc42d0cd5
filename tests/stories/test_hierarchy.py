"""Budgets under others: sums that fit to the cent on every day, and one alert that names the lowest scope."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from alertd.core.budgets import Amount, Budget, Where
from alertd.core.evaluation.routing import Receiver, route
from alertd.core.evaluation.tree import Part, tree_rows
from alertd.core.evaluation.values import Alert, BudgetStatus
from alertd.core.messages import compose, text_of
from tests.scenario import NOVEMBER, Scenario, budget

LEVELS = ["actual 80%", "actual 100%"]


def company(**more: str) -> tuple[Budget, ...]:
    """A company of 1,000, its teams of 600 each, their keys of 200 each."""
    thresholds = LEVELS
    return (
        budget("company", more.get("company", "1000 USD"), thresholds=thresholds, listed=True),
        budget("teams", "600 USD", per=("team",), parent=("company",), thresholds=thresholds, listed=True),
        budget("keys", "200 USD", per=("team", "key"), parent=("teams",), thresholds=thresholds, listed=True),
    )


def started(*budgets: Budget) -> Scenario:
    """A world that was evaluated once, with a cent by each of four keys of two teams."""
    world = Scenario(*budgets)
    for key, team in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b")):
        world.spend("0.01", team=team, key=key)
    world.tick()
    world.pass_time(hours=1)
    return world


def statuses(world: Scenario) -> dict[str, BudgetStatus]:
    return {"/".join((one.budget.name, *(v or "" for _, v in one.scope))): one for one in world.evaluate().statuses}


def texts(world: Scenario, alerts: list[Alert], address: str = "#all") -> list[list[str]]:
    """What people read of these alerts at one address for all."""
    receivers = {"chat": Receiver("chat", people=True, address=lambda _: address)}
    messages = route(alerts, {one.name: one for one in world.budgets}, receivers)
    composed = [compose(message.events, world.now) for message in messages]
    return [[text_of(line) for line in (one.headline, *one.lines)] for one in composed]


def test_a_scope_belongs_to_the_scope_above_that_counts_all_of_its_usage() -> None:
    found = statuses(started(*company()))
    assert found["keys/a/a1"].parent == ("teams", (("team", "a"),))
    assert found["teams/b"].parent == ("company", ())
    assert found["company"].parent is None
    children = found["company"].children
    assert children is not None
    assert (children.amount, children.spent, children.rest) == (1200, Decimal("0.04"), 0)


def test_one_pool_for_several_teams_stands_between_them_and_the_company() -> None:
    pool = Budget(**{**{f: getattr(company()[0], f) for f in Budget.__slots__}, "name": "pool",
                     "where": Where.of({"team": ("a", "c")}), "parent": ("company",)})  # fmt: skip
    teams = budget("teams", "600 USD", per=("team",), parent=("pool", "company"))
    found = statuses(started(company()[0], pool, teams))
    assert found["teams/a"].parent == ("pool", ())
    assert found["teams/b"].parent == ("company", ())
    assert found["pool"].parent == ("company", ())


def test_a_key_that_two_teams_use_is_part_of_neither() -> None:
    world = Scenario(*company()[:2], budget("keys", "200 USD", per=("key",), parent=("teams",)))
    for team in ("a", "b"):
        world.spend(1, team=team, key="shared")
    assert statuses(world)["keys/shared"].parent is None


def test_parts_that_count_the_same_usage_are_said_to_overlap() -> None:
    both = budget("models", "500 USD", parent=("company",), where={"model": "*"})
    found = statuses(started(*company()[:2], both))
    children = found["company"].children
    assert children is not None
    assert children.overlapping
    assert children.rest == Decimal("-0.04")


def test_what_a_key_overspends_is_one_alert_that_names_the_key_and_what_it_takes_along() -> None:
    world = started(*company())
    world.spend(900, team="a", key="a1")
    world.spend(101, team="b", key="b2")
    alerts = world.tick()
    assert sorted((a.event.budget, a.event.level) for a in alerts) == [("company", 100), ("keys", 100), ("teams", 100)]
    ((headline, *lines),) = texts(world, alerts)
    assert headline.startswith("team a, key a1 (keys) is over November's budget")
    assert lines[0] == ("Reached with it: company $1,001 of $1,000 (100%); team a (teams) $900.02 of $600 (150%)")


def test_who_does_not_get_the_alert_of_the_key_gets_that_of_the_company_which_names_the_key() -> None:
    world = started(*company())
    world.spend(1001, team="a", key="a1")
    alerts = world.tick()
    receivers = {name: Receiver(name, people=True, address=lambda event: f"#{event.budget}") for name in ("chat",)}
    messages = route(alerts, {one.name: one for one in world.budgets}, receivers)
    assert {m.events[0].budget for m in messages} == {"company", "teams", "keys"}
    (event,) = [m.events[0] for m in messages if m.events[0].budget == "company"]
    assert text_of(compose([event], world.now).lines[0]) == "Because of team a, key a1 (keys)."


def test_a_company_that_many_small_ones_exceed_has_an_alert_of_its_own() -> None:
    world = started(*company())
    for key, team in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b"), ("c1", "c"), ("c2", "c"), ("c3", "c")):
        world.spend(145, team=team, key=key)
    (alert,) = world.tick()
    assert alert.event.explained_by == ()
    assert texts(world, [alert])[0][0].startswith("company is over")


def test_a_level_below_the_amount_waits_while_the_alert_of_the_key_stands_and_the_full_amount_does_not() -> None:
    world = started(*company())
    world.pass_time(hours=3)
    world.spend(700, team="a", key="a1")
    world.tick()
    world.pass_time(hours=5)
    world.spend(110, team="b", key="b2")
    assert texts(world, world.tick()) == []  # 80% of the company, because of the key of five hours ago
    world.pass_time(hours=5)
    world.spend(200, team="b", key="b1")
    world.budgets = world.budgets
    said = texts(world, [one for one in world.tick() if one.event.budget == "company"])
    assert said[0][0].startswith("company is over November's budget")
    assert said[0][1] == "Because of team a, key a1 (keys)."


def test_what_waited_is_told_once_nobody_explains_it_any_more() -> None:
    world = started(*company())
    for _ in range(5):
        world.pass_time(days=1)
        world.spend(150, team="a", key="a1")
        world.tick()
    world.spend(60, team="b", key="b2")
    assert texts(world, world.tick()) == []  # 81% of the company, ahead of budget: because of the key
    for name in ("keys/team=a,key=a1/2026-11-01", "teams/team=a/2026-11-01"):
        world.raised[name] = Amount(Decimal(2000), "USD")
    world.pass_time(hours=1)
    (said,) = texts(world, [one for one in world.tick() if one.event.budget == "company"])
    assert said[0].startswith("Still firing: company has spent 81% of November's budget")
    world.pass_time(hours=1)
    assert world.tick() == []


def test_a_company_that_goes_over_by_others_after_the_alert_of_a_key_is_announced_once_and_names_no_key() -> None:
    world = started(*company())
    world.pass_time(days=2)
    world.spend(250, team="a", key="a1")
    ((headline, *_),) = texts(world, world.tick())
    assert headline == "team a, key a1 (keys) is over November's budget: $250.01 of $200"
    said = []
    for _ in range(8):
        world.pass_time(days=1)
        if world.now < NOVEMBER + timedelta(days=9):
            for key, team in (("b1", "b"), ("b2", "b"), ("c1", "c"), ("c2", "c"), ("d1", "d")):
                world.spend(26, team=team, key=key)
        said += texts(world, [one for one in world.tick() if one.event.budget == "company"])
    assert [text[0].split(":")[0] for text in said] == [
        "company has spent 90% of November's budget and will probably go over",
        "company is over November's budget",
    ]
    assert not any("Because of" in line for text in said for line in text)


def test_machines_get_every_event() -> None:
    world = started(*company())
    world.spend(1001, team="a", key="a1")
    receivers = {"hook": Receiver("hook", people=False, address=lambda _: "")}
    messages = route(world.tick(), {one.name: one for one in world.budgets}, receivers)
    assert {m.events[0].budget for m in messages} == {"company", "teams", "keys"}


SPENDS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", ""]),
        st.sampled_from(["k1", "k2", "k3", ""]),
        st.integers(0, 29),
        st.decimals(Decimal("0.000001"), 400, places=6),
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=15, deadline=None)
@given(SPENDS)
def test_on_every_day_the_rows_below_a_scope_add_up_to_it_to_the_cent(
    spends: list[tuple[str, str, int, Decimal]],
) -> None:
    world = Scenario(
        *company()[:2], budget("keys", "200 USD", per=("team", "key"), parent=("teams",), where={"key": "*"})
    )
    whole = Decimal(0)
    for day in range(30):
        world.now = NOVEMBER + timedelta(days=day, hours=12)
        for team, key, on, dollars in spends:
            if on == day:
                world.spend(str(dollars), **{k: v for k, v in (("team", team), ("key", key)) if v})
                whole += dollars
        found = list(statuses(world).values())
        by_key = {(one.budget.name, one.scope): one for one in found}
        for one in found:
            if one.children is not None:
                exact = sum((by_key[key].spent for key in one.children.scopes), Decimal(0))
                assert exact + one.children.rest == one.spent
                assert not one.children.overlapping
                assert one.children.rest >= 0
        parts = [Part((one.budget.name, one.scope), one.parent, one.spent, one.amount.value, "USD") for one in found]
        assert by_key["company", ()].spent == whole
        check_rows(tree_rows(parts, most=2), whole)


def check_rows(rows: list, whole: Decimal) -> None:
    if not rows:
        assert whole == 0
        return
    assert rows[0].spent == whole.quantize(Decimal("0.01"))
    for number, row in enumerate(rows):
        below = []
        for other in rows[number + 1 :]:
            if other.depth <= row.depth:
                break
            below += [other.spent] if other.depth == row.depth + 1 else []
        if below:
            assert sum(below) == row.spent
        if row.what == "scope":
            assert abs(row.spent - row.part.spent) < Decimal("0.03")
