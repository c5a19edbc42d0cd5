"""From the scrape that shows a level crossed to the receiver's accept, through the real process and a durable outbox.

    PYTHONPATH=. python tests/benchmarks/bench_latency.py [LEVELS] [otlp]

A page is scraped every second by `alertd run`; its counter passes a level now and then, and the receiver notes when
it was told. Aim: the poll interval and one second at the 99th percentile. The floor is the poll interval itself.
With `otlp` an agent sends its counter instead, every 5 to 35 seconds, to a daemon that polls every 60 s.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

import httpx

from tests.servers.recording import Received, Reply
from tests.servers.webhook import WebhookServer
from tests.system.daemon import Daemon, env_file, wait_for

POLL = 1.0
#: So many looks at a counter that stands still, and the budget is known to have begun with nothing.
LOOKS = 5


class Page:
    """A counter that stands still until it is moved; `looks` is how often it was scraped."""

    def __init__(self) -> None:
        self.value, self.moved_at, self.looks = 0, time.monotonic(), 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = f'litellm_input_tokens_metric_total{{model="gpt-4o",team_alias="a"}} {outer.value}\n'
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())
                outer.looks += 1

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign] # a killed client is no news
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def move(self) -> None:
        """Pass the next level: a million tokens are 2.50 dollars of gpt-4o."""
        self.value += 1_000_000
        self.moved_at = time.monotonic()


class Receiver(WebhookServer):
    """Notes when each event was taken."""

    def answer(self, received: Received) -> Reply:
        reply = super().answer(received)
        self.__dict__.setdefault("times", {}).setdefault(received.json["id"], time.monotonic())
        return reply


def main(levels: int) -> None:
    page, taken = Page(), []
    with TemporaryDirectory() as folder, Receiver() as hook:
        thresholds = [f"actual {2.5 * n:.2f} USD" for n in range(1, levels + 2)]
        file = env_file(
            Path(folder) / "alertd.env",
            {
                "ALERTD_DATABASE": f"sqlite:///{folder}/alertd.db",
                "ALERTD_POLL_INTERVAL": "1s",
                "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
                "ALERTD_SOURCES__GATEWAY__KIND": "scrape",
                "ALERTD_SOURCES__GATEWAY__URL": f"http://127.0.0.1:{page.server.server_address[1]}/metrics",
                "ALERTD_SOURCES__GATEWAY__PRESET": "litellm",
                "ALERTD_BUDGETS__ALL__AMOUNT": "100000 USD",
                "ALERTD_BUDGETS__ALL__THRESHOLDS": json.dumps(thresholds),
                "ALERTD_NOTIFIERS__HOOK__KIND": "webhook",
                "ALERTD_NOTIFIERS__HOOK__URL": hook.url,
            },
        )
        daemon = Daemon(file)
        wait_for("the first looks", lambda: page.looks > LOOKS)
        page.move()
        wait_for("the first level", lambda: _told(hook))
        for number in range(levels):
            known = len(_told(hook))
            time.sleep(0.37 * (number % 3))
            page.move()
            moved = page.moved_at
            wait_for("a level", lambda known=known: len(_told(hook)) > known, 30)
            newest = max(hook.__dict__["times"].values())
            taken.append(newest - moved)
        daemon.stop()
    cut = quantiles(taken, n=100)
    print(f"{levels} levels, poll {POLL:.0f} s: from the page's change to the receiver's accept")
    print(f"p50 {cut[49]:.2f} s   p99 {cut[98]:.2f} s   worst {max(taken):.2f} s   p99 is {cut[98] / POLL:.2f} polls")


def sent(levels: int) -> None:
    """The same for counters that are sent: each export passes the next level."""
    taken: list[float] = []
    with TemporaryDirectory() as folder, Receiver() as hook:
        thresholds = [f"actual {1.5 * n:.2f} USD" for n in range(1, levels + 2)]
        file = env_file(
            Path(folder) / "alertd.env",
            {
                "ALERTD_DATABASE": f"sqlite:///{folder}/alertd.db",
                "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
                "ALERTD_SOURCES__AGENTS__KIND": "otlp",
                "ALERTD_BUDGETS__ALL__AMOUNT": "100000 USD",
                "ALERTD_BUDGETS__ALL__THRESHOLDS": json.dumps(thresholds),
                "ALERTD_NOTIFIERS__HOOK__KIND": "webhook",
                "ALERTD_NOTIFIERS__HOOK__URL": hook.url,
            },
        )
        daemon = Daemon(file)
        wait_for("the page", lambda: daemon.get("/api/v1/budgets"))
        url = f"http://127.0.0.1:{daemon.port}/v1/metrics"
        for number in range(levels):
            known, now = len(_told(hook)), time.time_ns()
            httpx.post(url, json=_export(now - 10**9, now), trust_env=False).raise_for_status()
            at = time.monotonic()
            wait_for("a level", lambda known=known: len(_told(hook)) > known, 120)
            taken.append(max(hook.__dict__["times"].values()) - at)
            time.sleep(5 + 10 * (number % 4))
        daemon.stop()
    cut = quantiles(taken, n=100)
    print(f"{levels} exports, poll 60 s: from the daemon's answer to the receiver's accept")
    print(f"p50 {cut[49]:.2f} s   p99 {cut[98]:.2f} s   worst {max(taken):.2f} s")


def _export(start: int, end: int) -> dict[str, object]:
    """A delta export of Claude Code: 500,000 tokens of input, 1.50 dollars."""
    labels = {"type": "input", "model": "claude-sonnet-4-5", "user.email": "dev@example.com"}
    point = {
        "startTimeUnixNano": str(start),
        "timeUnixNano": str(end),
        "asInt": "500000",
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in labels.items()],
    }
    metric = {
        "name": "claude_code.token.usage",
        "unit": "tokens",
        "sum": {"aggregationTemporality": 1, "isMonotonic": True, "dataPoints": [point]},
    }
    service = {"attributes": [{"key": "service.name", "value": {"stringValue": "claude-code"}}]}
    scope = {"scope": {"name": "com.anthropic.claude_code"}, "metrics": [metric]}
    return {"resourceMetrics": [{"resource": service, "scopeMetrics": [scope]}]}


def _told(hook: WebhookServer) -> list[object]:
    return [event for event in hook.events.values() if event["event"] == "threshold"]


if __name__ == "__main__":
    (sent if "otlp" in sys.argv else main)(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
