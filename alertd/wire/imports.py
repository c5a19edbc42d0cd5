"""How a source of files goes on: read anew when a file changes, each month replaced over the days that files hold."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from alertd.core.billing.backlog import month_of
from alertd.core.messages.figures import plural
from alertd.core.usage import BilledCost, Usage
from alertd.ports import Look, Reading, SourceError
from alertd.wire.billing import ago
from alertd.wire.files import Files

Record = Usage | BilledCost


@dataclass(frozen=True, slots=True)
class Imported:
    """What files hold, and what was noticed in them, one sentence each."""

    records: Sequence[Record]
    notes: tuple[str, ...] = ()
    faults: tuple[str, ...] = field(default=())


#: What equal rows of several files are: one row that both hold (once), rows of their own (each), or not said (ask).
EqualRows = Literal["ask", "once", "each"]


class Distinct:
    """Finds rows that another file holds, too. Equal rows within one file all count.

    Exports that overlap hold one row twice; exports of two teams may hold two rows that are equal by chance. Until it
    is said (`equal_rows`), they count once, which is a lower bound, and it is asked.
    """

    def __init__(self, equal_rows: EqualRows = "ask") -> None:
        self.repeated = 0
        self._equal_rows = equal_rows
        self._most: Counter[bytes] = Counter()
        self._here: Counter[bytes] = Counter()

    def next_file(self) -> None:
        """What follows is of another file."""
        self._here.clear()

    def is_new(self, cells: Sequence[str]) -> bool:
        """Whether a row counts: it was not yet seen as often as this in any earlier file, or each one counts."""
        if self._equal_rows == "each":
            return True
        mark = blake2b("\x1f".join(cells).encode(), digest_size=16).digest()
        self._here[mark] += 1
        new = self._here[mark] > self._most[mark]
        self._most[mark] = max(self._most[mark], self._here[mark])
        self.repeated += not new
        return new

    def notes(self) -> tuple[str, ...]:
        """What was found, in words."""
        said = self.repeated and self._equal_rows == "once"
        return (f"{self.repeated} rows are in another file, too, and count once",) if said else ()

    def questions(self, once: str = "", each: str = "") -> tuple[str, ...]:
        """What has to be answered, with what the files come to either way, where that is known."""
        if not self.repeated or self._equal_rows != "ask":
            return ()
        sums = (f" ({once})" if once else "", f" ({each})" if each else "")
        found = f"{plural(self.repeated, 'row')} of one file {'is' if self.repeated == 1 else 'are'} in another, too"
        question = (
            f"{found}: the same usage twice, which counts once{sums[0]}, or usage of its own,"
            f" which all counts{sums[1]}?"
            " Taken as once until you set EQUAL_ROWS=once or EQUAL_ROWS=each"
        )
        return (question,)


async def by_files(
    pattern: str,
    read: Callable[[Sequence[Path]], Imported],
    *,
    cursor: str | None,
    since: datetime,
    zone: tzinfo = UTC,
    noticed: Callable[[str], None],
) -> AsyncIterator[Reading]:
    """A Reading for every month that the files hold, once for every state of the files.

    `until` is the end of the newest record, or when the newest file was written: it says nothing of the time after.
    Faults make readings partial.
    """
    files = Files.of(pattern)
    mark = f"{files.stamp} {month_of(since, zone)}"
    if mark == cursor:
        return
    imported = await asyncio.to_thread(read, files.paths)
    if Files.of(pattern).stamp != files.stamp:
        raise SourceError(f"{pattern}: a file changed while it was read; it is read again")
    for note in imported.notes:
        noticed(note)
    months = _months(imported.records, month_of(since, zone), zone)
    newest = datetime.fromtimestamp(0, UTC)
    for number, records in enumerate(months, start=1):
        window = (min(record.start for record in records), max(record.end for record in records))
        newest = max(newest, window[1])
        until = newest if files.newest is None else min(newest, max(window[0], files.newest))
        yield Reading(
            mark if number == len(months) else (cursor or ""),
            until,
            records=records,
            window=window,
            warnings=imported.faults,
            progress=number / len(months) if len(months) > 1 else None,
            complete_from=min(record.start for record in months[0]),
        )


async def look_at_files(pattern: str, read: Callable[[Sequence[Path]], Imported], now: datetime) -> Look:
    """What the files hold, in words: how many records, from when to when, how old, and what was noticed."""
    files = Files.of(pattern)
    imported = await asyncio.to_thread(read, files.paths)
    latest = max((record.end for record in imported.records), default=None)
    first = min((record.start for record in imported.records), default=None)
    span = f" from {first:%Y-%m-%d} to {latest:%Y-%m-%d}" if first and latest else ""
    age = f", the newest written {ago(files.newest, now)} ago" if files.newest else ""
    said = [
        f"{plural(len(files.paths), 'file')}{age}",
        f"{plural(len(imported.records), 'record')}{span}",
        *imported.notes,
    ]
    return Look("; ".join(said), latest, imported.faults, _labels(imported.records))


def _months(records: Iterable[Record], first: date, zone: tzinfo) -> list[list[Record]]:
    months: dict[date, list[Record]] = defaultdict(list)
    for record in records:
        month = month_of(record.start, zone)
        if month >= first:
            months[month].append(record)
    return [months[month] for month in sorted(months)]


def _labels(records: Iterable[Record]) -> dict[str, Sequence[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for record in records:
        for name, value in record.labels.items():
            found[name].add(value)
    return {name: sorted(values) for name, values in sorted(found.items())}
