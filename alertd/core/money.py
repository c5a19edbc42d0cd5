"""Money as a decimal with its currency, and amounts as providers write them, with the unit in every name.

Together's jobs count billionths of a dollar, Anthropic's reports cents, Scaleway units and billionths.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

_CODE: Final = re.compile(r"[A-Z]{3}\Z")
_CENT: Final = Decimal("0.01")
#: More than any line of a bill; the ledger keeps billionths, and a database whole numbers up to 9.2e18.
LARGEST: Final = Decimal(9_000_000_000)


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An exact amount of one currency (ISO 4217 code). Floats are refused, mixed currencies too."""

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        if not isinstance(self.amount, Decimal):
            raise TypeError(f"an amount of money is a Decimal, not {type(self.amount).__name__}")
        if not self.amount.is_finite():
            raise ValueError(f"an amount of money is finite, not {self.amount}")
        if not _CODE.match(self.currency):
            raise ValueError(f"a currency is three capital letters (USD), not {self.currency!r}")

    def __add__(self, other: Money) -> Money:
        return Money(self.amount + self._same(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.amount - self._same(other), self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.amount < self._same(other)

    def __le__(self, other: Money) -> bool:
        return self.amount <= self._same(other)

    def rounded(self) -> Money:
        """To the cent, half to even: for people, never for a sum."""
        return Money(self.amount.quantize(_CENT, rounding=ROUND_HALF_EVEN), self.currency)

    def __str__(self) -> str:
        return f"{self.rounded().amount:f} {self.currency}"

    def _same(self, other: Money) -> Decimal:
        if self.currency != other.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not add up without a rate")
        return other.amount


_NANO: Final = Decimal("1e-9")


def from_nanos(nanos: int, currency: str = "USD") -> Money:
    """36257280000 is 36.25728 dollars (Together AI: total_price of a fine-tuning job)."""
    return Money(nanos * _NANO, currency)


def from_cents(cents: Decimal, currency: str = "USD") -> Money:
    """12378.65 is 123.7865 dollars (Anthropic: amount of the cost report)."""
    return Money(cents * _CENT, currency)


def from_units_and_nanos(units: int, nanos: int, currency: str) -> Money:
    """2 and 700000000 are 2.70 euros (Scaleway: value of a consumption); both have the same sign."""
    return Money(units + nanos * _NANO, currency)
