"""People ask in Slack, by /budget, a mention or the app's Home: who may is answered, with the figures of now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from alertd.core.evaluation.state import ACKNOWLEDGED
from tests.scenario import Scenario, budget
from tests.servers.slack import SlackServer
from tests.servers.socketmode import APP_ID, SocketServer
from tests.slack_scenario import ANA, BEN, HEARING, SlackScenario, button, replies, roots, until, words

CID = "U0000CID"


@pytest.fixture
def server():
    with SlackServer() as found:
        yield found


@pytest.fixture
def socket():
    with SocketServer() as found:
        yield found


@asynccontextmanager
async def asked(
    server: SlackServer, socket: SocketServer, *, begun: bool = True, **options: Any
) -> AsyncIterator[SlackScenario]:
    """A workspace with three budgets: research is used up, those of the teams are not."""
    server.socket_url = socket.url
    world = Scenario(
        budget(thresholds=["actual 100%"], owner="@ana", where={"team": "research"}),
        budget("teams", "900 USD", thresholds=["actual 100%"], per=("team",), owner=f"slack:{CID}"),
    )
    chat = SlackScenario(server, world, **{**HEARING, "viewers": [CID], **options})
    try:
        if begun:
            world.spend(1, team="research")
            world.spend(30, team="search<!channel>")
            await chat.look()
            world.spend(600, team="research")
            await chat.look(minutes=5)
        async with chat.listening():
            await until("a connection", lambda: socket.alive)
            yield chat
    finally:
        await chat.close()


def command(server: SlackServer, text: str, user: str = ANA, **changes: Any) -> dict[str, Any]:
    return {
        "command": "/budget", "text": text, "user_id": user, "user_name": user[5:].lower(), "channel_id": "D0000HIS",
        "api_app_id": APP_ID, "response_url": server.response_url, **changes,
    }  # fmt: skip


def event(number: str, kind: str, user: str, **more: Any) -> dict[str, Any]:
    return {"event_id": number, "api_app_id": APP_ID, "event": {"type": kind, "user": user, **more}}


def mention(root: dict[str, Any], text: str, user: str = ANA, number: str = "Ev1", **more: Any) -> dict[str, Any]:
    return event(
        number, "app_mention", user, text=f"<@U0ALERTD> {text}", channel=root["channel"], ts=root["ts"], **more
    )


async def answered(server: SlackServer, number: int = 1) -> dict[str, Any]:
    await until(f"answer {number}", lambda: len(server.responses) >= number)
    return server.responses[number - 1]


async def test_a_command_with_a_name_answers_the_person_alone_with_the_figures_and_the_buttons(server, socket):
    async with asked(server, socket) as chat:
        number = socket.press(command(server, "research"), type="slash_commands")
        found = await answered(server)
        assert found["response_type"] == "ephemeral"
        assert found["text"].startswith("🔴 research is over November's budget: $601 of $500 (120%)")
        assert button(found, "ack")["text"]["text"] == "Acknowledge"
        assert f"updated {chat.clock.at:%a %-d %b %H:%M}" in words(found)
        assert socket.acknowledged[number] < 3
    assert server.mentions == []


async def test_a_command_without_a_name_sums_up_all_budgets_the_worst_first(server, socket):
    async with asked(server, socket):
        socket.press(command(server, ""), type="slash_commands")
        text = words(await answered(server))
        assert "1 budget over, 2 without a forecast yet" in text
        assert text.index("research") < text.index("search&lt;!channel&gt;")
    assert server.mentions == []


@pytest.mark.parametrize("text", ["teams research", "team=research teams", "TEAMS RESEARCH"])
async def test_words_name_one_scope_of_a_budget(server, socket, text):
    async with asked(server, socket):
        socket.press(command(server, text), type="slash_commands")
        found = await answered(server)
        assert "team research (teams) is within November's budget: $601 of $900 (67%)" in found["text"]


async def test_a_name_that_nothing_has_is_said_and_is_not_read_as_mark_up(server, socket):
    async with asked(server, socket):
        socket.press(command(server, "<!channel> nothing&such"), type="slash_commands")
        assert (await answered(server))["text"] == (
            "No budget is called 'nothing&amp;such'; ask without a name to see all of them."
        )
    assert server.mentions == []


async def test_nothing_is_said_of_budgets_before_the_first_evaluation(server, socket):
    async with asked(server, socket, begun=False) as chat:
        chat.world.budgets = ()
        socket.press(command(server, "research"), type="slash_commands")
        assert "has not evaluated the budgets yet" in (await answered(server))["text"]


async def test_who_is_not_named_is_refused_and_told_whom_to_ask(server, socket):
    async with asked(server, socket) as chat:
        socket.press(command(server, "research", BEN), type="slash_commands")
        said = (await answered(server))["text"]
        assert said == "You are not allowed to see the budgets here: the notifier's USERS and VIEWERS name who may."
        root = roots(server)[0]
        before = len(server.messages)
        socket.press(mention(root, "research", BEN), type="events_api")
        await until("a private answer", lambda: server.whispers)
        assert server.whispers[0]["user"] == BEN
        assert "not allowed" in server.whispers[0]["text"]
        socket.press(event("Ev2", "app_home_opened", BEN, tab="home"), type="events_api")
        await until("a Home", lambda: BEN in server.homes)
        assert "not allowed" in words(server.homes[BEN])
        assert len(server.messages) == before
        socket.press(command(server, "research", CID), type="slash_commands")
        assert "is over" in words(await answered(server, 2))
        assert (await chat.life()).state == "firing"


async def test_everybody_may_ask_where_it_is_written_but_not_in_a_channel_shared_with_another_company(server, socket):
    async with asked(server, socket, viewers=["*"]):
        root = roots(server)[0]
        socket.press(command(server, "research", BEN), type="slash_commands")
        assert "is over" in words(await answered(server))
        outside = {**mention(root, "research", BEN), "is_ext_shared_channel": True}
        socket.press(outside, type="events_api")
        await until("a private answer", lambda: server.whispers)
        assert "not allowed" in server.whispers[0]["text"]


async def test_a_mention_is_answered_in_its_thread_once_however_often_it_comes(server, socket):
    async with asked(server, socket):
        root = roots(server)[0]
        before = len(replies(server))
        asking = mention(root, "research")
        socket.press(asking, type="events_api", times=3)
        await until("an answer", lambda: len(replies(server)) > before)
        socket.press(mention(root, "teams", number="Ev2"), type="events_api")
        await until("the next answer", lambda: len(replies(server)) > before + 1)
        first, second = replies(server)[before:]
        assert first["thread_ts"] == second["thread_ts"] == root["ts"]
        assert "is over" in words(first)
        assert "is over" not in words(second)
    assert server.mentions == []


async def test_what_a_bot_writes_is_not_answered(server, socket):
    async with asked(server, socket):
        before = len(server.messages)
        socket.press(mention(roots(server)[0], "research", bot_id="B0000BOT"), type="events_api")
        socket.press(command(server, "research"), type="slash_commands")
        await answered(server)
        assert len(server.messages) == before


async def test_one_budget_comes_with_its_chart_and_a_chart_that_is_not_ready_holds_nothing_up(server, socket):
    pytest.importorskip("resvg_py", reason="the extra charts is not installed")
    server.scopes |= {"files:write"}
    async with asked(server, socket):
        socket.press(command(server, "research"), type="slash_commands")
        assert not [block for block in (await answered(server))["blocks"] if block["type"] == "image"]
        server.looks_at_once = True
        socket.press(command(server, "teams research"), type="slash_commands")
        (image,) = [block for block in (await answered(server, 2))["blocks"] if block["type"] == "image"]
        assert image["slack_file"]["id"] in server.files
        socket.press(command(server, "teams research"), type="slash_commands")
        again = await answered(server, 3)
        assert image in again["blocks"]


async def test_the_home_shows_a_persons_own_budgets_with_buttons_that_work_there(server, socket):
    server.scopes |= {"users:read"}
    server.people = {ANA: {"name": "ana", "profile": {"display_name": "Ana", "email": "ana@example.com"}}}
    async with asked(server, socket) as chat:
        socket.press(event("Ev1", "app_home_opened", ANA, tab="home"), type="events_api")
        await until("a Home", lambda: ANA in server.homes)
        home = server.homes[ANA]
        text = words(home)
        assert text.index("Your budgets") < text.index("research") < text.index("All budgets")
        found = button(home, "ack")
        action = {"action_id": found["action_id"], "value": found["value"], "type": "button"}
        socket.press(
            {
                "type": "block_actions", "api_app_id": APP_ID, "user": {"id": ANA, "username": "ana"},
                "container": {"type": "view", "view_id": "V0000HOME"}, "view": {"type": "home"},
                "actions": [{**action, "action_ts": f"{chat.clock.at.timestamp():.6f}"}],
            }
        )  # fmt: skip
        await until("the Home says so", lambda: "You acknowledged it." in words(server.homes[ANA]))
        assert (await chat.life()).state == ACKNOWLEDGED
        assert f"acknowledged by ana (slack:{ANA})" in words(server.homes[ANA])
        assert server.whispers == []
    assert server.mentions == []


async def test_an_owner_is_also_named_by_id_and_without_the_scope_to_read_names(server, socket):
    async with asked(server, socket):
        socket.press(event("Ev1", "app_home_opened", CID, tab="home"), type="events_api")
        await until("a Home", lambda: CID in server.homes)
        text = words(server.homes[CID])
        own, _, rest = text.partition("All budgets")
        assert "Your budgets" in own
        assert "teams" in own
        assert "is over" not in own
        assert "research" in rest


async def test_a_press_below_a_private_answer_is_answered_where_the_app_is_no_member(server, socket):
    async with asked(server, socket) as chat:
        socket.press(command(server, "research"), type="slash_commands")
        found = button(await answered(server), "ack")
        action = {"action_id": found["action_id"], "value": found["value"], "type": "button"}
        socket.press(
            {
                "type": "block_actions", "api_app_id": APP_ID, "user": {"id": ANA, "username": "ana"},
                "container": {"type": "message", "message_ts": "1763719.1", "is_ephemeral": True},
                "channel": {"id": "D0000HIS"}, "response_url": server.response_url,
                "actions": [{**action, "action_ts": f"{chat.clock.at.timestamp():.6f}"}],
            }
        )  # fmt: skip
        assert (await answered(server, 2))["text"] == "You acknowledged it."
        assert (await chat.life()).state == ACKNOWLEDGED


async def test_an_answers_address_that_is_not_slacks_gets_nothing(server, socket):
    async with asked(server, socket):
        with SlackServer() as elsewhere:
            socket.press(command(server, "research", response_url=elsewhere.response_url), type="slash_commands")
            socket.press(command(server, "research", BEN, response_url=elsewhere.response_url), type="slash_commands")
            socket.press(command(server, "research"), type="slash_commands")
            await answered(server)
            assert elsewhere.responses == []


GARBAGE: tuple[tuple[str, Any], ...] = (
    ("slash_commands", {}),
    ("slash_commands", {"user_id": ANA, "text": ["research"], "response_url": 7}),
    ("events_api", {}),
    ("events_api", {"event": "app_mention"}),
    ("events_api", {"event_id": "Ev7", "event": {"type": "app_mention", "user": ANA}}),
    ("events_api", {"event_id": "Ev8", "event": {"type": "app_home_opened", "user": ANA, "tab": "messages"}}),
)


async def test_whatever_is_no_question_is_dropped_and_the_next_one_is_answered(server, socket):
    async with asked(server, socket):
        sent = [socket.press(payload, type=kind) for kind, payload in GARBAGE]
        await until("acknowledgements", lambda: set(sent) <= socket.acknowledged.keys())
        socket.press(command(server, "research"), type="slash_commands")
        assert "is over" in words(await answered(server))
        await asyncio.sleep(0)
        assert server.homes == {}
