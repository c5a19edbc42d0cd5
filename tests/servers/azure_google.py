"""Azure Monitor and Google's Cloud Monitoring as the references say, on a clock of the test's own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.servers.billing import Asked, Reply

RESOURCE = "/subscriptions/S/resourceGroups/R/providers/Microsoft.CognitiveServices/accounts/acme"
LATE = timedelta(minutes=3)


def summed(
    points: dict[datetime, int], start: datetime, end: datetime, seconds: int, now: datetime
) -> dict[datetime, int]:
    """Sums by period of what had come by now."""
    found: dict[datetime, int] = defaultdict(int)
    for at, n in points.items():
        if start <= at < end and at + LATE <= now:
            found[at - timedelta(seconds=at.timestamp() % seconds)] += n
    return found


@dataclass
class Azure:
    """One account: its deployments, and tokens by metric and deployment."""

    now: datetime
    deployments: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    points: dict[tuple[str, str], dict[datetime, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )
    #: Deployments that the split answer lacks, metrics that the resource does not have, error codes inside a 200.
    hidden: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    codes: dict[str, str] = field(default_factory=dict)
    secret: str = "s" * 20
    asked: list[Asked] = field(default_factory=list)

    def use(self, at: datetime, deployment: str, **tokens: int) -> None:
        for metric, n in tokens.items():
            self.points[metric, deployment][at.replace(second=0, microsecond=0)] += n

    def __call__(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        if asked.path.endswith("/oauth2/v2.0/token"):
            good = (
                f"client_secret={self.secret}".encode() in asked.body and b"grant_type=client_credentials" in asked.body
            )
            return Reply(
                {"access_token": "T", "expires_in": 3600} if good else {"error": "invalid_client"}, 200 if good else 401
            )
        if asked.path.endswith("/metadata/identity/oauth2/token"):
            assert asked.headers["metadata"] == "true"
            return Reply({"access_token": "T", "expires_in": "3600"})
        if asked.headers.get("authorization") != "Bearer T":
            return Reply({"error": {"code": "InvalidAuthenticationToken"}}, 401)
        if asked.path == f"{RESOURCE}/deployments":
            return Reply({"value": [
                {"name": name, "properties": {"model": {"format": "OpenAI", "name": model, "version": "1"}},
                 "sku": {"name": kind, "capacity": units}, "systemData": {"createdAt": "2026-11-05T00:00:00Z"}}
                for name, (model, kind, units) in self.deployments.items()
            ]})  # fmt: skip
        assert asked.path == f"{RESOURCE}/providers/microsoft.insights/metrics"
        assert (asked.one("api-version"), asked.one("aggregation")) == ("2024-02-01", "total")
        names = asked.one("metricnames").split(",")
        if self.refused & set(names):
            return Reply({"error": {"code": "BadRequest", "message": "no such metric configuration"}}, 400)
        return Reply({"interval": asked.one("interval"), "value": [self._metric(name, asked) for name in names]})

    def _metric(self, name: str, asked: Asked) -> dict[str, Any]:
        start, end = map(datetime.fromisoformat, asked.one("timespan").split("/"))
        seconds = int(asked.one("interval")[2:-1]) * 60
        parts = {
            d: summed(points, start, end, seconds, self.now) for (m, d), points in self.points.items() if m == name
        }
        if asked.one("$filter"):
            top = int(asked.one("top") or 10)
            series = [(d, sums) for d, sums in sorted(parts.items()) if d not in self.hidden][:top]
        else:
            whole: dict[datetime, int] = defaultdict(int)
            for sums in parts.values():
                for at, n in sums.items():
                    whole[at] += n
            series = [("", whole)]
        return {"name": {"value": name}, "unit": "Count", "errorCode": self.codes.get(name, "Success"), "timeseries": [
            {"metadatavalues": [{"name": {"value": "modeldeploymentname"}, "value": d}] if d else [],
             "data": [{"timeStamp": f"{start:%Y-%m-%dT%H:%M:%SZ}"},  # a period without traffic has no total
                      *({"timeStamp": f"{at:%Y-%m-%dT%H:%M:%SZ}", "total": float(n)} for at, n in sums.items())]}
            for d, sums in series
        ]}  # fmt: skip


@dataclass
class Google:
    """Projects' token counts by the labels of a series: (model, publisher, location, type, request type, source)."""

    now: datetime
    points: dict[tuple[str, ...], dict[datetime, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )
    page: int = 2
    asked: list[Asked] = field(default_factory=list)

    def use(self, at: datetime, *labels: str, n: int) -> None:
        self.points[labels][at.replace(second=0, microsecond=0)] += n

    def __call__(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        if asked.path.startswith("/computeMetadata/"):
            assert asked.headers["metadata-flavor"] == "Google"
            return Reply({"access_token": "T", "expires_in": 3599, "token_type": "Bearer"})
        assert asked.headers["authorization"] == "Bearer T"
        assert asked.path == "/v3/projects/my-llm-project/timeSeries"
        assert 'metric.type="aiplatform.googleapis.com/publisher/online_serving/token_count"' in asked.one("filter")
        assert asked.one("aggregation.perSeriesAligner") == "ALIGN_SUM"
        start, end = (datetime.fromisoformat(asked.one(f"interval.{name}Time")) for name in ("start", "end"))
        seconds = int(asked.one("aggregation.alignmentPeriod").removesuffix("s"))
        assert end.timestamp() % seconds == 0
        series = list(self._series(start, end, seconds))
        first = int(asked.one("pageToken") or 0)
        more = {"nextPageToken": str(first + self.page)} if len(series) > first + self.page else {}
        shown = series[first : first + self.page]
        return Reply({**({"timeSeries": shown} if shown else {}), "unit": "1", **more})

    def _series(self, start: datetime, end: datetime, seconds: int) -> Iterator[dict[str, Any]]:
        for (model, publisher, location, kind, request, source), points in sorted(self.points.items()):
            sums = summed(points, start, end, seconds, self.now)
            if sums:
                yield {
                    "metric": {"type": "x", "labels": {"type": kind, "request_type": request, "source": source}},
                    "resource": {"labels": {"model_user_id": model, "publisher": publisher, "location": location}},
                    "metricKind": "DELTA", "valueType": "INT64",
                    "points": [
                        {"interval": {"startTime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
                                      "endTime": f"{at + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"},
                         "value": {"int64Value": str(n)}}
                        for at, n in sorted(sums.items(), reverse=True)
                    ],
                }  # fmt: skip
