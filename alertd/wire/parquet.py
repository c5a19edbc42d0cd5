"""Parquet files as tables, by the extra `parquet`: batch by batch, every value as text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Protocol

from alertd.core.formats.faults import FormatError
from alertd.core.formats.table import Opened, Table


def arrow(module: str, what: str) -> ModuleType:
    """A module of pyarrow. FormatError, with what wants it, where it is not installed."""
    if find_spec("pyarrow") is None:
        raise FormatError(f"{what}, which wants the extra `parquet`: pip install 'alertd[parquet]'")
    return import_module(module)


class _Column(Protocol):
    """A column of Arrow's."""

    type: object

    def cast(self, to: object) -> _Column: ...
    def to_pylist(self) -> list[object]: ...


def parquet_table(path: Path) -> Table:
    """A Parquet file as a table."""
    lib, parquet = arrow("pyarrow", "is Parquet"), arrow("pyarrow.parquet", "is Parquet")
    try:
        header = tuple(parquet.ParquetFile(path).schema_arrow.names)
    except (OSError, ValueError):
        raise FormatError("is cut or damaged (Parquet)") from None

    def opened() -> Opened:
        line = 0

        def read() -> Iterator[Sequence[str]]:
            nonlocal line
            for batch in parquet.ParquetFile(path).iter_batches(batch_size=4096):
                columns = [_texts(column, lib) for column in batch.columns]
                for line, row in enumerate(zip(*columns, strict=True), start=line + 1):  # noqa: B007,B020 - the lambda below reads it
                    yield row

        return read(), lambda: line

    return Table(path.name, header, opened)


def _texts(column: _Column, lib: ModuleType) -> list[str]:
    """A column's values as text: times in ISO, maps and lists as JSON."""
    if lib.types.is_nested(column.type):
        return [_cell(value) for value in column.to_pylist()]
    return ["" if text is None else str(text) for text in column.cast(lib.string()).to_pylist()]


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return json.dumps(
            dict(value) if value and isinstance(value, list) and isinstance(value[0], tuple) else value, default=str
        )
    return str(value)
