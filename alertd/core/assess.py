"""The whole judgement as one function of one value: the same in the daemon, in replay and in tests.

facts -> survey (rating, projection) -> positions
-> actual levels | forecast and burn-rate episodes | sources | unpriced | unmatched | summaries
-> alerts with their keys, and the notes to remember
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from alertd.core.budgets import Budget
from alertd.core.coverage import uncovered, unmatched
from alertd.core.events import Event
from alertd.core.evidence import burn_details, event_of, found_late, gone_about, with_level
from alertd.core.ledger import Ledger
from alertd.core.positions import Circumstances, Position
from alertd.core.sources import blind
from alertd.core.survey import Survey
from alertd.core.thresholds import (
    Standing,
    advance,
    key_of,
    newly_reached,
    severity,
    stands,
    thresholds_of,
)

_EPISODIC: Final = {"forecast": "warning", "burn_rate": "critical", "anomaly": "warning"}
_FULL: Final = Decimal(100)
#: A judgement so long after the last one finds what was crossed while nobody looked.
_ABSENT: Final = timedelta(minutes=15)
#: How often the note of the last judgement is written.
_NOTED_EVERY: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a judgement depends on. `told` are the keys of alerts already announced; `notes` what was remembered.

    `settled` says that every source has been read as far as it goes: until then nothing is judged for the first time,
    and a budget whose source is still catching up waits.
    """

    budgets: Sequence[Budget]
    ledger: Ledger
    around: Circumstances
    told: Mapping[str, datetime] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    catching_up: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Alert:
    """What is announced: the keys under which it is told once, its event, and whether only people's channels get it."""

    keys: tuple[str, ...]
    event: Event
    audience: str = "all"


@dataclass(frozen=True, slots=True)
class Decisions:
    """What a judgement came to: alerts to announce, notes to keep (None: forget), and where everything stands."""

    alerts: tuple[Alert, ...]
    notes: Mapping[str, Any]
    positions: tuple[Position, ...]


def assess(facts: Facts) -> Decisions:
    """Judge everything once. Pure: the same facts give the same decisions."""
    now = facts.around.now
    started = _instant(facts.notes.get("first_run")) or now
    alerts, notes = [], dict[str, Any]()
    source_alerts, source_notes = blind(facts.around.sources.values(), facts.notes, now)
    positions, previous = _positions(facts, started)
    if _ready(facts):
        notes |= {"first_run": started.isoformat()} if "first_run" not in facts.notes else {}
        late = _absence(facts, now)
        for budget, of_budget in _by_budget(positions):
            new_alerts, new_notes = _judged_budget(facts, budget, of_budget, late)
            alerts += new_alerts
            notes |= new_notes
        alerts += _corrections(facts, previous)
        alerts += _closings(facts, previous)
        alerts += _unpriced(facts, positions)
        alerts += _strays(facts, positions)
        notes |= _tick_note(facts, now)
    for source_alert in source_alerts:
        alerts.append(Alert((source_alert[0],), _nearest(source_alert[1], facts, positions)))
    return Decisions(tuple(alerts), notes | source_notes, tuple(positions))


def _positions(facts: Facts, started: datetime) -> tuple[list[Position], list[Position]]:
    """Where everything stands now, and in the period before where alertd was there to see it."""
    now = facts.around.now
    before = {budget.name: budget.period.previous(budget.period.containing(now)) for budget in facts.budgets}
    earliest = min((period.start for period in before.values()), default=now)
    survey = Survey(facts.ledger, facts.around, earliest)
    current = [position for budget in facts.budgets for position in survey.positions(budget)]
    watched = [b for b in facts.budgets if before[b.name].end > started]
    previous = [position for budget in watched for position in survey.positions(budget, before[budget.name].start)]
    return current, previous


def _ready(facts: Facts) -> bool:
    """Whether every source has spoken, or has been failing: the first judgement waits for what is merely on its way."""
    if "first_run" in facts.notes:
        return True
    views = facts.around.sources.values()
    return bool(views) and all(
        view.name not in facts.catching_up and (view.until is not None or view.error) for view in views
    )


def _by_budget(positions: Iterable[Position]) -> Iterator[tuple[Budget, list[Position]]]:
    groups: dict[str, list[Position]] = {}
    for position in positions:
        groups.setdefault(position.budget.name, []).append(position)
    for found in groups.values():
        yield found[0].budget, found


