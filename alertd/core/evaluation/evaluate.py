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
from alertd.core.evaluation.amounts import credit_start
from alertd.core.evaluation.budget_status import StatusEvaluator
from alertd.core.evaluation.coverage import drifting, price_alerts, uncovered, unmatched
from alertd.core.evaluation.event_builder import EventFacts, handle_of
from alertd.core.evaluation.health import (
    failed_budgets,
    feeding,
    repeated_outage,
    source_outages,
    with_missed,
    with_nearest,
)
from alertd.core.evaluation.hierarchy import explain_alerts, unexplained_alerts
from alertd.core.evaluation.keys import parse_source, parse_status, repeat_key
from alertd.core.evaluation.lifecycle import FollowUp, begin_lifecycles, follow_up, threshold_of
from alertd.core.evaluation.renewal import KeptEvaluation, is_calm, terms_of
from alertd.core.evaluation.state import (
    FIRST_EVALUATION,
    FIRST_SEEN,
    LAST_EVALUATION,
    Silence,
    silence_of,
    silences_of,
)
from alertd.core.evaluation.summaries import forecast_changes
from alertd.core.evaluation.threshold_alerts import alerts_of, repeated_event
from alertd.core.evaluation.values import Alert, BudgetStatus, Decisions, Facts, failure_text
from alertd.core.evaluation.windows import window_changes
from alertd.core.events import Event, ForecastReached

#: An evaluation this long after the last one, and at least this many intervals, finds what was crossed meanwhile.
_ABSENT: Final = timedelta(minutes=15)
_ABSENT_INTERVALS: Final = 4
#: How often the note of the last evaluation is written.
_NOTED_EVERY: Final = timedelta(minutes=5)


#: What no source has shown for this long since the first evaluation is missed: counters show nothing before first use.
_FIRST_USAGE: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """What every rule sees: the facts, and the budget statuses of now and of the period before where it was watched."""

    facts: Facts
    evaluator: StatusEvaluator
    statuses: Sequence[BudgetStatus]
    previous: Sequence[BudgetStatus]
    now: datetime
    #: When everything was evaluated first, and last; None where it never was: then budgets are summed up.
    first: datetime | None
    last: datetime | None
    silences: Sequence[Silence]


class _Decided(NamedTuple):
    """What one rule decided: alerts, and the records that change."""

    alerts: Sequence[Alert] = ()
    changes: Mapping[str, object] = MappingProxyType({})


def evaluate(facts: Facts) -> Decisions:
    """Evaluate everything once. Pure: the same facts give the same decisions."""
    this = _evaluation(facts)
    decided = [
        rule(this) for rule in (*(_RULES if this.first is not None or _is_ready(facts) else ()), _source_outages)
    ]
    changes = {name: value for one in decided for name, value in one.changes.items()}
    repeated = _repeats(this, changes)
    alerts = [alert for one in (*decided, repeated) for alert in one.alerts]
    alerts, explained = explain_alerts(alerts, this.statuses, facts.announced, facts.state)
    begun = begin_lifecycles((alert.keys[0], alert.event) for alert in alerts if _has_a_lifecycle(alert))
    placed = tuple(_in_zone_of_people(alert, facts.policy.zone) for alert in alerts)
    changed = {**changes, **repeated.changes, **explained, **begun}
    return Decisions(placed, changed, tuple(this.statuses), _kept(this, placed, changed))


def _first_evaluation(this: _Evaluation) -> _Decided:
    """The first time, budgets that nothing matches are known from now on: what they show later is new."""
    if this.first is not None:
        return _Decided()
    changes = FIRST_EVALUATION.put(this.now)
    matched = {status.budget.name for status in this.statuses}
    for budget in this.facts.budgets if _were_all_read(this.facts) else ():
        if budget.name not in matched:
            changes |= FIRST_SEEN.put(this.now, budget.name)
    return _Decided((), changes)


def _thresholds(this: _Evaluation) -> _Decided:
    """The thresholds of each budget; one that fails has an alert of its own, and the others go on."""
    facts, late = this.facts, _absence(this)
    alerts: list[Alert] = []
    changes: dict[str, object] = {}
    failures: dict[str, str] = {}
    for of_budget in _by_budget(this.statuses):
        try:
            new_alerts, new_changes = _evaluate_budget(this, of_budget, late)
        except Exception as error:  # noqa: BLE001 - one budget cannot take down another
            failures[of_budget[0].budget.name] = failure_text(error)
            continue
        alerts += new_alerts
        changes |= new_changes
    new_alerts, new_changes = failed_budgets(this.statuses, failures, facts.state, this.now)
    return _Decided([*alerts, *new_alerts], {**changes, **new_changes})


def _unexplained(this: _Evaluation) -> _Decided:
    return _Decided(*unexplained_alerts(this.statuses, this.facts.announced, this.facts.state, this.now))


