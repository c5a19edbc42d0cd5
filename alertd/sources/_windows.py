"""Read the counters and targets of one window of time."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from math import inf
from operator import itemgetter
from typing import Final

import numpy as np

from alertd.clients.prometheus import PointColumns, Prometheus, Raw, RawSeries
from alertd.core.counting.attribution import Attributor, fingerprint
from alertd.core.counting.columns import Floats, Ints, SampleColumns, Samples, SeriesTable
from alertd.core.counting.exporters import may_be_one
from alertd.core.counting.matchers import Matcher, any_of, selector
from alertd.core.counting.samples import CounterSamples
from alertd.core.counting.scrapes import Life, Starts, scraped_with, seconds, target_of, targets_of
from alertd.sources._series import (
    Copies,
    Counter,
    Window,
    are_inside,
    counts_on,
    created_name,
    inside,
    is_ahead,
    labels_in,
    named_series,
)

_ABOUT: Final = 600.0
_TARGET_LABELS: Final = frozenset({"job", "instance", "namespace", "cluster"})
_STATES: Final = any_of("__name__", ("up", "process_start_time_seconds"))
#: How far back a counter is looked for that nobody has used lately.
_IDLE: Final = (3600.0, 86400.0)
_MOST_UNKNOWN: Final = 20


class Windows:
    """Asks one Prometheus for the counters that match `conditions`."""

    def __init__(
        self,
        server: Prometheus,
        conditions: Sequence[Matcher],
        attributor: Attributor,
        *,
        scales: tuple[Decimal, Decimal] = (Decimal(1), Decimal(1)),
        period: float = 0.0,
        replica_labels: Sequence[str] = (),
    ) -> None:
        self._server, self._conditions, self._attributor = server, conditions, attributor
        self._scales, self._period = scales, period
        self.copies = Copies(replica_labels, attributor.names())
        #: What is known of the series, by place; and their places, by their labels as they come.
        self._counters: list[Counter] = []
        self._places: dict[bytes, int] = {}
        self._by_name: dict[str, int] = {}
        self._table = SeriesTable()
        #: Whether several series are known under one name: copies.
        self._has_copies = False
        #: The metrics of the counters that are known.
        self.metrics: set[str] = set()
        #: The last known process start and the last `_created` of the counters that have one.
        self._born: dict[str, tuple[float, float]] = {}
        #: The same by place, and of how many.
        self._born_columns: tuple[tuple[int, int], Floats, Floats] | None = None
        self._births = 0
        self._starts_by_created_only = self._asks_again = False
        #: The last window's counters, and the last known start of every target's process.
        self._present: set[str] = set()
        self._last: tuple[SeriesTable, Ints] | None = None
        self._processes: dict[str, float] = {}
        self._texts: dict[str, str] = {}
        #: Targets that have had counters.
        self._counted: set[str] = set()
        #: Series of known metrics that no rule takes, and whether they count.
        self.unknown: dict[str, bool] = {}
        #: From the fingerprints that counters had to those that they have, until a reading with them is committed.
        self.renamed: dict[str, str] = {}

    def remember(self, counted: Collection[str], same: Mapping[str, str], replicas: Collection[str]) -> None:
        """Take over what is known as of the last reading that was committed.

        Once, which targets were `counted`, and which are the `same` under another name; always, which labels are
        `replicas`: they only distinguish copies.
        """
        if not self._places:
            self._counted |= set(counted)
            self.copies.exporters.same.update(same)
        if self.copies.replicas.remember(replicas):
            self._rename(frozenset())
        if self.copies.replicas.found <= frozenset(replicas):
            self.renamed.clear()

    def ever(self) -> bool:
        """Whether any counter has been seen."""
        return bool(self._places)

    async def raw(self, begin: float, end: float) -> Window:
        """The raw samples in (begin, end], with the scrapes and starts of their targets.

        New series that may be copies of others are left out until their samples show it. What takes long with many
        series is done in a thread, so that questions are answered meanwhile.
        """
        answer = await self._server.samples(selector(self._conditions), begin, end)
        window = await asyncio.to_thread(self._sorted, answer, begin, end)
        states, warnings = await self._states(window.names_of_targets(), begin, end)
        window = await asyncio.to_thread(self._with_states, window, answer, states, (begin, end))
        window.warnings = tuple(dict.fromkeys((*answer.warnings, *warnings)))
        del answer  # tens of megabytes
        asks = window.fresh or self._starts_by_created_only or self._asks_again
        if asks or await asyncio.to_thread(self._begins_anew, window):
            window.created = await self._created(window, begin, end)
            self._asks_again = bool(window.warnings)
        return window

    def _with_states(
        self, window: Window, answer: Raw, states: Sequence[RawSeries], asked: tuple[float, float]
    ) -> Window:
        """The window, sorted anew where targets turn out to be shared, with the scrapes and starts of its targets."""
        begin, end = asked
        targets = window.names_of_targets()
        if self.copies.find_shared(window, targets, states, self._counted):
            self.forget()
            window = self._sorted(answer, begin, end)
        self.copies.hold_back(window, self._counted)
        window.targets = targets_of(
            ((labels_in(bytes(series.metric)), inside(series.values, begin, end)) for series in states),
            lambda: ((counter.target, points) for counter, points in window.counters.values()),
            window.names_of_targets(),
        )
        if window.fresh:
            new = (window.counters[name] for name in window.fresh if name in window.counters)
            window.targets = window.targets.with_own_times((counter.target, points) for counter, points in new)
        self._counted |= targets - self.copies.exporters.held_back(self._counted)
        window.down = {target_of(labels_in(bytes(one.metric))) for one in states if _is_down(one)} & self._counted
        return window

    def forget(self) -> None:
        """Forget the known counters: the next window treats each as new."""
        self._places.clear()
        self._by_name.clear()
        self._counters, self._table, self._has_copies = [], SeriesTable(), False
        self.metrics.clear()

    def _rename(self, fresh: Collection[str]) -> set[str]:
        """Forget the known counters, but keep how they are called now: labels are known to distinguish copies only.

        The new fingerprints of those that are not `fresh`.
        """
        known, found = [one for one in self._counters if one.found is not None], {}
        self.forget()
        for one in known:
            found[one.fingerprint] = new = self._meaning(one.text).fingerprint
            if (born := self._born.pop(one.fingerprint, None)) is not None:
                self._born.setdefault(new, born)
        earlier = {old: found.get(new, new) for old, new in self.renamed.items()}
        self.renamed = earlier | {old: new for old, new in found.items() if old != new}
        return {new for old, new in found.items() if old not in fresh}

    def _begins_anew(self, window: Window) -> bool:
        """Whether a counter is back that the last window did not have, or a process is another one than before."""
        latest = {target: starts.seen[-1][1] for target, starts in window.targets.starts.items() if starts.seen}
        anew = any(abs(start - self._processes.get(target, start)) > 1 for target, start in latest.items())
        self._processes.update(latest)
        late = self._goes_on_anew(window)
        if window.samples is not None:
            last, self._last = self._last, (self._table, window.samples.places)
            if last is not None and last[0] is self._table and np.array_equal(last[1], window.samples.places):
                return anew or late
        else:
            self._last = None
        back = late or not window.counters.keys() <= self._present
        if back or len(window.counters) < len(self._present):
            self._present = set(window.counters)
        return anew or back

    def _goes_on_anew(self, window: Window) -> bool:
        """Whether a counter is on the page of a process whose `_created` was not asked for: it came late."""
        starts = {target: one for target, one in window.targets.starts.items() if len(one.seen) > 1}
        for name, (counter, points) in window.counters.items() if starts else ():
            one, born = starts.get(counter.target), self._born.get(name)
            if one is not None and born is not None and points and abs(_process_at(one, points[-1][0]) - born[0]) > 1:
                return True
        return False

    async def reaches(self, window: Window, at: float) -> bool:
        """Whether the targets of this window's counters were scraped about `at`: what was not there then, was not."""
        targets = window.names_of_targets()
        states, _ = await self._states(targets, at - _ABOUT, at + _ABOUT)
        return any(series.values for series in states)

    async def newest(self, at: float) -> Window:
        """The newest sample of every counter at `at`, up to a day old; targets are not asked for."""
        answer = await self._server.query(selector(self._conditions), at)
        for span in _IDLE:  # an instant query sees five minutes back
            if answer.series or answer.warnings:
                break
            answer = await self._server.samples(selector(self._conditions), at - span, at)
        window = self._sorted(answer, -inf, inf)
        window.warnings = answer.warnings
        return window

    def samples(self, window: Window, *, familiar_only: bool = False) -> Sequence[CounterSamples]:
        """The window's counters; with `familiar_only` without those that no earlier window had."""
        if window.samples is None or (familiar_only and window.fresh):
            return list(self._one_by_one(window, familiar_only=familiar_only))
        table, places, processes = self._table, window.samples.places, window.targets.starts
        started = np.full(len(table.targets), np.nan)
        several = np.zeros(len(table.targets), np.bool_)
        for number, target in enumerate(table.targets):
            if (starts := processes.get(target)) is not None and starts.seen:
                started[number], several[number] = starts.seen[0][1], len(starts.seen) > 1
        target_of = table.target_of[places]
        created = started[target_of]
        if self._born:
            process, own = (column[places] for column in self._born_by_place())
            same = np.isnan(created) | (np.abs(created - process) <= 1)
            created = np.where(~np.isnan(own) & same, own, created)
        restarted = several[target_of]
        if window.created:
            restarted |= np.isin(places, [self._by_name[name] for name in window.created])
        parts = {}
        for row in np.flatnonzero(restarted).tolist():
            found = self._series(window, int(places[row]), row)
            if len(found) == 1:
                created[row] = np.nan if found[0].created is None else found[0].created
            else:
                parts[row] = found
        return SampleColumns(table, window.samples, created, parts)

    def _series(self, window: Window, place: int, row: int) -> Sequence[CounterSamples]:
        """One series of a window, in parts where it restarted."""
        known, points = self._table.series[place], window.samples.points[row] if window.samples is not None else ()
        starts, own = window.targets.starts.get(known.target), window.created.get(known.fingerprint)
        parts = self._parts(known.fingerprint, points, own, starts)
        return [known._replace(points=part, created=began) for began, part in parts]

    def _born_by_place(self) -> tuple[Floats, Floats]:
        """The last known process start and `_created` of each series, NaN of those that have none."""
        kept = self._born_columns
        if kept is None or kept[0] != (len(self._table), self._births):
            none = (np.nan, np.nan)
            found = np.array([self._born.get(one.fingerprint, none) for one in self._counters], np.float64)
            self._born_columns = kept = (len(self._table), self._births), *found.reshape(-1, 2).T
        return kept[1], kept[2]

    def _one_by_one(self, window: Window, *, familiar_only: bool) -> Iterator[CounterSamples]:
        fresh, processes, created = window.fresh, window.targets.starts, window.created
        period = self._period
        for name, (counter, points) in window.counters.items():
            found = counter.found
            if found is None or not points or (familiar_only and name in fresh):
                continue
            starts, own = processes.get(counter.target), created.get(name)
            for began, part in self._parts(name, points, own, starts):
                yield CounterSamples(
                    name, found.line, found.labels, part, counter.target, began, found.within, counter.scale, period
                )

    def lives(self, window: Window, of: Callable[[str], bool]) -> dict[str, Life]:
        """What the window shows of the targets asked for: when they were there, and how much their counters hold."""
        found = {
            target: Life(instants[0], instants[-1])
            for target, instants in window.targets.scrapes.items()
            if instants and of(target)
        }
        if window.samples is not None and found:
            self._add_values(found, window.samples)
            return found
        for counter, points in window.counters.values() if found else ():
            life = found.get(counter.target)
            if life is not None and points and counter.found is not None:
                began, largest = seconds(points[0][1]), seconds(points[-1][1])
                found[counter.target] = life._replace(
                    began=max(life.began, began), largest=max(life.largest, began, largest)
                )
        return found

    def _add_values(self, found: dict[str, Life], samples: Samples) -> None:
        """Add to the targets' lives how much their counters hold."""
        names = self._table.targets
        asked = np.fromiter((name in found for name in names), np.bool_, len(names))
        targets = self._table.target_of[samples.places]
        rows = np.flatnonzero(asked[targets])
        began, largest = np.zeros(len(names)), np.zeros(len(names))
        ends = np.cumsum(samples.lengths)
        values = np.where(np.isfinite(samples.values), samples.values, 0.0)
        firsts, lasts = values[(ends - samples.lengths)[rows]], values[ends[rows] - 1]
        np.maximum.at(began, targets[rows], firsts)
        np.maximum.at(largest, targets[rows], np.maximum(firsts, lasts))
        for number, name in enumerate(names):
            if name in found:
                one = found[name]
                first, most = max(one.began, float(began[number])), max(one.largest, float(largest[number]))
                found[name] = one._replace(began=first, largest=most)

    def _parts(
        self, name: str, points: Sequence[tuple[float, str]], own: Starts | None, starts: Starts | None
    ) -> Sequence[tuple[float | None, Sequence[tuple[float, str]]]]:
        """The points, split where their counter restarted, each part with the start that its own scrapes reported."""
        if own is not None and own.seen:
            self._born[name] = _process_at(starts, points[-1][0]), own.seen[-1][1]
            self._births += 1
            # What was scraped before the first `_created`, and before what that says, goes by the process.
            place = bisect_left(points, min(own.seen[0]), key=itemgetter(0))
            return [*((starts or Starts()).split(points[:place]) if place else ()), *own.split(points[place:])]
        parts = (starts or Starts()).split(points)
        if name not in self._born:
            return parts
        known, created = self._born[name]
        # `_created` is not asked for again while the process is the same one.
        return [(created if start is None or abs(start - known) <= 1 else start, part) for start, part in parts]

    def _sorted(self, answer: Raw, begin: float, end: float) -> Window:
        window = Window(size=answer.size)
        places = self._placed(answer.series, window)
        samples = None if self._has_copies else self._in_columns(answer, places, begin, end)
        if samples is not None:
            window.hold(self._table, samples, self._counters)
        else:
            self._one_of_each(window, answer.series, places, (begin, end))
        if self.copies.replicas.decide(lambda: (named_series(one) for one in answer.series)):
            familiar = self._rename(window.fresh)
            window = self._sorted(answer, begin, end)
            window.fresh -= familiar
            return window
        if len(self._places) > 2 * len(answer.series) + 1000:
            window.leave_columns()
            kept = list(window.each())
            self.forget()
            for counter in kept:
                self._learn(counter)
            self._texts = {text: text for one in kept for text in (one.metric, one.target)}
        return window

    def _placed(self, given: Sequence[RawSeries], window: Window) -> Ints:
        """The places of series; new ones are learnt."""
        known = self._places
        places = np.fromiter((known.get(bytes(one.metric), -1) for one in given), np.int64, len(given))
        for row in np.flatnonzero(places < 0).tolist():
            labels = bytes(given[row].metric)
            place = known.get(labels)  # the same one may come twice
            if place is None:
                counter = self._meaning(labels)
                place = self._learn(counter)
                window.fresh.add(counter.fingerprint)
            places[row] = place
        feeds_none = self._table.feeds[places] < 0
        for row in np.flatnonzero(feeds_none).tolist():
            if unknown := self._counters[places[row]].unknown:
                self.unknown[unknown] |= counts_on(given[row])
        return places

    def _learn(self, counter: Counter) -> int:
        """The place of a new series."""
        found, name = counter.found, counter.fingerprint
        self._counters.append(counter)
        place = self._places[counter.text] = self._table.add(
            None
            if found is None
            else CounterSamples(
                name, found.line, found.labels, (), counter.target, None, found.within, counter.scale, self._period
            )
        )
        if found is not None:
            self.metrics.add(counter.metric)
            self._has_copies |= self._by_name.setdefault(name, place) != place
        return place

    def _in_columns(self, answer: Raw, places: Ints, begin: float, end: float) -> Samples | None:
        """The samples of these series; None where one has none, comes twice, or is of another time."""
        given, points = answer.series, answer.points
        feeds = self._table.feeds[places] >= 0
        if not feeds.all():
            each = np.repeat(feeds, points.lengths)
            given = [one for one, own in zip(given, feeds.tolist(), strict=True) if own]
            points = PointColumns(points.lengths[feeds], points.at[each], points.values[each])
        samples = Samples(places[feeds], _Points(given), *points)
        if not samples.lengths.all() or (given and np.bincount(samples.places).max() > 1):
            return None
        return samples if not len(samples.at) or are_inside(samples.at, begin, end) else None

    def _one_of_each(
        self, window: Window, given: Sequence[RawSeries], places: Ints, asked: tuple[float, float]
    ) -> None:
        """Put the series into a window, of copies the one to keep."""
        counters = window.counters
        for series, place in zip(given, places.tolist(), strict=True):
            counter = self._counters[place]
            if counter.found is None:
                continue
            own = series.values or ([series.value] if series.value is not None else [])
            points = inside(own, *asked)
            window.astray += points is not own
            other = counters.get(counter.fingerprint)
            if other is not None:
                window.copies += 1
                if counter.alias != other[0].alias and not may_be_one(points, other[1]):
                    window.mismatches.append((counter if counter.alias else other[0], points))
            if other is None or is_ahead((counter.text, points), (other[0].text, other[1])):
                counters[counter.fingerprint] = counter, points

    def _meaning(self, text: bytes) -> Counter:
        labels = labels_in(text)
        alias = target_of(labels)
        if (kept := self.copies.exporters.same.get(alias)) is not None:
            labels["job"], _, labels["instance"] = kept.partition(" ")
        metric = self._same(labels.get("__name__", ""))
        found = self._attributor.of(metric, labels)
        if found is not None:
            self.copies.replicas.see(labels)
        unknown = "" if found is not None else self._attributor.unknown_type(metric, labels) or ""
        if unknown and (unknown in self.unknown or len(self.unknown) < _MOST_UNKNOWN):
            self.unknown.setdefault(unknown, False)
        else:
            unknown = ""
        scale = self._scales[found is not None and found.is_money]
        name = fingerprint(metric, labels, self.copies.replicas.names)
        target = self._same(target_of(labels))
        return Counter(text, name, metric, target, found, unknown, scale, "" if alias == target else alias)

    def _same(self, text: str) -> str:
        """One text for the many series of a target or a metric."""
        return self._texts.setdefault(text, text)

    async def _states(
        self, targets: Collection[str], begin: float, end: float
    ) -> tuple[Sequence[RawSeries], tuple[str, ...]]:
        """`up` and the process starts of the counters' targets; of those configured where there is no counter yet."""
        jobs = {target.partition(" ")[0] for target in (*targets, *self.copies.exporters.same) if target}
        asked = (any_of("job", jobs),) if jobs else tuple(m for m in self._conditions if m.label in _TARGET_LABELS)
        if not asked:
            return (), ()
        answer = await self._server.samples(selector((_STATES, *asked)), begin, end)
        return answer.series, answer.warnings

    async def _created(self, window: Window, begin: float, end: float) -> dict[str, Starts]:
        """When counters began, by the `_created` that OpenMetrics exporters write beside every sample."""
        metrics: dict[str, set[str]] = {}
        for counter in window.each():
            metrics.setdefault(created_name(counter.metric), set()).add(counter.metric)
        conditions = (any_of("__name__", metrics), *(m for m in self._conditions if m.label != "__name__"))
        copies: dict[str, list[Sequence[tuple[float, str]]]] = {}
        answer = await self._server.samples(selector(conditions), begin, end) if metrics else None
        window.warnings = tuple(dict.fromkeys((*window.warnings, *(answer.warnings if answer else ()))))
        for series in answer.series if answer else ():
            labels = labels_in(bytes(series.metric))
            for metric in metrics.get(labels.get("__name__", ""), ()):
                name = fingerprint(metric, labels, self.copies.replicas.names)
                if name in window.counters:
                    copies.setdefault(name, []).append(inside(series.values, begin, end))
        found: dict[str, Starts] = {}
        for name, given in copies.items():
            counter, points = window.counters[name]
            starts = Starts.of(given[0] if len(given) == 1 else scraped_with(given, (at for at, _ in points)))
            if starts.seen:
                found[name] = starts
                processes = window.targets.starts.get(counter.target)
                self._starts_by_created_only |= processes is None or not processes.seen
        return found


class _Points(Sequence[Sequence[tuple[float, str]]]):
    """The samples of each series, made objects, once, where somebody asks for them."""

    def __init__(self, series: Sequence[RawSeries]) -> None:
        self._series = series
        self._made: dict[int, Sequence[tuple[float, str]]] = {}

    def __len__(self) -> int:
        return len(self._series)

    def __getitem__(self, row: int) -> Sequence[tuple[float, str]]:  # type: ignore[override]
        found = self._made.get(row)
        if found is None:
            found = self._made[row] = self._series[row].values
        return found


def _is_down(series: RawSeries) -> bool:
    """Whether these are samples of `up`, and the last one says that the target was not scraped."""
    return b'"up"' in bytes(series.metric) and [value for _, value in series.values[-1:]] == ["0"]


def _process_at(starts: Starts | None, at: float) -> float:
    """The start of the process that answered at an instant; 0 where it is not known."""
    seen = starts.seen if starts is not None else ()
    known = [start for instant, start in seen if instant <= at] or [start for _, start in seen[:1]]
    return known[-1] if known else 0.0
