"""The ledger in SQL: what was collected and what the evaluation reads of it. One statement serves both databases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from alertd.core.counting.buckets import Bucket, instant, micros, record_buckets, replaced
from alertd.core.counting.samples import CounterState, Increment
from alertd.ports import Reading, SourceRow, UsageBehindError, UsageRow
from alertd.stores import counter_blocks, usage_blocks
from alertd.stores.series import SeriesIds, SeriesNumbers, current, digest_of, identify
from alertd.stores.transaction import Transaction
from alertd.stores.usage_blocks import NARROW, closed, take_turn

if TYPE_CHECKING:
    from alertd.core.counting.columns import Increments

_SOURCE: Final = (
    "name, revision, cursor_text, until_at, complete_from, last_ok, failing_since, error, degraded, assumed, assumed_at"
)
_DAY: Final = 86400
#: After every bucket.
_NEVER: Final = 1 << 62


def sources(tx: Transaction, name: str | None = None) -> list[SourceRow]:
    """The stored state of all sources by name, or of one."""
    if name is None:
        return [_source(row) for row in tx.rows(f"SELECT {_SOURCE} FROM source ORDER BY name")]  # noqa: S608  constant
    return [_source(row) for row in tx.rows(f"SELECT {_SOURCE} FROM source WHERE name = ?", name)]  # noqa: S608  constant


def commit_counters(
    tx: Transaction,
    before: tuple[SeriesIds, SeriesNumbers],
    row: SourceRow,
    increments: Sequence[Increment],
    states: Mapping[str, CounterState],
    *,
    forgotten: Sequence[str] = (),
) -> SeriesIds | None:
    """Add the increments, keep the states and move the cursor; None where the cursor was moved meanwhile.

    The states of series that are `forgotten` are deleted.

    Answers with the ids of series that are known now, to be remembered once this is committed.
    """
    if not _move(tx, row):
        return None
    revision = take_turn(tx)
    known, numbers = current(tx, before[0]), before[1]
    try:
        added: Increments = import_module("alertd.core.counting.columns").Increments.of(increments)
    except OverflowError:
        raise usage_blocks.too_large(tx, row.name) from None
    of_numbers, found = numbers.ids(tx, known, row.name, added)
    rows = usage_blocks.columns(of_numbers[added.numbers], added.starts, added.widths, added.quantities)
    usage_blocks.write(tx, row.name, rows, revision, add=True)
    counter_blocks.put(tx, row.name, states, forgotten)
    return found


def commit_records(tx: Transaction, known: SeriesIds, row: SourceRow, reading: Reading) -> SeriesIds | None:
    """Replace the reading's window and move the cursor, as `counting.buckets.replaced` says; None as above."""
    if not _move(tx, row):
        return None
    revision = take_turn(tx)
    digests = {
        (digest_of(*series), series, start, width): n
        for (series, start, width), n in record_buckets(row.name, reading.records).items()
    }
    named = {digest: series for digest, series, _, _ in digests}
    found = identify(tx, known, named.keys(), named.__getitem__)
    ids = found.ids
    read = {Bucket(ids[digest], start, width): n for (digest, _, start, width), n in digests.items()}
    window = None if reading.window is None else _seconds(*reading.window)
    changes = replaced(_held(tx, row.name, read, window), read, window, closed(tx), partial=bool(reading.warnings))
    try:
        rows = usage_blocks.rows_to_columns([(*bucket, n) for bucket, n in changes.items()])
    except OverflowError:
        raise usage_blocks.too_large(tx, row.name) from None
    usage_blocks.write(tx, row.name, rows, revision, add=False)
    return found


def source_health(tx: Transaction, row: SourceRow) -> None:
    """Record the outcome of the last read; cursor and revision stay."""
    tx.run("INSERT INTO source (name) VALUES (?) ON CONFLICT (name) DO NOTHING", row.name)
    tx.run(
        "UPDATE source SET last_ok = ?, failing_since = ?, error = ?, degraded = ? WHERE name = ?",
        _at(row.last_ok), _at(row.failing_since), row.error, row.degraded, row.name,
    )  # fmt: skip


