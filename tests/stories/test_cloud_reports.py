"""What people reported of clouds' bills in public, each as it should have come out.

Sources: issues and pull requests of LiteLLM, Claude Code, azure-rest-api-specs, netbird, ccusage and Rhesis; the number
is in each docstring. Requests of Cost Explorer (CodexBar#3387) are in tests/sources/test_cloud_bills.py, exports that
are delivered twice (finops-toolkit#320, #966) in tests/clients.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alertd.clients.price_files import price_book
from alertd.core.billing.reconcile import reconcile
from alertd.core.ledger.columns import Ledger
from alertd.core.periods import midnights
from alertd.core.pricing.costing import Costs, costs
from alertd.core.pricing.tariffs import LedgerTariff
from alertd.registry import load
from tests.servers.aws import Calls
from tests.servers.azure_google import RESOURCE, Azure, Google
from tests.servers.billing import serving
from tests.servers.source_ledger import SourceLedger

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
AT = NOW - timedelta(days=4)
MILLION = 1_000_000
HEADER = (
    "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ChargeCategory,ProviderName,ServiceName,"
    "x_UsageType,RegionId\n"
)
OPTIONS: dict[str, dict[str, Any]] = {
    "bedrock": {"access_key_id": "AKIA", "secret_access_key": "s" * 20, "regions": "us-east-1,eu-north-1,eu-west-2"},
    "azure_openai": {"tenant_id": "t", "client_id": "c", "client_secret": "s" * 20, "resources": RESOURCE},
    "vertex": {"projects": "my-llm-project"},
}


def read(kind: str, server: Callable[..., Any], ledger: Ledger, **options: Any) -> SourceLedger:
    """A month of a cloud's metrics, read once, in a ledger."""
    if kind == "bedrock":
        pytest.importorskip("botocore", reason="botocore is not installed (pip install alertd[aws])")
    plugin = load("sources", kind)
    with serving(server) as answering:
        given = {**OPTIONS[kind], "url": answering.url, **options}
        found = SourceLedger(plugin.build("fresh", plugin.Options.model_validate(given))).round(BEGIN, NOW)
    assert found.error is None
    found.into(ledger)
    return found


def write_bill(tmp_path: Path, ledger: Ledger, rows: list[str]) -> None:
    (tmp_path / "bill.csv").write_text(HEADER + "".join(rows))
    focus = load("sources", "focus")
    billed = SourceLedger(focus.build("bill", focus.Options.model_validate({"path": str(tmp_path / "bill.csv")})))
    billed.round(BEGIN, NOW + timedelta(days=3)).into(ledger)


def bill(tmp_path: Path, ledger: Ledger, *lines: tuple[str, str, str, str, str]) -> None:
    """A FOCUS export: (cost, category, provider, service, meter), all of the day of the use."""
    day = AT.date()
    rows = [f"{cost},USD,{day}T00:00:00Z,{day + timedelta(days=1)}T00:00:00Z,{category},{provider},{service},{meter},\n"
            for cost, category, provider, service, meter in lines]  # fmt: skip
    write_bill(tmp_path, ledger, rows)


def cost(ledger: Ledger) -> Costs:
    days, borders = midnights(UTC, BEGIN.date(), 30)
    tariff = LedgerTariff(price_book(), ledger)
    return costs(ledger, "USD", days, borders, tariff=tariff, exchange=lambda *_: Decimal(1))


def by_model(ledger: Ledger) -> dict[tuple[str, str], Decimal | None]:
    """What a month of each model and meter cost; None where it has no price."""
    found = cost(ledger)
    sums: dict[tuple[str, str], Decimal | None] = {}
    for index, row in enumerate(ledger.series):
        values, power = found.exact(np.array([index]), 0, 30)
        key = (row.model, row.meter)
        known = sums.get(key, Decimal(0))
        exact = Decimal(int(values[0])).scaleb(power)
        sums[key] = None if index in found.unpriced or known is None else known + exact
    return sums


def causes(ledger: Ledger) -> dict[str, str]:
    """What the comparison of estimate and bill says, by kind of cause."""
    (compared,) = reconcile(ledger, cost(ledger), {"fresh": NOW.date(), "bill": NOW.date()})
    return {cause.kind: cause.said for cause in compared.causes}


def test_a_bare_id_of_bedrock_costs_what_a_regions_id_costs_and_a_global_one_less() -> None:
    """litellm#42679, claude-code#83690: a bare id was priced as global, 9% too low, or both tiers by one rate."""
    calls, ledger = Calls(NOW), Ledger()
    ids = ("anthropic.claude-sonnet-4-6", "us.anthropic.claude-sonnet-4-6", "global.anthropic.claude-sonnet-4-6")
    for one in ids:
        calls.use(AT, one, InputTokenCount=MILLION)
    read("bedrock", calls, ledger)
    sums = by_model(ledger)
    assert [sums[one, "input"] for one in ids] == [Decimal("3.30"), Decimal("3.30"), Decimal("3.00")]
    assert sum(filter(None, sums.values())) == Decimal("9.60")


