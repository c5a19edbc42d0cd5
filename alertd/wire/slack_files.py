"""A picture for Slack's messages: the three calls of an upload. It sends bytes nowhere but to Slack's own hosts."""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import urlsplit
from urllib.request import Request

from alertd.ports import DeliveryError
from alertd.wire.slack import SlackBot

_HOST: Final = ".slack.com"


async def upload(bot: SlackBot, filename: str, title: str, content: bytes) -> str:
    """The id of a file that a message's image block may name. Needs the scope files:write. DeliveryError."""
    ticket = await bot.ask("files.getUploadURLExternal", filename=filename, length=len(content))
    url, file = str(ticket.get("upload_url", "")), str(ticket.get("file_id", ""))
    if not _is_slacks(url, bot.api_url):
        raise DeliveryError(f"{bot.name}: Slack names an address for a picture that is not Slack's", permanent=True)
    request = Request(url, data=content, headers={"Content-Type": "image/png"}, method="POST")  # noqa: S310 - as above
    await bot.call(lambda line: bot.opened(request, line))
    await bot.ask("files.completeUploadExternal", files=json.dumps([{"id": file, "title": title}]))
    return file


async def forget(bot: SlackBot, file: str) -> None:
    """Remove a picture that no message shows any more. DeliveryError."""
    await bot.ask("files.delete", file=file)


def _is_slacks(url: str, api_url: str) -> bool:
    """Slack's host over TLS, or the very host and scheme of the configured API."""
    found, api = urlsplit(url), urlsplit(api_url)
    own = (found.scheme, found.hostname, found.port) == (api.scheme, api.hostname, api.port)
    return own or (found.scheme == "https" and (found.hostname or "").endswith(_HOST))
