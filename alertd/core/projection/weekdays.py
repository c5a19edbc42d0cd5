"""Drawing a Saturday for a Saturday, where the last weeks show that weekdays differ; elsewhere nothing is changed."""

from __future__ import annotations

from typing import Final

import numpy as np

from alertd.core.projection.drift import RUNS, Ages, oldest_day
from alertd.core.projection.series import Floats

_WEEKS: Final = 8
_LEAST_WEEKS: Final = 3
#: The order in which runs begin to heed weekdays as the evidence grows.
_TURN: Final = (np.arange(RUNS) * 0.7548776662466927 + 0.5) % 1.0


def strength(rates: Floats, weights: Floats) -> Floats:
    """How far the weekdays of the last eight weeks differ beyond chance, 0 to 1: [series].

    One minus twice the share that chance would have in the variance between weekdays (1 - 2 / F, F of the analysis of
    variance), on roots, so that single spikes do not make a weekday.
    """
    count = min(rates.shape[1] // 7, _WEEKS)
    if count < _LEAST_WEEKS:
        return np.zeros(len(rates))
    roots = np.sqrt(rates[:, : 7 * count]).reshape(len(rates), count, 7)
    seen = (weights[:, : 7 * count] >= 1.0).reshape(roots.shape)
    seen &= np.min(seen, axis=2, keepdims=True)
    weeks = seen[:, :, 0].sum(1)
    total = np.maximum(weeks * 7, 1)
    mean = (roots * seen).sum((1, 2)) / total
    days = (roots * seen).sum(1) / np.maximum(weeks, 1)[:, None]
    between = weeks * ((days - mean[:, None]) ** 2).sum(1) / 6.0
    within = (((roots - days[:, None, :]) ** 2) * seen).sum((1, 2)) / np.maximum(7 * (weeks - 1), 1)
    differ = between > 0.0
    chance = within / np.where(differ, between, 1.0)
    return np.where(differ & (weeks >= _LEAST_WEEKS), np.clip(1.0 - 2.0 * chance, 0.0, 1.0), 0.0)


def matched(ages: Ages, weights: Floats, heed: Floats, newest: Ages, coming: Ages) -> Ages:
    """The drawn days, moved to the nearest day of the same weekday in as many of the runs as `heed` says.

    ages [series x runs x coming]; heed [series]; newest [series] is the weekday of day 0; coming [series x coming].
    """
    wanted = (newest[:, None] - coming)[:, None, :]
    apart = (ages - wanted) % 7
    near = np.where(apart <= 3, ages - apart, ages + 7 - apart)  # noqa: PLR2004 half a week
    near = np.where(near < 0, near + 7, near)
    near = np.where(near > oldest_day(weights)[:, None, None], near - 7, near)
    moved = (near >= 0) & (heed[:, None] > _TURN)[:, :, None]
    return np.where(moved, near, ages)
