"""Any FOCUS 1.x cost file (FinOps Open Cost and Usage Specification), as AWS, Azure, Google and others export it.

Rows become costs by day, service and account. What an export does otherwise than the specification is named, counted.
Source: https://focus.finops.org, columns of 1.0 to 1.3.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatch
from pathlib import Path
from typing import Final, Literal, NamedTuple

from pydantic import Field

from alertd.clients.billing_api import Noticed, Pace, attributed
from alertd.clients.file_import import (
    Distinct,
    EqualRows,
    FileImport,
    by_files,
    by_store,
    look_at_files,
    look_at_store,
    reading,
)
from alertd.clients.object_store import ObjectStore, StoreOptions, is_stored
from alertd.core.money import Money
from alertd.core.pricing.source_roles import CHARGE
from alertd.core.usage import BilledCost
from alertd.plugin_options import SourceOptions, TextList
from alertd.ports import Look, Reading
from alertd.sources._bill_lines import charge_of, model_of
from alertd.sources._focus_rows import FAULTS, Columns, FocusReport, FocusRow, Group, Grouping, is_read
from alertd.sources._timed_source import TimedSource

#: Exports are written once or some times a day, about bills that settle over days.
PACE: Final = Pace(timedelta(minutes=10), timedelta(hours=48), timedelta(hours=24))
_DAY: Final = timedelta(days=1)
_COSTS: Final = {
    "billed": "BilledCost",
    "effective": "EffectiveCost",
    "contracted": "ContractedCost",
    "list": "ListCost",
}
#: Groups of rows that are held at once: some 50 MB.
_MOST_GROUPS: Final = 50_000
#: Where it connects to, for docs/outbound-hosts.md.
OUTBOUND: Final = "none: files"
#: The section of docs/sources.md about this kind; `make docs` puts it there.
GUIDE: Final = """\
Any cloud's FOCUS export

