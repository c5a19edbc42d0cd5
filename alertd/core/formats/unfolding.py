"""Cells that hold JSON: what a layout reads in them becomes columns of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from alertd.core.formats.known import recognised
from alertd.core.formats.layout import Cells, Flat, plain
from alertd.core.formats.table import Opened, Table


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
