"""A file as columns and rows of text, as every reader of files gives it to the layouts; and the errors of files.

Cells that hold JSON become columns of their own where the layout reads them. An error says place and remedy, and column
names if they look like names; never a cell's content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from alertd.core.formats.layout import Cells, Flat, Layout, plain, recognised

#: As much of a file's own names as any message holds.
_LONGEST: Final = 200
_NAME: Final = re.compile(r"[A-Za-z_$\u0080-\uffff][\w.:/$%€£()\[\] -]{0,59}\Z")


class FormatError(ValueError):
    """A file that cannot be read as it is; its text has one line for each fault."""

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
    more = f"{left} more" if listed else f"{left} whose names are not shown"
    return ", ".join([*listed, more] if left else listed)


#: What a spreadsheet takes for the beginning of a formula; also in full width.
_FORMULA: Final = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?\Z", re.ASCII)


def spreadsheet_cell(text: str) -> str:
    """A cell of a CSV file that people open: what a spreadsheet would take for a formula begins with an apostrophe."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.match(text) else text


def from_spreadsheet(text: str) -> str:
    """The text that `spreadsheet_cell` wrote."""
    return text[1:] if text[:1] == "'" and spreadsheet_cell(text[1:]) == text else text


#: The rows of a table, from its beginning, and the line of the file that was read last.
Opened = tuple[Iterator[Sequence[str]], Callable[[], int]]
#: What separates the cells of a file of Parquet or JSON: nothing.
NO_DELIMITER: Final = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A file's header and its rows, which can be read from the beginning as often as needed.

    `layout` is what a document was unfolded by, where its form decides; else the header does. `lacks` says in words
    what the file itself says that it does not hold.
    """

    name: str
    header: tuple[str, ...]
    opened: Callable[[], Opened]
    delimiter: str = NO_DELIMITER
    layout: Layout | None = None
    lacks: str = ""


def with_cells(table: Table) -> Table:
    """The table with the columns that its layout reads in cells of JSON; the table itself where it has none."""
    layout = table.layout or recognised(table.header)
    if layout is None or not layout.cells:
        return table
    places = {at: layout.cells[name] for at, name in enumerate(map(plain, table.header)) if name in layout.cells}
    if not places:
        return table
    names = [name for name in _names(table, places) if name not in table.header]

    def opened() -> Opened:
        rows, line_of = table.opened()
        width = len(table.header)
        nothing = [""] * len(names)

        def widened() -> Iterator[Sequence[str]]:
            for row in rows:
                if len(row) != width:
                    row = [*row, *[""] * (width - len(row))][:width]  # noqa: PLW2901 - cells that are left out
                found = _read(row, places)
                yield [*row, *([found.get(name, "") for name in names] if found else nothing)]

        return widened(), line_of

    return replace(table, header=(*table.header, *names), opened=opened, layout=layout)


def _names(table: Table, places: dict[int, Cells]) -> list[str]:
    found: dict[str, None] = dict.fromkeys(name for cells in places.values() for name in cells.names)
    if not all(cells.names for cells in places.values()):
        for row in table.opened()[0]:
            found.update(dict.fromkeys(_read(row, places)))
    return list(found)


def _read(row: Sequence[str], places: dict[int, Cells]) -> Flat:
    found: Flat = {}
    for at, cells in places.items():
        if at < len(row) and row[at][:1] in {"{", "["}:
            found.update(cells.read(row[at]))
    return found
