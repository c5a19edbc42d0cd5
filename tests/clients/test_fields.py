"""One object of a provider's answer: what is no number, no time and no year of anybody's bill is named."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from alertd.clients.billing_api import Noticed
from alertd.clients.json_fields import Fields
from alertd.ports import SourceError


@pytest.mark.parametrize(
    "written", [1_763_632_800, Decimal("1763632800.9"), "2025-11-20T10:00:00Z", "2025-11-20T10:00"]
)
def test_a_time_is_unix_seconds_or_iso_text_and_aware(written: object) -> None:
    assert Fields({"at": written}, "bill").instant("at") == datetime(2025, 11, 20, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [253_402_300_799, -62_135_596_800, Decimal("1e999999999"), Decimal("NaN"), 2**70, True, None, [], "9999-12-31",
     "soon"],
)  # fmt: skip
def test_a_time_near_the_ends_of_the_calendar_or_beyond_all_numbers_is_none(written: object) -> None:
    with pytest.raises(SourceError, match=r"bill\.at"):
        Fields({"at": written}, "bill").instant("at")


def test_what_was_noticed_is_said_once_and_names_from_outside_do_not_pile_up(caplog: pytest.LogCaptureFixture) -> None:
    noticed = Noticed("gateway")
    with caplog.at_level(logging.WARNING):
        for number in range(5_000):
            noticed.once(f"refused a sample of pod {number}")
            noticed.once(f"refused a sample of pod {number}")
    assert len(caplog.records) == 5_000
    assert len(noticed._said) <= 1_000
