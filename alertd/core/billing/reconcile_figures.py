"""What a reconciliation compares (estimate and bill of a provider by day and model), and its result in words."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import combinations
from typing import Any, Final, Literal

from alertd.core.ledger.columns import Ledger
from alertd.core.pricing.costing import Costs
from alertd.core.pricing.source_roles import CHARGE, ESTIMATE, INFERENCE, SourceRole, sellers
from alertd.core.spellings import provider_id, without_snapshot
from alertd.core.usage import SeriesRow

_LEAST_DAYS: Final = 3
_CLOSE: Final = 0.05
_SHARE: Final = 0.8


@dataclass(frozen=True, slots=True)
class DuplicateSources:
    """Two sources whose figures for one model (or bill) go together: most likely one traffic, counted twice."""

    one: str
    other: str
    what: str
    days: int

    @property
    def said(self) -> str:
        return (
            f"{self.one} and {self.other} seem to read the same traffic ({self.what}, {self.days} days);"
            f" if they do, make one of them authoritative or check (ALERTD_SOURCES__NAME__ROLE)"
        )


def duplicate_sources(
    ledger: Ledger, costs: Costs, standings: Mapping[str, SourceRole]
) -> tuple[DuplicateSources, ...]:
    """Pairs of sources with similar counts on each day, where neither is declared as a check of the other."""
    sums: dict[str, dict[str, list[int]]] = defaultdict(dict)
    for index, row in enumerate(ledger.series):
        if row.labels.get(CHARGE, INFERENCE) != INFERENCE or row.meter == "requests":
            continue
        what = f"bill of {provider_id(row.provider)}" if row.billed else plain_model(row)
        days = sums[what].setdefault(row.source, [0] * len(costs.days))
        for place in range(len(costs.days)):
            days[place] += int(costs.quantities[index, place])
    found: dict[tuple[str, str], DuplicateSources] = {}
    for what, sources in sums.items():
        for one, other in combinations(sorted(sources), 2):
            close = _similar_days(sources[one], sources[other])
            known = found.get((one, other))
            if close and not _declared(one, other, standings) and (known is None or known.days < close):
                found[one, other] = DuplicateSources(one, other, what, close)
    return tuple(found.values())


def _similar_days(one: Sequence[int], other: Sequence[int]) -> int:
    """How many days go together; 0 where they are too few, or too many do not."""
    either = [(a, b) for a, b in zip(one, other, strict=True) if a > 0 or b > 0]
    close = sum(abs(a - b) <= _CLOSE * max(a, b) for a, b in either)
    return close if close >= _LEAST_DAYS and close >= _SHARE * len(either) else 0


def _declared(one: str, other: str, standings: Mapping[str, SourceRole]) -> bool:
    roles = [standings.get(name, SourceRole()).role for name in (one, other)]
    return "check" in roles or sorted(roles) == ["authoritative", "auto"]


def plain_model(row: SeriesRow) -> str:
    """A model's name without gateway prefixes, places and snapshot, as both sides of a comparison can know it."""
    name = without_snapshot(row.model.lower().rpartition("/")[2])
    if (bedrock := _BEDROCK.match(name)) is not None:
        name = without_snapshot(bedrock["model"])
    return name.replace(".", "-") if name.startswith("claude") else name


#: us.anthropic.claude-sonnet-4-6, amazon.nova-pro-v1:0.
_BEDROCK: Final = re.compile(r"(?:[a-z-]+\.)?(?:anthropic|amazon)\.(?P<model>.+?)(?:-v\d+(?::\d+)?)?\Z")
Scope = tuple[tuple[str, str], ...]

#: A drift up to this is ignored: rounding, time zones, the last minutes of a day.
AGREES: Final = Decimal("0.02")


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
    """Why the two sides differ: agrees, unpriced, counted_twice, not_seen, price_changed, price_differs or unclear.

    Also no_rate: the other side is in a currency without a known rate.
    """

    kind: str
    said: str


@dataclass(frozen=True, slots=True)
class Reconciled:
    """One provider and scope over its final days, in `unit`. `factor` corrects the estimate of days not billed yet.

    `used_by` and `billed_by` are the sources of the two sides. `against`: what the estimate is compared with, a bill,
    or what a gateway or an agent reports as its own estimate.
    """

    provider: str
    scope: Scope
    unit: str
    days: tuple[Day, ...]
    causes: tuple[Cause, ...]
    factor: Decimal | None
    used_by: tuple[str, ...] = ()
    billed_by: tuple[str, ...] = ()
    against: Literal["bill", "report"] = "bill"

    @property
    def verb(self) -> str:
        """What the other side did: billed, or reported."""
        return "billed" if self.against == "bill" else "reported"

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
            "against": self.against,
            "causes": [{"kind": cause.kind, "said": cause.said} for cause in self.causes],
        }


def report(found: Sequence[Reconciled], pairs: Sequence[DuplicateSources] = ()) -> Iterator[str]:
    """The reconciliation in words, a provider a paragraph."""
    for one in found:
        scope = " ".join(f"{name}={value or 'none'}" for name, value in one.scope)
        drift = f"nothing {one.verb}" if one.drift is None else f"{one.drift * 100:+.1f}%"
        by = f" by {', '.join(one.billed_by)}" if one.against == "report" else ""
        span = f"{one.days[0].day} to {one.days[-1].day}" if one.days else "no final day"
        yield (
            f"{one.provider}{' ' + scope if scope else ''}, {span}: estimated {one.estimated:.2f},"
            f" {one.verb}{by} {one.billed:.2f} {one.unit}, {drift}"
        )
        yield from (f"  {cause.said}" for cause in one.causes)
        if one.factor is not None and one.factor != 1:
            yield f"  correction for days that are not billed yet: times {one.factor}"
    yield from (pair.said for pair in pairs)


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


class DailyFigures:
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
        """The billed amount of each model whose usage was never seen."""
        seen = {plain_model(self.ledger.series[index]) for index in self.side.usage if self._any(index)}
        found: dict[str, Decimal] = defaultdict(Decimal)
        for index in self.side.bills:
            model = plain_model(self.ledger.series[index])
            if model and model not in seen:
                found[model] += self.costs.exact_between(index, self.places.start, self.places.stop)
        return {model: cost for model, cost in found.items() if cost > 0}

    def models(self) -> list[str]:
        """Models that both sides report."""
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
