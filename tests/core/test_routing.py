"""What belongs to one conversation: a budget's alerts of a period do, what has no price does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from alertd.core.addresses import fill
from alertd.core.budgets import Budget, Override
from alertd.core.evaluation.routing import Receiver, conversation, quiet_until, route
from alertd.core.evaluation.values import Alert
from alertd.core.events import Event, PeriodClosed
from alertd.core.periods import QuietHours
from tests.scenario import NOVEMBER, Scenario, budget
from tests.servers.deliveries import sample


def test_the_alerts_of_a_budget_scope_and_period_are_one_conversation() -> None:
    told = {conversation(sample(kind)) for kind in ("actual", "forecast", "burn_rate", "over", "recovered", "proposed")}
    assert len(told) == 1


def test_what_has_no_price_is_a_conversation_of_its_own() -> None:
    assert conversation(sample("unpriced", budget="research")) != conversation(sample("forecast"))


def test_the_end_of_a_forecast_says_with_which_severity_it_fired() -> None:
    world = Scenario(budget(thresholds=["forecast 100%"]))
    ended = []
    for day in range(28):
        world.spend(30 if day < 8 else 0.1)
        ended += [alert.event for alert in world.tick() if alert.event.kind == "recovered"]
        world.pass_time(hours=24)
    assert {event.fired for event in ended} == {"warning"}


def mails(world: Scenario, *templates: str) -> list[tuple[str, list[str]]]:
    """Each mail of the last round: to whom, and the teams in it."""

    def address(event: Event) -> str:
        return str(event.to or ", ".join(fill(one, event) or one for one in templates))

    receivers = {"mail": Receiver("mail", people=True, address=address)}
    messages = route(world.tick(), {one.name: one for one in world.budgets}, receivers)
    return [(address(m.events[0]), sorted(str(dict(one.scope)["team"]) for one in m.events)) for m in messages]


def teams(**more) -> Scenario:
    world = Scenario(budget(per=("team",), thresholds=["actual 50%", "actual 100%"], **more))
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
    assert all(not event.to for message in messages for event in message.events)


@pytest.mark.parametrize("listed", [False, True])
def test_people_hear_that_a_forecast_has_recovered_though_its_severity_is_the_lowest(listed) -> None:
    world = Scenario(budget(thresholds=["forecast 100%", "actual 10%"], listed=listed))
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
    closing = replace(event, kind="summary", details=PeriodClosed())
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


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-10T22:00+01:00", "2026-11-11T07:00+01:00"),
        ("2026-11-11T06:59:59+01:00", "2026-11-11T07:00+01:00"),
        ("2026-11-11T07:00+01:00", None),
        ("2026-11-10T21:59:59+01:00", None),
    ],
)
def test_quiet_hours_end_on_the_morning_that_comes_in_the_zone_of_people(now: str, until: str | None) -> None:
    at = datetime.fromisoformat(now).astimezone(UTC)
    found = quiet_until(QuietHours(time(22), time(7)), ZoneInfo("Europe/Berlin"), at)
    assert found == (None if until is None else datetime.fromisoformat(until))
    assert quiet_until(None, ZoneInfo("Europe/Berlin"), at) is None


def test_in_quiet_hours_people_get_what_is_critical_and_the_rest_in_the_morning_machines_all_at_once() -> None:
    morning = NOVEMBER + timedelta(hours=7)
    receivers = {name: Receiver(name, people=name == "ops", address=lambda _: "#llm") for name in ("ops", "hook")}
    event = Event("x", "threshold", "warning", NOVEMBER, budget="research", basis="forecast")
    for severity, held in (("warning", morning), ("critical", None)):
        alerts = [Alert(("k",), replace(event, severity=severity))]
        found = {one.notifier: one.not_before for one in route(alerts, {}, receivers, morning)}
        assert found == {"ops": held, "hook": None}
        assert {one.not_before for one in route(alerts, {}, receivers)} == {None}


def test_a_severity_goes_to_who_is_named_for_it_by_the_row_of_the_table_before_the_budget() -> None:
    event = Event("x", "threshold", "warning", NOVEMBER, budget="research", scope=(("team", None),), basis="forecast")
    receivers = {name: Receiver(name, people=True, address=lambda _: "#llm") for name in ("ops", "mail", "pager")}
    one = budget(
        per=("team",), notify={"warning": ("ops", "gone")}, table={("b",): Override(notify={"warning": ("mail",)})}
    )

    def heard(event: Event, of: Budget) -> list[str]:
        return [message.notifier for message in route([Alert(("k",), event)], {"research": of}, receivers)]

    assert heard(event, one) == ["ops"]
    assert heard(replace(event, scope=(("team", "b"),)), one) == ["mail"]
    assert heard(replace(event, severity="critical"), one) == ["ops", "mail", "pager"]
    unnamed = replace(one, table={("",): Override(notify={"warning": ("pager",)}), ("b",): Override()})
    assert heard(event, unnamed) == ["pager"]
    assert heard(replace(event, scope=(("team", "b"),)), unnamed) == ["ops"]


def test_thresholds_that_pass_together_are_one_message_a_runaway_is_one_of_its_own() -> None:
    receivers = {"ops": Receiver("ops", people=True, address=lambda _: "#llm")}
    event = Event("a", "threshold", "critical", NOVEMBER, budget="research", basis="actual")
    runaway = replace(event, id="b", basis="burn_rate")
    other, source = replace(event, id="c", budget="web"), Event("d", "source_stale", "critical", NOVEMBER)
    ended, back = replace(event, id="e", kind="recovered"), Event("f", "recovered", "info", NOVEMBER, source="bill")
    action = replace(event, id="g", kind="action", basis="")
    alerts = [Alert((one.id,), one) for one in (event, runaway, ended, other, source, back, action)]
    found = route(alerts, {}, receivers)
    grouped = [[one.id for one in message.events] for message in found]
    assert grouped == [["a", "e", "c"], ["b"], ["d"], ["f"], ["g"]]
    assert found[0].conversation == f"group/{found[0].key}"
    (alone,) = route(alerts[:1] + alerts[2:3], {}, receivers)
    assert alone.conversation == conversation(event)
