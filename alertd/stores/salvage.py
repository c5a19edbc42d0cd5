"""Recovery of a damaged SQLite file: it is set aside, and a new file is made of what can still be read.

    sound? -> each table, from both its ends up to the damage -> new file -> old one renamed -> new one in its place

The ledger is taken over whole or not at all: one with a hole would be a smaller figure. What was announced and done is
taken over row by row; where a row of it is lost, a note for the evaluation says that it cannot know what it announced.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from alertd.core.evaluation.state import DAMAGE, RESTORED, Damage
from alertd.core.ledger.sealed import is_whole
from alertd.ports import StoreError
from alertd.stores.sqlite import SchemaTable, copy_place, make, model_of_schema

#: Above this a file is not read as a whole at each start, which takes about a second for each GB.
_CHECKED: Final = 4 << 30
_DAMAGE: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_MAGIC: Final = b"SQLite format 3\x00"
#: What counts only as a whole, and what is worth every row of it.
_LEDGER: Final = ("turn", "source", "series", "counter_block", "usage", "usage_block")
#: Worked out of others, and not worth a look.
_DERIVED: Final = "usage_sum"
_DECISIONS: Final = ("alert", "note", "outbox", "conversation")
#: Written by the migrations themselves.
_BORN_FILLED: Final = "turn"
#: Columns that hold JSON: a row with invalid JSON is lost.
_JSON: Final = {"alert": "event", "note": "value", "outbox": "events", "conversation": "memory", "series": "labels"}
_TYPES: Final[Mapping[str, type]] = {"INTEGER": int, "REAL": float, "TEXT": str, "BLOB": bytes}

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Salvaged:
    """The result: the fault, where the damaged file lies now, rows kept by table, tables that lost rows.

    `ledger`: usage and cursors were kept; without, the sources are read again.
    """

    fault: str
    aside: Path
    kept: dict[str, int]
    lost: tuple[str, ...]
    ledger: bool

    def report(self) -> str:
        """The result as one sentence for the log."""
        lost = f"parts of {', '.join(self.lost)} are lost" if self.lost else "nothing is lost"
        again = "" if self.ledger else "; usage is read again from the sources"
        return f"the database was damaged ({self.fault}) and was made anew: {lost}{again}. The old file is {self.aside}"


def fault_of(path: Path, *, foreign: bool = False, whole: bool = False) -> str:
    """The fault of a database file; "" if it is sound, missing, or locked by others.

    Raises StoreError where the file is no SQLite database at all, for it may be somebody else's: unless `foreign`
    says that it is not. A file of more than 4 GiB is read as a whole only for `whole`.
    """
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        head = file.read(100)
    if not head:
        return "it is empty"
    if any(head) and not head.startswith(_MAGIC[: len(head)]):
        if foreign:
            return "it is no SQLite database"
        raise StoreError(
            f"{path}: it is no SQLite database; name another file in ALERTD_DATABASE or restore a backup."
            " If it was alertd's own, alertd db recover sets it aside and begins anew"
        )
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True)) as found:
            complete = whole or path.stat().st_size < _CHECKED
            check = "PRAGMA quick_check(1)" if complete else "SELECT count(*) FROM sqlite_master"
            said = found.execute(check).fetchone()[0]
            if said == "ok":
                said = _damaged_block(found) or said
    except sqlite3.Error as error:
        return str(error) if _is_damage(error) else ""
    return said if isinstance(said, str) and said != "ok" else ""


def recover(path: Path, fault: str, now: datetime) -> Salvaged:
    """Make a new database of what can be read of a damaged one, which is set aside. Nobody else may use it meanwhile.

    If it is killed, the next call of `finish` and `recover` completes or repeats it.
    """
    new, aside = copy_place(path), path.with_name(f"{path.name}.corrupt-{now:%Y%m%dT%H%M%SZ}")
    if aside.exists():
        raise StoreError(f"{aside}: is there already and is left as it is; move it away")
    try:
        _remove(new)
        make(new)
        with closing(sqlite3.connect(new, isolation_level=None)) as target:
            found = _salvage(path, target, fault, aside, now)
        for ending in ("-wal", "-shm", ""):  # the journal first: beside a new database it would be taken for its own
            with suppress(FileNotFoundError):
                path.with_name(path.name + ending).rename(f"{aside}{ending}")
        new.rename(path)
    except OSError as error:
        raise StoreError(f"{path}: is damaged ({fault}) and cannot be set aside: {error.strerror}") from error
    except sqlite3.Error as error:
        raise StoreError(f"{path}: is damaged ({fault}) and no new one can be made: {error}") from error
    return found


def finish(path: Path) -> None:
    """Complete a recovery that was killed before the new database was in place."""
    new = copy_place(path)
    if new.exists() and not path.exists():
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        new.rename(path)


def put_back(path: Path, now: datetime) -> bool:
    """Whether the copy of a removed database was put in its place; the next user of it is notified."""
    if path.exists() or not copy_place(path).exists():
        return False
    finish(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as target:
        _note(target, DAMAGE.put(Damage.of(now, "its file was removed", "", (), ledger=True)))
    return True


def mark_replaced(path: Path, now: datetime) -> None:
    """Mark a database that replaced another, so that its next user announces it. A file without tables has no mark."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, isolation_level=None)) as target:
        _note(target, DAMAGE.put(Damage.of(now, "by another one while alertd was using it", "", (), replaced=True)))


