"""Replay the evaluation over history on a stopped clock: which alerts would have come, when, and which were right.

usage, by when it was known -> ledger -> evaluate, step by step -> alerts -> crossings: caught, missed, false
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from statistics import median
from typing import Final

from alertd.core.budgets import Budget, Scope, Threshold
from alertd.core.counting.buckets import nanos
from alertd.core.evaluation.amounts import carried_amounts, opened_windows
from alertd.core.evaluation.evaluate import evaluate
from alertd.core.evaluation.state import State
from alertd.core.evaluation.values import Alert, BudgetStatus, EvaluationContext, Facts, SourceView
from alertd.core.ledger.columns import Ledger, SeriesRow, UsageRow
from alertd.core.pricing.costing import Exchange
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.tariffs import LedgerTariff
from alertd.core.usage import BilledCost, Line, Usage

_SOURCE: Final = "file"
_NEVER: Final = timedelta(days=36_500)
#: Of a forecast: what it was about to happen is the whole amount.
_WHOLE: Final = Decimal(100)

#: One budget and scope in one period.
Place = tuple[str, Scope, str]


@dataclass(frozen=True, slots=True)
class ReplayAlert:
    """An alert that would have come."""

    at: datetime
    budget: str
    scope: Scope
    period: str
    basis: str
    level: Decimal
    spent: Decimal
    projected: Decimal | None
    exhausted_at: datetime | None
    threshold: str


@dataclass(frozen=True, slots=True)
class ReplayPoint:
    """One budget and scope at one step: for charts."""

    at: datetime
    place: Place
    spent: Decimal
    amount: Decimal
    low: float | None
    likely: float | None
    high: float | None


@dataclass(slots=True)
class ReplayResult:
    """All that a replay came to."""

    alerts: list[ReplayAlert] = field(default_factory=list)
    points: list[ReplayPoint] = field(default_factory=list)
    crossings: dict[Place, datetime] = field(default_factory=dict)
    unpriced: dict[tuple[str, str, str], str] = field(default_factory=dict)

    @property
    def periods(self) -> int:
        return len({point.place for point in self.points})

    def summary(self) -> dict[str, int | float | None]:
        """The last line of the contract: crossings caught by an earlier forecast, or missed, and false forecasts.

        The lead is of each caught crossing: days from its first forecast alert.
        """
        first: dict[Place, datetime] = {}
        for one in self.alerts:
            if one.basis == "forecast" and one.level >= _WHOLE:
                first.setdefault((one.budget, one.scope, one.period), one.at)
        caught = {place: at for place, at in self.crossings.items() if place in first and first[place] < at}
        leads = [(at - first[place]) / timedelta(days=1) for place, at in caught.items()]
        return {
            "periods": self.periods,
            "crossings": len(self.crossings),
            "caught": len(caught),
            "missed": len(self.crossings) - len(caught),
            "false": len([place for place in first if place not in self.crossings]),
            "median_lead_days": round(median(leads), 2) if leads else None,
        }


def replay(
    usage: Iterable[Usage | BilledCost],
    budgets: Sequence[Budget],
    book: PriceBook,
    exchange: Exchange,
    progress: Callable[[float], None] = lambda _: None,
) -> ReplayResult:
    """Evaluate history as the daemon would: a row is known when its window ends, and each such instant is a step."""
    record = ReplayResult()
    history = _History(usage)
    announced: dict[str, datetime] = {}
    state = State()
    for share, now in history.steps():
        context = EvaluationContext(
            now,
            LedgerTariff(book, history.ledger),
            exchange,
            {_SOURCE: _view(now)},
            carried=carried_amounts(state),
            windows=opened_windows(state),
        )
        decisions = evaluate(Facts(budgets, history.ledger, context, announced, state))
        announced.update({key: now for alert in decisions.alerts for key in alert.keys})
        state = state.after(decisions.changes)
        _keep(record, decisions.alerts, decisions.statuses, now)
        progress(share)
    return record


def tried(budgets: Iterable[Budget], threshold: Threshold) -> tuple[Budget, ...]:
    """The budgets with this threshold instead of those of its basis; for comparing rules side by side."""

    def with_it(thresholds: tuple[Threshold, ...]) -> tuple[Threshold, ...]:
        return (*(one for one in thresholds if one.basis != threshold.basis), threshold)

    return tuple(replace(budget, thresholds=with_it(budget.thresholds)) for budget in budgets)


def ledger_of(usage: Iterable[Usage | BilledCost]) -> Ledger:
    """A ledger that holds all of the usage."""
    history = _History(usage)
    for _ in history.steps():
        pass
    return history.ledger


class _History:
    """Usage in the order in which it became known, put into a ledger step by step."""

    def __init__(self, usage: Iterable[Usage | BilledCost]) -> None:
        self.ledger = Ledger()
        self._usage = sorted(usage, key=lambda used: used.end)
        self._ids: dict[tuple[Line, str, tuple[tuple[str, str], ...]], int] = {}
        self._held: dict[tuple[int, int, int], int] = {}

    def steps(self) -> Iterator[tuple[float, datetime]]:
        """Each instant at which something became known, after the ledger has it, and the share of all so far."""
        done, total = 0, max(1, len(self._usage))
        for end, rows in groupby(self._usage, key=lambda used: used.end):
            known = list(rows)
            self._add(known)
            done += len(known)
            yield done / total, end.astimezone(UTC)

    def _add(self, rows: Iterable[Usage | BilledCost]) -> None:
        for used in rows:
            line, billed, quantity = _counted(used)
            identity = (line, billed, tuple(sorted(used.labels.items())))
            number = self._ids.get(identity)
            if number is None:
                number = self._ids[identity] = len(self._ids) + 1
                labels = dict(used.labels)
                self.ledger.add_series(
                    [
                        SeriesRow(
                            number,
                            _SOURCE,
                            line.provider,
                            line.model,
                            line.meter,
                            line.modifiers,
                            line.account,
                            labels,
                            billed,
                        )
                    ]
                )
            start, width = int(used.start.timestamp()), int((used.end - used.start).total_seconds())
            key = (number, start, width)
            self._held[key] = self._held.get(key, 0) + quantity
            self.ledger.apply([UsageRow(number, start, width, self._held[key])])


def _counted(used: Usage | BilledCost) -> tuple[Line, str, int]:
    """The line, the currency of billed money ("" for usage), and the quantity or the nanos."""
    if isinstance(used, Usage):
        return used.line, "", used.quantity
    return Line(used.provider, used.model, ""), used.cost.currency, nanos(used.cost)


def _view(now: datetime) -> SourceView:
    return SourceView(_SOURCE, now, _NEVER)


def _keep(record: ReplayResult, alerts: Sequence[Alert], statuses: Sequence[BudgetStatus], now: datetime) -> None:
    for status in statuses:
        place = (status.budget.name, status.scope, status.period.key)
        projection = status.projection
        low, likely, high = (projection.quantile(q) for q in (0.1, 0.5, 0.9)) if projection else (None, None, None)
        record.points.append(ReplayPoint(now, place, status.spent, status.amount.value, low, likely, high))
        if status.spent >= status.amount.value:
            record.crossings.setdefault(place, now)
        record.unpriced.update({(u.provider, u.model, u.meter): u.reason for u in status.unpriced})
    record.alerts.extend(one for alert in alerts if (one := _alert_of(alert, statuses)) is not None)


def _alert_of(alert: Alert, statuses: Sequence[BudgetStatus]) -> ReplayAlert | None:
    """A threshold alert as a line of replay's output; None for other events, repetitions and those for people only."""
    event = alert.event
    if event.kind != "threshold" or alert.audience == "people" or event.repeat:
        return None
    period = _period_key(event.budget, event.scope, event.period_start, statuses)
    return ReplayAlert(
        at=event.at,
        budget=event.budget,
        scope=event.scope,
        period=period,
        basis=event.basis,
        level=event.level or Decimal(0),
        spent=event.spent or Decimal(0),
        projected=event.projected.get("0.5"),
        exhausted_at=event.exhausted_at,
        threshold=event.threshold,
    )


def _period_key(budget: str, scope: Scope, start: datetime | None, statuses: Sequence[BudgetStatus]) -> str:
    for status in statuses:
        if (status.budget.name, status.scope, status.period.start) == (budget, scope, start):
            return status.period.key
    return start.date().isoformat() if start is not None else ""


def by_scope(points: Iterable[ReplayPoint]) -> Mapping[tuple[str, Scope], list[ReplayPoint]]:
    """The points of each budget and scope, in order of time."""
    found: dict[tuple[str, Scope], list[ReplayPoint]] = {}
    for point in points:
        found.setdefault(point.place[:2], []).append(point)
    return found
