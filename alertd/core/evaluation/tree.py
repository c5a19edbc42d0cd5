"""Budgets and their parts as rows of a tree whose figures, in cents, add up on every level."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import Final

from alertd.core.budgets import TOKENS, Scope

_CENT: Final = Decimal("0.01")
Key = tuple[str, Scope]


@dataclass(frozen=True, slots=True)
class Part:
    """One scope as the tree needs it: whose part it is, what it spent of which amount, in the unit of its parent."""

    key: Key
    parent: Key | None
    spent: Decimal
    amount: Decimal
    unit: str
    status: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the tree: a `scope`, or of what is below `part` the `others`, the `rest`, or what is `shared`.

    `others` is the number of further scopes, `rest` is spend that no part covers, `shared` what counts in several parts
    and is taken off. `spent` is rounded so that the rows right below a scope add up to its own. `allocated` are the
    amounts of its parts.
    """

    part: Part
    depth: int
    spent: Decimal
    what: str = "scope"
    others: int = 0
    allocated: Decimal | None = None


def tree_rows(parts: Sequence[Part], most: int = 50) -> list[Row]:
    """The rows from the top down, the dearest first; of more than `most` parts of one scope the last are one row.

    Scopes without a parent or parts are left out: they are no tree.
    """
    known = {part.key: part for part in parts}
    below: dict[Key, list[Part]] = {}
    for part in parts:
        if part.parent in known and part.parent is not None:
            below.setdefault(part.parent, []).append(part)
    rows: list[Row] = []
    for part in parts:
        if part.parent not in known and part.key in below:
            rows += _rows(part, part.spent.quantize(_quantum(part)), 0, below, most)
    return rows


def _rows(part: Part, spent: Decimal, depth: int, below: Mapping[Key, list[Part]], most: int) -> Iterator[Row]:
    parts = sorted(below.get(part.key, ()), key=lambda one: (-one.spent, str(one.key)))
    allocated = sum((one.amount for one in parts), Decimal(0)) if parts else None
    yield Row(part, depth, spent, allocated=allocated)
    if not parts:
        return
    shown, hidden = parts[:most], parts[most:]
    others = sum((one.spent for one in hidden), Decimal(0))
    rest = part.spent - sum((one.spent for one in parts), Decimal(0))
    rounded = _rounded(spent, [*(one.spent for one in shown), others, rest], _quantum(part))
    for one, own in zip(shown, rounded, strict=False):
        yield from _rows(one, own, depth + 1, below, most)
    if hidden:
        yield Row(part, depth + 1, rounded[-2], "others", len(hidden))
    elif rounded[-2]:
        rounded[-1] += rounded[-2]
    if rounded[-1]:
        yield Row(part, depth + 1, rounded[-1], "rest" if rounded[-1] > 0 else "shared")


def _quantum(part: Part) -> Decimal:
    return Decimal(1) if part.unit == TOKENS else _CENT


def _rounded(whole: Decimal, exact: Sequence[Decimal], quantum: Decimal) -> list[Decimal]:
    """The figures as multiples of `quantum` that add up to `whole` (largest remainder); each within one of its own."""
    found = [one.quantize(quantum, rounding=ROUND_FLOOR) for one in exact]
    missing = int((whole - sum(found, Decimal(0))) / quantum)
    order = sorted(range(len(exact)), key=lambda n: (found[n] - exact[n], n))
    for number in range(abs(missing)):
        found[order[number % len(order)]] += quantum if missing > 0 else -quantum
    return found
