"""The real daemon in auto mode before a gateway that answers wrong once, or in turns: no key is stopped by it.

In the same conditions a key that really runs away is stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.billing import Asked, Reply, serving
from tests.servers.keys import NAME, PROVIDERS
from tests.servers.webhook import WebhookServer
from tests.system.daemon import Daemon, env_file, wait_for

TEXT = {"Content-Type": "text/plain; version=0.0.4"}
BASE = 8_000_000
#: Asked so often after the wrong answers, the daemon has had every chance to confirm them.
ENOUGH = 14


class Gateway:
    """A /metrics page; `page` gives the value of the counter and the process start of the nth answer (0: none)."""

    def __init__(self, page: Callable[[int], tuple[int, int, dict[str, int]]]) -> None:
        self.page = page
        self.answers = 0

    def __call__(self, asked: Asked) -> Reply:
        value, started, more = self.page(self.answers)
        self.answers += 1
        name = "litellm_input_tokens_metric_total"
        lines = ["# TYPE litellm_input_tokens_metric counter"]
        for key, count in {NAME: value, **more}.items():
            lines.append(f'{name}{{model="gpt-5",api_key_alias="{key}"}} {count}.0')
        if started:
            lines += ["# TYPE process_start_time_seconds gauge", f"process_start_time_seconds {started}"]
        return Reply("\n".join([*lines, ""]), 200, TEXT)


def dip(n: int) -> tuple[int, int, dict[str, int]]:
    return BASE + 100 * n - (300 if n == 5 else 0), 0, {}


def other_replica(n: int) -> tuple[int, int, dict[str, int]]:
    return (3_200_000, 2_000, {}) if n == 5 else (BASE + 100 * n, 1_000, {})


def replicas_in_turns(n: int) -> tuple[int, int, dict[str, int]]:
    return (3_200_000 + 100 * n, 2_000, {}) if n % 2 else (BASE + 100 * n, 1_000, {})


def replicas_without_starts(n: int) -> tuple[int, int, dict[str, int]]:
    return (3_200_000 + 100 * n, 0, {}) if n % 2 else (BASE + 100 * n, 0, {})


def new_key_at_once(n: int) -> tuple[int, int, dict[str, int]]:
    return BASE + 100 * n, 0, {"web": 30_000_000 + 100 * n} if n >= 5 else {}


LIES = [dip, other_replica, replicas_in_turns, replicas_without_starts, new_key_at_once]


def env(tmp_path: Path, gateway: str, keys: str, hook: str) -> Path:
    return env_file(
        tmp_path / "alertd.env",
        {
            "ALERTD_DATABASE": f"sqlite:///{tmp_path}/alertd.db",
            "ALERTD_POLL_INTERVAL": "1s",
            "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
            "ALERTD_SOURCES__GATEWAY__KIND": "scrape",
            "ALERTD_SOURCES__GATEWAY__URL": f"{gateway}/metrics",
            "ALERTD_SOURCES__GATEWAY__PRESET": "litellm",
            "ALERTD_BUDGETS__RESEARCH__AMOUNT": "10000000 tokens",
            "ALERTD_BUDGETS__RESEARCH__ACTIONS": "stop",
            "ALERTD_ACTIONS__STOP__KIND": "anthropic",
            "ALERTD_ACTIONS__STOP__URL": keys,
            "ALERTD_ACTIONS__STOP__TOKEN": "acting-token",
            "ALERTD_ACTIONS__STOP__MODE": "auto",
            "ALERTD_NOTIFIERS__HOOK__KIND": "webhook",
            "ALERTD_NOTIFIERS__HOOK__URL": hook,
            "ALERTD_NOTIFIERS__HOOK__SECRET": "s" * 16,
        },
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", LIES, ids=lambda page: page.__name__)
def test_no_answer_of_a_gateway_that_is_wrong_stops_a_key(
    tmp_path: Path, page: Callable[[int], tuple[int, int, dict[str, int]]]
) -> None:
    provider, gateway = PROVIDERS[0](), Gateway(page)
    with serving(gateway) as server, provider.serve() as keys, WebhookServer(secret="s" * 16) as hook:
        daemon = Daemon(env(tmp_path, server.url, keys.url, hook.url))
        try:
            wait_for("enough readings", lambda: gateway.answers > 6 + ENOUGH, seconds=240)
            if page is new_key_at_once:
                wait_for("the word of it", lambda: [r for r in _actions(hook) if "one reading alone" in r], seconds=240)
        finally:
            status, _ = daemon.stop()
    assert (status, provider.written) == (0, [])


@pytest.mark.timeout(600)
def test_a_key_that_really_runs_away_is_stopped(tmp_path: Path) -> None:
    provider, began = PROVIDERS[0](), time.monotonic()
    gateway = Gateway(lambda n: (BASE + (int((time.monotonic() - began) * 2_000_000) if n > 3 else 0), 0, {}))
    with serving(gateway) as server, provider.serve() as keys, WebhookServer(secret="s" * 16) as hook:
        daemon = Daemon(env(tmp_path, server.url, keys.url, hook.url))
        try:
            wait_for("the key to be off", lambda: provider.state == {"status": "inactive"}, seconds=240)
        finally:
            status, _ = daemon.stop()
    assert (status, len(provider.written)) == (0, 1)


def _actions(hook: WebhookServer) -> list[str]:
    return [str(received.json) for received in hook.requests if received.json["event"] == "action"]
