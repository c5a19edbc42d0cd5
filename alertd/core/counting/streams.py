"""From OTLP data points, what was used: delta points count once, cumulative ones by their difference.

    seen                                                      counts
    a delta point, its (stream, start, time) not seen         its value, over (start, time]
    the same again (a retried request)                        nothing
    a delta point older than all that is remembered           nothing, said: it may be a repeat
    cumulative, a start in the period, first point            the whole value, over (start, time]
    cumulative, no start, or one before the period            0: the base, said
    cumulative, later point of the same stream and start      the difference; nothing where its time is not later
    cumulative, lower at the same start                       nothing until it passes its old maximum; said

A cumulative stream is known by its start, too: several processes with the same attributes count each.
Source: the OpenTelemetry metrics data model (temporality, resets, overlap).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from heapq import nlargest
from typing import Final, NamedTuple

from alertd.core.counting.counters import settle
from alertd.core.counting.intervals import IntervalSums
from alertd.core.counting.samples import Counted, CounterState, Increment, line_of, number_of
from alertd.core.usage import Labels, Line

#: How many delta points of a stream are remembered, to recognise a repeat: at one a minute, 24 minutes.
REMEMBERED: Final = 24
#: How long a stream without points is remembered, in seconds.
KEPT: Final = 86_400.0
#: Up to when nothing is remembered of streams that are forgotten: the `at` of the state of this name.
FORGOTTEN: Final = "forgotten"
#: A point's time is believed within these seconds of its receipt.
BEHIND, AHEAD = 7 * 86_400.0, 300.0

#: A remembered point: a blank, its second and a digest of its start and time, eight hexadecimal digits each.
_WIDTH: Final = 17
_P: Final = 0x9E3779B97F4A7C15
_Q: Final = 0xC2B2AE3D27D4EB4F
_NANOS: Final = 10**9

NO_START: Final = (
    "a running total came without its start, or with one before the budgets' periods: only what it gains from its"
    " first point on is counted; the figure is a lower bound"
)
FELL: Final = (
    "a running total fell though its start is the same: it counts on once it passes its old maximum;"
    " the figure is a lower bound"
)
TOO_OLD: Final = (
    "points came so late that they may be repeats of counted ones, and are not counted; the figure is a lower bound"
)
CLOCK: Final = "a sender's clock is wrong by days: its usage is booked at the time of its receipt"


class StreamPoint(NamedTuple):
    """One data point of an OTLP sum or histogram, and the ledger series that it feeds.

    `stream` identifies its stream within the source (resource, scope, metric and attributes; a cumulative one with its
    start). `start` and `time` are in nanoseconds since 1970, `start` 0 where unknown. `value` x `scale`, rounded, is
    in the meter's own unit. `received` is the time of its receipt in Unix seconds.
    """

    stream: str
    line: Line
    labels: Labels
    within: Line | None
    start: int
    time: int
    value: str
    scale: Decimal
    is_delta: bool
    received: float


def count_streams(
    states: Mapping[str, CounterState],
    points: Sequence[StreamPoint],
    *,
    period_start: float,
    most: int,
    sweep: bool = False,
) -> Counted:
    """The increments of some points and the states after them.

    `period_start`, in Unix seconds: from when on a start lies in a period that a budget needs. `most` streams are
    remembered, the longest idle ones forgotten first. `sweep`: forget what was idle for a day, too.
    """
    tally = _Streams(states, period_start)
    for point in points:
        tally.add(point)
    booked, netted = tally.buckets.settled(
        lambda: ((one.line, one.labels, one.within) for one in points), tally.is_known
    )
    owing = settle(states, tally.changed, netted.debts, max((point.received for point in points), default=0.0))
    forgotten = _forget(states, tally.changed, most, sweep=sweep)
    doubts = tuple(dict.fromkeys((*netted.doubts, *owing)))
    return Counted(
        tuple(map(Increment._make, booked)), tally.changed, (), 0, doubts, (*tally.assumed, *netted.assumed), forgotten
    )


class _Streams:
    """The one pass over the points."""

    def __init__(self, states: Mapping[str, CounterState], period_start: float) -> None:
        self._states, self._period_start = states, period_start
        known = states.get(FORGOTTEN)
        self._forgotten = 0.0 if known is None else known.at
        self.changed: dict[str, CounterState] = {}
        self.buckets = IntervalSums()
        self.assumed: dict[str, None] = {}

    def is_known(self, line: Line) -> bool:
        """Whether a line was counted before."""
        kin = line_of(line)
        return any(state.kin == kin for state in self._states.values())

    def add(self, point: StreamPoint) -> None:
        """Count one point."""
        number = number_of(point.value, point.scale)
        if number is None:
            return
        old = self.changed.get(point.stream) or self._states.get(point.stream)
        begin, at = point.start / _NANOS, point.time / _NANOS
        second = int(at)
        if not point.received - BEHIND <= at <= point.received + AHEAD:
            self._say(self.assumed, point, CLOCK)
            begin, at, second = point.received, point.received, 0
        begin = min(begin, at) if point.start else at
        if point.is_delta:
            self._add_delta(point, old, number, (begin, at), second)
        else:
            self._add_cumulative(point, old, number, begin, at)

    def _add_delta(
        self, point: StreamPoint, old: CounterState | None, number: int, interval: tuple[float, float], second: int
    ) -> None:
        at = interval[1]
        key = f" {second:08x}{(point.start * _P + point.time * _Q) >> 7 & 0xFFFFFFFF:08x}"
        seen, low = ("", self._forgotten) if old is None else (old.seen, old.created or 0.0)
        if key in seen:
            return
        if at <= low:
            self._say(self.assumed, point, TOO_OLD)
            return
        seen += key
        if old is not None and at < old.at:
            seen = "".join(f" {one}" for one in sorted(seen.split()))
        if len(seen) > REMEMBERED * _WIDTH:
            low, seen = float(int(seen[1:9], 16) + 1), seen[_WIDTH:]
        total = number + (0 if old is None else old.value)
        self._book(point, old, number, interval)
        self._keep(point, old, max(at, 0.0 if old is None else old.at), total, low or None, seen)

    def _add_cumulative(
        self, point: StreamPoint, old: CounterState | None, number: int, begin: float, at: float
    ) -> None:
        if old is None:
            is_new = point.start and begin < at and begin >= self._period_start and begin > self._forgotten
            if is_new:
                self._book(point, old, number, (begin, at))
            elif number and (not point.start or begin < at):
                self._say(self.assumed, point, NO_START)
            self._keep(point, old, at, number, begin if point.start else None)
        elif at > old.at:
            if number < old.value:
                self._say(self.assumed, point, FELL)
            else:
                self._book(point, old, number - old.value, (old.at, at))
            self._keep(point, old, at, max(number, old.value), old.created)

    def _book(self, point: StreamPoint, old: CounterState | None, quantity: int, interval: tuple[float, float]) -> None:
        if quantity:
            self.buckets.book(quantity, interval, point.line, point.labels, point.within)
        if point.within is not None and (quantity or (old is not None and old.owed)):
            owed = 0 if old is None else old.owed
            self.buckets.owe(point.stream, owed, point.line, point.labels, point.within)

    def _keep(  # noqa: PLR0917 - the state's own fields
        self,
        point: StreamPoint,
        old: CounterState | None,
        at: float,
        value: int,
        created: float | None,
        seen: str = "",
    ) -> None:
        owed, kin = (0, line_of(point.line)) if old is None else (old.owed, old.kin)
        self.changed[point.stream] = CounterState(at, value, created, owed, None, kin, "", seen)

    @staticmethod
    def _say(where: dict[str, None], point: StreamPoint, said: str) -> None:
        where[f"{point.line.model} {point.line.meter}: {said}"] = None


def _forget(
    states: Mapping[str, CounterState], changed: dict[str, CounterState], most: int, *, sweep: bool
) -> tuple[str, ...]:
    """The streams to forget; up to when nothing is remembered then is kept in `changed`."""
    held = len(states) + sum(name not in states for name in changed)
    if not sweep and held <= most + most // 10:
        return ()
    now = {**states, **changed}
    newest = max((state.at for state in now.values()), default=0.0)
    cut = newest - KEPT
    if held > most:
        cut = max(cut, nlargest(most + 1, (state.at for state in now.values()))[-1])
    gone = tuple(name for name, state in now.items() if state.at <= cut and name not in changed and name != FORGOTTEN)
    if gone:
        known = states.get(FORGOTTEN)
        changed[FORGOTTEN] = CounterState(cut if known is None else max(cut, known.at), 0)
    return gone
