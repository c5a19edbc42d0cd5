"""One month of one team as values: what it spent, against budget and forecasts; alerts, what was done, what is next.

What is next is a proposed amount: the projected spend of the next month, and a margin above it.

daily costs of each scope -> the projected total of the next month (its growth and its weekdays) -> an amount
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from alertd.core.budgets import Amount, Budget, Scope, Where
from alertd.core.evaluation.breakdown import Breakdown, PastPeriod, ScopeUsage
from alertd.core.evaluation.budget_status import StatusEvaluator
from alertd.core.evaluation.event_builder import zone_name
from alertd.core.evaluation.keys import parse_status, scope_key
from alertd.core.evaluation.state import FORECASTS, LIFECYCLES, AlertLifecycle
from alertd.core.evaluation.values import BudgetStatus, Facts
from alertd.core.events import Event, PeriodClosed
from alertd.core.periods import PeriodRule
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


_BY: Final = ("model", "key", "provider")
_ANNOUNCED: Final = frozenset({"threshold", "recovered", "action", "source_stale", "unpriced"})


class ReportQuery(NamedTuple):
    """Which report: a team by its label and value, the month's first day; zone and currency without a budget."""

    label: str
    value: str
    month: date
    zone: ZoneInfo
    currency: str = "USD"


class ReportedStep(NamedTuple):
    """A step that somebody took: when, what, by whom, and what it said."""

    at: datetime
    what: str
    by: str
    said: str


@dataclass(frozen=True, slots=True)
class Forecasted:
    """What was projected on a day of the period: the low, likely and high total."""

    day: int
    low: float
    likely: float
    high: float


@dataclass(frozen=True, slots=True)
class TeamReport:
    """`position` is the period's status; without a budget of its own (`has_budget`) its amount means nothing."""

    label: str
    value: str
    position: BudgetStatus
    has_budget: bool
    complete: bool
    breakdowns: Sequence[Breakdown]
    past: Sequence[PastPeriod]
    forecasts: Sequence[Forecasted]
    alerts: Sequence[tuple[Event, AlertLifecycle | None]]
    done: Sequence[ReportedStep]
    proposal: AmountProposal | None
    others: Sequence[BudgetStatus] = ()


def values_of(facts: Facts, label: str) -> list[str]:
    """Every value of a label in the ledger."""
    return sorted({row.all_labels().get(label, "") for row in facts.ledger.series} - {""})


def report(
    facts: Facts, asked: ReportQuery, events: Iterable[Event], done: Iterable[tuple[str, ReportedStep]]
) -> TeamReport:
    """The report of the month that begins on `asked.month`, or of the budget's own period in it.

    `events` are those announced since then, `done` steps with the name of what each was done to.
    """
    label, value = asked.label, asked.value
    budget, has_budget = _own_budget(facts.budgets, asked)
    at = datetime(asked.month.year, asked.month.month, 28, 12, tzinfo=budget.period.zone)
    period = budget.period.containing(at)
    evaluator = StatusEvaluator(facts.ledger, facts.context, period.start - timedelta(days=1))
    scope = ((label, value),) if budget.per else ()
    found = [one for one in evaluator.statuses(budget, at) if one.scope == scope]
    position = (
        found[0] if found else evaluator.statuses(replace(budget, per=(), where=Where.of({label: (value,)})), at)[0]
    )
    usage = ScopeUsage(facts, position)
    past = [one for one in usage.past() if one.complete or one.spent]
    own = [one for one in events if _is_of(one, position, label, value)]
    return TeamReport(
        label,
        value,
        position,
        has_budget,
        facts.context.now >= period.end,
        [usage.by(name) for name in _BY],
        past,
        _forecasts(facts, position, own),
        [(one, LIFECYCLES.get(facts.state, one.id)) for one in own if one.kind in _ANNOUNCED],
        [step for on, step in done if _is_on(on, position, label, value) and period.start <= step.at < period.end],
        _proposal(usage, past, position, facts.context.now),
        _others(evaluator, [one for one in facts.budgets if one is not budget], asked, at),
    )


def _own_budget(budgets: Sequence[Budget], asked: ReportQuery) -> tuple[Budget, bool]:
    """The monthly budget of a team: one PER it, or one that covers exactly it; else one that only measures."""
    label, value = asked.label, asked.value
    monthly = [one for one in budgets if one.period.kind == "month"]
    for one in monthly:
        if one.per == (label,) or (not one.per and one.where.patterns == ((label, (value,)),)):
            return one, True
    where = Where.of({label: (value,)})
    return Budget(
        value, Amount(Decimal(0), asked.currency), PeriodRule("month", asked.zone), where, thresholds=()
    ), False


def _others(
    evaluator: StatusEvaluator, budgets: Iterable[Budget], asked: ReportQuery, at: datetime
) -> list[BudgetStatus]:
    """The other budgets of the team's scopes in that month, the most used first."""
    found = [
        one
        for budget in budgets
        if asked.label in budget.per and budget.period.kind == "month"
        for one in evaluator.statuses(budget, at)
        if (asked.label, asked.value) in one.scope and one.spent
    ]
    return sorted(found, key=lambda one: -(one.spent / one.amount.value if one.amount.value else one.spent))


def _is_of(event: Event, position: BudgetStatus, label: str, value: str) -> bool:
    start = event.period_start
    if start is None or not position.period.start <= start < position.period.end:
        return False
    return (label, value) in event.scope or (event.budget, event.scope) == (position.budget.name, position.scope)


def _is_on(on: str, position: BudgetStatus, label: str, value: str) -> bool:
    status = parse_status(on)
    if status is not None and ((label, value) in status.scope or status.budget == position.budget.name != ""):
        return (label, value) in status.scope or not position.scope
    return scope_key(((label, value),)) in on.split("/")


def _forecasts(facts: Facts, position: BudgetStatus, own: Iterable[Event]) -> list[Forecasted]:
    """What was noted of the projections of the period: by its summary, or as long as it runs."""
    known: Mapping[str, tuple[float, float, float]] = {
        day: (one.low, one.likely, one.high) for day, one in (FORECASTS.get(facts.state, position.name) or {}).items()
    }
    for event in own:
        if isinstance(event.details, PeriodClosed) and (event.budget, event.scope) == (
            position.budget.name, position.scope
        ):  # fmt: skip
            known = event.details.projections
    return sorted((Forecasted(int(day), *figures) for day, figures in known.items()), key=lambda one: one.day)


def _proposal(
    usage: ScopeUsage, past: Sequence[PastPeriod], position: BudgetStatus, now: datetime
) -> AmountProposal | None:
    """The next month's amount from the whole days that are known; None without any spend."""
    whole, today = usage.by(""), now.astimezone(position.period.zone).date()
    ended = [place for place, day in enumerate(whole.days) if day < today]
    days = [cost for one in reversed(past) if one.complete for cost in one.daily]
    days += [sum(part.daily[place] for part in whole.parts) for place in ended]
    if not any(days) or not ended:
        return None
    first = whole.days[ended[-1]] - timedelta(days=len(days) - 1)
    costs = {position.scope: [Decimal(repr(round(one, 9))) for one in days]}
    found = propose(costs, first, ZoneInfo(zone_name(position.period)))
    return found[0] if found else None
