"""Reuse projections of the last evaluation for scopes that are far below every threshold.

Such a scope has its spend, its watermarks and its burn rates worked out in every evaluation, like any other, but keeps
its projection for up to RENEWED_WITHIN. It is evaluated whole, at once, where its spend moved by a hundredth of its
amount or reaches any level, where a burn rate is no longer clearly below its threshold, and where prices, sources,
series, amounts or the configuration changed. Thresholds on what was spent are so never found late, forecasts by at
most RENEWED_WITHIN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from heapq import nsmallest
from typing import Any, Final, NamedTuple

from alertd.core.budgets import Actual, BurnRate, Forecast, Scope, Threshold
from alertd.core.evaluation.scope_sources import Feed
from alertd.core.evaluation.state import State, episode_of
from alertd.core.evaluation.thresholds import is_crossed, newly_reached, run_rate_total, thresholds_of
from alertd.core.evaluation.values import BudgetStatus, Evidence, Facts
from alertd.core.lazy import Deferred
from alertd.core.pricing.costing import Costs

#: No projection is older.
RENEWED_WITHIN: Final = timedelta(minutes=15)
#: At least this many projections are renewed in every evaluation, the oldest first: of few scopes all.
_IN_TURN: Final = 100
#: A spend that moved by this part of the amount makes a projection anew.
_STEP: Final = Decimal("0.01")
#: Without a projection, the total at the rate so far must be below this part of a forecast's level.
_FAR_BELOW: Final = Decimal("0.5")
#: What scopes lie side by side by: zone, unit and the period's start.
SheetKey = tuple[str, str, datetime]
ScopeKey = tuple[str, Scope]


class KeptStatus(NamedTuple):
    """A status that may be kept: its sources and number of series, when it was evaluated whole, and on which spend."""

    status: BudgetStatus
    feed: Feed
    members: int
    renewed: datetime
    spent: Decimal

    def covers(self, spent: Decimal) -> bool:
        """Whether the spend changed so little since the last complete evaluation that its projection is still valid."""
        if spent == self.spent:
            return True
        if self.status.period.end <= self.renewed:
            return False
        amount = self.status.amount
        levels = [one.reached_at(amount) for one in thresholds_of(self.status) if isinstance(one, Actual | Forecast)]
        near = abs(spent - self.spent) < amount.value * _STEP
        return near and not any(self.spent < level <= spent for level in (*levels, amount.value))


class Prices(NamedTuple):
    """The days and prices that statuses were worked out with."""

    days: tuple[date, ...]
    segments: Any

    @classmethod
    def of(cls, table: Costs) -> Prices:
        return cls(table.days, table.segments)


class HeldSheet(NamedTuple):
    """The statuses of one period that may be kept, and the prices that they have been worked out with."""

    prices: Prices
    scopes: Mapping[ScopeKey, KeptStatus]


@dataclass(frozen=True, slots=True)
class KeptEvaluation:
    """What an evaluation at `at` leaves to the next, which keeps it as long as `terms` are the same."""

    at: datetime
    terms: tuple[Any, ...]
    sheets: Mapping[SheetKey, HeldSheet] = field(default_factory=dict)
    #: The least number that is evaluated whole every time.
    in_turn: int = _IN_TURN

    def sheet(self, key: SheetKey, table: Costs, now: datetime) -> Mapping[ScopeKey, KeptStatus]:
        """What may be kept of a period's statuses now: nothing where a price changed or a day ended."""
        found = self.sheets.get(key)
        if found is None or found.prices != Prices.of(table) or now < self.at:
            return {}
        return found.scopes

    def due(self, candidates: Iterable[tuple[datetime, int]], now: datetime) -> set[int]:
        """Which of the reusable projections to compute anew: the oldest. Each is given as (when computed, number)."""
        listed = list(candidates)
        count = max(self.in_turn, -int(-len(listed) * (now - self.at) // RENEWED_WITHIN))
        due = {number for at, number in listed if now - at >= RENEWED_WITHIN}
        return due | {number for _, number in nsmallest(count, listed)}


def terms_of(facts: Facts) -> tuple[object, ...]:
    """What must be the same for anything to be kept: compared by identity, or by value."""
    context = facts.context
    return (
        _Same(facts.budgets),
        _Same(facts.ledger),
        _Same(context.exchange),
        dict(context.raised),
        dict(context.carried),
        dict(context.balances),
        dict(context.top_ups),
        dict(context.standings),
    )


class _Same:
    """Equal to another where both hold the very same object."""

    __slots__ = ("of",)

    def __init__(self, of: object) -> None:
        self.of = of

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.of is self.of

    __hash__ = None  # type: ignore[assignment]


def is_same_feed(one: Feed, other: Feed) -> bool:
    """Whether the sources of a scope say the same of themselves, but for how far they were read."""
    return (
        one.names == other.names
        and one.complete_from == other.complete_from
        and one.stale == other.stale
        and [late.name for late in one.late] == [late.name for late in other.late]
        and [name for name, _ in one.current] == [name for name, _ in other.current]
        and (one.silent, one.closed) == (other.silent, other.closed)
        and (one.data_until is None) == (other.data_until is None)
    )


def is_calm(status: BudgetStatus, announced: Mapping[str, datetime], state: State, now: datetime) -> bool:
    """Whether nothing of a status is near to a threshold, open or unannounced, late or unknown."""
    if status.failed or status.unpriced or status.late or status.certain is not None:
        return False
    if now >= status.period.end:
        return status.closed
    if status.status not in {"on_track", "no_forecast"} and status.matched:
        return False
    total = run_rate_total(status, now)
    return all(_is_far(status, one, total, state, now) for one in thresholds_of(status)) and not newly_reached(
        status, announced
    )


def _is_far(status: BudgetStatus, threshold: Threshold, total: Decimal | None, state: State, now: datetime) -> bool:
    """Whether a status is clearly below a threshold, or beyond a level; `total` is the period's at its run rate."""
    match threshold:
        case Actual():
            return True
        case BurnRate():
            below = not status.burns or is_crossed(status, threshold, now) is False
        case Forecast() if (level := threshold.reached_at(status.amount)) > status.spent:
            no_run = total is None or total < level * _FAR_BELOW
            below = no_run if status.projection is None else is_crossed(status, threshold, now) is False
        case Forecast():
            below = True
        case _:
            return False
    return below and not episode_of(state, status.name, threshold).open


def stays_calm(status: BudgetStatus, now: datetime) -> bool:
    """Whether the burn rates of a status are still clearly below their thresholds."""
    return not status.burns or all(
        is_crossed(status, one, now) is False for one in thresholds_of(status) if isinstance(one, BurnRate)
    )


_SLOTS: Final[tuple[tuple[Callable[..., Any], Callable[..., None]], ...]] = tuple(
    (getattr(BudgetStatus, name).__get__, getattr(BudgetStatus, name).__set__) for name in BudgetStatus.__slots__
)
_FIGURES: Final = tuple(
    getattr(BudgetStatus, name).__set__ for name in ("spent", "data_until", "seen_until", "burns", "evidence")
)


def with_figures(
    status: BudgetStatus, spent: Decimal, feed: Feed, burns: object, evidence: Deferred[Evidence]
) -> BudgetStatus:
    """The status with these figures; as `replace`, which takes four times as long."""
    found = object.__new__(BudgetStatus)
    for get, put in _SLOTS:
        put(found, get(status))
    for put, value in zip(_FIGURES, (spent, feed.data_until, feed.seen_until, burns, evidence), strict=True):
        put(found, value)
    return found
