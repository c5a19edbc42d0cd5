"""Claude Code by person: tokens by day, model and actor from Anthropic's Claude Code analytics. No prices are in it.

Actors are people (by e-mail address) and API keys (by name). What Anthropic estimates beside the tokens is left unread.
Source: Anthropic's Claude Code Analytics API; days are UTC, the last hour is not in it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from pydantic import Field

from alertd.clients.billing_api import Billing, Pace, Pages, attributed, look_at_reports, read_windows
from alertd.clients.json_fields import Fields, every_page
from alertd.core.billing.read_plan import ReadWindow, plan_windows
from alertd.core.usage import Line, Usage
from alertd.plugin_options import Secret, SourceOptions
from alertd.ports import Look, Reading, SourceError
from alertd.sources._timed_source import TimedSource

PROVIDER: Final = "anthropic"
PACE: Final = Pace(timedelta(minutes=15), timedelta(hours=1), timedelta(hours=6))
#: Days that may still change.
_SETTLING: Final = timedelta(days=2)
_DAY: Final = timedelta(days=1)
_VERSION: Final = "2023-06-01"
_LIMIT: Final = "1000"
#: Anthropic's classes are disjoint.
_METERS: Final = {"input": "input", "cache_read": "cached_input", "cache_creation": "cache_write", "output": "output"}
#: The section of docs/sources.md about this kind; `make docs` puts it there.
GUIDE: Final = """\
Claude Code

Reads: tokens of Claude Code by day, model and person (label `user`, an e-mail address) or key (label `key`), of people
with a subscription, with the API or both (`CUSTOMERS`). They cost their list price: of a subscription that is what the
use would cost, not a bill. Beside the kind `anthropic` the tokens of the API are the same: read only those of
subscriptions there, or give this one `ROLE=check`.
Least privilege: an admin key (it runs no model). Delay: an hour; two days are read again. Cannot see: Bedrock, Vertex,
hours of a day.
```sh
ALERTD_SOURCES__CODE__KIND=claude_code
ALERTD_SOURCES__CODE__ADMIN_KEY_FILE=/run/secrets/anthropic-admin
ALERTD_SOURCES__CODE__CUSTOMERS=all
ALERTD_SOURCES__CODE__INTERVAL=15m
ALERTD_SOURCES__CODE__ROLE=check
```
"""


class Options(SourceOptions):
    """Claude Code. An admin key of the organization."""

    admin_key: Secret = Field(description="An admin key of the organization")
    customers: Literal["all", "api", "subscription"] = Field("all", description="Whose use counts")
    url: str = Field("https://api.anthropic.com", description="Where the API is")


def build(name: str, options: Options) -> ClaudeCode:
    """Build the source; it makes no request yet."""
    return ClaudeCode(name, options)


class ClaudeCode(TimedSource):
    """One organization's Claude Code."""

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, PACE, "usage")
        self._options = options
        headers = {"x-api-key": options.admin_key.get_secret_value(), "anthropic-version": _VERSION}
        self._billing = Billing(name, options, headers=headers, hidden=[options.admin_key.get_secret_value()])
        self._url = f"{options.url.rstrip('/')}/v1/organizations/usage_report/claude_code"

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """Days of tokens, the last ones again each time."""
        plan = plan_windows(cursor, since, now, reach_back=_SETTLING, days=7)
        pages = read_windows(plan, lambda window: self._pages(window, now), cursor=cursor, now=now, delay=self.delay)
        async for step in pages:
            yield step

    async def look(self, now: datetime) -> Look:
        """What was used since yesterday, by user."""
        plan = plan_windows(None, now - _DAY, now)
        return await look_at_reports(self._pages(plan[-1], now), now, ("user", "key"))

    async def close(self) -> None:
        """Close the connections."""
        await self._billing.close()

    async def _pages(self, window: ReadWindow, now: datetime) -> Pages:
        day = window.start
        while day < min(window.end, now):
            query = {"starting_at": f"{day.astimezone(UTC):%Y-%m-%d}", "limit": _LIMIT}
            sums: dict[tuple[str, str, str, str, str], int] = {}

            async def ask(page: str, query: dict[str, str] = query) -> Fields:
                return await self._billing.get(self._url, {**query, **({"page": page} if page else {})})

            async for page in every_page(ask, _next, self.name):
                for row in page.items("data"):
                    for line, count in self._counts(row):
                        sums[line] = sums.get(line, 0) + count
            yield {(day, *line): self._record(day, line, count) for line, count in sums.items()}
            day += _DAY

    def _counts(self, row: Fields) -> Iterator[tuple[tuple[str, str, str, str, str], int]]:
        """The tokens of an actor at one kind of terminal, by actor, customer, model and meter."""
        customer = row.text("customer_type")
        if self._options.customers not in {"all", customer}:
            return
        actor = row.child("actor")
        user, key = actor.text("email_address"), actor.text("api_key_name")
        for part in row.items("model_breakdown"):
            tokens = part.child("tokens")
            self._billing.expect(tokens, _METERS)
            for kind, meter in _METERS.items():
                count = tokens.whole(kind)
                if count < 0:
                    raise SourceError(f"{self.name}: {kind} of {part.text('model')} is below 0")
                if count:
                    yield (user, key, customer, part.text("model"), meter), count

    def _record(self, day: datetime, line: tuple[str, str, str, str, str], count: int) -> Usage:
        user, key, customer, model, meter = line
        start = day.astimezone(UTC)
        labels = attributed(self._options, {"user": user, "key": key, "customer": customer})
        priced = Line(PROVIDER, model, meter, (), self._options.account)
        return Usage(priced, start, start + _DAY, count, labels, self.name)


def _next(page: Fields) -> str:
    return page.text("next_page") if page.flag("has_more") else ""
