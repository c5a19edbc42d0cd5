"""Buckets as one compressed block with a checksum, as a store keeps usage. A damaged block is refused."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import chain
from typing import Final, overload

import numpy as np

from alertd.core.ledger.blocks import Buckets, Ints
from alertd.core.ledger.sealed import seal, unseal
from alertd.core.usage import UsageRow

_LEVEL: Final = 6
_QUICK: Final = 1
_LARGEST: Final = (1 << 63) - 1
#: The numbers before the columns.
_HEAD: Final = 7
#: Series, start, width, quantity.
Row = tuple[int, int, int, int]


def pack(rows: Buckets, *, old: bool = True) -> bytes:
    """The buckets by series, start and width, those that are one added up; `old` ones without those of 0, and smaller.

    A head of whole numbers: how many buckets, the first series and start, the bytes that each column's values need.
    Then the columns, series and starts as differences, byte by byte, which compresses best. OverflowError where a sum
    does not fit into 64 bits.
    """
    found = _added(rows)
    used = found.quantities != 0 if old else slice(None)
    series, starts, widths, quantities = (column[used] for column in found)
    firsts = [int(column[0]) if len(column) else 0 for column in (series, starts)]
    columns = [np.diff(column, prepend=column[:1]) for column in (series, starts)] + [widths, quantities]
    sizes = [_bytes(column) for column in columns]
    head = np.array([len(series), *firsts, *sizes], "<i8").tobytes()
    planes = (column.astype("<i8").view(np.uint8).reshape(-1, 8).T for column in columns)
    body = b"".join(plane[:size].tobytes() for plane, size in zip(planes, sizes, strict=True))
    return seal(head + body, _LEVEL if old else _QUICK)


def _bytes(column: Ints) -> int:
    """How many bytes a column's values need, each with its sign."""
    return (max(int(column.max()), ~int(column.min())).bit_length() + 8) // 8 if column.any() else 0


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
    """The buckets of many blocks as rows; `parts` are the same as columns, a hundred times faster."""

    def __init__(self, rows: Sequence[UsageRow], blocks: Iterable[Buckets]) -> None:
        self.parts = [columns_of(rows)] * bool(rows) + [*blocks]

    def __len__(self) -> int:
        return sum(len(part.series) for part in self.parts)

    def __iter__(self) -> Iterator[UsageRow]:
        each = (zip(*(column.tolist() for column in part), strict=True) for part in self.parts)
        return map(UsageRow._make, chain.from_iterable(each))

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
    content = unseal(block)
    count, first_series, first_start, *sizes = np.frombuffer(content, "<i8", _HEAD).tolist()
    planes = np.frombuffer(content, np.uint8, offset=8 * _HEAD).reshape(sum(sizes), count)
    columns = []
    for size in sizes:
        own, planes = planes[:size], planes[size:]
        wide = np.zeros((count, 8), np.uint8)
        wide[:, 8 - size :] = own.T
        columns.append(wide.view("<i8")[:, 0] >> (64 - 8 * size) if size else np.zeros(count, np.int64))
    series, starts, widths, quantities = columns
    return Buckets(np.cumsum(series) + first_series, np.cumsum(starts) + first_start, widths, quantities)
