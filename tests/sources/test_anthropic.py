"""Anthropic: disjoint counts, cents as text, and money per key from the beta where it is asked for."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from alertd.sources.anthropic import Options, build
from tests.servers.billing import Asked, Reply, serving
from tests.servers.source_ledger import SourceLedger

SINCE = datetime(2026, 11, 14, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


def usage(hour: int = 8, **fields: Any) -> dict[str, Any]:
    result = {
        "uncached_input_tokens": 1500, "cache_read_input_tokens": 200,
        "cache_creation": {"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 1000},
        "output_tokens": 500, "server_tool_use": {"web_search_requests": 10}, "api_key_id": "apikey_01Rj",
        "workspace_id": None, "model": "claude-sonnet-4-5-20250929", "service_tier": "standard",
        "context_window": "0-200k", "inference_geo": "not_available", **fields,
    }  # fmt: skip
    return {"starting_at": f"2026-11-19T{hour:02}:00:00Z", "ending_at": f"2026-11-19T{hour + 1:02}:00:00Z",
            "results": [result]}  # fmt: skip


def cost(*results: dict[str, Any], day: int = 19) -> dict[str, Any]:
    return {"starting_at": f"2026-11-{day}T00:00:00Z", "ending_at": f"2026-11-{day + 1}T00:00:00Z",
            "results": list(results)}  # fmt: skip


def line(amount: str = "12378.65", **fields: Any) -> dict[str, Any]:
    return {
        "currency": "USD", "amount": amount, "workspace_id": "wrkspc_01J",
        "description": "Claude Sonnet 4.5 Usage - Input Tokens", "cost_type": "tokens",
        "model": "claude-sonnet-4-5-20250929", "service_tier": "standard", "token_type": "uncached_input_tokens",
        "context_window": "0-200k", **fields,
    }  # fmt: skip


class Organization:
    """Both reports in pages of one bucket, the analytics in one page, and the names."""

    def __init__(self, *used: dict[str, Any], costs: tuple[dict[str, Any], ...] = ()) -> None:
        self.reports = {"usage_report/messages": list(used), "cost_report": list(costs)}
        self.analytics: list[dict[str, Any]] = []
        self.fault: dict[tuple[str, str], Reply] = {}

    def __call__(self, asked: Asked) -> Reply:
        assert (asked.headers["x-api-key"], asked.headers["anthropic-version"]) == ("sk-ant-admin-x", "2023-06-01")
        path = asked.path.removeprefix("/v1/organizations/")
        if (path, asked.one("page")) in self.fault:
            return self.fault[path, asked.one("page")]
        if path in {"api_keys", "workspaces"}:
            row = {"api_keys": ("apikey_01Rj", "ci"), "workspaces": ("wrkspc_01J", "research")}[path]
            return Reply({"data": [dict(zip(("id", "name"), row, strict=True))], "has_more": False, "last_id": row[0]})
        if path == "analytics/cost":
            assert asked.headers["anthropic-beta"] == "analytics-usage-cost-2026-08-24"
            return Reply({"data": self.analytics, "has_more": False, "next_page": None,
                          "data_refreshed_at": "2026-11-20T09:00:00Z"})  # fmt: skip
        start, end = asked.one("starting_at"), asked.one("ending_at")
        buckets = [bucket for bucket in self.reports[path] if start <= bucket["starting_at"] < end]
        number = int(asked.one("page") or 0)
        more = number + 1 < len(buckets)
        return Reply({"data": buckets[number : number + 1], "has_more": more,
                      "next_page": str(number + 1) if more else None})  # fmt: skip


def held(url: str, **options: Any) -> SourceLedger:
    return SourceLedger(
        build("anthropic", Options.model_validate({"admin_key": "sk-ant-admin-x", "url": url, **options}))
    )


def test_the_four_counts_of_input_are_disjoint_and_caches_are_told_by_their_lifetime() -> None:
    with serving(Organization(usage())) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.error is None
    assert [found.tokens(meter) for meter in ("input", "cached_input", "cache_write", "output")] == [
        1500, 200, 1500, 500,
    ]  # fmt: skip
    assert found.tokens("cache_write", lambda key: dict(key.line.modifiers)["cache_ttl"] == "1h") == 1000
    assert (found.labels("workspace"), found.labels("key")) == ({"default"}, {"ci"})


@pytest.mark.parametrize(
    ("fields", "meter", "modifiers"),
    [
        ({"service_tier": "batch"}, "batch_input", {"context": "0-200k"}),
        ({"service_tier": "priority"}, "input", {"context": "0-200k", "tier": "priority"}),
        ({"context_window": "200k-1M"}, "input", {"context": "200k-1M"}),
        ({"inference_geo": "us"}, "input", {"context": "0-200k", "region": "us"}),
        ({"service_tier": "brand_new"}, "input", {"context": "0-200k", "tier": "brand_new"}),
    ],
)
def test_what_a_price_depends_on_is_kept(fields: dict[str, str], meter: str, modifiers: dict[str, str]) -> None:
    with serving(Organization(usage(**fields))) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.tokens(meter, lambda key: dict(key.line.modifiers) == modifiers) == 1500


def test_amounts_are_cents_and_exact() -> None:
    with serving(Organization(costs=(cost(line()), cost(line("0.001"), day=18)))) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.days() == {date(2026, 11, 18): Decimal("0.00001"), date(2026, 11, 19): Decimal("123.7865")}
    assert found.labels("workspace") == {"research"}


def test_what_is_not_tokens_is_a_charge_of_its_own() -> None:
    search = line("1000", cost_type="web_search", description="Web Search Usage", model=None)
    session = line("200", cost_type="session_usage", description="Session", model=None)
    with serving(Organization(costs=(cost(line("300"), search, session),))) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.labels("charge") == {"", "web_search", "session_usage"}
    assert found.cost(lambda key: "charge" not in dict(key.labels)) == 3


def test_with_analytics_money_comes_per_key_and_not_from_the_cost_report_too() -> None:
    org = Organization(usage(), costs=(cost(line()),))
    group = {"api_key_id": "apikey_01Rj", "workspace_id": None, "model": "claude-sonnet-4-5", "cost_type": "tokens"}
    money = {"amount": "1234.5", "list_amount": "1500.0", "currency": "USD", "requests": 12}
    org.analytics = [{"starting_at": "2026-11-19T00:00:00Z", "ending_at": "2026-11-20T00:00:00Z", "group": group,
                      "cost": money}]  # fmt: skip
    with serving(org) as server:
        found = held(server.url, analytics="true").round(SINCE, NOW)
        assert not any(asked.path.endswith("cost_report") for asked in server.asked)
    assert found.cost() == Decimal("12.345")
    assert found.cost(lambda key: dict(key.labels)["key"] == "ci") == Decimal("12.345")


def test_a_correction_replaces_and_a_second_reading_changes_nothing() -> None:
    org = Organization(usage(), costs=(cost(line("100")),))
    with serving(org) as server:
        found = held(server.url).round(SINCE, NOW)
        once = dict(found.buckets)
        assert held(server.url).round(SINCE, NOW).buckets == once
        org.reports["cost_report"] = [cost(line("90"))]
        found.round(SINCE, NOW + timedelta(minutes=5))
    assert found.cost() == Decimal("0.9")


@pytest.mark.parametrize(
    ("where", "fault", "said"),
    [
        (("usage_report/messages", "1"), Reply({"type": "error", "error": {"type": "rate_limit_error"}}, 429), "429"),
        (("usage_report/messages", "1"), Reply({"type": "error", "error": {"type": "overloaded_error"}}, 529), "529"),
        (("usage_report/messages", "1"), Reply({"type": "error", "error": {"message": "x"}}), "data is missing"),
        (("cost_report", ""), Reply({"type": "error", "error": {"type": "permission_error"}}, 403), "403"),
        (
            ("cost_report", ""),
            Reply({"data": [cost(line("n/a"))], "has_more": False}),
            "a text of 3 characters, not a number",
        ),
        (("cost_report", ""), Reply({"data": [cost(line(currency="credits"))], "has_more": False}), "is no currency"),
    ],
)
def test_a_page_lost_lowers_nothing_and_says_why(where: tuple[str, str], fault: Reply, said: str) -> None:
    org = Organization(usage(8), usage(9), costs=(cost(line()),))
    with serving(org) as server:
        whole = held(server.url).round(SINCE, NOW)
        before = dict(whole.buckets)
        org.fault[where] = fault
        whole.round(SINCE, NOW + timedelta(minutes=5))
        fresh = held(server.url).round(SINCE, NOW)
    assert said in str(whole.error)
    assert "sk-ant-admin-x" not in repr(whole.error)
    assert whole.buckets == before
    assert fresh.warnings
    assert fresh.cursor == ""
