"""Top-ups of a prepaid credit as people write them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from sample_plugins import Faults, Load

from alertd.core.budgets import CreditEntry

BUDGET = "ALERTD_BUDGETS__RESEARCH__"
SOUND = {"ALERTD_SOURCES__GATEWAY__KIND": "tap", "ALERTD_SOURCES__GATEWAY__URL": "http://tap:9090",
         f"{BUDGET}AMOUNT": "500 USD"}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("CREDIT", "2026-11-01=500 EUR", "CREDIT: '500 EUR' is in EUR, but the currency here is USD; write"),
        ("CREDIT", "soon=500", "CREDIT: 'soon' is no day; write 2026-11-01=500 USD"),
        ("PER", "team", "CREDIT: is one for the whole budget; leave PER out"),
        ("THRESHOLDS", "balance 72 USD,balance 3d", "THRESHOLDS: two of balance have the same number"),
    ],
)
def test_a_credit_that_cannot_be_is_a_fault(faults: Faults, key: str, value: str, said: str) -> None:
    found = faults({**SOUND, f"{BUDGET}CREDIT": "2026-11-01=500 USD", f"{BUDGET}{key}": value})
    assert [str(one).removeprefix(BUDGET)[: len(said)] for one in found] == [said]


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20=300,2026-11-01=1,500 USD,2026-12-01=left 412.30",
        "day,amount,what\n2026-11-01,1500 USD,\n# in between\n2026-11-20,300\n2026-12-01,412.30,left\n",
        '{"2026-11-01": "1500", "2026-11-20": "300", "2026-12-01": "left 412.30 USD"}',
    ],
)
def test_top_ups_are_a_list_a_map_or_a_csv_file(load: Load, text: str) -> None:
    found = load({**SOUND, f"{BUDGET}CREDIT": text})
    assert found.budgets["research"].credit == (
        CreditEntry(date(2026, 11, 1), Decimal(1500)),
        CreditEntry(date(2026, 11, 20), Decimal(300)),
        CreditEntry(date(2026, 12, 1), Decimal("412.30"), sets=True),
    )
    assert [str(one) for one in found.budgets["research"].thresholds][-1] == "balance 3d"
