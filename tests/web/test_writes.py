"""Changes over HTTP: by role, from this server's own pages only, once for each key, each in the audit."""

from __future__ import annotations

import json
import re
from copy import copy
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from hashlib import sha256
from typing import Any

import httpx
import pytest

from alertd.core.actions.state_machine import acts
from alertd.core.budgets import CreditEntry
from alertd.core.evaluation.state import (
    LIFECYCLES,
    RAISED,
    SILENCES,
    STORED_BUDGETS,
    TOP_UPS,
    State,
    StoredBudget,
    silences_of,
)
from alertd.operations.stored_budgets import tag_of
from alertd.ports import DeliveryError, Receipt
from alertd.web.server import Person, View, build
from alertd.web.writes import WRITES, settings_of_form
from tests.web.dashboard_client import NOW, Browser, StoredRows, november, view_of, with_acts

TOKENS = {role: f"a token of the role {role}, long" for role in ("allowance", "viewer", "responder", "editor")}
PEOPLE = (
    *(Person(role, role, sha256(token.encode()).hexdigest()) for role, token in TOKENS.items()),
    Person("ana", "responder", sha256(b"the token of ana, the approver").hexdigest()),
    Person("claude", "editor", sha256(b"the token of an agent, an editor").hexdigest(), agent=True),
    Person("lena", "editor", sha256(b"the token of lena, an editor").hexdigest()),
)
LENA = "the token of lena, an editor"
AGENT = "the token of an agent, an editor"
ANA = "the token of ana, the approver"
#: Waits for an approval, and was carried out.
WAITING, DONE = "ffee00aa11", "a1b2c3d4e5"


@dataclass
class House:
    """A console with people of every role, over rows of its own."""

    kept: StoredRows
    view: View
    browser: Browser

    def ask(self, method: str, path: str, role: str = "editor", body: Any = None, **headers: str) -> httpx.Response:
        token = TOKENS.get(role, role)
        given = {"authorization": f"Bearer {token}", **{name.replace("_", "-"): v for name, v in headers.items()}}
        return self.browser.ask(method, f"/api/v1{path}", headers=given, json=body)

    def post(self, path: str, role: str = "editor", body: Any = None, **headers: str) -> httpx.Response:
        return self.ask("POST", path, role, body, **headers)

    @property
    def state(self) -> State:
        return State(self.kept.notes, {})

    def open_alert(self) -> str:
        return next(identity for identity, life in LIFECYCLES.items(self.state) if life.state == "firing")


@pytest.fixture(scope="module")
def told() -> tuple[Any, StoredRows]:
    world, kept = november(scopes=2)
    with_acts(world, kept)
    return world, kept


@pytest.fixture
def house(told: tuple[Any, StoredRows]) -> House:
    world, kept = told
    own = StoredRows(list(kept.rows), dict(kept.notes), steps=list(kept.steps))
    return at_home(world, own)


def at_home(world: Any, own: StoredRows, **more: Any) -> House:
    view = view_of(world, own)
    view = replace(view, operations=replace(view.operations, **more)) if more else view
    return House(own, view, Browser(build(view, token=None, open_metrics=False, loopback=False, people=PEOPLE)))


