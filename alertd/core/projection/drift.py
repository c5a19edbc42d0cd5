"""The rest of a period, played out many times from the days behind it under a level that may move. No chance is used.

Run s takes one of four memories, draws each coming day from the past ones by that memory's weight, and multiplies them
all by one log-normal factor: how far the level itself may move. Bursty series may move further, and young bursty ones
come down, for they began because something started. The draws are a low-discrepancy sequence, the same every time.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alertd.core.projection.series import Floats

RUNS: Final = 200
HALF_LIVES_DAYS: Final = (2.0, 7.0, 28.0, 90.0)
_MEMORY: Final = np.arange(RUNS) % len(HALF_LIVES_DAYS)
_DECAY: Final = 0.5 ** (1.0 / np.array(HALF_LIVES_DAYS))[_MEMORY]
_BURST_DAYS: Final = 28
_GOLDEN: Final = 0.6180339887498949


def _primes(count: int) -> Floats:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return np.array(found, dtype=np.float64)


def _scores() -> Floats:
    """A normal score for each run: every memory gets the whole range, in the order of a low-discrepancy sequence."""
    normal, scores = NormalDist(), np.empty(RUNS)
    for memory in range(len(HALF_LIVES_DAYS)):
        runs = np.flatnonzero(memory == _MEMORY)
        order = np.argsort((np.arange(runs.size) * _GOLDEN + 0.13 * memory) % 1.0)
        offset = (memory + 0.5) / len(HALF_LIVES_DAYS)
        scores[runs[order]] = [normal.inv_cdf((k + offset) / runs.size) for k in range(runs.size)]
    return scores


_ROOTS: Final = np.sqrt(_primes(370))
_SCORES: Final = _scores()


def burstiness(rates: Floats, weights: Floats) -> Floats:
    """How unlike the last 28 days are: 0 when every day is the same, 0.7 when every second one is idle.

    [series x days], newest first -> [series]. It is -ln(mean(sqrt x)^2 / mean x), softened for a series near zero.
    """
    kept = weights[:, :_BURST_DAYS]
    total = np.maximum(kept.sum(1), 1e-9)
    roots = (np.sqrt(rates[:, :_BURST_DAYS]) * kept).sum(1) / total
    level = (rates[:, :_BURST_DAYS] * kept).sum(1) / total
    soft = 0.02 * (rates * weights).sum(1) / np.maximum(weights.sum(1), 1e-9)
    safe = np.where(level + soft > 0.0, level + soft, 1.0)
    return np.maximum(0.0, -np.log(np.where(level + soft > 0.0, (roots**2 + soft) / safe, 1.0)))


def drawn_days(newest_seen: Floats, days_seen: Floats, coming: int) -> NDArray[np.intp]:
    """Which past day (0 the newest) each run draws for each coming day: [series x runs x coming].

    `days_seen` is how many days of history each series has, `newest_seen` how much of the newest of them was seen.
    """
    points = ((np.arange(RUNS)[:, None] + 0.5) * _ROOTS[np.arange(coming) % _ROOTS.size]) % 1.0
    faded = _DECAY[None, :] ** days_seen[:, None]
    kept = faded[:, :, None] + points[None] * (1.0 - faded[:, :, None])
    ages = np.log(kept) / np.log(_DECAY)[None, :, None]
    return np.maximum(np.ceil(ages - newest_seen[:, None, None]), 0.0).astype(np.intp)


def level_factors(burst: Floats, days_seen: Floats) -> Floats:
    """How each run's level differs from what was drawn: [series x runs]."""
    spread = np.minimum(1.3, 0.2 + 1.1 * np.sqrt(burst))
    young = -0.7 * np.exp(-days_seen / 30.0) * burst / (burst + 0.1)
    return np.exp(young[:, None] + spread[:, None] * _SCORES)


def increments(rates: Floats, weights: Floats, shares: Floats) -> Floats:
    """What each run spends on each coming day: [series x runs x coming], from [series x days] and [series x coming]."""
    days_seen = weights.sum(1)
    ages = drawn_days(weights[:, 0], days_seen, shares.shape[1])
    oldest = np.maximum((weights > 0.0).sum(1) - 1, 0)
    ages = np.minimum(ages, oldest[:, None, None])
    drawn = np.take_along_axis(rates, ages.reshape(len(rates), -1), 1).reshape(ages.shape)
    factors = level_factors(burstiness(rates, weights), days_seen)
    ahead: Floats = drawn * factors[:, :, None] * shares[:, None, :]
    return ahead


def active_day_rate(rates: Floats, weights: Floats) -> Floats:
    """Three quarters of what an active day costs, by a memory of seven days: [series]."""
    ages = np.cumsum(weights, 1) - weights
    kept = weights * 0.5 ** (ages / 7.0)
    total = np.maximum(kept.sum(1), 1e-9)
    level, active = (kept * rates).sum(1) / total, (kept * (rates > 0.0)).sum(1) / total
    rate: Floats = 0.75 * level / np.maximum(active, 0.05)
    return rate
