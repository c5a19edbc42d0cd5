"""The question of a projection: a history of equal steps, a period, what is committed; and its calendar of days.

NaN and infinity are refused.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HOUR: Final = dt.timedelta(hours=1)
DAY: Final = dt.timedelta(days=1)
#: Beyond this, sums would no longer be finite.
LARGEST: Final = 1e200


def position(instant: dt.datetime, start: dt.datetime, step: dt.timedelta) -> float:
    """Steps between `start` and an instant: days on the wall clock of `start`'s zone, hours as they pass.

    Two fixed offsets are one zone before and after its clocks changed where both stand at the same time of day of
    their own: the days between are whole ones. UTC is a zone of its own.
    """
    if step == HOUR:
        return (instant.astimezone(dt.UTC) - start.astimezone(dt.UTC)) / HOUR
    own = instant.replace(tzinfo=None) - start.replace(tzinfo=None)
    fixed = isinstance(start.tzinfo, dt.timezone) and isinstance(instant.tzinfo, dt.timezone)
    if fixed and own % DAY == dt.timedelta(0):
        return float(own // DAY)
    return (instant.astimezone(start.tzinfo).replace(tzinfo=None) - start.replace(tzinfo=None)) / DAY


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Spend (or tokens) of equal consecutive steps from `start` on, in any one unit.

    `start` is aware; `step` is an hour or a day, a day counted on the wall clock of `start`'s zone. A correction may be
    negative. With `partial_until` the last value covers only the time before that instant: what is unseen is unknown
    and not zero. Without it every value is complete. No value at all is allowed: nothing is known yet.
    """

    start: dt.datetime
    values: Floats
    step: dt.timedelta = DAY
    partial_until: dt.datetime | None = None
    name: str = "series"

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float64)
        object.__setattr__(self, "values", values)
        if values.ndim != 1:
            raise ValueError(f"{self.name}: values are one list of numbers, not {values.ndim} dimensions")
        bad = np.flatnonzero(~(np.abs(values) <= LARGEST))
        if bad.size:
            raise ValueError(
                f"{self.name}: values[{bad[0]}] is {values[bad[0]]}, no amount; leave a step without usage at 0 and"
                " end the series where nothing is known yet"
            )
        if self.step not in (HOUR, DAY):
            raise ValueError(f"{self.name}: step is an hour or a day, not {self.step}")
        if self.start.utcoffset() is None:
            raise ValueError(f"{self.name}: start needs a time zone")
        if self.partial_until is not None:
            self._check_partial(self.partial_until)

    def _check_partial(self, until: dt.datetime) -> None:
        if until.utcoffset() is None:
            raise ValueError(f"{self.name}: partial_until needs a time zone")
        count = self.values.size
        if not count or not count - 1 < position(until, self.start, self.step) <= count:
            raise ValueError(
                f"{self.name}: partial_until {until.isoformat()} is not within the last of {count} steps from"
                f" {self.start.isoformat()}; it says until when the last value was seen"
            )


@dataclass(frozen=True, slots=True)
class Commitment:
    """Money that is certain to come: an endpoint billed by the minute, a running fine-tuning job.

    `amount` falls evenly on [start, end), or at once where both are equal. `in_series` says whether its past part is
    among the values of the series; it is then taken out before the rest is projected, so that it never counts twice.
    """

    amount: float
    start: dt.datetime
    end: dt.datetime
    in_series: bool = True

    def __post_init__(self) -> None:
        if not np.isfinite(self.amount):
            raise ValueError(f"a commitment's amount is finite, not {self.amount}")
        if self.end < self.start:
            raise ValueError(f"a commitment ends at {self.end.isoformat()}, before it starts")


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One series and the half-open period whose total is wanted; `opening` was spent in it before the first value."""

    series: Series
    period_start: dt.datetime
    period_end: dt.datetime
    commitments: Sequence[Commitment] = field(default=())
    opening: float = 0.0

    def __post_init__(self) -> None:
        for name, instant in (("period_start", self.period_start), ("period_end", self.period_end)):
            if instant.utcoffset() is None:
                raise ValueError(f"{self.series.name}: {name} needs a time zone")
        if self.period_end <= self.period_start:
            raise ValueError(
                f"{self.series.name}: period_end {self.period_end.isoformat()} is not after period_start"
                f" {self.period_start.isoformat()}"
            )
        if not np.isfinite(self.opening):
            raise ValueError(f"{self.series.name}: opening is finite, not {self.opening}")


Counts = NDArray[np.intp]

#: Older days are not used for the coming month.
MEMORY_DAYS: Final = 400


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The calendar of one question, shared by all series of the same steps.

    inside      part of each step's value that falls into the period, one figure a step
    oldest      the first step that is remembered; the arrays of the past begin there
    firsts      first remembered step of each past day, counted from `oldest`, oldest day first
    hours       hour of its day, for each remembered step (0 throughout for steps of a day)
    seen        how much of each past day was seen, 0 to 1; 1 for all but the first and the last
    shares      how much of each coming day is still unseen and belongs to the period
    begins, ends  where each coming interval begins and ends, in steps since the first
    """

    seen_until: float
    inside: Floats
    oldest: int
    firsts: Counts
    hours: Counts
    seen: Floats
    shares: Floats
    past_weekdays: Counts
    coming_weekdays: Counts
    begins: Floats
    ends: Floats
    start: dt.datetime
    step: dt.timedelta

    def span(self, step: int) -> tuple[dt.datetime, dt.datetime]:
        """When a step of the past began, and when it ended or was last seen; in UTC."""
        begin, end = (self.instant(at).astimezone(dt.UTC) for at in (step, min(step + 1.0, self.seen_until)))
        return begin, end

    def instant(self, at: float) -> dt.datetime:
        """The instant a number of steps after the first, in the series' zone."""
        if self.step == HOUR:
            return (self.start.astimezone(dt.UTC) + float(at) * HOUR).astimezone(self.start.tzinfo)
        return self.start + float(at) * DAY


