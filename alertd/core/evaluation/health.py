"""What alertd cannot see: sources that went stale, budgets that match nothing, spend that no budget covers.

Each is announced once, and a source once more when it is back. Nothing here guesses a spend.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final

from alertd.core.budgets import TOKENS, Budget, duration_text
from alertd.core.evaluation.budget_status import StatusEvaluator
from alertd.core.evaluation.event_builder import event_id, event_of, handle_of
from alertd.core.evaluation.keys import SourceKey, monthly_key, named_key
from alertd.core.evaluation.state import OUTAGES, Outage, State
from alertd.core.evaluation.values import BudgetStatus, Facts, SourceView
from alertd.core.events import Event
from alertd.core.ledger.columns import Ledger


def source_outages(
    views: Iterable[SourceView], state: State, now: datetime
) -> tuple[list[tuple[str, Event]], dict[str, object]]:
    """Events, with their keys, for sources that went stale or returned, and the changes that remember it."""
    events: list[tuple[str, Event]] = []
    changed: dict[str, object] = {}
    for view in views:
        before = OUTAGES.get(state, view.name) or Outage()
        stale_since = _stale_since(view, now)
        if stale_since is not None and not before.open:
            episode = before.episode + 1
            changed |= OUTAGES.put(Outage(episode, open=True, since=stale_since), view.name)
            events.append(_stale(view, str(SourceKey(view.name, "stale", episode)), now, stale_since))
        elif stale_since is None and before.open:
            changed |= OUTAGES.put(Outage(before.episode), view.name)
            key = str(SourceKey(view.name, "back", before.episode))
            events.append(_back(view, key, now, before.since or now))
    return events, changed


def _stale_since(view: SourceView, now: datetime) -> datetime | None:
    """Since when the source shows nothing, where that is longer than it may; None while it is seen.

    None also where nobody has looked since: the clock was set forward, or this machine slept.
    """
    if view.stale(now) and (view.error or view.last_ok is None or view.stale(view.last_ok)):
        return view.until
    if view.until is None and view.failing_since is not None and now - view.failing_since > view.stale_after:
        return view.failing_since
    return None


def _stale(view: SourceView, key: str, now: datetime, since: datetime) -> tuple[str, Event]:
    details = {
        "handle": handle_of(event_id(key)),
        "source": view.name,
        "since": since,
        "error": view.error or "no newer data",
        "retry_every": duration_text(view.interval),
        "actions_paused": True,
    }
    reason = f"no data from {view.name} since {since.isoformat()}"
    event = Event(event_id(key), "source_stale", "critical", now, reason=reason, data_until=view.until, details=details)
    return key, event


def repeated_outage(view: SourceView, key: str, now: datetime, details: Mapping[str, Any]) -> Event:
    """The event of a source that is still stale, announced again."""
    event = _stale(view, key, now, _stale_since(view, now) or now)[1]
    return replace(event, details={**event.details, **details})


def _back(view: SourceView, key: str, now: datetime, since: datetime) -> tuple[str, Event]:
    details = {"handle": handle_of(event_id(key)), "source": view.name, "since": since, "until": now}
    details["fired"] = "critical"
    reason = f"{view.name} is seen again"
    event = Event(event_id(key), "recovered", "info", now, reason=reason, data_until=view.until, details=details)
    return key, event


_SHOWN: Final = 5


def unmatched(
    budgets: Sequence[Budget], positions: Sequence[BudgetStatus], ledger: Ledger, now: datetime
) -> Iterator[tuple[str, Event]]:
    """An event, with its key, for every budget that covers no series although there is usage."""
    covering = {position.budget.name for position in positions if position.matched}
    for budget in budgets:
        if budget.name in covering or not budget.where.patterns:
            continue
        position = next((p for p in positions if p.budget.name == budget.name), None)
        details = {"wanted": {n: ",".join(p) for n, p in budget.where.patterns}, **_nearest(budget, ledger)}
        key = named_key("unmatched", budget.name, str(sorted(details["wanted"].items())))
        reason = "no usage matches this budget"
        if position is not None:
            yield key, event_of(position, "unmatched", "warning", key, now, reason=reason, details=details)
        else:
            identity = event_id(key)
            yield key, Event(
                identity, "unmatched", "warning", now, budget=budget.name, reason=reason,
                owner=budget.owner, channel=budget.channel, details={"handle": handle_of(identity), **details},
            )  # fmt: skip


def _nearest(budget: Budget, ledger: Ledger) -> dict[str, Any]:
    """The first label that fits nothing, its known values, and the value (or label) most like the one wanted."""
    for name, patterns in budget.where.patterns:
        known = sorted({labels[name] for labels in ledger.labels if name in labels})
        wanted = [pattern.strip("!*") for pattern in patterns]
        if not known:
            names = sorted({label for labels in ledger.labels for label in labels})
            near = get_close_matches(name, names, n=1, cutoff=0.5)
            return {"known": [], "nearest": {"label": near[0], "value": ""}} if near else {"known": []}
        near = get_close_matches(wanted[0], known, n=1, cutoff=0.4) if wanted else []
        if near and not any(budget.where.matches({name: value}) for value in known):
            return {"known": known[:_SHOWN], "nearest": {"label": name, "value": near[0]}}
    return {"known": []}


def uncovered_spend(budgets: Sequence[Budget], survey: StatusEvaluator) -> dict[str, Any]:
    """What no budget covered this calendar month, in the unit of the first budget of money: amount and who."""
    money = [budget for budget in budgets if budget.amount.unit != TOKENS]
    if not money:
        return {}
    ledger, context = survey.ledger, survey.context
    strays = ledger.label_index.uncovered(budget.where for budget in budgets)
    table = survey.costs(money[0].period.zone, money[0].amount.unit)
    first = max(0, len(table.days) - context.now.astimezone(money[0].period.zone).day)
    spent = {index: table.exact_between(index, first, len(table.days)) for index in strays}
    total = sum(spent.values(), Decimal(0))
    by_model: dict[str, Decimal] = {}
    for index, value in spent.items():
        model = ledger.series[index].model
        by_model[model] = by_model.get(model, Decimal(0)) + value
    top = sorted(by_model.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
    return {
        "uncovered": {money[0].amount.unit: total},
        "uncovered_by": [{"label": "model", "value": model, "spent": value} for model, value in top],
    } if total else {}  # fmt: skip


def uncovered(budgets: Sequence[Budget], survey: StatusEvaluator) -> Iterator[tuple[str, Event]]:
    """An event, once a calendar month, where there is spend that no budget covers."""
    details, context = uncovered_spend(budgets, survey), survey.context
    if details:
        key = monthly_key("uncovered", context.now)
        identity = event_id(key)
        yield key, Event(
            identity, "unmatched", "info", context.now, reason="spend that no budget covers",
            currency=next(iter(details["uncovered"])), details={"handle": handle_of(identity), **details},
        )  # fmt: skip


def with_nearest(event: Event, facts: Facts, positions: Sequence[BudgetStatus]) -> Event:
    """A source's event with the budgets that hang on it: how many, and the one nearest its limit."""
    if event.kind != "source_stale":
        return event
    name = event.details.get("source")
    fed_by = {budget.name: feeding(facts, budget) for budget in facts.budgets}
    fed = [position for position in positions if name in fed_by[position.budget.name]]
    if not fed:
        return event
    near = max(fed, key=lambda p: p.spent / p.amount.value if p.amount.value else Decimal(0))
    nearest = {
        "budget": near.budget.name,
        "scope": [list(pair) for pair in near.scope],
        "spent": near.spent,
        "amount": near.amount.value,
        "currency": near.amount.unit,
    }
    return replace(event, details={**event.details, "budgets": len(fed), "nearest": nearest})


def with_missed(event: Event, facts: Facts, positions: Sequence[BudgetStatus], survey: StatusEvaluator) -> Event:
    """A source's return with what it saw meanwhile, in each currency of the budgets that it feeds."""
    source, since = event.details.get("source"), event.details.get("since")
    view = facts.context.sources.get(str(source))
    if event.kind != "recovered" or since is None or view is None or view.until is None:
        return event
    units = {p.amount.unit for p in positions if p.amount.unit != TOKENS and source in feeding(facts, p.budget)}
    missed = {unit: survey.spent_of_source(view.name, unit, since, view.until) for unit in sorted(units)}
    found = {unit: spent for unit, spent in missed.items() if spent > 0}
    return replace(event, details={**event.details, "missed": found}) if found else event


def feeding(facts: Facts, budget: Budget) -> set[str]:
    """The sources that a budget's usage comes from; every source, while nothing is known of it."""
    known = facts.ledger.label_index.by_value(budget.where, ("source",))
    return {source for (source,) in known if source} or set(facts.context.sources)
