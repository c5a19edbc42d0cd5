"""A month of each cloud: what the metrics came to within minutes beside the bill, on every final day."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pytest

from alertd.clients.price_files import price_book
from alertd.core.billing.reconcile import reconcile
from alertd.core.billing.reconcile_figures import Reconciled, report
from alertd.core.ledger.columns import Ledger
from alertd.core.periods import midnights
from alertd.core.pricing.costing import costs
from alertd.core.pricing.tariffs import LedgerTariff
from alertd.registry import load
from tests.servers.aws import Calls
from tests.servers.azure_google import RESOURCE, Azure, Google
from tests.servers.billing import serving
from tests.servers.source_ledger import SourceLedger

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
END = datetime(2026, 12, 1, tzinfo=UTC)
HEADER = (
    "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ChargeCategory,ProviderName,ServiceName,"
    "x_UsageType,RegionId\n"
)
Bill = dict[tuple[date, str, str], Decimal]
MILLION = Decimal(10**6)


class Bedrock:
    """Claude and Nova in two regions; the bill names them by usage types of its own."""

    kind, provider = "bedrock", "AWS"
    options: ClassVar[dict[str, Any]] = {"access_key_id": "AKIA", "secret_access_key": "s" * 20,
                               "regions": "us-east-1,us-west-2"}  # fmt: skip
    #: Metric -> what a million cost, and the bill's service and usage type.
    claude: ClassVar = {"InputTokenCount": "3.30", "OutputTokenCount": "16.50", "CacheReadInputTokenCount": "0.33"}
    nova: ClassVar = {"InputTokenCount": "0.80", "OutputTokenCount": "3.20"}

    def __init__(self) -> None:
        self.server = Calls(BEGIN)

    def use(self, at: datetime, n: int, bill: Bill) -> None:
        for region, model, prices, service, meter in (
            ("us-east-1", "us.anthropic.claude-sonnet-4-6", self.claude, "Claude Sonnet 4.6 (Amazon Bedrock Edition)",
             "USE1-MP:USE1_InputTokenCount-Units"),
            ("us-west-2", "amazon.nova-pro-v1:0", self.nova, "Amazon Bedrock", "USW2-NovaPro-input-tokens"),
        ):  # fmt: skip
            for metric, price in prices.items():
                self.server.use(at, model, region, **{metric: n})
                bill[at.date(), service, meter] += n * Decimal(price) / MILLION


class AzureOpenAI:
    kind, provider = "azure_openai", "Microsoft"
    options: ClassVar[dict[str, Any]] = {
        "tenant_id": "t",
        "client_id": "c",
        "client_secret": "s" * 20,
        "resources": RESOURCE,
    }

    def __init__(self) -> None:
        self.server = Azure(BEGIN, {"chat": ("gpt-5", "GlobalStandard", 1), "eu": ("gpt-5", "DataZoneStandard", 1)})

    def use(self, at: datetime, n: int, bill: Bill) -> None:
        for deployment, factor in (("chat", Decimal(1)), ("eu", Decimal("1.1"))):
            self.server.use(at, deployment, ProcessedPromptTokens=n, GeneratedTokens=n // 10)
            cost = (n * Decimal("1.25") + n // 10 * Decimal(10)) / MILLION * factor
            bill[at.date(), "Azure OpenAI", "GPT 5 Inpt Glbl"] += cost


class Vertex:
    kind, provider = "vertex", "Google Cloud"
    options: ClassVar[dict[str, Any]] = {"projects": "my-llm-project"}

    def __init__(self) -> None:
        self.server = Google(BEGIN)

    def use(self, at: datetime, n: int, bill: Bill) -> None:
        for kind, price in (("input", "0.30"), ("output", "2.50")):
            self.server.use(at, "gemini-2.5-flash", "google", "global", kind, "shared", "global", n=n)
            bill[at.date(), "Vertex AI", "Gemini 2.5 Flash Global Text Input - Predictions"] += (
                n * Decimal(price) / MILLION
            )


@contextmanager
def month(cloud: Any, tmp_path: Path, wrong: Callable[[Bill], None] = lambda _: None) -> Iterator[Reconciled]:
    """A month whose metrics are read twice a day, and the bill that comes at its end."""
    dice, bill = random.Random(7), defaultdict(Decimal)
    plugin, focus = load("sources", cloud.kind), load("sources", "focus")
    with serving(cloud.server) as server:
        options = {**cloud.options, "url": server.url}
        fresh = SourceLedger(plugin.build("fresh", plugin.Options.model_validate(options)))
        now = BEGIN
        while now < END + timedelta(hours=12):
            for hour in range(0, 12, 2):
                at = now + timedelta(hours=hour, minutes=dice.randrange(60))
                if at < END:
                    cloud.use(at, dice.randrange(1_000, 5_000_000), bill)
            now += timedelta(hours=12)
            cloud.server.now = now
            fresh.round(BEGIN, now)
            assert fresh.error is None
            assert fresh.warnings == ()
    wrong(bill)
    rows = [
        f"{cost},USD,{day}T00:00:00Z,{day + timedelta(days=1)}T00:00:00Z,Usage,{cloud.provider},{service},{meter},\n"
        for (day, service, meter), cost in bill.items()
    ]
    tax = f"99.9,USD,2026-11-01T00:00:00Z,2026-12-01T00:00:00Z,Tax,{cloud.provider},{rows[0].split(',')[6]},,\n"
    (tmp_path / "bill.csv").write_text(HEADER + "".join(rows) + tax)
    billed = SourceLedger(focus.build("bill", focus.Options.model_validate({"path": str(tmp_path / "bill.csv")})))
    billed.round(BEGIN, END + timedelta(days=5))
    assert billed.warnings == ()
    ledger = Ledger()
    fresh.into(ledger)
    billed.into(ledger)
    days, borders = midnights(UTC, BEGIN.date(), 30)
    found = costs(
        ledger, "USD", days, borders, tariff=LedgerTariff(price_book(), ledger), exchange=lambda *_: Decimal(1)
    )
    final = {"fresh": END.date(), "bill": END.date()}
    (compared,) = reconcile(ledger, found, final)
    print("\n".join(report([compared])))
    yield compared


NEEDS_BOTOCORE = pytest.mark.skipif(find_spec("botocore") is None, reason="needs the extra aws")
CLOUDS = [pytest.param(Bedrock, marks=NEEDS_BOTOCORE), AzureOpenAI, Vertex]


@pytest.mark.parametrize("cloud", CLOUDS)
def test_what_was_known_within_minutes_is_within_two_percent_of_the_bill_on_every_final_day(cloud, tmp_path) -> None:
    with month(cloud(), tmp_path) as compared:
        assert len(compared.days) == 30
        assert all(abs(day.ratio - 1) < Decimal("0.02") for day in compared.days)
        assert [cause.kind for cause in compared.causes] == ["agrees"]


def test_a_bill_that_is_dearer_on_every_day_says_by_how_much(tmp_path) -> None:
    def dearer(bill: Bill) -> None:
        for key in list(bill):
            bill[key] *= Decimal("1.5")

    with month(AzureOpenAI(), tmp_path, dearer) as compared:
        (cause, *_) = compared.causes
        assert cause.kind == "price_differs"
        assert "1.50 times the estimate on every day" in cause.said
