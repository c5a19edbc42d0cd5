"""From the ledger to positions: what each budget scope spent and how it may end. Decides nothing.

Scopes of one zone, unit and period lie side by side in a sheet, so that a tick's work is a few passes over columns;
who drives a position is worked out where somebody is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alertd.core.budgets import TOKENS, Amount, Budget, Scope, Threshold, scope_text
from alertd.core.deferred import Deferred
from alertd.core.evaluation.contributors import Recent, evidence
from alertd.core.evaluation.forecast import Forecaster, certain_of, column, columns, committed_scopes, with_width
from alertd.core.evaluation.minimum_spend import MinimumSpends
from alertd.core.evaluation.scope_columns import ScopeColumns, left_out, newest_price, scopes_without
from alertd.core.evaluation.status import evaluate_status
from alertd.core.evaluation.values import (
    NO_EVIDENCE,
    BudgetStatus,
    Burn,
    EvaluationContext,
    Evidence,
    LateSource,
    SourceView,
    failure_text,
    override_of,
)
from alertd.core.events import Unpriced
from alertd.core.ledger.columns import Ledger, SeriesRow
from alertd.core.periods import Period, midnights
from alertd.core.pricing.costing import Costs, costs
from alertd.core.pricing.source_roles import counting
from alertd.core.projection.anomaly import Unusual, unusual

#: Days of history that a projection may look back over.
HISTORY_DAYS: Final = 120
#: Finer than any price of one token; what a shared free tier leaves behind the 28th digit is no money.
_EXACT: Final = Decimal("1e-12")
#: Days that say what is usual.
_USUAL_DAYS: Final = 28
#: A source whose data end so long before now is named as late.
_LATE: Final = timedelta(hours=1)
#: One whose data end so long before the newest ones says nothing of the present: it adds nothing to a burn rate.
_APART: Final = timedelta(hours=2)
#: Over so many hours the highest hourly rate of what is not seen is looked for.
_RATE_HOURS: Final = 168
#: A source that may be this late tells days, not hours.
_DAILY: Final = timedelta(hours=12)
#: Sources that fit into one number.
_MOST_BITS: Final = 62


class _Feed(NamedTuple):
    """What the sources that feed a scope say together.

    `current` are the watermarks of those that are near enough to the newest data to speak for the same moment; a late
    one adds nothing to a burn rate.
    """

    names: frozenset[str]
    data_until: datetime | None
    seen_until: datetime | None
    complete_from: datetime | None
    stale: tuple[str, ...]
    late: tuple[LateSource, ...]
    current: tuple[tuple[str, datetime], ...]
    silent: bool
    closed: bool


class _Needs(NamedTuple):
    """What the thresholds of a scope ask for: windows of burn rates, shortest first, and whether the day is usual.

    `floored` are those with a floor in another unit than the budget's.
    """

    windows: tuple[timedelta, ...]
    usual: bool
    thresholds: tuple[Threshold, ...]
    floored: tuple[Threshold, ...]


class _Asked(NamedTuple):
    """A scope that a position is wanted of, and its place in the answer."""

    place: int
    budget: Budget
    scope: Scope
    members: Sequence[int]


class StatusEvaluator:
    """One look at the ledger: the costs by zone and unit are worked out once and serve every budget."""

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
        self._left_out: dict[bool, frozenset[int]] = {}
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

    def positions(self, budget: Budget, at: datetime | None = None) -> list[BudgetStatus]:
        """The positions of a budget's scopes in the period that contains `at` (now, where absent), by scope."""
        return self.all_positions([(budget, at)])

    def all_positions(self, asked: Iterable[tuple[Budget, datetime | None]]) -> list[BudgetStatus]:
        """The same of several budgets, one after the other."""
        sheets: dict[tuple[str, str, Period], list[_Asked]] = {}
        count = 0
        for budget, at in asked:
            period = budget.period.containing(at or self.context.now)
            wanted = sheets.setdefault((str(period.zone), budget.amount.unit, period), [])
            members_of = scopes_without(budget, self.ledger, self._without(budget.amount.unit))
            if self.context.commitments and (new := committed_scopes(self.context, budget) - members_of.keys()):
                members_of = {scope: members_of.get(scope, ()) for scope in sorted({*members_of, *new}, key=scope_text)}
            for scope, members in members_of.items():
                wanted.append(_Asked(count, budget, scope, members))
                count += 1
        found: dict[int, BudgetStatus] = {}
        for (_, unit, period), wanted in sheets.items():
            found.update(self._looked(unit, period, wanted))
        return [found[place] for place in range(count)]

    def _looked(self, unit: str, period: Period, asked: Sequence[_Asked]) -> dict[int, BudgetStatus]:
        """The positions of one period, by place. One that cannot be worked out says so; the others are not touched."""
        try:
            return dict(_Look(self, self.costs(period.zone, unit), period, asked).positions())
        except Exception as error:  # noqa: BLE001 - one budget cannot take down another
            if len(asked) == 1:
                return {asked[0].place: self._failed(unit, period, asked[0], failure_text(error))}
        half = len(asked) // 2
        return self._looked(unit, period, asked[:half]) | self._looked(unit, period, asked[half:])

    def _failed(self, unit: str, period: Period, asked: _Asked, failed: str) -> BudgetStatus:
        """A position without its projection; without any figure where those fail, too."""
        try:
            look = _Look(self, self.costs(period.zone, unit), period, [asked])
            return replace(look.unprojected()[0], failed=failed)
        except Exception:  # noqa: BLE001 - the first error is the one that is told
            budget = asked.budget
            named = BudgetStatus.name_of(budget.name, asked.scope, period)
            amount = self.context.raised.get(named) or override_of(budget, asked.scope).amount or budget.amount
            return BudgetStatus(
                budget, asked.scope, period, amount, Decimal(0), None, None, None, failed=failed, matched=False
            )

    def between(self, start: float, end: float) -> NDArray[np.int64]:
        """What every series used in [start, end), as it stands now."""
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
        return sheet.spent_of(self.between(start.timestamp(), end.timestamp()), day)[0].quantize(_EXACT).normalize()

    def _without(self, unit: str) -> frozenset[int]:
        tokens = unit == TOKENS
        if tokens not in self._left_out:
            self._left_out[tokens] = left_out(self.ledger, self.counted(unit))
        return self._left_out[tokens]


