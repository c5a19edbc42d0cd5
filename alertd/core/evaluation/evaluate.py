"""The whole evaluation as one function of one value: the same in the daemon, in replay and in tests.

facts -> budget statuses (rating, projection) -> _RULES: thresholds, summaries, prices, coverage, drift
      -> source outages -> lifecycles (reminders, escalations) -> alerts with their keys, and the changes of the state
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from types import MappingProxyType
from typing import Final, NamedTuple

from alertd.core.budgets import Budget
from alertd.core.evaluation import summaries
from alertd.core.evaluation.budget_status import StatusEvaluator
from alertd.core.evaluation.drift import drifting
from alertd.core.evaluation.forecast_calibration import forecast_changes
from alertd.core.evaluation.health import (
    feeding,
    repeated_outage,
    source_outages,
    uncovered,
    unmatched,
    with_missed,
    with_nearest,
)
from alertd.core.evaluation.keys import parse_source, parse_status, repeat_key
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

#: An evaluation this long after the last one, and at least this many intervals, finds what was crossed meanwhile.
_ABSENT: Final = timedelta(minutes=15)
_ABSENT_INTERVALS: Final = 4
#: How often the note of the last evaluation is written.
_NOTED_EVERY: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """What every rule sees: the facts, and the budget statuses of now and of the period before where it was watched."""

    facts: Facts
    evaluator: StatusEvaluator
    statuses: Sequence[BudgetStatus]
    previous: Sequence[BudgetStatus]

    @property
    def now(self) -> datetime:
        return self.facts.context.now

    @property
    def is_first(self) -> bool:
        """Whether nothing was evaluated before: then budgets are summed up, and no digest is due."""
        return FIRST_EVALUATION.get(self.facts.state) is None


class _Decided(NamedTuple):
    """What one rule decided: alerts, and the records that change."""

    alerts: Sequence[Alert] = ()
    changes: Mapping[str, object] = MappingProxyType({})


def evaluate(facts: Facts) -> Decisions:
    """Evaluate everything once. Pure: the same facts give the same decisions."""
    this = _evaluation(facts)
    decided = [rule(this) for rule in (*(_RULES if _is_ready(facts) else ()), _source_outages)]
    changes = {name: value for one in decided for name, value in one.changes.items()}
    repeated = _repeats(this, changes)
    alerts = [alert for one in (*decided, repeated) for alert in one.alerts]
    begun = begin_lifecycles((alert.keys[0], alert.event) for alert in alerts if _has_a_lifecycle(alert))
    placed = tuple(_in_zone_of_people(alert, facts.policy.zone) for alert in alerts)
    return Decisions(placed, {**changes, **repeated.changes, **begun}, tuple(this.statuses))


def _first_evaluation(this: _Evaluation) -> _Decided:
    """The first time, budgets that nothing matches are known from now on: what they show later is new."""
    if not this.is_first:
        return _Decided()
    changes = FIRST_EVALUATION.put(this.now)
    matched = {status.budget.name for status in this.statuses}
    for budget in this.facts.budgets if _were_all_read(this.facts) else ():
        if budget.name not in matched:
            changes |= FIRST_SEEN.put(this.now, budget.name)
    return _Decided((), changes)


def _thresholds(this: _Evaluation) -> _Decided:
    """The thresholds of each budget; one that fails has an alert of its own, and the others go on."""
    facts, suppressed, late = this.facts, silences_of(this.facts.state), _absence(this.facts, this.now)
    alerts: list[Alert] = []
    changes: dict[str, object] = {}
    failures: dict[str, str] = {}
    for of_budget in _by_budget(this.statuses):
        try:
            new_alerts, new_changes = _evaluate_budget(facts, of_budget, late, suppressed)
        except Exception as error:  # noqa: BLE001 - one budget cannot take down another
            failures[of_budget[0].budget.name] = failure_text(error)
            continue
        alerts += new_alerts
        changes |= new_changes
    new_alerts, new_changes = failed_budgets(this.statuses, failures, facts.state, this.now)
    return _Decided([*alerts, *new_alerts], {**changes, **new_changes})


def _corrections(this: _Evaluation) -> _Decided:
    past = [status for status in this.previous if _is_read_up(this.facts, status)]
    return _Decided(list(summaries.corrections(past, this.facts.announced, this.now)))


def _closings(this: _Evaluation) -> _Decided:
    """Summaries of periods that closed; today's forecasts noted, and those of closed periods scored."""
    facts = this.facts
    alerts = list(summaries.closings(this.previous, facts.announced, facts.state, this.now))
    closed = {alert.keys[0] for alert in alerts}
    return _Decided(alerts, forecast_changes(this.statuses, this.previous, closed, facts.state, this.now))


def _digest(this: _Evaluation) -> _Decided:
    facts, policy = this.facts, this.facts.policy
    if this.is_first:
        return _Decided()
    return _Decided(list(summaries.digest(this.statuses, facts.announced, this.now, policy.digest, policy.zone)))


def _prices(this: _Evaluation) -> _Decided:
    return _Decided(list(price_alerts(this.facts, this.statuses, this.evaluator)))


def _coverage(this: _Evaluation) -> _Decided:
    """Budgets that match nothing, and spend that no budget covers."""
    facts = this.facts
    if not facts.ledger.series:
        return _Decided()
    found = list(unmatched(facts.budgets, this.statuses, facts.ledger, this.now))
    found += uncovered(facts.budgets, this.evaluator)
    return _Decided([Alert((key,), event) for key, event in found if key not in facts.announced])


