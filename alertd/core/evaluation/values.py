"""The status of a budget and scope as values: spent, projected, contributors, data freshness. Computed elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from alertd.core.billing.commitments import Certain
from alertd.core.budgets import Amount, Budget, Override, Scope
from alertd.core.evaluation.amounts import AS_THE_BUDGET, configured_amount, with_carried
from alertd.core.evaluation.keys import status_name
from alertd.core.evaluation.state import Changes, State, TopUp
from alertd.core.events import Contributor, Event, UnpricedUsage
from alertd.core.lazy import Deferred
from alertd.core.ledger.columns import Ledger
from alertd.core.money import Money
from alertd.core.periods import Period, QuietHours
from alertd.core.pricing.costing import Exchange, Tariff
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.source_roles import SourceRole
from alertd.core.projection import Projection
from alertd.core.projection.past import Unusual
from alertd.core.usage import Committed

if TYPE_CHECKING:
    from alertd.core.evaluation.renewal import KeptEvaluation


@dataclass(frozen=True, slots=True)
class SourceView:
    """What the evaluation knows of a source: up to when its data go, how late it may be, and what is wrong with it."""

    name: str
    until: datetime | None
    stale_after: timedelta
    delay: timedelta = timedelta(0)
    interval: timedelta = timedelta(minutes=1)
    complete_from: datetime | None = None
    failing_since: datetime | None = None
    last_ok: datetime | None = None
    error: str = ""
    degraded: str = ""
    assumed: str = ""

    def stale(self, now: datetime) -> bool:
        """Whether the source's last data are older than its `stale_after`."""
        return self.until is not None and now - self.until > self.stale_after + self.delay


@dataclass(frozen=True, slots=True)
class LateSource:
    """A source that lags behind the present: up to when it was read, and whether that is later than it promised."""

    name: str
    until: datetime
    stale: bool


