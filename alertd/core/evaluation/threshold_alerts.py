"""What one position comes to: levels newly reached, episodes that begin and end. Pure, and sends nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from alertd.core.budgets import Anomaly, Balance, BurnRate, Forecast, Threshold
from alertd.core.evaluation.event_builder import (
    anomaly_details,
    burn_details,
    credit_exhausted_at,
    event_of,
    exhausted_at_pace,
    found_late,
    with_level,
)
from alertd.core.evaluation.keys import recovered_key
from alertd.core.evaluation.state import EPISODES, Episode, State, episode_key
from alertd.core.evaluation.thresholds import (
    advance,
    is_burning,
    is_certain,
    is_crossed,
    key_of,
    newly_reached,
    severity,
    thresholds_of,
)
from alertd.core.evaluation.values import Alert, BudgetStatus
from alertd.core.events import Event

#: Thresholds that fire in episodes, and how grave one is.
EPISODIC: Final[Mapping[str, str]] = {
    "forecast": "warning",
    "burn_rate": "critical",
    "anomaly": "warning",
    "balance": "warning",
}


def alerts_of(
    position: BudgetStatus, announced: Mapping[str, datetime], state: State, now: datetime, late: datetime | None
) -> tuple[list[Alert], dict[str, object]]:
    """The alerts of one position, and the changes of its episodes. `late`: since when nobody had looked."""
    alerts = list(levels(position, announced, now))
    changed: dict[str, object] = {}
    for threshold in thresholds_of(position):
        if threshold.basis not in EPISODIC:
            continue
        key = episode_key(position.name, threshold)
        silent = position.silent and isinstance(threshold, BurnRate)
        before, crossed = (
            EPISODES.get(state, key) or Episode(),
            None if silent else is_crossed(position, threshold, now),
        )
        after, said = advance(before, threshold, crossed=crossed, now=now)
        if after != before:
            changed |= EPISODES.put(after, key)
        if said == "fired":
            alerts.append(_fired(position, threshold, after, now))
        elif said == "recovered" and isinstance(threshold, Forecast | Balance):
            alerts.append(_recovered(position, threshold, after, now))
    if late is not None:
        alerts = [replace(alert, event=found_late(alert.event, "down", late)) for alert in alerts]
    return alerts, changed


def levels(position: BudgetStatus, announced: Mapping[str, datetime], now: datetime) -> Iterator[Alert]:
    """The `actual` levels newly reached, as one alert of the highest."""
    reached = newly_reached(position, announced)
    if not reached:
        return
    top = reached[-1]
    spent = position.spent.quantize(Decimal("0.01"))
    reason = f"spent {spent} of {position.amount} reached {top.threshold}"
    more = {"reason": reason, "details": _burning(position)}
    event = event_of(position, "threshold", severity(position, top.level), top.key, now, **more)
    yield Alert(tuple(item.key for item in reached), with_level(event, top.threshold, [i.level for i in reached]))


def _burning(position: BudgetStatus) -> dict[str, Any]:
    return {"burning": True} if is_burning(position) else {}


def repeated_event(position: BudgetStatus, threshold: Threshold, key: str, now: datetime, **details: Any) -> Event:
    """The event of a threshold that was announced before, with the figures of now."""
    level = threshold.level(position.amount)
    grave = EPISODIC.get(threshold.basis) or severity(position, level)
    more = {**_details(position, threshold), **details}
    event = event_of(position, "threshold", grave, key, now, reason=f"{threshold} still stands", details=more)
    return with_level(event, threshold, [level])


def _fired(position: BudgetStatus, threshold: Threshold, episode: Episode, now: datetime) -> Alert:
    key = key_of(position, threshold, episode.number)
    details = _details(position, threshold)
    reason = _reason(position, threshold)
    event = event_of(position, "threshold", EPISODIC[threshold.basis], key, now, reason=reason, details=details)
    if isinstance(threshold, Balance):
        event = replace(
            event, amount=threshold.amount.value, exhausted_at=credit_exhausted_at(position), exhausted_low=None
        )
        event = replace(event, exhausted_high=None)
    if isinstance(threshold, Forecast) and is_certain(position, threshold):
        out = position.certain.exhausted_at if position.certain is not None else None
        event = replace(event, exhausted_at=out, exhausted_low=None, exhausted_high=None)
        event = replace(event, probability_over=1.0 if out else event.probability_over)
    if isinstance(threshold, BurnRate):
        event = replace(
            event, exhausted_at=exhausted_at_pace(position, threshold), exhausted_low=None, exhausted_high=None
        )
    return Alert((key,), with_level(event, threshold, [threshold.level(position.amount)]))


def _recovered(position: BudgetStatus, threshold: Threshold, episode: Episode, now: datetime) -> Alert:
    key = recovered_key(key_of(position, threshold, episode.number))
    reason = f"{threshold} no longer stands"
    details = {"since": episode.since, "fired": EPISODIC[threshold.basis]}
    event = event_of(position, "recovered", "info", key, now, reason=reason, details=details)
    return Alert((key,), with_level(event, threshold, [threshold.level(position.amount)]))


def _details(position: BudgetStatus, threshold: Threshold) -> dict[str, Any]:
    """What only a burn rate or an anomaly shows."""
    if isinstance(threshold, BurnRate) and all(window in position.burns for window in threshold.windows):
        return burn_details(position, threshold)
    if isinstance(threshold, Forecast) and is_certain(position, threshold):
        return {"certain": True}
    if isinstance(threshold, Balance):
        return {"balance": position.balance}
    return anomaly_details(position) if isinstance(threshold, Anomaly) else {}


def _reason(position: BudgetStatus, threshold: Threshold) -> str:
    if isinstance(threshold, Forecast) and is_certain(position, threshold):
        lines = position.certain.lines if position.certain is not None else ()
        names = ", ".join(one.name or one.source for one in lines if one.ahead)
        return f"{threshold}: what is spent and committed ({names}) is {position.certain_total:.2f}"
    if isinstance(threshold, Forecast) and position.projection is not None:
        chance = position.projection.probability_over(float(threshold.reached_at(position.amount)))
        return f"{threshold}: the period's total exceeds it with a probability of {chance:.0%}"
    if isinstance(threshold, Balance):
        return f"{threshold}: {position.balance} is left"
    if isinstance(threshold, Anomaly) and position.today is not None:
        return f"{threshold}: fewer than one day in {1 / max(1e-9, 1 - position.today.probability):,.0f} is like today"
    return f"{threshold}: every window is above it"
