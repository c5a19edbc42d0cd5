"""Cells that hold JSON: what a layout reads in them becomes columns of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from alertd.core.formats.known import recognised
from alertd.core.formats.layout import Flat, plain
from alertd.core.formats.table import Opened, Table


def with_cells(table: Table) -> Table:
    """The table with the columns that its layout reads in cells of JSON; the table itself where it has none."""
    layout = table.layout or recognised(table.header)
    if layout is None or not layout.cells:
        return table
    places = {at: layout.cells[name] for at, name in enumerate(map(plain, table.header)) if name in layout.cells}
    if not places:
        return table

    def read(row: Sequence[str]) -> Flat:
        found: Flat = {}
        for at, unfold in places.items():
            if at < len(row) and row[at][:1] in {"{", "["}:
                try:
                    found.update(unfold(json.loads(row[at], parse_float=str, parse_int=str)))
                except ValueError:
                    continue
        return found

    added: dict[str, None] = {}
    for row in table.opened()[0]:
        added.update(dict.fromkeys(read(row)))
    names = [name for name in added if name not in table.header]

    def opened() -> Opened:
        rows, line_of = table.opened()
        width = len(table.header)

        def widened() -> Iterator[Sequence[str]]:
            for row in rows:
                found = read(row)
                padded = [*row, *[""] * (width - len(row))][:width]
                yield [*padded, *(found.get(name, "") for name in names)]

        return widened(), line_of

    return replace(table, header=(*table.header, *names), opened=opened, layout=layout)
