"""Messages besides thresholds: the first summary, a period's report, digests, the live message. Sends nothing.

The figures of a live message move at a measured pace; a status, an alert's lifecycle or an action's moves it at once.
Forecasts are noted on days 3, 7, 14 and 21 of a period, and said beside what came when it closes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Final

from alertd.core.addresses import page_of
from alertd.core.budgets import SEVERITIES
from alertd.core.evaluation.amounts import configured_amount
from alertd.core.evaluation.event_builder import event_of, found_late
from alertd.core.evaluation.keys import (
    announced_of,
    announced_since,
    digest_key,
    parse_alert,
    summary_key,
)
from alertd.core.evaluation.state import (
    CARRIED,
    FIRING,
    FORECASTS,
    LIFECYCLES,
    RESOLVED,
    CarriedAmount,
    ProjectedTotal,
    State,
)
from alertd.core.evaluation.threshold_alerts import levels
from alertd.core.evaluation.values import Alert, BudgetStatus
from alertd.core.events import Digest, Event, FirstStart, Live, OpenAction, OpenAlert, PeriodClosed, details_of
from alertd.core.messages import compose, text_of
from alertd.core.messages.format import level_text

#: Digests are sent at nine in the morning, weekly ones on Mondays; one that is this late is left out.
_DIGEST_HOUR: Final = 9
_DIGEST_LATE: Final = timedelta(hours=20)
#: A period is summed up this long after its end, though a source has not shown all of it.
_GIVEN_UP: Final = timedelta(days=7)
_DAYS: Final = {"daily": 1, "weekly": 7}


def first_summary(status: BudgetStatus, alerts: Sequence[Alert], now: datetime) -> Alert:
    """What people get instead of a storm when a budget is seen for the first time."""
    own = [a.event for a in alerts if (a.event.budget, a.event.scope) == (status.budget.name, status.scope)]
    passed = tuple(sorted({level for event in own if event.basis == "actual" for level in event.levels}))
    crossed = [level_text(level) for level in passed]
    crossed += [event.threshold for event in own if event.kind == "threshold" and event.basis != "actual"]
    severity = {"at_risk": "warning", "runaway": "critical", "over": "critical"}.get(status.status, "info")
    worst = max((severity, *(event.severity for event in own)), key=SEVERITIES.index)
    details = FirstStart(tuple(crossed))
    reason = "alertd sees this budget for the first time"
    key = summary_key(status.name, "first")
    event = event_of(status, "summary", worst, key, now, levels=passed, reason=reason, details=details)
    return Alert((key,), event, audience="people" if own else "all")


def corrections(previous: Iterable[BudgetStatus], announced: Mapping[str, datetime], now: datetime) -> Iterator[Alert]:
    """Levels that a period which is over turns out to have reached, by data that came late."""
    for status in previous:
        for alert in levels(status, announced, now):
            yield replace(alert, event=found_late(alert.event, "correction", status.period.end))


def closings(
    previous: Iterable[BudgetStatus], announced: Mapping[str, datetime], state: State, now: datetime
) -> Iterator[Alert]:
    """One summary a budget and scope when its period has closed and its data have come."""
    for status in previous:
        key = summary_key(status.name, "closed")
        if _all_seen(status, now) and key not in announced and (status.spent or not status.scope):
            own = announced_of(announced, status.name)
            forecasts = FORECASTS.get(state, status.name) or {}
            projections = {day: (one.low, one.likely, one.high) for day, one in forecasts.items()}
            carried = _carried(status, now)
            details = PeriodClosed(
                len(own),
                projections=projections,
                carried_over=carried.amount if carried else None,
                carries_nothing=carried.reason if carried else "",
            )
            reason = "the period closed"
            yield Alert((key,), event_of(status, "summary", "info", key, now, reason=reason, details=details))


def carried_over(previous: Iterable[BudgetStatus], state: State, now: datetime) -> dict[str, object]:
    """What closed periods leave to the next ones, decided once: what arrives later does not change an amount again.

    A period that is not fully known carries nothing over: its spend is a lower bound, and what is left too much.
    """
    changes: dict[str, object] = {}
    for status in previous:
        following = status.budget.period.following(status.period)
        name = BudgetStatus.name_of(status.budget.name, status.scope, following)
        if CARRIED.get(state, name) is None and _all_seen(status, now) and (carried := _carried(status, now)):
            changes |= CARRIED.put(carried, name)
    return changes


def _carried(status: BudgetStatus, now: datetime) -> CarriedAmount | None:
    """What a closed period carries over; None where its budget carries nothing."""
    rule = status.budget.carry_over
    if not rule:
        return None
    lack = _lack(status)
    base = configured_amount(status.budget, status.scope, status.period).value
    value = Decimal(0) if lack else rule.of(status.amount.value, base, status.spent)
    return CarriedAmount(value, status.amount.unit, now, status.period.key, lack)


def _lack(status: BudgetStatus) -> str:
    """Why a closed period is not fully known; "" where it is."""
    if status.failed:
        return "it could not be evaluated"
    if status.complete_from is not None and status.complete_from > status.period.start:
        return "its figures begin only within it"
    if status.unpriced:
        return "some of its usage has no price"
    return "" if status.data_until is not None and status.data_until >= status.period.end else "a source is missing"


def _all_seen(status: BudgetStatus, now: datetime) -> bool:
    """Whether a period's data have come; a source that stays silent holds its summary up for a week at the most."""
    seen = status.data_until is not None and status.data_until >= status.period.end
    return status.closed and (seen or now - status.period.end > _GIVEN_UP)


