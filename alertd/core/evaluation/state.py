"""The typed state that evaluation keeps between two passes. The only file that knows how records are named and stored.

A store keeps records as JSON values under names, each with a revision. `State` is all of them as they were read; a
`RecordTable` gives typed records of one kind and their changes. A change of None deletes a record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Final, Generic, TypedDict, TypeVar

import msgspec

from alertd.core.budgets import Scope, Threshold, Where, threshold_text
from alertd.core.events import BudgetScope
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
class RecordTable(Generic[Record]):
    """Records of one type, stored under names that begin with `prefix`."""

    prefix: str
    type: type[Record]

    def get(self, state: State, key: str = "") -> Record | None:
        """The record of a key, or None."""
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


class LifecycleStep(msgspec.Struct, frozen=True):
    """One transition: when, what happened, by whom, why, and the state after it."""

    at: datetime
    what: str
    state: str
    by: str = ""
    reason: str = ""


class CannotHappenError(ValueError):
    """Something that an alert in this state cannot undergo: which, and what can."""


class AlertLifecycle(msgspec.Struct, frozen=True):
    """The state of one alert, and its history. `key` is its first key; `until` ends a snooze."""

    key: str
    severity: str
    state: str
    since: datetime
    announced_at: datetime
    until: datetime | None = None
    escalated: bool = False
    reminders: int = 0
    history: tuple[LifecycleStep, ...] = ()

    @classmethod
    def begin(cls, key: str, severity: str, at: datetime, reason: str) -> AlertLifecycle:
        """The lifecycle of an alert that was announced just now."""
        return cls(key, severity, FIRING, at, at, history=(LifecycleStep(at, "fire", FIRING, "alertd", reason),))

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
            history=(*self.history[-_HISTORY:], LifecycleStep(at, what, state, by, reason)),
        )


class RaisedAmount(msgspec.Struct, frozen=True):
    """A budget's amount for one period, raised by hand."""

    amount: Decimal
    unit: str
    by: str
    at: datetime
    reason: str = ""


class CarriedAmount(msgspec.Struct, frozen=True):
    """What the period before left to a budget's amount (or took off it), once that period had closed.

    `reason` says why nothing is carried over where the period before is not fully known.
    """

    amount: Decimal
    unit: str
    at: datetime
    period: str = ""
    reason: str = ""


class TopUp(msgspec.Struct, frozen=True):
    """A payment into a budget's prepaid credit that somebody entered; with `left`, what was left at the day's start."""

    budget: str
    day: date
    amount: Decimal
    unit: str
    left: bool
    by: str
    at: datetime
    reason: str = ""


class AnsweredRequest(msgspec.Struct, frozen=True):
    """A request with an Idempotency-Key that was answered: when, a hash of what was asked, and the outcome."""

    at: datetime
    fingerprint: str
    outcome: dict[str, object]


class Proposal(msgspec.Struct, frozen=True):
    """A change that a program asked for and that waits for a person: `what` is raise, silence or approve.

    `fields` are its arguments as the API has them; `state` is waiting, accepted or refused; `said` is the outcome.
    """

    id: str
    what: str
    fields: dict[str, object]
    reason: str
    by: str
    via: str
    at: datetime
    expires: datetime
    state: str = "waiting"
    answered_by: str = ""
    answered_at: datetime | None = None
    said: str = ""


class StoredBudget(msgspec.Struct, frozen=True):
    """A budget that is kept in the database: its settings as text, who changed it last, and when."""

    name: str
    settings: dict[str, str]
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


class Erasure(msgspec.Struct, frozen=True):
    """A label's value that became a pseudonym: when, by whom, why."""

    at: datetime
    by: str
    label: str
    pseudonym: str
    reason: str = ""


