"""The ledger as the judge holds it: buckets of every series, and their sums by any borders. Opens no store."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alertd.core.judgement.cover import Cover
from alertd.core.usage import Line

#: Labels by these names are what the series itself knows; they can be used in `where` and `per` like any label.
DIMENSIONS: Final = ("provider", "model", "meter", "account", "source")

#: The label that tells what money is for; what has none is for the use of models.
CHARGE_LABEL: Final = "charge"
#: Borders whose sums are kept: the zones of some budgets, and the months of some accounts.
_KEPT_SUMS: Final = 6


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """A series of the ledger: what usage is attributed by. `billed` rows hold money, in nanos of that currency."""

    id: int
    source: str
    provider: str
    model: str
    meter: str
    modifiers: tuple[tuple[str, str], ...]
    account: str
    labels: Mapping[str, str]
    billed: str = ""

    @property
    def line(self) -> Line:
        return Line(self.provider, self.model, self.meter, self.modifiers, self.account)

    def all_labels(self) -> dict[str, str]:
        """Its labels with the dimensions among them; what is empty is absent. A label never hides a dimension."""
        own = {name: getattr(self, name) for name in DIMENSIONS}
        return {name: value for name, value in {**self.labels, **own}.items() if value}


class UsageRow(NamedTuple):
    """The quantity of one series in one bucket [start, start + width), in Unix seconds. Replaces the bucket's last."""

    series: int
    start: int
    width: int
    quantity: int


class Ledger:
    """All series with their buckets, in order of time. A row takes the place of the same series, start and width."""

    def __init__(self) -> None:
        self.series: list[SeriesRow] = []
        self.labels: list[dict[str, str]] = []
        self._index: dict[int, int] = {}
        self._starts: list[array[int]] = []
        self._widths: list[array[int]] = []
        self._quantities: list[array[int]] = []
        self._widest = 0
        self._earliest: int | None = None
        self.cover = Cover(self.labels)
        #: One series of every kind, and the kind of every series: of one kind cost the same and count alike.
        self.kinds: list[SeriesRow] = []
        self._kind_of: array[int] = array("q")
        self._kind_index: dict[tuple[object, ...], int] = {}
        self._sums: dict[tuple[int, ...], NDArray[np.int64]] = {}

    @property
    def kind_of(self) -> NDArray[np.int64]:
        """The kind of every series, as a place in `kinds`."""
        return np.array(self._kind_of, dtype=np.int64)

    def add_series(self, rows: Iterable[SeriesRow]) -> None:
        """Learn of series; known ones are left as they are."""
        for row in rows:
            if row.id not in self._index:
                self._index[row.id] = len(self.series)
                self.series.append(row)
                self.labels.append(row.all_labels())
                self._kind_of.append(self._kind(row))
                self._starts.append(array("q"))
                self._widths.append(array("q"))
                self._quantities.append(array("q"))

    def apply(self, rows: Iterable[UsageRow]) -> None:
        """Take over changed buckets, in the order in which they were changed. KeyError for an unknown series."""
        changes: list[tuple[int, int, int]] = []
        for row in rows:
            self._widest = max(self._widest, row.width)
            if self._earliest is None or row.start < self._earliest:
                self._earliest = row.start
            index = self._index[row.series]
            more = self._replace(index, row)
            if self._sums and more:
                changes.append((index, row.start, more))
        if changes:
            self._add_up(np.array(changes, dtype=np.int64))

    def _kind(self, row: SeriesRow) -> int:
        """Which kind a series is of: what its price and whether it counts depend on."""
        key = (row.line, row.billed, row.source, row.labels.get(CHARGE_LABEL))
        found = self._kind_index.setdefault(key, len(self.kinds))
        if found == len(self.kinds):
            self.kinds.append(row)
        return found

    def _replace(self, index: int, row: UsageRow) -> int:
        """Put a bucket in its place; by how much it grew."""
        starts, widths, quantities = self._starts[index], self._widths[index], self._quantities[index]
        place = bisect_left(starts, row.start)
        while place < len(starts) and starts[place] == row.start:
            if widths[place] == row.width:
                more = row.quantity - quantities[place]
                quantities[place] = row.quantity
                return more
            place += 1
        starts.insert(place, row.start)
        widths.insert(place, row.width)
        quantities.insert(place, row.quantity)
        return row.quantity

    def _add_up(self, changes: NDArray[np.int64]) -> None:
        """Carry changes, as rows of (index, start, more), into the sums that are kept."""
        for edges, sums in self._sums.items():
            columns = np.searchsorted(np.array(edges), changes[:, 1], side="right") - 1
            inside = (columns >= 0) & (columns < sums.shape[1]) & (changes[:, 0] < len(sums))
            np.add.at(sums, (changes[inside, 0], columns[inside]), changes[inside, 2])

    def sums(self, borders: Sequence[float]) -> NDArray[np.int64]:
        """Quantities by series and stretch: [series, len(borders) - 1]; buckets count where they start.

        For the few borders asked for last the sums are kept and follow every change: read them before the next one.
        """
        edges = tuple(int(border) for border in borders)
        known = self._sums.pop(edges, None)
        begun = 0 if known is None else len(known)
        if known is None or begun < len(self.series):
            more = self._summed(np.array(edges, dtype=np.int64), begun)
            known = more if known is None else np.concatenate([known, more])
        self._sums[edges] = known
        if len(self._sums) > _KEPT_SUMS:
            del self._sums[next(iter(self._sums))]
        view = known.view()
        view.flags.writeable = False
        return view

    def _summed(self, edges: NDArray[np.int64], begun: int) -> NDArray[np.int64]:
        """The sums of all series from the one at `begun` on."""
        out = np.zeros((len(self.series) - begun, max(0, len(edges) - 1)), dtype=np.int64)
        for index in range(begun, len(self.series)):
            starts = self._starts[index]
            if not starts or starts[-1] < edges[0]:
                continue
            totals = np.concatenate(([0], np.cumsum(np.frombuffer(self._quantities[index], dtype=np.int64))))
            places = np.searchsorted(np.frombuffer(starts, dtype=np.int64), edges, side="left")
            out[index - begun] = np.diff(totals[places])
        return out

    def sum_between(self, index: int, start: float, end: float) -> int:
        """The quantity of one series in [start, end), where `end` is as far as was seen.

        A bucket that reaches past `end` holds what was used up to it; one that begins before `start` counts by its
        share of time.
        """
        starts, widths, quantities = self._starts[index], self._widths[index], self._quantities[index]
        place = bisect_left(starts, start - self._widest)
        total = 0
        while place < len(starts) and starts[place] < end:
            begin, last = starts[place], min(end, starts[place] + widths[place])
            if begin >= start:
                total += quantities[place]
            elif last > start:
                total += round(quantities[place] * (last - start) / (last - begin))
            place += 1
        return total

    def last_used(self, index: int) -> int | None:
        """The end of the newest bucket of one series that is not empty, in Unix seconds."""
        starts, widths, quantities = self._starts[index], self._widths[index], self._quantities[index]
        return next((starts[i] + widths[i] for i in reversed(range(len(starts))) if quantities[i]), None)

    def earliest(self) -> int | None:
        """The start of the oldest bucket, in Unix seconds."""
        return self._earliest
