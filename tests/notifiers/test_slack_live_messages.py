"""One message follows a budget through its period, its alerts are its thread; nothing is lost, nothing comes twice."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from alertd.core.evaluation.summaries import PLACE, SHOWN, SHOWN_AT, is_due
from tests.scenario import NOVEMBER, Scenario, budget
from tests.servers.recording import Reply
from tests.servers.slack import SlackServer
from tests.slack_scenario import HEARING, SlackScenario, replies, roots, words


@asynccontextmanager
async def told(server: SlackServer, **options: Any) -> AsyncIterator[SlackScenario]:
    """A chat in which half of a budget was just used up: one alert."""
    chat = SlackScenario(server, **options)
    try:
        chat.world.spend(1)
        await chat.look()
        server.messages.clear()
        server.updates.clear()
        server.files.clear()
        # The first look sums up; its message is not what is claimed here.
        for where, memory in (await chat.store.conversations("ops")).items():
            await chat.store.remember("ops", where, memory, {}, chat.clock.at)
        chat.world.spend(300)
        await chat.look(minutes=5)
        yield chat
    finally:
        await chat.close()


async def test_the_first_alert_is_one_message_whose_thread_begins_with_it():
    with SlackServer() as server:
        async with told(server):
            (root,), (reply,) = roots(server), replies(server)
    assert reply["thread_ts"] == root["ts"]
    assert reply["reply_broadcast"] is False
    assert "has spent 60% of November's budget" in words(reply)
    assert " · updated " in words(root)
    assert server.mentions == []


async def test_figures_that_move_change_the_message_at_a_measured_pace_and_post_nothing():
    with SlackServer() as server:
        async with told(server) as chat:
            begun = len(server.updates)
            for _ in range(15):
                chat.world.spend(2)
                await chat.look(minutes=4)
            moved = len(server.updates) - begun
            assert len(server.messages) == 2
            assert 3 <= moved <= 5
            await chat.look(minutes=15)
            assert "*$331* of $500" in words(roots(server)[0])


@pytest.mark.parametrize(
    ("minutes", "showing", "due"),
    [(1, "risk/other", False), (15, "risk/other", True), (15, "risk/words", False), (60, "risk/words", True),
     (0, "over/other", True)],
)  # fmt: skip
def test_a_message_is_due_when_its_figures_moved_for_a_while_its_state_changed_or_an_hour_passed(minutes, showing, due):
    memory = {SHOWN: "risk/words", SHOWN_AT: NOVEMBER.isoformat()}
    assert is_due(memory, showing, NOVEMBER + timedelta(minutes=minutes)) is due


async def test_a_further_alert_is_heard_in_the_thread_and_seen_in_the_message_at_once():
    with SlackServer() as server:
        async with told(server) as chat:
            chat.world.spend(250)
            await chat.look(minutes=5)
            (root,) = roots(server)
            assert [one["reply_broadcast"] for one in replies(server)] == [False, True]
            assert "is over November's budget" in words(root)
            assert "*100% used*: nobody has acknowledged it yet" in words(root)


async def test_without_an_app_token_there_are_no_buttons_and_with_one_there_are():
    for options, count in (({}, 0), (HEARING, 4)):
        with SlackServer() as server:
            async with told(server, **options) as chat:
                chat.world.spend(250)
                await chat.look(minutes=5)
                blocks = [block for block in roots(server)[0]["blocks"] if block["type"] == "actions"]
                pressed = [one for block in blocks for one in block["elements"] if "value" in one]
                assert len(pressed) == count


async def test_the_chart_is_in_the_message_once_slack_has_looked_at_it_and_the_old_one_goes():
    pytest.importorskip("resvg_py", reason="the extra charts is not installed")
    with SlackServer(scopes={"chat:write", "files:write"}) as server:
        async with told(server) as chat:
            chat.world.spend(1)
            await chat.look(minutes=15)
            (first,) = server.files
            assert (server.files[first] or b"").startswith(b"\x89PNG")
            assert "slack_file" not in words(roots(server)[0])
            await chat.look(minutes=61)
            assert list(server.files) != [first], "another status is drawn at once"
            (first,) = server.files
            server.ready = {first}
            await chat.look(minutes=61)
            assert f'"slack_file": {{"id": "{first}"}}' in words(roots(server)[0])
            chat.world.spend(250)
            await chat.look(minutes=60 * 4)
            (second,) = server.files
            assert second != first


async def test_an_app_that_may_not_upload_has_a_whole_message_without_a_chart():
    with SlackServer(scopes={"chat:write"}) as server:
        async with told(server):
            assert " · updated " in words(roots(server)[0])
            assert server.files == {}


async def test_a_picture_is_sent_nowhere_but_to_slack():
    pytest.importorskip("resvg_py", reason="the extra charts is not installed")
    with SlackServer() as elsewhere, SlackServer(scopes={"chat:write", "files:write"}) as server:
        server._files_getUploadURLExternal = lambda _: {  # a lying Slack
            "ok": True, "upload_url": f"{elsewhere.url}/upload/F1", "file_id": "F1"
        }  # fmt: skip
        async with told(server):
            assert " · updated " in words(roots(server)[0])
        assert elsewhere.requests == []


async def test_a_message_that_somebody_deleted_is_not_made_again_and_alerts_still_come():
    with SlackServer() as server:
        async with told(server) as chat:
            server.messages.clear()
            chat.world.spend(10)
            await chat.look(minutes=15)
            assert server.messages == []
            chat.world.spend(250)
            await chat.look(minutes=5)
            await chat.look(minutes=60)
            (alert,) = server.messages
            assert "is over November's budget" in words(alert)
            assert " · updated " not in words(alert)
            assert [memory[PLACE] for memory in (await chat.store.conversations("ops")).values()] == [""]


@pytest.mark.parametrize(
    "broken",
    [{"archived": {"C024BE91L"}}, {"not_member": {"C024BE91L"}}, {"token": "xoxb-another"}, {"channels": {}}],
    ids=["archived", "thrown out", "token revoked", "channel gone"],
)
async def test_what_slack_refuses_for_good_is_said_elsewhere_and_nothing_is_posted_twice(broken):
    with SlackServer() as server:
        async with told(server) as chat:
            before = len(server.messages)
            healthy = {name: getattr(server, name) for name in broken}
            for name, value in broken.items():
                setattr(server, name, value)
            chat.world.spend(250)
            await chat.look(minutes=5)
            await chat.look(minutes=15)
            assert [event.threshold for one in chat.mail.taken for event in one.events] == ["actual 100%"]
            for name, value in healthy.items():
                setattr(server, name, value)
            await chat.look(minutes=15)
            assert len(server.messages) == before
            assert "is over November's budget" in words(roots(server)[0])


async def test_a_slack_that_asks_for_patience_for_minutes_gets_it_and_then_everything_once():
    busy = Reply(429, json.dumps({"ok": False, "error": "ratelimited"}), {"Retry-After": "60"})
    with SlackServer() as server:
        async with told(server) as chat:
            chat.world.spend(250)
            server.faults.extend([busy] * 8)
            for _ in range(12):
                asked = len(server.requests)
                await chat.look(minutes=1)
                assert len(server.requests) - asked <= 3
            await chat.look(minutes=5)
            assert (len(roots(server)), len(replies(server))) == (1, 2)
            assert "is over November's budget" in words(roots(server)[0])
            assert chat.mail.taken == []


async def test_a_thread_that_could_not_begin_begins_later():
    busy = Reply(429, json.dumps({"ok": False, "error": "ratelimited"}), {"Retry-After": "1"})
    with SlackServer() as server:
        chat = SlackScenario(server)
        posted = server.answer

        def only_roots(received):
            return busy if b'"thread_ts"' in received.body and "postMessage" in received.path else posted(received)

        server.answer = only_roots  # a Slack that takes the message and not its thread
        chat.world.spend(1)
        await chat.look()
        chat.world.spend(300)
        await chat.look(minutes=5)
        assert replies(server) == []
        server.answer = posted
        await chat.send()
        await chat.look(minutes=61)
        await chat.close()
    assert len(roots(server)) == 1
    assert len([one for one in replies(server) if "so far" in words(one)]) == 1


async def test_an_answer_that_was_lost_makes_no_second_message():
    with SlackServer() as server:
        chat = SlackScenario(server)
        posted, lost = server.answer, []

        def loses_the_first(received):
            found = posted(received)
            if "postMessage" in received.path and not lost:
                lost.append(received)
                return Reply(200, "")
            return found

        server.answer = loses_the_first
        chat.world.spend(1)
        await chat.look()
        await chat.look(minutes=1)
        await chat.look(minutes=1)
        await chat.close()
    assert lost
    assert len(roots(server)) == 1
    assert len(replies(server)) == 1


async def test_two_replicas_keep_one_message():
    with SlackServer() as server:
        async with told(server) as chat:
            other = SlackScenario(server, chat.world, chat.store)
            other.clock.at = chat.clock.at
            chat.world.spend(20)
            await chat.look(minutes=15)
            other.clock.at = chat.clock.at
            updates = len(server.updates)
            await other.send()
            assert len(server.updates) == updates
            assert len(roots(server)) == 1
            await other.close()


async def test_the_end_of_a_period_is_the_messages_last_word_and_the_next_begins_its_own():
    with SlackServer() as server:
        async with told(server) as chat:
            chat.world.pass_time(days=29)
            await chat.look(minutes=60 * 24 * 31)
            await chat.look(minutes=60 * 24)
            first = roots(server)[0]
            assert "stayed within November's budget" in words(first)


async def test_a_group_of_budgets_in_one_message_is_followed_by_none():
    teams = budget("teams", "10 USD", thresholds=["actual 50%"], per=("team",))
    with SlackServer() as server:
        chat = SlackScenario(server, Scenario(teams))
        for team in "ab":
            chat.world.spend("0.1", team=team)
        await chat.look()
        for team in "ab":
            chat.world.spend(6, team=team)
        await chat.look(minutes=5)
        await chat.close()
        assert len(server.messages) == 2
        assert server.updates == []
