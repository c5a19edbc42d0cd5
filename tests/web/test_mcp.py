"""The MCP server with the official client: ten questions over /mcp and over stdio; nothing changes without a person."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx
import pytest

pytest.importorskip("mcp", reason="no MCP SDK: pip install 'alertd[mcp]'")

from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from alertd.core.evaluation.state import PROPOSALS, RAISED, SILENCES, State
from alertd.core.evaluation.values import Decisions, Facts
from alertd.web.mcp_server import McpEndpoint
from alertd.web.server import WebServer, build
from tests.web.dashboard_client import SECRET, SHOUT, Browser, StoredRows, november, view_of, with_acts
from tests.web.test_api import conforms
from tests.web.test_writes import LENA, PEOPLE, TOKENS, WAITING

Ask = tuple[str, dict[str, Any]]
#: What somebody would ask, in order: the tool, and its arguments.
QUESTIONS: list[tuple[str, Ask]] = [
    ("How do we stand this month?", ("list_budgets", {"limit": 3})),
    ("What exactly is in research?", ("get_budget", {"budget": "research", "limit": 1})),
    ("Who spends it?", ("who_spends", {"budget": "research"})),
    ("May marketing spend half a dollar more?", ("check_allowance", {"labels": {"team": "a"}, "estimate": "0.50 USD"})),
    ("Why did research alert?", ("explain_budget", {"budget": "research"})),
    ("What if it had 900 dollars?", ("what_if", {"budget": "research", "amount": "900 USD"})),
    ("What would p80 have said?", ("replay", {"budget": "research", "threshold": "forecast 100% p80", "days": 20})),
    ("What was announced?", ("list_alerts", {"budget": "research", "limit": 2})),
    ("Was a key stopped?", ("list_actions", {"limit": 2})),
    ("Can I trust the data?", ("list_sources", {})),
]


@cache
def half_a_month() -> tuple[Any, StoredRows, Facts, Decisions]:
    """Worked out once, changed by none."""
    world, kept = november(scopes=2)
    with_acts(world, kept)
    return world, kept, world.facts(), world.evaluate()


class Served:
    """alertd on a real port with /mcp, over rows of its own."""

    def __init__(self, mode: str) -> None:
        world, kept, facts, decisions = half_a_month()
        self.kept = StoredRows(list(kept.rows), dict(kept.notes), steps=list(kept.steps))
        budgets = world.budgets
        view = view_of(world, self.kept, budgets=lambda: budgets, evaluation=lambda: (facts, decisions))
        self.endpoint = McpEndpoint(lambda: self.app, proposes=mode == "propose")
        self.app = build(view, token=None, open_metrics=False, loopback=False, people=PEOPLE, mcp=self.endpoint.routes)
        self.before = dict(self.kept.notes)

    @property
    def state(self) -> State:
        return State(self.kept.notes, {})


@asynccontextmanager
async def serving(mode: str = "propose") -> AsyncIterator[tuple[Served, str]]:
    served = Served(mode)
    server = WebServer(served.app, "127.0.0.1", 0)
    async with served.endpoint.running():
        url = await server.start()
        try:
            yield served, url
        finally:
            await server.stop(1)


@asynccontextmanager
async def client_of(url: str, token: str) -> AsyncIterator[Client]:
    """The official client over Streamable HTTP, with a bearer token."""
    import httpx2  # noqa: PLC0415 - the SDK's own client library

    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, trust_env=False) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client,
    ):
        yield client


async def ask(client: Client, question: Ask) -> Any:
    """What a tool answers; its refusal as text."""
    result = await client.call_tool(*question)
    if result.is_error:
        return result.content[0].text
    return result.structured_content


def test_ten_questions_over_http_have_answers_and_change_nothing(capsys: pytest.CaptureFixture[str]):
    async def asked() -> tuple[dict[str, Any], Served]:
        async with serving("read") as (served, url), client_of(url, TOKENS["viewer"]) as client:
            tools = (await client.list_tools()).tools
            assert [one.name for one in tools if one.name.startswith("propose")] == []
            assert all(one.annotations.read_only_hint and not one.annotations.open_world_hint for one in tools)
            return {words: await ask(client, question) for words, question in QUESTIONS}, served

    answers, served = asyncio.run(asked())
    with capsys.disabled():
        for words, (tool, arguments) in QUESTIONS:
            print(f"\n> {words}\n  {tool} {json.dumps(arguments)}\n  {json.dumps(answers[words])[:300]}")
    texts = [answers[words] for words, _ in QUESTIONS]
    left, full, who, allowed, why, other, past, announced, acted, sources = texts
    assert left["budgets"][0]["status"] == "over"
    assert full["budgets"][0]["owner"] == "@ana"
    assert who["scopes"][0]["contributors"][0]["value"] in {"rag-indexer", "chat"}
    assert (allowed["allow"], allowed["budget"]) == (True, "teams")
    assert any("spent" in one["because"] for one in why["explanations"][0]["thresholds"])
    assert other["scopes"][0]["probability_over"] < full["budgets"][0]["probability_over"]
    assert past["summary"]["periods"] == 1
    assert announced["alerts"][0]["budget"] == "research"
    assert {one["state"] for one in acted["actions"]} == {"awaiting", "verified"}
    assert sources["sources"][0]["name"] == "gateway"
    assert SECRET not in json.dumps(answers)
    assert served.kept.notes == served.before


def test_a_proposal_waits_for_a_person_and_the_agents_own_token_cannot_accept_it():
    async def told() -> None:
        async with serving() as (served, url), client_of(url, TOKENS["editor"]) as agent:
            names = {one.name for one in (await agent.list_tools()).tools}
            assert not [name for name in names if any(word in name for word in ("accept", "approve", "raise_"))]
            raised = await ask(
                agent, ("propose_raise", {"budget": "research", "amount": "900 USD", "reason": "a big evaluation"})
            )
            quiet = await ask(agent, ("propose_silence", {"where": {"budget": "research"}, "reason": "known"}))
            stop = await ask(agent, ("propose_stop", {"action": WAITING, "reason": "it runs away"}))
            assert [one["state"] for one in (raised, quiet, stop)] == ["waiting"] * 3
            assert not dict(RAISED.items(served.state))
            assert not dict(SILENCES.items(served.state))
            async with httpx.AsyncClient(base_url=url, trust_env=False) as person:

                async def answer(what: str, role: str) -> httpx.Response:
                    headers = {"authorization": f"Bearer {TOKENS[role]}"}
                    path = f"/api/v1/proposals/{raised['proposal']}/{what}"
                    return await person.post(path, json={"reason": "agreed"}, headers=headers)

                assert (await answer("accept", "editor")).status_code == 403, "its own token"
                assert (await answer("accept", "responder")).status_code == 403, "a raise takes an editor"
                path, agreed = f"/proposals/{raised['proposal']}/accept", {"reason": "agreed"}
                pages = [
                    await person.post(path, data=agreed, headers={"authorization": f"Bearer {token}"})
                    for token in (TOKENS["editor"], LENA)
                ]
                assert [page.status_code for page in pages] == [403, 303], "not its own token, at the page neither"
            (record,) = dict(RAISED.items(served.state)).values()
            assert (str(record.amount), record.by) == ("900", "lena")
            assert record.reason == "agreed (proposed by editor: a big evaluation)"
            listed = (await ask(agent, ("list_proposals", {})))["proposals"]
            assert {one["id"]: one["state"] for one in listed} == {
                raised["proposal"]: "accepted", quiet["proposal"]: "waiting", stop["proposal"]: "waiting",
            }  # fmt: skip
            assert len(dict(PROPOSALS.items(served.state))) == 3

    asyncio.run(told())


def test_roles_hold_over_mcp_as_everywhere():
    async def told() -> None:
        async with serving() as (served, url):
            async with client_of(url, TOKENS["viewer"]) as client:
                wanted = ("propose_raise", {"budget": "research", "amount": "900 USD", "reason": "please"})
                assert "takes the role responder" in await ask(client, wanted)
                assert "no such budget" in await ask(client, ("explain_budget", {"budget": "nobody"}))
                assert "letters, digits" in await ask(client, ("explain_budget", {"budget": "../alerts"}))
            for token, status in ((TOKENS["allowance"], 403), ("wrong", 401), ("", 401)):
                headers = {"authorization": f"Bearer {token}"} if token else {}
                answer = await asyncio.to_thread(httpx.post, f"{url}/mcp", json={}, headers=headers, trust_env=False)
                assert answer.status_code == status
            assert served.kept.notes == served.before

    asyncio.run(told())


def test_hostile_labels_stay_data_on_one_line():
    async def told() -> Any:
        async with serving("read") as (_, url), client_of(url, TOKENS["viewer"]) as client:
            return await ask(client, ("list_budgets", {"budget": "teams"}))

    found = asyncio.run(told())
    teams = [one["scope"]["team"] for one in found["budgets"]]
    assert SHOUT in teams
    assert all(text.isprintable() for team in teams if (text := team))


def test_over_stdio_the_same_tools_ask_a_running_daemon():
    async def told() -> tuple[list[str], Any]:
        async with serving("off") as (_, url):
            environment: Mapping[str, str] = {
                "PATH": os.environ["PATH"], "ALERTD_URL": url, "ALERTD_TOKEN": TOKENS["viewer"],
            }  # fmt: skip
            parameters = StdioServerParameters(
                command=sys.executable, args=["-m", "alertd", "mcp"], env=dict(environment)
            )
            async with Client(parameters) as client:
                names = [one.name for one in (await client.list_tools()).tools]
                return names, await ask(client, ("who_spends", {"budget": "research"}))

    names, answer = asyncio.run(told())
    assert len(names) == 11
    assert answer["scopes"][0]["currency"] == "USD"


def test_a_proposal_that_cannot_be_is_refused_and_an_answered_one_is_over():
    async def told() -> None:
        async with serving() as (served, url), httpx.AsyncClient(base_url=url, trust_env=False) as person:

            async def post(path: str, body: dict[str, Any], role: str = "responder") -> httpx.Response:
                headers = {"authorization": f"Bearer {TOKENS[role]}"}
                return await person.post(f"/api/v1{path}", json=body, headers=headers)

            bad = [
                {"what": "delete", "fields": {}, "reason": "x"},
                {"what": "raise", "fields": {"budget": "research"}, "reason": "x"},
                {"what": "raise", "fields": {"budget": "research", "amount": "1 USD", "more": 1}, "reason": "x"},
                {"what": "silence", "fields": {"where": {"team": "a"}, "for": "30d"}, "reason": "x"},
                {"what": "silence", "fields": {"where": {"team": "a"}, "for": "1h"}, "reason": ""},
            ]
            assert [(await post("/proposals", one)).status_code for one in bad] == [422] * 5
            silence = {"what": "silence", "fields": {"where": {"team": "a"}, "for": "1h"}, "reason": "known"}
            made = (await post("/proposals", silence)).json()["on"]
            assert (await post(f"/proposals/{made}/refuse", {}, "editor")).json()["state"] == "refused"
            again = await post(f"/proposals/{made}/accept", {}, "editor")
            assert (again.status_code, "refused already" in again.json()["detail"]) == (409, True)
            assert (await post("/proposals/nothing/accept", {}, "editor")).status_code == 404
            assert not dict(SILENCES.items(served.state))

    asyncio.run(told())


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("research/explain", 200), ("nobody/explain", 404), ("research/what-if?amount=900", 200),
        ("research/what-if?amount=much", 400), ("nobody/what-if?amount=1", 404), ("research/replay?days=20", 200),
        ("research/replay?days=1", 400), ("research/replay?days=0120999999999", 400),
        ("research/replay?threshold=often", 400), ("nobody/replay", 404),
    ],
)  # fmt: skip
def test_questions_about_one_budget_are_as_the_document_has_them(path: str, status: int):
    house = Browser(Served("read").app)
    answer = house.get(f"/api/v1/budgets/{path}", headers={"authorization": f"Bearer {TOKENS['viewer']}"})
    assert answer.status_code == status
    conforms(answer, f"/api/v1/budgets/{{name}}/{path.partition('/')[2].partition('?')[0]}")


def test_proposals_are_as_the_document_has_them():
    house = Browser(Served("off").app)
    headers = {"authorization": f"Bearer {TOKENS['responder']}"}
    wanted = {"what": "raise", "fields": {"budget": "research", "amount": "900 USD"}, "reason": "more"}
    assert house.ask("POST", "/api/v1/proposals", json=wanted, headers=headers).status_code == 200
    answer = house.get("/api/v1/proposals", headers=headers)
    conforms(answer, "/api/v1/proposals")
    (one,) = answer.json()["proposals"]
    assert (one["said"], one["state"], one["by"]) == ("raise research to 900 USD", "waiting", "responder")
