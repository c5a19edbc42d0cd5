"""GitHub Copilot: AI credits billed by day, product and model, of an organization, an enterprise and named users.

Gross is what was used, net what is billed once the pool of included credits is used up. One request is one day, of one
user. Source: GitHub's REST description, API version 2026-03-10; days are UTC, a credit is a cent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal
from urllib.parse import quote

from pydantic import Field, model_validator

from alertd.clients.billing_api import Billing, Pace, Pages, attributed, look_at_reports, read_windows
from alertd.clients.json_fields import Fields
from alertd.core.billing.read_plan import ReadWindow, plan_windows
from alertd.core.money import Money
from alertd.core.usage import BilledCost
from alertd.plugin_options import Secret, SourceOptions
from alertd.ports import Look, Reading
from alertd.sources._timed_source import TimedSource

PROVIDER: Final = "github"
#: How late a day's credits are, nobody says [not promised].
PACE: Final = Pace(timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))
#: Days that may still change.
_SETTLING: Final = timedelta(days=2)
_DAY: Final = timedelta(days=1)
_VERSION: Final = "2026-03-10"
_KNOWN: Final = (
    "product", "sku", "model", "unitType", "pricePerUnit", "grossQuantity", "grossAmount", "discountQuantity",
    "discountAmount", "netQuantity", "netAmount",
)  # fmt: skip
#: The section of docs/sources.md about this kind; `make docs` puts it there.
GUIDE: Final = """\
GitHub Copilot

Reads: dollars of AI credits by day, product and model. `AMOUNT=net` is what is billed beyond the pool of included
credits, `AMOUNT=gross` what was used at list price, the pool too. GitHub names a user only in the answer to a request
about that user: each of `USERS` is one request a day, and usage of others has no user.
Least privilege: a fine-grained token of an administrator with "Administration" (read); an enterprise takes a classic
one. Delay: taken as six hours; two days are read again. Cannot see: tokens, today's last hours.
```sh
ALERTD_SOURCES__COPILOT__KIND=github_copilot
ALERTD_SOURCES__COPILOT__TOKEN_FILE=/run/secrets/github
ALERTD_SOURCES__COPILOT__ORGANIZATION=acme
ALERTD_SOURCES__COPILOT__AMOUNT=net
ALERTD_SOURCES__COPILOT__USERS=ana,ben
```
"""


class Options(SourceOptions):
    """GitHub Copilot. The token reads the billing of an organization or an enterprise."""

    token: Secret = Field(description='A token with "Administration" (read)')
    organization: str = Field("", description="The organization's login")
    enterprise: str = Field("", description="The enterprise's slug, instead of an organization")
    users: tuple[str, ...] = Field((), description="Logins to ask for one by one: a request a day each")
    amount: Literal["net", "gross"] = Field("net", description="net: what is billed; gross: what was used")
    url: str = Field("https://api.github.com", description="Where the API is")

    @model_validator(mode="after")
    def _one_of(self) -> Options:
        if bool(self.organization) == bool(self.enterprise):
            raise ValueError("name an organization, or an enterprise")
        return self


def build(name: str, options: Options) -> GithubCopilot:
    """Build the source; it makes no request yet."""
    return GithubCopilot(name, options)


#: Product, SKU and model of an item.
_Item = tuple[str, str, str]


class GithubCopilot(TimedSource):
    """One organization's or enterprise's AI credits."""

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, PACE, "bill")
        self._options = options
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": _VERSION}
        self._billing = Billing(name, options, bearer=options.token.get_secret_value(), headers=headers)
        kind, whose = ("organizations", options.organization) if options.organization else (
            "enterprises", options.enterprise)  # fmt: skip
        self._path = f"{options.url.rstrip('/')}/{kind}/{quote(whose, safe='')}/settings/billing/ai_credit/usage"

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """Days of dollars, the last ones again each time."""
        plan = plan_windows(cursor, since, now, reach_back=_SETTLING)
        pages = read_windows(plan, lambda window: self._pages(window, now), cursor=cursor, now=now, delay=self.delay)
        async for step in pages:
            yield step

    async def look(self, now: datetime) -> Look:
        """What was charged since yesterday, by user."""
        plan = plan_windows(None, now - _DAY, now)
        return await look_at_reports(self._pages(plan[-1], now), now, ("user", "product"))

    async def close(self) -> None:
        """Close the connections."""
        await self._billing.close()

    async def _pages(self, window: ReadWindow, now: datetime) -> Pages:
        day = window.start
        while day < min(window.end, now):
            rest = await self._day(day, "")
            for user in self._options.users:
                own = await self._day(day, user)
                rest = {item: amount - own.get(item, Decimal(0)) for item, amount in rest.items()}
                yield dict(self._records(day, own, user))
            # What changed between two requests may make the sum of users larger for an hour.
            yield dict(self._records(day, {item: max(Decimal(0), amount) for item, amount in rest.items()}, ""))
            day += _DAY

    async def _day(self, day: datetime, user: str) -> dict[_Item, Decimal]:
        """The dollars of a UTC day by item, of a user or of all."""
        query = {
            "year": str(day.year),
            "month": str(day.month),
            "day": str(day.day),
            **({"user": user} if user else {}),
        }
        found: dict[_Item, Decimal] = {}
        for row in (await self._billing.get(self._path, query)).items("usageItems"):
            self._billing.expect(row, _KNOWN)
            item = row.text("product"), row.text("sku"), row.text("model")
            found[item] = found.get(item, Decimal(0)) + self._amount(row)
        return found

    def _amount(self, row: Fields) -> Decimal:
        return row.number(f"{self._options.amount}Amount")

    def _records(
        self, day: datetime, amounts: dict[_Item, Decimal], user: str
    ) -> Iterator[tuple[tuple[object, ...], BilledCost]]:
        start = day.astimezone(UTC)
        for item, amount in amounts.items():
            if amount:
                product, sku, model = item
                labels = attributed(self._options, {"user": user, "product": product, "sku": sku})
                yield (
                    (start, user, *item),
                    BilledCost(PROVIDER, start, start + _DAY, Money(amount, "USD"), labels, model, self.name),
                )
