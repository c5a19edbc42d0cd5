"""The real daemon with an address for the allowance alone: the same answers, counted by the daemon, whatever ends."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from alertd.cli import main
from tests.system.daemon import Daemon, env_file, wait_for

ASKS, EDITS = "the-token-of-a-gateway-0123456789", "the-token-of-an-editor-0123456789"
SAID = "the allowance alone at "


def settings(folder: Path, **more: str) -> dict[str, str]:
    return {
        "ALERTD_DATABASE": f"sqlite:///{folder}/alertd.db",
        "ALERTD_POLL_INTERVAL": "1s",
        "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
        "ALERTD_HTTP__ALLOWANCE_LISTEN": "127.0.0.1:0",
        "ALERTD_HTTP__TOKEN": EDITS,
        "ALERTD_HTTP__TOKENS_FILE": f"{folder}/tokens.toml",
        "ALERTD_SOURCES__FILE__KIND": "csv",
        "ALERTD_SOURCES__FILE__PATH": f"{folder}/usage.csv",
        "ALERTD_BUDGETS__TEAMS__AMOUNT": "1 USD",
        "ALERTD_BUDGETS__TEAMS__PER": "team",
        "ALERTD_NOTIFIERS__LOG__KIND": "console",
        **more,
    }


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    hashed = hashlib.sha256(ASKS.encode()).hexdigest()
    (tmp_path / "tokens.toml").write_text(f'[tokens.gateway]\nrole = "allowance"\nhash = "{hashed}"\n')
    today = datetime.now(UTC).date().replace(day=1)
    rows = "".join(
        f"{today}T00:00:00Z,openai,gpt-4o,output,{count},{team}\n" for team, count in (("a", 10**6), ("b", 9))
    )
    (tmp_path / "usage.csv").write_text(f"timestamp,provider,model,meter,quantity,team\n{rows}")
    running = Daemon(env_file(tmp_path / "alertd.env", settings(tmp_path)))
    try:
        wait_for("the address of the allowance", lambda: url(running))
        wait_for("the usage", lambda: (ask(running, "a") or {}).get("spent"))
        yield running
    finally:
        if running.ended() is None:
            assert running.stop()[0] == 0


def url(daemon: Daemon) -> str:
    """Where the allowance was served last, "" before it is."""
    said = [line["message"] for line in daemon.lines if line["message"].startswith(SAID)]
    return str(said[-1].removeprefix(SAID)) if said else ""


def get(address: str, token: str = ASKS) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.get(address, headers=headers, trust_env=False, timeout=30)


def ask(daemon: Daemon, team: str, token: str = ASKS) -> dict[str, Any]:
    answer = get(f"{url(daemon)}/api/v1/allowance?team={team}", token)
    return answer.json() if answer.status_code == 200 else {}


def page(daemon: Daemon, path: str) -> httpx.Response:
    return get(f"http://127.0.0.1:{daemon.port}{path}", EDITS)


def timeless(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer without what is another one at each evaluation and each second."""
    return {name: value for name, value in answer.items() if name not in ("age_seconds", "evaluated_at", "retry_after")}


def children_of(pid: int) -> set[int]:
    return {
        int(one.name)
        for one in Path("/proc").iterdir()
        if one.name.isdigit() and (one / "stat").exists() and parent(one) == pid
    }


def parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def test_it_answers_as_the_daemon_does_by_the_same_tokens_and_a_raise_counts_at_once(daemon: Daemon):
    for team, allow in (("a", False), ("b", True), ("never-seen", True)):
        found = page(daemon, f"/api/v1/allowance?team={team}").json()
        assert timeless(ask(daemon, team)) == timeless(found)
        assert found["allow"] is allow
    base = url(daemon)
    assert get(f"{base}/api/v1/allowance/check?team=a").status_code == 429
    assert get(f"{base}/api/v1/allowance/check/any/path?team=a").status_code == 200, "Envoy's labels come in headers"
    assert get(f"{base}/api/v1/allowance?team=a", "").status_code == 401
    assert get(f"{base}/api/v1/allowance?team=a", "no-token-of-anybody-0123456789").status_code == 401
    assert get(f"{base}/api/v1/budgets").status_code == 404
    assert get(f"{base}/healthz", "").status_code == 200
    assert main(["raise", "teams", "500 USD", "--scope", "team=a", "--env-file", str(daemon.file)]) == 0
    wait_for("a yes after the raise", lambda: ask(daemon, "a")["allow"], 30)


def test_its_denials_are_the_daemons_own(daemon: Daemon):
    before = page(daemon, "/api/v1/allowance/denials").json()["denials"]
    counted = sum(one["count"] for one in before)
    for _ in range(20):
        assert ask(daemon, "a")["allow"] is False

    def denials() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = page(daemon, "/api/v1/allowance/denials").json()["denials"]
        return found if sum(one["count"] for one in found) >= counted + 20 else []

    (denial,) = wait_for("its denials", denials, 30)
    assert (denial["budget"], denial["scope"], denial["warning"]) == ("teams", {"team": "a"}, False)
    assert denial["reason"].startswith("team a (teams) has used 10.00 of 1.00 USD")
    assert 'alertd_allowance_answers_total{answer="denied",budget="teams"}' in page(daemon, "/metrics").text


def test_killed_it_is_started_again_and_no_connection_is_refused(daemon: Daemon):
    (process,) = children_of(daemon.pid)
    os.kill(process, signal.SIGKILL)
    assert ask(daemon, "a")["allow"] is False, "the question waits for the new process"
    assert children_of(daemon.pid) != {process}


def test_a_reload_changes_who_may_ask_and_where_and_it_ends_with_the_daemon(daemon: Daemon, tmp_path: Path):
    other = "another-token-of-the-gateway-0123456789"
    env_file(daemon.file, settings(tmp_path, ALERTD_HTTP__TOKEN=other))
    daemon.signal(signal.SIGHUP)
    wait_for("the new token", lambda: ask(daemon, "a", other), 60)
    assert ask(daemon, "a", EDITS) == {}
    first = url(daemon)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env_file(daemon.file, settings(tmp_path, ALERTD_HTTP__ALLOWANCE_LISTEN=f"127.0.0.1:{port}"))
    daemon.signal(signal.SIGHUP)
    wait_for("the new address", lambda: url(daemon) != first and ask(daemon, "a"), 60)
    (process,) = children_of(daemon.pid)
    daemon.kill()
    wait_for("its end", lambda: not Path(f"/proc/{process}").exists() or parent(Path(f"/proc/{process}")) == 0, 30)
