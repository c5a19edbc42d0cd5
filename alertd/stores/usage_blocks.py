"""Usage as blocks: the buckets of a source that start within some minutes, as compressed columns with a checksum.

    one poll -> the open blocks of its buckets, five minutes each -> two days later one block of quarters each hour

An open block is written anew by every poll that changes it, with the revision of the ledger: who reads on from a
revision reads the blocks that changed since. Before `closed` usage is compacted; what comes later for such a time
changes its block, and a reader that goes on from an earlier revision reads anew. Buckets of more than an hour (bills,
files) are rows of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from alertd.core.counting.buckets import Closed, micros
from alertd.ports import StoreDamagedError, StoreError, UsageRow
from alertd.stores.transaction import Transaction, Upsert

if TYPE_CHECKING:
    from alertd.core.ledger.blocks import Buckets

#: How wide old buckets are, in seconds: midnights of all zones fall on their borders.
SLOT: Final = 900
#: An old block holds the narrow buckets that start within these seconds; a smaller one would half fill SQLite's pages.
OLD: Final = 3600
#: An open one those of these seconds: the buckets of counters are as wide.
OPEN: Final = 300
#: Buckets of at most this many seconds are narrow.
NARROW: Final = 3600
#: How much one transaction does: some 0.1 s, so that a commit of usage never waits long.
ROWS_A_CALL: Final = 20_000
#: The number of slots read with one statement: a day of old ones.
_AT_ONCE: Final = 24
_COLUMNS: Final = tuple((name, "bigint") for name in ("start", "series", "width", "quantity", "revision"))

SET: Final = Upsert(
    "usage",
    _COLUMNS,
    "ON CONFLICT (start, series, width) DO UPDATE SET quantity = excluded.quantity, revision = excluded.revision",
)
#: Series, start, width, quantity.
Row = tuple[int, int, int, int]
_BLOCK: Final = Upsert(
    "usage_block",
    (("source", "text"), ("slot", "bigint"), ("buckets", "bytea"), ("revision", "bigint")),
    "ON CONFLICT (source, slot) DO UPDATE SET buckets = excluded.buckets, revision = excluded.revision",
)


def take_turn(tx: Transaction) -> int:
    """The revision of this write. Its row is locked until the end: what has a lower revision is committed."""
    number: int = tx.rows("UPDATE turn SET number = number + 1 WHERE name = 'ledger' RETURNING number")[0][0]
    return number


def closed(tx: Transaction) -> list[Closed]:
    """Up to where usage is in blocks, in buckets of at least a quarter of an hour."""
    until = _number(tx, "closed")
    return [Closed(until, SLOT)] if until else []


def compacted(tx: Transaction) -> int:
    """The newest revision that went into a block: a reader that continues from an earlier one has to read anew."""
    return _number(tx, "compacted")


def write(tx: Transaction, source: str, changes: Buckets, revision: int, *, add: bool) -> None:
    """Write the buckets of one source, or add them to what is there."""
    wide = changes.widths > NARROW
    if wide.any():
        listed = zip(*(column[wide].tolist() for column in changes), strict=True)
        _write_wide(tx, list(listed), revision, add=add)
        changes = type(changes)(*(column[~wide] for column in changes))
    if not len(changes.series):
        return
    until, packing = _number(tx, "closed"), _packing()
    try:
        for slot, some in packing.by_slot(changes, OPEN):
            old = slot < until
            at = slot - slot % OLD if old else slot
            held = (own for _, _, own, _ in _slots(tx, at, at + (OLD if old else OPEN), source))
            _put(tx, source, at, packing.changed(held, some, add=add), revision, old=old)
    except OverflowError:
        raise too_large(tx, source) from None
    if int(changes.starts.min()) < until:
        _raise(tx, "compacted", revision)


def too_large(tx: Transaction, source: str) -> StoreError:
    """That a quantity is no number of 64 bits."""
    return StoreError(f"{tx.place}: a quantity of {source} does not fit into 64 bits")


def columns(*given: Any) -> Buckets:
    """Series, starts, widths and quantities as buckets."""
    found: Buckets = _packing().Buckets(*given)
    return found


def rows_to_columns(rows: Sequence[Row]) -> Buckets:
    """The (series, start, width, quantity) as buckets. OverflowError where one does not fit into 64 bits."""
    found: Buckets = _packing().columns_of(rows)
    return found


def _write_wide(tx: Transaction, rows: Sequence[Row], revision: int, *, add: bool) -> None:
    sums: dict[tuple[int, int, int], int] = {}
    for series, start, width, quantity in rows:
        key = start, series, width
        if add and key not in sums:
            found = tx.rows("SELECT quantity FROM usage WHERE start = ? AND series = ? AND width = ?", *key)
            sums[key] = found[0][0] if found else 0
        sums[key] = sums.get(key, 0) + quantity if add else quantity
    tx.upsert(SET, sorted((*key, quantity, revision) for key, quantity in sums.items()))


def blocks(tx: Transaction, begin: int, end: int, source: str | None = None) -> Iterator[tuple[str, Buckets]]:
    """The blocks that hold buckets starting in [begin, end), by time, of one source or of all, with their source.

    Raises StoreDamagedError, with source and time, for one that is not as it was written.
    """
    return ((name, held) for name, _, held, _ in _slots(tx, begin - begin % OLD, end, source))


def changed_blocks(tx: Transaction, after: int) -> list[Buckets]:
    """The blocks that were written after a revision."""
    rows = tx.rows("SELECT source, slot, buckets FROM usage_block WHERE revision > ? ORDER BY slot, source", after)
    return [_unpacked(tx, *row) for row in rows]


def rows_of(wide: Sequence[UsageRow], blocks: Sequence[Buckets], since: int) -> Sequence[UsageRow]:
    """Rows, and the buckets of blocks that reach beyond an instant."""
    reaching = [type(one)(*(column[one.starts + one.widths > since] for column in one)) for one in blocks]
    found: Sequence[UsageRow] = _packing().BucketRows(wide, reaching)
    return found


def _slots(tx: Transaction, first: int, end: int, source: str | None) -> Iterator[tuple[str, int, Buckets, int]]:
    """The blocks of the slots in [first, end), as (source, slot, buckets, revision)."""
    only, values = ("", ()) if source is None else (" AND source = ?", (source,))
    listed = f"SELECT DISTINCT slot FROM usage_block WHERE slot >= ? AND slot < ?{only} ORDER BY slot"  # noqa: S608  only places
    full = f"SELECT source, slot, buckets, revision FROM usage_block WHERE slot >= ? AND slot <= ?{only} ORDER BY 2, 1"  # noqa: S608  as above
    slots = [slot for (slot,) in tx.rows(listed, first, end, *values)]
    for some in (slots[place : place + _AT_ONCE] for place in range(0, len(slots), _AT_ONCE)):
        for name, at, block, revision in tx.rows(full, some[0], some[-1], *values):
            yield name, at, _unpacked(tx, name, at, block), revision


def _unpacked(tx: Transaction, source: str, slot: int, block: bytes) -> Buckets:
    try:
        found: Buckets = _packing().unpack(block)
    except ValueError as error:
        when = datetime.fromtimestamp(slot, UTC)
        raise StoreDamagedError(
            f"{tx.place}: the usage of {source} from {when:%Y-%m-%d %H:%M} UTC on is damaged: {error}", source
        ) from error
    return found


def compact(tx: Transaction, before: datetime) -> int:
    """Put the open blocks before `before` into old ones, some at a time; how many buckets, 0 at the end.

    Buckets of less than a quarter of an hour become one. `before` is expected to move on with time.
    """
    take_turn(tx)
    until = micros(before) // 1_000_000
    until, begin = until - until % OLD, _number(tx, "closed") // OLD * OLD
    if until <= begin:
        return 0
    packing, done, found = _packing(), 0, None
    newest = tx.rows("SELECT max(revision) FROM usage_block WHERE slot >= ? AND slot < ?", begin, until)[0][0] or 0
    merged: dict[tuple[str, int], list[Buckets]] = {}
    revisions: dict[tuple[str, int], int] = {}
    for source, slot, held, revision in _slots(tx, begin, until, None):
        hour = slot - slot % OLD
        if hour != found and done + len(held.series) > ROWS_A_CALL and merged:
            until = hour
            break
        found = hour
        done += len(held.series)
        merged.setdefault((source, hour), []).append(packing.coarsened(held, SLOT))
        revisions[source, hour] = max(revision, revisions.get((source, hour), 0))
    for (source, slot), parts in sorted(merged.items(), key=lambda one: one[0]):
        whole = packing.changed(parts[1:], parts[0], add=True)
        try:
            _put(tx, source, slot, whole, revisions[source, slot], old=True)
        except OverflowError:
            raise too_large(tx, source) from None
    _raise(tx, "compacted", newest)
    _raise(tx, "closed", until)
    return done


def _put(tx: Transaction, source: str, slot: int, rows: Buckets, revision: int, *, old: bool) -> None:
    """Write one block; an old one replaces all blocks of its time, also where it holds nothing any more."""
    if old:
        tx.run("DELETE FROM usage_block WHERE source = ? AND slot >= ? AND slot < ?", source, slot, slot + OLD)
    tx.upsert(_BLOCK, [(source, slot, _packing().pack(rows, old=old), revision)])


def _packing() -> Any:
    """The module that needs numpy, which takes longer to load than most commands take."""
    return import_module("alertd.core.ledger.packing")


def _number(tx: Transaction, name: str) -> int:
    number: int = tx.rows("SELECT number FROM turn WHERE name = ?", name)[0][0]
    return number


def _raise(tx: Transaction, name: str, number: int) -> None:
    tx.run("UPDATE turn SET number = ? WHERE name = ? AND number < ?", number, name, number)