@dataclass(frozen=True, slots=True)
class Burn:
    """What was spent in one window, which ends for each source where its data end.

    `least` is what an action may rely on, where that may be less: see `surest_span`.
    """

    window: timedelta
    spent: Decimal
    factor: float
    least: Decimal | None = None

    @property
    def surely(self) -> Burn:
        """The same with what an action may rely on as the spend."""
        if self.least is None or not self.spent:
            return self
        return Burn(self.window, self.least, self.factor * float(self.least / self.spent))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a message or a page shows of a status, and no evaluation depends on.

    `top_contributor` is the label and value that spent most of late; `daily` the spend by local day of the period.
    """

    contributors: tuple[Contributor, ...] = ()
    contributor_count: int = 0
    pace: Decimal | None = None
    top_contributor: tuple[str, str] | None = None
    #: What it spent in the longest window, and how much of the window's spend that is (0 to 1).
    top_contributor_spent: Decimal = Decimal(0)
    top_contributor_share: float = 0.0
    daily: tuple[tuple[str, Decimal], ...] = ()
    #: By which part more was spent on whole days so far than on as many of the period before: 0.12 is 12% more.
    change: float | None = None


NO_EVIDENCE: Final = Deferred(Evidence)
#: The longest text of an error, in characters.
_LONGEST: Final = 300


class Children(NamedTuple):
    """The scopes right below one: their amounts and their spend together, in its unit, and what of its spend is left.

    `rest` is negative only where they are `overlapping`: some usage counts in several of them.
    """

    scopes: tuple[tuple[str, Scope], ...]
    amount: Decimal
    spent: Decimal
    rest: Decimal
    overlapping: bool = False


class Credit(NamedTuple):
    """What is left of a prepaid credit, and who says so: the source `by`, or "" for what was paid less what was spent.

    `ledger` is the latter where both are known.
    """

    left: Decimal
    by: str = ""
    ledger: Decimal | None = None
    #: Of the ledger: all that was paid in since `begin`.
    paid: Decimal | None = None
    begin: date | None = None


class NewValue(NamedTuple):
    """A value of a label that is in use since two days at most, after 30 days without, and what it cost since."""

    label: str
    value: str
    spent: Decimal


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """One budget, scope and period with its figures, in the unit of `amount`.

    `projection` is None where nothing can be said (no data, or a period that has ended). `burns` are by window.
    """

    budget: Budget
    scope: Scope
    period: Period
    amount: Amount
    spent: Decimal
    projection: Projection | None
    data_until: datetime | None
    complete_from: datetime | None
    stale_sources: tuple[str, ...] = ()
    unpriced: tuple[UnpricedUsage, ...] = ()
    assumed: tuple[str, ...] = ()
    burns: Mapping[timedelta, Burn] = field(default_factory=dict)
    matched: bool = True
    closed: bool = False
    #: Nothing was used for a week: what is to come is anybody's guess.
    idle: bool = True
    #: What is left of the prepaid credit that it draws on, in the unit of `amount`.
    balance: Decimal | None = None
    credit: Credit | None = None
    #: The local day so far, where a threshold asks whether it is unusual.
    today: Unusual | None = None
    #: What a window's spend (None: today's) is in the other unit of a minimum spend, where asked and known.
    worths: Mapping[tuple[timedelta | None, str], Decimal] = field(default_factory=dict)
    #: The most that an hour at this time of day cost in the last four weeks, where a burn rate hangs on it.
    dearest_hour: float | None = None
    #: The start of the first day on which it was used, as far as history reaches.
    used_since: datetime | None = None
    #: Worked out where it is shown: nothing is decided by it.
    evidence: Deferred[Evidence] = field(default=NO_EVIDENCE, compare=False)
    #: The newest data of any source; `data_until` are the oldest.
    seen_until: datetime | None = None
    #: Sources that lag behind, the latest first.
    late: tuple[LateSource, ...] = ()
    #: Whether none of its sources speaks for the present.
    silent: bool = False
    #: What silent sources may have seen since, at their highest hourly rate of the last seven days.
    unseen: Decimal = Decimal(0)
    #: One of `thresholds.STATUSES`, and the flags beside it.
    status: str = "unknown"
    flags: tuple[str, ...] = ()
    #: Budgets and scopes that run away now and may count some of the same usage.
    runaways: tuple[tuple[str, Scope], ...] = ()
    #: Why it could not be evaluated, or not projected; "" where it was.
    failed: str = ""
    #: What of `amount` was carried over from the period before (negative: taken off).
    carried: Decimal = Decimal(0)
    #: What is certain to be charged in its period; None where nothing is committed in its scope.
    certain: Certain | None = None
    #: What the keys of its alerts begin with: `budget/scope/first day`.
    name: str = field(kw_only=True)
    #: What its scope has of its own, by the budget's table.
    override: Override = AS_THE_BUDGET
    #: When a window is below its amount again if nothing more is used; None where it is below.
    frees_at: datetime | None = None
    #: When a window that use opened is full at the pace of the last half hour; None where it closes before.
    full_at: datetime | None = None
    #: How many further scopes of its budget no threshold can be crossed by, and are only counted.
    others: int = 0
    #: What is new in it, for the labels that its thresholds ask for.
    novel: tuple[NewValue, ...] = ()
    #: The budget and scope that it is a part of, and what it is the parent of (`hierarchy`).
    parent: tuple[str, Scope] | None = None
    children: Children | None = None

    @property
    def contributors(self) -> tuple[Contributor, ...]:
        """Who spent in the period, most first."""
        return self.evidence.value.contributors

    @property
    def contributor_count(self) -> int:
        """How many there are in all."""
        return self.evidence.value.contributor_count

    @property
    def pace(self) -> Decimal | None:
        """What was spent a day in the last seven whole days; None on the first day."""
        return self.evidence.value.pace

    @property
    def top_contributor(self) -> tuple[str, str] | None:
        """The label and value that spent most of late."""
        return self.evidence.value.top_contributor

    @property
    def daily(self) -> tuple[tuple[str, Decimal], ...]:
        """The spend of each local day of the period."""
        return self.evidence.value.daily

    @property
    def change(self) -> float | None:
        """Its whole days so far against as many of the period before: 0.12 is 12% more; None where not known."""
        return self.evidence.value.change

    @property
    def seen(self) -> bool:
        """Whether any of its sources has shown anything."""
        return self.seen_until is not None

    @property
    def certain_total(self) -> Decimal:
        """The least total of the period: spend plus commitments that nobody stops."""
        return self.spent if self.certain is None else self.spent + self.certain.ahead

    @staticmethod
    def name_of(budget: str, scope: Scope, period: Period) -> str:
        """`budget/scope/first day`: what the keys of its alerts begin with."""
        return status_name(budget, scope, _key_of(period))


@lru_cache(maxsize=1024)
def _key_of(period: Period) -> str:
    return period.key


def failure_text(error: Exception) -> str:
    """One line for people: an error's type and its text, shortened."""
    said = " ".join(str(error).split())[:_LONGEST]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


