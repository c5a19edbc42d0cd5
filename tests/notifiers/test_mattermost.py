"""Mattermost gets the words of every message within its limits, and reads none of them as a mark or a mention."""

from __future__ import annotations

import json
import re

import pytest

from alertd.core.messages import compose, text_of
from alertd.core.messages.samples import NOW, SAMPLES, digest
from alertd.notifiers import mattermost
from alertd.plugin_options import Secret
from tests.servers.deliveries import delivery, receipt, sample
from tests.servers.recording import RecordingServer, Reply

NASTY = "@all @channel ~town-square :tada: **b** `c` # [click](https://evil.example)"


def words(text: str) -> str:
    return re.sub(r"\W+", "", re.sub(r"\\(.)|\u200b|https\S*", r"\1", text))


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_message_says_every_line_of_it(kind: str) -> None:
    message = compose(SAMPLES[kind](NOW), NOW)
    body = mattermost.render(message)
    (attachment,) = body["attachments"]
    fields = [f"{one['title']} {one['value']}" for one in attachment.get("fields", [])]
    said = words(f"{body['text']} {' '.join(fields)} {attachment['text']}")
    facts = [words(f"{one.label} {text_of(one.value)}") for one in message.facts]
    wanted = [*facts, *(words(text_of(line)) for line in (message.headline, *message.lines))]
    assert [line for line in wanted if line not in said and "runbook" not in line] == []


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_limits_of_a_post_are_kept(kind: str) -> None:
    for events in (SAMPLES[kind](NOW), digest(NOW, count=300)):
        assert len(json.dumps(mattermost.render(compose(events, NOW)), ensure_ascii=False)) < 16_383


def test_a_label_mentions_nobody_and_formats_nothing() -> None:
    body = mattermost.render(compose([sample(scope=(("team", NASTY),))], NOW))
    text = re.sub(r"`[^`]*`", "", body["text"] + body["attachments"][0]["text"])
    assert re.findall(r"(?<!\\)@\w+", text) == []
    assert ":tada:" not in text
    assert not re.search(r"(?<!\\)\[click", text)


def test_a_message_is_posted_to_the_webhook_as_json() -> None:
    with RecordingServer(lambda _: Reply(200, "ok")) as server:
        options = mattermost.Options(url=Secret(f"{server.url}/hooks/x1"))
        assert receipt(mattermost.build("ops", options), delivery()).said == "200"
    (request,) = server.requests
    assert (request.path, request.headers["content-type"]) == ("/hooks/x1", "application/json; charset=utf-8")
    body = json.loads(request.body)
    assert set(body) == {"text", "attachments"}
    assert "research" in body["text"]
