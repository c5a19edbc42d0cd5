"""A real Prometheus with a month of real usage: the ledger's totals against the truth, and against `increase()`."""

from __future__ import annotations

import asyncio
import http.server
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from alertd.sources.prometheus import Options, build
from tests.bookkeeping import Ledger
from tests.system import trace

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not shutil.which("prometheus"), reason="no `prometheus` on PATH: install Debian's prometheus"),
    pytest.mark.skipif(not trace.FILE.exists(), reason=f"no trace at {trace.FILE}: set ALERTD_TEST_DATA"),
]
#: What may be missing: tokens used between a last scrape and a restart, eight times in the month.
UNSEEN = 0.0002


@dataclass
class Exporter:
    """A /metrics page whose counters go on where the month ended; `restart` begins them anew."""

    pages: dict[str, int]
    began: float
    scrapes: int = 0
    used: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def page(self) -> str:
        """Every scrape sees 1000 tokens more of each counter."""
        with self.lock:
            self.scrapes += 1
            for name in self.pages:
                self.pages[name] += 1000
                self.used[name] += 1000
            lines = [f"{name} {value}" for name, value in self.pages.items()]
            return "\n".join([*lines, f"process_start_time_seconds {self.began}", ""])

    def restart(self) -> None:
        with self.lock:
            self.began = time.time()
            self.pages = dict.fromkeys(self.pages, 0)

    def wait(self, scrapes: int) -> None:
        """Until it was scraped so many times more."""
        wanted, deadline = self.scrapes + scrapes, time.monotonic() + 30
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


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("prometheus")
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
        _promtool(text, folder / "data")
        shown = {one.name("").replace(",}", "}"): int(one.shown[-1]) for one in members if one.shown[-1]}
        exporters[job].pages = shown
        jobs.append(f"- {{job_name: {job}, static_configs: [{{targets: ['{instance}']}}]}}")
    config = folder / "prometheus.yml"
    config.write_text("global: {scrape_interval: 1s}\nscrape_configs:\n" + "\n".join(jobs) + "\n", encoding="utf-8")
    process, url = _prometheus(config, folder / "data")
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


def _promtool(text: Path, data: Path) -> None:
    command = ["promtool", "tsdb", "create-blocks-from", "--max-block-duration=744h", "openmetrics", text, data]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr


def _prometheus(config: Path, data: Path) -> tuple[subprocess.Popen[bytes], str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={data}", "--log.level=error",
               "--storage.tsdb.retention.time=90d", f"--web.listen-address=127.0.0.1:{port}"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200:
                return process, url
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    process.kill()
    raise AssertionError("Prometheus does not start")


async def _collect(
    world: World, preset: str, ledger: Ledger, now: datetime, *, since: datetime | None = None, most: int | None = None
) -> None:
    source = build("gateway", Options(url=world.url, preset=preset))
    try:
        while await ledger.collect(source, since or world.start, now, most) == most and most:
            await source.close()
            source = build("gateway", Options(url=world.url, preset=preset))
    finally:
        await source.close()


def _end(world: World) -> datetime:
    """When the month is over and live scrapes have not begun."""
    return world.start + timedelta(seconds=trace.STEPS * trace.STEP)


@pytest.mark.parametrize(("preset", "job"), [("litellm", "gateway"), ("otel", "assistant")])
def test_a_months_totals_are_the_truth_but_for_what_no_scrape_could_see(world: World, preset: str, job: str) -> None:
    ledger = Ledger()
    asyncio.run(_collect(world, preset, ledger, _end(world)))
    found = ledger.totals()
    truth, visible = trace.truth(world.series[job]), trace.truth(world.series[job], visible=True)
    _print(preset, truth, found)
    inclusive = Counter({one.metric: 0 for one in world.series[job]})
    for one in world.series[job]:
        inclusive[one.metric] += int(one.used.sum())
    for metric, used in inclusive.items():
        says = world.increase(metric)
        print(f"{'increase()':12} {metric:52} {used:>14,} {says:>16,.0f} {says / used - 1:+.4%}")
    total = sum(truth.values())
    assert found.total() == sum(visible.values())
    assert abs(found.total() - total) <= UNSEEN * total
    # Restarts lose a little of input and of cached input apart: what is taken off may differ by that little.
    assert {key: quantity for key, quantity in found.items() if abs(quantity - visible[key]) > UNSEEN * total} == {}
    assert ledger.complete_from == world.start
    assert ledger.refused == []


def test_a_reader_killed_at_every_eighth_reading_of_a_back_fill_finds_the_same_totals(world: World) -> None:
    whole, broken = Ledger(), Ledger()
    asyncio.run(_collect(world, "litellm", whole, _end(world)))
    asyncio.run(_collect(world, "litellm", broken, _end(world), most=8))
    assert len(broken.readings) > 6
    assert broken.totals("team", "key") == whole.totals("team", "key")


def test_where_retention_is_short_the_figures_say_from_when_they_are_complete(world: World) -> None:
    ledger = Ledger()
    asyncio.run(_collect(world, "otel", ledger, _end(world), since=world.start - timedelta(days=20)))
    began = world.start - timedelta(days=2)
    assert ledger.complete_from == began, "the oldest process in retention began then; what ran before is not known"
    assert ledger.totals().total() == sum(trace.truth(world.series["assistant"], visible=True).values())


def test_live_scrapes_and_a_restart_between_two_of_them_are_counted_to_the_token(world: World) -> None:
    ledger, exporter = Ledger(), world.exporters["gateway"]
    asyncio.run(_collect(world, "litellm", ledger, _end(world)))
    before = ledger.totals().total()
    for poll in range(3):
        exporter.wait(2)
        if poll == 1:
            exporter.restart()
            exporter.wait(1)
        asyncio.run(_collect(world, "litellm", ledger, datetime.now(UTC)))
    used, seen = sum(exporter.used.values()), ledger.totals().total() - before
    contained = sum(quantity for name, quantity in exporter.used.items() if "cache" in name)
    assert 0 <= (used - contained) - seen <= 2 * 1000 * len(exporter.pages)
    assert seen > 5 * 1000 * (len(exporter.pages) // 2)


def _print(preset: str, truth: Counter[tuple[str, str]], found: Counter[tuple[str, ...]]) -> None:
    print(f"\n{preset}: {trace.DAYS} days, {len(trace.RESTARTS)} restarts, {len(trace.GAPS)} gaps")
    print(f"{'ledger':12} {'model, meter':52} {'truth':>14} {'found':>16} error")
    for (model, meter), quantity in sorted((+truth).items()):
        got = found[model, meter]
        print(f"{'':12} {model + ' ' + meter:52} {quantity:>14,} {got:>16,} {got / quantity - 1:+.4%}")
    total = sum(truth.values())
    print(f"{'':12} {'all':52} {total:>14,} {found.total():>16,} {found.total() / total - 1:+.4%}")