def _corrections(this: _Evaluation) -> _Decided:
    past = [status for status in this.previous if _is_read_up(this.facts, status)]
    return _Decided(list(summaries.corrections(past, this.facts.announced, this.now)))


def _closings(this: _Evaluation) -> _Decided:
    """Summaries of periods that closed; today's forecasts noted, and those of closed periods scored."""
    facts = this.facts
    alerts = list(summaries.closings(this.previous, facts.announced, facts.state, this.now))
    closed = {alert.keys[0] for alert in alerts}
    changes = forecast_changes(this.statuses, this.previous, closed, facts.state, this.now)
    return _Decided(alerts, {**changes, **summaries.carried_over(this.previous, facts.state, this.now)})


def _digest(this: _Evaluation) -> _Decided:
    facts, policy = this.facts, this.facts.policy
    if this.first is None:
        return _Decided()
    announced, now = facts.announced, this.now
    return _Decided(list(summaries.digest(this.statuses, announced, now, policy.digest, policy.zone, first=this.first)))


def _prices(this: _Evaluation) -> _Decided:
    return _Decided(list(price_alerts(this.facts, this.statuses, this.evaluator)))


def _coverage(this: _Evaluation) -> _Decided:
    """Budgets that match nothing, and spend that no budget covers."""
    facts = this.facts
    if not facts.ledger.series:
        return _Decided()
    found: list[tuple[str, Event]] = []
    if this.first is not None and this.now - this.first >= _FIRST_USAGE and _were_all_read(facts):
        found += unmatched(facts.budgets, this.statuses, facts.ledger, this.now)
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


def _windows(this: _Evaluation) -> _Decided:
    """Windows that opened are remembered: the next begins after them."""
    return _Decided((), window_changes(this.facts.context.windows, this.evaluator.opened, this.now))


def _last_evaluation(this: _Evaluation) -> _Decided:
    is_due = this.last is None or this.now - this.last >= _NOTED_EVERY
    return _Decided((), LAST_EVALUATION.put(this.now) if is_due else {})


#: What is decided once the sources were read up to the present: each rule sees the same, none what another decided.
_RULES: Final[tuple[Callable[[_Evaluation], _Decided], ...]] = (
    _first_evaluation,
    _thresholds,
    _unexplained,
    _corrections,
    _closings,
    _digest,
    _prices,
    _coverage,
    _drift,
    _windows,
    _last_evaluation,
)


def _in_zone_of_people(alert: Alert, zone: tzinfo) -> Alert:
    """What is of no budget (a source, uncovered spend) has no zone of its own: its times are said in the people's."""
    return alert if alert.event.budget else replace(alert, event=replace(alert.event, zone=str(zone)))


def _evaluation(facts: Facts) -> _Evaluation:
    """The statuses of now, and of the period before where alertd watched it end."""
    now, budgets = facts.context.now, facts.budgets
    first, last, silences = (
        FIRST_EVALUATION.get(facts.state),
        LAST_EVALUATION.get(facts.state),
        silences_of(facts.state),
    )
    before = {budget.name: budget.period.previous(budget.period.containing(now)) for budget in budgets}
    paid_since = filter(None, (credit_start(budget, now) for budget in budgets))
    earliest = min([*(period.start for period in before.values()), *paid_since], default=now)
    closing = [budget for budget in budgets if budget.period.whole_days]
    watched = [budget for budget in closing if before[budget.name].end > (first or now)]
    evaluator = StatusEvaluator(facts.ledger, facts.context, earliest, _keepable(facts, first, last))
    current = evaluator.all_statuses([(budget, None) for budget in budgets])
    previous = evaluator.all_statuses([(budget, before[budget.name].start) for budget in watched])
    return _Evaluation(facts, evaluator, current, previous, now, first, last, silences)


def _keepable(facts: Facts, first: datetime | None, last: datetime | None) -> KeptEvaluation | None:
    """What the evaluation before left, where it holds: nobody was absent, nothing is read up or seen first."""
    kept = facts.kept
    if kept is None or first is None or facts.catching_up or kept.terms != terms_of(facts):
        return None
    absent = last is not None and facts.context.now - last > max(_ABSENT, _ABSENT_INTERVALS * facts.policy.interval)
    known = all(FIRST_SEEN.get(facts.state, budget.name) is not None for budget in facts.budgets)
    return kept if known and not absent else None


def _kept(this: _Evaluation, alerts: Iterable[Alert], changes: Mapping[str, object]) -> KeptEvaluation | None:
    """What this evaluation leaves to the next: what kept its projection, and what is calm now."""
    facts, held = this.facts, this.evaluator.held
    if facts.kept is None or facts.context.commitments:
        return None
    state = facts.state.after(changes)
    announced: Mapping[str, datetime] = {key: this.now for alert in alerts for key in alert.keys}
    announced = {**facts.announced, **announced} if announced else facts.announced
    kept_names = this.evaluator.kept_names
    sheets = {
        key: sheet._replace(
            scopes={
                scope: one
                for scope, one in sheet.scopes.items()
                if one.status.name in kept_names or is_calm(one.status, announced, state, this.now)
            }
        )
        for key, sheet in held.items()
    }
    return replace(facts.kept, at=this.now, terms=terms_of(facts), sheets=sheets)


