"""Collect: one source's conversation, step by step into the ledger. A source that fails is recorded, never guessed.

source.read(cursor) -> samples -> core.counters -> increments -> store.commit_counters  (compare-and-set)
-> records                                -> store.commit_records   (compare-and-set)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from alertd.core.counting.counters import Counted, CounterState, Increment, count
from alertd.core.money import Money
from alertd.core.usage import Committed
from alertd.ports import Clock, Reading, Source, SourceError, SourceRow, Store

log = logging.getLogger(__name__)

#: Older usage is kept by the quarter of an hour, the finest border that a zone's midnight falls on.
_FINE: Final = timedelta(hours=48)
_QUARTER: Final = 900


class Collect:
    """One source. `tick` reads on from the durable cursor; losing a race to another replica means reading again."""

    def __init__(
        self,
        source: Source,
        store: Store,
        clock: Clock,
        since: Callable[[datetime], datetime],
        progress: Callable[[str, float], None] = lambda _name, _share: None,
    ) -> None:
        self.source = source
        self.catching_up = True
        #: What the last reading said is certain to be billed later.
        self.committed: Sequence[Committed] = ()
        #: What is left of its prepaid credit, where it told.
        self.balance: Money | None = None
        self._store = store
        self._clock = clock
        self._since = since
        self._progress = progress
        #: The counters' states as of a revision of the source's row; of another revision they are another replica's.
        self._states: tuple[int, dict[str, CounterState]] | None = None
        self._said: set[str] = set()

    async def tick(self) -> int:
        """Read what is new; the number of readings committed. A failure is written down with its reason."""
        row = await self._store.source(self.source.name)
        steps = 0
        try:
            async for reading in self.source.read(row.cursor, self._since(self._clock.now()), self._clock.now()):
                moved = await self._commit(row, reading)
                if moved is None:
                    return steps
                row, steps = moved, steps + 1
        except SourceError as error:
            await self._failed(row, error)
            raise
        self.catching_up = False
        await self._store.source_health(self._healthy(row))
        return steps

    async def _commit(self, row: SourceRow, reading: Reading) -> SourceRow | None:
        """The source's row after the reading; None where another replica was first: its states are read anew."""
        now = self._clock.now()
        if reading.progress is not None:
            self.catching_up = True
            self._progress(self.source.name, reading.progress)
        self._warn(reading)
        until = reading.until if row.until is None else max(reading.until, row.until)
        after = replace(
            row,
            cursor=reading.cursor,
            until=until,
            complete_from=row.complete_from or reading.complete_from,
            last_ok=now,
            degraded="; ".join(reading.warnings),
        )
        if reading.window is not None:
            taken = await self._store.commit_records(after, reading)
        else:
            taken = await self._count(row, after, reading)
        if not taken:
            return None
        self.committed = reading.commitments
        self.balance = reading.balance or self.balance
        return replace(after, revision=row.revision + 1)

    async def _count(self, row: SourceRow, after: SourceRow, reading: Reading) -> bool:
        if self._states is None or self._states[0] != row.revision:
            self._states = row.revision, await self._store.counter_states(self.source.name)
        states = self._states[1]
        now = self._clock.now()
        counted: Counted = await asyncio.to_thread(
            count,
            states,
            reading.samples,
            reading.scrapes,
            first_read=row.cursor is None,
            period_start=self._since(now).timestamp(),
        )
        for refused in counted.refused:
            self._once(f"{self.source.name}: refused a sample: {refused}")
        fine_from = (now - _FINE).timestamp()
        increments = coarsened(counted.increments, fine_from)
        if not await self._store.commit_counters(after, increments, counted.states):
            return False
        states.update(counted.states)
        self._states = row.revision + 1, states
        return True

    async def _failed(self, row: SourceRow, error: SourceError) -> None:
        now = self._clock.now()
        await self._store.source_health(replace(row, failing_since=row.failing_since or now, error=str(error)))

    def _healthy(self, row: SourceRow) -> SourceRow:
        return replace(row, last_ok=self._clock.now(), failing_since=None, error="")

    def _warn(self, reading: Reading) -> None:
        for warning in reading.warnings:
            self._once(f"{self.source.name}: {warning}")

    def _once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            log.warning(text)


def coarsened(increments: tuple[Increment, ...], fine_from: float) -> list[Increment]:
    """Increments, those before `fine_from` by the quarter of an hour."""
    out: list[Increment] = []
    coarse: dict[tuple[int, int, int], Increment] = {}
    for increment in increments:
        if increment.start >= fine_from:
            out.append(increment)
            continue
        start = increment.start - increment.start % _QUARTER
        key = (id(increment.line), id(increment.labels), start)
        known = coarse.get(key)
        quantity = increment.quantity + (known.quantity if known is not None else 0)
        coarse[key] = Increment(increment.line, increment.labels, start, _QUARTER, quantity)
    return [*out, *coarse.values()]


def earliest_needed(starts: list[datetime], now: datetime) -> datetime:
    """How far a first read reaches back: the start of the oldest current period."""
    return min(starts, default=now.astimezone(UTC))
