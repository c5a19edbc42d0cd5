"""Where a level has shifted for good: the days before it are another regime's. Bursts and idle weeks are none."""

from __future__ import annotations

from typing import Final

import numpy as np

from alertd.core.projection.drift import RUNS, Ages
from alertd.core.projection.series import Floats

#: So many days make a new regime at least, and so many before it the old one.
_LEAST_NEW: Final = 3
_MOST_NEW: Final = 60
_OLD: Final = 28
_LEAST_OLD: Final = 7
#: How many times their common deviation two regimes lie apart.
_APART: Final = 2.0
#: Days in which the belief in a new regime grows by 1 - 1/e.
_BELIEF_DAYS: Final = 4.0
_TURN: Final = (np.arange(RUNS) * 0.5698402909980532 + 0.5) % 1.0


def days_since(rates: Floats, weights: Floats) -> Ages:
    """For how many days the present level has stood, where another one stood clearly apart before it; 0 elsewhere.

    [series]. Both sides are compared on roots by the mean and the deviation; the new one must be more than idle.
    """
    roots, seen = np.sqrt(rates), (weights >= 1.0).astype(np.float64)
    counts, sums, squares = (
        np.pad(np.cumsum(part, 1), ((0, 0), (1, 0))) for part in (seen, roots * seen, rates * seen)
    )
    since, best = np.zeros(len(rates), np.intp), np.full(len(rates), _APART)
    for new in range(_LEAST_NEW, min(_MOST_NEW, rates.shape[1] - _LEAST_OLD) + 1):
        end = min(new + _OLD, rates.shape[1])
        fresh, old = counts[:, new], counts[:, end] - counts[:, new]
        here, before = sums[:, new] / np.maximum(fresh, 1), (sums[:, end] - sums[:, new]) / np.maximum(old, 1)
        spread = squares[:, new] / np.maximum(fresh, 1) - here**2
        spread_before = (squares[:, end] - squares[:, new]) / np.maximum(old, 1) - before**2
        deviation = np.sqrt(np.maximum(spread, 0.0)) + np.sqrt(np.maximum(spread_before, 0.0)) + 0.05 * (here + before)
        apart = np.abs(here - before) / np.where(deviation > 0.0, deviation, 1.0)
        better = (apart > best) & (fresh >= _LEAST_NEW) & (old >= _LEAST_OLD) & (here > 0.0)
        since, best = np.where(better, new, since), np.where(better, apart, best)
    return since


def within(ages: Ages, since: Ages) -> Ages:
    """The drawn days [series x runs x coming], folded into the new regime in as many runs as its age makes sure."""
    believed = (1.0 - np.exp(-since / _BELIEF_DAYS))[:, None] > _TURN
    return np.where(believed[:, :, None], ages % np.maximum(since, 1)[:, None, None], ages)
