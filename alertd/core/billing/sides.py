"""Which series are the estimate and which the bill of one provider, with their figures by day and model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from alertd.core.billing.duplicate_sources import plain_model
from alertd.core.billing.reconciled import Day, Scope
from alertd.core.ledger.columns import Ledger
from alertd.core.pricing.costing import Costs
from alertd.core.pricing.model_names import provider_id
from alertd.core.pricing.source_roles import CHARGE, ESTIMATE, INFERENCE, sellers
from alertd.core.usage import SeriesRow


@dataclass(slots=True)
class Side:
    """One provider and scope while it is gathered: series by side."""

    usage: list[int] = field(default_factory=list)
    bills: list[int] = field(default_factory=list)


def reports_of(
    ledger: Ledger,
    final_until: Mapping[str, date],
    by: Sequence[str],
    counted: Callable[[SeriesRow], bool] = lambda _: True,
) -> dict[tuple[str, Scope, str], Side]:
    """What each source reports as its own estimate, beside the usage of that source; of all others without any."""
    seller, known = sellers(ledger.series), {row.source for row in ledger.series if not row.billed}
    sides: dict[tuple[str, Scope, str], Side] = defaultdict(Side)
    places = [(index, row) for index, row in enumerate(ledger.series) if row.source in final_until]
    for index, row in places:
        if row.billed and row.labels.get(CHARGE) == ESTIMATE:
            sides[seller(row), _scope(row, by), row.source].bills.append(index)
    reporting = {source for _, _, source in sides}
    for index, row in places:
        if row.billed or row.labels.get(CHARGE, INFERENCE) != INFERENCE:
            continue
        for source in reporting:
            if row.source == source or (source not in known and counted(row)):
                sides[seller(row), _scope(row, by), source].usage.append(index)
    return sides


def sides_of(ledger: Ledger, final_until: Mapping[str, date], by: Sequence[str]) -> dict[tuple[str, Scope], Side]:
    """The series to compare. Usage without a provider goes with the only provider that bills, if there is one."""
    seller = sellers(ledger.series)
    billing = {provider_id(row.provider) for row in ledger.series if row.billed}
    alone = next(iter(billing)) if len(billing) == 1 else ""
    sides: dict[tuple[str, Scope], Side] = defaultdict(Side)
    for index, row in enumerate(ledger.series):
        charge = row.labels.get(CHARGE, INFERENCE)
        if row.source not in final_until or charge not in {INFERENCE, ""} or charge == ESTIMATE:
            continue
        side = sides[seller(row) or alone, _scope(row, by)]
        (side.bills if row.billed else side.usage).append(index)
    return sides


def _scope(row: SeriesRow, by: Sequence[str]) -> Scope:
    return tuple((name, row.labels.get(name, "")) for name in by)


class Table:
    """The figures of one provider and scope, by day and model, over the days that are final for all its sources."""

    def __init__(self, ledger: Ledger, costs: Costs, side: Side, final_until: Mapping[str, date]) -> None:
        self.ledger, self.costs, self.side = ledger, costs, side
        sources = {ledger.series[index].source for index in (*side.usage, *side.bills)}
        border = min(final_until[source] for source in sources)
        self.usage_sources, self.bill_sources = (
            {ledger.series[index].source for index in part} for part in (side.usage, side.bills)
        )
        last = sum(day < border for day in costs.days)
        first = next((place for place in range(last) if self._used(place)), last)
        self.places = range(first, last)

    def days(self, model: str | None = None) -> tuple[Day, ...]:
        """The days, of one model where it is named."""
        usage = [index for index in self.side.usage if model in (None, plain_model(self.ledger.series[index]))]
        bills = [index for index in self.side.bills if model in (None, plain_model(self.ledger.series[index]))]
        return tuple(Day(self.costs.days[p], self._sum(usage, p), self._sum(bills, p)) for p in self.places)

    def unpriced(self) -> dict[str, int]:
        """The quantities, by model, that have no price."""
        found: dict[str, int] = defaultdict(int)
        for index in self.side.usage:
            quantity = int(self.costs.quantities[index, self.places.start : self.places.stop].sum())
            if index in self.costs.unpriced and quantity:
                found[plain_model(self.ledger.series[index])] += quantity
        return dict(found)

    def no_rates(self) -> list[str]:
        """Why money of the other side is in no figure, where its currency has no known rate."""
        return sorted({self.costs.unpriced[index].reason for index in self.side.bills if index in self.costs.unpriced})

    def unseen(self) -> dict[str, Decimal]:
        """What was billed, by model, for models of which no usage was seen at all."""
        seen = {plain_model(self.ledger.series[index]) for index in self.side.usage if self._any(index)}
        found: dict[str, Decimal] = defaultdict(Decimal)
        for index in self.side.bills:
            model = plain_model(self.ledger.series[index])
            if model and model not in seen:
                found[model] += self.costs.exact_between(index, self.places.start, self.places.stop)
        return {model: cost for model, cost in found.items() if cost > 0}

    def models(self) -> list[str]:
        """Models that both sides tell."""
        used, billed = (
            {plain_model(self.ledger.series[i]) for i in part} for part in (self.side.usage, self.side.bills)
        )
        return sorted((used & billed) - {""})

    def _used(self, place: int) -> bool:
        return any(self.costs.quantities[index, place] for index in (*self.side.usage, *self.side.bills))

    def _any(self, index: int) -> bool:
        return bool(self.costs.quantities[index, self.places.start : self.places.stop].any())

    def _sum(self, indices: Sequence[int], place: int) -> Decimal:
        return sum((self.costs.exact_between(index, place, place + 1) for index in indices), Decimal(0))
