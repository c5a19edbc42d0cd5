"""What a file holds, as every command and source gets it."""

from __future__ import annotations

from dataclasses import dataclass

from alertd.core.usage import BilledCost, Usage


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds. `reported` is money that a gateway worked out itself: a check, never the cost."""

    layout: str
    title: str
    usage: tuple[Usage, ...]
    costs: tuple[BilledCost, ...]
    reported: tuple[BilledCost, ...] = ()
    notes: tuple[str, ...] = ()
    rows: int = 0

    @property
    def is_bill(self) -> bool:
        """Whether its own money is the cost, and its tokens are beside that."""
        return bool(self.costs) or not self.usage

    @property
    def counted(self) -> tuple[Usage | BilledCost, ...]:
        """The records that are the cost: the billed money, else the tokens, else what is reported."""
        return self.costs or self.usage or self.reported
