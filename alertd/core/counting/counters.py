"""From raw samples of cumulative counters, what was used: resets, births, gaps. Nothing here reads a source.

    samples of one reading -> per raw series: differences -> per ledger series: buckets -> increments

What the first sample of a series counts is decided in `first_sights`, what a value lower than before means in `falls`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from functools import cached_property
from math import inf
from operator import itemgetter
from typing import Final, NamedTuple

from alertd.core.counting.falls import DOUBT, SEVERAL, WENT_BACK, Fall, above, below, refuse
from alertd.core.counting.first_sights import (
    RELABELLED,
    SAME_START,
    SKEW,
    FirstSights,
    Sight,
    interludes,
    kin_of,
    scrape_before,
)
from alertd.core.counting.stretches import LONGEST, Buckets, bucket
from alertd.core.usage import LARGEST_EXPONENT, Labels, Line

#: How long before this source's newest sample a counter may have begun and still be new: slow starts of a server.
#: Older ones are old counters under new labels (a relabel), which would otherwise count twice.
_SLOW_START: Final = 3600.0
#: The part of a period after which a scrape may stand for the next one: scrapes are not punctual.
_EARLY: Final = 0.9
_UNSEEN: Final = "there were periods without a scrape: what their values were is not known; the figure is a lower bound"
#: A sample may be so far ahead of the clock that it is read by.
_AHEAD: Final = 300.0
#: No sample is of before the year 2000.
_OLDEST: Final = 946_684_800.0
_DECADES_SAID: Final = "its timestamps are decades away; these samples are not counted. Is their unit right?"
_AHEAD_SAID: Final = (
    "its timestamps are ahead of this machine's clock; these samples are not counted. Compare the clocks"
)
#: An idle series' state is written again after so long, so that what is gone can be told from what is idle.
_REFRESH: Final = 3600.0
#: So many tokens that should be part of an input counter, and still are not, are no matter of a scrape's instant.
_MUCH_OWED: Final = 100_000
_UNPAID: Final = (
    "the input counters hold over {0:,} tokens fewer than the cached ones that they should include; the figure is a"
    " lower bound. If this gateway counts cached tokens apart, set CACHED_APART=true"
)


_ONE: Final = Decimal(1)


# The first three are named tuples because a poll makes 100,000 of each.


class CounterSamples(NamedTuple):
    """The samples of one raw series in one reading, and the ledger series that it feeds.

    `fingerprint` identifies the raw series (all its labels) within its source. `points` are (Unix seconds, value as
    text or number), oldest first, cumulative; value x `scale`, rounded, is in the meter's own unit. `target` is the one
    whose other scrapes tell a birth from a first sight. `created` is the counter's start (`_created`, or the process
    start) in Unix seconds, None where unknown; a series that restarted within the reading comes as several
    CounterSamples of one fingerprint, in order of time. `within` is the line that counts these tokens too (an input
    counter that includes cached ones): they are taken off it. `period`, in seconds, says that the values are
    no running total: each stands for its own period.
    """

    fingerprint: str
    line: Line
    labels: Labels
    points: Sequence[tuple[float, str | float]]
    target: str = ""
    created: float | None = None
    within: Line | None = None
    scale: Decimal = _ONE
    period: float = 0.0


class CounterState(NamedTuple):
    """Where a raw series stands: its last sample. Kept in the ledger beside the cursor.

    `owed` is what a series that is `within` another has still to take off it: the two are not counted in one instant.
    `value` is its maximum since the last reset, `fall` what is known of it where it went back. `kin` says which model,
    meter and target it is of; `heir` is the fingerprint of the series that came in its place.
    """

    at: float
    value: int
    created: float | None = None
    owed: int = 0
    fall: Fall | None = None
    kin: str = ""
    heir: str = ""


class Increment(NamedTuple):
    """A quantity to be added to one ledger series in the bucket [start, start + width), in Unix seconds."""

    line: Line
    labels: Labels
    start: int
    width: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Counted:
    """What one reading adds, the states that changed (to be merged into the old ones), and the samples refused.

    `left_out`: so many new counters were not followed, because there are too many. `doubts`: why the figures are only a
    lower bound, series by series. `assumed`: what the figures take for granted.
    """

    increments: tuple[Increment, ...]
    states: dict[str, CounterState]
    refused: tuple[str, ...] = ()
    left_out: int = 0
    doubts: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


def count(
    states: Mapping[str, CounterState],
    samples: Iterable[CounterSamples],
    scrapes: Mapping[str, Sequence[float]],
    *,
    first_read: bool,
    period_start: float,
    most: int | None = None,
    now: float = inf,
    newborn: Collection[str] = (),
) -> Counted:
    """The increments of one reading and the states after it; reading a window twice adds nothing.

    `scrapes` are the instants of each target's successful scrapes that the reading knows of, the last one before it
    among them where there was one. `first_read`: nothing of this source was read before. `period_start`, in Unix
    seconds: from when on a counter's beginning lies in a period that a budget needs. `most` counters are followed.
    `now` is the time of the reading: samples well ahead of it are not counted, and said. `newborn` are targets that are
    taken to have begun with their first sample.
    """
    tally = _Tally(states, scrapes, first_read=first_read, period_start=period_start, now=now, newborn=newborn)
    left_out: set[str] = set()
    given = samples if isinstance(samples, Sequence) else list(samples)
    left_aside = interludes(given, states)
    for series in given:
        if series.fingerprint in left_aside:
            tally.leave_aside(series, left_aside[series.fingerprint])
        elif most is not None and tally.is_beyond(series.fingerprint, most):
            left_out.add(series.fingerprint)
        elif series.period:
            tally.add_periods(series)
        elif not tally.went_on(series):
            tally.add(series)
    tally.count_first_sights(given)
    booked, netted = tally.buckets.settled(lambda: ((one.line, one.labels, one.within) for one in given))
    owing: dict[str, int] = {}
    for fingerprint, owed in netted.debts.items():
        state = tally.changed.get(fingerprint) or states[fingerprint]
        if state.owed != owed:
            tally.changed[fingerprint] = state._replace(owed=owed)
        if owed > _MUCH_OWED and owed > state.owed > 0:
            owing[fingerprint] = owed
    if owing:
        digit = 10 ** (len(str(sum(owing.values()))) - 1)
        tally.doubts["owed"] = _UNPAID.format(sum(owing.values()) // digit * digit)
    doubts = tuple(dict.fromkeys((*tally.doubts.values(), *tally.sights.doubts, *netted.doubts)))
    assumed = *tally.sights.assumed, *netted.assumed
    increments, refused = tuple(map(Increment._make, booked)), tuple(dict.fromkeys(tally.refused))
    return Counted(increments, tally.changed, refused, len(left_out), doubts, assumed)


def whole(value: str | float, scale: Decimal = _ONE) -> int | None:
    """A sample's value times `scale` as a whole number, half to even; None for NaN. ValueError for inf and negatives.

    The running total is rounded, not the difference, so that the differences still sum to the total.
    """
    try:
        number = Decimal(value) if isinstance(value, str) else Decimal(repr(value))
    except InvalidOperation:
        raise ValueError(f"{value!r} is no number") from None
    if number.is_nan():
        return None
    if number < 0 or not number.is_finite() or number.adjusted() + scale.adjusted() >= LARGEST_EXPONENT:
        raise ValueError(f"{str(value)[:40]} is no value of a counter")
    return int((number * scale).to_integral_value(ROUND_HALF_EVEN))


class _Tally:
    """The one pass over a reading's samples."""

    def __init__(
        self,
        states: Mapping[str, CounterState],
        scrapes: Mapping[str, Sequence[float]],
        *,
        first_read: bool,
        period_start: float,
        now: float = inf,
        newborn: Collection[str] = (),
    ) -> None:
        self.states, self.scrapes = states, {target: sorted(instants) for target, instants in scrapes.items()}
        self.changed: dict[str, CounterState] = {}
        self.refused: list[str] = []
        #: Why the figures of a series are a lower bound, as of its last sample.
        self.doubts: dict[str, str] = {}
        self._now = now
        self.buckets = Buckets()
        self._period_start = period_start if first_read or not states else None
        self._fresh = 0
        self.sights = FirstSights(self.scrapes, newborn, lambda: self._begun_since, first_read or not states)

    @cached_property
    def _begun_since(self) -> float:
        """From when on a counter must have begun to be new."""
        if self._period_start is not None:
            return self._period_start
        return self._newest - _SLOW_START

    @cached_property
    def _newest(self) -> float:
        """The newest sample of the readings before."""
        return max(state.at for state in self.states.values())

    def is_beyond(self, fingerprint: str, most: int) -> bool:
        """Whether this is a new counter, and there are as many as may be."""
        if fingerprint in self.states or fingerprint in self.changed:
            return False
        self._fresh += 1
        return len(self.states) + self._fresh > most

    def went_on(self, series: CounterSamples) -> bool:
        """Count a running total that simply went on, as nearly all do; False, and nothing done, where it did not.

        That is what `add` does of a known counter of the same process, whose samples are plain whole numbers, none
        lower than the one before, and leave no gap.
        """
        name, line, labels, points, _, created, within, scale, _ = series
        old = self.states.get(name)
        if old is None or created != old.created or within is not None or name in self.changed or scale != 1:
            return False
        at, last, _, owed, fall, kin, heir = old
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
        return True

    def add(self, series: CounterSamples) -> None:
        """The differences of a running total."""
        name, _, _, points, _, created, _, _, _ = series
        old = self.changed.get(name) or self.states.get(name)
        at, last, fall = _known(old)
        moved = old is None
        restarted, other = (False, False) if old and self._is_known(series, old) else _process(old, created)
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
            quantity, anew = number - last, restarted
            if restarted:
                quantity, restarted, fall = number, False, Fall(instant, instant, peak=max(last, 0), ended=max(last, 0))
            elif other or (number < last and self._has_start(series, old, instant - at)):
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
            if last < 0:
                moved = True
                self.sights.add(Sight(series, instant, number, points[0], old))
            elif number != last or anew:
                moved = True
                begin = at if instant - at <= LONGEST else self._begin(series, at, instant, anew=anew)
                self._book(series, quantity, begin, min(instant, self._now))
            at, last = instant, number
        if last >= 0:
            self._remember(series, old, at, last, fall=fall, moved=moved, other=other)

    def _unread(self, points: Sequence[tuple[float, str | float]]) -> Sequence[tuple[float, str | float]]:
        """The points of a new series from the last one on that earlier readings could have seen: windows overlap."""
        if self._period_start is not None or len(points) < 2 or points[1][0] > self._newest:  # noqa: PLR2004 - a base
            return points
        return points[bisect_right(points, self._newest, key=itemgetter(0)) - 1 :]

    def _is_known(self, series: CounterSamples, old: CounterState) -> bool:
        """Whether another start came with the very sample that is known: then nothing began anew since."""
        return series.created != old.created and any(
            at == old.at and self._number(series, value) == old.value for at, value in series.points
        )

    def _believed(
        self, series: CounterSamples, points: Sequence[tuple[float, str | float]]
    ) -> Iterable[tuple[float, str | float]]:
        """The points whose timestamps can be; those ahead of the clock or decades away are left out, and said."""
        if not points or (max(points)[0] <= self._now + _AHEAD and min(points)[0] >= _OLDEST):
            return points
        why = _DECADES_SAID if min(points)[0] < _OLDEST else _AHEAD_SAID
        said = f"{series.line.model} {series.line.meter}: {why}"
        self.refused.append(said)
        self.doubts[f"{series.fingerprint} ahead"] = said
        return [point for point in points if _OLDEST <= point[0] <= self._now + _AHEAD]

    def leave_aside(self, series: CounterSamples, other: str) -> None:
        """Count nothing of a series that another one stood in for, before and after."""
        self.doubts[series.fingerprint] = f"{series.line.model} {series.line.meter}: {RELABELLED}"
        at, value = series.points[-1]
        if (number := self._number(series, value)) is not None:
            state = CounterState(at, number, series.created, 0, None, kin_of(series), other)
            self.changed[series.fingerprint] = state

    def count_first_sights(self, given: Sequence[CounterSamples]) -> None:
        """Count the first samples, once all of the reading is known."""
        for sight, quantity, begin in self.sights.resolve(given, self.states, self.changed):
            self._book(sight.series, quantity, begin, min(sight.at, self._now))
        for name, sight in self.sights.replaced.items():
            state = self.changed.get(name) or self.states[name]
            self.changed[name] = state._replace(at=max(state.at, sight.at), heir=sight.series.fingerprint)

    def add_periods(self, series: CounterSamples) -> None:
        """The sum of values that each stand for a period: one value a period, however often it was scraped.

        Periods follow each other from the first sample on; a scrape that comes a little early counts for the next one.
        """
        old = self.changed.get(series.fingerprint) or self.states.get(series.fingerprint)
        at, last = (-inf, -1) if old is None else (old.at, old.value)
        for instant, value in self._believed(series, series.points):
            if instant < at + series.period * _EARLY or (number := self._number(series, value)) is None:
                continue
            passed = 0 if last < 0 else max(1, int((instant - at) / series.period + 1 - _EARLY))
            if passed > 1:
                self.doubts[f"{series.fingerprint} unseen"] = f"{series.line.model} {series.line.meter}: {_UNSEEN}"
            self._book(series, number, instant - series.period, instant)
            at, last = instant if last < 0 else at + passed * series.period, number
        if last >= 0:
            self._remember(series, old, at, last, moved=old is None or at > old.at)

    def _number(self, series: CounterSamples, value: str | float) -> int | None:
        plain = isinstance(value, str) and len(value) <= LARGEST_EXPONENT and value.isdecimal()
        if plain and (series.scale is _ONE or series.scale == 1):
            return int(value)
        try:
            return whole(value, series.scale)
        except ValueError as error:
            self.refused.append(f"{series.line.model} {series.line.meter}: {error}")
            return None

    @staticmethod
    def _has_start(series: CounterSamples, old: CounterState | None, passed: float) -> bool:
        """Whether a lower value has a start that is known, which shows no restart."""
        return series.created is not None or (old is not None and old.created is not None and passed <= DOUBT)

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
        if fall is not None and fall.is_doubtful(max(at, fall.seen)):
            self.doubts[series.fingerprint] = f"{series.line.model} {series.line.meter}: {fall.doubt}"
        else:
            self.doubts.pop(series.fingerprint, None)
        if series.within is not None and (moved or owed):
            self.buckets.owe(series.fingerprint, owed, series.labels, series.within)
        if moved or old is None or created != old.created or at - old.at >= _REFRESH or fall != before:
            kin = kin_of(series) if old is None or not old.kin else old.kin
            self.changed[series.fingerprint] = CounterState(at, last, created, owed, fall, kin)


def _known(old: CounterState | None) -> tuple[float, int, Fall | None]:
    """The last sample of a series and its fall; no value where it is seen for the first time, or again."""
    if old is None:
        return -inf, -1, None
    return (old.at, -1, None) if old.heir else (old.at, old.value, old.fall)


def _process(old: CounterState | None, created: float | None) -> tuple[bool, bool]:
    """Whether the counter began anew since its last sample; and whether another process answers."""
    if old is None or old.heir:
        return False, False
    restarted = created != old.created and _restarted(old, created)
    return restarted, not restarted and _is_other(old, created)


def _is_other(old: CounterState, created: float | None) -> bool:
    """Whether a process answers that is not the one that is followed, and did not begin since."""
    return created is not None and old.created is not None and abs(created - old.created) > SAME_START


def _restarted(old: CounterState, created: float | None) -> bool:
    """Whether the counter began anew since its last sample, though it may stand higher by now."""
    if created is None:
        return False
    if old.created is None:
        return created > old.at
    return created > old.at - SKEW and created > old.created + SAME_START
