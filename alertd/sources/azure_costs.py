"""Azure's bill without an export: Cost Management by day, resource and meter.

Source: Cost Management API 2025-03-01 (query). Credits, prepaid money and taxes are not in its answers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date, timedelta
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field

from alertd.clients.cloud_credentials import AzureOptions, AzureTokens
from alertd.clients.http import Access, Http
from alertd.clients.json_fields import Fields, every_page
from alertd.plugin_options import TextList, revealed
from alertd.ports import SourceError
from alertd.sources._bill_lines import BillOptions, CloudBillLine, DailyBill

_MANAGEMENT: Final = "https://management.azure.com"
_VERSION: Final = "2025-03-01"
#: A query may group by two dimensions.
_GROUPED: Final = [{"type": "Dimension", "name": "ResourceId"}, {"type": "Dimension", "name": "Meter"}]
OUTBOUND: Final = "management.azure.com:443; login.microsoftonline.com:443 or the machine's identity service"
#: The section of docs/sources.md about this kind; `make docs` puts it there.
GUIDE: Final = """\
Azure's bill, by Cost Management

Reads: daily costs by resource and model, where no export is set up. The label `resource` is the resource's name.
Credits and taxes are not in it. Credentials: as for `azure_openai`.
Least privilege: Cost Management Reader on the scope. Delay: 24 hours; Azure may change a month until the fifth day
after it. Asking is limited for a whole tenant: three times a day is enough. Cannot see: who called, tokens.
```sh
ALERTD_SOURCES__AZUREBILL__KIND=azure_costs
ALERTD_SOURCES__AZUREBILL__SCOPES=/subscriptions/6f1c2e1e-0000-0000-0000-000000000000
ALERTD_SOURCES__AZUREBILL__SERVICES=*/microsoft.cognitiveservices/*
ALERTD_SOURCES__AZUREBILL__STALE_AFTER=48h
ALERTD_SOURCES__AZUREBILL__INTERVAL=8h
```
"""


class Options(AzureOptions, BillOptions):
    """Cost Management. The identity may read costs, nothing else."""

    scopes: TextList = Field(
        description="Whose bill: a subscription, resource group or management group, by id",
        examples=["/subscriptions/6f1c2e1e-0000-0000-0000-000000000000"],
    )
    services: TextList = Field(
        ["*/microsoft.cognitiveservices/*", "*/microsoft.machinelearningservices/*", "*/microsoft.saas/*"],
        description="Whose costs are taken: patterns of resources' ids; microsoft.saas is the Marketplace",
    )
    url: str = Field("", description="Another endpoint than Azure's, for all services")


def build(name: str, options: Options) -> AzureCosts:
    """Build the source; it makes no request yet."""
    return AzureCosts(name, options)


class AzureCosts(DailyBill):
    """The bills of some scopes."""

    provider = "azure"

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options)
        self._options = options
        hidden = (revealed(options.client_secret),) if options.client_secret else ()
        self._http = Http(Access(proxy=options.proxy, ca_file=options.ca_file, timeout=options.timeout, hidden=hidden))
        self._url = (options.url or _MANAGEMENT).rstrip("/")
        self._tokens = AzureTokens(name, self._http, options, options.url.rstrip("/"))

    async def lines(self, start: date, end: date) -> AsyncIterator[Sequence[CloudBillLine]]:
        """The lines of the days [start, end), page by page and scope by scope."""
        for scope in self._options.scopes:
            async for page in self._pages_of(scope.strip("/"), start, end):
                yield page

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _pages_of(self, scope: str, start: date, end: date) -> AsyncIterator[Sequence[CloudBillLine]]:
        first = f"{self._url}/{scope}/providers/Microsoft.CostManagement/query?api-version={_VERSION}"
        body = {
            "type": "ActualCost", "timeframe": "Custom",
            "timePeriod": {"from": f"{start}T00:00:00Z", "to": f"{end - timedelta(days=1)}T23:59:59Z"},
            "dataset": {"granularity": "Daily", "aggregation": {"cost": {"name": "Cost", "function": "Sum"}},
                        "grouping": _GROUPED},
        }  # fmt: skip

        async def ask(link: str) -> Fields:
            if link and urlsplit(link)[:2] != urlsplit(first)[:2]:
                raise SourceError(f"{self.name}: the next page is on another server; it is not asked for")
            headers = await self._tokens.header(_MANAGEMENT)
            answer = await self._http.send("POST", link or first, data=body, headers=headers)
            return Fields(answer.json(), self.name).child("properties")

        async for page in every_page(ask, lambda page: page.text("nextLink"), self.name):
            names = [column.text("name").lower() for column in page.items("columns")]
            missing = {"usagedate", "currency", "resourceid", "meter"} - set(names)
            if missing or not {"cost", "pretaxcost"} & set(names):
                raise SourceError(f"{self.name}: the answer lacks columns: {', '.join(sorted(missing)) or 'cost'}")
            rows = page.value("rows")
            if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
                raise SourceError(f"{self.name}: the answer has no rows")
            yield [self._line(dict(zip(names, row, strict=False))) for row in rows]

    def _line(self, cells: dict[str, object]) -> CloudBillLine:
        row = Fields(cells, f"{self.name}: a row")
        resource = row.text("resourceid")
        cost = row.money("cost" if "cost" in row else "pretaxcost", row.text("currency"))
        kind = resource.rpartition("/providers/")[2].partition("/")[0]
        labels = {"resource": resource.rsplit("/", 1)[-1], "service": kind}
        return CloudBillLine(row.day("usagedate"), resource, row.text("meter"), cost, "", labels)
