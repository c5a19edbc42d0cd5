"""Receive what people do in Slack by Socket Mode: button interactions, `/budget`, mentions, and the app's Home.

Only listed people are answered. A payload that does not come from a button of alertd is dropped without an answer.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from alertd.clients.slack import SlackBot
from alertd.clients.slack_socket import SocketMode
from alertd.core.evaluation.thresholds import STATUSES
from alertd.core.events import Event
from alertd.core.messages import Span, compose
from alertd.notifiers._blocks import mrkdwn, render
from alertd.notifiers._buttons import ButtonSigner, buttons, link_buttons, parse_interaction
from alertd.notifiers._charts import PICTURE, Charts
from alertd.plugin_options import Connection
from alertd.ports import Ask, DeliveryError, Take

log = logging.getLogger(__name__)

#: How long the members of a group are cached.
_MEMBERS_FOR: Final = timedelta(minutes=5)
_GROUP: Final = "S"
#: Every member of the workspace.
EVERYBODY: Final = "*"
_MENTION: Final = re.compile(r"<[@!#][^>]*>")
#: Slack is still looking at a picture that was just uploaded.
_PICTURE_SECONDS: Final = 1.0
#: Events that were answered; Slack sends one again that it holds for lost.
_MOST_EVENTS: Final = 256
#: Charts of private answers that are replaced by the next one of their budget.
_MOST_CHARTS: Final = 256
#: Budgets of one's own that a Home shows whole; a view has at most 100 blocks.
_MOST_OWN: Final = 8
_MOST_BLOCKS: Final = 100

_MAY_NOT_PRESS: Final = "You are not allowed to press this; nothing was done."
_MAY_NOT_ASK: Final = "You are not allowed to see the budgets here: the notifier's USERS and VIEWERS name who may."
_NO_GROUPS: Final = "The members of your groups could not be read from Slack; nothing was done."


@dataclass(slots=True)
class People:
    """Members by id, and those of user groups, which are read from Slack."""

    bot: SlackBot
    listed: Sequence[str]
    _members: frozenset[str] = frozenset()
    _members_until: datetime | None = None
    _groups: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._groups = tuple(one for one in self.listed if one.startswith(_GROUP))

    async def have(self, user: str, now: datetime) -> bool:
        """Whether a member is one of them. DeliveryError where a group cannot be read."""
        return user in self.listed or (bool(self._groups) and user in await self.of_groups(now))

    async def of_groups(self, now: datetime) -> frozenset[str]:
        """The members of the groups. DeliveryError."""
        if self._members_until is None or now >= self._members_until:
            found: set[str] = set()
            for group in self._groups:
                answer = await self.bot.ask("usergroups.users.list", usergroup=group)
                found |= {str(user) for user in answer.get("users") or []}
            self._members, self._members_until = frozenset(found), now + _MEMBERS_FOR
        return self._members

    async def look(self, now: datetime) -> str:
        """Who they are, in words. DeliveryError."""
        named = sorted(one for one in self.listed if one not in {*self._groups, EVERYBODY})
        groups = ""
        if self._groups:
            groups = f" and {len(await self.of_groups(now))} members of {', '.join(self._groups)}"
        return f"{', '.join(named) or 'nobody by name'}{groups}"


class SlackInteractions:
    """Receives interactions for one app. `users` may press and ask, `viewers` ask: ids of members and groups."""

    def __init__(
        self,
        bot: SlackBot,
        app_token: str,
        connection: Connection,
        *,
        users: Sequence[str],
        viewers: Sequence[str],
        signer: ButtonSigner,
        charts: Charts,
        now: Callable[[], datetime],
    ) -> None:
        self._name, self._bot, self._signer, self._charts, self._now = bot.name, bot, signer, charts, now
        self._users, self._viewers = People(bot, users), People(bot, viewers)
        self._socket = SocketMode(bot.name, app_token, bot.api_url, connection)
        #: The chart that private answers show, by budget and scope: one is replaced, none is left behind.
        self._shown: dict[str, dict[str, str]] = {}
        self._answered: dict[str, None] = {}

    async def listen(self, take: Take, ask: Ask) -> None:
        """Run until cancelled."""

        async def received(kind: str, payload: Mapping[str, Any]) -> None:
            if kind == "slash_commands":
                await self._command(payload, ask)
            elif kind == "events_api":
                await self._event(payload, ask)
            else:
                await self._answer_click(payload, take, ask)

        await self._socket.listen(received)

    async def look(self) -> str:
        """Whether the app token opens a connection, and who may press. DeliveryError."""
        await self._socket.address()
        now = self._now()
        if EVERYBODY in self._viewers.listed:
            viewers = "; everybody may ask"
        else:
            viewers = f"; {await self._viewers.look(now)} may ask" if self._viewers.listed else ""
        return f"buttons for {await self._users.look(now)}{viewers}"

    async def _answer_click(self, payload: Mapping[str, Any], take: Take, ask: Ask) -> None:
        interaction = parse_interaction(payload, self._signer)
        if interaction is None:
            log.warning("%s: dropped a payload that no button of alertd sends", self._name)
            return
        user = interaction.person.removeprefix("slack:")
        try:
            allowed = await self._users.have(user, self._now())
        except DeliveryError as error:
            log.warning("%s: %s chose %s: refused, the groups cannot be read: %s",
                        self._name, interaction.by, interaction.what, error)  # fmt: skip
            await self._answer_privately(payload, user, _NO_GROUPS, ask)
            return
        if not allowed:
            log.warning("%s: %s chose %s and is not allowed to", self._name, interaction.by, interaction.what)
            await self._answer_privately(payload, user, _MAY_NOT_PRESS, ask)
            return
        await self._answer_privately(payload, user, await take(interaction), ask)

    async def _answer_privately(self, payload: Mapping[str, Any], user: str, said: str, ask: Ask) -> None:
        """Answer the person privately, in the app's Home by the view itself. If that fails, the action still holds."""
        if not said:
            return
        if (payload.get("container") or {}).get("type") == "view":
            await self._home(user, ask, said)
            return
        channel, message = payload.get("channel") or {}, payload.get("message") or {}
        place = {"channel": str(channel.get("id", "")), "thread_ts": message.get("thread_ts")}
        text = mrkdwn((Span(said),))
        try:
            await self._bot.ask("chat.postEphemeral", user=user, text=text, **place)
        except DeliveryError as error:
            await self._respond(payload, {"text": text, "replace_original": False}, str(error))

    async def _command(self, payload: Mapping[str, Any], ask: Ask) -> None:
        """Answer `/budget NAME`, to the person alone: also where the app is no member of the channel."""
        user = str(payload.get("user_id", ""))
        if refused := await self._may_not_ask(user):
            await self._respond(payload, {"text": mrkdwn((Span(refused),))})
            return
        found = await ask(_words(payload))
        key = f"{found[0].budget}/{found[0].scope}" if not isinstance(found, str) and len(found) == 1 else ""
        if len(self._shown) > _MOST_CHARTS:
            self._shown.clear()
        kept = self._shown.setdefault(key, {}) if key else {}

        async def post(body: dict[str, Any]) -> None:
            await self._bot.respond(str(payload.get("response_url", "")), body)

        await self._post(found, kept, post)

    async def _event(self, payload: Mapping[str, Any], ask: Ask) -> None:
        """Answer a mention in its thread, and show the app's Home."""
        event, number = payload.get("event") or {}, str(payload.get("event_id", ""))
        if number in self._answered or not isinstance(event, Mapping):
            return
        self._answered[number] = None
        while len(self._answered) > _MOST_EVENTS:
            del self._answered[next(iter(self._answered))]
        user = str(event.get("user", ""))
        if event.get("type") == "app_home_opened" and event.get("tab") == "home":
            await self._home(user, ask)
        elif event.get("type") == "app_mention" and user and not event.get("bot_id"):
            await self._mentioned(event, user, ask, is_shared=bool(payload.get("is_ext_shared_channel")))

    async def _mentioned(self, event: Mapping[str, Any], user: str, ask: Ask, *, is_shared: bool) -> None:
        channel, thread = str(event.get("channel", "")), str(event.get("thread_ts") or event.get("ts", ""))
        place = {"channel": channel, "thread_ts": thread}
        if refused := await self._may_not_ask(user, is_shared=is_shared):
            await self._try("chat.postEphemeral", user=user, text=mrkdwn((Span(refused),)), **place)
            return

        async def post(body: dict[str, Any]) -> None:
            await self._bot.ask("chat.postMessage", unfurl_links=False, **place, **body)

        await self._post(await ask(_words(event)), {}, post)

    async def _home(self, user: str, ask: Ask, said: str = "") -> None:
        """Show a person's budgets with their buttons in the app's Home, then all in short."""
        refused = await self._may_not_ask(user)
        blocks = [_section(mrkdwn((Span(said),)))] if said else []
        if refused:
            blocks.append(_section(mrkdwn((Span(refused),))))
        else:
            found = await ask("")
            blocks += [_section(found)] if isinstance(found, str) else await self._budgets(user, found)
        await self._try("views.publish", user_id=user, view={"type": "home", "blocks": blocks[:_MOST_BLOCKS]})

    async def _budgets(self, user: str, events: Sequence[Event]) -> list[dict[str, Any]]:
        names = await self._names(user)
        own = [event for event in events if event.owner.casefold().removeprefix("slack:").removeprefix("@") in names]
        own.sort(key=lambda event: STATUSES.index(event.status))
        blocks: list[dict[str, Any]] = [_header("Your budgets")] if own else []
        for event in own[:_MOST_OWN]:
            blocks += [{"type": "divider"}, *self._body([event])["blocks"]]
        if len(own) > _MOST_OWN:
            blocks.append(_section(f"… and {len(own) - _MOST_OWN} more of yours, below"))
        if len(events) > len(own):
            blocks += [_header("All budgets"), *self._body(events)["blocks"]]
        # Each message counts its blocks of buttons from 0; in one view an id may occur once.
        return [{name: value for name, value in block.items() if name != "block_id"} for block in blocks]

    async def _names(self, user: str) -> frozenset[str]:
        """How a budget's OWNER may name a person: by id and, with the scope users:read, by name."""
        try:
            found = (await self._bot.ask("users.info", user=user)).get("user")
        except DeliveryError as error:
            log.info("%s: a person's name could not be read: %s", self._name, error)
            found = None
        known = found if isinstance(found, Mapping) else {}
        profile = known.get("profile") or {}
        names = (user, known.get("name"), profile.get("display_name"), profile.get("email"))
        return frozenset(str(name).casefold() for name in names if name)

    async def _post(
        self,
        found: Sequence[Event] | str,
        kept: dict[str, str],
        post: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Post what was found; one budget with its chart, where Slack has looked at it soon enough."""
        try:
            if isinstance(found, str):
                await post({"text": mrkdwn((Span(found),))})
                return
            if len(found) == 1:
                kept |= await self._charts.drawn(found[0], kept, self._now())
            for wait in (0.0, _PICTURE_SECONDS) if kept.get(PICTURE) else ():
                await asyncio.sleep(wait)
                try:
                    await post(self._body(found, kept[PICTURE]))
                except DeliveryError as error:
                    if error.uncertain:  # it may stand there already
                        raise
                else:
                    return
            await post(self._body(found))
        except DeliveryError as error:
            log.warning("%s: a question was not answered: %s", self._name, error)

    def _body(self, events: Sequence[Event], picture: str = "") -> dict[str, Any]:
        message = compose(events, self._now())
        below = (buttons(events, self._signer) if len(events) == 1 else []) or link_buttons(message.actions)
        return render(message, picture=picture, buttons=below)

    async def _may_not_ask(self, user: str, *, is_shared: bool = False) -> str:
        """Why a person gets no answer; "" where they may ask. In a channel shared with others `*` is nobody."""
        if EVERYBODY in self._viewers.listed and not is_shared:
            return ""
        now = self._now()
        try:
            if await self._users.have(user, now) or await self._viewers.have(user, now):
                return ""
        except DeliveryError as error:
            log.warning("%s: a question is refused, the groups cannot be read: %s", self._name, error)
            return _NO_GROUPS
        log.warning("%s: %s asked for the budgets and is not allowed to", self._name, user)
        return _MAY_NOT_ASK

    async def _respond(self, payload: Mapping[str, Any], body: dict[str, Any], before: str = "") -> None:
        """Answer at the address that came with a command or press."""
        try:
            await self._bot.respond(str(payload.get("response_url", "")), body)
        except DeliveryError as error:
            log.info("%s: the answer could not be shown: %s", self._name, before or error)

    async def _try(self, method: str, **arguments: Any) -> None:
        try:
            await self._bot.ask(method, **arguments)
        except DeliveryError as error:
            log.warning("%s: an answer could not be shown: %s", self._name, error)


def _words(payload: Mapping[str, Any]) -> str:
    """What was asked for, without mentions."""
    return _MENTION.sub(" ", str(payload.get("text", ""))).strip()


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _header(text: str) -> dict[str, Any]:
    return {"type": "header", "text": {"type": "plain_text", "text": text}}
