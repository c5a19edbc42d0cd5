"""Teams, Discord and Google Chat get the same words, within their limits, with nothing in them read as mark-up."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from alertd.core.messages import Message, compose, text_of
from alertd.core.messages.samples import NOW, SAMPLES, digest
from alertd.notifiers import discord, google_chat, teams
from alertd.notifiers._posted import Posted
from alertd.options import Secret
from tests.servers.deliveries import delivery, receipt, refusal, sample
from tests.servers.recording import RecordingServer, Reply

NASTY: Final = "<users/all> @everyone <@123> [click](https://evil.example) **b** `c` <https://evil.example|x> :tada:"
RENDERS: Final[dict[str, Callable[[Message], dict[str, Any]]]] = {
    "teams": teams.render,
    "discord": discord.render,
    "google_chat": google_chat.render,
}


def words(body: Any) -> str:
    """Every text of a body, without marks and escapes, in order."""
    if isinstance(body, dict):
        keys = ("content", "embeds", "description", "footer", "text", "attachments", "body", "inlines")
        return " ".join(words(body[key]) for key in keys if key in body)
    if isinstance(body, list):
        return "".join(words(one) for one in body)
    return re.sub(r"\\(.)|(?<!\w)[*_`]+|[*_`]+(?!\w)", r"\1", str(body))


@pytest.mark.parametrize("channel", RENDERS)
@pytest.mark.parametrize("kind", SAMPLES)
def test_every_channel_says_the_same(kind: str, channel: str) -> None:
    message = compose(SAMPLES[kind](NOW), NOW)
    found = re.sub(r"\W+", " ", words(RENDERS[channel](message)))
    lines = [text_of(tuple(replace(span, href="") for span in line)) for line in message.lines]
    expected = [re.sub(r"\W+", " ", line).strip() for line in (text_of(message.headline), *lines)]
    plain = re.sub(r"https\S*", "", found).replace(" ", "")
    assert [one for one in expected if one.replace(" ", "") not in plain and "runbook" not in one] == []


def test_a_card_of_three_hundred_alerts_is_below_28_kilobytes() -> None:
    events = [sample(id=str(n), budget="teams", scope=(("team", f"{n}-" + "x" * 200),)) for n in range(300)]
    assert len(json.dumps(teams.render(compose(events, NOW)), ensure_ascii=False).encode()) < 28_000


@pytest.mark.parametrize("kind", SAMPLES)
def test_discords_limits_are_kept(kind: str) -> None:
    for events in (SAMPLES[kind](NOW), digest(NOW, count=300)):
        body = discord.render(compose(events, NOW))
        embed = body["embeds"][0]
        assert len(body["content"]) <= 2000
        assert len(embed["description"]) <= 4096
        assert len(embed["description"]) + len(embed.get("footer", {}).get("text", "")) <= 6000


def test_a_google_chat_text_is_below_its_limit() -> None:
    assert len(google_chat.render(compose(digest(NOW, count=300), NOW))["text"].encode()) < 32_000


def test_discord_mentions_nobody_and_reads_no_mark_of_a_label() -> None:
    body = discord.render(compose([_named(NASTY)], NOW))
    outside_code = re.sub(r"`[^`]*`", "", body["content"] + body["embeds"][0]["description"])
    assert body["allowed_mentions"] == {"parse": []}
    assert not re.search(r"(?<!\\)<@|(?<!\\)\[click", outside_code)


def test_google_chat_mentions_nobody_and_links_nowhere() -> None:
    text = google_chat.render(compose([_named(NASTY)], NOW))["text"]
    assert "<users/all>" not in text
    assert re.findall(r"<([^|>]*)\|", text) == ["https://wiki.example.com/llm-budget"]


def test_teams_reads_nothing_as_mark_up_since_everything_is_a_run() -> None:
    body = teams.render(compose([_named(NASTY)], NOW))["attachments"][0]["content"]["body"]
    assert {block["type"] for block in body} == {"RichTextBlock"}
    assert {run["type"] for block in body for run in block["inlines"]} == {"TextRun"}


def test_what_stands_below_a_team_is_indented_in_teams_too() -> None:
    body = teams.render(compose(SAMPLES["digest"](NOW), NOW))["attachments"][0]["content"]["body"]
    lines = ["".join(run["text"] for run in block["inlines"]) for block in body]
    below = lines.index("🔴 team search 520.00 of 500.00 USD (104 %), likely 780 (80 %: 702 to 897)") + 1
    assert lines[below].startswith("\u2003\u2003By key: rag-indexer 148.10")
    assert lines[below + 1].startswith("\u2003\u2003Changed: key rag-indexer 2.10")


@pytest.mark.parametrize("channel", RENDERS)
def test_a_link_that_is_no_web_address_is_no_link(channel: str) -> None:
    body = RENDERS[channel](compose([sample(runbook_url="javascript:alert(1)")], NOW))
    assert "javascript" not in json.dumps(body)


def test_a_flow_that_fails_behind_a_200_is_retried() -> None:
    said = "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429"
    with RecordingServer(lambda _: Reply(200, said)) as server:
        error = refusal(teams.build("ops", teams.Options(url=Secret(f"{server.url}/flow?sig=very-secret"))))
    assert not error.permanent
    assert "very-secret" not in str(error)


def test_a_conversation_is_one_thread_in_google_chat() -> None:
    with RecordingServer() as server:
        for conversation in ("research/1", "research/1", "search/1"):
            notifier: Posted = google_chat.build(
                "ops", google_chat.Options(url=Secret(f"{server.url}/v1/spaces/A/messages?key=k&token=t"))
            )
            receipt(notifier, delivery(conversation=conversation))
    one, again, other = (re.search(r"threadKey=(\w+)", request.path) for request in server.requests)
    threads = [found[1] if found else "" for found in (one, again, other)]
    assert threads[0] == threads[1] != threads[2]
    assert all("key=k&token=t&" in request.path for request in server.requests)


def _named(name: str) -> Any:
    event = sample("burn_rate", owner=name, budget="teams", scope=(("team", name),))
    return replace(event, contributors=tuple(replace(item, value=name) for item in event.contributors))
