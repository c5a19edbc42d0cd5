"""Rows of a FOCUS Parquet file read per second of one core, beside the floor: pyarrow sums its cost column.

    python tests/benchmarks/bench_focus.py [ROWS]

Rows are hours of four services, eight accounts, two regions and six teams over one month, in 24 columns.
"""

from __future__ import annotations

import random
import resource
import sys
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

from alertd.sources.focus import Options, build

START = datetime(2026, 11, 1, tzinfo=UTC)
SERVICES = ("Amazon Bedrock", "Amazon Bedrock Service", "Claude Sonnet 4.6 (Amazon Bedrock Edition)", "Amazon EC2")


def write(path: Path, rows: int) -> None:
    """A file as AWS delivers it: costs are doubles, times timestamps, tags a map."""
    pa, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    dice, writer, left = random.Random(1), None, rows
    stamp, tags = pa.timestamp("ms", tz="UTC"), pa.map_(pa.string(), pa.string())
    while left:
        n = min(left, 100_000)
        left -= n
        hours = [START + timedelta(hours=dice.randrange(720)) for _ in range(n)]
        costs = pa.array([dice.randrange(1, 10**6) / 10**7 for _ in range(n)], pa.float64())
        table = pa.table({
            "BilledCost": costs, "EffectiveCost": costs, "BillingCurrency": ["USD"] * n,
            "ChargePeriodStart": pa.array(hours, stamp),
            "ChargePeriodEnd": pa.array([hour + timedelta(hours=1) for hour in hours], stamp),
            "BillingPeriodStart": pa.array([START] * n, stamp),
            "BillingPeriodEnd": pa.array([datetime(2026, 12, 1, tzinfo=UTC)] * n, stamp),
            "ServiceName": dice.choices(SERVICES, k=n), "ProviderName": ["AWS"] * n,
            "SubAccountId": [str(100000000000 + dice.randrange(8)) for _ in range(n)],
            "RegionId": dice.choices(("us-east-1", "eu-west-1"), k=n), "ChargeCategory": ["Usage"] * n,
            "ChargeClass": pa.array([None] * n, pa.string()),
            "ResourceId": [f"arn:aws:bedrock:{dice.randrange(10**6)}" for _ in range(n)],
            "SkuId": [f"SKU{dice.randrange(100)}" for _ in range(n)],
            "Tags": pa.array([[("team", f"t{dice.randrange(6)}")] for _ in range(n)], tags),
            **{f"x_{place}": [f"v{dice.randrange(50)}" for _ in range(n)] for place in range(8)},
        })  # fmt: skip
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with TemporaryDirectory() as folder:
        path = Path(folder) / "focus.parquet"
        write(path, rows)
        begun = process_time()
        total = sum(
            sum(batch.column(0).to_pylist())
            for batch in import_module("pyarrow.parquet").ParquetFile(path).iter_batches(columns=["BilledCost"])
        )
        floor = process_time() - begun
        source = build("bill", Options.model_validate({"path": str(path), "tags": "team"}))
        begun = process_time()
        found = source.imported([path])
        took = process_time() - begun
    billed = sum(record.cost.amount for record in found.records if hasattr(record, "cost"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{rows:,} rows in {took:.1f} s of one core, {took / floor:.0f} times the floor; peak {peak} MB")
    print(f"{len(found.records):,} records, {billed:f} USD; the floor's float sum {total:.6f}")


if __name__ == "__main__":
    main()
