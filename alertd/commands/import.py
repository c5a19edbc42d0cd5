"""`alertd import`: put files into the ledger. The same file again changes nothing; a newer one replaces it."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from alertd.clients.file_import import EqualRows, FileImport, Record, by_files, look_at_files
from alertd.clients.usage_files import Defaults, FileOptions, own_files
from alertd.commands._context import refusal, with_store
from alertd.commands._settings_args import add_settings_arguments, settings_of
from alertd.commands._usage_files import FILE_HELP, add_reading_arguments, columns_of, month_said
from alertd.core.messages.format import plural
from alertd.core.spellings import provider_id
from alertd.core.usage import BilledCost, SeriesRow, Usage
from alertd.ports import IMPORTED, Look, Reading, SourceError, SourceRow, Store

HELP: Final = "files of usage or costs into the ledger; the same file again changes nothing"
EXAMPLES: Final = (
    "alertd import openai-november.csv --env-file my.env",
    "alertd import 'exports/*.csv' --as history --env-file my.env",
    "alertd import --remove history --env-file my.env",
)
ENDS: Final = "0 if everything is in the ledger; 1 if nothing was changed, with the reason; 2 for wrong usage"
#: Before any usage of a language model, and after any that a file of today holds.
_EVER: Final = datetime(2015, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_DAY: Final = timedelta(days=1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: the file, its name in the ledger, and how to read it."""
    add = parser.add_argument
    add("file", nargs="?", metavar="FILE", help=f"{FILE_HELP}; a folder or a glob in quotes")
    add(
        "--as",
        dest="name",
        metavar="NAME",
        help="its name in the ledger (default: the file's name); a later import under this name replaces it",
    )
    add("--remove", metavar="NAME", help="remove the import with this name")
    add("--provider", default="", metavar="P", help="the provider of rows without one")
    add("--currency", default="", metavar="EUR", help="the currency of costs without one")
    add("--period", metavar="YYYY-MM", help="the month of rows without a time")
    add("--equal-rows", choices=("once", "each"), help="equal rows in two files: count them once, or each")
    add("--beside", action="store_true", help="import it although another source has the same provider and days")
    add_reading_arguments(parser)
    add_settings_arguments(parser)
    add("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 if it is in the ledger; 1, with the reason, if nothing was changed."""
    if bool(args.file) == bool(args.remove):
        print("alertd import: name a FILE, or --remove NAME", file=sys.stderr)
        return 2
    source = _Removed(_name(args.remove)) if args.remove else _source(args)
    settings = settings_of(args, plugins=False)

    async def work(store: Store) -> dict[str, Any]:
        if isinstance(source, _ImportResult) and not args.beside and (twice := await source.counted_twice(store)):
            raise refusal(args.file, twice, "decide which source counts; --beside imports it anyway")
        return await _commit(store, source)

    try:
        answer = with_store(settings, work)
    except SourceError as error:
        print(error, file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(answer))
    else:
        print("\n".join([answer["said"], *(f"note: {note}" for note in answer.get("notes", ()))]))
    return 0


def _name(text: str) -> str:
    return f"{IMPORTED}{re.sub(r'[^a-z0-9_.-]+', '-', text.lower()).strip('-')[:60]}"


def _source(args: argparse.Namespace) -> _ImportResult:
    try:
        options = FileOptions(
            cached=args.cached,
            decimals=args.decimals,
            dates=args.dates,
            columns=dict(columns_of(args.columns)),
            equal_rows=args.equal_rows or "ask",
        )
        month = month_said(args.period)
    except ValueError as error:
        raise refusal("alertd import", str(error), "alertd import --help says how it is written") from error
    stem = Path(args.file).name.split(".")[0] if not any(sign in args.file for sign in "*?[") else "files"
    name = _name(args.name or stem)
    defaults = Defaults(name, options, args.provider, args.currency, month=month, only_counted=True)
    return _ImportResult(name, args.file, defaults, options.equal_rows)


async def _commit(store: Store, source: _ImportResult | _Removed) -> dict[str, object]:
    """Write all readings, month by month; what was there of a month is replaced."""
    row = await store.source(source.name)
    now, months = datetime.now(UTC), 0
    async for reading in source.read(row.cursor, _EVER[0], now):
        if reading.warnings:
            raise SourceError("; ".join(reading.warnings).replace("EQUAL_ROWS=", "--equal-rows "))
        after = source.row_after(row, reading, now)
        if not await store.commit_records(after, reading):
            raise SourceError(
                f"{source.name}: another process wrote at the same time; nothing is lost, import it again"
            )
        row, months = await store.source(source.name), months + 1
    return source.answer(months)


@dataclass(slots=True)
class _ImportResult:
    """A file, or several, as a source that is read once."""

    name: str
    path: str
    defaults: Defaults
    equal_rows: EqualRows = "ask"
    interval: timedelta = _DAY
    delay: timedelta = timedelta(0)
    stale_after: timedelta = 36_500 * _DAY
    notes: list[str] = field(default_factory=list)
    records: Sequence[Record] = ()

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """Every month of the files; the records are kept for the answer."""
        async for step in by_files(self.path, self._read, cursor=cursor, since=since, noticed=self.notes.append):
            yield step

    async def look(self, now: datetime) -> Look:
        """A summary of the files."""
        return await look_at_files(self.path, self._read, now)

    async def close(self) -> None:
        """Do nothing: no connection is open."""

    def _read(self, paths: Sequence[Path]) -> FileImport:
        found = own_files(self.defaults, self.equal_rows)(paths)
        self.records = found.records
        return found

    def row_after(self, row: SourceRow, reading: Reading, now: datetime) -> SourceRow:
        """The ledger's row of it after a reading."""
        begins = row.complete_from or reading.complete_from
        return replace(row, cursor=reading.cursor, until=reading.until, complete_from=begins, last_ok=now)

    async def counted_twice(self, store: Store) -> str:
        """Describe usage or a bill of the same provider and days from another source; otherwise ""."""
        await self.look(datetime.now(UTC))
        spans = _spans(self.records)
        if not spans:
            return ""
        first = min(start for start, _ in spans.values())
        others = {row.id: row for row in await store.series() if row.source != self.name and (_of(row) in spans)}
        rows, _ = await store.usage(first)
        for used in rows:
            other = others.get(used.series)
            if other is None or not used.quantity:
                continue
            start, end = spans[_of(other)]
            if start.timestamp() < used.start + used.width and used.start < end.timestamp():
                what = "costs" if other.billed else "usage"
                days = f"{start:%Y-%m-%d} to {end:%Y-%m-%d}"
                return f"{other.source} holds {what} of {_of(other)[0]} of {days} already; it would count twice"
        return ""

    def answer(self, months: int) -> dict[str, Any]:
        """The result of an import, as figures and as text."""
        found: dict[str, Any] = {"ok": True, "source": self.name, "months": months}
        if not months:
            return {**found, "records": 0, "said": f"{self.name}: nothing new, the same files were imported before"}
        sums: dict[str, Decimal] = {}
        tokens = 0
        for one in self.records:
            if isinstance(one, BilledCost):
                sums[one.cost.currency] = sums.get(one.cost.currency, Decimal(0)) + one.cost.amount
            else:
                tokens += one.quantity
        billed = {currency: f"{amount:f}" for currency, amount in sums.items()}
        span = f"{min(one.start for one in self.records):%Y-%m-%d} to {max(one.end for one in self.records):%Y-%m-%d}"
        parts = [*(f"{amount} {currency}" for currency, amount in billed.items())]
        parts += [f"{tokens:,} tokens"] if tokens else []
        said = f"{self.name}: {plural(len(self.records), 'record')} of {span}, {', '.join(parts)}"
        return {**found, "records": len(self.records), "billed": billed, "tokens": tokens, "said": said,
                "notes": self.notes}  # fmt: skip


@dataclass(slots=True)
class _Removed:
    """An empty import that replaces everything imported under a name."""

    name: str

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """An empty reading that covers all times."""
        if cursor is None:
            raise SourceError(f"nothing was imported as {self.name.removeprefix(IMPORTED)}")
        yield Reading("", now, records=(), window=_EVER)

    def row_after(self, row: SourceRow, reading: Reading, now: datetime) -> SourceRow:
        """The ledger's row of it after the reading."""
        return replace(row, cursor=None, last_ok=now)

    def answer(self, months: int) -> dict[str, Any]:
        """The result as text."""
        return {"ok": True, "source": self.name, "said": f"{self.name}: removed from the ledger"}


def _of(row: SeriesRow) -> tuple[str, bool]:
    return provider_id(row.provider), bool(row.billed)


def _spans(records: Iterable[Record]) -> dict[tuple[str, bool], tuple[datetime, datetime]]:
    """By provider and kind, from when to when records are."""
    found: dict[tuple[str, bool], tuple[datetime, datetime]] = {}
    for one in records:
        key = (one.line.provider, False) if isinstance(one, Usage) else (one.provider, True)
        start, end = found.get(key, (one.start, one.end))
        found[key] = (min(start, one.start), max(end, one.end))
    return found
