"""Messages in Slack, by incoming webhook or by bot token.

With a token, a budget, scope and period has one message that follows it, its alerts are that message's thread, and with
an app token people answer by buttons and ask by `/budget`. What is from outside is escaped, so that no label can
mention a channel, open a link or change a style.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from alertd.clients.slack import API_URL, SlackBot, SlackError, SlackWebhook
from alertd.clients.webhook import find_host
from alertd.core.addresses import fill, labels_of
from alertd.core.evaluation.routing import conversation
from alertd.core.evaluation.summaries import PLACE, SHOWN, SHOWN_AT
from alertd.core.events import Event
from alertd.core.messages import compose
from alertd.notifiers._blocks import render
from alertd.notifiers._buttons import ButtonSigner, buttons, link_buttons
from alertd.notifiers._charts import PICTURE, Charts
from alertd.notifiers._slack_interactions import EVERYBODY, SlackInteractions
from alertd.notifiers._slack_search import KEY, Search
from alertd.plugin_options import NotifierOptions, Secret, TextList, revealed
from alertd.ports import Ask, Delivery, DeliveryError, Receipt, Take

log = logging.getLogger(__name__)

_METADATA: Final = "alertd_message"
#: A name or an id; a budget's channel may also be an address of another notifier's kind.
_CHANNEL: Final = re.compile(r"#|[CGD][A-Z0-9]{8,}\Z")
_PERSON: Final = re.compile(r"[UWS][A-Z0-9]{6,}\Z")
#: A thread whose first message someone deleted: the message is posted on its own.
_THREAD_GONE: Final = frozenset({"thread_not_found", "message_not_found", "cannot_reply_to_message"})
#: The message that followed a budget is not there to be changed any more.
_MESSAGE_GONE: Final = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
#: Slack is still looking at the picture, or somebody removed it.
_PICTURE_NOT_READY: Final = frozenset({"invalid_blocks", "invalid_blocks_format", "file_not_found"})
#: What the thread of a new message still lacks, as JSON.
_OWED: Final = "live.owed"
_NEEDED_SCOPE: Final = "chat:write"
_USEFUL_SCOPES: Final = {
    "chat:write.public": "post to public channels that it was not invited to",
    "channels:read": "find a channel by its name to look there",
    "files:write": "show a chart in its messages",
    "channels:history": "look for a message whose sending was cut off, before sending it again",
}
_ASKING_SCOPES: Final = {"commands": "answer /budget", "app_mentions:read": "answer a mention"}
#: Where it connects to, for docs/outbound-hosts.md.
OUTBOUND: Final = (
    "hooks.slack.com:443 with a webhook; slack.com, files.slack.com, wss-primary.slack.com (buttons) "
    "and hooks.slack.com (private answers) :443 with a bot token"
)


class Options(NotifierOptions):
    """One of webhook_url, or bot_token with channel."""

    webhook_url: Secret | None = Field(None, description="An incoming webhook, https://hooks.slack.com/services/...")
    bot_token: Secret | None = Field(None, description="A bot token, xoxb-..., with the scope chat:write")
    channel: str = Field("", description="With a bot token: #name or an id; #llm-{team} is filled from the labels")
    default_channel: str = Field("", description="Where a message goes for which `channel` names a label it lacks")
    app_token: Secret | None = Field(
        None, description="With a bot token: an app-level token, xapp-..., for buttons by Socket Mode"
    )
    users: TextList = Field(
        default_factory=list, description="Who may press buttons: ids of members (U...) and of user groups (S...)"
    )
    viewers: TextList = Field(
        default_factory=list, description="Who may ask by /budget, mention and Home, beside USERS; * is everybody"
    )
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
        if self.app_token is not None and (self.bot_token is None or not self.users):
            raise ValueError("app_token is for buttons: it needs bot_token, and users who may press them")
        people = (*self.users, *(one for one in self.viewers if one != EVERYBODY))
        strange = [one for one in people if not _PERSON.match(one)]
        if strange:
            raise ValueError(f"{strange[0]!r} is no id; in Slack: a profile, then Copy member ID (U...; groups: S...)")
        return self


def build(name: str, options: Options) -> Slack | Hook:
    """Return the notifier for what was given: a webhook or a bot token."""
    now = partial(datetime.now, UTC)
    return Hook(name, options, now=now) if options.webhook_url else Slack(name, options, now=now)


def draft(options: Options, delivery: Delivery, now: datetime) -> dict[str, bytes]:
    """The message as Block Kit JSON, to be pasted into Slack's Block Kit Builder."""
    del options
    message = compose(delivery.events, now)
    body = render(message, picture_url=message.picture_url, buttons=link_buttons(message.actions))
    return {".slack.json": json.dumps(body, ensure_ascii=False, indent=2).encode()}


