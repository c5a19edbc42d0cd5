"""What spend is worth in the unit of a threshold's floor, where its budget has another. It decides nothing.

money, another currency    at the rate of today; nobody knows it without a rate
tokens, a floor in money   what the tokens cost; unknown while what has a price is below the floor and some has none
money, a floor in tokens   the tokens that were used; unknown where a bill names none
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from alertd.core.budgets import TOKENS, Amount, Anomaly, Budget, BurnRate, Threshold
from alertd.core.evaluation.scope_columns import ScopeColumns
from alertd.core.evaluation.values import Burn, EvaluationContext
from alertd.core.ledger.columns import Ledger
from alertd.core.messages.figures import round_amount_above
from alertd.core.pricing.costing import Costs, no_rate
from alertd.core.projection.anomaly import Unusual

WithMinimum = BurnRate | Anomaly


def minimum_of(threshold: Threshold) -> Amount | None:
    """The minimum spend of a threshold; None where its basis has none, or none is set."""
    return threshold.minimum_spend if isinstance(threshold, WithMinimum) else None


class MinimumSpends:
    """The floors of one look's scopes; `number` is a scope's place in its sheet, as everywhere there."""

    def __init__(
        self,
        ledger: Ledger,
        context: EvaluationContext,
        sheet: ScopeColumns,
        priced: Callable[[str], Costs],
        between: Callable[[float, float], NDArray[np.int64]],
    ) -> None:
        """`priced` gives the costs of what the sheet counts in another unit, `between` what was used in a span."""
        self._ledger, self._context, self._sheet = ledger, context, sheet
        self._priced, self._between = priced, between
        self._sheets: dict[str, ScopeColumns] = {}

    def worths(
        self,
        number: int,
        thresholds: Sequence[WithMinimum],
        burns: Mapping[timedelta, Burn],
        today: Unusual | None,
        until: datetime | None,
    ) -> dict[tuple[timedelta | None, str], Decimal]:
        """By window (None: today's) and unit of the floor, where a floor is all that a threshold still hangs on."""
        found = {}
        for floor, window, spent in _hanging(thresholds, burns, today):
            worth = self._worth(number, floor, spent, self._span(window, until))
            if worth is not None:
                found[window, floor.unit] = worth
        return found

    def _worth(self, number: int, floor: Amount, spent: Decimal, span: tuple[float, float]) -> Decimal | None:
        table = self._sheet.table
        if TOKENS in {floor.unit, table.unit}:
            return self._of_usage(number, floor, span)
        rate = self._context.exchange(table.unit, floor.unit, table.days[self._sheet.today])
        return None if rate is None else spent * rate

    def _of_usage(self, number: int, floor: Amount, span: tuple[float, float]) -> Decimal | None:
        """What was used in a span is in the unit of the floor; None where that may be more than is known."""
        sheet = self._in(floor.unit)
        counts = self._between(*span)
        worth = sheet.spent_of(counts, sheet.today)[number]
        used = [index for index in sheet.members[number] if counts[index]]
        unknown = any(index in sheet.table.unpriced or self._tokenless(index, floor.unit) for index in used)
        return None if unknown and worth < floor.value else worth

    def _tokenless(self, index: int, unit: str) -> bool:
        return unit == TOKENS and bool(self._ledger.series[index].billed)

    def _in(self, unit: str) -> ScopeColumns:
        """The same scopes in another unit."""
        if unit not in self._sheets:
            own = self._sheet
            self._sheets[unit] = ScopeColumns(self._priced(unit), own.days, own.today, own.members)
        return self._sheets[unit]

    def _span(self, window: timedelta | None, until: datetime | None) -> tuple[float, float]:
        end = (until or self._context.now).timestamp()
        if window is not None:
            return end - window.total_seconds(), end
        borders = self._sheet.table.borders
        return max(border for border in borders if border < end), end


def _hanging(
    thresholds: Sequence[WithMinimum], burns: Mapping[timedelta, Burn], today: Unusual | None
) -> Iterator[tuple[Amount, timedelta | None, Decimal]]:
    """The minimums that decide whether a threshold is crossed: few do at a time, and converting them costs."""
    for threshold in thresholds:
        minimum = threshold.minimum_spend
        if minimum is None:
            continue
        if isinstance(threshold, BurnRate):
            longest = burns.get(max(threshold.windows))
            if longest is not None and longest.factor >= float(threshold.factor):
                yield minimum, longest.window, longest.spent
        elif today is not None and today.probability >= threshold.probability:
            yield minimum, None, Decimal(str(today.spent))


def unconvertible_minimums(
    budgets: Sequence[Budget], ledger: Ledger, context: EvaluationContext, priced: Callable[[tzinfo, str, str], Costs]
) -> Iterator[tuple[str, str]]:
    """Each budget's name, and the sentence that says which minimum counts as what, and the remedy.

    `priced` gives the costs by zone and unit of what a budget in the second unit counts (`StatusEvaluator.costs`).
    """
    for budget in budgets:
        for threshold in _thresholds(budget):
            floor = threshold.minimum_spend
            said = (
                ""
                if floor is None or floor.unit == budget.amount.unit
                else _said(budget, floor, ledger, context, priced)
            )
            if said:
                yield budget.name, f"{threshold}: {said}"


def silenced_budgets(budgets: Sequence[Budget]) -> Iterator[tuple[str, str]]:
    """Each budget's name, and the sentence that says for which amounts a minimum keeps a threshold from ever firing.

    A minimum at or above the amount is reached when the budget is used up, which another threshold says.
    """
    for budget in budgets:
        rows = [(row.amount or budget.amount, row.thresholds or budget.thresholds) for row in budget.table.values()]
        found: dict[Threshold, list[Decimal]] = {}
        for amount, thresholds in [(budget.amount, budget.thresholds), *rows]:
            for one in thresholds:
                if (minimum := minimum_of(one)) and minimum.unit == amount.unit and minimum.value >= amount.value:
                    found.setdefault(one, []).append(amount.value)
        for threshold, amounts in found.items():
            least = min(amounts)
            many = f", {len(amounts)} amounts in all" if len(amounts) > 1 else ""
            lower = Amount(round_amount_above(least / 20), budget.amount.unit)
            yield (
                budget.name,
                (
                    f"{threshold}: never fires for {Amount(least, budget.amount.unit)}{many}, whose whole amount"
                    f" is below its minimum spend; write above {lower}, or leave it if so little may wake nobody"
                ),
            )


def _thresholds(budget: Budget) -> Iterator[WithMinimum]:
    """Those of the budget and of its table that may have a minimum, once each."""
    own = [budget.thresholds, *(row.thresholds for row in budget.table.values() if row.thresholds)]
    yield from dict.fromkeys(one for thresholds in own for one in thresholds if isinstance(one, WithMinimum))


def _said(
    budget: Budget,
    floor: Amount,
    ledger: Ledger,
    context: EvaluationContext,
    priced: Callable[[tzinfo, str, str], Costs],
) -> str:
    unit = budget.amount.unit
    if TOKENS in {floor.unit, unit}:
        reason = _unknown(budget, floor, ledger, priced(budget.period.zone, floor.unit, budget.amount.unit))
        return f"the floor holds only for usage that is known in {floor.unit}, not for {reason}" if reason else ""
    day = context.now.astimezone(budget.period.zone).date()
    if context.exchange(unit, floor.unit, day) is not None:
        return ""
    counts_as = Amount(floor.value, unit)
    return f"the floor counts as {counts_as}: {no_rate(unit, floor.unit).reason}; or write the floor in {unit}"


def _unknown(budget: Budget, floor: Amount, ledger: Ledger, table: Costs) -> str:
    """The first usage of a budget that is not known in the unit of the floor, and why; "" where all of it is."""
    for index, row in enumerate(ledger.series):
        if not (table.quantities[index].any() and budget.where.matches(row.all_labels())):
            continue
        if index in table.unpriced:
            return f"{row.model or row.provider}: {table.unpriced[index].reason}"
        if floor.unit == TOKENS and row.billed:
            return f"the bills of {row.source}: they name no tokens"
    return ""
