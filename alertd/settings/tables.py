"""Read a budget's table, a CSV file with the settings of single teams or keys. Every invalid cell is reported."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from alertd.clients.local_files import read_text
from alertd.core.budgets import Override, typed_amount
from alertd.core.config_errors import Fault, one_of
from alertd.settings.parsers import read_names, read_notify, read_thresholds

Table = Mapping[tuple[str, ...], Override]


def read_table(
    file: Path, place: str, per: Sequence[str], unit: str | None, known: Mapping[str, Collection[str]]
) -> tuple[Table, list[Fault]]:
    """The rows by the values of `per`, in its order ("" is usage without one), and faults at file:line column.

    `unit` is the budget's; an amount may leave it out. `known` holds the names of notifiers and actions.
    A table saved with semicolons, a byte-order mark or other ends of lines, as spreadsheets do, is read too.
    """
    try:
        text = read_text(file)
    except ValueError as error:
        problem, _, remedy = str(error).partition("; ")
        return {}, [Fault(place, problem, remedy)]
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    first = text.partition("\n")[0]
    rows = csv.reader(
        io.StringIO(text),
        delimiter=";" if ";" in first and "," not in first else ",",
        skipinitialspace=True,
        strict=True,
    )
    try:
        header = [_column(cell.strip().removeprefix("#").strip(), per) for cell in next(rows, [])]
        faults = _header_faults(header, f"{file}:1", per)
        return ({}, faults) if faults else _rows(file, header, rows, per, _readers(unit, known))
    except csv.Error as error:
        return {}, [
            Fault(f"{file}:{rows.line_num}", f"not valid CSV ({error})", "put cells with commas in double quotes")
        ]


def _column(name: str, per: Sequence[str]) -> str:
    """A column's own spelling where it differs by capitals alone (Team for team)."""
    known = (*per, *_OWN)
    same = [one for one in known if one.casefold() == name.casefold()]
    return name if name in known or len(same) != 1 else same[0]


_OWN: Final = ("amount", "channel", "owner", "notify", "thresholds", "actions")


def _header_faults(header: Sequence[str], place: str, per: Sequence[str]) -> list[Fault]:
    columns = (*per, *_OWN)
    missing = [
        Fault(place, f"no column {label!r}", f"the first line names {', '.join(columns)}")
        for label in per
        if label not in header
    ]
    unknown = [
        Fault(f"{place} {name}", "no such column", one_of(name, columns)) for name in header if name not in columns
    ]
    twice = [
        Fault(f"{place} {name}", "a column given twice", "keep one of them")
        for name in {n for n in header if header.count(n) > 1}
    ]
    return missing + unknown + twice


def _rows(
    file: Path, header: Sequence[str], rows: Any, per: Sequence[str], readers: Mapping[str, Callable[[str], Any]]
) -> tuple[Table, list[Fault]]:
    table: dict[tuple[str, ...], Override] = {}
    faults: list[Fault] = []
    lines: dict[tuple[str, ...], int] = {}
    for cells in rows:
        place = f"{file}:{rows.line_num}"
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            faults.append(
                Fault(
                    place,
                    f"{len(cells)} {'cell' if len(cells) == 1 else 'cells'}, but {len(header)} columns",
                    "put cells with commas in double quotes",
                )
            )
            continue
        row = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
        scope = tuple(row[label] for label in per)
        first = lines.setdefault(scope, rows.line_num)
        if first != rows.line_num:
            whose = " ".join(
                f"{label} {value}" if value else f"without a {label}" for label, value in zip(per, scope, strict=True)
            )
            faults.append(Fault(f"{place} {' '.join(per)}", f"{whose}: given in line {first}, too", "keep one row"))
        values = dict(_values(row, readers, place, faults))
        table[scope] = Override(**values)
    return table, faults


def _values(
    row: Mapping[str, str], readers: Mapping[str, Callable[[str], Any]], place: str, faults: list[Fault]
) -> Iterator[tuple[str, Any]]:
    for column, read in readers.items():
        if not row.get(column):
            continue
        try:
            yield column, read(row[column])
        except ValueError as error:
            problem, _, remedy = str(error).partition("; ")
            faults.append(Fault(f"{place} {column}", problem, remedy))


def _readers(unit: str | None, known: Mapping[str, Collection[str]]) -> Mapping[str, Callable[[str], Any]]:
    return {
        "amount": lambda text: typed_amount(text, unit),
        "channel": str,
        "owner": str,
        "notify": lambda text: _known_notify(text, known["notifiers"]),
        "thresholds": lambda text: read_thresholds(text, unit),
        "actions": lambda text: _known_names(read_names(text.replace(";", ",")), "actions", known["actions"]),
    }


def _known_notify(text: str, notifiers: Collection[str]) -> Mapping[str, tuple[str, ...]]:
    by_severity = read_notify(text if text.startswith("{") else text.replace(";", ","))
    for names in by_severity.values():
        _known_names(names, "notifiers", notifiers)
    return by_severity


def _known_names(names: tuple[str, ...], group: str, known: Collection[str]) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            raise ValueError(f"no {name!r} in {group}; {one_of(name, known)}")
    return names
