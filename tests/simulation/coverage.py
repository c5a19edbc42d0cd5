"""Which changes of state happened while which accident lasted: what was never visited is known by name."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from alertd.core.actions.state_machine import TRANSITIONS as ACTS
from alertd.core.evaluation.state import TRANSITIONS as ALERTS
from alertd.core.evaluation.thresholds import STATUSES
from tests.simulation.plan import KINDS

if TYPE_CHECKING:
    from tests.simulation.story import Daemon

#: Every change of state that is looked for.
TRANSITIONS: Final = (
    *sorted({f"act: {what}" for _, what in ACTS}),
    "alert: announce",
    *sorted({f"alert: {what}" for _, what in ALERTS}),
    *(f"budget: {status}" for status in STATUSES),
    *(f"source: {what}" for what in ("fails", "is back", "is stale")),
    *(f"message: {what}" for what in ("delivered", "retried", "overtaken")),
)
#: How long after its end an accident is still said to be there.
_AFTER: Final = timedelta(minutes=10)


class Visits:
    """When accidents were there, and when states changed."""

    def __init__(self) -> None:
        self.faults: list[tuple[str, datetime, datetime]] = []
        self._changes: list[tuple[str, datetime]] = []
        self._seen: dict[tuple[str, str], str] = {}

    def begin(self, kind: str, at: datetime, lasts: timedelta) -> None:
        """An accident begins."""
        self.faults.append((kind, at, at + lasts + _AFTER))

    def spans(self) -> list[tuple[datetime, datetime]]:
        """When accidents were there."""
        return [(begin, end) for _, begin, end in self.faults]

    def change(self, what: str, at: datetime) -> None:
        """A state changes."""
        self._changes.append((what, at))

    def look(self, daemon: Daemon, name: str, at: datetime) -> None:
        """Find what changed in one daemon since the last look."""
        latest = daemon.evaluation.latest
        for position in latest.statuses if latest is not None else ():
            self._see(f"budget: {position.status}", (name, position.name), position.status, at)
        for source, view in daemon.evaluation.views.items():
            state = "fails" if view.error else "is stale" if view.stale(at) else "is back"
            self._see(f"source: {state}", (name, f"source {source}"), state, at)
        for queue, its in daemon.deliver.queues.items():
            for what in ("delivered", "retried", "overtaken"):
                self._see(f"message: {what}", (name, f"{queue} {what}"), str(getattr(its.totals, what)), at, first="0")

    def _see(self, what: str, where: tuple[str, str], state: str, at: datetime, first: str = "") -> None:
        if self._seen.get(where, first) != state:
            self._seen[where] = state
            self._changes.append((what, at))

    def pairs(self) -> Counter[tuple[str, str]]:
        """How often each change happened during each kind of accident."""
        return Counter((what, kind) for what, at in self._changes for kind, begin, end in self.faults
                       if begin <= at <= end)  # fmt: skip


def wanted() -> set[tuple[str, str]]:
    """Every change during every kind of accident."""
    return {(what, kind) for what in TRANSITIONS for kind in KINDS}
