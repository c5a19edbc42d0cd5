"""Reads counters from a /metrics page, for users without a Prometheus. Its only state is the cursor.

GET page -> the lines of the preset's metrics -> samples of this instant, new series found by `_created`, by the
process start, or by the page that was read before
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Final

import httpx
import msgspec

from alertd.clients.exposition import Page, Sample, names_on, read_page
from alertd.clients.http import Http
from alertd.clients.http_response import Answer
from alertd.core.counting.attribution import Attribution, fingerprint
from alertd.core.counting.samples import CounterSamples
from alertd.core.messages.format import plural
from alertd.core.pricing.source_roles import SourceRole
from alertd.core.usage import COST_METER
from alertd.ports import Look, Reading, SourceError
from alertd.sources._counting import CounterOptions
from alertd.sources._place import ANOTHER_KIND
from alertd.sources._sightings import like_tokens, one_spelling, seen, unknown_types

_ACCEPT: Final = "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;version=0.0.4;q=0.5"
_START: Final = "process_start_time_seconds"
_ENDINGS: Final = ("_total", "_sum")
#: A page's own timestamps are believed within these seconds of now; the rest is taken at the time of the scrape.
_AHEAD, _BEHIND = 60.0, 86400.0
_NAMED: Final = 5
_MOST_UNKNOWN: Final = 20
_STAMPS: Final = (
    "so they are taken at the time of the scrape. Is the unit right (milliseconds in the text format,"
    " seconds in OpenMetrics), and are the clocks?"
)


class Options(CounterOptions):
    """A page of metrics: its whole address, such as http://gateway:4000/metrics."""


class Cursor(msgspec.Struct, frozen=True):
    """The cursor: when the page was last read, in Unix seconds."""

    at: float


def build(name: str, options: Options) -> Scrape:
    """Build the source; it makes no request yet."""
    return Scrape(name, options, Http(options.access()))


class Scrape:
    """One page of metrics. Every successful read is a scrape of its target."""

    def __init__(self, name: str, options: Options, http: Http) -> None:
        self.name = name
        self.standing = SourceRole(options.role)
        self.interval = options.interval or timedelta(seconds=60)
        self.delay = options.delay or timedelta(0)
        self.stale_after = options.stale_after or max(5 * self.interval, timedelta(minutes=5))
        self._url, self._scales, self._period = options.url, options.scales(), options.seconds_per_value()
        self._most, self._options = options.max_series, options
        self._target = str(httpx.URL(options.url).copy_with(query=None, userinfo=b""))
        self._attributor = options.attributor()
        self._metrics = options.counters().metrics()
        self._spellings = options.spellings()
        #: What series of known metrics that no rule takes held last, and whether they count.
        self._unknown: dict[str, tuple[float, bool]] = {}
        self._stamps: dict[str, tuple[float, float]] = {}
        self._http = http

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """One reading: the current page. What was counted before the first page is known only from process starts."""
        before, at = _before(cursor), now.timestamp()
        page = await asyncio.to_thread(parsed, await self._page(), self._metrics)
        set_back = before is not None and before > at
        before = None if set_back else before
        samples, doubts = self._counters(page, at)
        unknown, assumed = unknown_types({name: counts for name, (_, counts) in self._unknown.items()})
        used = any(series.line.meter != COST_METER for series in samples) or self._options.counts_money_only()
        absent = (
            ()
            if used and samples
            else (f"{self._target} has none of {', '.join(self._metrics[:4])}: no zero, but absent",)
        )
        yield Reading(
            cursor=msgspec.json.encode(Cursor(at)).decode(),
            until=now,
            samples=samples,
            scrapes={self._target: (at,) if before is None else (before, at)},
            warnings=(*absent, *unknown, *doubts),
            assumed=assumed,
            most_counters=self._most,
            set_back=set_back,
            complete_from=None if cursor else _complete_from(samples, since, now),
        )

    async def look(self, now: datetime) -> Look:
        """What the page holds: the counters of the preset, or what else looks like token counters."""
        try:
            answer = await self._page()
        except SourceError as error:
            return Look(summary=f"{self._target}: not readable", problems=(str(error),))
        try:
            page = await asyncio.to_thread(parsed, answer, self._metrics)
        except SourceError as error:
            return Look(summary=f"{self._target}: not readable", problems=(str(error),))
        samples, doubts = self._counters(page, now.timestamp())
        if samples:
            unknown, remarks = unknown_types({name: value > 0 for name, (value, _) in self._unknown.items()})
            return seen(samples, now, self._options, (*unknown, *doubts), remarks)
        problem = f"none of {', '.join(self._metrics)} is on the page{like_tokens(names_on(answer.body))}"
        return Look(summary="no token counters yet", latest=now, problems=(problem,))

    async def names(self, _now: datetime) -> list[str]:
        """The names of all metrics on the page. SourceError."""
        answer = await self._page()
        return sorted(set(await asyncio.to_thread(list, names_on(answer.body))))

    async def close(self) -> None:
        """Let the connection go."""
        await self._http.close()

    async def _page(self) -> Answer:
        answer = await self._http.send("GET", self._url, headers={"Accept": _ACCEPT})
        if answer.is_html():
            raise answer.unreadable("is no page of metrics")
        return answer

    def _counters(self, page: Page, now: float) -> tuple[list[CounterSamples], tuple[str, ...]]:
        """The page's counters, and what makes them doubtful."""
        astray: set[str] = set()
        twice: set[str] = set()
        samples = one_spelling(self._samples(page.samples, now, astray, twice), self._spellings)
        self._watch_unknown(page.samples)
        doubts: list[str] = []
        if page.bad:
            lines = ", ".join(map(str, page.bad[:_NAMED])) + (", ..." if len(page.bad) > _NAMED else "")
            doubts.append(
                f"{self._target}: {plural(len(page.bad), 'line')} of the page cannot be read (line {lines});"
                " their series are left out"
            )
        if twice:
            names = ", ".join(sorted(twice)[:_NAMED])
            doubts.append(f"{self._target}: {names} comes more than once with the same labels; only the first counts")
        if astray:
            names = ", ".join(sorted(astray)[:_NAMED])
            doubts.append(f"{self._target}: the timestamps of {names} cannot be right, {_STAMPS}")
        return samples, tuple(doubts)

    def _watch_unknown(self, page: list[Sample]) -> None:
        held: dict[str, float] = {}
        for one in page:
            if self._attributor.of(one.name, one.labels) is None:
                unknown = self._attributor.unknown_type(one.name, one.labels)
                if unknown is not None and (unknown in held or len(held) < _MOST_UNKNOWN):
                    held[unknown] = held.get(unknown, 0.0) + one.value
        for name, value in held.items():
            before, counts = self._unknown.get(name, (value, False))
            self._unknown[name] = value, counts or value != before

    def _samples(
        self, page: list[Sample], now: float, astray: set[str], twice: set[str]
    ) -> Iterator[tuple[str, CounterSamples]]:
        created = {
            _key(sample, "_created"): began
            for sample in page
            if sample.name.endswith("_created") and (began := _began(sample.value, now)) is not None
        }
        start = next((_began(sample.value, now) for sample in page if sample.name == _START), None)
        known: dict[tuple[str, float | None], float] = {}
        for sample in page:
            found = self._attributor.of(sample.name, sample.labels)
            if found is not None:
                name = fingerprint(sample.name, sample.labels)
                if (name, sample.at) in known:
                    twice |= {sample.name} if known[name, sample.at] != sample.value else set()
                    continue
                known[name, sample.at] = sample.value
                at = now if sample.at is None else self._stamp(name, sample, sample.at, now, astray)
                began = created.get(_key(sample, "_total", "_sum"), start)
                yield sample.name, self._series(name, sample, found, at, began)

    def _stamp(self, name: str, sample: Sample, at: float, now: float, astray: set[str]) -> float:
        """When a sample with a timestamp was true: its own time where that can be, else now."""
        last, last_value = self._stamps.get(name, (at, sample.value))
        is_newer = sample.value != last_value if at == last else at < last and sample.value > last_value
        if name in self._stamps or len(self._stamps) < self._most:
            self._stamps[name] = at, sample.value
        if is_newer or not now - _BEHIND <= at <= now + _AHEAD:
            astray.add(sample.name)
            return now
        return min(at, now)

    def _series(
        self, name: str, sample: Sample, found: Attribution, at: float, created: float | None
    ) -> CounterSamples:
        return CounterSamples(
            fingerprint=name,
            line=found.line,
            labels=found.labels,
            points=((at, sample.value),),
            target=self._target,
            created=created,
            within=found.within,
            scale=self._scales[found.is_money],
            period=self._period,
        )