class Hook:
    """Posts through an incoming webhook: complete messages, no threads."""

    people = True

    def __init__(self, name: str, options: Options, *, now: Callable[[], datetime]) -> None:
        self.name = name
        self._now = now
        self._url = revealed(options.webhook_url)
        self._proxied = options.proxy is not None
        self._door = SlackWebhook(name, self._url, options)

    def address(self, event: Event) -> str:
        return ""

    async def send(self, delivery: Delivery) -> Receipt:
        message = compose(delivery.events, self._now())
        below = link_buttons(message.actions)
        delivery.require_lease()
        try:
            return Receipt(await self._door.post(render(message, picture_url=message.picture_url, buttons=below)))
        except DeliveryError as error:
            if not message.picture_url or not error.permanent:  # Slack refuses blocks whose picture it cannot fetch
                raise
            log.info("%s: refused with the picture from ALERTD_PUBLIC_URL (%s); sent without it", self.name, error)
        delivery.require_lease()
        return Receipt(await self._door.post(render(message, buttons=below)))

    async def look(self) -> str:
        """Whether the webhook's host has an address; a webhook cannot be tried without posting."""
        host = await find_host(self.name, self._url, proxied=self._proxied)
        return f"a webhook at {host}; to try it: alertd test-notify {self.name}"

    async def close(self) -> None:
        """Nothing is kept open between two messages."""


