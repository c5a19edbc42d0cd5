"""Where a question's steps lie in time: the day each belongs to, the days to come. Values are none of its business."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alertd.core.projection.series import DAY, HOUR, Floats, Question, position

Counts = NDArray[np.intp]

#: Days further back than this tell nothing about the coming month.
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
    begins, ends  where each coming stretch begins and ends, in steps since the first
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
        """The instant at so many steps since the first, in the series' own zone."""
        if self.step == HOUR:
            return (self.start.astimezone(dt.UTC) + float(at) * HOUR).astimezone(self.start.tzinfo)
        return self.start + float(at) * DAY


class Calendar(NamedTuple):
    """All that a grid depends on: nothing of it is a value of the series.

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
    """All of a question that its grid depends on."""
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
