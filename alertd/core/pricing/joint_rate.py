"""How lines of one account are billed together where that is not linear: what a projection rates its runs by.

A free tier or a billing unit makes scaled money wrong: the millionth token may cost several euros at once. This holds
where a scope is a whole account in its provider's own month; elsewhere units are scaled at what they came to so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from alertd.core.pricing.costing import Exchange, Rate
from alertd.core.pricing.paths import cost_paths
from alertd.core.pricing.prices import PriceBook, Tariff, Unpriced
from alertd.core.usage import Line


def rate_of(book: PriceBook, lines: Sequence[Line], day: date, unit: str, exchange: Exchange) -> Rate | None:
    """How these lines are billed together, in `unit`; None where each is linear, or something has no price or rate."""
    tariffs = [book.tariff(line, day) for line in lines]
    known = [tariff for tariff in tariffs if not isinstance(tariff, Unpriced)]
    if len(known) < len(tariffs) or all(tariff.linear for tariff in known):
        return None
    if any(one.rule.free and (one.rule.free.period == "once" or one.rule.free.per == "model") for one in known):
        return None  # what is left of such an allowance is known of the past only
    rates = {one.price.currency: exchange(one.price.currency, unit, day) for one in known if one.price.currency != unit}
    if any(rate is None for rate in rates.values()):
        return None
    worth = {currency: float(rate) for currency, rate in rates.items() if rate is not None}
    groups = _groups(known)

    def rate(quantities: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.zeros(len(quantities))
        for (_, _, currency), columns in groups.items():
            total += cost_paths([known[c] for c in columns], quantities[:, columns]) * worth.get(currency, 1.0)
        return total

    return rate


def _groups(tariffs: Sequence[Tariff]) -> Mapping[tuple[str, str, str], list[int]]:
    """The columns of each account, provider and currency: what is billed together."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for column, tariff in enumerate(tariffs):
        found.setdefault((tariff.line.account, tariff.price.provider, tariff.price.currency), []).append(column)
    return found
