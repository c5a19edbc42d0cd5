"""The estimate beside the bill as values: days, drift, causes, a correction; and in words. It compares nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final, Literal

from alertd.core.billing.duplicate_sources import DuplicateSources

Scope = tuple[tuple[str, str], ...]

#: A drift up to this is none: rounding, time zones, the last minutes of a day.
AGREES: Final = Decimal("0.02")


@dataclass(frozen=True, slots=True)
class Day:
    """One final day: what was estimated for it and what was billed."""

    day: date
    estimated: Decimal
    billed: Decimal

    @property
    def ratio(self) -> Decimal | None:
        """What was billed for one unit of the estimate; None where one side has nothing."""
        return self.billed / self.estimated if self.estimated > 0 and self.billed > 0 else None


@dataclass(frozen=True, slots=True)
class Cause:
    """Why the two sides differ: agrees, unpriced, counted_twice, not_seen, price_changed, price_differs or unclear.

    Also no_rate: the other side is in a currency without a known rate.
    """

    kind: str
    said: str


@dataclass(frozen=True, slots=True)
class Reconciled:
    """One provider and scope over its final days, in `unit`. `factor` corrects the estimate of days not billed yet.

    `used_by` and `billed_by` are the sources of the two sides. `against`: what the estimate is compared with, a bill,
    or what a gateway or an agent reports as its own estimate.
    """

    provider: str
    scope: Scope
    unit: str
    days: tuple[Day, ...]
    causes: tuple[Cause, ...]
    factor: Decimal | None
    used_by: tuple[str, ...] = ()
    billed_by: tuple[str, ...] = ()
    against: Literal["bill", "report"] = "bill"

    @property
    def verb(self) -> str:
        """What the other side did: billed, or reported."""
        return "billed" if self.against == "bill" else "reported"

    @property
    def estimated(self) -> Decimal:
        return sum((day.estimated for day in self.days), Decimal(0))

    @property
    def billed(self) -> Decimal:
        return sum((day.billed for day in self.days), Decimal(0))

    @property
    def drift(self) -> Decimal | None:
        """By how much the estimate is above the bill, as a part of the bill; None where nothing was billed."""
        return (self.estimated - self.billed) / self.billed if self.billed else None

    def drifts(self, level: Decimal = AGREES) -> bool:
        """Whether the sides differ by more than a level, or one of them has nothing."""
        return self.estimated != self.billed and (self.drift is None or abs(self.drift) > level)

    def to_json(self) -> dict[str, Any]:
        """What the command, the API and the daemon's memory say of it: money as text, days as dates."""
        return {
            "provider": self.provider,
            "scope": dict(self.scope),
            "currency": self.unit,
            "from": str(self.days[0].day) if self.days else None,
            "to": str(self.days[-1].day) if self.days else None,
            "estimated": f"{self.estimated:f}",
            "billed": f"{self.billed:f}",
            "drift_percent": None if self.drift is None else f"{self.drift * 100:.2f}",
            "factor": None if self.factor is None else str(self.factor),
            "used_by": list(self.used_by),
            "billed_by": list(self.billed_by),
            "against": self.against,
            "causes": [{"kind": cause.kind, "said": cause.said} for cause in self.causes],
        }


def report(found: Sequence[Reconciled], pairs: Sequence[DuplicateSources] = ()) -> Iterator[str]:
    """The reconciliation in words, a provider a paragraph."""
    for one in found:
        scope = " ".join(f"{name}={value or 'none'}" for name, value in one.scope)
        drift = f"nothing {one.verb}" if one.drift is None else f"{one.drift * 100:+.1f} %"
        by = f" by {', '.join(one.billed_by)}" if one.against == "report" else ""
        span = f"{one.days[0].day} to {one.days[-1].day}" if one.days else "no final day"
        yield (
            f"{one.provider}{' ' + scope if scope else ''}, {span}: estimated {one.estimated:.2f},"
            f" {one.verb}{by} {one.billed:.2f} {one.unit}, {drift}"
        )
        yield from (f"  {cause.said}" for cause in one.causes)
        if one.factor is not None and one.factor != 1:
            yield f"  correction for days that are not billed yet: times {one.factor}"
    yield from (pair.said for pair in pairs)
