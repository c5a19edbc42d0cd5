"""Bill an account's lines together for many possible months at once: for projections, never for a stated bill.

Non-linear bills are projected by the rule on projected quantities: crossing a free million or a billing unit jumps.

A free tier or a billing unit makes scaled money wrong: the millionth token may cost several euros at once. This holds
where a scope is a whole account in its provider's own month; elsewhere units are scaled at what they came to so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from alertd.core.pricing.costing import Exchange, Rate
from alertd.core.pricing.price_book import PriceBook, PricedLine, Unpriced
from alertd.core.pricing.rating import spending_order
from alertd.core.pricing.rating_rules import BillingRule, LineRounding
from alertd.core.usage import Line

Floats = NDArray[np.float64]

#: A product such as 0.1 * 3 may lie a hair above its cent; a cent is not charged for a hair.
_HAIR = 1e-9


def cost_paths(tariffs: Sequence[PricedLine], quantities: NDArray[np.number], used_before: int = 0) -> Floats:
    """The cost of each path: quantities are [paths, lines] of one account, provider, month and currency.

    Lines of one rule are billed together; `used_before` is what of the account's free allowance is spent already.
    Returns [paths]. Raises ValueError where columns and tariffs differ or currencies are mixed.
    """
    counts = np.asarray(quantities, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[1] != len(tariffs):  # noqa: PLR2004 - paths by lines
        raise ValueError(f"quantities are paths x {len(tariffs)} lines, not {counts.shape}")
    if len({tariff.price.currency for tariff in tariffs}) > 1:
        raise ValueError("one bill has one currency")
    total = np.zeros(counts.shape[0])
    for rule in dict.fromkeys(tariff.rule for tariff in tariffs):
        columns = [index for index, tariff in enumerate(tariffs) if tariff.rule == rule]
        total += _of_rule(rule, [tariffs[index] for index in columns], counts[:, columns], used_before)
    return total


def _of_rule(rule: BillingRule, tariffs: Sequence[PricedLine], counts: Floats, used_before: int) -> Floats:
    prices = np.array([float(tariff.price.unit) for tariff in tariffs])
    if rule.free is None or rule.free.period == "none":
        return _bill(rule, _units(rule, counts), prices)
    left = float(max(rule.free.quantity - rule.free.used_elsewhere - used_before, 0))
    order = spending_order(rule.free, tariffs)
    if rule.free.moment == "before_rounding":
        billed = _units(rule, counts - _granted(counts, order, np.full(counts.shape[0], left)))
        return _bill(rule, billed, prices)
    units = _units(rule, counts)
    granted = _granted(units, order, np.full(counts.shape[0], left - left % rule.unit))
    return np.where(counts.sum(axis=1) <= left, 0.0, _bill(rule, units - granted, prices))


def _bill(rule: BillingRule, billed: Floats, prices: Floats) -> Floats:
    costs: Floats = _rounded(rule.line_rounding, billed * prices).sum(axis=1)
    return costs


def _granted(offered: Floats, order: Sequence[int], left: Floats) -> Floats:
    granted = np.zeros_like(offered)
    for index in order:
        granted[:, index] = np.minimum(left, np.maximum(offered[:, index], 0))
        left = left - granted[:, index]
    return granted


def _units(rule: BillingRule, counts: Floats) -> Floats:
    whole = np.ceil(counts / rule.unit - _HAIR) * rule.unit if rule.unit > 1 else counts
    return np.where(counts > 0, whole, counts)


def _rounded(rounding: LineRounding, costs: Floats) -> Floats:
    match rounding:
        case "up_to_cent":
            return np.ceil(costs * 100 - _HAIR) / 100
        case "half_even_cent":
            return np.round(costs, 2)
        case "none":
            return costs


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


def _groups(tariffs: Sequence[PricedLine]) -> Mapping[tuple[str, str, str], list[int]]:
    """The columns of each account, provider and currency: what is billed together."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for column, tariff in enumerate(tariffs):
        found.setdefault((tariff.line.account, tariff.price.provider, tariff.price.currency), []).append(column)
    return found
