"""A copy of a SQLite file while it is in use; and everything of one database moved into another, empty one.

Moving: source, batches by primary key -> target, one transaction -> both read anew, every row compared -> committed.
The tables are those that the migrations make, so that a table of tomorrow is moved as well. The comparison does not
depend on an order, since two databases sort text differently.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import msgspec

from alertd.core.counting.buckets import micros
from alertd.core.evaluation.state import RESTORED
from alertd.ports import StoreError
from alertd.stores.migrations import MIGRATIONS
from alertd.stores.sqlite import SchemaTable, model_of_schema
from alertd.stores.transaction import Database, Transaction, Upsert, Work

_PAGES: Final = 2_000
_OWNER_ONLY: Final = 0o600

#: Called with what is copied (a table, or "pages"), how many of it so far, and of how many.
Progress = Callable[[str, int, int], None]


def copy(source: Path, target: Path, progress: Progress = lambda *_: None) -> int:
    """Copy a database, in use or not, into a new file that is whole or not there at all; its size in bytes.

    Raises StoreError where the source is no sound database or the target is there already.
    """
    if not source.is_file():
        raise StoreError(f"{source}: no such file; name a copy that alertd db backup wrote")
    if target.exists():
        raise StoreError(f"{target}: is there already and is left as it is; name another file, or move it away")
    part = target.with_name(f"{target.name}.part")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY))
        _copy(source, part, progress)
        _sound(part, source)
        os.link(part, target)  # fails where the target came to be meanwhile, which a rename would not
        return target.stat().st_size
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{source}: cannot be copied, it is damaged or no database ({error})") from error
    except OSError as error:
        raise StoreError(f"{target}: was not written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def mark_restored(tx: Transaction, now: datetime) -> int:
    """Mark the database as restored, for the evaluation and the outbox.

    Gives how many messages were on their way at the backup: they may have arrived since, and are not sent again.
    """
    closed = tx.run(
        "UPDATE outbox SET state = 'given up', reason = 'restored from a backup', done_at = ?, lease_until = NULL"
        " WHERE done_at IS NULL",
        micros(now),
    )
    tx.run("DELETE FROM note WHERE name = ?", RESTORED.prefix)
    tx.run("INSERT INTO note (name, value, revision) VALUES (?, ?, 1)", RESTORED.prefix, f'"{now.isoformat()}"')
    return closed


def _copy(source: Path, part: Path, progress: Progress) -> None:
    with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as old, closing(sqlite3.connect(part)) as new:
        old.backup(new, pages=_PAGES, progress=lambda _, left, all_: progress("pages", all_ - left, all_))
        new.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it


def _sound(part: Path, source: Path) -> None:
    with closing(sqlite3.connect(part)) as found:
        said = [row[0] for row in found.execute("PRAGMA integrity_check(3)")]
        known = found.execute("SELECT count(*) FROM sqlite_master WHERE name = 'migration'").fetchone()[0]
    if said != ["ok"]:
        raise StoreError(f"{source}: is damaged: {'; '.join(said)}")
    if not known:
        raise StoreError(f"{source}: is no database of alertd")


_BATCH: Final = 5_000
#: The rows of a batch of a table whose rows may be large.
_FEW: Final = 200
_TYPES: Final = {"INTEGER": "bigint", "REAL": "double precision", "TEXT": "text", "BLOB": "bytea"}
#: Written by the migrations themselves, so an empty database has rows in them.
_BORN_FILLED: Final = "turn"
_encode: Final = msgspec.json.Encoder().encode

Row = tuple[Any, ...]
Read = Callable[[Work[Any]], Any]


@dataclass(frozen=True, slots=True)
class TableContent:
    """What a table holds: how many rows, the sums of its whole numbers by column, and a print of all rows."""

    rows: int
    sums: Mapping[str, int]
    print: int


async def move(source: Database, target: Database, progress: Progress = lambda *_: None) -> dict[str, TableContent]:
    """Copy everything from `source` into `target`, both open; what each table holds now.

    Raises StoreError, with the target as it was, where it is not empty, where the source is (or is newer than this
    alertd), and where the source was written to meanwhile.
    """
    loop = asyncio.get_running_loop()

    def read(work: Work[Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(source.read(work), loop).result()

    def report(table: str, done: int, total: int) -> None:
        loop.call_soon_threadsafe(progress, table, done, total)

    tables = model_of_schema()
    await source.read(lambda tx: _checked_source(tx, tables))
    return await target.write(lambda tx: _copied(tx, tables, read, report))


def _checked_source(tx: Transaction, tables: Sequence[SchemaTable]) -> None:
    ((schema,),) = tx.rows("SELECT max(number) FROM migration")
    if schema > MIGRATIONS[-1].number:
        known = MIGRATIONS[-1].number
        raise StoreError(
            f"{tx.place}: written by a newer alertd (schema {schema}, this one knows {known}); move with that one"
        )
    if not any(_count(tx, table) for table in tables if table.name != _BORN_FILLED):
        raise StoreError(f"{tx.place}: is empty, there is nothing to move")


def _copied(tx: Transaction, tables: Sequence[SchemaTable], read: Read, progress: Progress) -> dict[str, TableContent]:
    """The work of the target's one transaction: it may be run again from its beginning."""
    filled = [table.name for table in tables if table.name != _BORN_FILLED and _count(tx, table)]
    if filled:
        raise StoreError(f"{tx.place}: is not empty ({', '.join(filled)}); name an empty database, or empty it")
    _without_bounds(tx)
    for table in tables:
        total, done, into = read(partial(_count, table=table)), 0, _upsert(table)
        for rows in _batches(table, read):
            tx.upsert(into, rows)
            done += len(rows)
            progress(table.name, done, total)
        _number_on(tx, table)
    here = _held_by(tables, lambda work: work(tx))
    there = read(lambda tx: _held_by(tables, lambda work: work(tx)))
    differing = [name for name in here if here[name] != there[name]]
    if differing:
        raise StoreError(
            f"{tx.place}: was left as it was, for the first database has changed meanwhile ({', '.join(differing)});"
            " stop every alertd that uses it and move again"
        )
    return here


