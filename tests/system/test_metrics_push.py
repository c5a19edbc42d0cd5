"""The real daemon pushes by OTLP what its /metrics shows, and its settings say what is wrong with OpenTelemetry's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from tests.servers.billing import Asked, Reply, serving
from tests.system.daemon import CHECKOUT, Daemon, env_file, wait_for


def settings(folder: Path) -> dict[str, str]:
    (folder / "usage.csv").write_text("timestamp,provider,model,meter,quantity\n")
    return {
        "ALERTD_DATABASE": f"sqlite:///{folder}/alertd.db",
        "ALERTD_POLL_INTERVAL": "1s",
        "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
        "ALERTD_METRICS_EXPORTER": "otlp",
        "ALERTD_SOURCES__FILE__KIND": "csv",
        "ALERTD_SOURCES__FILE__PATH": f"{folder}/usage.csv",
        "ALERTD_BUDGETS__ALL__AMOUNT": "900 USD",
        "ALERTD_NOTIFIERS__LOG__KIND": "console",
    }


def names(asked: list[Asked]) -> set[str]:
    found = ExportMetricsServiceRequest.FromString(asked[-1].body)
    return {metric.name for one in found.resource_metrics for scope in one.scope_metrics for metric in scope.metrics}


def test_what_metrics_shows_is_pushed_at_the_interval_under_the_same_names(tmp_path: Path):
    with serving(lambda _: Reply("")) as server:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": server.url, "OTEL_METRIC_EXPORT_INTERVAL": "300"}
        daemon = Daemon(env_file(tmp_path / "alertd.env", settings(tmp_path)), environment=environment)
        try:
            wait_for("the budget's figures", lambda: server.asked and "alertd_budget_amount" in names(server.asked))
            page = daemon.text("/metrics")
            count = len(server.asked)
            wait_for("two more", lambda: len(server.asked) > count + 1)
        finally:
            assert daemon.stop()[0] == 0
        families = [*text_string_to_metric_families(page)]
        shown = {
            family.name if family.type in ("summary", "histogram") else sample.name
            for family in families
            for sample in family.samples
            if not sample.name.endswith("_created")
        }
        assert shown <= names(server.asked)


def test_a_wrong_variable_is_a_fault_of_the_configuration(tmp_path: Path):
    file = env_file(tmp_path / "alertd.env", settings(tmp_path))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ALERTD_", "OTEL_"))}
    ended = subprocess.run(
        [sys.executable, "-m", "alertd", "run", "--env-file", str(file)],
        cwd=CHECKOUT,
        env={**clean, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' is not spoken here; write http/protobuf" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("status", [500, 404])
def test_a_collector_that_refuses_keeps_nothing_else_from_its_work(tmp_path: Path, status: int):
    with serving(lambda _: Reply("no", status)) as server:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": server.url, "OTEL_METRIC_EXPORT_INTERVAL": "300"}
        daemon = Daemon(env_file(tmp_path / "alertd.env", settings(tmp_path)), environment=environment)
        try:
            wait_for("three tries", lambda: len(server.asked) > 2)
            wait_for("an evaluation", lambda: (daemon.get("/api/v1/budgets") or {}).get("evaluated_at"))
            assert 'alertd_errors_total{loop="metrics"' in daemon.text("/metrics")
            assert daemon.get("/healthz") == {"status": "ok"}
        finally:
            daemon.stop()
