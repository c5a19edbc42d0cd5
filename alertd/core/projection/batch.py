"""Project one question, or many series at once: of one bill with free tiers (each run is rated), or independent ones.

What a run spends in all is linear in the days that it draws. Which days it draws depends on the calendar, on how long a
series has been idle and how old it is: series that agree in these share the draws, so that their totals are one product
of matrices. The fan needs every day of every run and is computed when it is asked for.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from alertd.core.lazy import Deferred
from alertd.core.projection import learnt, rates
from alertd.core.projection.outcome import FAN_LEVELS, Projection
from alertd.core.projection.past import Past, Pasts, batch_of, past_of, stacked
from alertd.core.projection.series import LARGEST, Commitment, Floats, Question, Series, calendar_of, grid_of
from alertd.core.projection.table import VERSION

METHOD: Final = f"drift-3+learnt-{VERSION}"
#: Numbers held at once while many series are projected: some tens of megabytes.
_PATHS_AT_ONCE: Final = 300_000


def project(
    series: Series,
    period_start: dt.datetime,
    period_end: dt.datetime,
    *,
    commitments: Sequence[Commitment] = (),
    opening: float = 0.0,
) -> Projection:
    """The distribution of a period's total. The series ends at now, or where its source was last seen."""
    return project_many([Question(series, period_start, period_end, commitments, opening)])[0]


def project_many(questions: Sequence[Question], *, by: learnt.Taught = learnt.SHIPPED) -> list[Projection]:
    """One projection per question, in order: the same as `project` of each, but much faster.

    `by` is the learnt table: the one that ships, unless another is tried.
    """
    return list(project_each(questions, by=by))


def project_each(questions: Iterable[Question], *, by: learnt.Taught = learnt.SHIPPED) -> Iterator[Projection]:
    """As `project_many`, a few hundred at a time, for a caller that keeps only a row of each projection."""
    for pasts in _chunks(past_of(question) for question in questions):
        yield from _projected_pasts(pasts, by)


def _chunks(pasts: Iterable[Past]) -> Iterator[list[Past]]:
    """Consecutive groups of the series, each small enough for memory."""
    held: list[Past] = []
    widest = 1
    for past in pasts:
        widest = max(widest, past.shares.size)
        if held and (len(held) + 1) * widest * rates.RUNS > _PATHS_AT_ONCE:
            yield held
            held, widest = [], max(1, past.shares.size)
        held.append(past)
    if held:
        yield held


def _projected_pasts(pasts: Sequence[Past], by: learnt.Taught) -> Iterator[Projection]:
    of = stacked(pasts)
    rest = np.cumsum(played_out(of, by)[1], 2).transpose(0, 2, 1).copy()
    rest.sort(axis=2)
    rest += np.cumsum(of.known, 1)[:, :, None]
    fans = _fans(rest)
    for row, past in enumerate(pasts):
        coming = past.shares.size
        totals = past.spent + (rest[row, coming - 1] if coming else np.zeros(1))
        yield _answer(past, totals, past.spent + fans[row, : coming + 1])


def played_out(of: Pasts, by: learnt.Taught = learnt.SHIPPED) -> tuple[rates.Ages, Floats]:
    """For each run and coming day, the past day that is drawn and the spend: both [series x runs x coming].

    Commitments are left out.
    """
    ages, ahead, burst = drifted(of)
    return ages, learnt.reshaped(ahead, of.shares, learnt.Lesson(of.rates, of.weights, burst, by))


def drifted(of: Pasts) -> tuple[rates.Ages, Floats, Floats]:
    """Like `played_out`, but before the learnt correction; and the burstiness of each series."""
    ages = rates.drawn_days(of.weights, rates.idle_days(of.rates, of.weights), of.shares.shape[1])
    heed = rates.strength(of.rates, of.weights)
    if (some := np.flatnonzero(heed)).size:
        ages[some] = rates.matched(ages[some], of.weights[some], heed[some], of.newest[some], of.coming[some])
    if of.today.any():
        ages = rates.goes_on(ages, of.today)
    burst = np.maximum(0.0, rates.burstiness(of.rates, of.weights) - rates.explained(of.rates, of.weights, heed))
    ahead = rates.increments(of.rates, rates.level_factors(burst, of.weights.sum(1)), of.shares, ages)
    return ages, ahead, burst


def answer_of(past: Past, rest: Floats) -> Projection:
    """A projection from what each run adds by the end of each coming day, ascending: [coming x runs]."""
    totals = past.spent + (rest[-1] if rest.size else np.zeros(1))
    return _answer(past, totals, past.spent + _fans(rest[None])[0])


def _fans(rest: Floats) -> Floats:
    """Quantiles of what the sorted runs [series x coming x runs] add: [series x 1 + coming x levels]."""
    at = np.array(FAN_LEVELS) * (rates.RUNS - 1)
    low = at.astype(np.intp)
    high = np.minimum(low + 1, rates.RUNS - 1)
    fans = np.zeros((rest.shape[0], rest.shape[1] + 1, len(FAN_LEVELS)))
    fans[:, 1:] = rest[:, :, low] + (at - low) * (rest[:, :, high] - rest[:, :, low])
    return fans


def _answer(past: Past, totals: Floats, fan: Floats) -> Projection:
    return Projection(
        spent=past.spent,
        totals=totals,
        fans=Deferred(lambda: fan),
        method=METHOD,
        grid=past.grid,
        steps=past.steps,
        opening=past.question.opening,
        period_start=past.question.period_start,
    )


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
