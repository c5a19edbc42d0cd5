"""Prices corrected by the bill: what the newest final days came to, applied to the days that are not billed yet.

Only where the operator asks for it (ALERTD_CORRECT_ESTIMATES). Days that are final keep their own prices, so that the
comparison of estimate and bill never feeds on its own correction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from alertd.core.pricing.costing import Exchange, NoPrice, Rate, Tariff, UnitPrice
from alertd.core.pricing.model_names import provider_id
from alertd.core.usage import Line


@dataclass(frozen=True, slots=True)
class Correction:
    """What a provider's bill came to for one unit of the estimate, for the days from `since` on."""

    factor: Decimal
    since: date


def corrections(note: Mapping[str, Any] | None) -> dict[str, Correction]:
    """The corrections that the evaluation noted when it last compared estimates and bills, by provider."""
    found = (note or {}).items()
    return {name: Correction(Decimal(one["factor"]), date.fromisoformat(one["since"])) for name, one in found}


class CorrectedTariff:
    """Another tariff's prices, times the correction of the line's provider for the days that are not billed yet."""

    def __init__(self, tariff: Tariff, known: Mapping[str, Correction]) -> None:
        self._tariff = tariff
        self._known = known

    @property
    def version(self) -> str:
        """The prices' version, and that they are corrected."""
        return f"{self._tariff.version}, corrected by the bill"

    def zone(self, provider: str) -> str:
        """The IANA zone of a provider's billing days and months."""
        return self._tariff.zone(provider)

    def rate_of(self, lines: Sequence[Line], day: date, unit: str, exchange: Exchange) -> Rate | None:
        """As the tariff bills them; lines of a corrected provider are projected by their corrected unit prices."""
        if any(provider_id(line.provider) in self._known for line in lines):
            return None
        return self._tariff.rate_of(lines, day, unit, exchange)

    def runs(self, line: Line, first: date, last: date) -> Sequence[tuple[date, UnitPrice | NoPrice]]:
        """The tariff's runs, with another one from the first day that is not billed yet."""
        runs = list(self._tariff.runs(line, first, last))
        known = self._known.get(provider_id(line.provider))
        if known is None or known.since > last:
            return runs
        begin = max(first, known.since)
        before = [run for run in runs if run[0] < begin]
        after = [run for run in runs if run[0] > begin]
        at = next((price for day, price in reversed(runs) if day <= begin), runs[0][1])
        return [*before, *((day, _times(price, known.factor)) for day, price in [(begin, at), *after])]


def _times(price: UnitPrice | NoPrice, factor: Decimal) -> UnitPrice | NoPrice:
    return replace(price, amount=price.amount * factor) if isinstance(price, UnitPrice) else price
