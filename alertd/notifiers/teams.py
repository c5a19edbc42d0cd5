"""Messages in Microsoft Teams, by the URL of a Workflow. Cards of styled runs: nothing in them is read as mark-up."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from pydantic import Field

from alertd.core.messages import BOLD, CODE, ITALIC, LINK, Line, Message, Span, text_of
from alertd.notifiers._posted import Posted, drafted
from alertd.options import NotifierOptions, SecretAddress
from alertd.ports import Delivery
from alertd.wire.answers import Answer

#: A card may have 28 kB; a line of the evidence is rarely over 200 bytes, a run costs 60 more.
_LINES: Final = 60
_RUN: Final = 400
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
    """An adaptive card of version 1.4: the headline large, then a block a line."""
    head = _block((Span(f"{message.icon} "), *message.headline), size="medium")
    head["inlines"][0]["color"] = _COLOURS.get(message.severity, "default")
    lines = [_block(_below(line), spacing="small") for line in message.lines[:_LINES]]
    rest = len(message.lines) - _LINES
    more = [_block((Span(f"… and {rest} more lines"),), spacing="small")] if rest > 0 else []
    foot = [_block(message.footer, size="small", isSubtle=True)] if message.footer else []
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": f"{message.icon} {text_of(message.headline)}"[:_RUN],
        "msteams": {"width": "Full"},
        "body": [head, *lines, *more, *foot],
    }
    content = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [content]}


def fault(answer: Answer) -> str:
    """Connectors and some flows answer 200 and say in the body what failed."""
    text = answer.body[:400].decode(errors="replace")
    return f"Teams says: {text}" if "failed with error" in text or "HTTP error 429" in text else ""


def _below(line: Line) -> Line:
    """An indented line by wide blanks: of others Teams shows one."""
    text = line[0].text if line else ""
    inner = text.lstrip(" ")
    return (replace(line[0], text="\u2003" * ((len(text) - len(inner)) // 3) + inner), *line[1:]) if line else ()


def _block(line: Line, *, size: str = "default", spacing: str = "default", **run: Any) -> dict[str, Any]:
    return {"type": "RichTextBlock", "spacing": spacing, "inlines": [_run(span, size, run) for span in line]}


def _run(span: Span, size: str, more: dict[str, Any]) -> dict[str, Any]:
    run = {"type": "TextRun", "text": span.text[:_RUN], "size": size, **_STYLES.get(span.style, {}), **more}
    if span.style == LINK and span.href.startswith(("https://", "http://")):
        run["selectAction"] = {"type": "Action.OpenUrl", "url": span.href}
    return run
