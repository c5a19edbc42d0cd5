"""A copy of a SQLite database while it is in use, and the way back. It overwrites nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Final

from alertd.core.counting.buckets import micros
from alertd.core.evaluation.state import RESTORED
from alertd.ports import StoreError
from alertd.stores.transaction import Transaction

_PAGES: Final = 2_000
_OWNER_ONLY: Final = 0o600

Progress = Callable[[str, int, int], None]


def copy(source: Path, target: Path, progress: Progress = lambda *_: None) -> int:
    """Copy a database, in use or not, into a new file that is whole or not there at all; its size in bytes.

    Raises StoreError where the source is no sound database or the target is there already.
    """
    if not source.is_file():
        raise StoreError(f"{source}: there is no such file; name a copy that alertd db backup wrote")
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
    """Tell judge and outbox that this database is older than the world.

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
