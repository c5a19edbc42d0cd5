"""LiteLLM's daily activity: tokens by day, model and key. Its own spend is an estimate: kept beside, never the cost.

One day may be split over pages: counts are added until the last page. Days are UTC. Prompt tokens include cached ones.
Source: LiteLLM 1.106, litellm/proxy (GET /user/daily/activity).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from pydantic import Field

from alertd.core.billing.backlog import Stretch, midnight, stretches
from alertd.core.money import Money
from alertd.core.pricing.model_names import provider_id
from alertd.core.pricing.source_roles import CHARGE, ESTIMATE, SourceRole
from alertd.core.usage import BilledCost, Line, Usage
from alertd.options import Secret, SourceOptions
from alertd.ports import Look, Reading, SourceError
from alertd.wire.billing import Billing, Pace, Pages, attributed, by_stretches
from alertd.wire.fields import Fields

PACE: Final = Pace(timedelta(minutes=1), timedelta(minutes=2), timedelta(minutes=30))
_DAY: Final = timedelta(days=1)
#: Counters of past days only grow, by what is written late.
_SETTLING: Final = timedelta(hours=1)
_PAGE: Final = 1000
_MOST_PAGES: Final = 1000
_COUNTS: Final = ("prompt_tokens", "completion_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


class Options(SourceOptions):
    """A LiteLLM proxy with a database. The key must be of a proxy admin (or proxy_admin_viewer)."""

    api_key: Secret = Field(description="The master key, or a virtual key of a proxy admin; others see only themselves")
    url: str = Field(description="Where the proxy is, http://litellm:4000, with its root path if it has one")
    provider: str = Field("", description="The provider of models whose name does not tell theirs")


class Who(NamedTuple):
    """What counts are of: a model used with a key on a day. The key is "" where it is not told."""

    day: date
    provider: str
    model: str
    key: str
    alias: str = ""
    team: str = ""


def build(name: str, options: Options) -> LiteLLM:
    """The source; contacts nobody yet."""
    return LiteLLM(name, options)


class LiteLLM:
    """What went through one proxy."""

    def __init__(self, name: str, options: Options) -> None:
        pace = PACE.set_by(options)
        self.name = name
        self.interval, self.delay, self.stale_after = pace.interval, pace.delay, pace.stale_after
        self.standing = SourceRole(options.role, "usage")
        self._options = options
        self._billing = Billing(name, options, bearer=options.api_key.get_secret_value())

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """Days in stretches of a week; today, and yesterday just after midnight, again each time."""
        plan = stretches(cursor, since, now, reach_back=_SETTLING, days=7)
        async for step in by_stretches(plan, self._pages, cursor=cursor, now=now, delay=self.delay):
            yield step

    async def look(self, now: datetime) -> Look:
        """What the last two days hold, and whether they look like all of it."""
        plan = stretches(None, now - _DAY, now, days=7)
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
        """Let the connections go."""
        await self._billing.close()

    async def _pages(self, stretch: Stretch) -> Pages:
        """The counts so far, growing page by page: the last yield holds all of them."""
        counts: dict[Who, Counter[str]] = {}
        spend: dict[Who, Decimal] = {}
        async for page in self._activity(stretch):
            _add(counts, page, self._options.provider, spend)
            yield {key: record for who, count in counts.items() for key, record in self._usage(who, count)}
        yield {("spend", who): self._estimate(who, amount) for who, amount in spend.items() if amount}

    async def _activity(self, stretch: Stretch) -> AsyncIterator[Fields]:
        """Every page of the proxy's activity; the end is where it says that there is no more."""
        last = (stretch.end - _DAY).date()
        for number in range(1, _MOST_PAGES):
            query = {"start_date": str(stretch.start.date()), "end_date": str(last), "page": str(number),
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

    def _usage(self, who: Who, count: Counter[str]) -> Iterator[tuple[Any, Usage]]:
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
    """Add a page's counts by model and key, and what no key is told of by model alone."""
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
    """The counts of one entry, less what was given to keys."""

    spend: Decimal

    def __init__(self, found: Fields, less: tuple[_Metrics, ...] = ()) -> None:
        self._counts = {name: found.whole(name) - sum(one(name) for one in less) for name in _COUNTS}
        told = sum((one.spend for one in less), Decimal(0))
        self.spend = (found.number("spend") if "spend" in found else Decimal(0)) - told

    def __call__(self, name: str) -> int:
        return max(0, self._counts[name])


def _whose(who: Who, entry: Fields) -> Iterator[tuple[Who, _Metrics]]:
    """A model's counts by key where the proxy tells them; the rest, of keys beyond its limit, is nobody's."""
    told: list[_Metrics] = []
    for key, part in entry.children("api_key_breakdown").items():
        about = part.child("metadata")
        metrics = _Metrics(part.child("metrics"))
        told.append(metrics)
        yield who._replace(key=key, alias=about.text("key_alias"), team=about.text("team_id")), metrics
    yield who, _Metrics(entry.child("metrics"), tuple(told))
