"""Anthropic: tokens by the hour (usage report) and cents by the day (cost report), read together for the same days.

With `analytics` the money comes per key from the beta reports instead. Buckets are UTC; amounts are cents, as text.
Source: Anthropic's API reference of the admin reports, 2026; SDK 2.12 for the analytics.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from pydantic import Field

from alertd.core.billing.backlog import Stretch, stretches
from alertd.core.pricing.source_roles import CHARGE, INFERENCE, SourceRole
from alertd.core.usage import BilledCost, Labels, Line, Usage
from alertd.options import Secret, SourceOptions
from alertd.ports import Look, Reading
from alertd.wire.billing import Billing, Pace, Pages, Query, Record, attributed, by_stretches
from alertd.wire.fields import Fields
from alertd.wire.names import Names
from alertd.wire.paging import every_page
from alertd.wire.reports import look_at_reports, named, next_page

PROVIDER: Final = "anthropic"
PACE: Final = Pace(timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=2))
_SETTLING: Final = timedelta(days=2)
#: 7 days of hours are one page of the usage report.
_DAYS: Final = 7
_CENT: Final = Decimal("0.01")
_VERSION: Final = "2023-06-01"
_BETA: Final = "analytics-usage-cost-2026-08-24"
_GROUPS: Final = ["api_key_id", "workspace_id", "model", "service_tier", "context_window", "inference_geo"]
#: What has a price of its own by tokens; everything else in a cost report is counted beside it.
_TOKENS: Final = frozenset({"", "tokens"})
_USUAL: Final = frozenset({"", "standard", "global", "not_available"})


class Options(SourceOptions):
    """Anthropic. An admin key of the organization; for the analytics a key with the scope read:analytics will do."""

    admin_key: Secret = Field(description="An admin key (sk-ant-admin...), made by an admin of the organization")
    costs: bool = Field(default=True, description="Whether the cost report is read besides the tokens")
    analytics: bool = Field(default=False, description="Money per key, from the beta analytics in place of costs")
    url: str = Field("https://api.anthropic.com", description="Where the API is")


def build(name: str, options: Options) -> Anthropic:
    """The source; contacts nobody yet."""
    return Anthropic(name, options)


class Anthropic:
    """One organization's usage and costs."""

    def __init__(self, name: str, options: Options) -> None:
        pace = PACE.set_by(options)
        self.name = name
        self.interval, self.delay, self.stale_after = pace.interval, pace.delay, pace.stale_after
        self.standing = SourceRole(options.role, "usage")
        self._options = options
        self._url = f"{options.url.rstrip('/')}/v1/organizations"
        headers = {"x-api-key": options.admin_key.get_secret_value(), "anthropic-version": _VERSION}
        self._billing = Billing(name, options, headers=headers)
        self._keys = Names("keys", lambda: named(self._billing, f"{self._url}/api_keys", "after_id"), self._billing)
        self._workspaces = Names(
            "workspaces", lambda: named(self._billing, f"{self._url}/workspaces", "after_id"), self._billing
        )

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """Usage and costs of the same days together, the last days again each time."""
        plan = stretches(cursor, since, now, reach_back=_SETTLING, days=_DAYS)
        async for step in by_stretches(
            plan, lambda stretch: self._pages(stretch, now), cursor=cursor, now=now, delay=self.delay
        ):
            yield step

    async def look(self, now: datetime) -> Look:
        """What the last day holds: tokens, dollars, workspaces and keys."""
        plan = stretches(None, now - timedelta(days=1), now, days=_DAYS)
        return await look_at_reports(self._pages(plan[-1], now), now, ("workspace", "key"))

    async def close(self) -> None:
        """Let the connections go."""
        await self._billing.close()

    async def _pages(self, stretch: Stretch, now: datetime) -> Pages:
        span = {"starting_at": f"{stretch.start:%Y-%m-%dT%H:%M:%SZ}", "ending_at": f"{stretch.end:%Y-%m-%dT%H:%M:%SZ}"}
        hours = {**span, "bucket_width": "1h", "limit": "168", "group_by[]": _GROUPS}
        async for rows in self._rows("usage_report/messages", hours):
            yield {key: usage for bucket, row in rows for key, usage in self._usage(bucket, row)}
        if self._options.analytics:
            async for page in self._analytics(span, now):
                yield page
        elif self._options.costs:
            days = {**span, "bucket_width": "1d", "limit": "31", "group_by[]": ["workspace_id", "description"]}
            async for rows in self._rows("cost_report", days):
                yield dict(self._cost(bucket, row, now - _SETTLING) for bucket, row in rows)

    async def _rows(self, path: str, query: Query) -> AsyncIterator[list[tuple[Fields, Fields]]]:
        """Every (bucket, result) page by page, once the names in it are known."""
        async for page in self._every(path, query):
            rows = [(bucket, row) for bucket in page.items("data") for row in bucket.items("results")]
            await self._learn([row for _, row in rows])
            yield rows

    async def _every(self, path: str, query: Query, headers: Mapping[str, str] | None = None) -> AsyncIterator[Fields]:
        async def ask(page: str) -> Fields:
            whole = {**query, **({"page": page} if page else {})}
            return await self._billing.get(f"{self._url}/{path}", whole, headers=headers)

        async for page in every_page(ask, next_page, self.name):
            yield page

    async def _learn(self, rows: Sequence[Fields]) -> None:
        await self._keys.learn({row.text("api_key_id") for row in rows})
        await self._workspaces.learn({row.text("workspace_id") for row in rows})

    def _usage(self, bucket: Fields, row: Fields) -> Iterator[tuple[Any, Usage]]:
        """The four disjoint counts of input and the output, each with what its price depends on."""
        written = row.child("cache_creation")
        counts = (
            ("input", "", row.whole("uncached_input_tokens")),
            ("cached_input", "", row.whole("cache_read_input_tokens")),
            ("cache_write", "5m", written.whole("ephemeral_5m_input_tokens")),
            ("cache_write", "1h", written.whole("ephemeral_1h_input_tokens")),
            ("output", "", row.whole("output_tokens")),
        )
        start, end = bucket.instant("starting_at"), bucket.instant("ending_at")
        who = tuple(row.text(name) for name in _GROUPS)
        for meter, lifetime, quantity in counts:
            if quantity:
                usage = Usage(self._line(row, meter, lifetime), start, end, quantity, self._labels(row), self.name)
                yield ("usage", start, meter, lifetime, who), usage

    def _line(self, row: Fields, meter: str, lifetime: str) -> Line:
        tier = row.text("service_tier")
        batch = tier == "batch" and meter in {"input", "output"}
        refined = {"tier": "" if batch else tier, "context": row.text("context_window"),
                   "region": row.text("inference_geo"), "cache_ttl": lifetime}  # fmt: skip
        modifiers = tuple(sorted((name, value) for name, value in refined.items() if value not in _USUAL))
        return Line(PROVIDER, row.text("model"), f"batch_{meter}" if batch else meter, modifiers, self._options.account)

    def _cost(self, bucket: Fields, row: Fields, settled: datetime) -> tuple[Any, BilledCost]:
        start, end = bucket.instant("starting_at"), bucket.instant("ending_at")
        record = self._billed(row, row, (start, end), row.text("description"), settled)
        return ("cost", start, row.text("workspace_id"), row.text("description"), row.text("currency")), record

    async def _analytics(self, span: Mapping[str, str], now: datetime) -> Pages:
        """Money per key, as far as it was refreshed; amounts after discounts, before credits."""
        query = {**span, "time_bucket_width": "1d", "limit": "1000",
                 "group_by[]": ["api_key_id", "workspace_id", "model", "cost_type"]}  # fmt: skip
        async for page in self._every("analytics/cost", query, {"anthropic-beta": _BETA}):
            rows = page.items("data")
            groups = [row.child("group") for row in rows]
            refreshed = page.instant("data_refreshed_at") if "data_refreshed_at" in page else now
            await self._learn(groups)
            settled = min(refreshed, now - _SETTLING)
            found: dict[Any, Record] = {}
            for row, group in zip(rows, groups, strict=True):
                window = row.instant("starting_at"), row.instant("ending_at")
                who = tuple(group.text(name) for name in group)
                found["analytics", window[0], who] = self._billed(row.child("cost"), group, window, "", settled)
            yield found

    def _billed(
        self, money: Fields, who: Fields, window: tuple[datetime, datetime], line: str, settled: datetime
    ) -> BilledCost:
        kind = who.text("cost_type")
        labels = {**self._labels(who), "line": line, **({CHARGE: kind} if kind not in _TOKENS | {INFERENCE} else {})}
        cost = money.money("amount", money.text("currency") or "USD", _CENT)
        known = attributed(self._options, labels)
        final = window[1] <= settled
        return BilledCost(PROVIDER, *window, cost, known, who.text("model"), self.name, final=final)

    def _labels(self, row: Fields) -> Labels:
        """Whose it is. The default workspace has no id, and use in the console no key."""
        workspace, key = row.text("workspace_id"), row.text("api_key_id")
        named = self._workspaces.of(workspace) if workspace else "default"
        found = {"workspace": named, "workspace_id": workspace, "key": self._keys.of(key), "key_id": key}
        return attributed(self._options, found)
