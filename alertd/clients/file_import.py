"""Files of usage: found by path or glob, read as rows, read anew when a file changes, each month replaced.

A file that changes while it is read, or an archive that is cut, is an error: half a file is never counted.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from glob import glob, has_magic
from hashlib import blake2b
from pathlib import Path
from typing import Final, Literal

from alertd.clients.billing_api import ago
from alertd.clients.object_store import ObjectStore
from alertd.clients.tables import open_table
from alertd.core.billing.read_plan import midnight, month_of, next_month
from alertd.core.formats.table import FormatError
from alertd.core.messages.format import plural
from alertd.core.usage import BilledCost, Usage
from alertd.ports import Look, Reading, SourceError

#: Files of a folder that are read; a file that is named is read whatever it is called.
_SUFFIXES: Final = (
    ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".gz", ".zip", ".zst",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rows:
    """One file's header and its rows, each with its line in the file."""

    name: str
    header: tuple[str, ...]
    rows: Iterator[tuple[int, Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Files:
    """The files that a path names now, sorted by name: a file, a folder's data files, or a glob (** too)."""

    paths: tuple[Path, ...]
    stamp: str
    newest: datetime | None = None

    @classmethod
    def of(cls, pattern: str) -> Files:
        """The files of a path or glob. SourceError if nothing matches, or if a file cannot be read."""
        place = Path(pattern).expanduser()
        try:
            if has_magic(str(place)):
                found = sorted(Path(name) for name in glob(str(place), recursive=True))  # noqa: PTH207 - ** with a root
            elif place.is_dir():
                found = sorted(path for path in place.iterdir() if path.name.lower().endswith(_SUFFIXES))
            else:
                found = [place]
            several = found != [place]
            known = [(path, state) for path in found if (state := _stat_of(path, several=several)) is not None]
        except OSError as error:
            raise SourceError(f"{pattern}: {error.strerror}") from error
        if not known:
            raise SourceError(f"{pattern}: no file there yet")
        marks = "\n".join(f"{path} {state.st_size} {state.st_mtime_ns}" for path, state in known)
        newest = max(state.st_mtime for _, state in known)
        stamp = blake2b(marks.encode(), digest_size=12).hexdigest()
        return cls(tuple(path for path, _ in known), stamp, datetime.fromtimestamp(newest, UTC))


def _stat_of(path: Path, *, several: bool) -> os.stat_result | None:
    """A file's state; None for what is none, or is gone, among several. SourceError for a link to nothing, or a pipe.

    A pipe is never opened: whoever reads it waits until somebody writes.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            raise SourceError(f"{path}: a link to a file that is not there") from None
        if several:
            return None
        raise
    if stat.S_ISREG(found.st_mode):
        return found
    if several or stat.S_ISDIR(found.st_mode):
        return None
    raise SourceError(f"{path}: a pipe or a device, not a file")


@contextmanager
def reading(path: Path, only: Callable[[str], bool] | None = None) -> Iterator[Rows]:
    """A file's rows, whatever its form, encoding and compression (`alertd.clients.tables`).

    `only`: of a file that is kept by columns (Parquet), no other columns are read.
    SourceError, also later in its `with`, where it cannot be read to its end.
    """
    try:
        table = open_table(path, only)
        rows, line_of = table.opened()
        yield Rows(path.name, table.header, ((line_of(), row) for row in rows if any(row)))
    except OSError as error:
        raise SourceError(f"{path.name}: {error.strerror or type(error).__name__}") from error
    except FormatError as error:
        raise SourceError("; ".join(f"{path.name}: {fault}" for fault in error.faults)) from None


Record = Usage | BilledCost


@dataclass(frozen=True, slots=True)
class FileImport:
    """The records of files, and remarks about them, one sentence each."""

    records: Sequence[Record]
    notes: tuple[str, ...] = ()
    faults: tuple[str, ...] = field(default=())
    #: When rows begin and end that hold no token and no money: what was there before is replaced by nothing.
    empty: tuple[tuple[datetime, datetime], ...] = ()


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
        """The questions that the files leave open, with the totals of either answer where they are known."""
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
    read: Callable[[Sequence[Path]], FileImport],
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
    for step in _steps(imported, mark, cursor, since, zone, written=files.newest):
        yield step


async def by_store(
    store: ObjectStore,
    read: Callable[..., FileImport],
    *,
    cursor: str | None,
    since: datetime,
    noticed: Callable[[str], None],
) -> AsyncIterator[Reading]:
    """The same of an object store: each month is replaced as a whole by what the newest deliveries hold of it.

    `read` takes the files and `parts`: whether they are parts of deliveries, of which no row is in two.
    """
    chosen = await store.choose(month_of(since, UTC))
    mark = f"{chosen.stamp} {month_of(since, UTC)}"
    if mark == cursor:
        return
    async with store.copied(chosen) as paths:
        imported = await asyncio.to_thread(read, paths, parts=bool(chosen.manifests))
    for note in imported.notes:
        noticed(note)
    for step in _steps(imported, mark, cursor, since, UTC, written=chosen.newest):
        if chosen.manifests and step.window is not None:
            first = month_of(step.window[0], UTC)
            yield replace(step, window=(midnight(first, UTC), midnight(next_month(first), UTC)))
        else:
            yield step


async def look_at_store(store: ObjectStore, read: Callable[..., FileImport], now: datetime) -> Look:
    """What the newest deliveries of this month and the last one hold, in words."""
    first = month_of(midnight(month_of(now, UTC), UTC) - timedelta(days=1), UTC)
    chosen = await store.choose(first)
    async with store.copied(chosen) as paths:
        imported = await asyncio.to_thread(read, paths, parts=bool(chosen.manifests))
    return _look(imported, len(chosen.files), chosen.newest, now)


def _steps(
    imported: FileImport, mark: str, cursor: str | None, since: datetime, zone: tzinfo, *, written: datetime | None
) -> Iterator[Reading]:
    """A Reading for every month; the last one carries the cursor."""
    months = _months(imported.records, month_of(since, zone), zone)
    newest = datetime.fromtimestamp(0, UTC)
    for number, records in enumerate(months, start=1):
        month = month_of(records[0].start, zone)
        spans = [(record.start, record.end) for record in records]
        spans += [span for span in imported.empty if month_of(span[0], zone) == month]
        window = (min(start for start, _ in spans), max(end for _, end in spans))
        # Rows of a time to come (a plan, a typing error) do not say that what is before them was read.
        newest = max([newest, *(record.end for record in records if written is None or record.start < written)])
        until = newest if written is None else min(newest, max(window[0], written))
        yield Reading(
            mark if number == len(months) else (cursor or ""),
            until,
            records=records,
            window=window,
            warnings=imported.faults,
            progress=number / len(months) if len(months) > 1 else None,
            complete_from=min(record.start for record in months[0]),
        )


async def look_at_files(pattern: str, read: Callable[[Sequence[Path]], FileImport], now: datetime) -> Look:
    """What the files hold, in words: how many records, from when to when, how old, and what was noticed."""
    files = Files.of(pattern)
    imported = await asyncio.to_thread(read, files.paths)
    return _look(imported, len(files.paths), files.newest, now)


def _look(imported: FileImport, files: int, written: datetime | None, now: datetime) -> Look:
    latest = max((record.end for record in imported.records if record.start < now), default=None)
    first = min((record.start for record in imported.records), default=None)
    last = max((record.end for record in imported.records), default=None)
    span = f" from {first:%Y-%m-%d} to {last:%Y-%m-%d}" if first and last else ""
    age = f", the newest written {ago(written, now)} ago" if written else ""
    said = [
        f"{plural(files, 'file')}{age}",
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
