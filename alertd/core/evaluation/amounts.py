"""The amount of a budget's scope in a period: its own, or the budget's on that day, plus what was carried over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time
from decimal import Decimal
from typing import Final

from alertd.core.budgets import Amount, Budget, CreditEntry, Override, Scope, credit_on
from alertd.core.evaluation.state import CARRIED, TOP_UPS, WINDOW_OPENED, State, TopUp
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


def top_ups(state: State) -> dict[str, tuple[TopUp, ...]]:
    """What was entered by hand into each budget's credit, in the order in which it was entered."""
    found: dict[str, list[TopUp]] = {}
    for _, one in TOP_UPS.items(state):
        found.setdefault(one.budget, []).append(one)
    return {name: tuple(sorted(some, key=lambda one: one.at)) for name, some in found.items()}


def credit_of(budget: Budget, entered: Mapping[str, Sequence[TopUp]]) -> tuple[CreditEntry, ...]:
    """A budget's credit by the configuration and by hand; of several `left` of a day the one entered last counts."""
    added = [one for one in entered.get(budget.name, ()) if one.unit == budget.amount.unit]
    if not (budget.credit and added):
        return budget.credit
    left = {one.day: CreditEntry(one.day, one.amount, sets=True) for one in added if one.left}
    paid = [CreditEntry(one.day, one.amount) for one in added if not one.left]
    configured = [one for one in budget.credit if not (one.sets and one.day in left)]
    return tuple(sorted((*configured, *paid, *left.values()), key=lambda one: one.day))


def opened_windows(state: State) -> dict[str, datetime]:
    """When the windows began that are open as far as is known, by the status's name."""
    return dict(WINDOW_OPENED.items(state))


def with_carried(amount: Amount, carried: Amount | None) -> Amount:
    """An amount with what was carried over in its unit; never below nothing."""
    if carried is None or carried.unit != amount.unit or not carried.value:
        return amount
    return Amount(max(Decimal(0), amount.value + carried.value), amount.unit)
