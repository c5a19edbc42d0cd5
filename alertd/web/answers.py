"""What the API says of statuses, alerts and history, as JSON values; and an evaluation as its record."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from alertd.core.budgets import Actual, Forecast, Novel, Threshold
from alertd.core.evaluation.event_builder import committed_money, event_of, handle_of, zone_name
from alertd.core.evaluation.explain import after_decisions, explain_notes, explain_thresholds
from alertd.core.evaluation.state import (
    EPISODES,
    FIRING,
    LIFECYCLES,
    RESOLVED,
    AlertLifecycle,
    State,
    StatusRecord,
    episode_key,
)
from alertd.core.evaluation.thresholds import STATUSES, is_crossed, thresholds_of
from alertd.core.evaluation.values import BudgetStatus, Decisions, Facts
from alertd.core.events import Contributor, Event
from alertd.ports import AlertRow
from alertd.web.labels import event_for
from alertd.web.view import StoreReader

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
            "kind": str(position.budget.period),
            "zone": zone_name(position.period),
        },
        "status": position.status,
        "flags": list(position.flags),
        "amount": decimal_text(position.amount.value),
        "currency": position.amount.unit,
        "carried_over": decimal_text(position.carried) if position.carried else None,
        "spent": decimal_text(position.spent) if seen else None,
        "spent_at_least": decimal_text(position.spent) if seen else None,
        "projected": _projected(event) if known else None,
        "probability_over": event.probability_over if known else None,
        "exhausted_at": _exhausted(event) if known else None,
        "frees_at": instant_text(position.frees_at),
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
        "others": position.others,
        "parent": {"budget": position.parent[0], "scope": dict(position.parent[1])} if position.parent else None,
        "children": _children(position),
        "thresholds": [
            {
                "threshold": str(threshold),
                "reached_at": _reached_at(threshold, position),
                "firing": is_firing(position, threshold, notes, now),
            }
            for threshold in thresholds_of(position)
        ],
        "contributors": [_contributor(item) for item in position.contributors],
        "contributor_count": position.contributor_count,
        "unpriced": event.contract()["unpriced"],
        "assumed_prices": list(position.assumed),
        "credit": _credit(event),
        "certain": _certain(position),
        "commitments": _commitments(position),
        "owner": event.owner,
        "runbook_url": position.budget.runbook_url,
    }


def _credit(event: Event) -> dict[str, Any] | None:
    """What is left of a prepaid credit, when it is used up, and who says so: a source, else what was paid and spent."""
    found = event.credit
    if found is None:
        return None
    return {
        "left": decimal_text(found.left),
        "ends": {
            "low": instant_text(found.low),
            "likely": instant_text(found.likely),
            "high": instant_text(found.high),
        },
        "source": found.by or None,
        "ledger": decimal_text(found.ledger),
    }


def _children(position: BudgetStatus) -> dict[str, Any] | None:
    """What the scopes right below it come to; `rest` is its spend that none of them covers."""
    found = position.children
    if found is None:
        return None
    return {
        "count": len(found.scopes),
        "amount": decimal_text(found.amount),
        "spent": decimal_text(found.spent),
        "rest": decimal_text(found.rest),
        "overlapping": found.overlapping,
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


def is_firing(position: BudgetStatus, threshold: Threshold, notes: State, now: datetime) -> bool | None:
    """Whether a threshold fires; None if that is unknown or not evaluated yet.

    An episode lasts until hysteresis ends it, as the state of the evaluation knows. Without an
    episode, the current figures decide.
    """
    known = position.status != "unknown"
    if isinstance(threshold, Actual) and position.spent >= threshold.reached_at(position.amount):
        return True  # what was seen is a lower bound
    if not known or threshold.basis == "actual":
        return False if known else None
    episode = EPISODES.get(notes, episode_key(position.name, threshold))
    if episode is not None:
        return episode.open
    if isinstance(threshold, Novel):
        return any(one.label == threshold.label for one in position.novel)
    if threshold.basis not in ("forecast", "burn_rate"):
        return None
    return bool(is_crossed(position, threshold, now))


def worst_first(positions: Iterable[BudgetStatus]) -> list[BudgetStatus]:
    """Over, at risk, unknown, then the rest; within each those nearest their limit by what is likely spent in all."""
    return sorted(positions, key=lambda p: (badness(p), p.name))


def badness(position: BudgetStatus) -> tuple[int, float]:
    """What orders statuses, the worst lowest: the status, then how little is left by what is likely spent in all."""
    amount = float(position.amount.value) or 1e-9
    likely = float(position.spent) if position.projection is None else position.projection.quantile(0.5)
    return STATES.index(position.status), -max(float(position.spent), likely) / amount


async def load_state(records: StoreReader) -> State:
    """What evaluation remembers. Raises StoreError."""
    return State.of(await records.memory())


def lifecycle_of(row: AlertRow, state: State) -> AlertLifecycle | None:
    """How an alert came to be in its state; None for what nobody has to act on, and for what is long over."""
    return LIFECYCLES.get(state, row.event.id)


def alert_state(row: AlertRow, notes: State) -> str:
    """The state of its lifecycle; `announced` without one, `dry_run` if it was never sent."""
    life = lifecycle_of(row, notes)
    if row.state != FIRING:
        return row.state
    if life is not None:
        return life.state
    acted_on = row.event.severity != "info" and row.event.kind in ("threshold", "source_stale")
    return RESOLVED if acted_on else "announced"


def alerts_json(rows: Iterable[AlertRow], notes: State, limit: int) -> list[dict[str, Any]]:
    """The newest alerts first, one for all keys that were announced together."""
    by_event: dict[str, list[AlertRow]] = {}
    for row in sorted(rows, key=lambda row: (row.at, row.key), reverse=True):
        if row.event.id in by_event or len(by_event) < limit:
            by_event.setdefault(row.event.id, []).append(row)
    return [_alert(group, notes) for group in by_event.values()]


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


def record_evaluation(facts: Facts, decisions: Decisions, names: Collection[str] | None = None) -> list[StatusRecord]:
    """The records of an evaluation, the worst first; of the statuses of these names only where they are given."""
    after, now = after_decisions(facts, decisions), facts.context.now
    found = []
    for position in worst_first(one for one in decisions.statuses if names is None or one.name in names):
        event = replace(event_for(position, now), daily=position.daily, committed=committed_money(position))
        found.append(
            StatusRecord(
                name=position.name,
                at=now,
                rank=badness(position),
                answer=budget_json(position, after.state, now),
                event=event.to_json(),
                price_version=facts.context.tariff.version,
                thresholds=explain_thresholds(after, position),
                notes=explain_notes(after, position),
            )
        )
    return found
