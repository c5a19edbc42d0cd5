"""Buttons over a real WebSocket: whoever is named is heard, once, in time, by any replica; a forgery does nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from alertd.core.evaluation.state import ACKNOWLEDGED, FIRING, LIFECYCLES, RESOLVED, SNOOZED, State
from alertd.loops.interactions import InteractionDeps, InteractionLoop
from alertd.notifiers._buttons import ButtonSigner
from alertd.notifiers.slack import Options
from tests.servers.deliveries import delivery
from tests.servers.hanging_server import HangingServer, hang, hang_up
from tests.servers.recording import Reply
from tests.servers.slack import TOKEN, SlackServer
from tests.servers.socketmode import SocketServer
from tests.slack_scenario import ANA, BEN, HEARING, SlackScenario, payload, replies, roots, until, words
from tests.stories.test_actions import runaway

GROUP = "S0000TEAM"


@asynccontextmanager
async def alerted(server: SlackServer, socket: SocketServer, **options: Any) -> AsyncIterator[SlackScenario]:
    """A chat whose budget was used up just now, which hears buttons; its one alert is firing."""
    server.socket_url = socket.url
    chat = SlackScenario(server, **{**HEARING, **options})
    try:
        chat.world.spend(1)
        await chat.look()
        chat.world.spend(600)
        await chat.look(minutes=5)
        async with chat.listening():
            await until("a connection", lambda: socket.alive)
            yield chat
    finally:
        await chat.close()


@pytest.fixture
def server():
    with SlackServer() as found:
        yield found


@pytest.fixture
def socket():
    with SocketServer() as found:
        yield found


async def whispered(server: SlackServer, number: int = 1) -> str:
    """What the person who pressed was told, the so-manieth time."""
    await until(f"whisper {number}", lambda: len(server.whispers) >= number)
    return str(server.whispers[number - 1]["text"])


async def settled(socket: SocketServer, *envelopes: str) -> None:
    """All these envelopes came back, and what they led to has had its time."""
    await until("acknowledgements", lambda: set(envelopes) <= socket.acknowledged.keys())
    await asyncio.sleep(0.3)  # nothing is to come: that cannot be waited for


async def test_a_press_acknowledges_in_time_and_the_history_names_the_person(server, socket):
    async with alerted(server, socket) as chat:
        number = socket.press(payload(chat, roots(server)[0], "ack"))
        assert await whispered(server) == "You acknowledged it."
        life = await chat.life()
        assert (life.state, life.history[-1].what) == (ACKNOWLEDGED, "acknowledge")
        assert life.history[-1].by == f"ana (slack:{ANA})"
        (row,) = await chat.store.audit()
        assert (row.what, row.by, row.reason) == ("acknowledge", f"ana (slack:{ANA})", "a button in chat")
        assert row.evidence == {
            "on": next(iter(dict(LIFECYCLES.items(State.of(await chat.store.memory()))))),
            "said": "You acknowledged it.",
            "via": "chat",
        }
        assert socket.acknowledged[number] < 3
        assert server.whispers[0]["user"] == ANA
        await chat.learn()
        await chat.look(minutes=1)
        assert f"acknowledged by ana (slack:{ANA})" in words(roots(server)[0])


@pytest.mark.parametrize(("name", "length"), [("snooze.1h", 3600), ("snooze.1d", 86400), ("snooze.end", None)])
async def test_a_snooze_lasts_as_long_as_its_button_says(server, socket, name, length):
    async with alerted(server, socket) as chat:
        pressed = chat.clock.at
        socket.press(payload(chat, roots(server)[0], name))
        await whispered(server)
        life = await chat.life()
        end = chat.world.budgets[0].period.containing(pressed).end
        wanted = end if length is None else pressed + timedelta(seconds=length)
        assert life.state == SNOOZED
        assert life.until is not None
        assert abs(life.until - wanted) < timedelta(seconds=1)


async def test_a_double_click_is_one_step(server, socket):
    async with alerted(server, socket) as chat:
        root = roots(server)[0]
        first = payload(chat, root, "ack")
        chat.clock.move(seconds=1)
        socket.press(first)
        socket.press(payload(chat, root, "ack"))
        said = {await whispered(server, 1), await whispered(server, 2)}
        assert [step.what for step in (await chat.life()).history] == ["fire", "acknowledge"]
        again = f"It is acknowledged already, by ana (slack:{ANA}); nothing was changed."
        assert said == {"You acknowledged it.", again}


async def test_an_envelope_that_comes_again_is_taken_back_each_time_and_does_nothing_more(server, socket):
    async with alerted(server, socket) as chat:
        number = socket.press(payload(chat, roots(server)[0], "snooze.1h"), times=5)
        await whispered(server)
        await settled(socket, number)
        assert [step.what for step in (await chat.life()).history] == ["fire", "snooze"]
        assert len(server.whispers) == 1


async def test_an_old_press_that_is_played_again_after_the_snooze_does_not_snooze_again(server, socket):
    async with alerted(server, socket) as chat:
        press = payload(chat, roots(server)[0], "snooze.1h")
        socket.press(press)
        await whispered(server)
        await chat.learn()
        await chat.look(minutes=61)
        assert (await chat.life()).state == FIRING
        number = socket.press(press)
        await settled(socket, number)
        assert (await chat.life()).state == FIRING


async def test_somebody_who_is_not_named_changes_nothing_and_is_told_so(server, socket):
    async with alerted(server, socket) as chat:
        socket.press(payload(chat, roots(server)[0], "ack", user=BEN))
        assert "not allowed to press" in await whispered(server)
        assert server.whispers[0]["user"] == BEN
        assert (await chat.life()).state == FIRING


async def test_members_of_a_named_group_may_press_and_nobody_may_while_slack_does_not_tell_who_they_are(server, socket):
    server.groups = {GROUP: [BEN]}
    async with alerted(server, socket, users=[GROUP]) as chat:
        socket.press(payload(chat, roots(server)[0], "ack", user=BEN))
        assert "The members of your groups could not be read" in await whispered(server)
        assert (await chat.life()).state == FIRING
        server.scopes |= {"usergroups:read"}
        chat.clock.move(seconds=1)
        socket.press(payload(chat, roots(server)[0], "ack", user=BEN))
        assert await whispered(server, 2) == "You acknowledged it."
        chat.clock.move(seconds=1)
        socket.press(payload(chat, roots(server)[0], "snooze.1h", user=ANA))
        assert "not allowed to press" in await whispered(server, 3)


async def test_a_click_after_the_alert_is_over_or_the_period_has_ended_does_nothing(server, socket):
    async with alerted(server, socket) as chat:
        root = {**roots(server)[0], "blocks": list(roots(server)[0]["blocks"])}
        chat.world.pass_time(days=31)
        await chat.learn()
        await chat.look(minutes=60 * 24 * 31)
        before = (await chat.life()).history
        assert (await chat.life()).state == RESOLVED
        socket.press(payload(chat, root, "ack"))
        assert "expired" in await whispered(server)
        assert (await chat.life()).history == before


async def test_a_press_that_is_minutes_old_does_nothing(server, socket):
    async with alerted(server, socket) as chat:
        press = payload(chat, roots(server)[0], "ack")
        chat.clock.move(minutes=6)
        socket.press(press)
        assert "came too late" in await whispered(server)
        assert (await chat.life()).state == FIRING


async def test_a_click_is_answered_by_whichever_replica_hears_it_and_once_where_both_do(server, socket):
    async with alerted(server, socket) as chat:
        other = SlackScenario(server, chat.world, chat.store, **HEARING)
        other.clock.at = chat.clock.at
        async with other.listening():
            await until("both connections", lambda: len(socket.alive) == 2)
            press = payload(chat, roots(server)[0], "ack")
            number = socket.press(press, on=1)
            assert await whispered(server) == "You acknowledged it."
            socket.press(press, on=0, envelope_id=number)
            await settled(socket, number)
        assert [step.what for step in (await chat.life()).history] == ["fire", "acknowledge"]
        assert len(server.whispers) == 1
        await other.close()


FORGERIES = {
    "a value of one's own": lambda p: p["actions"][0].update(value="ack..4f20000000.9999999999"),
    "a value with the signature of another token": lambda p: p["actions"][0].update(
        value=ButtonSigner.of("xoxb-other").signed(p["actions"][0]["value"].rpartition(".")[0])
    ),
    "a value whose deed was changed": lambda p: p["actions"][0].update(
        value=p["actions"][0]["value"].replace("ack.", "approve.", 1)
    ),
    "a value for another alert": lambda p: p["actions"][0].update(value="f" + p["actions"][0]["value"][5:]),
    "another app's payload": lambda p: p.update(api_app_id="A9999EVIL"),
    "no user": lambda p: p.pop("user"),
    "a user that is a list": lambda p: p.update(user=[ANA]),
    "another type": lambda p: p.update(type="view_submission"),
    "no actions": lambda p: p.update(actions=[]),
    "an instant that is none": lambda p: p["actions"][0].update(action_ts="soon"),
    "an instant beyond all": lambda p: p["actions"][0].update(action_ts="1e300"),
}


async def test_a_forgery_does_nothing_at_all_and_the_next_press_is_heard(server, socket):
    async with alerted(server, socket) as chat:
        root, before = roots(server)[0], await chat.store.memory()
        sent = []
        for forge in FORGERIES.values():
            forged = payload(chat, root, "ack")
            forge(forged)
            sent.append(socket.press(forged))
        await settled(socket, *sent)
        assert await chat.store.memory() == before
        assert server.whispers == []
        socket.press(payload(chat, root, "ack"))
        assert await whispered(server) == "You acknowledged it."


GARBAGE = (
    *("", "{", "[]", "null", '"hello"', "[" * 5000, b"\xff\xfe", '{"type": 5}', '{"type": "interactive"}'),
    '{"type": "interactive", "envelope_id": 7, "payload": {}}',
    '{"type": "slash_commands", "payload": {}}',
)


async def test_whatever_is_no_envelope_is_dropped(server, socket):
    async with alerted(server, socket) as chat:
        for frame in GARBAGE:
            socket.say(frame)
        socket.press(payload(chat, roots(server)[0], "ack"))
        assert await whispered(server) == "You acknowledged it."
        assert socket.opened == 1


async def test_a_connection_that_is_to_be_refreshed_is_followed_by_another(server, socket):
    async with alerted(server, socket) as chat:
        socket.disconnect("refresh_requested")
        await until("a second connection", lambda: socket.opened == 2 and len(socket.alive) == 1)
        socket.press(payload(chat, roots(server)[0], "ack"))
        assert await whispered(server) == "You acknowledged it."


async def test_a_connection_that_breaks_is_opened_again(server, socket):
    async with alerted(server, socket) as chat:
        for times in (2, 3):
            socket.drop()
            await until("another connection", lambda times=times: socket.opened == times and socket.alive)
        socket.press(payload(chat, roots(server)[0], "ack"))
        assert await whispered(server) == "You acknowledged it."


async def test_a_slack_that_opens_no_connection_is_asked_with_growing_pauses(server, socket):
    server.socket_url = socket.url
    server.faults.extend([Reply(200, json.dumps({"ok": False, "error": "internal_error"}))] * 2)
    chat = SlackScenario(server, **HEARING)
    async with chat.listening():
        await until("a connection after two refusals", lambda: socket.alive)
        assert len([one for one in server.requests if one.path.endswith("connections.open")]) == 3
    await chat.close()


async def test_a_replacement_that_slack_refuses_is_not_asked_for_after_the_end_of_listening(server, socket):
    before = asyncio.all_tasks()
    async with alerted(server, socket):
        server.socket_url = ""
        asked = len(server.requests)
        socket.disconnect("refresh_requested")
        await until("a refused replacement", lambda: len(server.requests) >= asked + 1)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - before == set()


@pytest.mark.parametrize("deed", [hang, hang_up])
async def test_a_connection_that_does_not_begin_is_logged_and_tried_again(server, socket, deed, caplog):
    with HangingServer(deed) as faulty:
        server.socket_url = faulty.url.replace("http:", "ws:") + "/link/?ticket=one-use"
        chat = SlackScenario(server, **HEARING, timeout=timedelta(seconds=1))
        async with chat.listening():
            await until("a first try", lambda: faulty.visits)
            server.socket_url = socket.url
            await until("a connection", lambda: socket.alive)
        await chat.close()
    assert "interactions are not received: no connection (" in caplog.text
    assert "one-use" not in caplog.text


@pytest.mark.parametrize(
    "url", ["ws://elsewhere.example/x", "wss://elsewhere.example/x", "wss://slack.com.evil.example/"]
)
async def test_an_address_that_is_not_slacks_is_not_opened(server, url):
    server.socket_url = url
    chat = SlackScenario(server, **HEARING)
    with pytest.raises(Exception, match="not Slack's"):
        await chat.slack.look()
    await chat.close()


async def test_check_says_who_may_press(server, socket):
    server.socket_url, server.groups = socket.url, {GROUP: [ANA, BEN]}
    server.scopes |= {"usergroups:read"}
    chat = SlackScenario(server, **{**HEARING, "users": [ANA, GROUP]})
    assert f"buttons for {ANA} and 2 members of {GROUP}" in await chat.slack.look()
    await chat.close()


async def proposed(server: SlackServer, **terms: Any) -> tuple[Any, SlackScenario]:
    """An act of the story of a runaway key waits for an answer; Slack shows it."""
    acting = await runaway(**terms)
    chat = SlackScenario(server, acting.world, acting.store, **HEARING)
    chat.clock.at = acting.clock.at
    actor = acting.actors[0]
    board = InteractionDeps(
        lambda: chat.notifiers, lambda: {name: one.terms for name, one in actor.config.actions.items()}, actor.write
    )
    chat.presses = InteractionLoop(acting.store, chat.clock, board)
    event = acting.told[-1]
    await chat.slack.send(delivery(event))
    return acting, chat


async def test_an_act_that_waits_is_approved_by_a_button_and_carried_out_once(server, socket):
    server.socket_url = socket.url
    acting, chat = await proposed(server, approvers=(f"slack:{ANA}",))
    handle = (await acting.only()).handle
    press = payload(chat, server.messages[-1], f"approve.{handle}")
    async with chat.listening():
        await until("a connection", lambda: socket.alive)
        socket.press(press, times=2)
        assert "You approved" in await whispered(server)
    act = await acting.only()
    assert (act.state, act.approved_by) == ("approved", f"slack:{ANA}")
    assert await acting.round() == ["verified"]
    steps = await acting.sound_audit()
    assert [step.by for step in steps if step.what == "approve"] == [f"ana (slack:{ANA})"]
    assert acting.key_provider.written == [("rag-indexer", "inactive")]
    await chat.close()


async def test_an_act_is_refused_by_a_button_and_nothing_is_done(server, socket):
    server.socket_url = socket.url
    acting, chat = await proposed(server)
    handle = (await acting.only()).handle
    async with chat.listening():
        await until("a connection", lambda: socket.alive)
        socket.press(payload(chat, server.messages[-1], f"refuse.{handle}"))
        assert "You refused" in await whispered(server)
    assert (await acting.only()).state == "refused"
    await acting.round()
    assert acting.key_provider.written == []
    await chat.close()


async def test_somebody_who_may_press_but_is_no_approver_approves_nothing(server, socket):
    server.socket_url = socket.url
    acting, chat = await proposed(server, approvers=(f"slack:{BEN}",))
    handle = (await acting.only()).handle
    async with chat.listening():
        await until("a connection", lambda: socket.alive)
        socket.press(payload(chat, server.messages[-1], f"approve.{handle}"))
        assert "not among its approvers" in await whispered(server)
    assert (await acting.only()).state == "awaiting"
    await chat.close()


async def test_an_approval_after_the_proposal_expired_does_nothing(server, socket):
    server.socket_url = socket.url
    acting, chat = await proposed(server)
    handle = (await acting.only()).handle
    chat.clock.move(hours=2)
    async with chat.listening():
        await until("a connection", lambda: socket.alive)
        socket.press(payload(chat, server.messages[-1], f"approve.{handle}"))
        assert "expired" in await whispered(server)
    assert (await acting.only()).state == "awaiting"
    await chat.close()


async def test_the_approval_asks_again_before_it_is_given(server):
    acting, chat = await proposed(server)
    rows = [block["elements"] for block in server.messages[-1]["blocks"] if block["type"] == "actions"]
    elements = [one for row in rows for one in row]
    assert [one["style"] for one in elements if "confirm" in one] == ["danger"]
    assert "rag-indexer" in elements[0]["text"]["text"]
    assert replies(server) == []
    assert acting.key_provider.written == []
    await chat.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [({"bot_token": TOKEN, "channel": "#ops", "app_token": "xapp-1"}, "users"),
     ({"webhook_url": "https://hooks.slack.com/x", "app_token": "xapp-1", "users": [ANA]}, "bot_token"),
     ({"bot_token": TOKEN, "channel": "#ops", "app_token": "xapp-1", "users": ["@ana"]}, "Copy member ID")],
)  # fmt: skip
def test_buttons_that_nobody_or_anybody_could_press_are_refused_with_the_remedy(options, said):
    with pytest.raises(ValidationError, match=said):
        Options(**options)
