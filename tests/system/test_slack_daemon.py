"""The real daemon in a workspace: an alert in Slack, a press over its socket, the message that moves, two replicas."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.servers.slack import APP_TOKEN, TOKEN, SlackServer
from tests.servers.socketmode import APP_ID, SocketServer
from tests.slack_scenario import ANA, BEN, button, roots, words
from tests.system.daemon import Daemon, env_file, wait_for


def spent(file: Path, dollars: int) -> None:
    """A file that says so much was billed this month."""
    at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    file.write_text(f"timestamp,provider,cost,currency\n{at.isoformat()},acme,{dollars},USD\n")


@contextmanager
def daemons(tmp_path: Path, server: SlackServer, count: int) -> Iterator[list[Daemon]]:
    file = env_file(
        tmp_path / "alertd.env",
        {
            "ALERTD_DATABASE": f"sqlite:///{tmp_path}/alertd.db",
            "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
            "ALERTD_POLL_INTERVAL": "1s",
            "ALERTD_SOURCES__BILL__KIND": "csv",
            "ALERTD_SOURCES__BILL__PATH": str(tmp_path / "bill.csv"),
            "ALERTD_SOURCES__BILL__INTERVAL": "1s",
            "ALERTD_BUDGETS__ALL__AMOUNT": "500 USD",
            "ALERTD_BUDGETS__ALL__PERIOD": "year",
            "ALERTD_BUDGETS__ALL__THRESHOLDS": '["actual 100%"]',
            "ALERTD_NOTIFIERS__OPS__KIND": "slack",
            "ALERTD_NOTIFIERS__OPS__BOT_TOKEN": TOKEN,
            "ALERTD_NOTIFIERS__OPS__APP_TOKEN": APP_TOKEN,
            "ALERTD_NOTIFIERS__OPS__CHANNEL": "#ops",
            "ALERTD_NOTIFIERS__OPS__USERS": json.dumps([ANA]),
            "ALERTD_NOTIFIERS__OPS__API_URL": server.api_url,
        },
    )
    running = [Daemon(file) for _ in range(count)]
    try:
        yield running
        assert [daemon.stop()[0] for daemon in running] == [0] * count
    finally:
        for daemon in running:
            daemon.kill()


def press(message: dict[str, Any], name: str, user: str) -> dict[str, Any]:
    found = button(message, name)
    return {
        "type": "block_actions",
        "api_app_id": APP_ID,
        "user": {"id": user, "username": user[5:].lower()},
        "container": {"message_ts": message["ts"], "channel_id": message["channel"]},
        "channel": {"id": message["channel"]},
        "message": {"ts": message["ts"]},
        "actions": [{**found, "action_ts": f"{time.time():.6f}"}],
    }


def shown(server: SlackServer, message: dict[str, Any]) -> dict[str, Any]:
    """A message as it reads by now."""
    return next(one for one in roots(server) if one["ts"] == message["ts"])


def test_two_replicas_one_message_and_a_press_that_either_hears(tmp_path: Path) -> None:
    spent(tmp_path / "bill.csv", 5)
    with SocketServer() as socket, SlackServer() as server:
        server.socket_url = socket.url
        with daemons(tmp_path, server, 2):
            wait_for("the first summary", lambda: any("started watching" in words(one) for one in server.messages))
            spent(tmp_path / "bill.csv", 600)
            wait_for("the alert", lambda: any("is over" in words(one) for one in server.messages[1:]))
            wait_for("two connections", lambda: len(socket.alive) == 2)
            root = wait_for(
                "buttons", lambda: next((one for one in roots(server) if "Acknowledge" in words(one)), None)
            )
            socket.press(press(root, "ack", BEN), on=0)
            wait_for("an answer", lambda: server.whispers)
            assert "not allowed to press" in server.whispers[0]["text"]
            acknowledged = press(root, "ack", ANA)
            number = socket.press(acknowledged, on=1)
            socket.press(acknowledged, on=0, envelope_id=number)
            wait_for("it is shown", lambda: f"acknowledged by ana (slack:{ANA})" in words(shown(server, root)))
            assert [one["text"] for one in server.whispers[1:]] == ["You acknowledged it."]
            assert socket.acknowledged[number] < 3
            others = [one for one in roots(server) if one["ts"] != root["ts"]]
            assert all("Two alertd use one SQLite file" in words(one) for one in others)  # which these two do
            assert len([one for one in server.messages if "is over" in words(one) and "thread_ts" in one]) == 1
    assert server.mentions == []
