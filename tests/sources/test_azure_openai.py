"""Azure OpenAI: every token of Azure Monitor once, by deployment, model and kind; nothing cut in silence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alertd.core.money import Money
from alertd.sources.azure_openai import Options, build
from tests.servers.azure_google import RESOURCE, Azure
from tests.servers.billing import serving
from tests.servers.source_ledger import SourceLedger

SINCE = datetime(2026, 11, 18, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 10, 2, tzinfo=UTC)
AT = NOW - timedelta(hours=1)


@contextmanager
def reading(azure: Azure, **options: Any) -> Iterator[SourceLedger]:
    with serving(azure) as server:
        given = {"tenant_id": "t", "client_id": "c", "client_secret": azure.secret, "resources": RESOURCE}
        yield SourceLedger(build("azure", Options.model_validate({**given, "url": server.url, **options})))


def lines(ledger: SourceLedger) -> dict[tuple[Any, ...], int]:
    return {
        (key.line.model, key.line.meter, key.line.modifiers, dict(key.labels)["deployment"]): n
        for (key, _, _), n in ledger.buckets.items()
    }


def test_tokens_are_counted_by_deployment_with_its_model_and_what_its_kind_costs() -> None:
    azure = Azure(NOW, {"chat": ("gpt-5", "GlobalStandard", 10), "eu": ("gpt-5", "DataZoneStandard", 10),
                        "here": ("gpt-5", "Standard", 10), "night": ("gpt-5", "GlobalBatch", 10)})  # fmt: skip
    for n, name in enumerate(azure.deployments, start=1):
        azure.use(AT, name, ProcessedPromptTokens=100 * n, GeneratedTokens=10 * n)
    with reading(azure) as ledger:
        ledger.round(SINCE, NOW)
        ledger.round(SINCE, NOW)
    assert lines(ledger) == {
        ("gpt-5", "input", (), "chat"): 100,
        ("gpt-5", "output", (), "chat"): 10,
        ("gpt-5", "input", (("region", "datazone"),), "eu"): 200,
        ("gpt-5", "output", (("region", "datazone"),), "eu"): 20,
        ("gpt-5", "input", (("region", "regional"),), "here"): 300,
        ("gpt-5", "output", (("region", "regional"),), "here"): 30,
        ("gpt-5", "batch_input", (), "night"): 400,
        ("gpt-5", "batch_output", (), "night"): 40,
    }
    assert (ledger.error, ledger.warnings, ledger.until) == (None, (), NOW - timedelta(minutes=5))


def test_two_families_of_metrics_hold_the_same_tokens_once() -> None:
    azure = Azure(NOW, {"chat": ("gpt-5", "GlobalStandard", 10)})
    azure.use(AT, "chat", ProcessedPromptTokens=100, InputTokens=100, GeneratedTokens=7, OutputTokens=7)
    with reading(azure) as ledger:
        ledger.round(SINCE, NOW)
    assert (ledger.tokens("input"), ledger.tokens("output")) == (100, 7)


def test_a_resource_that_has_one_family_only_is_no_fault() -> None:
    azure = Azure(NOW, {"chat": ("gpt-5", "GlobalStandard", 10)}, refused={"InputTokens"})
    azure.use(AT, "chat", ProcessedPromptTokens=100)
    with reading(azure) as ledger:
        ledger.round(SINCE, NOW)
    assert (ledger.tokens("input"), ledger.error, ledger.warnings) == (100, None, ())


def test_claudes_cache_writes_carry_their_lifetime() -> None:
    azure = Azure(NOW, {"claude": ("claude-sonnet-4-6", "GlobalStandard", 1)})
    azure.use(AT, "claude", InputTokens=5, cacheReadInputTokens=50, ephemeral5mInputTokens=7, ephemeral1hInputTokens=9)
    with reading(azure) as ledger:
        ledger.round(SINCE, NOW)
    assert {(line[1], dict(line[2]).get("cache_ttl")): n for line, n in lines(ledger).items()} == {
        ("input", None): 5, ("cached_input", None): 50, ("cache_write", "5m"): 7, ("cache_write", "1h"): 9,
    }  # fmt: skip


def test_more_than_ten_deployments_all_count() -> None:
    azure = Azure(NOW, {f"d{n}": ("gpt-5", "GlobalStandard", 1) for n in range(12)})
    for name in azure.deployments:
        azure.use(AT, name, ProcessedPromptTokens=100)
    with reading(azure) as ledger:
        ledger.round(SINCE, NOW)
    assert (ledger.tokens("input"), ledger.warnings) == (1200, ())


def test_what_the_whole_has_and_no_deployment_is_a_gap_that_is_said() -> None:
    azure = Azure(NOW, {"chat": ("gpt-5", "GlobalStandard", 10)}, hidden={"lost"})
    azure.use(AT, "chat", ProcessedPromptTokens=100)
    azure.use(AT, "lost", ProcessedPromptTokens=50)
    with reading(azure) as ledger:
        ledger.round(SINCE, NOW)
    assert ledger.warnings == ("acme: 50 of ProcessedPromptTokens are of no deployment that Azure lists",)


def test_an_error_inside_an_answer_of_200_is_an_error() -> None:
    azure = Azure(NOW, {"chat": ("gpt-5", "GlobalStandard", 10)}, codes={"GeneratedTokens": "Throttled"})
    azure.use(AT, "chat", ProcessedPromptTokens=100)
    with reading(azure) as ledger:
        ledger.round(SINCE, NOW)
    assert "GeneratedTokens is answered as Throttled" in str(ledger.error)
    assert not ledger.cursor


def test_provisioned_units_cost_by_the_hour_and_their_tokens_nothing() -> None:
    azure = Azure(NOW, {"ptu": ("gpt-5", "GlobalProvisionedManaged", 50)})
    azure.use(AT, "ptu", ProcessedPromptTokens=100)
    with reading(azure, ptu_price="1.00") as ledger:
        ledger.round(SINCE, NOW)
    (committed,) = ledger.readings[-1].commitments
    assert (ledger.buckets, committed.cost, committed.per) == ({}, Money(Decimal(50), "USD"), "hour")
    assert committed.start == datetime(2026, 11, 5, tzinfo=UTC)


def test_what_comes_late_is_added_once() -> None:
    azure = Azure(NOW, {"chat": ("gpt-5", "GlobalStandard", 10)})
    azure.use(AT, "chat", ProcessedPromptTokens=100)
    with reading(azure) as ledger:
        ledger.round(SINCE, NOW)
        azure.use(AT, "chat", ProcessedPromptTokens=30)
        azure.now += timedelta(minutes=5)
        ledger.round(SINCE, azure.now)
    assert ledger.tokens("input") == 130


def test_a_managed_identity_needs_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    azure = Azure(NOW, {"chat": ("gpt-5", "GlobalStandard", 10)})
    azure.use(AT, "chat", ProcessedPromptTokens=100)
    with reading(azure, client_secret=None) as ledger:
        ledger.round(SINCE, NOW)
    assert (ledger.tokens("input"), ledger.error) == (100, None)


def test_a_workload_identity_shows_the_pods_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("federated\n")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
    azure = Azure(NOW)
    with reading(azure, client_secret=None) as ledger:
        ledger.round(SINCE, NOW)
    assert b"client_assertion=federated" in azure.asked[0].body
    assert "401" in str(ledger.error)  # this server knows the secret only


def test_a_wrong_secret_is_an_error_that_does_not_show_it() -> None:
    azure = Azure(NOW)
    with reading(azure, client_secret="wrong-and-secret-0001") as ledger:
        ledger.round(SINCE, NOW)
    assert "401" in str(ledger.error)
    assert "wrong-and-secret" not in f"{ledger.error!r}"
