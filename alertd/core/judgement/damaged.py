"""What is said of a database that was damaged and made anew: once, with what is lost and where the old file lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from alertd.core.events import Event
from alertd.core.judgement.assess import Decisions
from alertd.core.judgement.evidence import event_id
from alertd.core.judgement.verdicts import Alert

#: The note that a recovery leaves, and the judge takes away once it was told.
NOTE: Final = "damaged"
#: What people call what a table holds.
_CALLED: Final[Mapping[str, str]] = {
    "alert": "which alerts were told",
    "note": "acknowledgements, silences and raised amounts",
    "outbox": "messages under way",
    "conversation": "where messages are continued",
    "audit": "the audit of actions",
}


def note(at: datetime, fault: str, aside: str, lost: Sequence[str], *, ledger: bool) -> dict[str, Any]:
    """The note: when, what was wrong, where the old file lies, which tables are not whole, whether usage was kept."""
    named = [called for table, called in _CALLED.items() if table in lost]
    return {"at": at.isoformat(), "fault": fault, "aside": aside, "lost": named, "ledger": ledger}


def told(notes: Mapping[str, Any], now: datetime) -> Decisions:
    """What to announce where the database was made anew since the last time."""
    left = notes.get(NOTE)
    if left is None:
        return Decisions((), {}, ())
    key = f"database/{NOTE}/{left['at']}"
    reason = f"the database was damaged ({left['fault']}) and was made anew; the old file is {left['aside']}"
    details = {"source": "database", "since": datetime.fromisoformat(left["at"]), **left}
    event = Event(event_id(key), "source_stale", "critical", now, reason=reason, details=details)
    return Decisions((Alert((key,), event),), {NOTE: None}, ())
