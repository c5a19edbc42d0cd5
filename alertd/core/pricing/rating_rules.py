"""The pieces of a provider's billing rule as values: what is rounded to which unit, what is free, in what order.

A rule is data; rating.py applies it exactly, joint_rate.py to many projected quantities at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from typing import Any, Final, Literal

#: `first_line`: by model and meter, as a bill lists them.
Order = Literal["dearest_first", "cheapest_first", "first_line"]
Moment = Literal["before_rounding", "after_rounding"]
FreePeriod = Literal["month", "once", "none"]
#: Whether an account has one allowance, or one for each model (Alibaba's quota of new users).
FreePer = Literal["account", "model"]
LineRounding = Literal["none", "half_even_cent", "up_to_cent"]

_CENT: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class FreeAllowance:
    """What an account need not pay for in a period, in the meter's own unit.

    `used_elsewhere` is what projects that are not measured here use of it.
    """

    quantity: int = 0
    order: Order = "dearest_first"
    moment: Moment = "before_rounding"
    period: FreePeriod = "month"
    used_elsewhere: int = 0
    per: FreePer = "account"


@dataclass(frozen=True, slots=True)
class BillingRule:
    """How a provider turns the lines of one account's month into money, and the sentence that says so."""

    name: str
    sentence: str = ""
    source: str = ""
    since: date | None = None
    #: Each line's quantity is rounded up to a multiple of it; 1 bills every token.
    unit: int = 1
    free: FreeAllowance | None = None
    line_rounding: LineRounding = "none"

    @property
    def linear(self) -> bool:
        """Whether a quantity costs the same whatever else was used."""
        return self.unit == 1 and self.free is None and self.line_rounding == "none"

    def units(self, quantity: int) -> int:
        """The quantity rounded up to the billing unit; a correction below zero is left as it is."""
        return -(-quantity // self.unit) * self.unit if quantity > 0 else quantity

    def rounded(self, cost: Decimal) -> Decimal:
        """A line's cost as the rule rounds it."""
        match self.line_rounding:
            case "up_to_cent":
                return cost.quantize(_CENT, rounding=ROUND_CEILING)
            case "half_even_cent":
                return cost.quantize(_CENT, rounding=ROUND_HALF_EVEN)
            case "none":
                return cost


PRO_RATA: Final = BillingRule("pro-rata", "Every unit is billed at its price; no minimum, no rounding.")


def rules_for(patches: Iterable[Mapping[str, Any]], meter: str) -> tuple[BillingRule, ...]:
    """The rules of a meter, oldest first, of patches by name: a later patch overrides what it names, the rest stays.

    A rule that names the meter goes before one that names none; without any, every unit is billed pro rata.
    """
    merged: dict[str, dict[str, Any]] = {}
    for patch in patches:
        rule = merged.setdefault(patch["name"], {})
        free = {**rule.get("free", {}), **patch.get("free", {})}
        rule.update({**patch, "free": free})
    own = [one for one in merged.values() if meter in one.get("meters", ())]
    chosen = own or [one for one in merged.values() if not one.get("meters")]
    rules = sorted((_rule(one) for one in chosen), key=lambda rule: rule.since or date.min)
    return tuple(rules) or (PRO_RATA,)


def _rule(patch: Mapping[str, Any]) -> BillingRule:
    fields = {key: value for key, value in patch.items() if key not in ("meters", "free")}
    free = patch.get("free")
    return BillingRule(**fields, free=FreeAllowance(**free) if free else None)