def _held_by(tables: Sequence[SchemaTable], read: Read) -> dict[str, TableContent]:
    return {table.name: _held(table, read) for table in tables}


def _held(table: SchemaTable, read: Read) -> TableContent:
    numbers = [at for at, (_, kind) in enumerate(table.columns) if kind == "INTEGER"]
    count, prints, sums = 0, 0, dict.fromkeys(numbers, 0)
    for rows in _batches(table, read):
        count += len(rows)
        prints += sum(int.from_bytes(blake2b(_encode(row), digest_size=16).digest()) for row in rows)
        for at in numbers:
            sums[at] += sum(row[at] or 0 for row in rows)
    return TableContent(count, {table.columns[at][0]: total for at, total in sums.items()}, prints % (1 << 128))


def _batches(table: SchemaTable, read: Read) -> Iterator[list[Row]]:
    """The rows of a table in the order of its primary key, from where the last batch ended."""
    names = [name for name, _ in table.columns]
    key, places = ", ".join(table.key), ", ".join("?" * len(table.key))
    select = f"SELECT {', '.join(names)} FROM {table.name}"  # noqa: S608 - names of the own schema, here and below
    last: list[Any] = []
    batch = _FEW if any(kind == "BLOB" for _, kind in table.columns) else _BATCH
    while True:
        beyond = f" WHERE ({key}) > ({places})" if last else ""
        sql, values = f"{select}{beyond} ORDER BY {key} LIMIT {batch}", tuple(last)
        rows: list[Row] = read(partial(_rows, sql=sql, values=values))
        if rows:
            yield rows
        if len(rows) < batch:
            return
        last = [rows[-1][names.index(name)] for name in table.key]


def _rows(tx: Transaction, sql: str, values: Row) -> list[Row]:
    return tx.rows(sql, *values)


def _upsert(table: SchemaTable) -> Upsert:
    """A plain insert; the `turn` rows, which exist already, are updated."""
    columns = tuple((name, _TYPES[kind]) for name, kind in table.columns)
    taken = "ON CONFLICT (name) DO UPDATE SET number = excluded.number" if table.name == _BORN_FILLED else ""
    return Upsert(table.name, columns, taken)


def _count(tx: Transaction, table: SchemaTable) -> int:
    return int(tx.rows(f"SELECT count(*) FROM {table.name}")[0][0])  # noqa: S608 - a name of the own schema


def _without_bounds(tx: Transaction) -> None:
    """Switch off PostgreSQL's limit on idle transactions: this one waits for another database."""
    if tx.skip_locked:
        tx.run("SET LOCAL idle_in_transaction_session_timeout = 0")
        tx.run("SET LOCAL statement_timeout = 0")


def _number_on(tx: Transaction, table: SchemaTable) -> None:
    """Set PostgreSQL's sequences behind the highest copied number; SQLite does so by itself."""
    if table.numbered and tx.skip_locked:
        (name,) = table.key
        tx.rows(
            f"SELECT setval(pg_get_serial_sequence(?, ?), max({name})) FROM {table.name} HAVING count(*) > 0",  # noqa: S608 - as above
            table.name, name,
        )  # fmt: skip
