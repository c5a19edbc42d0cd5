"""The ledger as the evaluation holds it: buckets of every series, and their sums by any borders. Opens no store."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alertd.core.ledger.blocks import Blocks, Buckets
from alertd.core.ledger.label_index import LabelIndex
from alertd.core.ledger.packing import BucketRows
from alertd.core.usage import CHARGE_LABEL, DIMENSIONS, SeriesRow, UsageRow

#: The widest bucket that is folded, in seconds; what is wider stays as it came.
FOLDED_WIDTH: Final = 3600
_NONE: Final = np.empty(0, np.int64)
#: Borders whose sums are kept: the zones of some budgets, and the months of some accounts.
_KEPT_SUMS: Final = 6

__all__ = ["CHARGE_LABEL", "DIMENSIONS", "Ledger", "SeriesRow", "UsageRow"]


class _AllLabels(Sequence[dict[str, str]]):
    """Made where somebody asks: those of 100,000 series would take 30 MB."""

    def __init__(self, rows: Sequence[SeriesRow]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, str]:  # type: ignore[override]
        return self._rows[index].all_labels()


class Ledger:
    """All series with their buckets. A row takes the place of the same series, start and width."""

    def __init__(self) -> None:
        self.series: list[SeriesRow] = []
        #: The labels of every series with its dimensions.
        self.labels: Sequence[dict[str, str]] = _AllLabels(self.series)
        self.label_index = LabelIndex(self.labels)
        #: One series of every kind, and the kind of every series: those of one kind cost and count the same.
        self.kinds: list[SeriesRow] = []
        #: Folded intervals of which a bucket was changed since: what they hold is to be read anew.
        self.torn: set[tuple[int, int]] = set()
        self._index: dict[int, int] = {}
        self._blocks = Blocks()
        self._edges: NDArray[np.int64] = np.empty(0, np.int64)
        self._earliest: int | None = None
        self._kind_of: array[int] = array("q")
        self._kind_index: dict[tuple[object, ...], int] = {}
        self._sums: dict[tuple[int, ...], NDArray[np.int64]] = {}
        self._places: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    @property
    def kind_of(self) -> NDArray[np.int64]:
        """The kind of every series, as a place in `kinds`."""
        return np.array(self._kind_of, dtype=np.int64)

    def kind_at(self, index: int) -> int:
        """The kind of one series."""
        return self._kind_of[index]

    @property
    def size(self) -> int:
        """Bytes that the buckets take."""
        return self._blocks.size

    def add_series(self, rows: Iterable[SeriesRow]) -> None:
        """Learn of series; known ones are left as they are."""
        for row in rows:
            if row.id not in self._index:
                self._index[row.id] = len(self.series)
                self.series.append(row)
                self._kind_of.append(self._kind(row))
                self._places = None

    def apply(self, rows: Iterable[UsageRow]) -> None:
        """Take over changed buckets, in the order in which they were changed. KeyError for an unknown series.

        A bucket that was folded away cannot be changed alone: its interval is `torn` until it is folded anew.
        """
        for found in self._columns(rows):
            changed = self._whole(found) if self._edges.size else found
            if changed.series.size:
                self._begins(int(changed.starts.min()))
                self._add_up(self._blocks.put(changed))

    def fold(self, edges: Sequence[int]) -> None:
        """Fold buckets of at most an hour between every two edges into one, and forget what lies before the first.

        From then on sums are right for borders that are edges or lie behind the last. Edges may go away, none may come.
        """
        self._edges = np.array(edges, dtype=np.int64)
        self._blocks.fold(self._edges, FOLDED_WIDTH)
        if self._earliest is not None and self._earliest < edges[0]:
            self._earliest = edges[0]
            self._sums.clear()
        self._sums = {borders: sums for borders, sums in self._sums.items() if borders[0] >= edges[0]}

    def folds(self, edges: Sequence[int]) -> bool:
        """Whether it can be folded at these edges: what is folded already does not come apart again."""
        if not (self._edges.size and edges):
            return not self._edges.size
        last = int(self._edges[-1])
        return edges[-1] >= last and set(self._edges.tolist()).issuperset(edge for edge in edges if edge <= last)

    def refold(self, begin: int, end: int, rows: Iterable[UsageRow]) -> None:
        """Take over what all buckets of at most an hour sum to that start in a folded interval, as rows of it."""
        found = [*self._columns(rows)]
        self.torn.discard((begin, end))
        if any(part.series.size for part in found):
            self._begins(begin)
        series, quantities = (np.concatenate([_NONE, *(part[at] for part in found)]) for at in (0, 3))
        more = self._blocks.set_folded(begin, end, series, quantities)
        places = np.flatnonzero(more)
        same = np.full(len(places), begin, np.int64)
        self._add_up(Buckets(places, same, same, more[places]))

    def sums(self, borders: Sequence[float]) -> NDArray[np.int64]:
        """Quantities by series and interval: [series, len(borders) - 1]; buckets count where they start.

        For the few borders asked for last the sums are kept and follow every change. What was given stays as it is.
        """
        edges = tuple(int(border) for border in borders)
        # A table of fewer days is a part of that of more.
        kept = next((one for one in self._sums if _place(edges, one) is not None), edges)
        known = self._sums.pop(kept, None)
        if known is None:
            known = self._blocks.summed(np.array(edges, dtype=np.int64), len(self.series))
            for part in [one for one in self._sums if _place(one, edges) is not None]:
                del self._sums[part]
        self._sums[kept] = known = _grown(known, len(self.series))
        if len(self._sums) > _KEPT_SUMS:
            del self._sums[next(iter(self._sums))]
        first = _place(edges, kept) or 0
        view = known[:, first : first + max(0, len(edges) - 1)]
        view.flags.writeable = False
        return view

    def spread(self, values: NDArray[np.float64], begin: float) -> NDArray[np.float64]:
        """Values by hour from `begin` on; what is folded into longer intervals is spread evenly over their hours."""
        spread, hours = values.astype(np.float64), (self._edges - begin) // FOLDED_WIDTH
        for first, behind in pairwise(np.clip(hours, 0, len(values)).astype(int).tolist()):
            if behind - first > 1:
                spread[first:behind] = values[first:behind].mean()
        return spread

    def between(self, start: float, end: float) -> NDArray[np.int64]:
        """The quantities of all series in [start, end), where `end` is as far as was seen.

        A bucket that reaches past `end` holds what was used up to it; one that begins before `start` counts by its
        share of time.
        """
        return self._blocks.between(start, end, len(self.series))

    def sum_between(self, index: int, start: float, end: float) -> int:
        """The same of one series."""
        return int(self.between(start, end)[index])

    def buckets(self, indices: Sequence[int], start: float) -> Buckets:
        """The buckets of some series that begin at or after `start`, but for those of folded days, in no order."""
        return self._blocks.since(int(start), np.array(indices, dtype=np.int64))

    def last_used(self, index: int) -> int | None:
        """The end of the newest bucket of one series that is not empty, in Unix seconds."""
        return self._blocks.newest(index)

    def earliest(self) -> int | None:
        """The start of the oldest bucket, in Unix seconds."""
        return self._earliest

    def _kind(self, row: SeriesRow) -> int:
        """Which kind a series is of: what its price and whether it counts depend on."""
        line = (row.provider, row.model, row.meter, row.modifiers, row.account)
        key = (*line, row.billed, row.source, row.labels.get(CHARGE_LABEL))
        found = self._kind_index.setdefault(key, len(self.kinds))
        if found == len(self.kinds):
            self.kinds.append(row)
        return found

    def _columns(self, rows: Iterable[UsageRow]) -> Iterator[Buckets]:
        """Rows as columns, block by block, their series by place."""
        if self._places is None:
            known = np.fromiter(self._index, np.int64, len(self._index))
            order = np.argsort(known)
            self._places = known[order], order
        known, order = self._places
        listed = rows if isinstance(rows, BucketRows) else BucketRows([*rows], ())
        for ids, *rest in listed.parts:
            if len(ids) == len(known) and (ids == known).all():
                yield Buckets(order, *rest)
                continue
            found = np.minimum(np.searchsorted(known, ids), max(0, len(known) - 1))
            if len(ids) and not (len(known) and (known[found] == ids).all()):
                raise KeyError(next(number for number in ids.tolist() if number not in self._index))
            yield Buckets(order[found], *rest)

    def _begins(self, start: int) -> None:
        self._earliest = start if self._earliest is None else min(self._earliest, start)

    def _whole(self, rows: Buckets) -> Buckets:
        """The rows that can be changed alone; the intervals of the others are torn, but for what is forgotten."""
        folded = (rows.widths <= FOLDED_WIDTH) & (rows.starts < self._edges[-1])
        places = np.unique(np.searchsorted(self._edges, rows.starts[folded], side="right") - 1).tolist()
        self.torn |= {(int(self._edges[place]), int(self._edges[place + 1])) for place in places if place >= 0}
        return Buckets(*(column[~folded] for column in rows))

    def _add_up(self, more: Buckets) -> None:
        """Carry changes into the sums that are kept; those given before stay as they are."""
        changed = more.quantities != 0
        series, starts, quantities = more.series[changed], more.starts[changed], more.quantities[changed]
        for edges, known in self._sums.items():
            sums = _grown(known, len(self.series), copied=True)
            columns = np.searchsorted(np.array(edges), starts, side="right") - 1
            inside = (columns >= 0) & (columns < sums.shape[1])
            np.add.at(sums, (series[inside], columns[inside]), quantities[inside])
            self._sums[edges] = sums


def _place(part: tuple[int, ...], edges: tuple[int, ...]) -> int | None:
    """Where borders follow each other in others as they are; None where they do not."""
    if not part or part[0] not in edges:
        return None
    first = edges.index(part[0])
    return first if edges[first : first + len(part)] == part else None


def _grown(sums: NDArray[np.int64], count: int, *, copied: bool = False) -> NDArray[np.int64]:
    """Sums of `count` series: those that were added since have none yet."""
    if len(sums) < count:
        return np.concatenate([sums, np.zeros((count - len(sums), sums.shape[1]), np.int64)])
    return sums.copy() if copied else sums
