"""What is said of a configuration that was refused: once for each set of faults, and once when it is sound again.

To whoever is told it is a source that went stale: what alertd goes by is not what they wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from alertd.core.events import Event
from alertd.core.judgement.assess import Decisions
from alertd.core.judgement.evidence import event_id
from alertd.core.judgement.verdicts import Alert

NOTE: Final = "configuration"
_NOTHING: Final[Mapping[str, Any]] = {"episode": 0, "faults": []}


def told(faults: Sequence[str], notes: Mapping[str, Any], now: datetime) -> Decisions:
    """What to announce after the configuration was read: `faults` says why it was refused, empty where it was not."""
    before = notes.get(NOTE) or _NOTHING
    if list(faults) == before["faults"]:
        return Decisions((), {}, ())
    if not faults:
        note = {"episode": before["episode"], "faults": []}
        return Decisions((_sound_again(before, now),), {NOTE: note}, ())
    note = {"episode": before["episode"] + 1, "faults": list(faults), "since": before.get("since") or now.isoformat()}
    return Decisions((_refused(note, now),), {NOTE: note}, ())


def _refused(note: Mapping[str, Any], now: datetime) -> Alert:
    key = f"{NOTE}/refused/{note['episode']}"
    faults = note["faults"]
    reason = f"the new configuration is refused, the old one stays in force: {faults[0]}"
    details = {"source": NOTE, "since": datetime.fromisoformat(note["since"]), "faults": faults}
    return Alert((key,), Event(event_id(key), "source_stale", "warning", now, reason=reason, details=details))


def _sound_again(before: Mapping[str, Any], now: datetime) -> Alert:
    key = f"{NOTE}/sound/{before['episode']}"
    details = {"source": NOTE, "since": datetime.fromisoformat(before["since"]), "until": now, "faults": []}
    reason = "the configuration is sound again and in force"
    return Alert((key,), Event(event_id(key), "recovered", "information", now, reason=reason, details=details))
