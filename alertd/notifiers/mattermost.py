"""Messages in Mattermost, by an incoming webhook. Nobody is mentioned; marks of Markdown in outside text are escaped.

Source: Mattermost's developer documentation, "Incoming webhooks" and "Use message attachments". A server answers 200
with the text `ok`.
"""

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

#: A post may have 16,383 characters; an attachment's text is a part of it.
_TEXT: Final = 7000
_HEADLINE: Final = 1000
_MOST_FIELDS: Final = 10
_MARKS: Final = re.compile(r"([\\`*_{}\[\]()#+\-.!|~<>])")
#: `@all`, `:tada:` and `~town-square` have no escape: an invisible space after the sign ends the word.
_SIGNS: Final = re.compile(r"(@(?=\w)|:(?=[A-Za-z_+-]))")
_COLOURS: Final = {"info": "#2563eb", "warning": "#d97706", "critical": "#dc2626"}


class Options(NotifierOptions):
    """The webhook's URL."""

    url: SecretAddress = Field(description="An incoming webhook, https://mattermost.example.com/hooks/...")


def build(name: str, options: Options) -> Posted:
    """Return the notifier that posts attachments."""
    return Posted(name, options.url, options, render)


def draft(options: Options, delivery: Delivery, now: datetime) -> dict[str, bytes]:
    """The body that would be posted."""
    del options
    return drafted(render, ".mattermost.json", delivery, now)


def render(message: Message) -> dict[str, object]:
    """The headline as the text (what a telephone shows), the evidence as an attachment in the severity's colour."""
    headline = f"{message.icon} {_line(message.headline)}"
    plain = f"{message.icon} {_escaped(text_of(message.headline)[: _HEADLINE // 2])}"
    attachment: dict[str, Any] = {
        "fallback": f"{message.icon} {text_of(message.headline)}"[:_HEADLINE],
        "color": _COLOURS.get(message.tone or message.severity, ""),
        "text": "\n".join(fitting([_line(line) for line in (*actions_line(message), *message.lines)], _TEXT)),
    }
    if message.facts:
        attachment["fields"] = [
            {"title": one.label, "value": _line(one.value), "short": True} for one in message.facts[:_MOST_FIELDS]
        ]
    if message.picture_url:
        attachment["image_url"] = message.picture_url
    if message.footer:
        attachment["footer"] = text_of(message.footer)[:_HEADLINE]  # plain text there
    return {"text": headline if len(headline) <= _HEADLINE else plain, "attachments": [attachment]}


def _line(line: Line) -> str:
    text = "".join(_span(span) for span in line)
    inner = text.lstrip(" ")
    return "\u2003" * ((len(text) - len(inner)) // 3) + inner  # Markdown drops blanks at a line's start


def _span(span: Span) -> str:
    inner = span.text.strip()
    match span.style:
        case "code":
            return f"`{span.text.replace('`', 'ˋ')}`"
        case "bold" | "italic" if inner:
            mark = {BOLD: "**", ITALIC: "*"}[span.style]
            before, _, after = span.text.partition(inner)
            return f"{before}{mark}{_escaped(inner)}{mark}{after}"
        case "link" if span.href.startswith(("https://", "http://")):
            return f"[{_escaped(span.text)}](<{span.href.replace('>', '%3E').replace(' ', '%20')}>)"
        case _:
            return _escaped(span.text)


def _escaped(text: str) -> str:
    return _SIGNS.sub("\\1\u200b", _MARKS.sub(r"\\\1", text))
