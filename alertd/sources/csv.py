"""Files of usage, costs or both: exports, logs, spreadsheets. docs/files.md lists the formats."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Final

from pydantic import Field

from alertd.clients.billing_api import Noticed, Pace
from alertd.clients.file_import import by_files, by_store, look_at_files, look_at_store
from alertd.clients.object_store import ObjectStore, StoreOptions, is_stored
from alertd.clients.usage_files import Defaults, FileOptions, own_files
from alertd.ports import Look, Reading
from alertd.sources._timed_source import TimedSource

#: A file has no data after its last row; most files are written daily.
PACE: Final = Pace(timedelta(minutes=5), timedelta(hours=24), timedelta(hours=24))
#: Where it connects to, for docs/outbound-hosts.md.
OUTBOUND: Final = "none: files"
#: The section of docs/sources.md about this kind; `make docs` puts it there.
GUIDE: Final = """\
Everything else

Reads: files that somebody or something writes, anew when they change: any layout that `alertd formats` lists, or
columns of your own, in CSV, JSON, JSON lines or Parquet ([files](files.md)). Days are UTC.

| Column | Holds |
|---|---|
| `date` or `timestamp` | a day, a month or an instant; required |
| `provider`, `model` | whose, and which |
| `meter`, `quantity` | one quantity a row; or a column a meter: `input_tokens`, `output_tokens`, ... |
| `cost`, `currency` | money: `1234.50`; the currency is `CURRENCY` where absent. Beside tokens, the money is the cost |
| `charge` | what money is for, where it is not the use of a model |
| any other | a label that budgets can be cut by |

What a file does not say, you say with `COLUMNS`, `CACHED`, `DECIMALS`, `DATES`. Equal rows in two files may be one row
that both hold, or two: they count once and the reading is partial until `EQUAL_ROWS` says `once` or `each`.
Least privilege: read access to the files. Delay: taken as a day. Cannot see: the time after its last row.
```sh
ALERTD_SOURCES__OWN__KIND=csv
ALERTD_SOURCES__OWN__PATH=/imports/*.csv
ALERTD_SOURCES__OWN__PROVIDER=mistral
ALERTD_SOURCES__OWN__CURRENCY=EUR
ALERTD_SOURCES__OWN__STALE_AFTER=3d
```
"""


class Options(StoreOptions, FileOptions):
    """Options of files of usage or costs. alertd needs read access only."""

    path: str = Field(
        description="A file of any known layout (docs/files.md), a folder of them, a glob (** goes into folders), or a"
        " place in an object store: s3://BUCKET/FOLDER, gs://BUCKET/FOLDER, az://ACCOUNT/CONTAINER/FOLDER"
    )
    provider: str = Field("", description="The provider of rows that name none")
    currency: str = Field("USD", description="The currency of costs that name none")


def build(name: str, options: Options) -> Csv:
    """Build the source; it opens no file yet."""
    return Csv(name, options)


class Csv(TimedSource):
    """A source of files, which are read again whenever they change."""

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, PACE, "bill")
        self._path = options.path
        self._noticed = Noticed(name)
        self._import = own_files(Defaults(name, options, options.provider, options.currency), options.equal_rows)
        self._store = ObjectStore(name, options.path, options, options) if is_stored(options.path) else None

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """Read every month of the files if one of them changed."""
        if self._store is not None:
            steps = by_store(self._store, self._import, cursor=cursor, since=since, noticed=self._noticed.once)
        else:
            steps = by_files(self._path, self._import, cursor=cursor, since=since, noticed=self._noticed.once)
        async for step in steps:
            yield step

    async def look(self, now: datetime) -> Look:
        """Describe the content of the files."""
        if self._store is not None:
            return await look_at_store(self._store, self._import, now)
        return await look_at_files(self._path, self._import, now)

    async def close(self) -> None:
        """Close the connections to an object store, if there is one."""
        if self._store is not None:
            await self._store.close()
