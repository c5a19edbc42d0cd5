"""The buckets of all series as columns, in blocks of an hour: 16 bytes a bucket, many changed at a time.

A bucket is found by one number: where it begins in its hour, how wide it is, whose it is. Old buckets are folded into
one for each interval (an hour, a day), which then replaces them: 4 or 8 bytes a series. It knows no label and no price.
"""

from __future__ import annotations

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


class _Interval(NamedTuple):
    """What series used up to `end`, each once: `series` are their places, None where there is a quantity for each."""

    end: int
    series: NDArray[np.uint32] | None
    quantities: NDArray[np.uint32] | Ints

    @classmethod
    def of(cls, end: int, totals: Ints) -> _Interval:
        """From a total for each place."""
        used = np.flatnonzero(totals)
        every = 2 * len(used) > len(totals)
        kept = totals if every else totals[used]
        small = int(kept.min(initial=0)) >= 0 and int(kept.max(initial=0)) < 1 << 32
        series = None if every else used.astype(np.uint32)
        return cls(end, series, kept.astype(np.uint32) if small else kept.copy())

    def rows(self) -> tuple[Ints, Ints]:
        """Places and quantities."""
        places = np.arange(len(self.quantities)) if self.series is None else self.series.astype(np.int64)
        return places, self.quantities.astype(np.int64)

    def totals(self, count: int) -> Ints:
        """A total for each of `count` places, or of more where more were used."""
        places, quantities = self.rows()
        out = np.zeros(max(count, int(places.max(initial=-1)) + 1), np.int64)
        out[places] = quantities
        return out


_NONE: Final = _Interval(0, None, np.empty(0, np.int64))


