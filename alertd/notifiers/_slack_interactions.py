"""What people press below Slack's messages, by Socket Mode: only whoever is named is listened to, and told what came.

A payload that no button of alertd's would have caused is dropped without an answer.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from alertd.core.messages import Span
from alertd.notifiers._blocks import mrkdwn
from alertd.notifiers._buttons import Seal, pressed
from alertd.options import Connection
from alertd.ports import DeliveryError, Press
from alertd.wire.slack import SlackBot
from alertd.wire.socketmode import SocketMode

log = logging.getLogger(__name__)

#: How long the members of a group are believed to be the same.
_MEMBERS_FOR: Final = timedelta(minutes=5)
_GROUP: Final = "S"


class SlackInteractions:
    """Hears presses for one app. `users` are ids of members and of user groups."""

    def __init__(
        self, bot: SlackBot, app_token: str, connection: Connection, *, users: Sequence[str], seal: Seal
    ) -> None:
        self._name, self._bot, self._seal = bot.name, bot, seal
        self._people = frozenset(user for user in users if not user.startswith(_GROUP))
        self._groups = tuple(user for user in users if user.startswith(_GROUP))
        self._members: frozenset[str] = frozenset()
        self._members_until: datetime | None = None
        self._socket = SocketMode(bot.name, app_token, bot.api_url, connection)

    async def listen(self, take: Callable[[Press], Awaitable[str]]) -> None:
        """For ever; ends only by being cancelled."""

        async def heard(payload: Mapping[str, Any]) -> None:
            await self._heard(payload, take)

        await self._socket.listen(heard)

    async def look(self) -> str:
        """Whether the app token opens a connection, and who may press. DeliveryError."""
        await self._socket.address()
        groups = f" and {len(await self._of_groups())} members of {', '.join(self._groups)}" if self._groups else ""
        return f"buttons for {', '.join(sorted(self._people)) or 'nobody by name'}{groups}"

    def close(self) -> None:
        self._socket.close()

    async def _heard(self, payload: Mapping[str, Any], take: Callable[[Press], Awaitable[str]]) -> None:
        press = pressed(payload, self._seal)
        if press is None:
            log.warning("%s: dropped what no button of alertd's would send", self._name)
            return
        user = press.person.removeprefix("slack:")
        try:
            allowed = await self._may(user)
        except DeliveryError as error:
            log.warning("%s: %s pressed %s: refused, the groups cannot be read: %s",
                        self._name, press.by, press.what, error)  # fmt: skip
            await self._whisper(payload, user, "Slack did not tell who is in your groups; nothing was done.")
            return
        if not allowed:
            log.warning("%s: %s pressed %s and is not among those who may", self._name, press.by, press.what)
            await self._whisper(payload, user, "You are not among those who may press this; nothing was done.")
            return
        await self._whisper(payload, user, await take(press))

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

    async def _whisper(self, payload: Mapping[str, Any], user: str, said: str) -> None:
        """Tell whoever pressed, and nobody else; that it could not be told changes nothing of what was done."""
        if not said:
            return
        channel, message = payload.get("channel") or {}, payload.get("message") or {}
        place = {"channel": str(channel.get("id", "")), "thread_ts": message.get("thread_ts")}
        try:
            await self._bot.ask("chat.postEphemeral", user=user, text=mrkdwn((Span(said),)), **place)
        except DeliveryError as error:
            log.info("%s: whoever pressed could not be told: %s", self._name, error)
