"""Two sources whose figures go together day by day: most likely one traffic that is seen twice. It decides nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from alertd.core.ledger.columns import Ledger, SeriesRow
from alertd.core.pricing.costing import Costs
from alertd.core.pricing.model_names import provider_id, without_snapshot
from alertd.core.pricing.source_roles import CHARGE, INFERENCE, SourceRole

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
            f"{self.one} and {self.other} look alike ({self.what}, {self.days} days):"
            f" if they see the same traffic, make one authoritative or check (ALERTD_SOURCES__NAME__ROLE)"
        )


def duplicate_sources(
    ledger: Ledger, costs: Costs, standings: Mapping[str, SourceRole]
) -> tuple[DuplicateSources, ...]:
    """Sources that count alike, day by day, and of which neither was declared to be the other's check."""
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
            close = _days_alike(sources[one], sources[other])
            known = found.get((one, other))
            if close and not _declared(one, other, standings) and (known is None or known.days < close):
                found[one, other] = DuplicateSources(one, other, what, close)
    return tuple(found.values())


def _days_alike(one: Sequence[int], other: Sequence[int]) -> int:
    """How many days go together; 0 where they are too few, or too many do not."""
    either = [(a, b) for a, b in zip(one, other, strict=True) if a > 0 or b > 0]
    close = sum(abs(a - b) <= _CLOSE * max(a, b) for a, b in either)
    return close if close >= _LEAST_DAYS and close >= _SHARE * len(either) else 0


def _declared(one: str, other: str, standings: Mapping[str, SourceRole]) -> bool:
    roles = [standings.get(name, SourceRole()).role for name in (one, other)]
    return "check" in roles or sorted(roles) == ["authoritative", "auto"]


def plain_model(row: SeriesRow) -> str:
    """A model's name without gateway prefixes and snapshot, as both sides of a comparison can know it."""
    return without_snapshot(row.model.lower().rpartition("/")[2])
