"""alertd's own metrics, pushed by OTLP (HTTP, protobuf) to a collector; configured by OpenTelemetry's own variables.

What /metrics shows, under the same names and labels: counters and histograms are cumulative since the start.
Source: OpenTelemetry specification, OTLP exporter and SDK environment variables; OTLP 1.x.
"""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from prometheus_client.core import Metric
from prometheus_client.samples import Sample

from alertd.clients.http import MEGABYTE, Access, Http
from alertd.plugin_options import is_utf8
from alertd.ports import SourceError

_ENDPOINT: Final = "http://localhost:4318"
_PATH: Final = "/v1/metrics"
_OTLP: Final = "OTEL_EXPORTER_OTLP"
_PROTOCOL: Final = "http/protobuf"
_CUMULATIVE: Final = 2
_NANOS: Final = 10**9


@dataclass(frozen=True, slots=True)
class OtlpTarget:
    """Where metrics are sent, how often, and as what."""

    url: str
    interval: timedelta
    timeout: timedelta
    headers: Mapping[str, str] = field(repr=False)
    resource: Mapping[str, str]
    is_packed: bool
    ca_file: Path | None


def otlp_target(environment: Mapping[str, str], version: str, instance: str) -> OtlpTarget:
    """The target that OpenTelemetry's variables name. ValueError: which variable, and what to write."""

    def of(name: str, default: str = "") -> str:
        value = environment.get(name, "").strip()
        if not is_utf8(value):
            raise ValueError(f"{name}: is no UTF-8 text; set it again")
        return value or default

    def exporter(name: str, default: str = "") -> str:
        return of(f"{_OTLP}_METRICS_{name}") or of(f"{_OTLP}_{name}", default)

    if (protocol := exporter("PROTOCOL", _PROTOCOL)) != _PROTOCOL:
        raise ValueError(f"{_OTLP}_PROTOCOL: {protocol[:20]!r} is not spoken here; write {_PROTOCOL}")
    whole, base = of(f"{_OTLP}_METRICS_ENDPOINT"), of(f"{_OTLP}_ENDPOINT", _ENDPOINT)
    url = whole or base.rstrip("/") + _PATH
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError(f"{_OTLP}_ENDPOINT: no http address without a user; write it as {_ENDPOINT}")
    certificate = exporter("CERTIFICATE")
    return OtlpTarget(
        url,
        _milliseconds("OTEL_METRIC_EXPORT_INTERVAL", of("OTEL_METRIC_EXPORT_INTERVAL", "60000")),
        _milliseconds(f"{_OTLP}_TIMEOUT", exporter("TIMEOUT", "10000")),
        dict(_pairs(f"{_OTLP}_HEADERS", exporter("HEADERS"))),
        {
            "service.version": version,
            "service.instance.id": instance,
            **dict(_pairs("OTEL_RESOURCE_ATTRIBUTES", of("OTEL_RESOURCE_ATTRIBUTES"))),
            "service.name": of("OTEL_SERVICE_NAME", "alertd"),
        },
        exporter("COMPRESSION") == "gzip",
        Path(certificate) if certificate else None,
    )


def _milliseconds(name: str, text: str) -> timedelta:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:12]) < 10**9):
        raise ValueError(f"{name}: no number of milliseconds; write 60000")
    return timedelta(milliseconds=int(text))


def _pairs(name: str, text: str) -> Iterator[tuple[str, str]]:
    """`a=1,b=2`, percent-encoded."""
    for pair in filter(str.strip, text.split(",")):
        key, equals, value = pair.partition("=")
        found, sent = unquote(key.strip()), unquote(value.strip())
        if not equals or not found or not (found + sent).isascii() or not (found + sent).isprintable():
            raise ValueError(f"{name}: no list of pairs; write a=1,b=2, other characters percent-encoded")
        yield found, sent


