"""The allowance over HTTP: what callers and proxies get, what is cached, who may ask, and what is counted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from alertd.core.budgets import AllowancePolicy, Budget
from alertd.web.identity import Person
from alertd.web.server import View, build
from alertd.web.view import AllowanceCounts
from tests.fakes import StoppedClock
from tests.scenario import NOVEMBER, Scenario, budget
from tests.web.dashboard_client import SHOUT, Browser, StoredRows, browser, view_of
from tests.web.test_api import conforms

NOW = NOVEMBER + timedelta(days=10)
TOKENS = {role: f"{role}-token-0123456789abcdef" for role in ("allowance", "viewer")}


def seen(*budgets: Budget, **spent: float) -> View:
    """What each team spent by now, on stored rows of a database that is away."""
    world = Scenario(*budgets, at=NOW)
    for team, dollars in spent.items():
        world.spend(dollars, at=NOW - timedelta(hours=3), team=team)
    world.sources["gateway"] = replace(world.sources["gateway"], until=NOW)
    listed = world.budgets
    return view_of(world, StoredRows(dead=True), budgets=lambda: listed)


@pytest.fixture
def view() -> View:
    teams = budget("teams", "100 USD", per=("team",))
    return seen(teams, research=120, chat=20, **{SHOUT: 500})


@pytest.fixture
def house(view: View) -> Browser:
    return browser(view)


def ask(house: Browser, headers: Mapping[str, str] | None = None, **labels: str) -> httpx.Response:
    return house.get("/api/v1/allowance", params=labels, headers=headers)


def test_a_no_is_200_with_its_reason_its_end_and_retry_after_while_the_database_is_away(house: Browser):
    answer = ask(house, team="research")
    conforms(answer, "/api/v1/allowance")
    said = answer.json()
    assert answer.status_code == 200
    assert (said["allow"], said["budget"], said["left"], said["currency"]) == (False, "teams", "0", "USD")
    assert said["reason"].startswith("team research (teams) has used 120.00 of 100.00 USD (120%)")
    assert (said["until"], said["age_seconds"]) == ("2026-12-01T00:00:00Z", 0)
    assert int(answer.headers["retry-after"]) == said["retry_after"] == 20 * 86400


@pytest.mark.parametrize(
    ("labels", "allow", "status"),
    [
        ({"team": "chat"}, True, "at_risk"),
        ({"team": "chat", "estimate": "80.01 USD"}, False, "at_risk"),
        ({"team": "new"}, True, "no_forecast"),
        ({"model": "plain"}, True, None),
        ({}, True, None),
    ],
)
def test_every_answer_is_as_the_document_has_it(house: Browser, labels: dict[str, str], allow: object, status: object):
    answer = ask(house, **labels)
    conforms(answer, "/api/v1/allowance")
    assert (answer.json()["allow"], answer.json()["status"]) == (allow, status)


def test_an_answer_may_be_kept_for_ten_seconds_and_is_asked_again_by_its_tag(view: View):
    first = ask(browser(view), team="research")
    assert first.headers["cache-control"] == "private, max-age=10, stale-if-error=300"
    later = replace(view, clock=StoppedClock(NOW + timedelta(seconds=30)))
    again = ask(browser(later), {"if-none-match": first.headers["etag"]}, team="research")
    assert (again.status_code, again.content) == (304, b"")
    assert ask(browser(later), team="research").json()["age_seconds"] == 30
    assert ask(browser(later), {"if-none-match": first.headers["etag"]}, team="chat").status_code == 200


def test_a_new_evaluation_and_a_reload_answer_anew_at_once(view: View):
    statuses = [view.standings()]
    listed = [view.budgets()]
    house = browser(replace(view, standings=lambda: statuses[0], budgets=lambda: listed[0]))
    assert ask(house, team="research").json()["allow"] is False
    listed[0] = tuple(replace(one, allowance=AllowancePolicy("never")) for one in listed[0])
    assert ask(house, team="research").json()["budget"] is None
    listed[0] = view.budgets()
    statuses[0] = seen(*view.budgets(), research=99).standings()
    assert ask(house, team="research").json()["left"] == "1"


@pytest.mark.parametrize(
    "query",
    ["team=a&team=b", "team=%ff", "&".join(f"l{n}=x" for n in range(30)), "team=" + "x" * 300, "estimate=much",
     "estimate=-4+USD", "=x"],
)  # fmt: skip
def test_a_question_that_cannot_be_read_is_400_with_what_to_write(house: Browser, query: str):
    answer = house.get(f"/api/v1/allowance?{query}")
    conforms(answer, "/api/v1/allowance")
    assert answer.status_code == 400
    assert "much" not in answer.text


def test_a_proxy_gets_a_status_and_the_labels_may_come_as_headers(house: Browser):
    path = "/api/v1/allowance/check"
    yes = house.get(path, headers={"X-Alertd-Team": "chat"})
    assert (yes.status_code, yes.content) == (200, b"")
    no = house.get(path, headers={"X-Alertd-Team": "research"})
    conforms(no, path)
    assert (no.status_code, no.headers["x-should-retry"]) == (429, "false")
    assert int(no.headers["retry-after"]) > 0
    assert house.get(path, params={"team": "research", "refuse_status": "403"}).status_code == 403
    assert house.get(path, params={"refuse_status": "500"}).status_code == 400
    assert house.get(path, params={"team": "chat"}, headers={"X-Alertd-Team": "research"}).status_code == 400


def test_a_token_of_the_role_allowance_asks_and_does_nothing_else(view: View):
    people = [Person(name, name, hashlib.sha256(token.encode()).hexdigest()) for name, token in TOKENS.items()]
    house = Browser(build(view, token=None, open_metrics=False, loopback=False, people=people))
    asked = {
        (path, name): house.get(path, headers={"authorization": f"Bearer {TOKENS[name]}"}).status_code
        for path in ("/api/v1/allowance", "/api/v1/allowance/check", "/api/v1/allowance/denials", "/api/v1/budgets")
        for name in TOKENS
    }
    assert [asked[path, "allowance"] for path, name in asked if name == "allowance"] == [200, 200, 403, 403]
    assert [asked[path, "viewer"] for path, name in asked if name == "viewer"] == [200, 200, 200, 200]
    assert house.get("/api/v1/allowance").status_code == 401


def test_every_no_is_counted_with_its_reason_and_shown_as_a_metric(view: View):
    house = browser(replace(view, allowance=AllowanceCounts()))
    for team in ("research", "research", "chat", SHOUT):
        ask(house, team=team)
    ask(house, key="unknown")
    answer = house.get("/api/v1/allowance/denials")
    conforms(answer, "/api/v1/allowance/denials")
    shout, research = answer.json()["denials"]
    assert (shout["scope"], shout["count"]) == ({"team": SHOUT}, 1)
    assert (research["budget"], research["count"], research["warning"]) == ("teams", 2, False)
    assert "120.00 of 100.00 USD" in research["reason"]
    metrics = house.get("/metrics").text
    assert 'alertd_allowance_answers_total{answer="denied",budget="teams"} 3.0' in metrics
    assert 'alertd_allowance_answers_total{answer="allowed",budget="teams"} 1.0' in metrics
    assert 'alertd_allowance_answers_total{answer="allowed",budget=""} 1.0' in metrics


def test_a_warning_is_a_yes_that_says_so_and_is_counted_apart():
    policy = AllowancePolicy(warns=True)
    house = browser(seen(budget("teams", "100 USD", per=("team",), allowance=policy), research=120))
    said = ask(house, team="research").json()
    assert (said["allow"], said["warning"], said["retry_after"]) == (True, True, None)
    assert [one["warning"] for one in house.get("/api/v1/allowance/denials").json()["denials"]] == [True]
