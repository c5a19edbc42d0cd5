"""Money as providers write it down, with the unit in every name: nothing is multiplied by a price here.

Together's jobs count billionths of a dollar, Anthropic's reports cents, Scaleway units and billionths.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from alertd.core.money import Money

_NANO: Final = Decimal("1e-9")
_CENT: Final = Decimal("0.01")


def from_nanos(nanos: int, currency: str = "USD") -> Money:
    """36257280000 is 36.25728 dollars (Together AI: total_price of a fine-tuning job)."""
    return Money(nanos * _NANO, currency)


def from_cents(cents: Decimal, currency: str = "USD") -> Money:
    """12378.65 is 123.7865 dollars (Anthropic: amount of the cost report)."""
    return Money(cents * _CENT, currency)


def from_units_and_nanos(units: int, nanos: int, currency: str) -> Money:
    """2 and 700000000 are 2.70 euros (Scaleway: value of a consumption); both have the same sign."""
    return Money(units + nanos * _NANO, currency)