def test_a_responder_acknowledges_an_alert_and_the_audit_says_who_when_and_from_where(house: House):
    alert = house.open_alert()
    answer = house.post(f"/alerts/{alert[:6]}/acknowledge", "responder", {"reason": "looking"})
    assert (answer.status_code, answer.json()["on"], answer.json()["state"]) == (200, alert, "acknowledged")
    life = dict(LIFECYCLES.items(house.state))[alert]
    assert (life.state, life.history[-1].by, life.history[-1].reason) == ("acknowledged", "responder", "looking")
    step = house.kept.steps[-1]
    assert (step.what, step.by, step.reason, step.at) == ("acknowledge", "responder", "looking", house.view.clock.now())
    assert step.evidence == {"on": alert, "said": "Acknowledged.", "via": "api", "address": "127.0.0.1"}
    again = house.post(f"/alerts/{alert}/acknowledge", "responder")
    assert (again.status_code, again.json()["changed"]) == (200, False)
    assert len([one for one in house.kept.steps if one.what == "acknowledge"]) == 1


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.path)
def test_every_change_takes_its_role(house: House, write: Any):
    path = write.path.replace("{id}", "nobody").replace("{name}", "nothing")
    roles = ("allowance", "viewer", "responder", "editor")
    got = {role: house.ask(write.method, path, role, {}).status_code for role in roles}
    below = roles[: roles.index(write.role)]
    assert {got[role] for role in below} == {403}
    assert all(status != 403 for role, status in got.items() if role not in below)
    assert house.browser.ask(write.method, f"/api/v1{path}").status_code == 401


def test_a_snooze_ends_and_an_alert_that_is_over_cannot_be_snoozed(house: House):
    alert = house.open_alert()
    answer = house.post(f"/alerts/{alert}/snooze", "responder", {"for": "4h"})
    assert answer.json()["until"] == "2026-11-17T13:40:00Z"
    life = LIFECYCLES.get(house.state, alert)
    assert life is not None
    house.kept.notes |= LIFECYCLES.put(life.after("end", life.since, "alertd"), alert)
    assert house.post(f"/alerts/{alert}/snooze", "responder", {"for": "4h"}).status_code == 409


def test_a_silence_is_made_and_ended(house: House):
    body = {"where": {"team": "research"}, "for": "2h", "reason": "load test"}
    made = house.post("/silences", "responder", body)
    (silence,) = silences_of(house.state)
    assert (made.status_code, silence.id, silence.where, silence.by) == (
        200, made.json()["on"], {"team": ("research",)}, "responder",
    )  # fmt: skip
    assert house.ask("DELETE", f"/silences/{silence.id}", "responder").status_code == 200
    assert SILENCES.get(house.state, silence.id) is None
    assert house.ask("DELETE", f"/silences/{silence.id}", "responder").status_code == 404


def test_a_raise_takes_the_amount_that_was_seen_and_nothing_lower(house: House):
    assert house.post("/budgets/research/raise", body={"amount": "400"}).status_code == 409
    seen = house.post("/budgets/research/raise", body={"amount": "600", "reason": "agreed"}, if_match='"450"')
    assert (seen.status_code, "500 USD by now" in seen.json()["detail"]) == (412, True)
    assert house.post("/budgets/research/raise", body={"amount": "600"}, if_match='"500"').status_code == 200
    (raised,) = dict(RAISED.items(house.state)).values()
    assert (f"{raised.amount}", raised.by) == ("600", "editor")
    scoped = house.post("/budgets/teams/raise", body={"amount": "250 USD", "scope": {"team": None}})
    assert scoped.status_code == 200
    assert house.post("/budgets/teams/raise", body={"amount": "250 USD"}).status_code == 422


def test_a_payment_into_a_prepaid_credit_is_entered_once_and_taken_back_by_an_editor(told: tuple[Any, StoredRows]):
    world, _ = told
    budgets = {one.name: replace(one, credit=(CreditEntry(date(2026, 1, 1), Decimal(900)),)) for one in world.budgets}
    house = at_home(world, StoredRows([], {}), budgets=lambda: budgets)
    body = {"amount": "300 USD", "day": "2026-11-02", "id": "inv-7", "reason": "card"}
    assert house.post("/budgets/research/top-ups", "responder", body).status_code == 403
    first, again = (house.post("/budgets/research/top-ups", body=body).json() for _ in range(2))
    assert (first["on"], first["changed"], again["changed"]) == ("research/inv-7", True, False)
    assert house.post("/budgets/research/top-ups", body={**body, "amount": "310 USD"}).status_code == 409
    assert house.post("/budgets/research/top-ups", body={"amount": "1", "left": "yes"}).status_code == 422
    (held,) = dict(TOP_UPS.items(house.state)).values()
    assert (held.amount, held.by, held.reason) == (300, "editor", "card")
    assert house.ask("DELETE", "/budgets/research/top-ups/inv-7").status_code == 200
    assert house.ask("DELETE", "/budgets/research/top-ups/inv-7").status_code == 404
    assert [step.what for step in house.kept.steps] == ["top_up", "remove_top_up"]


