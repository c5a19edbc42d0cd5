"""What alertd cannot see or cannot trust: silent sources, unmatched budgets, uncovered spend, estimate against bill.

Each is announced once, and a source once more when it is back. Nothing here guesses a spend.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final
from zoneinfo import ZoneInfo

from alertd.core.billing.duplicate_sources import DuplicateSources, duplicate_sources
from alertd.core.billing.reconcile import compare_reports, reconcile
from alertd.core.billing.reconciled import Reconciled
from alertd.core.budgets import TOKENS, Budget, duration_text
from alertd.core.evaluation.budget_status import StatusEvaluator
from alertd.core.evaluation.event_builder import event_id, event_of, handle_of
from alertd.core.evaluation.keys import SourceKey
from alertd.core.evaluation.state import COMPARISON, CORRECTION, OUTAGES, Comparison, Outage, State
from alertd.core.evaluation.values import BudgetStatus, EvaluationContext, SourceView
from alertd.core.events import Event
from alertd.core.ledger.columns import Ledger
from alertd.core.periods import midnights
from alertd.core.pricing.costing import costs
from alertd.core.pricing.model_names import provider_id
from alertd.core.pricing.source_roles import CHARGE, ESTIMATE


def source_outages(
    views: Iterable[SourceView], state: State, now: datetime
) -> tuple[list[tuple[str, Event]], dict[str, object]]:
    """Events, with their keys, for sources that are newly blind or back, and the changes that remember it."""
    events: list[tuple[str, Event]] = []
    changed: dict[str, object] = {}
    for view in views:
        before = OUTAGES.get(state, view.name) or Outage()
        dark = _stale_since(view, now)
        if dark is not None and not before.open:
            episode = before.episode + 1
            changed |= OUTAGES.put(Outage(episode, open=True, since=dark), view.name)
            events.append(_stale(view, str(SourceKey(view.name, "stale", episode)), now, dark))
        elif dark is None and before.open:
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
    """The event of a source that is still source_outages, told again."""
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
        key = f"unmatched/{budget.name}/{sorted(details['wanted'].items())}"
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
        key = f"uncovered/{context.now:%Y-%m}"
        identity = event_id(key)
        yield key, Event(
            identity, "unmatched", "info", context.now, reason="spend that no budget covers",
            currency=next(iter(details["uncovered"])), details={"handle": handle_of(identity), **details},
        )  # fmt: skip


#: A billed day may still change for so long after its data are there.
_SETTLE: Final = timedelta(days=2)
#: The daemon looks back so far, and so often.
_LOOK_BACK: Final = 35
_EVERY: Final = timedelta(hours=1)
#: Fewer final days than this say nothing yet.
_LEAST_DAYS: Final = 3


def compared(
    ledger: Ledger, context: EvaluationContext, days: int, by: Sequence[str] = ()
) -> tuple[tuple[Reconciled, ...], tuple[DuplicateSources, ...]]:
    """Every provider with usage and a bill, in the zone and currency of its bill; and sources that look alike."""
    final = {n: (v.until - _SETTLE).astimezone(UTC).date() for n, v in context.sources.items() if v.until is not None}
    billed = [row for row in ledger.kinds if row.billed and row.labels.get(CHARGE) != ESTIMATE]
    bills = {(provider_id(row.provider), row.billed) for row in billed}
    found: list[Reconciled] = []
    tariff, exchange = context.tariff, context.exchange
    for zone, unit in sorted({(tariff.zone(provider), unit) for provider, unit in bills}):
        table = costs(ledger, unit, *_days(context.now, ZoneInfo(zone), days), tariff=tariff, exchange=exchange)
        here = {provider for provider, billed in bills if billed == unit and tariff.zone(provider) == zone}
        each = reconcile(ledger, table, final, by=by, standings=context.standings)
        found.extend(one for one in each if one.provider in here)
    done = {n: view.until.astimezone(UTC).date() for n, view in context.sources.items() if view.until is not None}
    for unit in _units_of_reports(ledger):
        table = costs(ledger, unit, *_days(context.now, UTC, days), tariff=tariff, exchange=exchange)
        found.extend(compare_reports(ledger, table, done, by=by, standings=context.standings))
    everything = costs(ledger, "USD", *_days(context.now, UTC, days), tariff=tariff, exchange=exchange)
    return tuple(found), duplicate_sources(ledger, everything, context.standings)


def _units_of_reports(ledger: Ledger) -> tuple[str, ...]:
    """The currency that most reported estimates are in; the others are converted, or said to have no rate."""
    units = Counter(row.billed for row in ledger.kinds if row.billed and row.labels.get(CHARGE) == ESTIMATE)
    return tuple(unit for unit, _ in units.most_common(1))


def drifting(
    ledger: Ledger, context: EvaluationContext, announced: Container[str], state: State, level: Decimal
) -> tuple[list[tuple[str, Event]], dict[str, object]]:
    """Events, with their keys, for what drifts beyond `level` or looks alike; looked at once an hour."""
    last = COMPARISON.get(state)
    sources = {row.source for row in ledger.kinds}
    if not (len(sources) > 1 or any(row.billed for row in ledger.kinds)) or (last and context.now - last.at < _EVERY):
        return [], {}
    found, pairs = compared(ledger, context, _LOOK_BACK)
    events = [*_drifts(found, context.now, level), *_alikes(pairs, context.now)]
    shown = Comparison(context.now, tuple(one.to_json() for one in found), tuple(pair.said for pair in pairs))
    changed = {**COMPARISON.put(shown), **CORRECTION.put(_corrections(found))}
    return [(key, event) for key, event in events if key not in announced], changed


def comparisons(state: State) -> Sequence[Mapping[str, Any]]:
    """The last comparison of every provider that has both usage and a bill, as `Reconciled.to_json` has it."""
    last = COMPARISON.get(state)
    return () if last is None else last.compared


def _corrections(found: Sequence[Reconciled]) -> dict[str, dict[str, str]]:
    """By provider, what one unit of the estimate came to, and the first day that is not billed yet."""
    return {
        one.provider: {"factor": str(one.factor), "since": (one.days[-1].day + timedelta(days=1)).isoformat()}
        for one in found
        if one.against == "bill" and one.factor is not None and len(one.days) >= _LEAST_DAYS
    }


def _drifts(found: Sequence[Reconciled], now: datetime, level: Decimal) -> Iterator[tuple[str, Event]]:
    for one in found:
        # Known by its bill alone, or by models without a price, which is said apart: there is no estimate to differ.
        if len(one.days) < _LEAST_DAYS or not one.estimated or not one.drifts(level):
            continue
        reported = f"reported/{','.join(one.billed_by)}/" if one.against == "report" else ""
        key = f"drift/{reported}{one.provider}/{now:%Y-%m}"
        details = {
            "summary": "drift",
            "provider": one.provider,
            "estimated": one.estimated,
            "billed": one.billed,
            "drift": one.drift,
            "first": one.days[0].day.isoformat(),
            "last": one.days[-1].day.isoformat(),
            "causes": [cause.said for cause in one.causes],
            "correction": one.factor,
            "against": one.against,
            "sources": list(one.billed_by),
        }
        event = replace(_event(key, now, f"estimate and {one.against} differ", details), currency=one.unit)
        yield key, event if one.against == "bill" else replace(event, severity="info")


def _alikes(pairs: Sequence[DuplicateSources], now: datetime) -> Iterator[tuple[str, Event]]:
    for pair in pairs:
        key = f"alike/{pair.one}/{pair.other}"
        details = {"summary": "duplicate_sources", "sources": [pair.one, pair.other], "said": pair.said}
        yield key, _event(key, now, "two sources look like one", details)


def _event(key: str, now: datetime, reason: str, details: dict[str, Any]) -> Event:
    own = {"handle": handle_of(event_id(key)), **details}
    return Event(event_id(key), "summary", "warning", now, reason=reason, details=own)


def _days(now: datetime, zone: tzinfo, days: int) -> tuple[list[date], list[float]]:
    return midnights(zone, now.astimezone(zone).date() - timedelta(days=days), days + 1)
