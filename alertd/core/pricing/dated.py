"""History that is looked up by the day of use: appending a step never changes the days before it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date
from typing import Protocol, TypeVar


class Step(Protocol):
    """Something in force from a day on; None: from the beginning."""

    @property
    def since(self) -> date | None: ...


S = TypeVar("S", bound=Step)


def ordered(steps: Sequence[S]) -> tuple[S, ...]:
    """The steps by the day they begin; of two on one day the later in the sequence wins."""
    by_day = {step.since: step for step in steps}
    return tuple(by_day[day] for day in sorted(by_day, key=lambda day: day or date.min))


def in_force(steps: Sequence[S], day: date) -> S:
    """The step of that day; the earliest known one applies to all earlier days."""
    begins = [step.since or date.min for step in steps]
    return steps[max(bisect_right(begins, day) - 1, 0)]


def is_assumed(step: Step, day: date) -> bool:
    """Whether the day lies before anything known: the step is the earliest, taken for want of a better one."""
    return step.since is not None and day < step.since


def days_of_change(*histories: Sequence[Step]) -> tuple[date | None, ...]:
    """Every day on which any of the histories changes, in order; None where one has no beginning."""
    days = {step.since for history in histories for step in history}
    return tuple(sorted(days, key=lambda day: day or date.min))
