"""The chart in Slack's live messages: drawn now and then, uploaded, the one before removed.

A message without its chart is whole: nothing here is worth a failure.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from alertd.clients.png import png
from alertd.clients.slack import SlackBot, forget, upload
from alertd.core.charts.message_chart import story
from alertd.core.events import Event
from alertd.ports import DeliveryError

log = logging.getLogger(__name__)

#: The file that a message shows, and what was drawn in it: a status, and when.
PICTURE: Final = "live.picture"
_DRAWN: Final = "live.drawn"
#: A curve of a month is not another one after minutes; a state that changed is drawn at once.
_EVERY: Final = timedelta(hours=3)


class Charts:
    """Draws for one workspace. Where the app may not upload, or the extra `charts` is absent, messages have none."""

    def __init__(self, bot: SlackBot) -> None:
        self._bot = bot

    async def drawn(self, event: Event, memory: Mapping[str, str], now: datetime) -> dict[str, str]:
        """What to remember of the picture that the message should show now; nothing where it stays as it is."""
        before, _, at = memory.get(_DRAWN, "").partition("@")
        state = event.status
        if before == state and at and now - datetime.fromisoformat(at) < _EVERY:
            return {}
        content = await asyncio.to_thread(lambda: png(story(event, now)))
        if not content:
            return {}
        old, seen = memory.get(PICTURE, ""), {_DRAWN: f"{state}@{now.isoformat()}"}
        try:
            seen[PICTURE] = await upload(self._bot, f"alertd-{now:%Y%m%dT%H%M%S}.png", event.budget, content)
            if old:
                await forget(self._bot, old)
        except DeliveryError as error:
            log.info("%s: no chart this time: %s", self._bot.name, error)
        return seen
