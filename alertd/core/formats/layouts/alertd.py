"""What `alertd usage export` writes, read again: every row has its cost."""

from __future__ import annotations

from typing import Final

from alertd.core.formats.layout import CURRENCY, MODEL, PROVIDER, TIME, Layout, ignored, money

LAYOUT: Final = Layout(
    name="alertd-export",
    title="alertd usage export",
    recognised_by=("date", "basis", "quantity", "cost", "currency", "unpriced"),
    others="label",
    spreadsheet=True,
    columns={
        "date": TIME,
        "provider": PROVIDER,
        "model": MODEL,
        "cost": money(),
        "currency": CURRENCY,
        **ignored("quantity", "unpriced", "source"),
    },
)