Reads: FOCUS 1.x cost files (CSV or Parquet, also compressed), a path, folder or glob that is watched. Columns are
found in either spelling and by the names of every 1.x version. Rows become costs by day, service, model (where the
usage type or meter names one), account, region and the tags that `TAGS` names. Taxes are a charge of their own.
Everything an export does otherwise than the specification is named, with its count, by
`alertd check` and once in the log. Equal rows in two files are asked about (`EQUAL_ROWS`); a row that cannot be read
makes the reading partial, and is named.
Least privilege: read access to the files. Delay: that of the export. Cannot see: what the files do not hold.
```sh
ALERTD_SOURCES__CLOUD__KIND=focus
ALERTD_SOURCES__CLOUD__PATH=/exports/**/*.csv.gz
ALERTD_SOURCES__CLOUD__SERVICES=*bedrock*,*openai*,*vertex*
ALERTD_SOURCES__CLOUD__TAGS=team,environment
ALERTD_SOURCES__CLOUD__COST=billed
```
"""


class Options(StoreOptions, SourceOptions):
    """A FOCUS export. alertd needs read access only."""

    path: str = Field(
        description="A file (CSV or Parquet, also compressed), a folder of them or a glob (** goes into folders), or a"
        " place in an object store: s3://BUCKET/FOLDER, gs://BUCKET/FOLDER, az://ACCOUNT/CONTAINER/FOLDER"
    )
    cost: Literal["billed", "effective", "contracted", "list"] = Field("billed", description="Which cost is taken")
    services: TextList = Field(
        ["*"], description="Whose costs are taken: patterns of service names, such as *Bedrock*,*OpenAI*"
    )
    equal_rows: EqualRows = Field(
        "ask", description="Of equal rows in two files: once (exports overlap), each (they are two), or ask"
    )
    categories: TextList = Field(
        ["*"],
        description="Which charge categories are taken: Usage,Purchase leaves credits and taxes out: the gross",
    )
    tags: TextList = Field(default_factory=list, description="Tags that become labels; * takes all")


class Sum(NamedTuple):
    """The key of a sum of rows."""

    provider: str
    model: str
    start: datetime
    end: datetime
    currency: str
    labels: tuple[tuple[str, str], ...]


def build(name: str, options: Options) -> Focus:
    """Build the source; it opens no file yet."""
    return Focus(name, options)


class Focus(TimedSource):
    """A source of cost files, which are read again whenever they change."""

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, PACE, "bill")
        self._options = options
        self._noticed = Noticed(name)
        self._store = ObjectStore(name, options.path, options, options) if is_stored(options.path) else None

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """Read every month of the files if one of them changed."""
        if self._store is not None:
            steps = by_store(self._store, self.imported, cursor=cursor, since=since, noticed=self._noticed.once)
        else:
            path = self._options.path
            steps = by_files(path, self.imported, cursor=cursor, since=since, noticed=self._noticed.once)
        async for step in steps:
            yield step

    async def look(self, now: datetime) -> Look:
        """Describe the content of the files, with every deviation from FOCUS."""
        if self._store is not None:
            return await look_at_store(self._store, self.imported, now)
        return await look_at_files(self._options.path, self.imported, now)

    async def close(self) -> None:
        """Close the connections to an object store, if there is one."""
        if self._store is not None:
            await self._store.close()

    def imported(self, paths: Sequence[Path], *, parts: bool = False) -> FileImport:
        """The costs of the files and the report on them; rows that cannot be read make it partial.

        `parts`: the files are parts of deliveries, of which no row is in two.
        """
        report, distinct = FocusReport(), Distinct("each" if parts else self._options.equal_rows)
        compared = len(paths) > 1 and not parts
        sums: dict[Sum, Decimal] = defaultdict(Decimal)
        name = _COSTS[self._options.cost]
        for path in paths:
            distinct.next_file()
            with reading(path, None if compared else is_read) as file:
                columns = Columns.of(file.header, name, file.name, report)
                grouping = Grouping(columns, len(file.header), name, report)
                for line, cells in file.rows:
                    if not compared or distinct.is_new(cells):
                        grouping.add(line, cells)
                        if len(grouping.groups) >= _MOST_GROUPS:
                            self._flush(sums, grouping, report)
                self._flush(sums, grouping, report)
                grouping.finish()
        more = [f"and {len(report.faults) - FAULTS} more"] if len(report.faults) > FAULTS else []
        records = [
            BilledCost(
                key.provider, key.start, key.end, Money(cost, key.currency), dict(key.labels), key.model, self.name
            )
            for key, cost in sums.items()
        ]
        return FileImport(
            records, (*report.notes(), *distinct.notes()), (*report.faults[:FAULTS], *more, *distinct.questions())
        )

    def _flush(self, sums: dict[Sum, Decimal], grouping: Grouping, report: FocusReport) -> None:
        """Add every group to the sum of its day, or note why it cannot be."""
        for group in grouping.groups.values():
            self._add(sums, FocusRow(grouping.columns, group.cells, report, group.count), group, report)
        grouping.groups.clear()

    def _add(self, sums: dict[Sum, Decimal], row: FocusRow, group: Group, report: FocusReport) -> None:
        service = row.text("ServiceName")
        row.notice()
        report.free += group.free
        if group.negative:
            report.negative[group.currency] += group.negative
        if not any(fnmatch(service.lower(), pattern.lower()) for pattern in self._options.services):
            report.left_out[service] += group.count
            return
        category, meter, provider = row.text("ChargeCategory"), row.text("Meter"), row.provider()
        if not any(fnmatch(category.lower(), pattern.lower()) for pattern in self._options.categories):
            report.left_out[f"{service} ({category})"] += group.count
            return
        labels = {
            "service": service,
            "subaccount": row.text("SubAccountName") or row.text("SubAccountId"),
            "region": row.text("RegionId"),
            "category": category.lower() if category not in {"", "Usage"} else "",
            CHARGE: charge_of(category, meter),
            **self._tags(row),
        }
        known = tuple(attributed(self._options, labels).items())
        sums[Sum(provider, model_of(provider, service, meter), *group.window, group.currency, known)] += group.sum

    def _tags(self, row: FocusRow) -> dict[str, str]:
        wanted = self._options.tags
        tags = row.tags()
        return {name: value for name, value in tags.items() if name in wanted or "*" in wanted}
