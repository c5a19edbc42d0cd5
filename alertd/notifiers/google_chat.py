"""Messages in Google Chat, by a space's webhook; a budget and period is one thread. Nobody is mentioned."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any, Final

from pydantic import Field

from alertd.core.messages import Fact, Line, Message, Span, text_of
from alertd.notifiers._posted import ALTERNATIVE, Posted, drafted, fitting
from alertd.plugin_options import NotifierOptions, SecretAddress
from alertd.ports import Delivery

#: 32,000 bytes are allowed; a character has up to four.
_TEXT: Final = 6000
_FACTS: Final = 10
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
    """The headline as the text (what a telephone shows); a card with buttons, facts in two columns and the lines."""
    lines = fitting([_html(line) for line in message.lines], _TEXT)
    foot = f'<font color="#5f6368"><i>{escape(text_of(message.footer))}</i></font>' if message.footer else ""
    widgets = [
        *_buttons(message.actions),
        *(_columns(message.facts[count : count + 2]) for count in range(0, len(message.facts[:_FACTS]), 2)),
        *([_paragraph(lines)] if lines else []),
        *([{"image": {"imageUrl": message.picture_url, "altText": ALTERNATIVE}}] if message.picture_url else []),
        *([_paragraph([foot])] if foot else []),
    ]
    body: dict[str, Any] = {"text": _cut(f"{message.icon} {_line(message.headline)}")}
    if widgets:
        body["cardsV2"] = [{"cardId": "alert", "card": {"sections": [{"widgets": widgets}]}}]
    return body


def _paragraph(lines: Sequence[str]) -> dict[str, Any]:
    return {"textParagraph": {"text": "<br>".join(lines)}}


def _buttons(actions: Sequence[Span]) -> list[dict[str, Any]]:
    buttons = [
        {"text": one.text, "onClick": {"openLink": {"url": one.href}}}
        for one in actions
        if one.href.startswith(("https://", "http://"))
    ]
    return [{"buttonList": {"buttons": buttons}}] if buttons else []


def _columns(facts: Sequence[Fact]) -> dict[str, Any]:
    """Two facts beside one another, each with its label above it."""
    items = [
        {"widgets": [{"decoratedText": {"topLabel": one.label, "text": _html(one.value), "wrapText": True}}]}
        for one in facts
    ]
    return {"columns": {"columnItems": items}}


def _html(line: Line) -> str:
    """A line in the HTML that cards read; what is no such mark is escaped."""
    return "".join(_marked(span) for span in line).replace("      ", "&nbsp; &nbsp; &nbsp; ")


def _marked(span: Span) -> str:
    text = escape(span.text)
    match span.style:
        case "bold" | "code":  # cards know no code
            return f"<b>{text}</b>"
        case "italic":
            return f"<i>{text}</i>"
        case "link" if span.href.startswith(("https://", "http://")):
            return f'<a href="{escape(span.href)}">{text}</a>'
        case _:
            return text


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT else f"{text[: _TEXT - 1]}…"


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
