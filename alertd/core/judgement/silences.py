"""Silences and quiet hours: when nobody is to be told, and until when. What is due meanwhile is told afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

from alertd.core.budgets import Scope, Where
from alertd.core.quiet import QuietHours

_NOTE: Final = "silence/"


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts whose labels match `where` are held back until `until`; `budget` is a label like those of the scope."""

    id: str
    where: Where
    until: datetime
    reason: str
    by: str

    def covers(self, budget: str, scope: Scope, now: datetime) -> bool:
        labels = {"budget": budget, **{name: value for name, value in scope if value is not None}}
        return now < self.until and self.where.matches(labels)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, for the note that keeps it."""
        patterns = {name: list(wanted) for name, wanted in self.where.patterns}
        return {"where": patterns, "until": self.until.isoformat(), "reason": self.reason, "by": self.by}


def silences(notes: Mapping[str, Any]) -> Iterator[Silence]:
    """The silences among the judge's notes, ended ones too."""
    for name, value in notes.items():
        if name.startswith(_NOTE):
            where = Where.of({label: tuple(patterns) for label, patterns in value["where"].items()})
            until = datetime.fromisoformat(value["until"])
            yield Silence(name.removeprefix(_NOTE), where, until, value["reason"], value["by"])


def note_of(silence: Silence) -> str:
    """The note that keeps a silence."""
    return f"{_NOTE}{silence.id}"


def silenced(found: Iterable[Silence], budget: str, scope: Scope, now: datetime) -> Silence | None:
    """The silence in force for a budget and scope that lasts longest, if any."""
    covering = [silence for silence in found if silence.covers(budget, scope, now)]
    return max(covering, key=lambda silence: silence.until, default=None)


def quiet_until(quiet: QuietHours | None, zone: tzinfo, now: datetime) -> datetime | None:
    """When the quiet hours that hold now end; None outside of them."""
    local = now.astimezone(zone)
    if quiet is None or local.time() not in quiet:
        return None
    end = local.replace(hour=quiet.end.hour, minute=quiet.end.minute, second=0, microsecond=0)
    return (end if end > local else end + timedelta(days=1)).astimezone(now.tzinfo)
