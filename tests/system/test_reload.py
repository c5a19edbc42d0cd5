"""The real daemon: a bad configuration is refused and told once, secrets are re-read, the heart beats while it sees."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from alertd.cli import main
from tests.servers.billing import Asked, Reply, Server, serving
from tests.servers.gateway import serving_gateway
from tests.servers.webhook import WebhookServer
from tests.system.daemon import Daemon, env_file, wait_for


def settings(folder: Path, server: Server, hook: WebhookServer, **more: str) -> dict[str, str]:
    (folder / "token").write_text("first\n")
    return {
        "ALERTD_DATABASE": f"sqlite:///{folder}/alertd.db",
        "ALERTD_POLL_INTERVAL": "1s",
        "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
        "ALERTD_SOURCES__GATEWAY__KIND": "scrape",
        "ALERTD_SOURCES__GATEWAY__URL": f"{server.url}/metrics",
        "ALERTD_SOURCES__GATEWAY__PRESET": "vllm",
        "ALERTD_SOURCES__GATEWAY__TOKEN_FILE": f"{folder}/token",
        "ALERTD_BUDGETS__ALL__AMOUNT": "100M tokens",
        "ALERTD_BUDGETS__ALL__THRESHOLDS": '["actual 10%","actual 50%","actual 100%"]',
        "ALERTD_NOTIFIERS__HOOK__KIND": "webhook",
        "ALERTD_NOTIFIERS__HOOK__URL": hook.url,
        **more,
    }


@contextmanager
def running(file: Path) -> Iterator[Daemon]:
    daemon = Daemon(file)
    try:
        wait_for("its page", lambda: daemon.port)
        yield daemon
    finally:
        status, _ = daemon.stop()
    assert status == 0


def about_the_configuration(hook: WebhookServer) -> list[tuple[str, str]]:
    return [(e["event"], e["reason"]) for e in hook.events.values() if "configuration" in e["reason"]]


def logged(daemon: Daemon, words: str) -> int:
    return sum(words in line["message"] for line in daemon.lines)


def evaluated(daemon: Daemon) -> Any:
    return (daemon.get("/api/v1/budgets") or {}).get("budgets")


def test_a_bad_configuration_is_refused_said_once_a_set_of_faults_and_once_when_it_is_sound(tmp_path: Path) -> None:
    with serving_gateway() as (_, server), WebhookServer() as hook:
        good = settings(tmp_path, server, hook)
        file = env_file(tmp_path / "alertd.env", good)
        with running(file) as daemon:
            wait_for("figures", lambda: evaluated(daemon))
            bad = {**good, "ALERTD_BUDGETS__ALL__AMOUNT": "lots"}
            env_file(file, bad)
            refused = "the new configuration is refused"
            for times in (1, 2):
                daemon.signal(signal.SIGHUP)
                wait_for("its refusal in the log", lambda times=times: logged(daemon, refused) >= times)
            wait_for("its alert", lambda: about_the_configuration(hook))
            assert "ALERTD_BUDGETS__ALL__AMOUNT (alertd.env:8): 'lots' is not an amount" in str(daemon.lines)
            assert wait_for("figures all the same", lambda: evaluated(daemon))[0]["amount"] == "100000000"
            env_file(file, {**bad, "ALERTD_DIGEST": "hourly"})
            daemon.signal(signal.SIGHUP)
            wait_for("the other set of faults", lambda: len(about_the_configuration(hook)) > 1)
            env_file(file, good)
            daemon.signal(signal.SIGHUP)
            wait_for("the word that it is sound", lambda: len(about_the_configuration(hook)) > 2)
            daemon.signal(signal.SIGHUP)
            wait_for("two good reloads", lambda: logged(daemon, "configuration re-read") >= 2)
        with running(file) as daemon:
            wait_for("figures after a restart", lambda: evaluated(daemon))
    first, second, last = about_the_configuration(hook)
    assert (first[0], second[0], last[0]) == ("source_stale", "source_stale", "recovered")
    assert "ALERTD_BUDGETS__ALL__AMOUNT (alertd.env:8): 'lots' is not an amount" in first[1]


def is_held_back(process: int, number: signal.Signals) -> bool:
    """Whether a process has a signal delivered later: proc(5), SigBlk."""
    line = next(line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("SigBlk"))
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="what a process holds back is read from /proc")
def test_a_signal_to_reload_that_comes_while_the_daemon_starts_is_obeyed_once_it_runs(tmp_path: Path) -> None:
    with serving_gateway() as (_, server), WebhookServer() as hook:
        daemon = Daemon(env_file(tmp_path / "alertd.env", settings(tmp_path, server, hook)))
        try:
            wait_for("its first line", lambda: is_held_back(daemon.pid, signal.SIGHUP))
            daemon.signal(signal.SIGHUP)
            wait_for("the reload", lambda: logged(daemon, "configuration re-read"))
            assert not is_held_back(daemon.pid, signal.SIGHUP)
        finally:
            status, _ = daemon.stop()
    assert status == 0


def test_a_changed_file_is_read_anew_without_a_signal_secrets_included(tmp_path: Path) -> None:
    with serving_gateway() as (gateway, server), WebhookServer() as hook:
        file = env_file(tmp_path / "alertd.env", settings(tmp_path, server, hook))
        with running(file) as daemon:
            wait_for("figures", lambda: evaluated(daemon))
            gateway.token = "second"
            wait_for("the refusal of the old token", lambda: logged(daemon, "answers 401"))
            (tmp_path / "token").write_text("second\n")
            wait_for("the reload", lambda: logged(daemon, "configuration re-read"))
            gateway.tokens = 7_000_000
            wait_for("usage by the new token", lambda: evaluated(daemon)[0]["spent"] == "6000000")
            assert "second" not in str(daemon.lines)


def test_a_poll_that_is_under_way_at_a_reload_ends_well_and_only_then_is_its_source_closed(tmp_path: Path) -> None:
    patient = {"ALERTD_SOURCES__GATEWAY__TIMEOUT": "600s"}
    with serving_gateway() as (gateway, server), WebhookServer() as hook:
        file = env_file(tmp_path / "alertd.env", settings(tmp_path, server, hook, **patient))
        with running(file) as daemon:
            wait_for("figures", lambda: evaluated(daemon))
            gateway.open.clear()
            wait_for("a poll under way", gateway.waiting.is_set)
            daemon.signal(signal.SIGHUP)
            wait_for("the reload", lambda: logged(daemon, "configuration re-read"))
            gateway.tokens = 7_000_000
            gateway.open.set()
            wait_for("usage by the old or the new poll", lambda: evaluated(daemon)[0]["spent"] == "6000000")
            assert "alertd_polls_failed_total{" not in daemon.text("/metrics")


def test_the_heart_beats_after_good_rounds_only(tmp_path: Path) -> None:
    beats: list[Asked] = []

    def heard(asked: Asked) -> Reply:
        beats.append(asked)
        return Reply("ok")

    with serving_gateway() as (gateway, server), WebhookServer() as hook, serving(heard) as watcher:
        more = {
            "ALERTD_HEARTBEAT_URL": f"{watcher.url}/ping/s3cret",
            "ALERTD_SOURCES__GATEWAY__STALE_AFTER": "2s",
        }
        with running(env_file(tmp_path / "alertd.env", settings(tmp_path, server, hook, **more))) as daemon:
            wait_for("three beats", lambda: len(beats) >= 3)
            assert {(beat.method, beat.path) for beat in beats} == {("GET", "/ping/s3cret")}
            gateway.well = False
            wait_for("blindness", lambda: [e for e in hook.events.values() if e["event"] == "source_stale"])
            silent = len(beats)
            runs = rounds(daemon)
            wait_for("three rounds more", lambda: rounds(daemon) >= runs + 3)
            assert len(beats) == silent, "a daemon that sees nothing is not well"
            gateway.well = True
            wait_for("beats again", lambda: len(beats) > silent)
            assert "s3cret" not in str(daemon.lines)


def rounds(daemon: Daemon) -> float:
    """How often it has evaluated."""
    lines = daemon.text("/metrics").splitlines()
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if 'loop="evaluate"' in line and "_count" in line)


def test_what_was_told_before_a_backup_came_back_is_not_told_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_gateway() as (gateway, server), WebhookServer() as hook:
        given = settings(tmp_path, server, hook)
        file = env_file(tmp_path / "alertd.env", given)
        monkeypatch.setenv("ALERTD_DATABASE", given["ALERTD_DATABASE"])
        with running(file) as daemon:
            wait_for("figures", lambda: evaluated(daemon))
            assert main(["db", "backup", str(tmp_path / "old.db")]) == 0
            gateway.tokens = 21_000_000
            wait_for("the first level", lambda: [e for e in hook.events.values() if e["levels"] == [10]])
        for name in ("alertd.db", "alertd.db-wal", "alertd.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        before = len(hook.events)
        assert main(["db", "restore", str(tmp_path / "old.db")]) == 0
        with running(file) as daemon:
            wait_for("the spend since", lambda: (evaluated(daemon) or [{}])[0].get("spent") == "20000000")
            wait_for("the word in the log", lambda: logged(daemon, "restored from a backup"))
            gateway.tokens = 61_000_000
            wait_for("the second level", lambda: [e for e in hook.events.values() if 50 in e["levels"]])
    news = [(e["event"], e["levels"]) for e in list(hook.events.values())[before:]]
    assert news == [("threshold", [50])]


def test_a_price_list_is_fetched_once_where_an_address_is_set_and_then_read(tmp_path: Path) -> None:
    models = [{"id": "zork", "match": {"equals": "zork"}, "prices": {"input_mtok": 7}}]
    raw = [{"id": f"seller-{number}", "name": "S", "api_pattern": "s", "models": models} for number in range(6)]
    with serving(lambda _: Reply(raw)) as server, WebhookServer() as hook:
        lists = {
            "ALERTD_PRICES__LIST_FILE": f"{tmp_path}/prices.json",
            "ALERTD_PRICES__UPDATE_URL": f"{server.url}/data.json",
        }
        with running(env_file(tmp_path / "alertd.env", settings(tmp_path, server, hook, **lists))) as daemon:
            wait_for("the list", lambda: logged(daemon, "ALERTD_PRICES__UPDATE_URL: fetched, 6 entries"))
            wait_for("the reading", lambda: logged(daemon, "configuration re-read"))
        fetched = [asked for asked in server.asked if asked.path == "/data.json"]
    assert (tmp_path / "prices.json").is_file()
    assert len(fetched) == 1
