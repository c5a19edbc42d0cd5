"""A real Prometheus that holds a month of real usage, back-filled by promtool, and goes on scraping live exporters."""

from __future__ import annotations

import contextlib
import http.server
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.system import trace

#: What a test of it has to be marked with.
MARKS = [
    pytest.mark.integration,
    pytest.mark.skipif(not shutil.which("prometheus"), reason="no `prometheus` on PATH: install Debian's prometheus"),
    pytest.mark.skipif(not trace.FILE.exists(), reason=f"no trace at {trace.FILE}: set ALERTD_TEST_DATA"),
]


@dataclass
class Exporter:
    """A /metrics page whose counters go on where the month ended; `restart` begins them anew."""

    pages: dict[str, int]
    began: float
    scrapes: int = 0
    used: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    #: Nothing is used; and whether the page says of every counter when it began.
    idle: bool = False
    created: bool = False

    def page(self) -> str:
        """Every scrape sees 1000 tokens more of each counter."""
        with self.lock:
            self.scrapes += 1
            for name in self.pages if not self.idle else ():
                self.pages[name] += 1000
                self.used[name] += 1000
            lines = [f"{name} {value}" for name, value in self.pages.items()]
            if self.created:
                lines += [f"{name.replace('_total{', '_created{')} {self.began}" for name in self.pages]
            return "\n".join([*lines, f"process_start_time_seconds {self.began}", ""])

    def rest(self) -> None:
        """Idle, until what was used was scraped."""
        self.idle = True
        self.wait(3)

    def restart(self) -> None:
        with self.lock:
            self.began = time.time()
            self.pages = dict.fromkeys(self.pages, 0)

    def wait(self, scrapes: int) -> None:
        """Until it was scraped so many times more."""
        wanted, deadline = self.scrapes + scrapes, time.monotonic() + 180
        while self.scrapes < wanted:
            assert time.monotonic() < deadline, "Prometheus does not scrape the exporter"
            time.sleep(0.05)


@dataclass
class World:
    """A Prometheus that holds the month and scrapes its exporters every second."""

    url: str
    start: datetime
    exporters: dict[str, Exporter]
    series: dict[str, list[trace.Series]]

    def increase(self, metric: str) -> float:
        """What PromQL says of the month's counters of one name."""
        query = f"sum(increase({metric}[{trace.DAYS}d]))"
        at = self.start.timestamp() + trace.STEPS * trace.STEP
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query, "time": at}, trust_env=False).json()
        return float(answer["data"]["result"][0]["value"][1])


class Server(http.server.ThreadingHTTPServer):
    """Serves one exporter."""

    daemon_threads = True

    def __init__(self, exporter: Exporter) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = exporter.page().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


@contextlib.contextmanager
def backfilled(folder: Path) -> Iterator[World]:
    """The world, in a folder of its own, until the end of the `with`."""
    start = int(time.time()) // 60 * 60 - trace.STEPS * trace.STEP - 300
    series = {"gateway": trace.litellm(), "assistant": trace.otel()}
    exporters, servers, jobs = {}, [], []
    for job, members in series.items():
        began = start + (trace.RESTARTS[-1][0] + trace.RESTARTS[-1][1]) * trace.STEP
        place = ""
        exporters[job] = Exporter({}, began)
        servers.append(Server(exporters[job]))
        instance = f"127.0.0.1:{servers[-1].server_address[1]}"
        place = f'job="{job}",instance="{instance}"'
        text = folder / f"{job}.om"
        with text.open("w", encoding="utf-8") as out:
            out.writelines(f"{line}\n" for line in trace.exposition(members, start, place))
        promtool(text, folder / "data")
        shown = {one.name("").replace(",}", "}"): int(one.shown[-1]) for one in members if one.shown[-1]}
        exporters[job].pages = shown
        jobs.append(f"- {{job_name: {job}, static_configs: [{{targets: ['{instance}']}}]}}")
    config = folder / "prometheus.yml"
    config.write_text("global: {scrape_interval: 1s}\nscrape_configs:\n" + "\n".join(jobs) + "\n", encoding="utf-8")
    process, url = prometheus(config, folder / "data")
    try:
        for exporter in exporters.values():
            exporter.wait(2)
        yield World(url, datetime.fromtimestamp(start, UTC), exporters, series)
    finally:
        process.terminate()
        process.wait(20)
        for server in servers:
            server.shutdown()
            server.server_close()


def promtool(text: Path, data: Path, *, seconds: float = 240) -> None:
    """Blocks of what an OpenMetrics text says, in Prometheus's folder."""
    command = ["promtool", "tsdb", "create-blocks-from", "--max-block-duration=744h", "openmetrics", text, data]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr


def prometheus(config: Path, data: Path, *more: str) -> tuple[subprocess.Popen[bytes], str]:
    """A Prometheus that serves the folder, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={data}", "--log.level=error",
               "--storage.tsdb.retention.time=90d", f"--web.listen-address=127.0.0.1:{port}", *more]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 180
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200:
                return process, url
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    process.kill()
    raise AssertionError("Prometheus does not start")
