"""The whole judgement as one function of one value: the same in the daemon, in replay and in tests.

facts -> survey (rating, projection) -> positions
-> verdicts (levels, episodes) | sources | occasions | coverage | follow-ups
-> alerts with their keys, and the notes to remember
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Final

from alertd.core.budgets import Budget
from alertd.core.events import Event
from alertd.core.judgement import occasions
from alertd.core.judgement.coverage import uncovered, unmatched
from alertd.core.judgement.drift import drifting
from alertd.core.judgement.failures import failed_budgets
from alertd.core.judgement.followups import FollowUp, begun, followed, threshold_of
from alertd.core.judgement.positions import Circumstances, Position, failure_text
from alertd.core.judgement.scoring import noted, scored
from alertd.core.judgement.silences import Silence, silenced, silences
from alertd.core.judgement.sources import blind, said_again_of
from alertd.core.judgement.survey import Survey
from alertd.core.judgement.verdicts import Alert, judged, said_again
from alertd.core.ledger import Ledger
from alertd.core.quiet import QuietHours

#: A judgement so long after the last one, and at least so many intervals, finds what was crossed while nobody looked.
_ABSENT: Final = timedelta(minutes=15)
_ABSENT_INTERVALS: Final = 4
#: How often the note of the last judgement is written.
_NOTED_EVERY: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the configuration says of telling: how often a digest comes, and when people sleep, in which zone."""

    digest: str = "off"
    quiet: QuietHours | None = None
    zone: tzinfo = UTC
    #: By which part of the bill an estimate may differ from it.
    drift: Decimal = Decimal("0.1")
    #: How often a judgement is made.
    interval: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a judgement depends on. `told` are the keys of alerts already announced; `notes` what was remembered.

    `catching_up` names the sources that are still being read up to the present: what they feed is not judged meanwhile.
    """

    budgets: Sequence[Budget]
    ledger: Ledger
    around: Circumstances
    told: Mapping[str, datetime] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    catching_up: frozenset[str] = frozenset()
    policy: Policy = Policy()


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
    survey, positions, previous = _positions(facts, started)
    alerts: list[Alert] = []
    notes: dict[str, Any] = {}
    if _ready(facts):
        notes |= {"first_run": started.isoformat()} if "first_run" not in facts.notes else {}
        hushed = list(silences(facts.notes))
        late = _absence(facts, now)
        if "first_run" not in facts.notes:
            placed = {position.budget.name for position in positions}
            unseen = [budget for budget in facts.budgets if budget.name not in placed]
            notes |= {f"met/{budget.name}": now.isoformat() for budget in unseen if _all_spoke(facts)}
        failures: dict[str, str] = {}
        for of_budget in _by_budget(positions):
            try:
                new_alerts, new_notes = _judged_budget(facts, of_budget, late, hushed)
            except Exception as error:  # noqa: BLE001 - one budget cannot take down another
                failures[of_budget[0].budget.name] = failure_text(error)
                continue
            alerts += new_alerts
            notes |= new_notes
        new_alerts, new_notes = failed_budgets(positions, failures, facts.notes, now)
        alerts += new_alerts
        notes |= new_notes
        past = [position for position in previous if _seen(facts, position)]
        alerts += occasions.corrections(past, facts.told, now)
        closings = list(occasions.closings(previous, facts.told, facts.notes, now))
        alerts += closings
        notes |= _scores(facts, positions, previous, {alert.keys[0] for alert in closings})
        if "first_run" in facts.notes:
            alerts += occasions.digest(positions, facts.told, now, facts.policy.digest, facts.policy.zone)
        alerts += occasions.unpriced(positions, facts.told, facts.ledger, now)
        alerts += _strays(facts, positions, survey)
        drifts, compared_at = drifting(facts.ledger, facts.around, facts.told, facts.notes, facts.policy.drift)
        alerts += [Alert((key,), event) for key, event in drifts]
        notes |= compared_at
        notes |= _tick_note(facts, now)
    views = [view for view in facts.around.sources.values() if view.error or view.name not in facts.catching_up]
    source_alerts, source_notes = blind(views, facts.notes, now)
    alerts += [Alert((key,), _nearest(event, facts, positions)) for key, event in source_alerts]
    notes |= source_notes
    said, moved = followed(remembered(facts.notes, notes), {position.name: position for position in positions}, now)
    alerts += _again(said, facts, positions)
    notes |= moved | begun((alert.keys[0], alert.event) for alert in alerts if _has_a_life(alert))
    placed_alerts = (_where_people_are(alert, facts.policy.zone) for alert in alerts)
    return Decisions(tuple(placed_alerts), notes, tuple(positions))


def _where_people_are(alert: Alert, zone: tzinfo) -> Alert:
    """What is about no budget (a source, stray spend) has no zone of its own: its times are said in the people's."""
    return alert if alert.event.budget else replace(alert, event=replace(alert.event, zone=str(zone)))


