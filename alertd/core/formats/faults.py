"""Faults of files: place and remedy, and names of columns where they are names. Never a cell's content."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

#: As much of a file's own names as any message holds.
_LONGEST: Final = 200
_NAME: Final = re.compile(r"[A-Za-z_\u0080-\uffff][\w.:/ -]{0,59}\Z")


class FormatError(ValueError):
    """A file that cannot be read, or is read only when something is said about it; one line a fault, all at once."""

    def __init__(self, faults: Sequence[str] | str) -> None:
        self.faults = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(self.faults))


def named(names: Iterable[str]) -> str:
    """Column names for a message: only what looks like a name, cut at 200 characters, the rest counted."""
    listed, left = [], 0
    length = 0
    for name in names:
        if _NAME.match(name) and length + len(name) <= _LONGEST:
            listed.append(name)
            length += len(name) + 2
        else:
            left += 1
    more = f"{left} more" if listed else f"{left} that are no names"
    return ", ".join([*listed, more] if left else listed)
