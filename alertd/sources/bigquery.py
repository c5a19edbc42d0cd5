"""Google Cloud's bill: the billing export in BigQuery, summed there by day, project, SKU and label.

Source: Cloud Billing's standard export schema, BigQuery REST API v2 (jobs.query, getQueryResults). Rows are only ever
added, corrections too: days are asked for again and replaced. The costs are gross; credits are a column of their own.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from typing import Final

from pydantic import Field, field_validator

from alertd.clients.cloud_credentials import GoogleOptions, GoogleTokens
from alertd.clients.http import Access, Http
from alertd.clients.json_fields import Fields, every_page
from alertd.plugin_options import TextList
from alertd.ports import SourceError
from alertd.sources._bill_lines import BillOptions, CloudBillLine, DailyBill

_BIGQUERY: Final = "https://bigquery.googleapis.com"
_SCOPE: Final = "https://www.googleapis.com/auth/bigquery"
_TABLE: Final = re.compile(r"[a-z][a-z0-9:.-]*\.\w+\.[\w*]+")
_MEGABYTE: Final = 1 << 20
_ROWS: Final = 10_000
#: How often a query that is not done yet is asked after, each time for as long as BigQuery waits (10 s).
_WAITS: Final = 30
#: The partition is the day of the export, which is never before the use.
_QUERY: Final = """\
SELECT FORMAT_DATE('%F', DATE(usage_start_time)) AS day, service.description AS service, sku.description AS sku,
 project.id AS project, cost_type AS category, currency, {tags}
 CAST(SUM(CAST(cost AS NUMERIC){credits}) AS STRING) AS cost
FROM `{table}`
WHERE _PARTITIONTIME >= TIMESTAMP(@start) AND usage_start_time >= TIMESTAMP(@start)
 AND usage_start_time < TIMESTAMP(@end)
GROUP BY day, service, sku, project, category, currency{grouped}"""
_CREDITS: Final = " + IFNULL((SELECT SUM(CAST(c.amount AS NUMERIC)) FROM UNNEST(credits) AS c), 0)"
_TAG: Final = "(SELECT ANY_VALUE(l.value) FROM UNNEST(labels) AS l WHERE l.key = @tag{0}) AS tag{0},"
OUTBOUND: Final = "bigquery.googleapis.com:443; the machine's metadata server"
#: The section of docs/sources.md about this kind; `make docs` puts it there.
GUIDE: Final = """\
Google Cloud's bill, from BigQuery

