"""The channel-neutral form of a message: lines of styled text. Nothing here knows a channel, its mark-up or its limits.

What comes from outside (names of keys, teams, models; errors) passes through `clean` or `name` and nothing else does,
so that no line break, control character or direction override from a label reaches a channel.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

PLAIN: Final = "plain"
BOLD: Final = "bold"
ITALIC: Final = "italic"
CODE: Final = "code"
LINK: Final = "link"

_NAME_LENGTH: Final = 60
#: A longer command is not printed: nobody could copy it whole.
_COMMAND_LENGTH: Final = 1000
_BASIC_PLANE: Final = 0xFFFF
_TEXT_LENGTH: Final = 300
#: A name that no channel's mark-up can misread and that differs from the text around it.
_SIMPLE: Final = re.compile(r"[\w.:/@+-]+(?: [\w.:/@+-]+)*\Z", re.ASCII)
#: What some channel reads as a mark or a picture: _slanted_, :tada:.
_MARKED: Final = re.compile(r"(?:^|[\s/])_|_(?:$|[\s/])|:[\w+-]+:")
_FIRST_STRONG_ISOLATE: Final = "\u2068"
_POP_ISOLATE: Final = "\u2069"


@dataclass(frozen=True, slots=True)
class Span:
    """A run of text in one style: plain, bold, italic, code, or link (with its `href`)."""

    text: str
    style: str = PLAIN
    href: str = ""


Line = tuple[Span, ...]


class Fact(NamedTuple):
    """A figure with its label: `Spent`, `$323.60 of $500 (65%)`. Channels show facts in two columns."""

    label: str
    value: Line


class Said(NamedTuple):
    """What an event says: its headline, lines below its facts, what the footer adds, and its facts.

    Empty lines and facts without a value are left out.
    """

    headline: Line
    lines: Sequence[Line] = ()
    notes: Sequence[str] = ()
    facts: Sequence[Fact] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """A message for any channel: a headline, actions, facts, lines in the order of importance, a footer.

    `subject` is the headline in plain text, one line, for the subject of a mail or a notification on a telephone.
    """

    icon: str
    severity: str
    headline: Line
    lines: tuple[Line, ...]
    footer: Line
    subject: str
    #: What a person can open, the most urgent first: a button or a link in every channel.
    actions: tuple[Span, ...] = ()
    facts: tuple[Fact, ...] = ()
    #: The signed address of the picture of its budget's period; "" without a picture.
    picture_url: str = ""
    #: What colours it: the severity, or the worst that a summary reports.
    tone: str = ""

    @property
    def body(self) -> tuple[Line, ...]:
        """The facts as one line, then the lines: for what has no columns."""
        return (*facts_line(self.facts), *self.lines)


#: Text as it is; what the eye should catch; a command, or a name to be copied.
plain = Span
bold = partial(Span, style=BOLD)
code = partial(Span, style=CODE)


def command(words: Sequence[str]) -> Line:
    r"""A command to paste into a shell; nothing if it is too long.

    What a chat, a mail or a terminal would change or hide (control characters, double blanks, text from right to left)
    is written as `$'\u05d0'`, as bash, zsh and ksh read it.
    """
    text = " ".join(map(_quoted, words))
    return (Span(text, CODE),) if len(text) <= _COMMAND_LENGTH else ()


def _quoted(word: str) -> str:
    if all(map(_is_shown_as_it_is, word)) and word == word.strip() and "  " not in word:
        return shlex.quote(word)
    return "$'" + "".join(map(_escaped, word)) + "'"


def _is_shown_as_it_is(char: str) -> bool:
    odd = unicodedata.category(char)[0] in "ZCM" and char != " "
    return char != "`" and not odd and unicodedata.bidirectional(char) not in {"R", "AL"}


def _escaped(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    if char.isascii():
        return char if char.isalnum() or char in "-_=.,:/@+" else f"\\x{ord(char):02x}"
    return f"\\u{ord(char):04x}" if ord(char) <= _BASIC_PLANE else f"\\U{ord(char):08x}"


def link(text: str, href: str) -> Span:
    """Words that lead to an address."""
    return Span(text, LINK, href)


def clean(text: str, length: int = _TEXT_LENGTH) -> str:
    """Outside text on one line: no control, format or direction characters, cut to `length` with an ellipsis.

    Right-to-left text is set apart by isolates, so that the figures beside it keep their places.
    """
    kept = "".join(" " if unicodedata.category(char)[0] in "ZC" else char for char in text)
    short = " ".join(kept.split())
    short = short if len(short) <= length else short[: length - 1].rstrip() + "…"
    if any(unicodedata.bidirectional(char) in {"R", "AL"} for char in short):
        return f"{_FIRST_STRONG_ISOLATE}{short}{_POP_ISOLATE}"
    return short


def name(text: str, style: str = PLAIN) -> Span:
    """A name from outside: in `style` where it is made of harmless characters, as code where it is not."""
    short = clean(text, _NAME_LENGTH)
    simple = _SIMPLE.match(short) and not _MARKED.search(short)
    return Span(short, style) if simple else Span(short or "(empty)", CODE)


def facts_line(facts: Sequence[Fact]) -> tuple[Line, ...]:
    """Spent: *$323.60* of $500 (65%) · Likely by 30 Nov: *$564* (515 to 640); nothing without any."""
    return (joined([(plain(f"{one.label}: "), *one.value) for one in facts]),) if facts else ()


def actions_line(message: Message) -> tuple[Line, ...]:
    """The actions as one line of links, for channels without buttons; nothing without any."""
    return (joined([(one,) for one in message.actions]),) if message.actions else ()


def text_of(line: Line) -> str:
    """A line without styles; a link is its words and its address."""
    return "".join(f"{span.text}: {span.href}" if span.style == LINK else span.text for span in line)


def capital(line: Line) -> Line:
    """The line with its first letter as a sentence has it."""
    return (Span(line[0].text[:1].upper() + line[0].text[1:], line[0].style), *line[1:]) if line else ()


def with_options(lines: Sequence[Line], options: str) -> Sequence[Line]:
    """The lines, each command of alertd in them with these options at its end."""
    if not options:
        return lines
    return [
        tuple(
            Span(f"{span.text} {options}", CODE) if span.style == CODE and span.text.startswith("alertd ") else span
            for span in line
        )
        for line in lines
    ]


def tidy(line: Line) -> Line:
    """The line without empty runs, neighbours of one style as one run."""
    spans: list[Span] = []
    for span in line:
        if spans and span.style == spans[-1].style and span.style in {PLAIN, BOLD, ITALIC}:
            spans[-1] = Span(spans[-1].text + span.text, span.style)
        elif span.text:
            spans.append(span)
    return tuple(spans)


def joined(parts: Sequence[Line], separator: str = " · ") -> Line:
    """Lines set behind one another with a separator between them; empty ones leave no trace."""
    spans: list[Span] = []
    for part in filter(None, parts):
        spans.extend((plain(separator), *part) if spans else part)
    return tuple(spans)
