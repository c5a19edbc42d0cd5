"""A Message as Slack's blocks: escaped, and cut with a count to stay within every limit. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from alertd.core.messages import BOLD, CODE, ITALIC, LINK, Line, Message, Span

#: Slack's limits: a section's text, a fallback text (advised), and what was observed over all blocks together (13,000).
_SECTION: Final = 2900
_FALLBACK: Final = 3000
_TOGETHER: Final = 11_000
_CONTEXT: Final = 1900
#: Slack takes ten fields of 2,000 characters in a section.
_FIELD: Final = 500
_MOST_FIELDS: Final = 10
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
#: Marks that Slack cannot escape, as the nearest letters that mean nothing to it.
_MARKS: Final = str.maketrans({"*": "\u2217", "~": "\u223c", "`": "\u02cb"})
_IN_CODE: Final = str.maketrans({"`": "\u02cb"})
_IN_LINK: Final = str.maketrans({"|": "%7C", "<": "%3C", ">": "%3E", " ": "%20"})


def render(
    message: Message, *, picture: str = "", picture_url: str = "", buttons: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """`text` (for notifications and old clients) and `blocks` of a chat.postMessage or an incoming webhook.

    `picture` is the id of an uploaded chart, `picture_url` an address of one; `buttons` are blocks below the headline.
    """
    headline = f"{message.icon} {mrkdwn(message.headline)}"
    lines, footer = [mrkdwn(line) for line in message.lines], mrkdwn(message.footer)
    fields = [_cut(f"{_escaped(one.label)}\n{mrkdwn(one.value)}", _FIELD) for one in message.facts[:_MOST_FIELDS]]
    taken = len(footer) + sum(map(len, fields))
    first, *rest = [_section(text) for text in _sections(_whole_lines([headline, *lines], taken))]
    blocks = [first, *buttons]
    if fields:
        blocks.append({"type": "section", "fields": [_text(field) for field in fields]})
    blocks += rest
    if picture or picture_url:
        shown = {"slack_file": {"id": picture}} if picture else {"image_url": picture_url}
        blocks.append({"type": "image", **shown, "alt_text": _alternative(message)})
    if footer:
        blocks.append({"type": "context", "elements": [_text(_cut(footer, _CONTEXT))]})
    fallback = "\n".join([f"{message.icon} {_escaped(message.subject)}", *map(mrkdwn, message.body[:1])])
    return {"text": _cut(fallback, _FALLBACK), "blocks": blocks}


def _alternative(message: Message) -> str:
    return f"Spend, likely range and budget of the period. {message.subject}"[:_CONTEXT]


def mrkdwn(line: Line) -> str:
    """A line in Slack's own mark-up, everything in it escaped."""
    return "".join(_STYLES.get(span.style, _plain)(span) for span in line)


def _plain(span: Span) -> str:
    return _escaped(span.text)


def _wrapped(mark: str) -> Callable[[Span], str]:
    def wrap(span: Span) -> str:
        inner = span.text.strip()  # a mark next to a blank is no mark to Slack
        if not inner:
            return span.text
        before = span.text[: len(span.text) - len(span.text.lstrip())]
        after = span.text[len(span.text.rstrip()) :]
        return f"{before}{mark}{_escaped(inner)}{mark}{after}"

    return wrap


def _code(span: Span) -> str:
    return f"`{span.text.translate(_IN_CODE).translate(_ESCAPES)}`"


def _link(span: Span) -> str:
    return f"<{span.href.translate(_IN_LINK).replace('&', '&amp;')}|{_escaped(span.text)}>"


_STYLES: Final[Mapping[str, Callable[[Span], str]]] = {
    BOLD: _wrapped("*"),
    ITALIC: _wrapped("_"),
    CODE: _code,
    LINK: _link,
}


def _escaped(text: str) -> str:
    return text.translate(_MARKS).translate(_ESCAPES)


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _text(text)}


def _text(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _whole_lines(lines: list[str], reserved: int) -> list[str]:
    """As many lines as fit all together, then how many do not: no line is cut inside its mark-up."""
    kept: list[str] = []
    space = _TOGETHER - reserved
    for count, line in enumerate(lines):
        short = line if len(line) <= _SECTION else _cut(line, _SECTION)
        if len(short) + 1 > space:
            return [*kept, f"… and {len(lines) - count} more lines"]
        kept.append(short)
        space -= len(short) + 1
    return kept


def _sections(lines: Iterable[str]) -> Iterable[str]:
    """The headline alone, then the lines in as few sections as hold them."""
    headline, *rest = lines
    yield headline
    text = ""
    for line in rest:
        if text and len(text) + 1 + len(line) > _SECTION:
            yield text
            text = ""
        text = f"{text}\n{line}" if text else line
    if text:
        yield text


def _cut(text: str, length: int) -> str:
    """Short enough, and not in the middle of an escape."""
    if len(text) <= length:
        return text
    short = text[: length - 1]
    entity = short.rfind("&")
    return f"{short[:entity] if entity > len(short) - 6 else short}…"
