"""The estimate (tokens times price) beside the bill, for days that are final: drift, its likely cause, a correction.

    ledger and costs of all series -> per provider and scope the days both sides know -> causes by a table of checks

Nothing here is added up into spend, and no figure is changed: what a factor corrects is for the reader to decide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from alertd.core.billing.lookalikes import Alike, alike, plain_model
from alertd.core.billing.roles import CHARGE, ESTIMATE, INFERENCE, Standing, sellers
from alertd.core.ledger import Ledger
from alertd.core.pricing.costing import Costs
from alertd.core.pricing.model_names import provider_id

Scope = tuple[tuple[str, str], ...]

#: A drift up to this is none: rounding, time zones, the last minutes of a day.
AGREES: Final = Decimal("0.02")
#: Ratios of days that differ by less than this are one price.
_STEADY: Final = Decimal("0.03")
_LEAST_DAYS: Final = 3
#: A correction is worked out over so many of the newest days.
_NEWEST: Final = 7
_NAMED: Final = 4
_FACTOR: Final = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Day:
    """One final day: what was estimated for it and what was billed."""

    day: date
    estimated: Decimal
    billed: Decimal

    @property
    def ratio(self) -> Decimal | None:
        """What was billed for one unit of the estimate; None where one side has nothing."""
        return self.billed / self.estimated if self.estimated > 0 and self.billed > 0 else None


@dataclass(frozen=True, slots=True)
class Cause:
    """Why the two sides differ: agrees, unpriced, counted_twice, not_seen, price_changed, price_differs or unclear."""

    kind: str
    said: str


@dataclass(frozen=True, slots=True)
class Reconciled:
    """One provider and scope over its final days, in `unit`. `factor` corrects the estimate of days not billed yet.

    `used_by` and `billed_by` are the sources of the two sides.
    """

    provider: str
    scope: Scope
    unit: str
    days: tuple[Day, ...]
    causes: tuple[Cause, ...]
    factor: Decimal | None
    used_by: tuple[str, ...] = ()
    billed_by: tuple[str, ...] = ()

    @property
    def estimated(self) -> Decimal:
        return sum((day.estimated for day in self.days), Decimal(0))

    @property
    def billed(self) -> Decimal:
        return sum((day.billed for day in self.days), Decimal(0))

    @property
    def drift(self) -> Decimal | None:
        """By how much the estimate is above the bill, as a part of the bill; None where nothing was billed."""
        return (self.estimated - self.billed) / self.billed if self.billed else None

    def drifts(self, level: Decimal = AGREES) -> bool:
        """Whether the sides differ by more than a level, or one of them has nothing."""
        return self.estimated != self.billed and (self.drift is None or abs(self.drift) > level)

    def to_json(self) -> dict[str, Any]:
        """What the command, the API and the daemon's memory say of it: money as text, days as dates."""
        return {
            "provider": self.provider,
            "scope": dict(self.scope),
            "currency": self.unit,
            "from": str(self.days[0].day) if self.days else None,
            "to": str(self.days[-1].day) if self.days else None,
            "estimated": f"{self.estimated:f}",
            "billed": f"{self.billed:f}",
            "drift_percent": None if self.drift is None else f"{self.drift * 100:.2f}",
            "factor": None if self.factor is None else str(self.factor),
            "used_by": list(self.used_by),
            "billed_by": list(self.billed_by),
            "causes": [{"kind": cause.kind, "said": cause.said} for cause in self.causes],
        }


@dataclass(slots=True)
class _Side:
    """One provider and scope while it is gathered: series by side."""

    usage: list[int] = field(default_factory=list)
    bills: list[int] = field(default_factory=list)


def reconcile(
    ledger: Ledger,
    costs: Costs,
    final_until: Mapping[str, date],
    *,
    by: Sequence[str] = (),
    standings: Mapping[str, Standing] | None = None,
) -> tuple[Reconciled, ...]:
    """Every provider that has both usage and a bill, by the labels in `by`, over the days before `final_until`.

    `costs` hold all series (counted or not) in one currency. `final_until` is, by source, the first day that may still
    change; a source that is not in it is not compared. The largest difference comes first.
    """
    pairs = alike(ledger, costs, standings or {})
    found = [
        _reconciled(provider, scope, _Table(ledger, costs, side, final_until), pairs)
        for (provider, scope), side in _sides(ledger, final_until, by).items()
        if side.usage and side.bills
    ]
    return tuple(sorted(found, key=lambda one: -abs(one.estimated - one.billed)))


def report(found: Sequence[Reconciled], pairs: Sequence[Alike] = ()) -> Iterator[str]:
    """The reconciliation in words, a provider a paragraph."""
    for one in found:
        scope = " ".join(f"{name}={value or 'none'}" for name, value in one.scope)
        drift = "nothing billed" if one.drift is None else f"{one.drift * 100:+.1f} %"
        span = f"{one.days[0].day} to {one.days[-1].day}" if one.days else "no final day"
        yield (
            f"{one.provider}{' ' + scope if scope else ''}, {span}: estimated {one.estimated:.2f},"
            f" billed {one.billed:.2f} {one.unit}, {drift}"
        )
        yield from (f"  {cause.said}" for cause in one.causes)
        if one.factor is not None and one.factor != 1:
            yield f"  correction for days that are not billed yet: times {one.factor}"
    yield from (pair.said for pair in pairs)


