"""What commands that read a usage or cost file share: the options of the file, and its contents or one clear error."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any, Final

from alertd.clients.tables import open_folder, open_table
from alertd.core.formats.plan import FileHints
from alertd.core.formats.records import Contents, read_table
from alertd.core.formats.table import FormatError
from alertd.core.formats.times import month_of

FILE_HELP: Final = (
    "usage or costs in any known layout (`alertd formats`), or with columns of your own; also compressed; - is standard"
    " input; or the folder of a coding agent, such as ~/.claude"
)


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Options for what a file does not say itself."""
    add = parser.add_argument
    add(
        "--cached",
        choices=("auto", "included", "disjoint"),
        default="auto",
        help="whether a file's input tokens include its cached tokens (auto: by its layout, its rows, its provider)",
    )
    add("--decimals", choices=("point", "comma"), help="the decimal sign, where the file does not show it")
    add("--dates", choices=("dmy", "mdy"), help="whether 03/04/2026 begins with the day or the month")
    add(
        "--columns",
        action="append",
        default=[],
        metavar="NAME=MEANING",
        help="a column of the file as a known one: 'Jetons=input_tokens', 'Montant=cost', 'x=label', 'x=ignore'",
    )


def said_of(args: argparse.Namespace, **more: Any) -> FileHints:
    """The options of the file. ValueError names the option."""
    return FileHints(
        cached=args.cached,
        decimals=args.decimals,
        dates=args.dates,
        columns=columns_of(args.columns),
        **more,
    )


def columns_of(given: list[str]) -> Mapping[str, str]:
    """NAME=MEANING, several separated by commas. ValueError if one has no meaning."""
    found: dict[str, str] = {}
    for pair in (one for text in given for one in text.split(",")):
        name, sign, meaning = pair.rpartition("=")
        if not sign or not name.strip() or not meaning.strip():
            raise ValueError("--columns: write NAME=MEANING, such as 'Montant=cost'")
        found[name.strip()] = meaning.strip()
    return found


def month_said(text: str | None) -> str:
    """The month of --period as it was written, "" without one. ValueError if it is not a month."""
    if text:
        try:
            month_of(text)
        except ValueError as error:
            raise ValueError(f"--period: {error}") from None
    return text or ""


def read_file(path: Path, said: FileHints) -> Contents:
    """The contents of a file, of a coding agent's folder, or of a pipe (`-` is standard input).

    FormatError or OSError if it cannot be read.
    """
    if path.is_dir():
        return read_table(open_folder(path), said)
    if str(path) == "-" or (path.exists() and not path.is_file()):
        return read_table(open_table(Path(_copy_of(path).name)), said)
    return read_table(open_table(path), said)


@cache
def _copy_of(path: Path) -> IO[bytes]:
    """What a pipe gives, as a file that ends with the command: files are read more than once."""
    copy = NamedTemporaryFile()  # noqa: SIM115 - kept until the command ends
    left = _LARGEST_PIPE
    with nullcontext(sys.stdin.buffer) if str(path) == "-" else path.open("rb") as stream:
        while block := stream.read(1 << 20):
            copy.write(block)
            left -= len(block)
            if left < 0:
                raise FormatError(f"gives more than {_LARGEST_PIPE >> 30} GiB; write it to a file")
    copy.flush()
    return copy


#: A device may give bytes for ever.
_LARGEST_PIPE: Final = 4 << 30
