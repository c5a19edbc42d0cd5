"""Many series of one calendar projected at once: the same answers as one by one, without playing out each run's days.

What a run spends in all is linear in the days that it draws, and which days it draws depends on the calendar, on how
long a series has been idle and since when its level stands: series alike in these share the draws, so that their totals
are one product of matrices. The fan, which needs every day of every run, is played out for whoever asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from alertd.core.deferred import Deferred
from alertd.core.projection import drift, learnt, rates, shifts, weekdays
from alertd.core.projection.grid import grid_of
from alertd.core.projection.method import METHOD, alert_level, project_many
from alertd.core.projection.outcome import Projection
from alertd.core.projection.past import Pasts, alike
from alertd.core.projection.series import LARGEST, Floats, Question

#: Series at a time: some tens of megabytes.
_AT_ONCE: Final = 2048


def project_batch(question: Question, values: Floats, openings: Floats) -> Iterator[Projection]:
    """One projection for each row of `values` [series x steps], in order; all else is as in `question`.

    The question has no commitments. Raises ValueError for what is no amount.
    """
    if question.commitments:
        raise ValueError("what is committed differs from series to series: ask for each by itself")
    if not (np.abs(values) <= LARGEST).all():
        raise ValueError("values are finite amounts; leave a step without usage at 0")
    for begin in range(0, len(values), _AT_ONCE):
        rows = slice(begin, begin + _AT_ONCE)
        yield from _projected(question, values[rows], openings[rows])


def _projected(question: Question, values: Floats, openings: Floats) -> Iterator[Projection]:
    grid = grid_of(question)
    of, spent = alike(grid, values), values @ grid.inside + openings
    rest = _totals(of)
    alerts = alert_level(of, np.median(rest, axis=1))
    totals = spent[:, None] + (rest if grid.shares.size else np.zeros((len(values), 1)))
    alerts += spent
    for row, (now, alert, opening) in enumerate(zip(spent.tolist(), alerts.tolist(), openings.tolist(), strict=True)):
        yield Projection(
            spent=now,
            totals=totals[row],
            fans=Deferred(partial(_fan, question, values[row], opening)),
            alert_level=alert,
            method=METHOD,
            grid=grid,
            steps=values[row],
            opening=opening,
            period_start=question.period_start,
        )


def _fan(question: Question, values: Floats, opening: float) -> Floats:
    own = replace(question, series=replace(question.series, values=values), opening=opening)
    return project_many([own])[0].fan


def _totals(of: Pasts) -> Floats:
    """What each run adds in all, ascending: [series x runs]."""
    idle, since = rates.idle_days(of.rates, of.weights), shifts.days_since(of.rates, of.weights)
    weights = of.weights * ((np.arange(of.weights.shape[1]) < since[:, None]) | (since == 0)[:, None])
    heed = weekdays.strength(of.rates, weights)
    burst = np.maximum(0.0, rates.burstiness(of.rates, weights) - weekdays.explained(of.rates, weights, heed))
    drawn = _drawn(of, weights, idle, since, heed)
    drawn *= drift.level_factors(burst, weights.sum(1))
    drawn.sort(axis=1)
    return learnt.corrected(learnt.Lesson(of.rates, weights, burst), of.left, drawn)


def _drawn(of: Pasts, weights: Floats, idle: Floats, since: drift.Ages, heed: Floats) -> Floats:
    """The sum of the days that each run draws, before its level moves: [series x runs]."""
    known = np.stack([idle, since, (of.weights > 0.0).sum(1)], axis=1)
    _, firsts, group_of = np.unique(known, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(group_of, kind="stable")
    edges = np.searchsorted(group_of[order], np.arange(len(firsts) + 1))
    out = np.empty((len(idle), drift.RUNS))
    for number, first in enumerate(firsts):
        rows = order[edges[number] : edges[number + 1]]
        one = slice(first, first + 1)
        ages = drift.drawn_days(of.weights[one], idle[one], of.shares.shape[1])
        if since[first]:
            ages = shifts.within(ages, since[one])
        out[rows] = of.rates[rows] @ _chances(ages, of, first)
        if (some := rows[heed[rows] > 0.0]).size:
            same = weekdays.matched(ages, weights[one], np.ones(1), of.newest[one], of.coming[one])
            moved = of.rates[some] @ _chances(same, of, first)
            out[some] = np.where(heed[some][:, None] > weekdays.TURN, moved, out[some])
    return out


def _chances(ages: drift.Ages, of: Pasts, row: int) -> Floats:
    """How much of each past day a run draws in all: [days x runs]."""
    ages = drift.goes_on(ages.copy(), of.today[row : row + 1])[0] if of.today[row] else ages[0]
    places = ages * drift.RUNS + np.arange(drift.RUNS)[:, None]
    shares = np.broadcast_to(of.shares[row], places.shape)
    size = of.rates.shape[1] * drift.RUNS
    return np.asarray(np.bincount(places.ravel(), shares.ravel(), size).reshape(-1, drift.RUNS), np.float64)