class OtlpMetrics:
    """The exporter: `push` sends what a registry shows now."""

    def __init__(self, target: OtlpTarget) -> None:
        self.target = target
        self._http = Http(Access(timeout=target.timeout, headers=target.headers, ca_file=target.ca_file))

    async def push(self, body: bytes) -> None:
        """Send a request of `encoded`. SourceError where it was not taken; the next one holds all of it again."""
        from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2  # noqa: PLC0415 - 10 MB, an option

        packed = {"Content-Encoding": "gzip"} if self.target.is_packed else {}
        headers = {"Content-Type": "application/x-protobuf", **packed}
        content = gzip.compress(body, 1) if packed else body
        answer = await self._http.send("POST", self.target.url, content=content, headers=headers, limit=MEGABYTE)
        said = metrics_service_pb2.ExportMetricsServiceResponse()
        try:
            said.ParseFromString(answer.body)
        except ValueError:  # a proxy's page; the status says that it was taken
            return
        if refused := said.partial_success.rejected_data_points:
            raise SourceError(f"the collector refused {refused:,} points of the metrics; its own log says why")

    async def close(self) -> None:
        """Close the connection."""
        await self._http.close()


def encoded(families: Iterable[Metric], resource: Mapping[str, str], start: datetime, now: datetime) -> bytes:
    """What a registry shows as one ExportMetricsServiceRequest. `start` is since when counters count."""
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2  # noqa: PLC0415 - as above

    request = metrics_service_pb2.ExportMetricsServiceRequest()
    of_resource = request.resource_metrics.add()
    _attribute(of_resource.resource.attributes, resource)
    scope = of_resource.scope_metrics.add()
    scope.scope.name, scope.scope.version = "alertd", resource.get("service.version", "")
    begun, at = _nanos(start), _nanos(now)
    for family in families:
        if family.type in ("summary", "histogram"):
            _distribution(scope.metrics, family, begun, at)
            continue
        by_name: dict[str, list[Sample]] = defaultdict(list)
        for sample in family.samples:
            if not sample.name.endswith("_created") and isfinite(sample.value):
                by_name[sample.name].append(sample)
        for name, samples in by_name.items():
            metric = scope.metrics.add(name=name, description=family.documentation, unit=family.unit)
            counts = family.type == "counter"
            if counts:
                metric.sum.aggregation_temporality, metric.sum.is_monotonic = _CUMULATIVE, True
            points = metric.sum.data_points if counts else metric.gauge.data_points
            for sample in samples:
                began = {"start_time_unix_nano": begun} if counts else {}
                point = points.add(time_unix_nano=at, as_double=sample.value, **began)
                _attribute(point.attributes, sample.labels)
    data: bytes = request.SerializeToString()
    return data


def _distribution(metrics: Any, family: Metric, begun: int, at: int) -> None:
    """A summary or histogram: one point for each set of labels, its buckets no longer cumulative."""
    found: dict[tuple[tuple[str, str], ...], dict[str, float]] = defaultdict(dict)
    for sample in family.samples:
        labels = {name: value for name, value in sample.labels.items() if name != "le"}
        part = sample.labels.get("le") or sample.name.removeprefix(family.name)
        found[tuple(sorted(labels.items()))][part] = sample.value
    metric = metrics.add(name=family.name, description=family.documentation, unit=family.unit)
    if family.type == "histogram":
        metric.histogram.aggregation_temporality = _CUMULATIVE
    for own, parts in found.items():
        holder = metric.histogram if family.type == "histogram" else metric.summary
        point = holder.data_points.add(start_time_unix_nano=begun, time_unix_nano=at)
        _attribute(point.attributes, dict(own))
        point.sum = parts.get("_sum", 0.0)
        if family.type == "summary":
            point.count = int(parts.get("_count", 0))
            continue
        bounds = sorted((float(bound), int(count)) for bound, count in parts.items() if not bound.startswith("_"))
        point.explicit_bounds.extend(bound for bound, _ in bounds if isfinite(bound))
        before = 0
        for _, count in bounds:
            point.bucket_counts.append(count - before)
            before = count
        point.count = before


def _attribute(attributes: Any, values: Mapping[str, str]) -> None:
    for name, value in values.items():
        attributes.add(key=name).value.string_value = value


def _nanos(at: datetime) -> int:
    return int(at.timestamp()) * _NANOS + at.microsecond * 1000
