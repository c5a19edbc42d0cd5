"""From a position to an event: every figure that a message needs, with its absence kept. It has no words for it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from alertd.core.budgets import BurnRate, Threshold, duration_text
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.events import Event
from alertd.core.periods import Period
from alertd.core.projection.outcome import Exhaustion

_HANDLE: Final = 6
_QUANTILES: Final = (0.1, 0.5, 0.9)
#: Significant digits of a projected figure: a projection is never surer than this.
_DIGITS: Final = 6
#: A top contributor is named from this share of the spend on.
_MOST: Final = 0.5


def event_id(key: str) -> str:
    """A stable name for what is announced under a key: the same on every try, in every replica."""
    return hashlib.sha256(key.encode()).hexdigest()[:24]


def handle_of(identity: str) -> str:
    """What people type to acknowledge an event."""
    return identity[:_HANDLE]


def event_of(position: BudgetStatus, kind: str, severity: str, key: str, now: datetime, **more: Any) -> Event:
    """The event of one budget status, announced under `key`, with all its evidence."""
    identity = event_id(key)
    projection = position.projection
    amount = position.amount.value
    exhausted = projection.exhausted_at(float(amount)) if projection is not None else None
    if exhausted is not None and position.spent < amount:
        exhausted = _not_before(exhausted, position.seen_until)
    daily = [[day, spent] for day, spent in position.daily]
    actions = position.budget.actions if position.override.actions is None else position.override.actions
    details = {"handle": handle_of(identity), "daily": daily, **_freshness(position), **more.pop("details", {})}
    if not actions:
        details["unguarded"] = True
    details |= committed_details(position)
    if position.runaways:
        details["runaways"] = [{"budget": name, "scope": [*map(list, scope)]} for name, scope in position.runaways]
    return Event(
        id=identity,
        kind=kind,
        severity=severity,
        at=now,
        budget=position.budget.name,
        scope=position.scope,
        period_start=position.period.start,
        period_end=position.period.end,
        zone=zone_name(position.period),
        status=position.status,
        flags=position.flags,
        amount=amount,
        currency=position.amount.unit,
        spent=position.spent if position.matched or position.spent else None,
        projected=projected(position),
        probability_over=None if projection is None else projection.probability_over(float(amount)),
        exhausted_low=None if exhausted is None else exhausted.low,
        exhausted_at=None if exhausted is None else exhausted.likely,
        exhausted_high=None if exhausted is None else exhausted.high,
        pace=position.pace,
        pace_allowed=_allowed(position, now),
        contributors=position.contributors[:3],
        contributor_count=position.contributor_count,
        data_until=position.data_until,
        complete_from=position.complete_from,
        unpriced=position.unpriced,
        assumed_prices=position.assumed,
        owner=position.override.owner or position.budget.owner,
        runbook_url=position.budget.runbook_url,
        channel=position.override.channel or position.budget.channel,
        details=details,
        **more,
    )


def _freshness(position: BudgetStatus) -> dict[str, Any]:
    """The newest data of any source, and which sources lag behind them."""
    if position.seen_until is None or position.seen_until == position.data_until:
        return {"late": [[one.name, one.until] for one in position.late]} if position.late else {}
    return {"seen_until": position.seen_until, "late": [[one.name, one.until] for one in position.late]}


def projected(position: BudgetStatus) -> dict[str, Decimal]:
    """The quantiles of the contract, as exact as a projection deserves; empty where nothing can be said."""
    if position.projection is None:
        return {}
    found = {str(q): max(position.spent, _significant(position.projection.quantile(q))) for q in _QUANTILES}
    return found if position.data_until is not None else {}


def zone_name(period: Period) -> str:
    """The IANA name of a period's zone."""
    return getattr(period.zone, "key", None) or "UTC"


def burn_details(position: BudgetStatus, threshold: BurnRate) -> dict[str, Any]:
    """What a burn-rate alert shows: the longest window, what it saw, what is usual, who it was."""
    window = max(threshold.windows)
    burn = position.burns[window]
    shortest = position.burns[min(threshold.windows)]
    details: dict[str, Any] = {
        "window": duration_text(window),
        "window_spent": burn.spent,
        "factor": round(burn.factor, 1),
        "readings": [position.seen_until],
        "rate_window": duration_text(shortest.window),
    }
    if position.pace is not None:
        details["window_usual"] = position.pace * Decimal(str(window.total_seconds())) / 86400
    details["rising"] = shortest.factor > burn.factor
    return details | top_contributor_details(position)


