"""What is said of a configuration that was refused: once for each set of faults, and once when it is sound again.

To whoever is told it is a source that went stale: what alertd goes by is not what they wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from alertd.core.evaluation.state import CONFIGURATION, ConfigurationFaults, State
from alertd.core.events import Event
from alertd.core.judgement.assess import Decisions
from alertd.core.judgement.evidence import event_id
from alertd.core.judgement.verdicts import Alert

_SOURCE: Final = "configuration"


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
