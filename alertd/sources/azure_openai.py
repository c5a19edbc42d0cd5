"""Azure OpenAI (Foundry) as it happens: tokens by deployment from Azure Monitor's metrics, provisioned units as hours.

Azure Monitor holds a sum for each period, no counter: windows are read again and replaced. Source: Azure Monitor
metrics 2024-02-01, supported metrics of Microsoft.CognitiveServices/accounts (2026-07-31), management API 2025-09-01.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple
from urllib.parse import quote

from pydantic import Field

from alertd.clients.billing_api import attributed
from alertd.clients.cloud_credentials import AzureOptions, AzureTokens, get_json
from alertd.clients.http import Access, Http
from alertd.clients.http_response import HttpProblem
from alertd.clients.json_fields import Fields, every_page
from alertd.core.money import Money
from alertd.core.usage import Committed, Line, Modifiers, Usage
from alertd.plugin_options import SourceOptions, TextList, revealed
from alertd.ports import SourceError
from alertd.sources._timed_source import Found, MetricSource, MetricSpan

PROVIDER: Final = "azure"
_MANAGEMENT: Final = "https://management.azure.com"
_METRICS_VERSION: Final = "2024-02-01"
_VERSION: Final = "2025-09-01"
#: The most series of a resource; without it Azure sends ten and says nothing of the rest.
_TOP: Final = 1000
#: Two families hold the same tokens under two names: a deployment's figure is the larger of the two, never the sum.
_FAMILIES: Final[tuple[Mapping[str, tuple[str, str]], ...]] = (
    {
        "InputTokens": ("input", ""),
        "OutputTokens": ("output", ""),
        "cacheReadInputTokens": ("cached_input", ""),
        "ephemeral5mInputTokens": ("cache_write", "5m"),
        "ephemeral1hInputTokens": ("cache_write", "1h"),
    },
    {"ProcessedPromptTokens": ("input", ""), "GeneratedTokens": ("output", "")},
)
_BAD_REQUEST: Final = 400
#: What a deployment's kind adds to a price, as the price files call it.
_PLACES: Final = (("datazone", "datazone"), ("global", ""), ("developer", ""), ("standard", "regional"), ("batch", ""))
#: Totals may differ by what arrives between two requests.
_MISSING: Final = 100
OUTBOUND: Final = "management.azure.com:443; login.microsoftonline.com:443"
#: The section of docs/sources.md about this kind; `make docs` puts it there.
GUIDE: Final = """\
Azure OpenAI

