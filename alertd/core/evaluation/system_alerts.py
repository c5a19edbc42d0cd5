"""What alertd says of itself: a configuration that was refused, a database made anew, a backup that was restored.

Each is announced once, and once when it is over. To whoever is told, it is a source that went stale.
A restored database announces nothing of what it finds, until every source that answers was read up to the present.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from alertd.core.evaluation.state import CONFIGURATION, DAMAGE, RESTORED, ConfigurationFaults, Damage, State
from alertd.core.events import Event
from alertd.core.judgement.assess import Decisions
from alertd.core.judgement.evidence import event_id
from alertd.core.judgement.positions import SourceView
from alertd.core.judgement.verdicts import Alert

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
    return Alert((key,), Event(event_id(key), "recovered", "information", now, reason=reason, details=details))


def damage(at: datetime, fault: str, aside: str, lost: Sequence[str], *, ledger: bool) -> Damage:
    """The record: when, what was wrong, where the old file lies, which tables are not whole, whether usage was kept."""
    named = tuple(called for table, called in _CALLED.items() if table in lost)
    return Damage(at, fault, aside, named, ledger)


def announce_damage(state: State, now: datetime) -> Decisions:
    """What to announce where the database was made anew since the last time."""
    left = DAMAGE.get(state)
    if left is None:
        return Decisions((), {}, ())
    key = f"database/{DAMAGE.prefix}/{left.at.isoformat()}"
    reason = f"the database was damaged ({left.fault}) and was made anew"
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
    }
    event = Event(event_id(key), "source_stale", "critical", now, reason=reason, details=details)
    return Decisions((Alert((key,), event),), DAMAGE.put(None), ())


def caught_up(state: State, behind: Collection[str], views: Mapping[str, SourceView]) -> bool:
    """Whether a restored database has seen the present; `behind` names sources that were being read up to it.

    A source that fails is not waited for. False where nothing was restored.
    """
    return RESTORED.get(state) is not None and all(
        (view := views.get(name)) is not None and view.error for name in behind
    )
