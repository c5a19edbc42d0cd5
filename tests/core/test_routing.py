"""What belongs to one conversation: a budget's alerts of a period do, what has no price does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alertd.core.addresses import fill
from alertd.core.evaluation.routing import Receiver, conversation, route
from alertd.core.evaluation.values import Alert
from alertd.core.events import Event
from tests.servers.deliveries import sample
from tests.world import NOVEMBER, World, budget


def test_the_alerts_of_a_budget_scope_and_period_are_one_conversation() -> None:
    told = {conversation(sample(kind)) for kind in ("actual", "forecast", "burn_rate", "over", "recovered", "proposed")}
    assert len(told) == 1


def test_what_has_no_price_is_a_conversation_of_its_own() -> None:
    assert conversation(sample("unpriced", budget="research")) != conversation(sample("forecast"))


def test_the_end_of_a_forecast_says_with_which_severity_it_fired() -> None:
    world = World(budget(thresholds=["forecast 100%"]))
    ended = []
    for day in range(28):
        world.spend(30 if day < 8 else 0.1)
        ended += [alert.event for alert in world.tick() if alert.event.kind == "recovered"]
        world.pass_time(hours=24)
    assert {event.details["fired"] for event in ended} == {"warning"}


def mails(world: World, *templates: str) -> list[tuple[str, list[str]]]:
    """Each mail of the last round: to whom, and the teams in it."""

    def address(event: Event) -> str:
        return str(event.details.get("to") or ", ".join(fill(one, event) or one for one in templates))

    receivers = {"mail": Receiver("mail", people=True, address=address)}
    messages = route(world.tick(), {one.name: one for one in world.budgets}, receivers)
    return [(address(m.events[0]), sorted(str(dict(one.scope)["team"]) for one in m.events)) for m in messages]


def teams(**more) -> World:
    world = World(budget(per=("team",), thresholds=["actual 50%", "actual 100%"], **more))
    for team in ("a", "b", "c"):
        world.spend(1, team=team)
    return world


def test_a_person_gets_one_first_summary_whatever_lists_they_are_on() -> None:
    world = teams()
    assert mails(world, "leads@example.com", "team-{team}@example.com") == [
        ("leads@example.com", ["a", "b", "c"]),
        ("team-a@example.com", ["a"]),
        ("team-b@example.com", ["b"]),
        ("team-c@example.com", ["c"]),
    ]


def test_many_scopes_over_at_once_are_one_mail_to_who_gets_all_of_them() -> None:
    world = teams()
    world.tick()
    for team in ("a", "b"):
        world.spend(600, team=team)
    found = mails(world, "leads@example.com", "cfo@example.com", "team-{team}@example.com")
    assert found[0] == ("leads@example.com, cfo@example.com", ["a", "b"])
    assert [to for to, _ in found[1:]] == ["team-a@example.com", "team-b@example.com"]


def test_one_address_for_all_is_left_as_it_is() -> None:
    world = teams()
    messages = route(world.tick(), {}, {"ops": Receiver("ops", people=True, address=lambda _: "#llm")})
    assert [len(message.events) for message in messages] == [3]
    assert all("to" not in event.details for message in messages for event in message.events)


@pytest.mark.parametrize("listed", [False, True])
def test_people_hear_that_a_forecast_has_recovered_though_its_severity_is_the_lowest(listed) -> None:
    world = World(budget(thresholds=["forecast 100%", "actual 10%"], listed=listed))
    heard: list[str] = []
    for day in range(28):
        world.spend(30 if day < 8 else 0.1)
        receivers = {"ops": Receiver("ops", people=True, address=lambda _: "#llm")}
        for message in route(world.tick(), {one.name: one for one in world.budgets}, receivers):
            heard += [event.kind for event in message.events]
        world.pass_time(hours=24)
    assert "recovered" in heard
    closed = route(world.tick(), {}, {"ops": Receiver("ops", people=True, address=lambda _: "#llm")})
    assert all(event.kind != "threshold" for message in closed for event in message.events)


def test_a_level_crossed_on_track_goes_to_people_only_where_the_budget_lists_it() -> None:
    event = Event("x", "threshold", "info", NOVEMBER, budget="research", basis="actual")
    receivers = {"ops": Receiver("ops", people=True, address=lambda _: "#llm")}
    for listed, count in ((False, 0), (True, 1)):
        budgets = {"research": budget(listed=listed)}
        assert len(route([Alert(("k",), event)], budgets, receivers)) == count
    closing = replace(event, kind="summary", details={"summary": "period_closed"})
    assert len(route([Alert(("k",), closing)], {"research": budget()}, receivers)) == 1


def test_an_escalation_goes_to_who_is_named_for_it_and_nowhere_else() -> None:
    event = Event("x", "threshold", "critical", NOVEMBER, budget="research", basis="actual")
    names = ("ops", "pager", "hook")
    receivers = {name: Receiver(name, people=name != "hook", address=lambda _: "#llm") for name in names}
    messages = route([Alert(("k",), event, to=("pager", "gone"))], {"research": budget()}, receivers)
    assert [message.notifier for message in messages] == ["pager"]


def test_what_is_for_machines_reaches_no_person_and_what_is_for_people_no_machine() -> None:
    event = Event("x", "threshold", "critical", NOVEMBER, budget="research", basis="actual")
    receivers = {
        "ops": Receiver("ops", people=True, address=lambda _: "#llm"),
        "hook": Receiver("hook", people=False, address=lambda _: ""),
    }
    for audience, heard in (("machines", ["hook"]), ("people", ["ops"]), ("all", ["hook", "ops"])):
        found = route([Alert(("k",), event, audience=audience)], {"research": budget()}, receivers)
        assert sorted(message.notifier for message in found) == heard
