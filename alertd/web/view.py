"""What pages, API and metrics read of the daemon, and one snapshot of it. The daemon fills it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, Protocol

from alertd.core.actions.policy import ActionPolicy
from alertd.core.budgets import Budget, Scope
from alertd.core.evaluation.allowance import BudgetAllowance
from alertd.core.evaluation.breakdown import ScopeUsage
from alertd.core.evaluation.state import State
from alertd.core.evaluation.values import BudgetStatus, Decisions, Facts, SourceView
from alertd.core.loop_stats import DeliveryStats, LoopStats
from alertd.core.pricing.price_book import PriceBook
from alertd.core.usage import Line
from alertd.operations.changes import Operations
from alertd.ports import AlertRow, Clock, SentMessage, Step


@dataclass(slots=True)
class Denial:
    """A budget and scope to which the allowance said no, or warned: how often, when first and last, and why."""

    budget: str
    scope: Scope
    warned: bool
    count: int
    first: datetime
    last: datetime
    reason: str


#: No more denials than these are kept apart; the ones that are longest ago go.
_MOST_DENIALS: Final = 1000


@dataclass(slots=True)
class AllowanceCounts:
    """What the allowance answered since the start: by budget and answer, and every no with its reason."""

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    denials: dict[tuple[str, Scope, bool], Denial] = field(default_factory=dict)

    def add(self, asked: BudgetAllowance | None, now: datetime) -> None:
        """Count one answer; None is an answer of no budget."""
        if asked is None:
            self.answers["", "allowed"] += 1
            return
        no = asked.refused or asked.warned
        answer = "unknown" if asked.status == "unknown" else "allowed"
        if no:
            answer = "denied" if asked.refused else "warned"
        self.answers[asked.budget.name, answer] += 1
        if no:
            key = asked.budget.name, asked.scope, asked.warned
            known = self.denials.pop(key, None)
            count, first = (0, now) if known is None else (known.count, known.first)
            self.denials[key] = Denial(*key, count + 1, first, now, asked.reason)
            self._bound()

    def merge(self, answers: Iterable[tuple[str, str, int]], denials: Iterable[Denial]) -> None:
        """Add what another process answered since it was asked last: by budget and answer, and its denials."""
        for budget, answer, count in answers:
            self.answers[budget, answer] += count
        for one in denials:
            key = one.budget, one.scope, one.warned
            known = self.denials.pop(key, None)
            self.denials[key] = one if known is None else replace(one, count=known.count + one.count, first=known.first)
            self._bound()

    def _bound(self) -> None:
        if len(self.denials) > _MOST_DENIALS:
            del self.denials[next(iter(self.denials))]


class StoreReader(Protocol):
    """What of the store is read here, the probe of its writes, and sessions that are over. Raises StoreError."""

    async def alerts(self, since: datetime) -> list[AlertRow]: ...
    async def memory(self) -> dict[str, tuple[Any, int]]: ...
    async def messages(self, begin: datetime, end: datetime) -> list[SentMessage]: ...
    async def outbox_depth(self) -> dict[str, tuple[int, datetime | None]]: ...
    async def audit(self, acts: Collection[str] | None = None) -> list[Step]: ...
    async def writable(self) -> None: ...
    async def end_session(self, session: str, until: datetime) -> None: ...
    async def has_ended(self, session: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class BudgetStatuses:
    """Where everything stood at the last evaluation; `evaluated_at` is None, and all else empty, before the first."""

    evaluated_at: datetime | None = None
    statuses: Sequence[BudgetStatus] = ()
    sources: Mapping[str, SourceView] = field(default_factory=dict)


def _no_lines() -> Iterable[Line]:
    return ()


def _no_faults() -> Sequence[str]:
    return ()


def _no_delivery_stats() -> Sequence[DeliveryStats]:
    return ()


def _no_budgets() -> Sequence[Budget]:
    return ()


def _no_names() -> Collection[str]:
    return ()


def _no_evaluation() -> tuple[Facts, Decisions] | None:
    return None


def _no_usage(_: BudgetStatus) -> ScopeUsage | None:
    return None


def _no_actions() -> Sequence[ActionPolicy]:
    return ()


@dataclass(frozen=True, slots=True)
class View:
    """The daemon as it is seen from outside. The callables answer with what holds at the moment and never block.

    `lines` are the lines of usage in the ledger; `book` prices them. `actions` are those that are configured. `faults`
    are those of a changed configuration that was refused. `public_url` is where people reach the daemon, "" where
    nobody said. `allowance` outlives a reload; an evaluation older than `evaluation_lasts` does not speak for the
    present.
    """

    clock: Clock
    started: datetime
    version: str
    records: StoreReader
    standings: Callable[[], BudgetStatuses]
    loops: Callable[[], Sequence[LoopStats]]
    book: Callable[[], PriceBook] = PriceBook
    lines: Callable[[], Iterable[Line]] = _no_lines
    faults: Callable[[], Sequence[str]] = _no_faults
    delivery_stats: Callable[[], Sequence[DeliveryStats]] = _no_delivery_stats
    actions: Callable[[], Sequence[ActionPolicy]] = _no_actions
    #: What people do; None where nothing can be changed.
    operations: Operations | None = None
    #: One budget scope's usage by label and day; None before the first evaluation.
    usage: Callable[[BudgetStatus], ScopeUsage | None] = _no_usage
    public_url: str = ""
    #: In which times are shown.
    zone: tzinfo = UTC
    #: The configuration in force by section, without any secret; and the names and roles of TOKENS_FILE.
    settings: Callable[[], Mapping[str, Sequence[tuple[str, str]]]] = dict
    people: Sequence[tuple[str, str]] = ()
    #: Every setting that was written: the variable, its value without a secret, where it was written.
    in_force: Callable[[], Sequence[tuple[str, str, str]]] = tuple
    #: The options with which commands find this configuration: those that pages print work as printed.
    command_options: Callable[[], str] = str
    dry_run: bool = False
    budgets: Callable[[], Sequence[Budget]] = _no_budgets
    #: The names of the budgets in the configuration; the others are in the database.
    configured: Callable[[], Collection[str]] = _no_names
    #: The facts and decisions of the last evaluation; None before the first.
    evaluation: Callable[[], tuple[Facts, Decisions] | None] = _no_evaluation
    allowance: AllowanceCounts = field(default_factory=AllowanceCounts)
    evaluation_lasts: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that one scrape shows. `outbox` and `notes` are None where the database did not answer."""

    now: datetime
    version: str
    started: datetime
    standings: BudgetStatuses
    loops: Sequence[LoopStats]
    delivery_stats: Sequence[DeliveryStats] = ()
    actions: Sequence[ActionPolicy] = ()
    outbox: Mapping[str, tuple[int, datetime | None]] | None = None
    notes: State | None = None
    book_version: str = ""
    refused: bool = False
    dry_run: bool = False
    allowance: AllowanceCounts = field(default_factory=AllowanceCounts)
