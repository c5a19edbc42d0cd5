"""The whole evaluation as one function of one value: the same in the daemon, in replay and in tests.

facts -> budget statuses (rating, projection)
-> thresholds | failures | summaries | health | lifecycle
-> alerts with their keys, and the changes of the state
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Final

from alertd.core.budgets import TOKENS, Budget
from alertd.core.evaluation import summaries
from alertd.core.evaluation.budget_status import StatusEvaluator
from alertd.core.evaluation.forecast_calibration import note_forecast, score
from alertd.core.evaluation.health import drifting, repeated_outage, source_outages, uncovered, unmatched
from alertd.core.evaluation.keys import parse_source, parse_status
from alertd.core.evaluation.lifecycle import FollowUp, begin_lifecycles, follow_up, threshold_of
from alertd.core.evaluation.price_alerts import price_alerts
from alertd.core.evaluation.state import (
    FIRST_EVALUATION,
    FIRST_SEEN,
    LAST_EVALUATION,
    Silence,
    silence_of,
    silences_of,
)
from alertd.core.evaluation.system_alerts import failed_budgets
from alertd.core.evaluation.threshold_alerts import alerts_of, repeated_event
from alertd.core.evaluation.values import Alert, BudgetStatus, Decisions, Facts, failure_text
from alertd.core.events import Event

#: An evaluation so long after the last one, and at least so many intervals, finds what was crossed while nobody looked.
_ABSENT: Final = timedelta(minutes=15)
_ABSENT_INTERVALS: Final = 4
#: How often the note of the last evaluation is written.
_NOTED_EVERY: Final = timedelta(minutes=5)


def evaluate(facts: Facts) -> Decisions:
    """Evaluate everything once. Pure: the same facts give the same decisions."""
    now = facts.context.now
    started = FIRST_EVALUATION.get(facts.state) or now
    survey, positions, previous = _positions(facts, started)
    alerts: list[Alert] = []
    changes: dict[str, object] = {}
    if _ready(facts):
        first = FIRST_EVALUATION.get(facts.state) is None
        changes |= FIRST_EVALUATION.put(started) if first else {}
        suppressed = silences_of(facts.state)
        late = _absence(facts, now)
        if first:
            placed = {position.budget.name for position in positions}
            unseen = [budget for budget in facts.budgets if budget.name not in placed]
            for budget in unseen if _all_spoke(facts) else ():
                changes |= FIRST_SEEN.put(now, budget.name)
        failures: dict[str, str] = {}
        for of_budget in _by_budget(positions):
            try:
                new_alerts, new_changes = _evaluate_budget(facts, of_budget, late, suppressed)
            except Exception as error:  # noqa: BLE001 - one budget cannot take down another
                failures[of_budget[0].budget.name] = failure_text(error)
                continue
            alerts += new_alerts
            changes |= new_changes
        new_alerts, new_changes = failed_budgets(positions, failures, facts.state, now)
        alerts += new_alerts
        changes |= new_changes
        past = [position for position in previous if _is_read_up(facts, position)]
        alerts += summaries.corrections(past, facts.announced, now)
        closings = list(summaries.closings(previous, facts.announced, facts.state, now))
        alerts += closings
        changes |= _scores(facts, positions, previous, {alert.keys[0] for alert in closings})
        if not first:
            alerts += summaries.digest(positions, facts.announced, now, facts.policy.digest, facts.policy.zone)
        alerts += price_alerts(facts, positions, survey)
        alerts += _scope_alerts(facts, positions, survey)
        drifts, compared_at = drifting(facts.ledger, facts.context, facts.announced, facts.state, facts.policy.drift)
        alerts += [Alert((key,), event) for key, event in drifts]
        changes |= compared_at
        changes |= _last_evaluation(facts, now)
    views = [view for view in facts.context.sources.values() if view.error or view.name not in facts.catching_up]
    source_alerts, source_changes = source_outages(views, facts.state, now)
    alerts += [
        Alert((key,), _with_missed(_nearest(event, facts, positions), facts, positions, survey))
        for key, event in source_alerts
    ]
    changes |= source_changes
    due, moved = follow_up(facts.state.after(changes), {position.name: position for position in positions}, now)
    alerts += _again(due, facts, positions)
    changes |= moved | begin_lifecycles((alert.keys[0], alert.event) for alert in alerts if _has_a_lifecycle(alert))
    placed_alerts = (_where_people_are(alert, facts.policy.zone) for alert in alerts)
    return Decisions(tuple(placed_alerts), changes, tuple(positions))


def _where_people_are(alert: Alert, zone: tzinfo) -> Alert:
    """What is about no budget (a source, stray spend) has no zone of its own: its times are said in the people's."""
    return alert if alert.event.budget else replace(alert, event=replace(alert.event, zone=str(zone)))


