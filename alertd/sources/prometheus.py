"""Exact totals from a Prometheus by raw samples since a stored cursor; nothing is extrapolated, nothing averaged.

    cursor -> windows of raw samples (a first start: from the period's beginning) -> the counters of the preset
           -> new series found by `up`, by the process start, by `_created` -> one Reading a window, with the new cursor

`increase()` is not used: it extrapolates, and it loses the first value of every series that is born in the window.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Final

from pydantic import Field, field_validator

from alertd.clients.http import MEGABYTE, Http
from alertd.clients.http_response import HttpProblem
from alertd.clients.prometheus import Prometheus as Server
from alertd.clients.prometheus import is_too_much
from alertd.core.counting.first_sights import CAME
from alertd.core.counting.matchers import Matcher, any_of, parse_matchers, parse_selector
from alertd.core.counting.samples import CounterSamples
from alertd.core.counting.scrapes import short_lived
from alertd.core.messages.format import plural
from alertd.core.pricing.source_roles import SourceRole
from alertd.plugin_options import TextList
from alertd.ports import Look, Reading, SourceError
from alertd.sources._counting import CounterOptions
from alertd.sources._place import ReadPosition
from alertd.sources._series import Window
from alertd.sources._sightings import like_tokens, one_spelling, seen, unknown_types
from alertd.sources._windows import Windows

if TYPE_CHECKING:
    from alertd.clients.prometheus_discovery import Discovery

log = logging.getLogger(__name__)

#: How long the first window of a back-fill is, in seconds: halved where it is refused, doubled where it was small.
_CHUNK: Final = 3600.0
_SHORTEST, _LONGEST = 300.0, 86400.0
_SMALL: Final = 4 * MEGABYTE
#: How far back a source that had nothing is probed.
_PROBED: Final = 600.0
_NAMED: Final = 4
#: So far back metrics are looked for by name, in seconds.
_NAMES_SPAN: Final = 86400.0


class Options(CounterOptions):
    """A Prometheus, Thanos, Mimir, VictoriaMetrics or Cockpit, and the counters to read there."""

    matchers: str = Field("", description='Which series, as {job="gateway"}; all of the preset where absent')
    query: str = Field("", description='Instead of preset and metric: a selector, as my_tokens_total{env="prod"}')

    replica_labels: TextList = Field(
        default_factory=list,
        description="Further labels that only distinguish copies of a series; those that the samples show are found",
    )

    @field_validator("matchers")
    @classmethod
    def _are_matchers(cls, text: str) -> str:
        parse_matchers(text)
        return text

    @field_validator("query")
    @classmethod
    def _is_selector(cls, text: str) -> str:
        if text:
            parse_selector(text)
        return text

    def _selected(self) -> bool:
        return super()._selected() or bool(self.query)

    def _asks_for(self, metrics: Collection[str]) -> set[str]:
        if not self.query:
            return super()._asks_for(metrics)
        named = [one for one in parse_selector(self.query) if one.label == "__name__"]
        return {metric for metric in metrics if named and all(one.admits(metric) for one in named)}

    def conditions(self) -> tuple[Matcher, ...]:
        """The PromQL matchers of the counters' series."""
        named = parse_selector(self.query) if self.query else (any_of("__name__", self.counters().metrics()),)
        return (*named, *parse_matchers(self.matchers))


def build(name: str, options: Options) -> Prometheus:
    """Build the source; it makes no request yet."""
    return Prometheus(name, options, Http(options.access()))


