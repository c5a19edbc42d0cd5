"""What commands that read a usage or cost file share: what may be said of it, and its contents or one clear error."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from alertd.core.formats.plan import Said
from alertd.core.formats.reading import Contents, read_table
from alertd.core.formats.times import month_of
from alertd.wire.tables import open_table

FILE_HELP: Final = "usage or costs in any known layout (`alertd formats`), or with columns of your own; also compressed"


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """What may be said of a file that it does not say itself."""
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


def said_of(args: argparse.Namespace, **more: Any) -> Said:
    """What was said of the file. ValueError names the option."""
    return Said(
        cached=args.cached,
        decimals=args.decimals,
        dates=args.dates,
        columns=columns_of(args.columns),
        **more,
    )


def columns_of(given: list[str]) -> Mapping[str, str]:
    """NAME=MEANING, several of them separated by commas. ValueError where one has no meaning."""
    found: dict[str, str] = {}
    for pair in (one for text in given for one in text.split(",")):
        name, sign, meaning = pair.rpartition("=")
        if not sign or not name.strip() or not meaning.strip():
            raise ValueError("--columns: write NAME=MEANING, such as 'Montant=cost'")
        found[name.strip()] = meaning.strip()
    return found


def month_said(text: str | None) -> str:
    """The month of --period as it was written, "" for none. ValueError where it is no month."""
    if text:
        try:
            month_of(text)
        except ValueError as error:
            raise ValueError(f"--period: {error}") from None
    return text or ""


def read_file(path: Path, said: Said) -> Contents:
    """The contents of a file. FormatError or OSError where it cannot be read."""
    return read_table(open_table(path), said)
