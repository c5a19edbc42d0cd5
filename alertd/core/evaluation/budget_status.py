"""From the ledger to positions: what each budget scope spent and how it may end. Decides nothing.

Scopes of one zone, unit and period lie side by side in a sheet, so that a tick's work is a few passes over columns;
contributors are worked out where something is announced.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from alertd.core.budgets import Budget, Scope, scope_text
from alertd.core.evaluation.forecast_inputs import committed_scopes
from alertd.core.evaluation.ledger_costs import LedgerCosts
from alertd.core.evaluation.scope_columns import scopes_without
from alertd.core.evaluation.scope_status import Asked, PeriodScopes
from alertd.core.evaluation.values import (
    BudgetStatus,
    failure_text,
    override_of,
)
from alertd.core.periods import Period


class StatusEvaluator(LedgerCosts):
    """The budget statuses of one ledger: what budgets have in common is worked out once."""

    def positions(self, budget: Budget, at: datetime | None = None) -> list[BudgetStatus]:
        """The positions of a budget's scopes in the period that contains `at` (now, where absent), by scope."""
        return self.all_positions([(budget, at)])

    def all_positions(self, asked: Iterable[tuple[Budget, datetime | None]]) -> list[BudgetStatus]:
        """The same of several budgets, one after the other."""
        sheets: dict[tuple[str, str, Period], list[Asked]] = {}
        count = 0
        for budget, at in asked:
            period = budget.period.containing(at or self.context.now)
            wanted = sheets.setdefault((str(period.zone), budget.amount.unit, period), [])
            members_of = scopes_without(budget, self.ledger, self.left_out(budget.amount.unit))
            if self.context.commitments and (new := committed_scopes(self.context, budget) - members_of.keys()):
                members_of = {scope: members_of.get(scope, ()) for scope in sorted({*members_of, *new}, key=scope_text)}
            for scope, members in members_of.items():
                wanted.append(Asked(count, budget, scope, members))
                count += 1
        found: dict[int, BudgetStatus] = {}
        for (_, unit, period), wanted in sheets.items():
            found.update(self._looked(unit, period, wanted))
        return _beside_runaways([found[place] for place in range(count)])

    def _looked(self, unit: str, period: Period, asked: Sequence[Asked]) -> dict[int, BudgetStatus]:
        """The positions of one period, by place. One that cannot be worked out says so; the others are not touched."""
        try:
            return dict(PeriodScopes(self, self.costs(period.zone, unit), period, asked).positions())
        except Exception as error:  # noqa: BLE001 - one budget cannot take down another
            if len(asked) == 1:
                return {asked[0].place: self._failed(unit, period, asked[0], failure_text(error))}
        half = len(asked) // 2
        return self._looked(unit, period, asked[:half]) | self._looked(unit, period, asked[half:])

    def _failed(self, unit: str, period: Period, asked: Asked, failed: str) -> BudgetStatus:
        """A position without its projection; without any figure where those fail, too."""
        try:
            look = PeriodScopes(self, self.costs(period.zone, unit), period, [asked])
            return replace(look.unprojected()[0], failed=failed)
        except Exception:  # noqa: BLE001 - the first error is the one to report
            budget = asked.budget
            named = BudgetStatus.name_of(budget.name, asked.scope, period)
            amount = self.context.raised.get(named) or override_of(budget, asked.scope).amount or budget.amount
            return BudgetStatus(
                budget, asked.scope, period, amount, Decimal(0), None, None, None, failed=failed, matched=False
            )


def _beside_runaways(found: list[BudgetStatus]) -> list[BudgetStatus]:
    """The same, each with the others that run away now and may count some of the same usage."""
    running = [one for one in found if "runaway" in one.flags]
    if not running:
        return found
    return [
        replace(one, runaways=tuple((other.budget.name, other.scope) for other in running
                                    if other is not one and _may_share_usage(one.scope, other.scope)))
        for one in found
    ]  # fmt: skip


def _may_share_usage(one: Scope, other: Scope) -> bool:
    """Whether no label distinguishes two scopes."""
    known = dict(other)
    return all(known.get(label, value) == value for label, value in one)
