"""Gauges whose every value is the usage of one period: each period counts once, however often it was scraped.

    values                                              count
    a whole period after the last one that counted      the value: the two periods have no part in common
    equal ones in a row                                 once a period
    that change in step, as fixed periods do            at each change, once ten changes have shown the step
    that change within a period (a rolling window)      a whole period after the last one alone

What lies between two periods that counted is a lower bound, and said.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Final, NamedTuple

from alertd.core.counting.falls import Fall
from alertd.core.counting.samples import CounterState

#: How much too early a scrape may come: as a part of the period, and in seconds.
_EARLY, _EARLY_SECONDS = 0.01, 2.0
#: After this many changes in step the periods are fixed; only scrapes this many times as frequent can show it.
_IN_STEP: Final = 10
_OFTEN: Final = 3
UNSEEN: Final = "there were periods without a scrape: what their values were is not known; the figure is a lower bound"


class Periods(NamedTuple):
    """What counts, as (begin, end, quantity); the end and value of the last; what is known of its step; any unseen."""

    counted: list[tuple[float, float, int]]
    at: float
    value: int
    step: Fall
    missed: bool


def periods_of(points: Iterable[tuple[float, int]], period: float, old: CounterState | None) -> Periods:
    """The values that count, one a period.

    The step is kept as a `Fall`: `seen` and `low` are the last sample, the changes come within `gap` seconds before
    `at` and whole periods after it, `times` of them so far; `mixed` says that they come at any time.
    """
    at, last = (-inf, -1) if old is None else (old.at, old.value)
    step = Fall(0.0, at, last) if old is None or old.fall is None else old.fall
    early = min(_EARLY * period, _EARLY_SECONDS)
    counted: list[tuple[float, float, int]] = []
    missed = False
    for instant, number in points:
        if instant <= step.seen:
            continue
        if last < 0:
            counted.append((instant - period, instant, number))
            at, last, step = instant, number, Fall(0.0, instant, number)
            continue
        changed = number != step.low
        step = _stepped(step, instant, number, period)
        fixed = step.times >= _IN_STEP and not step.mixed
        if not changed and number == last and instant >= at + period:
            passed = int((instant - at) / period)
            missed, at = missed or passed > 1, at + passed * period
        elif changed and fixed:
            missed = missed or (instant - step.at) // period - (at - step.at) // period > 1
            at = instant
        elif instant >= at + period - (early if number != last else 0.0):
            missed = missed or instant > at + period + early
            at = at + period if instant <= at + period + early else instant
        else:
            continue
        counted.append((instant - period, instant, number))
        last = number
    return Periods(counted, at, last, step, missed)


def _stepped(step: Fall, instant: float, number: int, period: float) -> Fall:
    """What is known of the step after a sample."""
    after = step._replace(seen=instant, low=number)
    if number == step.low or step.mixed:
        return after
    gap = instant - step.seen
    if gap * _OFTEN > period:
        return after._replace(times=0)
    if not step.times:
        return after._replace(at=instant, gap=gap, times=1)
    # Both changes lie within their gap before their instants: the common part, a whole number of periods later.
    passed = round((instant - gap / 2 - step.at + step.gap / 2) / period) * period
    end, begin = min(instant, step.at + passed), max(instant - gap, step.at - step.gap + passed)
    if passed == 0 or begin >= end:
        return after._replace(mixed=True)
    return after._replace(at=end, gap=end - begin, times=step.times + 1)