def _positions(facts: Facts, started: datetime) -> tuple[StatusEvaluator, list[BudgetStatus], list[BudgetStatus]]:
    """The survey, and where everything stands now, and in the period before where alertd was there to see it."""
    now = facts.context.now
    before = {budget.name: budget.period.previous(budget.period.containing(now)) for budget in facts.budgets}
    earliest = min((period.start for period in before.values()), default=now)
    survey = StatusEvaluator(facts.ledger, facts.context, earliest)
    current = survey.all_positions((budget, None) for budget in facts.budgets)
    watched = [budget for budget in facts.budgets if before[budget.name].end > started]
    previous = survey.all_positions((budget, before[budget.name].start) for budget in watched)
    return survey, current, previous


def _ready(facts: Facts) -> bool:
    """Whether every source was read, or has been failing: the first evaluation waits for what is on its way."""
    if FIRST_EVALUATION.get(facts.state) is not None:
        return True
    views = facts.context.sources.values()
    return bool(views) and all(
        view.name in facts.failing or (view.name not in facts.catching_up and (view.until is not None or view.error))
        for view in views
    )


def _all_spoke(facts: Facts) -> bool:
    """Whether every source was read: what shows nothing then has nothing yet, and what it shows later is new."""
    return all(view.until is not None for view in facts.context.sources.values())


def _by_budget(positions: Iterable[BudgetStatus]) -> Iterator[list[BudgetStatus]]:
    groups: dict[str, list[BudgetStatus]] = {}
    for position in positions:
        groups.setdefault(position.budget.name, []).append(position)
    yield from groups.values()


def _evaluate_budget(
    facts: Facts, positions: Sequence[BudgetStatus], late: datetime | None, suppressed: Sequence[Silence]
) -> tuple[list[Alert], dict[str, object]]:
    """All scopes of one budget. The first time it is seen with data, people get one summary instead of a storm."""
    name, now = positions[0].budget.name, facts.context.now
    known = FIRST_SEEN.get(facts.state, name) is not None
    if not known and _may_be_half_read(facts, positions[0].budget):
        return [], {}
    if not known and not any(position.data_until or position.certain for position in positions):
        return [], FIRST_SEEN.put(now, name) if _all_spoke(facts) else {}
    alerts: list[Alert] = []
    changes: dict[str, object] = {}
    for position in positions:
        if not _is_read_up(facts, position) or silence_of(suppressed, position.budget.name, position.scope, now):
            continue  # told when it is seen again, or when the silence ends, if it still stands
        new_alerts, new_changes = alerts_of(position, facts.announced, facts.state, now, late)
        alerts += new_alerts
        changes |= new_changes
    if known:
        return alerts, changes
    changes |= FIRST_SEEN.put(now, name)
    quiet = [alert if "certain" in alert.event.details else replace(alert, audience="machines") for alert in alerts]
    return quiet + [summaries.first_summary(position, alerts, now) for position in positions], changes


def _may_be_half_read(facts: Facts, budget: Budget) -> bool:
    """Whether a source that is still read up to the present feeds a budget, or may: nothing of it is there yet."""
    behind = facts.catching_up - facts.failing
    return not behind.isdisjoint(_feeding(facts, budget)) or bool(behind - {row.source for row in facts.ledger.kinds})