class Slack:
    """Posts with a bot token: to the channel of the event, as a reply where its conversation has a message there."""

    people = True

    def __init__(self, name: str, options: Options, *, now: Callable[[], datetime]) -> None:
        self.name = name
        self._now = now
        self._options = options
        token = revealed(options.bot_token)
        self._bot = SlackBot(name, token, options.api_url, options)
        self._charts = Charts(self._bot)
        self._search = Search(self._bot)
        self._signer: ButtonSigner | None = None
        self._interactions: SlackInteractions | None = None
        if options.app_token is not None:
            self._signer = signer = ButtonSigner.of(token)
            self._interactions = SlackInteractions(
                self._bot, revealed(options.app_token), options, users=options.users, viewers=options.viewers,
                signer=signer, charts=self._charts, now=now,
            )  # fmt: skip

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
        follows = not thread and _is_followed(delivery)
        there = await self._search.found(known or channel, thread, delivery.key) if delivery.uncertain else ""
        said = "found in the channel: an earlier try had arrived" if there else ""
        if not there:
            answer = await self._post(known or channel, thread, delivery)
            there = f"{answer.get('channel', channel)}/{thread or answer.get('ts', '')}"
            said = f"posted to {channel} at {answer.get('ts', '?')}"
        memory = {**delivery.memory, channel: there}
        if follows:
            memory |= {PLACE: there, SHOWN: "", SHOWN_AT: "", _OWED: await self._begin_thread(there, delivery)}
        elif delivery.events[-1].summary == "period_closed":
            memory |= await self._closed(delivery.events[-1], memory)
        return Receipt(said, memory)

    async def refresh(self, event: Event, memory: Mapping[str, str]) -> Mapping[str, str]:
        """Update the live message with `event`. If somebody deleted it, it is not posted again."""
        place, after = memory.get(PLACE, ""), dict(memory)
        if not place:
            return after
        if after.get(_OWED):
            owed = tuple(Event.from_json(one) for one in json.loads(after[_OWED]))
            after[_OWED] = await self._begin_thread(place, Delivery(owed[0].id, self.name, "", owed))
        after |= await self._charts.drawn(event, memory, self._now())
        try:
            await self._show(place, event, after)
        except SlackError as error:
            if error.code not in _MESSAGE_GONE:
                raise
            log.warning("%s: the message of %s is gone: what comes is posted on its own", self.name, event.budget)
            after[PLACE] = ""
        return after

    async def listen(self, take: Take, ask: Ask) -> None:
        """Pass interactions to `take`, questions to `ask`, until cancelled; returns at once without an app token."""
        if self._interactions is not None:
            await self._interactions.listen(take, ask)

    async def look(self) -> str:
        """Who the token is, in which workspace, and what its scopes lack. Posts nothing."""
        answer = await self._bot.ask("auth.test")
        scopes = {scope.strip() for scope in answer["headers"].get("x-oauth-scopes", "").split(",") if scope.strip()}
        if scopes and _NEEDED_SCOPE not in scopes:
            raise DeliveryError(f"{self.name}: the app lacks the scope {_NEEDED_SCOPE}; add it and reinstall the app",
                                permanent=True)  # fmt: skip
        useful = {**_USEFUL_SCOPES, **(_ASKING_SCOPES if self._interactions is not None else {})}
        without = [f"without {scope} it cannot {use}" for scope, use in useful.items() if scope not in scopes]
        channel = self._options.channel or self._options.default_channel
        who = f"{answer.get('user', 'the app')} in {answer.get('team', 'a workspace')}, posts to {channel}"
        listening = [await self._interactions.look()] if self._interactions is not None else []
        return "; ".join([who, *listening, *without])

    async def close(self) -> None:
        """Nothing is kept open between two messages; the buttons' connection ends with `listen`."""

    async def _post(self, channel: str, thread: str, delivery: Delivery, *, loud: bool | None = None) -> dict[str, Any]:
        body = self._body(delivery.events)
        body["metadata"] = {"event_type": _METADATA, "event_payload": {KEY: delivery.key}}
        heard = any(event.severity != "info" for event in delivery.events) if loud is None else loud
        reply = {"thread_ts": thread, "reply_broadcast": heard} if thread else {}
        delivery.require_lease()
        try:
            return await self._bot.ask("chat.postMessage", channel=channel, unfurl_links=False, **body, **reply)
        except SlackError as error:
            if not thread or error.code not in _THREAD_GONE:
                raise
            return await self._bot.ask("chat.postMessage", channel=channel, unfurl_links=False, **body)

    def _body(self, events: Sequence[Event], picture: str = "") -> dict[str, Any]:
        message = compose(events, self._now())
        below = buttons(events, self._signer) if self._signer is not None else link_buttons(message.actions)
        return render(message, picture=picture, buttons=below)

    async def _begin_thread(self, place: str, delivery: Delivery) -> str:
        """Begin the thread with the alert, because the message itself will change later.

        "" on success; otherwise the events, which the next refresh posts there.
        """
        channel, _, thread = place.partition("/")
        try:
            found = delivery.uncertain and await self._search.found(channel, thread, delivery.key, but=thread)
            if not found:
                await self._post(channel, thread, delivery, loud=False)
        except DeliveryError as error:
            log.info("%s: the thread of a message waits: %s", self.name, error)
            return json.dumps([event.to_json() for event in delivery.events])
        return ""

    async def _closed(self, event: Event, memory: Mapping[str, str]) -> Mapping[str, str]:
        """Show the final state of the period; if that fails, the thread still shows it."""
        try:
            return await self.refresh(event, memory)
        except DeliveryError as error:
            log.info("%s: a message keeps its last figures: %s", self.name, error)
            return memory

    async def _show(self, place: str, event: Event, memory: Mapping[str, str]) -> None:
        channel, _, stamp = place.partition("/")
        picture = memory.get(PICTURE, "")
        try:
            await self._bot.ask("chat.update", channel=channel, ts=stamp, **self._body([event], picture))
        except SlackError as error:
            if not picture or error.code not in _PICTURE_NOT_READY:
                raise
            await self._bot.ask("chat.update", channel=channel, ts=stamp, **self._body([event]))


def _is_followed(delivery: Delivery) -> bool:
    """Whether a delivery begins the live message of a budget, scope and period; a group of budgets does not."""
    return all(event.budget and conversation(event) == delivery.conversation for event in delivery.events)
