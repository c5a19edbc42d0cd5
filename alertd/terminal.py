"""Everything that alertd prints passes through here, so that no label can send control characters to a terminal.

Printed raw, a label could clear the screen, set the window's title, reverse a line or forge the next one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TextIO, cast

#: Control characters, lone surrogates, line separators, and what changes the direction of text; a line feed and a tab
#: are how lines are laid out, and the isolates are what `clean` sets around right-to-left names.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066\u2067\ud800-\udfff\ufeff]")


def printable(text: str) -> str:
    """Text without what moves a cursor, ends a line or hides: each such character as JSON writes it."""
    return without_controls(text).replace("\n", "\\u000a").replace("\t", "\\u0009")


def without_controls(text: str) -> str:
    """The same for whole lines, which keep their ends and tabs. JSON stays the same JSON."""
    return _UNSAFE.sub(lambda one: f"\\u{ord(one[0]):04x}", text)


class PlainOutput:
    """A text stream that writes no control character; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self.raw = stream

    def write(self, text: str) -> int:
        self.raw.write(without_controls(text))
        return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self.raw, name)


def raw(stream: TextIO) -> TextIO:
    """The stream below: for what writes colours and moves the cursor itself, and cleans its texts before."""
    return stream.raw if isinstance(stream, PlainOutput) else stream


@contextmanager
def plain_output() -> Iterator[None]:
    """While it lasts, standard output and error are written through PlainOutput."""
    before = sys.stdout, sys.stderr
    for stream in map(raw, before):  # an old locale has no sign for a status: it gets a ? instead of an error
        if isinstance(stream, TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            stream.reconfigure(errors="replace")
    sys.stdout, sys.stderr = (cast("TextIO", PlainOutput(raw(stream))) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
