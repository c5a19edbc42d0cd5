"""The ledger in SQL: what was collected and what the evaluation reads of it. One statement serves both databases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from alertd.core.counting.buckets import Bucket, Identity, counted_identity, instant, micros, record_buckets, replaced
from alertd.core.counting.counters import CounterState, Increment
from alertd.core.counting.falls import Fall
from alertd.ports import Reading, SourceRow, UsageRow
from alertd.stores.rollup import ADD, SET, closed, take_turn
from alertd.stores.series import SeriesIds, SeriesObjects, current, digest_of, identify, known_digests
from alertd.stores.transaction import Transaction, Upsert

_SOURCE: Final = (
    "name, revision, cursor_text, until_at, complete_from, last_ok, failing_since, error, degraded, assumed, assumed_at"
)
_COUNTER: Final = Upsert(
    "counter",
    (
        ("source", "text"),
        ("fingerprint", "text"),
        ("at", "double precision"),
        ("value", "bigint"),
        ("created", "double precision"),
        ("owed", "bigint"),
        ("fall", "text"),
        ("kin", "text"),
        ("heir", "text"),
    ),
    "ON CONFLICT (source, fingerprint) DO UPDATE SET"
    " at = excluded.at, value = excluded.value, created = excluded.created, owed = excluded.owed, fall = excluded.fall,"
    " kin = excluded.kin, heir = excluded.heir",
)
_DAY: Final = 86400


def sources(tx: Transaction, name: str | None = None) -> list[SourceRow]:
    """Every source that was ever written, by name; or the one asked for."""
    if name is None:
        return [_source(row) for row in tx.rows(f"SELECT {_SOURCE} FROM source ORDER BY name")]  # noqa: S608  constant
    return [_source(row) for row in tx.rows(f"SELECT {_SOURCE} FROM source WHERE name = ?", name)]  # noqa: S608  constant


def counter_states(tx: Transaction, source: str) -> dict[str, CounterState]:
    """Where each raw series of a source stands."""
    rows = tx.rows(
        "SELECT fingerprint, at, value, created, owed, fall, kin, heir FROM counter WHERE source = ?", source
    )
    return {
        name: CounterState(at, value, created, owed, _fall(fall), *kin)
        for name, at, value, created, owed, fall, *kin in rows
    }


def commit_counters(
    tx: Transaction,
    before: tuple[SeriesIds, SeriesObjects],
    row: SourceRow,
    increments: Sequence[Increment],
    states: Mapping[str, CounterState],
) -> SeriesIds | None:
    """Add the increments, keep the states and move the cursor; None where the cursor was moved meanwhile.

    Answers with the ids of series that are known now, to be remembered once this is committed.
    """
    if not _move(tx, row):
        return None
    revision = take_turn(tx)
    known, objects = current(tx, before[0]), before[1]
    ids, unknown = known_digests(objects, known, row.name, increments)
    found = identify(tx, known, unknown.keys(), lambda d: _identity(row, increments[unknown[d][0]]))
    for digest, places in unknown.items():
        for place in places:
            ids[place] = found.ids[digest]
    sums: dict[tuple[int, int, int], int] = {}
    for number, (_, _, start, width, quantity) in zip(ids, increments, strict=True):
        bucket = start, number, width
        sums[bucket] = sums.get(bucket, 0) + quantity
    tx.upsert(ADD, sorted([(start, number, width, n, revision) for (start, number, width), n in sums.items()]))
    rows = [
        (row.name, name, at, value, created, owed, _text(fall), kin, heir)
        for name, (at, value, created, owed, fall, kin, heir) in sorted(states.items())
    ]
    tx.upsert(_COUNTER, rows)
    return found


def _text(fall: Fall | None) -> str:
    return "" if fall is None else msgspec.json.encode(fall).decode()


def _fall(text: str) -> Fall | None:
    return msgspec.json.decode(text, type=Fall) if text else None


def _identity(row: SourceRow, one: Increment) -> Identity:
    return counted_identity(row.name, one.line, one.labels)


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
    tx.upsert(SET, sorted((b.start, b.series, b.width, n, revision) for b, n in changes.items()))
    return found


def source_health(tx: Transaction, row: SourceRow) -> None:
    """Record what the last try said; cursor and revision stay."""
    tx.run("INSERT INTO source (name) VALUES (?) ON CONFLICT (name) DO NOTHING", row.name)
    tx.run(
        "UPDATE source SET last_ok = ?, failing_since = ?, error = ?, degraded = ? WHERE name = ?",
        _at(row.last_ok), _at(row.failing_since), row.error, row.degraded, row.name,
    )  # fmt: skip


def usage(tx: Transaction, since: datetime, after: int, narrow_since: datetime) -> tuple[list[UsageRow], int]:
    """The buckets that reach beyond `since` and changed after a revision, and the revision to go on from.

    From the beginning those of at most an hour only where they reach beyond `since` and start from `narrow_since` on.
    """
    start, narrow = micros(since) // 1_000_000, micros(narrow_since) // 1_000_000
    revision = tx.rows("SELECT number FROM turn WHERE name = 'ledger'")[0][0]
    if after:
        rows = tx.rows(
            "SELECT series, start, width, quantity FROM usage WHERE revision > ? AND start + width > ?", after, start
        )
    else:
        fine = start - _DAY if narrow <= start else narrow
        rows = tx.rows(
            "SELECT series, start, width, quantity FROM usage WHERE start > ? AND start + width > ?"
            " AND (width > 3600 OR start >= ?)"
            " UNION ALL SELECT series, start, width, quantity FROM usage"
            " WHERE width > 86400 AND start <= ? AND start + width > ?",
            start - _DAY, start, fine, start - _DAY, start,
        )  # fmt: skip
    return list(map(UsageRow._make, rows)), revision


def usage_within(tx: Transaction, begin: int, end: int) -> list[UsageRow]:
    """What each series used in buckets of at most an hour that start in [begin, end), as one row of that width."""
    rows = tx.rows(
        "SELECT series, SUM(quantity) FROM usage WHERE start >= ? AND start < ? AND width <= 3600 GROUP BY series",
        begin, end,
    )  # fmt: skip
    return [UsageRow(series, begin, end - begin, int(quantity)) for series, quantity in rows]


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
    rows = tx.rows(
        "SELECT series, start, width, quantity FROM usage WHERE start >= ? AND start <= ?"
        " AND series IN (SELECT id FROM series WHERE source = ?)",
        min(*starts, *edges), max(*starts, *edges), source,
    )  # fmt: skip
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
