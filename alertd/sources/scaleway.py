"""Scaleway's bill (Billing v2beta1): the month to date by project and product, untaxed. It has no days and no keys.

What grew since the last look is given to the days in between, by time; the first look's figure to all days of the month
so far. The month's total is exact at any time, its days are as exact as the bill is often refreshed.
Source: Scaleway's OpenAPI file of billing v2beta1; Generative APIs FAQ of 2026-07.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatch
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from alertd.clients.billing_api import Billing, Pace, ago, attributed
from alertd.clients.json_fields import Fields
from alertd.core.billing.read_plan import Key, Month, midnight, month_of, months, remembered, to_remember
from alertd.core.counting.buckets import nanos
from alertd.core.messages.format import plural
from alertd.core.money import Money, from_nanos, from_units_and_nanos
from alertd.core.pricing.allocation import allocate
from alertd.core.usage import BilledCost
from alertd.plugin_options import Secret, SourceOptions, TextList, ZoneName
from alertd.ports import Look, Reading, SourceError
from alertd.sources._timed_source import TimedSource

PROVIDER: Final = "scaleway"
#: Bills are refreshed some times a day [not promised].
PACE: Final = Pace(timedelta(hours=1), timedelta(hours=24), timedelta(hours=24))
_PAGE: Final = 100
_CENT: Final = Decimal("0.01")
#: `llama-3.3-70b-instruct - Output tokens` is the model and what was counted [not promised].
_RESOURCE: Final = re.compile(r"(?P<model>.+?)\s+-\s+(?P<what>.*\btokens?\b.*)\Z", re.IGNORECASE)
_KNOWN: Final = (
    "value", "product_name", "resource_name", "sku", "project_id", "project_name", "organization_name",
    "category_name", "unit", "billed_quantity", "consumer_id",
)  # fmt: skip
#: The section of docs/sources.md about this kind; `make docs` puts it there.
GUIDE: Final = """\
Scaleway

Reads: Billing v2beta1, the month to date by project and product, untaxed. The bill has no days and no keys: what grew
between two looks is given to the time between them, by time; the first look's figure to all days of the month so far.
The month's total is always exact, its days are as exact as the bill is often refreshed. Tokens as they happen come
from Cockpit, by kind `prometheus`, preset `scaleway`.
Least privilege: an IAM application with `BillingReadOnly`. Delay: some refreshes a day; the last month is read until
the 5th (`SETTLE`). Cannot see: keys, models other than by the line's text, and to which product a discount belongs:
discounts count where `PRODUCTS` leaves nothing else of the bill out.
```sh
ALERTD_SOURCES__SCW__KIND=scaleway
ALERTD_SOURCES__SCW__SECRET_KEY_FILE=/run/secrets/scaleway
ALERTD_SOURCES__SCW__ORGANIZATION_ID=105bdce1-64c0-48ab-899d-868455867ecf
ALERTD_SOURCES__SCW__PRODUCTS=*generative*apis*
ALERTD_SOURCES__SCW__TIMEZONE=UTC
```
"""


class Options(SourceOptions):
    """Scaleway's bill. The key's application needs the permission set BillingReadOnly, for its organization."""

    secret_key: Secret = Field(description="The secret key of an IAM API key with BillingReadOnly")
    organization_id: str = Field("", description="The organization whose bill is read; or name projects")
    project_ids: TextList = Field(default_factory=list, description="The projects whose part of the bill is read")
    products: TextList = Field(
        ["*generative*apis*", "*generative-apis*"],
        description="What is taken of the bill: patterns of category, product, resource or SKU; * takes everything",
    )
    discounts: Literal["auto", "include", "leave_out"] = Field(
        "auto",
        description="The bill's discounts (free tier, vouchers) name no product; auto takes them where `products`"
        " leaves nothing out",
    )
    timezone: ZoneName = Field("UTC", description="The zone in which the bill's months begin")
    settle: int = Field(5, ge=1, le=27, description="How many days into the next month a month's bill may still change")
    url: str = Field("https://api.scaleway.com", description="Where the API is")

    @model_validator(mode="after")
    def _one_scope(self) -> Options:
        if bool(self.organization_id) == bool(self.project_ids):
            raise ValueError("name either organization_id or project_ids")
        return self


class BillRow(NamedTuple):
    """The key of a line of the bill, stable between refreshes."""

    currency: str
    project: str
    project_id: str
    category: str
    product: str
    resource: str
    sku: str


@dataclass(frozen=True, slots=True)
class MonthBill:
    """One scope's month to date, as of `at`; discounts have no product and are below zero."""

    at: datetime | None
    lines: Mapping[Key, int]
    left_out: Mapping[str, Decimal] = field(default_factory=dict)


