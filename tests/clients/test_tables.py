"""Files that are packed, damaged or made to break a reader: read in full, or one sentence and no content."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from alertd.clients.tables import open_table
from alertd.core.formats.table import FormatError

TEXT = "date,provider,model,input_tokens\n2026-11-20,openai,gpt-4o,5\n"
SECRET = "hunter2"


def rows(path: Path) -> list[list[str]]:
    read, _ = open_table(path).opened()
    return [list(row) for row in read]


def archive(flags: int = 0, method: int = 0) -> bytes:
    """A zip of one file, with flags and a method in its two headers that it was not written with."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        made.writestr("usage.csv", TEXT)
    data = bytearray(stream.getvalue())
    for at in (6, data.rindex(b"PK\x01\x02") + 8):
        data[at], data[at + 2] = flags, method
    return bytes(data)


def parquet(models: list[bytes]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table({"model": pa.array(models, pa.binary())}), stream)
    return stream.getvalue()


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_file_that_was_compressed_several_times_is_read(tmp_path: Path, layers: int) -> None:
    data = TEXT.encode()
    for _ in range(layers):
        data = gzip.compress(data, mtime=0)
    file = tmp_path / "usage.csv.gz"
    file.write_bytes(data)
    assert rows(file) == [["2026-11-20", "openai", "gpt-4o", "5"]]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(archive(flags=1), "an archive with a password", id="password"),
        pytest.param(archive(method=99), "compressed in an unknown way", id="unknown method"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, "nested too deeply", id="lists in lists"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply", id="objects in objects"),
        pytest.param(b'{"a":1}\n' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply", id="a deep line"),
        pytest.param(TEXT.encode() + b"2026," + SECRET.encode() * 2_500_000, "a line of more than 16 MiB", id="line"),
        pytest.param(b"BZh91AY&SY", "compressed by bzip2; gzip, zip and zstandard", id="bzip2"),
        pytest.param(b"\xfd7zXZ\x00", "compressed by xz; gzip, zip and zstandard", id="xz"),
        pytest.param(b"%PDF-1.4\n", "is a PDF; export CSV or JSON", id="PDF"),
        pytest.param(b"\xd0\xcf\x11\xe0" + bytes(600), "is a spreadsheet; save it as CSV", id="old spreadsheet"),
        pytest.param(b"<!DOCTYPE html><p>hunter2", "is a web page, maybe one that asks for a login", id="login page"),
        pytest.param(gzip.compress(b"a.csv".ljust(257, b"\0") + b"ustar"), "is a tar archive", id="tar"),
        pytest.param(TEXT.encode("utf-32"), "is UTF-32; save it as UTF-8", id="UTF-32"),
        pytest.param(b"PK\x05\x06" + bytes(18), "is an archive without a file", id="empty zip"),
        pytest.param(parquet([b"gpt-4o", b"\xff\xfe"]), "bytes that are no text", id="bytes in Parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence_without_its_content(tmp_path: Path, data: bytes, said: str) -> None:
    file = tmp_path / "usage.csv"
    file.write_bytes(data)
    with pytest.raises(FormatError) as error:
        rows(file)
    assert said in str(error.value)
    assert SECRET not in str(error.value)


def test_what_a_file_manager_leaves_in_an_archive_is_no_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "usage.zip", "w") as made:
        made.writestr("out/usage.csv", TEXT)
        made.writestr("__MACOSX/out/._usage.csv", "x")
        made.writestr("out/.DS_Store", "x")
    assert rows(tmp_path / "usage.zip") == [["2026-11-20", "openai", "gpt-4o", "5"]]
