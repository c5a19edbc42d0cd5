"""The buckets of all series as columns, in blocks of an hour: 16 bytes a bucket, many changed at a time.

A bucket is found by one number: where it begins in its hour, how wide it is, whose it is. Old buckets can be folded
into one for each interval (a day), which then replaces them. It knows no label and no price.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_HOUR: Final = 3600
#: A bucket's number: seconds into its hour, the place of its width among all known, the series.
_SERIES_BITS: Final = 28
_WIDTH_BITS: Final = 20
_SERIES: Final = (1 << _SERIES_BITS) - 1
_WIDTHS: Final = (1 << _WIDTH_BITS) - 1
_OFFSET: Final = _SERIES_BITS + _WIDTH_BITS


class Buckets(NamedTuple):
    """Buckets as columns of equal length: the series' place, start and width in seconds, and the quantity."""

    series: Ints
    starts: Ints
    widths: Ints
    quantities: Ints


class _Block:
    """The buckets that begin in one hour: their numbers in order, and quantities. `widest` is the widest there was."""

    __slots__ = ("columns", "widest")

    def __init__(self) -> None:
        self.columns: tuple[Ints, Ints] = np.empty(0, np.int64), np.empty(0, np.int64)
        self.widest = 0

    def put(self, keys: Ints, quantities: Ints) -> Ints:
        """Set buckets, each number once and in order; by how much each grew."""
        own, held = self.columns
        places = np.searchsorted(own, keys)
        known = np.zeros(len(keys), np.bool_)
        inside = places < len(own)
        known[inside] = own[places[inside]] == keys[inside]
        more = quantities.copy()
        more[known] -= held[places[known]]
        held[places[known]] = quantities[known]
        if not known.all():
            fresh = ~known
            self.columns = np.insert(own, places[fresh], keys[fresh]), np.insert(held, places[fresh], quantities[fresh])
        return more

    def keep(self, which: NDArray[np.bool_]) -> None:
        keys, quantities = self.columns
        self.columns = keys[which], quantities[which]


