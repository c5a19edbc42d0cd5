"""The spend of a budget's scope by label and by day, and the totals of earlier periods. Only shown to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Final

import numpy as np

from alertd.core.evaluation.scope_columns import LedgerCosts, column, newest_price
from alertd.core.evaluation.values import BudgetStatus, Facts
from alertd.core.periods import Period

#: What usage can be split by beside its labels.
DIMENSIONS: Final = ("key", "model", "team", "provider")
_PERIODS: Final = 12
_HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class BreakdownPart:
    """One value of a label ("" for usage without it): what it spent in the period, and on each of its days."""

    value: str
    spent: Decimal
    daily: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The parts of a period's spend, the largest first, over `days`; what has no price is in no part."""

    label: str
    days: tuple[date, ...]
    parts: tuple[BreakdownPart, ...]

    @property
    def spent(self) -> Decimal:
        return sum((part.spent for part in self.parts), Decimal(0))


@dataclass(frozen=True, slots=True)
class PastPeriod:
    """What one earlier period came to; `complete` where usage is known from its first day on."""

    period: Period
    spent: Decimal
    complete: bool
    daily: tuple[float, ...]


class ScopeUsage:
    """One budget's scope over the ledger of the last evaluation."""

    def __init__(self, facts: Facts, position: BudgetStatus) -> None:
        self._ledger, self._position = facts.ledger, position
        self._table = LedgerCosts(facts.ledger, facts.context).costs(position.period.zone, position.amount.unit)
        budget, scope = position.budget, dict(position.scope)
        #: The places of its series in the ledger.
        self.rows = [
            index
            for index, row in enumerate(facts.ledger.series)
            if budget.where.matches(labels := row.all_labels())
            and all(labels.get(label) == value for label, value in scope.items())
        ]

    def _columns(self, period: Period) -> tuple[int, int]:
        days = self._table.days
        first = period.start.astimezone(period.zone).date()
        begin = next((place for place, one in enumerate(days) if one >= first), len(days))
        end = next((place for place, one in enumerate(days) if one > period.last_day), len(days))
        return begin, end

    def only(self, labels: Mapping[str, str]) -> ScopeUsage:
        """The part of the usage that has these labels ("": that lacks one), the model and provider among them."""
        part = copy(self)
        part.rows = [
            index
            for index in self.rows
            if all(self._ledger.labels[index].get(name, "") == value
                   for name, value in labels.items())
        ]  # fmt: skip
        return part

    def by(self, label: str, period: Period | None = None, day: date | None = None) -> Breakdown:
        """The parts by a label, or by `provider`, `model`, `meter`; of one day where one is given."""
        begin, end = self._columns(period or self._position.period)
        if day is not None:
            begin, end = next(((at, at + 1) for at in range(begin, end) if self._table.days[at] == day), (end, end))
        groups: dict[str, list[int]] = {}
        for index in self.rows:
            groups.setdefault(self._ledger.series[index].all_labels().get(label, ""), []).append(index)
        parts = []
        for value, group in groups.items():
            spent = sum((self._table.exact_between(index, begin, end) for index in group), Decimal(0))
            if spent:
                daily = self._table.spends(np.array(group), begin, end).sum(axis=0).tolist()
                parts.append(BreakdownPart(value, spent, tuple(daily)))
        parts.sort(key=lambda part: (-part.spent, part.value))
        return Breakdown(label, tuple(self._table.days[begin:end]), tuple(parts))

    def hourly(self, end: datetime, hours: int = 24) -> list[float]:
        """What was spent in each of the last hours before an instant, as far as usage is known by the hour."""
        found, last = [0.0] * hours, int(end.timestamp())
        buckets = self._ledger.buckets(self.rows, last - hours * _HOUR) if self.rows else None
        if buckets is None:
            return found
        day = column(self._table, end - timedelta(microseconds=1))
        prices = {index: float(newest_price(self._table.prices(index), day)) for index in self.rows}
        for index, start, width, quantity in zip(*(part.tolist() for part in buckets), strict=True):
            place = hours - 1 - (last - 1 - min(start + width // 2, last - 1)) // _HOUR
            if width <= _HOUR and start < last and place >= 0:
                found[place] += quantity * prices[index]
        return found

    def past(self) -> list[PastPeriod]:
        """Earlier periods, the newest first, as far as usage is known."""
        found, rule, period = [], self._position.budget.period, self._position.period
        known = self._table.days[0] if self._table.days else None
        for _ in range(_PERIODS):
            period = rule.previous(period)
            if known is None or period.last_day < known or not self.rows:
                break
            begin, end = self._columns(period)
            spent = sum((self._table.exact_between(index, begin, end) for index in self.rows), Decimal(0))
            daily = self._table.spends(np.array(self.rows), begin, end).sum(axis=0).tolist()
            first = period.start.astimezone(period.zone).date()
            found.append(PastPeriod(period, spent, first >= known and self._is_known(period), tuple(daily)))
        while found and not found[-1].spent:
            found.pop()
        return found

    def _is_known(self, period: Period) -> bool:
        """Whether the ledger reaches back to the first day of a period."""
        earliest = self._ledger.earliest()
        return earliest is not None and earliest < (period.start + timedelta(days=1)).timestamp()


def spent_by_model(facts: Facts, zone: tzinfo, unit: str) -> dict[tuple[str, str], Decimal]:
    """What each (provider, model) cost in the calendar month so far, in `unit`; what has no price is left out."""
    table = LedgerCosts(facts.ledger, facts.context).costs(zone, unit)
    first = facts.context.now.astimezone(zone).date().replace(day=1)
    begin = next((place for place, one in enumerate(table.days) if one >= first), len(table.days))
    found: dict[tuple[str, str], Decimal] = {}
    for index, row in enumerate(facts.ledger.series):
        spent = table.exact_between(index, begin, len(table.days))
        if spent:
            key = (row.line.provider, row.line.model)
            found[key] = found.get(key, Decimal(0)) + spent
    return found


def largest(parts: Sequence[BreakdownPart], count: int) -> list[BreakdownPart]:
    """The largest parts, and the others as one at the end."""
    if len(parts) <= count:
        return list(parts)
    rest = parts[count:]
    daily = tuple(map(sum, zip(*(part.daily for part in rest), strict=True)))
    others = BreakdownPart(f"{len(rest)} others", sum((part.spent for part in rest), Decimal(0)), daily)
    return [*parts[:count], others]
