"""What old usage adds up to by series, kept so that a start need not read every block of a month.

A kept sum holds as long as the newest revision of the interval's blocks is what it was: every write raises it, and
compaction leaves it. A sum that does not hold, or is damaged, is worked out from the blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from alertd.ports import UsageRow
from alertd.stores.transaction import Transaction, Upsert
from alertd.stores.usage_blocks import OLD, blocks, columns, rows_of, take_turn

if TYPE_CHECKING:
    from alertd.core.ledger.blocks import Buckets

_SUM: Final = Upsert(
    "usage_sum",
    (("start", "bigint"), ("finish", "bigint"), ("revision", "bigint"), ("sums", "bytea")),
    "ON CONFLICT (start, finish) DO UPDATE SET revision = excluded.revision, sums = excluded.sums",
)
#: How many blocks an interval has, and their newest revision.
Mark = tuple[int, int | None]


class Sums(NamedTuple):
    """One bucket of an interval for each series that was used in it, and whether these are kept already."""

    buckets: Buckets
    mark: Mark
    is_kept: bool

    @property
    def rows(self) -> Sequence[UsageRow]:
        return rows_of((), [self.buckets], 0)


def read(tx: Transaction, begin: int, end: int) -> Sums:
    """What the buckets of at most an hour that start in [begin, end) add up to."""
    mark = _mark(tx, begin, end)
    kept = _kept(tx, begin, end, mark)
    if kept is not None:
        return Sums(kept, mark, is_kept=True)
    np: Any = import_module("numpy")  # most commands need none, and it takes longer to load than they take
    sums = np.zeros(0, np.int64)  # by id
    for series, quantities in _parts(tx, begin, end):
        more = max(0, int(series.max(initial=-1)) + 1 - len(sums))
        sums = np.concatenate([sums, np.zeros(more, np.int64)]) if more else sums
        np.add.at(sums, series, quantities)
    used = np.flatnonzero(sums)
    same = np.full(len(used), begin, np.int64)
    found = columns(used, same, np.full(len(used), end - begin, np.int64), sums[used])
    return Sums(found, mark, is_kept=mark[1] is None)


def keep(tx: Transaction, begin: int, end: int, found: Sums) -> None:
    """Keep what was read, unless it changed meanwhile, in the place of sums of parts of the interval."""
    take_turn(tx)
    if _mark(tx, begin, end) != found.mark:
        return
    tx.run("DELETE FROM usage_sum WHERE start >= ? AND finish <= ?", begin, end)
    sealed = import_module("alertd.core.ledger.packing").pack(found.buckets)
    tx.upsert(_SUM, [(begin, end, found.mark[1], sealed)])


def _parts(tx: Transaction, begin: int, end: int) -> Iterator[tuple[Any, Any]]:
    """Series and quantities: of what is kept of parts of the interval, and of the blocks between them."""
    listed = "SELECT start, finish FROM usage_sum WHERE start >= ? AND finish <= ? ORDER BY start, finish DESC"
    at = begin
    for start, finish in tx.rows(listed, begin, end):
        kept = _kept(tx, start, finish, _mark(tx, start, finish)) if start >= at else None
        if kept is not None:
            yield from _of_blocks(tx, at, start)
            yield kept.series, kept.quantities
            at = finish
    yield from _of_blocks(tx, at, end)


def _of_blocks(tx: Transaction, begin: int, end: int) -> Iterator[tuple[Any, Any]]:
    for _, held in blocks(tx, begin, end) if begin < end else ():
        inside = (held.starts >= begin) & (held.starts < end)
        yield held.series[inside], held.quantities[inside]


def _kept(tx: Transaction, begin: int, end: int, mark: Mark) -> Buckets | None:
    """What is kept of an interval, where that holds."""
    rows = tx.rows("SELECT sums FROM usage_sum WHERE start = ? AND finish = ? AND revision = ?", begin, end, mark[1])
    try:
        found: Buckets | None = import_module("alertd.core.ledger.packing").unpack(bytes(rows[0][0])) if rows else None
    except ValueError:
        return None  # damaged
    return found


def _mark(tx: Transaction, begin: int, end: int) -> Mark:
    """Of all blocks of the hours that an interval touches: compaction makes one of those of an hour."""
    count, newest = tx.rows(
        "SELECT count(*), max(revision) FROM usage_block WHERE slot >= ? AND slot < ?",
        begin - begin % OLD, end + -end % OLD,
    )[0]  # fmt: skip
    return count, newest
