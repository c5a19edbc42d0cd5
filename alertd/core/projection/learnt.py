"""What other people's usage taught about young and bursty series, beside their own drift; regular ones are left alone.

Nine quantiles of the coming daily rate are linear in eight levels of the history (the table). They count where a series
is bursty and has less than some two months behind it; a long or a regular history speaks for itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from alertd.core.projection.drift import RUNS
from alertd.core.projection.rates import levels
from alertd.core.projection.series import Floats
from alertd.core.projection.table import COEFFICIENTS

#: [8 levels of a history x 9 quantiles] of the coming daily rate.
TABLE: Final[Floats] = np.array(COEFFICIENTS)
QUANTILES: Final = np.arange(1, 10) / 10
#: At most this part of the answer is learnt from others.
_TRUST: Final = 0.7
_YOUNG_DAYS: Final = 50.0
#: What is left of today is told by today, and not by others.
_NEAR_DAYS: Final = 1.0
#: How much further from the median the least total lies than the runs say.
_LOWER: Final = 0.4

_RANKS: Final = np.arange(RUNS) / (RUNS - 1)
#: [9 x runs] from nine quantiles to one figure a run, flat beyond the outer two.
_BETWEEN: Final = np.stack([np.interp(_RANKS, QUANTILES, row) for row in np.eye(9)])
_STRETCH: Final = 1.0 + _LOWER * np.clip((0.5 - _RANKS) / 0.4, 0.0, 1.0) ** 2
_MIDDLE: Final = (RUNS - 1) // 2
_TOP: Final = round(0.9 * (RUNS - 1))


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What is known of some series: their days [series x days], their burstiness [series], and what others taught."""

    rates: Floats
    weights: Floats
    burst: Floats
    table: Floats = field(default_factory=lambda: TABLE)

    def trust(self, left: Floats) -> Floats:
        """How much what others taught counts for each series with so many days left, 0 to 0.7."""
        bursty = np.clip((self.burst - 0.1) / 0.2, 0.0, 1.0)
        far = left**2 / (left**2 + _NEAR_DAYS**2)
        part: Floats = _TRUST * bursty * far / (1.0 + (self.weights.sum(1) / _YOUNG_DAYS) ** 3)
        return part


def taught(of: Lesson, left: Floats, totals: Floats) -> Floats:
    """What others would have spent in the days left: [series x runs], ascending as the `totals` of the drift.

    Beyond the outer quantiles the drift's own tail goes on, in proportion.
    """
    rows = np.sort(np.maximum(levels(of.rates, of.weights) @ of.table, 0.0), axis=1) * left[:, None]
    spread = totals[:, _TOP] - totals[:, _MIDDLE]
    scale = np.where(spread > 0.0, (rows[:, 8] - rows[:, 4]) / np.where(spread > 0.0, spread, 1.0), 0.0)
    tail = np.maximum(totals - totals[:, _TOP : _TOP + 1], 0.0) * scale[:, None]
    below = np.clip((0.1 - _RANKS) / 0.1, 0.0, 1.0) * np.minimum(rows[:, 1] - rows[:, 0], rows[:, 0])[:, None]
    others: Floats = rows @ _BETWEEN + tail - below
    return others


def corrected(of: Lesson, left: Floats, totals: Floats) -> Floats:
    """The sorted totals of the drift [series x runs] with what others taught, and with a longer way down."""
    blend = totals + of.trust(left)[:, None] * (taught(of, left, totals) - totals)
    middle = blend[:, _MIDDLE : _MIDDLE + 1]
    return np.sort(np.maximum(middle + (blend - middle) * _STRETCH, 0.0), axis=1)


def reshaped(ahead: Floats, shares: Floats, of: Lesson) -> Floats:
    """The runs [series x runs x coming], each scaled so that their totals are the corrected ones, rank by rank."""
    totals, left = ahead.sum(2), shares.sum(1)
    order = np.argsort(totals, axis=1, kind="stable")
    ascending = np.take_along_axis(totals, order, 1)
    wanted = np.empty_like(totals)
    np.put_along_axis(wanted, order, corrected(of, left, ascending), 1)
    idle = totals <= 0.0
    scaled = ahead * np.where(idle, 0.0, wanted / np.where(idle, 1.0, totals))[:, :, None]
    even = (shares / np.maximum(left, 1e-9)[:, None])[:, None, :]
    outcome: Floats = scaled + np.where(idle, wanted, 0.0)[:, :, None] * even
    return outcome
