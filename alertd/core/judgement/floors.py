"""What spend is worth in the unit of a threshold's floor, where its budget has another. It judges nothing.

money, another currency    at the rate of today; nobody knows it without a rate
tokens, a floor in money   what the tokens cost; unknown while what has a price is below the floor and some has none
money, a floor in tokens   the tokens that were used; unknown where a bill names none
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from alertd.core.budgets import TOKENS, Amount, Threshold
from alertd.core.judgement.anomaly import Unusual
from alertd.core.judgement.positions import Burn, Circumstances
from alertd.core.judgement.sheet import Sheet
from alertd.core.ledger import Ledger
from alertd.core.pricing.costing import Costs


class Floors:
    """The floors of one look's scopes; `number` is a scope's place in its sheet, as everywhere there."""

    def __init__(
        self,
        ledger: Ledger,
        around: Circumstances,
        sheet: Sheet,
        priced: Callable[[str], Costs],
        between: Callable[[float, float], NDArray[np.int64]],
    ) -> None:
        """`priced` gives the costs of what the sheet counts in another unit, `between` what was used in a span."""
        self._ledger, self._around, self._sheet = ledger, around, sheet
        self._priced, self._between = priced, between
        self._sheets: dict[str, Sheet] = {}

    def worths(
        self,
        number: int,
        thresholds: Sequence[Threshold],
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
        rate = self._around.exchange(table.unit, floor.unit, table.days[self._sheet.today])
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

    def _in(self, unit: str) -> Sheet:
        """The same scopes in another unit."""
        if unit not in self._sheets:
            own = self._sheet
            self._sheets[unit] = Sheet(self._priced(unit), own.days, own.today, own.members)
        return self._sheets[unit]

    def _span(self, window: timedelta | None, until: datetime | None) -> tuple[float, float]:
        end = (until or self._around.now).timestamp()
        if window is not None:
            return end - window.total_seconds(), end
        borders = self._sheet.table.borders
        return max(border for border in borders if border < end), end


def _hanging(
    thresholds: Sequence[Threshold], burns: Mapping[timedelta, Burn], today: Unusual | None
) -> Iterator[tuple[Amount, timedelta | None, Decimal]]:
    """The floors on which it hangs whether a threshold stands: few do at a time, and looking costs."""
    for threshold in thresholds:
        longest = burns.get(max(threshold.windows, default=timedelta(0)))
        if threshold.floor is None:
            continue
        if longest is not None and longest.factor >= float(threshold.factor or 1):
            yield threshold.floor, longest.window, longest.spent
        elif threshold.basis == "anomaly" and today is not None and today.probability >= (threshold.probability or 1):
            yield threshold.floor, None, Decimal(str(today.spent))
