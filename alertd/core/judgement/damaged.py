"""What is said of a database that was damaged and made anew: once, with what is lost and where the old file lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from alertd.core.evaluation.state import DAMAGE, Damage, State
from alertd.core.events import Event
from alertd.core.judgement.assess import Decisions
from alertd.core.judgement.evidence import event_id
from alertd.core.judgement.verdicts import Alert

#: What people call what a table holds.
_CALLED: Final[Mapping[str, str]] = {
    "alert": "which alerts were told",
    "note": "acknowledgements, silences and raised amounts",
    "outbox": "messages under way",
    "conversation": "where messages are continued",
    "audit": "the audit of actions",
}


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
    reason = f"the database was damaged ({left.fault}) and was made anew; the old file is {left.aside}"
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