def test_a_kind_of_tokens_without_a_price_is_unpriced_and_never_nothing() -> None:
    """litellm#37631: a missing price of cache writes was counted as zero, 98% too low."""
    calls, ledger = Calls(NOW), Ledger()
    calls.use(AT, "vendor.model-that-nobody-knows-v1:0", InputTokenCount=MILLION, CacheWriteInputTokenCount=MILLION)
    read("bedrock", calls, ledger)
    assert set(by_model(ledger).values()) == {None}


def test_mantle_in_another_region_is_never_priced_as_the_united_states_in_silence() -> None:
    """litellm#35953: deployments in the EU were priced as those of the US. Each region is a series of its own."""
    calls, ledger = Calls(NOW), Ledger()
    calls.use_mantle(AT, "anthropic.claude-sonnet-4-6", "p-1", "us-east-1", TotalInputTokens=MILLION)
    calls.use_mantle(AT, "anthropic.claude-sonnet-4-6", "p-1", "eu-north-1", TotalInputTokens=MILLION)
    read("bedrock", calls, ledger)
    rows = {dict(row.labels).get("region"): row for row in ledger.series}
    assert set(rows) == {"us-east-1", "eu-north-1"}
    assert rows["us-east-1"].modifiers != rows["eu-north-1"].modifiers


def test_the_estimate_of_azure_is_an_upper_bound_where_the_bill_knows_what_was_cached(tmp_path: Path) -> None:
    """netbird#7611, azure-rest-api-specs#45178: cached tokens are inside the input; only the bill knows them."""
    azure, ledger = Azure(NOW, {"chat": ("gpt-5", "GlobalStandard", 1)}), Ledger()
    for day in range(10):
        azure.use(AT - timedelta(days=day), "chat", ProcessedPromptTokens=10 * MILLION, GeneratedTokens=0)
    read("azure_openai", azure, ledger)
    at_list = Decimal("12.5")
    assert by_model(ledger)["gpt-5", "input"] == 10 * at_list
    many_days(tmp_path, ledger, "3.5", "Microsoft", "Azure OpenAI", "GPT 5 Inpt Glbl")
    assert "0.28 times the estimate" in " ".join(causes(ledger).values())


def test_a_bill_above_what_was_counted_is_said_with_its_factor(tmp_path: Path) -> None:
    """ccusage#936, claude-code#11062: 837 USD billed where 284 were seen, 22 where the client said 3."""
    google, ledger = Google(NOW), Ledger()
    for day in range(10):
        at = AT - timedelta(days=day)
        google.use(at, "gemini-2.5-flash", "google", "global", "input", "shared", "global", n=10 * MILLION)
    read("vertex", google, ledger)
    assert by_model(ledger)["gemini-2.5-flash", "input"] == Decimal(30)
    many_days(tmp_path, ledger, "22", "Google Cloud", "Vertex AI", "Gemini 2.5 Flash Global Text Input - Predictions")
    assert "7.33 times the estimate" in " ".join(causes(ledger).values())


def test_a_bill_that_charges_cached_tokens_as_input_is_said_with_the_amount(tmp_path: Path) -> None:
    """azure-rest-api-specs#45178: Azure's own meter billed cached tokens twice, 10,461 instead of 1,967 USD."""
    google, ledger = Google(NOW), Ledger()
    for day in range(10):
        at = AT - timedelta(days=day)
        google.use(at, "gemini-2.5-flash", "google", "global", "input", "shared", "global", n=10 * MILLION)
    read("vertex", google, ledger)
    many_days(tmp_path, ledger, "15.96", "Google Cloud", "Vertex AI", "Gemini 2.5 Flash Text Input - Predictions")
    assert "5.32 times the estimate" in " ".join(causes(ledger).values())


def test_credits_hide_nothing(tmp_path: Path) -> None:
    """rhesis PR#2690: credits of 100 hid a spend of 100, and Claude by the Marketplace was real money."""
    ledger = Ledger()
    lines = [
        ("100", "Usage", "AWS", "Amazon Bedrock", "USE1-NovaPro-input-tokens"),
        ("-100", "Credit", "AWS", "Amazon Bedrock", "USE1-NovaPro-input-tokens"),
        ("40", "Usage", "AWS", "Claude Sonnet 4.6 (Amazon Bedrock Edition)", "USE1-MP:USE1_InputTokenCount-Units"),
    ]
    bill(tmp_path, ledger, *lines)
    by_category: dict[str, Decimal] = {}
    found = cost(ledger)
    for index, row in enumerate(ledger.series):
        values, power = found.exact(np.array([index]), 0, 30)
        name = dict(row.labels).get("category", "usage")
        by_category[name] = by_category.get(name, Decimal(0)) + Decimal(int(values[0])).scaleb(power)
    assert by_category == {"usage": Decimal(140), "credit": Decimal(-100)}


def many_days(tmp_path: Path, ledger: Ledger, amount: str, *line: str) -> None:
    """A bill of the same amount on each of the ten days up to AT; `line`: provider, service, meter."""
    rows = []
    for day in range(10):
        begun = AT.date() - timedelta(days=day)
        rows.append(f"{amount},USD,{begun}T00:00:00Z,{begun + timedelta(days=1)}T00:00:00Z,Usage,"
                    f"{','.join(line)},\n")  # fmt: skip
    write_bill(tmp_path, ledger, rows)
