"""Delete old usage, some rows per call, then series without usage, because their labels may name people.

Series without usage are searched outside of write transactions, one day at a time; usage that comes meanwhile stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from alertd.core.counting.buckets import micros
from alertd.core.evaluation.state import DAMAGE, RESTORED, Damage
from alertd.stores.transaction import Transaction
from alertd.stores.usage_blocks import NARROW, OLD, ROWS_A_CALL, blocks, changed_blocks, compacted, take_turn

_DAY: Final = 86_400
#: The most series deleted in one statement: both databases accept this many values.
_AT_ONCE: Final = 500


class Inventory(NamedTuple):
    """Every series at a revision of the ledger, and from when to when the buckets start."""

    series: frozenset[int]
    revision: int
    first: int
    last: int

    def days(self) -> Iterator[tuple[int, int]]:
        """The time ranges to search, the newest first: most series are found there."""
        end = self.last + 1
        while end > self.first:
            yield end - _DAY, end
            end -= _DAY


def delete_usage(tx: Transaction, before: datetime) -> int:
    """Delete up to `ROWS_A_CALL` buckets that end by `before`, the oldest first, then whole blocks; how many went."""
    take_turn(tx)
    border = micros(before) // 1_000_000
    tx.run("DELETE FROM usage_sum WHERE start < ?", border)
    gone = tx.run(
        "DELETE FROM usage WHERE (start, series, width) IN (SELECT start, series, width FROM usage"
        " WHERE start < ? AND start + width <= ? ORDER BY start, series, width LIMIT ?)",
        border, border, ROWS_A_CALL,
    )  # fmt: skip
    return gone or tx.run("DELETE FROM usage_block WHERE slot <= ?", border - OLD - NARROW)


def drop_source(tx: Transaction, source: str, fault: str, at: datetime) -> None:
    """Delete the usage, counters and cursor of a source, whose next reading begins anew, and note why.

    Who read the ledger before has to read it from the beginning, and who was reading the source may not commit.
    """
    revision = take_turn(tx)
    tx.run("DELETE FROM usage WHERE series IN (SELECT id FROM series WHERE source = ?)", source)
    for table in ("usage_block", "counter_block"):
        tx.run(f"DELETE FROM {table} WHERE source = ?", source)  # noqa: S608  constants
    tx.run("DELETE FROM usage_sum")
    tx.run("UPDATE turn SET number = ? WHERE name = 'compacted'", revision)
    tx.run(
        "UPDATE source SET revision = revision + 1, cursor_text = NULL, until_at = NULL, complete_from = NULL,"
        " assumed = '', assumed_at = NULL WHERE name = ?", source,
    )  # fmt: skip
    damage = DAMAGE.put(Damage.of(at, fault, "", ("usage_block",), ledger=False))
    for name, record in {**damage, **RESTORED.put(at)}.items():
        tx.run("DELETE FROM note WHERE name = ?", name)
        text = msgspec.json.encode(record).decode()
        tx.run("INSERT INTO note (name, value, revision) VALUES (?, ?, 1)", name, text)


def inventory(tx: Transaction) -> Inventory:
    """All series, the revision and the time range of the usage, from one snapshot."""
    series = frozenset(number for (number,) in tx.rows("SELECT id FROM series"))
    revision = tx.rows("SELECT number FROM turn WHERE name = 'ledger'")[0][0]
    starts = tx.rows("SELECT min(start), max(start) FROM usage UNION ALL SELECT min(slot), max(slot) FROM usage_block")
    known = [start for row in starts for start in row if start is not None]
    return Inventory(series, revision, min(known, default=0), max(known, default=-1))


def used(tx: Transaction, start: int, end: int) -> set[int]:
    """The series with buckets that start in [start, end)."""
    rows = tx.rows("SELECT DISTINCT series FROM usage WHERE start >= ? AND start < ?", start, end)
    return {number for (number,) in rows}.union(*(held.series.tolist() for _, held in blocks(tx, start, end)))


def delete_series(tx: Transaction, unused: frozenset[int], revision: int) -> int:
    """Delete series without usage at a revision and since; the number deleted."""
    take_turn(tx)
    if compacted(tx) > revision:
        return 0  # some of what came since is compacted: left to the next round
    since = {number for (number,) in tx.rows("SELECT DISTINCT series FROM usage WHERE revision > ?", revision)}
    since.update(number for held in changed_blocks(tx, revision) for number in held.series.tolist())
    gone = sorted(unused - since)
    for place in range(0, len(gone), _AT_ONCE):
        part = gone[place : place + _AT_ONCE]
        tx.run(f"DELETE FROM series WHERE id IN ({', '.join('?' * len(part))})", *part)  # noqa: S608  only places
    if gone:
        tx.run("INSERT INTO turn VALUES ('series', 0) ON CONFLICT (name) DO NOTHING")
        tx.run("UPDATE turn SET number = number + 1 WHERE name = 'series'")
    return len(gone)
