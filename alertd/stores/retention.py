"""Old usage deleted, some rows a call, and then the series that have none left: their labels may name people.

A series is looked for outside of any write, a day of usage at a time; what was used meanwhile is spared.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from alertd.core.counting.buckets import micros
from alertd.stores.rollup import ROWS_A_CALL, take_turn
from alertd.stores.transaction import Transaction

_DAY: Final = 86_400
#: So many series are deleted in one statement: both databases take that many values.
_AT_ONCE: Final = 500


class Inventory(NamedTuple):
    """Every series at a revision of the ledger, and from when to when the buckets start."""

    series: frozenset[int]
    revision: int
    first: int
    last: int

    def days(self) -> Iterator[tuple[int, int]]:
        """The stretches to look through, the newest first: most series are found in them."""
        end = self.last + 1
        while end > self.first:
            yield end - _DAY, end
            end -= _DAY


def delete_usage(tx: Transaction, before: datetime) -> int:
    """Delete up to `ROWS_A_CALL` buckets that end by `before`, the oldest first; how many went."""
    take_turn(tx)
    border = micros(before) // 1_000_000
    return tx.run(
        "DELETE FROM usage WHERE (start, series, width) IN (SELECT start, series, width FROM usage"
        " WHERE start < ? AND start + width <= ? ORDER BY start, series, width LIMIT ?)",
        border, border, ROWS_A_CALL,
    )  # fmt: skip


def inventory(tx: Transaction) -> Inventory:
    """What there is to look through, in one snapshot."""
    series = frozenset(number for (number,) in tx.rows("SELECT id FROM series"))
    revision = tx.rows("SELECT number FROM turn WHERE name = 'ledger'")[0][0]
    first, last = tx.rows("SELECT coalesce(min(start), 0), coalesce(max(start), -1) FROM usage")[0]
    return Inventory(series, revision, first, last)


def used(tx: Transaction, start: int, end: int) -> set[int]:
    """The series with buckets that start in [start, end)."""
    return {
        number for (number,) in tx.rows("SELECT DISTINCT series FROM usage WHERE start >= ? AND start < ?", start, end)
    }


def delete_series(tx: Transaction, unused: frozenset[int], revision: int) -> int:
    """Delete series that had no usage at a revision and have had none since; how many went."""
    take_turn(tx)
    since = {number for (number,) in tx.rows("SELECT DISTINCT series FROM usage WHERE revision > ?", revision)}
    gone = sorted(unused - since)
    for place in range(0, len(gone), _AT_ONCE):
        part = gone[place : place + _AT_ONCE]
        tx.run(f"DELETE FROM series WHERE id IN ({', '.join('?' * len(part))})", *part)  # noqa: S608  only places
    if gone:
        tx.run("INSERT INTO turn VALUES ('series', 0) ON CONFLICT (name) DO NOTHING")
        tx.run("UPDATE turn SET number = number + 1 WHERE name = 'series'")
    return len(gone)
