"""Propose amounts for budgets: for each scope the projected spend of the next month, and a margin above it.

daily costs of each scope -> the projected total of the next month (its growth and its weekdays) -> an amount
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from alertd.core.budgets import Scope
from alertd.core.projection import DAY, Question, Series, project_many

#: The chance that the next month stays within the amount, where the projection is right.
WITHIN: Final = 0.8
#: A projection from fewer days than this is said to be one.
FEW_DAYS: Final = 28
#: What cost nothing for this many days gets no amount: nobody knows whether it comes back.
IDLE_DAYS: Final = 30
_ONE_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class AmountProposal:
    """An amount for one scope. `months` are the complete ones, oldest first, with what each cost.

    `likely` and `high` are the median and the 80% quantile of the next month's projected total; `days` is how many days
    of spend they come from. `amount` is `high`, rounded up to two digits.
    """

    scope: Scope
    months: Sequence[tuple[date, Decimal]]
    days: int
    likely: Decimal
    high: Decimal
    amount: Decimal

    @property
    def exceeded(self) -> int:
        """How many of the complete months cost more than the amount."""
        return sum(cost > self.amount for _, cost in self.months)


def split_idle(
    costs: Mapping[Scope, Sequence[Decimal]],
) -> tuple[Mapping[Scope, Sequence[Decimal]], Sequence[Scope]]:
    """The scopes that cost anything in the last days, and those that did only before."""
    active = {scope: days for scope, days in costs.items() if any(day > 0 for day in days[-IDLE_DAYS:])}
    return active, sorted((scope for scope in costs if scope not in active), key=str)


def propose(costs: Mapping[Scope, Sequence[Decimal]], first: date, zone: ZoneInfo) -> list[AmountProposal]:
    """A proposal for each scope that cost anything, the largest first. `costs` are by day, from `first` on, complete.

    A scope's days before its first cost are not counted: it began then.
    """
    spending = {scope: days for scope, days in costs.items() if any(day > 0 for day in days)}
    begun = {scope: next(n for n, day in enumerate(days) if day > 0) for scope, days in spending.items()}
    questions = [_next_month(days, begun[scope], first, zone) for scope, days in spending.items()]
    found = []
    for (scope, days), projection in zip(spending.items(), project_many(questions), strict=True):
        high = Decimal(str(round(projection.quantile(WITHIN), 6)))
        found.append(
            AmountProposal(
                scope,
                _complete_months(days, begun[scope], first),
                len(days) - begun[scope],
                Decimal(str(round(projection.quantile(0.5), 6))),
                high,
                rounded_up(high),
            )
        )
    return sorted(found, key=lambda one: (-one.amount, str(one.scope)))


def rounded_up(value: Decimal) -> Decimal:
    """Up to two digits: 527.2 is 530, 1,234 is 1,300; what is below 10 is a whole number, 1 at least."""
    if value <= 1:
        return Decimal(1)
    step = Decimal(10) ** max(0, value.adjusted() - 1)
    return (value / step).to_integral_value(ROUND_CEILING) * step


def _next_month(days: Sequence[Decimal], begun: int, first: date, zone: ZoneInfo) -> Question:
    """The whole month that begins after the last day, asked at the end of that day."""
    start = first + begun * _ONE_DAY
    last = first + (len(days) - 1) * _ONE_DAY
    month = _month_after(last)
    values = np.array([float(day) for day in days[begun:]])
    series = Series(_midnight(start, zone), values, DAY, None, "spend")
    return Question(series, _midnight(month, zone), _midnight(_month_after(month), zone))


def _complete_months(days: Sequence[Decimal], begun: int, first: date) -> list[tuple[date, Decimal]]:
    """The months that the days cover from the first day to the last."""
    end = first + len(days) * _ONE_DAY
    start = first + begun * _ONE_DAY
    month = start if start.day == 1 else _month_after(start)
    found = []
    while (after := _month_after(month)) <= end:
        low, high = ((day - first).days for day in (month, after))
        found.append((month, sum(days[low:high], Decimal(0))))
        month = after
    return found


def _month_after(day: date) -> date:
    return (day.replace(day=1) + 32 * _ONE_DAY).replace(day=1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)
