"""OTLP data points a second into the real `alertd run`, and how long an answer takes.

    PYTHONPATH=. python tests/benchmarks/bench_otlp.py [REQUESTS] [POINTS]

REQUESTS (200) of POINTS (500) delta points each, as a collector batches them: sessions of Claude Code, four token types
each, in protobuf, from four senders at the same time. Every tenth request is sent twice. Printed: points per second of
the daemon's processor time (what one core can take), points a second by the wall clock, answers at p50 and p99, and
whether the total is right to the token. The floor is decoding the same bodies by the protocol's own library.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.benchmarks.bench_daemon import cpu_of
from tests.system.daemon import Daemon, env_file, wait_for

SENDERS = 4
TYPES = {"input": 1_200, "cacheRead": 39_000, "cacheCreation": 5_000, "output": 1_840}
MINUTE = 60 * 10**9


def bodies(requests: int, points: int) -> tuple[list[bytes], int]:
    """The requests, and the tokens in them: each of a minute of the same sessions, then of the next ones."""
    end = time.time_ns()
    found, total = [], 0
    for number in range(requests):
        request = ExportMetricsServiceRequest()
        resource = request.resource_metrics.add()
        resource.resource.attributes.add(key="service.name").value.string_value = "claude-code"
        scope = resource.scope_metrics.add()
        scope.scope.name = "com.anthropic.claude_code"
        metric = scope.metrics.add(name="claude_code.token.usage", unit="tokens")
        metric.sum.is_monotonic, metric.sum.aggregation_temporality = True, 1
        session, minute = divmod(number, 10)
        for place in range(points):
            kind = list(TYPES)[place % 4]
            point = metric.sum.data_points.add(
                start_time_unix_nano=end - (11 - minute) * MINUTE,
                time_unix_nano=end - (10 - minute) * MINUTE,
                as_int=TYPES[kind],
            )
            for key, value in {
                "type": kind,
                "model": "claude-sonnet-4-5",
                "session.id": f"session-{session}-{place // 4}",
                "user.email": f"dev{place // 4 % 50}@example.com",
                "organization.id": "org",
                "terminal.type": "vscode",
                "query_source": "main",
            }.items():
                point.attributes.add(key=key).value.string_value = value
            total += TYPES[kind]
        found.append(request.SerializeToString())
    return found, total


def main(requests: int, points: int) -> None:
    given, total = bodies(requests, points)
    begin = time.process_time()
    for body in given:
        ExportMetricsServiceRequest.FromString(body)
    floor = time.process_time() - begin
    sent = [body for place, body in enumerate(given) for _ in range(2 if place % 10 == 0 else 1)]
    with TemporaryDirectory() as folder:
        settings = {
            "ALERTD_DATABASE": f"sqlite:///{folder}/alertd.db",
            "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
            "ALERTD_SOURCES__AGENTS__KIND": "otlp",
            "ALERTD_BUDGETS__ALL__AMOUNT": "1000000000 tokens",
            "ALERTD_BUDGETS__ALL__PERIOD": "year",
            "ALERTD_NOTIFIERS__OPS__KIND": "console",
        }
        daemon = Daemon(env_file(Path(folder) / "alertd.env", settings))
        try:
            wait_for("the page", lambda: daemon.get("/api/v1/budgets"))
            url = f"http://127.0.0.1:{daemon.port}/v1/metrics"
            took: list[float] = []

            def send(part: list[bytes]) -> None:
                with httpx.Client(trust_env=False, timeout=60) as client:
                    for body in part:
                        at = time.perf_counter()
                        answer = client.post(url, content=body, headers={"content-type": "application/x-protobuf"})
                        took.append(time.perf_counter() - at)
                        assert answer.status_code == 200, answer.text

            used, clock = cpu_of(daemon.pid), time.perf_counter()
            with ThreadPoolExecutor(SENDERS) as pool:
                list(pool.map(send, [sent[place::SENDERS] for place in range(SENDERS)]))
            wall, used = time.perf_counter() - clock, cpu_of(daemon.pid) - used

            def spent() -> int:
                budgets = daemon.get("/api/v1/budgets")["budgets"]
                return int(float(budgets[0]["spent"] or 0)) if budgets else 0

            wait_for("the total", lambda: spent() >= total)
            took.sort()
            count = len(sent) * points
            print(f"{count:,} points in {len(sent):,} requests, {len(sent) - len(given)} of them sent twice")
            print(f"{count / used:,.0f} points a second of processor time, {count / wall:,.0f} by the wall clock")
            print(f"answers: p50 {1000 * took[len(took) // 2]:.0f} ms, p99 {1000 * took[int(len(took) * 0.99)]:.0f} ms")
            print(f"total {spent():,} of {total:,} tokens: {'equal' if spent() == total else 'NOT EQUAL'}")
            print(f"{used / (floor * len(sent) / len(given)):.1f} times decoding alone")
        finally:
            daemon.kill()


if __name__ == "__main__":
    words = [int(word) for word in sys.argv[1:]]
    main(words[0] if words else 200, words[1] if len(words) > 1 else 500)
