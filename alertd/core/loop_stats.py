"""What is counted of the daemon's own work: rounds of a loop, deliveries of a notifier, and how long they took."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Final, Self

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


@dataclass(slots=True)
class LoopStats:
    """One loop: how often it ran, failed and was skipped, how long that took, when its last round ended.

    `durations` are those of all rounds; `reasons` counts the failed ones by the kind of their error. The loop counts
    as stuck when no round has ended for `allowed` (None: it may take for ever). `source` is the source that it reads,
    "" for what reads none.
    """

    name: str
    allowed: timedelta | None = None
    runs: int = 0
    skipped: int = 0
    failures: int = 0
    durations: Durations = field(default_factory=Durations)
    last_seconds: float = 0.0
    last_end: datetime | None = None
    last_error: str = ""
    reasons: Counter[str] = field(default_factory=Counter)
    source: str = ""

    def stuck(self, started: datetime, now: datetime) -> bool:
        """Whether no round has ended for too long, counted from the daemon's start before the first."""
        return self.allowed is not None and now - (self.last_end or started) > self.allowed


@dataclass(slots=True)
class Sent:
    """What became of messages: of one round, or of one notifier since the start."""

    delivered: int = 0
    retried: int = 0
    given_up: int = 0
    #: Recorded too late: another replica had taken the row over, so the receiver may have it twice.
    overtaken: int = 0

    def __iadd__(self, other: Sent) -> Self:
        self.delivered += other.delivered
        self.retried += other.retried
        self.given_up += other.given_up
        self.overtaken += other.overtaken
        return self


@dataclass(slots=True)
class DeliveryStats:
    """One notifier since the daemon's start; `failures` counts tries by a small, fixed set of words."""

    notifier: str
    totals: Sent = field(default_factory=Sent)
    durations: Durations = field(default_factory=Durations)
    failures: Counter[str] = field(default_factory=Counter)
    last_error: str = ""
