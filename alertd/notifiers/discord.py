"""Messages in Discord, by webhook. Mentions are off; every mark of its Markdown in outside text is escaped."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

from pydantic import Field

from alertd.core.messages import BOLD, ITALIC, Line, Message, Span, text_of
from alertd.core.messages.rich_text import actions_line
from alertd.notifiers._posted import Posted, drafted, fitting
from alertd.plugin_options import NotifierOptions, SecretAddress
from alertd.ports import Delivery

_MARKS: Final = re.compile(r"([\\*_~`|>\[\]()#<@:-])")
_TITLE: Final = 256
_DESCRIPTION: Final = 3000
#: 25 fields of 1,024 characters are allowed, and 6,000 characters in an embed.
_FIELD: Final = 180
_MOST_FIELDS: Final = 10
_FOOTER: Final = 1000
_CONTENT: Final = 1900
_COLOURS: Final = {"info": 0x2563EB, "warning": 0xD97706, "critical": 0xDC2626}


class Options(NotifierOptions):
    """The webhook's URL."""

    url: SecretAddress = Field(description="A channel's webhook, https://discord.com/api/webhooks/...")


def build(name: str, options: Options) -> Posted:
    """Return the notifier that posts embeds."""
    return Posted(name, options.url, options, render)


def draft(options: Options, delivery: Delivery, now: datetime) -> dict[str, bytes]:
    """The body that would be posted."""
    del options
    return drafted(render, ".discord.json", delivery, now)


def render(message: Message) -> dict[str, object]:
    """A headline as the content (what a telephone shows), the evidence as an embed in the severity's colour."""
    embed: dict[str, Any] = {
        "description": "\n".join(
            fitting([_line(line) for line in (*actions_line(message), *message.lines)], _DESCRIPTION)
        ),
        "color": _COLOURS.get(message.tone or message.severity, 0),
    }
    if message.facts:
        embed["fields"] = [
            {"name": _escaped(one.label)[:_TITLE], "value": _cut(_line(one.value)), "inline": True}
            for one in message.facts[:_MOST_FIELDS]
        ]
    if message.picture_url:
        embed["image"] = {"url": message.picture_url}
    if message.footer:
        embed["footer"] = {"text": text_of(message.footer)[:_FOOTER]}
    content = f"{message.icon} {_line(message.headline)}"
    return {
        "content": content if len(content) <= _CONTENT else f"{message.icon} {_escaped(message.subject[:_TITLE])}",
        "embeds": [embed],
        "allowed_mentions": {"parse": []},
    }


def _cut(text: str) -> str:
    return text if len(text) <= _FIELD else f"{text[: _FIELD - 1].rstrip(chr(92))}…"


def _line(line: Line) -> str:
    text = "".join(_span(span) for span in line)
    inner = text.lstrip(" ")
    return "\u2003" * ((len(text) - len(inner)) // 3) + inner  # Discord drops blanks at a line's start


def _span(span: Span) -> str:
    match span.style:
        case "code":
            return f"`{span.text.replace('`', 'ˋ')}`"
        case "bold" | "italic" if span.text.strip():
            mark = {BOLD: "**", ITALIC: "*"}[span.style]
            inner = span.text.strip()
            before, _, after = span.text.partition(inner)
            return f"{before}{mark}{_escaped(inner)}{mark}{after}"
        case "link" if span.href.startswith(("https://", "http://")):
            return f"[{_escaped(span.text)}](<{span.href.replace('>', '%3E').replace(' ', '%20')}>)"
        case _:
            return _escaped(span.text)


def _escaped(text: str) -> str:
    return _MARKS.sub(r"\\\1", text)
