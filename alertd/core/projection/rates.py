"""Rates of past days, how far a level may move, and how likely each past day is to come again.

`rates` and `weights` are [series x days], newest day first: what each day cost at its full length, and how much of it
was seen (1 for a whole day, 0 before the first day with spend). Every result scales with the series.

The rest of a period is played out in `RUNS` runs. A run takes one of four memories, draws each coming day from the past
ones by that memory's weight, and multiplies them by one log-normal factor: how far the level itself may move. Bursty
series may move further, and young bursty ones come down. The draws are a low-discrepancy sequence, the same every time.
Where the last weeks show that weekdays differ, a coming Saturday draws a past Saturday.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alertd.core.projection.series import Floats

_BURST_DAYS: Final = 28
_WEEKS: Final = 8
#: Below this part of the average day a day counts as idle.
_IDLE: Final = 1e-3
_LEAST: Final = 1e-9
#: What new series usually turn out to have, and the number of days seen that it weighs as much as; fitted on 20 people.
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
    """The mean cost of a day with any spend: [series]."""
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
    level: Floats = weighted(np.sqrt(rates), _recent(weights, days)) ** 2
    return level


def _recent(weights: Floats, days: float | Floats) -> Floats:
    """The weights of the last `days` days, 0 before them; `days` is one number, or one for each series [series x 1]."""
    kept: Floats = weights * (np.cumsum(weights, 1) - weights < days)
    return kept


def burstiness(rates: Floats, weights: Floats) -> Floats:
    """How unlike the last 28 days are: 0 when every day is the same, 0.7 when every second one is idle. [series].

    It is -ln(mean(sqrt x)^2 / mean x), softened for a series near zero. The idle days at the end come on top of the 28:
    who was busy and has been idle for a month is not regular.
    """
    recent = _recent(weights, _BURST_DAYS + idle_days(rates, weights)[:, None])
    soft = 0.02 * weighted(rates, weights)
    level = weighted(rates, recent) + soft
    known = level > 0.0
    part = np.where(known, weighted(np.sqrt(rates), recent) ** 2 + soft, 1.0) / np.where(known, level, 1.0)
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
    """The burstiness with that of usual new series beside it, as if seen for as long: a day or two say little."""
    seen = days_seen * days_seen
    found: Floats = (seen * burst + _USUAL_BURST_DAYS * _USUAL_BURST) / (seen + _USUAL_BURST_DAYS)
    return found


Ages = NDArray[np.intp]

#: Odd, so that one run is the median.
RUNS: Final = 201
HALF_LIVES_DAYS: Final = (2.0, 7.0, 28.0, 90.0)
_MEMORY: Final = np.arange(RUNS) % len(HALF_LIVES_DAYS)
_HALF_LIVES: Final = np.array(HALF_LIVES_DAYS)[_MEMORY]
_GOLDEN: Final = 0.6180339887498949
#: The largest share of the runs in which the rest of today is like today so far, and the hours by which that is known.
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

    A memory is never shorter than the series has been idle: what lay still for two weeks is not estimated by two days.
    """
    points = ((np.arange(RUNS)[:, None] + 0.5) * _ROOTS[np.arange(coming) % _ROOTS.size]) % 1.0
    decay = np.log(0.5) / np.maximum(_HALF_LIVES, idle[:, None])
    forgotten = np.exp(decay * weights.sum(1)[:, None])[:, :, None]
    ages = np.log(forgotten + points * (1.0 - forgotten)) / decay[:, :, None]
    days = np.ceil(ages - weights[:, :1, None] + 1e-9).astype(np.intp)
    drawn: Ages = np.clip(days, 0, oldest_day(weights)[:, None, None])
    return drawn


def goes_on(ages: Ages, today: Floats) -> Ages:
    """The drawn days; in some runs the rest of today is like today so far, in more of them the later in the day it is.

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
    """The factor of each run's level on the drawn days: [series x runs]."""
    spread = np.minimum(1.3, 0.1 + 1.4 * np.sqrt(burstiness_of_young(burst, days_seen)))
    young = -0.7 * np.exp(-days_seen / 30.0) * burst / (burst + 0.1)
    return np.exp(young[:, None] + spread[:, None] * _SCORES)


def increments(daily_rates: Floats, factors: Floats, shares: Floats, ages: Ages) -> Floats:
    """What each run spends on each coming day: [series x runs x coming].

    `daily_rates` are [series x days], newest first; `ages` say which of them is drawn for each coming day, `factors`
    how far each run's level differs, `shares` [series x coming] how much of each coming day counts.
    """
    drawn = np.take_along_axis(daily_rates, ages.reshape(len(daily_rates), -1), 1).reshape(ages.shape)
    ahead: Floats = drawn * factors[:, :, None] * shares[:, None, :]
    return ahead


_WEEKDAY_WEEKS: Final = 8
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
    """The part of the burstiness that the weekly pattern explains: [series]."""
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
    count = min((rates.shape[1] - 1) // 7, _WEEKDAY_WEEKS)
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