def _judged_budget(
    facts: Facts, budget: Budget, positions: Sequence[Position], late: datetime | None
) -> tuple[list[Alert], dict[str, Any]]:
    """All scopes of one budget. The first time it is seen with data, people get one summary instead of a storm."""
    met = f"met/{budget.name}"
    if met not in facts.notes and not any(position.data_until for position in positions):
        return [], {}
    alerts: list[Alert] = []
    notes: dict[str, Any] = {}
    for position in positions:
        if set(position.stale_sources) | (_feeding(facts, position) & facts.catching_up):
            continue
        new_alerts, new_notes = _judged(facts, position, late)
        alerts += new_alerts
        notes |= new_notes
    if met in facts.notes:
        return alerts, notes
    now = facts.around.now
    notes[met] = now.isoformat()
    quiet = [replace(alert, audience="machines") for alert in alerts]
    return quiet + [_first_summary(position, alerts, now) for position in positions], notes


def _judged(facts: Facts, position: Position, late: datetime | None) -> tuple[list[Alert], dict[str, Any]]:
    now = facts.around.now
    alerts = list(_actual(position, facts.told, now))
    notes: dict[str, Any] = {}
    for threshold in thresholds_of(position):
        if threshold.basis not in _EPISODIC:
            continue
        note = f"standing/{position.name}/{threshold}"
        before = Standing.from_json(facts.notes.get(note))
        after, said = advance(before, threshold, stood=stands(position, threshold, now), now=now)
        if after != before:
            notes[note] = after.to_json()
        if said == "fired":
            alerts.append(_fired(position, threshold, after, now))
        elif said == "recovered" and threshold.basis == "forecast":
            alerts.append(_recovered(position, threshold, after, now))
    if late is not None:
        alerts = [replace(alert, event=found_late(alert.event, "down", late)) for alert in alerts]
    return alerts, notes


def _actual(position: Position, told: Mapping[str, datetime], now: datetime) -> Iterator[Alert]:
    """The levels newly reached, as one alert of the highest."""
    reached = newly_reached(position, told)
    if not reached:
        return
    top = reached[-1]
    event = event_of(
        position, "threshold", severity(position, top.level), top.key, now, reason=_spent_reason(position, top.level)
    )
    yield Alert(tuple(item.key for item in reached), with_level(event, top.threshold, [i.level for i in reached]))


def _fired(position: Position, threshold: Any, standing: Standing, now: datetime) -> Alert:
    key = key_of(position, threshold, standing.episode)
    burning = threshold.basis == "burn_rate"
    details = burn_details(position, threshold) if burning else {}
    event = event_of(
        position, "threshold", _EPISODIC[threshold.basis], key, now,
        reason=_episode_reason(position, threshold), details=details,
    )  # fmt: skip
    if burning:
        event = replace(event, exhausted_at=gone_about(position, threshold), exhausted_low=None, exhausted_high=None)
    return Alert((key,), with_level(event, threshold, [threshold.level(position.amount)]))


def _recovered(position: Position, threshold: Any, standing: Standing, now: datetime) -> Alert:
    key = key_of(position, threshold, f"{standing.episode}/recovered")
    event = event_of(
        position, "recovered", "information", key, now,
        reason=f"{threshold} no longer stands", details={"since": standing.since},
    )  # fmt: skip
    return Alert((key,), with_level(event, threshold, [threshold.level(position.amount)]))


def _first_summary(position: Position, alerts: Sequence[Alert], now: datetime) -> Alert:
    key = f"{position.name}/summary/first"
    own = [a.event for a in alerts if (a.event.budget, a.event.scope) == (position.budget.name, position.scope)]
    levels = tuple(sorted({level for event in own if event.basis == "actual" for level in event.levels}))
    worst = max(
        (event.severity for event in own), key=("information", "warning", "critical").index, default="information"
    )
    event = event_of(
        position, "summary", worst, key, now, levels=levels,
        reason="alertd sees this budget for the first time",
        details={"occasion": "first_start", "state": state_of(position), "alerts": len(own)},
    )  # fmt: skip
    return Alert((key,), event, audience="people" if own else "all")


def _corrections(facts: Facts, previous: Sequence[Position]) -> Iterator[Alert]:
    """Levels that a closed period turns out to have reached, by data that came late."""
    for position in previous:
        if not position.stale_sources and not _feeding(facts, position) & facts.catching_up:
            for alert in _actual(position, facts.told, facts.around.now):
                yield replace(alert, event=found_late(alert.event, "correction", position.period.end))


