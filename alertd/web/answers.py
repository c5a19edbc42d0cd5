"""The JSON of budgets and alerts: money as decimal strings, the unknown as null with its state, never 0."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from alertd.core.budgets import Actual, Forecast, Threshold
from alertd.core.evaluation.event_builder import event_of, handle_of, zone_name
from alertd.core.evaluation.state import EPISODES, FIRING, LIFECYCLES, RESOLVED, AlertLifecycle, State, episode_key
from alertd.core.evaluation.status import STATUSES
from alertd.core.evaluation.thresholds import is_crossed, thresholds_of
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.events import Contributor, Event
from alertd.ports import AlertRow
from alertd.web.view import Records

#: How far back alerts are given where nobody asks.
RECENT: Final = timedelta(days=35)
#: The statuses of a budget, the worst first.
STATES: Final = STATUSES


def budget_json(position: BudgetStatus, notes: State, now: datetime) -> dict[str, Any]:
    """One budget, scope and period as the API has it."""
    known, seen = position.status != "unknown", position.seen
    event = event_of(position, "summary", "info", position.name, now)
    return {
        "budget": position.budget.name,
        "scope": dict(position.scope),
        "period": {
            "start": instant_text(position.period.start),
            "end": instant_text(position.period.end),
            "kind": position.budget.period.kind,
            "zone": zone_name(position.period),
        },
        "status": position.status,
        "flags": list(position.flags),
        "amount": decimal_text(position.amount.value),
        "currency": position.amount.unit,
        "spent": decimal_text(position.spent) if seen else None,
        "spent_at_least": decimal_text(position.spent) if seen else None,
        "projected": _projected(event) if known else None,
        "probability_over": event.probability_over if known else None,
        "exhausted_at": _exhausted(event) if known else None,
        "pace_per_day": decimal_text(event.pace),
        "allowed_per_day": decimal_text(_short(event.pace_allowed)) if known else None,
        "data_until": instant_text(position.data_until),
        "complete_from": instant_text(position.complete_from),
        "late": [
            {"source": one.name, "data_until": instant_text(one.until), "stale": one.stale} for one in position.late
        ],
        "stale_sources": list(position.stale_sources),
        "failed": position.failed or None,
        "matched": position.matched,
        "thresholds": [
            {
                "threshold": str(threshold),
                "reached_at": _reached_at(threshold, position),
                "stands": standing(position, threshold, notes, now),
            }
            for threshold in thresholds_of(position)
        ],
        "contributors": [_contributor(item) for item in position.contributors],
        "contributor_count": position.contributor_count,
        "unpriced": event.contract()["unpriced"],
        "assumed_prices": list(position.assumed),
        "certain": _certain(position),
        "commitments": _commitments(position),
        "owner": event.owner,
        "runbook_url": position.budget.runbook_url,
    }


def _certain(position: BudgetStatus) -> dict[str, Any] | None:
    """What is certain in the period: charged so far, ahead, and when the amount is used up by that alone."""
    certain = position.certain
    if certain is None:
        return None
    return {
        "charged": decimal_text(certain.charged),
        "ahead": decimal_text(certain.ahead),
        "total": decimal_text(position.spent + certain.ahead),
        "exhausted_at": instant_text(certain.exhausted_at),
        "unconverted": list(certain.unconverted),
    }


def _commitments(position: BudgetStatus) -> list[dict[str, Any]]:
    """Each commitment of the scope with its rate, in the budget's unit."""
    return [
        {
            "name": line.name,
            "source": line.source,
            "cost": decimal_text(line.cost),
            "per": line.per or None,
            "since": instant_text(line.since),
            "until": instant_text(line.until),
            "charged": decimal_text(line.charged),
            "ahead": decimal_text(line.ahead),
        }
        for line in (position.certain.lines if position.certain else ())
    ]


