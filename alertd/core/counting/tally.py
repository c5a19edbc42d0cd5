"""The plain rule: what each sample of a cumulative counter counts, series by series, in one pass over a reading.

What the first sample of a series counts is decided in `first_sights`, what a value lower than before means in `falls`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from math import inf
from operator import itemgetter
from typing import Final

from alertd.core.counting.falls import (
    CLOCK_SET,
    DOUBT,
    SEVERAL,
    WENT_BACK,
    Fall,
    above,
    below,
    is_clock_set,
    is_known,
    process,
    refuse,
)
from alertd.core.counting.first_sights import RELABELLED, FirstSights, scrape_before
from alertd.core.counting.intervals import LONGEST, IntervalSums, bucket
from alertd.core.counting.missing import WAITING, held_back
from alertd.core.counting.periods import UNSEEN, periods_of
from alertd.core.counting.samples import (
    LABELS_KIN,
    CounterSamples,
    CounterState,
    Points,
    believed,
    full_kin_of,
    number_of,
)
from alertd.core.counting.states import CounterStates
from alertd.core.counting.vanished import Sight
from alertd.core.usage import LARGEST_EXPONENT

#: How long before this source's newest sample a counter may have begun and still be new: slow starts of a server.
#: Older ones are old counters under new labels (a relabel), which would otherwise count twice.
_SLOW_START: Final = 3600.0
#: The state of an idle series is written again after this many seconds: one that is gone is not written any more.
_REFRESH: Final = 3600.0


class Tally:
    """The one pass over a reading's samples."""

    def __init__(
        self,
        states: Mapping[str, CounterState],
        scrapes: Mapping[str, Sequence[float]],
        given: Sequence[CounterSamples],
        *,
        first_read: bool,
        period_start: float,
        now: float = inf,
        newborn: Collection[str] = (),
        vanished: Mapping[str, str] | None = None,
    ) -> None:
        self.scrapes = {target: sorted(instants) for target, instants in scrapes.items()}
        self.states = CounterStates(states, given, vanished or {})
        self.changed = self.states.changed
        self._before, self._given = states, given
        #: Whether a counter of cached tokens is below its maximum.
        self.cached_fell = False
        self.refused: list[str] = []
        #: How many seconds before a restart the last scrape was, at most: what was used then no scrape showed.
        self.unseen = 0.0
        #: Why the figures of a series are a lower bound, as of its last sample.
        self.doubts: dict[str, str] = {}
        self._now = now
        self.buckets = IntervalSums()
        #: The counters that began anew, as far as their values show, and when they were first seen to.
        self._resets: list[tuple[CounterSamples, float]] = []
        self._period_start = period_start if first_read or not states else None
        # Nothing that leads back here: a first reading is large, and goes with its tally.
        begun_since = partial(_begun_since, self.states, self._period_start)
        self.sights = FirstSights(self.scrapes, newborn, begun_since, first_read or not states)

    def went_on(self, series: CounterSamples) -> bool:
        """Count a running total that simply went on, as nearly all do; False, and nothing done, where it did not.

        That is what `add` does of a known counter of the same process, whose samples are plain whole numbers, none
        lower than the one before, and leave no gap.
        """
        name, line, labels, points, _, created, within, scale, _ = series
        old = self._before.get(name)
        if old is None or created != old.created or within is not None or name in self.changed or scale != 1:
            return False
        at, last, _, owed, fall, kin, heir, _ = old
        if fall is not None or heir or not points or points[-1][0] > self._now:
            return False
        parts: list[tuple[int, int]] = []
        for instant, value in points:
            if instant < at:
                continue
            if instant - at > LONGEST or type(value) is not str or len(value) > LARGEST_EXPONENT:
                return False
            if not value.isdecimal() or (number := int(value)) < last:
                return False
            if instant == at and number != last:
                return False
            if number != last:
                parts.append((bucket(instant), number - last))
            at, last = instant, number
        if parts:
            self.buckets.book_short(parts, line, labels)
        if parts or at - old.at >= _REFRESH:
            self.changed[name] = CounterState(at, last, created, owed, None, kin)
        self.states.seen = name, at
        return True

    def add(self, series: CounterSamples) -> None:
        """The differences of a running total."""
        name, _, _, points, _, created, _, _, _ = series
        old = self.states.known(series)
        at, last, fall = self.states.begin(series) if old is None else old.followed()
        moved = old is None
        begun, other = (False, False) if old is None else self._process(series, old)
        for instant, value in self._believed(series, points if old is not None else self._unread(points)):
            if instant < at or (fall is not None and instant <= fall.seen and instant != at):
                continue
            number = self._number(series, value)
            if number is None or (instant == at and (number <= last or last < 0)):
                continue
            if other and instant - at > DOUBT:
                # The process that was followed is gone: the other one is followed from here.
                at, last, moved, other, fall = instant, number, True, False, refuse(fall, instant, -1, SEVERAL)
                continue
            if begun and number >= last >= 0 and is_clock_set(at, old and old.created, created):
                begun, fall = False, Fall(instant, instant, doubt=CLOCK_SET)
            quantity, anew, stood_in = number - last, begun, begun and self.states.has_stand_in(series, at)
            if begun:
                looked = scrape_before(self.scrapes, series.target, created or at)
                self.unseen = max(self.unseen, (created or at) - max(at, looked or at))
                started = 0.0 if old is None else old.created or 0.0
                fall = Fall(instant, instant, peak=max(last, 0), ended=max(last, 0), ended_start=started)
                quantity, begun = number, False
            elif other or (number < last and is_known(created, old and old.created, instant - at)):
                fall = refuse(fall, instant, number, SEVERAL if other and created is not None else WENT_BACK)
                self.refused.append(f"{series.line.model} {series.line.meter}: {WENT_BACK}")
                continue
            elif last >= 0 and (number < last or (fall is not None and (created is None or fall.is_in_question()))):
                before = fall or Fall(instant)
                quantity, reached, fall = (
                    below(last, at, fall, instant, number) if number < last else above(last, before, instant, number)
                )
                if reached is None:
                    continue
                anew = number < last
                quantity -= self._reset(series, at, instant, fall, quantity) if anew and fall is not None else 0
            if last < 0 or stood_in:
                moved = True
                since = self._begin(series, at, instant, anew=True) if stood_in else None
                first = (instant, number) if stood_in else self._first(series)
                self.sights.add(Sight(series, instant, number, first, None if stood_in else old, since))
            elif number != last or anew:
                moved = True
                begin = at if instant - at <= LONGEST else self._begin(series, at, instant, anew=anew)
                self._book(series, quantity, begin, min(instant, self._now))
            at, last = instant, number
        self.states.seen = name, at
        if last >= 0:
            self._remember(series, old, at, last, fall=fall, moved=moved, other=other)

    def _unread(self, points: Points) -> Points:
        """The points of a new series from the last one on that earlier readings could have seen: windows overlap."""
        if self._period_start is not None or len(points) < 2 or points[1][0] > self.states.newest:  # noqa: PLR2004 - a base
            return points
        return points[bisect_right(points, self.states.newest, key=itemgetter(0)) - 1 :]

    def _reset(self, series: CounterSamples, at: float, instant: float, fall: Fall, quantity: int) -> int:
        """Keep that a counter began anew since `at`; what of the quantity others counted in its place."""
        self._resets.append((series, fall.at))
        left = quantity
        for name, state in self.states.stood_in(series, at, fall.at, instant):
            taken = min(left, state.value)
            heir = series.fingerprint if taken == state.value else ""
            self.changed[name] = state._replace(value=state.value - taken, heir=heir, owed=0 if heir else state.owed)
            left -= taken
            self.doubts[f"{series.fingerprint} stood in"] = f"{series.line.model} {series.line.meter}: {RELABELLED}"
        return quantity - left

    def _first(self, series: CounterSamples) -> tuple[float, int]:
        """When a series was first there in this reading, and its first value that is a number."""
        points, _ = believed(series.points, self._now)
        numbers = (self._number(series, value) for _, value in points)
        return points[0][0], next(number for number in numbers if number is not None)

    def _process(self, series: CounterSamples, old: CounterState) -> tuple[bool, bool]:
        """Whether the counter began anew, and whether another process answers.

        Nothing began where another start came with the very sample that is known.
        """
        same = old.heir or series.created == old.created
        if same or any(at == old.at and self._number(series, value) == old.value for at, value in series.points):
            return False, False
        return process(old.at, old.created, series.created)

    def _believed(self, series: CounterSamples, points: Points) -> Points:
        points, why = believed(points, self._now)
        if why:
            said = f"{series.line.model} {series.line.meter}: {why}"
            self.refused.append(said)
            self.doubts[f"{series.fingerprint} ahead"] = said
        return points

    def add_until(self, series: CounterSamples, until: float) -> None:
        """The samples up to an instant; the later ones wait for a cached counter."""
        self.doubts[f"{series.fingerprint} waits"] = f"{series.line.model} {series.line.meter}: {WAITING}"
        if points := [point for point in series.points if point[0] <= until]:
            self.add(series._replace(points=points))

    def leave_aside(self, series: CounterSamples, other: str) -> None:
        """Count nothing of a series that another one stood in for, before and after."""
        self.doubts[series.fingerprint] = f"{series.line.model} {series.line.meter}: {RELABELLED}"
        at, value = series.points[-1]
        if (number := self._number(series, value)) is not None:
            state = CounterState(at, number, series.created, 0, None, full_kin_of(series), other)
            self.changed[series.fingerprint] = state

    def count_first_sights(self) -> None:
        """Count the first samples, once all of the reading is known."""
        for sight, quantity, begin in self.sights.resolve(self._given, self._before, self.changed):
            self._book(sight.series, quantity, begin, min(sight.at, self._now))
        for one, most, doubt in held_back(self._given, self.sights.uncounted, self._resets, self._before, self.changed):
            self.buckets.hold_back(most, one.within or one.line, one.labels)
            self.doubts |= {f"{one.fingerprint} held": f"{one.line.model} {one.line.meter}: {doubt}"} if doubt else {}
        for name, sight in (*self.sights.joined.items(), *self.sights.replaced.items()):
            state = self.changed.get(name) or self._before[name]
            self.changed[name] = state._replace(at=max(state.at, sight.at), heir=sight.series.fingerprint, owed=0)
            heir = self.changed[sight.series.fingerprint]
            joined = name in self.sights.joined
            if not joined and heir.value < state.value and heir.created is not None and heir.created == state.created:
                heir = self.changed[sight.series.fingerprint] = heir._replace(value=state.value)
            if heir.fall is None and (fall := self.sights.falls.get(sight.series.fingerprint)) is not None:
                self.changed[sight.series.fingerprint] = heir._replace(fall=fall)
            series = sight.series
            if state.owed and series.within is not None:
                self.buckets.forget_owed({name, series.fingerprint})
                self.buckets.owe(series.fingerprint, state.owed, series.line, series.labels, series.within)
        for name, lacking in self.sights.lacking.items():
            self.changed[name] = self.changed[name]._replace(value=self.changed[name].value + lacking)
        for name, heir_name in self.sights.copies.items():
            self.changed[name] = (self.changed.get(name) or self._before[name])._replace(heir=heir_name, owed=0)

    def add_periods(self, series: CounterSamples) -> None:
        """The sum of values that each stand for a period of their own."""
        old = self.states.get(series.fingerprint)
        found = periods_of(self._numbers(series), series.period, old)
        if found.missed:
            self.doubts[f"{series.fingerprint} unseen"] = f"{series.line.model} {series.line.meter}: {UNSEEN}"
        for begin, end, quantity in found.counted:
            self._book(series, quantity, begin, end)
        if found.value >= 0:
            moved = old is None or found.at > old.at
            self._remember(series, old, found.at, found.value, moved=moved, fall=found.step)

    def _numbers(self, series: CounterSamples) -> Iterable[tuple[float, int]]:
        for instant, value in self._believed(series, series.points):
            if (number := self._number(series, value)) is not None:
                yield instant, number

    def _number(self, series: CounterSamples, value: str | float) -> int | None:
        try:
            return number_of(value, series.scale)
        except ValueError as error:
            said = f"{series.line.model} {series.line.meter}: {error}"
            self.refused.append(said)
            self.doubts[f"{series.fingerprint} value"] = said
            return None

    def _begin(self, series: CounterSamples, at: float, instant: float, *, anew: bool) -> float:
        """From when a difference after a gap was used: since the last look at the target, or the counter's start."""
        looked = scrape_before(self.scrapes, series.target, instant)
        created = series.created if anew else None
        return max(at, at if looked is None else looked, at if created is None else min(created, instant))

    def _book(self, series: CounterSamples, quantity: int, begin: float, end: float) -> None:
        if quantity:
            self.buckets.book(quantity, (begin, end), series.line, series.labels, series.within)

    def _remember(
        self,
        series: CounterSamples,
        old: CounterState | None,
        at: float,
        last: int,
        *,
        moved: bool,
        fall: Fall | None = None,
        other: bool = False,
    ) -> None:
        owed, created, before = (0, series.created, None) if old is None else (old.owed, old.created, old.fall)
        if not other and series.created is not None:
            created = series.created
        self.cached_fell |= series.within is not None and fall is not None and fall.low >= 0
        if fall is not None and fall.is_doubtful(max(at, fall.seen)):
            self.doubts[series.fingerprint] = f"{series.line.model} {series.line.meter}: {fall.reason()}"
        elif fall is None or not fall.ended:  # a restart leaves what was in doubt before it as it was
            self.doubts.pop(series.fingerprint, None)
        if series.within is not None and (moved or owed):
            self.buckets.owe(series.fingerprint, owed, series.line, series.labels, series.within)
        if moved or old is None or created != old.created or at - old.at >= _REFRESH or fall != before:
            kin = full_kin_of(series) if old is None or len(old.kin) < LABELS_KIN else old.kin
            self.changed[series.fingerprint] = CounterState(at, last, created, owed, fall, kin)


def _begun_since(states: CounterStates, period_start: float | None) -> float:
    """From when on a counter must have begun to be new."""
    return states.newest - _SLOW_START if period_start is None else period_start
