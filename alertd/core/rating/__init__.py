"""Usage and prices become money, by each provider's own rule: exact bills, their shares, and their projections."""

from alertd.core.pricing.prices import Tariff
from alertd.core.rating.allocate import MICRO, allocate, effective_prices, share
from alertd.core.rating.bill import Bill, BillLine, UnpricedLine, rate
from alertd.core.rating.paths import cost_paths

__all__ = [
    "MICRO",
    "Bill",
    "BillLine",
    "Tariff",
    "UnpricedLine",
    "allocate",
    "cost_paths",
    "effective_prices",
    "rate",
    "share",
]
