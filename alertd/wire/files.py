"""Files that exports leave: found by path or glob, read as rows, known again by a stamp. It decides nothing about rows.

What is half written is told from what is whole: a file that changes while it is read, or a cut archive, is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from glob import glob, has_magic
from hashlib import blake2b
from pathlib import Path
from typing import Final

from alertd.core.formats.faults import FormatError
from alertd.ports import SourceError
from alertd.wire.tables import open_table

#: Files of a folder that are read; a file that is named is read whatever it is called.
_SUFFIXES: Final = (
    ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".gz", ".zip", ".zst",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rows:
    """One file's header and its rows, each with its line in the file."""

    name: str
    header: tuple[str, ...]
    rows: Iterator[tuple[int, Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Files:
    """The files that a path names now, sorted by name: a file, a folder's data files, or a glob (** too)."""

    paths: tuple[Path, ...]
    stamp: str
    newest: datetime | None = None

    @classmethod
    def of(cls, pattern: str) -> Files:
        """SourceError where there is none, or none can be looked at."""
        place = Path(pattern).expanduser()
        try:
            if has_magic(str(place)):
                found = sorted(Path(name) for name in glob(str(place), recursive=True))  # noqa: PTH207 - ** with a root
            elif place.is_dir():
                found = sorted(path for path in place.iterdir() if path.name.lower().endswith(_SUFFIXES))
            else:
                found = [place]
            known = [(path, path.stat()) for path in found if not path.is_dir()]
        except OSError as error:
            raise SourceError(f"{pattern}: {error.strerror}") from error
        if not known:
            raise SourceError(f"{pattern}: no file there yet")
        marks = "\n".join(f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in known)
        newest = max(stat.st_mtime for _, stat in known)
        stamp = blake2b(marks.encode(), digest_size=12).hexdigest()
        return cls(tuple(path for path, _ in known), stamp, datetime.fromtimestamp(newest, UTC))


@contextmanager
def reading(path: Path) -> Iterator[Rows]:
    """A file's rows, whatever its form, encoding and compression (`alertd.wire.tables`).

    SourceError, also later in its `with`, where it cannot be read to its end.
    """
    try:
        table = open_table(path)
        rows, line_of = table.opened()
        yield Rows(path.name, table.header, ((line_of(), row) for row in rows if any(row)))
    except OSError as error:
        raise SourceError(f"{path.name}: {error.strerror or type(error).__name__}") from error
    except FormatError as error:
        raise SourceError("; ".join(f"{path.name}: {fault}" for fault in error.faults)) from None
