"""Anthropic: tokens by the hour (usage report) and cents by the day (cost report), read together for the same days.

With `analytics` the money comes per key from the beta reports instead. Buckets are UTC; amounts are cents, as text.
Source: Anthropic's API reference of the admin reports, 2026; SDK 2.12 for the analytics.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from pydantic import Field

from alertd.clients.billing_api import (
    Billing,
    Names,
    Pages,
    Record,
    attributed,
    named,
)
from alertd.clients.json_fields import Fields
from alertd.core.billing.read_plan import ReadWindow
from alertd.core.pricing.source_roles import CHARGE, INFERENCE
from alertd.core.usage import BilledCost, Labels, Line, Usage
from alertd.plugin_options import Secret, SourceOptions
from alertd.sources._timed_source import SETTLING, ReportSource

PROVIDER: Final = "anthropic"
_CENT: Final = Decimal("0.01")
_VERSION: Final = "2023-06-01"
_BETA: Final = "analytics-usage-cost-2026-08-24"
_GROUPS: Final = ["api_key_id", "workspace_id", "model", "service_tier", "context_window", "inference_geo"]
#: What has a price of its own by tokens; everything else in a cost report is counted beside it.
_TOKENS: Final = frozenset({"", "tokens"})
_USUAL: Final = frozenset({"", "standard", "global", "not_available"})
#: The section of docs/sources.md about this kind; `make docs` puts it there.
GUIDE: Final = """\
Anthropic

Reads: the usage report by the hour (key, workspace, model, tier, context, region) and the cost report by the day;
with `ANALYTICS` money per key from the beta in place of the cost report. Amounts are cents and become dollars.
Least privilege: an admin key; for the analytics alone `read:analytics`. Delay: about 5 minutes; two days are read
again.
Cannot see: the priority tier's money in the cost report (its tokens are there), accounts without an organization.
```sh
ALERTD_SOURCES__CLAUDE__KIND=anthropic
ALERTD_SOURCES__CLAUDE__ADMIN_KEY_FILE=/run/secrets/anthropic-admin
ALERTD_SOURCES__CLAUDE__COSTS=true
ALERTD_SOURCES__CLAUDE__ANALYTICS=false
ALERTD_SOURCES__CLAUDE__INTERVAL=5m
```
"""


class Options(SourceOptions):
    """Anthropic. An admin key of the organization; for the analytics a key with the scope read:analytics will do."""

    admin_key: Secret = Field(description="An admin key (sk-ant-admin...), made by an admin of the organization")
    costs: bool = Field(default=True, description="Whether the cost report is read besides the tokens")
    analytics: bool = Field(default=False, description="Money per key, from the beta analytics in place of costs")
    url: str = Field("https://api.anthropic.com", description="Where the API is")


def build(name: str, options: Options) -> Anthropic:
    """Build the source; it makes no request yet."""
    return Anthropic(name, options)


class Anthropic(ReportSource):
    """One organization's usage and costs."""

    about = ("workspace", "key")

    def __init__(self, name: str, options: Options) -> None:
        headers = {"x-api-key": options.admin_key.get_secret_value(), "anthropic-version": _VERSION}
        billing = Billing(name, options, headers=headers)
        self._url = url = f"{options.url.rstrip('/')}/v1/organizations"
        self._keys = Names("keys", lambda: named(billing, f"{url}/api_keys", "after_id"), billing)
        self._workspaces = Names("workspaces", lambda: named(billing, f"{url}/workspaces", "after_id"), billing)
        super().__init__(name, options, billing, {"api_key_id": self._keys, "workspace_id": self._workspaces})
        self._options = options

    async def pages(self, window: ReadWindow, now: datetime) -> Pages:
        """The usage by the hour, then the money: by key from the analytics, else the cost report by the day."""
        span = {"starting_at": f"{window.start:%Y-%m-%dT%H:%M:%SZ}", "ending_at": f"{window.end:%Y-%m-%dT%H:%M:%SZ}"}
        hours = {**span, "bucket_width": "1h", "limit": "168", "group_by[]": _GROUPS}
        async for rows in self.rows(f"{self._url}/usage_report/messages", hours):
            yield {key: usage for bucket, row in rows for key, usage in self._usage(bucket, row)}
        if self._options.analytics:
            async for page in self._analytics(span, now):
                yield page
        elif self._options.costs:
            days = {**span, "bucket_width": "1d", "limit": "31", "group_by[]": ["workspace_id", "description"]}
            async for rows in self.rows(f"{self._url}/cost_report", days):
                yield dict(self._cost(bucket, row, now - SETTLING) for bucket, row in rows)

    def _usage(self, bucket: Fields, row: Fields) -> Iterator[tuple[object, Usage]]:
        """The output and the four disjoint counts of input, each with its price modifiers."""
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

    def _cost(self, bucket: Fields, row: Fields, settled: datetime) -> tuple[object, BilledCost]:
        start, end = bucket.instant("starting_at"), bucket.instant("ending_at")
        record = self._billed(row, row, (start, end), row.text("description"), settled)
        return ("cost", start, row.text("workspace_id"), row.text("description"), row.text("currency")), record

    async def _analytics(self, span: Mapping[str, str], now: datetime) -> Pages:
        """Money per key, as far as it was refreshed; amounts after discounts, before credits."""
        query = {**span, "time_bucket_width": "1d", "limit": "1000",
                 "group_by[]": ["api_key_id", "workspace_id", "model", "cost_type"]}  # fmt: skip
        async for page in self.every(f"{self._url}/analytics/cost", query, {"anthropic-beta": _BETA}):
            rows = page.items("data")
            groups = [row.child("group") for row in rows]
            refreshed = page.instant("data_refreshed_at") if "data_refreshed_at" in page else now
            await self.learn(groups)
            settled = min(refreshed, now - SETTLING)
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
        """The labels of a row. The default workspace has no id, and use in the console has no key."""
        workspace, key = row.text("workspace_id"), row.text("api_key_id")
        named = self._workspaces.of(workspace) if workspace else "default"
        found = {"workspace": named, "workspace_id": workspace, "key": self._keys.of(key), "key_id": key}
        return attributed(self._options, found)