def test_one_key_is_one_change_and_another_body_under_it_is_refused(house: House):
    body = {"where": {"team": "a"}, "for": "2h", "reason": "load test"}
    first, again = (house.post("/silences", body=body, idempotency_key="k1") for _ in range(2))
    assert (first.json(), len(silences_of(house.state))) == (again.json(), 1)
    assert house.post("/silences", body={**body, "for": "3h"}, idempotency_key="k1").status_code == 422
    assert house.post("/silences", "responder", body, idempotency_key="k1").json()["on"] != first.json()["on"]


def test_a_responder_approves_only_where_the_approvers_name_them(told: tuple[Any, StoredRows], house: House):
    policy = {"stop-teams": replace(house.view.actions()[0], name="stop-teams", approvers=("@ana",))}
    world, _ = told
    own = at_home(world, house.kept, policies=lambda: policy)
    assert own.post(f"/actions/{WAITING}/approve", "responder").status_code == 403
    assert own.post(f"/actions/{WAITING}/approve", "editor").status_code == 403, "an editor who is no approver"
    assert own.post(f"/actions/{WAITING}/approve", ANA, if_match='"1"').status_code == 412
    done = own.post(f"/actions/{WAITING}/approve", ANA, {"reason": "seen"}, if_match='"2"')
    assert (done.status_code, acts(own.kept.notes)[WAITING].approved_by) == (200, "ana")
    step = own.kept.steps[-1]
    assert (step.what, step.by, step.reason, step.evidence) == (
        "approve", "ana", "seen", {"via": "api", "address": "127.0.0.1"},
    )  # fmt: skip


def test_an_agent_with_an_editors_token_answers_nothing_that_waits_for_a_person(house: House):
    body = {"what": "raise", "fields": {"budget": "research", "amount": "650 USD"}, "reason": "a launch"}
    made = house.post("/proposals", AGENT, body).json()["on"]
    waiting = (
        f"/actions/{WAITING}/approve",
        f"/actions/{DONE}/restore",
        "/actions/resume",
        f"/proposals/{made}/accept",
    )
    for path in waiting:
        answer = house.post(path, AGENT)
        assert (answer.status_code, "a person answers this" in answer.json()["detail"]) == (403, True), path
    signed = house.browser.ask("POST", "/login", data={"token": AGENT}, headers={"accept": "text/html"})
    assert (signed.status_code, "set-cookie" in signed.headers) == (403, False)
    assert "works over the API and MCP" in signed.text
    assert acts(house.kept.notes)[WAITING].state == "awaiting"
    assert house.post(f"/proposals/{made}/accept", LENA).json()["state"] == "accepted", "another editor is a person"


def test_who_proposed_over_the_api_does_not_accept_on_the_page_with_the_same_token(house: House):
    body = {"what": "raise", "fields": {"budget": "research", "amount": "650 USD"}, "reason": "a launch"}
    made = house.post("/proposals", "editor", body).json()["on"]
    signed = house.browser.ask("POST", "/login", data={"token": TOKENS["editor"]})
    page = {"cookie": signed.headers["set-cookie"].partition(";")[0], "sec-fetch-site": "same-origin"}
    answer = house.browser.ask("POST", f"/proposals/{made}/accept", headers=page, data={"back": "/"})
    assert (answer.status_code, "does not accept it" in answer.text) == (403, True)
    assert not dict(RAISED.items(house.state))


