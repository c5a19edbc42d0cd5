"""The probes and the JSON API: what they say, and that every answer is as the OpenAPI document has it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from alertd.core.evaluation.thresholds import STATUSES
from alertd.core.evaluation.values import SourceView
from alertd.core.loop_stats import LoopStats
from alertd.core.pricing.source_roles import SourceRole
from alertd.web.openapi import DOCUMENT
from alertd.web.server import BudgetStatuses, View
from alertd.web.writes import WRITES
from tests.scenario import Scenario, budget
from tests.web.dashboard_client import HOSTILE, NOW, SECRET, SHOUT, Browser, StoredRows, browser, november, view_of


def conforms(answer: Any, path: str) -> None:
    """Raises where an answer is not what the document says of this path and status."""
    said = DOCUMENT["paths"][path]["get"]["responses"][str(answer.status_code)]
    schema = {**said["content"][answer.headers["content-type"]]["schema"], "components": DOCUMENT["components"]}
    Draft202012Validator(schema).validate(answer.json())


def one(house: Browser, budget: str, **scope: str | None) -> dict[str, Any]:
    found = house.get("/api/v1/budgets", params={"budget": budget}).json()["budgets"]
    return next(item for item in found if not scope or item["scope"] == scope)


# --- probes ---


def test_healthz_names_the_loop_that_has_not_ended_a_round_for_too_long(view: View):
    hour = timedelta(hours=1)
    loops = [
        LoopStats("evaluate", timedelta(minutes=10), runs=3, last_end=NOW - hour),
        LoopStats("deliver", timedelta(hours=2), runs=3, last_end=NOW - hour),
        LoopStats("collect slow", None, runs=0),
    ]
    answer = browser(replace(view, loops=lambda: loops)).get("/healthz")
    assert (answer.status_code, answer.json()["loops"]) == (503, ["evaluate"])
    conforms(answer, "/healthz")


def test_a_loop_that_never_ended_a_round_is_stuck_from_the_start_on(view: View):
    loops = [LoopStats("collect gateway", timedelta(minutes=10))]
    fresh = replace(view, loops=lambda: loops, started=NOW - timedelta(minutes=9))
    old = replace(view, loops=lambda: loops, started=NOW - timedelta(minutes=11))
    assert [browser(each).get("/healthz").status_code for each in (fresh, old)] == [200, 503]


def test_a_failing_provider_leaves_the_daemon_healthy_and_ready(blind: View):
    failing = [LoopStats("collect gateway", timedelta(minutes=10), failures=40, last_end=NOW, last_error="503")]
    house = browser(replace(blind, loops=lambda: failing))
    for path in ("/healthz", "/readyz"):
        answer = house.get(path)
        assert answer.status_code == 200
        conforms(answer, path)


def test_a_database_that_takes_no_writes_is_unready_but_healthy_and_its_path_is_not_told_to_strangers(view: View):
    house = browser(replace(view, records=StoredRows(dead=True)), token="x", loopback=False)
    answer = house.get("/readyz")
    assert answer.status_code == 503
    assert "/var/lib" not in answer.text
    conforms(answer, "/readyz")
    assert house.get("/healthz").status_code == 200


# --- budgets ---


def test_every_answer_conforms_to_the_document(open_house: Browser, blind: View):
    for house in (open_house, browser(blind)):
        for path in ("/api/v1/budgets", "/api/v1/alerts"):
            answer = house.get(path)
            assert answer.status_code == 200
            conforms(answer, path)
            assert any(answer.json().values())


def test_money_is_a_plain_decimal_string_that_is_exact(open_house: Browser, view: View):
    research = one(open_house, "research")
    spent = next(p.spent for p in view.standings().statuses if p.budget.name == "research")
    assert Decimal(research["spent"]) == spent
    assert (research["amount"], research["currency"]) == ("500", "USD")
    assert set(research["projected"]) == {"0.1", "0.5", "0.9"}


@pytest.mark.parametrize(
    ("budget", "state"),
    [("evaluation", "over"), ("research", "at_risk"), ("platform", "on_track"), ("marketing", "unknown")],
)
def test_a_state_says_the_status_of_a_budget(open_house: Browser, budget: str, state: str):
    assert one(open_house, budget)["status"] == state


def test_what_was_never_seen_is_null_and_never_0(open_house: Browser):
    marketing = one(open_house, "marketing")
    unknown = ("spent", "spent_at_least", "projected", "probability_over", "exhausted_at", "data_until")
    assert [marketing[name] for name in unknown] == [None] * 6
    assert {threshold["firing"] for threshold in marketing["thresholds"]} == {None}


def test_a_silent_source_is_named_as_late_and_what_was_seen_is_a_lower_bound(blind: View):
    research = one(browser(blind), "research")
    assert (research["status"], research["flags"], research["spent"]) == (
        "at_risk",
        ["late"],
        research["spent_at_least"],
    )
    assert [(one["source"], one["stale"]) for one in research["late"]] == [("gateway", True)]
    assert Decimal(research["spent_at_least"]) > 300
    assert research["stale_sources"] == ["gateway"]


def test_the_worst_come_first_and_can_be_asked_for_alone(open_house: Browser):
    states = [item["status"] for item in open_house.get("/api/v1/budgets").json()["budgets"]]
    assert states == sorted(states, key=STATUSES.index)
    over = open_house.get("/api/v1/budgets", params={"status": "over"}).json()["budgets"]
    assert {item["status"] for item in over} == {"over"}


def test_hostile_names_come_through_unchanged_as_json(open_house: Browser):
    for team in (HOSTILE, SHOUT, None):
        assert one(open_house, "teams", team=team)["currency"] == "USD"


def test_a_threshold_says_whether_it_fires(open_house: Browser):
    firing = {item["threshold"]: item["firing"] for item in one(open_house, "research")["thresholds"]}
    assert firing["actual 50%"] is True
    assert firing["actual 100%"] is False
    assert firing["forecast 100%"] is True


def test_an_episode_fires_while_the_evaluation_keeps_it_open_though_the_figures_of_the_moment_fell_below(view: View):
    (platform,) = [p for p in view.standings().statuses if p.budget.name == "platform"]
    note = {f"episode/{platform.name}/forecast 100%": {"number": 1, "open": True, "since": None, "clear_since": None}}
    house = browser(replace(view, records=StoredRows(notes=note)))
    assert {t["threshold"]: t["firing"] for t in one(house, "platform")["thresholds"]}["forecast 100%"] is True


@pytest.mark.parametrize(
    ("path", "query"),
    [("budgets", "status=fine"), ("alerts", "since=yesterday"), ("alerts", "limit=0"), ("alerts", "limit=1001"),
     ("alerts", "limit=%C2%B2"), ("alerts", "limit=-1"), ("alerts", "since=0001-01-01T00:00:00%2B14:00")],
)  # fmt: skip
def test_a_parameter_that_cannot_be_read_is_a_400_that_says_what_can(open_house: Browser, path: str, query: str):
    answer = open_house.get(f"/api/v1/{path}?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["detail"]
    conforms(answer, f"/api/v1/{path}")


def test_before_the_first_evaluation_the_api_says_so(view: View):
    answer = browser(replace(view, standings=BudgetStatuses)).get("/api/v1/budgets")
    assert answer.json() == {"version": 1, "evaluated_at": None, "budgets": []}
    conforms(answer, "/api/v1/budgets")


# --- alerts ---


def test_alerts_come_newest_first_and_keys_told_together_are_one(open_house: Browser, view: View):
    alerts = open_house.get("/api/v1/alerts").json()["alerts"]
    assert [alert["at"] for alert in alerts] == sorted((alert["at"] for alert in alerts), reverse=True)
    assert len({alert["id"] for alert in alerts}) == len(alerts)
    assert sum(len(alert["keys"]) for alert in alerts) == len({row.key for row in view.records.rows})


def test_alerts_can_be_narrowed_by_budget_instant_and_number(open_house: Browser):
    def asked(**query: str) -> list[dict[str, Any]]:
        return open_house.get("/api/v1/alerts", params=query).json()["alerts"]

    assert {alert["budget"] for alert in asked(budget="research")} == {"research"}
    assert min(alert["at"] for alert in asked(since="2026-11-10T00:00:00Z")) >= "2026-11-10"
    assert len(asked(limit="2")) == 2


def test_an_alert_tells_its_life_and_what_needs_no_action_has_none():
    world, kept = november(scopes=0)
    alerts = browser(view_of(world, kept)).get("/api/v1/alerts").json()["alerts"]
    states = {(alert["event"], alert["severity"] == "info"): alert["state"] for alert in alerts}
    assert states["summary", True] == "announced"
    used_up = next(a for a in alerts if (a["budget"], a["basis"], a["level"]) == ("evaluation", "actual", 100))
    assert used_up["state"] == "firing"
    assert used_up["history"][0]["by"] == "alertd"


def test_a_dead_database_is_a_503_for_alerts_while_budgets_still_answer(view: View):
    house = browser(replace(view, records=StoredRows(dead=True)))
    answer = house.get("/api/v1/alerts")
    assert answer.status_code == 503
    conforms(answer, "/api/v1/alerts")
    assert one(house, "evaluation")["status"] == "over"


# --- actions and sources ---


def test_an_act_shows_every_step_with_who_when_and_on_what_evidence(open_house: Browser):
    answer = open_house.get("/api/v1/actions", params={"budget": "research"})
    conforms(answer, "/api/v1/actions")
    (act,) = answer.json()["actions"]
    assert (act["target"], act["state"], act["handle"]) == ("rag-indexer", "verified", "a1b2c3")
    told = [(step["what"], step["by"], step["at"], step["reason"]) for step in act["audit"]]
    assert told[0] == ("propose", "alertd", "2026-11-17T06:40:00Z", "")
    assert told[2] == ("approve", "ana", "2026-11-17T06:43:00Z", "looks wrong")
    assert [what for what, *_ in told] == ["propose", "ask", "approve", "begin", "read", "send", "verify"]
    assert act["audit"][0]["evidence"] == {"share": "0.62", "spent": "12.50"}
    assert act["audit"][4]["evidence"]["values"]["status"] == "active"


def test_what_is_configured_is_told_with_what_it_lacks(open_house: Browser):
    answer = open_house.get("/api/v1/actions").json()
    assert [(one["name"], one["mode"]) for one in answer["configured"]] == [
        ("stop-research", "approve"), ("stop-teams", "dry_run")
    ]  # fmt: skip
    assert "TOKEN_FILE" in answer["configured"][1]["lacks"]
    assert answer["paused"] is None


@pytest.mark.parametrize("path", ["/api/v1/actions", "/actions", "/budgets/research", "/metrics"])
def test_no_secret_of_a_providers_answer_is_shown(open_house: Browser, path: str):
    text = open_house.get(path).text
    assert SECRET not in text
    assert "research" in text


def test_acts_are_narrowed_by_their_state_and_the_newest_come_first(open_house: Browser):
    targets = [act["target"] for act in open_house.get("/api/v1/actions").json()["actions"]]
    assert targets == [SHOUT, "rag-indexer"]
    waiting = open_house.get("/api/v1/actions", params={"state": "awaiting"}).json()["actions"]
    assert [act["target"] for act in waiting] == [SHOUT]
    refused = open_house.get("/api/v1/actions", params={"state": "done"})
    assert refused.status_code == 400
    conforms(refused, "/api/v1/actions")


def test_a_pause_says_since_when_by_whom_and_why(view: View):
    note = {"at": "2026-11-17T09:00:00+00:00", "by": "ana", "reason": "release"}
    kept = StoredRows(notes={"actions/paused": note})
    answer = browser(replace(view, records=kept)).get("/api/v1/actions")
    conforms(answer, "/api/v1/actions")
    assert answer.json()["paused"] == note


def test_sources_say_how_fresh_they_are_and_how_estimate_and_bill_compare(open_house: Browser, blind: View):
    answer = open_house.get("/api/v1/sources")
    conforms(answer, "/api/v1/sources")
    (one,) = answer.json()["reconciled"]
    assert (one["provider"], one["drift_percent"], one["used_by"], one["billed_by"]) == (
        "openai", "25.00", ["gateway"], ["bill"]
    )  # fmt: skip
    assert answer.json()["compared_at"] == "2026-11-17T09:20:00Z"
    silent = browser(blind).get("/api/v1/sources")
    conforms(silent, "/api/v1/sources")
    assert [(one["name"], one["state"], one["error"]) for one in silent.json()["sources"]] == [
        ("gateway", "stale", "Prometheus answers 503")
    ]
    assert silent.json()["reconciled"] == []


def test_what_the_judge_compared_is_what_the_api_and_the_metrics_tell():
    world = Scenario(budget())
    world.standings = {"bill": SourceRole("check")}
    for _ in range(9):
        world.now += timedelta(days=1)
        world.spend(10, at=world.now - timedelta(hours=12))
        world.bill(12, at=world.now - timedelta(hours=12))
        world.sources["bill"] = SourceView("bill", world.now, timedelta(days=3))
        world.tick()
    house = browser(view_of(world, StoredRows(notes=dict(world.state.records))))
    answer = house.get("/api/v1/sources")
    conforms(answer, "/api/v1/sources")
    (one,) = answer.json()["reconciled"]
    assert (one["provider"], one["used_by"], one["billed_by"]) == ("acme", ["gateway"], ["bill"])
    drift = Decimal(one["estimated"]) / Decimal(one["billed"]) - 1
    assert drift < 0
    assert Decimal(one["drift_percent"]) == round(drift * 100, 2)
    assert f'source="bill",unit="USD"}} {float(one["billed"])}' in house.get("/metrics").text


@pytest.mark.parametrize("path", ["/api/v1/actions", "/api/v1/sources"])
def test_a_dead_database_is_503_for_what_lies_in_it(view: View, path: str):
    answer = browser(replace(view, records=StoredRows(dead=True))).get(path)
    assert answer.status_code == 503
    conforms(answer, path)


def test_the_document_describes_every_endpoint_of_machines_and_no_other(open_house: Browser):
    document = open_house.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/api/v1/budgets", "/api/v1/alerts", "/api/v1/actions", "/api/v1/sources", "/healthz", "/readyz", "/metrics",
        "/api/v1/allowance", "/api/v1/allowance/check", "/api/v1/proposals", "/api/v1/stored-budgets",
        "/api/v1/budgets/{name}/explain",
        "/api/v1/budgets/{name}/what-if", "/api/v1/budgets/{name}/replay", "/api/v1/allowance/denials",
        *(f"/api/v1{write.path}" for write in WRITES),
    }  # fmt: skip
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
