"""The alerts of one status: levels newly reached, episodes that begin and end. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final, Unpack

from alertd.core.budgets import TOKENS, Actual, Anomaly, Balance, BurnRate, Forecast, Novel, Threshold, threshold_text
from alertd.core.evaluation.event_builder import (
    EventFacts,
    anomaly_details,
    burn_details,
    credit_ends,
    event_of,
    exhausted_at_pace,
    found_late,
    with_level,
)
from alertd.core.evaluation.keys import recovered_key
from alertd.core.evaluation.state import EPISODES, Episode, State, episode_key
from alertd.core.evaluation.thresholds import (
    advance,
    is_certain,
    is_crossed,
    key_of,
    newly_reached,
    novel_key,
    severity,
    thresholds_of,
)
from alertd.core.evaluation.values import Alert, BudgetStatus
from alertd.core.events import AnyDetails, BalanceReached, Event, ForecastReached, NovelUsed
from alertd.core.messages.format import chance

#: Thresholds that fire in episodes, and how grave one is.
EPISODIC: Final[Mapping[str, str]] = {
    "forecast": "warning",
    "burn_rate": "critical",
    "anomaly": "warning",
    "balance": "warning",
}


def alerts_of(
    status: BudgetStatus, announced: Mapping[str, datetime], state: State, now: datetime, late: datetime | None
) -> tuple[list[Alert], dict[str, object]]:
    """The alerts of one status, and the changes of its episodes. `late`: since when nobody had looked."""
    alerts = list(levels(status, announced, now))
    alerts += novelties(status, announced, now)
    changed: dict[str, object] = {}
    moved: dict[str, list[tuple[Actual, Episode]]] = {}
    for threshold in thresholds_of(status):
        rolls = isinstance(threshold, Actual) and status.period.rolls is not None
        if threshold.basis not in EPISODIC and not rolls:
            continue
        key = episode_key(status.name, threshold)
        silent = status.silent and isinstance(threshold, BurnRate)
        before, crossed = (
            EPISODES.get(state, key) or Episode(),
            None if silent else is_crossed(status, threshold, now),
        )
        after, said = advance(before, threshold, crossed=crossed, now=now)
        if after != before:
            changed |= EPISODES.put(after, key)
        if said and isinstance(threshold, Actual):
            moved.setdefault(said, []).append((threshold, after))
        elif said == "fired":
            alerts.append(_fired(status, threshold, after, now))
        elif said == "recovered" and isinstance(threshold, Forecast | Balance):
            alerts.append(_recovered(status, threshold, after, now))
    for said, levels_moved in moved.items():
        alerts.append(_moved(status, said, levels_moved, now))
    if late is not None:
        alerts = [replace(alert, event=found_late(alert.event, "down", late)) for alert in alerts]
    return alerts, changed


def _moved(status: BudgetStatus, said: str, moved: Sequence[tuple[Actual, Episode]], now: datetime) -> Alert:
    """The levels of a window that rolls which were crossed, or recovered, at once: one alert of the highest."""
    by_level = sorted(
        ((threshold.level(status.amount), threshold, episode) for threshold, episode in moved), key=_level
    )
    level, top, episode = by_level[-1]
    keys = tuple(key_of(status, threshold, one.number) for _, threshold, one in by_level)
    if said == "recovered":
        keys = tuple(map(recovered_key, keys))
        event = event_of(status, "recovered", "info", keys[-1], now, reason=f"{top} no longer fires",
                         since=episode.since, fired=severity(status, level))  # fmt: skip
    else:
        event = event_of(status, "threshold", severity(status, level), keys[-1], now, reason=_reason(status, top))
    return Alert(keys, with_level(event, top, [one for one, _, _ in by_level]))


def _level(one: tuple[Decimal, Actual, Episode]) -> Decimal:
    return one[0]


def novelties(status: BudgetStatus, announced: Mapping[str, datetime], now: datetime) -> Iterator[Alert]:
    """Each value that is new and costs what its threshold asks for, once a period."""
    for threshold in thresholds_of(status):
        if not isinstance(threshold, Novel):
            continue
        minimum = threshold.minimum_spend
        for one in status.novel:
            if one.label != threshold.label:
                continue
            if minimum is not None and minimum.unit == status.amount.unit and one.spent < minimum.value:
                continue
            key = novel_key(status, one)
            if key in announced:
                continue
            reason = f"{threshold}: {one.label} {one.value} had not been used for 30 days"
            event = event_of(status, "threshold", "warning", key, now, reason=reason,
                             details=NovelUsed(one.label, one.value, one.spent))  # fmt: skip
            yield Alert((key,), replace(event, basis=threshold.basis, threshold=threshold_text(threshold)))


def levels(status: BudgetStatus, announced: Mapping[str, datetime], now: datetime) -> Iterator[Alert]:
    """The `actual` levels newly reached, as one alert of the highest."""
    reached = newly_reached(status, announced)
    if not reached:
        return
    top = reached[-1]
    reason = f"spent {_exact(status)} of {status.amount} reached {threshold_text(top.threshold)}"
    event = event_of(status, "threshold", severity(status, top.level), top.key, now, reason=reason)
    yield Alert(tuple(item.key for item in reached), with_level(event, top.threshold, [i.level for i in reached]))


def repeated_event(
    status: BudgetStatus, threshold: Threshold, key: str, now: datetime, **said: Unpack[EventFacts]
) -> Event:
    """The event of a threshold that was announced before, with current figures; `said` holds why it is repeated."""
    level = threshold.level(status.amount)
    grave = EPISODIC.get(threshold.basis) or severity(status, level)
    details = _details(status, threshold)
    if isinstance(threshold, Novel):
        grave = "warning"
        found = [one for one in status.novel if key.startswith(f"{novel_key(status, one)}/")]
        details = NovelUsed(found[0].label, found[0].value, found[0].spent) if found else None
    event = event_of(status, "threshold", grave, key, now, reason=f"{threshold} still fires", details=details)
    event = replace(event, **said)
    return with_level(event, threshold, [level])


def _fired(status: BudgetStatus, threshold: Threshold, episode: Episode, now: datetime) -> Alert:
    key = key_of(status, threshold, episode.number)
    details = _details(status, threshold)
    reason = _reason(status, threshold)
    grave = EPISODIC[threshold.basis]
    event = event_of(status, "threshold", grave, key, now, reason=reason, details=details)
    if isinstance(threshold, Balance):
        ends = credit_ends(status)
        event = replace(
            event,
            amount=None if threshold.amount is None else threshold.amount.value,
            exhausted_low=ends.low,
            exhausted_at=ends.likely,
            exhausted_high=ends.high,
        )
    if isinstance(threshold, Forecast) and is_certain(status, threshold):
        out = status.certain.exhausted_at if status.certain is not None else None
        event = replace(event, exhausted_at=out, exhausted_low=None, exhausted_high=None)
        event = replace(event, probability_over=1.0 if out else event.probability_over)
    if isinstance(threshold, BurnRate):
        event = replace(
            event, exhausted_at=exhausted_at_pace(status, threshold), exhausted_low=None, exhausted_high=None
        )
    return Alert((key,), with_level(event, threshold, [threshold.level(status.amount)]))


def _recovered(status: BudgetStatus, threshold: Threshold, episode: Episode, now: datetime) -> Alert:
    key = recovered_key(key_of(status, threshold, episode.number))
    reason = f"{threshold} no longer fires"
    fired = EPISODIC[threshold.basis]
    event = event_of(status, "recovered", "info", key, now, reason=reason, since=episode.since, fired=fired)
    return Alert((key,), with_level(event, threshold, [threshold.level(status.amount)]))


def _details(status: BudgetStatus, threshold: Threshold) -> AnyDetails | None:
    """What only an alert of this basis shows."""
    if isinstance(threshold, BurnRate) and all(window in status.burns for window in threshold.windows):
        return burn_details(status, threshold)
    if isinstance(threshold, Forecast) and is_certain(status, threshold):
        return ForecastReached(certain=True)
    if isinstance(threshold, Balance):
        return BalanceReached(status.balance)
    return anomaly_details(status) if isinstance(threshold, Anomaly) else None


def _reason(status: BudgetStatus, threshold: Threshold) -> str:
    if isinstance(threshold, Forecast) and is_certain(status, threshold):
        lines = status.certain.lines if status.certain is not None else ()
        names = ", ".join(one.name or one.source for one in lines if one.ahead)
        return f"{threshold}: what is spent and committed ({names}) is {status.certain_total:.2f}"
    if isinstance(threshold, Forecast) and status.projection is not None:
        probability = status.projection.probability_over(float(threshold.reached_at(status.amount)))
        return f"{threshold}: the period's total exceeds it with a probability of {chance(probability)}"
    if isinstance(threshold, Balance):
        return f"{threshold}: {status.balance} is left"
    if isinstance(threshold, Anomaly) and status.today is not None:
        return f"{threshold}: fewer than one day in {1 / max(1e-9, 1 - status.today.probability):,.0f} is like today"
    if isinstance(threshold, Actual):
        return f"spent {_exact(status)} of {status.amount} in the window reached {threshold}"
    return f"{threshold}: every window is above it"


def _exact(status: BudgetStatus) -> str:
    """What is spent, to the cent or the token."""
    return f"{status.spent:,.0f}" if status.amount.unit == TOKENS else f"{status.spent:,.2f}"
