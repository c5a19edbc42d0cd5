"""Whether the estimate agrees with the bill, announced once a month and provider; and duplicate sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from alertd.core.billing.duplicate_sources import DuplicateSources, duplicate_sources
from alertd.core.billing.reconcile import compare_reports, reconcile
from alertd.core.billing.reconciled import Reconciled
from alertd.core.evaluation.event_builder import event_id, handle_of
from alertd.core.evaluation.keys import monthly_key, named_key
from alertd.core.evaluation.state import COMPARISON, CORRECTION, Comparison, State
from alertd.core.evaluation.values import EvaluationContext
from alertd.core.events import Event
from alertd.core.ledger.columns import Ledger
from alertd.core.periods import midnights
from alertd.core.pricing.costing import costs
from alertd.core.pricing.model_names import provider_id
from alertd.core.pricing.source_roles import CHARGE, ESTIMATE

#: A billed day may still change for this long after its data are there.
_SETTLE: Final = timedelta(days=2)
#: The daemon looks back so far, and so often.
_LOOK_BACK: Final = 35
_EVERY: Final = timedelta(hours=1)
#: Fewer final days than this say nothing yet.
_LEAST_DAYS: Final = 3


def compared(
    ledger: Ledger, context: EvaluationContext, days: int, by: Sequence[str] = ()
) -> tuple[tuple[Reconciled, ...], tuple[DuplicateSources, ...]]:
    """Every provider with usage and a bill, in the zone and currency of its bill; and possible duplicate sources."""
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


def drifting(
    ledger: Ledger, context: EvaluationContext, announced: Container[str], state: State, level: Decimal
) -> tuple[list[tuple[str, Event]], dict[str, object]]:
    """Events, with their keys, for what drifts beyond `level` or looks like a duplicate; looked at once an hour."""
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
        reported = ("reported", *one.billed_by) if one.against == "report" else ()
        key = monthly_key("drift", now, *reported, one.provider)
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
        key = named_key("alike", pair.one, pair.other)
        details = {"summary": "duplicate_sources", "sources": [pair.one, pair.other], "said": pair.said}
        yield key, _event(key, now, "two sources look like one", details)


def _event(key: str, now: datetime, reason: str, details: dict[str, Any]) -> Event:
    own = {"handle": handle_of(event_id(key)), **details}
    return Event(event_id(key), "summary", "warning", now, reason=reason, details=own)


def _days(now: datetime, zone: tzinfo, days: int) -> tuple[list[date], list[float]]:
    return midnights(zone, now.astimezone(zone).date() - timedelta(days=days), days + 1)


def _units_of_reports(ledger: Ledger) -> tuple[str, ...]:
    """The currency that most reported estimates are in; the others are converted, or said to have no rate."""
    units = Counter(row.billed for row in ledger.kinds if row.billed and row.labels.get(CHARGE) == ESTIMATE)
    return tuple(unit for unit, _ in units.most_common(1))