def build(name: str, options: Options) -> Scaleway:
    """Build the source; it makes no request yet."""
    return Scaleway(name, options)


class Scaleway(TimedSource):
    """The bill of an organization, or of some of its projects."""

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, PACE, "bill")
        self._options = options
        self._zone = ZoneInfo(options.timezone)
        self._billing = Billing(name, options, headers={"X-Auth-Token": options.secret_key.get_secret_value()})

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """The months that may have changed, each whole: first all from `since`, then this one and what settles."""
        held = remembered(cursor)
        settling = month_of(now - timedelta(days=self._options.settle), self._zone)
        first = min(month_of(since, self._zone), settling if settling in held else date.max)
        wanted = [m for m in months(first, month_of(now, self._zone)) if m >= settling or m not in held]
        for number, name in enumerate(wanted, start=1):
            month = held.setdefault(name, Month(name))
            until = await self._refresh(month, now)
            yield Reading(
                to_remember(held, settling),
                min(until, now),
                records=tuple(self._records(month, final=name < settling)),
                window=month.window(self._zone),
                progress=number / len(wanted) if len(wanted) > 1 else None,
                complete_from=midnight(wanted[0], self._zone),
            )

    async def look(self, now: datetime) -> Look:
        """Describe this month's bill: its total, the part that is collected, and its age."""
        bills = [await self._bill(scope, month_of(now, self._zone)) for scope in self._scopes()]
        refreshed = [bill.at for bill in bills if bill.at is not None]
        lines = {BillRow(*key): amount for bill in bills for key, amount in bill.lines.items()}
        left = {name: amount for bill in bills for name, amount in bill.left_out.items()}
        latest = min(refreshed, default=None)
        age = f", refreshed {ago(latest, now)} ago" if latest else ""
        total = from_nanos(sum(lines.values()), next((e.currency for e in lines), "EUR"))
        summary = f"bill of {month_of(now, self._zone):%B %Y}: {plural(len(lines), 'line')}, {total} untaxed{age}"
        problems = [f"left out of the bill: {_sums(left)}; `products` says what is taken"] if left and not lines else []
        labels = {"project": sorted({e.project for e in lines if e.project}),
                  "product": sorted({e.product for e in lines})}  # fmt: skip
        return Look(summary, latest, tuple(problems), labels)

    async def close(self) -> None:
        """Close the connections."""
        await self._billing.close()

    def _scopes(self) -> list[str]:
        """The organization or its projects, one query each, because the API takes one at a time."""
        return self._options.project_ids or [""]

    async def _refresh(self, month: Month, now: datetime) -> datetime:
        """Add the month's bill in its present state; returns up to when it is known."""
        start, end = month.window(self._zone)
        bills = {scope: await self._bill(scope, month.first) for scope in self._scopes()}
        for scope, bill in bills.items():
            if not bill.lines and month.total(scope) > 0:
                raise SourceError(f"{self.name}: the bill of {month.first:%Y-%m} holds nothing any more")
            at = bill.at or max(start, min(end, now - self.delay))
            if not month.update(scope, at, bill.lines, self._zone):
                self._billing.once(f"an answer of {at:%Y-%m-%d %H:%M} is older than the one before and is left out")
        return max(start, min(end, *(month.updated.get(scope, start) for scope in bills)))

    async def _bill(self, scope: str, month: date) -> MonthBill:
        """All pages of one scope's month, or SourceError: never a part of them."""
        pages: list[Fields] = []
        read: list[Fields] = []
        while not pages or len(read) < pages[0].whole("total_count"):
            page = await self._page(scope, month, len(pages) + 1)
            rows = page.items("consumptions")
            pages.append(page)
            read.extend(rows)
            if not rows:
                break
        _unchanged(self.name, pages, read)
        return self._sorted_out(scope, pages[0], read)

    async def _page(self, scope: str, month: date, number: int) -> Fields:
        whose = {"project_id": scope} if scope else {"organization_id": self._options.organization_id}
        query = {**whose, "billing_period": f"{month:%Y-%m}", "page": str(number), "page_size": str(_PAGE),
                 "order_by": "category_name_asc"}  # fmt: skip
        return await self._billing.get(f"{self._options.url.rstrip('/')}/billing/v2beta1/consumptions", query)

    def _sorted_out(self, scope: str, first: Fields, rows: Sequence[Fields]) -> MonthBill:
        """The selected lines by key, and the sums of the others."""
        lines: dict[Key, int] = {}
        left: dict[str, Decimal] = {}
        for row in rows:
            self._billing.expect(row, _KNOWN)
            entry, cost = _entry(row), _value(row)
            if self._wanted(entry):
                lines[entry] = lines.get(entry, 0) + nanos(cost)
            elif cost.amount:
                name = f"{entry.category}/{entry.product}".strip("/")
                left[name] = left.get(name, Decimal(0)) + cost.amount
        if left:
            self._billing.once(f"left out of the bill: {', '.join(sorted(left))}; `products` says what is taken")
        lines = self._discounted(scope, first, lines, alone=not left)
        at = first.instant("updated_at") if "updated_at" in first else None
        return MonthBill(at, lines, left)

    def _discounted(self, scope: str, first: Fields, lines: dict[Key, int], *, alone: bool) -> dict[Key, int]:
        """The lines less what the bill takes off as a whole (free tier, vouchers), if it can only be for these.

        It is shared in proportion to what each project was charged, to the cent, and so among a project's lines.
        """
        if "total_discount_untaxed_value" not in first or self._options.discounts == "leave_out":
            return lines
        off = abs(first.number("total_discount_untaxed_value"))
        if off and not alone and self._options.discounts == "auto":
            self._billing.once("discounts are left out: they may be for products that are not taken")
            return lines
        if not off:
            return lines
        if not any(amount > 0 for amount in lines.values()):
            return lines | {BillRow("EUR", "", scope, "", "discount", "", ""): -nanos(Money(off, "EUR"))}
        projects: dict[str, list[Key]] = {}
        for key in lines:
            entry = BillRow(*key)
            projects.setdefault(entry.project_id or entry.project, []).append(key)
        sums = [sum(max(lines[key], 0) for key in keys) for keys in projects.values()]
        net = dict(lines)
        for keys, share in zip(projects.values(), allocate(off, sums, _CENT), strict=True):
            parts = allocate(share, [max(lines[key], 0) for key in keys])
            for key, part in zip(keys, parts, strict=True):
                net[key] -= nanos(Money(part, BillRow(*key).currency))
        return net

    def _wanted(self, entry: BillRow) -> bool:
        names = [name.lower() for name in (entry.category, entry.product, entry.resource, entry.sku)]
        return any(fnmatch(name, pattern.lower()) for pattern in self._options.products for name in names)

    def _records(self, month: Month, *, final: bool) -> Iterator[BilledCost]:
        for _, key, start, end, amount in month.by_day(self._zone):
            entry = BillRow(*key)
            labels, model = self._labels(entry)
            yield BilledCost(
                PROVIDER, start, end, from_nanos(amount, entry.currency), labels, model, self.name, final=final
            )

    def _labels(self, entry: BillRow) -> tuple[Mapping[str, str], str]:
        """The labels and the model of an entry."""
        found = _RESOURCE.match(entry.resource)
        model = found["model"] if found else entry.resource
        labels = {"project": entry.project or entry.project_id, "project_id": entry.project_id,
                  "product": entry.product, "category": entry.category}  # fmt: skip
        if found:
            labels["line"] = found["what"].lower()
        return attributed(self._options, labels), model


