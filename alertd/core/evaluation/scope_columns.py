"""The ledger as columns for one evaluation: costs computed once for all budgets, and the scopes of one period.

Amounts are exact: quantities times prices are added up as whole numbers of the prices' last digit. Nothing is decided.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import cached_property
from itertools import chain
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from alertd.core.budgets import TOKENS, Budget, Scope, scope_text
from alertd.core.evaluation.values import (
    EvaluationContext,
)
from alertd.core.ledger.columns import Ledger, SeriesRow
from alertd.core.periods import midnights
from alertd.core.pricing.costing import Costs, costs, power_of, times_ten
from alertd.core.pricing.source_roles import counting

#: A scope counts as idle after this many days without any use.
_IDLE_DAYS: Final = 7
#: Scopes whose curves are worked out at a time.
_AT_ONCE: Final = 2048

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Values = TypeVar("Values", bound=np.generic)


class ScopeColumns:
    """The scopes of one table over the days [first, last), in the order of `members`: the series of each."""

    def __init__(self, table: Costs, days: tuple[int, int], today: int, members: Sequence[Sequence[int]]) -> None:
        self.table, self.days, self.today = table, days, today
        self.members = members
        sizes = np.fromiter(map(len, members), np.intp, len(members))
        self._flat = np.fromiter(chain.from_iterable(members), np.int64, int(sizes.sum()))
        self._begins = np.cumsum(sizes) - sizes
        self._filled = np.flatnonzero(sizes)
        self._used = table.used(*days)[self._flat]

    def used_of(self, scope: int) -> list[int]:
        """The series of a scope that were used in the period."""
        part = slice(self._begins[scope], self._begins[scope] + len(self.members[scope]))
        found: list[int] = self._flat[part][self._used[part]].tolist()
        return found

    @cached_property
    def used(self) -> list[bool]:
        """Whether anything of a scope was used in the period."""
        found: list[bool] = (self._added(self._used.astype(np.int64)) > 0).tolist()
        return found

    @cached_property
    def spent(self) -> list[Decimal]:
        """What each scope spent."""
        worth, power = self.table.exact(self._flat, *self.days)
        return _amounts(self._added(worth), power)

    @cached_property
    def born(self) -> list[int]:
        """The first day of history on which one of the series was used that were used in the period."""
        first = np.where(self._used, self._first_used[self._flat], len(self.table.days))
        return self._least(first, len(self.table.days))

    @cached_property
    def born_ever(self) -> list[int]:
        """The first day of the history with usage of any series; its last day without usage."""
        return self._least(self._first_used[self._flat], len(self.table.days) - 1)

    @cached_property
    def idle(self) -> list[bool]:
        """Whether what was used in the period was not used for a week."""
        recent = self.table.used(max(0, self.today - _IDLE_DAYS), self.today + 1)[self._flat]
        found: list[bool] = (self._added((recent & self._used).astype(np.int64)) == 0).tolist()
        return found

    @cached_property
    def curves(self) -> Floats:
        """What each scope spent on each day of history: [scopes, days]; 0 where unpriced."""
        out = np.zeros((len(self.members), len(self.table.days)))
        for begin in range(0, len(self._filled), _AT_ONCE):
            scopes = self._filled[begin : begin + _AT_ONCE]
            low, high = self._begins[scopes[0]], self._begins[scopes[-1]] + len(self.members[scopes[-1]])
            spends = self.table.spends(self._flat[low:high], 0, len(self.table.days))
            out[scopes] = np.add.reduceat(spends, self._begins[scopes] - low, axis=0)
        return out

    @cached_property
    def kinds(self) -> list[frozenset[int]]:
        """The kinds of series that each scope is made of."""
        of = self.table.kind_of[self._flat].tolist()
        begins = self._begins.tolist()
        return [frozenset(of[at : at + len(own)]) for at, own in zip(begins, self.members, strict=True)]

    def marks(self, bits: NDArray[np.generic]) -> list[int]:
        """The bits of all series of each scope together."""
        found = np.zeros(len(self.members), bits.dtype)
        if self._filled.size:
            found[self._filled] = np.bitwise_or.reduceat(bits[self._flat], self._begins[self._filled])
        return [int(mark) for mark in found.tolist()]

    def with_any(self, series: Sequence[int]) -> list[int]:
        """The scopes in which one of these series was used in the period."""
        asked = np.zeros(len(self.table.kind_of), np.bool_)
        asked[series] = True
        found: list[int] = np.flatnonzero(self._added((asked[self._flat] & self._used).astype(np.int64))).tolist()
        return found

    def spent_of(self, counts: Ints, day: int) -> list[Decimal]:
        """What these counts of every series cost each scope, at the newest prices of a day; of what the period used."""
        newest = [newest_price(runs, day) for runs in self.table.segments]
        power = min(map(power_of, newest), default=0)
        prices = np.array([times_ten(price, -power) for price in newest], object)
        own = np.where(self._used, counts[self._flat], 0).astype(object)
        return _amounts(self._added(own * prices[self.table.kind_of[self._flat]]), power)

    def added_up(self, values: NDArray[Values]) -> NDArray[Values]:
        """One value of every series, added up by scope."""
        return self._added(values[self._flat])

    def used_in(self, counts: Ints) -> list[bool]:
        """Whether any of these counts of every series is of a scope."""
        found: list[bool] = (self._added((counts[self._flat] != 0).astype(np.int64)) > 0).tolist()
        return found

    @cached_property
    def _first_used(self) -> Ints:
        used = self.table.quantities != 0
        return np.where(used.any(axis=1), used.argmax(axis=1), len(self.table.days) - 1)

    def _added(self, values: NDArray[Values]) -> NDArray[Values]:
        """One value a series, added up by scope."""
        out = np.zeros(len(self.members), values.dtype)
        if self._filled.size:
            out[self._filled] = np.add.reduceat(values, self._begins[self._filled])
        return out

    def _least(self, values: Ints, none: int) -> list[int]:
        out = np.full(len(self.members), none, np.int64)
        if self._filled.size:
            out[self._filled] = np.minimum.reduceat(values, self._begins[self._filled])
        found: list[int] = out.tolist()
        return found


def newest_price(runs: Sequence[tuple[int, int, Decimal]], day: int) -> Decimal:
    """What a unit cost on a day, or on the last one before it that had a price."""
    return next((price for begin, _, price in reversed(runs) if begin <= day), Decimal(0))


def _amounts(whole: NDArray[np.object_], power: int) -> list[Decimal]:
    return [Decimal(number).scaleb(power) for number in whole.tolist()]


def scopes(budget: Budget, ledger: Ledger, counts: Callable[[SeriesRow], bool]) -> dict[Scope, Sequence[int]]:
    """The series of each of a budget's scopes. Scopes that only the table knows are there too, without series.

    Series for which `counts` does not hold are a check on others that see the same traffic; they are in no scope.
    """
    return scopes_without(budget, ledger, uncounted_kinds(ledger, counts))


def uncounted_kinds(ledger: Ledger, counts: Callable[[SeriesRow], bool]) -> frozenset[int]:
    """The kinds of series that count towards nothing."""
    return frozenset(kind for kind, row in enumerate(ledger.kinds) if not counts(row))


def scopes_without(budget: Budget, ledger: Ledger, kinds: frozenset[int]) -> dict[Scope, Sequence[int]]:
    """As `scopes`, without the series of some kinds."""
    found: dict[Scope, Sequence[int]] = {} if budget.per else {(): ()}
    for values in budget.table:
        found[tuple((label, value or None) for label, value in zip(budget.per, values, strict=True))] = ()
    for scope, indices in ledger.label_index.by_value(budget.where, budget.per).items():
        kept = [index for index in indices if ledger.kind_at(index) not in kinds] if kinds else indices
        if kept:
            found[tuple(zip(budget.per, scope, strict=True))] = kept
    return dict(sorted(found.items(), key=lambda item: scope_text(item[0]))) if budget.per else found


def columns(table: Costs, start: datetime, end: datetime) -> tuple[int, int]:
    """The local days from `start` to `end` as columns of a table."""
    first, last = (bisect_left(table.borders, at.timestamp()) for at in (start, end))
    return min(first, len(table.days)), min(last, len(table.days))


def column(table: Costs, instant: datetime) -> int:
    """The local day an instant falls in, as a column."""
    return max(0, min(bisect_right(table.borders, instant.timestamp()) - 1, len(table.days) - 1))


#: Days of history that a projection may look back over.
HISTORY_DAYS: Final = 120
#: Finer than any price of one token; what a shared free tier leaves behind the 28th digit is no money.
EXACT: Final = Decimal("1e-12")


class LedgerCosts:
    """A ledger in one evaluation's context: costs by zone and unit, usage of spans, series by source."""

    def __init__(self, ledger: Ledger, context: EvaluationContext, earliest: datetime | None = None) -> None:
        """`earliest` is the start of the oldest period that will be asked for."""
        self.ledger = ledger
        self.context = context
        reach = 0 if earliest is None else (context.now - earliest).days + 2
        oldest = ledger.earliest()
        known = HISTORY_DAYS if oldest is None else int(context.now.timestamp() - oldest) // 86400 + 2
        self.days = max(min(HISTORY_DAYS, known), reach)
        self._costs: dict[tuple[str, str, bool], Costs] = {}
        self._counted: dict[bool, Callable[[SeriesRow], bool]] = {}
        self._without: dict[bool, frozenset[int]] = {}
        self._between: dict[tuple[float, float], NDArray[np.int64]] = {}
        self._of_source: dict[str, NDArray[np.bool_]] = {}

    def costs(self, zone: tzinfo, unit: str, counts_as: str = "") -> Costs:
        """The ledger's costs by local day, back to the earliest period, and today.

        `counts_as` is the unit whose series are counted, where that is another: what a budget's own usage is worth.
        """
        tokens = (counts_as or unit) == TOKENS
        key = (str(zone), unit, tokens)
        if key not in self._costs:
            today = self.context.now.astimezone(zone).date()
            days, borders = midnights(zone, today - timedelta(days=self.days), self.days + 1)
            self._costs[key] = costs(
                self.ledger,
                unit,
                days,
                borders,
                tariff=self.context.tariff,
                exchange=self.context.exchange,
                counted=self.counted(counts_as or unit),
            )
        return self._costs[key]

    def counted(self, unit: str) -> Callable[[SeriesRow], bool]:
        """Which series count towards an amount in this unit: traffic that two sources see counts once."""
        tokens = unit == TOKENS
        if tokens not in self._counted:
            self._counted[tokens] = counting(self.ledger.kinds, self.context.standings, tokens=tokens)
        return self._counted[tokens]

    def between(self, start: float, end: float) -> NDArray[np.int64]:
        """The usage of every series in [start, end)."""
        if (start, end) not in self._between:
            self._between[start, end] = self.ledger.between(start, end)
        return self._between[start, end]

    def of_source(self, name: str) -> NDArray[np.bool_]:
        """Which series are of a source."""
        if name not in self._of_source:
            kinds = np.array([row.source == name for row in self.ledger.kinds], np.bool_)
            self._of_source[name] = kinds[self.ledger.kind_of]
        known = self._of_source[name]
        if len(known) < len(self.ledger.series):
            del self._of_source[name]
            return self.of_source(name)
        return known

    def spent_of_source(self, name: str, unit: str, start: datetime, end: datetime) -> Decimal:
        """What a source saw in a span, at the prices of its last day."""
        table = self.costs(UTC, unit)
        everything = [int(index) for index in np.flatnonzero(self.of_source(name)[: len(table.kind_of)])]
        day = column(table, end)
        sheet = ScopeColumns(table, (0, len(table.days)), day, [everything])
        return sheet.spent_of(self.between(start.timestamp(), end.timestamp()), day)[0].quantize(EXACT).normalize()

    def left_out(self, unit: str) -> frozenset[int]:
        tokens = unit == TOKENS
        if tokens not in self._without:
            self._without[tokens] = uncounted_kinds(self.ledger, self.counted(unit))
        return self._without[tokens]
