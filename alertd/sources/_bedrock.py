"""Bedrock's usage in CloudWatch (metrics, Logs Insights), and its names: models, meters, callers, inference profiles.

Sources: metrics of `AWS/Bedrock` and `AWS/BedrockMantle`; the model invocation log; CloudWatch API 2010-08-01
(ListMetrics, GetMetricData); CloudWatch Logs API 2014-03-28 (StartQuery); Bedrock API 2023-04-20
(ListInferenceProfiles, ListTagsForResource).
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from alertd.clients.aws import Aws
from alertd.clients.billing_api import Noticed
from alertd.clients.http_response import HttpProblem
from alertd.clients.json_fields import Fields, every_page
from alertd.core.usage import Labels
from alertd.ports import SourceError
from alertd.sources._timed_source import MetricSpan

RUNTIME: Final = "AWS/Bedrock"
MANTLE: Final = "AWS/BedrockMantle"
#: A metric of a namespace -> what it counts. AWS's own texts write two names of the cache metrics; a model has one.
METRICS: Final[Mapping[str, Mapping[str, str]]] = {
    RUNTIME: {
        "InputTokenCount": "input",
        "OutputTokenCount": "output",
        "CacheReadInputTokenCount": "cached_input",
        "CacheWriteInputTokenCount": "cache_write",
        "CacheReadInputTokens": "cached_input",
        "CacheWriteInputTokens": "cache_write",
        "OutputImageCount": "images",
    },
    MANTLE: {"TotalInputTokens": "input", "TotalOutputTokens": "output"},
}
#: The names of dimensions whose series are added up; other levels of a namespace hold the same tokens again.
DIMENSIONS: Final[Mapping[str, frozenset[str]]] = {
    RUNTIME: frozenset({"ModelId"}),
    MANTLE: frozenset({"Model", "Project"}),
}
#: Geographies of inference profiles by how their regions' names begin.
_GEOGRAPHIES: Final = (
    ("us-gov-", "us-gov"),
    ("us-", "us"),
    ("eu-", "eu"),
    ("ap-", "apac"),
    ("ca-", "ca"),
    ("sa-", "sa"),
)


class MetricSeries(NamedTuple):
    """One metric of CloudWatch that is added up. `account` is a linked account, "" for one's own."""

    namespace: str
    metric: str
    dimensions: tuple[tuple[str, str], ...]
    account: str = ""

    @property
    def meter(self) -> str:
        return METRICS[self.namespace][self.metric]

    @property
    def model(self) -> str:
        """The model, profile or ARN that the caller named; "" for the sum of all models."""
        found = dict(self.dimensions)
        return short_id(found.get("ModelId") or found.get("Model", ""))

    @property
    def project(self) -> str:
        return dict(self.dimensions).get("Project", "")


def listed_series(namespace: str, found: Iterable[tuple[str, Mapping[str, str], str]]) -> frozenset[MetricSeries]:
    """Of the metrics that CloudWatch lists (name, dimensions, account) those that hold every token once."""
    known = {
        MetricSeries(namespace, name, tuple(sorted(dimensions.items())), account)
        for name, dimensions, account in found
        if name in METRICS[namespace] and frozenset(dimensions) == DIMENSIONS[namespace]
    }
    first: dict[tuple[object, ...], MetricSeries] = {}
    names = list(METRICS[namespace])
    for one in sorted(known, key=lambda one: names.index(one.metric)):
        first.setdefault((one.dimensions, one.account, one.meter), one)
    return frozenset(first.values())


def short_id(model: str) -> str:
    """A model's id without the ARN around it: of a foundation model, an inference profile, an application's profile."""
    return model.rsplit("/", 1)[-1] if model.startswith("arn:") else model


def is_place_priced(model: str, region: str) -> bool:
    """Whether a model's price may be its region's own: it has no geography in its name and is not used where lists are.

    us-east-1, us-east-2 and us-west-2 have the prices of the lists.
    """
    geographies = {place for _, place in _GEOGRAPHIES} | {"global", "jp", "au"}
    return model.partition(".")[0] not in geographies and region not in {"us-east-1", "us-east-2", "us-west-2"}