def _remove(file: Path) -> None:
    for ending in ("", "-wal", "-shm", "-journal"):
        file.with_name(file.name + ending).unlink(missing_ok=True)


def _salvage(path: Path, target: sqlite3.Connection, fault: str, aside: Path, now: datetime) -> Salvaged:
    tables = {table.name: table for table in model_of_schema() if table.name != _DERIVED}
    read = {name: _Read(path, table) for name, table in tables.items()}
    target.execute("BEGIN IMMEDIATE")
    kept = {name: _write(target, read[name], from_both_ends=True) for name in tables if name not in _LEDGER}
    target.execute("SAVEPOINT ledger")
    ledger = {name: _write(target, read[name]) for name in _LEDGER}
    whole = all(read[name].whole for name in _LEDGER)
    if not whole:
        target.execute("ROLLBACK TO ledger")
    target.execute("RELEASE ledger")
    lost = tuple(name for name in tables if not read[name].whole)
    _note(target, DAMAGE.put(Damage.of(now, fault, str(aside), lost, ledger=whole)))
    if not whole or any(name in lost for name in _DECISIONS):
        _note(target, RESTORED.put(now))
    target.execute("COMMIT")
    return Salvaged(fault, aside, kept | ledger if whole else kept, lost, whole)


class _Read:
    """One table of a damaged file. `whole` until something could not be read; `given` counts the rows that could."""

    def __init__(self, path: Path, table: SchemaTable) -> None:
        self._path, self.table = path, table
        self.whole = True
        self.given = 0
        self._json = [place for place, (name, _) in enumerate(table.columns) if name == _JSON.get(table.name)]
        self._types = [_TYPES[kind] for _, kind in table.columns]

    def rows(self, way: str) -> Iterator[Row]:
        """The rows from one end (ASC or DESC of the key), up to where it breaks off."""
        columns = ", ".join(name for name, _ in self.table.columns)
        order = ", ".join(f"{name} {way}" for name in self.table.key)
        try:
            with closing(sqlite3.connect(f"file:{self._path}?mode=rw", uri=True)) as old:
                old.execute("PRAGMA query_only = ON")
                for row in old.execute(f"SELECT {columns} FROM {self.table.name} ORDER BY {order}"):  # noqa: S608 - names of the own schema
                    if self._sound(row):
                        self.given += 1
                        yield row
                    else:
                        self.whole = False
        except (sqlite3.Error, ValueError, OverflowError):
            self.whole = False

    def _sound(self, row: Row) -> bool:
        typed = all(value is None or isinstance(value, kind) for value, kind in zip(row, self._types, strict=True))
        whole = all(is_whole(value) for value in row if isinstance(value, bytes))
        return typed and whole and all(_is_json(row[place]) for place in self._json)


def _write(target: sqlite3.Connection, read: _Read, *, from_both_ends: bool = False) -> int:
    """Copy a table from its start, and from its end if that fails; the number of rows copied."""
    table = read.table
    names, places = ", ".join(name for name, _ in table.columns), ", ".join("?" * len(table.columns))
    verb = "REPLACE" if table.name == _BORN_FILLED else "IGNORE"
    sql = f"INSERT OR {verb} INTO {table.name} ({names}) VALUES ({places})"  # noqa: S608 - names of the own schema
    target.executemany(sql, read.rows("ASC"))
    # What the new table refuses (a NULL, a key that came twice) is no row that alertd wrote.
    read.whole = read.whole and _count(target, table) == read.given
    if from_both_ends and not read.whole:
        target.executemany(sql, read.rows("DESC"))
    return _count(target, table)


def _count(target: sqlite3.Connection, table: SchemaTable) -> int:
    return int(target.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0])  # noqa: S608 - as above


def _note(target: sqlite3.Connection, changes: Mapping[str, object]) -> None:
    for name, value in changes.items():
        text = msgspec.json.encode(value).decode()
        target.execute("INSERT OR REPLACE INTO note (name, value, revision) VALUES (?, ?, 1)", (name, text))


def _damaged_block(found: sqlite3.Connection) -> str:
    """Which block is not as it was written: its source and, of usage, time; "" where all are."""
    tables = {name for (name,) in found.execute("SELECT name FROM sqlite_master")}
    if not {"usage_block", "counter_block"} <= tables:
        return ""
    for source, block in found.execute("SELECT source, states FROM counter_block"):
        if not is_whole(block):
            return f"the counters of {source} are not as they were written"
    for source, slot, block in found.execute("SELECT source, slot, buckets FROM usage_block"):
        if not is_whole(block):
            when = datetime.fromtimestamp(slot, UTC)
            return f"the usage of {source} from {when:%Y-%m-%d %H:%M} UTC on is not as it was written"
    return ""


def _is_json(text: Any) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, TypeError, UnicodeError):
        return False
    return True


def _is_damage(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(_DAMAGE)
