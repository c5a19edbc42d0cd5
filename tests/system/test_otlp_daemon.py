"""The real daemon and the real OpenTelemetry SDK, configured by the lines that `alertd init --agent` prints."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Counter, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource

from alertd.cli import main
from tests.system.daemon import Daemon, env_file, wait_for

TOKEN = "a-token-that-may-only-send-1234"
NEVER_BY_ITSELF = 3_600_000


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """An env file of the daemon; the environment is that of a person who pasted the lines for Claude Code."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    words = ["init", "--agent", "claude-code", "--endpoint", endpoint, "--token-file", str(token), "--json"]
    assert main(words) == 0
    printed = json.loads(capsys.readouterr().out)
    for line in printed["lines"]:
        if not line.startswith("#"):
            name, _, value = line.partition("=")
            monkeypatch.setenv(name, value.replace("NAME", "ana").replace("TEAM", "web"))
    given = dict(line.split("=", 1) for line in printed["source"].splitlines())
    given = {name: str(token) if name.endswith("TOKEN_FILE") else value for name, value in given.items()}
    return env_file(tmp_path / "alertd.env", {
        **given,
        "ALERTD_DATABASE": f"sqlite:///{tmp_path}/alertd.db",
        "ALERTD_HTTP__LISTEN": f"127.0.0.1:{port}",
        "ALERTD_POLL_INTERVAL": "1s",
        "ALERTD_BUDGETS__TEAMS__AMOUNT": "1000000 tokens",
        "ALERTD_BUDGETS__TEAMS__PERIOD": "year",
        "ALERTD_BUDGETS__TEAMS__PER": "team,user",
        "ALERTD_NOTIFIERS__OPS__KIND": "console",
    })  # fmt: skip


def spent(daemon: Daemon) -> dict[tuple[str, str], int]:
    """What each team and user spent, in tokens."""
    found = daemon.get("/api/v1/budgets") or {"budgets": []}
    return {
        (one["scope"]["team"], one["scope"]["user"]): int(float(one["spent"]))
        for one in found["budgets"]
        if one["spent"] is not None and one["scope"].get("team")
    }


@pytest.mark.parametrize("temporality", [AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE])
def test_a_killed_daemon_loses_no_token_of_an_agent(configured: Path, temporality: AggregationTemporality) -> None:
    daemon = Daemon(configured)
    sends = OTLPMetricExporter(preferred_temporality={Counter: temporality})
    reader = PeriodicExportingMetricReader(sends, export_interval_millis=NEVER_BY_ITSELF)
    resource = OTELResourceDetector().detect().merge(Resource({"service.name": "claude-code"}))
    provider = MeterProvider([reader], resource=resource)
    try:
        tokens = provider.get_meter("com.anthropic.claude_code").create_counter("claude_code.token.usage")
        for life in range(2):
            wait_for("the daemon", lambda of=daemon: of.get("/api/v1/budgets"))
            for _ in range(3):
                tokens.add(1_000 + life, {"type": "output", "model": "claude-sonnet-4-5"})
                assert provider.force_flush()
            if life == 0:  # what it answered is stored
                daemon.kill()
                daemon = Daemon(configured)
        wait_for("every token", lambda: spent(daemon) == {("web", "ana"): 6_003})
    finally:
        provider.shutdown()
        daemon.kill()
