"""The protocol of a source: read usage or cost step by step, with a cursor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from alertd.core.counting.samples import CounterSamples
from alertd.core.counting.streams import StreamPoint
from alertd.core.money import Money
from alertd.core.pricing.source_roles import SourceRole
from alertd.core.usage import BilledCost, Committed, Usage


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
    #: Per target, the instants of its successful scrapes in this reading: to distinguish a new series from a first
    #: sight.
    scrapes: Mapping[str, Sequence[float]] = field(default_factory=dict)
    #: Targets taken to have begun with their first sample: others of their kind came and went.
    newborn: frozenset[str] = frozenset()
    #: Series that are known under another fingerprint now, from the old one to the new one: a label is known by now to
    #: distinguish copies only.
    renamed: Mapping[str, str] = field(default_factory=dict)
    records: Sequence[Usage | BilledCost] = ()
    window: tuple[datetime, datetime] | None = None
    warnings: tuple[str, ...] = ()
    #: The number of counters followed for this source; new ones beyond the limit are left out, which makes the
    #: reading partial.
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
    #: What its figures take for granted: said, and no reason to hold an action back.
    assumed: tuple[str, ...] = ()
    #: Data points that were sent to a source; an empty reading of such a source has an empty tuple, others None.
    points: Sequence[StreamPoint] | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What `alertd check` learns from a source, in words: what it sees, how old, and what is wrong with it.

    `remarks` are what may be as it should: a quiet account is no fault.
    """

    summary: str
    latest: datetime | None = None
    problems: tuple[str, ...] = ()
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a request's data points, once they are durable: how many were refused, and why."""

    refused: int = 0
    reason: str = ""


class NotTakenError(Exception):
    """A request's data points were not stored: why, and when (in seconds) the sender may try again."""

    def __init__(self, message: str, *, retry_after: int = 1, is_full: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.is_full = is_full


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
class Pushed(Protocol):
    """A source to which usage is sent: a request is answered once a reading with its points is durable.

    `path` is where the daemon's HTTP server takes requests; with `listen` a server of its own does, at that address.
    """

    path: str
    listen: str
    most_bytes: int
    #: Set when points wait to be read.
    arrived: asyncio.Event

    def sender(self, token: str | None, *, loopback: bool) -> str | None:
        """The sender whose token this is, "" where senders have no names; None for an unknown one."""
        ...

    async def take(self, body: bytes, now: datetime, *, is_json: bool, sender: str) -> Taken:
        """Decode a request and wait until it is durable. NotTakenError; ValueError for one that is malformed."""
        ...

    def refuse(self) -> None:
        """Answer all who wait that nothing was stored: the database failed."""
        ...


@runtime_checkable
class Ranked(Protocol):
    """A source that says how its figures stand beside those of others that see the same traffic."""

    standing: SourceRole


def role_of(source: Source) -> SourceRole:
    """How a source's figures stand beside others'; `auto` where it says nothing."""
    return source.standing if isinstance(source, Ranked) else SourceRole()
