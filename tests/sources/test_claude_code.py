"""Claude Code's analytics: tokens by person or key, page by page, a UTC day a call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alertd.sources.claude_code import Options, build
from tests.servers.billing import Asked, Reply, serving
from tests.servers.source_ledger import SourceLedger

SINCE = datetime(2026, 11, 19, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


def row(
    who: str = "ana@example.com", *, customer: str = "subscription", output: int = 1_840, **more: Any
) -> dict[str, Any]:
    """An actor at a terminal, in the form of the API's reference."""
    actor = {"type": "user_actor", "email_address": who} if "@" in who else {"type": "api_actor", "api_key_name": who}
    return {
        "date": "2026-11-19T00:00:00Z", "actor": actor, "organization_id": "org", "customer_type": customer,
        "subscription_type": None, "terminal_type": "vscode", "core_metrics": {"num_sessions": 3},
        "model_breakdown": [{
            "model": "claude-sonnet-4-5", "estimated_cost": {"currency": "USD", "amount": 1025},
            "tokens": {"input": 1_200, "output": output, "cache_read": 39_000, "cache_creation": 5_000},
        }], **more,
    }  # fmt: skip


class Organization:
    """Rows by UTC day, two a page."""

    def __init__(self, **days: list[dict[str, Any]]) -> None:
        self.days = days

    def __call__(self, asked: Asked) -> Reply:
        assert asked.headers["x-api-key"] == "sk-ant-admin-x"
        rows, start = self.days.get(f"d{asked.one('starting_at')[-2:]}", []), int(asked.one("page") or 0)
        more = len(rows) > start + 2
        following = str(start + 2) if more else None
        return Reply({"data": rows[start : start + 2], "has_more": more, "next_page": following})


def held(url: str, **options: Any) -> SourceLedger:
    return SourceLedger(build("code", Options.model_validate({"admin_key": "sk-ant-admin-x", "url": url, **options})))


def test_tokens_are_disjoint_and_those_of_a_persons_terminals_add_up_over_pages() -> None:
    there = Organization(d19=[row(), row("ci"), row(terminal_type="iTerm.app"), row("ben@example.com", output=10)])
    with serving(there) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.error is None
    assert [found.tokens(meter) for meter in ("input", "cached_input", "cache_write", "output")] == [
        4_800, 156_000, 20_000, 5_530]  # fmt: skip
    assert found.tokens("output", lambda key: dict(key.labels).get("user") == "ana@example.com") == 3_680
    assert found.labels("key") == {"ci", ""}
    assert [asked.one("starting_at") for asked in server.asked] == ["2026-11-19", "2026-11-19", "2026-11-20"]


@pytest.mark.parametrize(("customers", "output"), [("all", 30), ("api", 10), ("subscription", 20)])
def test_only_the_customers_asked_for_count(customers: str, output: int) -> None:
    there = Organization(d19=[row(customer="api", output=10), row(output=20)])
    with serving(there) as server:
        found = held(server.url, customers=customers).round(SINCE, NOW)
    assert found.tokens("output") == output


def test_a_row_without_an_actor_counts_and_is_nobodys() -> None:
    with serving(Organization(d19=[row(actor=None)])) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.tokens("output") == 1_840
    assert found.labels("user") == {""}


def test_today_grows_and_is_counted_once() -> None:
    there = Organization(d20=[row(output=10)])
    with serving(there) as server:
        found = held(server.url).round(SINCE, NOW)
        there.days["d20"] = [row(output=25)]
        found.round(SINCE, NOW + timedelta(hours=1))
    assert found.tokens("output") == 25


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply({"error": {"type": "authentication_error", "message": "no"}}, 401), "401"),
        (Reply({"has_more": False}), "data is missing"),
        (Reply({"data": [row(output=-1)], "has_more": False, "next_page": None}), "output"),
    ],
)
def test_what_is_not_as_it_is_known_is_an_error_and_no_empty_day(reply: Reply, said: str) -> None:
    with serving(lambda _: reply) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.error is not None
    assert said in str(found.error)
    assert "sk-ant-admin-x" not in str(found.error)
