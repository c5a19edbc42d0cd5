"""A bill that is not linear in what is used: lines of tokens are played out together and every run is rated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from alertd.core.projection.grid import calendar_of
from alertd.core.projection.method import alert_level, answer_of, played_out
from alertd.core.projection.outcome import Projection
from alertd.core.projection.past import Past, Pasts, past_of, stacked
from alertd.core.projection.series import Floats, Question, Series

#: Bills quantities: [many x lines] used since the period's start -> [many] amounts of money.
Rate = Callable[[Floats], Floats]


def project_lines(lines: Sequence[Question], rate: Rate) -> Projection:
    """The distribution of a bill with free tiers, or rounded to whole units.

    `lines` are one question for each line (tokens of one meter of one model), all of the same steps and period; their
    quantities include the commitments. `rate` bills many possible uses at once and falls nowhere as use grows. Every
    line draws the same past days, so that the mix stays what it was, and how far the level may move is judged on all
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
    median = np.median(ahead[:, :, -1] - of.known.sum(1)[:, None], axis=1)
    likely = spent + of.known.sum(1) + alert_level(of, median)
    return answer_of(_billed(pasts, rate, opening, now), rest, max(now, float(rate(likely[None])[0])))


def _worth(of: Pasts, rate: Rate) -> Floats:
    """What one of each line costs, on the average of all that is remembered of it: [lines]; their share of use if free.

    Lines are counted one at a time, so that a free tier is not lost in the others.
    """
    quantities = np.maximum((of.rates * of.weights).sum(1), 1e-300)
    alone = np.diag(quantities)
    worth: Floats = np.maximum(rate(alone) - rate(np.zeros((1, len(quantities)))), 0.0) / quantities
    return worth if worth.any() else 1.0 / quantities


def _added_up(of: Pasts, worth: Floats) -> Pasts:
    """All lines as one series, each weighed by what it costs."""
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
    """What each run uses of each line on each coming day: [lines x runs x coming]; added up, it is the whole."""
    ages, wanted = played_out(whole)
    drawn = of.rates[:, ages[0]] * of.shares[0]
    got = np.einsum("l,lrc->rc", worth, drawn).sum(1)
    drawn *= np.where(got > 0.0, wanted[0].sum(1) / np.where(got > 0.0, got, 1.0), 0.0)[:, None]
    usual = (of.rates * of.weights).sum(1) / max(float((whole.rates * whole.weights).sum()), 1e-300)
    idle: Floats = np.where(got > 0.0, 0.0, 1.0)[:, None] * wanted[0]
    lines: Floats = drawn + usual[:, None, None] * idle
    return lines


def _billed(pasts: Sequence[Past], rate: Rate, opening: Floats, now: float) -> Past:
    """The first line's past with the money of all of them: what was spent, and by which step."""
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