Reads: the billing export's costs by day, service, model, project and the labels that `TAGS` names, summed by BigQuery.
Gross, unless `CREDITS=true`; taxes are a charge of their own. Credentials: as for `vertex`.
Least privilege: `roles/bigquery.jobUser` on `PROJECT`, `roles/bigquery.dataViewer` on the dataset. Delay: 24 hours; two
weeks are read again once a day. Queries are paid by what they scan: a query beyond `MAX_MEGABYTES` is refused.
Cannot see: tokens, and labels of calls that nobody set.
```sh
ALERTD_SOURCES__GOOGLEBILL__KIND=bigquery
ALERTD_SOURCES__GOOGLEBILL__PROJECT=my-billing-project
ALERTD_SOURCES__GOOGLEBILL__TABLE=my-billing-project.billing.gcp_billing_export_v1_0123AB_4567CD_89EF01
ALERTD_SOURCES__GOOGLEBILL__SERVICES=*vertex*,*gemini*
ALERTD_SOURCES__GOOGLEBILL__TAGS=team
```
"""


class Options(GoogleOptions, BillOptions):
    """BigQuery. The service account may run queries in one project and read one dataset."""

    project: str = Field(description="The project in which the query runs", examples=["my-billing-project"])
    table: str = Field(
        description="The export's table: PROJECT.DATASET.TABLE",
        examples=["my-billing-project.billing.gcp_billing_export_v1_0123AB_4567CD_89EF01"],
    )
    tags: TextList = Field(default_factory=list, description="Labels of the bill that become labels here")
    credits: bool = Field(default=False, description="Whether credits are subtracted")
    max_megabytes: int = Field(10_000, ge=10, description="The most that one query may scan; BigQuery refuses more")
    url: str = Field("", description="Another endpoint than Google's, for all services")

    @field_validator("table")
    @classmethod
    def _named(cls, value: str) -> str:
        if not _TABLE.fullmatch(value.strip("`")):
            raise ValueError("not a table; write it as PROJECT.DATASET.TABLE")
        return value.strip("`")


def build(name: str, options: Options) -> BigQuery:
    """Build the source; it makes no request yet."""
    return BigQuery(name, options)


class BigQuery(DailyBill):
    """One billing account's export."""

    provider = "google"

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options)
        self._options = options
        self._http = Http(Access(proxy=options.proxy, ca_file=options.ca_file, timeout=options.timeout))
        base = (options.url or _BIGQUERY).rstrip("/")
        self._url = f"{base}/bigquery/v2/projects/{options.project}/queries"
        self._tokens = GoogleTokens(name, self._http, options, options.url.rstrip("/"))

    async def lines(self, start: date, end: date) -> AsyncIterator[Sequence[CloudBillLine]]:
        """The lines of the days [start, end), page by page."""
        tags = self._options.tags
        query = _QUERY.format(
            table=self._options.table, credits=_CREDITS if self._options.credits else "",
            tags=" ".join(_TAG.format(number) for number in range(len(tags))),
            grouped="".join(f", tag{number}" for number in range(len(tags))),
        )  # fmt: skip
        given = {"start": str(start), "end": str(end), **{f"tag{number}": tag for number, tag in enumerate(tags)}}
        done = await self._finished({
            "query": query, "useLegacySql": False, "parameterMode": "NAMED", "maxResults": _ROWS, "timeoutMs": 10_000,
            "maximumBytesBilled": str(self._options.max_megabytes * _MEGABYTE),
            "queryParameters": [
                {"name": name, "parameterType": {"type": "STRING"}, "parameterValue": {"value": value}}
                for name, value in given.items()
            ],
        })  # fmt: skip
        job = done.child("jobReference")

        async def ask(token: str) -> Fields:
            return await self._results(job, {"pageToken": token}) if token else done

        names = [column.text("name") for column in done.child("schema").items("fields")]
        async for page in every_page(ask, lambda page: page.text("pageToken"), self.name):
            yield [self._line(names, row) for row in page.items("rows", required=False)]

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _finished(self, body: Mapping[str, object]) -> Fields:
        answer = await self._http.send("POST", self._url, data=dict(body), headers=await self._tokens.header(_SCOPE))
        found = Fields(answer.json(), self.name)
        for _ in range(_WAITS):
            if found.items("errors", required=False):
                reason = found.items("errors", required=False)[0].text("reason")
                raise SourceError(f"{self.name}: BigQuery refuses the query ({reason[:40]})")
            if found.flag("jobComplete") is not False:
                return found
            found = await self._results(found.child("jobReference"), {"timeoutMs": "10000"})
        raise SourceError(f"{self.name}: BigQuery has not finished the query after {_WAITS} questions")

    async def _results(self, job: Fields, query: Mapping[str, str]) -> Fields:
        where = {"location": job.text("location")} if "location" in job else {}
        url = f"{self._url}/{job.text('jobId')}"
        given = {"maxResults": str(_ROWS), **where, **query}
        answer = await self._http.send("GET", url, params=given, headers=await self._tokens.header(_SCOPE))
        return Fields(answer.json(), self.name)

    def _line(self, names: Sequence[str], row: Fields) -> CloudBillLine:
        cells = [cell.value("v") for cell in row.items("f")]
        fields = Fields(dict(zip(names, cells, strict=False)), f"{self.name}: a row")
        category = fields.text("category")
        labels = {tag: fields.text(f"tag{number}") for number, tag in enumerate(self._options.tags)}
        cost = fields.money("cost", fields.text("currency"))
        category = "" if category == "regular" else category
        labels["project"] = fields.text("project")
        return CloudBillLine(fields.day("day"), fields.text("service"), fields.text("sku"), cost, category, labels)