def _drift(this: _Evaluation) -> _Decided:
    facts = this.facts
    drifts, compared_at = drifting(facts.ledger, facts.context, facts.announced, facts.state, facts.policy.drift)
    return _Decided([Alert((key,), event) for key, event in drifts], compared_at)


def _source_outages(this: _Evaluation) -> _Decided:
    """Sources that went stale or returned; also while others are still being read up to the present."""
    facts, statuses = this.facts, this.statuses
    views = [view for view in facts.context.sources.values() if view.error or view.name not in facts.catching_up]
    events, changes = source_outages(views, facts.state, this.now)
    alerts = [
        Alert((key,), with_missed(with_nearest(event, facts, statuses), facts, statuses, this.evaluator))
        for key, event in events
    ]
    return _Decided(alerts, changes)


def _repeats(this: _Evaluation, changes: Mapping[str, object]) -> _Decided:
    """Reminders, escalations and ends of snoozes of alerts that were announced before."""
    statuses = {status.name: status for status in this.statuses}
    due, moved = follow_up(this.facts.state.after(changes), statuses, this.now)
    return _Decided(list(_again(due, this.facts, this.statuses)), moved)


def _last_evaluation(this: _Evaluation) -> _Decided:
    last = LAST_EVALUATION.get(this.facts.state)
    is_due = last is None or this.now - last >= _NOTED_EVERY
    return _Decided((), LAST_EVALUATION.put(this.now) if is_due else {})


#: What is decided once the sources were read up to the present: each rule sees the same, none what another decided.
_RULES: Final[tuple[Callable[[_Evaluation], _Decided], ...]] = (
    _first_evaluation,
    _thresholds,
    _corrections,
    _closings,
    _digest,
    _prices,
    _coverage,
    _drift,
    _last_evaluation,
)


def _in_zone_of_people(alert: Alert, zone: tzinfo) -> Alert:
    """What is about no budget (a source, stray spend) has no zone of its own: its times are said in the people's."""
    return alert if alert.event.budget else replace(alert, event=replace(alert.event, zone=str(zone)))


def _evaluation(facts: Facts) -> _Evaluation:
    """The statuses of now, and of the period before where alertd watched it end."""
    now = facts.context.now
    started = FIRST_EVALUATION.get(facts.state) or now
    before = {budget.name: budget.period.previous(budget.period.containing(now)) for budget in facts.budgets}
    earliest = min((period.start for period in before.values()), default=now)
    evaluator = StatusEvaluator(facts.ledger, facts.context, earliest)
    current = evaluator.all_positions((budget, None) for budget in facts.budgets)
    watched = [budget for budget in facts.budgets if before[budget.name].end > started]
    previous = evaluator.all_positions((budget, before[budget.name].start) for budget in watched)
    return _Evaluation(facts, evaluator, current, previous)


def _is_ready(facts: Facts) -> bool:
    """Whether every source was read, or has been failing: the first evaluation waits for what is on its way."""
    if FIRST_EVALUATION.get(facts.state) is not None:
        return True
    views = facts.context.sources.values()
    return bool(views) and all(
        view.name in facts.failing or (view.name not in facts.catching_up and (view.until is not None or view.error))
        for view in views
    )


def _were_all_read(facts: Facts) -> bool:
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
        return [], FIRST_SEEN.put(now, name) if _were_all_read(facts) else {}
    alerts: list[Alert] = []
    changes: dict[str, object] = {}
    for position in positions:
        if not _is_read_up(facts, position) or silence_of(suppressed, position.budget.name, position.scope, now):
            continue  # announced when it is seen again, or when the silence ends, if it still fires
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
    return not behind.isdisjoint(feeding(facts, budget)) or bool(behind - {row.source for row in facts.ledger.kinds})


def _is_read_up(facts: Facts, position: BudgetStatus) -> bool:
    behind = facts.catching_up - facts.failing
    return not behind or behind.isdisjoint(feeding(facts, position.budget))


def _again(due: Iterable[FollowUp], facts: Facts, positions: Sequence[BudgetStatus]) -> Iterator[Alert]:
    """Alerts that are announced again: a reminder, an escalation, a snooze that is over."""
    named = {position.name: position for position in positions}
    now = facts.context.now
    for one in due:
        key = repeat_key(one.lifecycle.key, one.what, len(one.lifecycle.history))
        details = {"repeat": one.what, "first_told": one.lifecycle.history[0].at, "handle": one.identity[:6]}
        position = named.get(str(parse_status(one.lifecycle.key) or ""))
        threshold = threshold_of(one.lifecycle.key, position, facts.state) if position is not None else None
        if position is not None and threshold is not None:
            yield Alert((key,), repeated_event(position, threshold, key, now, **details), to=one.to)
        elif (source := parse_source(one.lifecycle.key)) is not None:
            view = facts.context.sources.get(source.source)
            if view is not None:
                yield Alert((key,), with_nearest(repeated_outage(view, key, now, details), facts, positions), to=one.to)


def _has_a_lifecycle(alert: Alert) -> bool:
    return alert.audience != "people" and "repeat" not in alert.event.details


def _absence(facts: Facts, now: datetime) -> datetime | None:
    """Since when nobody looked, where that is long ago."""
    last = LAST_EVALUATION.get(facts.state)
    long = max(_ABSENT, _ABSENT_INTERVALS * facts.policy.interval)
    return last if last is not None and now - last > long else None
