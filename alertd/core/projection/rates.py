"""Figures of a history that the methods share, for many series at once; all scale with the series and see no calendar.

Every function takes `rates` and `weights` as [series x days], newest day first: what each day cost at its full length,
and how much of it was seen (1 for a whole day, 0 behind the first day that anything was spent on).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from alertd.core.projection.series import Floats

_BURST_DAYS: Final = 28
_WEEKS: Final = 8
#: Below this part of the average day a day counts as idle.
_IDLE: Final = 1e-3
_LEAST: Final = 1e-9
#: What new series usually turn out to have, weighing as much as so many days seen; fitted on 20 people.
_USUAL_BURST: Final = 0.35
_USUAL_BURST_DAYS: Final = 2.0


def weighted(values: Floats, weights: Floats) -> Floats:
    """The mean of each row by its weights; 0 where nothing has weight."""
    mean: Floats = (values * weights).sum(1) / np.maximum(weights.sum(1), _LEAST)
    return mean


def faded(weights: Floats, half_life_days: float) -> Floats:
    """The weights of a memory: half as much for each half-life that lies between a day and now."""
    ages = np.cumsum(weights, 1) - weights
    kept: Floats = weights * 0.5 ** (ages / half_life_days)
    return kept


def active(rates: Floats, weights: Floats) -> Floats:
    """1 for each day on which something was spent, 0 for an idle one."""
    return (rates > _IDLE * weighted(rates, weights)[:, None]).astype(np.float64)


def active_day(rates: Floats, weights: Floats, half_life_days: float) -> Floats:
    """What a day costs on which anything is spent at all: [series]."""
    memory = faded(weights, half_life_days)
    share = weighted(active(rates, weights), memory)
    day: Floats = weighted(rates, memory) / np.maximum(share, 0.05)
    return day


def idle_days(rates: Floats, weights: Floats) -> Floats:
    """How many days have passed since anything was spent: [series]."""
    idle: Floats = (weights * (np.cumsum(active(rates, weights), 1) == 0.0)).sum(1)
    return idle


def root_mean(rates: Floats, weights: Floats, days: float) -> Floats:
    """The square of the mean root of the last days: a level that single spikes hardly move. [series]."""
    recent = weights * (np.cumsum(weights, 1) - weights < days)
    level: Floats = weighted(np.sqrt(rates), recent) ** 2
    return level


def burstiness(rates: Floats, weights: Floats) -> Floats:
    """How unlike the last 28 days are: 0 when every day is the same, 0.7 when every second one is idle. [series].

    It is -ln(mean(sqrt x)^2 / mean x), softened for a series near zero.
    """
    recent = weights * (np.cumsum(weights, 1) - weights < _BURST_DAYS)
    soft = 0.02 * weighted(rates, weights)
    level = weighted(rates, recent) + soft
    known = level > 0.0
    part = np.where(known, root_mean(rates, weights, _BURST_DAYS) + soft, 1.0) / np.where(known, level, 1.0)
    return np.where(part < 1.0 - _LEAST, -np.log(part), 0.0)


def best_and_worst_week(rates: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """The mean day of the best and of the worst of the last eight whole weeks; of all days where there is no week."""
    padded = [np.pad(rows, ((0, 0), (0, max(0, 7 * _WEEKS - rows.shape[1])))) for rows in (rates * weights, weights)]
    spent, seen = (rows[:, : 7 * _WEEKS].reshape(len(rates), _WEEKS, 7) for rows in padded)
    whole = np.min(seen, axis=2) > 0.0
    whole[:, 0] |= ~whole.any(1)
    means = spent.sum(2) / np.maximum(seen.sum(2), _LEAST)
    return np.where(whole, means, -np.inf).max(1), np.where(whole, means, np.inf).min(1)


def levels(rates: Floats, weights: Floats) -> Floats:
    """Eight daily levels that the learnt method weighs: [series x 8], in the order of the table's columns."""
    best, worst = best_and_worst_week(rates, weights)
    return np.stack(
        [
            weighted(rates, faded(weights, 3.5)),
            weighted(rates, faded(weights, 14.0)),
            weighted(rates, weights),
            root_mean(rates, weights, 7.0),
            root_mean(rates, weights, np.inf),
            active_day(rates, weights, 28.0),
            best,
            worst,
        ],
        axis=1,
    )


def burstiness_of_young(burst: Floats, days_seen: Floats) -> Floats:
    """The burstiness with that of usual new series beside it, as if seen for as long: a day or two tell little."""
    seen = days_seen * days_seen
    found: Floats = (seen * burst + _USUAL_BURST_DAYS * _USUAL_BURST) / (seen + _USUAL_BURST_DAYS)
    return found
