"""The store in one SQLite file, for one daemon. Writes queue in this process, not in SQLite."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import lru_cache
from pathlib import Path
from tempfile import mkstemp
from typing import IO, Any, Final, NamedTuple

from alertd.ports import Store, StoreDamagedError, StoreError
from alertd.stores.migrations import migrate
from alertd.stores.sql import SqlStore
from alertd.stores.transaction import Answer, Job, Upsert, Work, started
from alertd.stores.urls import read_url

_BUSY_SECONDS: Final = 10.0
_AGAIN_SECONDS: Final = 0.02
#: FULL: a commit is on the platter before it is reported. With NORMAL a power cut may forget the last transactions: a
#: claim (the message goes out again and nobody knows that it may have) or that a key was turned off (done twice).
#: Work that waits at the same time shares a commit, so what that costs is one fsync a group.
_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA cache_size = -16384",
    "PRAGMA temp_store = MEMORY",
)
_WORDS: Final = {
    "tables": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'",
    "integer": "INTEGER",
    "real": "REAL",
    "text": "TEXT",
    "bytes": "BLOB",
    "identity": "INTEGER PRIMARY KEY AUTOINCREMENT",
    # STRICT: a sum beyond 64 bits is an error and not, as SQLite would have it, a float.
    "plain": "STRICT",
    "clustered": "STRICT, WITHOUT ROWID",
    "audit_unchanged": "CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit"
    " BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END",
    "audit_kept": "CREATE TRIGGER audit_kept BEFORE DELETE ON audit"
    " BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END",
}
#: What SQLite says, by the start of its error's name, and what a person can do.
_REMEDIES: Final = (
    ("SQLITE_FULL", "the disk is full; free some space; a running alertd goes on by itself"),
    ("SQLITE_READONLY", "it cannot be written; give alertd's user write access to the file and its directory"),
    ("SQLITE_PERM", "it cannot be written; give alertd's user write access to the file and its directory"),
    ("SQLITE_CANTOPEN", "it cannot be opened; the directory must exist and be writable by alertd's user"),
    ("SQLITE_NOTADB", "it is no SQLite database; name another file in ALERTD_DATABASE, or restore a backup"),
    ("SQLITE_CORRUPT", "it is damaged; alertd run sets it aside and saves what can be read, or restore a backup"),
    ("SQLITE_BUSY", "another program keeps it locked; end it (one SQLite file serves one alertd)"),
    ("SQLITE_IOERR", "the disk does not read or write; check it and its mount"),
)


#: What says that the file itself is broken.
_DAMAGE: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


def build(url: str) -> Store:
    """The store in the file of `sqlite:////absolute/path` or `sqlite:///relative/path`; ValueError for another URL."""
    file = read_url(url).file
    if file is None:
        raise ValueError("this names no file; write sqlite:////var/lib/alertd/alertd.db")
    return SqlStore(SqliteDatabase(file))


class SqliteDatabase:
    """One connection that writes and one that reads, each in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: deque[Job[Any]] = deque()
        self._threads = [ThreadPoolExecutor(1, thread_name_prefix=f"sqlite-{what}") for what in ("write", "read")]
        self._connections: list[_SqliteConnection] = []
        self._sign: IO[str] | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            for thread, prepare in zip(self._threads, (_writer, _reader), strict=True):
                self._connections.append(await loop.run_in_executor(thread, prepare, self._path))
        except StoreError:
            await self.close()
            raise

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        for thread, connection in zip(self._threads, self._connections, strict=False):
            await loop.run_in_executor(thread, connection.close)
        for thread in self._threads:
            thread.shutdown()
        self._connections.clear()
        if self._sign is not None:
            self._sign.close()

    async def alone(self) -> bool:
        return await self._lock() is None

    async def is_contended(self) -> bool:
        return isinstance(await self._lock(), BlockingIOError)

    async def _lock(self) -> OSError | None:
        """Lock the file that marks a running daemon; the error if that failed, else None."""
        try:
            sign = str(self._path.with_name(f"{self._path.name}-run"))
            self._sign = self._sign or os.fdopen(_private(sign, os.O_CREAT | os.O_RDWR), "w")
            fcntl.flock(self._sign, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error
        return None

    async def write(self, work: Work[Answer], *, small: bool = False) -> Answer:
        job = Job(work)
        self._waiting.append(job)
        self._threads[0].submit(self._commit_waiting)
        return await asyncio.wrap_future(job.future)

    async def read(self, work: Work[Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._threads[1], self._connections[1].read, work)

    def _commit_waiting(self) -> None:
        """Commit all waiting work in one transaction."""
        group = started(self._waiting)
        if group:
            self._connections[0].commit(group)


class _SqliteConnection:
    """A connection and the transaction that is open on it, with SQLite's errors in our words."""

    skip_locked = ""

    def __init__(self, path: Path) -> None:
        self.place, self._path = str(path), path
        self._lost: StoreDamagedError | None = None
        # One thread uses it at a time, not always the one that opened it when the pool replaces a thread.
        self._db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._identity = _identity(path)

    def close(self) -> None:
        self._db.close()

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._db.execute(sql, values).fetchall()

    def run(self, sql: str, *values: Any) -> int:
        return self._db.execute(sql, values).rowcount

    def upsert(self, into: Upsert, rows: Sequence[tuple[Any, ...]]) -> None:
        self._db.executemany(_statement(into), rows)

    def commit(self, jobs: Sequence[Job[object]]) -> None:
        failure: StoreError | None = self._check_file()
        try:
            if failure is None:
                self._db.execute("BEGIN IMMEDIATE")
                for job in jobs:
                    self._attempt(job)
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            failure = _explained(self.place, error)
            self.undo()
        for job in jobs:
            job.finish(failure)

    def undo(self) -> None:
        """Roll back the open transaction, if there is one."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _check_file(self) -> StoreDamagedError | None:
        """An error where the path no longer leads to the open file; what a removed one held is copied beside it."""
        if self._lost is None and _identity(self._path) != self._identity:
            removed = not self._path.exists()
            if removed and self._path.parent.is_dir():
                copy = copy_place(self._path)
                copy.unlink(missing_ok=True)
                with suppress(OSError, sqlite3.Error), closing(_opened(copy)) as target:
                    self._db.backup(target._db)  # noqa: SLF001 - of the same class
            what = "removed" if removed else "replaced"
            self._lost = StoreDamagedError(f"{self.place}: the file was {what} while alertd was using it")
        return self._lost

    def _attempt(self, job: Job[object]) -> None:
        self._db.execute("SAVEPOINT job")
        with job:
            job.answer = job.work(self)
        if job.error is not None:
            if not self._db.in_transaction and isinstance(job.error, sqlite3.Error):
                raise job.error  # the database undid the whole transaction, not this work alone
            self._db.execute("ROLLBACK TO job")
            if isinstance(job.error, sqlite3.Error | OverflowError | UnicodeEncodeError):
                job.error = _explained(self.place, job.error)
        self._db.execute("RELEASE job")

    def read(self, work: Work[Answer]) -> Answer:
        try:
            self._db.execute("BEGIN")
            try:
                return work(self)
            finally:
                self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise _explained(self.place, error) from error


def copy_place(path: Path) -> Path:
    """The path at which a replacement of the database at `path` is built."""
    return path.with_name(f"{path.name}.recovered")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def make(path: Path) -> None:
    """A new, empty database in one file, with nothing beside it."""
    connection = _opened(path)
    try:
        connection.run("BEGIN IMMEDIATE")
        migrate(connection, _WORDS)
        connection.run("COMMIT")
    finally:
        connection.close()


class SchemaTable(NamedTuple):
    """A table as the migrations make it: columns with SQLite's types, the primary key, whether it numbers its rows."""

    name: str
    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    numbered: bool


def in_memory() -> _SqliteConnection:
    """A connection to a new in-memory database."""
    connection = _SqliteConnection(Path(":memory:"))
    migrate(connection, _WORDS)
    return connection


def model_of_schema() -> list[SchemaTable]:
    """Every table that holds state, in both databases the same; read off an empty database in memory."""
    connection = in_memory()
    try:
        tables = connection.rows(
            "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
            " AND name <> 'migration' ORDER BY rowid"
        )
        return [_described(connection, name, sql) for name, sql in tables]
    finally:
        connection.close()


def _described(connection: _SqliteConnection, name: str, sql: str) -> SchemaTable:
    columns = connection.rows("SELECT name, type, pk FROM pragma_table_info(?) ORDER BY cid", name)
    key = sorted((place, column) for column, _, place in columns if place)
    typed = tuple((column, kind) for column, kind, _ in columns)
    return SchemaTable(name, typed, tuple(column for _, column in key), "AUTOINCREMENT" in sql)


def _writer(path: Path) -> _SqliteConnection:
    """A connection that writes, on the newest schema; it waits for others that open the same new file meanwhile.

    The first switch to a write-ahead log needs the file alone, and SQLite asks no busy handler there (it would wait for
    itself): "database is locked" comes at once. So it is tried again, as long as the busy handler waits elsewhere.
    """
    connection, until = _opened(path), time.monotonic() + _BUSY_SECONDS
    try:
        while True:
            try:
                _prepare(connection)
            except sqlite3.OperationalError as error:
                if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > until:
                    raise
                time.sleep(_AGAIN_SECONDS)
            else:
                return connection
    except sqlite3.Error as error:
        connection.close()
        raise _explained(connection.place, error) from error
    except StoreError:
        connection.close()
        raise


def _prepare(connection: _SqliteConnection) -> None:
    for pragma in _PRAGMAS:
        connection.run(pragma)
    connection.run("BEGIN IMMEDIATE")
    try:
        migrate(connection, _WORDS)
        connection.run("COMMIT")
    except BaseException:
        connection.undo()
        raise


def _reader(path: Path) -> _SqliteConnection:
    connection = _opened(path)
    connection.run("PRAGMA query_only = ON")
    return connection


def _opened(path: Path) -> _SqliteConnection:
    if not path.parent.is_dir():
        raise StoreError(f"{path}: there is no directory {path.parent}; create it, writable by alertd's user")
    if path.exists() and not path.is_file():
        raise StoreError(f"{path}: it cannot be opened, it is no file; name a file in ALERTD_DATABASE")
    try:
        if not path.exists():
            _create(path)
        return _SqliteConnection(path)
    except OSError as error:
        raise StoreError(f"{path}: it cannot be created: {error.strerror}") from error
    except sqlite3.Error as error:
        raise _explained(str(path), error) from error


def _create(path: Path) -> None:
    """Put a database without tables at `path` in one step, so that a killed start leaves no empty file."""
    # For the owner alone; SQLite gives its -wal and -shm the permissions of the file.
    opened, name = mkstemp(prefix=f"{path.name}.new-", dir=path.parent)
    os.close(opened)
    new = Path(name)
    try:
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=WAL").fetchall()  # writes the header
        try:
            path.hardlink_to(new)
        except FileExistsError:
            pass  # another process was faster
        except OSError:  # a file system without links
            new.rename(path)
    finally:
        new.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    """Open a file with mode 0600: it holds users' names and their spend."""
    return os.open(path, flags, 0o600)


@lru_cache
def _statement(into: Upsert) -> str:
    names = ", ".join(name for name, _ in into.columns)
    places = ", ".join("?" * len(into.columns))
    return f"INSERT INTO {into.table} ({names}) VALUES ({places}) {into.conflict}"  # noqa: S608  constants of the code


def _explained(place: str, error: BaseException) -> StoreError:
    name = getattr(error, "sqlite_errorname", "")
    remedy = next((remedy for start, remedy in _REMEDIES if name.startswith(start)), f"{name} {error}".strip())
    damaged = name.startswith(_DAMAGE)
    failure = (StoreDamagedError if damaged else StoreError)(f"{place}: {remedy}")
    failure.__cause__ = error
    return failure