class Prometheus:
    """One Prometheus. It keeps no total: the cursor and the ledger do."""

    def __init__(self, name: str, options: Options, http: Http) -> None:
        preset = options.counters()
        self.name = name
        self.standing = SourceRole(options.role)
        self.interval = options.interval or timedelta(seconds=60)
        self.delay = options.delay if options.delay is not None else timedelta(seconds=preset.delay)
        self.stale_after = options.stale_after or max(5 * self.interval, timedelta(minutes=10)) + self.delay
        self._options = options
        self._spellings = options.spellings()
        self._server = Server(http, options.url)
        self._windows = Windows(
            self._server,
            options.conditions(),
            options.attributor(),
            scales=options.scales(),
            period=options.seconds_per_value(),
            replica_labels=options.replica_labels,
        )
        self._chunk, self._most = _CHUNK, _LONGEST
        self._nothing = False
        self._copies_logged = False

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """The windows from the cursor to now. A window that is too much is halved; a partial one holds the cursor."""
        end, delay = now.timestamp(), self.delay.total_seconds()
        place = ReadPosition.read(cursor, since).not_after(end)
        self._most = _LONGEST
        self._windows.remember(place.scraped, place.copies, place.replicas)
        if self._nothing and not place.begun:
            await self._probe(end)
        backfill = end - place.at > _CHUNK
        while place.at < end:
            stop = min(end, place.at + self._chunk)
            try:
                window = await self._windows.raw(place.begin(delay), stop)
            except HttpProblem as problem:
                self._halve(stop - place.at, problem)
                continue
            self._chunk = min(2 * self._chunk, self._most) if window.size < _SMALL else self._chunk
            if window.is_empty() and not (place.begun or window.warnings):
                place = place.skipped(stop)
                continue
            before = place
            lives = await asyncio.to_thread(self._windows.lives, window, before.watches)
            came, fresh = place.seen_coming(lives, place.begin(delay))
            place = place.moved(
                stop,
                window.targets,
                partial=bool(window.warnings),
                now=end,
                delay=delay,
                came=came,
                copies=self._windows.copies.exporters.same,
                replicas=self._windows.copies.replicas.found,
            )
            newborn = short_lived(came, fresh, place.step) if fresh else frozenset()
            progress = (place.at - since.timestamp()) / (end - since.timestamp()) if backfill else None
            begins = place.begun and not before.begun
            complete_from = await self._complete_from(window, since) if begins else None
            if stop >= end and (window.down or not len(window)):
                window.warnings = (*window.warnings, *await self._down(end, window.down))
            reading = await asyncio.to_thread(self._reading, window, before, place, complete_from, progress)
            yield replace(reading, newborn=newborn)
            if place.at == before.at:
                return
        self._nothing = not place.begun
        if self._nothing:
            raise SourceError(self._absent())

    async def look(self, now: datetime) -> Look:
        """What there is of these counters: how many, how old, with which labels; else what looks like them."""
        try:
            window = await self._windows.newest(now.timestamp())
        except SourceError as error:
            return Look(summary="not readable", problems=(str(error),))
        samples = self._samples(window)
        if not samples:
            return await self._similar(now.timestamp())
        copies = (self._copies(window),) if window.copies else ()
        latest = datetime.fromtimestamp(max(series.points[-1][0] for series in samples), UTC)
        doubts, remarks = unknown_types(self._windows.unknown)
        return seen(samples, latest, self._options, (*window.warnings, *copies, *doubts), remarks)

    async def names(self, now: datetime) -> list[str]:
        """The names of all metrics of the last day, of whatever exporter. HttpProblem or SourceError."""
        options, end = self._options, now.timestamp()
        discovery: type[Discovery] = import_module("alertd.clients.prometheus_discovery").Discovery
        return await asyncio.to_thread(discovery(options.url, options.access()).names, end - _NAMES_SPAN, end)

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()

    def _reading(
        self,
        window: Window,
        before: ReadPosition,
        place: ReadPosition,
        complete_from: datetime | None,
        progress: float | None,
    ) -> Reading:
        held = place.at == before.at
        if window.copies and not self._copies_logged:
            self._copies_logged = True
            log.warning("%s: %s", self.name, self._copies(window))
        samples = self._samples(window, familiar_only=held)
        doubts, assumed = unknown_types(self._windows.unknown)
        return Reading(
            cursor=place.text(),
            until=datetime.fromtimestamp(place.seen or before.at, UTC),
            samples=samples,
            scrapes={} if held else before.with_last(window.targets),
            renamed=self._windows.renamed.copy(),
            warnings=(
                *(window.warnings or self._unnamed(window)),
                *_astray(window),
                *doubts,
            ),
            assumed=assumed,
            most_counters=self._options.max_series,
            progress=progress,
            complete_from=complete_from,
        )

    def _samples(self, window: Window, *, familiar_only: bool = False) -> Sequence[CounterSamples]:
        """The window's counters, those of several spellings under the best one."""
        found = self._windows.samples(window, familiar_only=familiar_only)
        if len({self._spellings.get(metric, 0) for metric in self._windows.metrics}) < 2:  # noqa: PLR2004 - the rule
            return found
        return one_spelling(((window.counters[one.fingerprint][0].metric, one) for one in found), self._spellings)

    async def _complete_from(self, window: Window, since: datetime) -> datetime:
        """The period's beginning where scrapes reach back to it; else the oldest scrape or start that is known."""
        begin, oldest, step = since.timestamp(), window.targets.oldest(), window.targets.step() or 0.0
        if oldest is None or oldest <= begin + 2 * step or await self._windows.reaches(window, begin):
            return since
        samples = self._windows.samples(window)
        known = [series.created for series in samples if series.created is not None]
        starts = known if min(known, default=0.0) >= begin else []
        came = window.pushed_until(oldest + CAME)
        return datetime.fromtimestamp(max(min([oldest, *starts]), came), UTC)

    def _halve(self, width: float, problem: HttpProblem) -> None:
        """Halve the next window; raises `problem` if a shorter window cannot help."""
        if not is_too_much(problem) or width / 2 < _SHORTEST:
            raise problem
        self._chunk = self._most = width / 2

    async def _probe(self, end: float) -> None:
        """After a back-fill without data, check with one query whether there are data now."""
        window = await self._windows.raw(end - _PROBED, end)
        self._windows.forget()
        if window.is_empty():
            raise SourceError(self._absent())

    async def _down(self, at: float, targets: Collection[str] = ()) -> tuple[str, ...]:
        """At most one sentence about targets that this Prometheus cannot scrape (of `targets`, if given)."""
        named = {target.partition(" ")[2] for target in targets}
        try:
            found = await self._server.down(at)
        except SourceError:
            found = tuple(sorted(named))
        down = [one for one in found if not named or one.partition(" ")[0] in named]
        if not down:
            return ()
        unseen = ": what it counts is not seen" if named else ""
        return (f"Prometheus cannot scrape {', '.join(down[:_NAMED])}{', ...' if len(down) > _NAMED else ''}{unseen}",)

    async def _similar(self, at: float) -> Look:
        down = await self._down(at)
        try:
            similar = like_tokens(await self.names(datetime.fromtimestamp(at, UTC)))
        except SourceError as error:
            return Look(summary="no token counters yet", problems=(self._absent(), str(error), *down))
        return Look(summary="no token counters yet", problems=(self._absent() + similar, *down))

    def _copies(self, window: Window) -> str:
        names = " or ".join(self._windows.copies.labels())
        return f"{window.copies} series come in copies that differ in {names} only; one each is counted"

    def _unnamed(self, window: Window) -> tuple[str, ...]:
        tokens = any(one.found is not None and not one.found.is_money for one in window.each())
        if len(window) and not tokens and not self._options.counts_money_only():
            return (f"there are only money counters, which are compared with tokens, and {self._absent()}",)
        never = not len(window) and not self._windows.ever()
        return (f"its targets are up, but there is {self._absent()}",) if never else ()

    def _absent(self) -> str:
        named = self._options.query or ", ".join(self._options.counters().metrics()[:_NAMED])
        which = f" with {self._options.matchers}" if self._options.matchers else ""
        return f"nothing of {named}{which}: the metric is absent, which is not zero usage"


def _astray(window: Window) -> tuple[str, ...]:
    if not window.astray:
        return ()
    astray = plural(window.astray, "series", "series")
    said = (
        f"{astray} had samples outside the requested time; these are not counted."
        " Compare the clocks of the exporter, of Prometheus and of this machine"
    )
    return (said,)