def model_of_profile(arns: Iterable[str]) -> str:
    """The model of an application inference profile, under the name that says where it may run; "" for no one model.

    An ARN without a region is the worldwide profile's; those of several regions are a geography's.
    """
    parts = [arn.split(":") for arn in arns if arn.count(":") >= 5]  # noqa: PLR2004 - the colons of every ARN
    models = {short_id(":".join(part)) for part in parts}
    if len(models) != 1:
        return ""
    (model,), regions = models, {part[3] for part in parts}
    if "" in regions:
        return f"global.{model}"
    if len(regions) > 1:
        first = min(regions)
        place = next((place for beginning, place in _GEOGRAPHIES if first.startswith(beginning)), "")
        return f"{place}.{model}" if place else model
    return model


#: Who called: labels in order.
Caller = tuple[tuple[str, str], ...]


class Callers(defaultdict[tuple[str, str, datetime], Counter[Caller]]):
    """The tokens of each caller in one region, by model, meter and period."""

    def __init__(self) -> None:
        super().__init__(Counter)


def caller(arn: str) -> Mapping[str, str]:
    """Who called, by the ARN of a log: `role` and `session` of an assumed role, or `user`; both as `key`, too."""
    kind, _, rest = arn.rsplit(":", 1)[-1].partition("/")
    if kind == "assumed-role":
        role, _, session = rest.partition("/")
        return {"role": role, "session": session, "key": role}
    name = rest.rsplit("/", 1)[-1]
    return {"user": name, "key": name} if kind == "user" else {"key": rest or kind}


#: The most metrics of one GetMetricData.
_QUERIES: Final = 500
_POINTS: Final = 100_800
#: Logs Insights answers this many rows at most, without a word on the rest.
LOG_ROWS: Final = 10_000
#: How often and how many times a query of the logs is asked for its answer.
_ASKED_EVERY: Final = 1.0
_ASKED: Final = 120
_FAILED: Final = frozenset({"Failed", "Cancelled", "Timeout", "Unknown"})


async def list_metrics(
    aws: Aws, region: str, namespace: str, *, linked: bool
) -> list[tuple[str, Mapping[str, str], str]]:
    """The token metrics of a namespace: name, dimensions and, of a linked account, its id."""

    async def ask(token: str) -> Fields:
        more: dict[str, Any] = {"NextToken": token} if token else {}
        if linked:
            more["IncludeLinkedAccounts"] = True
        return await aws.call("cloudwatch", "ListMetrics", region, Namespace=namespace, **more)

    found: list[tuple[str, Mapping[str, str], str]] = []
    async for page in every_page(ask, lambda page: page.text("NextToken"), aws.name):
        owners = page.texts("OwningAccounts")
        for place, one in enumerate(page.items("Metrics")):
            name = one.text("MetricName")
            if name in METRICS[namespace]:
                dimensions = {d.text("Name"): d.text("Value") for d in one.items("Dimensions", required=False)}
                found.append((name, dimensions, owners[place] if linked and place < len(owners) else ""))
    return found


async def sums(
    aws: Aws, region: str, series: Sequence[MetricSeries], span: MetricSpan
) -> tuple[dict[tuple[MetricSeries, datetime], int], list[str]]:
    """The sum of each series in each period that has one, and what CloudWatch gave in part only."""
    found: dict[tuple[MetricSeries, datetime], int] = {}
    partial: list[str] = []
    for part in (series[place : place + _QUERIES] for place in range(0, len(series), _QUERIES)):
        states: dict[str, str] = {}
        names = {f"m{number}": one for number, one in enumerate(part)}
        queries = [_query(name, one, span.period) for name, one in names.items()]

        async def ask(token: str, queries: list[Any] = queries) -> Fields:
            more = {"NextToken": token} if token else {}
            return await aws.call(
                "cloudwatch", "GetMetricData", region,
                StartTime=span.start, EndTime=span.end, ScanBy="TimestampAscending", MaxDatapoints=_POINTS,
                MetricDataQueries=queries, **more,
            )  # fmt: skip

        async for page in every_page(ask, lambda page: page.text("NextToken"), aws.name):
            for result in page.items("MetricDataResults"):
                name = result.text("Id")
                if name in names:
                    states[name] = result.text("StatusCode")
                    found.update({(names[name], at): value for at, value in _points(result)})
        partial += [
            f"{region}: {names[name].metric} of {names[name].model or 'all models'} is {state or 'of unknown state'}"
            for name, state in ((name, states.get(name, "missing")) for name in names)
            if state != "Complete"
        ]
    return found, partial


