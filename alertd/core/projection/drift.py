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

from alertd.core.projection import rates
from alertd.core.projection.series import Floats

Ages = NDArray[np.intp]

RUNS: Final = 200
HALF_LIVES_DAYS: Final = (2.0, 7.0, 28.0, 90.0)
_MEMORY: Final = np.arange(RUNS) % len(HALF_LIVES_DAYS)
_HALF_LIVES: Final = np.array(HALF_LIVES_DAYS)[_MEMORY]
_GOLDEN: Final = 0.6180339887498949
#: In so many of the runs, at most, the rest of today is like today so far, and the hours by which that is known.
_SAME: Final = 0.6
_SETTLED_HOURS: Final = 3.0
_TURN: Final = (np.arange(RUNS) * 0.3819660112501051 + 0.5) % 1.0


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


_ROOTS: Final = np.sqrt(_primes(367))
_SCORES: Final = _scores()


def drawn_days(weights: Floats, idle: Floats, coming: int) -> Ages:
    """Which past day (0 the newest) each run draws for each coming day: [series x runs x coming].

    A memory is never shorter than the series has been idle: what lay still for two weeks is not judged by two days.
    """
    points = ((np.arange(RUNS)[:, None] + 0.5) * _ROOTS[np.arange(coming) % _ROOTS.size]) % 1.0
    decay = np.log(0.5) / np.maximum(_HALF_LIVES, idle[:, None])
    forgotten = np.exp(decay * weights.sum(1)[:, None])[:, :, None]
    ages = np.log(forgotten + points * (1.0 - forgotten)) / decay[:, :, None]
    days = np.ceil(ages - weights[:, :1, None] + 1e-9).astype(np.intp)
    drawn: Ages = np.clip(days, 0, oldest_day(weights)[:, None, None])
    return drawn


def goes_on(ages: Ages, today: Floats) -> Ages:
    """The drawn days, with the rest of today as today so far in a part of the runs that grows with what was seen of it.

    `today` [series] is how much of the current day was seen, 0 where its rest is not what comes first. An hour that
    runs away is more likely to be followed by another such hour than by one of last week's; no data settled how much.
    """
    same = (_SAME * (1.0 - np.exp(-24.0 * today / _SETTLED_HOURS)))[:, None] > _TURN
    ages[:, :, 0] = np.where(same, 0, ages[:, :, 0])
    return ages


def oldest_day(weights: Floats) -> Ages:
    """The last day that has any weight: [series]."""
    oldest: Ages = np.maximum((weights > 0.0).sum(1) - 1, 0)
    return oldest


def level_factors(burst: Floats, days_seen: Floats) -> Floats:
    """How each run's level differs from what was drawn: [series x runs]."""
    spread = np.minimum(1.3, 0.1 + 1.4 * np.sqrt(rates.burstiness_of_young(burst, days_seen)))
    young = -0.7 * np.exp(-days_seen / 30.0) * burst / (burst + 0.1)
    return np.exp(young[:, None] + spread[:, None] * _SCORES)


def increments(daily_rates: Floats, factors: Floats, shares: Floats, ages: Ages) -> Floats:
    """What each run spends on each coming day: [series x runs x coming].

    `daily_rates` are [series x days], newest first; `ages` say which of them stands for each coming day, `factors` how
    far each run's level differs, `shares` [series x coming] how much of each coming day counts.
    """
    drawn = np.take_along_axis(daily_rates, ages.reshape(len(daily_rates), -1), 1).reshape(ages.shape)
    ahead: Floats = drawn * factors[:, :, None] * shares[:, None, :]
    return ahead
