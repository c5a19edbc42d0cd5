"""What pages, API and metrics are told of the daemon. The wiring fills it; nothing here is changed by it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from alertd.core.actions.policy import ActionPolicy
from alertd.core.durations import Durations
from alertd.core.evaluation.values import BudgetStatus, SourceView
from alertd.core.pricing.prices import PriceBook
from alertd.core.usage import Line
from alertd.ports import AlertRow, Clock, Step


class Records(Protocol):
    """What of the store is read here, the probe of its writes, and sessions that are over. Raises StoreError."""

    async def alerts(self, since: datetime) -> list[AlertRow]: ...
    async def memory(self) -> dict[str, tuple[Any, int]]: ...
    async def outbox_depth(self) -> dict[str, tuple[int, datetime | None]]: ...
    async def audit(self, acts: Collection[str] | None = None) -> list[Step]: ...
    async def writable(self) -> None: ...
    async def end_session(self, session: str, until: datetime) -> None: ...
    async def has_ended(self, session: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Loop:
    """One loop of the daemon. It counts as stuck when no round has ended for `allowed` (None: it may take for ever).

    `durations` are those of all rounds; `reasons` counts the failed ones by a small, fixed set of words. `source` is
    the source that it reads, "" for what reads none.
    """

    name: str
    allowed: timedelta | None
    runs: int = 0
    skipped: int = 0
    failures: int = 0
    durations: Durations = field(default_factory=Durations)
    last_seconds: float = 0.0
    last_end: datetime | None = None
    last_error: str = ""
    reasons: Mapping[str, int] = field(default_factory=dict)
    source: str = ""

    def stuck(self, started: datetime, now: datetime) -> bool:
        """Whether no round has ended for too long, counted from the daemon's start before the first."""
        return self.allowed is not None and now - (self.last_end or started) > self.allowed


@dataclass(frozen=True, slots=True)
class Lane:
    """One notifier's way out, since the daemon's start. `failures` counts tries by a small, fixed set of words."""

    notifier: str
    delivered: int = 0
    retried: int = 0
    given_up: int = 0
    overtaken: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    durations: Durations = field(default_factory=Durations)
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class BudgetStatuses:
    """Where everything stood at the last evaluation; `evaluated_at` is None, and all else empty, before the first."""

    evaluated_at: datetime | None = None
    positions: Sequence[BudgetStatus] = ()
    sources: Mapping[str, SourceView] = field(default_factory=dict)


def _no_lines() -> Iterable[Line]:
    return ()


def _no_faults() -> Sequence[str]:
    return ()


def _no_lanes() -> Sequence[Lane]:
    return ()


def _no_actions() -> Sequence[ActionPolicy]:
    return ()


@dataclass(frozen=True, slots=True)
class View:
    """The daemon as it is seen from outside. The callables answer with what holds at the moment and never block.

    `lines` are the lines of usage in the ledger; `book` prices them. `actions` are those that are configured. `faults`
    are those of a changed configuration that was refused. `public_url` is where people reach the daemon, "" where
    nobody said.
    """

    clock: Clock
    started: datetime
    version: str
    records: Records
    standings: Callable[[], BudgetStatuses]
    loops: Callable[[], Sequence[Loop]]
    book: Callable[[], PriceBook] = PriceBook
    lines: Callable[[], Iterable[Line]] = _no_lines
    faults: Callable[[], Sequence[str]] = _no_faults
    lanes: Callable[[], Sequence[Lane]] = _no_lanes
    actions: Callable[[], Sequence[ActionPolicy]] = _no_actions
    public_url: str = ""
    dry_run: bool = False