def test_what_has_no_reason_any_more_is_not_approved(told: tuple[Any, StoredRows], house: House):
    async def lost(_: object) -> str:
        return "the budget was raised"

    own = at_home(told[0], house.kept, lost=lost)
    answer = own.post(f"/actions/{WAITING}/approve")
    assert (answer.status_code, "the budget was raised" in answer.json()["detail"]) == (409, True)
    assert acts(own.kept.notes)[WAITING].state == "awaiting"


def test_an_action_is_refused_restored_and_all_are_paused(house: House):
    assert house.post(f"/actions/{WAITING}/refuse", "responder").json()["state"] == "refused"
    assert house.post(f"/actions/{WAITING}/refuse", "responder").status_code == 409
    assert house.post(f"/actions/{DONE}/restore", "editor").status_code == 409, "nothing of alertd's to undo"
    house.post("/actions/pause", "responder", {"reason": "a release"})
    assert house.kept.notes["actions/paused"]["by"] == "responder"
    house.post("/actions/resume", "editor")
    assert "actions/paused" not in house.kept.notes


def test_a_notifier_is_tested_and_one_that_fails_says_why(told: tuple[Any, StoredRows], house: House):
    class Chat:
        name, people, failure = "ops", True, ""

        async def send(self, delivery: Any) -> Receipt:
            if self.failure:
                raise DeliveryError(self.failure)
            return Receipt("taken")

    chat = Chat()
    own = at_home(told[0], house.kept, notifiers=lambda: {"ops": chat})
    assert own.post("/notifiers/ops/test", "responder").status_code == 200
    chat.failure = "ops: 404 no such webhook"
    answer = own.post("/notifiers/ops/test", "responder")
    assert (answer.status_code, "no such webhook" in answer.json()["detail"]) == (502, True)
    assert own.post("/notifiers/mail/test", "responder").status_code == 404


@pytest.mark.parametrize("body", [b'{"a":' * 800, b"[" * 4_000, b"{", b"\xff"])
def test_a_body_that_is_no_json_or_nested_without_end_is_refused(house: House, body: bytes):
    headers = {"authorization": f"Bearer {TOKENS['editor']}", "content-type": "application/json"}
    answer = house.browser.ask("POST", "/api/v1/silences", headers=headers, content=body)
    assert (answer.status_code, answer.json()["detail"].startswith("the body is no JSON")) == (422, True)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/silences", {"where": {}, "for": "2h", "reason": "x"}),
        ("/silences", {"where": [], "for": "2h", "reason": "x"}),
        ("/silences", {"where": {"team": "a"}, "for": "2h"}), ("/silences", {"where": {"team": []}, "for": "2h"}),
        ("/silences", {"where": {"team": "a"}, "for": "400d", "reason": "x"}),
        ("/silences", {"where": {"team": "a"}, "for": "8880w", "reason": "x"}), ("/silences", []), ("/silences", 5),
        ("/budgets/research/raise", {"amount": "NaN"}), ("/budgets/research/raise", {"amount": "1E+400"}),
        ("/budgets/research/raise", {"amount": 600}), ("/budgets/research/raise", {}),
        ("/budgets/research/raise", {"amount": "600", "scope": {"team": 5}}),
        ("/budgets/research/raise", {"amount": "600 EUR"}), ("/budgets/research/raise", {"amount": "600", "reason": 7}),
        ("/budgets/research/raise", {"amount": "600", "reason": "x" * 501}),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_its_place(house: House, path: str, body: Any):
    before = dict(house.kept.notes)
    answer = house.post(path, body=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) == {"type", "title", "status", "detail"}
    assert house.kept.notes == before


def test_without_the_database_nothing_is_done_and_that_is_said(house: House):
    house.kept.dead = True
    assert house.post("/actions/pause").status_code == 503


# --- forms, and whoever forges them ---