def _entry(row: Fields) -> BillRow:
    currency = row.child("value").text("currency_code") or "EUR"
    named = ("project_name", "project_id", "category_name", "product_name", "resource_name", "sku")
    return BillRow(currency.upper(), *(row.text(name) for name in named))


def _value(row: Fields) -> Money:
    value = row.child("value")
    if "units" not in value and "nanos" not in value:
        raise SourceError(f"{row.place}.value is missing: the line has no amount")
    currency = value.text("currency_code") or "EUR"
    try:
        return from_units_and_nanos(value.whole("units"), value.whole("nanos"), currency.upper())
    except ValueError as error:
        raise SourceError(f"{row.place}.value: {error}") from None


def _unchanged(name: str, pages: Sequence[Fields], read: Sequence[Fields]) -> None:
    """SourceError if the pages belong to different bills or are incomplete."""
    wanted = {page.whole("total_count") for page in pages}
    if len({page.text("updated_at") for page in pages}) > 1 or len(wanted) > 1:
        raise SourceError(f"{name}: the bill was refreshed while its pages were read; it is read again")
    if wanted != {len(read)}:
        raise SourceError(f"{name}: {len(read)} of {wanted.pop()} lines of the bill arrived; a page is missing")


def _sums(left: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{name} {amount:f}" for name, amount in sorted(left.items()))
