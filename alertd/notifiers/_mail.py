"""A Message as the two bodies of a mail: plain text, and HTML for light, dark and the width of a telephone. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Final

from alertd.core.messages import BOLD, CODE, ITALIC, LINK, Fact, Line, Message, Span, text_of

_WIDTH: Final = 76
#: A blank between a figure and its unit, at which no line may break: `41.30 USD`.
_FIGURE: Final = re.compile(r"(?<=\d) (?=[A-Z]{3}\b)")
_COLOURS: Final = {"info": "#2563eb", "warning": "#d97706", "critical": "#dc2626"}
_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; supported-color-schemes: light dark; }}
body {{ margin: 0; padding: 0; background: #f4f4f5; color: #18181b; -webkit-text-size-adjust: 100%;
  font: 16px/1.5 -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }}
.card {{ max-width: 600px; margin: 24px auto; padding: 20px 24px; background: #ffffff; border-radius: 8px;
  border-left: 6px solid {colour}; overflow-wrap: anywhere; }}
h1 {{ margin: 0 0 12px; font-size: 20px; line-height: 1.35; font-weight: 600; }}
h1 .plain {{ font-weight: 400; }}
p {{ margin: 0 0 8px; }}
.facts {{ width: 100%; border-collapse: collapse; margin: 0 0 12px; border-top: 1px solid #e4e4e7; }}
.facts td {{ width: 50%; padding: 8px 12px 8px 0; vertical-align: top; border-bottom: 1px solid #e4e4e7; }}
.label {{ display: block; color: #52525b; font-size: 13px; }}
.facts strong {{ font-size: 17px; }}
.below {{ padding-left: 24px; }}
code {{ padding: 1px 4px; border-radius: 4px; background: #f1f1f3; color: #18181b; font-size: 14px;
  font-family: ui-monospace, Menlo, Consolas, monospace; }}
a {{ color: #1d4ed8; }}
.actions {{ margin: 16px 0 8px; line-height: 44px; }}
.actions a {{ margin-right: 12px; white-space: nowrap; }}
.actions .button {{ display: inline-block; padding: 0 18px; border-radius: 6px; background: #1d4ed8;
  color: #ffffff !important; text-decoration: none; font-weight: 600; }}
.foot {{ margin: 16px 0 0; padding-top: 12px; border-top: 1px solid #e4e4e7; color: #52525b; font-size: 13px; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #18181b !important; color: #f4f4f5 !important; }}
  .card {{ background: #27272a !important; }}
  code {{ background: #3f3f46 !important; color: #f4f4f5 !important; }}
  a {{ color: #93c5fd !important; }}
  .facts, .facts td {{ border-color: #3f3f46 !important; }}
  .label {{ color: #a1a1aa !important; }}
  .foot {{ border-color: #3f3f46 !important; color: #a1a1aa !important; }}
}}
@media (max-width: 640px) {{
  .card {{ margin: 0; border-radius: 0; padding: 16px; }}
}}
</style>
</head>
<body>
<div class="card">
<h1>{icon} {headline}</h1>
{buttons}{facts}{lines}
{picture}{footer}
</div>
</body>
</html>
"""


_PICTURE: Final = """\
<p><picture>{dark}<img src="{light}" alt="Spent so far, the likely range to the period's end, and the budget"
 width="552" style="width: 100%; max-width: 552px; height: auto;"></picture></p>
"""
_DARK: Final = '<source srcset="{source}" media="(prefers-color-scheme: dark)">'


def text(message: Message) -> str:
    """The plain body: the headline, links, facts in a column, a line for each line, a rule before the footer."""
    head = f"{message.icon} {text_of(message.headline)}"
    links = [f"{one.text}: {one.href}" for one in message.actions]
    width = max((len(one.label) for one in message.facts), default=0) + 3
    facts = [f"{one.label:<{width}}{text_of(one.value)}" for one in message.facts]
    parts = (links, facts, [text_of(line) for line in message.lines])
    body = [head, *(line for part in parts if part for line in ("", *part))]
    if message.footer:
        body += ["", "-- ".rstrip().ljust(_WIDTH // 2, "-"), text_of(message.footer)]
    return "\n".join(body) + "\n"


def html(message: Message, picture: str = "", dark: str = "") -> str:
    """The HTML body: nothing is loaded from anywhere, everything from outside is escaped.

    `picture` and its twin for `dark` are addresses of images within the mail (`cid:...`).
    """
    return _PAGE.format(
        title=escape(message.subject),
        colour=_COLOURS.get(message.tone or message.severity, "#52525b"),
        icon=message.icon,
        headline="".join(_headline(span) for span in message.headline),
        picture=_PICTURE.format(light=escape(picture), dark=_DARK.format(source=escape(dark)) if dark else "")
        if picture
        else "",
        facts=_table(message.facts),
        lines="\n".join(map(_paragraph, message.lines)),
        buttons=_buttons(message.actions),
        footer=f'<p class="foot">{_footer(message.footer)}</p>' if message.footer else "",
    )


def _buttons(actions: Sequence[Span]) -> str:
    """The first action as a button, the others as links beside it."""
    shown = [
        f'<a class="{"button" if not count else "link"}" href="{escape(one.href)}">{escape(one.text)}</a>'
        for count, one in enumerate(actions)
        if one.href.startswith(("https://", "http://"))
    ]
    return f'<p class="actions">{" ".join(shown)}</p>\n' if shown else ""


def _table(facts: Sequence[Fact]) -> str:
    """Two facts in a row, the label above the value."""
    cells = [f'<td><span class="label">{escape(one.label)}</span>\n{_line(one.value)}</td>' for one in facts]
    pairs = zip(cells[::2], [*cells[1::2], "<td></td>"], strict=False)
    rows = "\n".join(f"<tr>{left}\n{right}</tr>" for left, right in pairs)
    return f'<table class="facts" role="presentation">\n{rows}\n</table>\n' if rows else ""


def _paragraph(line: Line) -> str:
    """An indented line stays indented when it wraps."""
    below = ' class="below"' if line and line[0].text.startswith("  ") else ""
    return f"<p{below}>{_line(line)}</p>"


def _line(line: Line) -> str:
    return "".join(_STYLES.get(span.style, _plain)(span) for span in line)


def _headline(span: Span) -> str:
    if span.style == CODE:
        return _code(span)
    return _words(span) if span.style == BOLD else f'<span class="plain">{_words(span)}</span>'


def _footer(line: Line) -> str:
    return "".join(_words(span) if span.style == ITALIC else _STYLES.get(span.style, _plain)(span) for span in line)


def _plain(span: Span) -> str:
    return _words(Span(span.text.lstrip(" "))) if span.text.startswith("  ") else _words(span)


def _words(span: Span) -> str:
    return _FIGURE.sub("&nbsp;", escape(span.text))


def _code(span: Span) -> str:
    return f"<code>{escape(span.text)}</code>"


def _link(span: Span) -> str:
    if not span.href.startswith(("https://", "http://")):
        return escape(f"{span.text}: {span.href}")
    return f'<a href="{escape(span.href)}">{escape(span.text)}</a>'


_STYLES: Final[Mapping[str, Callable[[Span], str]]] = {
    BOLD: lambda span: f"<strong>{_words(span)}</strong>",
    ITALIC: lambda span: f"<em>{_words(span)}</em>",
    CODE: _code,
    LINK: _link,
}
