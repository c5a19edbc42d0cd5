"""Of an export's deliveries each month counts once, at its fullest and newest; nothing unfinished is read."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest

from alertd.clients.object_store import StoredObject, is_manifest, is_wanted, newest, read_manifest
from alertd.ports import SourceError

AT = datetime(2026, 11, 20, tzinfo=UTC)


def stored(key: str, hour: int = 0) -> StoredObject:
    return StoredObject(key, f"etag-{key}-{hour}", AT.replace(hour=hour), 10)


def delivered(manifest: str, said: object, *files: str, hour: int = 0):
    objects = [stored(name) for name in files]
    return read_manifest(stored(manifest, hour), json.dumps(said).encode(), objects, "bucket")


AWS = "focus/metadata/BILLING_PERIOD=2026-11/focus-Manifest.json"
PART = "focus/data/BILLING_PERIOD=2026-11/focus-00001.snappy.parquet"


@pytest.mark.parametrize(
    "said",
    [
        {"dataFiles": [f"s3://bucket/exports/{PART}"]},
        {"dataFiles": [f"exports/{PART}"]},
        {"reportKeys": [f"/exports/{PART}"]},
        {"files": [{"path": PART}]},
    ],
    ids=["addresses", "keys", "the older report", "objects"],
)
def test_a_manifest_of_aws_names_its_files_in_any_of_its_forms(said: object) -> None:
    found = delivered(AWS, said, PART, "focus/data/BILLING_PERIOD=2026-11/focus-00002.snappy.parquet")
    assert [one.key for one in found.files] == [PART]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({}, "names no data files"),
        ({"dataFiles": []}, "names no data files"),
        ([], "names no data files"),
        ({"dataFiles": ["s3://bucket/elsewhere.parquet"]}, "which is not there"),
    ],
    ids=["no list", "an empty list", "no object", "a file that is not there"],
)
def test_a_manifest_that_does_not_fit_is_no_delivery(said: object, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        delivered(AWS, said, PART)


def run(start: str, end: str, submitted: str, name: str = "daily", *, run_id: str = "r1"):
    """A run of an Azure export."""
    folder = f"exports/{name}/{start.replace('-', '')}-20261130/{run_id}"
    said = {
        "exportConfig": {"exportName": name, "type": "FocusCost",
                         "resourceId": f"/subscriptions/S1/providers/Microsoft.CostManagement/exports/{name}"},
        "runInfo": {"runId": run_id, "submittedTime": submitted, "startDate": f"{start}T00:00:00Z",
                    "endDate": f"{end}T00:00:00Z", "executionType": "Scheduled"},
        "blobs": [{"blobName": f"{folder}/part_0.snappy.parquet"}],
    }  # fmt: skip
    return delivered(f"{folder}/manifest.json", said, f"{folder}/part_0.snappy.parquet")


@pytest.mark.parametrize("back", [False, True])
def test_of_a_months_runs_the_fullest_counts_and_of_equal_ones_the_newest(back: bool) -> None:  # noqa: FBT001
    runs = [
        run("2026-11-01", "2026-11-20", "2026-11-21T04:00:00Z", run_id="longer"),
        run("2026-11-01", "2026-11-10", "2026-11-22T04:00:00Z", "once", run_id="shorter"),
        run("2026-11-01", "2026-11-20", "2026-11-21T09:00:00Z", run_id="again"),
    ]
    chosen = newest(reversed(runs) if back else runs)
    assert [one.manifest.key.split("/")[-2] for one in chosen] == ["again"]


def test_months_and_scopes_are_deliveries_of_their_own() -> None:
    october = run("2026-10-01", "2026-10-31", "2026-11-05T04:00:00Z")
    november = run("2026-11-01", "2026-11-20", "2026-11-21T04:00:00Z")
    assert len(newest([october, november])) == 2


def test_of_a_kept_report_of_aws_the_newest_delivery_of_a_month_counts() -> None:
    def at(hour: int):
        part = f"cur/data/BILLING_PERIOD=2026-11/{hour}/cur-1.csv.gz"
        manifest = f"cur/metadata/BILLING_PERIOD=2026-11/{hour}/cur-Manifest.json"
        return delivered(manifest, {"dataFiles": [part]}, part, hour=hour)

    (chosen,) = newest([at(9), at(3)])
    assert [one.key for one in chosen.files] == ["cur/data/BILLING_PERIOD=2026-11/9/cur-1.csv.gz"]


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("focus/data/BILLING_PERIOD=2026-10/x.parquet", False),
        ("focus/data/BILLING_PERIOD=2026-11/x.parquet", True),
        ("exports/daily/20261001-20261031/r/part_0.csv", False),
        ("exports/daily/20261101-20261130/r/part_0.csv", True),
        ("20261001-20261031/r/part_0.csv", False),
        ("some/file.csv", True),
    ],
)
def test_of_earlier_months_nothing_is_read(key: str, wanted: bool) -> None:  # noqa: FBT001
    assert is_wanted(key, date(2026, 11, 1)) is wanted


@pytest.mark.parametrize("key", ["a/manifest.json", "a/focus-Manifest.json", "a/_manifest.json"])
def test_manifests_are_known_by_their_names(key: str) -> None:
    assert is_manifest(key)
    assert not is_manifest("a/data-1.json")
