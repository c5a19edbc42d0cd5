"""The built-in source of configured commitments: what was charged is in the ledger once, whatever is read again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from alertd.core.money import Money
from alertd.core.usage import BilledCost, Committed
from alertd.ports import Reading
from alertd.sources._commitments import Commitments

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
SEATS = Committed("", datetime(2020, 1, 1, tzinfo=UTC), None, Money(Decimal(1200), "USD"), {"team": "platform"},
                  counted=True, name="seats", per="month")  # fmt: skip


def read(source: Commitments, cursor: str | None, now: datetime) -> Reading:
    async def one() -> Reading:
        return await anext(source.read(cursor, NOVEMBER, now))

    return asyncio.run(one())


def test_hours_read_one_after_the_other_add_up_to_the_month() -> None:
    source, cursor, held = Commitments([SEATS], timedelta(minutes=1)), None, {}
    now = NOVEMBER
    for step in (0, 0.5, 1, 7.25, 48, 600, 719.9):
        now = NOVEMBER + timedelta(hours=step)
        reading = read(source, cursor, now)
        cursor = reading.cursor
        assert reading.window is not None
        low, high = reading.window
        held = {start: cost for start, cost in held.items() if not low <= start < high}
        held |= {one.start: one.cost.amount for one in reading.records if isinstance(one, BilledCost)}
    assert sum(held.values()) == Decimal("1200.00")
    assert len(held) == 720


def test_a_changed_commitment_is_charged_anew_from_the_start() -> None:
    now = NOVEMBER + timedelta(days=15)
    first = read(Commitments([SEATS], timedelta(minutes=1)), None, now)
    assert sum(one.cost.amount for one in first.records if isinstance(one, BilledCost)) == Decimal("600.00")
    changed = Committed(
        **{name: getattr(SEATS, name) for name in SEATS.__slots__} | {"cost": Money(Decimal(600), "USD")}
    )
    again = read(Commitments([changed], timedelta(minutes=1)), first.cursor, now)
    assert again.window is not None
    assert again.window[0] == NOVEMBER
    assert sum(one.cost.amount for one in again.records if isinstance(one, BilledCost)) == Decimal("300.00")
