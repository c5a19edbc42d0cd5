"""Google Vertex AI as it happens: tokens by model from Cloud Monitoring, Google's models and those of partners.

Cloud Monitoring holds a delta for each period: windows are read again and replaced. Source: Cloud Monitoring API v3
(timeSeries.list), metric aiplatform.googleapis.com/publisher/online_serving/token_count (BETA).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

from pydantic import Field

from alertd.clients.billing_api import attributed
from alertd.clients.cloud_credentials import GoogleOptions, GoogleTokens, get_json
from alertd.clients.http import Access, Http
from alertd.clients.json_fields import Fields, every_page
from alertd.core.usage import Line, Modifiers, Usage
from alertd.plugin_options import SourceOptions, TextList
from alertd.ports import SourceError
from alertd.sources._timed_source import Found, MetricSource, MetricSpan

PROVIDER: Final = "google"
_MONITORING: Final = "https://monitoring.googleapis.com"
_SCOPE: Final = "https://www.googleapis.com/auth/monitoring.read"
_METRIC: Final = "aiplatform.googleapis.com/publisher/online_serving/token_count"
_PAGE: Final = "10000"
_METERS: Final = {"input": "input", "output": "output"}
#: Tokens of provisioned throughput are prepaid.
_PREPAID: Final = "dedicated"
OUTBOUND: Final = "monitoring.googleapis.com:443; the machine's metadata server"
#: The section of docs/sources.md about this kind; `make docs` puts it there.
GUIDE: Final = """\
Google Vertex AI

Reads: Cloud Monitoring's token counts of the projects, by model and location, partners' models (Claude) among them.
Credentials: the service account of the machine or pod, or a key file. Tokens of provisioned throughput are prepaid and
not priced: write what it costs as a commitment.
Least privilege: `roles/monitoring.viewer` on each project. Delay: five minutes; three hours are read again.
Cannot see: who called, cached tokens (where caching is used the input is an upper bound), images and video; and calls
with keys of AI Studio, which are not Vertex AI.
```sh
ALERTD_SOURCES__GOOGLE__KIND=vertex
ALERTD_SOURCES__GOOGLE__PROJECTS=my-llm-project
ALERTD_SOURCES__GOOGLE__STALE_AFTER=2h
ALERTD_SOURCES__GOOGLE__LABELS=team=search
ALERTD_SOURCES__GOOGLE__INTERVAL=5m
```
"""


class Options(GoogleOptions, SourceOptions):
    """Vertex AI's metrics. The service account may read the metrics of the projects, nothing else."""

    projects: TextList = Field(description="The projects' ids", examples=["my-llm-project"])
    url: str = Field("", description="Another endpoint than Google's, for all services")


def build(name: str, options: Options) -> Vertex:
    """Build the source; it makes no request yet."""
    return Vertex(name, options)


class Vertex(MetricSource):
    """Vertex AI in the projects that one identity may read."""

    kept = timedelta(days=41)

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options)
        self._options = options
        self._http = Http(Access(proxy=options.proxy, ca_file=options.ca_file, timeout=options.timeout))
        self._url = (options.url or _MONITORING).rstrip("/")
        self._tokens = GoogleTokens(name, self._http, options, options.url.rstrip("/"))

    async def window(self, span: MetricSpan, now: datetime) -> Found:
        """Every project's metrics; one that fails leaves the others."""
        found = Found()
        for project in self._options.projects:
            try:
                found.records += [record async for record in self._project(project, span)]
            except SourceError as error:
                found.failed = found.failed or error
        return found

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _project(self, project: str, span: MetricSpan) -> AsyncIterator[Usage]:
        # Periods are counted back from the end: it lies on one, so that every reading has the same.
        end = span.end - timedelta(seconds=span.end.timestamp() % span.period)
        if end <= span.start:
            return
        query = {
            "filter": f'metric.type="{_METRIC}"',
            "interval.startTime": f"{span.start:%Y-%m-%dT%H:%M:%SZ}",
            "interval.endTime": f"{end:%Y-%m-%dT%H:%M:%SZ}",
            "aggregation.alignmentPeriod": f"{span.period}s",
            "aggregation.perSeriesAligner": "ALIGN_SUM",
            "view": "FULL",
            "pageSize": _PAGE,
        }
        url = f"{self._url}/v3/projects/{quote(project, safe='')}/timeSeries"

        async def ask(token: str) -> Fields:
            headers = await self._tokens.header(_SCOPE)
            return await get_json(
                self._http, url, {**query, **({"pageToken": token} if token else {})}, headers, self.name
            )

        async for page in every_page(ask, lambda page: page.text("nextPageToken"), self.name):
            if "timeSeries" not in page and set(page) - {"unit", "nextPageToken"}:
                raise SourceError(f"{self.name}: the answer has no time series")
            for series in page.items("timeSeries", required=False):
                for record in self._records(project, series, span):
                    yield record

    def _records(self, project: str, series: Fields, span: MetricSpan) -> Iterator[Usage]:
        """The tokens of one series; points may come newest first."""
        metric, resource = series.child("metric").child("labels"), series.child("resource").child("labels")
        meter = _METERS.get(metric.text("type"))
        if metric.text("request_type") == _PREPAID:
            self.noticed.once("tokens of provisioned throughput are prepaid and are not counted")
            return
        if meter is None:
            self.noticed.once(f"tokens of the unknown type {metric.text('type')!r} are counted without a price")
            meter = metric.text("type") or "tokens"
        source, location = metric.text("source"), resource.text("location")
        batch = source.startswith("batch_") and meter in _METERS.values()
        modifiers: Modifiers = (("region", location),) if location not in {"", "global"} else ()
        line = Line(PROVIDER, resource.text("model_user_id"), f"batch_{meter}" if batch else meter, modifiers,
                    self._options.account)  # fmt: skip
        known = {"project": project, "location": location, "publisher": resource.text("publisher"), "key": project}
        labels = attributed(self._options, known)
        for point in series.items("points"):
            end = point.child("interval").instant("endTime")
            value = point.child("value")
            n = round(value.number("int64Value" if "int64Value" in value else "doubleValue"))
            if n:
                yield Usage(line, end - timedelta(seconds=span.period), end, n, labels, self.name)
