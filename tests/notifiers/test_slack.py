"""Slack gets whole messages within its limits, once, in the right channel and thread; no label pings anybody."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
from dataclasses import replace
from typing import Any, Final

import msgspec
import pytest
from pydantic import ValidationError

from alertd.clients.slack_errors import PERMANENT
from alertd.core.messages.samples import NOW, SAMPLES, digest
from alertd.notifiers.slack import Hook, Options, Slack
from alertd.ports import DeliveryError, Receipt
from tests.servers.deliveries import delivery, now, receipt, refusal, sample, seen
from tests.servers.hanging_server import HangingServer
from tests.servers.recording import Reply
from tests.servers.slack import TOKEN, SlackServer, badly_escaped

#: What Slack says that may pass, so that it stands in no table.
RETRIED: Final = frozenset(
    {
        "ratelimited",
        "rate_limited",
        "message_limit_exceeded",
        "accesslimited",
        "internal_error",
        "fatal_error",
        "service_unavailable",
        "request_timeout",
        "team_added_to_org",
        "external_channel_migrating",
    }
)
NASTY: Final = (
    "<!channel> <@U024BE7LH> <https://evil.example|click> *bold* _it_ ~x~ `code` & | :tada:",
    "two\r\nlines\x00\u2028and\u202emore",
    "\u05e2\u05d1\u05e8\u05d9\u05ea \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "n" * 200,
)


def bot(server: SlackServer, **options: Any) -> Slack:
    given = {"bot_token": TOKEN, "channel": "#ops", "api_url": server.api_url, **options}
    return Slack("ops", Options(**given), now=now)


def hook(server: SlackServer) -> Hook:
    return Hook("ops", Options(webhook_url=server.webhook_url), now=now)


def words(message: dict[str, Any]) -> str:
    found = [
        [block["text"]] if "text" in block else block.get("fields", block.get("elements", []))
        for block in message["blocks"]
    ]
    return "\n".join(one["text"] for texts in found for one in texts if isinstance(one["text"], str))


@pytest.mark.parametrize("kind", SAMPLES)
def test_slack_takes_every_kind_of_message_by_both_doors(kind: str) -> None:
    events = SAMPLES[kind](NOW)
    with SlackServer() as server:
        receipt(bot(server), delivery(*events))
        receipt(hook(server), delivery(*events))
    by_bot, by_hook = server.messages
    assert by_bot["blocks"] == by_hook["blocks"]
    assert badly_escaped(by_bot) == []


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("kind", ["forecast", "burn_rate", "digest", "unmatched", "unpriced", "source_stale", "action"])
def test_no_name_from_outside_pings_links_or_breaks_a_message(kind: str, name: str) -> None:
    events = tuple(_renamed(event, name) for event in SAMPLES[kind](NOW))
    with SlackServer(channels={"C1": "ops"}) as server:
        receipt(bot(server), delivery(*events))
    assert server.mentions == []
    assert badly_escaped(server.messages[0]) == []
    assert "<https://evil" not in words(server.messages[0])
    assert "\u202e" not in words(server.messages[0])


def test_three_hundred_scopes_are_one_message_cut_with_a_count() -> None:
    with SlackServer() as server:
        receipt(bot(server), delivery(*digest(NOW, count=300)))
    said = words(server.messages[0])
    assert "1 team over, 1 at risk, 298 on track" in said
    assert len(server.messages) == 1


def test_three_hundred_alerts_with_long_names_stay_within_every_limit() -> None:
    events = tuple(
        replace(sample(), id=str(count), budget="teams", scope=(("team", f"{count}-" + "<" * 200),))
        for count in range(300)
    )
    with SlackServer() as server:
        receipt(bot(server), delivery(*events))
    assert "300 teams will probably go over" in words(server.messages[0])


def test_a_channel_is_filled_from_the_labels_and_has_a_default() -> None:
    search = sample(budget="teams", scope=(("team", "search"),))
    nobody = sample(budget="teams", scope=(("team", None),))
    with SlackServer() as server:
        for event in (search, nobody):
            receipt(bot(server, channel="#llm-{team}", default_channel="#ops"), delivery(event))
    assert [message["channel"] for message in server.messages] == ["C024BE92M", "C024BE91L"]


def test_without_a_default_a_missing_label_is_given_up_and_says_why() -> None:
    with SlackServer() as server:
        error = refusal(bot(server, channel="#llm-{team}"), delivery(sample()))
        assert server.requests == []
    assert error.permanent
    assert "#llm-{team}" in str(error)
    assert "default_channel" in str(error)


def test_a_budget_may_have_a_channel_of_its_own() -> None:
    with SlackServer() as server:
        receipt(bot(server), delivery(sample(channel="#llm-search")))
    assert server.messages[0]["channel"] == "C024BE92M"


def test_the_messages_of_one_conversation_are_a_thread() -> None:
    with SlackServer() as server:
        first = receipt(bot(server), delivery(sample()))
        second = receipt(bot(server), delivery(sample("over"), memory=first.memory))
        receipt(bot(server), delivery(sample("recovered"), memory=second.memory))
    root, over, recovered = server.messages
    assert "thread_ts" not in root
    assert {over["thread_ts"], recovered["thread_ts"]} == {root["ts"]}
    assert (over["reply_broadcast"], recovered["reply_broadcast"]) == (True, False)


def test_a_thread_whose_root_was_deleted_goes_on_in_the_channel() -> None:
    with SlackServer() as server:
        first = receipt(bot(server), delivery(sample()))
        server.messages.clear()
        receipt(bot(server), delivery(sample("over"), memory=first.memory))
    assert ["thread_ts" in message for message in server.messages] == [False]


def test_what_may_have_arrived_is_looked_for_before_it_is_sent_again() -> None:
    with SlackServer() as server:
        first = receipt(bot(server), delivery(sample()))
        again = receipt(bot(server), delivery(sample(), uncertain=True, memory=first.memory))
    assert len(server.messages) == 1
    assert "found" in again.said
    assert again.memory == first.memory


def test_a_first_message_is_looked_for_in_a_channel_that_is_known_by_name_only() -> None:
    with SlackServer() as server:
        receipt(bot(server, channel="#llm-search"), delivery(sample()))
        again = receipt(bot(server, channel="#llm-search"), delivery(sample(), uncertain=True))
        receipt(bot(server, channel="#llm-search"), delivery(sample("over"), key="next", memory=again.memory))
    assert len(server.messages) == 2
    assert server.messages[1]["thread_ts"] == server.messages[0]["ts"]


def test_what_has_not_arrived_is_sent_after_looking() -> None:
    with SlackServer() as server:
        first = receipt(bot(server), delivery(sample()))
        receipt(bot(server), delivery(sample("over"), key="other", uncertain=True, memory=first.memory))
    assert len(server.messages) == 2


def test_an_app_that_may_not_read_sends_again_rather_than_not_at_all() -> None:
    with SlackServer(scopes={"chat:write"}) as server:
        first = receipt(bot(server), delivery(sample()))
        receipt(bot(server), delivery(sample("over"), key="other", uncertain=True, memory=first.memory))
    assert len(server.messages) == 2


@pytest.mark.parametrize("code", [*sorted(PERMANENT), *sorted(RETRIED), "something_new"])
def test_what_slack_refuses_with_a_200_is_an_error_by_name(code: str) -> None:
    with SlackServer() as server:
        server.faults.append(Reply(200, json.dumps({"ok": False, "error": code})))
        error = refusal(bot(server))
    assert code in str(error)
    assert error.permanent == (code in PERMANENT)


def test_no_refusal_is_both_permanent_and_retried() -> None:
    assert set(PERMANENT) & RETRIED == set()


@pytest.mark.parametrize(
    ("workspace", "said"),
    [
        ({"scopes": {"channels:history"}}, "missing_scope"),
        ({"channels": {"C1": "general"}}, "channel_not_found"),
        ({"archived": {"C024BE91L"}}, "is_archived"),
        ({"not_member": {"C024BE91L"}}, "not_in_channel"),
        ({"token": "xoxb-another"}, "invalid_auth"),
    ],
)
def test_a_workspace_that_is_not_ready_says_what_to_do(workspace: dict[str, Any], said: str) -> None:
    with SlackServer(**workspace) as server:
        error = refusal(bot(server))
    assert error.permanent
    assert said in str(error)
    assert PERMANENT[said] in str(error)
    assert TOKEN not in str(error)


@pytest.mark.parametrize("body", ["", "null", "[]", '"ok"', "<html>ok</html>", '{"ok": tr'])
def test_a_200_that_slack_would_not_give_is_retried(body: str) -> None:
    with SlackServer() as server:
        server.faults.extend([Reply(200, body), Reply(200, body)])
        errors = [refusal(bot(server)), refusal(hook(server))]
    assert [(error.permanent, error.uncertain) for error in errors] == [(False, True)] * 2


def endless(connection: socket.socket, over: threading.Event) -> None:
    """An answer in chunks without an end, and without an announced length."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not over.is_set():
        connection.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


