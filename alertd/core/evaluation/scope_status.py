"""The budget statuses of all scopes of one period, side by side. Contributors are worked out on demand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alertd.core.budgets import Amount, Anomaly, Budget, BurnRate, Scope, Threshold
from alertd.core.deferred import Deferred
from alertd.core.evaluation.contributors import Recent, evidence
from alertd.core.evaluation.forecast import Forecaster
from alertd.core.evaluation.forecast_calibration import with_width
from alertd.core.evaluation.forecast_inputs import certain_of
from alertd.core.evaluation.freshness import Feed, feed_of
from alertd.core.evaluation.ledger_costs import EXACT, LedgerCosts
from alertd.core.evaluation.minimum_spend import MinimumSpends
from alertd.core.evaluation.scope_columns import ScopeColumns, column, columns, newest_price
from alertd.core.evaluation.status import evaluate_status
from alertd.core.evaluation.values import (
    NO_EVIDENCE,
    BudgetStatus,
    Burn,
    Evidence,
    override_of,
)
from alertd.core.events import Unpriced
from alertd.core.ledger.columns import SeriesRow
from alertd.core.periods import Period
from alertd.core.pricing.costing import Costs
from alertd.core.projection.anomaly import Unusual, unusual

#: Days that say what is usual.
_USUAL_DAYS: Final = 28
#: Over this many hours the highest hourly rate of what is not seen is looked for.
_RATE_HOURS: Final = 168
#: A source that may be this late shows days, not hours.
_DAILY: Final = timedelta(hours=12)
#: Sources that fit into one number.
_MOST_BITS: Final = 62


class _Needs(NamedTuple):
    """What the thresholds of a scope ask for: windows of burn rates, shortest first, and whether the day is usual.

    `floored` are those with a floor in another unit than the budget's.
    """

    windows: tuple[timedelta, ...]
    usual: bool
    thresholds: tuple[Threshold, ...]
    floored: tuple[BurnRate | Anomaly, ...]


class Asked(NamedTuple):
    """A scope that a position is wanted of, and its place in the answer."""

    place: int
    budget: Budget
    scope: Scope
    members: Sequence[int]


class PeriodScopes:
    """The positions of one period's scopes. `number` is always a scope's place among them."""

    def __init__(self, costs: LedgerCosts, table: Costs, period: Period, asked: Sequence[Asked]) -> None:
        self._costs, self._context, self._ledger = costs, costs.context, costs.ledger
        self._table, self._period, self._asked = table, period, asked
        self._current = self._context.now in period
        days, today = columns(table, period.start, period.end), column(table, self._context.now)
        self._sheet = ScopeColumns(table, days, today, [one.members for one in asked])
        self._needs: dict[int, _Needs] = {}
        self._burned: dict[object, list[Decimal]] = {}
        self._hourly: dict[datetime, NDArray[np.int64]] = {}
        self._unpriced = frozenset(self._sheet.with_any(list(table.unpriced))) if table.unpriced else frozenset()
        self._assumed = frozenset(self._sheet.with_any(list(table.assumed))) if table.assumed else frozenset()
        # Nothing that leads back here: what was looked at goes when its positions go.
        priced = partial(costs.costs, period.zone, counts_as=table.unit)
        self._floors = MinimumSpends(self._ledger, self._context, self._sheet, priced, costs.between)

    def positions(self) -> Iterator[tuple[int, BudgetStatus]]:
        """Each with its place in the answer."""
        found = self.unprojected()
        if self._context.commitments:
            found = [self._with_certain(one) for one in found]
        outlook = Forecaster(self._ledger, self._context, self._sheet)
        for number, projection in outlook.projected(found):
            found[number] = replace(found[number], projection=with_width(projection, found[number], self._context))
        return zip((one.place for one in self._asked), map(self._with_status, found), strict=True)

    def _with_status(self, position: BudgetStatus) -> BudgetStatus:
        status, flags = evaluate_status(position, self._context.now)
        return replace(position, status=status, flags=flags)

    def unprojected(self) -> list[BudgetStatus]:
        """All but the projections, in the order asked."""
        feeds = self._feeds()
        return [self._figures(number, one, feeds[number]) for number, one in enumerate(self._asked)]

    def _feeds(self) -> list[Feed]:
        """What the sources of each scope say; scopes that the same sources feed share it."""
        names = sorted({row.source for row in self._ledger.kinds})
        places = {name: place for place, name in enumerate(names)}
        bits = [1 << places[row.source] for row in self._ledger.kinds]
        of_kind = np.array(bits, np.int64 if len(names) <= _MOST_BITS else object)
        marks = self._sheet.marks(of_kind[self._table.kind_of])
        feeds = {
            mark: feed_of({name for name in names if mark >> places[name] & 1}, self._context, self._period)
            for mark in set(marks)
        }
        return [feeds[mark] for mark in marks]

    def _figures(self, number: int, asked: Asked, feed: Feed) -> BudgetStatus:
        budget, scope, sheet = asked.budget, asked.scope, self._sheet
        override = override_of(budget, scope)
        named = BudgetStatus.name_of(budget.name, scope, self._period)
        amount = self._context.raised.get(named) or override.amount or budget.amount
        needs = self._needs_of(override.thresholds or budget.thresholds)
        used = sheet.used[number]
        evaluated = used and feed.data_until is not None
        windows = needs.windows if evaluated and feed.current and self._context.now < self._period.end else ()
        spent = sheet.spent[number] + (budget.opening if self._current else 0)
        burns = {window: self._burn(number, window, feed, amount) for window in windows}
        today = self._day_so_far(number, feed) if needs.usual and evaluated else None
        return BudgetStatus(
            budget=budget,
            scope=scope,
            period=self._period,
            amount=amount,
            spent=spent.quantize(EXACT).normalize(),
            projection=None,
            data_until=feed.data_until,
            seen_until=feed.seen_until,
            late=feed.late,
            silent=feed.silent,
            unseen=self._unseen(number, feed) if feed.stale and used else Decimal(0),
            complete_from=feed.complete_from,
            stale_sources=feed.stale,
            unpriced=tuple(self._without_price(number)) if number in self._unpriced else (),
            assumed=self._assuming(number) if number in self._assumed else (),
            burns=burns,
            matched=bool(asked.members),
            closed=feed.closed,
            idle=sheet.idle[number],
            balance=self._balance(feed.names, budget.amount.unit),
            today=today,
            worths=self._floors.worths(number, needs.floored, burns, today, feed.seen_until) if needs.floored else {},
            used_since=datetime.fromtimestamp(self._table.borders[sheet.born[number]], UTC) if used else None,
            evidence=Deferred(partial(self._evidence, number, windows, feed)) if used else NO_EVIDENCE,
            named=named,
        )

    def _needs_of(self, thresholds: tuple[Threshold, ...]) -> _Needs:
        """What the thresholds of a scope ask for; most scopes share theirs."""
        found = self._needs.get(id(thresholds))
        if found is None:
            windows = {window for t in thresholds if isinstance(t, BurnRate) for window in t.windows}
            usual = any(isinstance(t, Anomaly) for t in thresholds)
            floored = tuple(
                t
                for t in thresholds
                if isinstance(t, BurnRate | Anomaly) and t.minimum_spend and t.minimum_spend.unit != self._table.unit
            )
            found = self._needs[id(thresholds)] = _Needs(tuple(sorted(windows)), usual, thresholds, floored)
        return found

    def _balance(self, feeding: frozenset[str], unit: str) -> Decimal | None:
        """The least that is left of the credits of the sources that feed a scope; other currencies are left out."""
        found = (money for name, money in self._context.balances.items() if name in feeding)
        return min((money.amount for money in found if money.currency == unit), default=None)

    def _burn(self, number: int, window: timedelta, feed: Feed, amount: Amount) -> Burn:
        key = (feed.current, window)
        if key not in self._burned:
            self._burned[key] = self._sheet.spent_of(self._of_late(feed, window), self._sheet.today)
        spent = self._burned[key][number]
        even = float(amount.value) * (window / (self._period.end - self._period.start))
        return Burn(window, spent, float(spent) / even if even else 0.0)

    def _evidence(self, number: int, windows: tuple[timedelta, ...], feed: Feed) -> Evidence:
        counts = [self._of_late(feed, window) for window in reversed(windows)]
        ends = {
            name: column(self._table, view.until - timedelta(microseconds=1))
            for name in feed.names
            if (view := self._context.sources.get(name)) is not None and view.until is not None
        }
        return evidence(self._ledger, self._sheet, number, self._asked[number].scope, Recent(counts, ends))

    def _of_late(self, feed: Feed, window: timedelta) -> NDArray[np.int64]:
        """What every series used in a window that ends at its own source's watermark; 0 of late sources."""
        ends = {at for _, at in feed.current}
        if len(ends) == 1 and len(feed.current) == len(feed.names):
            end = ends.pop().timestamp()
            return self._costs.between(end - window.total_seconds(), end)
        count = len(self._table.kind_of)  # the ledger may have grown since
        found = np.zeros(count, np.int64)
        for name, at in feed.current:
            end = at.timestamp()
            own = self._costs.of_source(name)[:count]
            counts = self._costs.between(end - window.total_seconds(), end)
            found[own] = counts[:count][own]
        return found

    def _unseen(self, number: int, feed: Feed) -> Decimal:
        """What silent sources may have seen since, at their highest hourly rate of the last seven days."""
        kinds, found = self._table.kind_of, 0.0
        for one in feed.late:
            if not one.stale:
                continue
            if one.until not in self._hourly:
                end = one.until.timestamp()
                self._hourly[one.until] = self._ledger.sums([end - 3600 * h for h in range(_RATE_HOURS, -1, -1)])
            sums, rates = self._hourly[one.until], np.zeros(_RATE_HOURS)
            own = self._costs.of_source(one.name)
            for index in self._sheet.members[number]:
                if own[index]:
                    rates += sums[index] * float(newest_price(self._table.segments[kinds[index]], self._sheet.today))
            by_day = rates.reshape(-1, 24)
            view = self._context.sources[one.name]
            daily = view.stale_after + view.delay >= _DAILY  # one figure a day is spread over its hours
            highest = by_day.sum(axis=1).max(initial=0.0) / 24 if daily else rates.max(initial=0.0)
            found += highest * ((min(self._context.now, self._period.end) - one.until) / timedelta(hours=1))
        return Decimal(repr(max(0.0, float(found))))

    def _with_certain(self, position: BudgetStatus) -> BudgetStatus:
        """The position with what is committed until its period ends."""
        return replace(position, certain=certain_of(self._context, position))

    def _day_so_far(self, number: int, feed: Feed) -> Unusual | None:
        """The day so far against the same interval of the days before."""
        until, borders = feed.seen_until or self._context.now, self._table.borders
        today = column(self._table, until - timedelta(microseconds=1))
        length = until.timestamp() - borders[today]
        spends = []
        for day in range(max(self._sheet.born[number], today - _USUAL_DAYS), today + 1):
            span = borders[day], borders[day] + length
            if span not in self._burned:
                self._burned[span] = self._sheet.spent_of(self._costs.between(*span), day)
            spends.append(float(self._burned[span][number]))
        return unusual(spends[-1], spends[:-1]) if spends else None

    def _without_price(self, number: int) -> Iterator[Unpriced]:
        (first, last), unpriced = self._sheet.days, self._table.unpriced
        sums: dict[tuple[str, str, str], int] = {}
        used = [index for index in self._sheet.used_of(number) if index in unpriced]
        for index in used:
            kind = _kind(self._ledger.series[index])
            sums[kind] = sums.get(kind, 0) + int(self._table.quantities[index, first:last].sum())
        reasons = {_kind(self._ledger.series[index]): unpriced[index] for index in used}
        for kind, quantity in sorted(sums.items()):
            yield Unpriced(*kind, quantity=quantity, reason=reasons[kind].reason, nearest=reasons[kind].nearest)

    def _assuming(self, number: int) -> tuple[str, ...]:
        """The models whose price is taken for want of an earlier one."""
        used = (index for index in self._sheet.used_of(number) if index in self._table.assumed)
        return tuple(sorted({self._ledger.series[index].model for index in used}))


def _kind(row: SeriesRow) -> tuple[str, str, str]:
    return (row.provider, row.model, row.meter)
