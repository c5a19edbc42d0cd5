"""Messages in Slack, by incoming webhook or by bot token; with a token, a budget's messages of a period are one thread.

Rendering is pure: a Message in, blocks within Slack's limits out. What is from outside is escaped, so that no label can
mention a channel, open a link or change a style.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from alertd.core.addresses import fill, labels_of
from alertd.core.events import Event
from alertd.core.messages import compose
from alertd.notifiers._blocks import render
from alertd.options import NotifierOptions, Secret
from alertd.ports import Delivery, DeliveryError, Receipt
from alertd.wire.posting import find_host
from alertd.wire.slack import API_URL, SlackBot, SlackError, SlackWebhook

_METADATA: Final = "alertd_message"
_HISTORY: Final = 100
_PAGE: Final = 1000
#: A name or an id; a budget's channel may also be an address of another notifier's kind.
_CHANNEL: Final = re.compile(r"#|[CGD][A-Z0-9]{8,}\Z")
#: A thread whose first message someone deleted: the message is posted on its own.
_THREAD_GONE: Final = frozenset({"thread_not_found", "message_not_found", "cannot_reply_to_message"})
_NEEDED_SCOPE: Final = "chat:write"
_USEFUL_SCOPES: Final = {
    "chat:write.public": "post to public channels that it was not invited to",
    "channels:read": "find a channel by its name to look there",
    "channels:history": "look for a message whose sending was cut off, before sending it again",
}


class Options(NotifierOptions):
    """One of webhook_url, or bot_token with channel."""

    webhook_url: Secret | None = Field(None, description="An incoming webhook, https://hooks.slack.com/services/...")
    bot_token: Secret | None = Field(None, description="A bot token, xoxb-..., with the scope chat:write")
    channel: str = Field("", description="With a bot token: #name or an id; #llm-{team} is filled from the labels")
    default_channel: str = Field("", description="Where a message goes for which `channel` names a label it lacks")
    api_url: str = Field(API_URL, description="Slack's Web API; another only for a gateway of one's own")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.webhook_url is None) == (self.bot_token is None):
            raise ValueError("give webhook_url, or bot_token and channel: one of the two")
        if self.bot_token is not None and not (self.channel or self.default_channel):
            raise ValueError("a bot token needs a channel: #name, or #llm-{team}")
        if self.webhook_url is not None and self.channel:
            raise ValueError("a webhook posts to the channel it was made for; channel needs bot_token")
        if self.webhook_url is not None and urlsplit(self.webhook_url.get_secret_value()).hostname is None:
            raise ValueError("webhook_url is no URL; it looks like https://hooks.slack.com/services/...")
        return self


def build(name: str, options: Options) -> Slack | Hook:
    """Return the notifier for what was given: a webhook or a bot token."""
    now = partial(datetime.now, UTC)
    return Hook(name, options, now=now) if options.webhook_url else Slack(name, options, now=now)


def draft(options: Options, delivery: Delivery, now: datetime) -> dict[str, bytes]:
    """The message as Block Kit JSON, to be pasted into Slack's Block Kit Builder."""
    del options
    body = render(compose(delivery.events, now))
    return {".slack.json": json.dumps(body, ensure_ascii=False, indent=2).encode()}


class Hook:
    """Posts through an incoming webhook: complete messages, no threads."""

    people = True

    def __init__(self, name: str, options: Options, *, now: Callable[[], datetime]) -> None:
        self.name = name
        self._now = now
        self._url = options.webhook_url.get_secret_value() if options.webhook_url else ""
        self._proxied = options.proxy is not None
        self._door = SlackWebhook(name, self._url, options)

    def address(self, event: Event) -> str:
        return ""

    async def send(self, delivery: Delivery) -> Receipt:
        return Receipt(await self._door.post(render(compose(delivery.events, self._now()))))

    async def look(self) -> str:
        """Whether the webhook's host has an address; a webhook cannot be tried without posting."""
        host = await find_host(self.name, self._url, proxied=self._proxied)
        return f"a webhook at {host}; to try it: alertd test-notify {self.name}"

    async def close(self) -> None:
        self._door.close()


