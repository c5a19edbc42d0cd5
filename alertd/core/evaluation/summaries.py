"""What is said besides thresholds: the first look, a period's close, digests. Sends nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

from alertd.core.budgets import SEVERITIES
from alertd.core.evaluation.event_builder import event_of, found_late
from alertd.core.evaluation.keys import announced_of, announced_since, digest_key, summary_key
from alertd.core.evaluation.state import FORECASTS, State
from alertd.core.evaluation.threshold_alerts import levels
from alertd.core.evaluation.values import Alert, BudgetStatus
from alertd.core.messages.figures import level_text

#: Digests are sent at nine in the morning, weekly ones on Mondays; one that is this late is left out.
_DIGEST_HOUR: Final = 9
_DIGEST_LATE: Final = timedelta(hours=20)
#: A period is summed up this long after its end, though a source has not shown all of it.
_GIVEN_UP: Final = timedelta(days=7)
_DAYS: Final = {"daily": 1, "weekly": 7}


def first_summary(position: BudgetStatus, alerts: Sequence[Alert], now: datetime) -> Alert:
    """What people get instead of a storm when a budget is seen for the first time."""
    own = [a.event for a in alerts if (a.event.budget, a.event.scope) == (position.budget.name, position.scope)]
    passed = tuple(sorted({level for event in own if event.basis == "actual" for level in event.levels}))
    crossed = [level_text(level) for level in passed]
    crossed += [event.threshold for event in own if event.kind == "threshold" and event.basis != "actual"]
    severity = {"at_risk": "warning", "runaway": "critical", "over": "critical"}.get(position.status, "info")
    worst = max((severity, *(event.severity for event in own)), key=SEVERITIES.index)
    details = {"summary": "first_start", "crossed": crossed}
    reason = "alertd sees this budget for the first time"
    key = summary_key(position.name, "first")
    event = event_of(position, "summary", worst, key, now, levels=passed, reason=reason, details=details)
    return Alert((key,), event, audience="people" if own else "all")


def corrections(previous: Iterable[BudgetStatus], announced: Mapping[str, datetime], now: datetime) -> Iterator[Alert]:
    """Levels that a period which is over turns out to have reached, by data that came late."""
    for position in previous:
        for alert in levels(position, announced, now):
            yield replace(alert, event=found_late(alert.event, "correction", position.period.end))


def closings(
    previous: Iterable[BudgetStatus], announced: Mapping[str, datetime], state: State, now: datetime
) -> Iterator[Alert]:
    """One summary a budget and scope when its period has closed and its data have come."""
    for position in previous:
        key = summary_key(position.name, "closed")
        if _all_seen(position, now) and key not in announced and (position.spent or not position.scope):
            own = announced_of(announced, position.name)
            details: dict[str, Any] = {"summary": "period_closed", "alerts": len(own)}
            if forecasts := FORECASTS.get(state, position.name):
                details["projections"] = {day: [one.low, one.likely, one.high] for day, one in forecasts.items()}
            reason = "the period closed"
            yield Alert((key,), event_of(position, "summary", "info", key, now, reason=reason, details=details))


def _all_seen(position: BudgetStatus, now: datetime) -> bool:
    """Whether a period's data have come; a source that stays silent holds its summary up for a week at the most."""
    seen = position.data_until is not None and position.data_until >= position.period.end
    return position.closed and (seen or now - position.period.end > _GIVEN_UP)


def digest(
    positions: Iterable[BudgetStatus], announced: Mapping[str, datetime], now: datetime, often: str, zone: tzinfo
) -> Iterator[Alert]:
    """Every budget and scope in one message for people, daily or weekly; announced once."""
    due = _due(now, often, zone)
    if due is None:
        return
    since = due - timedelta(days=_DAYS[often])
    counts = announced_since(announced, since)
    for position in positions:
        key = digest_key(position.name, due.date())
        if key not in announced and (position.spent or not position.scope):
            alerts = counts.get(position.name, 0)
            details = {"summary": "digest", "since": since, "alerts": alerts}
            event = event_of(position, "summary", "info", key, now, reason=f"{often} digest", details=details)
            yield Alert((key,), event, audience="people")


def _due(now: datetime, often: str, zone: tzinfo) -> datetime | None:
    """The last time a digest was due, where that is not long ago."""
    if often not in _DAYS:
        return None
    local = now.astimezone(zone)
    due = local.replace(hour=_DIGEST_HOUR, minute=0, second=0, microsecond=0)
    if often == "weekly":
        due -= timedelta(days=local.weekday())
    if due > local:
        due -= timedelta(days=_DAYS[often])
    return due if local - due < _DIGEST_LATE else None