Reads: Azure Monitor's token metrics of the resources, by deployment, with the model and the kind (global, data zone,
regional, batch) that each deployment has. Provisioned deployments are hours times units times `PTU_PRICE`, used or not;
their tokens are prepaid and not priced. Credentials: a client secret, workload identity or managed identity.
Least privilege: Monitoring Reader and Reader on the resources ([clouds](clouds.md)). Delay: five minutes; three hours
are read again. Cannot see: who called, cached tokens of OpenAI's models (their input is an upper bound), audio, images.
```sh
ALERTD_SOURCES__AZURE__KIND=azure_openai
ALERTD_SOURCES__AZURE__RESOURCES=/subscriptions/S/resourceGroups/R/providers/Microsoft.CognitiveServices/accounts/A
ALERTD_SOURCES__AZURE__TENANT_ID=6f1c2e1e-0000-0000-0000-000000000000
ALERTD_SOURCES__AZURE__CLIENT_ID=0e5b7c1a-0000-0000-0000-000000000000
ALERTD_SOURCES__AZURE__CLIENT_SECRET_FILE=/run/secrets/azure
```
"""


class Options(AzureOptions, SourceOptions):
    """Azure OpenAI resources. The identity may read their metrics and deployments, nothing else."""

    resources: TextList = Field(
        description="Their ids: /subscriptions/S/resourceGroups/R/providers/Microsoft.CognitiveServices/accounts/A",
        examples=["/subscriptions/S/resourceGroups/R/providers/Microsoft.CognitiveServices/accounts/A"],
    )
    ptu_price: Decimal | None = Field(
        None, ge=0, description="What one provisioned throughput unit costs an hour, in USD, such as 1.00"
    )
    url: str = Field("", description="Another endpoint than Azure's, for all services")


class Deployment(NamedTuple):
    """What a deployment runs, of which kind, how many units of it, and since when."""

    model: str = ""
    kind: str = ""
    units: int = 0
    created: datetime | None = None

    @property
    def provisioned(self) -> bool:
        return "provisioned" in self.kind.lower()


@dataclass(slots=True)
class Resource:
    """One account: the id that it is asked by, its name, its deployments by name in small letters."""

    id: str
    deployments: dict[str, Deployment]

    @property
    def name(self) -> str:
        return self.id.rstrip("/").rsplit("/", 1)[-1]


def build(name: str, options: Options) -> AzureOpenAI:
    """Build the source; it makes no request yet."""
    return AzureOpenAI(name, options)


class AzureOpenAI(MetricSource):
    """The Azure OpenAI resources that one identity may read."""

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options)
        self._options = options
        hidden = (revealed(options.client_secret),) if options.client_secret else ()
        self._http = Http(Access(proxy=options.proxy, ca_file=options.ca_file, timeout=options.timeout, hidden=hidden))
        self._url = (options.url or _MANAGEMENT).rstrip("/")
        self._tokens = AzureTokens(name, self._http, options, options.url.rstrip("/"))

    async def window(self, span: MetricSpan, now: datetime) -> Found:
        """Every resource's metrics; one that fails leaves the others."""
        found = Found()
        for name in self._options.resources:
            try:
                resource = Resource(name.strip(), await self._deployments(name.strip()))
                await self._resource(resource, span, found, now)
            except SourceError as error:
                found.failed = found.failed or error
        return found

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _ask(self, path: str, query: Mapping[str, object]) -> Fields:
        headers = await self._tokens.header(_MANAGEMENT)
        url = path if path.startswith("http") else self._url + quote(path)
        return await get_json(self._http, url, query, headers, self.name)

    async def _deployments(self, resource: str) -> dict[str, Deployment]:
        async def ask(link: str) -> Fields:
            return await self._ask(link or f"{resource}/deployments", {} if link else {"api-version": _VERSION})

        found = {}
        async for page in every_page(ask, lambda page: page.text("nextLink"), self.name):
            for one in page.items("value"):
                model, sku = one.child("properties").child("model"), one.child("sku")
                created = one.child("systemData").instant_or_none("createdAt")
                deployment = Deployment(model.text("name"), sku.text("name"), sku.whole("capacity"), created)
                found[one.text("name").lower()] = deployment
        return found

    async def _resource(self, resource: Resource, span: MetricSpan, found: Found, now: datetime) -> None:
        counts: dict[tuple[str, tuple[str, str], datetime], int] = defaultdict(int)
        refused = None
        for family in _FAMILIES:
            try:
                values = await self._values(resource, family, span, found=found, now=now)
            except HttpProblem as problem:
                if problem.status != _BAD_REQUEST or refused is not None:
                    raise
                refused = problem  # a resource need not have both families
                self.noticed.once(f"{resource.name} has no metrics {', '.join(family)}: {problem}")
                continue
            for key, n in values.items():
                counts[key] = max(counts[key], n)
        found.records += self._records(resource, counts, span.period)
        found.commitments += self._committed(resource, now)

    async def _values(
        self,
        resource: Resource,
        family: Mapping[str, tuple[str, str]],
        span: MetricSpan,
        *,
        found: Found,
        now: datetime,
    ) -> dict[tuple[str, tuple[str, str], datetime], int]:
        """The tokens of a family by deployment, meter and period; what the deployments lack of the whole is a gap."""
        query = {
            "api-version": _METRICS_VERSION, "metricnamespace": "microsoft.cognitiveservices/accounts",
            "metricnames": ",".join(family), "aggregation": "total", "interval": f"PT{span.period // 60}M",
            "timespan": f"{span.start:%Y-%m-%dT%H:%M:%SZ}/{span.end:%Y-%m-%dT%H:%M:%SZ}",
        }  # fmt: skip
        path = f"{resource.id}/providers/microsoft.insights/metrics"
        split = await self._ask(path, {**query, "$filter": "ModelDeploymentName eq '*'", "top": str(_TOP)})
        whole = await self._ask(path, query)
        values: dict[tuple[str, tuple[str, str], datetime], int] = defaultdict(int)
        for name, deployment, at, n in self._points(split):
            if name in family:
                values[deployment, family[name], at] += n
        settled = now - self.delay - timedelta(seconds=span.period)
        for name, meter in family.items():
            total = sum(n for one, _, at, n in self._points(whole) if one == name and at <= settled)
            seen = sum(n for (_, one, at), n in values.items() if one == meter and at <= settled)
            if total - seen > max(total // _MISSING, 0):
                found.gaps.append(f"{resource.name}: {total - seen:,} of {name} are of no deployment that Azure lists")
        return values

    def _points(self, answer: Fields) -> Iterator[tuple[str, str, datetime, int]]:
        """Metric, deployment ("" for all), time and sum. An error of a metric inside an answer of 200 is an error."""
        for metric in answer.items("value"):
            if (code := metric.text("errorCode")) not in {"", "Success"}:
                raise SourceError(f"{self.name}: {metric.child('name').text('value')} is answered as {code}")
            series = metric.items("timeseries")
            if len(series) >= _TOP:
                raise SourceError(f"{self.name}: {_TOP} deployments or more in one resource: some may be missing")
            for one in series:
                names = {
                    value.child("name").text("value").lower(): value.text("value")
                    for value in one.items("metadatavalues", required=False)
                }
                for point in one.items("data"):
                    if "total" in point:
                        at = point.instant("timeStamp")
                        deployment = names.get("modeldeploymentname", "")
                        yield metric.child("name").text("value"), deployment, at, round(point.number("total"))

    def _records(
        self, resource: Resource, counts: Mapping[tuple[str, tuple[str, str], datetime], int], period: int
    ) -> Iterator[Usage]:
        for (name, (meter, lifetime), at), n in counts.items():
            deployment = resource.deployments.get(name.lower(), Deployment())
            if deployment.provisioned or not n:
                continue
            batch = "batch" in deployment.kind.lower() and meter in {"input", "output"}
            modifiers: Modifiers = tuple(
                (key, value) for key, value in (("cache_ttl", lifetime), ("region", _place(deployment.kind))) if value
            )
            line = Line(PROVIDER, deployment.model or name, f"batch_{meter}" if batch else meter, modifiers,
                        self._options.account)  # fmt: skip
            known = {"resource": resource.name, "deployment": name, "key": resource.name}
            labels = attributed(self._options, known)
            yield Usage(line, at, at + timedelta(seconds=period), n, labels, self.name)

    def _committed(self, resource: Resource, now: datetime) -> Iterator[Committed]:
        """Provisioned units, which cost by the hour from creation on, used or not."""
        for name, one in resource.deployments.items():
            if not one.provisioned:
                continue
            if self._options.ptu_price is None:
                self.noticed.once(
                    f"{resource.name}/{name} has {one.units} provisioned units of unknown price: PTU_PRICE"
                )
                continue
            labels = attributed(self._options, {"resource": resource.name, "deployment": name})
            cost = Money(self._options.ptu_price * one.units, "USD")
            yield Committed(PROVIDER, one.created or now, None, cost, labels, one.model, name=name, per="hour")


def _place(kind: str) -> str:
    """The place that a deployment's kind names; "" for the one that price lists have."""
    plain = kind.lower()
    return next((place for word, place in _PLACES if word in plain), "")
