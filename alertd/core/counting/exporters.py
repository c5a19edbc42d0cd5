"""Which targets are one exporter that is scraped twice: under two jobs, or at two addresses.

two targets                                                     are
whose processes began at different times                        two exporters
whose values at any instant cannot be of one counter            two exporters
with the same start, and values that fit while they grow        one
without a start, and values that fit for a quarter of an hour   one
whose values fit, but which hardly grew                         looked at again with the next samples

Values fit where each lies between those that the other one had before and after it, at the same instant at both.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import inf
from operator import itemgetter
from typing import Final, NamedTuple

from alertd.core.counting.scrapes import seconds

Points = Sequence[tuple[float, str]]
#: The samples of a target's series, by all their labels but job and instance.
Page = Mapping[str, Points]

#: Starts are written to a hundredth of a second; scrapes of one process show the same one.
_SAME_START: Final = 0.02
#: In how many steps counters have to grow by the same amounts where the start is the same; and, where no start is
#: known, in how many and for how many seconds.
_STEPS_WITH_START: Final = 2
_STEPS: Final = 12
_SECONDS: Final = 900.0
#: Seconds: a target first seen this long after the other one was last seen is no second scrape of it.
_AFTER: Final = 300.0
#: This part of the samples may not fit: pages from a cache.
_AGAINST: Final = 0.1
#: The most targets without a start that are compared with each other.
_MOST: Final = 200


class SharedExporters:
    """The targets found to be another one, by target; what is known of each pair."""

    def __init__(self) -> None:
        self.same: dict[str, str] = {}
        self._compared: set[str] = set()
        #: Of pairs that may be one the steps so far, and since when they fit.
        self._undecided: dict[tuple[str, str], tuple[int, float]] = {}

    def is_open(self, targets: Collection[str]) -> bool:
        """Whether one of these targets is new, or not decided."""
        return bool(self._undecided) or not self._compared.issuperset(targets)

    def held_back(self, counted: Collection[str]) -> set[str]:
        """The targets of which it is not known yet whether they are another one; not those that were counted before."""
        later = {self._order(pair, counted)[1] for pair in self._undecided}
        return later - set(counted)

    def decide(
        self,
        targets: Iterable[str],
        starts: Mapping[str, float],
        counted: Collection[str],
        pages: Callable[[Collection[str]], Mapping[str, Page]],
    ) -> bool:
        """Compare the new targets with the others; whether `same` changed. `starts` are the newest of each target.

        Of two targets that are one exporter, the one counted before is kept; of two new ones the first by name.
        """
        present = {target for target in targets if target and target not in self.same}
        new = present - self._compared
        pairs = {
            (min(one, other), max(one, other))
            for one in new
            for other in present
            if one != other and _may_be_one(starts.get(one), starts.get(other))
        }
        if len({one for pair in pairs for one in pair if one not in starts}) > _MOST:
            pairs = {(one, other) for one, other in pairs if one in starts and other in starts}
        self._compared = present.copy()
        known = dict.fromkeys(pairs, (0, inf)) | self._undecided
        self._undecided = {pair: steps for pair, steps in known.items() if present.issuperset(pair)}
        here = set(self._undecided)
        shown = pages({one for pair in here for one in pair}) if here else {}
        before = len(self.same)
        for one, other in sorted(here):
            answer, steps, first, last = are_one(shown[one], shown[other], same_start=one in starts and other in starts)
            steps, first = steps + self._undecided[one, other][0], min(first, self._undecided[one, other][1])
            if answer is None and steps >= _STEPS and last - first >= _SECONDS:
                answer = True
            self._undecided[one, other] = steps, first
            if answer is not None:
                del self._undecided[one, other]
            if answer and not self.same.keys() & {one, other}:
                kept, dropped = self._order((one, other), counted)
                self.same[dropped] = kept
        return len(self.same) != before

    def others(self, starts: Mapping[str, float]) -> set[str]:
        """The targets that were another one, and whose processes have other starts by now."""
        return {
            one
            for one, kept in self.same.items()
            if one in starts and kept in starts and not _may_be_one(starts[one], starts[kept])
        }

    def part(self, targets: Collection[str]) -> bool:
        """Take these targets for exporters of their own again: their samples do not fit any more."""
        for target in targets:
            self.same.pop(target, None)
            self._compared.discard(target)
        return bool(targets)

    def _order(self, pair: tuple[str, str], counted: Collection[str]) -> tuple[str, str]:
        one, other = pair
        return (other, one) if other in counted and one not in counted else (one, other)


class Comparison(NamedTuple):
    """Whether two pages are those of one exporter, None where nothing shows it yet; how long both grew equally."""

    answer: bool | None
    steps: int = 0
    first: float = inf
    last: float = -inf


def are_one(one: Page, other: Page, *, same_start: bool) -> Comparison:
    """Compare two pages. What is shown without a start may be a coincidence: it takes longer than one comparison."""
    common = one.keys() & other.keys()
    if 2 * len(common) < max(len(one), len(other)):
        return Comparison(answer=False)
    fits = against = steps = 0
    first, last = inf, -inf
    for key in common:
        if max(other[key][0][0] - one[key][-1][0], one[key][0][0] - other[key][-1][0]) > _AFTER:
            return Comparison(answer=False)  # one came after the other
        good, bad, grown = _compare(one[key], other[key])
        fits, against, steps = fits + good, against + bad, steps + grown
        if bad > _AGAINST * (good + bad) and (same_start or bad > 1 or not good):
            return Comparison(answer=False)
        if grown:
            first = min(first, max(one[key][0][0], other[key][0][0]))
            last = max(last, min(one[key][-1][0], other[key][-1][0]))
    if against > _AGAINST * (fits + against):
        return Comparison(answer=False)
    answer = True if same_start and steps >= _STEPS_WITH_START else None
    return Comparison(answer, steps, first, last)


def may_be_one(one: Points, other: Points) -> bool:
    """Whether the samples of two series fit each other."""
    good, bad, _ = _compare(one, other)
    return bad <= _AGAINST * (good + bad) or (bad == 1 and good > 0)


def _may_be_one(start: float | None, other: float | None) -> bool:
    if start is None or other is None:
        return start is None and other is None
    return abs(start - other) <= _SAME_START


def _compare(one: Points, other: Points) -> tuple[int, int, int]:
    """How many samples of the other series fit, how many do not, and in how many steps both grew."""
    good = bad = 0
    fitting: set[float] = set()
    for at, text in other:
        value, place = seconds(text), bisect_right(one, at, key=itemgetter(0))
        earlier = seconds(one[place - 1][1]) if place else None
        after = bisect_left(one, at, key=itemgetter(0))
        later = seconds(one[after][1]) if after < len(one) else None
        if earlier is not None and later is not None and later < earlier:
            continue  # it restarted
        if (earlier is None or earlier <= value) and (later is None or value <= later):
            good += 1
            if earlier is not None and later is not None:
                fitting.add(value)
        else:
            bad += 1
    grown = min(len(fitting), len({text for _, text in one})) - 1
    return good, bad, max(grown, 0)
