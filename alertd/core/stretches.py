"""Quantities over stretches of time, put into the ledger's buckets in whole numbers. What is lost here is nothing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from alertd.core.usage import Labels, Line

#: Seconds that one bucket of the ledger is wide. Every month border in every zone of today falls on a multiple.
WIDTH: Final = 300
#: A quantity of a longer stretch is spread over it, so that a month border inside an outage is split fairly.
LONGEST: Final = 2 * WIDTH
_FINE: Final = 2 * 86400
_HOUR: Final = 3600


def bucket(at: float) -> int:
    """The start of the bucket that usage up to and including `at` belongs to: midnight's sample closes the day."""
    return int(-(-at // WIDTH)) * WIDTH - WIDTH


def spread(quantity: int, begin: float, end: float) -> list[tuple[int, int]]:
    """`quantity` over (begin, end] in proportion to time, as (bucket, share): whole numbers that sum to it exactly.

    The running sum is rounded, so that what falls before any border (a month's end) is right to one. Over more than
    two days the shares are those of hours, each in the hour's first bucket.
    """
    step = WIDTH if end - begin <= _FINE else _HOUR
    last = bucket(end) // step * step
    starts = range(int(begin // step) * step, last + step, step)
    elapsed = [round((min(start + step, end) - begin) * 1000) for start in starts]
    if elapsed[-1] <= 0:
        return [(last, quantity)]
    used = [quantity * passed // elapsed[-1] for passed in elapsed]
    shares = (later - earlier for earlier, later in pairwise([0, *used]))
    return [(start, share) for start, share in zip(starts, shares, strict=True) if share]


class _Sum:
    """What was booked on one pair of objects: by the bucket where short, by the stretch where long."""

    __slots__ = ("labels", "line", "long", "short", "within")

    def __init__(self, line: Line, labels: Labels, within: Line | None) -> None:
        self.line, self.labels, self.within = line, labels, within
        self.short: dict[int, int] = {}
        self.long: dict[tuple[float, float], int] = {}

    def buckets(self) -> Iterator[tuple[int, int]]:
        yield from self.short.items()
        for (begin, end), quantity in self.long.items():
            yield from spread(quantity, begin, end)


class _Series:
    """What one ledger series gets: what is counted on it, what is taken off it, and what was owed from before."""

    __slots__ = ("labels", "less", "line", "more", "owed", "owers")

    def __init__(self, line: Line, labels: Labels) -> None:
        self.line, self.labels = line, labels
        self.more: dict[int, int] = {}
        self.less: dict[int, int] = {}
        self.owed = 0
        self.owers: list[str] = []

    def net(self) -> tuple[dict[int, int], int]:
        """Per bucket what is left, nowhere below 0, and what could not be taken off yet."""
        if not self.less and not self.owed:
            return self.more, 0
        left: dict[int, int] = {}
        debt = self.owed
        for start in sorted(self.more.keys() | self.less.keys()):
            rest = self.more.get(start, 0) - self.less.get(start, 0) - debt
            left[start], debt = max(rest, 0), max(-rest, 0)
        for start in reversed(left):
            taken = min(debt, left[start])
            left[start] -= taken
            debt -= taken
        return left, debt


class Buckets:
    """The one sum of a reading: booked by the stretch, read by the bucket.

    Lines and labels are known by identity while booking, which is fast where a source hands out the same objects, and
    by value in the sum.
    """

    def __init__(self) -> None:
        self._sums: dict[tuple[int, int, int], _Sum] = {}
        self._owers: dict[tuple[int, int], tuple[Line, Labels, dict[str, int]]] = {}

    def book(
        self, quantity: int, begin: float, end: float, *, line: Line, labels: Labels, within: Line | None = None
    ) -> None:
        """Add `quantity`, used in (begin, end], to a ledger series; take it off that of `within`."""
        name = id(line), id(labels), id(within)
        found = self._sums.get(name)
        if found is None:
            found = self._sums[name] = _Sum(line, labels, within)
        if end - begin <= LONGEST:
            start = int(-(-end // WIDTH)) * WIDTH - WIDTH
            found.short[start] = found.short.get(start, 0) + quantity
        else:
            found.long[begin, end] = found.long.get((begin, end), 0) + quantity

    def owe(self, ower: str, owed: int, labels: Labels, within: Line) -> None:
        """Say which raw series takes its quantity off that of `within`, and what it still had to take off."""
        self._owers.setdefault((id(within), id(labels)), (within, labels, {}))[2][ower] = owed

    def settled(self) -> tuple[list[tuple[Line, Labels, int, int]], dict[str, int]]:
        """The (line, labels, bucket, quantity) that are not 0, none of them negative, and what each ower now owes."""
        found: list[tuple[Line, Labels, int, int]] = []
        debts: dict[str, int] = {}
        for series in self._summed():
            left, debt = series.net()
            debts |= dict.fromkeys(series.owers, 0)
            if debt:
                debts[series.owers[-1]] = debt
            found += [(series.line, series.labels, start, left[start]) for start in sorted(left) if left[start]]
        return found, debts

    def _summed(self) -> list[_Series]:
        found: dict[tuple[Line, frozenset[tuple[str, str]]], _Series] = {}

        def series(line: Line, labels: Labels) -> _Series:
            return found.setdefault((line, frozenset(labels.items())), _Series(line, labels))

        for booked in self._sums.values():
            more = series(booked.line, booked.labels).more
            less = None if booked.within is None else series(booked.within, booked.labels).less
            for start, quantity in booked.buckets():
                more[start] = more.get(start, 0) + quantity
                if less is not None:
                    less[start] = less.get(start, 0) + quantity
        for within, labels, owers in self._owers.values():
            debtor = series(within, labels)
            debtor.owed += sum(owers.values())
            debtor.owers += owers
        return list(found.values())
