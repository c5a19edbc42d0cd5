"""If several sources see the same traffic, one counts and the others are checks.

An `auto` source counts unless somebody else is declared `authoritative` for the same provider and charge; its bill
gives way to usage that another source counts as it happens. A `check` never counts. Money that a gateway worked out
itself (charge=estimate) never counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from alertd.core.spellings import PROVIDERS, provider_id, without_snapshot
from alertd.core.usage import CHARGE_LABEL, ESTIMATE_CHARGE, SeriesRow

Role = Literal["auto", "authoritative", "check"]
CHARGE: Final = CHARGE_LABEL
INFERENCE: Final = "inference"
ESTIMATE: Final = ESTIMATE_CHARGE

_Pair = tuple[str, str]
_AUTO: Final = "auto"


@dataclass(frozen=True, slots=True)
class SourceRole:
    """A source's role, and which of its own figures is the cost if it reports both usage and bill."""

    role: Role = "auto"
    cost_from: Literal["usage", "bill"] = "usage"


def counting(
    series: Iterable[SeriesRow], standings: Mapping[str, SourceRole], *, tokens: bool = False
) -> Callable[[SeriesRow], bool]:
    """Whether a series counts towards spend, or towards tokens. A source without a standing is `auto`."""
    rows = tuple(series)
    seller = sellers(rows)
    given: dict[_Pair, dict[str, set[bool]]] = defaultdict(lambda: defaultdict(set))
    for row in rows:
        if _charge(row) != ESTIMATE and not (tokens and row.billed):
            given[seller(row), _charge(row)][row.source].add(bool(row.billed))
    counted = {(pair, *choice) for pair, sources in given.items() for choice in _counted(sources, standings)}
    return lambda row: ((seller(row), _charge(row)), row.source, bool(row.billed)) in counted


def sellers(series: Iterable[SeriesRow]) -> Callable[[SeriesRow], str]:
    """The provider of a series: its label, else its model's prefix, else the only provider known to sell that model."""
    rows = tuple(series)
    known: dict[str, set[str]] = defaultdict(set)
    for row in rows if any(not row.provider for row in rows) else ():
        if row.provider and row.model:
            known[without_snapshot(row.model.lower())].add(provider_id(row.provider))

    def seller(row: SeriesRow) -> str:
        if row.provider:
            return provider_id(row.provider)
        prefix, slash, _ = row.model.lower().partition("/")
        if slash and prefix in PROVIDERS:
            return PROVIDERS[prefix]
        found = known.get(without_snapshot(row.model.lower()), set())
        return next(iter(found)) if len(found) == 1 else ""

    return seller


def _counted(sources: Mapping[str, set[bool]], standings: Mapping[str, SourceRole]) -> set[tuple[str, bool]]:
    """The (source, billed) that count for one provider and charge."""
    known = {name: standings.get(name, SourceRole()) for name in sources}
    eligible = {name for name, standing in known.items() if standing.role != "check"}
    leading = {name for name in eligible if known[name].role == "authoritative"} or eligible
    chosen = {(name, _own_choice(sources[name], known[name])) for name in leading}
    as_it_happens = {name for name, billed in chosen if not billed}
    return {
        (name, billed)
        for name, billed in chosen
        if not (billed and known[name].role == _AUTO and as_it_happens - {name})
    }


def _own_choice(kinds: set[bool], standing: SourceRole) -> bool:
    """Whether a source's bill counts, not its usage."""
    return True in kinds if len(kinds) == 1 else standing.cost_from == "bill"


def _charge(row: SeriesRow) -> str:
    return row.labels.get(CHARGE, INFERENCE)
