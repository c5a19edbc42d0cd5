"""From the ledger to budget statuses: what each scope spent, how fast, and how it may end. Decides nothing.

Scopes of one zone, unit and period lie side by side as columns, so that a tick's work is a few passes over them;
contributors are worked out where something is announced.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property, partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alertd.core.budgets import (
    Actual,
    Amount,
    Anomaly,
    Budget,
    BurnRate,
    Novel,
    Scope,
    Threshold,
    credit_on,
    scope_text,
)
from alertd.core.evaluation.amounts import credit_of, override_of
from alertd.core.evaluation.contributors import (
    Recent,
    assumed_models,
    evidence,
    evidence_within,
    unpriced_usage,
)
from alertd.core.evaluation.forecast import Forecaster
from alertd.core.evaluation.hierarchy import with_hierarchy
from alertd.core.evaluation.minimum_spend import MinimumSpends
from alertd.core.evaluation.renewal import (
    HeldSheet,
    KeptEvaluation,
    KeptStatus,
    Prices,
    ScopeKey,
    SheetKey,
    is_same_feed,
    stays_calm,
    with_figures,
)
from alertd.core.evaluation.scope_columns import (
    EXACT,
    LedgerCosts,
    ScopeColumns,
    column,
    columns,
    newest_price,
    scopes_without,
)
from alertd.core.evaluation.scope_sources import (
    LONG_WINDOW,
    Feed,
    Span,
    certain_of,
    committed_scopes,
    feed_of,
    span_of,
    surest_span,
)
from alertd.core.evaluation.thresholds import evaluate_status
from alertd.core.evaluation.values import (
    NO_EVIDENCE,
    BudgetStatus,
    Burn,
    Credit,
    EvaluationContext,
    Evidence,
    NewValue,
    failure_text,
)
from alertd.core.evaluation.windows import open_windows
from alertd.core.lazy import Deferred
from alertd.core.ledger.columns import Ledger
from alertd.core.periods import Period
from alertd.core.pricing.costing import Costs
from alertd.core.projection.past import Unusual, unusual

#: Days that say what is usual.
_USUAL_DAYS: Final = 28
#: Over this many hours the highest hourly rate of what is not seen is looked for.
_RATE_HOURS: Final = 168
#: A source that may be this late shows days, not hours.
_DAILY: Final = timedelta(hours=12)
#: Sources that fit into one number.
_MOST_BITS: Final = 62
#: With more scopes than this those that no threshold can be crossed by are only counted: the largest of them,
#: and those that spent this share of their amount within this time, are still evaluated.
MANY_SCOPES: Final = 2000
_LARGEST: Final = 200
_SMALL: Final = Decimal("0.05")
_IDLE: Final = timedelta(hours=1)
#: A value is new where it was not used in these days before yesterday, of a scope that is older than a week.
_NOVEL_DAYS: Final = 30
_KNOWN_DAYS: Final = 7
#: The time over which the pace of a window is measured, and the shortest such time.
_PACE: Final = timedelta(minutes=30)
_LEAST_PACE: Final = timedelta(minutes=15)
#: Seconds by which a window that rolls moves on.
_STEP: Final = 300


class _Needs(NamedTuple):
    """What the thresholds of a scope ask for: windows of burn rates, shortest first, and whether the day is usual.

    `other_units` have a minimum spend in another unit than the budget's, `above_usual` ask what is usual.
    """

    windows: tuple[timedelta, ...]
    usual: bool
    thresholds: tuple[Threshold, ...]
    other_units: tuple[BurnRate | Anomaly, ...]
    above_usual: tuple[BurnRate, ...]


class ScopeQuery(NamedTuple):
    """A scope that a status is wanted of, and its place in the answer."""

    place: int
    budget: Budget
    scope: Scope
    members: Sequence[int]


class PeriodScopes:
    """The statuses of one period's scopes. `number` is always a scope's place among them."""

    def __init__(self, costs: LedgerCosts, table: Costs, period: Period, asked: Sequence[ScopeQuery]) -> None:
        self._costs, self._context, self._ledger = costs, costs.context, costs.ledger
        self._table, self._period, self._asked = table, period, asked
        self._current = self._context.now in period
        days, today = columns(table, period.start, period.end), column(table, self._context.now)
        if not period.whole_days:
            days = column(table, period.start), today + 1
        self._sheet = ScopeColumns(table, days, today, [one.members for one in asked])
        self._needs: dict[int, _Needs] = {}
        self._burned: dict[object, list[Decimal]] = {}
        self._hourly: dict[datetime, NDArray[np.int64]] = {}
        self._unpriced = frozenset(self._sheet.with_any(list(table.unpriced))) if table.unpriced else frozenset()
        self._assumed = frozenset(self._sheet.with_any(list(table.assumed))) if table.assumed else frozenset()

    @cached_property
    def _minimum_spends(self) -> MinimumSpends:
        # Nothing that leads back here: what was looked at goes when its statuses go.
        priced = partial(self._costs.costs, self._period.zone, counts_as=self._table.unit)
        return MinimumSpends(self._ledger, self._context, self._sheet, priced, self._costs.between)

    def statuses(self) -> Iterator[tuple[int, BudgetStatus]]:
        """Each with its place in the answer."""
        found = self.unprojected()
        if not self._period.whole_days:
            return zip((one.place for one in self._asked), map(self._with_status, found), strict=True)
        if self._context.commitments:
            found = [self._with_certain(one) for one in found]
        forecaster = Forecaster(self._ledger, self._context, self._sheet)
        for number, projection in forecaster.projected(found):
            if (
                found[number].spent or not found[number].unpriced
            ):  # where nothing has a price, nothing is known to project
                found[number] = replace(found[number], projection=projection)
        return zip((one.place for one in self._asked), map(self._with_status, found), strict=True)

    def _with_status(self, status: BudgetStatus) -> BudgetStatus:
        named, flags = evaluate_status(status, self._context.now)
        return replace(status, status=named, flags=flags)

    def unprojected(self) -> list[BudgetStatus]:
        """All but the projections, in the order asked."""
        return [self._figures(number, one, self.feeds[number]) for number, one in enumerate(self._asked)]

    def kept(self, held: Mapping[ScopeKey, KeptStatus]) -> dict[int, KeptStatus]:
        """By number, the statuses that keep their projections, with the figures of now."""
        found: dict[int, KeptStatus] = {}
        feeds: dict[tuple[int, int], bool] = {}
        for number, asked in enumerate(self._asked):
            old, feed = held.get((asked.budget.name, asked.scope)), self.feeds[number]
            if old is None or old.status.budget is not asked.budget or old.members != len(asked.members):
                continue
            both = id(old.feed), id(feed)
            if both not in feeds:
                feeds[both] = is_same_feed(old.feed, feed)
            if not feeds[both] or number in self._unpriced or (number in self._assumed) != bool(old.status.assumed):
                continue
            spent, used = self._spent(number, asked.budget), self._sheet.used[number]
            if not old.covers(spent) or used != (old.status.used_since is not None):
                continue
            burns = {window: self._burn(number, window, feed, old.status.amount) for window in old.status.burns}
            seen = Deferred(partial(self._evidence, number, tuple(burns), feed)) if used else NO_EVIDENCE
            status = with_figures(old.status, spent, feed, burns, seen)
            if stays_calm(status, self._context.now):
                found[number] = old._replace(status=status)
        return found

    def _spent(self, number: int, budget: Budget) -> Decimal:
        opening = budget.opening if self._current else 0
        if not self._period.whole_days:
            opening, known = 0, self._within(self._period.start.timestamp())[number]
        else:
            known = self._sheet.spent[number]
        spent = known + opening
        return spent.quantize(EXACT).normalize()

    def spent_and_active(self, since: datetime) -> tuple[list[Decimal], list[bool]]:
        """What each scope spent, and whether anything of it was used since."""
        counts = self._costs.between(since.timestamp(), self._context.now.timestamp())
        days = self._period.whole_days
        spent = self._sheet.spent if days else self._within(self._period.start.timestamp())
        return spent, self._sheet.used_in(counts)

    def _within(self, begin: float) -> list[Decimal]:
        """What each scope spent from an instant to the period's end, each local day at its own prices."""
        end = self._period.end.timestamp()
        if (begin, end) not in self._burned:
            borders, table = self._table.borders, self._table
            first, last = column(table, datetime.fromtimestamp(begin, UTC)), self._sheet.today
            found = [Decimal(0)] * len(self._asked)
            for day in range(first, last + 1):
                low = begin if day == first else borders[day]
                high = end if day == last else borders[day + 1]
                if low < high:
                    counts = self._costs.between(low, high)[: len(table.kind_of)]
                    found = [a + b for a, b in zip(found, self._sheet.spent_of(counts, day), strict=True)]
            self._burned[begin, end] = found
        return self._burned[begin, end]

    def _frees_at(self, number: int, amount: Amount) -> datetime | None:
        """When what was spent in a window that rolls falls below the amount, to five minutes, if nothing is added."""
        length = self._period.rolls
        if length is None or self._within(self._period.start.timestamp())[number] < amount.value:
            return None
        if self._period.anchored:
            return self._period.end
        steps = int(length.total_seconds()) // _STEP
        low, high = 0, steps  # over after `low` steps, below after `high`
        while high - low > 1:
            middle = (low + high) // 2
            later = self._period.start + timedelta(seconds=middle * _STEP)
            over = self._within(later.timestamp())[number] >= amount.value
            low, high = (middle, high) if over else (low, middle)
        return self._period.end + timedelta(seconds=high * _STEP)

    def _full_at(self, number: int, amount: Amount, feed: Feed) -> datetime | None:
        """When a window that use opened is full at the pace of the last half hour; None where it closes before."""
        until = min(feed.seen_until or self._context.now, self._context.now)
        span = min(_PACE, until - self._period.start)
        left = amount.value - self._within(self._period.start.timestamp())[number]
        if not self._period.anchored or span < _LEAST_PACE or left <= 0:
            return None
        spent = self._within((until - span).timestamp())[number]
        if not spent or spent * Decimal(repr((self._period.end - until) / span)) < left:
            return None
        return until + span * float(left / spent)

    @cached_property
    def feeds(self) -> list[Feed]:
        """What the sources of each scope say; scopes that the same sources feed share it."""
        return self._feeds()

    def _feeds(self) -> list[Feed]:
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

    def _figures(self, number: int, asked: ScopeQuery, feed: Feed) -> BudgetStatus:
        budget, scope, sheet = asked.budget, asked.scope, self._sheet
        override = override_of(budget, scope)
        named = BudgetStatus.name_of(budget.name, scope, self._period)
        amount = self._context.amount_of(budget, scope, self._period, named)
        needs = self._needs_of(override.thresholds or budget.thresholds)
        used, credit = sheet.used[number], self._credit(number, budget, feed)
        evaluated = used and feed.data_until is not None
        windows = needs.windows if evaluated and feed.current and self._context.now < self._period.end else ()
        burns = {window: self._burn(number, window, feed, amount) for window in windows}
        today = self._day_so_far(number, feed) if needs.usual and evaluated else None
        return BudgetStatus(
            budget=budget,
            scope=scope,
            period=self._period,
            amount=amount,
            spent=self._spent(number, budget),
            projection=None,
            data_until=feed.data_until,
            seen_until=feed.seen_until,
            late=feed.late,
            silent=feed.silent,
            unseen=self._unseen(number, feed) if feed.stale and used else Decimal(0),
            complete_from=feed.complete_from,
            stale_sources=feed.stale,
            unpriced=unpriced_usage(self._ledger, sheet, number) if number in self._unpriced else (),
            assumed=assumed_models(self._ledger, sheet, number) if number in self._assumed else (),
            burns=burns,
            matched=bool(asked.members),
            closed=feed.closed,
            idle=sheet.idle[number],
            balance=None if credit is None else credit.left,
            credit=credit,
            today=today,
            worths=self._minimum_spends.worths(number, needs.other_units, burns, today, feed.seen_until)
            if needs.other_units
            else {},
            dearest_hour=self._minimum_spends.dearest_hour(number, needs.above_usual, burns, feed.seen_until)
            if needs.above_usual
            else None,
            used_since=datetime.fromtimestamp(self._table.borders[sheet.born[number]], UTC) if used else None,
            evidence=Deferred(partial(self._evidence, number, windows, feed)) if used else NO_EVIDENCE,
            name=named,
            override=override,
            frees_at=self._frees_at(number, amount) if used else None,
            full_at=self._full_at(number, amount, feed) if used and self._period.anchored else None,
            carried=self._context.carried_to(named, amount.unit),
            novel=self._novel(number, needs.thresholds) if used else (),
        )

    def _novel(self, number: int, thresholds: Sequence[Threshold]) -> tuple[NewValue, ...]:
        """What is new in a scope that was used before: values without use in the 30 days before yesterday."""
        labels = {t.label for t in thresholds if isinstance(t, Novel)}
        today = self._sheet.today
        if not labels or self._sheet.born_ever[number] > today - _KNOWN_DAYS:
            return ()
        members = np.array(self._sheet.members[number], np.int64)
        before = self._table.used(max(0, today - 1 - _NOVEL_DAYS), max(0, today - 1))[members]
        since = self._table.borders[max(0, today - 1)]
        counts = self._costs.between(since, self._context.now.timestamp() + _STEP)
        found: list[NewValue] = []
        for label in sorted(labels):
            known: set[str] = set()
            fresh: dict[str, list[int]] = {}
            for index, was_used in zip(members.tolist(), before.tolist(), strict=True):
                value = self._ledger.labels[index].get(label, "")
                if was_used:
                    known.add(value)
                elif value and counts[index]:
                    fresh.setdefault(value, []).append(index)
            for value in sorted(fresh.keys() - known):
                sheet = ScopeColumns(self._table, (max(0, today - 1), today + 1), today, [fresh[value]])
                found.append(NewValue(label, value, sheet.spent_of(counts[: len(self._table.kind_of)], today)[0]))
        return tuple(found)

    def _needs_of(self, thresholds: tuple[Threshold, ...]) -> _Needs:
        """What the thresholds of a scope ask for; most scopes share theirs."""
        found = self._needs.get(id(thresholds))
        if found is None:
            windows = {window for t in thresholds if isinstance(t, BurnRate) for window in t.windows}
            usual = any(isinstance(t, Anomaly) for t in thresholds)
            other_units = tuple(
                t
                for t in thresholds
                if isinstance(t, BurnRate | Anomaly) and t.minimum_spend and t.minimum_spend.unit != self._table.unit
            )
            above_usual = tuple(t for t in thresholds if isinstance(t, BurnRate) and t.above_usual)
            needs = _Needs(tuple(sorted(windows)), usual, thresholds, other_units, above_usual)
            found = self._needs[id(thresholds)] = needs
        return found

    def _credit(self, number: int, budget: Budget, feed: Feed) -> Credit | None:
        """What is left of a prepaid credit: as a source says it, else what was paid less what was spent since.

        Of several sources the least; other currencies are left out.
        """
        unit, found = budget.amount.unit, self._of_ledger(number, budget) if self._current else None
        said = [(money.amount, name) for name, money in self._context.balances.items()
                if name in feed.names and money.currency == unit]  # fmt: skip
        if not said:
            return found
        left, name = min(said)
        return Credit(left, name, *(() if found is None else (found.left, found.paid, found.begin)))

    def _of_ledger(self, number: int, budget: Budget) -> Credit | None:
        """None without entries, and where the ledger in memory begins later than they do."""
        now, table = self._context.now, self._table
        entries = credit_of(budget, self._context.top_ups) if budget.credit else ()
        known = credit_on(entries, now.astimezone(self._period.zone).date()) if entries else None
        if known is None:
            return None
        begin, paid = known
        start = datetime(begin.year, begin.month, begin.day, tzinfo=self._period.zone).timestamp()
        oldest = self._ledger.earliest()
        if start < table.borders[0] and oldest is not None and oldest < table.borders[0]:
            return None
        today, members = self._sheet.today, self._sheet.members[number]
        days = ScopeColumns(table, (bisect_left(table.borders, start), today + 1), today, [members])
        left = paid - (days.spent[0] if len(members) else Decimal(0))
        return Credit(left.quantize(EXACT).normalize(), "", left, paid, begin)

    def _burn(self, number: int, window: timedelta, feed: Feed, amount: Amount) -> Burn:
        spent, least = self._burned_in(number, feed, window, surely=False), None
        even = float(amount.value) * (window / (self._period.end - self._period.start))
        budget, own = self._asked[number].budget, override_of(self._asked[number].budget, self._asked[number].scope)
        if window < LONG_WINDOW and (budget.actions if own.actions is None else own.actions):
            least = self._burned_in(number, feed, window, surely=True)
        return Burn(window, spent, float(spent) / even if even else 0.0, least)

    def _burned_in(self, number: int, feed: Feed, window: timedelta, *, surely: bool) -> Decimal:
        key = feed.current, window, surely
        if key not in self._burned:
            self._burned[key] = self._sheet.spent_of(self._of_late(feed, window, surely=surely), self._sheet.today)
        return self._burned[key][number]

    def _evidence(self, number: int, windows: tuple[timedelta, ...], feed: Feed) -> Evidence:
        if not self._period.whole_days:
            within = self._costs.between(self._period.start.timestamp(), self._period.end.timestamp())
            return evidence_within(self._ledger, self._sheet, number, self._asked[number].scope, within)
        counts = [self._of_late(feed, window) for window in reversed(windows)]
        seen = {
            name: view.until
            for name in feed.names
            if (view := self._context.sources.get(name)) is not None and view.until is not None
        }
        ends = {name: column(self._table, until) for name, until in seen.items()}
        last = max(seen.values(), default=None)
        newest = self._sheet.today if last is None else column(self._table, last - timedelta(microseconds=1))
        recent = Recent(counts, ends, newest, self._before(number))
        return evidence(self._ledger, self._sheet, number, self._asked[number].scope, recent)

    def _before(self, number: int) -> tuple[int, int] | None:
        """The days of the period before as columns; None where the ledger or the table begins later."""
        period = self._asked[number].budget.period.previous(self._period)
        earliest, (begin, end) = self._ledger.earliest(), columns(self._table, period.start, period.end)
        known = earliest is not None and earliest < (period.start + timedelta(days=1)).timestamp()
        return (begin, end) if known and self._table.borders[begin] <= period.start.timestamp() else None

    def _of_late(self, feed: Feed, window: timedelta, *, surely: bool = False) -> NDArray[np.int64]:
        """What every series used in a window that ends at its own source's watermark; 0 of late sources.

        `surely`: of a window shorter than an hour its share of what was used in the shortest time that surely holds it.
        """
        find = surest_span if surely else span_of
        spans = {name: find(window, self._context.sources[name].interval, at) for name, at in feed.current}
        if len(set(spans.values())) == 1 and len(feed.current) == len(feed.names):
            return self._within_span(next(iter(spans.values())))
        found = np.zeros(len(self._table.kind_of), np.int64)  # the ledger may have grown since
        for name, span in spans.items():
            own = self._costs.of_source(name)[: len(found)]
            found[own] = self._within_span(span)[: len(found)][own]
        return found

    def _within_span(self, span: Span) -> NDArray[np.int64]:
        counts = self._costs.between(span.begin, span.end)
        return counts if span.share == 1 else np.floor(counts * span.share).astype(np.int64)

    def _unseen(self, number: int, feed: Feed) -> Decimal:
        """What silent sources may have seen since, at their highest hourly rate of the last seven days.

        Where days are folded, their mean is known, not their highest hour.
        """
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
            rates = self._ledger.spread(rates, one.until.timestamp() - 3600 * _RATE_HOURS)
            by_day = rates.reshape(-1, 24)
            view = self._context.sources[one.name]
            daily = view.stale_after + view.delay >= _DAILY  # one figure a day is spread over its hours
            highest = by_day.sum(axis=1).max(initial=0.0) / 24 if daily else rates.max(initial=0.0)
            found += highest * ((min(self._context.now, self._period.end) - one.until) / timedelta(hours=1))
        return Decimal(repr(max(0.0, float(found))))

    def _with_certain(self, status: BudgetStatus) -> BudgetStatus:
        """The status with what is committed until its period ends."""
        return replace(status, certain=certain_of(self._context, status))

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


