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
#: No regime is smoother than this part of its level.
_GRAIN: Final = 0.05
#: Days in which the belief in a new regime grows by 1 - 1/e.
_BELIEF_DAYS: Final = 4.0
_TURN: Final = (np.arange(RUNS) * 0.5698402909980532 + 0.5) % 1.0


def days_since(rates: Floats, weights: Floats) -> Ages:
    """For how many days the present level has stood, where another one stood clearly apart before it; 0 elsewhere.

    [series]. Both sides are compared on roots by the mean and the deviation; the new one must be more than idle.
    """
    new = np.arange(_LEAST_NEW, min(_MOST_NEW, rates.shape[1] - _LEAST_OLD) + 1)
    if not new.size:
        return np.zeros(len(rates), np.intp)
    seen = (weights[:, : _MOST_NEW + _OLD] >= 1.0).astype(np.float64)
    spent = rates[:, : _MOST_NEW + _OLD] * seen
    days, roots, squares = (np.pad(np.cumsum(part, 1), ((0, 0), (1, 0))) for part in (seen, np.sqrt(spent), spent))
    end = np.minimum(new + _OLD, seen.shape[1])
    here, spread = _mean_and_deviation(days[:, new], roots[:, new], squares[:, new])
    old = days[:, end] - days[:, new]
    before, spread_before = _mean_and_deviation(old, roots[:, end] - roots[:, new], squares[:, end] - squares[:, new])
    either = spread + spread_before + _GRAIN * (here + before)
    apart = np.abs(here - before) / np.where(either > 0.0, either, 1.0)
    clear = (apart > _APART) & (days[:, new] >= _LEAST_NEW) & (old >= _LEAST_OLD) & (here > 0.0)
    clearest: Ages = new[np.argmax(np.where(clear, apart, 0.0), axis=1)]
    return np.where(clear.any(1), clearest, 0)


def _mean_and_deviation(count: Floats, roots: Floats, squares: Floats) -> tuple[Floats, Floats]:
    many = np.maximum(count, 1.0)
    return roots / many, np.sqrt(np.maximum(squares / many - (roots / many) ** 2, 0.0))


def within(ages: Ages, since: Ages) -> Ages:
    """The drawn days [series x runs x coming], folded into the new regime in as many runs as its age makes sure."""
    believed = (1.0 - np.exp(-since / _BELIEF_DAYS))[:, None] > _TURN
    return np.where(believed[:, :, None], ages % np.maximum(since, 1)[:, None, None], ages)
