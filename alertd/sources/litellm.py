"""LiteLLM's daily activity: tokens by day, model and key. Its own spend is an estimate: kept beside, never the cost.

One day may be split over pages: counts are added until the last page. Days are UTC. Prompt tokens include cached ones.
Source: LiteLLM 1.106, litellm/proxy (GET /user/daily/activity).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from pydantic import Field

from alertd.clients.billing_api import Billing, Pace, Pages, attributed, read_windows
from alertd.clients.json_fields import Fields
from alertd.core.billing.read_plan import ReadWindow, midnight, plan_windows
from alertd.core.money import Money
from alertd.core.pricing.source_roles import CHARGE, ESTIMATE
from alertd.core.spellings import provider_id
from alertd.core.usage import BilledCost, Line, Usage
from alertd.plugin_options import Secret, SourceOptions
from alertd.ports import Look, Reading, SourceError
from alertd.sources._timed_source import TimedSource

PACE: Final = Pace(timedelta(minutes=1), timedelta(minutes=2), timedelta(minutes=30))
_DAY: Final = timedelta(days=1)
#: Counters of past days only grow, by what is written late.
_SETTLING: Final = timedelta(hours=1)
_PAGE: Final = 1000
_MOST_PAGES: Final = 1000
_COUNTS: Final = ("prompt_tokens", "completion_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
#: The section of docs/sources.md about this kind; `make docs` puts it there.
GUIDE: Final = """\
LiteLLM

Reads: the daily activity by model and key; a day that is split over pages is put together. Its own spend is kept as an
estimate and never counts. Read either this or its counters (`prometheus`, preset `litellm`), not both.
Least privilege: a virtual key of a `proxy_admin_viewer`. Delay: about a minute. Cannot see: other users' traffic with
a key that is no admin's (the proxy does not say so: `alertd check` warns where only one key shows), the provider of a
model whose name does not show it, if you use several (`PROVIDER`).
```sh
ALERTD_SOURCES__GATEWAY__KIND=litellm
ALERTD_SOURCES__GATEWAY__URL=http://litellm:4000
ALERTD_SOURCES__GATEWAY__API_KEY_FILE=/run/secrets/litellm
ALERTD_SOURCES__GATEWAY__INTERVAL=1m
ALERTD_SOURCES__GATEWAY__ROLE=auto
```
"""


class Options(SourceOptions):
    """A LiteLLM proxy with a database. The key must be of a proxy admin (or proxy_admin_viewer)."""

    api_key: Secret = Field(description="The master key, or a virtual key of a proxy admin; others see only themselves")
    url: str = Field(description="Where the proxy is, http://litellm:4000, with its root path if it has one")
    provider: str = Field("", description="The provider of models whose name does not show it")


class Who(NamedTuple):
    """The subject of a count: a model, used with a key, on a day. The key is "" if it is not reported."""

    day: date
    provider: str
    model: str
    key: str
    alias: str = ""
    team: str = ""


def build(name: str, options: Options) -> LiteLLM:
    """Build the source; it makes no request yet."""
    return LiteLLM(name, options)


class LiteLLM(TimedSource):
    """A source of one proxy's daily activity."""

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, PACE, "usage")
        self._options = options
        self._billing = Billing(name, options, bearer=options.api_key.get_secret_value())

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """Days in windows of a week; today, and yesterday just after midnight, again each time."""
        plan = plan_windows(cursor, since, now, reach_back=_SETTLING, days=7)
        async for step in read_windows(plan, self._pages, cursor=cursor, now=now, delay=self.delay):
            yield step

    async def look(self, now: datetime) -> Look:
        """Describe the last two days, and whether they look complete."""
        plan = plan_windows(None, now - _DAY, now, days=7)
        counts: dict[Who, Counter[str]] = {}
        async for page in self._activity(plan[-1]):
            _add(counts, page, self._options.provider)
        tokens = sum(count["prompt_tokens"] + count["completion_tokens"] for count in counts.values())
        days = sorted({who.day for who in counts})
        seen = {"key": {who.alias or who.key[:8] for who in counts}, "team": {who.team for who in counts},
                "model": {who.model for who in counts}}  # fmt: skip
        labels = {name: sorted(values - {""}) for name, values in seen.items()}
        alone = len(labels["key"]) == 1
        remarks = ("only one key is seen; a key that is no proxy admin's sees nobody else's",) if alone else ()
        latest = midnight(days[-1], UTC) if days else None
        return Look(f"{tokens:,} tokens since yesterday", latest, labels=labels, remarks=remarks)

    async def close(self) -> None:
        """Close the connections."""
        await self._billing.close()

    async def _pages(self, window: ReadWindow) -> Pages:
        """The counts so far, growing page by page: the last yield holds all of them."""
        counts: dict[Who, Counter[str]] = {}
        spend: dict[Who, Decimal] = {}
        async for page in self._activity(window):
            _add(counts, page, self._options.provider, spend)
            yield {key: record for who, count in counts.items() for key, record in self._usage(who, count)}
        yield {("spend", who): self._estimate(who, amount) for who, amount in spend.items() if amount}

    async def _activity(self, window: ReadWindow) -> AsyncIterator[Fields]:
        """Every page of the proxy's activity, until it reports the last."""
        last = (window.end - _DAY).date()
        for number in range(1, _MOST_PAGES):
            query = {"start_date": str(window.start.date()), "end_date": str(last), "page": str(number),
                     "page_size": str(_PAGE)}  # fmt: skip
            page = await self._billing.get(f"{self._options.url.rstrip('/')}/user/daily/activity", query)
            yield page
            about = page.child("metadata")
            if about.flag("has_more") is False or (
                about.flag("has_more") is None and number >= about.whole("total_pages")
            ):
                return
            if not page.items("results"):
                raise SourceError(f"{self.name}: page {number} of the activity is empty and says that there is more")
        raise SourceError(f"{self.name}: more than {_MOST_PAGES} pages of activity")

    def _usage(self, who: Who, count: Counter[str]) -> Iterator[tuple[object, Usage]]:
        """Disjoint meters. Where more is cached than was prompted, the proxy counted it beside the prompt."""
        prompt, output, read, written = (count[name] for name in _COUNTS)
        if read + written > prompt:
            self._billing.once(f"{who.model}: more cached than prompt tokens; they are taken as beside them")
        else:
            prompt -= read + written
        meters = {"input": prompt, "cached_input": read, "cache_write": written, "output": output}
        start = midnight(who.day, UTC)
        for meter, quantity in meters.items():
            if quantity:
                line = Line(who.provider, who.model, meter, (), self._options.account)
                yield (who, meter), Usage(line, start, start + _DAY, quantity, self._labels(who), self.name)

    def _estimate(self, who: Who, amount: Decimal) -> BilledCost:
        start = midnight(who.day, UTC)
        labels = {**self._labels(who), CHARGE: ESTIMATE}
        return BilledCost(who.provider, start, start + _DAY, Money(amount, "USD"), labels, who.model, self.name)

    def _labels(self, who: Who) -> Mapping[str, str]:
        """The key's alias; one without an alias by the beginning of its hash, never the whole."""
        return attributed(self._options, {"key": who.alias or who.key[:8], "team": who.team})


