"""Faults of alertd itself and of its sources: each is announced once, and once more when it is over.

A source that went stale; a budget, or everything, that cannot be evaluated; a configuration that was refused; a
database that was made anew or restored; a second daemon on one SQLite file. In messages each is a source that went
stale. A restored database announces nothing until every source that answers was read up to the present.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

import msgspec

from alertd.core.budgets import TOKENS, Budget, duration_text
from alertd.core.evaluation.budget_status import StatusEvaluator
from alertd.core.evaluation.event_builder import event_about, zone_name
from alertd.core.evaluation.keys import SourceKey
from alertd.core.evaluation.state import (
    CONFIGURATION,
    DAMAGE,
    FAILURES,
    OTHER_DAEMON,
    OUTAGES,
    RESTORED,
    ConfigurationFaults,
    OtherDaemon,
    Outage,
    State,
)
from alertd.core.evaluation.values import Alert, BudgetStatus, Decisions, Facts, SourceView
from alertd.core.events import (
    ConfigurationRefused,
    DatabaseReplaced,
    Event,
    NearestBudget,
    NotEvaluated,
    SecondDaemon,
    SourceReturned,
    SourceStale,
)


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
    details = SourceStale(view.error or "no newer data", duration_text(view.interval))
    reason = f"no data from {view.name} since {since.isoformat()}"
    return key, event_about(view.name, "source_stale", "critical", key, now, since=since, reason=reason,
                            data_until=view.until, details=details)  # fmt: skip


def repeated_outage(view: SourceView, key: str, now: datetime) -> Event:
    """The event of a source that is still stale, announced again."""
    return _stale(view, key, now, _stale_since(view, now) or now)[1]


def _back(view: SourceView, key: str, now: datetime, since: datetime) -> tuple[str, Event]:
    reason = f"{view.name} is seen again"
    return key, event_about(view.name, "recovered", "info", key, now, since=since, until=now, fired="critical",
                            reason=reason, data_until=view.until, details=SourceReturned())  # fmt: skip


def with_nearest(event: Event, facts: Facts, statuses: Sequence[BudgetStatus]) -> Event:
    """A source's event with the budgets that use it: how many, and the one nearest its limit."""
    if not isinstance(event.details, SourceStale):
        return event
    fed_by = {budget.name: feeding(facts, budget) for budget in facts.budgets}
    fed = [status for status in statuses if event.source in fed_by[status.budget.name]]
    if not fed:
        return event
    near = max(fed, key=lambda p: p.spent / p.amount.value if p.amount.value else Decimal(0))
    nearest = NearestBudget(near.budget.name, near.scope, near.spent, near.amount.value, near.amount.unit)
    return replace(event, details=msgspec.structs.replace(event.details, budgets=len(fed), nearest=nearest))


def with_missed(event: Event, facts: Facts, statuses: Sequence[BudgetStatus], survey: StatusEvaluator) -> Event:
    """A source's return with what it saw meanwhile, in each currency of the budgets that it feeds."""
    view = facts.context.sources.get(event.source)
    if not isinstance(event.details, SourceReturned) or event.since is None or view is None or view.until is None:
        return event
    units = {p.amount.unit for p in statuses if p.amount.unit != TOKENS and view.name in feeding(facts, p.budget)}
    missed = {unit: survey.spent_of_source(view.name, unit, event.since, view.until) for unit in sorted(units)}
    return replace(event, details=SourceReturned({unit: spent for unit, spent in missed.items() if spent > 0}))


def feeding(facts: Facts, budget: Budget) -> set[str]:
    """The sources that a budget's usage comes from; every source, while nothing is known of it."""
    known = facts.ledger.label_index.by_value(budget.where, ("source",))
    return {source for (source,) in known if source} or set(facts.context.sources)


_CONFIGURATION: Final = "configuration"


def announce_configuration(faults: Sequence[str], state: State, now: datetime) -> Decisions:
    """What to announce after the configuration was read: `faults` says why it was refused, empty where it was not."""
    before = CONFIGURATION.get(state) or ConfigurationFaults()
    if tuple(faults) == before.faults:
        return Decisions((), {}, ())
    if not faults:
        after = ConfigurationFaults(before.episode)
        return Decisions((_sound_again(before, now),), CONFIGURATION.put(after), ())
    after = ConfigurationFaults(before.episode + 1, tuple(faults), before.since or now)
    return Decisions((_refused(after, now),), CONFIGURATION.put(after), ())


def _refused(record: ConfigurationFaults, now: datetime) -> Alert:
    key = f"{_CONFIGURATION}/refused/{record.episode}"
    reason = f"the new configuration is refused, the old one stays in force: {record.faults[0]}"
    event = event_about(_CONFIGURATION, "source_stale", "warning", key, now, since=record.since, reason=reason,
                        handle="", details=ConfigurationRefused(record.faults))  # fmt: skip
    return Alert((key,), event)


def _sound_again(before: ConfigurationFaults, now: datetime) -> Alert:
    key = f"{_CONFIGURATION}/sound/{before.episode}"
    reason = "the configuration is sound again and in force"
    event = event_about(_CONFIGURATION, "recovered", "info", key, now, since=before.since, until=now, reason=reason,
                        handle="", details=ConfigurationRefused())  # fmt: skip
    return Alert((key,), event)


