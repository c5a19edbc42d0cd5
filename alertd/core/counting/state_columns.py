"""The states of a source's counters as columns: time and value of each, and beside them the few that hold more.

A state is plain where nothing is in question, owed or replaced: nearly all are, always. It is made an object only where
somebody asks for it by name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alertd.core.counting.columns import SeriesTable
from alertd.core.counting.falls import Fall
from alertd.core.counting.samples import LABELS_KIN, CounterState
from alertd.core.usage import LARGEST_EXPONENT

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_LARGEST: Final = 10**LARGEST_EXPONENT
_FIRST_CAPACITY: Final = 64


class Moved(NamedTuple):
    """Counters that simply went on, by number: the time (Unix seconds) and value of the last sample."""

    numbers: Ints
    at: Floats
    value: Ints


class Named(NamedTuple):
    """What seldom changes of some counters: by place where only a few have it."""

    names: list[str]
    kin: list[str]
    created: bytes
    falls: dict[int, Fall]
    odd: dict[int, CounterState]


class StateColumns(Mapping[str, CounterState]):
    """The state of each counter by fingerprint. `number` is a counter's place, which never changes."""

    def __init__(self, states: Mapping[str, CounterState] | None = None) -> None:
        self.names: list[str] = []
        self.kin: list[str] = []
        #: States that are not plain, whole, by number: the columns hold nothing of them.
        self.odd: dict[int, CounterState] = {}
        #: Certain restarts of plain ones, by number.
        self.falls: dict[int, Fall] = {}
        self._numbers: dict[str, int] = {}
        #: The numbers of counters that are taken off others.
        self._within: set[int] = set()
        self._in_table: tuple[SeriesTable, tuple[int, int], Ints] | None = None
        self.at, self.value = np.empty(0), np.empty(0, np.int64)
        #: Starts in Unix seconds, NaN where they are not known; and whether a state is plain.
        self.created, self.plain = np.empty(0), np.empty(0, np.bool_)
        self._grow(_FIRST_CAPACITY)
        self.update(states or {})

    def __getitem__(self, name: str) -> CounterState:
        return self.at_number(self._numbers[name])

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._numbers

    def at_number(self, number: int) -> CounterState:
        """The state of the counter of this number."""
        found = self.odd.get(number)
        if found is not None:
            return found
        created = float(self.created[number])
        known = None if created != created else created  # noqa: PLR0124 - NaN, of a start that is not known
        at, value, fall = float(self.at[number]), int(self.value[number]), self.falls.get(number)
        return CounterState(at, value, known, 0, fall, self.kin[number])

    def numbers_in(self, table: SeriesTable) -> Ints:
        """The numbers of the counters of a table, by place; -1 of those without a state."""
        known = self._in_table
        if known is None or known[0] is not table or known[1] != (len(table), len(self.names)):
            found = np.fromiter((self._numbers.get(one.fingerprint, -1) for one in table.series), np.int64, len(table))
            self._in_table = table, (len(table), len(self.names)), found
            return found
        return known[2]

    def within_numbers(self) -> Ints:
        """The numbers of the counters that are taken off others, and were not replaced."""
        return np.array(
            [number for number in self._within if not ((odd := self.odd.get(number)) is not None and odd.heir)],
            np.int64,
        )

    def is_within(self, number: int) -> bool:
        """Whether a counter is taken off another one."""
        return number in self._within

    def has_within(self) -> bool:
        """Whether there are counters that are subtracted from others."""
        return bool(self._within)

    def update(self, states: Mapping[str, CounterState]) -> Ints:
        """Put these states in the place of those of their counters; their numbers."""
        found = np.empty(len(states), np.int64)
        for place, (name, state) in enumerate(states.items()):
            number = self._numbers.get(name)
            if number is None:
                number = self._numbers[name] = len(self.names)
                self.names.append(name)
                self.kin.append(state.kin)
                if number == len(self.at):
                    self._grow(2 * number)
            found[place] = number
            self._put(number, state)
        return found

    def move(self, moved: Moved) -> None:
        """Take over new times and values of plain states."""
        self.at[moved.numbers], self.value[moved.numbers] = moved.at, moved.value

    def without(self, names: Collection[str]) -> StateColumns:
        """The states of all other counters, numbered anew in the same order."""
        gone = frozenset(names)
        return StateColumns({name: state for name, state in self.items() if name not in gone})

    def named(self, first: int, count: int) -> Named:
        """Of `count` counters from `first` on what seldom changes: names, kin, starts, falls, those that are odd."""
        end = min(first + count, len(self.names))
        falls = {number - first: fall for number, fall in self.falls.items() if first <= number < end}
        odd = {number - first: state for number, state in self.odd.items() if first <= number < end}
        created = self.created[first:end].astype("<f8").tobytes()
        return Named(self.names[first:end], self.kin[first:end], created, falls, odd)

    def timed(self, first: int, count: int) -> bytes:
        """The times and values of the same, as columns, byte by byte."""
        end = min(first + count, len(self.names))
        columns = self.at[first:end].astype("<f8"), self.value[first:end].astype("<i8")
        return b"".join(column.view(np.uint8).reshape(-1, 8).T.tobytes() for column in columns)

    def append(self, named: Named, timed: bytes) -> None:
        """Take over counters as `named` and `timed` gave them. ValueError where they do not fit together."""
        names, kin, created, falls, odd = named
        first, end = len(self.names), len(self.names) + len(names)
        bytewise = np.frombuffer(timed, np.uint8).reshape(2, 8, len(names))
        at, value = np.ascontiguousarray(bytewise.transpose(0, 2, 1))
        if end > len(self.at):
            self._grow(2 * end)
        self.at[first:end], self.value[first:end] = at.view("<f8")[:, 0], value.view("<i8")[:, 0]
        self.created[first:end] = np.frombuffer(created, "<f8")
        self.plain[first:end] = True
        self.names += names
        self.kin += kin
        self._numbers.update(zip(names, range(first, end), strict=True))
        self._within.update(first + place for place, one in enumerate(kin) if len(one) > LABELS_KIN)
        self.falls.update((first + place, fall) for place, fall in falls.items())
        for place, state in odd.items():
            self._put(first + place, state)

    def _put(self, number: int, state: CounterState) -> None:
        at, value, created, owed, fall, kin, heir, seen = state
        self.kin[number] = kin
        if len(kin) > LABELS_KIN:
            self._within.add(number)
        else:
            self._within.discard(number)
        certain = fall is None or (created is not None and not fall.is_in_question())
        self.plain[number] = plain = certain and not (owed or heir or seen) and 0 <= value < _LARGEST
        self.odd.pop(number, None)
        self.falls.pop(number, None)
        if plain:
            if fall is not None:
                self.falls[number] = fall
            self.at[number], self.value[number] = at, value
            self.created[number] = np.nan if created is None else created
        else:
            self.odd[number] = state

    def _grow(self, capacity: int) -> None:
        """Make the columns long enough for `capacity` states; the states in them stay."""
        more = capacity - len(self.at)
        self.at = np.concatenate([self.at, np.zeros(more)])
        self.value = np.concatenate([self.value, np.zeros(more, np.int64)])
        self.created = np.concatenate([self.created, np.full(more, np.nan)])
        self.plain = np.concatenate([self.plain, np.zeros(more, np.bool_)])


class ChangedStates(Mapping[str, CounterState]):
    """The states that a reading changed, beside all of their source: a store writes the blocks that hold them.

    `rows` are the numbers of those of which more than time and value changed, `moved` those of the others.
    """

    def __init__(self, whole: StateColumns, rows: Ints, moved: Ints) -> None:
        self.whole, self.rows, self.moved = whole, rows, moved

    def __getitem__(self, name: str) -> CounterState:
        return self.whole[name]

    def __len__(self) -> int:
        return len(self._all)

    def __bool__(self) -> bool:
        return bool(len(self.rows) or len(self.moved))

    def __iter__(self) -> Iterator[str]:
        return (self.whole.names[number] for number in self._all)

    @property
    def _all(self) -> Sequence[int]:
        found: list[int] = np.union1d(self.rows, self.moved).tolist()
        return found


def as_columns(states: Mapping[str, CounterState]) -> StateColumns:
    """These states as columns, the very same where they are."""
    return states if isinstance(states, StateColumns) else StateColumns(states)
