"""The distribution of a period's total: its quantiles, probabilities and dates."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from alertd.core.lazy import Deferred
from alertd.core.projection.series import Floats, Grid

#: The quantiles of the public contract.
LEVELS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
#: The levels at which the fan of a projection is kept, from the least run to the greatest.
FAN_LEVELS: Final = tuple(k / 20 for k in range(21))
#: Below this probability no date of exhaustion is given.
_WORTH_A_DATE: Final = 0.1
_HALF: Final = 0.5


@dataclass(frozen=True, slots=True)
class Exhaustion:
    """When a budget is used up, if at all: in 1 of 10 cases before `low`, in 1 of 10 after `high`."""

    low: dt.datetime
    likely: dt.datetime
    high: dt.datetime


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """The total of a period, in the unit of the series; includes the spend so far.

    spent     spent in the period so far
    totals    the total of each run, least first
    fans      the fan, worked out when it is asked for
    method    how it was found
    grid, steps, opening, period_start  what was spent when: each step of the past and where it lies
    """

    spent: float
    totals: Floats
    fans: Deferred[Floats]
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
        """The end of the data."""
        return self.grid.instant(self.grid.seen_until)

    @property
    def instants(self) -> tuple[dt.datetime, ...]:
        """The instants of the fan: the end of the data, then the end of each coming day."""
        return tuple(self.grid.instant(at) for at in (self.grid.seen_until, *self.grid.ends))

    @property
    def quantiles(self) -> tuple[float, ...]:
        """The period's total at each of LEVELS, in order."""
        return tuple(self.quantile(level) for level in LEVELS)

    @property
    def expected(self) -> float:
        """The mean of the period's total."""
        return max(self.spent, float(self.totals.mean()))

    @property
    def alert_level(self) -> float:
        """The largest budget for which the forecast threshold at its default would alert: half the runs exceed it.

        It is the first run above the median. Where the runs leave a gap there, any budget in the gap has a chance of
        one half, and alerts.
        """
        return float(self.totals[min(self.totals.size // 2 + 1, self.totals.size - 1)])

    def quantile(self, level: float) -> float:
        """The total that is not exceeded with probability `level`."""
        if not 0.0 <= level <= 1.0:
            raise ValueError(f"a quantile's level is between 0 and 1, not {level}")
        at = level * (self.totals.size - 1)
        low = int(at)
        high = min(low + 1, self.totals.size - 1)
        return float(self.totals[low] + (at - low) * (self.totals[high] - self.totals[low]))

    def probability_over(self, budget: float) -> float:
        """The probability that the period's total exceeds the budget; 1 where the spend already does.

        It is one half or more exactly where the forecast threshold at its default alerts for this budget.
        """
        if self.spent > budget:
            return 1.0
        above = int(np.searchsorted(self.totals, budget, side="right"))
        if above in (0, self.totals.size):
            return float(above == 0)
        low, high = self.totals[above - 1], self.totals[above]
        probability = float(1.0 - (above - 1 + (budget - low) / (high - low)) / (self.totals.size - 1))
        return max(probability, _HALF) if budget < self.alert_level else probability

    def fires_below(self, probability: float | None = None) -> float:
        """The largest budget exceeded at least with this probability; by default, that for which it alerts."""
        return self.alert_level if probability is None else max(self.spent, self.quantile(1.0 - probability))

    def exhausted_at(self, budget: float) -> Exhaustion | None:
        """When the budget is used up, or None if that is less likely than 1 in 10."""
        if self.spent >= budget and (crossed := self._crossed(budget)) is not None:
            return Exhaustion(crossed, crossed, crossed)
        probability = self.probability_over(budget)
        if probability < _WORTH_A_DATE or not self.grid.ends.size:
            return None
        low, likely, high = (self._reached(budget, self.fan, 1.0 - probability * part) for part in (0.1, 0.5, 0.9))
        zone, instant = self.period_start.tzinfo, self.grid.instant
        return Exhaustion(*(instant(at).astimezone(zone) for at in (low, likely, high)))

    def _reached(self, budget: float, fan: Floats, level: float) -> float:
        """When (seconds) the quantile of this level reaches the budget, evenly between two instants of the fan."""
        at = level * (len(FAN_LEVELS) - 1)
        low = min(int(at), len(FAN_LEVELS) - 2)
        curve = fan[:, low] + (at - low) * (fan[:, low + 1] - fan[:, low])
        instants = np.append(self.grid.seen_until, self.grid.ends)
        after = int(np.searchsorted(curve, budget, side="left"))
        at = instants[min(after, instants.size - 1)]
        if 0 < after < instants.size:
            begin = max(instants[after - 1], self.grid.begins[after - 1])
            at = begin + (budget - curve[after - 1]) / (curve[after] - curve[after - 1]) * (at - begin)
        return float(at)

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


def add_parts(projections: Sequence[Projection], more: float = 0.0) -> Projection:
    """The sum of several projections, each from its own watermark, as if all of them were high or low together.

    `more` was spent in parts of which nothing is projected. Its calendar is that of the newest part.
    """
    if len(projections) == 1 and not more:
        return projections[0]
    newest = max(projections, key=lambda one: one.seen_until)
    size = max(one.totals.size for one in projections)
    at = np.linspace(0.0, 1.0, size)
    totals = sum(np.interp(at, np.linspace(0.0, 1.0, one.totals.size), one.totals) for one in projections) + more

    def fan() -> Floats:
        instants = [when.timestamp() for when in newest.instants]
        rows = newest.fan + more
        for one in projections:
            if one is not newest:
                own = [when.timestamp() for when in one.instants]
                rows = rows + np.stack([np.interp(instants, own, column) for column in one.fan.T], axis=1)
        return np.asarray(rows)

    spent = sum(one.spent for one in projections) + more
    return replace(
        newest,
        spent=spent,
        totals=np.maximum(spent, totals),
        fans=Deferred(fan),
        opening=newest.opening + spent - newest.spent,
        method=f"{newest.method}, {len(projections)} parts",
    )
