"""A file as columns and rows of text, whatever it was: what every reader of files gives to the layouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from alertd.core.formats.layout import Layout

#: The rows of a table, from its beginning, and the line of the file that was read last.
Opened = tuple[Iterator[Sequence[str]], Callable[[], int]]
#: What separates the cells of a file of Parquet or JSON: nothing.
NO_DELIMITER: Final = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A file's header and its rows, which can be read from the beginning as often as needed.

    `layout` is what a document was unfolded by, where its form decides; else the header does.
    """

    name: str
    header: tuple[str, ...]
    opened: Callable[[], Opened]
    delimiter: str = NO_DELIMITER
    layout: Layout | None = None
