"""The real daemon with a retention: what is older goes at its first upkeep, with the labels that nothing uses."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from alertd.core.counting.samples import Increment
from alertd.core.usage import Line
from alertd.ports import SourceRow, UsageRow
from alertd.stores.sqlite import build
from tests.servers.gateway import serving_gateway
from tests.system.daemon import Daemon, env_file, wait_for

OLD, RECENT = 300, 60


def filled(database: str) -> None:
    """A database in which ana was seen long ago, and bob long ago and lately."""

    async def fill() -> None:
        store = build(database)
        await store.open()
        now = datetime.now(UTC)
        line = Line("acme", "plain", "input")
        seen = [("ana", OLD, 3), ("bob", OLD, 5), ("bob", RECENT, 7)]
        increments = [
            Increment(line, {"user": user}, int((now - timedelta(days=days)).timestamp()) // 900 * 900, 900, n)
            for user, days, n in seen
        ]
        assert await store.commit_counters(SourceRow("other", cursor="1", until=now), increments, {})
        await store.close()

    asyncio.run(fill())


def held(database: str) -> tuple[list[UsageRow], set[str]]:
    async def read() -> tuple[list[UsageRow], set[str]]:
        store = build(database)
        await store.open()
        rows, _ = await store.usage(datetime(2020, 1, 1, tzinfo=UTC))
        users = {row.labels["user"] for row in await store.series() if "user" in row.labels}
        await store.close()
        return [row for row in rows if row.quantity in {3, 5, 7}], users

    return asyncio.run(read())


def test_usage_older_than_the_retention_is_deleted_and_what_a_forecast_learns_from_is_not(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/alertd.db"
    filled(database)
    with serving_gateway() as (_, server):
        file = env_file(
            tmp_path / "alertd.env",
            {
                "ALERTD_DATABASE": database,
                "ALERTD_RETENTION": "30d",
                "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
                "ALERTD_SOURCES__GATEWAY__KIND": "scrape",
                "ALERTD_SOURCES__GATEWAY__URL": f"{server.url}/metrics",
                "ALERTD_SOURCES__GATEWAY__PRESET": "vllm",
                "ALERTD_SOURCES__GATEWAY__TOKEN": "first",
                "ALERTD_BUDGETS__ALL__AMOUNT": "100M tokens",
            },
        )
        daemon = Daemon(file)
        said = "deleted 2 blocks, rows and series of usage"
        try:
            wait_for("its first upkeep", lambda: any(line["message"].startswith(said) for line in daemon.lines))
        finally:
            status, _ = daemon.stop()
    assert status == 0
    assert [row.quantity for row in held(database)[0]] == [7]
    assert held(database)[1] == {"bob"}
