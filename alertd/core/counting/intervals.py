"""Quantities over intervals of time, put into the ledger's buckets: whole numbers that add up to the same sum."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import pairwise
from operator import itemgetter
from typing import Final

from alertd.core.counting.netting import Name, Netted, Ower, Place, Series, Sums
from alertd.core.usage import Labels, Line

#: Seconds that one bucket of the ledger is wide. Every month border in every zone of today falls on a multiple.
WIDTH: Final = 300
#: A quantity of a longer interval is spread over it, so that a month border inside an outage is split fairly.
LONGEST: Final = 2 * WIDTH
_HOUR: Final = 3600
_DAY: Final = 86400
_FINE: Final = 2 * _DAY
_MONTHS: Final = 100 * _DAY
_YEARS: Final = 60 * 366 * _DAY


def bucket(at: float) -> int:
    """The start of the bucket that usage up to and including `at` belongs to: midnight's sample closes the day."""
    return int(-(-at // WIDTH)) * WIDTH - WIDTH


def spread(quantity: int, begin: float, end: float) -> list[tuple[int, int]]:
    """`quantity` over (begin, end] in proportion to time, as (bucket, share): whole numbers that sum to it exactly.

    The running sum is rounded, so that what falls before any border (a month's end) is right to one. Over more than
    two days the shares are those of hours, over more than a hundred those of days, each in the first bucket. What is
    said to have taken longer than sixty years is spread over the last sixty.
    """
    begin = max(begin, end - _YEARS)
    step = WIDTH if end - begin <= _FINE else _HOUR if end - begin <= _MONTHS else _DAY
    last = bucket(end) // step * step
    starts = range(int(begin // step) * step, last + step, step)
    elapsed = [round((min(start + step, end) - begin) * 1000) for start in starts]
    if elapsed[-1] <= 0:
        return [(last, quantity)]
    used = [quantity * passed // elapsed[-1] for passed in elapsed]
    shares = (later - earlier for earlier, later in pairwise([0, *used]))
    return [(start, share) for start, share in zip(starts, shares, strict=True) if share]


class IntervalSums:
    """The one sum of a reading: booked by the interval, read by the bucket.

    Lines and labels are known by identity while booking, which is fast where a source hands out the same objects, and
    by value in the sum. Everything lies flat in few dictionaries: a reading may book on 100,000 ledger series.
    """

    def __init__(self) -> None:
        self._lines: dict[int, Line] = {}
        self._labels: dict[int, Labels] = {}
        self._more: dict[Place, int] = {}
        self._less: dict[Place, int] = {}
        self._long: dict[tuple[int, int, int, float, float], int] = {}
        self._owers: dict[Name, list[Ower]] = {}
        self._held_back: list[tuple[int, Line, Labels]] = []

    def book(
        self, quantity: int, interval: tuple[float, float], line: Line, labels: Labels, within: Line | None = None
    ) -> None:
        """Add `quantity`, used in the `interval` (begin, end], to a ledger series; take it off that of `within`."""
        begin, end = interval
        one, two = id(line), id(labels)
        self._lines[one], self._labels[two] = line, labels
        if within is not None:
            self._lines[id(within)] = within
        if end - begin > LONGEST:
            long = one, two, 0 if within is None else id(within), begin, end
            self._long[long] = self._long.get(long, 0) + quantity
            return
        start = int(-(-end // WIDTH)) * WIDTH - WIDTH
        place = one, two, start
        self._more[place] = self._more.get(place, 0) + quantity
        if within is not None:
            place = id(within), two, start
            self._less[place] = self._less.get(place, 0) + quantity

    def book_short(self, parts: Iterable[tuple[int, int]], line: Line, labels: Labels) -> None:
        """Add quantities by the bucket, as (start, quantity), to a ledger series."""
        one, two = id(line), id(labels)
        self._lines[one], self._labels[two] = line, labels
        for start, quantity in parts:
            place = one, two, start
            self._more[place] = self._more.get(place, 0) + quantity

    def owe(self, ower: str, owed: int, line: Line, labels: Labels, within: Line) -> None:
        """Say which raw series takes its quantity off that of `within`, and what of it still waits for that one."""
        self._lines[id(line)], self._lines[id(within)], self._labels[id(labels)] = line, within, labels
        self._owers.setdefault((id(within), id(labels)), []).append(Ower(ower, id(line), owed))

    def hold_back(self, most: int, line: Line, labels: Labels) -> None:
        """Leave out up to `most` of what is booked on a line, where the labels agree."""
        if most:
            self._held_back.append((most, line, labels))

    def forget_owed(self, names: Collection[str]) -> None:
        """Take back what these raw series were said to owe: from before, not what they add now."""
        for owing in self._owers.values():
            owing[:] = [one._replace(owed=0) if one.name in names else one for one in owing]

    def settled(
        self, series: Callable[[], Iterable[Series]], is_known: Callable[[Line], bool]
    ) -> tuple[list[tuple[Line, Labels, int, int, int]], Netted]:
        """The (line, labels, bucket, width, quantity) that are not 0, none negative, and what was taken off how.

        `series` are all of the reading, `is_known` answers whether a line was counted before.
        """
        self._spread_long()
        same = self._same()
        more, less = _merged(self._more, same), _merged(self._less, same)
        for held_back in self._held_back:
            self._leave_out(more, *held_back)
        owers: dict[Name, dict[str, Ower]] = {}
        for (line, labels), owing in self._owers.items():
            owers.setdefault((same.get(line, line), same.get(labels, labels)), {}).update(
                (one.name, one._replace(line=same.get(one.line, one.line))) for one in owing
            )
        lines, labelled = self._lines, self._labels
        netted = Sums(lines, labelled, more, less, owers).net(series, is_known) if owers else Netted({})
        found = [
            (lines[line], labelled[labels], start, WIDTH, quantity)
            for (line, labels, start), quantity in more.items()
            if quantity
        ]
        return found, netted

    def _leave_out(self, more: dict[Place, int], most: int, line: Line, labels: Labels) -> None:
        for place in sorted(more, key=itemgetter(2), reverse=True):
            own = self._labels[place[1]]
            if self._lines[place[0]] == line and all(labels[name] == own[name] for name in labels.keys() & own.keys()):
                taken = min(most, more[place])
                more[place], most = more[place] - taken, most - taken

    def _spread_long(self) -> None:
        for (line, labels, within, begin, end), quantity in self._long.items():
            for start, share in spread(quantity, begin, end):
                self._more[line, labels, start] = self._more.get((line, labels, start), 0) + share
                if within:
                    self._less[within, labels, start] = self._less.get((within, labels, start), 0) + share
        self._long.clear()

    def _same(self) -> dict[int, int]:
        """From objects that equal an earlier one to that one."""
        lines: dict[Line, int] = {}
        labelled: dict[frozenset[tuple[str, str]], int] = {}
        first = {name: lines.setdefault(line, name) for name, line in self._lines.items()}
        first |= {name: labelled.setdefault(frozenset(labels.items()), name) for name, labels in self._labels.items()}
        return {name: earlier for name, earlier in first.items() if name != earlier}


def _merged(sums: dict[Place, int], same: dict[int, int]) -> dict[Place, int]:
    if not same:
        return sums
    found: dict[Place, int] = {}
    for (line, labels, start), quantity in sums.items():
        place = same.get(line, line), same.get(labels, labels), start
        found[place] = found.get(place, 0) + quantity
    return found