def session(house: House, role: str = "editor") -> dict[str, str]:
    cookie = house.browser.ask("POST", "/login", data={"token": TOKENS[role]}).headers["set-cookie"]
    return {"cookie": cookie.partition(";")[0]}


OWN = {"origin": "http://localhost:9480"}


@pytest.mark.parametrize("headers", [OWN, {"sec-fetch-site": "same-origin"}])
def test_a_form_of_the_page_acknowledges_and_leads_back(house: House, headers: dict[str, str]):
    alert = house.open_alert()
    form = {"back": "/alerts", "reason": "mine"}
    answer = house.browser.ask("POST", f"/alerts/{alert}/acknowledge", data=form, headers={**session(house), **headers})
    assert (answer.status_code, answer.headers["location"]) == (303, "/alerts?done=acknowledge")
    assert house.kept.steps[-1].evidence["via"] == "page"


def test_a_payment_is_entered_by_the_form_of_a_prepaid_budgets_page_once(told: tuple[Any, StoredRows]):
    world = copy(told[0])
    world.budgets = tuple(replace(one, credit=(CreditEntry(date(2026, 1, 1), Decimal(900)),)) for one in world.budgets)
    budgets = {one.name: one for one in world.budgets}
    house = at_home(world, StoredRows([], {}), budgets=lambda: budgets)
    page = house.browser.get("/budgets/research", headers=session(house)).text
    assert 'action="/budgets/research/top-ups"' in page
    (identity,) = re.findall(r'name="id" value="([^"]+)"', page)
    form = {"back": "/budgets/research", "amount": "300", "left": "", "day": "", "id": identity, "reason": ""}
    for _ in range(2):
        answer = house.browser.ask("POST", "/budgets/research/top-ups", data=form, headers={**session(house), **OWN})
        assert (answer.status_code, answer.headers["location"]) == (303, "/budgets/research?done=top_up")
    (held,) = dict(TOP_UPS.items(house.state)).values()
    assert (held.amount, held.left, held.unit) == (300, False, "USD")
    left = {**form, "id": "left", "amount": "20", "left": "true", "day": "2026-11-16"}
    house.browser.ask("POST", "/budgets/research/top-ups", data=left, headers={**session(house), **OWN})
    assert sorted((one.left, one.day.isoformat()) for _, one in TOP_UPS.items(house.state)) == [
        (False, "2026-11-17"), (True, "2026-11-16")]  # fmt: skip
    assert house.browser.get("/budgets/research?done=top_up", headers=session(house)).text.count(
        "Entered: what is left"
    )


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"},
     {"sec-fetch-site": "same-site", **OWN}, {"content-type": "text/plain"}],
)  # fmt: skip
def test_a_forged_form_changes_nothing(house: House, headers: dict[str, str]):
    before = dict(house.kept.notes)
    for path in (f"/alerts/{house.open_alert()}/acknowledge", f"/api/v1/alerts/{house.open_alert()}/acknowledge"):
        answer = house.browser.ask("POST", path, content=b"reason=x", headers={**session(house), **headers})
        assert answer.status_code == 403
    assert house.kept.notes == before


def test_a_form_leads_back_to_this_server_only(house: House):
    form = {"back": "//evil.example"}
    headers = {**session(house), **OWN}
    answer = house.browser.ask("POST", f"/alerts/{house.open_alert()}/acknowledge", data=form, headers=headers)
    assert answer.headers["location"] == "/?done=acknowledge"


def test_a_refused_form_says_why_and_leads_back(house: House):
    form = {"amount": "1", "seen": "500", "scope": "{}"}
    headers = {**session(house), **OWN, "referer": "http://localhost:9480/budgets/research"}
    answer = house.browser.ask("POST", "/budgets/research/raise", data=form, headers=headers)
    assert answer.status_code == 409
    assert "already has 500 USD" in answer.text
    assert 'href="/budgets/research"' in answer.text


