"""Build an event from a budget status: every figure that a message needs; unknown figures stay None."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple, TypedDict, Unpack

from alertd.core.budgets import BurnRate, Threshold, duration_text, threshold_text
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.events import (
    AnomalyReached,
    AnyDetails,
    BudgetScope,
    BurnRateReached,
    CommittedItem,
    CommittedMoney,
    CreditLeft,
    Event,
    TopContributor,
)
from alertd.core.periods import Period
from alertd.core.projection.outcome import Exhaustion

_HANDLE: Final = 6
_QUANTILES: Final = (0.1, 0.5, 0.9)
#: Significant digits of a projected figure: a projection is never surer than this.
_DIGITS: Final = 6
#: A top contributor is named from this share of the spend on.
_MOST: Final = 0.5
#: No date is given for what would take longer, as a credit that hardly anything is spent of.
_CENTURY_DAYS: Final = 36_525
_DAY: Final = timedelta(days=1)
#: The rest of a period says how fast credit goes where it is this long; within it the projection where it is this sure.
_ENOUGH_AHEAD: Final = timedelta(days=2)
_SURE: Final = 0.9


def event_id(key: str) -> str:
    """A stable id for what is announced under a key: the same on every try and in every replica."""
    return hashlib.sha256(key.encode()).hexdigest()[:24]


def handle_of(identity: str) -> str:
    """What people type to acknowledge an event."""
    return identity[:_HANDLE]


class CreditEnd(NamedTuple):
    """When a credit is used up; None where that is not known."""

    low: datetime | None = None
    likely: datetime | None = None
    high: datetime | None = None


class About(TypedDict, total=False):
    """What an event of no budget has besides."""

    currency: str
    reason: str
    details: AnyDetails | None
    handle: str
    since: datetime | None
    until: datetime | None
    data_until: datetime | None
    fired: str


class EventFacts(TypedDict, total=False):
    """What an event has besides the figures of its budget status."""

    levels: tuple[Decimal, ...]
    reason: str
    details: AnyDetails | None
    since: datetime | None
    fired: str
    repeat: str
    first_announced_at: datetime | None
    handle: str


def event_of(
    status: BudgetStatus, kind: str, severity: str, key: str, now: datetime, **said: Unpack[EventFacts]
) -> Event:
    """The event of one budget status, announced under `key`, with all its evidence."""
    projection = status.projection
    amount = status.amount.value
    exhausted = projection.exhausted_at(float(amount)) if projection is not None else None
    if exhausted is not None and status.spent < amount:
        exhausted = _not_before(exhausted, status.seen_until)
    override, evidence = status.override, status.evidence.value
    actions = status.budget.actions if override.actions is None else override.actions
    identity = event_id(key)
    event = Event(
        id=identity,
        kind=kind,
        severity=severity,
        at=now,
        budget=status.budget.name,
        scope=status.scope,
        period_start=status.period.start,
        period_end=status.period.end,
        zone=zone_name(status.period),
        status=status.status,
        flags=status.flags,
        amount=amount,
        currency=status.amount.unit,
        spent=status.spent if status.matched or status.spent else None,
        projected=projected(status),
        probability_over=_chance(status),
        exhausted_low=None if exhausted is None else exhausted.low,
        exhausted_at=status.full_at if exhausted is None else exhausted.likely,
        exhausted_high=None if exhausted is None else exhausted.high,
        pace=evidence.pace,
        pace_allowed=_allowed(status, now),
        contributors=evidence.contributors[:3],
        contributor_count=evidence.contributor_count,
        daily=evidence.daily,
        data_until=status.data_until,
        seen_until=status.seen_until,
        late=tuple((one.name, one.until) for one in status.late),
        complete_from=status.complete_from,
        unpriced=status.unpriced,
        assumed_prices=status.assumed,
        committed=committed_money(status),
        credit=credit_left(status),
        runaways=tuple(BudgetScope(name, scope) for name, scope in status.runaways),
        unguarded=not actions,
        owner=override.owner or status.budget.owner,
        runbook_url=status.budget.runbook_url,
        channel=override.channel or status.budget.channel,
        handle=handle_of(identity),
        window=status.period.rolls,
        anchored=status.period.anchored,
        frees_at=status.frees_at,
    )
    return replace(event, **said)


def event_about(source: str, kind: str, severity: str, key: str, now: datetime, **said: Unpack[About]) -> Event:
    """The event of what is of no budget, announced under `key`: a source, the database, prices ("" as the source)."""
    identity = event_id(key)
    return replace(Event(identity, kind, severity, now, handle=handle_of(identity), source=source), **said)


def _chance(status: BudgetStatus) -> float | None:
    """The chance of going over the amount; 1 where what is spent and committed does it alone."""
    if status.certain_total > status.amount.value:
        return 1.0
    projection = status.projection
    return None if projection is None else projection.probability_over(float(status.amount.value))


def projected(status: BudgetStatus) -> dict[str, Decimal]:
    """The quantiles of the period's total, rounded to what a projection can state; empty without a projection."""
    if status.projection is None:
        return {}
    if status.data_until is None:
        return {}
    totals = [status.projection.quantile(q) for q in _QUANTILES]
    return {str(q): max(status.spent, _significant(total)) for q, total in zip(_QUANTILES, totals, strict=True)}


