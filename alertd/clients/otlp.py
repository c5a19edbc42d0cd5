"""OTLP metrics requests, protobuf or JSON, as plain values. The only file that knows the format.

Source: opentelemetry-proto, metrics.proto and the JSON encoding in docs/specification.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final, NamedTuple

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

_DELTA, _CUMULATIVE = 1, 2
#: A point with this flag marks a gap, and has no value.
_NO_VALUE: Final = 1

Attributes = tuple[tuple[str, str], ...]


class DataPoint(NamedTuple):
    """One point of a sum, or the sum of a histogram: its attributes, start and time (nanoseconds), and its value."""

    attributes: Attributes
    start: int
    time: int
    value: int | float


class Metric(NamedTuple):
    """The points of one metric of one resource and scope. `kind` is sum, histogram or exponential_histogram."""

    name: str
    unit: str
    kind: str
    is_delta: bool
    resource: Attributes
    scope: tuple[str, str]
    points: list[DataPoint]


@dataclass(slots=True)
class MetricsRequest:
    """What a request holds of the metrics that are wanted; how many of their points were refused, and why."""

    metrics: list[Metric] = field(default_factory=list)
    refused: int = 0
    reasons: dict[str, None] = field(default_factory=dict)
    #: The names of all metrics in it.
    names: dict[str, None] = field(default_factory=dict)

    def refuse(self, points: int, name: str, why: str) -> None:
        """Count data points that are refused, with the reason for the sender."""
        self.refused += points
        self.reasons[f"{name[:100]}: {why}"] = None


def read_request(body: bytes, wanted: Callable[[str], bool], *, is_json: bool) -> MetricsRequest:
    """The request's points of the `wanted` metrics. ValueError where it is malformed, without a word of the body."""
    try:
        message: Any = _JSON.decode(body) if is_json else ExportMetricsServiceRequest.FromString(body)
        found = MetricsRequest()
        for of_resource in message.resource_metrics or ():
            resource = _attributes(of_resource.resource.attributes) if of_resource.resource is not None else ()
            for of_scope in of_resource.scope_metrics or ():
                scope = (of_scope.scope.name, of_scope.scope.version) if of_scope.scope is not None else ("", "")
                for metric in of_scope.metrics or ():
                    found.names[metric.name] = None
                    if wanted(metric.name):
                        _read_metric(found, metric, resource, scope, is_json=is_json)
    except (DecodeError, msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError):
        raise ValueError(f"the body is no ExportMetricsServiceRequest in {'JSON' if is_json else 'protobuf'}") from None
    return found


def _read_metric(
    found: MetricsRequest, metric: Any, resource: Attributes, scope: tuple[str, str], *, is_json: bool
) -> None:
    kind = _json_kind(metric) if is_json else metric.WhichOneof("data")
    if kind in (None, "gauge"):
        return  # never usage
    data = getattr(metric, kind)
    points = data.data_points or ()
    if kind == "summary":
        found.refuse(len(points), metric.name, "summaries are not counted")
        return
    if kind == "sum" and not data.is_monotonic:
        return
    temporality = data.aggregation_temporality
    if temporality not in (_DELTA, _CUMULATIVE):
        found.refuse(len(points), metric.name, "its aggregation temporality is not specified")
        return
    value_of = _JSON_VALUES[kind == "sum"] if is_json else _VALUES[kind == "sum"]
    taken = list(_points(found, metric.name, points, value_of))
    if taken:
        is_delta = temporality == _DELTA
        found.metrics.append(Metric(metric.name, metric.unit, kind, is_delta, resource, scope, taken))


def _points(
    found: MetricsRequest, name: str, points: Iterable[Any], value_of: Callable[[Any], int | float | None]
) -> Iterator[DataPoint]:
    for point in points:
        if point.flags & _NO_VALUE:
            continue
        value, time = value_of(point), int(point.time_unix_nano)
        if value is None:
            found.refuse(1, name, "a point has no value")
        elif time <= 0:
            found.refuse(1, name, "a point has no time")
        elif value < 0 or not isfinite(value):
            found.refuse(1, name, "a value is negative or no number")
        else:
            yield DataPoint(_attributes(point.attributes), int(point.start_time_unix_nano), time, value)


def _attributes(pairs: Any) -> Attributes:
    return tuple([(pair.key, pair.value.string_value or _text(pair.value)) for pair in pairs or ()])


def _text(value: Any) -> str:
    """A number or truth value as text; "" for everything else, such as lists."""
    if isinstance(value, _Value):
        given = next((one for one in (value.bool_value, value.int_value, value.double_value) if one is not None), "")
    else:
        kind = value.WhichOneof("value")
        given = getattr(value, kind) if kind in ("bool_value", "int_value", "double_value") else ""
    return str(given).lower() if isinstance(given, bool) else str(given)


def _number(point: Any) -> int | float | None:
    kind = point.WhichOneof("value")
    return None if kind is None else getattr(point, kind)


def _sum(point: Any) -> float | None:
    return point.sum if point.HasField("sum") else None


class _Wire(msgspec.Struct, rename="camel"):
    """JSON as protobuf writes it: lowerCamelCase, 64-bit numbers as text or not, null for what is absent."""


class _Value(_Wire):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | str | None = None
    double_value: float | str | None = None


class _Pair(_Wire):
    key: str = ""
    value: _Value = msgspec.field(default_factory=_Value)


class _Point(_Wire):
    attributes: list[_Pair] | None = None
    start_time_unix_nano: int | str = 0
    time_unix_nano: int | str = 0
    as_int: int | str | None = None
    as_double: float | str | None = None
    sum: float | str | None = None
    flags: int = 0


class _JsonPoints(_Wire):
    data_points: list[_Point] | None = None
    aggregation_temporality: int | str = 0
    is_monotonic: bool = False

    def __post_init__(self) -> None:
        named = {"AGGREGATION_TEMPORALITY_DELTA": _DELTA, "AGGREGATION_TEMPORALITY_CUMULATIVE": _CUMULATIVE}
        self.aggregation_temporality = named.get(str(self.aggregation_temporality), self.aggregation_temporality)


class _Metric(_Wire):
    name: str = ""
    unit: str = ""
    sum: _JsonPoints | None = None
    histogram: _JsonPoints | None = None
    exponential_histogram: _JsonPoints | None = None
    summary: _JsonPoints | None = None


class _Scope(_Wire):
    name: str = ""
    version: str = ""


class _ScopeMetrics(_Wire):
    scope: _Scope | None = None
    metrics: list[_Metric] | None = None


class _JsonResource(_Wire):
    attributes: list[_Pair] | None = None


class _ResourceMetrics(_Wire):
    resource: _JsonResource | None = None
    scope_metrics: list[_ScopeMetrics] | None = None


class _JsonRequest(_Wire):
    resource_metrics: list[_ResourceMetrics] | None = None


_JSON: Final = msgspec.json.Decoder(_JsonRequest)


def _json_kind(metric: _Metric) -> str | None:
    kinds = ("sum", "histogram", "exponential_histogram", "summary")
    return next((kind for kind in kinds if getattr(metric, kind) is not None), None)


def _json_number(point: _Point) -> int | float | None:
    if point.as_int is not None:
        return int(point.as_int)
    return None if point.as_double is None else float(point.as_double)


def _json_sum(point: _Point) -> float | None:
    return None if point.sum is None else float(point.sum)


#: How the value of a point is read: of a histogram, of a sum.
_VALUES: Final[tuple[Callable[[Any], int | float | None], ...]] = (_sum, _number)
_JSON_VALUES: Final[tuple[Callable[[Any], int | float | None], ...]] = (_json_sum, _json_number)