@dataclass(frozen=True, slots=True)
class EvaluationContext:
    """Everything but the usage that a status depends on."""

    now: datetime
    tariff: Tariff
    exchange: Exchange
    sources: Mapping[str, SourceView] = field(default_factory=dict)
    #: Amounts raised by hand, by `budget/scope/period`.
    raised: Mapping[str, Amount] = field(default_factory=dict)
    #: What is certain to be billed later, with the source that says so.
    commitments: Sequence[tuple[str, Committed]] = ()
    #: What is left of the prepaid credit of each source that shows it.
    balances: Mapping[str, Money] = field(default_factory=dict)
    #: What each source says of itself: who counts where several see the same traffic.
    standings: Mapping[str, SourceRole] = field(default_factory=dict)
    #: What the period before left, or took off, by `budget/scope/period`.
    carried: Mapping[str, Amount] = field(default_factory=dict)
    #: When the windows began that were open at the last evaluation, by the status's name.
    windows: Mapping[str, datetime] = field(default_factory=dict)
    #: What was entered by hand into the prepaid credit of a budget, by its name.
    top_ups: Mapping[str, tuple[TopUp, ...]] = field(default_factory=dict)

    def carried_to(self, name: str, unit: str) -> Decimal:
        """What of the amount in force was carried over; nothing where it was raised by hand."""
        carried = self.carried.get(name)
        return carried.value if carried is not None and carried.unit == unit and name not in self.raised else Decimal(0)

    def amount_of(self, budget: Budget, scope: Scope, period: Period, name: str) -> Amount:
        """The amount in force: raised by hand, or configured with what was carried over; `name` is the status's."""
        raised = self.raised.get(name)
        return raised or with_carried(configured_amount(budget, scope, period), self.carried.get(name))


@dataclass(frozen=True, slots=True)
class Alert:
    """What is announced: the keys under which it is announced once, its event, and who it is for.

    `audience` is all, people (what they get instead of a storm) or machines; `to` names notifiers instead of the route.
    """

    keys: tuple[str, ...]
    event: Event
    audience: str = "all"
    to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """What the configuration says of announcing: how often a digest comes, and when people sleep, in which zone."""

    digest: str = "off"
    quiet: QuietHours | None = None
    zone: tzinfo = UTC
    #: By which part of the bill an estimate may differ from it.
    drift: Decimal = Decimal("0.1")
    #: How often an evaluation is made.
    interval: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything an evaluation depends on. `announced` are the keys of earlier alerts; `state` what is remembered.

    `catching_up` names the sources still being read up to the present: what they feed is not evaluated meanwhile.
    """

    budgets: Sequence[Budget]
    ledger: Ledger
    context: EvaluationContext
    announced: Mapping[str, datetime] = field(default_factory=dict)
    state: State = field(default_factory=State)
    catching_up: frozenset[str] = frozenset()
    policy: Policy = Policy()
    #: Where prices are from; without it nothing is announced about them but that one is lacking.
    book: PriceBook | None = None
    #: Sources whose last try failed: nothing waits for them.
    failing: frozenset[str] = frozenset()
    #: What the evaluation before left (`renewal.Kept`); everything is worked out anew without.
    kept: KeptEvaluation | None = None


@dataclass(frozen=True, slots=True)
class Decisions:
    """What an evaluation came to: alerts to announce, records that changed, and all budget statuses."""

    alerts: tuple[Alert, ...]
    changes: Changes
    statuses: tuple[BudgetStatus, ...]
    #: What this evaluation leaves to the next.
    kept: KeptEvaluation | None = None
