"""Counters read straight from a /metrics page, for users without a Prometheus. It remembers nothing but its cursor.

GET page -> the lines of the preset's metrics -> samples of this instant, births told by `_created`, by the
process start, or by the page that was read before
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx
import msgspec
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from alertd.core.counting.attribution import Attribution, fingerprint
from alertd.core.counting.counters import CounterSamples
from alertd.core.counting.presets import TOKEN_WORDS
from alertd.core.messages.figures import plural
from alertd.ports import Look, Reading, SourceError
from alertd.sources._counting import CounterOptions, labels_of
from alertd.sources._place import ANOTHER_KIND
from alertd.wire.answers import Answer
from alertd.wire.http import Http

_ACCEPT: Final = "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;version=0.0.4;q=0.5"
_START: Final = "process_start_time_seconds"
#: A line of a page of metrics: a name, perhaps labels, a number.
_SAMPLE: Final = re.compile(r"^[A-Za-z_:][\w:.]*(?:\{.*\})?[ \t]+[-+]?(?:\d|Inf|NaN)", re.MULTILINE)
_ENDINGS: Final = ("_total", "_sum", "_created", "_bucket", "_count")


class Options(CounterOptions):
    """A page of metrics: its whole address, such as http://gateway:4000/metrics."""


class Cursor(msgspec.Struct, frozen=True):
    """When the page was last read, in Unix seconds."""

    at: float


def build(name: str, options: Options) -> Scrape:
    """The source; nothing is contacted."""
    return Scrape(name, options)


class Scrape:
    """One page of metrics. Every successful read is a scrape of its target."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.interval = options.interval or timedelta(seconds=60)
        self.delay = options.delay or timedelta(0)
        self.stale_after = options.stale_after or max(5 * self.interval, timedelta(minutes=5))
        self._url, self._scale, self._period = options.url, options.scale, options.seconds_per_value()
        self._most = options.max_series
        self._target = str(httpx.URL(options.url).copy_with(query=None, userinfo=b""))
        self._attributor = options.attributor()
        self._metrics = options.counters().metrics()
        self._http = Http(options.access())

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """One reading: the page as it stands. What it counted before the first one is known only by its starts."""
        before, at = _before(cursor), now.timestamp()
        page = parsed(await self._page(), self._metrics)
        set_back = before is not None and before > at
        before = None if set_back else before
        samples = list(self._samples(page, at))
        yield Reading(
            cursor=msgspec.json.encode(Cursor(at)).decode(),
            until=now,
            samples=samples,
            scrapes={self._target: (at,) if before is None else (before, at)},
            warnings=()
            if samples
            else (f"{self._target} has none of {', '.join(self._metrics[:4])}: no zero, but absent",),
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
        samples = list(self._samples(parsed(answer, self._metrics), now.timestamp()))
        if samples:
            lines = {(series.line.model, series.line.meter) for series in samples}
            summary = (
                f"{plural(len(samples), 'token counter')} of {plural(len({model for model, _ in lines}), 'model')}"
            )
            return Look(summary, latest=now, labels=labels_of(samples))
        similar = sorted({name for name in names_on(answer) if any(word in name for word in TOKEN_WORDS)})
        found = f"; these look like token counters: {', '.join(similar[:10])}" if similar else ""
        problem = f"none of {', '.join(self._metrics)} is on the page{found}"
        return Look(summary="no token counters yet", latest=now, problems=(problem,))

    async def close(self) -> None:
        """Let the connection go."""
        await self._http.close()

    async def _page(self) -> Answer:
        answer = await self._http.send("GET", self._url, headers={"Accept": _ACCEPT})
        if answer.is_html():
            raise answer.unreadable("is no page of metrics")
        return answer

    def _samples(self, page: list[Sample], now: float) -> Iterator[CounterSamples]:
        created = {_key(sample, "_created"): sample.value for sample in page if sample.name.endswith("_created")}
        start = next((sample.value for sample in page if sample.name == _START), None)
        for sample in page:
            found = self._attributor.of(sample.name, sample.labels)
            if found is not None:
                at = float(sample.timestamp) if sample.timestamp is not None else now
                yield self._series(sample, found, at, created.get(_key(sample, "_total", "_sum"), start))

    def _series(self, sample: Sample, found: Attribution, at: float, created: float | None) -> CounterSamples:
        return CounterSamples(
            fingerprint=fingerprint(sample.name, sample.labels),
            line=found.line,
            labels=found.labels,
            points=((at, sample.value),),
            target=self._target,
            created=created,
            within=found.within,
            scale=self._scale,
            period=self._period,
        )


def _before(cursor: str | None) -> float | None:
    """When the page was last read. SourceError where another kind of source wrote the cursor."""
    try:
        return msgspec.json.decode(cursor, type=Cursor).at if cursor else None
    except msgspec.MsgspecError as error:
        raise SourceError(ANOTHER_KIND, permanent=True) from error


def parsed(answer: Answer, metrics: Iterable[str]) -> list[Sample]:
    """The samples of these metrics, their `_created` and the process start. SourceError for a page that is none."""
    text = answer.body.decode(errors="replace")
    openmetrics = "openmetrics" in answer.headers.get("content-type", "")
    stems = tuple({_stem(metric) for metric in metrics} | {_START})
    headings = tuple(f"# {word} {stem}" for word in ("TYPE", "HELP", "UNIT") for stem in stems)
    lines = [line for line in text.splitlines() if line.startswith((*stems, *headings, "# EOF"))]
    if not openmetrics:
        lines = [line for line in lines if not line.startswith("#") and "_bucket{" not in line]
    try:
        families = (parse_openmetrics if openmetrics else parse_text)("\n".join([*lines, ""]))
        found = [sample for family in families for sample in family.samples]
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise SourceError(f"{answer.place}: the page is cut short or no page of metrics: {error}") from error
    if not found and not _SAMPLE.search(text):
        raise SourceError(f"{answer.place}: there is not one metric on the page; is the address right?")
    return found


def names_on(answer: Answer) -> Iterator[str]:
    """The names of all samples on a page."""
    for line in answer.body.decode(errors="replace").splitlines():
        if line and not line.startswith("#"):
            name = line.partition("{")[0].partition(" ")[0]
            if not name.endswith(("_bucket", "_created", "_count")):
                yield name


def _complete_from(samples: list[CounterSamples], since: datetime, now: datetime) -> datetime:
    """The oldest start of the counters where all of them began in the period; else now."""
    known = [series.created for series in samples if series.created is not None]
    if not known or len(known) < len(samples) or min(known) < since.timestamp():
        return now
    return datetime.fromtimestamp(min(known), UTC)


def _stem(metric: str) -> str:
    return next((metric.removesuffix(ending) for ending in _ENDINGS if metric.endswith(ending)), metric)


def _key(sample: Sample, *endings: str) -> tuple[str, frozenset[tuple[str, str]]]:
    name = next((sample.name.removesuffix(ending) for ending in endings if sample.name.endswith(ending)), sample.name)
    return name, frozenset(sample.labels.items())
