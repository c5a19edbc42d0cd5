"""Events as values: everything that one alert states, before it is worded for a channel.

`Event` holds what every kind may have; `Event.details` is a tagged union with one class for each thing that is said.
What does not apply is None or empty: the message then leaves the sentence out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from alertd.core.budgets import Scope

#: The kinds of the public webhook contract.
KINDS: Final = ("threshold", "recovered", "source_stale", "unpriced", "unmatched", "summary", "action", "test")


@dataclass(frozen=True, slots=True)
class Contributor:
    """A part of the spend: who or what (`key ci`, `model gpt-5`), how much in the period, and how its pace changed.

    `pace_before` and `pace_now` are money (or tokens) a day; None where there is no earlier time to compare with.
    """

    label: str
    value: str
    spent: Decimal
    pace_now: Decimal | None = None
    pace_before: Decimal | None = None
    #: How many times more tokens a day than before; the price stayed where this equals the change of pace.
    volume_change: float | None = None


@dataclass(frozen=True, slots=True)
class UnpricedUsage:
    """Usage that no price list knows, or a cost without a rate of exchange: it counts in no figure.

    `rate`: the rate that is missing (`USD to EUR`). `cost` is in the first of its currencies, where money was billed.
    """

    provider: str
    model: str
    meter: str
    quantity: int
    reason: str
    nearest: str = ""
    rate: str = ""
    cost: Decimal | None = None


class BudgetScope(msgspec.Struct, frozen=True):
    """One scope of a budget."""

    budget: str
    scope: Scope = ()


class CreditLeft(msgspec.Struct, frozen=True):
    """What is left of a prepaid credit, when it is used up (from `low` to `high`), and the source that says so.

    `ledger` is what was paid less what was spent, where a source (`by`) says what is left.
    """

    left: Decimal
    low: datetime | None = None
    likely: datetime | None = None
    high: datetime | None = None
    by: str = ""
    ledger: Decimal | None = None


class ParentReached(msgspec.Struct, frozen=True):
    """A budget that reaches a threshold because a part of it does."""

    budget: str
    scope: Scope
    spent: Decimal
    amount: Decimal
    currency: str
    owner: str = ""


class CommittedItem(msgspec.Struct, frozen=True):
    """Money that is charged whatever is used: what is still `ahead` in the period, at `cost` per `per`."""

    what: str
    ahead: Decimal
    cost: Decimal
    per: str = ""
    until: datetime | None = None


class CommittedMoney(msgspec.Struct, frozen=True):
    """What is certain to be charged if nobody stops it. `total` includes what is spent.

    `unconverted` names what is committed in a currency without a rate: it is in no figure.
    """

    total: Decimal
    ahead: Decimal
    items: tuple[CommittedItem, ...] = ()
    exhausted_at: datetime | None = None
    unconverted: tuple[str, ...] = ()


class TopContributor(msgspec.Struct, frozen=True):
    """Who spent most of a window: how much, and which share of it (0 to 1)."""

    label: str
    value: str
    spent: Decimal | None = None
    share: float = 0.0


class OpenAlert(msgspec.Struct, frozen=True):
    """An alert that is not over. `state` is that of its lifecycle, since `at`; `until` ends a snooze."""

    id: str
    threshold: str
    severity: str
    state: str
    by: str
    at: datetime
    until: datetime | None = None


class OpenAction(msgspec.Struct, frozen=True):
    """An action that is not over: `awaiting` an answer until `expires`, or under way."""

    what: str
    handle: str
    target: str = ""
    state: str = "awaiting"
    reversible: bool = False
    expires: datetime | None = None
    id: str = ""


class NearestBudget(msgspec.Struct, frozen=True):
    """The budget nearest to its limit among those that a source feeds."""

    budget: str
    scope: Scope
    spent: Decimal
    amount: Decimal
    currency: str


class PricedModel(msgspec.Struct, frozen=True):
    """A model that has a price now, and what it came to in the budgets' periods, by currency."""

    provider: str
    model: str
    spent: dict[str, Decimal]