def top_contributor_details(position: BudgetStatus) -> dict[str, Any]:
    """Who spent most of the longest window, with its own figure; nothing where nobody spent most of it."""
    found = position.evidence.value
    if found.top_contributor is None or not found.top_contributor[1] or found.top_contributor_share < _MOST:
        return {}
    label, value = found.top_contributor
    return {
        "top_contributor": {
            "label": label,
            "value": value,
            "spent": found.top_contributor_spent,
            "share": found.top_contributor_share,
        }
    }


def committed_details(position: BudgetStatus) -> dict[str, Any]:
    """What is certain to be charged if nobody stops it: each commitment, the dearest first; empty where nothing is."""
    certain = position.certain
    if certain is None or not (certain.ahead or certain.unconverted):
        return {}
    dearest = sorted((line for line in certain.lines if line.ahead), key=lambda one: (-one.ahead, one.name))
    items = [
        {"what": one.name or one.source, "ahead": one.ahead, "cost": one.cost, "per": one.per, "until": one.until}
        for one in dearest
    ]
    found: dict[str, Any] = {"total": position.certain_total, "ahead": certain.ahead, "items": items}
    found["exhausted_at"] = certain.exhausted_at if position.spent < position.amount.value else None
    return {"committed": {**found, "unconverted": list(certain.unconverted)}}


def exhausted_at_pace(position: BudgetStatus, threshold: BurnRate) -> datetime | None:
    """When the budget is used up if the pace of the shortest window goes on; None beyond the period's end."""
    burn = position.burns[min(threshold.windows)]
    left = position.amount.value - position.spent
    if position.seen_until is None or burn.spent <= 0 or left <= 0:
        return None
    gone = position.seen_until + burn.window * float(left / burn.spent)
    return gone if gone < position.period.end else None


def credit_exhausted_at(position: BudgetStatus) -> datetime | None:
    """When the credit is gone at the pace of the last seven days."""
    if position.balance is None or not position.pace or position.pace <= 0 or position.seen_until is None:
        return None
    return position.seen_until + timedelta(days=max(0.0, float(position.balance / position.pace)))


def with_level(event: Event, threshold: Threshold, levels: Sequence[Decimal]) -> Event:
    """The same event with its threshold and levels."""
    return replace(
        event, basis=threshold.basis, threshold=str(threshold), level=max(levels), levels=tuple(sorted(levels))
    )


def anomaly_details(position: BudgetStatus) -> dict[str, Any]:
    """What an anomaly shows: the day so far, what is usual by this hour, who spent most."""
    if position.today is None:
        return {}
    today = position.today
    figures = {"window_spent": today.spent, "usual_low": today.low, "usual_high": today.high}
    details: dict[str, Any] = {"window": "1d", **{name: _significant(value) for name, value in figures.items()}}
    return details | top_contributor_details(position)


def found_late(event: Event, how: str, since: datetime | None) -> Event:
    """The same event, saying that it was found late: alertd was down, or data were corrected."""
    more: Mapping[str, Any] = {"found_late": how, "found_late_since": since}
    return replace(event, details={**event.details, **more})


def _not_before(exhausted: Exhaustion, seen: datetime | None) -> Exhaustion:
    """The dates on which a budget that is not used up will be: none lies before the data end."""
    if seen is None:
        return exhausted
    return Exhaustion(
        *(max(at, seen.astimezone(at.tzinfo)) for at in (exhausted.low, exhausted.likely, exhausted.high))
    )


def _allowed(position: BudgetStatus, now: datetime) -> Decimal | None:
    """What may be spent a day so that the budget just holds."""
    left = (position.period.end - now).total_seconds() / 86400
    if left <= 0 or position.spent >= position.amount.value:
        return None
    return (position.amount.value - position.spent) / Decimal(repr(max(left, 1e-6)))


def _significant(value: float) -> Decimal:
    return Decimal(f"{value:.{_DIGITS}g}")