def zone_name(period: Period) -> str:
    """The IANA name of a period's zone."""
    return getattr(period.zone, "key", None) or "UTC"


def burn_details(status: BudgetStatus, threshold: BurnRate) -> BurnRateReached:
    """The details of a burn-rate alert: its longest window, the spend in it, the usual spend, the top contributor."""
    window = max(threshold.windows)
    burn = status.burns[window]
    shortest = status.burns[min(threshold.windows)]
    pace = status.pace
    return BurnRateReached(
        window=duration_text(window),
        window_spent=burn.spent,
        window_usual=None if pace is None else pace * Decimal(str(window.total_seconds())) / 86400,
        factor=round(burn.factor, 1),
        rate_window=duration_text(shortest.window),
        rising=shortest.factor > burn.factor,
        readings=() if status.seen_until is None else (status.seen_until,),
        top_contributor=top_contributor(status),
    )


def top_contributor(status: BudgetStatus) -> TopContributor | None:
    """The contributor with at least half of the longest window's spend; None without one."""
    found = status.evidence.value
    if found.top_contributor is None or not found.top_contributor[1] or found.top_contributor_share < _MOST:
        return None
    label, value = found.top_contributor
    return TopContributor(label, value, found.top_contributor_spent, found.top_contributor_share)


def committed_money(status: BudgetStatus) -> CommittedMoney | None:
    """Each commitment that will be charged unless somebody stops it, the dearest first; None without commitments."""
    certain = status.certain
    if certain is None or not (certain.ahead or certain.unconverted):
        return None
    dearest = sorted((line for line in certain.lines if line.ahead), key=lambda one: (-one.ahead, one.name))
    return CommittedMoney(
        total=status.certain_total,
        ahead=certain.ahead,
        items=tuple(CommittedItem(one.name or one.source, one.ahead, one.cost, one.per, one.until) for one in dearest),
        exhausted_at=certain.exhausted_at if status.spent < status.amount.value else None,
        unconverted=tuple(certain.unconverted),
    )


def exhausted_at_pace(status: BudgetStatus, threshold: BurnRate) -> datetime | None:
    """When the budget is used up if the pace of the shortest window goes on; None beyond the period's end."""
    burn = status.burns[min(threshold.windows)]
    left = status.amount.value - status.spent
    if status.seen_until is None or burn.spent <= 0 or left <= 0:
        return None
    gone = status.seen_until + burn.window * float(left / burn.spent)
    return gone if gone < status.period.end else None


