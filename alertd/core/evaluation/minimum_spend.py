"""What a burn rate must exceed: the usual rate, and a minimum spend that may be in another unit than the budget.

money, another currency    at the rate of today; nobody knows it without a rate
tokens, a minimum in money what the tokens cost; unknown while what has a price is below it and some has none
money, a minimum in tokens the tokens that were used; unknown where a bill names none
usual                      the dearest hour at this time of day, two hours either way, of the last four weeks
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alertd.core.budgets import TOKENS, Amount, Anomaly, Budget, BurnRate, Threshold
from alertd.core.counting.intervals import LONGEST
from alertd.core.evaluation.scope_columns import ScopeColumns, newest_price
from alertd.core.evaluation.scope_sources import span_of
from alertd.core.evaluation.values import Burn, EvaluationContext
from alertd.core.ledger.columns import Ledger
from alertd.core.messages.format import round_amount_above
from alertd.core.pricing.costing import Costs, no_rate
from alertd.core.projection.past import Unusual

WithMinimum = BurnRate | Anomaly
#: What is usual is read from these days, and known from this many on.
_USUAL_DAYS: Final = 28
_KNOWN_DAYS: Final = 7
#: Hours on either side of the present one that are of the same time of day.
_HOURS_ASIDE: Final = 2
_HOUR: Final = 3600


def minimum_of(threshold: Threshold) -> Amount | None:
    """The minimum spend of a threshold; None where its basis has none, or none is set."""
    return threshold.minimum_spend if isinstance(threshold, WithMinimum) else None


class MinimumSpends:
    """The minimum spends of one evaluation's scopes; `number` is a scope's place in its sheet, as everywhere there."""

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
        self._dearest: dict[float, NDArray[np.float64]] = {}

    def dearest_hour(
        self, number: int, thresholds: Sequence[BurnRate], burns: Mapping[timedelta, Burn], until: datetime | None
    ) -> float | None:
        """The most that an hour at this time of day cost in the last four weeks, at the prices of today.

        None where no threshold hangs on it, and where the scope is known for less than a week.
        """
        asked = any(all(w in burns and burns[w].factor >= float(t.factor) for w in t.windows) for t in thresholds)
        if not asked or self._sheet.born_ever[number] > self._sheet.today - _KNOWN_DAYS:
            return None
        hour = (until or self._context.now).timestamp() // _HOUR * _HOUR
        if hour not in self._dearest:
            self._dearest[hour] = self._dearest_hours(hour)
        return float(self._dearest[hour][number])

    def _dearest_hours(self, hour: float) -> NDArray[np.float64]:
        """Of every scope, for the hour that begins at an instant: one answer serves all that ask in an evaluation."""
        segments, kinds = self._sheet.table.segments, self._sheet.table.kind_of
        prices = np.array([float(newest_price(runs, self._sheet.today)) for runs in segments])[kinds]
        found = np.zeros(len(self._sheet.members))
        for day in range(1, _USUAL_DAYS + 1):
            for aside in range(-_HOURS_ASIDE, _HOURS_ASIDE + 1):
                begin = hour - day * 24 * _HOUR + aside * _HOUR
                counts = self._ledger.between(begin, begin + _HOUR)[: len(kinds)]
                if counts.any():
                    found = np.maximum(found, self._sheet.added_up(counts * prices))
        return found

    def worths(
        self,
        number: int,
        thresholds: Sequence[WithMinimum],
        burns: Mapping[timedelta, Burn],
        today: Unusual | None,
        until: datetime | None,
    ) -> dict[tuple[timedelta | None, str], Decimal]:
        """By window (None: today's) and unit of the minimum, where it alone decides whether a threshold is crossed."""
        found = {}
        for minimum, window, spent in _hanging(thresholds, burns, today):
            worth = self._worth(number, minimum, spent, self._span(window, until))
            if worth is not None:
                found[window, minimum.unit] = worth
        return found

    def _worth(self, number: int, minimum: Amount, spent: Decimal, span: tuple[float, float]) -> Decimal | None:
        table = self._sheet.table
        if TOKENS in {minimum.unit, table.unit}:
            return self._of_usage(number, minimum, span)
        rate = self._context.exchange(table.unit, minimum.unit, table.days[self._sheet.today])
        return None if rate is None else spent * rate

    def _of_usage(self, number: int, minimum: Amount, span: tuple[float, float]) -> Decimal | None:
        """What was used in a span is in the unit of the minimum; None where that may be more than is known."""
        sheet = self._in(minimum.unit)
        counts = self._between(*span)
        worth = sheet.spent_of(counts, sheet.today)[number]
        used = [index for index in sheet.members[number] if counts[index]]
        unknown = any(index in sheet.table.unpriced or self._tokenless(index, minimum.unit) for index in used)
        return None if unknown and worth < minimum.value else worth

    def _tokenless(self, index: int, unit: str) -> bool:
        return unit == TOKENS and bool(self._ledger.series[index].billed)

    def _in(self, unit: str) -> ScopeColumns:
        """The same scopes in another unit."""
        if unit not in self._sheets:
            own = self._sheet
            self._sheets[unit] = ScopeColumns(self._priced(unit), own.days, own.today, own.members)
        return self._sheets[unit]

    def _span(self, window: timedelta | None, until: datetime | None) -> tuple[float, float]:
        until = until or self._context.now
        end = until.timestamp()
        if window is not None:
            intervals = [view.interval for view in self._context.sources.values()]
            reaches = max((one for one in intervals if one.total_seconds() <= LONGEST), default=timedelta(0))
            span = span_of(window, reaches, until)
            return span.begin, span.end
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
            minimum = threshold.minimum_spend
            said = (
                ""
                if minimum is None or minimum.unit == budget.amount.unit
                else _said(budget, minimum, ledger, context, priced)
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
    minimum: Amount,
    ledger: Ledger,
    context: EvaluationContext,
    priced: Callable[[tzinfo, str, str], Costs],
) -> str:
    unit = budget.amount.unit
    if TOKENS in {minimum.unit, unit}:
        reason = _unknown(budget, minimum, ledger, priced(budget.period.zone, minimum.unit, budget.amount.unit))
        return (
            f"the minimum spend holds only for usage that is known in {minimum.unit}, not for {reason}"
            if reason
            else ""
        )
    day = context.now.astimezone(budget.period.zone).date()
    if context.exchange(unit, minimum.unit, day) is not None:
        return ""
    counts_as = Amount(minimum.value, unit)
    return f"the minimum spend counts as {counts_as}: {no_rate(unit, minimum.unit).reason}; or write it in {unit}"


def _unknown(budget: Budget, minimum: Amount, ledger: Ledger, table: Costs) -> str:
    """The first usage of a budget that is not known in the unit of the minimum, and why; "" where all of it is."""
    for index, row in enumerate(ledger.series):
        if not (table.quantities[index].any() and budget.where.matches(row.all_labels())):
            continue
        if index in table.unpriced:
            return f"{row.model or row.provider}: {table.unpriced[index].reason}"
        if minimum.unit == TOKENS and row.billed:
            return f"the bills of {row.source}: they name no tokens"
    return ""
