"""What one window of time holds: the counters, their meaning, their targets. It decides nothing about the cursor."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import inf
from operator import itemgetter
from typing import Final

from alertd.core.counting.attribution import Attributor, fingerprint
from alertd.core.counting.copies import ReplicaLabels
from alertd.core.counting.counters import CounterSamples
from alertd.core.counting.matchers import Matcher, any_of, selector
from alertd.core.counting.scrapes import Life, Starts, Targets, scraped_with, seconds, target_of, targets_of
from alertd.sources._series import Counter, counts_on, created_name, inside, is_ahead, labels_in, named_series
from alertd.wire.promql import Prometheus, Raw, RawSeries

_ABOUT: Final = 600.0
_TARGET_LABELS: Final = frozenset({"job", "instance", "namespace", "cluster"})
_STATES: Final = any_of("__name__", ("up", "process_start_time_seconds"))
#: How far back a counter is looked for that nobody has used lately.
_IDLE: Final = (3600.0, 86400.0)
_MOST_UNKNOWN: Final = 20


@dataclass(slots=True)
class Window:
    """The counters of one window by fingerprint, those seen for the first time among them, and what is known of both.

    `created` is when counters began, sample by sample, where their exporter says so. `copies`: so many series came
    more than once. `astray`: so many had samples from outside of the window, which are left out.
    """

    counters: dict[str, tuple[Counter, Sequence[tuple[float, str]]]] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)
    targets: Targets = field(default_factory=Targets)
    created: dict[str, Starts] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    #: Targets that had counters and that their Prometheus could not scrape at last.
    down: set[str] = field(default_factory=set)
    copies: int = 0
    astray: int = 0
    size: int = 0

    def is_empty(self) -> bool:
        """Neither a counter nor a scrape of a target that could have one."""
        return not (self.counters or any(self.targets.scrapes.values()))


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
        self._replicas = ReplicaLabels(replica_labels, attributor.names())
        self._held: set[bytes] = set()
        self._known: dict[bytes, Counter] = {}
        #: The last known process start and the last `_created` of the counters that have one.
        self._born: dict[str, tuple[float, float]] = {}
        self._starts_by_created_only = self._asks_again = False
        #: The last window's counters, and the last known start of every target's process.
        self._present: set[str] = set()
        self._processes: dict[str, float] = {}
        self._texts: dict[str, str] = {}
        #: Targets that have had counters.
        self._counted: set[str] = set()
        #: Series of known metrics that no rule takes, and whether they count.
        self.unknown: dict[str, bool] = {}

    def replicas(self) -> tuple[str, ...]:
        """The labels found that only distinguish copies."""
        return tuple(sorted(self._replicas.seen))

    def ever(self) -> bool:
        """Whether any counter was seen so far."""
        return bool(self._known)

    async def raw(self, begin: float, end: float) -> Window:
        """The raw samples in (begin, end], with the scrapes and starts of their targets.

        New series that may be copies of others are left out until their samples show it.
        """
        answer = await self._server.samples(selector(self._conditions), begin, end)
        window, said = self._sorted(answer, begin, end), answer.warnings
        self._hold_back(window)
        del answer  # tens of megabytes
        states, warnings = await self._states(window, begin, end)
        window.warnings = tuple(dict.fromkeys((*said, *warnings)))
        window.targets = targets_of(
            ((labels_in(bytes(series.metric)), inside(series.values, begin, end)) for series in states),
            lambda: ((counter.target, points) for counter, points in window.counters.values()),
        )
        window.down = {target_of(labels_in(bytes(one.metric))) for one in states if _is_down(one)} & self._counted
        if window.fresh or self._starts_by_created_only or self._asks_again or self._begins_anew(window):
            window.created = await self._created(window, begin, end)
            self._asks_again = bool(window.warnings)
        return window

    def forget(self) -> None:
        """Take every counter for a new one at the next look."""
        self._known.clear()

    def _begins_anew(self, window: Window) -> bool:
        """Whether a counter is back that the last window did not have, or a process is another one than before."""
        latest = {target: starts.seen[-1][1] for target, starts in window.targets.starts.items() if starts.seen}
        anew = any(abs(start - self._processes.get(target, start)) > 1 for target, start in latest.items())
        anew |= not window.counters.keys() <= self._present
        self._processes.update(latest)
        self._present = set(window.counters)
        return anew

    async def reaches(self, window: Window, at: float) -> bool:
        """Whether the targets of this window's counters were scraped about `at`: what was not there then, was not."""
        states, _ = await self._states(window, at - _ABOUT, at + _ABOUT)
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

    def samples(self, window: Window, *, familiar_only: bool = False) -> Iterator[CounterSamples]:
        """The window's counters for counting; with `familiar_only` without those that no earlier window had."""
        fresh, processes, created = window.fresh, window.targets.starts, window.created
        born, period = self._born, self._period
        for name, (counter, points) in window.counters.items():
            found = counter.found
            if found is None or not points or (familiar_only and name in fresh):
                continue
            starts, own = processes.get(counter.target), created.get(name)
            if own is None and name not in born:
                # One process, or none known, as nearly all have. By place: 100,000 of these are made in a poll.
                seen = starts.seen if starts is not None else ()
                if len(seen) < 2:  # noqa: PLR2004 - it has not begun anew
                    one = seen[0][1] if seen else None
                    yield CounterSamples(
                        name, found.line, found.labels, points, counter.target, one, found.within, counter.scale, period
                    )
                    continue
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
        for counter, points in window.counters.values() if found else ():
            life = found.get(counter.target)
            if life is not None and points and counter.found is not None:
                began, largest = seconds(points[0][1]), seconds(points[-1][1])
                found[counter.target] = life._replace(
                    began=max(life.began, began), largest=max(life.largest, began, largest)
                )
        return found

    def _parts(
        self, name: str, points: Sequence[tuple[float, str]], own: Starts | None, starts: Starts | None
    ) -> Sequence[tuple[float | None, Sequence[tuple[float, str]]]]:
        """The points, cut where their counter began anew, each part with the start that its own scrapes told."""
        process = starts.seen[-1][1] if starts is not None and starts.seen else 0.0
        if own is not None and own.seen:
            self._born[name] = process, own.seen[-1][1]
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
        for series in answer.series:
            labels = bytes(series.metric)
            counter = self._known.get(labels)
            if counter is None:
                counter = self._known[labels] = self._meaning(labels)
                window.fresh.add(counter.fingerprint)
            if counter.found is None:
                if counter.unknown:
                    self.unknown[counter.unknown] |= counts_on(series)
                continue
            given = series.values or ([series.value] if series.value is not None else [])
            points = inside(given, begin, end)
            window.astray += points is not given
            other = window.counters.get(counter.fingerprint)
            if other is not None:
                window.copies += 1
            if other is None or is_ahead((counter.text, points), (other[0].text, other[1])):
                window.counters[counter.fingerprint] = counter, points
        if self._replicas.decide(lambda: (named_series(one) for one in answer.series)):
            self._known.clear()
            return self._sorted(answer, begin, end)
        if len(self._known) > 2 * len(answer.series) + 1000:
            self._known = {counter.text: counter for counter, _ in window.counters.values()}
            self._texts = {text: text for one in self._known.values() for text in (one.metric, one.target)}
        return window

    def _hold_back(self, window: Window) -> None:
        """Leave out the new series that may be copies of others: what they count would count twice."""
        texts = (
            {counter.text: name for name, (counter, _) in window.counters.items()} if self._replicas.undecided else {}
        )
        held: set[bytes] = set()
        for group in self._replicas.undecided:
            new = [text for text in sorted(group) if text in self._held or texts.get(text) in window.fresh]
            held.update(new if len(new) < len(group) else new[1:])
        for text in held:
            if (name := texts.get(text)) is not None:
                del window.counters[name]
                window.fresh.discard(name)
        self._held = held

    def _meaning(self, text: bytes) -> Counter:
        labels = labels_in(text)
        metric = self._same(labels.get("__name__", ""))
        found = self._attributor.of(metric, labels)
        if found is not None:
            self._replicas.see(labels)
        unknown = "" if found is not None else self._attributor.unknown_type(metric, labels) or ""
        if unknown and (unknown in self.unknown or len(self.unknown) < _MOST_UNKNOWN):
            self.unknown.setdefault(unknown, False)
        else:
            unknown = ""
        scale = self._scales[found is not None and found.is_money]
        name = fingerprint(metric, labels, self._replicas.names)
        return Counter(text, name, metric, self._same(target_of(labels)), found, unknown, scale)

    def _same(self, text: str) -> str:
        """One text for the many series of a target or a metric."""
        return self._texts.setdefault(text, text)

    async def _states(self, window: Window, begin: float, end: float) -> tuple[Sequence[RawSeries], tuple[str, ...]]:
        """`up` and the process starts of the counters' targets; of those configured where there is no counter yet."""
        targets = {counter.target for counter, _ in window.counters.values()}
        self._counted |= targets
        jobs = {target.partition(" ")[0] for target in targets if target}
        asked = (any_of("job", jobs),) if jobs else tuple(m for m in self._conditions if m.label in _TARGET_LABELS)
        if not asked:
            return (), ()
        answer = await self._server.samples(selector((_STATES, *asked)), begin, end)
        return answer.series, answer.warnings

    async def _created(self, window: Window, begin: float, end: float) -> dict[str, Starts]:
        """When counters began, by the `_created` that OpenMetrics exporters write beside every sample."""
        metrics: dict[str, set[str]] = {}
        for counter, _ in window.counters.values():
            metrics.setdefault(created_name(counter.metric), set()).add(counter.metric)
        conditions = (any_of("__name__", metrics), *(m for m in self._conditions if m.label != "__name__"))
        copies: dict[str, list[Sequence[tuple[float, str]]]] = {}
        answer = await self._server.samples(selector(conditions), begin, end) if metrics else Raw([], (), 0)
        window.warnings = tuple(dict.fromkeys((*window.warnings, *answer.warnings)))
        for series in answer.series:
            labels = labels_in(bytes(series.metric))
            for metric in metrics.get(labels.get("__name__", ""), ()):
                name = fingerprint(metric, labels, self._replicas.names)
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


def _is_down(series: RawSeries) -> bool:
    """Whether these are samples of `up`, and the last one says that the target was not scraped."""
    return b'"up"' in bytes(series.metric) and bool(series.values) and series.values[-1][1] == "0"
