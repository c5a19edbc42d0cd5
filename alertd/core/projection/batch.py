"""Many series projected at once: those of one bill with free tiers (each run is rated), or independent ones.

What a run spends in all is linear in the days that it draws. Which days it draws depends on the calendar, on how long a
series has been idle and how old it is: series that agree in these share the draws, so that their totals are one product
of matrices. The fan needs every day of every run and is computed when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from alertd.core.lazy import Deferred
from alertd.core.projection import learnt, rates
from alertd.core.projection.method import METHOD, answer_of, played_out, project_many
from alertd.core.projection.outcome import Projection
from alertd.core.projection.past import Past, Pasts, batch_of, past_of, stacked
from alertd.core.projection.series import LARGEST, Floats, Question, Series, calendar_of, grid_of

#: Bills quantities: [many x lines] used since the period's start -> [many] amounts of money.
Rate = Callable[[Floats], Floats]


def project_lines(lines: Sequence[Question], rate: Rate) -> Projection:
    """The distribution of a bill with free tiers, or rounded to whole units.

    `lines` are one question for each line (tokens of one meter of one model), all of the same steps and period; their
    quantities include the commitments. `rate` bills many possible uses at once and falls nowhere as use grows. Every
    line draws the same past days, so that the mix stays what it was, and how far the level may move is estimated on all
    lines together, each weighed by what it costs.
    """
    if not lines or any(calendar_of(line) != calendar_of(lines[0]) for line in lines):
        raise ValueError("the lines of one bill are at least one, of the same steps and the same period")
    pasts = [past_of(line) for line in lines]
    of = stacked(pasts, together=True)
    spent, opening = np.array([past.spent for past in pasts]), np.array([past.question.opening for past in pasts])
    worth = _worth(of, rate)
    whole = _added_up(of, worth)
    ahead = np.cumsum(_apart(of, worth, whole) + of.known[:, None, :], 2)
    used = spent[:, None, None] + ahead
    now = float(rate(spent[None])[0])
    money = rate(used.reshape(len(pasts), -1).T).reshape(used.shape[1:]) - now
    rest = np.sort(np.maximum.accumulate(np.maximum(money, 0.0), axis=1)[:, : pasts[0].shares.size].T, axis=1)
    return answer_of(_billed(pasts, rate, opening, now), rest)


def _worth(of: Pasts, rate: Rate) -> Floats:
    """The average cost of a unit of each line over its history: [lines]; the share of use if all are free.

    Lines are counted one at a time, so that a free tier is not lost in the others.
    """
    quantities = np.maximum((of.rates * of.weights).sum(1), 1e-300)
    alone = np.diag(quantities)
    worth: Floats = np.maximum(rate(alone) - rate(np.zeros((1, len(quantities)))), 0.0) / quantities
    return worth if worth.any() else 1.0 / quantities


def _added_up(of: Pasts, worth: Floats) -> Pasts:
    """All lines as one series, each weighted by its cost."""
    one = slice(0, 1)
    return Pasts(
        rates=worth[None] @ of.rates,
        weights=of.weights[one],
        shares=of.shares[one],
        known=np.zeros_like(of.known[one]),
        newest=of.newest[one],
        coming=of.coming[one],
        today=of.today[one],
    )


def _apart(of: Pasts, worth: Floats, whole: Pasts) -> Floats:
    """The usage of each line in each run on each coming day: [lines x runs x coming]."""
    ages, wanted = played_out(whole)
    drawn = of.rates[:, ages[0]] * of.shares[0]
    got = np.einsum("l,lrc->rc", worth, drawn).sum(1)
    drawn *= np.where(got > 0.0, wanted[0].sum(1) / np.where(got > 0.0, got, 1.0), 0.0)[:, None]
    usual = (of.rates * of.weights).sum(1) / max(float((whole.rates * whole.weights).sum()), 1e-300)
    idle: Floats = np.where(got > 0.0, 0.0, 1.0)[:, None] * wanted[0]
    lines: Floats = drawn + usual[:, None, None] * idle
    return lines


def _billed(pasts: Sequence[Past], rate: Rate, opening: Floats, now: float) -> Past:
    """The first line's past with the money of all lines: the spend so far, and its last step."""
    used = np.cumsum(np.stack([past.steps * past.grid.inside for past in pasts], 1), 0)
    paid = float(rate(opening[None])[0])
    steps = np.diff(rate(opening + used), prepend=paid) if len(used) else np.zeros(0)
    return replace(pasts[0], spent=now, steps=steps, question=replace(pasts[0].question, opening=paid))


def project_by_line(question: Question, lines: Floats, before: Floats, rate: Rate) -> Projection:
    """A scope's projection by its lines: `lines` [lines x days] like the question's series, `before` it [lines]."""
    series = question.series
    asked = [
        Question(
            Series(series.start, values, series.step, series.partial_until, series.name),
            question.period_start,
            question.period_end,
            opening=float(opening),
        )
        for values, opening in zip(lines, before, strict=True)
    ]
    return project_lines(asked, rate)


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
    of, spent = batch_of(grid, values), values @ grid.inside + openings
    rest = _totals(of)
    totals = spent[:, None] + (rest if grid.shares.size else np.zeros((len(values), 1)))
    for row, (now, opening) in enumerate(zip(spent.tolist(), openings.tolist(), strict=True)):
        yield Projection(
            spent=now,
            totals=totals[row],
            fans=Deferred(partial(_fan, question, values[row], opening)),
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
    """The sum that each run adds, ascending: [series x runs]."""
    idle, heed = rates.idle_days(of.rates, of.weights), rates.strength(of.rates, of.weights)
    burst = np.maximum(0.0, rates.burstiness(of.rates, of.weights) - rates.explained(of.rates, of.weights, heed))
    drawn = _drawn(of, idle, heed)
    drawn *= rates.level_factors(burst, of.weights.sum(1))
    drawn.sort(axis=1)
    return learnt.corrected(learnt.Lesson(of.rates, of.weights, burst), of.left, drawn)


def _drawn(of: Pasts, idle: Floats, heed: Floats) -> Floats:
    """The sum of the days that each run draws, before its level moves: [series x runs]."""
    known = np.stack([idle, (of.weights > 0.0).sum(1)], axis=1)
    _, firsts, group_of = np.unique(known, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(group_of, kind="stable")
    edges = np.searchsorted(group_of[order], np.arange(len(firsts) + 1))
    out = np.empty((len(idle), rates.RUNS))
    for number, first in enumerate(firsts):
        rows = order[edges[number] : edges[number + 1]]
        one = slice(first, first + 1)
        ages = rates.drawn_days(of.weights[one], idle[one], of.shares.shape[1])
        out[rows] = of.rates[rows] @ _chances(ages, of, first)
        if (some := rows[heed[rows] > 0.0]).size:
            same = rates.matched(ages, of.weights[one], np.ones(1), of.newest[one], of.coming[one])
            moved = of.rates[some] @ _chances(same, of, first)
            out[some] = np.where(heed[some][:, None] > rates.TURN, moved, out[some])
    return out


def _chances(ages: rates.Ages, of: Pasts, row: int) -> Floats:
    """How much of each past day a run draws in all: [days x runs]."""
    ages = rates.goes_on(ages.copy(), of.today[row : row + 1])[0] if of.today[row] else ages[0]
    places = ages * rates.RUNS + np.arange(rates.RUNS)[:, None]
    shares = np.broadcast_to(of.shares[row], places.shape)
    size = of.rates.shape[1] * rates.RUNS
    return np.asarray(np.bincount(places.ravel(), shares.ravel(), size).reshape(-1, rates.RUNS), np.float64)