class StatusEvaluator(LedgerCosts):
    """The budget statuses of one ledger: what budgets have in common is worked out once.

    With `kept`, scopes far below every threshold keep the projections of earlier evaluations.
    """

    def __init__(
        self,
        ledger: Ledger,
        context: EvaluationContext,
        earliest: datetime | None = None,
        kept: KeptEvaluation | None = None,
    ) -> None:
        #: What statuses hold until somebody asks for their evidence: the same costs, and nothing that holds statuses.
        self._shared = LedgerCosts(ledger, context, earliest)
        vars(self).update(vars(self._shared))
        self._kept = kept
        #: The names of the statuses that kept their projections.
        self.kept_names: set[str] = set()
        #: By budget, how many scopes are not evaluated one by one.
        self.left_aside: dict[str, int] = {}
        #: When the windows began that are open now, by the status's name.
        self.opened: dict[str, datetime] = {}
        #: Every status as it may be kept: by period, then by budget and scope.
        self.held: dict[SheetKey, HeldSheet] = {}

    def statuses(self, budget: Budget, at: datetime | None = None) -> list[BudgetStatus]:
        """The statuses of a budget's scopes in the period that contains `at` (now, where absent), by scope."""
        return self.all_statuses([(budget, at)])

    def all_statuses(self, asked: Iterable[tuple[Budget, datetime | None]]) -> list[BudgetStatus]:
        """The same of several budgets, one after the other."""
        sheets: dict[tuple[str, str, Period], list[ScopeQuery]] = {}
        count = 0
        for budget, at in asked:
            period = budget.period.containing(at or self.context.now)
            members_of = scopes_without(budget, self.ledger, self.left_out(budget.amount.unit))
            if self.context.commitments and (new := committed_scopes(self.context, budget) - members_of.keys()):
                members_of = {scope: members_of.get(scope, ()) for scope in sorted({*members_of, *new}, key=scope_text)}
            if len(members_of) > MANY_SCOPES:
                length = period.rolls or timedelta(0)
                seen = replace(period, start=period.start - length) if period.anchored else period
                members_of = self._notable(budget, seen, members_of)
            for scope, period_of in self._periods(budget, period, members_of):
                wanted = sheets.setdefault((str(period.zone), budget.amount.unit, period_of), [])
                wanted.append(ScopeQuery(count, budget, scope, members_of[scope]))
                count += 1
        found: dict[int, BudgetStatus] = {}
        for (_, unit, period), wanted in sheets.items():
            kept = self._keep(unit, period, wanted) if self._kept is not None else {}
            found.update(kept)
            left = [one for one in wanted if one.place not in kept] if kept else wanted
            found.update(self._statuses_of(unit, period, left) if left else {})
        statuses = [found[place] for place in range(count)]
        if self.left_aside:
            statuses = [replace(one, others=self.left_aside.get(one.budget.name, 0)) for one in statuses]
        return with_hierarchy(_beside_runaways(statuses, self.ledger), self.ledger)

    def _periods(
        self, budget: Budget, period: Period, members_of: Mapping[Scope, Sequence[int]]
    ) -> Iterator[tuple[Scope, Period]]:
        """The period of each scope: one for all, but where use opens windows."""
        if not budget.period.opens:
            yield from ((scope, period) for scope in members_of)
            return
        for scope, window, is_open in open_windows(self, budget, members_of):
            if is_open:
                self.opened[BudgetStatus.name_of(budget.name, scope, window)] = window.start
            yield scope, window

    def _notable(
        self, budget: Budget, period: Period, members_of: Mapping[Scope, Sequence[int]]
    ) -> dict[Scope, Sequence[int]]:
        """The scopes to evaluate one by one, where values come and go by the thousand; the others are counted.

        Left out is what no threshold can be crossed by now: a scope that spent too little for any, or one below its
        levels that is idle for an hour. The largest, those with a row in the table and commitments always stay.
        """
        table = self.costs(period.zone, budget.amount.unit)
        asked = [ScopeQuery(n, budget, scope, members) for n, (scope, members) in enumerate(members_of.items())]
        spent, active = PeriodScopes(self._shared, table, period, asked).spent_and_active(self.context.now - _IDLE)
        levels = [t.reached_at(budget.amount) for t in budget.thresholds if isinstance(t, Actual)]
        burns = [
            budget.amount.value * t.factor * Decimal(repr(max(t.windows) / (period.end - period.start)))
            for t in budget.thresholds
            if isinstance(t, BurnRate)
        ]
        small = min([budget.amount.value * _SMALL, *levels, *burns])
        level = min(levels, default=budget.amount.value)
        largest = set(sorted(range(len(asked)), key=spent.__getitem__, reverse=True)[:_LARGEST])
        committed = committed_scopes(self.context, budget) if self.context.commitments else set()
        kept = {
            one.scope: one.members
            for n, one in enumerate(asked)
            if n in largest
            or spent[n] >= level
            or (active[n] and spent[n] >= small)
            or tuple(value or "" for _, value in one.scope) in budget.table
            or one.scope in committed
        }
        self.left_aside[budget.name] = len(asked) - len(kept)
        return kept

    def _keep(self, unit: str, period: Period, asked: Sequence[ScopeQuery]) -> dict[int, BudgetStatus]:
        """The statuses that keep their projections, by place; none where that fails: then all are worked out."""
        table, now, key = self.costs(period.zone, unit), self.context.now, (str(period.zone), unit, period.start)
        held = self._kept.sheet(key, table, now) if self._kept is not None else {}
        if self._kept is None or not held or not period.whole_days:
            return {}
        try:
            found = PeriodScopes(self._shared, table, period, asked).kept(held)
        except Exception:  # noqa: BLE001 - the budget that fails is found one by one
            return {}
        if now < period.end:
            for number in self._kept.due(((one.renewed, number) for number, one in found.items()), now):
                del found[number]
        self.kept_names.update(one.status.name for one in found.values())
        self._hold(table, period, ((asked[number], one) for number, one in found.items()))
        return {asked[number].place: one.status for number, one in found.items()}

    def _hold(self, table: Costs, period: Period, found: Iterable[tuple[ScopeQuery, KeptStatus]]) -> None:
        key = str(period.zone), table.unit, period.start
        known = self.held[key].scopes if key in self.held else {}
        self.held[key] = HeldSheet(Prices.of(table), {**known, **{(a.budget.name, a.scope): one for a, one in found}})

    def _statuses_of(self, unit: str, period: Period, asked: Sequence[ScopeQuery]) -> dict[int, BudgetStatus]:
        """The statuses of one period, by place. One that cannot be worked out says so; the others are not touched."""
        try:
            table = self.costs(period.zone, unit)
            scopes = PeriodScopes(self._shared, table, period, asked)
            found, feeds = dict(scopes.statuses()), scopes.feeds
        except Exception as error:  # noqa: BLE001 - one budget cannot take down another
            if len(asked) == 1:
                return {asked[0].place: self._failed(unit, period, asked[0], failure_text(error))}
        else:
            now = self.context.now
            each = ((one, found[one.place], feed) for one, feed in zip(asked, feeds, strict=True))
            held = ((one, KeptStatus(status, feed, len(one.members), now, status.spent)) for one, status, feed in each)
            self._hold(table, period, held)
            return found
        half = len(asked) // 2
        return self._statuses_of(unit, period, asked[:half]) | self._statuses_of(unit, period, asked[half:])

    def _failed(self, unit: str, period: Period, asked: ScopeQuery, failed: str) -> BudgetStatus:
        """A status without its projection; without any figure where those fail, too."""
        try:
            scopes = PeriodScopes(self._shared, self.costs(period.zone, unit), period, [asked])
            return replace(scopes.unprojected()[0], failed=failed)
        except Exception:  # noqa: BLE001 - the first error is the one to report
            budget = asked.budget
            named = BudgetStatus.name_of(budget.name, asked.scope, period)
            override = override_of(budget, asked.scope)
            amount = self.context.amount_of(budget, asked.scope, period, named)
            return BudgetStatus(
                budget,
                asked.scope,
                period,
                amount,
                Decimal(0),
                None,
                None,
                None,
                failed=failed,
                matched=False,
                name=named,
                override=override,
            )


def _beside_runaways(found: list[BudgetStatus], ledger: Ledger) -> list[BudgetStatus]:
    """The same, each with the others that run away now and count some of the same series."""
    running = [one for one in found if "runaway" in one.flags]
    if not running:
        return found
    series: dict[tuple[str, Scope], Sequence[int]] = {}
    for name, budget in {one.budget.name: one.budget for one in found}.items():
        by_scope = scopes_without(budget, ledger, frozenset())
        series.update({(name, scope): indices for scope, indices in by_scope.items()})
    counted = [frozenset(series.get((one.budget.name, one.scope), ())) for one in running]
    return [
        replace(one, runaways=tuple((other.budget.name, other.scope)
                                    for other, theirs in zip(running, counted, strict=True) if other is not one
                                    and not theirs.isdisjoint(series.get((one.budget.name, one.scope), ()))))
        for one in found
    ]  # fmt: skip
