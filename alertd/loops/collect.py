"""Collect: read one source step by step into the ledger. A failure is recorded as the source's health.

source.read(cursor) -> samples -> core.counters -> increments -> store.commit_counters  (compare-and-set)
-> records -> core.billing.deductions     -> store.commit_records   (compare-and-set)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from alertd.clients.billing_api import Noticed
from alertd.core.billing.deductions import share_deductions
from alertd.core.counting.columns import Increments, Ints, LedgerSeries, SampleColumns
from alertd.core.counting.ordinary import count_columns
from alertd.core.counting.samples import Counted, CounterState
from alertd.core.counting.state_columns import ChangedStates, StateColumns, as_columns
from alertd.core.counting.states import renamed
from alertd.core.counting.streams import count_streams
from alertd.core.money import Money
from alertd.core.usage import Committed
from alertd.ports import Clock, Reading, Source, SourceError, SourceRow, Store

#: Older usage is kept by the quarter of an hour, the finest border that a zone's midnight falls on.
_FINE: Final = timedelta(hours=48)
_QUARTER: Final = 900
#: How often streams that are idle are looked for, and how many are remembered where a source does not say.
_SWEEP: Final = timedelta(hours=1)
_MOST_STREAMS: Final = 100_000
#: The most series named when figures are a lower bound.
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
        self._states: tuple[int, StateColumns] | None = None
        #: The ledger series that samples without a table feed.
        self._series = LedgerSeries()
        self._noticed = Noticed(source.name)
        #: A source to which usage is sent is read on its arrival and on a schedule, one at a time.
        self._turn = asyncio.Lock()
        #: When streams that are idle were looked for last.
        self._swept: datetime | None = None

    async def tick(self) -> int:
        """Read what is new; the number of readings committed. A failure is written down with its reason.

        Who lost a race to another replica and was never read up to the present reads again at once. Replicas that read
        at the same moments would each lose the same source in every round, and no alert that needs both would be sent.
        """
        async with self._turn:
            steps, is_at_end = await self._read()
            if not is_at_end and self.catching_up:
                steps += (await self._read())[0]
            return steps

    async def _read(self) -> tuple[int, bool]:
        """The number of readings committed, and whether they reach the present: not where another replica was first."""
        row = await self._store.source(self.source.name)
        steps, committed = 0, self.committed
        try:
            readings = self.source.read(row.cursor, self._since(self._clock.now()), self._clock.now())
            async with _closing(readings):
                async for reading in readings:
                    self.failing = False
                    moved = await self._commit(row, reading)
                    if moved is None:
                        return steps, False
                    row, steps, committed = moved, steps + 1, reading.commitments
        except SourceError as error:
            await self._failed(row, error)
            self.failing = True
            raise
        self.catching_up, self.failing = False, False
        self.committed = committed  # of the last reading only: what was read before it is a part
        await self._store.source_health(self._healthy(row))
        return steps, True

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
            self._states = row.revision, as_columns(await self._store.counter_states(self.source.name))
        # What is changed in them now holds only once it is committed; else they are read again.
        states, self._states = self._states[1], None
        now = self._clock.now()
        put, forgotten = renamed(states, reading.renamed)
        if forgotten:
            states = states.without(forgotten)
            states.update(put)
        moved_back = states.update(set_back(states, now)) if reading.set_back else None
        counted = await asyncio.to_thread(self._counted, row, reading, states, now)
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
        known = reading.samples.table.ledger if isinstance(reading.samples, SampleColumns) else self._known()
        increments, changed = await asyncio.to_thread(_changes, counted, known, states, moved_back, fine_from)
        forgotten = *forgotten, *counted.forgotten
        if not await self._store.commit_counters(after, increments, changed, forgotten):
            return None
        self._states = row.revision + 1, states.without(forgotten) if forgotten else states
        return after

    def _known(self) -> LedgerSeries:
        if self._series.is_full():
            self._series = LedgerSeries()
        return self._series

    def _counted(self, row: SourceRow, reading: Reading, states: StateColumns, now: datetime) -> Counted:
        since = self._since(now).timestamp()
        if reading.points is None:
            return count_columns(
                states,
                reading.samples,
                reading.scrapes,
                first_read=row.cursor is None,
                period_start=since,
                most=reading.most_counters,
                now=max(now, reading.until).timestamp(),
                newborn=reading.newborn,
            )
        sweep = self._swept is None or not self._swept <= now < self._swept + _SWEEP
        self._swept = now if sweep else self._swept
        return count_streams(
            states, reading.points, period_start=since, most=reading.most_counters or _MOST_STREAMS, sweep=sweep
        )

    async def _failed(self, row: SourceRow, error: SourceError) -> None:
        now = self._clock.now()
        await self._store.source_health(replace(row, failing_since=row.failing_since or now, error=str(error)))

    def _healthy(self, row: SourceRow) -> SourceRow:
        return replace(row, last_ok=self._clock.now(), failing_since=None, error="")


@asynccontextmanager
async def _closing(readings: AsyncIterator[Reading]) -> AsyncIterator[None]:
    """Let a source know at once where its last reading was not committed."""
    try:
        yield
    finally:
        if isinstance(readings, AsyncGenerator):
            await readings.aclose()


def _changes(
    counted: Counted, known: LedgerSeries, states: StateColumns, moved_back: Ints | None, fine_from: float
) -> tuple[Increments, ChangedStates]:
    """What is to be written: usage, and the states that changed, as of now."""
    increments = coarsened(Increments.of(counted.increments, known), fine_from)
    rows, moved = states.update(counted.states), np.empty(0, np.int64)
    if counted.moved is not None:
        states.move(counted.moved)
        moved = counted.moved.numbers
    return increments, ChangedStates(states, rows if moved_back is None else np.union1d(rows, moved_back), moved)


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


def coarsened(increments: Increments, fine_from: float) -> Increments:
    """Increments, those before `fine_from` by the quarter of an hour."""
    numbers, starts, widths, quantities = increments.columns
    old = starts < fine_from
    if not old.any():
        return increments
    starts = np.where(old, starts - starts % _QUARTER, starts)
    return Increments(increments.series, numbers, starts, np.where(old, _QUARTER, widths), quantities)


def earliest_needed(starts: list[datetime], now: datetime) -> datetime:
    """How far a first read reaches back: the start of the oldest current period."""
    return min(starts, default=now.astimezone(UTC))
