"""Parquet files as tables, by the extra `parquet`: batch by batch, every value as text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Protocol

from alertd.core.formats.table import FormatError, Opened, Table


def arrow(module: str, what: str) -> ModuleType:
    """Import a module of pyarrow. FormatError that names the extra if it is not installed."""
    if find_spec("pyarrow") is None:
        raise FormatError(f"{what}, which wants the extra `parquet`: pip install 'alertd[parquet]'")
    return import_module(module)


#: Rows of a batch: what is held at once.
_ROWS: Final = 16_384


class _ParquetColumn(Protocol):
    """A column of Arrow's."""

    type: object

    def dictionary_encode(self) -> Any: ...
    def to_pylist(self) -> list[object]: ...


def parquet_table(path: Path, only: Callable[[str], bool] | None = None) -> Table:
    """A Parquet file as a table, with the columns in `only`."""
    lib, parquet = arrow("pyarrow", "is Parquet"), arrow("pyarrow.parquet", "is Parquet")
    try:
        names = parquet.ParquetFile(path).schema_arrow.names
    except (OSError, ValueError):
        raise FormatError("is cut or damaged (Parquet)") from None

    header = tuple(name for name in names if only is None or only(name))

    def opened() -> Opened:
        line = 0

        def read() -> Iterator[Sequence[str]]:
            nonlocal line
            try:
                for batch in parquet.ParquetFile(path).iter_batches(batch_size=_ROWS, columns=header):
                    columns = [_texts(column, lib) for column in batch.columns]
                    for line, row in enumerate(zip(*columns, strict=True), start=line + 1):  # noqa: B007,B020 - the lambda below reads it
                        yield row
            except (OSError, ValueError):  # Arrow's own errors are these
                raise FormatError(f"is damaged, or holds bytes that are no text, after line {line}") from None

        return read(), lambda: line

    return Table(path.name, header, opened)


def _texts(column: _ParquetColumn, lib: ModuleType) -> list[str]:
    """A column's values as text: times in ISO, maps and lists as JSON. A value that comes often is worded once."""
    if lib.types.is_nested(column.type):
        return _nested(column.to_pylist())
    found = column.dictionary_encode()
    texts = [str(text) for text in found.dictionary.cast(lib.string()).to_pylist()]
    return ["" if place is None else texts[place] for place in found.indices.to_pylist()]


def _nested(values: Sequence[object]) -> list[str]:
    known: dict[object, str] = {}
    found = []
    for value in values:
        tags = tuple(value) if isinstance(value, list) and value and all(map(_is_plain_pair, value)) else None
        text = None if tags is None else known.get(tags)
        if text is None:
            text = _cell(value)
            if tags is not None:
                known[tags] = text
        found.append(text)
    return found


def _is_plain_pair(value: object) -> bool:
    return isinstance(value, tuple) and all(one is None or isinstance(one, str) for one in value)


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
