"""`alertd db`: move the database, back it up while it is in use, restore or recover it."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from alertd import registry
from alertd.commands._prompts import PlainConsole
from alertd.commands._settings_args import add_settings_arguments, settings_of
from alertd.ports import StoreError
from alertd.stores import backup, salvage
from alertd.stores.backup import TableContent, move
from alertd.stores.sql import SqlStore
from alertd.stores.urls import read_url

HELP: Final = "move the database to another one, back it up while it is in use, restore it, or recover a damaged one"
EXAMPLES: Final = (
    "alertd db backup backups/alertd-2026-11-21.db --env-file my.env",
    "alertd db restore backups/alertd-2026-11-21.db --env-file my.env",
    "alertd db move - postgresql://alertd@db.example.com/alertd --env-file my.env",
    "alertd db recover --env-file my.env",
)
ENDS: Final = "0 on success; 1 if nothing was done, with the reason; 2 for wrong usage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Move FROM TO, backup FILE, restore FILE, recover, restored."""
    parts = parser.add_subparsers(dest="part", required=True, metavar="PART")
    moving = parts.add_parser("move", help="copy everything into another, empty database; stop alertd first")
    moving.add_argument("source", metavar="FROM", help="sqlite:///... or postgresql://..., or - for ALERTD_DATABASE")
    moving.add_argument("target", metavar="TO", help="sqlite:///... or postgresql://..., or - for ALERTD_DATABASE")
    saving = parts.add_parser("backup", help="copy a SQLite database into a new file, while alertd runs")
    saving.add_argument("file", type=Path, metavar="FILE", help="the copy; it must not exist yet")
    restoring = parts.add_parser("restore", help="restore a copy as the SQLite database, which must not exist")
    restoring.add_argument("file", type=Path, metavar="FILE", help="the copy that alertd db backup wrote")
    mending = parts.add_parser("recover", help="rename a damaged SQLite database and save its readable content")
    restored = parts.add_parser("restored", help="after a restore by other means (pg_restore): do not alert again")
    for part in (moving, saving, restoring, mending, restored):
        add_settings_arguments(part)
        part.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 on success; 1, with the reason, if nothing was done."""
    parts: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
        "move": _move,
        "backup": _backup,
        "restore": _restore,
        "recover": _recover,
        "restored": _restored,
    }
    try:
        answer = parts[args.part](args)
    except (StoreError, ValueError) as error:
        print(f"alertd db {args.part}: {error}", file=sys.stderr)
        return 1
    print(json.dumps({key: value for key, value in answer.items() if key != "said"}) if args.json else answer["said"])
    return 0


def _move(args: argparse.Namespace) -> dict[str, object]:
    source, target = (_url(args, name, url) for name, url in (("FROM", args.source), ("TO", args.target)))
    _must_be_there(source)
    moved = asyncio.run(_moved(source, target))
    rows = sum(held.rows for held in moved.values())
    lines = [f"{name:<14}{held.rows:>12,} rows{_sum_of(held)}" for name, held in moved.items()]
    after = f"{rows:,} rows moved, read back and compared. Set ALERTD_DATABASE to {read_url(target).place}"
    tables = {name: {"rows": held.rows, "sums": dict(held.sums)} for name, held in moved.items()}
    return {"ok": True, "rows": rows, "tables": tables, "said": "\n".join([*lines, after])}


def _sum_of(held: TableContent) -> str:
    return f", {held.sums['quantity']:,} in all" if held.sums.get("quantity") else ""


async def _moved(source_url: str, target_url: str) -> dict[str, TableContent]:
    source, target = (cast("SqlStore", registry.store(url)) for url in (source_url, target_url))
    await source.open()
    try:
        await target.open()
        try:
            with bar() as progress:
                return await move(source.database, target.database, progress)
        finally:
            await target.close()
    finally:
        await source.close()


def _backup(args: argparse.Namespace) -> dict[str, Any]:
    database = settings_of(args, plugins=False).database
    _must_be_there(database)
    with bar() as progress:
        size = backup.copy(_file(database), args.file, progress)
    return {"ok": True, "file": str(args.file), "bytes": size, "said": f"{args.file}: {size:,} bytes, checked"}


def _restore(args: argparse.Namespace) -> dict[str, Any]:
    database = settings_of(args, plugins=False).database
    with bar() as progress:
        size = backup.copy(args.file, _file(database), progress)
    return {"bytes": size, **_restored(args)}


def _recover(args: argparse.Namespace) -> dict[str, object]:
    file = _file(settings_of(args, plugins=False).database)
    salvage.finish(file)
    _must_be_there(settings_of(args, plugins=False).database)
    fault = salvage.fault_of(file, foreign=True, whole=True)
    if not fault:
        return {"ok": True, "damaged": False, "said": f"{file}: is not damaged, nothing was done"}
    found = salvage.recover(file, fault, datetime.now(UTC))
    return {
        "ok": True,
        "damaged": True,
        "fault": fault,
        "aside": str(found.aside),
        "rows": found.kept,
        "lost": list(found.lost),
        "said": f"{found.report()}. alertd run reads the missing data again and repeats no alert.",
    }


def _restored(args: argparse.Namespace) -> dict[str, object]:
    database = settings_of(args, plugins=False).database
    _must_be_there(database)
    closed = asyncio.run(_marked(database))
    said = (
        f"Restored; {closed} messages that were undelivered when the backup was made are not sent again. alertd "
        "announces nothing"
        " until it has read its sources up to the present, and then only what is new."
    )
    return {"ok": True, "closed": closed, "said": said}


async def _marked(url: str) -> int:
    store = cast("SqlStore", registry.store(url))
    await store.open()
    try:
        return await store.database.write(lambda tx: backup.mark_restored(tx, datetime.now(UTC)))
    finally:
        await store.close()


def _url(args: argparse.Namespace, name: str, given: str) -> str:
    """The given URL, or that of the configuration. ValueError for an invalid one."""
    try:
        return settings_of(args, plugins=False).database if given == "-" else read_url(given).url
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None


def _file(url: str) -> Path:
    known = read_url(url)
    if known.file is None:
        raise StoreError(
            f"{known.place}: is not an SQLite file; use pg_dump --format=custom for a backup and pg_restore for"
            " the way back, then alertd db restored"
        )
    return known.file


def _must_be_there(url: str) -> None:
    """Refuse a missing SQLite file, because opening it would create it."""
    file = read_url(url).file
    if file is not None and not file.is_file():
        raise StoreError(f"{file}: no such file; check ALERTD_DATABASE")


@contextmanager
def bar() -> Any:
    """A function that shows the progress: a bar on a terminal, otherwise nothing."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda *_: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=PlainConsole(stderr=True)) as shown:

        def progress(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = shown.add_task(name, total=total)
            shown.update(tasks[name], completed=done, total=total)

        yield progress