def digest(
    statuses: Iterable[BudgetStatus],
    announced: Mapping[str, datetime],
    now: datetime,
    often: str,
    zone: tzinfo,
    *,
    first: datetime,
) -> Iterator[Alert]:
    """Every budget and scope in one message for people, daily or weekly; announced once.

    One that was due before alertd's first evaluation (`first`) is not made up for: the first summary has just said it.
    """
    due = _due(now, often, zone)
    if due is None or due < first:
        return
    since = due - timedelta(days=_DAYS[often])
    counts = announced_since(announced, since)
    for status in statuses:
        key = digest_key(status.name, due.date())
        if key not in announced and (status.spent or not status.scope):
            details = Digest(counts.get(status.name, 0))
            reason = f"{often} digest"
            event = event_of(status, "summary", "info", key, now, reason=reason, since=since, details=details)
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


LIVE: Final = "live"
#: Figures that moved are shown so often at most: people read, chats have limits.
FIGURES_EVERY: Final = timedelta(minutes=15)
#: Also where nothing moved: the message says how old its data are.
AT_LEAST_EVERY: Final = timedelta(hours=1)
#: What is kept with the conversation: where its message is (channel/ts; "" for none), what it shows, and since when.
PLACE: Final = "live.place"
SHOWN: Final = "live.shown"
SHOWN_AT: Final = "live.at"


def live_event(
    status: BudgetStatus, state: State, now: datetime, actions: Sequence[OpenAction] = (), public_url: str = ""
) -> Event:
    """The status of a budget, scope and period: its figures, its alerts that are not over, the actions that wait.

    `actions` are those of it that are open (`core.actions.state_machine.open_actions`).
    """
    own = [(identity, life) for identity, life in LIFECYCLES.items(state) if life.key.startswith(f"{status.name}/")]
    standing = [(identity, life) for identity, life in own if life.state != RESOLVED]
    rows = [
        OpenAlert(identity, _threshold(one.key), one.severity, one.state, one.history[-1].by, one.since, one.until)
        for identity, one in standing
    ]
    rows.sort(key=_first)
    severity = max((life.severity for _, life in standing), key=SEVERITIES.index, default="info")
    details = Live(tuple(rows), tuple(actions))
    event = event_of(status, "summary", severity, f"{status.name}/{LIVE}", now, handle="", details=details)
    return replace(event, details_url=page_of(public_url, event))


def shown(event: Event, now: datetime) -> str:
    """Two fingerprints of a message about `event`: of what is urgent in it, and of its text without the footer."""
    live = details_of(event, Live)
    rows = [event.status, live.open_alerts, live.open_actions]
    message = compose([event], now)
    words = [text_of(line) for line in (message.headline, *message.body)]
    return f"{_print(rows)}/{_print(words)}"


def is_due(memory: Mapping[str, str], showing: str, now: datetime) -> bool:
    """Whether a message that shows what `memory` says should show `showing` now."""
    at = memory.get(SHOWN_AT, "")
    if not at:
        return True
    before = memory.get(SHOWN, "")
    age = now - datetime.fromisoformat(at)
    if before.partition("/")[0] != showing.partition("/")[0]:
        return True
    return age >= (AT_LEAST_EVERY if before == showing else FIGURES_EVERY)


def _threshold(key: str) -> str:
    """What people call the threshold of an alert's key: budget/scope/period/basis/level/..."""
    alert = parse_alert(key)
    basis, level = (alert.basis, alert.level) if alert is not None else ("", "")
    words = {
        "actual": f"{level}% used",
        "forecast": f"forecast above {level}%",
        "burn_rate": f"runaway, {level}× the budgeted rate",
        "anomaly": "unusual spend",
        "balance": "credit runs low",
        "novel": "something new is used",
    }
    return words.get(basis, basis)


def _first(row: OpenAlert) -> tuple[bool, int, str]:
    """Sort key: unacknowledged alerts first, the most severe before the others."""
    return row.state != FIRING, -SEVERITIES.index(row.severity), row.id


def _print(values: object) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:12]


DAYS: Final = (3, 7, 14, 21)
_LOW, _LIKELY, _HIGH = 0.1, 0.5, 0.9


def forecast_changes(
    statuses: Sequence[BudgetStatus],
    previous: Sequence[BudgetStatus],
    closed: Container[str],
    state: State,
    now: datetime,
) -> dict[str, object]:
    """Today's forecasts remembered, and those of the periods that closed just now forgotten: their summary says them.

    `closed` are the keys of the summaries of closed periods.
    """
    changes: dict[str, object] = {}
    for status in statuses:
        changes |= note_forecast(status, state, now)
    for status in previous:
        if summary_key(status.name, "closed") in closed:
            changes |= FORECASTS.put(None, status.name)
    return changes


def note_forecast(status: BudgetStatus, state: State, now: datetime) -> dict[str, object]:
    """The change that remembers today's projection, where the period is on one of DAYS and it has none yet."""
    day = (now - status.period.start) // timedelta(days=1) + 1
    if day not in DAYS or status.projection is None or status.stale_sources:
        return {}
    known = FORECASTS.get(state, status.name) or {}
    if str(day) in known:
        return {}
    figures = ProjectedTotal(*(round(status.projection.quantile(q), 6) for q in (_LOW, _LIKELY, _HIGH)))
    return FORECASTS.put({**known, str(day): figures}, status.name)
