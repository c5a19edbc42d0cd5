"""A database that holds usage or cost: one query, which the database aggregates, day by day. By SQLAlchemy, read only.

The query has the parameters `:start` and `:end` (texts such as `2026-11-30 00:00:00`, UTC) and gives rows with the
columns that files have (docs/files.md). Each day's answer replaces what is held of that day, so late rows are no harm.
Errors name what the query says, never what the tables hold: servers quote values, and some drivers the address.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from alertd.clients.billing_api import Noticed, Pace, ago, totals
from alertd.clients.usage_files import Defaults, TableOptions, records_of
from alertd.core.billing.read_plan import ReadWindow, plan_windows
from alertd.core.formats.table import Opened, Table
from alertd.core.usage import BilledCost, Usage
from alertd.plugin_options import Duration, Secret
from alertd.ports import Look, Reading, SourceError
from alertd.sources._timed_source import TimedSource

if TYPE_CHECKING:
    from sqlalchemy import Engine

#: SQLSTATE classes whose message names only the query: syntax, columns, tables and rights (42), too long (57014).
_ABOUT_THE_QUERY: Final = ("42", "57014")
#: What a driver is installed with, by the name that its import misses.
_EXTRAS: Final = {"psycopg": "alertd[sql]", "clickhouse_connect": "alertd[clickhouse]"}


def is_installed() -> bool:
    """Whether SQLAlchemy is there: it comes with the extra `sql`."""
    return find_spec("sqlalchemy") is not None


class SqlDatabase:
    """One database, with one connection that is opened when it is first needed. Every method blocks."""

    def __init__(self, name: str, url: str, seconds: float) -> None:
        """`seconds` is how long a connection and a query may take, where the driver can limit it."""
        self._name, self._url, self._seconds = name, url, max(1, int(seconds))
        self._engine: Engine | None = None

    def table(self, query: str, start: datetime, end: datetime, most: int) -> Table:
        """The rows of a query with `:start` and `:end`, at most `most`. SourceError for any failure."""
        from sqlalchemy import bindparam, text  # noqa: PLC0415 - an extra
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415
        from sqlalchemy.types import NullType  # noqa: PLC0415

        # Without a type no driver writes a cast: a text compares with whatever type the time column has.
        window = {"start": f"{start:%Y-%m-%d %H:%M:%S}", "end": f"{end:%Y-%m-%d %H:%M:%S}"}
        statement = text(query.strip().rstrip(";")).bindparams(*(bindparam(one, type_=NullType()) for one in window))
        try:
            with self._connected().connect() as connection:
                answer = connection.execute(statement, window)
                header = tuple(answer.keys())
                rows = [[_text(cell) for cell in row] for row in answer.fetchmany(most + 1)]
        except (SQLAlchemyError, ImportError, OSError) as error:
            raise SourceError(f"{self._name}: {_in_words(error)}") from None
        if len(rows) > most:
            raise SourceError(
                f"{self._name}: the query gives more than {most:,} rows a day; let the database add them up (GROUP BY)",
                permanent=True,
            )
        return Table(self._name, header, lambda: _opened(rows))

    def close(self) -> None:
        """Close the connection."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _connected(self) -> Engine:
        from sqlalchemy import create_engine  # noqa: PLC0415 - an extra
        from sqlalchemy.engine import make_url  # noqa: PLC0415
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError  # noqa: PLC0415

        if self._engine is None:
            try:
                url = make_url(self._url)
                arguments: dict[str, Any] = {}
                if url.get_backend_name() == "postgresql":
                    limits = f"-c statement_timeout={self._seconds * 1000} -c timezone=UTC"
                    arguments = {
                        "connect_timeout": self._seconds,
                        "options": f"{limits} -c default_transaction_read_only=on",
                    }
                elif url.get_backend_name() == "clickhousedb":
                    arguments = {"connect_timeout": self._seconds, "send_receive_timeout": self._seconds}
                self._engine = create_engine(url, pool_pre_ping=True, pool_size=1, connect_args=arguments)
            except (ArgumentError, NoSuchModuleError, ValueError) as error:
                raise SourceError(
                    f"{self._name}: URL is not the address of a database that can be read ({type(error).__name__});"
                    " write it as postgresql://user:password@host/database, or install its SQLAlchemy driver",
                    permanent=True,
                ) from None
        return self._engine


