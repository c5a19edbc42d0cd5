"""OpenAI: cached tokens are within the input, dollars are numbers or texts, and a day is corrected late."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from alertd.core.ledger.columns import SeriesRow
from alertd.core.pricing.source_roles import counting
from alertd.sources.openai import Options, build
from tests.servers.billing import Asked, Reply, serving
from tests.servers.source_ledger import SourceLedger

SINCE = datetime(2026, 11, 10, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
HOUR = datetime(2026, 11, 19, 8, tzinfo=UTC)


def usage(at: datetime = HOUR, **fields: Any) -> dict[str, Any]:
    result = {
        "object": "organization.usage.completions.result", "input_tokens": 120000, "input_cached_tokens": 80000,
        "input_uncached_tokens": 39000, "input_cache_write_tokens": 1000, "output_tokens": 15000,
        "input_audio_tokens": 0, "output_audio_tokens": 0, "num_model_requests": 57, "project_id": "proj_abc",
        "user_id": None, "api_key_id": "key_1", "model": "gpt-4o-2024-08-06", "batch": False,
        "service_tier": "default", **fields,
    }  # fmt: skip
    start = int(at.timestamp())
    return {"object": "bucket", "start_time": start, "end_time": start + 3600, "results": [result]}


def cost(day: int = 19, value: Any = 0.4125, **fields: Any) -> dict[str, Any]:
    result = {
        "object": "organization.costs.result", "amount": {"value": value, "currency": "usd"},
        "line_item": "gpt-4o-2024-08-06, input", "project_id": "proj_abc", "api_key_id": None, "quantity": 165000,
        "quantity_unit": "tokens", **fields,
    }  # fmt: skip
    start = int(datetime(2026, 11, day, tzinfo=UTC).timestamp())
    return {"object": "bucket", "start_time": start, "end_time": start + 86400, "results": [result]}


class Organization:
    """Usage and costs in pages of one bucket, names of one project and one key."""

    def __init__(self, *used: dict[str, Any], costs: tuple[dict[str, Any], ...] = ()) -> None:
        self.used, self.costs = list(used), list(costs)
        self.fault: dict[tuple[str, str], Reply] = {}
        self.names = True

    def __call__(self, asked: Asked) -> Reply:
        assert asked.headers["authorization"] == "Bearer sk-admin-secret"
        path = asked.path.removeprefix("/v1/organization/")
        if path == "users" and self.names:
            row = {"object": "organization.user", "id": "user_1", "name": "Ana", "email": "ana@example.com"}
            return Reply({"object": "list", "data": [row], "last_id": row["id"], "has_more": False})
        if path.startswith(("projects", "users")):
            if not self.names:
                return Reply({"error": {"message": "insufficient permissions", "code": None}}, 403)
            row = {"id": "key_1", "name": "ci"} if path.endswith("api_keys") else {"id": "proj_abc", "name": "search"}
            return Reply({"object": "list", "data": [row], "last_id": row["id"], "has_more": False})
        page = asked.one("page")
        if (path, page) in self.fault:
            return self.fault[path, page]
        start, end = int(asked.one("start_time")), int(asked.one("end_time"))
        known = {"usage/completions": self.used, "costs": self.costs}.get(path, [])
        buckets = [bucket for bucket in known if start <= bucket["start_time"] < end]
        number = int(page or 0)
        more = number + 1 < len(buckets)
        return Reply({"object": "page", "data": buckets[number : number + 1], "has_more": more,
                      "next_page": str(number + 1) if more else None})  # fmt: skip


def held(url: str, **options: Any) -> SourceLedger:
    return SourceLedger(
        build("openai", Options.model_validate({"admin_key": "sk-admin-secret", "url": f"{url}/v1", **options}))
    )


def test_cached_and_written_tokens_are_taken_out_of_the_input_that_includes_them() -> None:
    with serving(Organization(usage())) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.error is None
    meters = ("input", "cached_input", "cache_write", "output")
    assert [found.tokens(meter) for meter in meters] == [39_000, 80_000, 1_000, 15_000]
    assert (found.labels("project"), found.labels("key")) == ({"search"}, {"ci"})
    assert found.labels("key_id") == {"key_1"}


def test_batch_and_flex_tokens_have_meters_and_tiers_of_their_own() -> None:
    used = [usage(batch=True), usage(at=HOUR + timedelta(hours=1), service_tier="flex")]
    with serving(Organization(*used)) as server:
        found = held(server.url).round(SINCE, NOW)
    assert (found.tokens("batch_input"), found.tokens("batch_output")) == (39_000, 15_000)
    assert found.tokens("input", lambda key: key.line.modifiers == (("tier", "flex"),)) == 39_000
    assert found.tokens("cached_input", lambda key: key.line.modifiers == (("batch", "true"),)) == 80_000


def test_more_cached_tokens_than_input_is_an_error_and_not_a_negative_price() -> None:
    with serving(Organization(usage(input_cached_tokens=200000))) as server:
        found = held(server.url).round(SINCE, NOW)
    assert "more than the 120000 that hold them" in str(found.error)


def test_dollars_are_exact_as_number_and_as_text() -> None:
    with serving(Organization(costs=(cost(value=0.1), cost(day=18, value="0.20000000001")))) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.days() == {date(2026, 11, 18): Decimal("0.2"), date(2026, 11, 19): Decimal("0.1")}


def test_only_what_the_tokens_do_not_hold_counts_beside_them() -> None:
    items = (
        cost(value=5),
        cost(day=18, value=2, line_item="web search tool calls", quantity_unit=None),
        cost(day=17, value=1, line_item="gpt-image-1, output", quantity_unit="images"),
        cost(day=16, value=4, line_item="gpt-4o fine-tuning training", quantity_unit="tokens"),
        cost(day=15, value=3, line_item="gpt-4o-search-preview, input", quantity_unit=None),
    )
    with serving(Organization(usage(), costs=items)) as server:
        found = held(server.url).round(SINCE, NOW)
    rows = [
        SeriesRow(0, key.source or "openai", key.line.provider, key.line.model, key.line.meter, (), "",
                  dict(key.labels), key.billed)
        for key in {key for key, _, _ in found.buckets}
    ]  # fmt: skip
    counts = counting(rows, {"openai": found.source.standing})  # type: ignore[attr-defined]
    billed = {row.labels["line"] for row in rows if row.billed and counts(row)}
    assert billed == {"web search tool calls", "output", "gpt-4o fine-tuning training"}
    assert all(counts(row) for row in rows if not row.billed)


def test_the_last_two_days_are_read_again_and_late_rows_correct_them() -> None:
    org = Organization(usage(), costs=(cost(value=1),))
    with serving(org) as server:
        found = held(server.url).round(SINCE, NOW)
        org.used, org.costs = [usage(output_tokens=99)], [cost(value=2), cost(day=12, value=50)]
        found.round(SINCE, NOW + timedelta(minutes=5))
    assert found.tokens("output") == 99
    assert found.cost() == 2


def test_a_bucket_that_comes_on_two_pages_counts_once() -> None:
    with serving(Organization(usage(), usage())) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.tokens("output") == 15_000


def test_an_unknown_field_and_an_empty_month_are_no_faults() -> None:
    with serving(Organization(usage(at=datetime(2026, 11, 19, tzinfo=UTC), brand_new=1))) as server:
        assert held(server.url).round(SINCE, NOW).error is None
    with serving(Organization()) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.error is None
    assert not found.buckets
    assert found.until == NOW - timedelta(minutes=15)


@pytest.mark.parametrize(
    ("where", "fault", "said"),
    [
        (("usage/completions", "1"), Reply({"error": {"message": "slow"}}, 429, {"Retry-After": "7"}), "429"),
        (("usage/completions", "1"), Reply({"error": {"code": "invalid_api_key"}}, 401), "401"),
        (("usage/completions", "1"), Reply({"object": "page", "data": [], "has_more": True}), "none is named"),
        (("usage/completions", "1"), Reply({"error": {"message": "sorry"}}), "data is missing"),
        (("costs", ""), Reply({"error": {"message": "gone"}}, 500), "500"),
    ],
)
def test_a_page_lost_leaves_a_lower_bound_that_lowers_nothing(where: tuple[str, str], fault: Reply, said: str) -> None:
    used = [usage(at=HOUR), usage(at=HOUR + timedelta(hours=1))]
    org = Organization(*used, costs=(cost(),))
    since = NOW - timedelta(days=2)
    with serving(org) as server:
        whole = held(server.url).round(since, NOW)
        org.fault[where] = fault
        fresh = held(server.url).round(since, NOW)
        before = dict(whole.buckets)
        whole.round(since, NOW + timedelta(minutes=5))
    assert said in str(fresh.error)
    assert "sk-admin-secret" not in repr(fresh.error)
    assert 0 < fresh.tokens("output") <= 30_000
    assert "only a part of" in fresh.warnings[0]
    assert whole.buckets == before


def test_without_the_right_to_read_names_ids_are_shown() -> None:
    org = Organization(usage())
    org.names = False
    with serving(org) as server:
        found = held(server.url).round(SINCE, NOW)
        assert sum("projects" in asked.path for asked in server.asked) == 2
    assert (found.labels("project"), found.labels("key")) == ({"proj_abc"}, {"key_1"})


def test_ten_days_of_hours_are_asked_for_in_weeks_and_nothing_is_left_out() -> None:
    used = [usage(at=datetime(2026, 11, day, 23, tzinfo=UTC)) for day in range(10, 20)]
    with serving(Organization(*used)) as server:
        found = held(server.url).round(SINCE, NOW)
        spans = {(asked.one("start_time"), asked.one("end_time")) for asked in server.asked if "usage" in asked.path}
        assert all(asked.query["group_by[]"] for asked in server.asked if "usage" in asked.path)
    assert found.tokens("output") == 150_000
    assert len(spans) == 2
    assert [reading.progress for reading in found.readings] == [0.5, 1.0]


def test_a_hashed_key_has_one_hash_in_usage_and_costs_and_its_name_is_nowhere() -> None:
    organization = Organization(usage(), costs=(cost(api_key_id="key_1"),))
    with serving(organization) as server:
        options = {"hash_labels": "key,key_id", "hash_secret": "0123456789abcdef"}
        found = held(server.url, **options).round(SINCE, NOW)
    for label in ("key", "key_id"):
        (hashed,) = found.labels(label)
        assert hashed.startswith("h-")
    assert {bool(key.billed) for key, _, _ in found.buckets} == {True, False}
    assert "key_1" not in str(found.buckets)
    assert found.labels("project") == {"search"}


def test_sound_and_pictures_are_lines_of_their_own_and_the_rest_is_text() -> None:
    spoken = usage(input_tokens=1_100_000, input_cached_tokens=100_000, input_cache_write_tokens=0,
                   input_audio_tokens=1_000_000, input_cached_audio_tokens=60_000, input_image_tokens=5_000,
                   output_tokens=1_100_000, output_audio_tokens=1_000_000)  # fmt: skip
    with serving(Organization(spoken)) as server:
        found = held(server.url).round(SINCE, NOW)

    def of(modality: str) -> Any:
        return lambda key: dict(key.line.modifiers).get("modality", "") == modality

    counts = {
        (meter, modality): found.tokens(meter, of(modality))
        for meter in ("input", "cached_input", "output")
        for modality in ("", "audio", "image")
    }
    assert counts == {
        ("input", ""): 55_000, ("input", "audio"): 940_000, ("input", "image"): 5_000,
        ("cached_input", ""): 40_000, ("cached_input", "audio"): 60_000, ("cached_input", "image"): 0,
        ("output", ""): 100_000, ("output", "audio"): 1_000_000, ("output", "image"): 0,
    }  # fmt: skip


@pytest.mark.parametrize(("names", "shown"), [(True, "ana@example.com"), (False, "user_1")])
def test_usage_is_told_apart_by_user_where_it_is_asked_for(*, names: bool, shown: str) -> None:
    both = usage()
    both["results"].append({**both["results"][0], "user_id": "user_1", "output_tokens": 7})
    there = Organization(both)
    there.names = names
    with serving(there) as server:
        found = held(server.url, users=True, costs=False, kinds=["completions"]).round(SINCE, NOW)
        apart = [asked for asked in server.asked if "usage" in asked.path]
    assert found.error is None
    assert found.labels("user") == {"", shown}
    assert found.tokens("output", lambda key: dict(key.labels).get("user") == shown) == 7
    assert found.tokens("output") == 15_007
    assert all("user_id" in asked.query["group_by[]"] for asked in apart)


def test_users_are_not_asked_for_unless_they_are_wanted() -> None:
    with serving(Organization(usage(user_id="user_1"))) as server:
        found = held(server.url, costs=False, kinds=["completions"]).round(SINCE, NOW)
    assert found.labels("user") == {""}
    assert not [asked for asked in server.asked if "users" in asked.path or "user_id" in str(asked.query)]