class Blocks:
    """All buckets. What takes or gives series means their places, counted from 0."""

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}
        #: Folded intervals by their begin; no two overlap.
        self._folded: dict[int, _Interval] = {}
        #: Widths by their place in a bucket's number.
        self._widths: list[int] = []
        self._places: dict[int, int] = {}

    @property
    def size(self) -> int:
        """Bytes that the columns take."""
        fine = [column for block in self._blocks.values() for column in block.columns]
        folded = [column for _, *columns in self._folded.values() for column in columns if column is not None]
        return sum(column.nbytes for column in (*fine, *folded))

    def put(self, rows: Buckets) -> Buckets:
        """Set buckets, the later of two that are one; the same with by how much each grew."""
        if not rows.series.size:
            return rows
        hours = rows.starts // _HOUR
        keys = (rows.starts - hours * _HOUR << _OFFSET) | (self._codes(rows.widths) << _SERIES_BITS) | rows.series
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
        if not out.size:
            return out
        for hour, block in list(self._blocks.items()):
            if hour * _HOUR < edges[-1] and (hour + 1) * _HOUR > edges[0]:
                rows = self._read(hour, block)
                columns = np.searchsorted(edges, rows.starts, side="right") - 1
                inside = (columns >= 0) & (columns < out.shape[1])
                np.add.at(out, (rows.series[inside], columns[inside]), rows.quantities[inside])
        for begin, interval in list(self._folded.items()):
            if edges[0] <= begin < edges[-1]:
                places, quantities = interval.rows()
                out[places, np.searchsorted(edges, begin, side="right") - 1] += quantities
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
        for begin, interval in list(self._folded.items()):
            inside = min(end, interval.end) - max(start, begin)
            if inside > 0:
                places, quantities = interval.rows()
                if inside < (length := interval.end - begin):
                    quantities = np.rint(quantities * inside / length).astype(np.int64)
                out[places] += quantities
        return out

    def _add_between(self, out: Ints, rows: Buckets, start: float, end: float) -> None:
        lasts = np.minimum(end, rows.starts + rows.widths)
        inside = (rows.starts >= start) & (rows.starts < end)
        np.add.at(out, rows.series[inside], rows.quantities[inside])
        cut = ~inside & (lasts > start) & (rows.starts < end)
        if cut.any():
            shares = np.rint(rows.quantities[cut] * (lasts[cut] - start) / (lasts[cut] - rows.starts[cut]))
            np.add.at(out, rows.series[cut], shares.astype(np.int64))

    def since(self, start: int, series: Ints) -> Buckets:
        """The buckets of some series that begin at or after an instant, in Unix seconds, and those folded into hours.

        What is folded into longer intervals is left out.
        """
        none, asked = np.empty(0, np.int64), np.zeros(int(series.max(initial=0)) + 1, np.bool_)
        asked[series] = True
        found = []
        for hour, block in sorted(self._blocks.items()):
            if (hour + 1) * _HOUR > start:
                rows = self._read(hour, block)
                own = asked[np.minimum(rows.series, len(asked) - 1)] & (rows.series < len(asked))
                kept = own & (rows.starts >= start)
                found.append(Buckets(*(column[kept] for column in rows)))
        for begin, interval in sorted(self._folded.items()):
            if begin >= start and (length := interval.end - begin) <= _HOUR:
                totals = interval.totals(len(asked))[: len(asked)]
                used = np.flatnonzero(asked & (totals != 0))
                same = np.full(len(used), begin, np.int64)
                found.append(Buckets(used, same, np.full(len(used), length, np.int64), totals[used]))
        return Buckets(*(np.concatenate(column) for column in zip((none,) * 4, *found, strict=True)))

    def newest(self, series: int) -> int | None:
        """The end of the newest bucket of one series that is not empty; of a folded one that of its interval."""
        for hour in sorted(self._blocks, reverse=True):
            keys, quantities = self._blocks[hour].columns
            own = np.flatnonzero(((keys & _SERIES) == series) & (quantities != 0))
            if own.size:
                key = int(keys[own[-1]])
                return hour * _HOUR + (key >> _OFFSET) + self._widths[key >> _SERIES_BITS & _WIDTHS]
        ends = (one.end for _, one in sorted(self._folded.items(), reverse=True) if one.totals(series + 1)[series])
        return next(ends, None)

    def fold(self, edges: Ints, widest: int) -> None:
        """Make one bucket of all that are no wider than `widest` and start between two edges, for every two edges.

        What starts before the first edge is dropped. Edges that were folded at before may go away, and none may come.
        """
        for hour in [hour for hour in self._blocks if (hour + 1) * _HOUR <= edges[0]]:
            del self._blocks[hour]
        for begin in [begin for begin in self._folded if begin < edges[0]]:
            del self._folded[begin]
        for begin, end in pairwise(edges.tolist()):
            self._fold(begin, end, widest)

    def _fold(self, begin: int, end: int, widest: int) -> None:
        inside = {at: one for at, one in self._folded.items() if begin <= at < end}
        parts = [one.rows() for one in inside.values()]
        for hour in range(begin // _HOUR, -(-end // _HOUR)):
            if hour in self._blocks:
                rows = self._read(hour, self._blocks[hour])
                which = (rows.widths <= widest) & (rows.starts >= begin) & (rows.starts < end)
                parts += [(rows.series[which], rows.quantities[which])] if which.any() else []
                self._blocks[hour].keep(~which)
                if which.all():
                    del self._blocks[hour]
        if parts and not (len(parts) == 1 and inside and inside.get(begin, _NONE).end == end):
            for at in inside:
                del self._folded[at]
            self._folded[begin] = _Interval.of(end, _added(*map(np.concatenate, zip(*parts, strict=True))))

    def set_folded(self, begin: int, end: int, series: Ints, quantities: Ints) -> Ints:
        """Put what series used in [begin, end) in the place of what is folded there; by how much each place grew."""
        totals = _added(series, quantities)
        known = self._folded.get(begin)
        if known is not None:
            before = known.totals(len(totals))
            totals = np.concatenate([totals, np.zeros(len(before) - len(totals), np.int64)])
        self._folded[begin] = _Interval.of(end, totals)
        if not totals.any():
            del self._folded[begin]
        return totals if known is None else totals - before

    def _read(self, hour: int, block: _Block, start: float = -np.inf, end: float = np.inf) -> Buckets:
        """The buckets of a block that may lie in [start, end)."""
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


def _added(series: Ints, quantities: Ints) -> Ints:
    """A total for each place up to the last."""
    totals = np.zeros(int(series.max(initial=-1)) + 1, np.int64)
    np.add.at(totals, series, quantities)
    return totals
