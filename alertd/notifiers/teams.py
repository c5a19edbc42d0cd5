"""Messages in Microsoft Teams, by the URL of a Workflow. Cards of styled runs: nothing in them is read as mark-up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from pydantic import Field

from alertd.clients.http_response import Answer
from alertd.core.messages import BOLD, CODE, ITALIC, LINK, Fact, Line, Message, Span, text_of
from alertd.notifiers._posted import ALTERNATIVE, Posted, drafted
from alertd.plugin_options import NotifierOptions, SecretAddress
from alertd.ports import Delivery

#: A card may have 28 kB; a line of the evidence is rarely over 200 bytes, a run costs 60 more.
_LINES: Final = 60
_RUN: Final = 400
_FACTS: Final = 10
_COLOURS: Final = {"info": "accent", "warning": "warning", "critical": "attention"}
_STYLES: Final[dict[str, dict[str, Any]]] = {
    BOLD: {"weight": "bolder"},
    CODE: {"fontType": "monospace"},
    ITALIC: {"italic": True},
}


class Options(NotifierOptions):
    """The Workflow's URL."""

    url: SecretAddress = Field(
        description="The URL of a Workflow 'post to a channel when a webhook request is received'"
    )


def build(name: str, options: Options) -> Posted:
    """Return the notifier that posts adaptive cards."""
    return Posted(name, options.url, options, render, fault=fault)


def draft(options: Options, delivery: Delivery, now: datetime) -> dict[str, bytes]:
    """The card's JSON, to be pasted into Microsoft's card designer."""
    del options
    return drafted(render, ".teams.json", delivery, now)


def render(message: Message) -> dict[str, Any]:
    """An adaptive card of version 1.4: the headline large, facts in two columns, then a block a line."""
    head = _block((Span(f"{message.icon} "), *message.headline), size="medium")
    head["inlines"][0]["color"] = _COLOURS.get(message.tone or message.severity, "default")
    facts = [_columns(message.facts[count : count + 2]) for count in range(0, len(message.facts[:_FACTS]), 2)]
    lines = [_block(_below(line), spacing="small") for line in message.lines[:_LINES]]
    rest = len(message.lines) - _LINES
    more = [_block((Span(f"… and {rest} more lines"),), spacing="small")] if rest > 0 else []
    image = {"type": "Image", "url": message.picture_url, "altText": ALTERNATIVE, "size": "stretch"}
    picture = [image] if message.picture_url else []
    foot = [_block(message.footer, size="small", isSubtle=True)] if message.footer else []
    opened = [
        {"type": "Action.OpenUrl", "title": one.text, "url": one.href}
        for one in message.actions
        if one.href.startswith(("https://", "http://"))
    ]
    buttons = [{"type": "ActionSet", "actions": opened}] if opened else []
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": f"{message.icon} {text_of(message.headline)}"[:_RUN],
        "msteams": {"width": "Full"},
        "body": [head, *buttons, *facts, *lines, *more, *picture, *foot],
    }
    content = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [content]}


def fault(answer: Answer) -> str:
    """Connectors and some flows answer 200, and write in the body that the delivery failed."""
    text = answer.body[:400].decode(errors="replace")
    status = re.search(r"HTTP error (\d{3})", text)
    if "failed with error" not in text and (status is None or status[1] != "429"):
        return ""
    return "Teams could not deliver the message" + (f": HTTP error {status[1]}" if status else "")


def _columns(facts: Sequence[Fact]) -> dict[str, Any]:
    """Two facts beside one another, each a label above its value; a FactSet would read marks in a value."""
    columns = [
        {"type": "Column", "width": "stretch", "items": [
            _block((Span(one.label),), size="small", isSubtle=True), _block(one.value, spacing="none")]}
        for one in facts
    ]  # fmt: skip
    return {"type": "ColumnSet", "spacing": "small", "columns": columns}


def _below(line: Line) -> Line:
    """An indented line by wide blanks: of others Teams shows one."""
    text = line[0].text if line else ""
    inner = text.lstrip(" ")
    return (replace(line[0], text="\u2003" * ((len(text) - len(inner)) // 3) + inner), *line[1:]) if line else ()


def _block(line: Line, *, size: str = "default", spacing: str = "default", **run: Any) -> dict[str, Any]:
    return {"type": "RichTextBlock", "spacing": spacing, "inlines": [_run(span, size, run) for span in line]}


def _run(span: Span, size: str, more: dict[str, object]) -> dict[str, object]:
    run = {"type": "TextRun", "text": span.text[:_RUN], "size": size, **_STYLES.get(span.style, {}), **more}
    if span.style == LINK and span.href.startswith(("https://", "http://")):
        run["selectAction"] = {"type": "Action.OpenUrl", "url": span.href}
    return run
