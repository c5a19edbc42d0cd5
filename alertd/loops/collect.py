"""Collect: one source's conversation, step by step into the ledger. A source that fails is recorded, never guessed.

source.read(cursor) -> samples -> core.counters -> increments -> store.commit_counters  (compare-and-set)
-> records -> core.billing.deductions     -> store.commit_records   (compare-and-set)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from alertd.core.billing.deductions import share_deductions
from alertd.core.counting.counters import Counted, CounterState, Increment, count
from alertd.core.money import Money
from alertd.core.usage import Committed
from alertd.ports import Clock, Reading, Source, SourceError, SourceRow, Store
from alertd.wire.noticed import Noticed

#: Older usage is kept by the quarter of an hour, the finest border that a zone's midnight falls on.
_FINE: Final = timedelta(hours=48)
_QUARTER: Final = 900
#: So many series are named where figures are a lower bound.
_MOST_DOUBTS: Final = 3


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
        #: Whether the last thing that its source did was to fail: nobody waits for it.
        self.failing = False
        #: What the last reading said is certain to be billed later.
        #: None before the first reading of this process: what was stored then holds.
        self.committed: Sequence[Committed] | None = None
        #: What is left of its prepaid credit, where it shows it.
        self.balance: Money | None = None
        self._store = store
        self._clock = clock
        self._since = since
        self._progress = progress
        #: The counters' states as of a revision of the source's row; of another revision they are another replica's.
        self._states: tuple[int, dict[str, CounterState]] | None = None
        self._noticed = Noticed(source.name)

    async def tick(self) -> int:
        """Read what is new; the number of readings committed. A failure is written down with its reason."""
        row = await self._store.source(self.source.name)
        steps, committed = 0, self.committed
        try:
            async for reading in self.source.read(row.cursor, self._since(self._clock.now()), self._clock.now()):
                self.failing = False
                moved = await self._commit(row, reading)
                if moved is None:
                    return steps
                row, steps, committed = moved, steps + 1, reading.commitments
        except SourceError as error:
            await self._failed(row, error)
            self.failing = True
            raise
        self.catching_up, self.failing = False, False
        self.committed = committed  # of the last reading only: what was read before it is a part
        await self._store.source_health(self._healthy(row))
        return steps

    async def _commit(self, row: SourceRow, reading: Reading) -> SourceRow | None:
        """The source's row after the reading; None where another replica was first: its states are read anew."""
        now = self._clock.now()
        if reading.progress is not None:
            self.catching_up = True
            self._progress(self.source.name, reading.progress)
        for warning in reading.warnings:
            self._noticed.once(warning)
        # A watermark in the future is of a clock that was set back: it would hide for long that nothing is seen.
        until = reading.until if row.until is None or row.until > now else max(reading.until, row.until)
        after = replace(
            row,
            cursor=reading.cursor,
            until=until,
            complete_from=row.complete_from or reading.complete_from,
            last_ok=now,
            degraded="; ".join(reading.warnings),
        )
        if reading.window is not None:
            reading = replace(reading, records=await asyncio.to_thread(share_deductions, reading.records))
            taken = after if await self._store.commit_records(after, reading) else None
        else:
            taken = await self._count(row, after, reading)
        if taken is None:
            return None
        self.balance = reading.balance or self.balance
        return replace(taken, revision=row.revision + 1)

    async def _count(self, row: SourceRow, after: SourceRow, reading: Reading) -> SourceRow | None:
        """The row that was committed with what the samples add; None where another replica was first."""
        if self._states is None or self._states[0] != row.revision:
            self._states = row.revision, await self._store.counter_states(self.source.name)
        now = self._clock.now()
        moved_back = set_back(self._states[1], now) if reading.set_back else {}
        states = {**self._states[1], **moved_back} if moved_back else self._states[1]
        counted: Counted = await asyncio.to_thread(
            count,
            states,
            reading.samples,
            reading.scrapes,
            first_read=row.cursor is None,
            period_start=self._since(now).timestamp(),
            most=reading.most_counters,
            now=max(now, reading.until).timestamp(),
            newborn=reading.newborn,
        )
        assumed = (*reading.assumed, *counted.assumed)
        if assumed:
            after = replace(after, assumed="; ".join(assumed), assumed_at=now)
        elif after.assumed_at is not None and after.assumed_at < self._since(now):
            after = replace(after, assumed="", assumed_at=None)
        if counted.doubts:
            after = replace(after, degraded="; ".join(filter(None, (after.degraded, *_shortened(counted.doubts)))))
        if counted.left_out:
            after = replace(after, degraded="; ".join(filter(None, (after.degraded, _too_many(reading)))))
            self._noticed.once(_too_many(reading))
        for doubt in (*counted.doubts, *assumed):
            self._noticed.once(doubt)
        for refused in counted.refused:
            self._noticed.once(f"refused a sample: {refused}")
        fine_from = (now - _FINE).timestamp()
        increments = coarsened(counted.increments, fine_from)
        changed = {**moved_back, **counted.states}
        if not await self._store.commit_counters(after, increments, changed):
            return None
        states.update(changed)
        self._states = row.revision + 1, states
        return after

    async def _failed(self, row: SourceRow, error: SourceError) -> None:
        now = self._clock.now()
        await self._store.source_health(replace(row, failing_since=row.failing_since or now, error=str(error)))

    def _healthy(self, row: SourceRow) -> SourceRow:
        return replace(row, last_ok=self._clock.now(), failing_since=None, error="")


def set_back(states: Mapping[str, CounterState], now: datetime) -> dict[str, CounterState]:
    """The states that are of a time to come, as of the moment before now: what their counters gain since is counted."""
    at = now.timestamp() - 1
    return {name: state._replace(at=at) for name, state in states.items() if state.at > at}


def _shortened(doubts: Sequence[str]) -> tuple[str, ...]:
    """The first few, and how many more there are."""
    more = len(doubts) - _MOST_DOUBTS
    return (*doubts[:_MOST_DOUBTS], *((f"and {more} further series",) if more > 0 else ()))


def _too_many(reading: Reading) -> str:
    return (
        f"it has more than {reading.most_counters:,} counters, and new ones are left out: figures are a lower bound."
        " Keep labels of many values out of the exporter, or raise MAX_SERIES"
    )


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
