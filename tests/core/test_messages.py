"""What people read: headline, figures, how sure, what to do; what is unknown is never 0, and nothing is lost."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.core.evaluation.state import State
from alertd.core.evaluation.system_alerts import announce_configuration, announce_other_daemon
from alertd.core.events import Contributor, Event
from alertd.core.messages import compose, text_of
from alertd.core.messages.samples import NOW, SAMPLES, digest
from alertd.core.periods import PeriodRule
from tests.servers.deliveries import sample
from tests.world import NOVEMBER, World, budget

#: Fields of which an event is nothing without.
_NEEDED: Final = {"id", "kind", "severity", "at", "zone"}


def said(*events: Event, now: datetime = NOW) -> str:
    message = compose(events, now)
    lines = [text_of(line) for line in (message.headline, *message.lines, message.footer)]
    return "\n".join([f"{message.icon} {lines[0]}", *lines[1:]])


def headline(event: Event, now: datetime = NOW) -> str:
    return compose([event], now).subject


HEADLINES: Final = {
    "actual": "research: half of November's budget used, on track",
    "ahead": "research: 80 % of November's budget used, at risk of going over",
    "over": "research has used up November's budget: 3.20 USD over",
    "forecast": "research will probably exceed its budget: runs out Fri 27 Nov (Wed 25 Nov to Mon 30 Nov)",
    "certain": "research is certain to go over its budget if nobody stops acme/llama: "
    "854.35 of 500.00 USD (171 %), used up Thu 26 Nov",
    "burn_rate": "Runaway: research spent 41.30 USD in the last hour (usual 0.30), most of it by rag-indexer (40.10)",
    "anomaly": "Unusual: research spent 41.30 USD in the last day (usual 2.10 to 9.40)",
    "balance": "openrouter-credit: 42.10 USD of credit left, gone Thu 26 Nov (Wed 25 Nov to Sat 28 Nov)",
    "recovered": "research is expected to stay inside its budget again",
    "live_message": "research will probably exceed November's budget: runs out Fri 27 Nov (Wed 25 Nov to Mon 30 Nov)",
    "source_stale": "Cannot see spend from gateway since 07:43 (22 min)",
    "source_back": "Seeing spend from gateway again: blind from 06:59 to 07:43 (44 min)",
    "unpriced": "No price for gpt-6-mini: its spend counts in no figure",
    "unmatched": "research matches nothing: no usage has team=reserch; nearest is team=research",
    "uncovered": "No budget covers 31.40 USD of this month's spend",
    "first_start": "Watching 14 scopes of teams from now on: 1 over, 1 at risk, 12 on track",
    "period_closed": "research: October's budget has closed: 483.20 of 500.00 USD (97 %)",
    "digest": "14 scopes of teams in November: 1 over, 1 at risk, 12 on track",
    "proposed": "Proposed: block a key (reversible): rag-indexer",
    "action": "Done and verified: blocked a key: rag-indexer",
    "test": "Test message from alertd: ops works",
}


def test_every_kind_has_its_headline() -> None:
    assert {kind: compose(events(NOW), NOW).subject for kind, events in SAMPLES.items()} == HEADLINES


@pytest.mark.parametrize(
    ("kind", "sentences"),
    [
        ("actual", ["used 251.40 of 500.00 USD (50 %)", "likely total 452 (80 %: 412 to 507)",
                    "24 % chance of exceeding", "Left 248.60 = 26.16 a day; last 7 days 15.90 a day",
                    "claude-sonnet 148.10 · gpt-5 71.90 · others 31.40", "Data to 08:03 (2 min old)", "all priced",
                    "ends 30 Nov, Berlin", "no action needed"]),
        ("forecast", ["93 % sure. Likely total 564 (80 %: 515 to 640); used 323.60 of 500.00 USD (65 %)",
                      "Changed: key rag-indexer 2.10 → 14.30 a day (volume ×6.8, same price)",
                      "To stay inside: 17.92 a day; last 7 days 28.10 a day", "Owner @ana",
                      "alertd raise research 600", "alertd ack 4f2"]),
        ("burn_rate", ["59× even pace, still rising; research used 424.50 of 500.00 USD (85 %)",
                       "gone about 09:50 at the rate of the last 5 minutes",
                       "98 % of it gpt-5, 1,840 requests (usual 12), since 07:05",
                       "Proposed: block this key (reversible); alertd actions approve a7f, expires 09:05",
                       "Nothing done yet.", "two readings, 07:58 and 08:03"]),
        ("source_stale", ["Prometheus answers 503; retrying every minute", "12 budgets unknown",
                          "research 424.50 of 500.00 USD (85 %)", "the real spend may be higher",
                          "Thresholds and actions are paused", "not being watched", "One message follows"]),
        ("unpriced", ["gpt-6-mini (openai): input 5.2M, output 310k", "nearest known: gpt-5-mini",
                      "not priced, so not counted: gpt-6-mini 5.51M tokens"]),
    ],
)  # fmt: skip
def test_a_message_says_what_the_person_on_call_needs(kind: str, sentences: list[str]) -> None:
    found = said(*SAMPLES[kind](NOW))
    assert [sentence for sentence in sentences if sentence not in found] == []


def test_a_runaway_is_not_answered_by_a_higher_budget() -> None:
    assert "alertd raise" not in said(sample("burn_rate"))


@pytest.mark.parametrize("kind", SAMPLES)
def test_what_is_unknown_is_left_out_and_never_none_or_zero(kind: str) -> None:
    for event in SAMPLES[kind](NOW)[:1]:
        for field in fields(Event):
            if field.name in _NEEDED:
                continue
            empty: Any = None if "None" in str(field.type) else type(getattr(event, field.name))()
            told = said(replace(event, **{field.name: empty}))
            assert "None" not in told, field.name
            assert not re.search(r"(?<![\d.,])0(?:\.00)? (?:USD|of)", told), (field.name, told)


def test_unknown_spend_is_said_as_such() -> None:
    assert "spend unknown of 500.00 USD" in said(sample(spent=None))


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_outbox_changes_no_word(kind: str) -> None:
    events = SAMPLES[kind](NOW)
    assert compose([Event.from_json(event.to_json()) for event in events], NOW) == compose(events, NOW)
    for event in events:
        stored = json.loads(json.dumps(event.to_json()))
        read = Event.from_json({**stored, "of a newer version": 1})
        assert (replace(read, details={}), read.to_json()) == (replace(event, details={}), stored)


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_message_is_single_lines_with_no_empty_runs(kind: str) -> None:
    message = compose(SAMPLES[kind](NOW), NOW)
    spans = [span for line in (message.headline, *message.lines, message.footer) for span in line]
    assert all(span.text and "\n" not in span.text for span in spans)
    assert len(message.subject) <= 150


def test_a_message_delivered_late_says_so_and_counts_the_age_of_its_data() -> None:
    found = said(sample(), now=NOW + timedelta(hours=3))
    assert "Data to 08:03 (3 h old)" in found
    assert "evaluated 08:05, delivered late" in found


def test_days_are_those_of_the_budgets_own_zone() -> None:
    runs_out = datetime(2026, 11, 27, 3, tzinfo=UTC)
    there = sample(zone="America/New_York", exhausted_at=runs_out, exhausted_low=None, exhausted_high=None)
    assert "runs out Thu 26 Nov" in headline(there)
    assert "New York" in said(there)
    assert "runs out Fri 27 Nov" in headline(replace(there, zone="Asia/Tokyo"))


def test_a_zone_that_this_machine_does_not_know_is_no_reason_to_be_silent() -> None:
    assert "runs out Fri 27 Nov" in headline(sample(zone="Mars/Olympus"))


@pytest.mark.parametrize(
    ("rule", "instant", "phrase"),
    [
        (("month",), "2026-11-21", "November's budget"),
        (("month", 15), "2026-11-21", "the budget of 15 Nov to 14 Dec"),
        (("quarter",), "2026-11-21", "Q4's budget"),
        (("quarter", 2), "2026-11-21", "the budget of 2 Oct to 1 Jan"),
        (("year",), "2026-11-21", "2026's budget"),
        (("week",), "2026-11-21", "this week's budget"),
        (("day",), "2026-11-21", "today's budget"),
        (("day",), "2026-11-20", "Fri 20 Nov's budget"),
        (("week",), "2026-11-10", "the budget of the week of 9 Nov"),
        (("month",), "2026-02-10", "February's budget"),
    ],
)
def test_a_period_has_the_name_that_people_call_it(rule: tuple[Any, ...], instant: str, phrase: str) -> None:
    zone = ZoneInfo("Europe/Berlin")
    kind, *start = rule
    period = PeriodRule(kind, zone, *start).containing(datetime.fromisoformat(f"{instant}T12:00+00:00"))
    event = sample("ahead", period_start=period.start, period_end=period.end)
    assert phrase in headline(event)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("2.10", "14.30", 6.8), "2.10 → 14.30 a day (volume ×6.8, same price)"),
        (("2", "6", 1.0), "2.00 → 6.00 a day (same volume, price ×3)"),
        (("2", "12", 3.0), "2.00 → 12.00 a day (volume ×3, price ×2)"),
        (("2", "12", None), "2.00 → 12.00 a day (×6)"),
        (("0", "12", None), "is new: 12.00 a day"),
        (("12", "0", 0.0), "12.00 a day → stopped"),
    ],
)
def test_what_changed_is_told_apart_into_price_and_volume(change: tuple[Any, ...], words: str) -> None:
    before, now, volume = change
    part = Contributor("key", "ci", Decimal(100), Decimal(now), Decimal(before), volume)
    assert f"Changed: key ci {words}" in said(sample(contributors=(part,)))


def test_a_level_on_pace_names_no_day_on_which_the_budget_runs_out() -> None:
    """It would be the day of the one case in four in which it does."""
    half = {"basis": "actual", "level": Decimal(50)}
    assert "Runs out" not in said(sample(severity="info", **half))
    assert "Runs out" in said(sample(severity="warning", **half))


def test_nothing_changed_is_said_and_nothing_known_is_not() -> None:
    steady = Contributor("key", "ci", Decimal(100), Decimal("5.1"), Decimal(5), 1.0)
    young = Contributor("key", "ci", Decimal(100), Decimal("5.1"), None, None)
    assert "Nobody's pace changed" in said(sample(contributors=(steady,)))
    assert "hanged" not in said(sample(contributors=(young,)))


def test_only_a_budget_without_any_action_is_said_to_have_none() -> None:
    assert "No action is configured" in said(sample("over", details={"unguarded": True}))
    assert "No action is configured" not in said(sample("over", details={}))
    world = World(budget("a", "1 USD"), budget("b", "1 USD", actions=["stop"]))
    world.spend(2)
    events = {alert.event.budget: alert.event for alert in world.tick() if alert.event.basis == "actual"}
    assert "No action is configured" in said(events["a"])
    assert "No action is configured" not in said(events["b"])


def test_beside_a_runaway_nothing_says_that_all_is_well() -> None:
    burn = ["actual 50%", "actual 100%", "burn_rate 10x over 1h and 5m above 5 USD"]
    company = budget("company", "1000 USD", thresholds=["actual 50%", "actual 100%"])
    world = World(company, budget("teams", "100 USD", per=("team",), thresholds=burn))
    for hour in range(72):
        world.now = NOVEMBER + timedelta(hours=hour)
        world.spend("0.1", team="ci")
        world.spend("6.5", team="web")
        world.tick()
    world.pass_time(minutes=30)
    world.spend(40, at=world.now - timedelta(minutes=4), team="ci")
    events = [alert.event for alert in world.tick()]
    (about,) = [event for event in events if event.budget == "company" and event.basis == "actual"]
    text = said(about, now=world.now)
    assert "Running away now: team ci (teams)" in text
    assert "no action needed" not in text
    assert "Nobody's pace" not in text
    web = next(one for one in world.judged().positions if one.scope == (("team", "web"),))
    assert web.runaways == (), "another team's usage is not its own"


def test_parts_by_different_labels_overlap_so_there_are_no_others() -> None:
    parts = (Contributor("key", "ci", Decimal(100)), Contributor("model", "gpt-5", Decimal(90)))
    assert "key ci 100.00 · model gpt-5 90.00\n" in said(sample(contributors=parts, contributor_count=9))


@pytest.mark.parametrize(
    ("event", "command"),
    [
        ({}, "alertd raise research 600"),
        ({"budget": "teams", "scope": (("team", "search"),)}, "alertd raise teams 600 --scope team=search"),
        ({"budget": "teams", "scope": (("team", None),)}, "alertd raise teams 600 --scope team="),
        ({"budget": "teams", "scope": (("team", "a; rm -rf /"),)}, "alertd raise teams 600 --scope 'team=a; rm -rf /'"),
        ({"currency": "tokens", "amount": Decimal(8_000_000), "spent": Decimal(5_200_000), "projected": {}},
         "alertd raise research '10M tokens'"),
    ],
)  # fmt: skip
def test_the_command_to_act_can_be_pasted_into_a_shell(event: dict[str, Any], command: str) -> None:
    message = compose([sample(**event)], NOW)
    assert command in [span.text for line in message.lines for span in line if span.style == "code"]


def test_a_budget_of_tokens_is_told_in_tokens() -> None:
    event = sample(
        currency="tokens", amount=Decimal(8_000_000), spent=Decimal(5_234_567),
        projected={"0.1": Decimal(8_200_000), "0.5": Decimal(9_040_000), "0.9": Decimal(10_300_000)},
    )  # fmt: skip
    assert "Likely total 9.04M (80 %: 8.2M to 10.3M); used 5.23M of 8M tokens (65 %)" in said(event)


def test_scopes_are_named_by_their_labels() -> None:
    assert headline(sample(budget="teams", scope=(("team", "search"),))).startswith("team search (teams) will")
    assert headline(sample(budget="teams", scope=(("team", None),))).startswith("usage without a team (teams) will")
    both = (("team", "search"), ("env", "prod"))
    assert headline(sample(budget="teams", scope=both)).startswith("team search, env prod (teams) will")


def test_several_levels_at_once_are_one_message_that_names_them() -> None:
    assert "50 % and 80 % passed at once" in said(sample("ahead"))


def test_what_was_crossed_while_nobody_looked_says_so() -> None:
    late = sample("over", details={"found_late": "down", "found_late_since": NOW - timedelta(days=2)})
    assert "crossed while alertd was not running (since Thu 19 Nov 08:05)" in said(late)


@pytest.mark.parametrize(
    ("probability", "verb"), [(0.55, "may exceed"), (0.7, "will probably exceed"), (0.995, "is all but certain to")]
)
def test_the_verb_is_as_sure_as_the_forecast(probability: float, verb: str) -> None:
    assert verb in headline(sample(probability_over=probability))
    assert verb in headline(sample("live_message", probability_over=probability))


def test_of_several_budgets_the_verb_is_as_sure_as_the_least_sure_of_them() -> None:
    sure, unsure = (sample(id=str(chance), probability_over=chance) for chance in (0.995, 0.34))
    assert said(sure, unsure).startswith("🟠 2 scopes of research may exceed their budgets")
    assert said(sure, sure).startswith("🟠 2 scopes of research will probably exceed their budgets")


@pytest.mark.parametrize("kind", ["source_stale", "source_back", "uncovered"])
def test_where_no_period_names_the_zone_the_footer_does(kind: str) -> None:
    assert said(*SAMPLES[kind](NOW)).casefold().count("times in berlin") == 1
    assert "times in" not in said(*SAMPLES["forecast"](NOW))


def test_a_footer_begins_as_a_sentence_does() -> None:
    assert said(*SAMPLES["source_stale"](NOW)).splitlines()[-1] == "Times in Berlin"
    assert said(*SAMPLES["uncovered"](NOW)).splitlines()[-1] == "Data to 08:03 (2 min old) · times in Berlin"


def test_a_sound_configuration_says_for_how_long_it_was_refused() -> None:
    fault = ["ALERTD_BUDGETS__RESEARCH__AMOUNT (alertd.env:4): '5oo USD' is no amount"]
    refused = announce_configuration(fault, State(), NOW - timedelta(minutes=44))
    sound = announce_configuration([], State(refused.changes), NOW).alerts[0].event
    assert headline(sound) == "The configuration is sound again and in force (refused for 44 min)"


def test_certainty_is_never_claimed() -> None:
    assert "over 99 % sure" in said(sample(probability_over=1.0))
    assert "under 1 % chance" in said(sample("actual", probability_over=0.0))


@pytest.mark.parametrize(
    ("repeat", "begins", "why"),
    [("reminder", "Reminder: research will", "nobody has acknowledged it"),
     ("escalation", "Escalated: research will", "nobody has acknowledged it, so it comes to you"),
     ("snooze over", "Snooze over: research will", "it still stands")],
)  # fmt: skip
def test_what_is_told_again_says_so_and_since_when_it_was_known(repeat: str, begins: str, why: str) -> None:
    event = sample(details={"handle": "4f2", "repeat": repeat, "first_told": NOW - timedelta(days=1)})
    assert headline(event).startswith(begins)
    assert f"First told Fri 20 Nov 08:05; {why}" in said(event)


# --- many at once ---


def test_ten_scopes_that_pass_together_are_one_message() -> None:
    events = [sample(id=str(n), budget="teams", scope=(("team", f"t{n}"),), spent=Decimal(300 + n)) for n in range(10)]
    found = said(*events)
    assert found.startswith("🟠 10 scopes of teams will probably exceed their budgets; the first runs out Fri 27 Nov")
    assert all(f"team t{n} " in found for n in range(10))
    assert "Together used 3,045 of 5,000 USD (61 %)" in found


@given(st.integers(2, 320))
def test_no_scope_of_a_digest_is_lost_from_the_count(count: int) -> None:
    found = said(*digest(NOW, count=count))
    shown = found.count("\n🔴") + found.count("\n🟠") + found.count("\n🟢")
    more = re.search(r"… and (\d+) more", found)
    assert shown + (int(more[1]) if more else 0) == count
    assert shown <= 12


def test_the_worst_comes_first() -> None:
    calm, blown = sample("actual", id="a", budget="calm"), sample("over", id="b", budget="blown")
    found = said(calm, blown)
    assert found.index("blown") < found.index("calm")
    assert found.startswith("🔴 2 budgets passed 50 % or more")


def test_a_mixed_group_counts_by_severity() -> None:
    found = said(sample("over", id="a"), sample("forecast", id="b"), sample("recovered", id="c"))
    assert found.startswith("🔴 3 alerts at once: 1 critical, 1 warning, 1 for information")


def test_a_group_is_as_old_as_its_oldest_data_and_names_all_that_is_unpriced() -> None:
    old = sample(id="a", data_until=NOW - timedelta(hours=5))
    found = said(old, sample("unpriced", id="b"))
    assert "(5 h old)" in found
    assert "gpt-6-mini" in found.splitlines()[-1]


def test_budgets_that_may_overlap_are_not_added() -> None:
    assert "Together" not in said(sample(id="a", budget="one"), sample(id="b", budget="two"))


def test_a_first_start_says_that_it_is_not_told_again() -> None:
    assert "is listed here once; no alert of its own follows" in said(*digest(NOW, "first_start"))


def test_no_events_are_no_message() -> None:
    with pytest.raises(ValueError, match="at least one"):
        compose([], NOW)


def test_two_daemons_on_one_file_are_announced_once_and_once_when_one_is_gone() -> None:
    state, said = State(), []
    rounds = ((0, True), (0, False), (1, True), (2, False), (5, False), (6, False), (9, False), (20, True))
    for minute, contended in rounds:
        now = NOW + timedelta(minutes=minute)
        decisions = announce_other_daemon("sqlite:///a.db", state, now, contended=contended)
        state = State({**state.records, **decisions.changes})
        said += [(minute, alert.event) for alert in decisions.alerts]
    assert [(minute, event.kind, event.severity) for minute, event in said] == [
        (0, "source_stale", "warning"),
        (6, "recovered", "info"),
        (20, "source_stale", "warning"),
    ]
    assert len({event.id for _, event in said}) == 3
    first, over, _ = (text_of(compose((event,), NOW).headline) for _, event in said)
    assert "Two alertd use one SQLite file" in first
    assert "One alertd uses the database's file again" in over
