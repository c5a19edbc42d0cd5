"""A real LiteLLM proxy before a fake model, Debian's Prometheus that scrapes it, and alertd that reads both ways."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import httpx

from tests.databases import usage_by_series
from tests.system.daemon import Daemon, env_file, wait_for

#: Where `make real` installs the proxy; LITELLM names another program.
LITELLM = Path(os.environ.get("LITELLM", Path(__file__).parents[2] / ".venv-real" / "bin" / "litellm"))
MASTER = "sk-real-0123456789abcdef0123456789abcdef"
#: Keys of the proxy: their alias and team.
KEYS = {
    "sk-real-bot-00000000000000000000000000": ("bot", "search"),
    "sk-real-ci-000000000000000000000000000": ("ci", "platform"),
}
MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5")
#: The ways that alertd reads.
WAYS = ("prometheus", "scrape")
_AUTH = """\
from litellm.proxy._types import UserAPIKeyAuth

KEYS = {keys!r}


async def user(request, api_key):
    token = api_key.removeprefix("Bearer ")
    if token == {master!r}:
        return UserAPIKeyAuth(api_key=token, user_role="proxy_admin")
    if token not in KEYS:
        raise Exception("no such key")
    alias, team = KEYS[token]
    return UserAPIKeyAuth(api_key=token, key_alias=alias, team_id=team, team_alias=team)
