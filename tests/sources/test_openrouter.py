"""OpenRouter: today by key, finished days by model, and nothing lost at midnight."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from alertd.sources.openrouter import Options, build
from tests.servers.billing import Asked, Reply, serving
from tests.servers.source_ledger import SourceLedger

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


def key(name: str = "ci", daily: Any = 1.25, **fields: Any) -> dict[str, Any]:
    return {
        "hash": f"hash-of-{name}", "label": "sk-or-v1-0e6...1c96", "name": name, "disabled": False, "limit": 100,
        "limit_remaining": 74.5, "limit_reset": "monthly", "usage": 255.1, "usage_daily": daily, "usage_weekly": 9.8,
        "usage_monthly": 25.5, "byok_usage": 0, "byok_usage_daily": 0.5, "byok_usage_monthly": 0,
        "created_at": "2026-08-01T10:00:00Z", "updated_at": "2026-11-19T08:00:00Z", "expires_at": None, **fields,
    }  # fmt: skip


def used(day: str = "2026-11-19", dollars: Any = 2.5, **fields: Any) -> dict[str, Any]:
    return {
        "date": f"{day} 00:00:00", "model": "openai/gpt-4o", "model_permaslug": "openai/gpt-4o-2024",
        "endpoint_id": "e", "provider_name": "OpenAI", "usage": dollars, "byok_usage_inference": 7, "requests": 3,
        "prompt_tokens": 1000, "completion_tokens": 200, "reasoning_tokens": 50, "cached_tokens": 400, **fields,
    }  # fmt: skip


class Account:
    """Keys, what each did on finished days, and what the whole account did."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.activity: dict[str, list[dict[str, Any]]] = {"": []}
        self.fault: dict[str, Reply] = {}

    def did(self, *rows: dict[str, Any], whose: str = "ci") -> None:
        self.activity.setdefault(f"hash-of-{whose}", []).extend(rows)
        self.activity[""].extend(rows)

    def __call__(self, asked: Asked) -> Reply:
        assert asked.headers["authorization"] == "Bearer sk-or-secret"
        path = asked.path.removeprefix("/api/v1/")
        if path in self.fault:
            return self.fault[path]
        if path == "keys":
            start = int(asked.one("offset"))
            return Reply({"data": self.keys[start : start + 100]})
        if path == "credits":
            return Reply({"data": {"total_credits": 100.5, "total_usage": 25.75}})
        return Reply({"data": self.activity.get(asked.one("api_key_hash"), [])})


def held(url: str, **options: Any) -> SourceLedger:
    known = {"management_key": "sk-or-secret", "url": f"{url}/api/v1", **options}
    return SourceLedger(build("openrouter", Options.model_validate(known)))


def test_today_comes_by_key_and_finished_days_by_model_with_disjoint_tokens() -> None:
    account = Account(key(), key("web", 0.1))
    account.did(used())
    with serving(account) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.error is None
    assert found.days() == {date(2026, 11, 19): Decimal("2.5"), date(2026, 11, 20): Decimal("1.35")}
    assert [found.tokens(meter) for meter in ("input", "cached_input", "output")] == [600, 400, 200]
    assert found.labels("key") == {"ci", "web"}


def test_what_deleted_keys_spent_is_nobodys_and_not_lost() -> None:
    account = Account(key())
    account.did(used(dollars=2))
    account.did(used(dollars=3), whose="deleted")
    with serving(account) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.days()[date(2026, 11, 19)] == 5
    assert found.cost(lambda series: "key" not in dict(series.labels)) == 3


