"""The whole way with the real daemon: a counter runs, a budget is used up, a person approves, the key is off."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers.billing import Asked, Reply, serving
from tests.servers.keys import PROVIDERS
from tests.servers.webhook import WebhookServer
from tests.system.daemon import CHECKOUT, Daemon, env_file, wait_for

TEXT = {"Content-Type": "text/plain; version=0.0.4"}


class Runaway:
    """A gateway's /metrics: one key uses a million tokens of gpt-5 a second, from when it is first asked."""

    def __init__(self) -> None:
        self.began = time.time()

    def __call__(self, asked: Asked) -> Reply:
        used = int((time.time() - self.began) * 1_000_000)
        lines = ["# TYPE litellm_input_tokens_metric counter", "# TYPE process_start_time_seconds gauge"]
        for key, share in (("rag-indexer", used), ("web", used // 100)):
            labels = f'model="gpt-5",api_key_alias="{key}"'
            lines.append(f"litellm_input_tokens_metric_total{{{labels}}} {share}.0")
        lines.append(f"process_start_time_seconds {self.began:.2f}")
        return Reply("\n".join([*lines, ""]), 200, TEXT)


class Workers:
    """A gateway of one worker, or of two behind one address: each scrape is then answered by the other."""

    def __init__(self, *, alternating: bool) -> None:
        self.began, self.scrapes, self.alternating = time.time(), 0, alternating

    def __call__(self, asked: Asked) -> Reply:
        self.scrapes += 1
        used = int((time.time() - self.began) * 1_000_000) + (
            60_000_000 if self.alternating and self.scrapes % 2 else 100_000_000
        )
        labels = 'model="gpt-5",api_key_alias="rag-indexer"'
        return Reply(f"litellm_input_tokens_metric_total{{{labels}}} {used}\n", 200, TEXT)


def alertd(file: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "alertd", "actions", *words, "--env-file", str(file)],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def _settings(folder: Path, gateway: str, keys: str, hook: str, mode: str) -> dict[str, str]:
    return {
        "ALERTD_DATABASE": f"sqlite:///{folder}/alertd.db",
        "ALERTD_POLL_INTERVAL": "1s",
        "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
        "ALERTD_SOURCES__GATEWAY__KIND": "scrape",
        "ALERTD_SOURCES__GATEWAY__URL": f"{gateway}/metrics",
        "ALERTD_SOURCES__GATEWAY__PRESET": "litellm",
        "ALERTD_BUDGETS__RESEARCH__AMOUNT": "0.01 USD",
        "ALERTD_BUDGETS__RESEARCH__ACTIONS": "stop",
        "ALERTD_ACTIONS__STOP__KIND": "anthropic",
        "ALERTD_ACTIONS__STOP__URL": keys,
        "ALERTD_ACTIONS__STOP__TOKEN": "acting-token",
        "ALERTD_ACTIONS__STOP__MODE": mode,
        "ALERTD_ACTIONS__STOP__APPROVERS": "@ana",
        "ALERTD_NOTIFIERS__HOOK__KIND": "webhook",
        "ALERTD_NOTIFIERS__HOOK__URL": hook,
        "ALERTD_NOTIFIERS__HOOK__SECRET": "s" * 16,
    }


@pytest.mark.timeout(600)
def test_a_key_that_uses_up_a_budget_is_turned_off_once_somebody_approved(tmp_path: Path) -> None:
    provider = PROVIDERS[0]()
    with serving(Runaway()) as gateway, provider.serve() as keys, WebhookServer(secret="s" * 16) as hook:
        file = env_file(tmp_path / "alertd.env", _settings(tmp_path, gateway.url, keys.url, hook.url, "approve"))
        daemon = Daemon(file)
        try:
            wait_for("the proposal", lambda: "awaiting" in alertd(file))
            acts = json.loads(alertd(file, "list", "--json"))
            (handle,) = [act["id"][:6] for act in acts if act["target"] == "rag-indexer"]
            assert provider.written == []
            alertd(file, "approve", handle, "--by", "ana")
            wait_for("the key to be off", lambda: provider.state == {"status": "inactive"})
            wait_for("verified", lambda: f"{handle}  verified" in alertd(file))
            told = wait_for("the word of it", lambda: [e for e in _events(hook) if "read back" in e["reason"]])
        finally:
            status, _ = daemon.stop()
        assert (status, len(provider.written), told[0]["budget"]) == (0, 1, "research")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("alternating", [False, True], ids=["one worker", "two workers"])
def test_no_key_is_touched_while_its_source_is_partial_which_is_said(tmp_path: Path, *, alternating: bool) -> None:
    provider, workers = PROVIDERS[0](), Workers(alternating=alternating)
    with serving(workers) as gateway, provider.serve() as keys, WebhookServer(secret="s" * 16) as hook:
        file = env_file(tmp_path / "alertd.env", _settings(tmp_path, gateway.url, keys.url, hook.url, "auto"))
        daemon = Daemon(file)

        def partial() -> bool:
            (source,) = daemon.get("/api/v1/sources")["sources"]
            return source["state"] == "partial" and any("several processes" in said for said in source["problems"])

        try:
            wait_for("the alert", lambda: [r for r in hook.requests if r.json["event"] == "threshold"])
            if alternating:
                wait_for("the source to be partial", partial)
                seen = workers.scrapes
                wait_for("ten more readings", lambda: workers.scrapes > seen + 10)
                assert json.loads(alertd(file, "list", "--json")) == []
            else:
                wait_for("the key to be off", lambda: provider.state == {"status": "inactive"})
        finally:
            status, _ = daemon.stop()
        assert (status, bool(provider.written)) == (0, not alternating)


def _events(hook: WebhookServer) -> list[dict[str, str]]:
    return [received.json for received in hook.requests if received.json["event"] == "action"]
