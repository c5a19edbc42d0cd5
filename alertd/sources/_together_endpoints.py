"""Together's dedicated endpoints, both interfaces: how many replicas run at which price a minute.

Source: Together's OpenAPI file of 2026-04 (v1: cents per minute), its SDK 3.1 (v2: cents per hour).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Final

from alertd.core.billing.lives import Seen
from alertd.core.pricing.endpoints import per_minute
from alertd.core.pricing.source_roles import CHARGE
from alertd.ports import SourceError
from alertd.wire.billing import Billing
from alertd.wire.fields import Fields
from alertd.wire.paging import every_page

#: An endpoint that starts may be billed already: cautiously, it is.
_RUNNING: Final = frozenset({"STARTED", "STARTING"})
_PAGE: Final = "100"


async def endpoints_v1(billing: Billing, url: str, replicas: str) -> list[Seen]:
    """The endpoints that run, by v1; it tells no current count of replicas, so `replicas` says min or max of them.

    There are none where the interface is gone (it is announced to end with 2026).
    """
    listed = await billing.find(f"{url}/v1/endpoints", {"type": "dedicated", "mine": "true"})
    running = [row for row in listed.items("data") if row.text("state") in _RUNNING] if listed else []
    if not running:
        return []
    prices = await _prices_v1(billing, url)
    found = []
    for row in running:
        whole = await billing.get(f"{url}/v1/endpoints/{row.text('id')}")
        hardware = whole.text("hardware")
        count = max(1, whole.child("autoscaling").whole(f"{replicas}_replicas"))
        labels = {CHARGE: "endpoint", "endpoint": row.text("name") or row.text("id"), "hardware": hardware}
        price = _priced(prices, hardware, row)
        found.append(Seen(row.text("id"), count, price, row.instant("created_at"), labels, row.text("model")))
    return found


async def endpoints_v2(billing: Billing, url: str) -> list[Seen]:
    """The deployments with ready replicas, by v2, of all projects that the key sees."""
    found: list[Seen] = []
    prices: dict[str, Decimal] = {}
    async for project in _rows(billing, f"{url}/v1/projects"):
        path = f"{url}/v2/projects/{project.text('id')}/endpoints"
        async for endpoint in _rows(billing, path):
            if endpoint.text("endpointType") == "ENDPOINT_TYPE_SERVERLESS":
                continue
            async for row in _rows(billing, f"{path}/{endpoint.text('id')}/deployments"):
                count = row.child("status").whole("readyReplicas")
                if not count:
                    continue
                prices = prices or await _prices_v2(billing, url)
                labels = {CHARGE: "endpoint", "endpoint": endpoint.text("name"), "hardware": row.text("hardware"),
                          "project": project.text("name") or project.text("id")}  # fmt: skip
                price = _priced(prices, row.text("hardware"), row)
                born = row.instant("createdAt")
                found.append(Seen(row.text("id"), count, price, born, labels, _model(row.text("model"))))
    return found


async def _rows(billing: Billing, url: str) -> AsyncIterator[Fields]:
    """Every object of a list in pages; none where there is no such list."""

    async def ask(after: str) -> Fields:
        page = await billing.find(url, {"limit": _PAGE, **({"after": after} if after else {})})
        return page if page is not None else Fields({"data": []}, billing.name)

    async for page in every_page(ask, lambda page: page.text("next_cursor"), billing.name):
        for row in page.items("data"):
            yield row


async def _prices_v1(billing: Billing, url: str) -> dict[str, Decimal]:
    listed = await billing.get(f"{url}/v1/hardware")
    return {row.text("id"): row.child("pricing").number("cents_per_minute") for row in listed.items("data")}


async def _prices_v2(billing: Billing, url: str) -> dict[str, Decimal]:
    listed = await billing.get(f"{url}/v2/public/inference-instance-types")
    priced = [(row, per_minute(row.number("priceCentsPerHour"))) for row in listed.items("data")]
    return {row.text(name): price for name in ("name", "id") for row, price in priced}


def _priced(prices: dict[str, Decimal], hardware: str, row: Fields) -> Decimal:
    if hardware not in prices:
        raise SourceError(f"{row.place}: an endpoint runs on {hardware or 'unnamed hardware'}, which has no price")
    return prices[hardware]


def _model(resource: str) -> str:
    """`projects/p/models/m/revisions/r` is the model m."""
    parts = resource.split("/")
    return parts[parts.index("models") + 1] if "models" in parts[:-1] else resource
