"""Corrections learnt from other users' series: the rate of young, bursty series, and the width of the range.

Nine quantiles of the coming daily rate are linear in eight levels of the history (the table). They count where a series
is bursty and has less than some two months behind it; a long or a regular history speaks for itself. What the runs then
say is calibrated: so that a stated chance comes true, a total is taken from another rank of the runs than its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from alertd.core.projection.rates import RUNS, active_day, levels
from alertd.core.projection.series import Floats
from alertd.core.projection.table import CALIBRATION, COEFFICIENTS

QUANTILES: Final = np.arange(1, 10) / 10
#: At most this part of the answer is learnt from others.
_TRUST: Final = 0.7
_YOUNG_DAYS: Final = 50.0
#: The rest of today follows from today itself, not from other users' series.
_NEAR_DAYS: Final = 1.0

_RANKS: Final = np.arange(RUNS) / (RUNS - 1)
_MIDDLE: Final = (RUNS - 1) // 2
_TOP: Final = round(0.9 * (RUNS - 1))
#: [9 x runs] from nine quantiles to one figure a run, flat beyond the outer two.
_BETWEEN: Final = np.stack([np.interp(_RANKS, QUANTILES, row) for row in np.eye(9)])

_NORMAL: Final = NormalDist()
_SCORES: Final = np.array([_NORMAL.inv_cdf(rank) for rank in np.clip(_RANKS, 0.0025, 0.9975)])
_SCORE_GRID: Final = np.linspace(-5.0, 5.0, 2001)
_RANK_GRID: Final = np.array([_NORMAL.cdf(score) for score in _SCORE_GRID])
#: Beyond this rank a total goes on as it grew from the shoulder to here, for few runs lie there.
_EDGE: Final = 0.97
_SHOULDER: Final = 0.8
_STEEPEST: Final = 1.5


@dataclass(frozen=True, slots=True)
class Calibration:
    """From which rank of the runs a total is taken, as factors of the normal score of its own rank.

    settled, growing  above the median: for a long history, and how much more in the first weeks, when usage grows
    lower             below the median, for the score to the power 1.5: totals near the median are exceeded more often
    first             below the median on the first days, of which nobody is sure
    active            how much of the mean of the median and of active days only half the totals exceed
    highest           the rank that this never goes beyond
    """

    settled: float
    growing: float
    lower: float
    first: float
    active: float
    highest: float


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """The learnt values: coefficients [8 levels x 9 quantiles] of the daily rate, and the calibration."""

    table: Floats
    calibration: Calibration


SHIPPED: Final = Taught(np.array(COEFFICIENTS), Calibration(*CALIBRATION))
_GROWTH_DAYS: Final = 60.0
_BEGUN_DAYS: Final = 14.0
_FIRST_DAYS: Final = 7.0


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """The inputs for some series: their days [series x days], their burstiness [series], and the learnt values."""

    rates: Floats
    weights: Floats
    burst: Floats
    by: Taught = SHIPPED

    def trust(self, left: Floats) -> Floats:
        """The weight of the learnt totals for each series by the days left, 0 to 0.7."""
        bursty = np.clip((self.burst - 0.1) / 0.2, 0.0, 1.0)
        far = left**2 / (left**2 + _NEAR_DAYS**2)
        part: Floats = _TRUST * bursty * far / (1.0 + (self.weights.sum(1) / _YOUNG_DAYS) ** 3)
        return part


def taught(of: Lesson, left: Floats, totals: Floats) -> Floats:
    """Totals of the remaining days by the learnt quantiles: [series x runs], ascending like `totals`.

    Beyond the outer quantiles the drift's own tail goes on, in proportion.
    """
    rows = np.sort(np.maximum(levels(of.rates, of.weights) @ of.by.table, 0.0), axis=1) * left[:, None]
    spread = totals[:, _TOP] - totals[:, _MIDDLE]
    scale = np.where(spread > 0.0, (rows[:, 8] - rows[:, 4]) / np.where(spread > 0.0, spread, 1.0), 0.0)
    tail = np.maximum(totals - totals[:, _TOP : _TOP + 1], 0.0) * scale[:, None]
    below = np.clip((0.1 - _RANKS) / 0.1, 0.0, 1.0) * np.minimum(rows[:, 1] - rows[:, 0], rows[:, 0])[:, None]
    others: Floats = rows @ _BETWEEN + tail - below
    return others


def blended(of: Lesson, left: Floats, totals: Floats) -> Floats:
    """The sorted totals of the drift, blended with the learnt ones: [series x runs]."""
    blend = totals + of.trust(left)[:, None] * (taught(of, left, totals) - totals)
    return np.sort(np.maximum(blend, 0.0), axis=1)


def corrected(of: Lesson, left: Floats, totals: Floats) -> Floats:
    """The sorted totals of the drift, blended with the learnt ones and calibrated: [series x runs]."""
    busy = active_day(of.rates, of.weights, 7.0) * left
    return calibrated(of.by.calibration, of.weights.sum(1), busy, blended(of, left, totals))


def calibrated(by: Calibration, days_seen: Floats, busy: Floats, totals: Floats) -> Floats:
    """The sorted totals [series x runs], so that what each says to be exceeded by a part of all is, for other people.

    `busy` [series] is what is spent if every day left is an active one. Half the totals exceed the mean of it and of
    the median, in part: medians alone warn too late of bursty spend. The median stays where it is, and what lies
    between the two has a chance of one half.
    """
    begun, growing = (days_seen**2 / (days_seen**2 + days**2) for days in (_FIRST_DAYS, _BEGUN_DAYS))
    growing /= 1.0 + (days_seen / _GROWTH_DAYS) ** 2
    scores = np.zeros(totals.shape)
    below, above = _SCORES[None, :_MIDDLE], _SCORES[None, _MIDDLE + 1 :]
    scores[:, :_MIDDLE] = (1 - begun[:, None]) * by.first * below - begun[:, None] * by.lower * np.abs(below) ** 1.5
    scores[:, _MIDDLE + 1 :] = above * (1.0 + begun * (by.settled - 1.0) + growing * by.growing)[:, None]
    found = _at_scores(totals, scores)
    highest = _at_ranks(totals, 0.5 + (by.highest - 0.5) * begun[:, None])[:, 0]
    alert = np.minimum(by.active * 0.5 * (found[:, _MIDDLE] + busy), highest)
    found[:, _MIDDLE + 1 :] = np.maximum(found[:, _MIDDLE + 1 :], alert[:, None])
    return np.maximum.accumulate(found, axis=1)


def _at_scores(totals: Floats, scores: Floats) -> Floats:
    """The totals at these normal scores: [series x scores]; beyond the edge they go on as they grew up to it."""
    ranks = np.interp(scores, _SCORE_GRID, _RANK_GRID)
    inside = _at_ranks(totals, np.minimum(ranks, _EDGE))
    shoulder, edge = _at_ranks(totals, np.full((len(totals), 2), (_SHOULDER, _EDGE))).T
    apart = _NORMAL.inv_cdf(_EDGE) - _NORMAL.inv_cdf(_SHOULDER)
    known = shoulder > 0.0
    steep = np.where(known, np.log(np.where(known, edge, 1.0) / np.where(known, shoulder, 1.0)) / apart, 1.0)
    beyond = np.maximum(scores - _NORMAL.inv_cdf(_EDGE), 0.0)
    found: Floats = inside * np.exp(np.minimum(steep, _STEEPEST)[:, None] * beyond)
    return found


def _at_ranks(totals: Floats, ranks: Floats) -> Floats:
    """The sorted totals [series x runs] at these ranks from 0 to 1: [series x ranks]."""
    at = ranks * (RUNS - 1)
    low = np.minimum(at.astype(np.intp), RUNS - 2)
    below, above = (np.take_along_axis(totals, low + one, 1) for one in (0, 1))
    found: Floats = below + (at - low) * (above - below)
    return found


def reshaped(ahead: Floats, shares: Floats, of: Lesson) -> Floats:
    """The runs [series x runs x coming], each scaled so that their totals are the corrected ones, rank by rank."""
    totals, left = ahead.sum(2), shares.sum(1)
    order = np.argsort(totals, axis=1, kind="stable")
    ascending = np.take_along_axis(totals, order, 1)
    wanted = np.empty_like(totals)
    np.put_along_axis(wanted, order, corrected(of, left, ascending), 1)
    # A total so small that dividing by it overflows counts as none.
    idle = totals <= 1e-300 * wanted
    scaled = ahead * np.where(idle, 0.0, wanted / np.where(idle, 1.0, totals))[:, :, None]
    even = (shares / np.maximum(left, 1e-9)[:, None])[:, None, :]
    outcome: Floats = scaled + np.where(idle, wanted, 0.0)[:, :, None] * even
    return outcome
