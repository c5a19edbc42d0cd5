"""Which labels only distinguish copies of one series: two Prometheus that scrape the same targets, a replicated store.

series that differ in this label only                    the label
the same values at the same instants                     distinguishes copies: one of them is counted
other values at the same instants                        distinguishes real servers: all of them count
other instants, and together they never go back          distinguishes copies (two scrapers of one target)
other instants, and together they go back and forth      distinguishes real servers
too few samples, or nothing but zeros                    is looked at again with the next samples
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from alertd.core.counting.attribution import plain
from alertd.core.counting.scrapes import seconds

Points = Sequence[tuple[float, str]]


class NamedSeries(NamedTuple):
    """A raw series: its labels as text, which names it, and read; and its samples."""

    text: bytes
    labels: Mapping[str, str]
    points: Points


#: Labels that have no other meaning than to distinguish copies.
REPLICAS: Final = ("prometheus_replica", "__replica__", "receive_replica", "rule_replica", "thanos_replica")
#: A label with more values than this does not distinguish replicas.
_MOST_VALUES: Final = 10
#: This many samples have to follow each other across two series, and grow, to be of one counter by that alone.
_STEPS: Final = 6
#: This many equal samples of a value that is not small are of one counter, also where it rests.
_MANY: Final = 10
#: Or all of them lie within this part of the value, which is at least so large.
_NEAR: Final = 0.1
_LARGE: Final = 1000.0
#: This part of the evidence may be against, by samples that came late.
_AGAINST: Final = 0.1
_TARGET: Final = frozenset({"__name__", "job", "instance", "le"})


class ReplicaLabels:
    """The labels of one Prometheus that only distinguish copies: those named, and those that the samples show.

    `kept` are the labels that usage is attributed by: they always distinguish real things.
    """

    def __init__(self, named: Collection[str], kept: Collection[str]) -> None:
        self.names = frozenset({*REPLICAS, *named})
        #: Those of them that the samples have shown, now or before this process began.
        self.found: frozenset[str] = frozenset()
        self._kept = frozenset({*kept, *_TARGET})
        #: Those of them that series have.
        self.seen: set[str] = set()
        self._values: dict[str, set[str]] = {}
        self._open: set[str] = set()
        self._patience = self._waited = 0
        #: By label the series that may be copies of each other, by their texts: as of the last look that had them.
        self._undecided: dict[str, list[list[bytes]]] = {}

    @property
    def undecided(self) -> list[list[bytes]]:
        """Series that may be copies of each other, by their texts."""
        return [group for groups in self._undecided.values() for group in groups]

    def remember(self, found: Collection[str]) -> bool:
        """Take over labels that an earlier process found; whether that changes `names`."""
        before = self.names
        self.found |= frozenset(found) - before - self._kept
        self.names |= self.found
        for name in self.found - before:
            self._open.discard(name)
            self._undecided.pop(name, None)
        return self.names != before

    def see(self, labels: Mapping[str, str]) -> None:
        """Take note of a new series' labels."""
        for name, value in labels.items():
            if name in self.names:
                self.seen.add(name)
            if plain(name) in self._kept or name in self.names:
                continue
            values = self._values.setdefault(name, set())
            if value in values or len(values) > _MOST_VALUES:
                continue
            values.add(value)
            if len(values) > _MOST_VALUES:
                self._open.discard(name)
                self._undecided.pop(name, None)
            elif len(values) > 1:
                self._open.add(name)
                self._patience = self._waited = 0

    def decide(self, series: Callable[[], Iterable[NamedSeries]]) -> bool:
        """Look at the samples where a label may distinguish copies; whether `names` has changed by it."""
        if not self._open:
            return False
        self._waited += 1
        if self._waited <= self._patience:
            return False
        given = [one for one in series() if one.points]
        before, uncertain = self.names, False
        for name in sorted(self._open):
            groups = _groups(given, name)
            if not groups and name in self._undecided:
                uncertain = True  # they are missing from this answer
                continue
            answer = _are_all_copies(groups)
            if answer is None:
                uncertain = True
                self._undecided[name] = [[one.text for one in group] for group in groups]
            else:
                self._undecided.pop(name, None)
                self._open.discard(name)
            if answer:
                self.names |= {name}
                self.found |= {name}
                self.seen.add(name)
        self._patience, self._waited = (0 if uncertain else 2 * self._patience + 1), 0
        return self.names != before


def _groups(series: Iterable[NamedSeries], name: str) -> list[list[NamedSeries]]:
    """The series that differ in one label only."""
    found: dict[frozenset[tuple[str, str]], list[NamedSeries]] = {}
    for one in series:
        if name in one.labels:
            key = frozenset(item for item in one.labels.items() if item[0] != name)
            found.setdefault(key, []).append(one)
    return [group for group in found.values() if len(group) > 1]


def _are_all_copies(groups: Sequence[Sequence[NamedSeries]]) -> bool | None:
    """Whether the series of each group are copies; None where nothing shows it yet."""
    if not groups:
        return False
    same = different = steps = 0
    for group in groups:
        for other in group[1:]:
            answer, grown = _are_copies(group[0].points, other.points, scraped=bool(other.labels.get("instance")))
            same, different, steps = same + (answer is True), different + (answer is False), steps + grown
    if different and different >= _AGAINST * (same + different):
        return False
    return True if same or steps >= _STEPS else None


def _are_copies(one: Points, other: Points, *, scraped: bool) -> tuple[bool | None, int]:
    """Whether two series are copies, None where it is not certain; and how often one grew where the other had been."""
    known = dict(one)
    common = [(known[at], value) for at, value in other if at in known]
    if common:
        equal = [first for first, second in common if seconds(first) == seconds(second)]
        if len(common) - len(equal) > _AGAINST * len(common):
            return False, 0
        moved = len(set(equal)) > 1 or (len(equal) >= _MANY and seconds(equal[0]) >= _LARGE)
        return (True if moved else None), 0
    if not scraped:
        return None, 0  # servers that push share no instants
    merged = sorted([(at, seconds(value), 0) for at, value in one] + [(at, seconds(value), 1) for at, value in other])
    turns = [(last[1], then[1]) for last, then in pairwise(merged) if last[2] != then[2]]
    if len(turns) < 2:  # noqa: PLR2004 - one after the other, none among the other's samples
        return None, 0
    drops = _drops([value for _, value, _ in merged]) - max(_drops(_values(one)), _drops(_values(other)))
    if drops > _AGAINST * len(turns):
        return False, 0
    highest, lowest = max(value for _, value, _ in merged), min(value for _, value, _ in merged)
    near = highest >= _LARGE and highest - lowest <= _NEAR * highest
    return (True if near else None), sum(then > last for last, then in turns)


def _values(points: Points) -> list[float]:
    return [seconds(value) for _, value in points]


def _drops(values: Iterable[float]) -> int:
    return sum(later < earlier for earlier, later in pairwise(values))
