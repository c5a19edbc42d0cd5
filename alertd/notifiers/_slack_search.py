"""Whether a message is in a Slack channel already, by the key in its metadata: before it is sent a second time."""

from __future__ import annotations

from typing import Any, Final

from alertd.clients.slack import SlackBot, SlackError

#: The name under which a message's metadata holds its key.
KEY: Final = "key"
_HISTORY: Final = 100
_PAGE: Final = 1000


class Search:
    """Looks among the latest messages of a channel or thread."""

    def __init__(self, bot: SlackBot) -> None:
        self._bot = bot

    async def found(self, channel: str, thread: str, key: str, *, but: str = "") -> str:
        """`channel/ts` of the message with this key (`but` that one) among the channel's latest.

        "" where it is not, or cannot be read.

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
        stamps = [str(one.get("ts", "")) for one in messages if _key_of(one) == key and one.get("ts") != but]
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


def _key_of(message: dict[str, Any]) -> str:
    metadata = message.get("metadata") or {}
    return str((metadata.get("event_payload") or {}).get(KEY, "")) if isinstance(metadata, dict) else ""