def credit_ends(status: BudgetStatus) -> CreditEnd:
    """When a prepaid credit is used up; None if unknown or a century away.

    Likely is the earlier of the projection's median and the pace of the last seven days: a projection of few days is
    carefully low, and a credit that ends sooner than said stops everything.
    """
    seen, left = status.seen_until, status.balance
    if left is None or seen is None:
        return CreditEnd()
    if left <= 0:
        return CreditEnd(seen, seen, seen)
    projected, at_pace = _projected_end(status, seen, left), _gone(seen, float(left), float(status.pace or 0))
    likely = min((end for end in (projected.likely, at_pace) if end is not None), default=None)
    if likely is None or projected.low is None:
        return projected._replace(likely=likely)
    return projected._replace(low=min(projected.low, likely), likely=likely)


def _projected_end(status: BudgetStatus, seen: datetime, left: Decimal) -> CreditEnd:
    """The end by the projection; what goes beyond the period is spent as fast as the rest of it. Empty at its end."""
    projection, remaining = status.projection, status.period.end - seen
    if projection is None:
        return CreditEnd()
    level = float(status.spent + left)
    if projection.probability_over(level) >= _SURE:
        found = projection.exhausted_at(level)
        if found is not None:
            found = _not_before(found, seen)
            return CreditEnd(found.low, found.likely, found.high)
    if remaining < _ENOUGH_AHEAD:
        return CreditEnd()
    spent = float(status.spent)
    rates = ((projection.quantile(q) - spent) / (remaining / _DAY) for q in reversed(_QUANTILES))
    return CreditEnd(*(_gone(seen, float(left), rate) for rate in rates))


def _gone(seen: datetime, left: float, rate: float) -> datetime | None:
    days = left / rate if rate > 0 else _CENTURY_DAYS
    return seen + timedelta(days=days) if days < _CENTURY_DAYS else None


def credit_left(status: BudgetStatus) -> CreditLeft | None:
    """What is left of a prepaid credit and when it ends; None without one."""
    found = status.credit
    if found is None:
        return None
    ends = credit_ends(status)
    return CreditLeft(found.left, ends.low, ends.likely, ends.high, found.by, found.ledger if found.by else None)


def with_level(event: Event, threshold: Threshold, levels: Sequence[Decimal]) -> Event:
    """The same event with its threshold and levels."""
    return replace(
        event,
        basis=threshold.basis,
        threshold=threshold_text(threshold),
        level=max(levels),
        levels=tuple(sorted(levels)),
    )


def anomaly_details(status: BudgetStatus) -> AnomalyReached | None:
    """The details of an anomaly: the day so far, the usual spend by this hour, the top contributor."""
    if status.today is None:
        return None
    spent, low, high = map(_significant, (status.today.spent, status.today.low, status.today.high))
    return AnomalyReached("1d", spent, low, high, top_contributor(status))


def found_late(event: Event, how: str, since: datetime | None) -> Event:
    """The same event, saying that it was found late: alertd was down, or data were corrected."""
    return replace(event, found_late=how, found_late_since=since)


def _not_before(exhausted: Exhaustion, seen: datetime | None) -> Exhaustion:
    """The dates on which a budget may be used up; none is before the end of the data."""
    if seen is None:
        return exhausted
    return Exhaustion(
        *(max(at, seen.astimezone(at.tzinfo)) for at in (exhausted.low, exhausted.likely, exhausted.high))
    )


def _allowed(status: BudgetStatus, now: datetime) -> Decimal | None:
    """What may be spent a day so that the budget just holds; None on the last day."""
    left = (status.period.end - now).total_seconds() / 86400
    if left < 1 or status.spent >= status.amount.value:
        return None
    return (status.amount.value - status.spent) / Decimal(repr(left))


def _significant(value: float) -> Decimal:
    return Decimal(f"{value:.{_DIGITS}g}")