def _opened(rows: Sequence[Sequence[str]]) -> Opened:
    """The rows from the beginning, and how many of them were read."""
    count = 0

    def read() -> Iterator[Sequence[str]]:
        nonlocal count
        for row in rows:
            count += 1
            yield row

    return read(), lambda: count


def _text(cell: object) -> str:
    """A cell as files write it: times with their offset (UTC by default), numbers in digits."""
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return (cell if cell.tzinfo else cell.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    if isinstance(cell, Decimal | float):
        return f"{Decimal(str(cell)):f}"
    return str(cell)


def _in_words(error: Exception) -> str:
    if isinstance(error, ImportError):
        extra = _EXTRAS.get(error.name or "", "its own SQLAlchemy driver")
        return f"no driver for this database is installed ({error.name}): pip install {extra}"
    cause = getattr(error, "orig", None) or error
    code = str(getattr(cause, "sqlstate", None) or "")
    found = f"{type(cause).__name__}{f', {code}' if code else ''}"
    diagnosis = getattr(getattr(cause, "diag", None), "message_primary", None)
    if diagnosis and code.startswith(_ABOUT_THE_QUERY):
        return f"the database refused the query: {diagnosis} ({found})"
    if not code and "Operational" in type(cause).__name__:
        return f"the database cannot be reached, or it ended the connection ({found})"
    return f"the database refused the query ({found}); its own log says more"


PACE: Final = Pace(timedelta(minutes=1), timedelta(minutes=2), timedelta(minutes=30))
#: More rows of one day than this are not an aggregate.
_MOST_ROWS: Final = 200_000
_DAY: Final = timedelta(days=1)
#: A column that says up to when the data is complete, in place of the present less DELAY.
_WATERMARK: Final = "watermark"
#: `:start`, but neither `::text` nor a part of a word.
_PARAMETER: Final = re.compile(r"(?<![:\w]):(\w+)")
#: Where it connects to, for docs/outbound-hosts.md.
OUTBOUND: Final = "the database's (`URL`)"
#: The section of docs/sources.md about this kind; `make docs` puts it there.
GUIDE: Final = """\
A database (SQL)

Reads: the rows of one query, aggregated by the database, from any that SQLAlchemy speaks to: PostgreSQL, ClickHouse,
or another with its driver. `PRESET=litellm` reads LiteLLM's spend table in PostgreSQL, `PRESET=langfuse` Langfuse's
observations in ClickHouse; `QUERY_FILE` is a query of your own. It contains `:start` and `:end`, the beginning and the
end of a day as texts in UTC, and gives the columns that files have ([files](files.md)): a time (`timestamp` and `end`;
hours are finer than days), `model`, token columns or `cost`, and labels. A column `watermark` says up to when the data
is complete. Days that rows may still reach (`LATE`) are read again each time.
Least privilege: SELECT on the tables of the query. Delay: two minutes, or the watermark. Cannot see: rows that are
written later than `LATE`. Needs `alertd[sql]`; ClickHouse needs `alertd[clickhouse]`.
```sh
ALERTD_SOURCES__SPEND__KIND=sql
ALERTD_SOURCES__SPEND__URL_FILE=/run/secrets/spend-database
ALERTD_SOURCES__SPEND__PRESET=litellm
ALERTD_SOURCES__SPEND__LATE=1d
ALERTD_SOURCES__SPEND__ROLE=auto
```
"""


class Options(TableOptions):
    """A database of usage or cost. The user needs to be able to read the tables, nothing else."""

    url: Secret = Field(description="The database: postgresql://reader:password@db/litellm, clickhousedb://reader@host")
    preset: Literal["", "litellm", "langfuse"] = Field("", description="A ready query: litellm or langfuse")
    query: str = Field("", description="A query of your own with :start and :end; best from a file: QUERY_FILE")
    late: Duration = Field(_DAY, description="How long rows of a day may still be written: those days are read again")
    provider: str = Field("", description="The provider of rows that name none")
    currency: str = Field("USD", description="The currency of costs that name none")

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        if bool(self.query) == bool(self.preset):
            raise ValueError("exactly one of PRESET and QUERY (or QUERY_FILE) is needed")
        if self.query and not {"start", "end"} <= set(_PARAMETER.findall(self.query)):
            raise ValueError("QUERY has to contain :start and :end, so that the database reads one day at a time")
        if self.proxy:
            raise ValueError("a database is not reached through a proxy; leave PROXY out")
        if not is_installed():
            raise ValueError("this kind needs the extra sql: pip install alertd[sql]")
        return self


def build(name: str, options: Options) -> Sql:
    """The source; connects to nothing yet."""
    return Sql(name, options)


class DatabaseDay(NamedTuple):
    """What the database holds of one day; `watermark` is up to when, where the query gives it."""

    records: Sequence[Usage | BilledCost]
    notes: tuple[str, ...]
    watermark: datetime | None


class Sql(TimedSource):
    """One query of one database."""

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, PACE, "usage")
        self._options = options
        self._query = options.query or Path(__file__).with_name(f"_sql_{options.preset}.sql").read_text("utf-8")
        self._noticed = Noticed(name)
        self._database = SqlDatabase(name, options.url.get_secret_value(), options.timeout.total_seconds())

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """A Reading a day: every day since `since` at first, then those that rows may still reach."""
        for window in plan_windows(cursor, since, now, reach_back=self._options.late, days=1):
            found = await asyncio.to_thread(self._day, window)
            until = window.until(now, self.delay)
            if found.watermark is not None:
                until = max(window.start, min(until, found.watermark))
            for note in found.notes:
                self._noticed.once(note)
            yield Reading(
                str(window.come),
                until,
                records=found.records,
                window=(window.start, window.end),
                progress=window.progress,
                complete_from=window.come.begun,
            )

    async def look(self, now: datetime) -> Look:
        """Describe the rows of yesterday and today."""
        days = [await asyncio.to_thread(self._day, day) for day in plan_windows(None, now - _DAY, now, days=1)]
        records = [record for day in days for record in day.records]
        latest = max((min(record.end, now) for record in records), default=None)
        tokens = sum(record.quantity for record in records if isinstance(record, Usage))
        money = totals([record for record in records if isinstance(record, BilledCost)])
        age = f", the newest ends {ago(latest, now)} ago" if latest else ""
        said = f"since yesterday {len(records)} records{age}: {tokens:,} tokens{f', {money}' if money else ''}"
        labels: dict[str, set[str]] = {}
        for record in records:
            for label, value in record.labels.items():
                labels.setdefault(label, set()).add(value)
        return Look(
            "; ".join(dict.fromkeys([said, *(note for day in days for note in day.notes)])),
            latest,
            labels={label: sorted(values) for label, values in sorted(labels.items())},
            remarks=() if records else ("the query gives no row since yesterday",),
        )

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.to_thread(self._database.close)

    def _day(self, window: ReadWindow) -> DatabaseDay:
        """One day of the database. SourceError where it, or the query, does not give one."""
        table, watermark = self._cut(self._database.table(self._query, window.start, window.end, _MOST_ROWS))
        if next(iter(table.opened()[0]), None) is None:
            return DatabaseDay((), (), watermark)
        options = self._options
        records, notes = records_of(table, Defaults(self.name, options, options.provider, options.currency))
        if any(record.start < window.start or record.end > window.end for record in records):
            raise SourceError(
                f"{self.name}: the query gives rows that are not within :start and :end; write WHERE time >= :start"
                " AND time < :end, and give times in UTC",
                permanent=True,
            )
        return DatabaseDay(records, notes, watermark)

    def _cut(self, table: Table) -> tuple[Table, datetime | None]:
        """The table without its watermark, and the newest of these."""
        if _WATERMARK not in table.header:
            return table, None
        at = table.header.index(_WATERMARK)
        rows = list(table.opened()[0])
        rest = [[*row[:at], *row[at + 1 :]] for row in rows]
        try:
            found = [datetime.fromisoformat(row[at]) for row in rows if row[at]]
        except ValueError:
            raise SourceError(f"{self.name}: the column {_WATERMARK} holds no time", permanent=True) from None
        newest = max((one if one.tzinfo else one.replace(tzinfo=UTC) for one in found), default=None)
        header = (*table.header[:at], *table.header[at + 1 :])
        return Table(table.name, header, lambda: (iter(rest), lambda: 0)), newest
