"""The life of an alert, as a table: what state it is in, what can happen to it, and what it is then. It tells nobody.

firing        acknowledge -> acknowledged    snooze -> snoozed    end -> resolved    remind, escalate -> firing
acknowledged  snooze -> snoozed              reopen -> firing     end -> resolved
snoozed       acknowledge -> acknowledged    wake -> firing       end -> resolved
resolved      nothing
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

FIRING: Final = "firing"
ACKNOWLEDGED: Final = "acknowledged"
SNOOZED: Final = "snoozed"
RESOLVED: Final = "resolved"

#: State, what happens -> the state after it. What is not here cannot happen.
TRANSITIONS: Final[Mapping[tuple[str, str], str]] = {
    (FIRING, "acknowledge"): ACKNOWLEDGED,
    (FIRING, "snooze"): SNOOZED,
    (FIRING, "remind"): FIRING,
    (FIRING, "escalate"): FIRING,
    (FIRING, "end"): RESOLVED,
    (ACKNOWLEDGED, "snooze"): SNOOZED,
    (ACKNOWLEDGED, "reopen"): FIRING,
    (ACKNOWLEDGED, "end"): RESOLVED,
    (SNOOZED, "acknowledge"): ACKNOWLEDGED,
    (SNOOZED, "wake"): FIRING,
    (SNOOZED, "end"): RESOLVED,
}
#: The longest history that is kept of one alert.
_MOST: Final = 50


class CannotHappenError(ValueError):
    """Something that an alert in this state cannot undergo: which, and what can."""


@dataclass(frozen=True, slots=True)
class Step:
    """One transition: when, what happened, by whom, why, and the state after it."""

    at: datetime
    what: str
    state: str
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Life:
    """Where one alert stands, and how it came to be there. `key` is its first key; `until` ends a snooze."""

    key: str
    severity: str
    state: str
    since: datetime
    told_at: datetime
    until: datetime | None = None
    escalated: bool = False
    reminders: int = 0
    history: tuple[Step, ...] = ()

    @classmethod
    def begun(cls, key: str, severity: str, at: datetime, reason: str) -> Life:
        """The life of an alert that was announced just now."""
        return cls(key, severity, FIRING, at, at, history=(Step(at, "fire", FIRING, "alertd", reason),))

    def after(self, what: str, at: datetime, by: str, reason: str = "", until: datetime | None = None) -> Life:
        """The life after something happened. Raises CannotHappenError."""
        state = TRANSITIONS.get((self.state, what))
        if state is None:
            can = ", ".join(event for state, event in TRANSITIONS if state == self.state) or "nothing any more"
            raise CannotHappenError(f"an alert that is {self.state} cannot {what}; what can happen: {can}")
        step = Step(at, what, state, by, reason)
        return replace(
            self,
            state=state,
            since=self.since if state == self.state else at,
            told_at=at if what in {"remind", "escalate", "wake"} else self.told_at,
            until=until if what == "snooze" else None,
            escalated=self.escalated or what == "escalate",
            reminders=self.reminders + (what == "remind"),
            history=(*self.history[-_MOST:], step),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` gives the same life back."""
        return {
            "key": self.key,
            "severity": self.severity,
            "state": self.state,
            "since": self.since.isoformat(),
            "told_at": self.told_at.isoformat(),
            "until": self.until.isoformat() if self.until else None,
            "escalated": self.escalated,
            "reminders": self.reminders,
            "history": [[s.at.isoformat(), s.what, s.state, s.by, s.reason] for s in self.history],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Life:
        until = data.get("until")
        return cls(
            data["key"],
            data["severity"],
            data["state"],
            datetime.fromisoformat(data["since"]),
            datetime.fromisoformat(data["told_at"]),
            datetime.fromisoformat(until) if until else None,
            bool(data["escalated"]),
            int(data["reminders"]),
            tuple(Step(datetime.fromisoformat(at), *rest) for at, *rest in data["history"]),
        )