class Blocks:
    """All buckets. What takes or gives series means their places, counted from 0."""

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}
        #: Widths by their place in a bucket's number; those of folded buckets are kept as their negatives.
        self._widths: list[int] = []
        self._places: dict[int, int] = {}

    @property
    def size(self) -> int:
        """Bytes that the columns take."""
        return sum(column.nbytes for block in self._blocks.values() for column in block.columns)

    def put(self, rows: Buckets, *, folded: bool = False) -> Buckets:
        """Set buckets, the later of two that are one; the same with by how much each grew."""
        if not rows.series.size:
            return rows
        hours = rows.starts // _HOUR
        widths = self._codes(-rows.widths if folded else rows.widths)
        keys = (rows.starts - hours * _HOUR << _OFFSET) | (widths << _SERIES_BITS) | rows.series
        order = np.lexsort((keys, hours))
        hours, keys = hours[order], keys[order]
        last = np.ones(len(keys), np.bool_)
        last[:-1] = (keys[1:] != keys[:-1]) | (hours[1:] != hours[:-1])
        order, hours, keys = order[last], hours[last], keys[last]
        kept = Buckets(*(column[order] for column in rows))
        more = np.empty(len(keys), np.int64)
        for begin, end in pairwise([0, *(np.flatnonzero(np.diff(hours)) + 1).tolist(), len(keys)]):
            block = self._blocks.setdefault(int(hours[begin]), _Block())
            more[begin:end] = block.put(keys[begin:end], kept.quantities[begin:end])
            block.widest = max(block.widest, int(kept.widths[begin:end].max()))
        return kept._replace(quantities=more)

    def summed(self, edges: Ints, count: int) -> Ints:
        """The quantities of `count` series by the intervals that their buckets start in: [series, len(edges) - 1]."""
        out = np.zeros((count, max(0, len(edges) - 1)), np.int64)
        for hour, block in list(self._blocks.items()):
            if out.size and hour * _HOUR < edges[-1] and (hour + 1) * _HOUR > edges[0]:
                rows = self._read(hour, block)
                columns = np.searchsorted(edges, rows.starts, side="right") - 1
                inside = (columns >= 0) & (columns < out.shape[1])
                np.add.at(out, (rows.series[inside], columns[inside]), rows.quantities[inside])
        return out

    def between(self, start: float, end: float, count: int) -> Ints:
        """The quantities of `count` series in [start, end), where `end` is as far as was seen.

        A bucket that reaches past `end` holds what was used up to it; one that begins before `start` counts by its
        share of time. Of a folded one counts its share on both sides.
        """
        out = np.zeros(count, np.int64)
        for hour, block in list(self._blocks.items()):
            if (hour + 1) * _HOUR + block.widest > start and hour * _HOUR < end:
                self._add_between(out, self._read(hour, block, start, end), start, end)
        return out

    def _add_between(self, out: Ints, rows: Buckets, start: float, end: float) -> None:
        folded = rows.widths < 0
        lasts = np.minimum(end, rows.starts + np.abs(rows.widths))
        inside = (rows.starts >= start) & (rows.starts < end) & ~(folded & (rows.starts - rows.widths > end))
        np.add.at(out, rows.series[inside], rows.quantities[inside])
        cut = ~inside & (lasts > start) & (rows.starts < end)
        if cut.any():
            series, starts, widths, quantities = (column[cut] for column in rows)
            whole = np.where(folded[cut], -widths, lasts[cut] - starts)
            shares = np.rint(quantities * (lasts[cut] - np.maximum(starts, start)) / whole)
            np.add.at(out, series, shares.astype(np.int64))

    def since(self, start: int, series: Ints) -> Buckets:
        """The buckets of some series that begin at or after an instant, in Unix seconds; folded ones are left out."""
        none, asked = np.empty(0, np.int64), np.zeros(int(series.max(initial=0)) + 1, np.bool_)
        asked[series] = True
        found = []
        for hour, block in sorted(self._blocks.items()):
            if (hour + 1) * _HOUR > start:
                rows = self._read(hour, block)
                own = asked[np.minimum(rows.series, len(asked) - 1)] & (rows.series < len(asked))
                kept = own & (rows.starts >= start) & (rows.widths > 0)
                found.append(Buckets(*(column[kept] for column in rows)))
        return Buckets(*(np.concatenate(column) for column in zip((none,) * 4, *found, strict=True)))

    def newest(self, series: int) -> int | None:
        """The end of the newest bucket of one series that is not empty."""
        for hour in sorted(self._blocks, reverse=True):
            keys, quantities = self._blocks[hour].columns
            own = np.flatnonzero(((keys & _SERIES) == series) & (quantities != 0))
            if own.size:
                key = int(keys[own[-1]])
                return hour * _HOUR + (key >> _OFFSET) + abs(self._widths[key >> _SERIES_BITS & _WIDTHS])
        return None

    def fold(self, edges: Ints, widest: int) -> None:
        """Make one bucket of all that are no wider than `widest` and start between two edges, for every two edges.

        What starts before the first edge is dropped. Edges that were folded at before may go away, and none may come.
        """
        for hour in [hour for hour in self._blocks if (hour + 1) * _HOUR <= edges[0]]:
            del self._blocks[hour]
        for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            self._fold(begin, end, widest)

    def _fold(self, begin: int, end: int, widest: int) -> None:
        hours = [hour for hour in range(begin // _HOUR, -(-end // _HOUR)) if hour in self._blocks]
        found = [(hour, rows, self._foldable(rows, begin, end, widest)) for hour, rows in self._each(hours)]
        if all((rows.widths[which] == begin - end).all() for _, rows, which in found):
            return
        series = np.concatenate([rows.series[which] for _, rows, which in found])
        totals = np.concatenate([rows.quantities[which] for _, rows, which in found])
        for hour, _, which in found:
            self._blocks[hour].keep(~which)
        self._drop_empty(hours)
        self.set_folded(begin, end, series, totals)

    def set_folded(self, begin: int, end: int, series: Ints, quantities: Ints) -> Ints:
        """Put what series used in [begin, end) in the place of what is folded there; by how much each place grew."""
        count = int(series.max(initial=-1)) + 1
        totals = np.zeros(count, np.int64)
        np.add.at(totals, series, quantities)
        block = self._blocks.get(begin // _HOUR)
        if block is not None:
            rows = self._read(begin // _HOUR, block)
            old = (rows.starts == begin) & (rows.widths == begin - end)
            block.keep(~old)
            count = max(count, int(rows.series[old].max(initial=-1)) + 1)
            totals = np.concatenate([totals, np.zeros(count - len(totals), np.int64)])
            more = totals.copy()
            np.subtract.at(more, rows.series[old], rows.quantities[old])
        else:
            more = totals
        used = np.flatnonzero(totals)
        same = np.full(len(used), begin, np.int64)
        self.put(Buckets(used, same, np.full(len(used), end - begin, np.int64), totals[used]), folded=True)
        self._drop_empty([begin // _HOUR])
        return more

    def _foldable(self, rows: Buckets, begin: int, end: int, widest: int) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = (rows.widths <= widest) & (rows.starts >= begin) & (rows.starts < end)
        return found

    def _each(self, hours: Sequence[int]) -> Iterator[tuple[int, Buckets]]:
        return ((hour, self._read(hour, self._blocks[hour])) for hour in hours)

    def _drop_empty(self, hours: Sequence[int]) -> None:
        for hour in hours:
            if hour in self._blocks and not len(self._blocks[hour].columns[0]):
                del self._blocks[hour]

    def _read(self, hour: int, block: _Block, start: float = -np.inf, end: float = np.inf) -> Buckets:
        """The buckets of a block that may lie in [start, end); folded ones have negative widths."""
        base = hour * _HOUR
        first = int(max(0.0, start - base - block.widest))
        last = int(np.ceil(min(_HOUR, end - base)))
        keys, quantities = block.columns
        low, high = np.searchsorted(keys, [first << _OFFSET, last << _OFFSET])
        keys = keys[low:high]
        widths = np.array(self._widths, np.int64)[keys >> _SERIES_BITS & _WIDTHS]
        return Buckets(keys & _SERIES, (keys >> _OFFSET) + base, widths, quantities[low:high])

    def _codes(self, widths: Ints) -> Ints:
        known, inverse = np.unique(widths, return_inverse=True)
        codes = []
        for width in known.tolist():
            if width not in self._places:
                self._places[width] = len(self._widths)
                self._widths.append(width)
            codes.append(self._places[width])
        found: Ints = np.array(codes, np.int64)[inverse]
        return found
