"""A ledger in memory that applies readings as the collect loop does: for claims about sources and counters.

A reading in columns is counted twice, by the plain rule, too: both must come to the same.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from alertd.core.counting.columns import SampleColumns
from alertd.core.counting.counters import count
from alertd.core.counting.ordinary import count_columns
from alertd.core.counting.samples import Counted, CounterState, Increment
from alertd.core.counting.state_columns import StateColumns
from alertd.core.counting.states import renamed
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
    #: How many readings were counted in columns, at least a part of them.
    quick: int = 0

    async def collect(self, source: Source, since: datetime, now: datetime, most: int | None = None) -> int:
        """Read on from the cursor; with `most`, die after so many readings. The number of readings."""
        taken = 0
        async for reading in source.read(self.cursor, since, now):
            terms = {
                "first_read": self.cursor is None,
                "period_start": since.timestamp(),
                "now": now.timestamp(),
                "newborn": reading.newborn,
            }
            put, forgotten = renamed(self.states, reading.renamed)
            self.states = {name: one for name, one in self.states.items() if name not in forgotten} | put
            counted = count(self.states, list(reading.samples), reading.scrapes, **terms)
            if isinstance(reading.samples, SampleColumns):
                states = StateColumns(self.states)
                quick = count_columns(states, reading.samples, reading.scrapes, **terms)
                assert said(quick) == said(counted)
                states.update(quick.states)
                if quick.moved is not None:
                    states.move(quick.moved)
                    self.quick += 1
                assert dict(states) == self.states | counted.states
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


def said(counted: Counted) -> tuple[object, ...]:
    """All that a reading came to but the states, in any order."""
    sums: Counter[tuple[object, ...]] = Counter()
    for line, labels, start, width, quantity in counted.increments:
        sums[line, frozenset(labels.items()), start, width] += quantity
    return sums, counted.refused, counted.left_out, counted.doubts, counted.assumed