class Calendar(NamedTuple):
    """The cache key of a grid: everything that it depends on.

    The zones stand beside the instants, for one instant in two zones is equal to itself and their days are not.
    """

    start: dt.datetime
    step: dt.timedelta
    length: int
    until: dt.datetime | None
    period_start: dt.datetime
    period_end: dt.datetime
    zones: tuple[dt.tzinfo | None, dt.tzinfo | None]

    def at(self, instant: dt.datetime) -> float:
        return position(instant, self.start, self.step)


def calendar_of(question: Question) -> Calendar:
    """The cache key of a question's grid."""
    of, start = question.series, question.period_start
    zones = of.start.tzinfo, start.tzinfo
    return Calendar(of.start, of.step, of.values.size, of.partial_until, start, question.period_end, zones)


def grid_of(question: Question) -> Grid:
    """The calendar of a question; questions that differ in their values only share one."""
    return _grid(calendar_of(question))


@lru_cache(maxsize=4096)
def _grid(key: Calendar) -> Grid:
    seen = float(key.length) if key.until is None else key.at(key.until)
    opens, closes = key.at(key.period_start), key.at(key.period_end)
    weekday, edges = _days(key, max(closes, seen))
    steps = np.arange(key.length, dtype=np.float64)
    whole = np.diff(edges)
    past = np.minimum(edges[1:], seen) - np.maximum(edges[:-1], 0.0)
    coming = np.minimum(edges[1:], closes) - np.maximum(edges[:-1], max(seen, opens))
    remembered, future = np.flatnonzero(past > 0.0)[-MEMORY_DAYS:], np.flatnonzero(coming > 0.0)
    firsts = np.maximum(edges[remembered], 0.0).astype(np.intp)
    oldest = int(firsts[0]) if firsts.size else key.length
    return Grid(
        seen_until=seen,
        inside=_inside(steps, np.minimum(steps + 1.0, seen), opens, closes),
        oldest=oldest,
        firsts=firsts - oldest,
        hours=_hours(steps[oldest:], edges) if key.step == HOUR else np.zeros(0, np.intp),
        seen=(past / whole)[remembered],
        shares=(coming / whole)[future],
        past_weekdays=(weekday + remembered) % 7,
        coming_weekdays=(weekday + future) % 7,
        begins=np.maximum(edges[future], max(seen, opens)),
        ends=np.minimum(edges[future + 1], closes),
        start=key.start,
        step=key.step,
    )


def _days(key: Calendar, last: float) -> tuple[int, Floats]:
    """The weekday of the first day, and the positions at which days begin, from the first value to the last instant.

    Steps of a day are days; hours are gathered into days that begin at the period's own time of day and zone.
    """
    if key.step == DAY:
        return key.start.weekday(), np.arange(math.ceil(last) + 1, dtype=np.float64)
    opens, wanted = key.at(key.period_start), max(last, key.at(key.period_end))
    back, ahead = (
        MEMORY_DAYS * (1 + math.ceil(max(hours, 0.0) / 24.0 / MEMORY_DAYS)) for hours in (opens, wanted - opens)
    )
    begins = _day_begins(key.period_start.replace(tzinfo=None), key.period_start.tzinfo, back, ahead)
    edges = np.round((begins - key.start.timestamp()) / HOUR.total_seconds())
    first = int(np.searchsorted(edges, 0.0, side="right")) - 1
    return (key.period_start.weekday() + first - back) % 7, edges[first : np.searchsorted(edges, last) + 1]


@lru_cache(maxsize=64)
def _day_begins(opens: dt.datetime, zone: dt.tzinfo | None, back: int, ahead: int) -> Floats:
    """When the days around a period begin, at its own time of day and in its zone, in seconds since 1970."""
    return np.array([(opens + day * DAY).replace(tzinfo=zone).timestamp() for day in range(-back, ahead)])


def _inside(begins: Floats, ends: Floats, opens: float, closes: float) -> Floats:
    return np.clip((np.minimum(ends, closes) - np.maximum(begins, opens)) / (ends - begins), 0.0, 1.0)


def _hours(steps: Floats, edges: Floats) -> Counts:
    """The hour of its day for each step; the 25th hour of the longest day counts as the 24th."""
    days = np.searchsorted(edges, steps, side="right") - 1
    return np.minimum(steps - edges[days], 23).astype(np.intp)
