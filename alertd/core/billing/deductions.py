"""Subtract a bill's credits, discounts, coupons and refunds from the charges that they are for; no sum changes.

A deduction is a billed cost below zero. It is shared in proportion over the charges of its provider and currency, to
the nano: charges that match all of its labels, else those of its project, account or key, each time of its own
days first and then of its month. No charge falls below zero. What is left after that stays a deduction:
it came: more was given back than was charged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from alertd.core.money import Money
from alertd.core.pricing.allocation import allocate
from alertd.core.usage import CHARGE_LABEL, BilledCost, Usage

#: Labels that say what money was for and not whose it was: a credit for all of a project's products names none of them.
DESCRIPTIVE: Final = frozenset(
    {CHARGE_LABEL, "line", "product", "category", "service", "region", "resource", "sku", "paid_by", "hardware"}
)
_NANO: Final = Decimal("1e-9")
#: A day of any zone begins within this of the UTC day that it is named by.
_HALF_A_DAY: Final = timedelta(hours=12)


class _Deduction(NamedTuple):
    """What equal deductions share: labels, model, window and source."""

    labels: tuple[tuple[str, str], ...]
    model: str
    start: datetime
    end: datetime
    source: str
    final: bool


def share_deductions(records: Sequence[BilledCost | Usage]) -> tuple[BilledCost | Usage, ...]:
    """The records of a bill with its deductions taken off the charges that they belong to, in any order the same."""
    billed = [one for one in records if isinstance(one, BilledCost)]
    if not any(one.cost.amount < 0 for one in billed):
        return tuple(records)
    shared: list[BilledCost | Usage] = [one for one in records if not isinstance(one, BilledCost)]
    by_bill: dict[tuple[str, str], list[BilledCost]] = defaultdict(list)
    for one in billed:
        by_bill[one.provider, one.cost.currency].append(one)
    for bill in by_bill.values():
        shared += _shared(bill)
    return tuple(shared)


def _shared(bill: Sequence[BilledCost]) -> Iterator[BilledCost]:
    """One provider's charges in one currency, less its deductions."""
    charges = sorted((one for one in bill if one.cost.amount >= 0), key=_order)
    left = [one.cost.amount for one in charges]
    deductions: dict[_Deduction, Decimal] = defaultdict(Decimal)
    for one in bill:
        if one.cost.amount < 0:
            labels = tuple(sorted(one.labels.items()))
            deductions[_Deduction(labels, one.model, one.start, one.end, one.source, one.final)] -= one.cost.amount
    currency, provider = bill[0].cost.currency, bill[0].provider
    remaining = []
    for deduction in sorted(deductions, key=lambda one: (-len(one.labels), one)):
        rest = deductions[deduction]
        for places in _candidates(deduction, charges):
            open_places = [place for place in places if left[place] > 0]
            taken = min(rest, sum((left[place] for place in open_places), Decimal(0)))
            for place, part in zip(
                open_places, allocate(taken, [left[at] for at in open_places], _NANO) if taken else (), strict=False
            ):
                left[place] -= part
            rest -= taken
            if not rest:
                break
        if rest:
            remaining.append(
                BilledCost(provider, deduction.start, deduction.end, Money(-rest, currency), dict(deduction.labels),
                           deduction.model, deduction.source, deduction.final)
            )  # fmt: skip
    for one, amount in zip(charges, left, strict=True):
        yield one if amount == one.cost.amount else replace(one, cost=Money(amount, currency))
    yield from remaining


def _candidates(deduction: _Deduction, charges: Sequence[BilledCost]) -> Iterator[list[int]]:
    """The places of the charges that a deduction may be for, the likeliest first."""
    month = _month(deduction.start)
    for exactly in (True, False):
        matching = [place for place, one in enumerate(charges) if _belongs(deduction, one, exactly=exactly)]
        yield [at for at in matching if charges[at].start < deduction.end and deduction.start < charges[at].end]
        yield [at for at in matching if _month(charges[at].start) == month]


def _belongs(deduction: _Deduction, charge: BilledCost, *, exactly: bool) -> bool:
    """Whether a charge belongs to the scope of a deduction; with `exactly`, all other labels match, too."""
    if exactly and deduction.model != charge.model:
        return False
    return all(_has(charge, name, value) for name, value in deduction.labels if exactly or name not in DESCRIPTIVE)


def _has(charge: BilledCost, name: str, value: str) -> bool:
    """Whether a charge has a label's value; a project's id beside its name is the same project."""
    plain = name.removesuffix("_id")
    return value in (charge.labels.get(name), charge.labels.get(plain), charge.labels.get(f"{plain}_id"))


def _month(instant: datetime) -> tuple[int, int]:
    """The calendar month of a bill's day, whatever its zone."""
    at = (instant + _HALF_A_DAY).astimezone(UTC)
    return at.year, at.month


def _order(one: BilledCost) -> tuple[object, ...]:
    return one.start, one.end, one.model, one.source, sorted(one.labels.items()), one.cost.amount, one.final
