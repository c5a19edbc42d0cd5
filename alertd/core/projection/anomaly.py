"""Whether a day so far is unusual: its spend against the same hours of earlier days. It knows no budget.

The logarithms of the earlier days' spends by the same hour are taken as normal, with their median and a spread that is
widened for having been seen on few days; the day's own is then as probable as it lies far out. Idle days count as a
little, so that a first busy day after idle weeks is unusual and one among many is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import erf, exp, log, sqrt
from statistics import median
from typing import Final

#: Fewer earlier days say nothing about what is usual.
LEAST_DAYS: Final = 7
#: An idle day counts as this share of the mean of the others.
_SOFT: Final = 0.05
#: The spread of logarithms is at least this: nobody's days agree to a tenth.
_LEAST_SPREAD: Final = 0.25
_TO_SPREAD: Final = 1.4826  # a normal distribution's standard deviation, in median absolute deviations
_TENTH: Final = 1.2816  # its 90% quantile


@dataclass(frozen=True, slots=True)
class Unusual:
    """A day so far: its spend, the usual range by this hour (80% of days), and the probability of less spend."""

    spent: float
    low: float
    high: float
    probability: float


def unusual(spent: float, before: Sequence[float]) -> Unusual | None:
    """How unusual a spend is, compared with the same hours of earlier days; None if there are too few days."""
    if len(before) < LEAST_DAYS or not any(value > 0 for value in before):
        return None
    soft = _SOFT * sum(max(0.0, value) for value in before) / len(before)
    logs = [log(max(0.0, value) + soft) for value in before]
    middle = median(logs)
    spread = max(_LEAST_SPREAD, _TO_SPREAD * median(abs(value - middle) for value in logs))
    spread *= 1 + 2 / len(before)
    away = (log(max(0.0, spent) + soft) - middle) / spread
    low, high = (max(0.0, exp(middle + side * _TENTH * spread) - soft) for side in (-1, 1))
    return Unusual(spent, low, high, 0.5 * (1 + erf(away / sqrt(2))))