def standing(position: BudgetStatus, threshold: Threshold, notes: State, now: datetime) -> bool | None:
    """Whether a threshold stands; None where that is unknown or not evaluated yet.

    An episode stands until it was clearly over for a while: what evaluation remembers knows. Where it never began, the
    figures of the moment tell.
    """
    known = position.status != "unknown"
    if isinstance(threshold, Actual) and position.spent >= threshold.reached_at(position.amount):
        return True  # what was seen is a lower bound
    if not known or threshold.basis == "actual":
        return False if known else None
    episode = EPISODES.get(notes, episode_key(position.name, threshold))
    if episode is not None:
        return episode.open
    if threshold.basis not in ("forecast", "burn_rate"):
        return None
    return bool(is_crossed(position, threshold, now))


def worst_first(positions: Iterable[BudgetStatus]) -> list[BudgetStatus]:
    """Over, at risk, unknown, then the rest; within each those nearest their limit by what is likely spent in all."""
    return sorted(positions, key=lambda p: (STATES.index(p.status), -_pressure(p), p.name))


def _pressure(position: BudgetStatus) -> float:
    amount = float(position.amount.value) or 1e-9
    likely = float(position.spent) if position.projection is None else position.projection.quantile(0.5)
    return max(float(position.spent), likely) / amount


async def load_state(records: Records) -> State:
    """What evaluation remembers. Raises StoreError."""
    return State.of(await records.memory())


def lifecycle_of(row: AlertRow, state: State) -> AlertLifecycle | None:
    """How an alert came to be in its state; None for what nobody has to act on, and for what is long over."""
    return LIFECYCLES.get(state, row.event.id)


def alert_state(row: AlertRow, notes: State) -> str:
    """The state of its life; `told` for what never had one, `dry_run` where it was never sent."""
    life = lifecycle_of(row, notes)
    if row.state != FIRING:
        return row.state
    if life is not None:
        return life.state
    acted_on = row.event.severity != "info" and row.event.kind in ("threshold", "source_stale")
    return RESOLVED if acted_on else "told"


def alerts_json(rows: Iterable[AlertRow], notes: State, limit: int) -> list[dict[str, Any]]:
    """The newest alerts first, one for all keys that were told together."""
    told: dict[str, list[AlertRow]] = {}
    for row in sorted(rows, key=lambda row: (row.at, row.key), reverse=True):
        if row.event.id in told or len(told) < limit:
            told.setdefault(row.event.id, []).append(row)
    return [_alert(group, notes) for group in told.values()]


def _alert(rows: Sequence[AlertRow], notes: State) -> dict[str, Any]:
    event, life = rows[0].event, lifecycle_of(rows[0], notes)
    steps = () if life is None else life.history
    return {
        **event.contract(),
        "handle": handle_of(event.id),
        "keys": sorted(row.key for row in rows),
        "at": instant_text(rows[0].at),
        "state": alert_state(rows[0], notes),
        "history": [
            {"at": instant_text(step.at), "what": step.what, "state": step.state, "by": step.by, "reason": step.reason}
            for step in steps
        ],
        "threshold": event.threshold,
    }


def decimal_text(value: Decimal | None) -> str | None:
    """A plain decimal string without an exponent or idle zeros."""
    return None if value is None else f"{value.normalize():f}"


def _short(value: Decimal | None) -> Decimal | None:
    """A quotient to a millionth."""
    return None if value is None else round(value, 6)


def instant_text(instant: datetime | None) -> str | None:
    """An instant in UTC, to the second."""
    return None if instant is None else instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _projected(event: Event) -> dict[str, str | None] | None:
    return {name: decimal_text(value) for name, value in event.projected.items()} or None


def _exhausted(event: Event) -> dict[str, str | None] | None:
    if event.exhausted_at is None:
        return None
    instants = {"low": event.exhausted_low, "likely": event.exhausted_at, "high": event.exhausted_high}
    return {name: instant_text(instant) for name, instant in instants.items()}


def _reached_at(threshold: Threshold, position: BudgetStatus) -> str | None:
    if not isinstance(threshold, Actual | Forecast):
        return None
    return decimal_text(threshold.reached_at(position.amount))


def _contributor(item: Contributor) -> dict[str, Any]:
    return {
        "label": item.label,
        "value": item.value,
        "spent": decimal_text(item.spent),
        "pace_per_day": decimal_text(item.pace_now),
        "pace_before_per_day": decimal_text(item.pace_before),
        "volume_change": item.volume_change,
    }
