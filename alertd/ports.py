"""The openings of the house: what a source, a notifier, a revoker, a store and a clock promise. No code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

from alertd.core.actions.act import Step as Step
from alertd.core.billing.roles import Standing
from alertd.core.counting.counters import CounterSamples, CounterState, Increment
from alertd.core.events import Event
from alertd.core.judgement.presses import Press as Press
from alertd.core.ledger import SeriesRow as SeriesRow
from alertd.core.ledger import UsageRow as UsageRow
from alertd.core.money import Money
from alertd.core.usage import BilledCost, Committed, Usage


class Clock(Protocol):
    """What time it is, in aware UTC."""

    def now(self) -> datetime: ...


# --- sources ---


@dataclass(frozen=True, slots=True)
class Reading:
    """One step of a source's conversation, committed together with its cursor in one transaction.

    A counter source fills `samples` (and `scrapes`); a source of records fills `records` for the half-open `window`,
    which then replace everything the ledger holds of that source in that window: late corrections are harmless.
    With `warnings` the reading is partial: it is a lower bound, it never lowers a figure, and the source is degraded.
    """

    cursor: str
    #: Data is complete up to here (the source's watermark).
    until: datetime
    samples: Sequence[CounterSamples] = ()
    #: Per target, the instants of its successful scrapes in this reading: how a birth is told from a first sight.
    scrapes: Mapping[str, Sequence[float]] = field(default_factory=dict)
    records: Sequence[Usage | BilledCost] = ()
    window: tuple[datetime, datetime] | None = None
    warnings: tuple[str, ...] = ()
    #: So many counters of this source are followed; new ones beyond are left out, which makes the reading partial.
    most_counters: int | None = None
    #: The clock was set back since the last reading: what is known of counters is of a time to come.
    set_back: bool = False
    #: For a back-fill of several steps: how far it is, 0 to 1.
    progress: float | None = None
    #: What is certain to be billed later; replaces what the source said of it before.
    commitments: Sequence[Committed] = ()
    #: What is left of a prepaid credit, where the source knows of one.
    balance: Money | None = None
    #: On a first read: from when on its figures are complete (the oldest sample, where retention is short).
    complete_from: datetime | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What `alertd check` learns from a source, in words: what it sees, how old, and what is wrong with it."""

    summary: str
    latest: datetime | None = None
    problems: tuple[str, ...] = ()
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)


class SourceError(Exception):
    """A source that did not answer as it should: what happened, and whether trying again can help. Holds no secret."""

    def __init__(self, message: str, *, permanent: bool = False, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.retry_after = retry_after


@runtime_checkable
class Source(Protocol):
    """Where usage or cost is read. `read` goes on from `cursor` (None at the very first time) up to `now`.

    `since` is the start of the earliest period that any budget needs: how far a first read reaches back.
    Each Reading that it yields is durable before the next is asked for. Raises SourceError.
    """

    name: str
    interval: timedelta
    delay: timedelta
    stale_after: timedelta

    def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]: ...

    async def look(self, now: datetime) -> Look: ...

    async def close(self) -> None: ...


@runtime_checkable
class Ranked(Protocol):
    """A source that says how its figures stand beside those of others that see the same traffic."""

    standing: Standing


def standing_of(source: Source) -> Standing:
    """How a source's figures stand beside others'; `auto` where it says nothing."""
    return source.standing if isinstance(source, Ranked) else Standing()


# --- notifiers ---


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one send carries: an idempotency key that is the same on every try, and the events (one for machines).

    `conversation` names what belongs together (a budget, scope and period): a thread of mails or of a chat.
    `memory` is what an earlier delivery of this conversation left (a Slack `ts`, a first Message-ID).
    """

    key: str
    notifier: str
    conversation: str
    events: tuple[Event, ...]
    attempt: int = 1
    #: An earlier try may have arrived: look before sending again where the channel can.
    uncertain: bool = False
    memory: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the receiver said, in words, and what to remember for the conversation's next delivery."""

    said: str
    memory: Mapping[str, str] = field(default_factory=dict)


