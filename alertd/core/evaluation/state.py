"""What evaluation remembers between two passes, typed. The only file that knows how each record is named and stored.

A store keeps records as JSON values under names, each with a revision. `State` is all of them as they were read; a
`Table` gives typed records of one kind and says how to change one. A change of None takes a record away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final, Generic, TypeVar

import msgspec

from alertd.core.budgets import Scope, Threshold, Where, threshold_text
from alertd.core.usage import Committed

Record = TypeVar("Record")
#: Records that changed, by name, as JSON values.
Changes = Mapping[str, object]

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
_HISTORY: Final = 50


@dataclass(frozen=True, slots=True)
class State:
    """All records as a store had them, with their revisions (0 for one that is not stored)."""

    records: Mapping[str, object] = field(default_factory=dict)
    revisions: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, stored: Mapping[str, tuple[object, int]]) -> State:
        """The state of a store's records and revisions."""
        records = {name: value for name, (value, _) in stored.items()}
        return cls(records, {name: revision for name, (_, revision) in stored.items()})

    def after(self, changes: Changes) -> State:
        """The state once `changes` are stored."""
        merged = {**self.records, **changes}
        return State({name: value for name, value in merged.items() if value is not None}, self.revisions)

    def revised(self, changes: Changes) -> dict[str, tuple[object, int]]:
        """The changes with the revision that each was read at, for a compare-and-set."""
        return {name: (value, self.revisions.get(name, 0)) for name, value in changes.items()}


@dataclass(frozen=True, slots=True)
class Table(Generic[Record]):
    """Records of one type, stored under names that begin with `prefix`."""

    prefix: str
    type: type[Record]

    def get(self, state: State, key: str = "") -> Record | None:
        """The record of a key; None where there is none."""
        value = state.records.get(self.prefix + key)
        return None if value is None else msgspec.convert(value, self.type, strict=False)

    def items(self, state: State) -> Iterator[tuple[str, Record]]:
        """Every record with its key."""
        for name, value in state.records.items():
            if name.startswith(self.prefix):
                yield name[len(self.prefix) :], msgspec.convert(value, self.type, strict=False)

    def put(self, record: Record | None, key: str = "") -> dict[str, object]:
        """The change that stores a record, or takes it away."""
        return {self.prefix + key: None if record is None else msgspec.to_builtins(record, str_keys=True)}


