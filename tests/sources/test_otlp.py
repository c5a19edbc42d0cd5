"""OTLP/HTTP metrics: the real SDK as agents configure it, the protocol's answers, and each agent's own form."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.sdk.metrics import Counter, Histogram, Meter, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
from opentelemetry.sdk.resources import Resource

from tests.servers.otlp_receiver import FailsAsTold, OtlpReceiver, receiving

NANOS = 10**9
NEVER_BY_ITSELF = 3_600_000
PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


def attributes(**named: Any) -> list[dict[str, Any]]:
    return [{"key": key.replace("__", "."), "value": {"stringValue": value}} for key, value in named.items()]


def now() -> int:
    return int(datetime.now(UTC).timestamp()) * NANOS


def request(name: str, points: list[dict[str, Any]], **metric: Any) -> dict[str, Any]:
    """A request in JSON with one metric, a delta sum where nothing else is said."""
    kind = metric.pop("kind", "sum")
    data = {"dataPoints": points, "aggregationTemporality": metric.pop("temporality", 1)}
    if kind == "sum":
        data["isMonotonic"] = metric.pop("monotonic", True)
    resource = metric.pop("resource", {})
    scope = {"name": metric.pop("scope", "")}
    return {
        "resourceMetrics": [
            {
                "resource": {"attributes": attributes(**resource)},
                "scopeMetrics": [{"scope": scope, "metrics": [{"name": name, kind: data, **metric}]}],
            }
        ]
    }


def point(value: int | None, at: int, start: int = 60, **labels: str) -> dict[str, Any]:
    """A point whose interval ended at `at` and took `start` seconds."""
    stamps = {"startTimeUnixNano": str(at - start * NANOS), "timeUnixNano": str(at)}
    return {**stamps, **({} if value is None else {"asInt": str(value)}), "attributes": attributes(**labels)}


def posted(receiver: OtlpReceiver, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(receiver.url, content=content, headers={**JSON, **headers}, trust_env=False, timeout=30)


# The real SDK


@contextmanager
def agent(receiver: OtlpReceiver, *, delta: bool, **exporter: Any) -> Iterator[tuple[Meter, MeterProvider]]:
    """An SDK that exports when it is told to."""
    how = AggregationTemporality.DELTA if delta else AggregationTemporality.CUMULATIVE
    sends = OTLPMetricExporter(endpoint=receiver.url, preferred_temporality={Counter: how, Histogram: how}, **exporter)
    reader = PeriodicExportingMetricReader(sends, export_interval_millis=NEVER_BY_ITSELF)
    provider = MeterProvider([reader], resource=Resource.create({"service.name": "claude-code", "team.id": "web"}))
    try:
        yield provider.get_meter("com.anthropic.claude_code"), provider
    finally:
        provider.shutdown()


@pytest.mark.parametrize("delta", [True, False], ids=["delta", "cumulative"])
@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip], ids=["plain", "gzip"])
def test_totals_of_the_real_sdk_are_equal_to_the_token_through_restarts_and_lost_answers(
    *, delta: bool, compression: Compression
) -> None:
    lost = [True, False, False, True]
    with receiving(lose=lost) as receiver:
        for life in range(2):
            with agent(receiver, delta=delta, compression=compression) as (meter, provider):
                tokens = meter.create_counter("claude_code.token.usage", unit="tokens")
                money = meter.create_counter("claude_code.cost.usage", unit="USD")
                for n in range(4):
                    common = {"model": "claude-sonnet-4-5", "session.id": f"{life}"}
                    tokens.add(1_200, {"type": "input", **common})
                    tokens.add(39_000 + n, {"type": "cacheRead", **common})
                    tokens.add(5_000, {"type": "cacheCreation", **common})
                    tokens.add(1_840, {"type": "output", **common})
                    money.add(0.0725, common)
                    assert provider.force_flush()
                    if n == 1:  # alertd restarts between two exports
                        receiver.stop()
                        receiver.start()
        assert receiver.statuses.count(200) >= 10
        assert receiver.meters() == {
            "input": 9_600, "cached_input": 312_012, "cache_write": 40_000, "output": 14_720, "": 580_000_000,
        }  # fmt: skip
        assert receiver.totals("team", "provider").keys() == {("web", "anthropic")}


@pytest.mark.parametrize("delta", [True, False], ids=["delta", "cumulative"])
@pytest.mark.parametrize("exponential", [False, True], ids=["histogram", "exponential histogram"])
def test_histograms_count_their_sum(*, delta: bool, exponential: bool) -> None:
    more: dict[str, Any] = (
        {"preferred_aggregation": {Histogram: ExponentialBucketHistogramAggregation()}} if exponential else {}
    )
    with receiving() as receiver, agent(receiver, delta=delta, **more) as (meter, provider):
        turns = meter.create_histogram("codex.turn.token_usage")
        for tokens in (105_000, 1_000):
            for kind, share in {"total": 1, "input": 0.9, "cached_input": 0.5, "output": 0.1}.items():
                turns.record(tokens * share, {"token_type": kind, "model": "gpt-5-codex"})
            assert provider.force_flush()
        assert receiver.meters() == {"input": 42_400, "cached_input": 53_000, "output": 10_600}


def test_what_a_failing_database_did_not_store_is_sent_again_by_the_sdk_and_counts_once() -> None:
    store = FailsAsTold()
    store.failures = iter([True, False])
    with receiving(store=store) as receiver, agent(receiver, delta=True) as (meter, provider):
        meter.create_counter("claude_code.token.usage").add(700, {"type": "output", "model": "claude-sonnet-4-5"})
        assert provider.force_flush()
        assert receiver.statuses == [503, 200]
        assert receiver.meters() == {"output": 700}


# The protocol


def test_an_empty_request_is_a_success_in_both_encodings() -> None:
    with receiving() as receiver:
        as_json = posted(receiver, {})
        as_protobuf = posted(receiver, b"", **PROTOBUF)
    assert (as_json.status_code, as_json.content, as_json.headers["content-type"]) == (200, b"{}", "application/json")
    assert (as_protobuf.status_code, as_protobuf.content) == (200, b"")
    assert as_protobuf.headers["content-type"] == "application/x-protobuf"


REFUSED = {
    "a point without a value": request("claude_code.token.usage", [point(None, now(), type="input")]),
    "a point without a time": request("claude_code.token.usage", [point(5, 0, 0, type="input")]),
    "no temporality": request("claude_code.token.usage", [point(5, now(), type="input")], temporality=0),
    "a negative value": request("claude_code.token.usage", [point(-5, now(), type="input")]),
    "not a number": request("claude_code.token.usage", [{**point(None, now()), "asDouble": "NaN"}]),
    "a histogram without its sum": request("codex.turn.token_usage", [point(None, now())], kind="histogram"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_points_that_are_no_usage_are_answered_as_partial_success_and_the_rest_is_counted(name: str) -> None:
    with receiving() as receiver:
        good = request("claude_code.token.usage", [point(7, now(), type="output")])
        both = {"resourceMetrics": REFUSED[name]["resourceMetrics"] + good["resourceMetrics"]}
        answer = posted(receiver, both)
        assert answer.status_code == 200
        assert answer.json()["partialSuccess"]["rejectedDataPoints"] == "1"
        assert answer.json()["partialSuccess"]["errorMessage"]
        assert receiver.meters() == {"output": 7}


def test_a_partial_success_in_protobuf_can_be_read_by_the_protocols_own_library() -> None:
    with receiving() as receiver:
        sent = ExportMetricsServiceRequest()
        metric = sent.resource_metrics.add().scope_metrics.add().metrics.add(name="claude_code.token.usage")
        metric.sum.is_monotonic, metric.sum.aggregation_temporality = True, 1
        for _ in range(300):
            metric.sum.data_points.add(time_unix_nano=now())
        answer = posted(receiver, sent.SerializeToString(), **PROTOBUF)
    said = ExportMetricsServiceResponse.FromString(answer.content).partial_success
    assert (said.rejected_data_points, said.error_message) == (300, "claude_code.token.usage: a point has no value")


def test_what_is_no_usage_is_taken_and_ignored() -> None:
    with receiving() as receiver:
        for one in (
            request("claude_code.lines_of_code.count", [point(5, now())]),
            request("claude_code.token.usage", [point(5, now(), type="input")], monotonic=False),
            request("claude_code.token.usage", [point(5, now(), type="input")], kind="gauge"),
            request("claude_code.token.usage", [{**point(5, now(), type="input"), "flags": 1}]),
        ):
            assert (posted(receiver, one).status_code, posted(receiver, one).content) == (200, b"{}")
        assert receiver.meters() == {}


BOMB = gzip.compress(bytes(40_000_000))
ANSWERS = {
    "GET": ({"method": "GET"}, 405),
    "no type": ({"headers": {"content-type": "text/plain"}}, 415),
    "an unknown encoding": ({"headers": {**JSON, "content-encoding": "br"}, "content": b"{}"}, 415),
    "broken JSON": ({"headers": JSON, "content": b'{"resourceMetrics":'}, 400),
    "a number that is none": ({"headers": JSON, "content": json.dumps(
        request("claude_code.token.usage", [{**point(None, now()), "asInt": "S3CR3T"}])).encode()}, 400),
    "broken protobuf": ({"headers": PROTOBUF, "content": b"\xff\xff"}, 400),
    "broken gzip": ({"headers": {**JSON, "content-encoding": "gzip"}, "content": b"{}"}, 400),
    "gzip cut short": ({"headers": {**JSON, "content-encoding": "gzip"}, "content": gzip.compress(b"{}")[:-9]}, 400),
    "a gzip bomb": ({"headers": {**JSON, "content-encoding": "gzip"}, "content": BOMB}, 413),
    "a large body": ({"headers": JSON, "content": b"{" + b" " * 200_000}, 413),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_a_request_that_is_none_is_answered_finally_and_in_its_own_encoding(name: str) -> None:
    given, status = ANSWERS[name]
    with receiving({"max_body": 100_000}) as receiver:
        answer = httpx.request(**{"method": "POST", "url": receiver.url, "trust_env": False, **given})
        assert answer.status_code == status
        assert "S3CR3T" not in answer.text
        if "json" in given.get("headers", {}).get("content-type", ""):
            assert answer.json()["message"]
        assert posted(receiver, {}).status_code == 200


def test_without_its_token_nothing_is_taken_and_a_senders_name_becomes_a_label() -> None:
    options = {"token": "t" * 24, "senders": {"team-a": "a" * 24, "team-b": "b" * 24}}
    with receiving(options) as receiver:
        body = request("codex.turn.token_usage", [{**point(None, now(), token_type="output"), "sum": 5.0}],
                       kind="histogram")  # fmt: skip
        assert posted(receiver, body).status_code == 401
        assert posted(receiver, body, authorization="Bearer wrong").status_code == 401
        for letter in ("t", "a", "b"):
            assert posted(receiver, body, authorization=f"Bearer {letter * 24}").status_code == 200
        assert receiver.totals("sender") == {("",): 5, ("team-a",): 5, ("team-b",): 5}


def test_sessions_are_kept_apart_only_where_that_is_asked_for() -> None:
    body = request("claude_code.token.usage", [point(5, now(), type="output", session__id="s1", user__email="a@x.org")])
    for options, wanted in (({}, ("a@x.org", "")), ({"scope_labels": "session"}, ("a@x.org", "s1"))):
        with receiving(options) as receiver:
            posted(receiver, body)
            assert receiver.totals("user", "session") == {wanted: 5}


# Each agent in its own form (providers' documentation of autumn 2026)


def typed(name: str, label: str, values: dict[str, int], **metric: Any) -> dict[str, Any]:
    """One export: a point for each value of the type label."""
    at, more = now(), metric.pop("labels", {})
    points = [point(value, at, **{label: kind}, **more) for kind, value in values.items()]
    if metric.get("kind") == "histogram":
        for one in points:
            one["sum"] = float(one.pop("asInt"))
    return request(name, points, **metric)


GEN_AI = "gen_ai.client.token.usage"
USAGE = "gen_ai.client.inference.usage"
CLAUDE = {"input": 1_200, "cacheRead": 39_000, "cacheCreation": 5_000, "output": 1_840}
AGENTS: dict[str, tuple[list[dict[str, Any]], dict[str, int], dict[str, str]]] = {
    "Claude Code": (
        [typed("claude_code.token.usage", "type", CLAUDE, resource={"service__name": "claude-code", "team__id": "web"},
               labels={"model": "claude-sonnet-4-5", "user__email": "ana@x.org", "query_source": "main"})],
        {"input": 1_200, "cached_input": 39_000, "cache_write": 5_000, "output": 1_840},
        {"provider": "anthropic", "model": "claude-sonnet-4-5", "team": "web", "user": "ana@x.org",
         "query_source": "main"},
    ),
    "Codex": (
        [typed("codex.turn.token_usage", "token_type",
               {"total": 105_000, "input": 100_000, "cached_input": 80_000, "output": 5_000, "reasoning_output": 3_000},
               kind="histogram", scope="codex", labels={"model": "gpt-5-codex", "auth_mode": "ApiKey"})],
        {"input": 20_000, "cached_input": 80_000, "output": 5_000},
        {"provider": "openai", "model": "gpt-5-codex", "auth_mode": "ApiKey"},
    ),
    "Gemini CLI, with the same tokens under the conventions' name": (
        [typed("gemini_cli.token.usage", "type",
               {"input": 10_000, "cache": 8_000, "output": 500, "thought": 1_500, "tool": 200}, temporality=2,
               resource={"service__name": "gemini-cli"}, labels={"model": "gemini-2.5-pro", "user__email": "b@x.org"}),
         typed(GEN_AI, "gen_ai__token__type", {"input": 10_000, "output": 500}, kind="histogram", temporality=2,
               resource={"service__name": "gemini-cli"}, labels={"gen_ai__request__model": "gemini-2.5-pro"})],
        {"input": 2_200, "cached_input": 8_000, "output": 2_000},
        {"provider": "google", "model": "gemini-2.5-pro", "user": "b@x.org"},
    ),
    "Copilot CLI": (
        [typed(GEN_AI, "gen_ai__token__type", {"input": 900, "output": 70}, kind="histogram", temporality=2,
               resource={"service__name": "github-copilot"}, labels={"gen_ai__response__model": "gpt-5"})],
        {"input": 900, "output": 70},
        {"provider": "github", "model": "gpt-5", "service": "github-copilot"},
    ),
    "OpenCode's plug-in, under Claude Code's names": (
        [typed("claude_code.token.usage", "type", {**CLAUDE, "reasoning": 90}, resource={"service__name": "opencode"},
               labels={"model": "gpt-5", "provider": "openai", "team": "web"})],
        {"input": 1_200, "cached_input": 39_000, "cache_write": 5_000, "output": 1_840},
        {"provider": "openai", "model": "gpt-5", "team": "web"},
    ),
    "the GenAI conventions, old": (
        [typed(GEN_AI, "gen_ai__token__type", {"input": 900, "output": 70}, kind="histogram", temporality=2,
               resource={"service__name": "shop"},
               labels={"gen_ai__request__model": "gpt-5", "gen_ai__system": "openai"})],
        {"input": 900, "output": 70},
        {"provider": "openai", "model": "gpt-5", "service": "shop"},
    ),
    "OpenLLMetry": (
        [typed(GEN_AI, "gen_ai__token__type", {"input": 1_000, "output": 70}, kind="histogram", temporality=2,
               scope="opentelemetry.instrumentation.anthropic",
               labels={"gen_ai__response__model": "claude-sonnet-4-5", "gen_ai__system": "anthropic"})],
        {"input": 1_000, "output": 70},
        {"provider": "anthropic", "model": "claude-sonnet-4-5"},
    ),
    "Spring AI: a counter, with a total": (
        [typed(GEN_AI, "gen_ai__token__type", {"input": 30, "output": 5, "total": 35}, temporality=2,
               labels={"gen_ai__response__model": "gpt-5", "gen_ai__system": "openai"})],
        {"input": 30, "output": 5},
        {"provider": "openai", "model": "gpt-5"},
    ),
}  # fmt: skip


def merged(requests: list[dict[str, Any]]) -> dict[str, Any]:
    return {"resourceMetrics": [one for each in requests for one in each["resourceMetrics"]]}


@pytest.mark.parametrize("name", AGENTS)
def test_each_agent_is_netted_into_disjoint_meters_to_the_token(name: str) -> None:
    requests, meters, labels = AGENTS[name]
    with receiving() as receiver:
        answer = posted(receiver, merged(requests))
        assert (answer.status_code, answer.content) == (200, b"{}")
        assert receiver.meters() == meters
        assert receiver.totals(*labels).keys() == {tuple(labels.values())}


def test_the_new_conventions_are_netted_and_win_over_the_old_ones_of_the_same_process() -> None:
    common = {"gen_ai__response__model": "gpt-5", "gen_ai__provider__name": "openai"}
    at = now()
    counters = {
        "input_tokens": [point(100, at, gen_ai__token__modality="text", **common),
                         point(200, at, gen_ai__token__modality="image", **common)],
        "cache_read.input_tokens": [point(50, at, **common)],
        "cache_write.input_tokens": [point(20, at, **common)],
        "output_tokens": [point(40, at, **common)],
        "reasoning.output_tokens": [point(30, at, **common)],
    }  # fmt: skip
    new = [request(f"{USAGE}.{name}", points, temporality=2) for name, points in counters.items()]
    old = typed(GEN_AI, "gen_ai__token__type", {"input": 300, "output": 40}, kind="histogram", temporality=2,
                labels=common)  # fmt: skip
    with receiving() as receiver:
        posted(receiver, merged([*new, old]))
        assert receiver.meters() == {"input": 230, "cached_input": 50, "cache_write": 20, "output": 40}


def test_the_money_of_cline_is_the_cost_because_its_tokens_overlap() -> None:
    body = request("cline.cost.total", [{**point(None, now(), provider="anthropic", model="claude-sonnet-4-5",
                                                 email="c@x.org", currency="USD"), "asDouble": 0.25}])  # fmt: skip
    with receiving() as receiver:
        posted(receiver, body)
        assert receiver.totals("meter", "user", "charge") == {("", "c@x.org", ""): 250_000_000}