def compressed(connection: socket.socket, _over: threading.Event) -> None:
    """32 MB in 32 kB."""
    connection.recv(65536)
    body = gzip.compress(b" " * (32 << 20))
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


@pytest.mark.parametrize("deed", [endless, compressed])
def test_no_more_than_a_megabyte_of_an_answer_is_read_whatever_it_announces(deed: Any) -> None:
    with HangingServer(deed) as server:
        webhook = Hook("ops", Options(webhook_url=f"{server.url}/services/T1/B1/secret"), now=now)
        token = Slack("ops", Options(bot_token=TOKEN, channel="#ops", api_url=f"{server.url}/api/"), now=now)
        errors = [refusal(webhook), refusal(token)]
    assert [(str(error), error.uncertain) for error in errors] == [
        ("ops: no whole answer from Slack: its answer is larger than any of Slack's", True)
    ] * 2


def want_credentials(connection: socket.socket, _over: threading.Event) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")


def test_a_proxy_that_refuses_is_named_without_its_password() -> None:
    with HangingServer(want_credentials) as server:
        proxy = f"http://ana:pa55word@127.0.0.1:{server.port}"
        webhook = Hook("ops", Options(webhook_url="https://slack.example/services/T1/B1/secret", proxy=proxy), now=now)
        token = Slack(
            "ops", Options(bot_token=TOKEN, channel="#ops", api_url="https://slack.example/api/", proxy=proxy), now=now
        )
        errors = [refusal(webhook), refusal(token)]
    assert [(str(error), error.uncertain) for error in errors] == [
        ("ops: cannot connect to Slack: the proxy answers 407 Proxy Authentication Required", False)
    ] * 2


