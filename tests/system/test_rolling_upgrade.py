"""Two replicas on one PostgreSQL, replaced one by one under traffic: the old one works on beside the new one."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

from alertd.stores import postgres
from alertd.stores.migrations import MIGRATIONS
from alertd.stores.urls import read_url
from tests import databases
from tests.servers.gateway import serving_gateway
from tests.servers.webhook import WebhookServer
from tests.system.daemon import Daemon, env_file, wait_for

#: A checkout of the release before, to be upgraded from; else the program of today with the schema of before.
PREVIOUS = os.environ.pop("ALERTD_TEST_PREVIOUS", "")


def yesterday(file: Path) -> Daemon:
    if PREVIOUS:
        return Daemon(file, checkout=Path(PREVIOUS))
    return Daemon(file, program=("-m", "tests.system.previous_version"))


async def schema_of(url: str) -> int:
    """The schema's number, asked without bringing it forward."""
    database = postgres.PostgresDatabase(read_url(url))
    try:
        ((number,),) = await database.read(lambda tx: tx.rows("SELECT max(number) FROM migration"))
        return int(number)
    finally:
        await database.close()


def spent(daemon: Daemon) -> int:
    found = (daemon.get("/api/v1/budgets") or {}).get("budgets") or [{}]
    return int(found[0].get("spent") or 0)


def troubles(daemon: Daemon) -> list[str]:
    return [line["message"] for line in daemon.lines if line.get("level") in {"warning", "error"}]


async def test_the_old_version_works_on_beside_the_new_one_and_nothing_is_lost_or_told_twice(
    postgres_url: str, tmp_path: Path
) -> None:
    with databases.schema(postgres_url) as url, serving_gateway() as (gateway, server), WebhookServer() as hook:
        gateway.token = "first"
        (tmp_path / "token").write_text("first")
        gateway.step = 100_000
        base = gateway.tokens + gateway.step
        file = env_file(
            tmp_path / "alertd.env",
            {
                "ALERTD_DATABASE": url,
                "ALERTD_POLL_INTERVAL": "1s",
                "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
                "ALERTD_SOURCES__GATEWAY__KIND": "scrape",
                "ALERTD_SOURCES__GATEWAY__URL": f"{server.url}/metrics",
                "ALERTD_SOURCES__GATEWAY__PRESET": "vllm",
                "ALERTD_SOURCES__GATEWAY__TOKEN_FILE": str(tmp_path / "token"),
                "ALERTD_BUDGETS__ALL__AMOUNT": "10M tokens",
                "ALERTD_BUDGETS__ALL__THRESHOLDS": json.dumps([f"actual {level}%" for level in range(2, 100, 2)]),
                "ALERTD_NOTIFIERS__HOOK__KIND": "webhook",
                "ALERTD_NOTIFIERS__HOOK__URL": hook.url,
            },
        )
        old = yesterday(file)
        try:
            wait_for("the old one's figures", lambda: spent(old))
            assert await schema_of(url) == len(MIGRATIONS) - 1
            new = Daemon(file)
            try:
                wait_for("the new one's figures", lambda: spent(new))
                assert await schema_of(url) == len(MIGRATIONS)
                together = spent(old)
                wait_for("a million more, seen by the old one", lambda: spent(old) > together + 1_000_000)
                assert old.stop()[0] == 0
                alone = spent(new)
                wait_for("more, seen by the new one alone", lambda: spent(new) > alone + 500_000)
                gateway.step = 0
                # The first look at the page is the base; every token after it is counted, by whichever replica.
                wait_for("the last token", lambda: spent(new) == gateway.tokens - base)
                due = {level for level in range(2, 100, 2) if gateway.tokens - base >= level * 100_000}
                wait_for("every level passed", lambda: due <= set(_levels(hook)))
            finally:
                assert new.stop()[0] == 0
        finally:
            old.kill()
    levels = _levels(hook)
    assert set(levels) == due
    assert set(levels.values()) == {1}, "every level once"
    assert [words for daemon in (old, new) for words in troubles(daemon) if "quicker" not in words] == []


def _levels(hook: WebhookServer) -> Counter[int]:
    """How often each level was told."""
    told = (event for event in hook.events.values() if event["event"] == "threshold")
    return Counter(level for event in told for level in event["levels"])
