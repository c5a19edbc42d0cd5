"""A ledger for tests: what a source's readings leave behind, by the very rules of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal

from alertd.core.counting.buckets import Bucket, Identity, micros, record_buckets, replaced
from alertd.core.ledger.columns import Ledger, SeriesRow, UsageRow
from alertd.ports import Reading, Source, SourceError


@dataclass
class SourceLedger:
    """Every bucket that a source filled, its cursor, and how its last round ended."""

    source: Source
    cursor: str | None = None
    until: datetime | None = None
    buckets: dict[tuple[Identity, int, int], int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    error: SourceError | None = None
    readings: list[Reading] = field(default_factory=list)

    def round(self, since: datetime, now: datetime) -> SourceLedger:
        """One round of collecting, as the loop does it; an error ends it and is kept."""
        self.error, self.warnings, self.readings = None, (), []
        asyncio.run(self._round(since, now))
        return self

    def cost(self, where: Callable[[Identity], bool] = lambda _: True, currency: str = "USD") -> Decimal:
        """The billed money held, exact."""
        nanos = sum(n for (key, _, _), n in self.buckets.items() if key.billed == currency and where(key))
        return Decimal(nanos) / 10**9

    def tokens(self, meter: str, where: Callable[[Identity], bool] = lambda _: True) -> int:
        """The quantity of one meter that is held."""
        return sum(
            n for (key, _, _), n in self.buckets.items() if key.line.meter == meter and not key.billed and where(key)
        )

    def days(self, currency: str = "USD") -> dict[date, Decimal]:
        """The billed money by the UTC day that a bucket starts on."""
        found: dict[date, Decimal] = {}
        for (key, start, _), n in self.buckets.items():
            if key.billed == currency and n:
                day = datetime.fromtimestamp(start, UTC).date()
                found[day] = found.get(day, Decimal(0)) + Decimal(n) / 10**9
        return dict(sorted(found.items()))

    def labels(self, name: str) -> set[str]:
        """The values of a label among what is not zero."""
        return {dict(key.labels).get(name, "") for (key, _, _), n in self.buckets.items() if n}

    def into(self, ledger: Ledger) -> None:
        """Hand everything over to a ledger, as the store would."""
        first = max((row.id for row in ledger.series), default=0) + 1
        ids = {key: first + place for place, key in enumerate(dict.fromkeys(key for key, _, _ in self.buckets))}
        for key, number in ids.items():
            line = key.line
            ledger.add_series([
                SeriesRow(number, key.source, line.provider, line.model, line.meter, line.modifiers, line.account,
                          dict(key.labels), key.billed)
            ])  # fmt: skip
        ledger.apply(UsageRow(ids[key], start, width, n) for (key, start, width), n in self.buckets.items())

    async def _round(self, since: datetime, now: datetime) -> None:
        try:
            async for reading in self.source.read(self.cursor, since, now):
                self._commit(reading)
        except SourceError as error:
            self.error = error
        finally:
            await self.source.close()

    def _commit(self, reading: Reading) -> None:
        self.readings.append(reading)
        self.cursor = reading.cursor
        self.until = reading.until if self.until is None else max(self.until, reading.until)
        self.warnings = reading.warnings
        fresh = record_buckets(self.source.name, reading.records)
        keys = {key for key, _, _ in (*self.buckets, *fresh)}
        names = {key: number for number, key in enumerate(sorted(keys, key=repr))}
        by_number = {number: key for key, number in names.items()}
        held = {Bucket(names[key], start, width): n for (key, start, width), n in self.buckets.items()}
        read = {Bucket(names[key], start, width): n for (key, start, width), n in fresh.items()}
        window = None
        if reading.window is not None:
            window = (micros(reading.window[0]) // 1_000_000, micros(reading.window[1]) // 1_000_000)
        for bucket, n in replaced(held, read, window, partial=bool(reading.warnings)).items():
            self.buckets[by_number[bucket.series], bucket.start, bucket.width] = n
