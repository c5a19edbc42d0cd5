"""Series of a Prometheus: their labels, points and meaning, the window that holds them, and which are copies of others.

Nothing here asks a server. A new series that may be a copy waits until its samples show it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import inf
from typing import Final

import msgspec
import numpy as np

from alertd.clients.prometheus import RawSeries
from alertd.core.counting.attribution import Attribution, fingerprint
from alertd.core.counting.columns import Floats, Samples, SeriesTable
from alertd.core.counting.copies import NamedSeries, ReplicaLabels
from alertd.core.counting.exporters import Page, SharedExporters
from alertd.core.counting.scrapes import Starts, Targets, seconds, target_of
from alertd.ports import SourceError

#: Of two copies of one series the first by name is kept while it lags no more than this, in seconds.
_COPY_LAG: Final = 120.0
#: Samples this far outside of the time that was asked for, in seconds, are not believed: one of tomorrow would hide
#: what its counter gains until then.
_ASIDE: Final = 300.0
_ENDINGS: Final = ("_total", "_sum")
Points = Sequence[tuple[float, str]]
_LABELS: Final = msgspec.json.Decoder(dict[str, str])


@dataclass(frozen=True, slots=True)
class Counter:
    """What the labels of a series mean; kept from poll to poll under the bytes that they came in."""

    text: bytes
    fingerprint: str
    metric: str
    target: str
    found: Attribution | None
    #: What it counts, where no rule of its metric takes it.
    unknown: str = ""
    scale: Decimal = Decimal(1)
    #: The target that it was scraped from, where that is another name of `target`.
    alias: str = ""


class Window:
    """The counters of one window by fingerprint, those seen for the first time among them, and what is known of both.

    Nearly always they come as columns: `samples`, by their places in `table`; `counters` are then made of them where
    somebody asks. `created` is the start of counters, sample by sample, if their exporter reports it.
    `copies`: the number of series that came more than once. `astray`: the number of series with samples outside the
    window, which are left out.
    """

    def __init__(self, size: int = 0) -> None:
        self.fresh: set[str] = set()
        self.targets = Targets()
        self.created: dict[str, Starts] = {}
        self.warnings: tuple[str, ...] = ()
        #: Targets that had counters and that their Prometheus could not scrape at last.
        self.down: set[str] = set()
        self.copies = 0
        #: Samples of a target under another name that cannot be those of the target.
        self.mismatches: list[tuple[Counter, Points]] = []
        self.astray = 0
        self.size = size
        self.table: SeriesTable | None = None
        self.samples: Samples | None = None
        self._known: Sequence[Counter] = ()
        self._counters: dict[str, tuple[Counter, Points]] | None = None

    def hold(self, table: SeriesTable, samples: Samples, known: Sequence[Counter]) -> None:
        """Take the samples as columns; `known` are the counters by place."""
        self.table, self.samples, self._known = table, samples, known

    def leave_columns(self) -> None:
        """From now on the counters are what `counters` holds."""
        self._counters, self.samples = self.counters, None

    @property
    def counters(self) -> dict[str, tuple[Counter, Points]]:
        """The counters by fingerprint, each with its points."""
        if self._counters is None:
            points = () if self.samples is None else self.samples.points
            self._counters = {one.fingerprint: (one, own) for one, own in zip(self.each(), points, strict=True)}
        return self._counters

    def each(self) -> Iterator[Counter]:
        """The counters."""
        if self.samples is None:
            return (counter for counter, _ in (self._counters or {}).values())
        return (self._known[place] for place in self.samples.places.tolist())

    def __len__(self) -> int:
        return len(self.counters) if self.samples is None else len(self.samples.places)

    def names_of_targets(self) -> set[str]:
        """The targets of the counters."""
        if self.samples is None or self.table is None:
            return {counter.target for counter, _ in self.counters.values()}
        return {self.table.targets[n] for n in np.unique(self.table.target_of[self.samples.places]).tolist()}

    def is_empty(self) -> bool:
        """Neither a counter nor a scrape of a target that could have one."""
        return not (len(self) or any(self.targets.scrapes.values()))

    def pushed_until(self, latest: float) -> float:
        """When the last of the pushed series came that came by `latest`: what these counted before is not known."""
        firsts = (
            points[0][0] for one, points in self.counters.values() if one.target in self.targets.pushed and points
        )
        return max((at for at in firsts if at <= latest), default=-inf)


def named_series(series: RawSeries) -> NamedSeries:
    """A series with its labels."""
    text = bytes(series.metric)
    return NamedSeries(text, labels_in(text), series.values)


def labels_in(text: bytes) -> dict[str, str]:
    """Labels as received, as JSON. SourceError for invalid labels."""
    try:
        return _LABELS.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SourceError(f"a series has invalid labels: {text[:80]!r}") from error


def counts_on(series: RawSeries) -> bool:
    """Whether a series went on within what was asked for; of one sample, whether it counted anything at all."""
    if series.value is not None:
        return seconds(series.value[1]) > 0
    values = series.values
    return bool(values) and values[0][1] != values[-1][1]


def created_name(metric: str) -> str:
    """What the metric is called that says when a counter began."""
    stem = next((metric.removesuffix(ending) for ending in _ENDINGS if metric.endswith(ending)), metric)
    return f"{stem}_created"


def inside(points: Sequence[tuple[float, str]], begin: float, end: float) -> Sequence[tuple[float, str]]:
    """The points of the time that was asked for, the very same where all are."""
    if not points:
        return points
    low, high = begin - _ASIDE, end + _ASIDE
    if min(points)[0] >= low and max(points)[0] <= high:
        return points
    return [point for point in points if low <= point[0] <= high]


def are_inside(instants: Floats, begin: float, end: float) -> bool:
    """Whether all of these are of the time that was asked for."""
    return bool(instants.min() >= begin - _ASIDE and instants.max() <= end + _ASIDE)


def is_ahead(one: tuple[bytes, Sequence[tuple[float, str]]], other: tuple[bytes, Sequence[tuple[float, str]]]) -> bool:
    """Whether this copy of a series is the one to keep: the first by name, unless it has fallen behind."""
    lag = (one[1][-1][0] if one[1] else 0.0) - (other[1][-1][0] if other[1] else 0.0)
    return lag > _COPY_LAG or (one[0] < other[0] and lag >= -_COPY_LAG)


class Copies:
    """What one Prometheus has shown of copies. `named` labels are known to distinguish only them, `kept` are not."""

    def __init__(self, named: Sequence[str], kept: Collection[str]) -> None:
        self.replicas, self.exporters = ReplicaLabels(named, kept), SharedExporters()
        self._held: set[bytes] = set()
        #: The first samples of counters that wait until it is known whether they are others.
        self._first_held: dict[str, tuple[float, str]] = {}

    def labels(self) -> tuple[str, ...]:
        """The labels found that only distinguish copies."""
        names = set(self.replicas.seen)
        for one, other in self.exporters.same.items():
            (job, _, instance), (other_job, _, other_instance) = one.partition(" "), other.partition(" ")
            names |= {"job"} if job != other_job else set()
            names |= {"instance"} if instance != other_instance else set()
        return tuple(sorted(names))

    def find_shared(
        self, window: Window, targets: Collection[str], states: Sequence[RawSeries], counted: Collection[str]
    ) -> bool:
        """Whether it became known of targets that they are others under another name, or that they are not."""
        exporters = self.exporters
        if not exporters.same and (len(targets) < 2 or not exporters.is_open(targets)):  # noqa: PLR2004 - one is alone
            return False
        began = [series for series in states if b'"process_start_time_seconds"' in bytes(series.metric)]
        starts = {target_of(labels_in(bytes(one.metric))): seconds(at[1]) for one in began for at in one.values[-1:]}
        changed = exporters.part({*(counter.alias for counter, _ in window.mismatches), *exporters.others(starts)})

        def pages(asked: Collection[str]) -> Mapping[str, Page]:
            found: dict[str, dict[str, Sequence[tuple[float, str]]]] = {target: {} for target in asked}
            for counter, points in window.counters.values():
                if counter.target in found and points:
                    labels = {**labels_in(counter.text), "job": "", "instance": ""}
                    found[counter.target][fingerprint(counter.metric, labels, self.replicas.names)] = points
            return found

        scraped = {target_of(labels_in(bytes(one.metric))) for one in states if one.values}
        return exporters.decide(scraped.intersection(targets), starts, counted, pages) or changed

    def hold_back(self, window: Window, counted: Collection[str]) -> None:
        """Leave out the new series that may be copies of others: what they count would count twice."""
        waiting = self.exporters.held_back(counted)
        if waiting or self._first_held or self.replicas.undecided:
            window.leave_columns()
        for held_name, (one, points) in list(window.counters.items()) if waiting or self._first_held else ():
            if one.target in waiting:
                if points:
                    self._first_held.setdefault(held_name, points[0])
                del window.counters[held_name]
                window.fresh.discard(held_name)
            elif (first := self._first_held.pop(held_name, None)) is not None and points and first[0] < points[0][0]:
                window.counters[held_name] = one, [first, *points]
        if not waiting:
            self._first_held.clear()
        texts = (
            {counter.text: name for name, (counter, _) in window.counters.items()} if self.replicas.undecided else {}
        )
        # One that this answer lacks waits on.
        held = {text for text in self._held if text not in texts} if self.replicas.undecided else set()
        for group in self.replicas.undecided:
            new = [text for text in sorted(group) if text in self._held or texts.get(text) in window.fresh]
            held.update(new if len(new) < len(group) else new[1:])
        for text in held & texts.keys():
            del window.counters[texts[text]]
            window.fresh.discard(texts[text])
        self._held = held
