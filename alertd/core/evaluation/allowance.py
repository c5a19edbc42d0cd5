"""Answer "may this be spent?": the budgets that cover the labels, and which of them refuses. Nothing is reserved.

labels -> the budgets that cover them -> what each allows, by status and ALLOWANCE -> the narrowest no, else the worst
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from alertd.core.budgets import Amount, Budget, Scope, Where
from alertd.core.evaluation.amounts import configured_amount
from alertd.core.evaluation.thresholds import STATUSES
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.messages.format import amount, chance, day, used_of
from alertd.core.messages.rich_text import clean
from alertd.core.periods import Period

_RISKY: Final = ("over", "runaway", "at_risk")


@dataclass(frozen=True, slots=True)
class BudgetAllowance:
    """What one budget answers. `refused` and `warned` are never both true; `left` is None where it is not known."""

    budget: Budget
    scope: Scope
    status: str
    amount: Amount
    spent: Decimal | None
    left: Decimal | None
    probability_over: float | None
    until: datetime
    data_until: datetime | None
    reason: str
    refused: bool = False
    warned: bool = False


@dataclass(frozen=True, slots=True)
class AllowanceDecision:
    """The answer to one question: what the deciding budget allows, and all that say no. None: no budget covers it.

    `unasked` are budgets that could not be considered, each with the labels that the question lacks.
    """

    deciding: BudgetAllowance | None
    against: Sequence[BudgetAllowance] = ()
    unasked: Sequence[tuple[str, tuple[str, ...]]] = ()

    @property
    def allow(self) -> bool:
        return self.deciding is None or not self.deciding.refused


class ScopeStatus(NamedTuple):
    """What the allowance goes by of one scope's status, small enough to be sent to another process.

    `certain` is whether what is committed takes it over its amount; `used` whether there was any usage or money.
    """

    scope: Scope
    period: Period
    amount: Amount
    spent: Decimal
    status: str
    probability_over: float | None
    frees_at: datetime | None
    data_until: datetime | None
    seen: bool
    used: bool
    failed: bool
    certain: bool

    @classmethod
    def of(cls, status: BudgetStatus) -> ScopeStatus:
        """The part of a status that the allowance goes by."""
        projection, limit = status.projection, status.amount.value
        return cls(
            status.scope,
            status.period,
            status.amount,
            status.spent,
            status.status,
            None if projection is None else projection.probability_over(float(limit)),
            status.frees_at,
            status.data_until,
            status.seen,
            bool(status.matched or status.spent),
            bool(status.failed),
            status.certain_total > limit,
        )


Key = tuple[str, Scope]


def newest_statuses(statuses: Iterable[BudgetStatus]) -> dict[Key, BudgetStatus]:
    """The status of each budget and scope in its newest period."""
    newest: dict[Key, BudgetStatus] = {}
    for status in statuses:
        known = newest.get((status.budget.name, status.scope))
        if known is None or known.period.start < status.period.start:
            newest[(status.budget.name, status.scope)] = status
    return newest


@dataclass(frozen=True, slots=True)
class AllowanceIndex:
    """The statuses of one evaluation by budget and scope, and the budgets as they are configured now.

    A status that was evaluated longer ago than `lasts` speaks for the present only where it is certain: what is over
    stays over until its period ends, unless somebody raises it.
    """

    budgets: Sequence[Budget]
    scopes: Mapping[Key, ScopeStatus] | Mapping[Key, BudgetStatus]
    evaluated_at: datetime | None
    lasts: timedelta
    _has_data: bool = field(init=False)
    #: Until when equal questions have equal answers; None before the first evaluation.
    holds_until: datetime | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_has_data", any(status.seen for status in self.scopes.values()))
        # Thousands of scopes share a few periods, and an aware time is slow to hash.
        ends = {id(status.period): status.period.end for status in self.scopes.values()}.values()
        at = self.evaluated_at
        object.__setattr__(self, "holds_until", None if at is None else min((at + self.lasts, *ends)))

    def answer(self, labels: Mapping[str, str], estimate: Amount | None, now: datetime) -> AllowanceDecision:
        """What the budgets say to spending by these labels; an empty value is usage without the label."""
        allowances: list[BudgetAllowance] = []
        unasked: list[tuple[str, tuple[str, ...]]] = []
        for budget in self.budgets:
            if not Where(tuple(one for one in budget.where.patterns if one[0] in labels)).matches(labels):
                continue
            lacking = tuple(sorted({*(name for name, _ in budget.where.patterns), *budget.per} - labels.keys()))
            if lacking:
                unasked.append((budget.name, lacking))
            elif budget.allowance.refuse_at != "never":
                scope = tuple((name, labels[name] or None) for name in budget.per)
                allowances.append(self._allowance_of(budget, scope, estimate, now))
        against = sorted((one for one in allowances if one.refused), key=_narrowest)
        decided = against[0] if against else min(allowances, key=_worst, default=None)
        return AllowanceDecision(decided, (*against, *(one for one in allowances if one.warned)), tuple(unasked))

    def _allowance_of(self, budget: Budget, scope: Scope, estimate: Amount | None, now: datetime) -> BudgetAllowance:
        found = self.scopes.get((budget.name, scope))
        known = ScopeStatus.of(found) if isinstance(found, BudgetStatus) else found
        if self.evaluated_at is None:
            return _unknown(budget, scope, known, now, "alertd has not evaluated it yet")
        if not self._has_data:
            return _unknown(budget, scope, known, now, "nothing was seen yet")
        if known is None or not known.used:
            return _unused(budget, scope, estimate, now)
        if _is_past(known, now):
            return _unknown(budget, scope, None, now, "a new period has begun and was not evaluated yet")
        limit, wanted = budget.allowance.limit(known.amount), _in_unit(estimate, known.amount.unit)
        no = not known.failed and (known.spent >= limit or known.spent + wanted > limit)
        if not no and (why := _doubt(known, is_old=now - self.evaluated_at > self.lasts)):
            return _unknown(budget, scope, known, now, why)
        risky = not no and budget.allowance.refuse_at == "at_risk" and known.status in _RISKY
        reason = _reason(budget, known, limit, wanted if no and known.spent < limit else Decimal(0))
        return _of(budget, known, reason, no=no or risky)


def _is_past(known: ScopeStatus, now: datetime) -> bool:
    """Whether the period has ended since, or a window that rolls has freed."""
    if known.period.rolls is None:
        return known.period.end <= now
    return known.frees_at is not None and known.frees_at <= now


def _in_unit(estimate: Amount | None, unit: str) -> Decimal:
    """The amount to be spent; 0 if it is in another unit, since nothing is converted here."""
    return estimate.value if estimate is not None and estimate.unit == unit else Decimal(0)


def _doubt(known: ScopeStatus, *, is_old: bool) -> str:
    """Why a status does not speak for the present; "" where it does."""
    if known.failed:
        return "it could not be evaluated"
    if is_old:
        return "its last evaluation is too old"
    if known.status == "unknown":
        return "its data are too old"
    return ""


def _of(budget: Budget, known: ScopeStatus, reason: str, *, no: bool) -> BudgetAllowance:
    limit = budget.allowance.limit(known.amount)
    return BudgetAllowance(
        budget,
        known.scope,
        known.status,
        known.amount,
        known.spent,
        max(limit - known.spent, Decimal(0)),
        known.probability_over,
        known.frees_at or known.period.end,
        known.data_until,
        reason,
        refused=no and not budget.allowance.warns,
        warned=no and budget.allowance.warns,
    )


def _unknown(budget: Budget, scope: Scope, known: ScopeStatus | None, now: datetime, why: str) -> BudgetAllowance:
    """The answer when the status is unknown: allowed, unless the budget's ALLOWANCE refuses it."""
    policy = budget.allowance
    end = known.period.end if known is not None else budget.period.containing(now).end
    amount_now = known.amount if known is not None else configured_amount(budget, scope, budget.period.containing(now))
    return BudgetAllowance(
        budget,
        scope,
        "unknown",
        amount_now,
        None if known is None or not known.seen else known.spent,
        None,
        None,
        end,
        None if known is None else known.data_until,
        f"{_name(budget, scope)} is unknown: {why}",
        refused=policy.refuse_unknown and not policy.warns,
        warned=policy.refuse_unknown and policy.warns,
    )


