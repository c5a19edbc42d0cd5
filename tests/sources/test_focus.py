"""FOCUS files: sums against an independent count, every quirk by name, both spellings of a column."""

from __future__ import annotations

import asyncio
import csv
import gzip
import os
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alertd.core.usage import BilledCost
from alertd.sources.focus import Options, build
from tests.servers.source_ledger import SourceLedger

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
ROW = {
    "BilledCost": "1.25", "EffectiveCost": "1.00", "BillingCurrency": "USD",
    "BillingPeriodStart": "2026-11-01T00:00:00Z", "BillingPeriodEnd": "2026-12-01T00:00:00Z",
    "ChargePeriodStart": "2026-11-19T08:00:00Z",
    "ChargePeriodEnd": "2026-11-19T09:00:00Z", "ProviderName": "AWS", "ServiceName": "Amazon Bedrock",
    "SubAccountName": "prod", "RegionId": "us-east-1", "ChargeCategory": "Usage", "Tags": '{"team": "search"}',
}  # fmt: skip


def text(*rows: dict[str, str], rename: dict[str, str] | None = None) -> str:
    names = [(rename or {}).get(name, name) for name in ROW]
    lines = [names, *([{**ROW, **row}[name] for name in ROW] for row in rows)]
    return "\n".join(",".join('"' + cell.replace('"', '""') + '"' for cell in line) for line in lines) + "\n"


def held(path: Path, **options: Any) -> SourceLedger:
    return SourceLedger(build("cloud", Options.model_validate({"path": str(path), **options})))


@pytest.fixture
def sample(recorded: Path) -> Path:
    return recorded / "focus" / "focus_sample.csv"


def test_the_published_sample_adds_up_by_provider_and_currency(sample: Path) -> None:
    wanted: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    with sample.open(newline="") as file:
        for row in csv.DictReader(file):
            wanted[row["ProviderName"], row["BillingCurrency"]] += Decimal(row["BilledCost"])
    names = {"aws": "AWS", "azure": "Microsoft", "oracle": "Oracle"}
    found: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    imported = build("cloud", Options(path=str(sample))).imported([sample])
    for record in imported.records:
        assert isinstance(record, BilledCost)
        found[names[record.provider], record.cost.currency] += record.cost.amount
    print(dict(found))
    assert found == wanted
    assert imported.faults == ()


def test_every_quirk_of_the_published_sample_is_named(sample: Path) -> None:
    report = "\n".join(build("cloud", Options(path=str(sample))).imported([sample]).notes)
    print(report)
    for quirk in (
        "1000 rows",
        "column Id is taken for ServiceId",
        "cells hold the word NULL",
        "4000 times have no zone",
        "rows cost less than nothing",
        "tags are JSON in",
        "name a tag twice, but for blanks",
        "a number for an availability zone",
        "2 billing periods: 2024-09, 2024-10",
        "ChargeFrequency is spelled Usage-Based (992) and Usage-based (7)",
        "besides usage: 2 Adjustment, 1 Credit",
    ):
        assert quirk in report


def test_the_published_sample_becomes_a_month_of_the_ledger(sample: Path) -> None:
    found = held(sample).round(datetime(2024, 9, 1, tzinfo=UTC), NOW)
    assert found.error is None
    assert found.cost() == pytest.approx(Decimal("20.5202267290"), abs=Decimal("1e-6"))
    assert found.until == datetime(2024, 10, 1, tzinfo=UTC)


def test_a_look_tells_the_quirks_too(sample: Path) -> None:
    said = asyncio.run(held(sample).source.look(NOW)).summary
    assert "spelled Usage-Based (992)" in said
    assert "1 file, " in said


@pytest.mark.parametrize(
    "rename",
    [
        {},
        {name: "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_") for name in ROW},
        {"ProviderName": "ServiceProviderName"},
    ],
)
def test_columns_are_read_in_either_spelling_and_of_any_version(tmp_path: Path, rename: dict[str, str]) -> None:
    (tmp_path / "cost.csv.gz").write_bytes(gzip.compress(text({}, rename=rename).encode()))
    found = held(tmp_path / "*.gz", tags="team").round(SINCE, NOW)
    assert found.error is None
    assert found.cost() == Decimal("1.25")
    assert (found.labels("team"), found.labels("service")) == ({"search"}, {"Amazon Bedrock"})


def test_services_tags_and_the_kind_of_cost_are_chosen(tmp_path: Path) -> None:
    (tmp_path / "cost.csv").write_text(text({}, {"ServiceName": "Amazon EC2"}))
    found = held(tmp_path, services="*bedrock*", cost="effective").round(SINCE, NOW)
    assert found.cost() == 1
    assert found.labels("team") == {""}


def test_parts_of_an_export_add_up_and_a_row_in_two_files_counts_once(tmp_path: Path) -> None:
    later = {"ChargePeriodStart": "2026-11-19T09:00:00Z", "ChargePeriodEnd": "2026-11-19T10:00:00Z"}
    (tmp_path / "part-1.csv").write_text(text({}, {}))
    (tmp_path / "part-2.csv").write_text(text({}, later))
    found = held(tmp_path).round(SINCE, NOW)
    assert found.cost() == Decimal("3.75")


def test_a_new_export_of_the_month_corrects_it_and_the_same_one_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "cost.csv"
    file.write_text(text({}, {"BilledCost": "-0.25", "ChargeCategory": "Credit"}))
    found = held(file).round(SINCE, NOW)
    assert found.cost() == 1
    assert not found.round(SINCE, NOW).readings
    file.write_text(text({"BilledCost": "0.50"}, {"BilledCost": "-0.25", "ChargeCategory": "Credit"}))
    found.round(SINCE, NOW)
    assert found.cost() == Decimal("0.25")


def test_a_row_that_cannot_be_read_makes_a_lower_bound_and_is_named(tmp_path: Path) -> None:
    file = tmp_path / "cost.csv"
    file.write_text(text({}, {"BilledCost": "2"}))
    found = held(file).round(SINCE, NOW)
    file.write_text(text({}, {"BilledCost": "NULL"}))
    found.round(SINCE, NOW)
    assert found.cost() == Decimal("3.25")
    assert "cost.csv line 3: BilledCost is empty" in found.warnings[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b\n1,2\n", "no column BillingCurrency, ChargePeriodStart"),
        (b"PAR1\x15\x04", "is cut or damaged (Parquet)"),
        (gzip.compress(text({}).encode() * 50, mtime=0)[:60], "cut or damaged"),
        (b"", "is no FOCUS file"),
    ],
)
def test_what_is_no_focus_file_is_said(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    found = held(tmp_path / "x.csv").round(SINCE, NOW)
    assert said in str(found.error)
    assert not found.readings


def test_a_currency_that_is_none_and_a_period_that_ends_before_it_starts_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(
        text({}, {"BillingCurrency": "credits"}, {"ChargePeriodEnd": "2026-11-18T00:00:00Z"})
    )
    found = held(tmp_path / "x.csv").round(SINCE, NOW)
    assert found.cost() == Decimal("1.25")
    assert "three capital letters" in found.warnings[0]
    assert "before it starts" in found.warnings[1]


def test_a_month_that_is_charged_in_advance_says_nothing_of_the_days_after_its_file(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    whole = {"ChargePeriodStart": "2026-11-01T00:00:00Z", "ChargePeriodEnd": "2026-12-01T00:00:00Z"}
    file.write_text(text(whole))
    os.utime(file, (NOW.timestamp(), NOW.timestamp()))
    found = held(file).round(SINCE, NOW)
    assert found.cost() == Decimal("1.25")
    assert found.until == NOW
