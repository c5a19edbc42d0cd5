"""Commitments as they are written: what is charged, whose it is, since when, and every fault with its place."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from alertd.settings import SettingsError, load_settings

SEATS = {"ALERTD_COMMITMENTS__SEATS__AMOUNT": "1200 USD", "ALERTD_COMMITMENTS__SEATS__PER": "month"}


def test_a_commitment_has_an_amount_a_stretch_labels_and_days_of_its_zone() -> None:
    more = {
        "ALERTD_COMMITMENTS__SEATS__LABELS": "team=platform,provider=anthropic",
        "ALERTD_COMMITMENTS__SEATS__FROM": "2026-11-10",
        "ALERTD_COMMITMENTS__SEATS__UNTIL": "2027-04-01T00:00:00Z",
        "ALERTD_TIMEZONE": "Europe/Berlin",
    }
    (seats,) = load_settings({**SEATS, **more}).commitments
    assert (seats.name, seats.cost.amount, seats.cost.currency, seats.per) == ("seats", Decimal(1200), "USD", "month")
    assert (seats.provider, seats.labels["team"], seats.zone) == ("anthropic", "platform", "Europe/Berlin")
    assert (seats.start, seats.end) == (datetime(2026, 11, 9, 23, tzinfo=UTC), datetime(2027, 4, 1, tzinfo=UTC))


def test_commitments_alone_are_enough_to_run() -> None:
    budget = {"ALERTD_BUDGETS__ALL__AMOUNT": "1000 USD"}
    assert load_settings({**SEATS, **budget}, need=("sources", "budgets")).commitments


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("AMOUNT", "5M tokens", "counts tokens"),
        ("AMOUNT", "0 USD", "is nothing"),
        ("PER", "fortnight", "not a length of time"),
        ("FROM", "yesterday", "not a day or an instant"),
        ("UNTIL", "2026-11-01", "not after FROM"),
        ("LABELS", "meter=input", "label that alertd uses itself"),
        ("RATE", "5", "no such key"),
    ],
)
def test_what_is_no_commitment_is_a_fault_with_its_place(key: str, value: str, said: str) -> None:
    env = {**SEATS, "ALERTD_COMMITMENTS__SEATS__FROM": "2026-11-10", f"ALERTD_COMMITMENTS__SEATS__{key}": value}
    with pytest.raises(SettingsError, match=said) as caught:
        load_settings(env)
    assert f"ALERTD_COMMITMENTS__SEATS__{key}" in str(caught.value)


def test_a_source_may_not_be_called_commitments() -> None:
    taken = {"ALERTD_SOURCES__COMMITMENTS__KIND": "csv", "ALERTD_SOURCES__COMMITMENTS__PATH": "usage.csv"}
    with pytest.raises(SettingsError, match="the name is taken"):
        load_settings({**SEATS, **taken})