def _add(counts: dict[Who, Counter[str]], page: Fields, provider: str, spend: dict[Who, Decimal] | None = None) -> None:
    """Add a page's counts by model and key; counts without a key by model alone."""
    for result in page.items("results"):
        parts = result.child("breakdown")
        providers = list(parts.children("providers"))
        sold = provider_id(providers[0]) if len(providers) == 1 else provider
        models = parts.children("models")
        for model, entry in models.items():
            for who, metrics in _whose(Who(result.day("date"), sold, model, ""), entry):
                counts.setdefault(who, Counter()).update({name: metrics(name) for name in _COUNTS})
                if spend is not None:
                    spend[who] = spend.get(who, Decimal(0)) + metrics.spend


class _Metrics:
    """The counts of an entry minus those of its keys."""

    spend: Decimal

    def __init__(self, found: Fields, less: tuple[_Metrics, ...] = ()) -> None:
        self._counts = {name: found.whole(name) - sum(one(name) for one in less) for name in _COUNTS}
        reported = sum((one.spend for one in less), Decimal(0))
        self.spend = (found.number("spend") if "spend" in found else Decimal(0)) - reported

    def __call__(self, name: str) -> int:
        return max(0, self._counts[name])


def _whose(who: Who, entry: Fields) -> Iterator[tuple[Who, _Metrics]]:
    """A model's counts by key if the proxy reports them; the rest, of keys beyond its limit, has no key."""
    by_key: list[_Metrics] = []
    for key, part in entry.children("api_key_breakdown").items():
        about = part.child("metadata")
        metrics = _Metrics(part.child("metrics"))
        by_key.append(metrics)
        yield who._replace(key=key, alias=about.text("key_alias"), team=about.text("team_id")), metrics
    yield who, _Metrics(entry.child("metrics"), tuple(by_key))
