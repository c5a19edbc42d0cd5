"""Drawing a Saturday for a Saturday, where the last weeks show that weekdays differ; elsewhere nothing is changed."""

from __future__ import annotations

from typing import Final

import numpy as np

from alertd.core.projection.drift import RUNS, Ages, oldest_day
from alertd.core.projection.series import Floats

_WEEKS: Final = 8
_LEAST_WEEKS: Final = 3
#: The order in which runs begin to heed weekdays as the evidence grows.
TURN: Final = (np.arange(RUNS) * 0.7548776662466927 + 0.5) % 1.0


def strength(rates: Floats, weights: Floats) -> Floats:
    """How far the weekdays of the last eight weeks differ beyond chance, 0 to 1: [series].

    One minus twice the share that chance would have in the variance between weekdays (1 - 2 / F, F of the analysis of
    variance), on roots, so that single spikes do not make a weekday.
    """
    roots, weeks = _roots(rates, weights)
    if not weeks.any():
        return np.zeros(len(rates))
    days = _means(roots, weeks)
    seen = np.arange(roots.shape[1]) < weeks[:, None]
    between = weeks * ((days - days.mean(1, keepdims=True)) ** 2).sum(1) / 6.0
    within = (((roots - days[:, None, :]) ** 2).sum(2) * seen).sum(1) / np.maximum(7 * (weeks - 1), 1)
    differ = (between > 0.0) & (weeks >= _LEAST_WEEKS)
    chance = within / np.where(between > 0.0, between, 1.0)
    return np.where(differ, np.clip(1.0 - 2.0 * chance, 0.0, 1.0), 0.0)


def explained(rates: Floats, weights: Floats, heed: Floats) -> Floats:
    """The burstiness that is nothing but the week's own rhythm, as far as it is heeded: [series]."""
    if not heed.any():
        return np.zeros(len(rates))
    days = _means(*_roots(rates, weights))
    known = days.any(1) & (heed > 0.0)
    level = np.where(known, (days**2).mean(1), 1.0)
    part = np.where(known, days.mean(1) ** 2, 1.0) / level
    rhythm: Floats = heed * -np.log(np.maximum(part, 1e-9))
    return rhythm


def _roots(rates: Floats, weights: Floats) -> tuple[Floats, Ages]:
    """The roots of the last whole weeks [series x weeks x 7], and how many of them each series has seen without a gap.

    A newest day that is still going on is left out.
    """
    count = min((rates.shape[1] - 1) // 7, _WEEKS)
    ongoing = weights[:, :1] < 1.0
    days, seen = (np.where(ongoing, part[:, 1 : 7 * count + 1], part[:, : 7 * count]) for part in (rates, weights))
    shape = (len(rates), count, 7)
    whole = np.min((seen >= 1.0).reshape(shape), axis=2) if count else np.zeros(shape[:2])
    return np.sqrt(days).reshape(shape), np.cumprod(whole, axis=1).sum(1).astype(np.intp)


def _means(roots: Floats, weeks: Ages) -> Floats:
    """The mean root of each of the seven days, over the weeks that were seen: [series x 7]."""
    seen = np.arange(roots.shape[1]) < weeks[:, None]
    means: Floats = (roots * seen[:, :, None]).sum(1) / np.maximum(weeks, 1)[:, None]
    return means


def matched(ages: Ages, weights: Floats, heed: Floats, newest: Ages, coming: Ages) -> Ages:
    """The drawn days, moved to the nearest day of the same weekday in as many of the runs as `heed` says.

    ages [series x runs x coming]; heed [series]; newest [series] is the weekday of day 0; coming [series x coming].
    """
    wanted = (newest[:, None] - coming)[:, None, :]
    apart = (ages - wanted) % 7
    near = np.where(apart <= 3, ages - apart, ages + 7 - apart)  # noqa: PLR2004 half a week
    near = np.where(near < 0, near + 7, near)
    near = np.where(near > oldest_day(weights)[:, None, None], near - 7, near)
    moved = (near >= 0) & (heed[:, None] > TURN)[:, :, None]
    return np.where(moved, near, ages)