"""
#: What is counted: (key's alias, model, meter).
Tokens = Counter[tuple[str, str, str]]


class Model:
    """A provider whose every answer says how many tokens it took; `broken` answers 500."""

    def __init__(self) -> None:
        self._random = Random(14)
        #: The models that were asked for, in order.
        self.asked: list[str] = []

        def usage(asked: dict[str, Any]) -> tuple[int, int, int, int]:
            self.asked.append(asked["model"])
            prompt, output = self._random.randrange(1000, 9000), self._random.randrange(10, 900)
            cached = self._random.choice((0, prompt // 3))
            return prompt, output, cached, self._random.choice((0, prompt // 5)) if "claude" in asked["model"] else 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if "broken" in asked["model"]:
                    self.answer(500, "application/json", json.dumps({"error": {"message": "broken"}}))
                    return
                numbers = usage(asked)
                if self.path.endswith("/messages"):
                    self.answer(200, "application/json", json.dumps(_message(asked, *numbers)))
                elif asked.get("stream"):
                    parts = "".join(f"data: {json.dumps(part)}\n\n" for part in _chunks(asked, *numbers))
                    self.answer(200, "text/event-stream", parts + "data: [DONE]\n\n")
                else:
                    self.answer(200, "application/json", json.dumps(_completion(asked, *numbers)))

            def answer(self, status: int, kind: str, text: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _used(prompt: int, output: int, cached: int) -> dict[str, Any]:
    details = {"prompt_tokens_details": {"cached_tokens": cached}}
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output, **details}


def _completion(asked: dict[str, Any], prompt: int, output: int, cached: int, _: int) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    head = {"id": "x", "object": "chat.completion", "created": 1, "model": asked["model"]}
    return {**head, "choices": [choice], "usage": _used(prompt, output, cached)}


def _chunks(asked: dict[str, Any], prompt: int, output: int, cached: int, _: int) -> Iterator[dict[str, Any]]:
    head = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": asked["model"]}
    yield {**head, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": None}]}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    yield {**head, "choices": [], "usage": _used(prompt, output, cached)}


def _message(asked: dict[str, Any], prompt: int, output: int, cached: int, written: int) -> dict[str, Any]:
    usage = {
        "input_tokens": prompt - cached - written, "output_tokens": output,
        "cache_read_input_tokens": cached, "cache_creation_input_tokens": written,
    }  # fmt: skip
    head = {"id": "x", "type": "message", "role": "assistant", "model": asked["model"], "stop_reason": "end_turn"}
    return {**head, "content": [{"type": "text", "text": "hi"}], "usage": usage}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _ready(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@dataclass
class Process:
    """A program that is started, killed and started again on the same port."""

    command: list[str]
    ready: str
    folder: Path
    log: Path
    environment: dict[str, str]
    _running: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        with self.log.open("ab") as out:
            self._running = subprocess.Popen(
                self.command, cwd=self.folder, env=self.environment, stdout=out, stderr=out, start_new_session=True
            )
        if wait:
            self.wait()

    def wait(self) -> None:
        """Until it answers; fails with the end of its log where it ends instead."""

        def answers() -> bool:
            said = self.log.read_text(errors="replace")[-2000:]
            assert self._running is not None
            assert self._running.poll() is None, f"{self.command[0]} has ended: {said}"
            return _ready(self.ready)

        wait_for(f"{self.command[0]} at {self.ready}; see {self.log}", answers, 300)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """The whole group is ended, and gone on return."""
        if self._running is not None:
            os.killpg(self._running.pid, number)
            self._running.wait(60)
            self._running = None


@dataclass
class Stack:
    """The parts by name, and what the proxy's clients were told of usage."""

    folder: Path
    model: Model
    proxy: Process
    prometheus: Process
    proxy_url: str
    prometheus_url: str
    truth: Tokens = field(default_factory=Counter)
    daemons: dict[str, Daemon] = field(default_factory=dict)
    _lines: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def call(self, key: str, model: str, *, stream: bool = False) -> Tokens:
        """One request of a client; what its answer says was used, as disjoint meters."""
        asked = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": stream}
        if stream:
            asked["stream_options"] = {"include_usage": True}
        headers = {"Authorization": f"Bearer {key}"}
        answer = httpx.post(
            f"{self.proxy_url}/v1/chat/completions", json=asked, headers=headers, trust_env=False, timeout=60
        )
        found: Tokens = Counter()
        if answer.status_code != 200:
            return found
        parts = answer.text.split("data: ") if stream else [answer.text]
        usages = [json.loads(part)["usage"] for part in parts if '"usage"' in part and part.strip() != "[DONE]"]
        usage, alias = usages[-1], KEYS[key][0]
        details = usage.get("prompt_tokens_details") or {}
        cached, written = details.get("cached_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
        found[alias, model, "input"] = usage["prompt_tokens"] - cached - written
        found[alias, model, "cached_input"] = cached
        found[alias, model, "cache_write"] = written
        found[alias, model, "output"] = usage["completion_tokens"]
        return found

    def traffic(self, requests: int = 12) -> Tokens:
        """Requests of every key and model, one in three streamed, and one that fails."""
        used: Tokens = Counter()
        for number in range(requests):
            key, model = list(KEYS)[number % len(KEYS)], MODELS[number % len(MODELS)]
            used += self.call(key, model, stream=number % 3 == 2 and "claude" not in model)
        assert not self.call(next(iter(KEYS)), "broken")
        self.truth += used
        return used

    def start(self, *ways: str) -> None:
        """The daemons of these ways, on the databases that they had."""
        for way in ways or WAYS:
            self.daemons[way] = Daemon(self.folder / f"{way}.env")

    def kill(self, *ways: str) -> None:
        """They end without a goodbye."""
        for way in ways or tuple(self.daemons):
            self.daemons.pop(way).kill()

    def counted(self, way: str) -> Tokens:
        """What the ledger of a daemon holds."""
        return +Counter({who: n for who, n in self._rows(way, "series.billed = ''") if n})

    def money(self, way: str) -> int:
        """The nanos of dollars that the proxy reported, as the ledger of a daemon holds them."""
        rows = self._rows(way, "series.billed = 'USD'")
        return sum(n for _, n in rows)

    def _rows(self, way: str, where: str) -> list[tuple[tuple[str, str, str], int]]:
        file = self.folder / f"{way}.db"
        if not file.exists():
            return []
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30) as connection:
            try:
                connection.execute("BEGIN")  # one state of both tables
                sums_of = usage_by_series(connection.execute)
                rows = connection.execute(f"SELECT id, labels, model, meter FROM series WHERE {where}").fetchall()
            except sqlite3.OperationalError:
                return []  # it is being made
        sums: Tokens = Counter()
        for series, labels, model, meter in rows:
            sums[json.loads(labels).get("key", ""), model, meter] += sums_of.get(series, 0)
        return list(sums.items())

    def scraped(self) -> int:
        """All tokens that Prometheus holds of the proxy that runs now."""
        query = "sum(litellm_total_tokens_metric_total)"
        answer = httpx.get(f"{self.prometheus_url}/api/v1/query", params={"query": query}, trust_env=False, timeout=30)
        found = answer.json()["data"]["result"]
        return int(float(found[0]["value"][1])) if found else 0

    def shown(self) -> tuple[int, int]:
        """All tokens that the proxy's page shows now, and the nanos of dollars that it reports."""
        headers = {"Authorization": f"Bearer {MASTER}"}
        page = httpx.get(f"{self.proxy_url}/metrics/", headers=headers, trust_env=False, timeout=30).text
        values = [line.rpartition(" ")[::2] for line in page.splitlines() if not line.startswith("#")]
        tokens = sum(float(value) for name, value in values if name.startswith("litellm_total_tokens_metric_total{"))
        money = [value for name, value in values if name.startswith("litellm_spend_metric_total{")]
        return int(tokens), sum(int((Decimal(value) * 10**9).to_integral_value()) for value in money)

    def problems(self, way: str) -> list[str]:
        """What the daemon says of its source."""
        found = self.daemons[way].get("/api/v1/sources") if way in self.daemons else None
        sources = [] if found is None else found["sources"]
        return [text for one in sources for text in (one["error"], one["partial"]) if text]


