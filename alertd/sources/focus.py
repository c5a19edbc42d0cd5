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

from alertd.core.money import Money
from alertd.core.pricing.source_roles import SourceRole
from alertd.core.usage import BilledCost
from alertd.options import SourceOptions, TextList
from alertd.ports import Look, Reading
from alertd.sources._focus_rows import Columns, Report, Row
from alertd.wire.billing import Pace, attributed
from alertd.wire.files import reading
from alertd.wire.imports import Distinct, EqualRows, Imported, by_files, look_at_files
from alertd.wire.noticed import Noticed

#: Exports are written once or some times a day, about bills that settle over days.
PACE: Final = Pace(timedelta(minutes=10), timedelta(hours=48), timedelta(hours=24))
_DAY: Final = timedelta(days=1)
_COSTS: Final = {
    "billed": "BilledCost",
    "effective": "EffectiveCost",
    "contracted": "ContractedCost",
    "list": "ListCost",
}
_FAULTS: Final = 5


class Options(SourceOptions):
    """A FOCUS export. alertd needs to be able to read the files, nothing else."""

    path: str = Field(
        description="A file (CSV or Parquet, also compressed), a folder of them or a glob; ** goes into folders"
    )
    cost: Literal["billed", "effective", "contracted", "list"] = Field("billed", description="Which cost is taken")
    services: TextList = Field(
        ["*"], description="Whose costs are taken: patterns of service names, such as *Bedrock*,*OpenAI*"
    )
    equal_rows: EqualRows = Field(
        "ask", description="Of equal rows in two files: once (exports overlap), each (they are two), or ask"
    )
    tags: TextList = Field(default_factory=list, description="Tags that become labels; * takes all")


class Sum(NamedTuple):
    """What a sum of rows is for."""

    provider: str
    start: datetime
    end: datetime
    currency: str
    labels: tuple[tuple[str, str], ...]


def build(name: str, options: Options) -> Focus:
    """The source; opens nothing yet."""
    return Focus(name, options)


class Focus:
    """Cost files that are read anew whenever they change."""

    def __init__(self, name: str, options: Options) -> None:
        pace = PACE.set_by(options)
        self.name = name
        self.interval, self.delay, self.stale_after = pace.interval, pace.delay, pace.stale_after
        self.standing = SourceRole(options.role, "bill")
        self._options = options
        self._noticed = Noticed(name)

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """Every month of the files, when one of them changed."""
        async for step in by_files(
            self._options.path, self.imported, cursor=cursor, since=since, noticed=self._noticed.once
        ):
            yield step

    async def look(self, now: datetime) -> Look:
        """What the files hold, every quirk by name."""
        return await look_at_files(self._options.path, self.imported, now)

    async def close(self) -> None:
        """Nothing is held open between two rounds."""

    def imported(self, paths: Sequence[Path]) -> Imported:
        """The costs of the files and the report on them; rows that cannot be read make it partial."""
        report, distinct = Report(), Distinct(self._options.equal_rows)
        sums: dict[Sum, Decimal] = defaultdict(Decimal)
        for path in paths:
            distinct.next_file()
            with reading(path) as file:
                columns = Columns.of(file.header, _COSTS[self._options.cost], file.name, report)
                for line, cells in file.rows:
                    if len(paths) == 1 or distinct.is_new(cells):
                        self._add(sums, Row(columns, cells, report), f"{file.name} line {line}", report)
        more = [f"and {len(report.faults) - _FAULTS} more"] if len(report.faults) > _FAULTS else []
        records = [
            BilledCost(key.provider, key.start, key.end, Money(cost, key.currency), dict(key.labels), "", self.name)
            for key, cost in sums.items()
        ]
        return Imported(
            records, (*report.notes(), *distinct.notes()), (*report.faults[:_FAULTS], *more, *distinct.questions())
        )

    def _add(self, sums: dict[Sum, Decimal], row: Row, place: str, report: Report) -> None:
        """Add one row to the sum of its day, or note why it cannot be."""
        report.rows += 1
        try:
            service = row.text("ServiceName")
            cost = row.cost(_COSTS[self._options.cost])
            window = row.window()
            money = Money(cost, row.text("BillingCurrency").upper())
        except ValueError as error:
            report.faults.append(f"{place}: {error}")
            return
        row.notice(money)
        if not any(fnmatch(service.lower(), pattern.lower()) for pattern in self._options.services):
            report.left_out[service] += 1
            return
        category = row.text("ChargeCategory")
        labels = {
            "service": service,
            "subaccount": row.text("SubAccountName") or row.text("SubAccountId"),
            "region": row.text("RegionId"),
            "category": category.lower() if category not in {"", "Usage"} else "",
            **self._tags(row),
        }
        known = tuple(attributed(self._options, labels).items())
        sums[Sum(row.provider(), *window, money.currency, known)] += cost

    def _tags(self, row: Row) -> dict[str, str]:
        wanted = self._options.tags
        tags = row.tags()
        return {name: value for name, value in tags.items() if name in wanted or "*" in wanted}
