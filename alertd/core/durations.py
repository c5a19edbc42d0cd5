"""How long something took, over and over: counted in buckets, so that quantiles can be asked for. No clock in here."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

#: The upper bounds in seconds: from a local request to a poll that reads weeks.
BOUNDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


@dataclass(slots=True)
class Durations:
    """What was measured so far: how often, how long in all, and how often up to each bound."""

    seconds: float = 0.0
    _counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))

    @property
    def count(self) -> int:
        return sum(self._counts)

    def add(self, seconds: float) -> None:
        """One more. A clock that was set back makes it 0, never less."""
        lasted = max(0.0, seconds)
        self.seconds += lasted
        self._counts[bisect_left(BOUNDS, lasted)] += 1

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Each bound with how many took no longer; the last bound is infinity."""
        yield from zip((*BOUNDS, float("inf")), accumulate(self._counts), strict=True)