class Episode(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is remembered of one forecast, burn-rate, anomaly or balance threshold: its number and whether it fires."""

    number: int = 0
    open: bool = False
    since: datetime | None = None
    #: Since when it has been clearly below its threshold, for the hysteresis.
    clear_since: datetime | None = None


class Step(msgspec.Struct, frozen=True):
    """One transition: when, what happened, by whom, why, and the state after it."""

    at: datetime
    what: str
    state: str
    by: str = ""
    reason: str = ""


class CannotHappenError(ValueError):
    """Something that an alert in this state cannot undergo: which, and what can."""


class AlertLifecycle(msgspec.Struct, frozen=True):
    """Where one alert stands, and how it came to be there. `key` is its first key; `until` ends a snooze."""

    key: str
    severity: str
    state: str
    since: datetime
    announced_at: datetime
    until: datetime | None = None
    escalated: bool = False
    reminders: int = 0
    history: tuple[Step, ...] = ()

    @classmethod
    def begin(cls, key: str, severity: str, at: datetime, reason: str) -> AlertLifecycle:
        """The lifecycle of an alert that was announced just now."""
        return cls(key, severity, FIRING, at, at, history=(Step(at, "fire", FIRING, "alertd", reason),))

    def after(
        self, what: str, at: datetime, by: str, reason: str = "", until: datetime | None = None
    ) -> AlertLifecycle:
        """The lifecycle after something happened. Raises CannotHappenError."""
        state = TRANSITIONS.get((self.state, what))
        if state is None:
            can = ", ".join(event for state, event in TRANSITIONS if state == self.state) or "nothing any more"
            raise CannotHappenError(f"an alert that is {self.state} cannot {what}; what can happen: {can}")
        return msgspec.structs.replace(
            self,
            state=state,
            since=self.since if state == self.state else at,
            announced_at=at if what in {"remind", "escalate", "wake"} else self.announced_at,
            until=until if what == "snooze" else None,
            escalated=self.escalated or what == "escalate",
            reminders=self.reminders + (what == "remind"),
            history=(*self.history[-_HISTORY:], Step(at, what, state, by, reason)),
        )


class RaisedAmount(msgspec.Struct, frozen=True):
    """A budget's amount for one period, raised by hand."""

    amount: Decimal
    unit: str
    by: str
    at: datetime


class Silence(msgspec.Struct, frozen=True):
    """Alerts whose labels match `where` are suppressed until `until`; `budget` is a label like those of the scope."""

    id: str
    where: dict[str, tuple[str, ...]]
    until: datetime
    reason: str
    by: str

    def covers(self, budget: str, scope: Scope, now: datetime) -> bool:
        """Whether it is in force and matches a budget and scope."""
        labels = {"budget": budget, **{name: value for name, value in scope if value is not None}}
        return now < self.until and Where.of(self.where).matches(labels)


@dataclass(frozen=True, slots=True)
class Press:
    """A button that somebody pressed. `key` is the same however often one press is heard.

    `on` names alerts, or an act, by the beginnings of their ids; `person` is who it was for lists of approvers, `by`
    for the history; `until` ends a snooze; `expires` is when the button stopped to mean anything.
    """

    key: str
    what: str
    on: tuple[str, ...]
    person: str
    by: str
    at: datetime
    until: datetime | None = None
    expires: datetime | None = None


class Outage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is remembered of a source, or of an evaluation that fails: its last outage, and since when it lasts."""

    episode: int = 0
    open: bool = False
    since: datetime | None = None


class Forecast(msgspec.Struct, frozen=True):
    """A projected total: low and high bound 80 of 100 likely courses."""

    low: float
    likely: float
    high: float


class Score(msgspec.Struct, frozen=True):
    """A closed period: its total, and what was projected on some of its days."""

    period: str
    total: float
    projected: dict[str, Forecast]


class Comparison(msgspec.Struct, frozen=True):
    """The last comparison of estimates with bills, as it is shown."""

    at: datetime
    compared: tuple[dict[str, object], ...] = ()
    alike: tuple[str, ...] = ()


class ConfigurationFaults(msgspec.Struct, frozen=True):
    """Why the last configuration was refused (nothing: it was not), and the number of refusals."""

    episode: int = 0
    faults: tuple[str, ...] = ()
    since: datetime | None = None


class Damage(msgspec.Struct, frozen=True):
    """A database that was damaged and made anew: what was wrong, where the old file lies, what is lost."""

    at: datetime
    fault: str
    aside: str
    lost: tuple[str, ...] = ()
    ledger: bool = True
    #: Another file took its place: it is used as it is.
    replaced: bool = False


FIRST_EVALUATION: Final = Table("evaluation/first", datetime)
LAST_EVALUATION: Final = Table("evaluation/last", datetime)
#: When each budget was evaluated first, by its name.
FIRST_SEEN: Final = Table("budget/", datetime)
#: By `episode_key`.
EPISODES: Final = Table("episode/", Episode)
#: By the event's id.
LIFECYCLES: Final = Table("lifecycle/", AlertLifecycle)
#: By status name.
RAISED: Final = Table("raise/", RaisedAmount)
#: By id.
SILENCES: Final = Table("silence/", Silence)
#: By source.
OUTAGES: Final = Table("source/", Outage)
#: By budget, what could not be evaluated.
FAILURES: Final = Table("failed/", Outage)
#: What was projected on some days of a period, by status name; and how earlier periods came out, by budget and scope.
FORECASTS: Final = Table("forecast/", dict[str, Forecast])
SCORES: Final = Table("score/", list[Score])
#: Which interactions were answered, by their keys.
INTERACTIONS: Final = Table("interactions", dict[str, datetime])
COMPARISON: Final = Table("comparison", Comparison)
#: By source, what it last said is certain to be charged.
COMMITMENTS: Final = Table("commitment/", tuple[Committed, ...])
#: By provider, what one unit of the estimate came to, and the first day that is not billed yet.
CORRECTION: Final = Table("correction", dict[str, dict[str, str]])
CONFIGURATION: Final = Table("configuration", ConfigurationFaults)
DAMAGE: Final = Table("damaged", Damage)
#: When a backup was restored; taken away once every source was read up to the present.
RESTORED: Final = Table("restored", datetime)


def episode_key(status: str, threshold: Threshold) -> str:
    """The key of a threshold's episodes."""
    return f"{status}/{threshold_text(threshold)}"


def episode_of(state: State, status: str, threshold: Threshold) -> Episode:
    """The last episode of a threshold; number 0 before the first."""
    return EPISODES.get(state, episode_key(status, threshold)) or Episode()


def silence_of(silences: Sequence[Silence], budget: str, scope: Scope, now: datetime) -> Silence | None:
    """The silence in force for a budget and scope that lasts longest, if any."""
    covering = [silence for silence in silences if silence.covers(budget, scope, now)]
    return max(covering, key=lambda silence: silence.until, default=None)


def silences_of(state: State) -> list[Silence]:
    """Every silence, ended ones too."""
    return [silence for _, silence in SILENCES.items(state)]
