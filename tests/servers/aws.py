"""CloudWatch, Logs Insights and Bedrock's profiles as the references say, on a clock of the test's own."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.servers.billing import Asked, Reply

#: The signature's scope names region and service.
_SCOPE = re.compile(r"Credential=(?P<key>[^/]+)/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")


@dataclass
class Calls:
    """Calls of models: tokens by minute, region, dimensions and metric; each is seen `delay` after its minute."""

    now: datetime
    delay: timedelta = timedelta(minutes=5)
    points: dict[tuple[str, str, tuple[tuple[str, str], ...], str], dict[datetime, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )
    #: By (region, model, caller): tokens of the invocation log by minute and meter.
    logged: dict[tuple[str, str, str], dict[tuple[datetime, str], int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )
    profiles: list[dict[str, Any]] = field(default_factory=list)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    #: Metrics that ListMetrics does not list (yet); what GetMetricData says of a metric; regions that are closed.
    unlisted: set[str] = field(default_factory=set)
    states: dict[str, str] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    page: int = 100_000
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def use(self, at: datetime, model: str, region: str = "us-east-1", *, who: str = "", **tokens: int) -> None:
        """So many tokens of a model in a minute; `who` is the ARN of the caller, for the log."""
        minute = at.replace(second=0, microsecond=0)
        for metric, n in tokens.items():
            for dimensions in ((("ModelId", model),), ()):
                self.points[region, "AWS/Bedrock", dimensions, metric][minute] += n
            if who:
                meter = {"InputTokenCount": "input", "OutputTokenCount": "output",
                         "CacheReadInputTokenCount": "cached_input",
                         "CacheWriteInputTokenCount": "cache_write"}[metric]  # fmt: skip
                self.logged[region, model, who][minute, meter] += n

    def use_mantle(self, at: datetime, model: str, project: str, region: str = "us-east-1", **tokens: int) -> None:
        """The same through the newer endpoint, whose metrics are published on four levels."""
        minute = at.replace(second=0, microsecond=0)
        for metric, n in tokens.items():
            for dimensions in ((), (("Model", model),), (("Project", project),),
                               (("Model", model), ("Project", project))):  # fmt: skip
                self.points[region, "AWS/BedrockMantle", dimensions, metric][minute] += n

    def __call__(self, asked: Asked) -> Reply:
        scope = _SCOPE.search(asked.headers.get("authorization", ""))
        if scope is None or scope["key"] != "AKIA":
            return Reply(
                {"__type": "UnrecognizedClientException", "message": "The security token included is invalid"}, 403
            )
        if scope["region"] in self.closed:
            return Reply(
                {"__type": "UnrecognizedClientException", "message": "The security token included is invalid"}, 400
            )
        operation = asked.headers.get("x-amz-target", asked.path).rsplit(".", 1)[-1]
        body = json.loads(asked.body) if asked.body else {}
        self.asked.append((scope["region"], operation, body))
        answers = {"ListMetrics": self._list, "GetMetricData": self._data, "StartQuery": self._start,
                   "GetQueryResults": self._results, "/inference-profiles": self._profiles,
                   "/listTagsForResource": self._tags}  # fmt: skip
        return answers[operation](scope["region"], body)

    def _list(self, region: str, body: Mapping[str, Any]) -> Reply:
        found = [
            {"Namespace": space, "MetricName": metric,
             "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions]}
            for place, space, dimensions, metric in self.points
            if (place, space) == (region, body["Namespace"])
            and not self.unlisted & {value for _, value in dimensions}
        ]  # fmt: skip
        start = int(body.get("NextToken", 0))
        more = {"NextToken": str(start + 500)} if len(found) > start + 500 else {}
        return Reply({"Metrics": found[start : start + 500], **more})

    def _data(self, region: str, body: Mapping[str, Any]) -> Reply:
        start, end = (datetime.fromtimestamp(body[name], UTC) for name in ("StartTime", "EndTime"))
        points: list[tuple[str, float, int]] = []
        for query in body["MetricDataQueries"]:
            stat = query["MetricStat"]
            metric, period = stat["Metric"], stat["Period"]
            key = (region, metric["Namespace"], tuple((d["Name"], d["Value"]) for d in metric["Dimensions"]),
                   metric["MetricName"])  # fmt: skip
            sums: dict[float, int] = defaultdict(int)
            for minute, n in self.points.get(key, {}).items():
                if start <= minute < end and minute + self.delay <= self.now:
                    sums[minute.timestamp() // period * period] += n
            points += [(query["Id"], at, n) for at, n in sorted(sums.items())]
        first = int(body.get("NextToken", 0))
        shown = points[first : first + self.page]
        last = first + self.page >= len(points)
        results = [
            {"Id": query["Id"], "Label": "x", "Timestamps": [at for name, at, _ in shown if name == query["Id"]],
             "Values": [float(n) for name, _, n in shown if name == query["Id"]],
             "StatusCode": self.states.get(query["MetricStat"]["Metric"]["MetricName"],
                                           "Complete" if last else "PartialData")}
            for query in body["MetricDataQueries"]
        ]  # fmt: skip
        return Reply({"MetricDataResults": results, **({} if last else {"NextToken": str(first + self.page)})})

    def _start(self, region: str, body: Mapping[str, Any]) -> Reply:
        return Reply({"queryId": json.dumps([region, body["startTime"], body["endTime"]])})

    def _results(self, region: str, body: Mapping[str, Any]) -> Reply:
        _, start, end = json.loads(body["queryId"])
        rows: dict[tuple[str, str, float], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for (place, model, who), tokens in self.logged.items():
            for (minute, meter), n in tokens.items():
                at = minute.timestamp()
                if place == region and start <= at <= end and minute + self.delay <= self.now:
                    rows[model, who, at // 300 * 300][meter] += n
        results = [
            [{"field": "modelId", "value": model}, {"field": "identity.arn", "value": who},
             {"field": "bin(300s)", "value": f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S.000}"},
             *({"field": meter, "value": str(n)} for meter, n in tokens.items())]
            for (model, who, at), tokens in rows.items()
        ]  # fmt: skip
        return Reply({"status": "Complete", "results": results})

    def _profiles(self, region: str, body: Mapping[str, Any]) -> Reply:
        return Reply({"inferenceProfileSummaries": self.profiles})

    def _tags(self, region: str, body: Mapping[str, Any]) -> Reply:
        tags = self.tags.get(body["resourceARN"], {})
        return Reply({"tags": [{"key": name, "value": value} for name, value in tags.items()]})