class DeliveryError(Exception):
    """A message that was not taken: what happened, and what the outbox should do next. Holds no secret.

    `permanent`: trying again cannot help. `uncertain`: it may have arrived all the same.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool = False,
        retry_after: timedelta | None = None,
        uncertain: bool = False,
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.retry_after = retry_after
        self.uncertain = uncertain


@runtime_checkable
class Notifier(Protocol):
    """How a message leaves. `people` are channels that people read (grouping); else one event a delivery.

    `address` names where an event would go (a channel, the recipients): what goes to one address may be one message.
    """

    name: str
    people: bool

    def address(self, event: Event) -> str: ...

    async def send(self, delivery: Delivery) -> Receipt: ...

    async def look(self) -> str: ...

    async def close(self) -> None: ...


@runtime_checkable
class Living(Protocol):
    """A notifier that keeps one message a conversation up to date.

    `refresh` shows how things stand (a summary of the occasion "standing") where `memory` says that there is such a
    message, and gives what to remember instead. Doing it twice shows the same. Raises DeliveryError.
    """

    async def refresh(self, event: Event, memory: Mapping[str, str]) -> Mapping[str, str]: ...


@runtime_checkable
class Hearing(Protocol):
    """A notifier under whose messages people press buttons.

    `listen` hands on what was pressed by whoever may, tells that person what came of it, and ends only by being
    cancelled: an outage is waited out.
    """

    async def listen(self, take: Callable[[Press], Awaitable[str]]) -> None: ...


# --- revokers ---


@dataclass(frozen=True, slots=True)
class Lever:
    """What a revoker does to a key, in words and by how hard it is: warn, throttle, disable or delete.

    `repeats`: the same request under the same idempotency key is carried out once, however often it arrives.
    `exact`: after a restore the values that were kept can be read back one by one.
    """

    what: str
    undo: str
    grade: str = "disable"
    reversible: bool = True
    repeats: bool = True
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """A key (project, endpoint, ...) as its provider knows it: its id, its name, and what it shows of its secret.

    `holder` is whom it belongs to (a service account, an application), where stopping it stops them.
    """

    id: str
    name: str = ""
    hint: str = ""
    holder: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """What was read of a target: whether it is as the lever would leave it (None: cannot be read), and how to undo it.

    `values` are plain JSON values: what a restore writes back. `impact` is for the person who approves.
    """

    acted: bool | None
    values: Mapping[str, Any] = field(default_factory=dict)
    said: str = ""
    present: bool = True
    impact: Mapping[str, str] = field(default_factory=dict)
    request: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What a provider answered to an act: in words, and its own id of the request."""

    said: str
    request: str = ""


