"""The protocol of a store: every method is one transaction, and the loser of a race gets an error. No code."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from alertd.core.actions.state_machine import Step
from alertd.core.counting.samples import CounterState, Increment
from alertd.core.delivery import is_critical
from alertd.core.events import Event
from alertd.core.usage import SeriesRow, UsageRow
from alertd.ports.notifiers import Delivery, Receipt
from alertd.ports.sources import Reading

#: What names of files in the ledger begin with; no configured source is called so.
IMPORTED: Final = "import:"


class StoreError(Exception):
    """The database did not do as it should: where, what, and the remedy. Holds no password.

    Nothing of that call was written or, where a connection broke at its very end, all of it.
    """


class UsageBehindError(StoreError):
    """What changed after the reader's revision is not to be had change by change any more: read from the beginning."""


class StoreDamagedError(StoreError):
    """The database's own file is broken, or what it holds of `source`: trying again does not help."""

    def __init__(self, reason: str, source: str = "") -> None:
        super().__init__(reason)
        self.source = source


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
    #: What its figures of this period take for granted, and when that was counted last.
    assumed: str = ""
    assumed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A message on its way, claimed under a lease with a fence."""

    id: int
    fence: int
    delivery: Delivery
    created: datetime
    lease_until: datetime
    first_tried: datetime | None = None

    @property
    def is_critical(self) -> bool:
        return is_critical(self.delivery.events)


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be written in the transaction that records its alerts.

    One that is held back until `not_before` (quiet hours) holds nothing up: what is announced in its conversation
    meanwhile goes first.
    """

    key: str
    notifier: str
    conversation: str
    events: tuple[Event, ...]
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An announced alert: its key, its time, and the event as announced."""

    key: str
    at: datetime
    event: Event
    state: str = "firing"


@dataclass(frozen=True, slots=True)
class SentMessage:
    """What became of one message to one notifier: `state` is waiting, delivered or given up; `alerts` are event ids.

    `reason` is the receiver's answer, or why the last try failed; `next_try` is set while it waits.
    """

    notifier: str
    alerts: tuple[str, ...]
    created: datetime
    state: str
    attempts: int
    done_at: datetime | None = None
    next_try: datetime | None = None
    reason: str = ""


class Store(Protocol):
    """The durable state. Every method is one transaction; the result says whether compare-and-set succeeded."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...

    # collect
    async def source(self, name: str) -> SourceRow: ...
    async def sources(self) -> list[SourceRow]: ...
    async def counter_states(self, source: str) -> Mapping[str, CounterState]: ...
    async def commit_counters(
        self,
        row: SourceRow,
        increments: Sequence[Increment],
        states: Mapping[str, CounterState],
        forgotten: Sequence[str] = (),
    ) -> bool:
        """Write the cursor and the usage it produced; False where another replica moved the cursor meanwhile.

        The states of series that are `forgotten` are deleted.
        """
        ...

    async def commit_records(self, row: SourceRow, reading: Reading) -> bool: ...
    async def source_health(self, row: SourceRow) -> None:
        """Record what the last try said (last_ok, failing_since, error, degraded); the cursor is left alone."""
        ...

    # evaluate
    async def series(self, after: int = 0) -> list[SeriesRow]: ...
    async def usage(
        self, since: datetime, after: int = 0, narrow_since: datetime | None = None
    ) -> tuple[Sequence[UsageRow], int]:
        """The buckets that end after `since` and changed after revision `after`, and the revision to go on from.

        With `narrow_since`, and from the beginning, buckets of at most an hour only if they start then or later.

        A row takes the place of what the reader holds of the same series, start and width. Raises UsageBehindError
        where a change after the revision was compacted, or is one of what was: then it is read from the beginning.
        """
        ...

    async def read_again(self, source: str, fault: str, at: datetime) -> None:
        """Drop what is stored of a source, which is damaged, so that it is read again from its beginning; noted."""
        ...

    async def usage_within(self, begin: int, end: int, *, keep: bool = False) -> Sequence[UsageRow]:
        """What each series used in buckets of at most an hour that start in [begin, end), as one row of that width.

        With `keep` the store may keep the answer, to give it sooner the next time, as long as none of it changes.
        """
        ...

    async def alerts(self, since: datetime) -> list[AlertRow]: ...
    async def announced_keys(self) -> dict[str, datetime]:
        """The key of every alert that was ever announced, and when."""
        ...

    async def memory(self) -> dict[str, tuple[Any, int]]:
        """The evaluation's notes (standing episodes and the like) as JSON values with their revisions."""
        ...

    async def commit_decisions(
        self,
        alerts: Sequence[AlertRow],
        messages: Sequence[NewMessage],
        notes: Mapping[str, tuple[object, int]],
        steps: Sequence[Step] = (),
    ) -> bool:
        """Alerts, their messages, the changed notes and the audit's steps, or nothing: False where one was taken.

        Each note comes with the revision that was read (0: there was none) and has the next one afterwards; a value of
        None takes the note away. A message's key is taken where it was ever written for the same notifier; a step's
        number where its act has one of that number.
        """
        ...

    async def record_evaluation(
        self, at: datetime, records: Mapping[str, tuple[str, str]], names: Collection[str]
    ) -> None:
        """Replace what was recorded of these statuses: by name, the budget and the record; others than `names` go."""
        ...

    async def evaluation(self, budget: str | None = None) -> dict[str, tuple[str, datetime]]:
        """What was recorded of the statuses of a budget, or of all, by name, and when each was recorded last."""
        ...

    async def audit(self, acts: Collection[str] | None = None) -> list[Step]:
        """Every step of these acts, or of all, in the order in which they were written. Nothing takes one away."""
        ...

    # deliver
    #
    # `claim` leases what is due: first what is critical, then the oldest. Of a (notifier, conversation) only the oldest
    # unfinished, after those that are critical. A critical one waits only for an earlier critical one that was never
    # tried, and up to OVERTAKE for an earlier one that is being sent for the first time. A row whose lease ran out
    # comes back `uncertain`. A critical row is leased for half of `lease`. What follows works only with the fence of
    # the last claim, and answers False (`renew`: None) otherwise.
    async def inherit(self) -> int:
        """What a predecessor that died was sending is due again at once, as uncertain; the number of messages.

        Only where no other daemon can be at work on it; elsewhere 0, and leases run out.
        """
        ...

    async def is_contended(self) -> bool:
        """Whether another daemon has this database that should be one daemon's alone: a SQLite file."""
        ...

    async def claim(
        self, now: datetime, lease: timedelta, notifiers: Sequence[str], limit: int, *, critical_only: bool = False
    ) -> list[OutboxRow]: ...
    async def renew(self, row: OutboxRow, now: datetime, lease: timedelta) -> datetime | None:
        """Hold a claimed row for longer; until when."""
        ...

    async def delivered(self, row: OutboxRow, at: datetime, receipt: Receipt) -> bool: ...
    async def retry_later(self, row: OutboxRow, at: datetime, reason: str, *, uncertain: bool) -> bool: ...
    async def give_up(self, row: OutboxRow, at: datetime, reason: str, fallback: NewMessage | None) -> bool: ...
    async def outbox_depth(self) -> dict[str, tuple[int, datetime | None]]:
        """Per notifier, how many messages wait and since when the oldest."""
        ...

    async def messages(self, begin: datetime, end: datetime) -> list[SentMessage]:
        """What became of the messages that were written from `begin` to `end`, both included, the oldest first."""
        ...

    async def conversations(self, notifier: str) -> dict[str, dict[str, str]]:
        """What a notifier remembers of each of its conversations."""
        ...

    async def remember(
        self, notifier: str, conversation: str, before: Mapping[str, str], after: Mapping[str, str], at: datetime
    ) -> bool:
        """Replace `before`, as `conversations` gave it, with `after`; False if it changed meanwhile."""
        ...

    # upkeep
    # the page's sessions

    async def end_session(self, session: str, until: datetime) -> None:
        """Remember that a session was signed out, until it would have ended by itself."""
        ...

    async def has_ended(self, session: str) -> bool:
        """Whether a session was signed out, on whichever replica."""
        ...

    async def writable(self) -> None:
        """Returns once a probe is on disk."""
        ...

    async def prune(self, now: datetime) -> int:
        """Forget messages delivered over 35 days ago (given up: 400), and give how many; usage and alerts stay."""
        ...

    async def forget(self, before: datetime) -> int:
        """Delete usage that ends by `before`, some at a time, then the series that have none; 0 once there is no more.

        A series that is used again is a new one. A process that holds deleted data in memory keeps them until
        it reads again.
        """
        ...

    async def erase_idle(self, label: str, before: datetime, now: datetime) -> int:
        """Replace the values of a label that nothing was used with since `before` by pseudonyms, and give how many.

        As `alertd erase` does: usage, alerts, messages and notes keep their sums, and the audit has that it happened.
        """
        ...

    async def compact(self, before: datetime) -> int:
        """Compact whole hours before `before` into buckets of at least a quarter of one, some at a time; 0 at the end.

        Sums do not change. What was compacted can be corrected by whole quarters of an hour only.
        """
        ...
