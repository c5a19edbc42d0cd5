"""Budgets of runs: tens of thousands of short sessions in a day, each a scope of `PER=session`, in `alertd run`.

    PYTHONPATH=. python tests/benchmarks/bench_sessions.py [SESSIONS]

SESSIONS (50,000) of Claude Code come and go over a day (stamps of the past 20 hours), with two token types each; one
of 5,000 goes beyond its allowance. Printed: the daemon's memory before and after, how long an evaluation
takes, how long and how large page and API are, and how many sessions are over. The floor is a daemon without sessions.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.benchmarks.bench_daemon import megabytes
from tests.system.daemon import Daemon, env_file, wait_for

BATCH = 500
SECOND = 10**9


def request(first: int, count: int, begin: int, step: int) -> bytes:
    """`count` sessions, each with one export."""
    found = ExportMetricsServiceRequest()
    metric = found.resource_metrics.add().scope_metrics.add().metrics.add(name="claude_code.token.usage")
    metric.sum.is_monotonic, metric.sum.aggregation_temporality = True, 1
    for number in range(first, first + count):
        at = begin + number * step
        for kind, value in {"input": 1_000, "output": 2_000_000 if number % (5_000) == 7 else 2_000}.items():
            point = metric.sum.data_points.add(start_time_unix_nano=at - 60 * SECOND, time_unix_nano=at, as_int=value)
            for key, text in {"type": kind, "model": "claude-sonnet-4-5", "session.id": f"run-{number}"}.items():
                point.attributes.add(key=key).value.string_value = text
    return found.SerializeToString()


def main(sessions: int) -> None:
    now = time.time_ns()
    with TemporaryDirectory() as folder:
        settings = {
            "ALERTD_DATABASE": f"sqlite:///{folder}/alertd.db",
            "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
            "ALERTD_SOURCES__AGENTS__KIND": "otlp",
            "ALERTD_SOURCES__AGENTS__SCOPE_LABELS": "session",
            "ALERTD_POLL_INTERVAL": "15s",
            "ALERTD_BUDGETS__RUNS__AMOUNT": "1000000 tokens",
            "ALERTD_BUDGETS__RUNS__PER": "session",
            "ALERTD_BUDGETS__RUNS__PERIOD": "rolling 24h",
            "ALERTD_BUDGETS__RUNS__THRESHOLDS": '["actual 100%"]',
            "ALERTD_NOTIFIERS__OPS__KIND": "console",
        }
        daemon = Daemon(env_file(Path(folder) / "alertd.env", settings))
        try:
            wait_for("the page", lambda: daemon.get("/api/v1/budgets"))
            before = megabytes(daemon.pid)
            begin, step = now - 20 * 3600 * SECOND, 20 * 3600 * SECOND // sessions
            with httpx.Client(base_url=f"http://127.0.0.1:{daemon.port}", trust_env=False, timeout=120) as client:
                at = time.perf_counter()
                for first in range(0, sessions, BATCH):
                    body = request(first, min(BATCH, sessions - first), begin, step)
                    answer = client.post(
                        "/v1/metrics", content=body, headers={"content-type": "application/x-protobuf"}
                    )
                    assert answer.status_code == 200, answer.text
                print(f"{sessions:,} sessions sent in {time.perf_counter() - at:.0f} s")

                sent = datetime.now(UTC)

                def evaluated() -> bool:
                    found = client.get("/api/v1/budgets").json()
                    at = found["evaluated_at"]
                    return at is not None and datetime.fromisoformat(at) > sent

                wait_for("an evaluation with all sessions", evaluated, 120)
                for path in ("/", "/api/v1/budgets", "/metrics"):
                    at = time.perf_counter()
                    size = len(client.get(path).content)
                    print(f"GET {path}: {time.perf_counter() - at:.2f} s, {size / 1e6:.2f} MB")
                for line in client.get("/metrics").text.splitlines():
                    if "loop" in line and "evaluate" in line and "seconds" in line and "bucket" not in line:
                        print(line)
            print(f"memory {before:.0f} MB before, {megabytes(daemon.pid):.0f} MB after")
            over = sum(one["status"] == "over" for one in daemon.get("/api/v1/budgets")["budgets"])
            print(f"beyond their allowance: {over} runs")
        finally:
            daemon.kill()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
