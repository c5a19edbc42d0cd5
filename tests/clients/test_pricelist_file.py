"""genai-prices' data at an address, kept in a file: whole or not at all, and no oftener than asked."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alertd.clients.price_files import price_list_file
from alertd.ports import SourceError
from tests.servers.billing import Reply, serving

RAW = [
    {
        "id": f"seller-{number}", "name": "Seller", "api_pattern": "seller",
        "models": [{"id": "zork", "match": {"equals": "zork"}, "prices": {"input_mtok": 7}}],
    }
    for number in range(6)
]  # fmt: skip
DAY = timedelta(days=1)


def refresh(url: str, file: Path, now: datetime, every: timedelta = DAY) -> int:
    async def fetched() -> int:
        fetching = price_list_file(url, file)
        try:
            return await fetching.refresh(every, now)
        finally:
            await fetching.close()

    return asyncio.run(fetched())


def test_a_list_is_fetched_when_it_is_due_and_not_before(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    with serving(lambda _: Reply(json.dumps(RAW))) as server:
        now = datetime.now(UTC)
        counts = [refresh(server.url, file, at) for at in (now, now + timedelta(hours=1), now + DAY * 2)]
        assert counts == [6, 0, 6]
        assert len(server.asked) == 2
    assert json.loads(file.read_text()) == RAW
    assert [one.name for one in tmp_path.iterdir()] == ["prices.json"]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply("<html>"), "is no data of genai-prices"),
        (Reply("[]"), "has 0 providers"),
        (Reply("{}", status=503), "503"),
    ],
    ids=["page", "empty", "unavailable"],
)
def test_what_is_no_list_leaves_the_old_one(tmp_path: Path, reply: Reply, said: str) -> None:
    file = tmp_path / "prices.json"
    file.write_text("as it was")
    with serving(lambda _: reply) as server, pytest.raises(SourceError, match=said):
        refresh(server.url, file, datetime.now(UTC), timedelta(0))
    assert file.read_text() == "as it was"


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with serving(lambda _: Reply(json.dumps(RAW))) as server, pytest.raises(SourceError, match="cannot be written"):
        refresh(server.url, tmp_path / "none" / "prices.json", datetime.now(UTC))
