"""A ledger in memory that applies readings as the collect loop does: for claims about sources and counters."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from alertd.core.counting.counters import CounterState, Increment, count
from alertd.ports import Reading, Source


@dataclass
class Ledger:
    """What a store would hold of one source."""

    cursor: str | None = None
    states: dict[str, CounterState] = field(default_factory=dict)
    increments: list[Increment] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    #: After each reading, why its figures are a lower bound.
    assumed: list[str] = field(default_factory=list)
    doubts: list[tuple[str, ...]] = field(default_factory=list)

    async def collect(self, source: Source, since: datetime, now: datetime, most: int | None = None) -> int:
        """Read on from the cursor; with `most`, die after so many readings. The number of readings."""
        taken = 0
        async for reading in source.read(self.cursor, since, now):
            counted = count(
                self.states,
                reading.samples,
                reading.scrapes,
                first_read=self.cursor is None,
                period_start=since.timestamp(),
                now=now.timestamp(),
                newborn=reading.newborn,
            )
            self.states |= counted.states
            self.increments += counted.increments
            self.refused += counted.refused
            self.doubts.append(counted.doubts)
            self.assumed += counted.assumed
            self.cursor = reading.cursor
            self.readings.append(reading)
            taken += 1
            if taken == most:
                break
        return taken

    def totals(self, *labels: str) -> Counter[tuple[str, ...]]:
        """Quantities by model, meter and the labels asked for."""
        found: Counter[tuple[str, ...]] = Counter()
        for one in self.increments:
            found[one.line.model, one.line.meter, *(one.labels.get(name, "") for name in labels)] += one.quantity
        return found

    @property
    def complete_from(self) -> datetime | None:
        return next((one.complete_from for one in self.readings if one.complete_from is not None), None)
