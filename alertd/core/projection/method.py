"""From questions to projections, one or many at once. How each step is taken is said where it is taken."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from alertd.core.deferred import Deferred
from alertd.core.projection import drift, learnt, rates, shifts, weekdays
from alertd.core.projection.outcome import FAN_LEVELS, Projection
from alertd.core.projection.past import Past, Pasts, past_of, stacked
from alertd.core.projection.series import Commitment, Floats, Question, Series
from alertd.core.projection.table import VERSION

METHOD: Final = f"drift-2+learnt-{VERSION}"
#: By measurement: as many alerts as a higher level gives, with a third of the false ones less.
ALERT_PART: Final = 0.92
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


def project_many(questions: Sequence[Question], *, table: Floats = learnt.TABLE) -> list[Projection]:
    """One projection a question, in order; the same as `project` of each, at a fraction of the time.

    `table` is what others taught, [8 levels x 9 quantiles]; the one that ships unless another is being tried out.
    """
    return list(project_each(questions, table=table))


def project_each(questions: Iterable[Question], *, table: Floats = learnt.TABLE) -> Iterator[Projection]:
    """As `project_many`, a few hundred at a time, for whoever keeps no more of a projection than a row."""
    for pasts in _chunks(past_of(question) for question in questions):
        yield from _projected(pasts, table)


def _chunks(pasts: Iterable[Past]) -> Iterator[list[Past]]:
    """Stretches of the series, in order, that fit into memory together."""
    held: list[Past] = []
    widest = 1
    for past in pasts:
        widest = max(widest, past.shares.size)
        if held and (len(held) + 1) * widest * drift.RUNS > _AT_ONCE:
            yield held
            held, widest = [], max(1, past.shares.size)
        held.append(past)
    if held:
        yield held


def _projected(pasts: Sequence[Past], table: Floats) -> Iterator[Projection]:
    of = stacked(pasts)
    rest = np.cumsum(played_out(of, table)[1], 2).transpose(0, 2, 1).copy()
    rest.sort(axis=2)
    alerts = alert_level(of, np.median(rest[:, -1], axis=1)) + of.known.sum(1)
    rest += np.cumsum(of.known, 1)[:, :, None]
    fans = _fans(rest)
    for row, past in enumerate(pasts):
        coming = past.shares.size
        totals = past.spent + (rest[row, coming - 1] if coming else np.zeros(1))
        yield _answer(past, totals, past.spent + fans[row, : coming + 1], past.spent + float(alerts[row]))


def played_out(of: Pasts, table: Floats = learnt.TABLE) -> tuple[drift.Ages, Floats]:
    """Which past day each run takes for each coming day, and what it spends then: [series x runs x coming] both.

    Commitments are left out.
    """
    ages = drift.drawn_days(of.weights, rates.idle_days(of.rates, of.weights), of.shares.shape[1])
    weights, since = of.weights, shifts.days_since(of.rates, of.weights)
    if (some := np.flatnonzero(since)).size:
        ages[some] = shifts.within(ages[some], since[some])
        weights = weights * ((np.arange(weights.shape[1]) < since[:, None]) | (since == 0)[:, None])
    heed = weekdays.strength(of.rates, weights)
    if (some := np.flatnonzero(heed)).size:
        ages[some] = weekdays.matched(ages[some], weights[some], heed[some], of.newest[some], of.coming[some])
    if of.today.any():
        ages = drift.goes_on(ages, of.today)
    burst = np.maximum(0.0, rates.burstiness(of.rates, weights) - weekdays.explained(of.rates, weights, heed))
    factors = drift.level_factors(burst, weights.sum(1))
    ahead = drift.increments(of.rates, factors, of.shares, ages)
    return ages, learnt.reshaped(ahead, of.shares, learnt.Lesson(of.rates, weights, burst, table))


def answer_of(past: Past, rest: Floats, alert: float) -> Projection:
    """A projection from what each run adds by the end of each coming day, ascending: [coming x runs]."""
    totals = past.spent + (rest[-1] if rest.size else np.zeros(1))
    return _answer(past, totals, past.spent + _fans(rest[None])[0], alert)


def alert_level(of: Pasts, median: Floats) -> Floats:
    """What the default forecast threshold holds the rest of the period to cost: [series].

    Half of it is the median, half what it costs if every day left is an active one: medians alone warn too late.
    """
    level: Floats = ALERT_PART * 0.5 * (median + rates.active_day(of.rates, of.weights, 7.0) * of.left)
    return level


def _fans(rest: Floats) -> Floats:
    """Quantiles of what the sorted runs [series x coming x runs] add: [series x 1 + coming x levels]."""
    at = np.array(FAN_LEVELS) * (drift.RUNS - 1)
    low = at.astype(np.intp)
    high = np.minimum(low + 1, drift.RUNS - 1)
    fans = np.zeros((rest.shape[0], rest.shape[1] + 1, len(FAN_LEVELS)))
    fans[:, 1:] = rest[:, :, low] + (at - low) * (rest[:, :, high] - rest[:, :, low])
    return fans


def _answer(past: Past, totals: Floats, fan: Floats, alert: float) -> Projection:
    return Projection(
        spent=past.spent,
        totals=totals,
        fans=Deferred(lambda: fan),
        alert_level=alert,
        method=METHOD,
        grid=past.grid,
        steps=past.steps,
        opening=past.question.opening,
        period_start=past.question.period_start,
    )
