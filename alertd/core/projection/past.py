"""A history as days: the spend in the period, and the cost of each earlier day, scaled to a full day.

And whether a day so far is unusual: its spend against the same hours of earlier days. The logarithms of the earlier
days' spends by the same hour are taken as normal, with their median and a spread that is widened for having been seen
on few days; the day's own is then as probable as it lies far out. Idle days count as a little, so that a first busy day
after idle weeks is unusual and one among many is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import erf, exp, log, sqrt
from statistics import median
from typing import Final

import numpy as np

from alertd.core.projection.series import DAY, Counts, Floats, Grid, Question, grid_of, position

#: Fewer earlier days say nothing about what is usual.
LEAST_DAYS: Final = 7
#: An idle day counts as this share of the mean of the others.
_SOFT: Final = 0.05
#: The spread of logarithms is at least this: nobody's days agree to a tenth.
_LEAST_SPREAD: Final = 0.25
_TO_SPREAD: Final = 1.4826  # a normal distribution's standard deviation, in median absolute deviations
_TENTH: Final = 1.2816  # its 90% quantile


@dataclass(frozen=True, slots=True)
class Unusual:
    """A day so far: its spend, the usual range by this hour (80% of days), and the probability of less spend."""

    spent: float
    low: float
    high: float
    probability: float


def unusual(spent: float, before: Sequence[float]) -> Unusual | None:
    """How unusual a spend is, compared with the same hours of earlier days; None if there are too few days."""
    if len(before) < LEAST_DAYS or not any(value > 0 for value in before):
        return None
    soft = _SOFT * sum(max(0.0, value) for value in before) / len(before)
    logs = [log(max(0.0, value) + soft) for value in before]
    middle = median(logs)
    spread = max(_LEAST_SPREAD, _TO_SPREAD * median(abs(value - middle) for value in logs))
    spread *= 1 + 2 / len(before)
    away = (log(max(0.0, spent) + soft) - middle) / spread
    low, high = (max(0.0, exp(middle + side * _TENTH * spread) - soft) for side in (-1, 1))
    return Unusual(spent, low, high, 0.5 * (1 + erf(away / sqrt(2))))


#: Whole days that the evenly spread day weighs against the hours that were seen; less on the first day, for the hours
#: in which a series is first seen are hours in which it spends.
_EVEN_DAYS: Final = 4.0
_EVEN_DAYS_AT_FIRST: Final = 0.5
#: A glimpse of a day shorter than this says nothing about the day.
_LEAST_SEEN: Final = 1.0 / 48.0
#: A correction (a negative value) is taken out of this many days before it.
_MONTH_DAYS: Final = 28


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """One series as days, the newest first (index 0).

    rates    what each day cost, or would have at its full length; never negative
    weights  how much of each day was seen, 0 to 1
    shares   how much of each coming day belongs to the period and is still unseen
    known    what is committed for each coming interval
    steps    what each step added, as it was recorded
    """

    question: Question
    grid: Grid
    spent: float
    rates: Floats
    weights: Floats
    shares: Floats
    known: Floats
    steps: Floats

    @property
    def goes_on(self) -> bool:
        """Whether the newest day is not over and its rest belongs to the period."""
        coming = self.grid.begins
        return bool(self.weights.size and self.weights[0] < 1.0 and coming.size and coming[0] == self.grid.seen_until)


def past_of(question: Question) -> Past:
    """The history of a question in days; corrections are taken out of the days before them."""
    grid, values = grid_of(question), question.series.values
    spent = float(values @ grid.inside) + question.opening
    remembered, known = values[grid.oldest :], np.zeros(grid.shares.size)
    if question.commitments:
        remembered, known = _without_commitments(question, grid, remembered)
    remembered = _settled(remembered, _MONTH_DAYS * DAY // question.series.step)
    seen, shares = grid.seen, grid.shares
    days = np.add.reduceat(remembered, grid.firsts) if grid.firsts.size else np.zeros(0)
    if grid.hours.size and (seen[-1] < 1.0 or seen[0] < 1.0):
        seen, shares = _by_hour(grid, remembered, seen, shares)
    weights = np.where(seen < _LEAST_SEEN, 0.0, seen)
    kept = slice(None) if seen.size < 2 or weights[-1] > 0 else slice(None, -1)  # noqa: PLR2004 one day is all there is
    rates = days[kept] / np.maximum(seen[kept], _LEAST_SEEN)
    return Past(question, grid, spent, rates[::-1], np.maximum(weights[kept][::-1], _LEAST_SEEN), shares, known, values)


def _settled(values: Floats, month: int) -> Floats:
    """The values with each correction taken out of the month before it, in proportion, so that none is negative.

    What was used in the step of a correction is not known; it gets the mean of the month it corrects.
    """
    if not values.size or values.min() >= 0.0:
        return values
    settled = values.copy()
    for index in np.flatnonzero(values < 0.0):
        before = settled[max(0, index - month) : index]
        spent = before.sum()
        before *= max(0.0, spent + settled[index]) / spent if spent > 0.0 else 0.0
        settled[index] = before.mean() if before.size else 0.0
    return settled


def _by_hour(grid: Grid, values: Floats, seen: Floats, shares: Floats) -> tuple[Floats, Floats]:
    """How much of the first and the last day was seen, by the hours at which this series is used to spend."""
    hourly = np.bincount(grid.hours, values, 24)
    total = hourly.sum()
    if total <= 0.0:
        return seen, shares
    visits = np.maximum(np.bincount(grid.hours, minlength=24), 1)
    profile = hourly / visits
    days = values.size / 24.0
    even = min(_EVEN_DAYS, _EVEN_DAYS_AT_FIRST + days)
    profile = (profile / profile.sum() * days + even / 24.0) / (days + even)
    seen, shares = seen.copy(), shares.copy()
    if seen[-1] < 1.0:
        first = grid.hours[0] if seen.size == 1 else 0  # what lies before the first hour was not seen either
        unseen, later = float(profile[grid.hours[-1] + 1 :].sum()), 1.0 - seen[-1] - first / 24.0
        if shares.size and grid.begins[0] == grid.seen_until and later > 0.0:
            shares[0] *= unseen / later
        seen[-1] = 1.0 - unseen - float(profile[:first].sum())
    if seen.size > 1 and seen[0] < 1.0:
        seen[0] = float(profile[grid.hours[0] :].sum())
    return seen, shares


def _without_commitments(question: Question, grid: Grid, values: Floats) -> tuple[Floats, Floats]:
    series, rest, known = question.series, values.copy(), np.zeros(grid.shares.size)
    steps = np.arange(grid.oldest, series.values.size, dtype=np.float64)
    for commitment in question.commitments:
        span = [position(at, series.start, series.step) for at in (commitment.start, commitment.end)]
        if commitment.in_series:
            rest -= commitment.amount * _overlap(span, steps, np.minimum(steps + 1.0, grid.seen_until))
        known += commitment.amount * _overlap(span, grid.begins, grid.ends)
    return rest, known


def _overlap(span: Sequence[float], begins: Floats, ends: Floats) -> Floats:
    """The part of a span that falls into each of the intervals; a span without length is an instant."""
    start, end = span
    if end == start:
        return ((begins <= start) & (start < ends)).astype(np.float64)
    part: Floats = np.clip(np.minimum(ends, end) - np.maximum(begins, start), 0.0, None) / (end - start)
    return part


@dataclass(frozen=True, slots=True, eq=False)
class Pasts:
    """Several series side by side, padded with zeros behind.

    rates, weights  [series x days], newest day first; nothing has weight behind the first day with any spend
    shares, known   [series x coming]
    newest, coming  weekdays: of day 0 [series], of the coming days [series x coming]
    today           how much of day 0 was seen, where its rest is the first of what is coming; 0 elsewhere [series]
    """

    rates: Floats
    weights: Floats
    shares: Floats
    known: Floats
    newest: Counts
    coming: Counts
    today: Floats

    @property
    def left(self) -> Floats:
        """How many days are still to come: [series]."""
        days: Floats = self.shares.sum(1)
        return days


def batch_of(grid: Grid, values: Floats) -> Pasts:
    """The pasts of series with steps of a day that share a calendar: `values` [series x steps], nothing committed."""
    remembered = values[:, grid.oldest :]
    if remembered.size and remembered.min() < 0.0:
        remembered = np.array([_settled(row, _MONTH_DAYS) for row in remembered])
    weights = np.where(grid.seen < _LEAST_SEEN, 0.0, grid.seen)
    kept = slice(None) if weights.size < 2 or weights[-1] > 0 else slice(None, -1)  # noqa: PLR2004 one day is all there is
    count, many = len(values), weights[kept].size
    days, coming = max(1, many), max(1, grid.shares.size)
    found = Pasts(
        rates=np.zeros((count, days)),
        weights=np.zeros((count, days)),
        shares=np.zeros((count, coming)),
        known=np.zeros((count, coming)),
        newest=np.full(count, grid.past_weekdays[-1] if many else 0, np.intp),
        coming=np.zeros((count, coming), np.intp),
        today=np.zeros(count),
    )
    found.rates[:, :many] = (remembered[:, : grid.seen.size] / np.maximum(grid.seen, _LEAST_SEEN))[:, kept][:, ::-1]
    found.weights[:, :many] = np.maximum(weights[kept][::-1], _LEAST_SEEN)
    found.shares[:, : grid.shares.size] = grid.shares
    found.coming[:, : grid.shares.size] = grid.coming_weekdays
    if many and found.weights[0, 0] < 1.0 and grid.begins.size and grid.begins[0] == grid.seen_until:
        found.today[:] = found.weights[0, 0]
    found.weights[np.cumsum(found.rates[:, ::-1], 1)[:, ::-1] <= 0.0] = 0.0
    return found


def stacked(pasts: Sequence[Past], *, together: bool = False) -> Pasts:
    """Several series as matrices; `together` lets them all begin where the first of them does."""
    days, coming = (max(1, *(sizes)) for sizes in zip(*((p.rates.size, p.shares.size) for p in pasts), strict=True))
    rates, weights = np.zeros((len(pasts), days)), np.zeros((len(pasts), days))
    shares, known = np.zeros((len(pasts), coming)), np.zeros((len(pasts), coming))
    newest, weekdays = np.zeros(len(pasts), np.intp), np.zeros((len(pasts), coming), np.intp)
    today = np.zeros(len(pasts))
    for row, past in enumerate(pasts):
        rates[row, : past.rates.size], weights[row, : past.weights.size] = past.rates, past.weights
        shares[row, : past.shares.size], known[row, : past.known.size] = past.shares, past.known
        weekdays[row, : past.shares.size] = past.grid.coming_weekdays
        newest[row] = past.grid.past_weekdays[-1] if past.rates.size else 0
        today[row] = past.weights[0] if past.goes_on else 0.0
    begun = np.cumsum(rates[:, ::-1], 1)[:, ::-1]
    begun = begun.sum(0, keepdims=True) if together else begun
    weights[np.broadcast_to(begun <= 0.0, weights.shape)] = 0.0
    return Pasts(rates, weights, shares, known, newest, weekdays, today)
