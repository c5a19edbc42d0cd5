"""The store in memory, for tests: it keeps every promise of the port except surviving a restart."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from alertd.core.counting.buckets import (
    Bucket,
    Closed,
    Identity,
    counted_identity,
    instant,
    micros,
    record_buckets,
    replaced,
)
from alertd.core.counting.samples import CounterState, Increment
from alertd.core.delivery import OVERTAKE, is_critical
from alertd.core.evaluation.state import DAMAGE, RESTORED, Damage
from alertd.core.events import Event
from alertd.ports import (
    AlertRow,
    Delivery,
    NewMessage,
    OutboxRow,
    Reading,
    Receipt,
    SentMessage,
    SeriesRow,
    SourceRow,
    Step,
    Store,
    UsageBehindError,
    UsageRow,
)
from alertd.stores.outbox import KEEP_DELIVERED, KEEP_REST

#: The longest bucket, in seconds, that compaction sums.
_NARROW: Final = 3600
_SLOT: Final = 900


def build(url: str) -> Store:
    """An empty store; ValueError for any URL but `memory:`."""
    if url != "memory:":
        raise ValueError(f"{url!r} is not memory:")
    return MemoryStore()


@dataclass(slots=True)
class _Message:
    """A message of the outbox; `done_at` is None while it is on its way."""

    id: int
    key: str
    notifier: str
    conversation: str
    events: tuple[Event, ...]
    created: datetime
    not_before: datetime | None = None
    lease_until: datetime | None = None
    fence: int = 0
    attempts: int = 0
    first_tried: datetime | None = None
    uncertain: bool = False
    reason: str = ""
    delivered: bool = False
    done_at: datetime | None = None

    def due(self, now: datetime) -> bool:
        return all(at is None or at <= now for at in (self.not_before, self.lease_until))

    @property
    def is_critical(self) -> bool:
        return is_critical(self.events)

    def waits_for(self, other: _Message, now: datetime) -> bool:
        """Whether another unfinished message of the conversation has to go first."""
        is_due = other.not_before is None or other.not_before <= now
        if not self.is_critical:
            is_first = other.id < self.id or (other.is_critical and other is not self)
            return is_first and (other.attempts > 0 or is_due)
        if other.id >= self.id:
            return False
        tried = other.first_tried
        is_sent = other.lease_until is not None and other.lease_until > now
        is_sent_first = is_sent and tried is not None and now - OVERTAKE < tried <= now
        return is_sent_first or (other.is_critical and not other.attempts and is_due)

    def finish(self, at: datetime, reason: str, *, delivered: bool) -> None:
        self.done_at, self.reason, self.delivered, self.lease_until = at, reason, delivered, None


@dataclass(slots=True)
class MemoryStore:
    """The durable state, for as long as the process lives."""

    _sources: dict[str, SourceRow] = field(default_factory=dict)
    _counters: dict[str, dict[str, CounterState]] = field(default_factory=dict)
    _ids: dict[Identity, int] = field(default_factory=dict)
    _series: dict[int, SeriesRow] = field(default_factory=dict)
    _last_series: int = 0
    _usage: dict[Bucket, tuple[int, int]] = field(default_factory=dict)
    _revision: int = 0
    _closed: int = 0
    _compacted: int = 0
    _alerts: dict[str, AlertRow] = field(default_factory=dict)
    _notes: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    _evaluation: dict[str, tuple[str, str, datetime]] = field(default_factory=dict)
    _steps: list[Step] = field(default_factory=list)
    _messages: dict[int, _Message] = field(default_factory=dict)
    _written: set[tuple[str, str]] = field(default_factory=set)
    _last_message: int = 0
    _conversations: dict[tuple[str, str], tuple[dict[str, str], datetime]] = field(default_factory=dict)
    _ended_sessions: dict[str, datetime] = field(default_factory=dict)

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def writable(self) -> None: ...

    async def end_session(self, session: str, until: datetime) -> None:
        self._ended_sessions.setdefault(session, until)

    async def has_ended(self, session: str) -> bool:
        return session in self._ended_sessions

    async def source(self, name: str) -> SourceRow:
        return self._sources.get(name, SourceRow(name))

    async def sources(self) -> list[SourceRow]:
        return [self._sources[name] for name in sorted(self._sources)]

    async def counter_states(self, source: str) -> dict[str, CounterState]:
        return dict(self._counters.get(source, {}))

    async def commit_counters(
        self,
        row: SourceRow,
        increments: Sequence[Increment],
        states: Mapping[str, CounterState],
        forgotten: Sequence[str] = (),
    ) -> bool:
        if not self._move(row):
            return False
        for increment in increments:
            series = self._identify(counted_identity(row.name, increment.line, increment.labels))
            bucket = Bucket(series, increment.start, increment.width)
            self._write(bucket, self._usage.get(bucket, (0, 0))[0] + increment.quantity)
        held = self._counters.setdefault(row.name, {})
        held.update(states)
        for name in forgotten:
            held.pop(name, None)
        return True

    async def commit_records(self, row: SourceRow, reading: Reading) -> bool:
        if not self._move(row):
            return False
        found = record_buckets(row.name, reading.records)
        read = {Bucket(self._identify(series), start, width): n for (series, start, width), n in found.items()}
        held = {b: n for b, (n, _) in self._usage.items() if self._series[b.series].source == row.name}
        window = reading.window and (micros(reading.window[0]) // 10**6, micros(reading.window[1]) // 10**6)
        closed = [Closed(self._closed, _SLOT)] if self._closed else []
        for bucket, n in replaced(held, read, window, closed, partial=bool(reading.warnings)).items():
            self._write(bucket, n)
        return True

    async def source_health(self, row: SourceRow) -> None:
        held = self._sources.get(row.name, SourceRow(row.name))
        self._sources[row.name] = replace(
            held,
            last_ok=_utc(row.last_ok),
            failing_since=_utc(row.failing_since),
            error=row.error,
            degraded=row.degraded,
        )

    async def series(self, after: int = 0) -> list[SeriesRow]:
        return [row for number, row in self._series.items() if number > after]

    async def usage(
        self, since: datetime, after: int = 0, narrow_since: datetime | None = None
    ) -> tuple[list[UsageRow], int]:
        if 0 < after < self._compacted:
            raise UsageBehindError(f"usage was compacted since revision {after}")
        start = micros(since) // 10**6
        fine = start if narrow_since is None or after else micros(narrow_since) // 10**6
        changed = (
            UsageRow(b.series, b.start, b.width, n)
            for b, (n, revision) in self._usage.items()
            if revision > after
            and b.start + b.width > start
            and (b.width > _NARROW or fine <= start or b.start >= fine)
        )
        return list(changed), self._revision

    async def read_again(self, source: str, fault: str, at: datetime) -> None:
        self._usage = {b: held for b, held in self._usage.items() if self._series[b.series].source != source}
        self._counters.pop(source, None)
        self._sources[source] = SourceRow(source, self._sources[source].revision + 1)
        self._revision += 1
        self._compacted = self._revision
        for name, record in {**DAMAGE.put(Damage.of(at, fault, "", (), ledger=False)), **RESTORED.put(at)}.items():
            self._notes[name] = msgspec.json.encode(record), 1

    async def usage_within(self, begin: int, end: int, *, keep: bool = False) -> list[UsageRow]:
        sums: dict[int, int] = {}
        for b, (n, _) in self._usage.items():
            if begin <= b.start < end and b.width <= _NARROW:
                sums[b.series] = sums.get(b.series, 0) + n
        return [UsageRow(series, begin, end - begin, n) for series, n in sums.items()]

    async def alerts(self, since: datetime) -> list[AlertRow]:
        return sorted((a for a in self._alerts.values() if a.at >= since), key=lambda a: (a.at, a.key))

    async def announced_keys(self) -> dict[str, datetime]:
        return {alert.key: alert.at for alert in self._alerts.values()}

    async def memory(self) -> dict[str, tuple[Any, int]]:
        return {name: (msgspec.json.decode(value), revision) for name, (value, revision) in self._notes.items()}

    async def record_evaluation(
        self, at: datetime, records: Mapping[str, tuple[str, str]], names: Collection[str]
    ) -> None:
        kept = {name: one for name, one in self._evaluation.items() if name in names}
        self._evaluation = {**kept, **{name: (*record, instant(micros(at))) for name, record in records.items()}}

    async def evaluation(self, budget: str | None = None) -> dict[str, tuple[str, datetime]]:
        return {name: (text, at) for name, (of, text, at) in self._evaluation.items() if budget in (None, of)}

    async def commit_decisions(
        self,
        alerts: Sequence[AlertRow],
        messages: Sequence[NewMessage],
        notes: Mapping[str, tuple[Any, int]],
        steps: Sequence[Step] = (),
    ) -> bool:
        numbers = [(step.act, step.number) for step in steps]
        keys = [alert.key for alert in alerts]
        written = [(message.key, message.notifier) for message in messages]
        if (
            any(self._notes.get(name, (b"", 0))[1] != revision for name, (_, revision) in notes.items())
            or self._alerts.keys() & keys
            or self._written & {*written}
            or len({*keys}) < len(keys)
            or len({*written}) < len(written)
            or {(step.act, step.number) for step in self._steps} & {*numbers}
            or len({*numbers}) < len(numbers)
        ):
            return False
        self._alerts |= {alert.key: replace(alert, at=instant(micros(alert.at))) for alert in alerts}
        for message in messages:
            self._insert(message, message.events[0].at)
        for name, (value, revision) in notes.items():
            if value is None:
                self._notes.pop(name, None)
            else:
                self._notes[name] = msgspec.json.encode(value), revision + 1
        self._steps += steps
        return True

    async def audit(self, acts: Collection[str] | None = None) -> list[Step]:
        return [step for step in self._steps if acts is None or step.act in acts]

    async def inherit(self) -> int:
        return 0

    async def is_contended(self) -> bool:
        return False

    async def claim(
        self, now: datetime, lease: timedelta, notifiers: Sequence[str], limit: int, *, critical_only: bool = False
    ) -> list[OutboxRow]:
        conversations: dict[tuple[str, str], list[_Message]] = {}
        for message in self._open():
            conversations.setdefault((message.notifier, message.conversation), []).append(message)
        due = [
            message
            for (notifier, _), messages in conversations.items()
            if notifier in notifiers
            for message in messages
            if message.is_critical >= critical_only and message.due(now)
            if not any(message.waits_for(other, now) for other in messages)
        ]
        due.sort(key=lambda m: (not m.is_critical, m.id))
        return [self._lease(message, now, now + lease / (1 + message.is_critical)) for message in due[:limit]]

    async def renew(self, row: OutboxRow, now: datetime, lease: timedelta) -> datetime | None:
        message = self._held(row)
        if message is not None:
            message.lease_until = now + lease / (1 + message.is_critical)
        return None if message is None else message.lease_until

    async def delivered(self, row: OutboxRow, at: datetime, receipt: Receipt) -> bool:
        message = self._held(row)
        if message is None:
            return False
        message.finish(at, receipt.said, delivered=True)
        if receipt.memory:
            memory = {**row.delivery.memory, **receipt.memory}
            self._conversations[message.notifier, message.conversation] = memory, at
        return True

    async def conversations(self, notifier: str) -> dict[str, dict[str, str]]:
        return {name: dict(kept) for (owner, name), (kept, _) in self._conversations.items() if owner == notifier}

    async def remember(
        self, notifier: str, conversation: str, before: Mapping[str, str], after: Mapping[str, str], at: datetime
    ) -> bool:
        held = self._conversations.get((notifier, conversation))
        if held is None or held[0] != before:
            return False
        self._conversations[notifier, conversation] = dict(after), at
        return True

    async def retry_later(self, row: OutboxRow, at: datetime, reason: str, *, uncertain: bool) -> bool:
        message = self._held(row)
        if message is None:
            return False
        message.not_before, message.lease_until, message.reason = at, None, reason
        message.uncertain = message.uncertain or uncertain
        return True

    async def give_up(self, row: OutboxRow, at: datetime, reason: str, fallback: NewMessage | None) -> bool:
        message = self._held(row)
        if message is None:
            return False
        message.finish(at, reason, delivered=False)
        if fallback is not None and (fallback.key, fallback.notifier) not in self._written:
            self._insert(fallback, at)
        return True

    async def outbox_depth(self) -> dict[str, tuple[int, datetime | None]]:
        waiting: dict[str, list[datetime]] = {}
        for message in self._open():
            waiting.setdefault(message.notifier, []).append(message.created)
        return {notifier: (len(created), min(created)) for notifier, created in waiting.items()}

    async def messages(self, begin: datetime, end: datetime) -> list[SentMessage]:
        return [
            SentMessage(
                one.notifier, tuple(event.id for event in one.events), one.created,
                "waiting" if one.done_at is None else "delivered" if one.delivered else "given up",
                one.attempts, one.done_at, one.not_before if one.done_at is None else None, one.reason,
            )
            for one in sorted(self._messages.values(), key=lambda one: one.id) if begin <= one.created <= end
        ]  # fmt: skip

    async def prune(self, now: datetime) -> int:
        gone = [
            m
            for m in self._messages.values()
            if m.done_at is not None and m.done_at < now - (KEEP_DELIVERED if m.delivered else KEEP_REST)
        ]
        for message in gone:
            del self._messages[message.id]
            self._written.discard((message.key, message.notifier))
        silent = [key for key, (_, at) in self._conversations.items() if at < now - KEEP_REST]
        for key in silent:
            del self._conversations[key]
        over = [session for session, until in self._ended_sessions.items() if until < now]
        for session in over:
            del self._ended_sessions[session]
        return len(gone) + len(silent) + len(over)

    async def forget(self, before: datetime) -> int:
        border = micros(before) // 10**6
        gone = [bucket for bucket in self._usage if bucket.start + bucket.width <= border]
        for bucket in gone:
            del self._usage[bucket]
        kept = {bucket.series for bucket in self._usage}
        unused = self._series.keys() - kept if gone else set()
        self._ids = {of: number for of, number in self._ids.items() if number not in unused}
        for number in unused:
            del self._series[number]
        return len(gone)

    async def erase_idle(self, label: str, before: datetime, now: datetime) -> int:
        """Nothing: what is in memory does not outlive its process."""
        return 0

    async def compact(self, before: datetime) -> int:
        until = micros(before) // 10**6 // 3600 * 3600
        narrow = [b for b in self._usage if b.width <= _NARROW and self._closed <= b.start < until]
        for bucket in narrow:
            n, revision = self._usage.pop(bucket)
            wide = bucket if bucket.width >= _SLOT else Bucket(bucket.series, bucket.start // _SLOT * _SLOT, _SLOT)
            if n:
                total, newest = self._usage.get(wide, (0, 0))
                self._usage[wide] = total + n, max(newest, revision)
            self._compacted = max(self._compacted, revision)
        self._closed = max(until, self._closed)
        return len(narrow)

    def _write(self, bucket: Bucket, quantity: int) -> None:
        self._usage[bucket] = quantity, self._revision
        if bucket.width <= _NARROW and bucket.start < self._closed:
            self._compacted = self._revision

    def _move(self, row: SourceRow) -> bool:
        held = self._sources.get(row.name, SourceRow(row.name))
        if held.revision != row.revision:
            return False
        self._revision += 1
        self._sources[row.name] = replace(
            held,
            revision=held.revision + 1,
            cursor=row.cursor,
            until=_utc(row.until),
            complete_from=_utc(row.complete_from),
            assumed=row.assumed,
            assumed_at=_utc(row.assumed_at),
        )
        return True

    def _identify(self, of: Identity) -> int:
        number = self._ids.setdefault(of, self._last_series + 1)
        if number > self._last_series:
            self._last_series = number
            line = of.line
            kind = line.provider, line.model, line.meter, line.modifiers, line.account
            self._series[number] = SeriesRow(number, of.source, *kind, dict(of.labels), of.billed)
        return number

    def _insert(self, message: NewMessage, at: datetime) -> None:
        self._last_message += 1
        self._written.add((message.key, message.notifier))
        self._messages[self._last_message] = _Message(
            self._last_message,
            message.key,
            message.notifier,
            message.conversation,
            message.events,
            at,
            message.not_before,
        )

    def _open(self) -> Iterable[_Message]:
        return (message for message in self._messages.values() if message.done_at is None)

    def _held(self, row: OutboxRow) -> _Message | None:
        message = self._messages.get(row.id)
        return message if message and message.fence == row.fence and message.done_at is None else None

    def _lease(self, message: _Message, now: datetime, until: datetime) -> OutboxRow:
        message.uncertain = message.uncertain or message.lease_until is not None
        message.lease_until, message.fence, message.attempts = until, message.fence + 1, message.attempts + 1
        message.first_tried = message.first_tried or now
        memory, _ = self._conversations.get((message.notifier, message.conversation), ({}, now))
        delivery = Delivery(
            message.key, message.notifier, message.conversation, message.events, message.attempts, message.uncertain,
            dict(memory),
        )  # fmt: skip
        return OutboxRow(message.id, message.fence, delivery, message.created, until, message.first_tried)


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else instant(micros(at))
