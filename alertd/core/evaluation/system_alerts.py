"""What alertd says of itself: a configuration that was refused, a database made anew, a backup that was restored.

Each is announced once, and once when it is over. In messages each is a source that went stale.
A restored database announces nothing of what it finds, until every source that answers was read up to the present.

Also a second daemon on a SQLite file; and what could not be evaluated, a budget or everything: once an episode, and
once when it works again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from alertd.core.evaluation.event_builder import event_id, handle_of, zone_name
from alertd.core.evaluation.state import (
    CONFIGURATION,
    DAMAGE,
    FAILURES,
    RESTORED,
    ConfigurationFaults,
    Damage,
    Outage,
    State,
    Table,
)
from alertd.core.evaluation.values import Alert, BudgetStatus, Decisions, SourceView
from alertd.core.events import Event

_SOURCE: Final = "configuration"
#: What people call what a table holds.
_CALLED: Final[Mapping[str, str]] = {
    "alert": "which alerts were told",
    "note": "acknowledgements, silences and raised amounts",
    "outbox": "messages under way",
    "conversation": "where messages are continued",
    "audit": "the audit of actions",
}


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
    key = f"{_SOURCE}/refused/{record.episode}"
    reason = f"the new configuration is refused, the old one stays in force: {record.faults[0]}"
    details = {"source": _SOURCE, "since": record.since, "faults": list(record.faults)}
    return Alert((key,), Event(event_id(key), "source_stale", "warning", now, reason=reason, details=details))


def _sound_again(before: ConfigurationFaults, now: datetime) -> Alert:
    key = f"{_SOURCE}/sound/{before.episode}"
    details: dict[str, object] = {"source": _SOURCE, "since": before.since, "until": now, "faults": []}
    reason = "the configuration is sound again and in force"
    return Alert((key,), Event(event_id(key), "recovered", "info", now, reason=reason, details=details))


def damage(
    at: datetime, fault: str, aside: str, lost: Sequence[str], *, ledger: bool = True, replaced: bool = False
) -> Damage:
    """The record: when, what was wrong, where the old file lies, which tables are not whole, whether usage was kept."""
    named = tuple(called for table, called in _CALLED.items() if table in lost)
    return Damage(at, fault, aside, named, ledger, replaced)


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
    details = {
        "source": "database",
        "since": left.at,
        "at": left.at.isoformat(),
        "fault": left.fault,
        "aside": left.aside,
        "lost": list(left.lost),
        "ledger": left.ledger,
        "replaced": left.replaced,
    }
    event = Event(event_id(key), "source_stale", "critical", now, reason=reason, details=details)
    return Decisions((Alert((key,), event),), DAMAGE.put(None), ())


class OtherDaemon(msgspec.Struct, frozen=True):
    """A second daemon on a SQLite file, which is one daemon's: since when, and when it last said so itself."""

    episode: int = 0
    since: datetime | None = None
    seen: datetime | None = None


OTHER_DAEMON: Final = Table("other_daemon", OtherDaemon)
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
    details: dict[str, object] = {"source": "database", "since": record.since, "daemons": 2}
    details |= {"until": now} if kind == "recovered" else {}
    return Alert((key,), Event(event_id(key), kind, severity, now, reason=reason, details=details))


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
    positions: Iterable[BudgetStatus], others: Mapping[str, str], state: State, now: datetime
) -> tuple[list[Alert], dict[str, object]]:
    """Alerts for budgets that fail since this evaluation or work again, and what to remember.

    `others` are the failures that no position shows, by budget.
    """
    seen: dict[str, list[BudgetStatus]] = {}
    for position in positions:
        seen.setdefault(position.budget.name, []).append(position)
    alerts: list[Alert] = []
    changed: dict[str, object] = {}
    for budget, scopes in seen.items():
        failing = [position for position in scopes if position.failed]
        text = others.get(budget) or (failing[0].failed if failing else "")
        details = {"failed_scopes": len(failing) or len(scopes), "scopes": len(scopes)}
        said, change = _episode(budget, text, FAILURES.get(state, budget) or Outage(), now, details)
        alerts += [Alert((key,), _about(event, scopes[0], reason)) for key, event, reason in said]
        changed |= change
    return alerts, changed


def stopped(error: str, state: State, now: datetime) -> tuple[tuple[Alert, ...], dict[str, object]]:
    """The alert that no budget is evaluated any more ("" as the error: again), and what to remember."""
    said, change = _episode(_STOPPED, error, FAILURES.get(state, _STOPPED) or Outage(), now, {"everything": True})
    return tuple(Alert((key,), replace(event, reason=f"everything {reason}")) for key, event, reason in said), change


def is_stopped(state: State) -> bool:
    """Whether it was announced that no budget is evaluated, and not yet that they are again."""
    return (FAILURES.get(state, _STOPPED) or Outage()).open


def _episode(
    name: str, error: str, before: Outage, now: datetime, details: dict[str, Any]
) -> tuple[list[tuple[str, Event, str]], dict[str, object]]:
    """The key, event and reason of what began or ended, if anything did, and the change that remembers it."""
    if bool(error) == before.open:
        return [], {}
    if error:
        episode = before.episode + 1
        after = Outage(episode, open=True, since=now)
        details = {**details, "since": now, "failed": error}
        kind, severity, reason = "source_stale", "critical", f"cannot be evaluated: {error}"
    else:
        episode = before.episode
        after = Outage(episode)
        details = {**details, "since": before.since or now, "until": now, "failed": ""}
        kind, severity, reason = "recovered", "info", "is evaluated again"
    key = f"{FAILURES.prefix}{name}/{'failed' if error else 'back'}/{episode}"
    identity = event_id(key)
    event = Event(identity, kind, severity, now, details={**details, "handle": handle_of(identity)})
    return [(key, event, reason)], FAILURES.put(after, name)


def _about(event: Event, position: BudgetStatus, reason: str) -> Event:
    budget = position.budget
    return replace(
        event,
        budget=budget.name,
        zone=zone_name(position.period),
        owner=budget.owner,
        channel=budget.channel,
        reason=f"{budget.name} {reason}",
    )