def _closings(facts: Facts, previous: Sequence[Position]) -> Iterator[Alert]:
    """One summary a budget and scope when its period has closed and its data have come."""
    now = facts.around.now
    for position in previous:
        key = f"{position.name}/summary/closed"
        if position.closed and key not in facts.told and (position.spent or not position.scope):
            own = [told for told in facts.told if told.startswith(f"{position.name}/") and "/summary/" not in told]
            details = {"occasion": "period_closed", "state": state_of(position), "alerts": len(own)}
            reason = "the period closed"
            yield Alert((key,), event_of(position, "summary", "information", key, now, reason=reason, details=details))


def _unpriced(facts: Facts, positions: Sequence[Position]) -> Iterator[Alert]:
    """What no price list knows, told once a model and meter."""
    found = {(u.provider, u.model, u.meter): u for position in positions for u in position.unpriced}
    new = {f"unpriced/{'/'.join(kind)}": item for kind, item in found.items()}
    new = {key: item for key, item in new.items() if key not in facts.told}
    if not new:
        return
    first = next(iter(sorted(new)))
    now = facts.around.now
    owner = next(p for p in positions if any(u in new.values() for u in p.unpriced))
    share = _unpriced_share(facts.ledger, {(u.model, u.meter) for u in new.values()})
    event = event_of(
        replace(owner, unpriced=tuple(new[key] for key in sorted(new))), "unpriced", "warning", first, now,
        reason="usage was seen that no price list knows; it counts in no figure", details={"share": share},
    )  # fmt: skip
    yield Alert(tuple(sorted(new)), event)


def _unpriced_share(ledger: Ledger, kinds: set[tuple[str, str]]) -> float | None:
    sums = ledger.sums([0, 2**40])[:, 0] if ledger.series else None
    if sums is None or not sums.sum():
        return None
    wanted = [index for index, row in enumerate(ledger.series) if (row.model, row.meter) in kinds]
    return float(sums[wanted].sum() / sums.sum())


def _strays(facts: Facts, positions: Sequence[Position]) -> Iterator[Alert]:
    """Budgets that match nothing, and spend that no budget covers."""
    if not facts.ledger.series:
        return
    for key, event in (*unmatched(facts.budgets, positions, facts.ledger, facts.around.now),
                       *uncovered(facts.budgets, facts.ledger, facts.around)):  # fmt: skip
        if key not in facts.told:
            yield Alert((key,), event)


def _nearest(event: Event, facts: Facts, positions: Sequence[Position]) -> Event:
    """A source's event with the budgets that hang on it: how many, and the one nearest its limit."""
    name = event.details.get("source")
    fed = [position for position in positions if name in _feeding(facts, position)]
    if event.kind != "source_stale" or not fed:
        return event
    near = max(fed, key=lambda p: p.spent / p.amount.value if p.amount.value else Decimal(0))
    nearest = {
        "budget": near.budget.name, "scope": [list(pair) for pair in near.scope],
        "spent": near.spent, "amount": near.amount.value, "currency": near.amount.unit,
    }  # fmt: skip
    return replace(event, details={**event.details, "budgets": len(fed), "nearest": nearest})


def _feeding(facts: Facts, position: Position) -> set[str]:
    where = position.budget.where
    return {
        row.source
        for row, labels in zip(facts.ledger.series, facts.ledger.labels, strict=True)
        if where.matches(labels)
    }


def _absence(facts: Facts, now: datetime) -> datetime | None:
    """Since when nobody looked, where that is long ago."""
    last = _instant(facts.notes.get("judged"))
    return last if last is not None and now - last > _ABSENT else None


def _tick_note(facts: Facts, now: datetime) -> dict[str, str]:
    last = _instant(facts.notes.get("judged"))
    return {"judged": now.isoformat()} if last is None or now - last >= _NOTED_EVERY else {}


def state_of(position: Position) -> str:
    """Ok | risk (a forecast at its default would alert now) | over | unknown (no data, or a source that is stale)."""
    if position.stale_sources or position.data_until is None:
        return "unknown"
    if position.spent >= position.amount.value:
        return "over"
    bound = position.projection.fires_below() if position.projection is not None else 0.0
    return "risk" if float(position.amount.value) < bound else "ok"


def _spent_reason(position: Position, level: Decimal) -> str:
    return f"spent {position.spent.quantize(Decimal('0.01'))} reached {level.normalize():f} % of {position.amount}"


def _episode_reason(position: Position, threshold: Any) -> str:
    if threshold.basis == "forecast" and position.projection is not None:
        chance = position.projection.probability_over(float(threshold.reached_at(position.amount)))
        return f"{threshold}: the period's total exceeds it with a probability of {chance:.0%}"
    return f"{threshold}: every window is above it"


def _instant(text: Any) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if isinstance(text, str) else None