@contextmanager
def stack(folder: Path) -> Iterator[Stack]:
    """Everything runs but the daemons; all is ended with the `with`."""
    model, ports = Model(), (free_port(), free_port())
    proxy_url, prometheus_url = (f"http://127.0.0.1:{port}" for port in ports)
    (folder / "keys.py").write_text(_AUTH.format(keys=KEYS, master=MASTER))
    openai = {"api_base": f"{model.url}/v1", "api_key": "sk-fake"}
    models = [{"model_name": name, "litellm_params": {"model": f"openai/{name}", **openai}} for name in
              (*MODELS[:2], "broken")]  # fmt: skip
    claude = {"model": f"anthropic/{MODELS[2]}", "api_base": model.url, "api_key": "sk-fake"}
    config = {
        "model_list": [*models, {"model_name": MODELS[2], "litellm_params": claude}],
        "litellm_settings": {"callbacks": ["prometheus"], "num_retries": 0},
        "general_settings": {"master_key": MASTER, "custom_auth": "keys.user"},
    }
    (folder / "litellm.yaml").write_text(json.dumps(config))
    bare = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    proxy = Process(
        [str(LITELLM), "--config", "litellm.yaml", "--host", "127.0.0.1", "--port", str(ports[0])],
        f"{proxy_url}/health/liveliness", folder, folder / "litellm.log",
        {**bare, "HOME": str(folder), "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"},
    )  # fmt: skip
    (folder / "key").write_text(MASTER)
    prometheus = Process(
        ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error",
         f"--web.listen-address=127.0.0.1:{ports[1]}"],
        f"{prometheus_url}/-/ready", folder, folder / "prometheus.log", bare,
    )  # fmt: skip
    scraping(folder, proxy_url, key=True)
    for way, url in (("prometheus", prometheus_url), ("scrape", f"{proxy_url}/metrics")):
        env_file(folder / f"{way}.env", settings(folder, way, url))
    found = Stack(folder, model, proxy, prometheus, proxy_url, prometheus_url)
    try:
        proxy.start(wait=False)
        prometheus.start()
        proxy.wait()
        yield found
    finally:
        found.kill()
        proxy.kill()
        prometheus.kill()
        model.close()


def scraping(folder: Path, proxy_url: str, *, key: bool) -> None:
    """Prometheus's configuration, with the key that the proxy wants, or without."""
    target = proxy_url.removeprefix("http://")
    job: dict[str, Any] = {
        "job_name": "litellm", "metrics_path": "/metrics/", "static_configs": [{"targets": [target]}],
    }  # fmt: skip
    if key:
        job["authorization"] = {"credentials_file": "key"}
    (folder / "prometheus.yml").write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}))


def settings(folder: Path, way: str, url: str) -> dict[str, str]:
    """A daemon's configuration."""
    found = {
        "ALERTD_DATABASE": f"sqlite:///{folder}/{way}.db",
        "ALERTD_POLL_INTERVAL": "1s",
        "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
        "ALERTD_SOURCES__GATEWAY__KIND": way,
        "ALERTD_SOURCES__GATEWAY__URL": url,
        "ALERTD_SOURCES__GATEWAY__PRESET": "litellm",
        "ALERTD_BUDGETS__TEAMS__AMOUNT": "100 USD",
        "ALERTD_BUDGETS__TEAMS__PER": "team",
        "ALERTD_NOTIFIERS__OPS__KIND": "console",
    }
    if way == "scrape":
        found["ALERTD_SOURCES__GATEWAY__TOKEN_FILE"] = str(folder / "key")
    return found
