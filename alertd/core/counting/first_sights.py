"""What the first sample of a series counts, of which nothing was known before. The one place that decides.

seen                                                          counts
a series of the same model and meter vanished as this one     the difference, said: a relabel or a rename
came, at or below its value, from the same target or process
several of them vanished as this one came, or one as several  all of these together less all of those, said: labels
came                                                          that were dropped, or are back
its counter began in the period, on a first read              the whole value
its counter began since this source was last read             the whole value
an earlier scrape of the same target lacked the series        the whole value (born)
its target is of a job whose processes come and go            the whole value, said as assumed
it began before every counter known of its target             0: another process answers, said
anything else (a first read, an unknown target)               0: the base, said where it was not there before
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import inf
from typing import Final

from alertd.core.counting.falls import SKEW, Fall, above
from alertd.core.counting.samples import KIN, LABELS_KIN, CounterSamples, CounterState, full_kin_of, kin_of
from alertd.core.counting.vanished import Sight, Vanished, counted_of, is_sample_of, is_unknown_process, joint_of

#: From how many seconds after the oldest scrape of a first read on a series is one that came, and no base of all.
CAME: Final = 600.0

RELABELLED: Final = (
    "counters came in place of others that vanished with a lower value (a relabel, or a rename):"
    " only the difference counts; the figure is a lower bound"
)


@dataclass(slots=True)
class FirstSights:
    """The first samples of a reading, and what is known to decide what they count.

    `scrapes` are the sorted instants by target; `newborn` the targets taken to have begun with their first sample.
    `begun_since` is from when on a counter must have begun to be new.
    """

    scrapes: Mapping[str, Sequence[float]]
    newborn: Collection[str]
    begun_since: Callable[[], float]
    first_read: bool
    #: What the counting of them leaves behind.
    doubts: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    replaced: dict[str, Sight] = field(default_factory=dict)
    #: Those that went into a sum, or fell into parts, with one of those that came.
    joined: dict[str, Sight] = field(default_factory=dict)
    #: By fingerprint of one that came how much it lacks, with others, of what vanished: it counts on beyond that.
    lacking: dict[str, int] = field(default_factory=dict)
    #: Copies of those that were replaced, by the fingerprint of the one that came in their place.
    copies: dict[str, str] = field(default_factory=dict)
    #: By fingerprint of a new series the one of its labels that vanished with a higher value: it may be its process.
    higher: dict[str, str] = field(default_factory=dict)
    #: What is known of the falls of those that vanished, by fingerprint of the one that came in place.
    falls: dict[str, Fall | None] = field(default_factory=dict)
    #: The first samples of counters that are taken off others, and what of them is not counted.
    uncounted: list[tuple[CounterSamples, int]] = field(default_factory=list)
    _sights: list[Sight] = field(default_factory=list)
    _found: list[tuple[Sight, int, float]] = field(default_factory=list)
    #: What is said: by model and meter what was counted of those that vanished, first values that do not count, and by
    #: target what is assumed.
    _relabelled: dict[str, int] = field(default_factory=dict)
    _unknown: list[int] = field(default_factory=list)
    _assumed: dict[str, int] = field(default_factory=dict)

    def add(self, sight: Sight) -> None:
        """Keep a first sample until all of the reading is known."""
        self._sights.append(sight)

    def resolve(
        self, given: Iterable[CounterSamples], states: Mapping[str, CounterState], changed: Mapping[str, CounterState]
    ) -> list[tuple[Sight, int, float]]:
        """Each first sample with what it counts, and since when. `changed` are the states after the reading."""
        if not self._sights:
            return []
        given = list(given)
        gone = self._gone(given, states, changed)
        oldest = min((series.points[0][0] for series in given if series.points), default=inf)
        first_scrape = min((instants[0] for instants in self.scrapes.values() if instants), default=inf)
        back: list[Sight] = []
        taken: list[tuple[CounterState, Sight]] = []
        in_order = sorted(self._sights, key=lambda one: (one.at, not gone.has_labels(one.series), -one.value))
        for _, group in groupby(in_order, key=_instant):
            place, came_back = len(self._found), []
            for sight in group:
                series, at, _, (seen, _), before, _ = sight
                earlier = scrape_before(self.scrapes, series.target, seen if before is None else at)
                is_part = before is not None and gone.is_sum(before.heir)
                unseen = seen if seen < at else earlier
                lower = None if is_part else gone.take(sight, unseen) or gone.take_other(sight, unseen)
                if lower is not None:
                    known = changed.get(lower) or states[lower]
                    taken.append((known, sight))
                    self._replace(lower, known, sight, earlier)
                elif before is None:
                    self._count(sight, earlier, gone, first_scrape)
                elif is_unknown_process(series, before):
                    self._leave_back(sight)
                else:
                    came_back.append(sight)
            # What came at this instant goes before what comes later: within a reading, a sum may be parts again.
            self._join(place, came_back, gone, oldest)
            back += came_back
        self._join(0, back, gone, oldest)
        for sight in back:
            self._leave_back(sight)
        for known, sight in taken:
            self.copies |= dict.fromkeys(gone.copies_of(known, sight.value), sight.series.fingerprint)
        self._say()
        return self._found

    def _replace(self, lower: str, known: CounterState, sight: Sight, earlier: float | None) -> None:
        """Count what a series has more than the one that it goes on from."""
        series, _, value, _, before, _ = sight
        self.replaced[lower] = sight
        if value < known.value and series.created is not None and series.created == known.created:
            self.higher[series.fingerprint] = lower  # a dip of the same process: what follows is below, too
        counted = max(self._counted(sight, known), 0 if before is None else before.value)
        since = known.at if earlier is None else max(earlier, known.at)
        self._found.append((sight, max(0, value - counted), since))
        self._relabel(series, 0 if is_sample_of(sight, kin_of(series), known) else counted)

    def _count(self, sight: Sight, earlier: float | None, gone: Vanished, first_scrape: float) -> None:
        """Count a series that goes on from no other one."""
        series, at, value, (seen, began), _, _ = sight
        if (since := self._counts_since(sight, earlier, gone)) is not None:
            self._found.append((sight, value, since))
            higher = gone.higher(sight, seen if seen < at else earlier)
            self.higher |= {series.fingerprint: higher} if higher is not None else {}
        elif series.created is None and series.target in self.newborn:
            self._assumed[series.target] = self._assumed.get(series.target, 0) + value
            self._found.append((sight, value, at))
        else:
            grown = value - began if seen < at else 0
            if grown > 0:
                self._found.append((sight, grown, seen))
            came = series.created is None and (not self.first_read or at > first_scrape + CAME)
            if came or gone.is_foreign(series):
                self._leave(series, value - max(grown, 0))

    def _join(self, begin: int, back: list[Sight], gone: Vanished, oldest: float) -> None:
        """Take off the first samples found, from the place `begin` on, what vanished as they came, several for one.

        Those that are `back` are found, too, where more vanished than was counted of them before. `oldest` is the
        oldest sample of the reading.
        """
        found = self._found
        pools: dict[str, list[int]] = {}
        if not gone:
            return
        for place, (sight, quantity, _) in enumerate(found[begin:], begin):
            if quantity:
                pools.setdefault(kin_of(sight.series), []).append(place)
        for sight in back:
            pools.setdefault(kin_of(sight.series), [])
        for kin, places in pools.items():
            left = gone.left(kin)
            returned = [sight for sight in back if kin_of(sight.series) == kin] if left else []
            new = [found[place][:2] for place in places] if left else []
            joint = joint_of([*new, *((one, one.value) for one in returned)], left, self._earlier, oldest)
            counted = sum(counted_of(one.series, one.before) for one in returned if one.before is not None)
            if returned and joint.taken < counted:
                returned, joint = [], joint_of(new, left, self._earlier, oldest)
            self.lacking |= joint.lacking
            self.joined |= joint.heirs
            gone.remove(kin, joint.heirs)
            if not joint.taken:
                continue
            for place, quantity in zip(places, joint.rest, strict=False):
                found[place] = found[place][0], quantity, found[place][2]
            for sight, quantity in zip(returned, joint.rest[len(places) :], strict=True):
                found.append((sight, quantity, self._earlier(sight) or sight.at))
                back.remove(sight)
            self._relabel(next(iter(joint.heirs.values())).series, joint.taken)

    def _relabel(self, series: CounterSamples, counted: int) -> None:
        named = f"{series.line.model} {series.line.meter}"
        self._relabelled[named] = self._relabelled.get(named, 0) + counted

    def _earlier(self, sight: Sight) -> float | None:
        """When its target was last seen without a series."""
        seen, at = sight.first[0], sight.at
        if seen < at:
            return seen
        return scrape_before(self.scrapes, sight.series.target, seen if sight.before is None else at)

    def _leave(self, series: CounterSamples, value: int) -> None:
        self._unknown.append(value)
        if series.within is not None and value:
            self.uncounted.append((series, value))

    def _leave_back(self, sight: Sight) -> None:
        """Count nothing of one that is back: what it has more than before, or all where it is lower, may be new."""
        before = 0 if sight.before is None else sight.before.value
        self._leave(sight.series, sight.value - before if sight.value >= before else sight.value)

    def _say(self) -> None:
        """Keep what is said: of what only the difference counts, of what nothing does, and what is assumed."""
        named = ((name, value) for name, value in self._relabelled.items() if value)
        self.doubts += (f"{name}: {RELABELLED}, were they new, by {value:,}" for name, value in named)
        if unknown := [value for value in self._unknown if value]:
            self.doubts.append(_unknown(len(unknown), sum(unknown)))
        if self._assumed:
            self.assumed.append(_assumed(self._assumed.keys(), sum(self._assumed.values())))

    def _counted(self, sight: Sight, known: CounterState) -> int:
        """What was counted already of a series that goes on from another one."""
        series, counted = sight.series, counted_of(sight.series, known)
        if known.fall is None or series.created is not None:
            return counted
        after = above(known.value, known.fall, sight.at, sight.value)
        self.falls[series.fingerprint] = after.fall
        return max(counted, sight.value - after.quantity)

    def _counts_since(self, sight: Sight, earlier: float | None, gone: Vanished) -> float | None:
        """Since when a series is known to have counted, all of it; None where nothing shows it."""
        created = sight.series.created
        if sight.since is not None:
            return sight.since
        if gone.is_foreign(sight.series):
            return None
        if created is not None and self.begun_since() <= created <= sight.at + SKEW:
            return min(created, sight.at)
        return earlier

    def _gone(
        self, given: Iterable[CounterSamples], states: Mapping[str, CounterState], changed: Mapping[str, CounterState]
    ) -> Vanished:
        lines = {kin_of(sight.series)[:KIN] for sight in self._sights}
        last = {series.fingerprint: series.points[-1][0] for series in given if series.points}
        new = {sight.series.fingerprint: sight.at for sight in self._sights}
        newest = max(new.values())
        places = {full_kin_of(sight.series)[KIN:LABELS_KIN] for sight in self._sights} if states else set()
        found = Vanished(states, (sight.series for sight in self._sights))
        for held in (changed, states):
            for name, state in held.items():
                if state.heir or last.get(name, -inf) >= newest or (held is states and name in changed):
                    continue
                if state.kin[:KIN] in lines:
                    found.add(name, state, last.get(name, -inf))
                elif state.kin[KIN:LABELS_KIN] in places:
                    found.add_other(name, state, last.get(name, -inf))
        return found


def _instant(sight: Sight) -> float:
    return sight.at


def scrape_before(scrapes: Mapping[str, Sequence[float]], target: str, instant: float) -> float | None:
    """The last scrape of a target before an instant."""
    instants = scrapes.get(target, ())
    place = bisect_left(instants, instant)
    return instants[place - 1] if place else None


def _unknown(series: int, value: int) -> str:
    counters = "a counter was" if series == 1 else f"{series:,} counters were"
    return (
        f"{counters} first seen at {value:,}; nothing shows when they began, so this is not counted:"
        " the figure is a lower bound"
    )


def _assumed(targets: Collection[str], value: int) -> str:
    jobs = sorted({target.partition(" ")[0] or "(none)" for target in targets})
    return (
        f"processes of job {', '.join(jobs[:3])} come and go: {len(targets):,} of them are taken to have begun with"
        f" their first sample, which counts {value:,}"
    )
