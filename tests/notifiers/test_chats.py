"""Teams, Discord and Google Chat get the same words, within their limits, with nothing in them read as mark-up."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from typing import Any, Final

import pytest

from alertd.core.messages import Message, compose, text_of
from alertd.core.messages.samples import NOW, SAMPLES, digest
from alertd.notifiers import discord, google_chat, teams
from alertd.notifiers._posted import Posted
from alertd.plugin_options import Secret
from tests.servers.deliveries import delivery, receipt, refusal, sample
from tests.servers.recording import RecordingServer, Reply

NASTY: Final = "<users/all> @everyone <@123> [click](https://evil.example) **b** `c` <https://evil.example|x> :tada:"
RENDERS: Final[dict[str, Callable[[Message], dict[str, Any]]]] = {
    "teams": teams.render,
    "discord": discord.render,
    "google_chat": google_chat.render,
}


KEYS: Final = (
    "content", "topLabel", "name", "text", "embeds", "fields", "value", "description", "footer", "attachments", "body",
    "columns", "columnItems", "items", "inlines", "cardsV2", "card", "sections", "widgets", "decoratedText",
    "textParagraph",
)  # fmt: skip


def words(body: Any) -> str:
    """Every text of a body, without marks and escapes, in order."""
    if isinstance(body, dict):
        return " ".join(words(body[key]) for key in KEYS if key in body)
    if isinstance(body, list):
        return "".join(words(one) for one in body)
    return re.sub(
        r"\\(.)|(?<!\w)[*_`]+|[*_`]+(?!\w)", r"\1", unescape(re.sub(r"</?[bi]>|<br>|</?font[^>]*>", "", str(body)))
    )


@pytest.mark.parametrize("channel", RENDERS)
@pytest.mark.parametrize("kind", SAMPLES)
def test_every_channel_says_the_same(kind: str, channel: str) -> None:
    message = compose(SAMPLES[kind](NOW), NOW)
    found = re.sub(r"\W+", " ", words(RENDERS[channel](message)))
    lines = [text_of(tuple(replace(span, href="") for span in line)) for line in message.lines]
    facts = [f"{one.label} {text_of(one.value)}" for one in message.facts]
    expected = [re.sub(r"\W+", " ", line).strip() for line in (text_of(message.headline), *facts, *lines)]
    plain = re.sub(r"https\S*", "", found).replace(" ", "")
    assert [one for one in expected if one.replace(" ", "") not in plain and "runbook" not in one.lower()] == []


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
        fields = embed.get("fields", [])
        assert all(0 < len(one["name"]) <= 256 and 0 < len(one["value"]) <= 1024 for one in fields)
        held = sum(len(one["name"]) + len(one["value"]) for one in fields)
        assert len(embed["description"]) + held + len(embed.get("footer", {}).get("text", "")) <= 6000


def test_a_google_chat_text_is_below_its_limit() -> None:
    events = [sample(id=str(n), budget="teams", scope=(("team", f"{n}-" + "<" * 200),)) for n in range(300)]
    for one in (digest(NOW, count=300), events):
        assert len(json.dumps(google_chat.render(compose(one, NOW)), ensure_ascii=False).encode()) < 32_000


def test_discord_mentions_nobody_and_reads_no_mark_of_a_label() -> None:
    body = discord.render(compose([_named(NASTY)], NOW))
    outside_code = re.sub(r"`[^`]*`", "", body["content"] + body["embeds"][0]["description"])
    assert body["allowed_mentions"] == {"parse": []}
    assert not re.search(r"(?<!\\)<@|(?<!\\)\[click", outside_code)


def test_google_chat_mentions_nobody_and_links_nowhere() -> None:
    body = google_chat.render(compose([_named(NASTY)], NOW))
    card = json.dumps(body["cardsV2"])
    assert "<users/all>" not in json.dumps(body)
    assert "<http" not in body["text"]
    assert re.findall(r'href=."([^"]*)."', card) == ["https://wiki.example.com/llm-budget"]
    assert set(re.findall(r"</?(\w+)", card)) == {"b", "a", "br", "font", "i"} - (
        {"br"} if "<br>" not in card else set()
    )


def test_teams_reads_nothing_as_mark_up_since_everything_is_a_run() -> None:
    body = teams.render(compose([_named(NASTY)], NOW))["attachments"][0]["content"]["body"]
    columns = [column for block in body if block["type"] == "ColumnSet" for column in block["columns"]]
    blocks = [block for block in body if block["type"] != "ColumnSet"] + [
        block for column in columns for block in column["items"]
    ]
    assert {block["type"] for block in blocks} == {"RichTextBlock"}
    assert {run["type"] for block in blocks for run in block["inlines"]} == {"TextRun"}


def test_facts_stand_two_beside_one_another_in_teams() -> None:
    body = teams.render(compose(SAMPLES["forecast"](NOW), NOW))["attachments"][0]["content"]["body"]
    rows = [block["columns"] for block in body if block["type"] == "ColumnSet"]
    said = [["".join(run["text"] for item in column["items"] for run in item["inlines"]) for column in row]
            for row in rows]  # fmt: skip
    assert said == [["Spent$323.60 of $500 (65%)", "Likely by 30 Nov$564 (515 to 640)"],
                    ["Chance of going over93%", "On track means$18 a day; now $28"]]  # fmt: skip


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
