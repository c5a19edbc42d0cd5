"""Exports in object stores: a corrected delivery replaces, nothing counts twice, nothing unfinished is read.

S3 is moto's, by HTTP; Azure's is azurite where npm has it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("obstore", reason="obstore is not installed (pip install alertd[aws])")
pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed (pip install alertd[parquet])")
parquet = pytest.importorskip("pyarrow.parquet")

from alertd.sources.focus import Options, build  # noqa: E402 - only where the libraries are
from tests.servers.source_ledger import SourceLedger  # noqa: E402 - the same

SINCE = datetime(2026, 10, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
FOLDER = "exports/focus"


@pytest.fixture(scope="module")
def s3() -> Iterator[tuple[str, Any]]:
    server_class = pytest.importorskip(
        "moto.server", reason="moto is not installed (pip install alertd[emulators])"
    ).ThreadedMotoServer
    session = pytest.importorskip("botocore.session").Session()
    session.set_credentials("AKIA", "s" * 20)
    server = server_class(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = session.create_client("s3", "us-east-1", endpoint_url=f"http://{host}:{port}")
    try:
        yield f"http://{host}:{port}", client
    finally:
        server.stop()


class Bucket:
    """An export of AWS as Data Exports delivers it: parts, then the manifest."""

    def __init__(self, client: Any, name: str, folder: Path) -> None:
        self.client, self.name, self.folder = client, name, folder
        client.create_bucket(Bucket=name)

    def put(self, key: str, body: bytes) -> str:
        self.client.put_object(Bucket=self.name, Key=f"{FOLDER}/{key}", Body=body)
        return f"s3://{self.name}/{FOLDER}/{key}"

    def deliver(
        self, month: str, *parts: list[tuple[int, str, str]], manifest: bool = True, name: str = "part"
    ) -> None:
        """Rows of (day, service, cost) in parts."""
        keys = []
        for number, rows in enumerate(parts):
            path = self.folder / "part.parquet"
            parquet.write_table(table(month, rows), path)
            key = f"data/BILLING_PERIOD={month}/{name}-{number}.snappy.parquet"
            keys.append(self.put(key, path.read_bytes()))
        if manifest:
            said = {"executionId": "e", "dataFiles": keys}
            self.put(f"metadata/BILLING_PERIOD={month}/focus-Manifest.json", json.dumps(said).encode())


def table(month: str, rows: list[tuple[int, str, str]]) -> Any:
    """FOCUS 1.2 as AWS writes it: costs are doubles, times timestamps, tags a map."""
    begun = datetime.fromisoformat(f"{month}-01T00:00:00+00:00")
    stamp = pa.timestamp("ms", tz="UTC")
    days = [begun.replace(day=day) for day, _, _ in rows]
    return pa.table({
        "BilledCost": pa.array([float(cost) for _, _, cost in rows], pa.float64()),
        "BillingCurrency": ["USD"] * len(rows),
        "BillingPeriodStart": pa.array([begun] * len(rows), stamp),
        "BillingPeriodEnd": pa.array([datetime(begun.year, begun.month + 1, 1, tzinfo=UTC)] * len(rows), stamp),
        "ChargePeriodStart": pa.array(days, stamp),
        "ChargePeriodEnd": pa.array([day.replace(hour=1) for day in days], stamp),
        "ChargeCategory": ["Usage"] * len(rows),
        "ProviderName": ["AWS"] * len(rows),
        "ServiceName": [service for _, service, _ in rows],
        "SkuId": pa.array([None] * len(rows), pa.string()),
        "SubAccountId": ["123456789012"] * len(rows),
        "Tags": pa.array([[("team", "search")]] * len(rows), pa.map_(pa.string(), pa.string())),
    })  # fmt: skip


@pytest.fixture
def bucket(s3: tuple[str, Any], tmp_path: Path) -> Bucket:
    return Bucket(s3[1], f"b-{abs(hash(str(tmp_path)))}", tmp_path)


def held(s3: tuple[str, Any], bucket: Bucket, **options: Any) -> SourceLedger:
    given = {"path": f"s3://{bucket.name}/{FOLDER}", "endpoint": s3[0], "region": "us-east-1",
             "access_key_id": "AKIA", "secret_access_key": "s" * 20, "tags": "team", **options}  # fmt: skip
    return SourceLedger(build("bill", Options.model_validate(given)))


BEDROCK, CLAUDE = "Amazon Bedrock", "Claude Sonnet 4.6 (Amazon Bedrock Edition)"


def test_an_export_that_is_delivered_three_times_with_corrections_counts_once_and_exactly(s3, bucket) -> None:
    ledger = held(s3, bucket)
    bucket.deliver("2026-11", [(1, BEDROCK, "0.1"), (1, BEDROCK, "0.2")], [(2, CLAUDE, "3.07")])
    ledger.round(SINCE, NOW)
    assert (ledger.error, ledger.warnings, ledger.cost()) == (None, (), Decimal("3.37"))
    assert ledger.labels("team") == {"search"}
    bucket.deliver("2026-11", [(1, BEDROCK, "0.1"), (1, BEDROCK, "0.25")], [(2, CLAUDE, "3.07"), (3, CLAUDE, "1")])
    ledger.round(SINCE, NOW)
    assert ledger.cost() == Decimal("4.42")
    # The last one has one part only: the second part of the delivery before stays behind, and the first day is gone.
    bucket.deliver("2026-11", [(2, CLAUDE, "3.07"), (3, CLAUDE, "0.5")])
    ledger.round(SINCE, NOW)
    assert (ledger.cost(), list(map(str, ledger.days()))) == (Decimal("3.57"), ["2026-11-02", "2026-11-03"])
    ledger.round(SINCE, NOW)
    assert ledger.readings == []


def test_parts_without_their_manifest_are_not_read(s3, bucket) -> None:
    ledger = held(s3, bucket)
    bucket.deliver("2026-11", [(1, BEDROCK, "1")])
    ledger.round(SINCE, NOW)
    bucket.deliver("2026-11", [(1, BEDROCK, "1"), (2, BEDROCK, "5")], manifest=False, name="next")
    assert ledger.round(SINCE, NOW).cost() == Decimal(1)


def test_each_month_is_replaced_by_its_own_delivery(s3, bucket) -> None:
    ledger = held(s3, bucket)
    bucket.deliver("2026-10", [(30, BEDROCK, "7")])
    bucket.deliver("2026-11", [(1, BEDROCK, "1")])
    ledger.round(SINCE, NOW)
    bucket.deliver("2026-10", [(30, BEDROCK, "6.5")])
    assert ledger.round(SINCE, NOW).cost() == Decimal("7.5")


def test_equal_rows_of_two_parts_are_two_rows(s3, bucket) -> None:
    ledger = held(s3, bucket)
    bucket.deliver("2026-11", [(1, BEDROCK, "1")], [(1, BEDROCK, "1")])
    ledger.round(SINCE, NOW)
    assert (ledger.cost(), ledger.warnings) == (Decimal(2), ())


def test_a_folder_without_manifests_is_read_file_by_file(s3, bucket) -> None:
    header = "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ProviderName,ServiceName\n"
    row = "1.5,USD,2026-11-03T00:00:00Z,2026-11-04T00:00:00Z,AWS,Amazon Bedrock\n"
    bucket.put("a.csv", (header + row).encode())
    assert held(s3, bucket).round(SINCE, NOW).cost() == Decimal("1.5")


def test_a_bucket_that_is_not_there_and_a_server_that_is_down_are_errors_that_show_no_secret(s3, bucket) -> None:
    for options in ({"path": "s3://no-such-bucket/x"}, {"endpoint": "http://127.0.0.1:9"}):
        found = held(s3, bucket, **options).round(SINCE, NOW)
        assert found.error is not None
        assert "s3://" in str(found.error)
        assert "s" * 20 not in f"{found.error} {found.error!r}"