def _is_ready(facts: Facts) -> bool:
    """Whether every source was read, or has been failing: the first evaluation waits for what is on its way."""
    views = facts.context.sources.values()
    return bool(views) and all(
        view.name in facts.failing or (view.name not in facts.catching_up and (view.until is not None or view.error))
        for view in views
    )


def _were_all_read(facts: Facts) -> bool:
    """Whether every source was read: what shows nothing then has nothing yet, and what it shows later is new."""
    return all(view.until is not None for view in facts.context.sources.values())


def _by_budget(statuses: Iterable[BudgetStatus]) -> Iterator[list[BudgetStatus]]:
    groups: dict[str, list[BudgetStatus]] = {}
    for status in statuses:
        groups.setdefault(status.budget.name, []).append(status)
    yield from groups.values()


def _evaluate_budget(
    this: _Evaluation, statuses: Sequence[BudgetStatus], late: datetime | None
) -> tuple[list[Alert], dict[str, object]]:
    """All scopes of one budget. The first time it is seen with data, people get one summary instead of a storm."""
    facts, suppressed, quiet_names = this.facts, this.silences, this.evaluator.kept_names
    name, now = statuses[0].budget.name, facts.context.now
    known = FIRST_SEEN.get(facts.state, name) is not None
    if not known and _may_be_half_read(facts, statuses[0].budget):
        return [], {}
    if not known and not any(status.data_until or status.certain for status in statuses):
        return [], FIRST_SEEN.put(now, name) if _were_all_read(facts) else {}
    alerts: list[Alert] = []
    changes: dict[str, object] = {}
    for status in statuses:
        if status.name in quiet_names:
            continue  # nothing of it is near to a threshold
        if not _is_read_up(facts, status) or silence_of(suppressed, status.budget.name, status.scope, now):
            continue  # announced when it is seen again, or when the silence ends, if it still fires
        new_alerts, new_changes = alerts_of(status, facts.announced, facts.state, now, late)
        alerts += new_alerts
        changes |= new_changes
    if known:
        return alerts, changes
    changes |= FIRST_SEEN.put(now, name)
    quiet = [alert if _is_certain(alert.event) else replace(alert, audience="machines") for alert in alerts]
    return quiet + [summaries.first_summary(status, alerts, now) for status in statuses], changes


def _may_be_half_read(facts: Facts, budget: Budget) -> bool:
    """Whether a source that is still read up to the present feeds a budget, or may: nothing of it is there yet."""
    behind = facts.catching_up - facts.failing
    return not behind.isdisjoint(feeding(facts, budget)) or bool(behind - {row.source for row in facts.ledger.kinds})


def _is_read_up(facts: Facts, status: BudgetStatus) -> bool:
    behind = facts.catching_up - facts.failing
    return not behind or behind.isdisjoint(feeding(facts, status.budget))


def _again(due: Iterable[FollowUp], facts: Facts, statuses: Sequence[BudgetStatus]) -> Iterator[Alert]:
    """Alerts that are announced again: a reminder, an escalation, a snooze that is over."""
    named = {status.name: status for status in statuses}
    now = facts.context.now
    for one in due:
        key = repeat_key(one.lifecycle.key, one.what, len(one.lifecycle.history))
        again = EventFacts(
            repeat=one.what, first_announced_at=one.lifecycle.history[0].at, handle=handle_of(one.identity)
        )
        status = named.get(str(parse_status(one.lifecycle.key) or ""))
        threshold = threshold_of(one.lifecycle.key, status, facts.state) if status is not None else None
        if status is not None and threshold is not None:
            yield Alert((key,), repeated_event(status, threshold, key, now, **again), to=one.to)
        elif (source := parse_source(one.lifecycle.key)) is not None:
            view = facts.context.sources.get(source.source)
            if view is not None:
                yield Alert(
                    (key,), with_nearest(replace(repeated_outage(view, key, now), **again), facts, statuses), to=one.to
                )


def _is_certain(event: Event) -> bool:
    return isinstance(event.details, ForecastReached) and event.details.certain


def _has_a_lifecycle(alert: Alert) -> bool:
    return alert.audience != "people" and not alert.event.repeat


def _absence(this: _Evaluation) -> datetime | None:
    """Since when nobody looked, where that is long ago."""
    long = max(_ABSENT, _ABSENT_INTERVALS * this.facts.policy.interval)
    return this.last if this.last is not None and this.now - this.last > long else None
