"""Whether the estimate agrees with the bill, said once a month and provider; and when two sources look like one."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from alertd.core.billing.lookalikes import Alike, alike
from alertd.core.billing.reconcile import reconcile
from alertd.core.billing.reconciled import Reconciled
from alertd.core.evaluation.state import COMPARISON, CORRECTION, Comparison, State
from alertd.core.events import Event
from alertd.core.judgement.evidence import event_id, handle_of
from alertd.core.judgement.positions import Circumstances
from alertd.core.ledger import Ledger
from alertd.core.pricing.costing import costs, midnights
from alertd.core.pricing.model_names import provider_id

#: A billed day may still change for so long after its data are there.
_SETTLE: Final = timedelta(days=2)
#: The daemon looks back so far, and so often.
_LOOK_BACK: Final = 35
_EVERY: Final = timedelta(hours=1)
#: Fewer final days than this say nothing yet.
_LEAST_DAYS: Final = 3


def compared(
    ledger: Ledger, around: Circumstances, days: int, by: Sequence[str] = ()
) -> tuple[tuple[Reconciled, ...], tuple[Alike, ...]]:
    """Every provider with usage and a bill, in the zone and currency of its bill; and sources that look alike."""
    final = {n: (v.until - _SETTLE).astimezone(UTC).date() for n, v in around.sources.items() if v.until is not None}
    bills = {(provider_id(row.provider), row.billed) for row in ledger.kinds if row.billed}
    found: list[Reconciled] = []
    tariff, exchange = around.tariff, around.exchange
    for zone, unit in sorted({(tariff.zone(provider), unit) for provider, unit in bills}):
        table = costs(ledger, unit, *_days(around.now, ZoneInfo(zone), days), tariff=tariff, exchange=exchange)
        here = {provider for provider, billed in bills if billed == unit and tariff.zone(provider) == zone}
        each = reconcile(ledger, table, final, by=by, standings=around.standings)
        found.extend(one for one in each if one.provider in here)
    everything = costs(ledger, "USD", *_days(around.now, UTC, days), tariff=tariff, exchange=exchange)
    return tuple(found), alike(ledger, everything, around.standings)


def drifting(
    ledger: Ledger, around: Circumstances, told: Container[str], state: State, level: Decimal
) -> tuple[list[tuple[str, Event]], dict[str, object]]:
    """Events, with their keys, for what drifts beyond `level` or looks alike; looked at once an hour."""
    last = COMPARISON.get(state)
    sources = {row.source for row in ledger.kinds}
    if len(sources) < 2 or (last and around.now - last.at < _EVERY):  # noqa: PLR2004 two sides
        return [], {}
    found, pairs = compared(ledger, around, _LOOK_BACK)
    events = [*_drifts(found, around.now, level), *_alikes(pairs, around.now)]
    shown = Comparison(around.now, tuple(one.to_json() for one in found), tuple(pair.said for pair in pairs))
    changed = {**COMPARISON.put(shown), **CORRECTION.put(_corrections(found))}
    return [(key, event) for key, event in events if key not in told], changed


def comparisons(state: State) -> Sequence[Mapping[str, Any]]:
    """The last comparison of every provider that has both usage and a bill, as `Reconciled.to_json` has it."""
    last = COMPARISON.get(state)
    return () if last is None else last.compared


def _corrections(found: Sequence[Reconciled]) -> dict[str, dict[str, str]]:
    """By provider, what one unit of the estimate came to, and the first day that is not billed yet."""
    return {
        one.provider: {"factor": str(one.factor), "since": (one.days[-1].day + timedelta(days=1)).isoformat()}
        for one in found
        if one.factor is not None and len(one.days) >= _LEAST_DAYS
    }


def _drifts(found: Sequence[Reconciled], now: datetime, level: Decimal) -> Iterator[tuple[str, Event]]:
    for one in found:
        if len(one.days) < _LEAST_DAYS or not one.drifts(level):
            continue
        key = f"drift/{one.provider}/{now:%Y-%m}"
        details = {
            "occasion": "drift",
            "provider": one.provider,
            "estimated": one.estimated,
            "billed": one.billed,
            "drift": one.drift,
            "first": one.days[0].day.isoformat(),
            "last": one.days[-1].day.isoformat(),
            "causes": [cause.said for cause in one.causes],
            "correction": one.factor,
        }
        yield key, replace(_event(key, now, "estimate and bill differ", details), currency=one.unit)


def _alikes(pairs: Sequence[Alike], now: datetime) -> Iterator[tuple[str, Event]]:
    for pair in pairs:
        key = f"alike/{pair.one}/{pair.other}"
        details = {"occasion": "alike", "sources": [pair.one, pair.other], "said": pair.said}
        yield key, _event(key, now, "two sources look like one", details)


def _event(key: str, now: datetime, reason: str, details: dict[str, Any]) -> Event:
    own = {"handle": handle_of(event_id(key)), **details}
    return Event(event_id(key), "summary", "warning", now, reason=reason, details=own)


def _days(now: datetime, zone: tzinfo, days: int) -> tuple[list[date], list[float]]:
    return midnights(zone, now.astimezone(zone).date() - timedelta(days=days), days + 1)