def _unused(budget: Budget, scope: Scope, estimate: Amount | None, now: datetime) -> BudgetAllowance:
    """A scope without usage in this period has its whole amount."""
    whole = configured_amount(budget, scope, budget.period.containing(now))
    limit, policy = budget.allowance.limit(whole), budget.allowance
    wanted = _in_unit(estimate, whole.unit)
    no = limit <= 0 or wanted > limit
    reason = f"{_name(budget, scope)} has used nothing of {amount(whole.value, whole.unit)}"
    return BudgetAllowance(
        budget,
        scope,
        "over" if no else "no_forecast",
        whole,
        Decimal(0),
        limit,
        None,
        budget.period.containing(now).end,
        None,
        f"{reason}; this needs {amount(wanted, whole.unit)}" if wanted > limit else reason,
        refused=no and not policy.warns,
        warned=no and policy.warns,
    )


def _reason(budget: Budget, known: ScopeStatus, limit: Decimal, wanted: Decimal) -> str:
    unit, name = known.amount.unit, _name(budget, known.scope)
    said = f"{name} has used {used_of(known.spent, known.amount.value, unit)}"
    if wanted:
        return f"{said}; this needs {amount(wanted, unit)}, {amount(limit - known.spent, unit)} are left"
    if known.status == "over":
        grace = f", within its grace up to {amount(limit, unit)}" if known.spent < limit else ""
        if known.period.rolls is not None and known.frees_at is not None:
            until = f"the window frees at {known.frees_at.astimezone(known.period.zone):%H:%M}"
        else:
            until = f"the budget resets on {day(known.period.end, known.period.zone)}"
        return f"{said}{grace}; {until}"
    if known.status == "runaway":
        return f"{said} and is running away"
    if known.status == "at_risk" and known.certain:
        return f"{said}; with what is committed it goes over"
    if known.status == "at_risk" and known.probability_over is not None:
        return f"{said}; the chance of going over is {chance(known.probability_over)}"
    return said


def _name(budget: Budget, scope: Scope) -> str:
    """`research`; `team a (teams)`; `usage without a team (teams)`."""
    if not scope:
        return budget.name
    parts = [f"{label} {value}" if value else f"usage without a {label}" for label, value in scope]
    return clean(f"{', '.join(parts)} ({budget.name})")


def _narrowest(one: BudgetAllowance) -> tuple[int, str]:
    budget = one.budget
    return -len({*(name for name, _ in budget.where.patterns), *budget.per}), budget.name


def _worst(one: BudgetAllowance) -> tuple[bool, int, Decimal, str]:
    """What orders answers of yes: a warning first, then the status, then the share that is left."""
    total = one.amount.value
    left = one.left / total if one.left is not None and total else Decimal(0)
    return not one.warned, STATUSES.index(one.status), left, one.budget.name