class _Look:
    """The positions of one period's scopes. `number` is always a scope's place among them."""

    def __init__(self, survey: StatusEvaluator, table: Costs, period: Period, asked: Sequence[_Asked]) -> None:
        self._survey, self._context, self._ledger = survey, survey.context, survey.ledger
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
        priced = partial(survey.costs, period.zone, counts_as=table.unit)
        self._floors = MinimumSpends(self._ledger, self._context, self._sheet, priced, survey.between)

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

    def _feeds(self) -> list[_Feed]:
        """What the sources of each scope say; scopes that the same sources feed share it."""
        names = sorted({row.source for row in self._ledger.kinds})
        places = {name: place for place, name in enumerate(names)}
        bits = [1 << places[row.source] for row in self._ledger.kinds]
        of_kind = np.array(bits, np.int64 if len(names) <= _MOST_BITS else object)
        marks = self._sheet.marks(of_kind[self._table.kind_of])
        feeds = {mark: self._feed({name for name in names if mark >> places[name] & 1}) for mark in set(marks)}
        return [feeds[mark] for mark in marks]

    def _feed(self, feeding: set[str]) -> _Feed:
        views = [view for name, view in sorted(self._context.sources.items()) if name in feeding]
        untils = {view.name: min(view.until, self._period.end) for view in views if view.until is not None}
        present = min(self._context.now, self._period.end)
        stale = frozenset(view.name for view in views if view.stale(self._context.now))
        late = [LateSource(name, at, name in stale) for name, at in untils.items()
                if name in stale or present - at > _LATE]  # fmt: skip
        silent = not untils.keys() - stale
        newest = max((at for name, at in untils.items() if silent or name not in stale), default=None)
        near = {name: at for name, at in untils.items() if newest and newest - at <= _APART
                and (silent or name not in stale)}  # fmt: skip
        return _Feed(
            frozenset(feeding),
            min(untils.values(), default=None),
            max(untils.values(), default=None),
            _complete_from(views, self._period),
            tuple(sorted(stale)),
            tuple(sorted(late, key=lambda one: (one.until, one.name))),
            tuple(sorted(near.items())),
            silent,
            closed=self._context.now >= self._period.end + max((view.delay for view in views), default=timedelta(0)),
        )

    def _figures(self, number: int, asked: _Asked, feed: _Feed) -> BudgetStatus:
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
            spent=spent.quantize(_EXACT).normalize(),
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
            windows = {window for t in thresholds if t.basis == "burn_rate" for window in t.windows}
            usual = any(t.basis == "anomaly" for t in thresholds)
            floored = tuple(t for t in thresholds if t.floor is not None and t.floor.unit != self._table.unit)
            found = self._needs[id(thresholds)] = _Needs(tuple(sorted(windows)), usual, thresholds, floored)
        return found

    def _balance(self, feeding: frozenset[str], unit: str) -> Decimal | None:
        """The least that is left of the credits of the sources that feed a scope; other currencies are left out."""
        told = (money for name, money in self._context.balances.items() if name in feeding)
        return min((money.amount for money in told if money.currency == unit), default=None)

    def _burn(self, number: int, window: timedelta, feed: _Feed, amount: Amount) -> Burn:
        key = (feed.current, window)
        if key not in self._burned:
            self._burned[key] = self._sheet.spent_of(self._of_late(feed, window), self._sheet.today)
        spent = self._burned[key][number]
        even = float(amount.value) * (window / (self._period.end - self._period.start))
        return Burn(window, spent, float(spent) / even if even else 0.0)

    def _evidence(self, number: int, windows: tuple[timedelta, ...], feed: _Feed) -> Evidence:
        counts = [self._of_late(feed, window) for window in reversed(windows)]
        ends = {
            name: column(self._table, view.until - timedelta(microseconds=1))
            for name in feed.names
            if (view := self._context.sources.get(name)) is not None and view.until is not None
        }
        return evidence(self._ledger, self._sheet, number, self._asked[number].scope, Recent(counts, ends))

    def _of_late(self, feed: _Feed, window: timedelta) -> NDArray[np.int64]:
        """What every series used in a window that ends at its own source's watermark; 0 of late sources."""
        ends = {at for _, at in feed.current}
        if len(ends) == 1 and len(feed.current) == len(feed.names):
            end = ends.pop().timestamp()
            return self._survey.between(end - window.total_seconds(), end)
        count = len(self._table.kind_of)  # the ledger may have grown since
        found = np.zeros(count, np.int64)
        for name, at in feed.current:
            end = at.timestamp()
            own = self._survey.of_source(name)[:count]
            counts = self._survey.between(end - window.total_seconds(), end)
            found[own] = counts[:count][own]
        return found

    def _unseen(self, number: int, feed: _Feed) -> Decimal:
        """What silent sources may have seen since, at their highest hourly rate of the last seven days."""
        kinds, found = self._table.kind_of, 0.0
        for one in feed.late:
            if not one.stale:
                continue
            if one.until not in self._hourly:
                end = one.until.timestamp()
                self._hourly[one.until] = self._ledger.sums([end - 3600 * h for h in range(_RATE_HOURS, -1, -1)])
            sums, rates = self._hourly[one.until], np.zeros(_RATE_HOURS)
            own = self._survey.of_source(one.name)
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

    def _day_so_far(self, number: int, feed: _Feed) -> Unusual | None:
        """The day so far against the same stretch of the days before."""
        until, borders = feed.seen_until or self._context.now, self._table.borders
        today = column(self._table, until - timedelta(microseconds=1))
        length = until.timestamp() - borders[today]
        spends = []
        for day in range(max(self._sheet.born[number], today - _USUAL_DAYS), today + 1):
            span = borders[day], borders[day] + length
            if span not in self._burned:
                self._burned[span] = self._sheet.spent_of(self._survey.between(*span), day)
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


def _complete_from(views: Sequence[SourceView], period: Period) -> datetime | None:
    starts = [view.complete_from for view in views if view.complete_from is not None]
    latest = max(starts, default=None)
    return latest if latest is not None and latest > period.start else None


def _kind(row: SeriesRow) -> tuple[str, str, str]:
    return (row.provider, row.model, row.meter)
