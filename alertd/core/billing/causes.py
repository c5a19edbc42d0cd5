"""Why an estimate and its bill differ, as a table of checks: each looks for one cause. None corrects a figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Final

from alertd.core.billing.duplicate_sources import DuplicateSources
from alertd.core.billing.reconciled import AGREES, Cause, Day, Reconciled
from alertd.core.billing.sides import Table

#: Ratios of days that differ by less than this are one price.
_STEADY: Final = Decimal("0.03")
_LEAST_DAYS: Final = 3
_NAMED: Final = 4


def _unpriced(_whole: Reconciled, table: Table, _: Sequence[DuplicateSources]) -> Iterator[Cause]:
    if unpriced := table.unpriced():
        named = ", ".join(f"{model} ({quantity:,})" for model, quantity in list(unpriced.items())[:_NAMED])
        yield Cause("unpriced", f"has no price, so the estimate lacks it: {named}")


def _no_rate(_whole: Reconciled, table: Table, _: Sequence[DuplicateSources]) -> Iterator[Cause]:
    yield from (Cause("no_rate", reason) for reason in table.no_rates())


def _counted_twice(whole: Reconciled, table: Table, pairs: Sequence[DuplicateSources]) -> Iterator[Cause]:
    for pair in pairs:
        if whole.estimated > whole.billed and {pair.one, pair.other} <= table.usage_sources:
            yield Cause("counted_twice", f"{pair.one} and {pair.other} count the same traffic: {pair.days} days alike")


def _not_seen(whole: Reconciled, table: Table, _: Sequence[DuplicateSources]) -> Iterator[Cause]:
    unseen = {model: cost for model, cost in table.unseen().items() if cost > AGREES * whole.billed}
    if unseen:
        named = ", ".join(f"{model} ({cost:.2f} {whole.unit})" for model, cost in list(unseen.items())[:_NAMED])
        yield Cause("not_seen", f"{whole.verb}, and no usage of it was seen: {named}")
    blank = [day for day in whole.days if day.billed > 0 and not day.estimated]
    if not unseen and blank and sum(day.billed for day in blank) > AGREES * whole.billed and not table.unpriced():
        yield Cause("not_seen", f"{len(blank)} {whole.verb} days without any usage, the first {blank[0].day}")


def _price(whole: Reconciled, table: Table, _: Sequence[DuplicateSources]) -> Iterator[Cause]:
    """A price that changed on a day, or was another all along; by model where both sides tell models."""
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


CHECKS: Final[tuple[Callable[[Reconciled, Table, Sequence[DuplicateSources]], Iterator[Cause]], ...]] = (
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
    """The one ratio of all days, where they have one and are enough."""
    ratios = [day.ratio for day in days if day.ratio is not None]
    return _level(ratios) if len(ratios) >= _LEAST_DAYS else None


def _level(ratios: Sequence[Decimal]) -> Decimal | None:
    """The middle of ratios that lie close together; None where they do not."""
    middle = sorted(ratios)[len(ratios) // 2]
    return middle if all(abs(ratio / middle - 1) <= _STEADY for ratio in ratios) else None


def _times(ratio: Decimal) -> str:
    return f"{ratio:.2f} times"