def _tag(name: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")


class Details(msgspec.Struct, frozen=True, omit_defaults=True, tag=_tag):
    """Fields that only some kinds of events have."""


class ForecastReached(Details, frozen=True):
    """A forecast threshold; `certain`: what is spent and committed alone goes over it."""

    certain: bool = False


class BurnRateReached(Details, frozen=True):
    """A runaway. `window` ("1h") and its spend, what is usual in it, `factor`: multiple of the budgeted rate."""

    window: str = ""
    window_spent: Decimal | None = None
    window_usual: Decimal | None = None
    factor: float | None = None
    #: The shortest window, at whose rate the rest of the budget is used up.
    rate_window: str = ""
    rising: bool | None = None
    readings: tuple[datetime, ...] = ()
    top_contributor: TopContributor | None = None
    #: What most of the window's spend was made of; requests in it, and what is usual.
    main: TopContributor | None = None
    requests: int | None = None
    requests_usual: int | None = None
    proposed: OpenAction | None = None


class AnomalyReached(Details, frozen=True):
    """A day unlike those before: the day so far, and what is usual by this hour."""

    window: str = ""
    window_spent: Decimal | None = None
    usual_low: Decimal | None = None
    usual_high: Decimal | None = None
    top_contributor: TopContributor | None = None


class BalanceReached(Details, frozen=True):
    """A prepaid credit that runs low: what is left (the event's amount is the level of the threshold)."""

    balance: Decimal | None = None


class NovelUsed(Details, frozen=True):
    """A value of a label that nobody used before, and what it cost since."""

    label: str = ""
    value: str = ""
    spent: Decimal | None = None


class SourceStale(Details, frozen=True):
    """A source that shows nothing: how many budgets are unknown, and the one nearest to its limit."""

    error: str = ""
    retry_every: str = ""
    budgets: int | None = None
    nearest: NearestBudget | None = None
    actions_paused: bool = True


class SourceReturned(Details, frozen=True):
    """A source that is seen again: what it saw meanwhile, by currency."""

    missed: dict[str, Decimal] = {}


class ConfigurationRefused(Details, frozen=True):
    """A configuration that was refused; without faults: it is in force again."""

    faults: tuple[str, ...] = ()


class DatabaseReplaced(Details, frozen=True):
    """A database that was made anew: what was wrong, where the old file lies, what is lost, whether usage was kept."""

    fault: str = ""
    aside: str = ""
    lost: tuple[str, ...] = ()
    ledger: bool = True
    #: Another file took its place: it is used as it is.
    replaced: bool = False


class SecondDaemon(Details, frozen=True):
    """Two daemons on one SQLite file, or one again."""


class NotEvaluated(Details, frozen=True):
    """A budget (or everything) that cannot be evaluated: the error, "" once it can; how many of its scopes fail."""

    failed: str = ""
    everything: bool = False
    failed_scopes: int | None = None
    scopes: int | None = None


class ModelsUnpriced(Details, frozen=True):
    """Models without a price: their share of all tokens (0 to 1), and blocks to paste into a file of prices."""

    share: float | None = None
    blocks: tuple[str, ...] = ()


class BudgetUnmatched(Details, frozen=True):
    """A budget that matches nothing: what it wants, the label and value most like it, values that are known."""

    wanted: dict[str, str] = {}
    nearest: tuple[str, str] | None = None
    known: tuple[str, ...] = ()


class SpendUncovered(Details, frozen=True):
    """Spend that no budget covers, by currency, and what most of it is."""

    uncovered: dict[str, Decimal] = {}
    most: tuple[Contributor, ...] = ()


class FirstStart(Details, frozen=True):
    """A budget that is seen for the first time: the thresholds that were crossed before."""

    crossed: tuple[str, ...] = ()


class PeriodClosed(Details, frozen=True):
    """A period that closed: how many alerts it had, what the period before came to, and what was projected when.

    `projections` holds by day of the period the low, likely and high total.
    """

    alerts: int | None = None
    previous: Decimal | None = None
    projections: dict[str, tuple[float, float, float]] = {}
    #: What goes into the next period's amount, or (negative) is taken off it; None where nothing ever is.
    carried_over: Decimal | None = None
    #: Why nothing is carried over.
    carries_nothing: str = ""


class Digest(Details, frozen=True):
    """One budget in a digest, and how many alerts it had since the last one."""

    alerts: int | None = None


class Live(Details, frozen=True):
    """What the message shows that is updated through a period."""

    open_alerts: tuple[OpenAlert, ...] = ()
    open_actions: tuple[OpenAction, ...] = ()


class Drift(Details, frozen=True):
    """An estimate that differs from a bill (or a report): the days compared, the sums, and probable causes."""

    provider: str = ""
    against: str = "bill"
    estimated: Decimal | None = None
    billed: Decimal | None = None
    drift: Decimal | None = None
    #: What one unit of the estimate came to.
    correction: Decimal | None = None
    first: str = ""
    last: str = ""
    causes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


class DuplicateSourcesFound(Details, frozen=True):
    """Two sources that look like one, and why."""

    sources: tuple[str, ...] = ()
    said: str = ""


class ModelsPriced(Details, frozen=True):
    """Models that had no price and have one now."""

    models: tuple[PricedModel, ...] = ()


class PricesDiffer(Details, frozen=True):
    """Price lists that disagree: about which models, and how, one sentence each."""

    models: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


class ActionStep(Details, frozen=True):
    """A step of an action.

    `state`: proposed | approved | refused | executed | verified | failed | expired | restored | rehearsed (dry run) |
    held (by a guard) | drifted | not_effective | not_restored | disowned.
    `restore` is the command that undoes it, `impact` what stops with it, `provider` what its provider shows of the key.
    """

    action: str = ""
    state: str = ""
    what: str = ""
    target: str = ""
    reversible: bool | None = None
    expires: datetime | None = None
    by: str = ""
    error: str = ""
    restore: str = ""
    impact: str = ""
    provider: dict[str, str] = {}


class NotifierTest(Details, frozen=True):
    """A test: the name of the notifier."""

    notifier: str = ""


AnyDetails = (
    ForecastReached | BurnRateReached | AnomalyReached | BalanceReached | NovelUsed | SourceStale | SourceReturned
    | ConfigurationRefused | DatabaseReplaced | SecondDaemon | NotEvaluated | ModelsUnpriced | BudgetUnmatched
    | SpendUncovered | FirstStart | PeriodClosed | Digest | Live | Drift | DuplicateSourcesFound | ModelsPriced
    | PricesDiffer | ActionStep | NotifierTest
)  # fmt: skip
AnyOf = TypeVar("AnyOf", bound=Details)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing to be said about one budget, scope and period (or about a source), complete with its evidence.

    Amounts are in `currency` ("tokens" for a budget of tokens). `projected` holds the quantiles 0.1, 0.5, 0.9 of the
    period's total. Instants are aware. Fields that do not apply are None or empty: absent, never zero.
    """

    id: str
    kind: str
    severity: str
    at: datetime
    budget: str = ""
    scope: Scope = ()
    period_start: datetime | None = None
    period_end: datetime | None = None
    zone: str = "UTC"
    basis: str = ""
    level: Decimal | None = None
    levels: tuple[Decimal, ...] = ()
    threshold: str = ""
    #: The budget's status and its flags (`core/evaluation/thresholds.py`); "" for an event of no budget.
    status: str = ""
    flags: tuple[str, ...] = ()
    amount: Decimal | None = None
    currency: str = ""
    spent: Decimal | None = None
    projected: Mapping[str, Decimal] = field(default_factory=dict)
    probability_over: float | None = None
    exhausted_low: datetime | None = None
    exhausted_at: datetime | None = None
    exhausted_high: datetime | None = None
    #: Money (tokens) a day: of the last seven days, and what would just stay within the budget.
    pace: Decimal | None = None
    pace_allowed: Decimal | None = None
    contributors: tuple[Contributor, ...] = ()
    contributor_count: int = 0
    #: What was spent on each local day of the period so far, for the chart; None: no chart.
    daily: tuple[tuple[str, Decimal], ...] | None = None
    #: The oldest and the newest data of any source, and the sources that lag behind with their own newest data.
    data_until: datetime | None = None
    seen_until: datetime | None = None
    late: tuple[tuple[str, datetime], ...] = ()
    #: Figures are complete from here; None where they are complete from the period's start.
    complete_from: datetime | None = None
    unpriced: tuple[UnpricedUsage, ...] = ()
    assumed_prices: tuple[str, ...] = ()
    committed: CommittedMoney | None = None
    credit: CreditLeft | None = None
    #: Budgets that run away now and may count some of the same usage.
    runaways: tuple[BudgetScope, ...] = ()
    #: The lowest scopes without whose excess it would not be crossed, and those whose own alert announces it, too.
    explained_by: tuple[BudgetScope, ...] = ()
    announced_by: tuple[BudgetScope, ...] = ()
    #: Parents that reach their thresholds because of it.
    also: tuple[ParentReached, ...] = ()
    #: Whether no action is configured for the budget.
    unguarded: bool = False
    owner: str = ""
    runbook_url: str = ""
    channel: str = ""
    details_url: str = ""
    #: The page on which people answer it: acknowledge an alert, approve an action; "" where nobody can.
    answer_url: str = ""
    #: The signed address of its picture; "" without one.
    picture_url: str = ""
    #: What people type to acknowledge it.
    handle: str = ""
    #: The source that it is about; "" for what is of a budget.
    source: str = ""
    #: Since when it has lasted; once it is over also until when, and with which severity it was announced.
    since: datetime | None = None
    until: datetime | None = None
    fired: str = ""
    #: Why it is announced again: "reminder" | "escalation" | "snooze over" | "unexplained" (no part of it explains it
    #: any more); and when it was announced first.
    repeat: str = ""
    first_announced_at: datetime | None = None
    #: "down" (alertd was not running when it was crossed) | "correction" (late data), and since when.
    found_late: str = ""
    found_late_since: datetime | None = None
    #: The recipients, where they are not the notifier's own; what its commands end with (`--env-file /etc/a.env`).
    to: str = ""
    command_options: str = ""
    #: One sentence: why this was said now.
    reason: str = ""
    details: AnyDetails | None = None
    #: The length of a window that rolls, and when it is below its amount again; None for periods.
    window: timedelta | None = None
    frees_at: datetime | None = None
    #: Whether first use opened the window: it frees when it closes.
    anchored: bool = False

    @property
    def summary(self) -> str:
        """Which summary it is: `first_start`, `period_closed`, `digest`, `live`, ...; "" for other kinds."""
        return str(self.details.__struct_config__.tag) if self.kind == "summary" and self.details is not None else ""

    def to_json(self) -> dict[str, object]:
        """Plain JSON values, for the outbox; `from_json` gives the same event back."""
        found: dict[str, object] = msgspec.to_builtins(self, str_keys=True)
        return found

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Event:
        """The event that `to_json` wrote. What only a newer version knows is left out: a roll-back still sends."""
        try:
            return msgspec.convert(data, cls, strict=False)
        except msgspec.ValidationError:
            return msgspec.convert({**data, "details": None}, cls, strict=False)

    def contract(self) -> dict[str, object]:
        """The body of the public webhook contract, version 1."""
        return {
            "version": 1,
            "id": self.id,
            "event": self.kind,
            "severity": self.severity,
            "budget": self.budget,
            "scope": dict(self.scope),
            "period": {"start": _instant(self.period_start), "end": _instant(self.period_end)},
            "status": self.status or None,
            "flags": list(self.flags),
            "basis": self.basis,
            "level": None if self.level is None else _number(self.level),
            "levels": [_number(level) for level in self.levels],
            "amount": _figure(self.amount),
            "currency": self.currency,
            "spent": _figure(self.spent),
            "projected": {name: _figure(value) for name, value in self.projected.items()},
            "exhausted_at": _instant(self.exhausted_at),
            "data_until": _instant(self.data_until),
            "unpriced": [msgspec.to_builtins(item) for item in self.unpriced],
            "reason": self.reason,
        }


def details_of(event: Event, kind: type[AnyOf]) -> AnyOf:
    """The event's details where they are of this kind, else such details without anything in them."""
    return event.details if isinstance(event.details, kind) else kind()


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _figure(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def _instant(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat().replace("+00:00", "Z")


def with_command_options(event: Event, options: str) -> Event:
    """The event with what the commands in its message end with (`--env-file /etc/a.env`): they work as printed."""
    return replace(event, command_options=options) if options else event
