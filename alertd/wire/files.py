"""Files that exports leave: found by path or glob, read as rows, known again by a stamp. It decides nothing about rows.

What is half written is told from what is whole: a file that changes while it is read, or a cut archive, is an error.
"""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from glob import glob, has_magic
from hashlib import blake2b
from pathlib import Path
from typing import IO, Final, cast

from alertd.ports import SourceError

_ZIPPED: Final = b"PK\x03\x04"
_GZIPPED: Final = b"\x1f\x8b"
_PARQUET: Final = b"PAR1"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_SUFFIXES: Final = (".csv", ".csv.gz", ".csv.zip", ".gz", ".zip")
_SNIFFED: Final = 64 * 1024
_LONGEST_CELL: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Rows:
    """One file's header and its rows, each with its line in the file."""

    name: str
    header: tuple[str, ...]
    rows: Iterator[tuple[int, Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Files:
    """The files that a path names now, sorted by name: a file, a folder's CSV files, or a glob (** too)."""

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
    """A CSV file, also one in gzip or zip, in UTF-8 or UTF-16, with commas, semicolons, tabs or bars between cells.

    SourceError, also later in its `with`, where it cannot be read to its end.
    """
    with ExitStack() as opened:
        try:
            stream = _text(opened, path)
            beginning = stream.read(_SNIFFED)
            reader = csv.reader(_again(beginning, stream), delimiter=_delimiter(beginning))
            csv.field_size_limit(_LONGEST_CELL)
            header = tuple(cell.strip().strip("\ufeff") for cell in next(reader, []))
            yield Rows(path.name, header, ((reader.line_num, row) for row in reader if any(row)))
        except OSError as error:
            raise SourceError(f"{path.name}: {error.strerror or error}") from error
        except (EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise SourceError(f"{path.name} is cut or damaged: {error}") from error
        except UnicodeDecodeError as error:
            raise SourceError(f"{path.name} is neither UTF-8 nor UTF-16 (byte {error.start})") from error
        except csv.Error as error:
            raise SourceError(f"{path.name}: line {reader.line_num}: {error}") from error


def _text(opened: ExitStack, path: Path) -> IO[str]:
    raw: IO[bytes] = opened.enter_context(path.open("rb"))
    magic = raw.read(4)
    raw.seek(0)
    if magic == _PARQUET:
        raise SourceError(f"{path.name} is Parquet; export CSV")
    if magic.startswith(_GZIPPED):
        unzipped = opened.enter_context(gzip.GzipFile(fileobj=raw))
        raw = cast("IO[bytes]", unzipped)
    elif magic == _ZIPPED:
        archive = opened.enter_context(zipfile.ZipFile(raw))
        inside = [name for name in archive.namelist() if not name.endswith("/")]
        if len(inside) != 1:
            raise SourceError(f"{path.name} holds {len(inside)} files; one is expected")
        raw = opened.enter_context(archive.open(inside[0]))
    coding = "utf-16" if raw.read(2) in _UTF16 else "utf-8-sig"
    raw.seek(0)
    return opened.enter_context(io.TextIOWrapper(raw, encoding=coding, newline=""))


def _again(beginning: str, rest: IO[str]) -> Iterator[str]:
    """The lines of a text of which the beginning was read already."""
    kept = beginning + rest.readline()
    yield from io.StringIO(kept, newline="")
    yield from rest


def _delimiter(beginning: str) -> str:
    """The sign that the header line holds most of, outside quotes."""
    header = "".join("".join(beginning.splitlines()[:1]).split('"')[::2])
    return max(",;\t|", key=header.count)