class RevokerError(Exception):
    """A provider that did not do as asked: what happened, and what may follow. Holds no secret.

    `permanent`: trying again cannot help. `uncertain`: it may have been carried out all the same.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool = False,
        uncertain: bool = False,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.uncertain = uncertain
        self.retry_after = retry_after


@runtime_checkable
class Revoker(Protocol):
    """How a key is stopped, and started again. Raises RevokerError; SourceError where an answer is not as promised.

    `lacks` says what it needs before it can act ("" for nothing). `act` and `restore` get what was read before, and an
    idempotency key that is the same on every try; a target that is gone is read as not present, never as an error.
    """

    name: str
    lever: Lever
    lacks: str

    async def find(self, target: str) -> Target:
        """The one target of a name or id as usage has it; an error where there is none, or more than one."""
        ...

    async def read(self, target: Target) -> Observed: ...

    async def act(self, target: Target, before: Observed, key: str, reason: str) -> Done: ...

    async def restore(self, target: Target, before: Observed, key: str, reason: str) -> Done: ...

    async def look(self) -> str:
        """What `alertd check` says: that it may act, and on what; nothing is changed."""
        ...

    async def close(self) -> None: ...


# --- store ---


class StoreError(Exception):
    """The database did not do as it should: where, what, and the remedy. Holds no password.

    Nothing of that call was written or, where a connection broke at its very end, all of it.
    """


class StoreDamagedError(StoreError):
    """The database's own file is broken: trying again does not help."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """What the store knows of a source: its cursor, its watermark, since when its figures are complete, its health."""

    name: str
    revision: int = 0
    cursor: str | None = None
    until: datetime | None = None
    complete_from: datetime | None = None
    last_ok: datetime | None = None
    failing_since: datetime | None = None
    error: str = ""
    degraded: str = ""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A message on its way, claimed under a lease with a fence."""

    id: int
    fence: int
    delivery: Delivery
    created: datetime
    first_tried: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be written in the transaction that records its alerts.

    One that is held back until `not_before` (quiet hours) holds nothing up: what is told in its conversation meanwhile
    goes first.
    """

    key: str
    notifier: str
    conversation: str
    events: tuple[Event, ...]
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert that was announced: its key, when, and the event as it was said."""

    key: str
    at: datetime
    event: Event
    state: str = "firing"


class Store(Protocol):
    """The durable state. Every method is one transaction; compare-and-set is told by its answer, never by luck."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...

    # collect
    async def source(self, name: str) -> SourceRow: ...
    async def sources(self) -> list[SourceRow]: ...
    async def counter_states(self, source: str) -> dict[str, CounterState]: ...
    async def commit_counters(
        self,
        row: SourceRow,
        increments: Sequence[Increment],
        states: Mapping[str, CounterState],
    ) -> bool:
        """Write the cursor and the usage it produced; False where another replica moved the cursor meanwhile."""
        ...

    async def commit_records(self, row: SourceRow, reading: Reading) -> bool: ...
    async def source_health(self, row: SourceRow) -> None:
        """Record what the last try said (last_ok, failing_since, error, degraded); the cursor is left alone."""
        ...

    # judge
    async def series(self, after: int = 0) -> list[SeriesRow]: ...
    async def usage(
        self, since: datetime, after: int = 0, narrow_since: datetime | None = None
    ) -> tuple[list[UsageRow], int]:
        """The buckets that end after `since` and changed after revision `after`, and the revision to go on from.

        With `narrow_since`, and from the beginning, buckets of at most an hour only if they start then or later.

        A row takes the place of what the reader holds of the same series, start and width. A roll-up shows as the wider
        bucket with its sum and the narrower ones at 0, all in one answer; those zeros go away a day later.
        """
        ...

    async def usage_within(self, begin: int, end: int) -> list[UsageRow]:
        """What each series used in buckets of at most an hour that start in [begin, end), as one row of that width."""
        ...

    async def alerts(self, since: datetime) -> list[AlertRow]: ...
    async def memory(self) -> dict[str, tuple[Any, int]]:
        """The judge's notes (standing episodes and the like) as JSON values with their revisions."""
        ...

    async def commit_decisions(
        self,
        alerts: Sequence[AlertRow],
        messages: Sequence[NewMessage],
        notes: Mapping[str, tuple[Any, int]],
        steps: Sequence[Step] = (),
    ) -> bool:
        """Alerts, their messages, the changed notes and the audit's steps, or nothing: False where one was taken.

        Each note comes with the revision that was read (0: there was none) and has the next one afterwards; a value of
        None takes the note away. A message's key is taken where it was ever written for the same notifier; a step's
        number where its act has one of that number.
        """
        ...

    async def audit(self, act: str = "") -> list[Step]:
        """Every step of one act, or of all, in the order in which they were written. Nothing takes one away."""
        ...

    # deliver
    #
    # `claim` leases what is due, of each (notifier, conversation) only the oldest unfinished; a row whose lease ran
    # out comes back `uncertain`. What follows works only with the fence of the last claim, and answers False otherwise.
    async def inherit(self) -> int:
        """What a predecessor that died was sending is due again at once, as uncertain; the number of messages.

        Only where no other daemon can be at work on it; elsewhere 0, and leases run out.
        """
        ...

    async def claim(self, now: datetime, lease: timedelta, notifiers: Sequence[str], limit: int) -> list[OutboxRow]: ...
    async def delivered(self, row: OutboxRow, at: datetime, receipt: Receipt) -> bool: ...
    async def retry_later(self, row: OutboxRow, at: datetime, reason: str, *, uncertain: bool) -> bool: ...
    async def give_up(self, row: OutboxRow, at: datetime, reason: str, fallback: NewMessage | None) -> bool: ...
    async def outbox_depth(self) -> dict[str, tuple[int, datetime | None]]:
        """Per notifier, how many messages wait and since when the oldest."""
        ...

    async def conversations(self, notifier: str) -> dict[str, dict[str, str]]:
        """What a notifier remembers of each of its conversations."""
        ...

    async def remember(
        self, notifier: str, conversation: str, before: Mapping[str, str], after: Mapping[str, str], at: datetime
    ) -> bool:
        """Put `after` in the place of `before`, as `conversations` gave it; False where it has changed meanwhile."""
        ...

    # upkeep
    async def writable(self) -> None:
        """Returns once a probe is on disk."""
        ...

    async def prune(self, now: datetime) -> int:
        """Forget messages delivered over 35 days ago (given up: 400), and give how many; usage and alerts stay."""
        ...

    async def forget(self, before: datetime) -> int:
        """Delete usage that ends by `before`, some at a time, then the series that have none; 0 once there is no more.

        A series that is used again is a new one. Whoever holds what was deleted keeps it until it reads afresh.
        """
        ...

    async def roll_up(self, before: datetime, width: int) -> int:
        """Merge usage before `before` into buckets of `width` seconds, some at a time; 0 once there is no more.

        Sums do not change. What was rolled up can be corrected by whole buckets of `width` only.
        """
        ...