class Outage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is remembered of a source, or of an evaluation that fails: its last outage, and since when it lasts."""

    episode: int = 0
    open: bool = False
    since: datetime | None = None


class ProjectedTotal(msgspec.Struct, frozen=True):
    """A projected total: low and high bound 80 of 100 likely courses."""

    low: float
    likely: float
    high: float


#: An estimate beside a bill, as the API shows it (`Reconciled.to_json`): money as text, days as dates.
Compared = TypedDict(
    "Compared",
    {
        "provider": str, "scope": dict[str, str | None], "currency": str, "from": str | None, "to": str | None,
        "estimated": str, "billed": str, "drift_percent": str | None, "factor": str | None,
        "used_by": list[str], "billed_by": list[str], "against": str, "causes": list[dict[str, str]],
    },
)  # fmt: skip


class BillComparison(msgspec.Struct, frozen=True):
    """The last comparison of estimates with bills, as it is shown."""

    at: datetime
    compared: tuple[Compared, ...] = ()
    duplicate_sources: tuple[str, ...] = ()


class ConfigurationFaults(msgspec.Struct, frozen=True):
    """Why the last configuration was refused (nothing: it was not), and the number of refusals."""

    episode: int = 0
    faults: tuple[str, ...] = ()
    since: datetime | None = None


#: What people call what a table holds.
_HELD_BY: Final[Mapping[str, str]] = {
    "alert": "which alerts were announced",
    "note": "acknowledgements, silences and raised amounts",
    "outbox": "messages on their way",
    "conversation": "where messages are continued",
    "audit": "the audit of actions",
}


class Damage(msgspec.Struct, frozen=True):
    """A damaged database that was replaced: the fault, the path of the old file, and what is lost."""

    at: datetime
    fault: str
    aside: str
    lost: tuple[str, ...] = ()
    ledger: bool = True
    #: Another file took its place: it is used as it is.
    replaced: bool = False

    @classmethod
    def of(
        cls, at: datetime, fault: str, aside: str, tables: Sequence[str], *, ledger: bool = True, replaced: bool = False
    ) -> Damage:
        """The record; `tables` are those that are not whole, `ledger` says whether usage was kept."""
        return cls(at, fault, aside, tuple(text for name, text in _HELD_BY.items() if name in tables), ledger, replaced)


class OtherDaemon(msgspec.Struct, frozen=True):
    """A second daemon on a SQLite file, which only one may use: since when, and when it was last seen."""

    episode: int = 0
    since: datetime | None = None
    seen: datetime | None = None


class ThresholdRecord(msgspec.Struct, frozen=True):
    """One threshold: whether it fires, on which figures, what holds an alert back, and when it was announced last."""

    threshold: str
    firing: bool | None
    because: str
    held: tuple[str, ...] = ()
    announced_at: datetime | None = None


class StatusRecord(msgspec.Struct, frozen=True):
    """One budget, scope and period as it was evaluated at `at`.

    `answer` is what the API says of it, `event` its figures as messages see them; `rank`: the lowest is the worst.
    """

    name: str
    at: datetime
    rank: tuple[int, float]
    answer: dict[str, object]
    event: dict[str, object]
    price_version: str
    thresholds: tuple[ThresholdRecord, ...] = ()
    notes: tuple[str, ...] = ()


def encode_record(record: StatusRecord) -> str:
    """A record as a store keeps it."""
    return msgspec.json.encode(record).decode()


def decode_record(text: str) -> StatusRecord:
    """A record as it was written."""
    return msgspec.json.decode(text, type=StatusRecord)


FIRST_EVALUATION: Final = RecordTable("evaluation/first", datetime)
LAST_EVALUATION: Final = RecordTable("evaluation/last", datetime)
#: When each budget was evaluated first, by its name.
FIRST_SEEN: Final = RecordTable("budget/", datetime)
#: When the open window of a status began, by the status's name.
WINDOW_OPENED: Final = RecordTable("window/", datetime)
#: By `episode_key`.
EPISODES: Final = RecordTable("episode/", Episode)
#: By the event's id.
LIFECYCLES: Final = RecordTable("lifecycle/", AlertLifecycle)
#: By status name.
RAISED: Final = RecordTable("raise/", RaisedAmount)
#: By status name: of the period into which it is carried.
CARRIED: Final = RecordTable("carried/", CarriedAmount)
#: By the budget's name and the payment's id.
TOP_UPS: Final = RecordTable("top_up/", TopUp)
#: When a report was mailed, by notifier, label, value and month.
REPORTED: Final = RecordTable("report/", datetime)
#: By id.
SILENCES: Final = RecordTable("silence/", Silence)
#: Changes that wait for a person, and those that were answered lately, by id.
PROPOSALS: Final = RecordTable("proposal/", Proposal)
#: Budgets beside the configuration, by name.
STORED_BUDGETS: Final = RecordTable("stored_budget/", StoredBudget)
#: By source.
OUTAGES: Final = RecordTable("source/", Outage)
#: By budget, what could not be evaluated.
FAILURES: Final = RecordTable("failed/", Outage)
#: What was projected on some days of a period, by status name; and how earlier periods came out, by budget and scope.
FORECASTS: Final = RecordTable("forecast/", dict[str, ProjectedTotal])
#: By the person's name and Idempotency-Key, the newest last.
REQUESTS: Final = RecordTable("requests", dict[str, AnsweredRequest])
#: By the event's id: alerts of parents that the alert of a lower scope explained, while they fire.
EXPLAINED: Final = RecordTable("explained/", tuple[BudgetScope, ...])
#: By pseudonym: a daemon that sees a new one forgets what it holds in memory, and reads anew.
ERASED: Final = RecordTable("erased/", Erasure)
#: Which interactions were answered, by their keys.
INTERACTIONS: Final = RecordTable("interactions", dict[str, datetime])
COMPARISON: Final = RecordTable("comparison", BillComparison)
#: By source, what it last said is certain to be charged.
COMMITMENTS: Final = RecordTable("commitment/", tuple[Committed, ...])
#: By provider, what one unit of the estimate came to, and the first day that is not billed yet.
CORRECTION: Final = RecordTable("correction", dict[str, dict[str, str]])
CONFIGURATION: Final = RecordTable("configuration", ConfigurationFaults)
DAMAGE: Final = RecordTable("damaged", Damage)
OTHER_DAEMON: Final = RecordTable("other_daemon", OtherDaemon)
#: When a backup was restored; taken away once every source was read up to the present.
RESTORED: Final = RecordTable("restored", datetime)


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