def _query(name: str, one: MetricSeries, period: int) -> dict[str, object]:
    dimensions = [{"Name": key, "Value": value} for key, value in one.dimensions]
    metric = {"Namespace": one.namespace, "MetricName": one.metric, "Dimensions": dimensions}
    stat = {"Metric": metric, "Period": period, "Stat": "Sum"}
    return {"Id": name, "ReturnData": True, "MetricStat": stat, **({"AccountId": one.account} if one.account else {})}


def _points(result: Fields) -> Iterator[tuple[datetime, int]]:
    times, values = result.value("Timestamps"), result.value("Values")
    if not isinstance(times, list) or not isinstance(values, list) or len(times) != len(values):
        raise SourceError(f"{result.place} has no value for every time")
    for at, value in zip(times, values, strict=True):
        point = Fields({"at": at, "value": value}, result.place)
        yield point.instant("at"), round(point.number("value"))


async def query_logs(aws: Aws, region: str, group: str, text: str, span: MetricSpan) -> list[dict[str, str]]:
    """The rows that a query of Logs Insights answers, by field. SourceError where it fails or leaves some out."""
    begun = await aws.call(
        "logs", "StartQuery", region,
        logGroupName=group, startTime=int(span.start.timestamp()), endTime=int(span.end.timestamp()) - 1,
        queryString=text, limit=LOG_ROWS,
    )  # fmt: skip
    for _ in range(_ASKED):
        answer = await aws.call("logs", "GetQueryResults", region, queryId=begun.text("queryId"))
        state = answer.text("status")
        if state in _FAILED:
            raise SourceError(f"{aws.name}: the query of the log group {group} ended as {state}")
        if state == "Complete":
            results = answer.value("results")
            rows = [
                {cell.text("field"): cell.text("value") for cell in Fields({"row": row}, answer.place).items("row")}
                for row in (results if isinstance(results, list) else ())
            ]
            if len(rows) >= LOG_ROWS:
                raise SourceError(f"{aws.name}: {group} has {LOG_ROWS:,} rows or more of one time: some may be missing")
            return rows
        await asyncio.sleep(_ASKED_EVERY)
    raise SourceError(f"{aws.name}: the query of the log group {group} took longer than {_ASKED * _ASKED_EVERY:.0f} s")


class Profiles:
    """The profiles of one account, by region; asked for when an id turns up that nobody knows."""

    def __init__(self, aws: Aws, tags: Sequence[str], noticed: Noticed) -> None:
        self._aws, self._tags, self._noticed = aws, tags, noticed
        self._known: dict[str, dict[str, tuple[str, Labels]]] = {}

    def model(self, region: str, series: MetricSeries) -> tuple[str, Labels]:
        """What a series is priced as, and the labels of its profile. An unknown profile stays as it is named."""
        model, labels = self._known.get(region, {}).get(series.model, ("", {}))
        return model or dict(series.dimensions).get("ModelId") or series.model, labels

    async def learn(self, region: str, series: Iterable[MetricSeries]) -> None:
        """Ask for the profiles of a region if an id is new and is no model's: models have a dot in their names."""
        known = self._known.setdefault(region, {})
        fresh = {one.model for one in series if "." not in one.model} - known.keys()
        if not fresh:
            return

        async def ask(token: str) -> Fields:
            more: dict[str, Any] = {"nextToken": token} if token else {}
            return await self._aws.call("bedrock", "ListInferenceProfiles", region, typeEquals="APPLICATION", **more)

        try:
            async for page in every_page(ask, lambda page: page.text("nextToken"), self._aws.name):
                for one in page.items("inferenceProfileSummaries"):
                    arn, name = one.text("inferenceProfileArn"), one.text("inferenceProfileName")
                    model = model_of_profile([part.text("modelArn") for part in one.items("models", required=False)])
                    known[short_id(arn)] = model, {"profile": name, **await self._tags_of(region, arn)}
        except HttpProblem as problem:
            self._noticed.once(f"{region}: inference profiles cannot be read, so their usage is unpriced: {problem}")
        for unknown in fresh:
            known.setdefault(unknown, ("", {}))

    async def _tags_of(self, region: str, arn: str) -> Mapping[str, str]:
        if not self._tags:
            return {}
        answer = await self._aws.call("bedrock", "ListTagsForResource", region, resourceARN=arn)
        tags = {tag.text("key"): tag.text("value") for tag in answer.items("tags", required=False)}
        return {name: value for name, value in tags.items() if name in self._tags}
