"""Reports in buckets of time whose next pages are named, as OpenAI and Anthropic give them. It knows no fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from alertd.core.money import Money
from alertd.core.usage import BilledCost, Usage
from alertd.ports import Look, SourceError
from alertd.wire.billing import Billing, Pages, Record, ago
from alertd.wire.fields import Fields
from alertd.wire.paging import every_page, last_id


def next_page(page: Fields) -> str:
    """The next page's name, "" after the last one. A page that is promised and not named is lost: SourceError."""
    if page.flag("has_more") and "next_page" not in page:
        raise SourceError(f"{page.place}: more pages are promised and none is named")
    return page.text("next_page") if page.flag("has_more") else ""


async def named(billing: Billing, url: str, after: str) -> Mapping[str, str]:
    """What the ids of a list are called; `after` is how its next page is asked for."""

    async def ask(last: str) -> Fields:
        return await billing.get(url, {"limit": "100", **({after: last} if last else {})})

    found: dict[str, str] = {}
    async for page in every_page(ask, last_id, billing.name):
        found |= {row.text("id"): row.text("name") for row in page.items("data")}
    return found


async def look_at_reports(pages: Pages, now: datetime, names: Sequence[str]) -> Look:
    """What the last stretch of a report holds: tokens, money, how old its newest hour is, and whose it is."""
    found: dict[Any, Record] = {}
    async for page in pages:
        found |= page
    usage = [record for record in found.values() if isinstance(record, Usage)]
    latest = max((min(record.end, now) for record in usage), default=None)
    labels = {name: sorted({record.labels[name] for record in found.values() if name in record.labels})
              for name in names}  # fmt: skip
    tokens = f"{sum(record.quantity for record in usage):,} tokens"
    age = f", the newest hour ended {ago(latest, now)} ago" if latest else ""
    costs = totals([record for record in found.values() if isinstance(record, BilledCost)])
    remarks = () if found else ("nothing was used since yesterday, or the key sees another organization",)
    return Look(
        f"since yesterday {tokens}{age}; billed so far: {costs or 'nothing'}", latest, labels=labels, remarks=remarks
    )


def totals(money: Sequence[BilledCost]) -> str:
    """Sums by currency, in words."""
    sums: dict[str, Money] = {}
    for record in money:
        currency = record.cost.currency
        sums[currency] = sums[currency] + record.cost if currency in sums else record.cost
    return ", ".join(str(total) for total in sums.values())
