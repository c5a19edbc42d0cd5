"""What people read: headline, figures, how sure, what to do; what is unknown is never 0, and nothing is lost."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.core.evaluation.health import announce_configuration, announce_other_daemon
from alertd.core.evaluation.state import State
from alertd.core.events import AnomalyReached, Contributor, Event, details_of
from alertd.core.messages import compose, text_of
from alertd.core.messages.samples import NOW, SAMPLES, digest
from alertd.core.periods import PeriodRule
from tests.scenario import NOVEMBER, Scenario, budget
from tests.servers.deliveries import sample

#: Fields of which an event is nothing without.
_NEEDED: Final = {"id", "kind", "severity", "at", "zone"}


def said(*events: Event, now: datetime = NOW) -> str:
    message = compose(events, now)
    lines = [text_of(line) for line in (message.headline, *message.body, message.footer)]
    return "\n".join([f"{message.icon} {lines[0]}", *lines[1:]])


def headline(event: Event, now: datetime = NOW) -> str:
    return compose([event], now).subject


HEADLINES: Final = {
    "actual": "research has spent half of November's budget, on track",
    "ahead": "research has spent 81% of November's budget and will almost certainly go over: "
    "$640 of $500, runs out Tue 24 Nov",
    "over": "research is over November's budget: $503.20 of $500",
    "forecast": "research will probably go over: $564 of $500, runs out Fri 27 Nov",
    "certain": "research will go over unless acme/llama is stopped: $854.35 of $500 by 30 Nov",
    "burn_rate": "rag-indexer is burning $40 an hour (normally 30¢ in all of research). research runs out about 09:50",
    "anomaly": "research spent $41.30 today; by this hour it is normally $2.10 to $9.40",
    "balance": "openrouter-credit has $42.10 of credit left and runs out Thu 26 Nov",
    "novel": "research uses a new model: gpt-image-9, $8.20 so far",
    "window": "agents is over the budget of the last 5 hours: $21.30 of $20",
    "opened_window": "user ana (sessions) has spent 82% of the budget of the window since 06:05: full at 08:31 at this"
    " pace, closes at 11:05",
    "recovered": "research is back on track: likely $463 of $500",
    "live_message": "research will probably go over: $564 of $500, runs out Fri 27 Nov",
    "source_stale": "No data from gateway since 07:43 (22 min)",
    "source_back": "Data from gateway again; 06:59 to 07:43 was missing (44 min)",
    "unpriced": "gpt-6-mini has no price, so its cost is missing from every total",
    "unmatched": "research matches no usage: nothing has team=reserch. Did you mean team=research?",
    "uncovered": "$31.40 of this month's spend is in no budget",
    "first_start": "November so far: $2,934 of $7,000 (42%). 1 team over, 1 at risk, 12 on track",
    "period_closed": "research stayed within October's budget: $483.20 of $500 (97%)",
    "digest": "November so far: $2,934 of $7,000 (42%). 1 team over, 1 at risk, 12 on track",
    "proposed": "Block key rag-indexer at the gateway?",
    "action": "Done and checked: block key rag-indexer at the gateway",
    "test": "Test message from alertd: ops works",
}


def test_every_kind_has_its_headline() -> None:
    assert {kind: compose(events(NOW), NOW).subject for kind, events in SAMPLES.items()} == HEADLINES


@pytest.mark.parametrize(
    ("kind", "sentences"),
    [
        ("actual", ["Spent: $251.40 of $500 (50%)", "Likely by 30 Nov: $452 (412 to 507)",
                    "Chance of going over: 24%", "On track means: $26 a day; now $16",
                    "By model: claude-sonnet $148.10 · gpt-5 $71.90 · others $31.40",
                    "Data to Sat 21 Nov 08:03, Berlin", "everything priced", "owner @ana", "no action needed"]),
        ("forecast", ["Spent: $323.60 of $500 (65%) · Likely by 30 Nov: $564 (515 to 640)",
                      "Chance of going over: 93% · On track means: $18 a day; now $28",
                      "Why: key rag-indexer went from $2.10 to $14.30 a day (6.8 times the volume, same price).",
                      "raise the budget: alertd raise research 600", "Acknowledge: alertd ack 4f2"]),
        ("burn_rate", ["Spent: $424.50 of $500 (85%)", "Since 07:05: 1,840 requests (normally 12), 98% gpt-5",
                       "Proposed: block this key. Can be undone. Expires 09:05; nothing is done until somebody",
                       "alertd actions approve a7f", "confirmed by two readings"]),
        ("certain", ["It costs: $3.25 an hour", "Budget is used up: Thu 26 Nov 10:03",
                     "This is a contract, not a forecast"]),
        ("source_stale", ["Prometheus answers 503; retrying every minute.", "Affected: 12 budgets",
                          "Nearest its limit when last seen: research, $424.50 of $500 (85%)",
                          "Actions on its data are paused", "not being watched", "you get one message when"]),
        ("unpriced", ["gpt-6-mini (openai): 5.2M input, 310k output tokens", "nearest known price: gpt-5-mini",
                      "Not counted: 7% of all tokens", "no price, so not counted: gpt-6-mini 5.51M tokens"]),
    ],
)  # fmt: skip
def test_a_message_says_what_the_person_on_call_needs(kind: str, sentences: list[str]) -> None:
    found = said(*SAMPLES[kind](NOW))
    assert [sentence for sentence in sentences if sentence not in found] == []


def test_a_runaway_is_not_answered_by_a_higher_budget() -> None:
    assert "alertd raise" not in said(sample("burn_rate"))


@pytest.mark.parametrize(
    ("changed", "offered"),
    [
        ({"basis": "actual", "projected": {"0.5": Decimal(480)}}, False),
        ({"basis": "actual", "projected": {"0.5": Decimal(520)}}, True),
        ({"basis": "actual", "projected": {}}, True),
        ({"basis": "actual", "projected": {"0.5": Decimal(480)}, "spent": Decimal(501)}, True),
        ({"basis": "forecast", "projected": {"0.5": Decimal(499)}}, True),
    ],
)
def test_a_higher_budget_is_offered_unless_the_likely_total_is_below_it(changed: dict[str, Any], *, offered: bool):
    event = sample("ahead", **{"amount": Decimal(500), "spent": Decimal(400), "committed": None, **changed})
    assert ("raise the budget" in said(event)) is offered
    assert ("Raise…" in [one.text for one in compose([linked(event)], NOW).actions]) is offered


def test_an_unusual_hour_is_not_compared_with_days():
    event = sample("anomaly")
    hour = replace(event, details=msgspec.structs.replace(details_of(event, AnomalyReached), window="1h"))
    assert "by this hour it is normally" in said(event)
    assert "in the last hour; normally $2.10 to $9.40" in said(hour)


@pytest.mark.parametrize("kind", SAMPLES)
def test_what_is_unknown_is_left_out_and_never_none_or_zero(kind: str) -> None:
    for event in SAMPLES[kind](NOW)[:1]:
        for field in fields(Event):
            if field.name in _NEEDED:
                continue
            empty: Any = None if "None" in str(field.type) else type(getattr(event, field.name))()
            told = said(replace(event, **{field.name: empty}))
            assert "None" not in told, field.name
            assert not re.search(r"(?<![\d.,])\$?0(?:\.00)? (?:USD|of)", told), (field.name, told)


def test_unknown_spend_is_said_as_such() -> None:
    assert "Spent: unknown of $500" in said(sample(spent=None))


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_outbox_changes_no_word(kind: str) -> None:
    events = SAMPLES[kind](NOW)
    assert compose([Event.from_json(event.to_json()) for event in events], NOW) == compose(events, NOW)
    for event in events:
        stored = json.loads(json.dumps(event.to_json()))
        read = Event.from_json({**stored, "of a newer version": 1})
        assert (read, json.loads(json.dumps(read.to_json()))) == (event, stored)


@pytest.mark.parametrize("kind", SAMPLES)
def test_details_of_an_unknown_kind_are_left_out_and_the_rest_is_still_sent(kind: str) -> None:
    for event in SAMPLES[kind](NOW):
        read = Event.from_json({**event.to_json(), "details": {"type": "of_a_newer_version"}})
        assert read == replace(event, details=None)
        assert compose([read], NOW).subject


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_message_is_single_lines_with_no_empty_runs(kind: str) -> None:
    message = compose(SAMPLES[kind](NOW), NOW)
    spans = [span for line in (message.headline, *message.body, message.footer) for span in line]
    assert all(span.text and "\n" not in span.text for span in spans)
    assert len(message.subject) <= 150


def test_a_message_delivered_late_says_so_and_counts_the_age_of_its_data() -> None:
    found = said(sample(), now=NOW + timedelta(hours=3))
    assert "Data to Sat 21 Nov 08:03, Berlin (3 h old)" in found
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
        (("2.10", "14.30", 6.8), " went from $2.10 to $14.30 a day (6.8 times the volume, same price)"),
        (("2", "6", 1.0), " went from $2 to $6 a day (same volume, 3 times the price)"),
        (("2", "12", 3.0), " went from $2 to $12 a day (3 times the volume, 2 times the price)"),
        (("2", "12", None), " went from $2 to $12 a day (6 times as much)"),
        (("0", "12", None), " is new, $12 a day"),
    ],
)
def test_what_changed_is_split_into_price_and_volume(change: tuple[Any, ...], words: str) -> None:
    before, now, volume = change
    part = Contributor("key", "ci", Decimal(100), Decimal(now), Decimal(before), volume)
    assert f"Why: key ci{words}." in said(sample(contributors=(part,)))


def test_a_level_on_pace_names_no_day_on_which_the_budget_runs_out() -> None:
    """It would be the day of the one case in four in which it does."""
    half = {"basis": "actual", "level": Decimal(50)}
    assert "runs out" not in said(sample("actual", exhausted_at=NOW + timedelta(days=6)))
    assert "runs out" in said(sample(severity="warning", **half))


def test_nothing_changed_is_said_and_nothing_known_is_not() -> None:
    steady = Contributor("key", "ci", Decimal(100), Decimal("5.1"), Decimal(5), 1.0)
    young = Contributor("key", "ci", Decimal(100), Decimal("5.1"), None, None)
    for part in (steady, young):
        assert "By key: ci $100" in said(sample(contributors=(part,)))
        assert "Why" not in said(sample(contributors=(part,)))


def test_only_a_budget_without_any_action_is_said_to_have_none() -> None:
    assert "no action is configured" in said(sample("over", unguarded=True))
    assert "no action is configured" not in said(sample("over"))
    world = Scenario(budget("a", "1 USD"), budget("b", "1 USD", actions=["stop"]))
    world.spend(2)
    events = {alert.event.budget: alert.event for alert in world.tick() if alert.event.basis == "actual"}
    assert "no action is configured" in said(events["a"])
    assert "no action is configured" not in said(events["b"])


def test_beside_a_runaway_nothing_says_that_all_is_well() -> None:
    burn = ["actual 50%", "actual 100%", "burn_rate 10x over 1h and 5m above 5 USD"]
    company = budget("company", "1000 USD", thresholds=["actual 50%", "actual 100%"])
    shop, bots = (budget(name, where={"team": team}) for name, team in (("shop", "web"), ("bots", "c*")))
    world = Scenario(company, budget("teams", "100 USD", per=("team",), thresholds=burn), shop, bots)
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
    assert "Running away now: team ci (teams)." in text
    assert "no action needed" not in text
    found = world.evaluate().statuses
    web = next(one for one in found if one.scope == (("team", "web"),))
    assert web.runaways == (), "another team's usage is not its own"
    by_name = {one.budget.name: one.runaways for one in found}
    assert by_name["shop"] == (), "what its filter leaves out is not its own"
    assert by_name["bots"] == by_name["company"] == (("teams", (("team", "ci"),)),)


def test_parts_by_different_labels_overlap_so_there_are_no_others() -> None:
    parts = (Contributor("key", "ci", Decimal(100)), Contributor("model", "gpt-5", Decimal(90)))
    assert "key ci $100 · model gpt-5 $90\n" in said(sample(contributors=parts, contributor_count=9))


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
    assert command in [span.text for line in message.body for span in line if span.style == "code"]


def test_a_budget_of_tokens_is_told_in_tokens() -> None:
    event = sample(
        currency="tokens", amount=Decimal(8_000_000), spent=Decimal(5_234_567),
        projected={"0.1": Decimal(8_200_000), "0.5": Decimal(9_040_000), "0.9": Decimal(10_300_000)},
    )  # fmt: skip
    assert "Spent: 5.23M of 8M tokens (65%) · Likely by 30 Nov: 9.04M tokens (8.2M to 10.3M)" in said(event)


def test_scopes_are_named_by_their_labels() -> None:
    assert headline(sample(budget="teams", scope=(("team", "search"),))).startswith("team search (teams) will")
    assert headline(sample(budget="teams", scope=(("team", None),))).startswith("usage without a team (teams) will")
    both = (("team", "search"), ("env", "prod"))
    assert headline(sample(budget="teams", scope=both)).startswith("team search, env prod (teams) will")


def test_several_levels_at_once_are_one_message_that_names_them() -> None:
    assert "50% and 80% were reached in one evaluation." in said(sample("ahead"))


def test_the_hour_at_which_a_budget_was_used_up_has_its_day_for_who_reads_it_later() -> None:
    event = sample("over")
    gone = event.at - timedelta(hours=2)
    event = replace(event, exhausted_at=gone, exhausted_low=gone, exhausted_high=gone)

    def used_up(now: datetime) -> str:
        return next(text_of(one.value) for one in compose([event], now).facts if one.label == "Used up")

    assert re.fullmatch(r"about \d\d:\d0", used_up(event.at))
    assert re.fullmatch(r"[A-Z][a-z]{2} \d+ [A-Z][a-z]{2}", used_up(event.at + timedelta(days=1)))


def test_what_was_crossed_while_nobody_looked_says_so() -> None:
    late = sample("over", found_late="down", found_late_since=NOW - timedelta(days=2))
    assert "Reached while alertd was not running (since Thu 19 Nov 08:05)." in said(late)


@pytest.mark.parametrize(
    ("probability", "verb"),
    [(0.55, "may go over"), (0.7, "will probably go over"), (0.995, "will almost certainly go")],
)
def test_the_verb_is_as_sure_as_the_forecast(probability: float, verb: str) -> None:
    assert verb in headline(sample(probability_over=probability))
    assert verb in headline(sample("live_message", probability_over=probability))


def test_of_several_budgets_the_verb_is_as_sure_as_the_least_sure_of_them() -> None:
    sure, unsure = (sample(id=str(chance), probability_over=chance) for chance in (0.995, 0.34))
    assert said(sure, unsure).startswith("🟠 2 scopes may go over")
    assert said(sure, sure).startswith("🟠 2 scopes will probably go over")


@pytest.mark.parametrize("kind", ["source_stale", "source_back", "uncovered", "forecast"])
def test_the_footer_names_the_zone_of_the_times(kind: str) -> None:
    assert said(*SAMPLES[kind](NOW)).splitlines()[-1].count("Berlin") == 1
    assert "times in" not in said(*SAMPLES["forecast"](NOW))


def test_a_footer_begins_as_a_sentence_does() -> None:
    assert said(*SAMPLES["source_stale"](NOW)).splitlines()[-1].startswith("Times in Berlin · you get one message")
    assert said(*SAMPLES["uncovered"](NOW)).splitlines()[-1] == "Data to Sat 21 Nov 08:03, Berlin"


def test_a_sound_configuration_says_for_how_long_it_was_refused() -> None:
    fault = ["ALERTD_BUDGETS__RESEARCH__AMOUNT (alertd.env:4): '5oo USD' is no amount"]
    refused = announce_configuration(fault, State(), NOW - timedelta(minutes=44))
    sound = announce_configuration([], State(refused.changes), NOW).alerts[0].event
    assert headline(sound) == "The configuration is sound again and in force (refused for 44 min)"


def test_certainty_is_never_claimed() -> None:
    assert "going over: >99%" in said(sample(probability_over=1.0))
    assert "going over: <1%" in said(sample("actual", probability_over=0.0))


@pytest.mark.parametrize(
    ("repeat", "begins", "why"),
    [("reminder", "Reminder: research will", "nobody has acknowledged it"),
     ("escalation", "Escalated: research will", "nobody has acknowledged it, so you get it too"),
     ("snooze over", "Snooze over: research will", "it still fires")],
)  # fmt: skip
def test_what_is_told_again_says_so_and_since_when_it_was_known(repeat: str, begins: str, why: str) -> None:
    event = sample(handle="4f2", repeat=repeat, first_announced_at=NOW - timedelta(days=1))
    assert headline(event).startswith(begins)
    assert f"First announced Fri 20 Nov 08:05; {why}" in said(event)


# --- many at once ---


def test_ten_scopes_that_pass_together_are_one_message() -> None:
    events = [sample(id=str(n), budget="teams", scope=(("team", f"t{n}"),), spent=Decimal(300 + n)) for n in range(10)]
    found = said(*events)
    assert found.startswith("🟠 10 teams will probably go over; the first runs out Fri 27 Nov")
    assert all(f"🟠 t{n} " in found for n in range(10))


@given(st.integers(2, 320))
def test_no_scope_of_a_digest_is_lost_from_the_count(count: int) -> None:
    found = said(*digest(NOW, count=count))
    lines = [line for line in found.splitlines() if line[:1] in "🔴🟠🟢"]
    together = re.search(r"🟢 (\d+) on track, the closest", found)
    assert len(lines) + (int(together[1]) - 1 if together else 0) == count
    assert len(lines) <= 12


def test_the_worst_comes_first() -> None:
    calm, blown = sample("actual", id="a", budget="calm"), sample("over", id="b", budget="blown")
    found = said(calm, blown)
    assert found.index("blown") < found.index("calm")
    assert found.startswith("🔴 2 budgets have spent 50% or more")


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
    assert "listed here once and are not sent again" in said(*digest(NOW, "first_start"))


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


# --- what people can open ---


def linked(event: Event) -> Event:
    return replace(event, details_url="https://alertd.example.com/budgets/research",
                   answer_url=f"https://alertd.example.com/alerts/{event.handle}")  # fmt: skip


def test_where_the_page_is_known_actions_are_links_and_no_command_is_left_but_at_a_terminal():
    event = linked(SAMPLES["forecast"](NOW)[0])
    message = compose([event], NOW)
    assert [(one.text, one.href.rpartition("example.com")[2]) for one in message.actions] == [
        ("Acknowledge", f"/alerts/{event.handle}"), ("Open budget", "/budgets/research"),
        ("Raise…", "/budgets/research#raise"), ("Runbook", message.actions[-1].href.rpartition("example.com")[2]),
    ]  # fmt: skip
    assert "alertd raise" not in said(event)
    assert "alertd ack" not in said(event)
    terminal = compose([event], NOW, links=False)
    assert terminal.actions == ()
    assert any("alertd ack" in text_of(line) for line in terminal.body)


def test_a_proposal_and_a_runaway_with_one_lead_to_the_page_of_the_action():
    proposal = replace(linked(SAMPLES["proposed"](NOW)[0]), answer_url="https://alertd.example.com/actions/a7f3c2")
    message = compose([proposal], NOW)
    assert (message.actions[0].text, message.actions[0].href) == ("Answer", "https://alertd.example.com/actions/a7f3c2")
    assert "alertd actions approve" not in said(proposal)
    runaway = compose([linked(SAMPLES["burn_rate"](NOW)[0])], NOW)
    assert [one.text for one in runaway.actions][:2] == ["Answer: block this key", "Acknowledge"]
