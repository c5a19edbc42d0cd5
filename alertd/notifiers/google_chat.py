"""Messages in Google Chat, by a space's webhook; a budget and period is one thread. Nobody is mentioned."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, Final

from pydantic import Field

from alertd.core.messages import Line, Message, Span, text_of
from alertd.notifiers._posted import Posted, drafted, fitting
from alertd.options import NotifierOptions, SecretAddress
from alertd.ports import Delivery

#: 32,000 bytes are allowed; a character has up to four.
_TEXT: Final = 7500
#: Google Chat knows no escape: its marks in outside text become letters that look like them and mean nothing.
_MARKS: Final = str.maketrans({"*": "\u2217", "~": "\u223c", "`": "\u02cb", "<": "\u2039", ">": "\u203a"})
_IN_LINK: Final = str.maketrans({"|": "%7C", "<": "%3C", ">": "%3E", " ": "%20"})


class Options(NotifierOptions):
    """The webhook's URL."""

    url: SecretAddress = Field(
        description="A space's webhook, https://chat.googleapis.com/v1/spaces/...?key=...&token=..."
    )


def build(name: str, options: Options) -> Posted:
    """Return the notifier that posts to a space."""
    return Posted(name, options.url, options, render, url_of=threaded)


def draft(options: Options, delivery: Delivery, now: datetime) -> dict[str, bytes]:
    """The body that would be posted."""
    del options
    return drafted(render, ".google-chat.json", delivery, now)


def render(message: Message) -> dict[str, Any]:
    """The whole message as one text."""
    lines = [f"{message.icon} {_line(message.headline)}", *(_line(line) for line in message.lines)]
    foot = [f"_{text_of(message.footer).translate(_MARKS)}_"] if message.footer else []
    return {"text": "\n".join([*fitting(lines, _TEXT), *foot])}


def threaded(url: str, delivery: Delivery) -> str:
    """The webhook's URL with the thread of the delivery's conversation."""
    thread = hashlib.sha256(delivery.conversation.encode()).hexdigest()[:32]
    join = "&" if "?" in url else "?"
    return f"{url}{join}threadKey={thread}&messageReplyOption=REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"


def _line(line: Line) -> str:
    return "".join(_span(span) for span in line)


def _span(span: Span) -> str:
    inner = span.text.strip()
    match span.style:
        case "code":
            return f"`{span.text.translate(_MARKS)}`"
        case "bold" if inner:
            before, _, after = span.text.partition(inner)
            return f"{before}*{inner.translate(_MARKS)}*{after}"
        case "link" if span.href.startswith(("https://", "http://")):
            return f"<{span.href.translate(_IN_LINK)}|{span.text.translate(_MARKS)}>"
        case _:
            return span.text.translate(_MARKS)
