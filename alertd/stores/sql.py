"""The store port over a database: every method is one transaction of the shared SQL. It knows no driver."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from alertd.core.counting.buckets import micros
from alertd.core.counting.samples import CounterState, Increment
from alertd.core.evaluation.state import Erasure
from alertd.ports import (
    AlertRow,
    NewMessage,
    OutboxRow,
    Reading,
    Receipt,
    SentMessage,
    SeriesRow,
    SourceRow,
    Step,
    UsageRow,
)
from alertd.stores import (
    counter_blocks,
    decisions,
    erasure,
    ledger,
    outbox,
    retention,
    series,
    usage_blocks,
    usage_sums,
)
from alertd.stores.series import SeriesIds, SeriesNumbers, newer
from alertd.stores.transaction import Database, Transaction


class SqlStore:
    """The durable state in SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._series = SeriesIds()
        self._numbers = SeriesNumbers()
        #: Whether usage was deleted since series without any were looked for.
        self._deleted = False

    @property
    def database(self) -> Database:
        """The database itself, for moving or copying all of it."""
        return self._database

    async def open(self) -> None:
        await self._database.open()

    async def close(self) -> None:
        await self._database.close()

    async def inherit(self) -> int:
        return await self._database.write(outbox.release) if await self._database.alone() else 0

    async def is_contended(self) -> bool:
        return await self._database.is_contended()

    async def source(self, name: str) -> SourceRow:
        found = await self._database.read(lambda tx: ledger.sources(tx, name))
        return found[0] if found else SourceRow(name)

    async def sources(self) -> list[SourceRow]:
        return await self._database.read(ledger.sources)

    async def counter_states(self, source: str) -> Mapping[str, CounterState]:
        return await self._database.read(lambda tx: counter_blocks.counter_states(tx, source))

    async def commit_counters(
        self,
        row: SourceRow,
        increments: Sequence[Increment],
        states: Mapping[str, CounterState],
        forgotten: Sequence[str] = (),
    ) -> bool:
        known = self._series, self._numbers
        return self._remember(
            await self._database.write(
                lambda tx: ledger.commit_counters(tx, known, row, increments, states, forgotten=forgotten)
            )
        )

    async def commit_records(self, row: SourceRow, reading: Reading) -> bool:
        known = self._series
        return self._remember(await self._database.write(lambda tx: ledger.commit_records(tx, known, row, reading)))

    async def source_health(self, row: SourceRow) -> None:
        await self._database.write(lambda tx: ledger.source_health(tx, row))

    async def series(self, after: int = 0) -> list[SeriesRow]:
        return await self._database.read(lambda tx: series.series(tx, after))

    async def usage(
        self, since: datetime, after: int = 0, narrow_since: datetime | None = None
    ) -> tuple[Sequence[UsageRow], int]:
        return await self._database.read(lambda tx: ledger.usage(tx, since, after, narrow_since or since))

    async def read_again(self, source: str, fault: str, at: datetime) -> None:
        await self._database.write(lambda tx: retention.drop_source(tx, source, fault, at))

    async def usage_within(self, begin: int, end: int, *, keep: bool = False) -> Sequence[UsageRow]:
        found = await self._database.read(lambda tx: usage_sums.read(tx, begin, end))
        if keep and not found.is_kept:
            await self._database.write(lambda tx: usage_sums.keep(tx, begin, end, found))
        return found.rows

    async def alerts(self, since: datetime) -> list[AlertRow]:
        return await self._database.read(lambda tx: decisions.alerts(tx, since))

    async def announced_keys(self) -> dict[str, datetime]:
        return await self._database.read(decisions.announced_keys)

    async def memory(self) -> dict[str, tuple[Any, int]]:
        return await self._database.read(decisions.notes)

    async def commit_decisions(
        self,
        alerts: Sequence[AlertRow],
        messages: Sequence[NewMessage],
        notes: Mapping[str, tuple[object, int]],
        steps: Sequence[Step] = (),
    ) -> bool:
        try:
            await self._database.write(lambda tx: decisions.commit_decisions(tx, alerts, messages, notes, steps))
        except decisions.WrittenFirst:
            return False
        return True

    async def record_evaluation(
        self, at: datetime, records: Mapping[str, tuple[str, str]], names: Collection[str]
    ) -> None:
        await self._database.write(lambda tx: decisions.record_evaluation(tx, at, records, names))

    async def evaluation(self, budget: str | None = None) -> dict[str, tuple[str, datetime]]:
        return await self._database.read(lambda tx: decisions.evaluation(tx, budget))

    async def audit(self, acts: Collection[str] | None = None) -> list[Step]:
        return await self._database.read(lambda tx: decisions.audit(tx, acts))

    async def claim(
        self, now: datetime, lease: timedelta, notifiers: Sequence[str], limit: int, *, critical_only: bool = False
    ) -> list[OutboxRow]:
        return await self._database.write(
            lambda tx: outbox.claim(tx, now, lease, notifiers, limit, critical_only=critical_only)
        )

    async def renew(self, row: OutboxRow, now: datetime, lease: timedelta) -> datetime | None:
        return await self._database.write(lambda tx: outbox.renew(tx, row, now, lease), small=True)

    async def delivered(self, row: OutboxRow, at: datetime, receipt: Receipt) -> bool:
        return await self._database.write(lambda tx: outbox.delivered(tx, row, at, receipt), small=True)

    async def retry_later(self, row: OutboxRow, at: datetime, reason: str, *, uncertain: bool) -> bool:
        return await self._database.write(
            partial(outbox.retry_later, row=row, at=at, reason=reason, uncertain=uncertain), small=True
        )

    async def give_up(self, row: OutboxRow, at: datetime, reason: str, fallback: NewMessage | None) -> bool:
        return await self._database.write(lambda tx: outbox.give_up(tx, row, at, reason, fallback), small=True)

    async def outbox_depth(self) -> dict[str, tuple[int, datetime | None]]:
        return await self._database.read(outbox.depth)

    async def messages(self, begin: datetime, end: datetime) -> list[SentMessage]:
        return await self._database.read(lambda tx: outbox.messages(tx, begin, end))

    async def conversations(self, notifier: str) -> dict[str, dict[str, str]]:
        return await self._database.read(lambda tx: outbox.conversations(tx, notifier))

    async def remember(
        self, notifier: str, conversation: str, before: Mapping[str, str], after: Mapping[str, str], at: datetime
    ) -> bool:
        return await self._database.write(
            lambda tx: outbox.remember(tx, notifier, conversation, before=before, after=after, at=at), small=True
        )

    async def end_session(self, session: str, until: datetime) -> None:
        sql = "INSERT INTO ended_session (session, until) VALUES (?, ?) ON CONFLICT (session) DO NOTHING"
        await self._database.write(lambda tx: tx.run(sql, session, micros(until)), small=True)

    async def has_ended(self, session: str) -> bool:
        sql = "SELECT 1 FROM ended_session WHERE session = ?"
        return bool(await self._database.read(lambda tx: tx.rows(sql, session)))

    async def writable(self) -> None:
        await self._database.write(_probe)

    async def prune(self, now: datetime) -> int:
        return await self._database.write(lambda tx: outbox.prune(tx, now))

    async def compact(self, before: datetime) -> int:
        return await self._database.write(lambda tx: usage_blocks.compact(tx, before))

    async def forget(self, before: datetime) -> int:
        gone = await self._database.write(lambda tx: retention.delete_usage(tx, before))
        if gone or not self._deleted:
            self._deleted = self._deleted or gone > 0
            return gone
        self._deleted = False
        found = await self._database.read(retention.inventory)
        unused = found.series
        for start, end in found.days():
            if not unused:
                return 0
            unused -= await self._database.read(partial(retention.used, start=start, end=end))
        return await self._database.write(lambda tx: retention.delete_series(tx, unused, found.revision))

    async def erase_idle(self, label: str, before: datetime, now: datetime) -> int:
        candidates = await self._database.read(partial(erasure.values_of, label=label))
        if not candidates:
            return 0
        found = await self._database.read(retention.inventory)
        border = int(before.timestamp())
        for start, end in found.days():
            if end <= border or not candidates:
                break
            used = await self._database.read(partial(retention.used, start=max(start, border), end=end))
            candidates = {value: series for value, series in candidates.items() if not series & used}
        erased, since = 0, max(found.last, border)
        for value in sorted(candidates):
            reason = f"unused since {before:%Y-%m-%d}"
            record = Erasure(now, "alertd", label, f"{erasure.PSEUDONYM}{secrets.token_hex(4)}", reason)
            erase = partial(erasure.erase_idle, erasure=record, value=value, since=since)
            erased += await self._database.write(erase)
        return erased

    def _remember(self, found: SeriesIds | None) -> bool:
        """Only ids that are committed are kept: what a transaction found that was undone may belong to another."""
        if found is not None:
            self._series = newer(self._series, found)
        return found is not None


def _probe(tx: Transaction) -> None:
    tx.run("UPDATE turn SET number = number + 1 WHERE name = 'probe'")
