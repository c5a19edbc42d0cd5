"""alertd's metrics by OTLP: what the official classes read is what /metrics shows; OpenTelemetry's own variables."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Summary

from alertd.clients.otlp_metrics import OtlpMetrics, encoded, otlp_target
from alertd.ports import SourceError
from tests.servers.billing import Asked, Reply, serving

START = datetime(2026, 11, 1, tzinfo=UTC)
NOW = START + timedelta(days=3, microseconds=250_000)
Points = dict[tuple[str, tuple[tuple[str, str], ...]], Any]


def registry() -> CollectorRegistry:
    found = CollectorRegistry()
    Counter("answers", "Answers.", ("budget",), registry=found).labels("é\nx").inc(7)
    Gauge("left", "What is left.", registry=found).set(-2.5)
    Gauge("unknown", "Not known.", registry=found).set(float("nan"))
    Info("build", "The version.", registry=found).info({"version": "1"})
    times = Histogram("seconds", "How long.", ("source",), buckets=(0.1, 1, 10), registry=found).labels("a")
    for seconds in (0.05, 0.1, 5, 50):
        times.observe(seconds)
    Summary("round", "Rounds.", registry=found).observe(3)
    return found


def points_of(data: bytes) -> tuple[Mapping[str, str], Points]:
    """The resource, and every point by name and labels, as the official classes read them."""
    (of_resource,) = ExportMetricsServiceRequest.FromString(data).resource_metrics
    (scope,) = of_resource.scope_metrics
    points: Points = {}
    for metric in scope.metrics:
        for point in getattr(metric, metric.WhichOneof("data")).data_points:
            labels = tuple(sorted((one.key, one.value.string_value) for one in point.attributes))
            points[metric.name, labels] = (metric, point)
    return {one.key: one.value.string_value for one in of_resource.resource.attributes}, points


def test_every_kind_of_metric_arrives_with_its_value_labels_and_times():
    resource, points = points_of(encoded(registry().collect(), {"service.name": "alertd"}, START, NOW))
    assert resource == {"service.name": "alertd"}
    metric, point = points["answers_total", (("budget", "é\nx"),)]
    assert (metric.sum.is_monotonic, metric.sum.aggregation_temporality, point.as_double) == (True, 2, 7)
    assert (point.start_time_unix_nano, point.time_unix_nano) == (
        int(START.timestamp()) * 10**9, int(NOW.timestamp()) * 10**9 + 250_000_000,
    )  # fmt: skip
    assert points["left", ()][1].as_double == -2.5
    assert points["build_info", (("version", "1"),)][1].as_double == 1
    _, times = points["seconds", (("source", "a"),)]
    assert (list(times.explicit_bounds), list(times.bucket_counts)) == ([0.1, 1, 10], [2, 0, 1, 1])
    assert (times.count, times.sum) == (4, pytest.approx(55.15))
    _, rounds = points["round", ()]
    assert (rounds.count, rounds.sum) == (1, 3)
    assert {name for name, _ in points} == {"answers_total", "left", "build_info", "seconds", "round"}


def target(environment: Mapping[str, str]):
    return otlp_target(environment, "0.1.0", "host-1")


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "http://localhost:4318/v1/metrics"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"}, "http://collector:4318/v1/metrics"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "https://b/own"},
            "https://b/own",
        ),
    ],
)
def test_the_endpoint_is_the_one_of_the_specification(environment: dict[str, str], url: str):
    assert target(environment).url == url


def test_the_other_variables_are_those_of_the_specification():
    found = target({
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=no", "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "api-key=a%20b, x=1",
        "OTEL_METRIC_EXPORT_INTERVAL": "15000", "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "500",
        "OTEL_SERVICE_NAME": "budgets", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=prod,service.name=other",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
    })  # fmt: skip
    assert (found.headers, found.interval, found.timeout) == (
        {"api-key": "a b", "x": "1"}, timedelta(seconds=15), timedelta(seconds=0.5),
    )  # fmt: skip
    assert found.resource == {
        "service.name": "budgets", "service.version": "0.1.0", "service.instance.id": "host-1",
        "deployment.environment": "prod",
    }  # fmt: skip
    assert found.is_packed
    assert "a b" not in repr(found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:secret@collector"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=secret%0d%0ax"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "60s"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("OTEL_SERVICE_NAME", "\udcff"),
    ],
)
def test_a_variable_that_is_wrong_is_named_with_its_remedy_and_not_repeated(name: str, value: str):
    with pytest.raises(ValueError, match=rf"^{name}: .*; ?(write|set)|^{name}: .*write it as") as caught:
        target({name: value})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_push_is_taken_refused_in_part_or_not_at_all(compression: str):
    asked: list[Asked] = []
    part = ExportMetricsServiceResponse()
    part.partial_success.rejected_data_points = 12
    replies = [Reply(""), Reply(part.SerializeToString().decode()), Reply("no", 401)]

    def answer(one: Asked) -> Reply:
        asked.append(one)
        return replies[len(asked) - 1]

    body = encoded(registry().collect(), {}, START, NOW)

    async def pushes(url: str) -> list[str]:
        given = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20hidden-one"}
        exporter, said = OtlpMetrics(target({**given, "OTEL_EXPORTER_OTLP_COMPRESSION": compression})), []
        for _ in replies:
            try:
                await exporter.push(body)
                said.append("")
            except SourceError as error:
                said.append(str(error))
        await exporter.close()
        return said

    with serving(answer) as server:
        taken, refused, denied = asyncio.run(pushes(server.url))
    assert taken == ""
    assert "refused 12 points" in refused
    assert "401" in denied
    assert "hidden-one" not in denied
    assert asked[0].path == "/v1/metrics"
    assert asked[0].headers["authorization"] == "Bearer hidden-one"
    assert asked[0].headers["content-type"] == "application/x-protobuf"
    assert (gzip.decompress(asked[0].body) if compression == "gzip" else asked[0].body) == body
