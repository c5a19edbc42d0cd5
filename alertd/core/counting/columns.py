"""The series of a source, the samples of a reading and what they add to the ledger, as columns.

What is the same in every reading is kept once for each series (`SeriesTable`); a reading has its samples in a few long
columns (`SampleColumns`). Objects of a series are made only where somebody asks for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isnan
from typing import Final, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from alertd.core.counting.samples import CounterSamples, Increment
from alertd.core.usage import Labels, Line

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Ledger series known by their objects: a source that makes new ones in every reading fills this for nothing.
_MOST: Final = 200_000


class LedgerSeries:
    """The series of the ledger that a source feeds, each with a number; equal ones have the same."""

    def __init__(self) -> None:
        self.known: list[tuple[Line, Labels]] = []
        self._numbers: dict[tuple[int, int], int] = {}
        self._lines: dict[Line, int] = {}
        #: Labels by value, which takes a kilobyte each, and by object: the series of one key share theirs.
        self._by_value: dict[frozenset[tuple[str, str]], int] = {}
        self._by_object: dict[int, tuple[Labels, int]] = {}

    def number(self, line: Line, labels: Labels) -> int:
        """The number of a series."""
        found = self._by_object.get(id(labels))
        if found is None:
            count = len(self._by_value)
            found = labels, self._by_value.setdefault(frozenset(labels.items()), count)
            if found[1] == count:
                self._by_object[id(labels)] = found  # held, so that no other object has its id
        own = self._lines.setdefault(line, len(self._lines)), found[1]
        number = self._numbers.setdefault(own, len(self.known))
        if number == len(self.known):
            self.known.append((line, labels))
        return number

    def is_full(self) -> bool:
        """Whether it is time to begin anew."""
        return len(self.known) > _MOST


class Increments(Sequence[Increment]):
    """What is added to the ledger: columns of equal length, by the number of the ledger series."""

    def __init__(self, series: LedgerSeries, numbers: Ints, starts: Ints, widths: Ints, quantities: Ints) -> None:
        self.series = series
        self.numbers, self.starts, self.widths, self.quantities = numbers, starts, widths, quantities

    @classmethod
    def of(cls, given: Sequence[Increment], series: LedgerSeries | None = None) -> Increments:
        """These as columns. OverflowError where a quantity does not fit into 64 bits."""
        if isinstance(given, Increments):
            return given
        known = LedgerSeries() if series is None else series
        numbers = np.fromiter((known.number(line, labels) for line, labels, *_ in given), np.int64, len(given))
        starts, widths, quantities = (
            np.array([one[column] for one in given], dtype=object).astype(np.int64) for column in (2, 3, 4)
        )
        return cls(known, numbers, starts, widths, quantities)

    def beside(self, other: Increments) -> Increments:
        """Both, of the same series."""
        pairs = zip(self.columns, other.columns, strict=True)
        return Increments(self.series, *(np.concatenate(pair) for pair in pairs))

    @property
    def columns(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Number, start, width, quantity."""
        return self.numbers, self.starts, self.widths, self.quantities

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[Increment]:
        for number, start, width, quantity in zip(*(column.tolist() for column in self.columns), strict=True):
            line, labels = self.series.known[number]
            yield Increment(line, labels, start, width, quantity)

    @overload
    def __getitem__(self, place: int) -> Increment: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Increment]: ...

    def __getitem__(self, place: int | slice) -> Increment | Sequence[Increment]:
        return list(self)[place]


class SeriesTable:
    """What is known of each raw series of a source, by place: all but its samples and its start. It only grows."""

    def __init__(self) -> None:
        self.series: list[CounterSamples] = []
        self.targets: list[str] = []
        self.ledger = LedgerSeries()
        self._targets: dict[str, int] = {}
        self._columns: tuple[list[int], list[int], list[int], list[bool]] = [], [], [], []
        self._arrays: tuple[Ints, Ints, Ints, Bools] | None = None

    def __len__(self) -> int:
        return len(self.series)

    def add(self, one: CounterSamples | None) -> int:
        """The place of a new series, given without samples; None for one that feeds nothing."""
        targets, feeds, within, simple = self._columns
        self._arrays = None
        known = one or CounterSamples("", Line("", "", ""), {}, ())
        self.series.append(known)
        targets.append(self._targets.setdefault(known.target, len(self._targets)))
        if targets[-1] == len(self.targets):
            self.targets.append(known.target)
        feeds.append(-1 if one is None else self.ledger.number(known.line, known.labels))
        within.append(-1 if known.within is None else self.ledger.number(known.within, known.labels))
        simple.append(one is not None and known.scale == 1 and not known.period)
        return len(self.series) - 1

    @property
    def target_of(self) -> Ints:
        """The target of each series, as a place in `targets`."""
        return self._as_arrays()[0]

    @property
    def feeds(self) -> Ints:
        """The number of the ledger series that each feeds, -1 of those that feed none."""
        return self._as_arrays()[1]

    @property
    def within(self) -> Ints:
        """The number of the ledger series that each is taken off, -1 of those that are not."""
        return self._as_arrays()[2]

    @property
    def is_simple(self) -> Bools:
        """Whether values are running totals in the meter's own unit."""
        return self._as_arrays()[3]

    def _as_arrays(self) -> tuple[Ints, Ints, Ints, Bools]:
        if self._arrays is None:
            targets, feeds, within, simple = self._columns
            ints = (np.array(column, np.int64) for column in (targets, feeds, within))
            self._arrays = (*ints, np.array(simple, np.bool_))  # type: ignore[assignment]
        return self._arrays  # type: ignore[return-value]


class Samples(NamedTuple):
    """The samples of a window by series: places in a table, the points of each, and all of these as columns.

    `lengths` are the numbers of points. Instants are in Unix seconds; a value that is no number is NaN.
    """

    places: Ints
    points: Sequence[Sequence[tuple[float, str]]]
    lengths: Ints
    at: Floats
    values: Floats


class SampleColumns(Sequence[CounterSamples]):
    """The samples of a reading. `created` is the start of each series' process, NaN where it is not known.

    Series that restarted within the reading come in several parts: these are in `parts`, by row.
    """

    def __init__(
        self,
        table: SeriesTable,
        samples: Samples,
        created: Floats,
        parts: Mapping[int, Sequence[CounterSamples]],
    ) -> None:
        self.table, self.samples, self.created, self.parts = table, samples, created, parts
        self._list: list[CounterSamples] | None = None

    def row(self, row: int) -> Sequence[CounterSamples]:
        """One series, in parts where it restarted."""
        parts = self.parts.get(row)
        if parts is not None:
            return parts
        created = float(self.created[row])
        name, line, labels, _, target, _, within, scale, period = self.table.series[int(self.samples.places[row])]
        known = None if isnan(created) else created
        points = self.samples.points[row]
        return (CounterSamples(name, line, labels, points, target, known, within, scale, period),)

    def rows(self, rows: Iterable[int]) -> list[CounterSamples]:
        """Several."""
        return [one for row in rows for one in self.row(row)]

    def _all(self) -> list[CounterSamples]:
        if self._list is None:
            self._list = self.rows(range(len(self.samples.places)))
        return self._list

    def __len__(self) -> int:
        return len(self._all()) if self.parts else len(self.samples.places)

    def __iter__(self) -> Iterator[CounterSamples]:
        return iter(self._all())

    @overload
    def __getitem__(self, place: int) -> CounterSamples: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[CounterSamples]: ...

    def __getitem__(self, place: int | slice) -> CounterSamples | Sequence[CounterSamples]:
        return self._all()[place]
