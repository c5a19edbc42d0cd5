"""The costs and sums of a ledger for one evaluation: each is worked out once and serves every budget."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alertd.core.budgets import TOKENS
from alertd.core.evaluation.scope_columns import ScopeColumns, column, uncounted_kinds
from alertd.core.evaluation.values import (
    EvaluationContext,
)
from alertd.core.ledger.columns import Ledger, SeriesRow
from alertd.core.periods import midnights
from alertd.core.pricing.costing import Costs, costs
from alertd.core.pricing.source_roles import counting

#: Days of history that a projection may look back over.
HISTORY_DAYS: Final = 120
#: Finer than any price of one token; what a shared free tier leaves behind the 28th digit is no money.
EXACT: Final = Decimal("1e-12")


class LedgerCosts:
    """A ledger in one evaluation's context: costs by zone and unit, usage of spans, series by source."""

    def __init__(self, ledger: Ledger, context: EvaluationContext, earliest: datetime | None = None) -> None:
        """`earliest` is the start of the oldest period that will be asked for."""
        self.ledger = ledger
        self.context = context
        reach = 0 if earliest is None else (context.now - earliest).days + 2
        oldest = ledger.earliest()
        known = HISTORY_DAYS if oldest is None else int(context.now.timestamp() - oldest) // 86400 + 2
        self.days = max(min(HISTORY_DAYS, known), reach)
        self._costs: dict[tuple[str, str, bool], Costs] = {}
        self._counted: dict[bool, Callable[[SeriesRow], bool]] = {}
        self._without: dict[bool, frozenset[int]] = {}
        self._between: dict[tuple[float, float], NDArray[np.int64]] = {}
        self._of_source: dict[str, NDArray[np.bool_]] = {}

    def costs(self, zone: tzinfo, unit: str, counts_as: str = "") -> Costs:
        """The ledger's costs by local day, back to the earliest period, and today.

        `counts_as` is the unit whose series are counted, where that is another: what a budget's own usage is worth.
        """
        tokens = (counts_as or unit) == TOKENS
        key = (str(zone), unit, tokens)
        if key not in self._costs:
            today = self.context.now.astimezone(zone).date()
            days, borders = midnights(zone, today - timedelta(days=self.days), self.days + 1)
            self._costs[key] = costs(
                self.ledger,
                unit,
                days,
                borders,
                tariff=self.context.tariff,
                exchange=self.context.exchange,
                counted=self.counted(counts_as or unit),
            )
        return self._costs[key]

    def counted(self, unit: str) -> Callable[[SeriesRow], bool]:
        """Which series count towards an amount in this unit: traffic that two sources see counts once."""
        tokens = unit == TOKENS
        if tokens not in self._counted:
            self._counted[tokens] = counting(self.ledger.kinds, self.context.standings, tokens=tokens)
        return self._counted[tokens]

    def between(self, start: float, end: float) -> NDArray[np.int64]:
        """What every series used in [start, end), as it is now."""
        if (start, end) not in self._between:
            self._between[start, end] = self.ledger.between(start, end)
        return self._between[start, end]

    def of_source(self, name: str) -> NDArray[np.bool_]:
        """Which series are of a source."""
        if name not in self._of_source:
            kinds = np.array([row.source == name for row in self.ledger.kinds], np.bool_)
            self._of_source[name] = kinds[self.ledger.kind_of]
        known = self._of_source[name]
        if len(known) < len(self.ledger.series):
            del self._of_source[name]
            return self.of_source(name)
        return known

    def spent_of_source(self, name: str, unit: str, start: datetime, end: datetime) -> Decimal:
        """What a source saw in a span, at the prices of its last day."""
        table = self.costs(UTC, unit)
        everything = [int(index) for index in np.flatnonzero(self.of_source(name)[: len(table.kind_of)])]
        day = column(table, end)
        sheet = ScopeColumns(table, (0, len(table.days)), day, [everything])
        return sheet.spent_of(self.between(start.timestamp(), end.timestamp()), day)[0].quantize(EXACT).normalize()

    def left_out(self, unit: str) -> frozenset[int]:
        tokens = unit == TOKENS
        if tokens not in self._without:
            self._without[tokens] = uncounted_kinds(self.ledger, self.counted(unit))
        return self._without[tokens]
