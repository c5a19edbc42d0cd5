"""Numbers for people: amounts, shares, estimates, chances. One place decides how precise a figure may look."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from alertd.core.budgets import TOKENS

_CENT: Final = Decimal("0.01")
_THOUSAND: Final = 1000
_HUNDRED: Final = 100
_SCALES: Final = ((Decimal(10**12), "T"), (Decimal(10**9), "B"), (Decimal(10**6), "M"), (Decimal(10**3), "k"))
#: Currencies that people never write with decimals.
_WHOLE: Final = frozenset({"JPY", "KRW", "VND", "CLP", "ISK", "HUF", "IDR"})
#: Amounts that people choose for a budget.
_ROUND_STEPS: Final = tuple(map(Decimal, ("1", "1.2", "1.5", "2", "2.5", "3", "4", "5", "6", "7", "8", "9", "10")))
#: A budget status in two words; its sign says it again without a colour.
STATUSES: Final = {
    "over": ("■", "over budget"),
    "runaway": ("◆", "running away"),
    "at_risk": ("▲", "at risk"),
    "unknown": ("?", "unknown"),
    "no_forecast": ("○", "no forecast yet"),
    "on_track": ("●", "on track"),
}
_CHANCE_FLOOR: Final = 0.01
_CHANCE_CEILING: Final = 0.99


def number(value: Decimal, unit: str) -> str:
    """An amount without its unit: 251.40, 1,204, 0.004; tokens as 5.2M. Zero is 0."""
    if unit == TOKENS:
        return tokens(value)
    size = abs(value)
    if not size:
        return "0"
    if round(size, 2) >= _THOUSAND or (unit in _WHOLE and size >= 1):
        return f"{value.quantize(Decimal(1), rounding=ROUND_HALF_EVEN):,f}"
    if size >= Decimal("0.1"):
        return f"{value.quantize(_CENT, rounding=ROUND_HALF_EVEN):f}"
    short = f"{_significant(value, 2).normalize():f}"
    whole, _, decimals = short.partition(".")
    return f"{whole}.{decimals:<02}"


def amount(value: Decimal, unit: str) -> str:
    """An amount with its currency: `251.40 USD`, `5.2M tokens`."""
    return f"{number(value, unit)} {unit}".rstrip()


def used_of(spent: Decimal, total: Decimal, unit: str) -> str:
    """`81.20 of 100.00 USD (81 %)`."""
    return f"{number(spent, unit)} of {amount(total, unit)} ({percent(spent, total)})"


def tokens(value: Decimal | int) -> str:
    """A count with at most three digits that matter: 950, 5.2k, 12.4M, 1.25B."""
    exact = Decimal(value)
    for scale, letter in _SCALES:
        short = _significant(exact / scale, 3)
        if abs(short) >= 1:
            return f"{short.normalize():f}{letter}"
    return f"{exact.quantize(Decimal(1)):f}"


def estimate(value: Decimal, unit: str, spent: Decimal | None = None) -> str:
    """A projected amount, to three digits that matter, and never below what is spent already."""
    if unit == TOKENS:
        return tokens(value)
    short = _significant(value, 3)
    if spent is not None and short < spent <= value:
        return number(value, unit)
    if abs(short) >= _HUNDRED:
        return f"{short:,.0f}"
    return f"{short:f}" if short else "0"


def percent(part: Decimal, whole: Decimal) -> str:
    """A share in whole percent, which says 100 % only where it is reached."""
    if not whole:
        return "of nothing" if part else "0 %"
    share = part / whole * _HUNDRED
    if Decimal("99.5") <= share < _HUNDRED:
        return "99 %"
    if 0 < share < Decimal("0.5"):
        return "under 1 %"
    return f"{share.quantize(Decimal(1), rounding=ROUND_HALF_EVEN):,f} %"


def share_percent(share: float) -> str:
    """A share of 0 to 1 in whole percent."""
    return percent(Decimal(str(share)), Decimal(1))


def chance(probability: float) -> str:
    """A probability in percent that claims neither certainty."""
    if probability >= _CHANCE_CEILING:
        return "over 99 %"
    if probability < _CHANCE_FLOOR:
        return "under 1 %"
    return f"{probability * _HUNDRED:.0f} %"


def level_text(level: Decimal) -> str:
    """A threshold's level: `80 %`, `62.5 %`."""
    return f"{round(level, 1).normalize():f} %"


def times(factor: Decimal | float) -> str:
    """A multiple: ×6.8, ×59, ×0.4."""
    exact = Decimal(str(factor))
    digits = 3 if abs(exact) >= _HUNDRED else 2
    return f"×{_significant(exact, digits).normalize():,f}"


def round_amount_above(value: Decimal) -> Decimal:
    """The next amount that a person would choose for a budget: 564 gives 600."""
    if value <= 0:
        return Decimal(1)
    power = Decimal(10) ** value.adjusted()
    return next(step * power for step in _ROUND_STEPS if step * power > value)


def plural(count: int, one: str, many: str = "") -> str:
    """`1 budget`, `12 budgets`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _significant(value: Decimal, digits: int) -> Decimal:
    if not value:
        return Decimal(0)
    rounded = value.quantize(Decimal(1).scaleb(value.adjusted() - digits + 1), rounding=ROUND_HALF_EVEN)
    return Decimal(f"{rounded:f}")