def _sides(ledger: Ledger, final_until: Mapping[str, date], by: Sequence[str]) -> dict[tuple[str, Scope], _Side]:
    """The series to compare. Usage without a provider goes with the only provider that bills, if there is one."""
    seller = sellers(ledger.series)
    billing = {provider_id(row.provider) for row in ledger.series if row.billed}
    alone = next(iter(billing)) if len(billing) == 1 else ""
    sides: dict[tuple[str, Scope], _Side] = defaultdict(_Side)
    for index, row in enumerate(ledger.series):
        charge = row.labels.get(CHARGE, INFERENCE)
        if row.source not in final_until or charge not in {INFERENCE, ""} or charge == ESTIMATE:
            continue
        scope = tuple((name, row.labels.get(name, "")) for name in by)
        side = sides[seller(row) or alone, scope]
        (side.bills if row.billed else side.usage).append(index)
    return sides


class _Table:
    """The figures of one provider and scope, by day and model, over the days that are final for all its sources."""

    def __init__(self, ledger: Ledger, costs: Costs, side: _Side, final_until: Mapping[str, date]) -> None:
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


def _reconciled(provider: str, scope: Scope, table: _Table, pairs: Sequence[Alike]) -> Reconciled:
    days = table.days()
    whole = Reconciled(provider, scope, table.costs.unit, days, (), None)
    causes = tuple(cause for check in _CHECKS for cause in check(whole, table, pairs))
    if not causes:
        kind, said = ("unclear", "no single cause shows") if whole.drifts() else ("agrees", "estimate and bill agree")
        causes = (Cause(kind, said),)
    used_by, billed_by = tuple(sorted(table.usage_sources)), tuple(sorted(table.bill_sources))
    return Reconciled(provider, scope, whole.unit, days, causes, _factor(whole), used_by, billed_by)


def _unpriced(_whole: Reconciled, table: _Table, _: Sequence[Alike]) -> Iterator[Cause]:
    if unpriced := table.unpriced():
        named = ", ".join(f"{model} ({quantity:,})" for model, quantity in list(unpriced.items())[:_NAMED])
        yield Cause("unpriced", f"has no price, so the estimate lacks it: {named}")


def _counted_twice(whole: Reconciled, table: _Table, pairs: Sequence[Alike]) -> Iterator[Cause]:
    for pair in pairs:
        if whole.estimated > whole.billed and {pair.one, pair.other} <= table.usage_sources:
            yield Cause("counted_twice", f"{pair.one} and {pair.other} count the same traffic: {pair.days} days alike")


def _not_seen(whole: Reconciled, table: _Table, _: Sequence[Alike]) -> Iterator[Cause]:
    unseen = {model: cost for model, cost in table.unseen().items() if cost > AGREES * whole.billed}
    if unseen:
        named = ", ".join(f"{model} ({cost:.2f} {whole.unit})" for model, cost in list(unseen.items())[:_NAMED])
        yield Cause("not_seen", f"billed, and no usage of it was seen: {named}")
    blank = [day for day in whole.days if day.billed > 0 and not day.estimated]
    if not unseen and blank and sum(day.billed for day in blank) > AGREES * whole.billed and not table.unpriced():
        yield Cause("not_seen", f"{len(blank)} billed days without any usage, the first {blank[0].day}")


def _price(whole: Reconciled, table: _Table, _: Sequence[Alike]) -> Iterator[Cause]:
    """A price that changed on a day, or was another all along; by model where both sides tell models."""
    for model in table.models() or [""]:
        days = table.days(model) if model else whole.days
        name = model or "the price"
        if (step := _step(days)) is not None:
            day, before, after = step
            yield Cause("price_changed", f"{name}: billed {_times(before)} the estimate, from {day} on {_times(after)}")
        elif (steady := _steady(days)) is not None and abs(steady - 1) > AGREES:
            yield Cause("price_differs", f"{name}: billed {_times(steady)} the estimate on every day")


_CHECKS: Final[tuple[Callable[[Reconciled, _Table, Sequence[Alike]], Iterator[Cause]], ...]] = (
    _unpriced,
    _counted_twice,
    _not_seen,
    _price,
)


def _step(days: Sequence[Day]) -> tuple[date, Decimal, Decimal] | None:
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


def _factor(whole: Reconciled) -> Decimal | None:
    """What the newest days were billed for one unit of the estimate; 1 where both sides agree."""
    if not whole.drifts():
        return Decimal(1)
    if (step := _step(whole.days)) is not None:
        return step[2].quantize(_FACTOR, ROUND_HALF_EVEN)
    newest = [day for day in whole.days if day.estimated or day.billed][-_NEWEST:]
    estimated = sum((day.estimated for day in newest), Decimal(0))
    if not estimated:
        return None
    factor = sum((day.billed for day in newest), Decimal(0)) / estimated
    return factor.quantize(_FACTOR, ROUND_HALF_EVEN)


def _times(ratio: Decimal) -> str:
    return f"{ratio:.2f} times"
