"""Receive interactions from Slack by Socket Mode: only from listed people, with a private answer to each.

A payload that does not come from a button of alertd is dropped without an answer.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from alertd.clients.slack import SlackBot
from alertd.clients.slack_socket import SocketMode
from alertd.core.messages import Span
from alertd.notifiers._blocks import mrkdwn
from alertd.notifiers._buttons import ButtonSigner, parse_press
from alertd.plugin_options import Connection
from alertd.ports import DeliveryError, Press

log = logging.getLogger(__name__)

#: How long the members of a group are cached.
_MEMBERS_FOR: Final = timedelta(minutes=5)
_GROUP: Final = "S"


class SlackInteractions:
    """Receives interactions for one app. `users` are ids of members and of user groups."""

    def __init__(
        self, bot: SlackBot, app_token: str, connection: Connection, *, users: Sequence[str], signer: ButtonSigner
    ) -> None:
        self._name, self._bot, self._signer = bot.name, bot, signer
        self._people = frozenset(user for user in users if not user.startswith(_GROUP))
        self._groups = tuple(user for user in users if user.startswith(_GROUP))
        self._members: frozenset[str] = frozenset()
        self._members_until: datetime | None = None
        self._socket = SocketMode(bot.name, app_token, bot.api_url, connection)

    async def listen(self, take: Callable[[Press], Awaitable[str]]) -> None:
        """Run until cancelled."""

        async def heard(payload: Mapping[str, object]) -> None:
            await self._heard(payload, take)

        await self._socket.listen(heard)

    async def look(self) -> str:
        """Whether the app token opens a connection, and who may press. DeliveryError."""
        await self._socket.address()
        groups = f" and {len(await self._of_groups())} members of {', '.join(self._groups)}" if self._groups else ""
        return f"buttons for {', '.join(sorted(self._people)) or 'nobody by name'}{groups}"

    async def _heard(self, payload: Mapping[str, object], take: Callable[[Press], Awaitable[str]]) -> None:
        press = parse_press(payload, self._signer)
        if press is None:
            log.warning("%s: dropped a payload that no button of alertd sends", self._name)
            return
        user = press.person.removeprefix("slack:")
        try:
            allowed = await self._may(user)
        except DeliveryError as error:
            log.warning("%s: %s chose %s: refused, the groups cannot be read: %s",
                        self._name, press.by, press.what, error)  # fmt: skip
            await self._answer_privately(
                payload, user, "The members of your groups could not be read from Slack; nothing was done."
            )
            return
        if not allowed:
            log.warning("%s: %s chose %s and is not allowed to", self._name, press.by, press.what)
            await self._answer_privately(payload, user, "You are not allowed to press this; nothing was done.")
            return
        await self._answer_privately(payload, user, await take(press))

    async def _may(self, user: str) -> bool:
        return user in self._people or (bool(self._groups) and user in await self._of_groups())

    async def _of_groups(self) -> frozenset[str]:
        now = datetime.now(UTC)
        if self._members_until is None or now >= self._members_until:
            found: set[str] = set()
            for group in self._groups:
                answer = await self._bot.ask("usergroups.users.list", usergroup=group)
                found |= {str(user) for user in answer.get("users") or []}
            self._members, self._members_until = frozenset(found), now + _MEMBERS_FOR
        return self._members

    async def _answer_privately(self, payload: Mapping[str, Any], user: str, said: str) -> None:
        """Answer the person privately. If that fails, the action itself still holds."""
        if not said:
            return
        channel, message = payload.get("channel") or {}, payload.get("message") or {}
        place = {"channel": str(channel.get("id", "")), "thread_ts": message.get("thread_ts")}
        try:
            await self._bot.ask("chat.postEphemeral", user=user, text=mrkdwn((Span(said),)), **place)
        except DeliveryError as error:
            log.info("%s: the answer could not be shown: %s", self._name, error)
