"""Files as tables: encoding, compression, delimiter and format are detected by content, not by the file's name.

Reads CSV, JSON, JSON lines and (with the extra `parquet`) Parquet; gzip, zip, zstandard (same extra); UTF-8, UTF-16,
GB 18030 and Windows-1252. A truncated or damaged file is a fault.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

from alertd.clients.parquet import arrow, parquet_table
from alertd.core.formats.documents import decoded, unfolded
from alertd.core.formats.plan import is_header
from alertd.core.formats.table import FormatError, Opened, Table

if TYPE_CHECKING:
    import _csv as _csv_module

_ZIP: Final = b"PK\x03\x04"
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_PARQUET: Final = b"PAR1"
_SNIFFED: Final = 64 * 1024
_LONGEST_CELL: Final = 16 * 1024 * 1024
#: A longer line is no row: it is not read into memory as a whole.
_LONGEST_ROW: Final = 16 * 1024 * 1024
#: A JSON document that is no list and has no lines is read as a whole.
_LARGEST_DOCUMENT: Final = 512 * 1024 * 1024
_HIGH_BYTES: Final = re.compile(rb"[\x80-\xff]+")
_DELIMITERS: Final = ",;\t|"
_LINE_ENDS: Final = re.compile(r"\r\n|\r|\n")
#: As many lines of a title stand before a header.
_TITLE_LINES: Final = 50
#: What files begin with that are no tables, and what to do with them.
_NO_TABLES: Final = (
    (b"BZh", "is compressed by bzip2; gzip, zip and zstandard are read"),
    (b"\xfd7zXZ", "is compressed by xz; gzip, zip and zstandard are read"),
    (b"PK\x05\x06", "is an archive without a file"),
    (b"7z\xbc\xaf", "is a 7z archive; gzip, zip and zstandard are read"),
    (b"\xd0\xcf\x11\xe0", "is a spreadsheet; save it as CSV"),
    (b"%PDF", "is a PDF; export CSV or JSON"),
    (b"SQLite format 3", "is a SQLite database; export CSV or JSON"),
    (b"Obj\x01", "is an Avro file; export CSV, JSON or Parquet"),
    (b"ORC", "is an ORC file; export CSV, JSON or Parquet"),
    (codecs.BOM_UTF32_LE, "is UTF-32; save it as UTF-8"),
    (codecs.BOM_UTF32_BE, "is UTF-32; save it as UTF-8"),
)
_HTML: Final = re.compile(rb"[\xef\xbb\xbf\s]*<(?:!doctype html|html|\?xml)", re.IGNORECASE)


def open_table(path: Path, only: Callable[[str], bool] | None = None) -> Table:
    """A file as a table. FormatError where it is not one, OSError where it cannot be opened.

    `only`: the columns that are read of a file that is kept by columns; of others all are.
    """
    with path.open("rb") as raw:
        if raw.read(4) == _PARQUET:
            return parquet_table(path, only)
    with _faults(), _bytes(path) as stream:
        _refuse_other_kinds(stream.read(512))
        stream.seek(0)
        encoding = _encoding(stream)
    with _faults(), _text(path, encoding) as text:
        beginning = text.read(_SNIFFED)
    form = beginning.lstrip("\ufeff \t\r\n")[:1]
    if form in {"{", "["} and _is_json(beginning):
        with _faults():
            return unfolded(path.name, lambda: _objects(path, encoding, form))
    return _csv(path, encoding, beginning)


#: What the lines of agents' session logs hold that count tokens; others, prompts among them, are not even decoded.
_USAGE_MARKS: Final = (b'"usage"', b'"token_count"', b'"turn_context"', b'"session_meta"', b'"tokens"')
_LONGEST_LINE: Final = 16 * 1024 * 1024


def open_folder(folder: Path) -> Table:
    """The session logs of a coding agent (`~/.claude`, `~/.codex`, `~/.gemini`) as one table. FormatError without any.

    A session that was copied or replayed into another file counts once: all files are read as one.
    """
    inner = next((folder / name for name in ("projects", "sessions", "tmp") if (folder / name).is_dir()), folder)
    archive = folder / "archived_sessions"
    files = sorted(inner.rglob("*.jsonl")) + (sorted(archive.rglob("*.jsonl")) if archive.is_dir() else [])
    if not files:
        raise FormatError("is a folder without session logs (*.jsonl) of a coding agent; name a file")
    return unfolded(folder.name, lambda: (one for file in files for one in _usage_lines(file)))


def _usage_lines(file: Path) -> Iterator[object]:
    """The objects on the lines that count tokens; a last line that is half written is left out."""
    with file.open("rb") as stream:
        while line := stream.readline(_LONGEST_LINE):
            if any(mark in line for mark in _USAGE_MARKS):
                try:
                    yield decoded(line.decode("utf-8", "replace"))
                except (ValueError, RecursionError):
                    continue


def _is_json(beginning: str) -> bool:
    """Whether a text that begins with a bracket is JSON and not a header in brackets."""
    return bool(re.match(r"[\ufeff\s]*(?:\{\s*(?:\"|\}|\Z)|\[\s*(?:[\[{\]\"\d-]|\Z))", beginning))


def _refuse_other_kinds(beginning: bytes) -> None:
    for magic, said in _NO_TABLES:
        if beginning.startswith(magic):
            raise FormatError(said)
    if beginning[257:262] == b"ustar":
        raise FormatError("is a tar archive; unpack it, or put one file in a zip")
    if _HTML.match(beginning):
        raise FormatError("is a web page, maybe one that asks for a login; export CSV or JSON")


@contextmanager
def _faults() -> Iterator[None]:
    """Turn errors of decoders and parsers into FormatError, without any content."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise FormatError(f"is neither UTF-8 nor UTF-16 (byte {error.start})") from None
    except (EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        raise FormatError(f"is cut or damaged ({type(error).__name__})") from None
    except csv.Error:
        raise FormatError("is cut or no CSV file") from None
    except RecursionError:
        raise FormatError("is JSON that is nested too deeply") from None


@contextmanager
def _bytes(path: Path) -> Iterator[IO[bytes]]:
    """A file's bytes, without compression, whichever and however often it was compressed."""
    with ExitStack() as opened:
        stream: IO[bytes] = opened.enter_context(path.open("rb"))
        for _ in range(3):
            magic = stream.read(4)
            stream.seek(0)
            if magic[:2] == _GZIP:
                stream = cast("IO[bytes]", opened.enter_context(gzip.GzipFile(fileobj=stream, mode="rb")))
            elif magic == _ZSTD:
                stream = opened.enter_context(_zstandard(stream))
            elif magic == _ZIP:
                archive = opened.enter_context(zipfile.ZipFile(stream))
                inside = [name for name in archive.namelist() if not name.endswith("/") and not _is_hidden(name)]
                if "[Content_Types].xml" in inside:
                    raise FormatError("is a spreadsheet; save it as CSV")
                if len(inside) != 1:
                    raise FormatError(f"is an archive of {len(inside)} files; one is expected")
                try:
                    stream = opened.enter_context(archive.open(inside[0]))
                except RuntimeError:  # which NotImplementedError is, too
                    raise FormatError("is an archive with a password, or compressed in an unknown way") from None
            else:
                break
        yield stream


def _is_hidden(name: str) -> bool:
    """Whether a file in an archive is one that a file manager left there."""
    return "__MACOSX" in name or name.rpartition("/")[2].startswith(".")


def _zstandard(stream: IO[bytes]) -> IO[bytes]:
    """Pyarrow's reader, in memory: zstandard files cannot be rewound."""
    lib = arrow("pyarrow", "is compressed by zstandard")
    try:
        return io.BytesIO(lib.CompressedInputStream(lib.PythonFile(stream, mode="r"), "zstd").read())
    except OSError:
        raise FormatError("is cut or damaged (zstandard)") from None


def _encoding(stream: IO[bytes]) -> str:
    """The encoding that all of a file's bytes are of."""
    beginning = stream.read(_SNIFFED)
    if beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if beginning[1::2].count(0) > len(beginning) // 4:
        return "utf-16-le"
    if beginning[::2].count(0) > len(beginning) // 4:
        return "utf-16-be"
    decoder = codecs.getincrementaldecoder("utf-8")()
    odd = beginning
    try:
        decoder.decode(beginning)
        while block := stream.read(_SNIFFED):
            odd = block
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        runs = _HIGH_BYTES.findall(odd.rstrip(bytes(range(128, 256))) if len(odd) == _SNIFFED else odd)
        pairs = sum(len(run) % 2 == 0 for run in runs)
        return "gb18030" if pairs > len(runs) * 4 // 5 else "cp1252"
    return "utf-8-sig"


@contextmanager
def _text(path: Path, encoding: str) -> Iterator[IO[str]]:
    with _bytes(path) as stream:
        yield io.TextIOWrapper(stream, encoding=encoding, newline="")


def _csv(path: Path, encoding: str, beginning: str) -> Table:
    skipped, delimiter = _before_the_header(beginning)
    csv.field_size_limit(_LONGEST_CELL)
    with _faults(), _text(path, encoding) as text:
        header: list[str] = next(_rows(text, skipped, delimiter), [])
    names = tuple(cell.strip().strip("\ufeff") for cell in header)

    def opened() -> Opened:
        line = skipped

        def read() -> Iterator[Sequence[str]]:
            nonlocal line
            with _faults(), _text(path, encoding) as text:
                reader = _rows(text, skipped, delimiter)
                first = next(reader, None)
                for row in reader:
                    if row == first:
                        continue  # the header once more, where files were put together
                    line = skipped + reader.line_num
                    if len(row) > len(names) and any(row[len(names) :]):
                        raise FormatError(
                            f"line {line} has {len(row)} cells, and the header {len(names)}: a cell with"
                            f" {delimiter!r} in it is written in quotes"
                        )
                    yield row

        return read(), lambda: line

    return Table(path.name, names, opened, delimiter)


def _rows(text: IO[str], skipped: int, delimiter: str) -> _csv_module.Reader:
    for _ in range(skipped):
        text.readline()
    return csv.reader(_bounded(text), delimiter=delimiter, strict=True, skipinitialspace=True)


def _bounded(text: IO[str]) -> Iterator[str]:
    """The lines of a text. FormatError at one that is too long to be a row."""
    while line := text.readline(_LONGEST_ROW):
        if len(line) == _LONGEST_ROW:
            raise FormatError(f"has a line of more than {_LONGEST_ROW >> 20} MiB, which no row is")
        yield line


def _before_the_header(beginning: str) -> tuple[int, str]:
    """The number of lines before the header (blank, comments, `sep=;`, a title above it), and the delimiter."""
    lines = _LINE_ENDS.split(beginning.lstrip("\ufeff"))
    first = -1
    for number, line in enumerate(lines[:_TITLE_LINES]):
        if found := re.match(r"sep=(.)$", line.strip(' "').lower()):
            return number + 1, found[1]
        if not line.strip() or line.startswith("#"):
            continue
        if first < 0:
            first = number
        cells = next(csv.reader([line], delimiter=_delimiter(line)), [])
        if is_header(cells):
            return number, _delimiter(line)
    return (first, _delimiter(lines[first])) if first >= 0 else (0, ",")


def _delimiter(line: str) -> str:
    outside = "".join(line.split('"')[::2])
    return max(_DELIMITERS, key=outside.count)


def _objects(path: Path, encoding: str, form: str) -> Iterator[object]:
    """The objects of a JSON file: of its lines, of its list, or the document itself."""
    with _faults(), _text(path, encoding) as text:
        first = text.readline(_LARGEST_DOCUMENT)
        while first and not first.strip("\ufeff \t\r\n"):
            first = text.readline(_LARGEST_DOCUMENT)
        try:
            one = decoded(first.lstrip("\ufeff"))
        except ValueError:
            one = None
        if one is not None:
            yield from one if isinstance(one, list) else (one,)
            yield from _lines(text)
            return
        if form == "[":
            yield from _items(first.lstrip("\ufeff"), text)
            return
        whole = first.lstrip("\ufeff") + text.read(_LARGEST_DOCUMENT)
        if text.read(1):
            raise FormatError("is one JSON document of more than 512 MiB; write a list or JSON lines")
        try:
            yield decoded(whole)
        except ValueError as error:
            raise FormatError(f"is cut or no JSON{_at(error)}") from None


def _lines(text: IO[str]) -> Iterator[object]:
    for number, line in enumerate(text, start=2):
        if not line.strip():
            continue
        try:
            yield decoded(line)
        except ValueError:
            raise FormatError(f"line {number} is cut or no JSON") from None


def _items(first: str, text: IO[str]) -> Iterator[object]:
    """The items of one long list, one by one, without the whole of it in memory."""
    decoder = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=lambda _: "")
    held, at = first.lstrip()[1:], 0
    while True:
        while at < len(held) and held[at] in " \t\r\n,":
            at += 1
        if at < len(held) and held[at] == "]":
            return
        try:
            value, end = decoder.raw_decode(held, at)
            if end >= len(held) - 1 and (more := text.read(_SNIFFED)):
                held, at = held[at:] + more, 0
                continue
        except ValueError as error:
            more = text.read(max(_SNIFFED, len(held) - at))
            if not more:
                raise FormatError(f"is cut or no JSON{_at(error)}") from None
            held, at = held[at:] + more, 0
            continue
        yield value
        at = end
        if at > _SNIFFED:
            held, at = held[at:], 0


def _at(error: ValueError) -> str:
    return f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