def _before(cursor: str | None) -> float | None:
    """When the page was last read. SourceError where another kind of source wrote the cursor."""
    try:
        return msgspec.json.decode(cursor, type=Cursor).at if cursor else None
    except msgspec.MsgspecError as error:
        raise SourceError(ANOTHER_KIND, permanent=True) from error


def parsed(answer: Answer, metrics: Iterable[str]) -> Page:
    """The samples of these metrics, their `_created` and the process start. SourceError if it is no metrics page."""
    names = {*metrics, _START}
    names |= {f"{_stem(metric)}_created" for metric in metrics}
    page = read_page(answer.body, names, openmetrics="openmetrics" in answer.headers.get("content-type", ""))
    if not page.is_whole or (page.bad and not page.samples):
        where = f": line {page.bad[0]} is invalid" if page.bad else ": its end mark is missing"
        raise SourceError(f"{answer.place}: the page is cut short or no page of metrics{where}")
    if not page.has_metrics:
        raise SourceError(f"{answer.place}: there is not one metric on the page; is the address right?")
    return page


def _began(value: float, now: float) -> float | None:
    """A start as the page has it, None where it cannot be one: of another unit.

    One of a time to come is a start all the same where this machine's clock is behind: to take it up only once the
    clock has come so far would count that process a second time.
    """
    return value if isfinite(value) and 0 < value <= now + _BEHIND else None


def _complete_from(samples: list[CounterSamples], since: datetime, now: datetime) -> datetime:
    """The oldest start of the counters if all of them started in the period; otherwise now."""
    known = [series.created for series in samples if series.created is not None]
    if not known or len(known) < len(samples) or min(known) < since.timestamp():
        return now
    return datetime.fromtimestamp(min(known), UTC)


def _stem(metric: str) -> str:
    return next((metric.removesuffix(ending) for ending in _ENDINGS if metric.endswith(ending)), metric)


def _key(sample: Sample, *endings: str) -> tuple[str, frozenset[tuple[str, str]]]:
    name = next((sample.name.removesuffix(ending) for ending in endings if sample.name.endswith(ending)), sample.name)
    return name, frozenset(sample.labels.items())
