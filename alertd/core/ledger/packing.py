"""Buckets as one compressed block with a checksum, as a store keeps usage. A damaged block is refused."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Final, overload

import numpy as np

from alertd.core.ledger.blocks import Buckets
from alertd.core.ledger.sealed import seal, unseal
from alertd.core.usage import UsageRow

_LEVEL: Final = 6
_QUICK: Final = 1
_LARGEST: Final = (1 << 63) - 1
#: Series, start, width, quantity.
Row = tuple[int, int, int, int]


def pack(rows: Buckets, *, old: bool = True) -> bytes:
    """The buckets by series, start and width, those that are one added up; `old` ones without those of 0, and smaller.

    Columns follow each other, series and starts as differences, quantities byte by byte, which compresses best.
    OverflowError where a sum does not fit into 64 bits.
    """
    series, starts, widths, quantities = _added(rows)
    used = quantities != 0 if old else slice(None)
    columns = (np.diff(series[used], prepend=0), np.diff(starts[used], prepend=0), widths[used], quantities[used])
    body = b"".join(column.astype("<i8").view(np.uint8).reshape(-1, 8).T.tobytes() for column in columns)
    return seal(body, _LEVEL if old else _QUICK)


def _added(rows: Buckets) -> Buckets:
    """The buckets in order, those that are one added up."""
    order = np.lexsort((rows.widths, rows.starts, rows.series))
    series, starts, widths, quantities = (column[order] for column in rows)
    new = np.ones(len(series), np.bool_)
    new[1:] = (series[1:] != series[:-1]) | (starts[1:] != starts[:-1]) | (widths[1:] != widths[:-1])
    if new.all():
        return Buckets(series, starts, widths, quantities)
    firsts = np.flatnonzero(new)
    if max(int(quantities.max()), -int(quantities.min())) < _LARGEST // len(quantities):
        sums = np.add.reduceat(quantities, firsts)
    else:
        sums = np.array(np.add.reduceat(quantities.astype(object), firsts).tolist(), np.int64)
    return Buckets(series[new], starts[new], widths[new], sums)


def columns_of(rows: Sequence[Row]) -> Buckets:
    """Buckets given as (series, start, width, quantity). OverflowError where one does not fit into 64 bits."""
    return Buckets(*np.array(rows, np.int64).reshape(-1, 4).T)


def by_slot(rows: Buckets, width: int) -> Iterator[tuple[int, Buckets]]:
    """The buckets by the slot, of `width` seconds, in which they start."""
    slots = rows.starts - rows.starts % width
    for slot in np.unique(slots).tolist():
        yield slot, Buckets(*(column[slots == slot] for column in rows))


def changed(held: Iterable[Buckets], rows: Buckets, *, add: bool) -> Buckets:
    """What is held with new buckets added, or put in the place of the same series, start and width."""
    own = list(held)
    if not add:
        keys = set(zip(rows.series.tolist(), rows.starts.tolist(), rows.widths.tolist(), strict=True))
        own = [_without(one, keys) for one in own]
    return Buckets(*(np.concatenate(column) for column in zip(*own, rows, strict=True)))


def _without(rows: Buckets, keys: Container[tuple[int, int, int]]) -> Buckets:
    own = zip(rows.series.tolist(), rows.starts.tolist(), rows.widths.tolist(), strict=True)
    kept = np.array([key not in keys for key in own], np.bool_)
    return Buckets(*(column[kept] for column in rows))


def coarsened(rows: Buckets, width: int) -> Buckets:
    """Buckets, those of less than a width as the one of it that they start in."""
    fine = rows.widths < width
    starts, widths = np.where(fine, rows.starts - rows.starts % width, rows.starts), np.maximum(rows.widths, width)
    return Buckets(rows.series, starts, widths, rows.quantities)


class BucketRows(Sequence[UsageRow]):
    """The buckets of many blocks as rows; `columns` is the same, a hundred times faster."""

    def __init__(self, rows: Sequence[UsageRow], blocks: Iterable[Buckets]) -> None:
        parts = [columns_of(rows), *blocks]
        self.columns = Buckets(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def __len__(self) -> int:
        return len(self.columns.series)

    def __iter__(self) -> Iterator[UsageRow]:
        return map(UsageRow._make, zip(*(column.tolist() for column in self.columns), strict=True))

    @overload
    def __getitem__(self, place: int) -> UsageRow: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[UsageRow]: ...

    def __getitem__(self, place: int | slice) -> UsageRow | Sequence[UsageRow]:
        return list(self)[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


def unpack(block: bytes) -> Buckets:
    """The buckets of a block. ValueError where it is not as it was written."""
    bytewise = np.frombuffer(unseal(block), np.uint8).reshape(4, 8, -1)
    series, starts, widths, quantities = np.ascontiguousarray(bytewise.transpose(0, 2, 1)).view("<i8")[..., 0]
    return Buckets(np.cumsum(series), np.cumsum(starts), widths, quantities)