@pytest.mark.parametrize(
    ("status", "word", "permanent"),
    [(404, "no_service", True), (403, "action_prohibited", True), (410, "channel_is_archived", True),
     (400, "invalid_payload", True), (500, "rollup_error", False)],
)  # fmt: skip
def test_what_a_webhook_refuses_says_what_to_do(status: int, word: str, permanent: bool) -> None:  # noqa: FBT001
    with SlackServer() as server:
        server.faults.append(Reply(status, word))
        error = refusal(hook(server))
    assert error.permanent is permanent
    assert word in str(error)
    assert len(str(error)) > len(f"ops: Slack answered {status}: {word}") + 10


def test_a_wrong_webhook_is_given_up_without_showing_it() -> None:
    with SlackServer() as server:
        wrong = Hook("ops", Options(webhook_url=f"{server.url}/services/T1/B1/guessed-secret"), now=now)
        error = refusal(wrong)
    assert error.permanent
    assert "guessed-secret" not in str(error)


def test_check_says_who_the_app_is_and_what_it_cannot_do() -> None:
    with SlackServer() as server:
        said = seen(bot(server))
        blind = seen(bot(server, bot_token="xoxb-wrong"))
        server.scopes = {"channels:history"}
        mute = seen(bot(server))
    assert isinstance(said, str)
    assert "alertd in Example, posts to #ops" in said
    assert "chat:write.public" in said
    assert isinstance(blind, DeliveryError)
    assert isinstance(mute, DeliveryError)
    assert "chat:write" in str(mute)


def test_check_posts_nothing_to_a_webhook() -> None:
    with SlackServer() as server:
        said = seen(hook(server))
        assert server.requests == []
    assert said == f"a webhook at 127.0.0.1:{server.port}; to try it: alertd test-notify ops"


@pytest.mark.parametrize(
    "options",
    [{}, {"bot_token": TOKEN}, {"bot_token": TOKEN, "webhook_url": "https://x.example"}, {"webhook_url": "hooks"},
     {"webhook_url": "https://x.example/y", "channel": "#ops"}],
)  # fmt: skip
def test_options_that_cannot_work_are_refused_with_the_remedy(options: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="webhook_url|channel"):
        Options(**options)


def test_five_messages_at_once_all_arrive() -> None:
    async def together() -> list[Receipt]:
        notifier = bot(server)
        try:
            return await asyncio.gather(*(notifier.send(delivery(sample(), key=str(n))) for n in range(5)))
        finally:
            await notifier.close()

    with SlackServer() as server:
        asyncio.run(together())
    assert sorted(message["metadata"]["event_payload"]["key"] for message in server.messages) == list("01234")


def _renamed(event: Any, name: str) -> Any:
    return replace(
        event,
        scope=(("team", name),) if event.budget else (),
        owner=name,
        reason=name,
        contributors=tuple(replace(item, value=name) for item in event.contributors),
        unpriced=tuple(replace(item, model=name, provider=name, reason=name, nearest=name) for item in event.unpriced),
        source=name if event.source else "",
        handle=name if event.handle else "",
        details=_with_name(event.details, name),
    )


def _with_name(details: Any, name: str) -> Any:
    """The same details with this name wherever something from outside is named."""
    texts = {"error", "what", "target", "by", "label", "value", "budget", "failed"}
    changes: dict[str, Any] = {}
    for field in getattr(details, "__struct_fields__", ()):
        value = getattr(details, field)
        if isinstance(value, msgspec.Struct):
            changes[field] = _with_name(value, name)
        elif isinstance(value, str) and value and field in texts:
            changes[field] = name
        elif field == "known":
            changes[field] = (name,)
    return msgspec.structs.replace(details, **changes) if changes else details
