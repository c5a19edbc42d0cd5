"""Link buttons: every channel opens the page on which an alert is answered, where the page's address is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from alertd.core.events import Event
from alertd.core.messages import Message, compose
from alertd.core.messages.samples import NOW, SAMPLES
from alertd.notifiers import _blocks, _mail, apprise, discord, google_chat, mattermost, pagerduty, slack, teams
from alertd.notifiers._buttons import link_buttons
from tests.servers.deliveries import delivery, receipt
from tests.servers.recording import Reply
from tests.servers.slack import SlackServer

ANSWER = "https://alertd.example.com/alerts/17bcc1"
BUDGET = "https://alertd.example.com/budgets/research"
EVENT = replace(SAMPLES["forecast"](NOW)[0], details_url=BUDGET, answer_url=ANSWER)
CHANNELS: dict[str, Callable[[Message], Any]] = {
    "slack webhook": lambda message: _blocks.render(
        message, picture_url=message.picture_url, buttons=link_buttons(message.actions)
    ),
    "teams": teams.render,
    "discord": discord.render,
    "mattermost": mattermost.render,
    "google chat": google_chat.render,
    "mail": _mail.html,
    "mail, plain": _mail.text,
    "apprise": apprise.render,
}


@pytest.mark.parametrize("channel", CHANNELS)
def test_every_channel_leads_to_the_page_of_the_alert_and_of_the_budget(channel: str):
    body = json.dumps(CHANNELS[channel](compose([EVENT], NOW)))
    assert ANSWER in body
    assert BUDGET in body
    plain = json.dumps(CHANNELS[channel](compose([replace(EVENT, details_url="", answer_url="")], NOW)))
    assert "alertd.example.com" not in plain


def test_pagerduty_links_to_the_same():
    links = pagerduty.render(EVENT, "R" * 32, NOW)["links"]
    assert (links[0]["href"], links[0]["text"]) == (ANSWER, "Acknowledge")


def test_slacks_links_are_buttons_that_need_no_bot():
    (block,) = link_buttons(compose([EVENT], NOW).actions)
    assert block["type"] == "actions"
    assert {element["type"] for element in block["elements"]} == {"button"}
    assert [element["text"]["text"] for element in block["elements"]][:2] == ["Acknowledge", "Open budget"]
    assert len({element["action_id"] for element in block["elements"]}) == len(block["elements"])


def test_an_address_that_is_none_of_the_web_is_no_button():
    hostile: Event = replace(EVENT, runbook_url="javascript:alert(1)")
    for channel, render in CHANNELS.items():
        if channel not in ("mail, plain", "apprise"):
            assert "javascript" not in json.dumps(render(compose([hostile], NOW))), channel


PICTURE = "https://alertd.example.com/pictures/abc.png"


@pytest.mark.parametrize("channel", ["slack webhook", "teams", "discord", "mattermost", "google chat"])
def test_a_chat_shows_the_picture_at_its_signed_address(channel: str):
    shown = json.dumps(CHANNELS[channel](compose([replace(EVENT, picture_url=PICTURE)], NOW)))
    assert shown.count(PICTURE) == 1
    assert "pictures" not in json.dumps(CHANNELS[channel](compose([EVENT], NOW)))


def test_pagerduty_shows_the_picture():
    images = pagerduty.render(replace(EVENT, picture_url=PICTURE), "R" * 32, NOW)["images"]
    assert [image["src"] for image in images] == [PICTURE]


def test_slack_gets_the_message_without_a_picture_that_it_cannot_fetch():
    with SlackServer() as server:
        posted = server.answer

        def refuses_pictures(received):
            return Reply(400, "invalid_blocks") if b"image_url" in received.body else posted(received)

        server.answer = refuses_pictures
        hook = slack.build("ops", slack.Options(webhook_url=server.webhook_url))
        receipt(hook, delivery(replace(EVENT, picture_url=PICTURE)))
    (message,) = server.messages
    assert "research will probably go over" in message["text"]
