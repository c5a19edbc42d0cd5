"""The distribution of a period's total, and what can be asked of it. It answers; it decides nothing."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

import numpy as np

from alertd.core.deferred import Deferred
from alertd.core.projection.grid import Grid
from alertd.core.projection.series import Floats

#: The quantiles of the public contract.
LEVELS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
#: The levels at which the fan of a projection is kept, from the least run to the greatest.
FAN_LEVELS: Final = tuple(k / 20 for k in range(21))
#: Below this probability nobody is told when a budget would be used up.
_WORTH_A_DATE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Exhaustion:
    """When a budget is used up, if it is: one time in ten before `low`, one in ten after `high`."""

    low: dt.datetime
    likely: dt.datetime
    high: dt.datetime


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """What a period may cost in all, in the unit of the series, spent so far included.

    spent     spent in the period so far
    totals    the total of each run, least first
    fans      the fan, worked out when it is asked for
    alert_level  the largest budget for which the forecast threshold at its default would alert now
    method    how it was found
    grid, steps, opening, period_start  what was spent when: each step of the past and where it lies
    """

    spent: float
    totals: Floats
    fans: Deferred[Floats]
    alert_level: float
    method: str
    grid: Grid
    steps: Floats
    opening: float
    period_start: dt.datetime

    @property
    def fan(self) -> Floats:
        """[instants x FAN_LEVELS] quantiles of what is spent by then."""
        return self.fans.value

    @property
    def seen_until(self) -> dt.datetime:
        """The end of what was seen."""
        return self.grid.instant(self.grid.seen_until)

    @property
    def instants(self) -> tuple[dt.datetime, ...]:
        """Where the fan stands: the end of what was seen, then the end of each coming day."""
        return tuple(self.grid.instant(at) for at in (self.grid.seen_until, *self.grid.ends))

    @property
    def quantiles(self) -> tuple[float, ...]:
        """The period's total at each of LEVELS, in order."""
        return tuple(self.quantile(level) for level in LEVELS)

    @property
    def expected(self) -> float:
        """The mean of the period's total."""
        return max(self.spent, float(self.totals.mean()))

    def quantile(self, level: float) -> float:
        """The total that is not exceeded with probability `level`."""
        if not 0.0 <= level <= 1.0:
            raise ValueError(f"a quantile's level is between 0 and 1, not {level}")
        at = level * (self.totals.size - 1)
        low = int(at)
        high = min(low + 1, self.totals.size - 1)
        return float(self.totals[low] + (at - low) * (self.totals[high] - self.totals[low]))

    def probability_over(self, budget: float) -> float:
        """The probability that the period's total exceeds the budget; 1 where the spend already does."""
        if self.spent > budget:
            return 1.0
        above = int(np.searchsorted(self.totals, budget, side="right"))
        if above in (0, self.totals.size):
            return float(above == 0)
        low, high = self.totals[above - 1], self.totals[above]
        return float(1.0 - (above - 1 + (budget - low) / (high - low)) / (self.totals.size - 1))

    def fires_below(self, probability: float | None = None) -> float:
        """The largest budget exceeded at least with this probability; by default, that for which it alerts."""
        return self.alert_level if probability is None else max(self.spent, self.quantile(1.0 - probability))

    def exhausted_at(self, budget: float) -> Exhaustion | None:
        """When the budget is used up if it is, or None where that has a probability under one in ten."""
        if self.spent >= budget and (crossed := self._crossed(budget)) is not None:
            return Exhaustion(crossed, crossed, crossed)
        probability = self.probability_over(budget)
        if probability < _WORTH_A_DATE or not self.grid.ends.size:
            return None
        return Exhaustion(*(self._reached(budget, 1.0 - probability * part) for part in (0.1, 0.5, 0.9)))

    def _reached(self, budget: float, level: float) -> dt.datetime:
        """When the quantile of this level reaches the budget, evenly between two instants of the fan."""
        curve = np.array([np.interp(level, FAN_LEVELS, row) for row in self.fan])
        instants = np.append(self.grid.seen_until, self.grid.ends)
        after = int(np.searchsorted(curve, budget, side="left"))
        at = instants[min(after, instants.size - 1)]
        if 0 < after < instants.size:
            begin = max(instants[after - 1], self.grid.begins[after - 1])
            at = begin + (budget - curve[after - 1]) / (curve[after] - curve[after - 1]) * (at - begin)
        return self.grid.instant(at).astimezone(self.period_start.tzinfo)

    def _crossed(self, budget: float) -> dt.datetime | None:
        """When in the past the spend reached the budget, evenly within its step."""
        if self.opening >= budget:
            return self.period_start
        inside = np.flatnonzero(self.grid.inside)
        added = self.steps[inside] * self.grid.inside[inside]
        spent = self.opening + np.cumsum(added)
        reached = np.flatnonzero(spent >= budget)
        if not reached.size:
            return None
        index = reached[0]
        part = 1.0 - (spent[index] - budget) / added[index]
        begin, end = self.grid.span(int(inside[index]))
        begin = max(begin, self.period_start)
        return (begin + float(part) * (end - begin)).astimezone(self.period_start.tzinfo)