def _is_read_up(facts: Facts, position: BudgetStatus) -> bool:
    behind = facts.catching_up - facts.failing
    waits = behind and _feeding(facts, position.budget) & behind
    return not waits


def _scope_alerts(facts: Facts, positions: Sequence[BudgetStatus], survey: StatusEvaluator) -> Iterator[Alert]:
    """Budgets that match nothing, and spend that no budget covers."""
    if not facts.ledger.series:
        return
    found = list(unmatched(facts.budgets, positions, facts.ledger, facts.context.now))
    for key, event in (*found, *uncovered(facts.budgets, survey)):
        if key not in facts.announced:
            yield Alert((key,), event)


def _again(due: Iterable[FollowUp], facts: Facts, positions: Sequence[BudgetStatus]) -> Iterator[Alert]:
    """Alerts that are told again: a reminder, an escalation, a snooze that is over."""
    named = {position.name: position for position in positions}
    now = facts.context.now
    for one in due:
        key = f"{one.lifecycle.key}/{one.what.replace(' ', '-')}/{len(one.lifecycle.history)}"
        details = {"repeat": one.what, "first_told": one.lifecycle.history[0].at, "handle": one.identity[:6]}
        position = named.get(str(parse_status(one.lifecycle.key) or ""))
        threshold = threshold_of(one.lifecycle.key, position, facts.state) if position is not None else None
        if position is not None and threshold is not None:
            yield Alert((key,), repeated_event(position, threshold, key, now, **details), to=one.to)
        elif (source := parse_source(one.lifecycle.key)) is not None:
            view = facts.context.sources.get(source.source)
            if view is not None:
                yield Alert((key,), _nearest(repeated_outage(view, key, now, details), facts, positions), to=one.to)


def _has_a_lifecycle(alert: Alert) -> bool:
    return alert.audience != "people" and "repeat" not in alert.event.details


def _nearest(event: Event, facts: Facts, positions: Sequence[BudgetStatus]) -> Event:
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


def _with_missed(event: Event, facts: Facts, positions: Sequence[BudgetStatus], survey: StatusEvaluator) -> Event:
    """A source's return with what it saw meanwhile, in each currency of the budgets that it feeds."""
    source, since = event.details.get("source"), event.details.get("since")
    view = facts.context.sources.get(str(source))
    if event.kind != "recovered" or since is None or view is None or view.until is None:
        return event
    units = {p.amount.unit for p in positions if p.amount.unit != TOKENS and source in _feeding(facts, p.budget)}
    missed = {unit: survey.spent_of_source(view.name, unit, since, view.until) for unit in sorted(units)}
    found = {unit: spent for unit, spent in missed.items() if spent > 0}
    return replace(event, details={**event.details, "missed": found}) if found else event


def _feeding(facts: Facts, budget: Budget) -> set[str]:
    """The sources that a budget's usage comes from; every source, while nothing is known of it."""
    known = facts.ledger.label_index.by_value(budget.where, ("source",))
    return {source for (source,) in known if source} or set(facts.context.sources)


def _scores(
    facts: Facts, positions: Sequence[BudgetStatus], previous: Sequence[BudgetStatus], closed: set[str]
) -> dict[str, object]:
    """Today's projections noted, and those of the periods that closed just now compared with what came."""
    found: dict[str, object] = {}
    for position in positions:
        found |= note_forecast(position, facts.state, facts.context.now)
    for position in previous:
        if f"{position.name}/summary/closed" in closed:
            found |= score(position, facts.state)
    return found


def _absence(facts: Facts, now: datetime) -> datetime | None:
    """Since when nobody looked, where that is long ago."""
    last = LAST_EVALUATION.get(facts.state)
    long = max(_ABSENT, _ABSENT_INTERVALS * facts.policy.interval)
    return last if last is not None and now - last > long else None


def _last_evaluation(facts: Facts, now: datetime) -> dict[str, object]:
    last = LAST_EVALUATION.get(facts.state)
    return LAST_EVALUATION.put(now) if last is None or now - last >= _NOTED_EVERY else {}