class Slack:
    """Posts with a bot token: to the channel of the event, as a reply where its conversation has a message there."""

    people = True

    def __init__(self, name: str, options: Options, *, now: Callable[[], datetime]) -> None:
        self.name = name
        self._now = now
        self._options = options
        self._bot = SlackBot(name, options.bot_token.get_secret_value() if options.bot_token else "",
                             options.api_url, options)  # fmt: skip

    def address(self, event: Event) -> str:
        """The budget's own channel, else the notifier's filled from the labels, else its default; "" for none."""
        own = event.channel if _CHANNEL.match(event.channel) else ""
        return fill(own or self._options.channel, event) or self._options.default_channel

    async def send(self, delivery: Delivery) -> Receipt:
        channel = self.address(delivery.events[0])
        if not channel:
            lacking = ", ".join(labels_of(self._options.channel))
            raise DeliveryError(
                f"{self.name}: no channel: this alert lacks a label of {self._options.channel} ({lacking}); "
                "set default_channel", permanent=True,
            )  # fmt: skip
        known, _, thread = delivery.memory.get(channel, "").partition("/")
        if delivery.uncertain:
            found = await self._found(known or channel, thread, delivery.key)
            if found:
                return Receipt("found in the channel: an earlier try had arrived", {**delivery.memory, channel: found})
        answer = await self._post(known or channel, thread, delivery)
        there = f"{answer.get('channel', channel)}/{thread or answer.get('ts', '')}"
        return Receipt(f"posted to {channel} at {answer.get('ts', '?')}", {**delivery.memory, channel: there})

    async def look(self) -> str:
        """Who the token is, in which workspace, and what its scopes lack. Posts nothing."""
        answer = await self._bot.ask("auth.test")
        scopes = {scope.strip() for scope in answer["headers"].get("x-oauth-scopes", "").split(",") if scope.strip()}
        if scopes and _NEEDED_SCOPE not in scopes:
            raise DeliveryError(f"{self.name}: the app lacks the scope {_NEEDED_SCOPE}; add it and reinstall the app",
                                permanent=True)  # fmt: skip
        without = [f"without {scope} it cannot {use}" for scope, use in _USEFUL_SCOPES.items() if scope not in scopes]
        channel = self._options.channel or self._options.default_channel
        who = f"{answer.get('user', 'the app')} in {answer.get('team', 'a workspace')}, posts to {channel}"
        return "; ".join([who, *without])

    async def close(self) -> None:
        self._bot.close()

    async def _post(self, channel: str, thread: str, delivery: Delivery) -> dict[str, Any]:
        body = render(compose(delivery.events, self._now()))
        body["metadata"] = {"event_type": _METADATA, "event_payload": {"key": delivery.key}}
        loud = any(event.severity != "information" for event in delivery.events)
        reply = {"thread_ts": thread, "reply_broadcast": loud} if thread else {}
        try:
            return await self._bot.ask("chat.postMessage", channel=channel, unfurl_links=False, **body, **reply)
        except SlackError as error:
            if not thread or error.code not in _THREAD_GONE:
                raise
            return await self._bot.ask("chat.postMessage", channel=channel, unfurl_links=False, **body)

    async def _found(self, channel: str, thread: str, key: str) -> str:
        """`channel/ts` of the message with this key among the channel's latest; "" where it is not, or cannot be read.

        An app that may not read sends again rather than not at all.
        """
        method = "conversations.replies" if thread else "conversations.history"
        place = {"ts": thread} if thread else {}
        try:
            where = await self._id_of(channel)
            answer = await self._bot.ask(method, channel=where, limit=_HISTORY, include_all_metadata=True, **place)
        except SlackError as error:
            if error.permanent:
                return ""
            raise
        messages = [one for one in answer.get("messages") or [] if isinstance(one, dict)]
        stamps = [str(one.get("ts", "")) for one in messages if _key(one) == key]
        return f"{where}/{thread or stamps[0]}" if stamps else ""

    async def _id_of(self, channel: str) -> str:
        """A channel's id; reading takes no names. The name itself where no such channel is seen."""
        cursor = ""
        while channel.startswith("#"):
            answer = await self._bot.ask("conversations.list", limit=_PAGE, exclude_archived=True, cursor=cursor)
            ids = [one["id"] for one in answer.get("channels", []) if one.get("name") == channel[1:]]
            cursor = (answer.get("response_metadata") or {}).get("next_cursor", "")
            if ids or not cursor:
                return str(ids[0]) if ids else channel
        return channel


def _key(message: dict[str, Any]) -> str:
    metadata = message.get("metadata") or {}
    return str((metadata.get("event_payload") or {}).get("key", "")) if isinstance(metadata, dict) else ""