def usage(tx: Transaction, since: datetime, after: int, narrow_since: datetime) -> tuple[Sequence[UsageRow], int]:
    """The buckets that reach beyond `since` and changed after a revision, and the revision to go on from.

    From the beginning those of at most an hour only where they reach beyond `since` and start from `narrow_since` on.
    Raises UsageBehindError where some of what changed after the revision is compacted by now.
    """
    start, narrow = micros(since) // 1_000_000, micros(narrow_since) // 1_000_000
    revision = tx.rows("SELECT number FROM turn WHERE name = 'ledger'")[0][0]
    if after:
        if after < usage_blocks.compacted(tx):
            raise UsageBehindError(f"{tx.place}: usage was compacted since revision {after}")
        rows = tx.rows(
            "SELECT series, start, width, quantity FROM usage WHERE revision > ? AND start + width > ?", after, start
        )
        blocks = usage_blocks.changed_blocks(tx, after)
    else:
        fine = start - _DAY if narrow <= start else narrow
        rows = tx.rows(
            "SELECT series, start, width, quantity FROM usage WHERE start > ? AND start + width > ?"
            " UNION ALL SELECT series, start, width, quantity FROM usage"
            " WHERE width > 86400 AND start <= ? AND start + width > ?",
            start - _DAY, start, start - _DAY, start,
        )  # fmt: skip
        blocks = [
            type(held)(*(column[held.starts >= fine] for column in held))
            for _, held in usage_blocks.blocks(tx, max(start - NARROW, fine), _NEVER)
        ]
    found = list(map(UsageRow._make, rows))
    return (usage_blocks.rows_of(found, blocks, start) if blocks else found), revision


def _move(tx: Transaction, row: SourceRow) -> bool:
    tx.run("INSERT INTO source (name) VALUES (?) ON CONFLICT (name) DO NOTHING", row.name)
    moved = tx.run(
        "UPDATE source SET revision = revision + 1, cursor_text = ?, until_at = ?, complete_from = ?,"
        " assumed = ?, assumed_at = ? WHERE name = ? AND revision = ?",
        row.cursor, _at(row.until), _at(row.complete_from), row.assumed, _at(row.assumed_at), row.name, row.revision,
    )  # fmt: skip
    return moved == 1


def _held(tx: Transaction, source: str, read: Iterable[Bucket], window: tuple[int, int] | None) -> dict[Bucket, int]:
    starts = {bucket.start for bucket in read}
    edges = [*window] if window else []
    if not starts and not edges:
        return {}
    first, last = min(*starts, *edges), max(*starts, *edges)
    rows = tx.rows(
        "SELECT series, start, width, quantity FROM usage WHERE start >= ? AND start <= ?"
        " AND series IN (SELECT id FROM series WHERE source = ?)",
        first, last, source,
    )  # fmt: skip
    for _, held in usage_blocks.blocks(tx, first, last + 1, source):
        kept = (held.starts >= first) & (held.starts <= last)
        rows += zip(*(column[kept].tolist() for column in held), strict=True)
    return {Bucket(series, start, width): quantity for series, start, width, quantity in rows}


def _source(row: tuple[Any, ...]) -> SourceRow:
    name, revision, cursor, until, complete_from, last_ok, failing_since, error, degraded, assumed, at = row
    until, complete_from, last_ok, failing_since, assumed_at = (
        None if at is None else instant(at) for at in (until, complete_from, last_ok, failing_since, at)
    )
    return SourceRow(
        name, revision, cursor, until, complete_from, last_ok, failing_since, error, degraded, assumed, assumed_at
    )


def _seconds(start: datetime, end: datetime) -> tuple[int, int]:
    return micros(start) // 1_000_000, micros(end) // 1_000_000


def _at(moment: datetime | None) -> int | None:
    return None if moment is None else micros(moment)
