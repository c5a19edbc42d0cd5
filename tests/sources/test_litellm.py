"""LiteLLM: a day split over pages is one day, cached tokens are within the prompt, its spend is no cost."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.clients.json_fields import Fields
from alertd.core.ledger.columns import SeriesRow
from alertd.core.pricing.source_roles import counting
from alertd.sources.litellm import Options, Who, _add, build
from tests.servers.billing import Asked, Reply, serving
from tests.servers.source_ledger import SourceLedger

SINCE = datetime(2026, 11, 18, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
HASH = "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b"


def metrics(prompt: int = 120000, output: int = 15000, read: int = 80000, spend: float = 1.2345) -> dict[str, Any]:
    return {
        "spend": spend, "prompt_tokens": prompt, "completion_tokens": output, "cache_read_input_tokens": read,
        "cache_creation_input_tokens": 0, "total_tokens": prompt + output, "successful_requests": 56,
        "failed_requests": 1, "api_requests": 57,
    }  # fmt: skip


def model(whole: dict[str, Any], alias: str | None = "ci", **keys: dict[str, Any]) -> dict[str, Any]:
    about = {"key_alias": alias, "team_id": "team-a"}
    told = {name: {"metrics": part, "metadata": about} for name, part in keys.items()}
    return {"metrics": whole, "metadata": {}, "api_key_breakdown": told}


def day(name: str = "2026-11-19", providers: tuple[str, ...] = ("openai",), **models: dict[str, Any]) -> dict[str, Any]:
    parts = {"models": models, "model_groups": {}, "providers": {name: {"metrics": {}} for name in providers},
             "api_keys": {}, "entities": {}}  # fmt: skip
    return {"date": name, "metrics": metrics(), "breakdown": parts}


def pages(*results: list[dict[str, Any]], more_at_end: bool = False) -> Any:
    def answer(asked: Asked) -> Reply:
        assert asked.path == "/user/daily/activity"
        assert asked.headers["authorization"] == "Bearer sk-master"
        number = int(asked.one("page"))
        shown = results[number - 1] if number <= len(results) else []
        more = number < len(results) or more_at_end
        about = {"total_spend": 1, "page": number, "total_pages": len(results), "has_more": more}
        return Reply({"results": shown, "metadata": about})

    return answer


def held(url: str, **options: Any) -> SourceLedger:
    return SourceLedger(build("gateway", Options.model_validate({"api_key": "sk-master", "url": url, **options})))


def test_a_day_that_is_split_over_pages_adds_up() -> None:
    with serving(pages([day(gpt=model(metrics()))], [day(gpt=model(metrics(prompt=10, output=5, read=0)))])) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.error is None
    assert [found.tokens(meter) for meter in ("input", "cached_input", "output")] == [40_010, 80_000, 15_005]
    assert found.days() == {date(2026, 11, 19): Decimal("2.469")}


def test_keys_are_shown_by_alias_and_never_by_their_hash() -> None:
    with serving(
        pages([day(gpt=model(metrics(), **{HASH: metrics(prompt=100, output=50, read=0, spend=0.1)}))])
    ) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.tokens("output", lambda key: dict(key.labels).get("key") == "ci") == 50
    assert found.tokens("output") == 15_000
    assert found.labels("team") == {"team-a", ""}
    with serving(pages([day(gpt=model(metrics(), None, **{HASH: metrics()}))])) as server:
        bare = held(server.url).round(SINCE, NOW)
    assert HASH not in repr(bare.buckets)
    assert bare.labels("key") == {HASH[:8]}


def test_what_the_proxy_spent_by_its_own_reckoning_never_counts() -> None:
    with serving(pages([day(gpt=model(metrics()))])) as server:
        found = held(server.url).round(SINCE, NOW)
    keys = {key for key, _, _ in found.buckets}
    rows = [SeriesRow(0, "gateway", key.line.provider, key.line.model, key.line.meter, (), "", dict(key.labels),
                      key.billed) for key in keys]  # fmt: skip
    counts = counting(rows, {})
    assert {bool(row.billed): counts(row) for row in rows} == {True: False, False: True}
    assert not counting([row for row in rows if row.billed], {})(next(row for row in rows if row.billed))


def test_one_provider_is_known_several_are_left_to_the_models_names() -> None:
    one, two = day(gpt=model(metrics())), day(providers=("openai", "azure"), gpt=model(metrics()))
    for result, provider in ((one, "openai"), (two, "")):
        with serving(pages([result])) as server:
            found = held(server.url).round(SINCE, NOW)
        assert {key.line.provider for key, _, _ in found.buckets} == {provider}


def test_a_proxy_that_counts_cached_tokens_beside_the_prompt_is_believed() -> None:
    with serving(pages([day(claude=model(metrics(prompt=10, read=80000)))])) as server:
        found = held(server.url).round(SINCE, NOW)
    assert (found.tokens("input"), found.tokens("cached_input")) == (10, 80_000)


def test_today_grows_and_yesterday_is_read_again_just_after_midnight() -> None:
    with serving(pages([day(name="2026-11-20", gpt=model(metrics()))])) as server:
        found = held(server.url).round(SINCE, NOW)
        found.round(SINCE, NOW + timedelta(minutes=1))
        assert server.asked[-1].one("start_date") == "2026-11-20"
        assert found.tokens("output") == 15_000
        found.cursor = None
        found.round(SINCE, datetime(2026, 11, 21, 0, 1, tzinfo=UTC))
        found.round(SINCE, datetime(2026, 11, 21, 0, 2, tzinfo=UTC))
    assert server.asked[-1].one("start_date") == "2026-11-20"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (
            Reply({"error": {"message": "Key is blocked", "type": "auth_error", "param": "None", "code": "401"}}, 401),
            "401",
        ),
        (Reply({"detail": {"error": "No connected db."}}, 500), "answers 500; the server's answer is not shown"),
        (Reply({"error": "something"}), "results is missing"),
        (Reply({"results": [], "metadata": {"has_more": True}}), "says that there is more"),
        (Reply("<html>"), "web page"),
    ],
)
def test_a_page_lost_lowers_nothing_and_says_why(reply: Reply, said: str) -> None:
    whole = pages([day(gpt=model(metrics()))], [day(gpt=model(metrics()))])
    with serving(whole) as server:
        found = held(server.url).round(SINCE, NOW)
        before = dict(found.buckets)
    with serving(lambda asked: reply if asked.one("page") == "2" else whole(asked)) as server:
        again = held(server.url)
        again.cursor, again.buckets = None, dict(before)
        again.round(SINCE, NOW)
    assert said in str(again.error)
    assert "sk-master" not in repr(again.error)
    assert again.buckets == before
    assert again.warnings


@given(parts=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=6))
def test_however_a_day_is_cut_into_pages_its_tokens_are_the_same(parts: list[tuple[int, int]]) -> None:
    counts: dict[Who, Counter[str]] = {}
    for prompt, output in parts:
        page = {"results": [day(gpt=model(metrics(prompt=prompt, output=output, read=0)))]}
        _add(counts, Fields(json.loads(json.dumps(page), parse_float=Decimal), "page"), "")
    (count,) = counts.values()
    assert count["prompt_tokens"] == sum(prompt for prompt, _ in parts)
    assert count["completion_tokens"] == sum(output for _, output in parts)
