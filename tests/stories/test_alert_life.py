"""Stories of alerts after they were told: who took them on, who was told again, and when it was over."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.core.budgets import Amount, parse_threshold
from alertd.core.evaluation.lifecycle import begin_lifecycles, follow_up, threshold_of
from alertd.core.evaluation.routing import Receiver, quiet_until, route
from alertd.core.evaluation.state import (
    EPISODES,
    FIRING,
    LIFECYCLES,
    RESOLVED,
    SILENCES,
    TRANSITIONS,
    AlertLifecycle,
    CannotHappenError,
    Episode,
    Silence,
    State,
    episode_key,
    silence_of,
)
from alertd.core.evaluation.values import Policy
from alertd.core.events import Event
from alertd.core.periods import QuietHours
from tests.scenario import NOVEMBER, Scenario, budget

NIGHT = QuietHours(time(22), time(7))
BERLIN = ZoneInfo("Europe/Berlin")


def fired(**more) -> Scenario:
    """A world in which the 100% level was told just now."""
    world = Scenario(budget(thresholds=["actual 100%"], **more))
    world.spend(1)
    world.tick()
    world.spend(500)
    assert [alert.event.level for alert in world.tick()] == [100]
    return world


def only_life(world: Scenario) -> tuple[str, AlertLifecycle]:
    ((identity, life),) = LIFECYCLES.items(world.state)
    return identity, life


def move(world: Scenario, what: str, **more) -> None:
    identity, life = only_life(world)
    world.state = world.state.after(LIFECYCLES.put(life.after(what, world.now, "ana", **more), identity))


def repeats(alerts) -> list[str]:
    return [alert.event.repeat for alert in alerts if alert.event.repeat]


def test_an_alert_that_nobody_acknowledges_is_told_again_every_so_often():
    world = fired(remind=timedelta(hours=24))
    told = []
    for _ in range(50):
        world.pass_time(hours=1)
        told += repeats(world.tick())
    assert told == ["reminder", "reminder"]


def test_an_acknowledged_alert_is_not_told_again():
    world = fired(remind=timedelta(hours=24), escalate_after=timedelta(minutes=30), escalate_to=("pager",))
    move(world, "acknowledge")
    for _ in range(50):
        world.pass_time(hours=1)
        assert repeats(world.tick()) == []


def test_what_nobody_acknowledges_is_escalated_once_to_those_named_and_to_nobody_else():
    world = fired(escalate_after=timedelta(minutes=30), escalate_to=("pager",))
    world.pass_time(minutes=29)
    assert repeats(world.tick()) == []
    world.pass_time(minutes=1)
    (alert,) = world.tick()
    assert (alert.event.repeat, alert.to) == ("escalation", ("pager",))
    world.pass_time(hours=2)
    assert world.tick() == []


def test_a_reminder_goes_to_who_got_the_alert_though_an_escalation_names_others():
    world = fired(remind=timedelta(hours=1), escalate_after=timedelta(hours=5), escalate_to=("pager",))
    world.pass_time(hours=1)
    (alert,) = world.tick()
    assert (alert.event.repeat, alert.to) == ("reminder", ())


def test_an_alert_about_a_source_fires_until_the_source_is_seen_again():
    world = Scenario(budget())
    world.spend(1)
    world.tick()
    world.pass_time(minutes=20)
    assert [alert.event.kind for alert in world.tick(seen=False)] == ["source_stale"]
    world.pass_time(minutes=20)
    world.tick(seen=False)
    assert only_life(world)[1].state == "firing"
    world.tick()
    assert only_life(world)[1].history[-1].reason == "the source is seen again"


def test_a_level_that_is_reached_to_the_cent_fires_until_a_correction_lowers_the_spend():
    world = Scenario(budget(thresholds=["actual 100%"]))
    world.spend(1)
    world.tick()
    world.spend(499)
    assert len(world.tick()) == 1
    world.tick()
    assert only_life(world)[1].state == "firing"
    world.spend(-1)
    world.tick()
    assert only_life(world)[1].history[-1].reason == "a correction lowered the spend"


def test_a_snoozed_alert_is_told_again_when_the_snooze_is_over_and_it_still_stands():
    world = fired()
    move(world, "snooze", until=world.now + timedelta(hours=1))
    world.pass_time(minutes=59)
    assert world.tick() == []
    world.pass_time(minutes=1)
    assert repeats(world.tick()) == ["snooze over"]
    assert only_life(world)[1].state == "firing"


def test_a_raised_amount_ends_the_alert_and_the_new_levels_are_armed():
    world = fired()
    world.budgets = (budget(thresholds=["actual 100%"], amount="600 USD"),)
    world.tick()
    assert only_life(world)[1].state == "resolved"
    world.spend(150)
    assert [alert.event.amount for alert in world.tick()] == [Decimal(600)]


def test_the_next_period_ends_the_alerts_of_the_last():
    world = fired(remind=timedelta(hours=1))
    world.now = datetime(2026, 12, 1, 1, tzinfo=UTC)
    assert repeats(world.tick()) == []
    assert only_life(world)[1].state == "resolved"


def test_every_step_of_a_life_is_kept_with_its_reason():
    world = fired(remind=timedelta(hours=24))
    world.pass_time(hours=24)
    world.tick()
    move(world, "acknowledge", reason="on it")
    steps = [(step.what, step.by, step.reason) for step in only_life(world)[1].history]
    assert [what for what, _, _ in steps] == ["fire", "remind", "acknowledge"]
    assert steps[-1][1:] == ("ana", "on it")


def test_a_silence_holds_back_and_what_still_stands_at_its_end_is_told():
    world = Scenario(budget(thresholds=["actual 80%"], per=("team",)))
    world.spend(1, team="a")
    world.spend(1, team="b")
    world.tick()
    silence = Silence("s1", {"team": ("a",)}, world.now + timedelta(hours=2), "load test", "ana")
    world.state = world.state.after(SILENCES.put(silence, silence.id))
    world.spend(450, team="a")
    world.spend(450, team="b")
    assert [dict(alert.event.scope)["team"] for alert in world.tick()] == ["b"]
    world.pass_time(hours=2)
    assert [dict(alert.event.scope)["team"] for alert in world.tick()] == ["a"]


def test_of_several_silences_the_one_that_lasts_longest_is_named():
    ends = [NOVEMBER + timedelta(hours=hours) for hours in (2, 5, 3)]
    found = [Silence(f"s{n}", {"team": ("a",)}, end, "load test", "ana") for n, end in enumerate(ends)]
    named = silence_of(found, "research", (("team", "a"),), NOVEMBER)
    assert named is not None
    assert named.id == "s1"


def test_what_is_over_is_remembered_for_forty_days_and_then_forgotten():
    begun = AlertLifecycle.begin("source/gateway/1", "critical", NOVEMBER, "silent")
    over = State(LIFECYCLES.put(begun.after("end", NOVEMBER, "alertd", "seen again"), "x"))
    assert follow_up(over, {}, NOVEMBER + timedelta(days=40)) == ([], {})
    assert follow_up(over, {}, NOVEMBER + timedelta(days=40, seconds=1)) == ([], {"lifecycle/x": None})


def test_quiet_hours_hold_people_s_messages_until_the_morning_but_nothing_critical_and_no_machine():
    world = Scenario(budget(thresholds=["actual 80%", "actual 100%"], listed=True))
    world.spend(1)
    world.tick()
    receivers = {
        "ops": Receiver("ops", people=True, address=lambda _: "#ops"),
        "hook": Receiver("hook", people=False, address=lambda _: "url"),
    }
    budgets = {"research": world.budgets[0]}
    world.spend(410)
    morning = NOVEMBER + timedelta(hours=7)
    held = {m.notifier: m.not_before for m in route(world.tick(), budgets, receivers, morning)}
    assert held == {"ops": morning, "hook": None}
    world.spend(100)
    assert {m.notifier: m.not_before for m in route(world.tick(), budgets, receivers, morning)} == dict.fromkeys(held)


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-11-21T21:59", None),
        ("2026-11-21T22:00", "2026-11-22T07:00"),
        ("2026-11-22T03:00", "2026-11-22T07:00"),
        ("2026-11-22T07:00", None),
        ("2026-10-24T23:30", "2026-10-25T07:00"),  # the night in which summer time ends
    ],
)
def test_quiet_hours_end_at_their_local_hour(at, until):
    now = datetime.fromisoformat(at).replace(tzinfo=BERLIN).astimezone(UTC)
    wanted = None if until is None else datetime.fromisoformat(until).replace(tzinfo=BERLIN)
    assert quiet_until(NIGHT, BERLIN, now) == wanted


def test_a_weekly_digest_comes_once_on_monday_morning_with_every_scope_and_what_was_told():
    world = Scenario(budget(per=("team",), thresholds=["actual 80%"]))
    world.spend(1, team="a")
    world.spend(1, team="b")
    world.tick()
    world.spend(450, team="a")
    world.policy = Policy("weekly")
    digests = []
    for _ in range(24 * 9):
        world.pass_time(hours=1)
        digests += [(world.now, a.event) for a in world.tick() if a.event.summary == "digest"]
    at = {when for when, _ in digests}
    assert [when.strftime("%a %H") for when in sorted(at)] == ["Mon 09", "Mon 09"]
    told = {dict(event.scope)["team"]: event.details.alerts for when, event in digests if when == min(at)}
    assert told == {"a": 1, "b": 0}


@given(st.lists(st.sampled_from(sorted({event for _, event in TRANSITIONS})), max_size=20))
def test_a_life_only_ever_moves_as_the_table_says_and_never_leaves_its_end(happenings):
    life = AlertLifecycle.begin("research//2026-11-01/actual/100/500", "critical", NOVEMBER, "spent")
    for what in happenings:
        before = life
        try:
            life = life.after(what, NOVEMBER, "ana", until=NOVEMBER if what == "snooze" else None)
        except CannotHappenError:
            assert (before.state, what) not in TRANSITIONS
        else:
            assert TRANSITIONS[before.state, what] == life.state
        if before.state == "resolved":
            assert life == before
    assert LIFECYCLES.get(State(LIFECYCLES.put(life, "x")), "x") == life


def test_an_amount_raised_by_hand_counts_for_its_period_only():
    world = Scenario(budget(thresholds=["actual 100%"]))
    world.spend(1)
    world.tick()
    world.raised = {"research//2026-11-01": Amount(Decimal(600), "USD")}
    world.spend(550)
    assert world.tick() == []
    world.now = datetime(2026, 12, 3, tzinfo=UTC)
    world.tick()
    world.spend(550)
    assert [a.event.amount for a in world.tick() if a.event.kind == "threshold"] == [Decimal(500)]


def test_a_runaway_s_alert_fires_as_long_as_its_episode_and_no_longer():
    burn = "burn_rate 10x over 1h and 5m"
    world = Scenario(budget(thresholds=[burn]), at=NOVEMBER + timedelta(days=9))
    for day in range(9):
        world.spend(1, at=NOVEMBER + timedelta(days=day, hours=12))
    world.tick()
    world.spend(100, at=world.now - timedelta(minutes=5))
    assert [alert.event.basis for alert in world.tick()] == ["burn_rate"]
    assert only_life(world)[1].state == FIRING
    world.pass_time(minutes=1)
    world.tick()
    assert only_life(world)[1].state == FIRING, "less than the amount is spent, and the episode goes on"
    world.pass_time(hours=2)
    world.tick()
    assert only_life(world)[1].state == RESOLVED
    assert only_life(world)[1].history[-1].reason == "the amount or the thresholds have changed, or the episode is over"


def test_the_alert_of_an_episode_that_is_over_ends_though_the_next_one_fires():
    burn = parse_threshold("burn_rate 10x over 1h and 5m")
    world = Scenario(budget(thresholds=[str(burn)]), at=NOVEMBER + timedelta(days=9))
    world.spend(1)
    (position,) = world.evaluate().statuses
    state = State(EPISODES.put(Episode(2, open=True, since=world.now), episode_key(position.name, burn)))
    assert threshold_of(f"{position.name}/burn_rate/10/1", position, state) is None
    assert threshold_of(f"{position.name}/burn_rate/10/2", position, state) == burn


@pytest.mark.parametrize(
    ("kind", "severity", "begins"),
    [
        ("threshold", "warning", True),
        ("threshold", "critical", True),
        ("source_stale", "critical", True),
        ("threshold", "info", False),
        ("summary", "critical", False),
        ("recovered", "info", False),
        ("unpriced", "warning", False),
    ],
)
def test_only_what_people_should_act_on_has_a_lifecycle(kind: str, severity: str, begins):
    event = Event("x", kind, severity, NOVEMBER)
    assert bool(begin_lifecycles([("key", event)])) is begins
