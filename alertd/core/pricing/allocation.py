"""An account's bill shared among teams, keys or projects by their usage; the shares add up exactly.

An account's rule (free tier, billing units, cents) is rated on the account; here its effect is handed on in proportion
to what each part would have cost without it. Scaleway splits its free tier that way: projects of 1 and 3 euros with
2 euros off pay 0.50 and 1.50 (FAQ on pricing and billing, 2026).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final, TypeVar

from alertd.core.pricing.rating import Bill, BillLine
from alertd.core.pricing.rating_rules import BillingRule
from alertd.core.usage import Line

#: The finest part of a currency's unit that an allocation assigns.
MICRO: Final = Decimal("0.000001")

Part = TypeVar("Part", bound=Hashable)


def allocate(
    cost: Decimal, weights: Sequence[int | Decimal | Fraction], quantum: Decimal = MICRO
) -> tuple[Decimal, ...]:
    """A cost in parts proportional to the weights, which add up to it exactly (largest remainder, first among equals).

    Parts are multiples of `quantum` except one, which carries what of the cost is finer than that. Weights are not
    negative; where all are 0 the cost is shared evenly. Raises ValueError without weights for a cost that is not 0.
    """
    shares = [Fraction(weight) for weight in weights]
    if any(share < 0 for share in shares):
        raise ValueError("a weight is not negative")
    if not shares:
        if cost:
            raise ValueError(f"nobody to share {cost} among")
        return ()
    if not any(shares):
        shares = [Fraction(1)] * len(shares)
    return _largest_remainder(cost, shares, quantum)


def effective_prices(bill: Bill) -> dict[tuple[Line, date], Fraction]:
    """What one unit of a line came to in a month, by (line, first day of the month), after its account's rule.

    Units times these, over all lines, is the whole bill exactly. A line that was not used is not in it. Where a linear
    price changed within the month this is its mean; the price book's tariff of the day is sharper there.
    """
    accounts: dict[tuple[str, str, date, BillingRule, str, str], list[BillLine]] = {}
    for one in bill.lines:
        model = one.price.model if one.rule.free is not None and one.rule.free.per == "model" else ""
        key = (one.line.account, one.price.provider, one.month, one.rule, one.currency, model)
        accounts.setdefault(key, []).append(one)
    costs: dict[tuple[Line, date], Fraction] = {}
    units: dict[tuple[Line, date], int] = {}
    for lines in accounts.values():
        gross = sum((Fraction(one.gross) for one in lines), Fraction(0))
        kept = sum((Fraction(one.cost) for one in lines), Fraction(0)) / gross if gross else Fraction(0)
        for one in lines:
            where = (one.line, one.month)
            costs[where] = costs.get(where, Fraction(0)) + Fraction(one.gross) * kept
            units[where] = units.get(where, 0) + one.quantity
    return {where: costs[where] / units[where] for where in costs if units[where]}


def share(
    bill: Bill, parts: Mapping[Part, Mapping[tuple[Line, date], int]], quantum: Decimal = MICRO
) -> dict[Part, dict[str, Decimal]]:
    """A bill shared over parts that do not overlap (projects, teams) by the units each used, by (line, month).

    What a part did not use costs it nothing. Where the parts cover the bill's usage, those of each currency add up to
    its total; otherwise the rest stays unshared.
    """
    prices = effective_prices(bill)
    currencies = {(one.line, one.month): one.currency for one in bill.lines}
    due: dict[Part, dict[str, Fraction]] = {part: {} for part in parts}
    for part, used in parts.items():
        for where in used.keys() & prices.keys():
            currency = currencies[where]
            due[part][currency] = due[part].get(currency, Fraction(0)) + prices[where] * used[where]
    shared: dict[Part, dict[str, Decimal]] = {part: {} for part in parts}
    for currency, whole in bill.totals.items():
        weights = [of_part.get(currency, Fraction(0)) for of_part in due.values()]
        rest = max(Fraction(whole) - sum(weights, Fraction(0)), Fraction(0))
        for part, amount in zip(parts, allocate(whole, [*weights, rest], quantum), strict=False):
            shared[part][currency] = amount
    return shared


def _largest_remainder(cost: Decimal, shares: Sequence[Fraction], quantum: Decimal) -> tuple[Decimal, ...]:
    whole = sum(shares, Fraction(0))
    sign = -1 if cost < 0 else 1
    steps = int(abs(cost) // quantum)
    exact = [steps * share / whole for share in shares]
    given = [int(step) for step in exact]
    by_remainder = sorted(range(len(shares)), key=lambda index: given[index] - exact[index])
    for index in by_remainder[: steps - sum(given)]:
        given[index] += 1
    parts = [sign * step * quantum for step in given]
    largest = max(range(len(shares)), key=lambda index: shares[index])
    parts[largest] += cost - sign * steps * quantum
    return tuple(parts)
