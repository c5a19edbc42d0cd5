"""A Message as the two bodies of a mail: plain text, and HTML for light, dark and the width of a telephone. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import escape
from typing import Final

from alertd.core.messages import BOLD, CODE, ITALIC, LINK, Line, Message, Span, text_of

_WIDTH: Final = 76
#: A blank between a figure and its unit, at which no line may break: `85 %`, `41.30 USD`.
_FIGURE: Final = re.compile(r"(?<=\d) (?=%|[A-Z]{3}\b)")
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
.below {{ padding-left: 24px; }}
code {{ padding: 1px 4px; border-radius: 4px; background: #f1f1f3; color: #18181b; font-size: 14px;
  font-family: ui-monospace, Menlo, Consolas, monospace; }}
a {{ color: #1d4ed8; }}
.foot {{ margin: 16px 0 0; padding-top: 12px; border-top: 1px solid #e4e4e7; color: #52525b; font-size: 13px; }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #18181b !important; color: #f4f4f5 !important; }}
  .card {{ background: #27272a !important; }}
  code {{ background: #3f3f46 !important; color: #f4f4f5 !important; }}
  a {{ color: #93c5fd !important; }}
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
{lines}
{picture}{footer}
</div>
</body>
</html>
"""


_PICTURE: Final = """\
<p><img src="{source}" alt="Spent so far, the likely range to the period's end, and the budget" width="552"
 style="width: 100%; max-width: 552px; height: auto; border-radius: 6px;"></p>
"""


def text(message: Message) -> str:
    """The plain body: a line for each line, the headline first, a rule before the footer."""
    head = f"{message.icon} {text_of(message.headline)}"
    body = [head, "", *(text_of(line) for line in message.lines)]
    if message.footer:
        body += ["", "-- ".rstrip().ljust(_WIDTH // 2, "-"), text_of(message.footer)]
    return "\n".join(body) + "\n"


def html(message: Message, picture: str = "") -> str:
    """The HTML body: nothing is loaded from anywhere, everything from outside is escaped.

    `picture` is the address of an image within the mail (`cid:...`).
    """
    return _PAGE.format(
        title=escape(message.subject),
        colour=_COLOURS.get(message.severity, "#52525b"),
        icon=message.icon,
        headline="".join(_headline(span) for span in message.headline),
        picture=_PICTURE.format(source=escape(picture)) if picture else "",
        lines="\n".join(map(_paragraph, message.lines)),
        footer=f'<p class="foot">{_footer(message.footer)}</p>' if message.footer else "",
    )


def _paragraph(line: Line) -> str:
    """A line that is indented stands whole below the one before it, however often it wraps."""
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
