"""Compare the estimate (tokens times price) with the bill on final days: drift, its likely cause, a correction.

    ledger and costs of all series -> per provider and scope the days both sides know -> causes by a table of checks

Spend is not changed: whether to apply the correction is the reader's decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, Literal

from alertd.core.billing.reconcile_figures import (
    AGREES,
    Cause,
    DailyFigures,
    Day,
    DuplicateSources,
    Reconciled,
    Scope,
    duplicate_sources,
    reports_of,
    sides_of,
)
from alertd.core.ledger.columns import Ledger
from alertd.core.pricing.costing import Costs
from alertd.core.pricing.source_roles import SourceRole, counting

#: Ratios of days that differ by less than this are one price.
_STEADY: Final = Decimal("0.03")
_LEAST_DAYS: Final = 3
_NAMED: Final = 4


def _unpriced(_whole: Reconciled, table: DailyFigures, _: Sequence[DuplicateSources]) -> Iterator[Cause]:
    if unpriced := table.unpriced():
        named = ", ".join(f"{model} ({quantity:,})" for model, quantity in list(unpriced.items())[:_NAMED])
        yield Cause("unpriced", f"has no price, so the estimate lacks it: {named}")


def _no_rate(_whole: Reconciled, table: DailyFigures, _: Sequence[DuplicateSources]) -> Iterator[Cause]:
    yield from (Cause("no_rate", reason) for reason in table.no_rates())


def _counted_twice(whole: Reconciled, table: DailyFigures, pairs: Sequence[DuplicateSources]) -> Iterator[Cause]:
    for pair in pairs:
        if whole.estimated > whole.billed and {pair.one, pair.other} <= table.usage_sources:
            yield Cause(
                "counted_twice", f"{pair.one} and {pair.other} count the same traffic: {pair.days} similar days"
            )


def _not_seen(whole: Reconciled, table: DailyFigures, _: Sequence[DuplicateSources]) -> Iterator[Cause]:
    unseen = {model: cost for model, cost in table.unseen().items() if cost > AGREES * whole.billed}
    if unseen:
        named = ", ".join(f"{model} ({cost:.2f} {whole.unit})" for model, cost in list(unseen.items())[:_NAMED])
        yield Cause("not_seen", f"{whole.verb}, and no usage of it was seen: {named}")
    blank = [day for day in whole.days if day.billed > 0 and not day.estimated]
    if not unseen and blank and sum(day.billed for day in blank) > AGREES * whole.billed and not table.unpriced():
        yield Cause("not_seen", f"{len(blank)} {whole.verb} days without any usage, the first {blank[0].day}")


def _price(whole: Reconciled, table: DailyFigures, _: Sequence[DuplicateSources]) -> Iterator[Cause]:
    """A price that changed on a day or was always different; by model if both sides report models."""
    for model in table.models() or [""]:
        days = table.days(model) if model else whole.days
        name = model or "the price"
        if (moved := step(days)) is not None:
            day, before, after = moved
            yield Cause(
                "price_changed", f"{name}: {whole.verb} {_times(before)} the estimate, from {day} on {_times(after)}"
            )
        elif (steady := _steady(days)) is not None and abs(steady - 1) > AGREES:
            yield Cause("price_differs", f"{name}: {whole.verb} {_times(steady)} the estimate on every day")


CHECKS: Final[tuple[Callable[[Reconciled, DailyFigures, Sequence[DuplicateSources]], Iterator[Cause]], ...]] = (
    _unpriced,
    _no_rate,
    _counted_twice,
    _not_seen,
    _price,
)


def step(days: Sequence[Day]) -> tuple[date, Decimal, Decimal] | None:
    """The day on which the ratio of bill to estimate moved from one steady level to another."""
    known = [(day.day, day.ratio) for day in days if day.ratio is not None]
    ratios = [ratio for _, ratio in known if ratio is not None]
    found: list[tuple[Decimal, int, Decimal, Decimal]] = []
    for place in range(_LEAST_DAYS, len(known) - _LEAST_DAYS + 1):
        before, after = _level(ratios[:place]), _level(ratios[place:])
        if before is not None and after is not None and abs(after / before - 1) > _STEADY:
            found.append((abs(after - before), place, before, after))
    if not found:
        return None
    _, place, before, after = max(found)
    return known[place][0], before, after


def _steady(days: Sequence[Day]) -> Decimal | None:
    """The ratio of bill to estimate if it is about the same on all days and there are enough of them; else None."""
    ratios = [day.ratio for day in days if day.ratio is not None]
    return _level(ratios) if len(ratios) >= _LEAST_DAYS else None


def _level(ratios: Sequence[Decimal]) -> Decimal | None:
    """The middle of ratios that lie close together; None where they do not."""
    middle = sorted(ratios)[len(ratios) // 2]
    return middle if all(abs(ratio / middle - 1) <= _STEADY for ratio in ratios) else None


def _times(ratio: Decimal) -> str:
    return f"{ratio:.2f} times"


#: The number of newest days for a correction.
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
        _reconciled(provider, scope, DailyFigures(ledger, costs, side, final_until), pairs)
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
        _reconciled(provider, scope, DailyFigures(ledger, costs, side, final_until), (), "report")
        for (provider, scope, _), side in reports_of(ledger, final_until, by, counted).items()
        if side.usage and side.bills
    ]
    return tuple(sorted(found, key=lambda one: -abs(one.estimated - one.billed)))


def _reconciled(
    provider: str,
    scope: Scope,
    table: DailyFigures,
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