def announce_damage(state: State, now: datetime) -> Decisions:
    """What to announce where the database was made anew since the last time."""
    left = DAMAGE.get(state)
    if left is None:
        return Decisions((), {}, ())
    key = f"database/{DAMAGE.prefix}/{left.at.isoformat()}"
    reason = (
        f"the database's file was replaced {left.fault}; alertd goes on with the new one"
        if left.replaced
        else f"the database was damaged ({left.fault}) and was made anew"
    )
    if left.aside:
        reason += f"; the old file is {left.aside}"
    details = DatabaseReplaced(left.fault, left.aside, left.lost, left.ledger, left.replaced)
    event = event_about("database", "source_stale", "critical", key, now, since=left.at, reason=reason, handle="",
                        details=details)  # fmt: skip
    return Decisions((Alert((key,), event),), DAMAGE.put(None), ())


#: How often the second one says that it is there, and after what silence it counts as gone.
_SEEN_EVERY: Final = timedelta(minutes=1)
_GONE_AFTER: Final = timedelta(minutes=5)


def announce_other_daemon(place: str, state: State, now: datetime, *, contended: bool) -> Decisions:
    """What to announce where two daemons use one SQLite file; `contended`: this one is the second of them."""
    before = OTHER_DAEMON.get(state) or OtherDaemon()
    if contended:
        if before.since is not None and before.seen is not None and now - before.seen < _SEEN_EVERY:
            return Decisions((), {}, ())
        after = OtherDaemon(before.episode + (before.since is None), before.since or now, now)
        reason = f"two alertd use {place}; one SQLite file serves one alertd"
        alerts = () if before.since else (_on_two_daemons(after, "source_stale", "warning", reason, now),)
        return Decisions(alerts, OTHER_DAEMON.put(after), ())
    if before.since is None or (before.seen is not None and now - before.seen < _GONE_AFTER):
        return Decisions((), {}, ())
    over = _on_two_daemons(before, "recovered", "info", f"one alertd uses {place} again", now)
    return Decisions((over,), OTHER_DAEMON.put(OtherDaemon(before.episode)), ())


def _on_two_daemons(record: OtherDaemon, kind: str, severity: str, reason: str, now: datetime) -> Alert:
    key = f"database/daemons/{'two' if kind == 'source_stale' else 'one'}/{record.episode}"
    event = event_about("database", kind, severity, key, now, since=record.since, reason=reason, handle="",
                        until=now if kind == "recovered" else None, details=SecondDaemon())  # fmt: skip
    return Alert((key,), event)


def caught_up(state: State, behind: Collection[str], views: Mapping[str, SourceView]) -> bool:
    """Whether a restored database has seen the present; `behind` names sources that were being read up to it.

    A source that fails is not waited for. False where nothing was restored.
    """
    return RESTORED.get(state) is not None and all(
        (view := views.get(name)) is not None and view.error for name in behind
    )


#: The key of a failure of the whole evaluation; no budget has an empty name.
_STOPPED: Final = "/evaluation"


def failed_budgets(
    statuses: Iterable[BudgetStatus], others: Mapping[str, str], state: State, now: datetime
) -> tuple[list[Alert], dict[str, object]]:
    """Alerts for budgets that fail since this evaluation or work again, and what to remember.

    `others` are the failures that no status shows, by budget.
    """
    seen: dict[str, list[BudgetStatus]] = {}
    for status in statuses:
        seen.setdefault(status.budget.name, []).append(status)
    alerts: list[Alert] = []
    changed: dict[str, object] = {}
    for budget, scopes in seen.items():
        failing = [status for status in scopes if status.failed]
        text = others.get(budget) or (failing[0].failed if failing else "")
        details = NotEvaluated(failed_scopes=len(failing) or len(scopes), scopes=len(scopes))
        said, change = _episode(budget, text, FAILURES.get(state, budget) or Outage(), now, details)
        alerts += [Alert((key,), _about(event, scopes[0], reason)) for key, event, reason in said]
        changed |= change
    return alerts, changed


def stopped(error: str, state: State, now: datetime) -> tuple[tuple[Alert, ...], dict[str, object]]:
    """The alert that no budget is evaluated any more ("" as the error: again), and what to remember."""
    said, change = _episode(
        _STOPPED, error, FAILURES.get(state, _STOPPED) or Outage(), now, NotEvaluated(everything=True)
    )
    return tuple(Alert((key,), replace(event, reason=f"everything {reason}")) for key, event, reason in said), change


def is_stopped(state: State) -> bool:
    """Whether it was announced that no budget is evaluated, and not yet that they are again."""
    return (FAILURES.get(state, _STOPPED) or Outage()).open


def _episode(
    name: str, error: str, before: Outage, now: datetime, details: NotEvaluated
) -> tuple[list[tuple[str, Event, str]], dict[str, object]]:
    """The key, event and reason of what began or ended, if anything did, and the change that remembers it."""
    if bool(error) == before.open:
        return [], {}
    if error:
        episode = before.episode + 1
        after = Outage(episode, open=True, since=now)
        since, until = now, None
        kind, severity, reason = "source_stale", "critical", f"cannot be evaluated: {error}"
    else:
        episode = before.episode
        after = Outage(episode)
        since, until = before.since or now, now
        kind, severity, reason = "recovered", "info", "is evaluated again"
    key = f"{FAILURES.prefix}{name}/{'failed' if error else 'back'}/{episode}"
    event = event_about("", kind, severity, key, now, since=since, until=until,
                        details=msgspec.structs.replace(details, failed=error))  # fmt: skip
    return [(key, event, reason)], FAILURES.put(after, name)


def _about(event: Event, status: BudgetStatus, reason: str) -> Event:
    budget = status.budget
    return replace(
        event,
        budget=budget.name,
        zone=zone_name(status.period),
        owner=budget.owner,
        channel=budget.channel,
        reason=f"{budget.name} {reason}",
    )
