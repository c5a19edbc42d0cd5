"""Old usage in wider buckets, some rows a call: sums stay as they are and readers follow without a rule of their own.

A merged row becomes 0 in the transaction that adds it to its wider bucket, so a reader that goes on from a revision
sees both. A day later, when every reader has, the zeros are swept away.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from alertd.core.counting.buckets import Closed, micros
from alertd.stores.transaction import Transaction, Upsert

#: How much one transaction does: some 0.1 s, so that a commit of usage never waits long.
ROWS_A_CALL: Final = 20_000
#: How long a reader may go without reading before zeros that it has not seen are swept away, in seconds.
_GRACE: Final = 86_400
_COLUMNS: Final = tuple((name, "bigint") for name in ("start", "series", "width", "quantity", "revision"))

ADD: Final = Upsert(
    "usage",
    _COLUMNS,
    "ON CONFLICT (start, series, width) DO UPDATE SET"
    " quantity = usage.quantity + excluded.quantity, revision = excluded.revision",
)
SET: Final = Upsert(
    "usage",
    _COLUMNS,
    "ON CONFLICT (start, series, width) DO UPDATE SET quantity = excluded.quantity, revision = excluded.revision",
)


def take_turn(tx: Transaction) -> int:
    """The revision of this write. Its row is locked until the end: what has a lower revision is committed."""
    number: int = tx.rows("UPDATE turn SET number = number + 1 WHERE name = 'ledger' RETURNING number")[0][0]
    return number


def closed(tx: Transaction) -> list[Closed]:
    """What was rolled up so far, narrow levels first; a bucket that was begun counts as closed."""
    return [Closed(until, width) for until, width in tx.rows("SELECT closed, width FROM rolled ORDER BY width")]


def roll_up(tx: Transaction, before: datetime, width: int) -> int:
    """Merge up to `ROWS_A_CALL` narrower buckets that lie before `before` into ones of `width` seconds.

    Gives how many rows it merged or swept; 0 when nothing is left to do. A bucket of `width` starts at a multiple of
    it since 1970, and one that `before` cuts is left alone. `before` is expected to move on with time.
    """
    revision = take_turn(tx)
    now = micros(before) // 1_000_000
    tx.run("INSERT INTO rolled VALUES (?, 0, 0, 0, ?, 0, 0) ON CONFLICT (width) DO NOTHING", width, now)
    level = _Level(*tx.rows(f"SELECT {', '.join(_Level._fields)} FROM rolled WHERE width = ?", width)[0])  # noqa: S608  its own names
    if now >= level.marked_at + _GRACE:
        level = level._replace(sweepable=level.marked, marked=level.merged, marked_at=now)
    done, level = _merge(tx, revision, level, now - now % width)
    if not done:
        done, level = _sweep(tx, level)
    tx.run(f"UPDATE rolled SET {', '.join(f'{name} = ?' for name in _Level._fields)} WHERE width = ?", *level, width)  # noqa: S608  its own names
    return done


class _Level(NamedTuple):
    """How far one width is, all in Unix seconds of buckets' starts; `marked` is what `merged` was at `marked_at`."""

    width: int
    closed: int
    merged: int
    marked: int
    marked_at: int
    sweepable: int
    swept: int


def _merge(tx: Transaction, revision: int, level: _Level, until: int) -> tuple[int, _Level]:
    rows = tx.rows(
        "SELECT start, series, width, quantity FROM usage"
        " WHERE start >= ? AND start < ? AND width < ? AND quantity <> 0 ORDER BY start, series, width LIMIT ?",
        level.merged, until, level.width, ROWS_A_CALL,
    )  # fmt: skip
    if not rows:
        furthest = max(level.merged, until)
        return 0, level._replace(merged=furthest, closed=max(level.closed, until))
    sums: dict[tuple[int, int], int] = {}
    for start, series, _, quantity in rows:
        place = start - start % level.width, series
        sums[place] = sums.get(place, 0) + quantity
    tx.upsert(ADD, sorted((start, series, level.width, n, revision) for (start, series), n in sums.items()))
    tx.upsert(SET, [(start, series, narrow, 0, revision) for start, series, narrow, _ in rows])
    last = rows[-1][0]
    return len(rows), level._replace(merged=last, closed=max(level.closed, last - last % level.width + level.width))


def _sweep(tx: Transaction, level: _Level) -> tuple[int, _Level]:
    rows = tx.rows(
        "DELETE FROM usage WHERE (start, series, width) IN (SELECT start, series, width FROM usage"
        " WHERE start >= ? AND start < ? AND width < ? AND quantity = 0 ORDER BY start, series, width LIMIT ?)"
        " RETURNING start",
        level.swept, level.sweepable, level.width, ROWS_A_CALL,
    )  # fmt: skip
    return len(rows), level._replace(swept=max((start for (start,) in rows), default=max(level.swept, level.sweepable)))
