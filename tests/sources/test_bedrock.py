"""Bedrock: every token of CloudWatch once, however often it is read, by model, profile and caller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytest.importorskip("botocore", reason="botocore is not installed (pip install alertd[aws])")

from alertd.sources._bedrock import caller, model_of_profile
from alertd.sources.bedrock import Options, build
from tests.servers.aws import Calls
from tests.servers.billing import serving
from tests.servers.source_ledger import SourceLedger

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 10, 2, tzinfo=UTC)
SONNET = "us.anthropic.claude-sonnet-4-6"


@contextmanager
def reading(calls: Calls, **options: Any) -> Iterator[SourceLedger]:
    with serving(calls) as server:
        given = {"access_key_id": "AKIA", "secret_access_key": "s" * 20, "regions": "us-east-1", "url": server.url}
        yield SourceLedger(build("aws", Options.model_validate({**given, **options})))


def test_every_class_of_tokens_is_counted_once_by_model_and_region() -> None:
    calls = Calls(NOW)
    calls.use(NOW - timedelta(days=3), SONNET, InputTokenCount=1000, OutputTokenCount=200,
              CacheReadInputTokenCount=5000, CacheWriteInputTokenCount=70)  # fmt: skip
    calls.use(NOW - timedelta(minutes=9), "amazon.nova-pro-v1:0", "eu-west-2", InputTokenCount=11)
    with reading(calls, regions="us-east-1,eu-west-2") as ledger:
        ledger.round(SINCE, NOW)
    counted = {
        (key.line.model, key.line.meter, key.line.modifiers, dict(key.labels)["region"]): n
        for (key, _, _), n in ledger.buckets.items()
    }
    london = (("region", "eu-west-2"),)
    assert counted == {
        (SONNET, "input", (), "us-east-1"): 1000,
        (SONNET, "output", (), "us-east-1"): 200,
        (SONNET, "cached_input", (), "us-east-1"): 5000,
        (SONNET, "cache_write", (), "us-east-1"): 70,
        ("amazon.nova-pro-v1:0", "input", london, "eu-west-2"): 11,
    }
    assert (ledger.error, ledger.warnings, ledger.until) == (None, (), NOW - timedelta(minutes=5))


def test_what_comes_late_is_added_once_and_what_is_read_again_changes_nothing() -> None:
    calls = Calls(NOW)
    at = NOW - timedelta(hours=2)
    calls.use(at, SONNET, InputTokenCount=1000)
    with reading(calls) as ledger:
        ledger.round(SINCE, NOW)
        calls.use(at, SONNET, InputTokenCount=30)
        for minutes in (5, 10, 15):
            calls.now = NOW + timedelta(minutes=minutes)
            calls.use(calls.now - timedelta(minutes=6), SONNET, InputTokenCount=1)
            ledger.round(SINCE, calls.now)
        assert ledger.tokens("input") == 1033
        ledger.round(SINCE, calls.now)
    assert ledger.tokens("input") == 1033
    assert calls.asked[-1][2]["StartTime"] >= (calls.now - timedelta(hours=3, minutes=15)).timestamp()


def test_a_series_that_is_cut_over_pages_is_joined_and_its_first_part_alone_is_no_whole() -> None:
    calls = Calls(NOW, page=7)
    for minute in range(0, 600, 5):
        calls.use(NOW - timedelta(minutes=minute + 10), SONNET, InputTokenCount=10)
    with reading(calls) as ledger:
        ledger.round(SINCE, NOW)
    assert (ledger.tokens("input"), ledger.warnings) == (1200, ())


@pytest.mark.parametrize("state", ["PartialData", "Forbidden", "InternalError"])
def test_what_cloudwatch_gives_in_part_is_partial_and_lowers_nothing(state: str) -> None:
    calls = Calls(NOW)
    calls.use(NOW - timedelta(minutes=30), SONNET, InputTokenCount=1000)
    with reading(calls) as ledger:
        ledger.round(SINCE, NOW)
        calls.points.clear()
        calls.use(NOW - timedelta(minutes=30), SONNET, InputTokenCount=400)
        calls.states["InputTokenCount"] = state
        ledger.round(SINCE, NOW)
    assert ledger.tokens("input") == 1000
    assert state in ledger.warnings[0]


def test_tokens_of_a_model_that_is_not_listed_yet_make_the_reading_partial() -> None:
    calls = Calls(NOW, unlisted={"amazon.nova-lite-v1:0"})
    calls.use(NOW - timedelta(minutes=30), SONNET, InputTokenCount=1000)
    calls.use(NOW - timedelta(minutes=30), "amazon.nova-lite-v1:0", InputTokenCount=500)
    with reading(calls) as ledger:
        ledger.round(SINCE, NOW)
        assert ledger.warnings == ("us-east-1: 500 input tokens are of models that CloudWatch does not list yet",)
        calls.unlisted.clear()
        ledger.round(SINCE, NOW)
    assert (ledger.tokens("input"), ledger.warnings) == (1500, ())


def test_a_model_that_cloudwatch_forgot_is_still_asked_for() -> None:
    calls = Calls(NOW)
    calls.use(NOW - timedelta(minutes=30), SONNET, InputTokenCount=1000)
    with reading(calls) as ledger:
        ledger.round(SINCE, NOW)
        calls.unlisted.add(SONNET)
        ledger.round(SINCE, NOW)
    assert (ledger.tokens("input"), ledger.warnings) == (1000, ())


def test_the_levels_of_mantles_metrics_are_not_added_up() -> None:
    calls = Calls(NOW)
    at = NOW - timedelta(hours=1)
    calls.use_mantle(at, "openai.gpt-oss-120b", "p1", "eu-north-1", TotalInputTokens=100, TotalOutputTokens=7)
    calls.use_mantle(at, "openai.gpt-oss-120b", "p2", "eu-north-1", TotalInputTokens=50, TotalOutputTokens=3)
    with reading(calls, regions="eu-north-1") as ledger:
        ledger.round(SINCE, NOW)
    assert (ledger.tokens("input"), ledger.tokens("output")) == (150, 10)
    assert ledger.labels("project") == {"p1", "p2"}
    assert {key.line.modifiers for key, _, _ in ledger.buckets} == {(("region", "eu-north-1"),)}


def test_of_two_names_of_one_metric_one_is_added() -> None:
    calls = Calls(NOW)
    calls.use(NOW - timedelta(hours=1), SONNET, CacheReadInputTokenCount=500, CacheReadInputTokens=500)
    with reading(calls) as ledger:
        ledger.round(SINCE, NOW)
    assert ledger.tokens("cached_input") == 500


def test_images_are_counted_as_what_has_no_price_and_not_left_out() -> None:
    calls = Calls(NOW)
    calls.use(NOW - timedelta(hours=1), "amazon.nova-canvas-v1:0", OutputImageCount=4)
    with reading(calls) as ledger:
        ledger.round(SINCE, NOW)
    assert ledger.tokens("images") == 4


def profile(name: str, *arns: str) -> dict[str, Any]:
    return {"inferenceProfileName": name, "inferenceProfileId": f"id-{name}", "type": "APPLICATION", "status": "ACTIVE",
            "inferenceProfileArn": f"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/id-{name}",
            "models": [{"modelArn": arn} for arn in arns]}  # fmt: skip


def foundation(region: str, model: str = "anthropic.claude-sonnet-4-6") -> str:
    return f"arn:aws:bedrock:{region}::foundation-model/{model}"


@pytest.mark.parametrize("whole_arn", [False, True], ids=["by id", "by ARN"])
def test_an_application_profile_is_priced_as_its_model_and_carries_name_and_tags(whole_arn: bool) -> None:  # noqa: FBT001
    calls = Calls(NOW, profiles=[profile("search", foundation("us-east-1"), foundation("us-west-2"))])
    arn = calls.profiles[0]["inferenceProfileArn"]
    calls.tags[arn] = {"team": "search", "secret-project": "x"}
    calls.use(NOW - timedelta(hours=1), arn if whole_arn else "id-search", InputTokenCount=100)
    with reading(calls, tags="team") as ledger:
        ledger.round(SINCE, NOW)
    ((key, _, _),) = ledger.buckets
    assert (key.line.model, dict(key.labels)) == (
        SONNET, {"profile": "search", "region": "us-east-1", "team": "search"},
    )  # fmt: skip


def test_a_profile_that_nobody_knows_keeps_its_id_so_that_it_is_told_as_unpriced() -> None:
    calls = Calls(NOW)
    calls.use(NOW - timedelta(hours=1), "id-unknown", InputTokenCount=100)
    with reading(calls) as ledger:
        ledger.round(SINCE, NOW)
        ledger.round(SINCE, NOW)
    assert {key.line.model for key, _, _ in ledger.buckets} == {"id-unknown"}
    assert [operation for _, operation, _ in calls.asked].count("/inference-profiles") == 1


@pytest.mark.parametrize(
    ("arns", "model"),
    [
        ([foundation("us-east-1")], "anthropic.claude-sonnet-4-6"),
        ([foundation("eu-west-1"), foundation("eu-north-1")], "eu.anthropic.claude-sonnet-4-6"),
        ([foundation("ap-south-1"), foundation("ap-northeast-1")], "apac.anthropic.claude-sonnet-4-6"),
        ([foundation(""), foundation("us-east-1")], "global.anthropic.claude-sonnet-4-6"),
        ([foundation("us-east-1"), foundation("us-east-1", "amazon.nova-pro-v1:0")], ""),
        (["not an ARN"], ""),
    ],
)
def test_the_model_of_a_profile_says_where_it_may_run(arns: list[str], model: str) -> None:
    assert model_of_profile(arns) == model


ROLE = "arn:aws:sts::123456789012:assumed-role/gateway/ana"
USER = "arn:aws:iam::123456789012:user/BedrockAPIKey-x1"


@pytest.mark.parametrize(
    ("arn", "labels"),
    [
        (ROLE, {"role": "gateway", "session": "ana", "key": "gateway"}),
        (USER, {"user": "BedrockAPIKey-x1", "key": "BedrockAPIKey-x1"}),
        ("arn:aws:iam::123456789012:root", {"key": "root"}),
    ],
)
def test_a_callers_arn_says_role_session_and_user(arn: str, labels: dict[str, str]) -> None:
    assert caller(arn) == labels


@pytest.mark.parametrize(
    ("metric", "logs", "expected"),
    [
        (1000, {ROLE: 600, USER: 400}, {"gateway": 600, "BedrockAPIKey-x1": 400}),
        (1000, {ROLE: 600}, {"gateway": 600, "": 400}),
        (1000, {ROLE: 900, USER: 300}, {"gateway": 750, "BedrockAPIKey-x1": 250}),
    ],
    ids=["the log has all", "the log has a part", "the log has more than the metric"],
)
def test_the_log_says_who_called_and_the_metric_how_much(metric, logs, expected) -> None:
    calls = Calls(NOW)
    at = NOW - timedelta(minutes=30)
    calls.use(at, SONNET, InputTokenCount=metric)
    for who, n in logs.items():
        calls.logged["us-east-1", SONNET, who][at, "input"] += n
    with reading(calls, log_group="/bedrock") as ledger:
        ledger.round(NOW - timedelta(days=1), NOW)
    by_key = {dict(key.labels).get("key", ""): n for (key, _, _), n in ledger.buckets.items()}
    assert by_key == expected
    queries = [body["queryString"] for _, operation, body in calls.asked if operation == "StartQuery"]
    assert queries
    assert all(query.startswith("stats sum(") and "Body" not in query for query in queries)


def test_without_a_right_to_the_log_the_tokens_count_and_who_called_is_said_to_be_unknown() -> None:
    calls = Calls(NOW)
    calls.use(NOW - timedelta(minutes=30), SONNET, InputTokenCount=1000)
    calls._results = lambda *_: _denied()  # type: ignore[method-assign]
    with reading(calls, log_group="/bedrock") as ledger:
        ledger.round(NOW - timedelta(days=1), NOW)
    assert ledger.tokens("input") == 1000
    assert "who called is not known" in ledger.warnings[0]


def _denied():
    from tests.servers.billing import Reply  # noqa: PLC0415

    return Reply({"__type": "AccessDeniedException", "message": "not authorized to perform logs:GetQueryResults"}, 400)


def test_every_region_is_looked_into_and_one_that_is_not_enabled_is_no_fault() -> None:
    calls = Calls(NOW, closed={"me-south-1", "af-south-1"})
    calls.use(NOW - timedelta(minutes=30), SONNET, "sa-east-1", InputTokenCount=1000)
    with reading(calls, regions="*") as ledger:
        ledger.round(NOW - timedelta(days=1), NOW)
    assert (ledger.tokens("input"), ledger.error, ledger.warnings) == (1000, None, ())
    assert len({region for region, _, _ in calls.asked}) > 15


def test_a_region_that_fails_leaves_a_lower_bound_and_is_read_again_from_where_it_was() -> None:
    calls = Calls(NOW, closed={"eu-west-1"})
    calls.use(NOW - timedelta(minutes=30), SONNET, InputTokenCount=1000)
    calls.use(NOW - timedelta(minutes=30), SONNET, "eu-west-1", InputTokenCount=50)
    with reading(calls, regions="us-east-1,eu-west-1") as ledger:
        ledger.round(NOW - timedelta(days=1), NOW)
        assert ledger.tokens("input") == 1000
        assert ledger.error is not None
        assert not ledger.cursor
        calls.closed.clear()
        ledger.round(NOW - timedelta(days=1), NOW)
    assert (ledger.tokens("input"), ledger.error) == (1050, None)
