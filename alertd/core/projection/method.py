"""Project one question or many at once; each step is described in its own module."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from alertd.core.lazy import Deferred
from alertd.core.projection import learnt, rates
from alertd.core.projection.outcome import FAN_LEVELS, Projection
from alertd.core.projection.past import Past, Pasts, past_of, stacked
from alertd.core.projection.series import Commitment, Floats, Question, Series
from alertd.core.projection.table import VERSION

METHOD: Final = f"drift-3+learnt-{VERSION}"
#: Numbers held at once while many series are projected: some tens of megabytes.
_AT_ONCE: Final = 300_000


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
        yield from _projected(pasts, by)


def _chunks(pasts: Iterable[Past]) -> Iterator[list[Past]]:
    """Consecutive groups of the series, each small enough for memory."""
    held: list[Past] = []
    widest = 1
    for past in pasts:
        widest = max(widest, past.shares.size)
        if held and (len(held) + 1) * widest * rates.RUNS > _AT_ONCE:
            yield held
            held, widest = [], max(1, past.shares.size)
        held.append(past)
    if held:
        yield held


def _projected(pasts: Sequence[Past], by: learnt.Taught) -> Iterator[Projection]:
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