def remembered(notes: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """The notes after some have changed: None forgets one."""
    return {name: value for name, value in {**notes, **changed}.items() if value is not None}


def _positions(facts: Facts, started: datetime) -> tuple[Survey, list[Position], list[Position]]:
    """The survey, and where everything stands now, and in the period before where alertd was there to see it."""
    now = facts.around.now
    before = {budget.name: budget.period.previous(budget.period.containing(now)) for budget in facts.budgets}
    earliest = min((period.start for period in before.values()), default=now)
    survey = Survey(facts.ledger, facts.around, earliest)
    current = survey.all_positions((budget, None) for budget in facts.budgets)
    watched = [budget for budget in facts.budgets if before[budget.name].end > started]
    previous = survey.all_positions((budget, before[budget.name].start) for budget in watched)
    return survey, current, previous


def _ready(facts: Facts) -> bool:
    """Whether every source has spoken, or has been failing: the first judgement waits for what is merely on its way."""
    if "first_run" in facts.notes:
        return True
    views = facts.around.sources.values()
    return bool(views) and all(
        view.error or (view.name not in facts.catching_up and view.until is not None) for view in views
    )


def _all_spoke(facts: Facts) -> bool:
    """Whether every source was read: what shows nothing then has nothing yet, and what it shows later is new."""
    return all(view.until is not None for view in facts.around.sources.values())


def _by_budget(positions: Iterable[Position]) -> Iterator[list[Position]]:
    groups: dict[str, list[Position]] = {}
    for position in positions:
        groups.setdefault(position.budget.name, []).append(position)
    yield from groups.values()


def _judged_budget(
    facts: Facts, positions: Sequence[Position], late: datetime | None, hushed: Sequence[Silence]
) -> tuple[list[Alert], dict[str, Any]]:
    """All scopes of one budget. The first time it is seen with data, people get one summary instead of a storm."""
    met = f"met/{positions[0].budget.name}"
    now = facts.around.now
    if met not in facts.notes and not any(position.data_until for position in positions):
        return [], {met: now.isoformat()} if _all_spoke(facts) else {}
    alerts: list[Alert] = []
    notes: dict[str, Any] = {}
    for position in positions:
        if not _seen(facts, position) or silenced(hushed, position.budget.name, position.scope, now):
            continue  # told when it is seen again, or when the silence ends, if it still stands
        new_alerts, new_notes = judged(position, facts.told, facts.notes, now, late)
        alerts += new_alerts
        notes |= new_notes
    if met in facts.notes:
        return alerts, notes
    notes[met] = now.isoformat()
    quiet = [replace(alert, audience="machines") for alert in alerts]
    return quiet + [occasions.first_summary(position, alerts, now) for position in positions], notes


def _seen(facts: Facts, position: Position) -> bool:
    behind = {name for name in facts.catching_up if not ((view := facts.around.sources.get(name)) and view.error)}
    waits = behind and _feeding(facts, position.budget) & behind
    return not (position.stale_sources or waits)


def _strays(facts: Facts, positions: Sequence[Position], survey: Survey) -> Iterator[Alert]:
    """Budgets that match nothing, and spend that no budget covers."""
    if not facts.ledger.series:
        return
    found = list(unmatched(facts.budgets, positions, facts.ledger, facts.around.now))
    for key, event in (*found, *uncovered(facts.budgets, survey)):
        if key not in facts.told:
            yield Alert((key,), event)


def _again(said: Iterable[FollowUp], facts: Facts, positions: Sequence[Position]) -> Iterator[Alert]:
    """Alerts that are told again: a reminder, an escalation, a snooze that is over."""
    named = {position.name: position for position in positions}
    now = facts.around.now
    for one in said:
        key = f"{one.life.key}/{one.what.replace(' ', '-')}/{len(one.life.history)}"
        details = {"repeat": one.what, "first_told": one.life.history[0].at, "handle": one.identity[:6]}
        position = named.get("/".join(one.life.key.split("/")[:3]))
        threshold = threshold_of(one.life.key, position, facts.notes) if position is not None else None
        if position is not None and threshold is not None:
            yield Alert((key,), said_again(position, threshold, key, now, **details), to=one.to)
        elif one.life.key.startswith("source/"):
            view = facts.around.sources.get(one.life.key.split("/")[1])
            if view is not None:
                yield Alert((key,), _nearest(said_again_of(view, key, now, details), facts, positions), to=one.to)


def _has_a_life(alert: Alert) -> bool:
    return alert.audience != "people" and "repeat" not in alert.event.details


def _nearest(event: Event, facts: Facts, positions: Sequence[Position]) -> Event:
    """A source's event with the budgets that hang on it: how many, and the one nearest its limit."""
    if event.kind != "source_stale":
        return event
    name = event.details.get("source")
    feeding = {budget.name: _feeding(facts, budget) for budget in facts.budgets}
    fed = [position for position in positions if name in feeding[position.budget.name]]
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


def _feeding(facts: Facts, budget: Budget) -> set[str]:
    """The sources that a budget's usage comes from; every source, while nothing is known of it."""
    known = facts.ledger.cover.by_value(budget.where, ("source",))
    return {source for (source,) in known if source} or set(facts.around.sources)


def _scores(
    facts: Facts, positions: Sequence[Position], previous: Sequence[Position], closed: set[str]
) -> dict[str, Any]:
    """Today's projections noted, and those of the periods that closed just now compared with what came."""
    found: dict[str, Any] = {}
    for position in positions:
        found |= noted(position, facts.notes, facts.around.now)
    for position in previous:
        if f"{position.name}/summary/closed" in closed:
            found |= scored(position, facts.notes)
    return found


def _absence(facts: Facts, now: datetime) -> datetime | None:
    """Since when nobody looked, where that is long ago."""
    last = _instant(facts.notes.get("judged"))
    long = max(_ABSENT, _ABSENT_INTERVALS * facts.policy.interval)
    return last if last is not None and now - last > long else None


def _tick_note(facts: Facts, now: datetime) -> dict[str, str]:
    last = _instant(facts.notes.get("judged"))
    return {"judged": now.isoformat()} if last is None or now - last >= _NOTED_EVERY else {}


def _instant(text: Any) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if isinstance(text, str) else None
