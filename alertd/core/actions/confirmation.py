"""Whether more than one reading shows that a budget's spend increases, and what one reading alone explains. Pure.

A counter that is read wrong once looks like spend in one reading. So an action needs two readings, each with new spend,
at rates within tenfold of each other; and what a single reading adds at over ten times the rate of every other does not
count towards the threshold that an action answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from alertd.core.actions.offenders import cost_table, series_of
from alertd.core.evaluation.scope_sources import SURELY_LONGER
from alertd.core.evaluation.values import BudgetStatus, Burn, Facts, SourceView

#: Two readings confirm each other where neither rate is over this many times the other's.
_TENFOLD: Final = 10
#: A reading that comes sooner after the last one than this share of its source's interval is taken with the next one.
_SOONEST: Final = 0.5
#: The number of increases that are kept; the largest is always among them.
_KEPT: Final = 12
#: What was spent before the readings is looked at so far back, in buckets of at most this width, in seconds.
_LOOKS_BACK: Final = timedelta(hours=48)
_WIDEST: Final = 900


@dataclass(frozen=True, slots=True)
class Increase:
    """New spend that one reading showed: when its data end, over how many seconds, how much in the budget's unit."""

    at: datetime
    seconds: float
    amount: Decimal

    @property
    def rate(self) -> Decimal:
        """In the budget's unit per second."""
        return self.amount / Decimal(repr(max(self.seconds, 1.0)))

    def confirms(self, other: Increase) -> bool:
        """Whether the two rates are within tenfold of each other."""
        return self.rate <= other.rate * _TENFOLD and other.rate <= self.rate * _TENFOLD


@dataclass(frozen=True, slots=True)
class Readings:
    """The spend of one budget status over successive readings: up to when each source was read, spent, what was new."""

    until: Mapping[str, datetime]
    spent: Decimal
    increases: tuple[Increase, ...] = ()

    def after(self, views: Sequence[SourceView], spent: Decimal) -> Readings:
        """These readings with the newest one, or unchanged where no source was read since, or only just now."""
        now = read_until(views)
        ahead = {name: (at - self.until[name]).total_seconds() for name, at in now.items() if name in self.until}
        whole = {view.name: view.interval.total_seconds() * _SOONEST for view in views}
        if not any(seconds >= max(whole[name], 1e-3) for name, seconds in ahead.items()):
            return self if self.until else Readings(now, spent)
        newest = max(now.values())
        more = spent - self.spent
        found = self.increases
        if more > 0:
            found = _bounded((*found, Increase(newest, max(ahead.values()), more)))
        return Readings({**self.until, **now}, spent, found)

    @property
    def confirmed(self) -> bool:
        """Whether two of its readings show new spend at rates within tenfold of each other."""
        return any(one.confirms(other) for n, one in enumerate(self.increases) for other in self.increases[n + 1 :])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` gives the same back."""
        return {
            "until": {name: at.isoformat() for name, at in self.until.items()},
            "spent": str(self.spent),
            "increases": [[one.at.isoformat(), one.seconds, str(one.amount)] for one in self.increases],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Readings:
        return cls(
            {name: datetime.fromisoformat(at) for name, at in data["until"].items()},
            Decimal(data["spent"]),
            tuple(Increase(datetime.fromisoformat(at), float(s), Decimal(n)) for at, s, n in data["increases"]),
        )


def read_until(views: Sequence[SourceView]) -> dict[str, datetime]:
    """Up to when each source was read, without those that never were."""
    return {view.name: view.until for view in views if view.until is not None}


def find_jumps(facts: Facts, position: BudgetStatus, readings: Readings) -> tuple[Increase, ...]:
    """What single readings of the last 48 hours added at a rate that no other comes near, the largest first."""
    first = min((one.at - timedelta(seconds=one.seconds) for one in readings.increases), default=facts.context.now)
    found = sorted((*readings.increases, *_earlier(facts, position, first)), key=lambda one: one.rate)
    jumps: list[Increase] = []
    while found and not (len(found) > 1 and found[-1].confirms(found[-2])):
        jumps.append(found.pop())
    return tuple(sorted(jumps, key=lambda one: -one.amount))


def without_jumps(position: BudgetStatus, jumps: Sequence[Increase]) -> BudgetStatus:
    """The position as if nothing had been spent in those readings: its spend and burn rates; not its projection."""
    jumped = sum((one.amount for one in jumps), Decimal(0))
    burns = {window: _without(burn, position, jumps) for window, burn in position.burns.items()}
    return replace(position, spent=position.spent - jumped, burns=burns)


def _without(burn: Burn, position: BudgetStatus, jumps: Sequence[Increase]) -> Burn:
    begin = (position.seen_until or position.period.start) - burn.window
    left = burn.spent - _since(jumps, begin)
    if left <= 0:
        return Burn(burn.window, Decimal(0), 0.0)
    least = None if burn.least is None else max(Decimal(0), burn.least - _since(jumps, begin - SURELY_LONGER))
    return Burn(burn.window, left, burn.factor * float(left / burn.spent), least)


def _since(jumps: Sequence[Increase], begin: datetime) -> Decimal:
    return sum((one.amount for one in jumps if one.at > begin), Decimal(0))


def is_jumpy(position: BudgetStatus, jumps: Sequence[Increase]) -> bool:
    """Whether the jumps are over a tenth of the spend: then a projection from it is not to be acted upon."""
    return sum((one.amount for one in jumps), Decimal(0)) * _TENFOLD > position.spent


def _earlier(facts: Facts, position: BudgetStatus, before: datetime) -> list[Increase]:
    """What every bucket shows that ended before an instant. The largest and its neighbour may be of one reading."""
    start = max(position.period.start, facts.context.now - _LOOKS_BACK)
    if start >= before:
        return []
    table = cost_table(facts, position)
    rows = facts.ledger.buckets(series_of(facts, position), start.timestamp())
    spent: dict[tuple[int, int], Decimal] = {}
    for series, begin, width, quantity in zip(*(column.tolist() for column in rows), strict=True):
        prices = table.prices(series)
        if prices and quantity and width <= _WIDEST and begin + width <= before.timestamp():
            spent[begin, width] = spent.get((begin, width), Decimal(0)) + quantity * prices[-1][2]
    ordered = sorted(spent.items())
    if not ordered:
        return []
    found = [_increase(begin, width, amount) for (begin, width), amount in ordered]
    largest = max(range(len(found)), key=lambda place: found[place].amount)
    beside = [n for n in (largest - 1, largest + 1) if 0 <= n < len(found) and _touch(ordered, n, largest)]
    if beside:
        other = max(beside, key=lambda place: found[place].amount)
        one = found[largest]
        found[largest] = Increase(max(one.at, found[other].at), one.seconds, one.amount + found[other].amount)
        del found[other]
    return found


def _touch(ordered: Sequence[tuple[tuple[int, int], Decimal]], one: int, other: int) -> bool:
    (begin, width), _ = ordered[min(one, other)]
    return begin + width == ordered[max(one, other)][0][0]


def _increase(begin: int, width: int, amount: Decimal) -> Increase:
    return Increase(datetime.fromtimestamp(begin + width, UTC), width, amount)


def _bounded(increases: tuple[Increase, ...]) -> tuple[Increase, ...]:
    """The newest increases, and the largest of all."""
    if len(increases) <= _KEPT:
        return increases
    largest = max(increases, key=lambda one: one.rate)
    return increases[1:] if increases[0] is not largest else (increases[0], *increases[2:])