def test_on_loopback_without_a_token_the_machine_may_act_and_a_proxy_in_front_may_not(house: House):
    view = replace(house.view, public_url="https://alertd.example.com")
    open_house = Browser(build(view, token=None, open_metrics=False, loopback=True))
    path = f"/api/v1/alerts/{house.open_alert()}/acknowledge"
    by_proxy = open_house.ask("POST", path, json={}, headers={"host": "alertd.example.com"})
    assert (by_proxy.status_code, "responder" in by_proxy.json()["detail"]) == (403, True)
    assert open_house.ask("POST", path, content=b"", headers={}).status_code == 403, "a form without an origin"
    assert open_house.ask("POST", path, json={}).status_code == 200
    assert house.kept.steps[-1].by == "local"


def test_the_document_names_the_role_of_every_change(house: House):
    document = json.loads(house.browser.ask("GET", "/openapi.json", headers={"authorization": f"Bearer {ANA}"}).text)
    found = {(path, method): one["x-role"] for path, methods in document["paths"].items()
             for method, one in methods.items() if "x-role" in one}  # fmt: skip
    assert found == {(f"/api/v1{write.path}", write.method.lower()): write.role for write in WRITES}


# --- the page's form for a budget ---


def test_a_budget_that_is_refused_stands_in_the_form_again_as_it_was_typed(house: House):
    typed = {
        "name": "mine", "set-amount": "5 USD", "set-where": "team=<b>", "set-period": "week",
        "thresholds": "actual 80%", "other": "start_day=2", "reason": "a trial", "seen": "absent", "back": "/settings",
    }  # fmt: skip
    before = dict(house.kept.notes)
    for more, fault in (
        ({}, "no budgets are stored here"),
        ({"other": "rubbish"}, "has no =: write it as start_day=15"),
    ):
        headers = {"authorization": f"Bearer {TOKENS['editor']}", "origin": house.browser.origin}
        answer = house.browser.ask("POST", "/settings/budget", headers=headers, data={**typed, **more})
        assert answer.status_code in (409, 422)
        assert fault in answer.text
        assert 'value="team=&lt;b&gt;"' in answer.text
        assert '<option value="week" selected>' in answer.text
        assert ">actual 80%</textarea>" in answer.text
        assert 'value="a trial"' in answer.text
    assert house.kept.notes == before


def test_a_forms_lines_are_settings_and_what_is_empty_is_left_out():
    lines = {"set-amount": " 5 USD ", "set-per": "", "thresholds": "actual 80%\n\nforecast 100% p70\n", "name": "x"}
    assert settings_of_form({**lines, "other": "START_DAY = 15\n"}) == {
        "amount": "5 USD", "thresholds": '["actual 80%", "forecast 100% p70"]', "start_day": "15",
    }  # fmt: skip


def test_a_stored_budget_is_shown_to_whoever_may_change_it(house: House):
    stored = StoredBudget(
        "mine", {"amount": "5 USD", "thresholds": '["actual 80%","forecast 100%"]', "remind": "24h"}, "lena", NOW
    )
    house.kept.notes = {**house.kept.notes, **STORED_BUDGETS.put(stored, "mine")}
    editor, viewer = ({"authorization": f"Bearer {TOKENS[role]}"} for role in ("editor", "viewer"))
    listed = house.browser.get("/settings", headers=editor).text
    assert 'href="/settings/budget?name=mine"' in listed
    assert 'href="/settings/budget' not in house.browser.get("/settings", headers=viewer).text
    form = house.browser.get("/settings/budget?name=mine", headers=editor).text
    assert ">actual 80%\nforecast 100%</textarea>" in form
    assert ">remind=24h</textarea>" in form
    assert f'name="seen" value="{tag_of(stored)}"' in form
    assert "Your role may not change budgets." in house.browser.get("/settings/budget", headers=viewer).text
    assert house.browser.get("/settings/budget?name=other", headers=editor).status_code == 404
