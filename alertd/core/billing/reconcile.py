"""The estimate (tokens times price) beside the bill, for days that are final: drift, its likely cause, a correction.

    ledger and costs of all series -> per provider and scope the days both sides know -> causes by a table of checks

Nothing here is added up into spend, and no figure is changed: what a factor corrects is for the reader to decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, Literal

from alertd.core.billing.causes import CHECKS, step
from alertd.core.billing.duplicate_sources import DuplicateSources, duplicate_sources
from alertd.core.billing.reconciled import Cause, Reconciled, Scope
from alertd.core.billing.sides import Table, reports_of, sides_of
from alertd.core.ledger.columns import Ledger
from alertd.core.pricing.costing import Costs
from alertd.core.pricing.source_roles import SourceRole, counting

#: A correction is worked out over so many of the newest days.
_NEWEST: Final = 7
_FACTOR: Final = Decimal("0.0001")


def reconcile(
    ledger: Ledger,
    costs: Costs,
    final_until: Mapping[str, date],
    *,
    by: Sequence[str] = (),
    standings: Mapping[str, SourceRole] | None = None,
) -> tuple[Reconciled, ...]:
    """Every provider that has both usage and a bill, by the labels in `by`, over the days before `final_until`.

    `costs` hold all series (counted or not) in one currency. `final_until` is, by source, the first day that may still
    change; a source that is not in it is not compared. The largest difference comes first.
    """
    pairs = duplicate_sources(ledger, costs, standings or {})
    found = [
        _reconciled(provider, scope, Table(ledger, costs, side, final_until), pairs)
        for (provider, scope), side in sides_of(ledger, final_until, by).items()
        if side.usage and side.bills
    ]
    return tuple(sorted(found, key=lambda one: -abs(one.estimated - one.billed)))


def compare_reports(
    ledger: Ledger,
    costs: Costs,
    final_until: Mapping[str, date],
    *,
    by: Sequence[str] = (),
    standings: Mapping[str, SourceRole] | None = None,
) -> tuple[Reconciled, ...]:
    """The same beside what gateways and agents report as their own estimate: it corrects no figure."""
    counted = counting(ledger.series, standings or {})
    found = [
        _reconciled(provider, scope, Table(ledger, costs, side, final_until), (), "report")
        for (provider, scope, _), side in reports_of(ledger, final_until, by, counted).items()
        if side.usage and side.bills
    ]
    return tuple(sorted(found, key=lambda one: -abs(one.estimated - one.billed)))


def _reconciled(
    provider: str,
    scope: Scope,
    table: Table,
    pairs: Sequence[DuplicateSources],
    against: Literal["bill", "report"] = "bill",
) -> Reconciled:
    days = table.days()
    whole = Reconciled(provider, scope, table.costs.unit, days, (), None, against=against)
    causes = tuple(cause for check in CHECKS for cause in check(whole, table, pairs))
    if not causes:
        agree = Cause("agrees", f"estimate and {against} agree")
        causes = (Cause("unclear", "no single cause shows") if whole.drifts() else agree,)
    used_by, billed_by = tuple(sorted(table.usage_sources)), tuple(sorted(table.bill_sources))
    factor = _factor(whole) if against == "bill" else None
    return replace(whole, causes=causes, factor=factor, used_by=used_by, billed_by=billed_by)


def _factor(whole: Reconciled) -> Decimal | None:
    """What the newest days were billed for one unit of the estimate; 1 where both sides agree."""
    if not whole.drifts():
        return Decimal(1)
    if (moved := step(whole.days)) is not None:
        return moved[2].quantize(_FACTOR, ROUND_HALF_EVEN)
    newest = [day for day in whole.days if day.estimated or day.billed][-_NEWEST:]
    estimated = sum((day.estimated for day in newest), Decimal(0))
    if not estimated:
        return None
    factor = sum((day.billed for day in newest), Decimal(0)) / estimated
    return factor.quantize(_FACTOR, ROUND_HALF_EVEN)
