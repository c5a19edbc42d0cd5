"""Vertex AI: every token of Cloud Monitoring once, by model and location; prepaid ones not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from alertd.sources.vertex import Options, build
from tests.servers.azure_google import Google
from tests.servers.billing import serving
from tests.servers.source_ledger import SourceLedger

SINCE = datetime(2026, 11, 18, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 10, 2, tzinfo=UTC)
AT = NOW - timedelta(hours=1)
GEMINI = ("gemini-2.5-pro", "google", "global")
CLAUDE = ("claude-sonnet-4-6", "anthropic", "us-east5")


@contextmanager
def reading(google: Google, **options: Any) -> Iterator[SourceLedger]:
    with serving(google) as server:
        given = {"projects": "my-llm-project", "url": server.url, **options}
        yield SourceLedger(build("google", Options.model_validate(given)))


def test_tokens_are_counted_by_model_location_and_direction_over_all_pages() -> None:
    google = Google(NOW)
    google.use(AT, *GEMINI, "input", "shared", "global", n=1000)
    google.use(AT, *GEMINI, "output", "shared", "global", n=100)
    google.use(AT, *GEMINI, "input", "spillover", "global", n=50)
    google.use(AT, *GEMINI, "input", "shared", "batch_global", n=7)
    google.use(AT, *CLAUDE, "input", "shared", "us-east5", n=3)
    with reading(google) as ledger:
        ledger.round(SINCE, NOW)
        ledger.round(SINCE, NOW)
    counted: dict[tuple[Any, ...], int] = {}
    for (key, _, _), n in ledger.buckets.items():
        name = key.line.model, key.line.meter, key.line.modifiers
        counted[name] = counted.get(name, 0) + n
    assert counted == {
        ("gemini-2.5-pro", "input", ()): 1050,
        ("gemini-2.5-pro", "output", ()): 100,
        ("gemini-2.5-pro", "batch_input", ()): 7,
        ("claude-sonnet-4-6", "input", (("region", "us-east5"),)): 3,
    }
    assert (ledger.labels("publisher"), ledger.error) == ({"google", "anthropic"}, None)


def test_tokens_of_provisioned_throughput_are_not_priced_by_tokens() -> None:
    google = Google(NOW)
    google.use(AT, *GEMINI, "input", "dedicated", "global", n=1000)
    with reading(google) as ledger:
        ledger.round(SINCE, NOW)
    assert (ledger.buckets, ledger.error) == ({}, None)


def test_what_comes_late_is_added_once_and_periods_stay_where_they_are() -> None:
    google = Google(NOW)
    google.use(AT, *GEMINI, "input", "shared", "global", n=1000)
    with reading(google) as ledger:
        ledger.round(SINCE, NOW)
        google.use(AT, *GEMINI, "input", "shared", "global", n=30)
        for minutes in (1, 2, 7):
            google.now = NOW + timedelta(minutes=minutes)
            ledger.round(SINCE, google.now)
    assert ledger.tokens("input") == 1030
    assert {(start % 300, width) for (_, start, width) in ledger.buckets} == {(0, 300)}


def test_a_quiet_project_has_an_empty_answer_which_is_nothing_and_no_fault() -> None:
    with reading(Google(NOW)) as ledger:
        ledger.round(SINCE, NOW)
    assert (ledger.buckets, ledger.error, ledger.until) == ({}, None, NOW - timedelta(minutes=5))