def test_a_day_is_not_lost_between_midnight_and_its_activity() -> None:
    account = Account(key(daily=4))
    with serving(account) as server:
        found = held(server.url).round(SINCE, datetime(2026, 11, 19, 23, 55, tzinfo=UTC))
        account.keys = [key(daily=0.5)]
        asked = len(server.asked)
        found.round(SINCE, datetime(2026, 11, 20, 0, 5, tzinfo=UTC))
        assert [one.path.rpartition("/")[2] for one in server.asked[asked:]] == ["keys", "activity", "credits"]
        assert found.days() == {date(2026, 11, 19): Decimal(4), date(2026, 11, 20): Decimal("0.5")}
        account.did(used(dollars=4.25))
        found.round(SINCE, datetime(2026, 11, 20, 1, 5, tzinfo=UTC))
        assert found.days() == {date(2026, 11, 19): Decimal("4.25"), date(2026, 11, 20): Decimal("0.5")}
        before = sum("activity" in asked.path for asked in server.asked)
        found.round(SINCE, datetime(2026, 11, 20, 1, 10, tzinfo=UTC))
        assert sum("activity" in asked.path for asked in server.asked) == before
    assert found.days()[date(2026, 11, 19)] == Decimal("4.25")


@pytest.mark.parametrize("dropped", ["", "key"])
def test_an_activity_that_lacks_some_of_a_day_is_filled_up_to_what_the_keys_said(dropped: str) -> None:
    account = Account(key(daily=4))
    with serving(account) as server:
        found = held(server.url, drop_labels=dropped).round(SINCE, datetime(2026, 11, 19, 23, 55, tzinfo=UTC))
        account.keys = [key(daily=0)]
        account.did(used(dollars=1))
        found.round(SINCE, datetime(2026, 11, 20, 1, 0, tzinfo=UTC))
    assert found.days() == {date(2026, 11, 19): Decimal(4)}


def test_use_of_own_keys_counts_only_where_it_is_asked_for() -> None:
    account = Account(key())
    account.did(used())
    with serving(account) as server:
        assert held(server.url).round(SINCE, NOW).cost() == Decimal("3.75")
        assert held(server.url, byok="true").round(SINCE, NOW).cost() == Decimal("11.25")


def test_all_pages_of_keys_are_read() -> None:
    with serving(Account(*[key(f"k{number}", 0.01) for number in range(150)])) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.cost() == Decimal("1.50")


def test_a_filter_that_is_ignored_is_noticed() -> None:
    account = Account(key(), key("web"))
    account.did(used())
    account.activity["hash-of-web"] = account.activity[""]
    with serving(account) as server:
        found = held(server.url).round(SINCE, NOW)
    assert "spent more on openai/gpt-4o than the account" in str(found.error)
    assert not found.readings


@pytest.mark.parametrize(
    ("where", "reply", "said"),
    [
        ("keys", Reply({"error": {"code": 401, "message": "no"}}, 401), "401"),
        ("keys", Reply({"error": {"code": 403, "message": "not a management key"}}, 403), "403"),
        ("activity", Reply({"error": {"code": 429, "message": "slow"}}, 429, {"Retry-After": "9"}), "429"),
        ("activity", Reply({"error": {"code": 500, "message": "oh"}}), "data is missing"),
        ("keys", Reply({"data": [key(daily=None)]}), "usage_daily is missing"),
    ],
)
def test_a_fault_changes_nothing_and_says_why(where: str, reply: Reply, said: str) -> None:
    account = Account(key())
    account.did(used())
    with serving(account) as server:
        found = held(server.url).round(SINCE, NOW)
        before = dict(found.buckets)
        account.fault[where] = reply
        found.round(SINCE, NOW + timedelta(days=1))
    assert said in str(found.error)
    assert "sk-or-secret" not in repr(found.error)
    assert found.buckets == before


def test_a_look_says_what_is_left_of_the_credit() -> None:
    with serving(Account(key())) as server:
        source = held(server.url).source

        async def look() -> str:
            try:
                return (await source.look(NOW)).summary
            finally:
                await source.close()

        said = asyncio.run(look())
    assert said == (
        "74.75 USD of credit left, which lasts about 34 days at this week's pace; 1 key spent 25.50 USD this month,"
        " 1.25 today"
    )
