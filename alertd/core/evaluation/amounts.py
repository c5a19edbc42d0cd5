"""The amount of a budget's scope in a period: its own, or the budget's on that day, plus what was carried over."""

from __future__ import annotations

from datetime import datetime, time
from decimal import Decimal
from typing import Final

from alertd.core.budgets import Amount, Budget, Override, Scope, credit_on
from alertd.core.evaluation.state import CARRIED, WINDOW_OPENED, State
from alertd.core.periods import Period

#: A scope that has nothing of its own.
AS_THE_BUDGET: Final = Override()


def override_of(budget: Budget, scope: Scope) -> Override:
    """What a scope has of its own, by its budget's table."""
    if not (scope and budget.table):
        return AS_THE_BUDGET
    return budget.table.get(tuple(value or "" for _, value in scope), AS_THE_BUDGET)


def configured_amount(budget: Budget, scope: Scope, period: Period) -> Amount:
    """The amount of a scope by the configuration: of its own, or the one that holds from the period's first day on."""
    own = override_of(budget, scope).amount
    return own or budget.amount_on(period.start.astimezone(period.zone).date())


def credit_start(budget: Budget, now: datetime) -> datetime | None:
    """The instant from which spend counts against a budget's prepaid credit; None without one."""
    zone = budget.period.zone
    known = credit_on(budget.credit, now.astimezone(zone).date()) if budget.credit else None
    return None if known is None else datetime.combine(known[0], time(), zone)


def carried_amounts(state: State) -> dict[str, Amount]:
    """What earlier periods left to later ones, by the status's name."""
    return {name: Amount(carried.amount, carried.unit) for name, carried in CARRIED.items(state)}


def opened_windows(state: State) -> dict[str, datetime]:
    """When the windows began that are open as far as is known, by the status's name."""
    return dict(WINDOW_OPENED.items(state))


def with_carried(amount: Amount, carried: Amount | None) -> Amount:
    """An amount with what was carried over in its unit; never below nothing."""
    if carried is None or carried.unit != amount.unit or not carried.value:
        return amount
    return Amount(max(Decimal(0), amount.value + carried.value), amount.unit)
