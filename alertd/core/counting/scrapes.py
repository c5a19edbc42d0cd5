"""When targets were scraped and when their processes began, from their own series; what these do not show is absent."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import isfinite
from statistics import median
from typing import Final, NamedTuple

#: A start is written with less than a second's exactness; a larger step is another process.
_SAME_START: Final = 1.0
#: Timestamps of one scrape differ by no more.
_SAME_INSTANT: Final = 0.002
#: Within this many steps of a pushed target every one of its series comes once.
_ROUND: Final = 1.2
#: What is pushed less often than this may be taken for new; so is not what was pushed once.
_SLOWEST_STEP: Final = 300.0
#: A target that is not seen for this many seconds, and for this many scrapes, has gone.
_GONE: Final = 300.0
_GONE_SCRAPES: Final = 3
#: A process that was seen for at most this many seconds is short-lived.
_SHORT: Final = 3600.0
#: A process whose first value is this many times the largest of a short-lived process has not just begun.
_TOO_LARGE: Final = 10


@dataclass(frozen=True, slots=True)
class Starts:
    """The starts of a target's processes, each with the scrape that saw it first, oldest first."""

    seen: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of(cls, points: Iterable[tuple[float, str]]) -> Starts:
        """From samples of process_start_time_seconds or of a counter's `_created`, oldest first.

        Where several processes answer at one address the starts go back and forth; each is true for its own samples.
        """
        seen: list[tuple[float, float]] = []
        for instant, text in points:
            start = seconds(text)
            if start > 0 and (not seen or abs(start - seen[-1][1]) > _SAME_START):
                seen.append((instant, start))
        return cls(tuple(seen))

    def goes_back(self) -> bool:
        """Whether an older start follows a younger one."""
        return any(later < earlier for (_, earlier), (_, later) in pairwise(self.seen))

    def split(self, points: Sequence[tuple[float, str]]) -> list[tuple[float | None, Sequence[tuple[float, str]]]]:
        """The points by the process that they belong to, with its start where that is known."""
        if len(self.seen) < 2:  # noqa: PLR2004 - one process, or none known
            return [(self.seen[0][1] if self.seen else None, points)]
        parts: list[tuple[float | None, Sequence[tuple[float, str]]]] = []
        begin = 0
        for place, (_, start) in enumerate(self.seen):
            last = place + 1 == len(self.seen)
            end = len(points) if last else bisect_left(points, self.seen[place + 1][0], key=_before)
            if end > begin:
                parts.append((start, points[begin:end]))
            begin = end
        return parts


def seconds(text: str) -> float:
    """An instant as an exporter writes it, in Unix seconds; 0 where the text is not a time."""
    try:
        found = float(text)
    except ValueError:
        return 0.0
    return found if isfinite(found) else 0.0


def _before(point: tuple[float, str]) -> float:
    return point[0]


@dataclass(frozen=True, slots=True)
class Targets:
    """What a reading knows of the targets: their scrapes, and their processes' starts."""

    scrapes: Mapping[str, Sequence[float]] = field(default_factory=dict)
    starts: Mapping[str, Starts] = field(default_factory=dict)
    #: Of targets that are known by their counters' samples only: how many seconds apart these are. What was not there
    #: with another one's sample may just be pushed a little later.
    pushed: Mapping[str, float] = field(default_factory=dict)

    def lag(self, target: str) -> float:
        """How many seconds after a target's sample all of its series have come: a scrape is one instant."""
        return _ROUND * self.pushed.get(target, 0.0)

    def with_own_times(self, samples: Iterable[tuple[str, Sequence[tuple[float, str]]]]) -> Targets:
        """The same, where the (target, points) of some counters have other timestamps than the scrapes of their target.

        A federated counter, or one with the exporter's own timestamps, may be up to a scrape older than the scrape that
        has it: that it is not there at the scrape before does not show that it is new.
        """
        found = {
            target: min(_step_of(instants), _SLOWEST_STEP)
            for target, points in samples
            if points
            and target not in self.pushed
            and (instants := self.scrapes.get(target))
            and not (_is_one(points[0][0], instants) or _is_one(points[-1][0], instants))
        }
        return replace(self, pushed={**self.pushed, **found}) if found else self

    def complete_scrapes(self) -> dict[str, tuple[float, ...]]:
        """By target when it was certain that a series would have been seen, had it been there."""
        return {target: tuple(at + self.lag(target) for at in instants) for target, instants in self.scrapes.items()}

    def newest(self) -> float | None:
        """The newest scrape of any target."""
        return max((instants[-1] for instants in self.scrapes.values() if instants), default=None)

    def oldest(self) -> float | None:
        """The oldest scrape of any target."""
        return min((instants[0] for instants in self.scrapes.values() if instants), default=None)

    def step(self) -> float | None:
        """How many seconds usually lie between two scrapes of a target; the slowest target's."""
        steps = [
            median(later - earlier for earlier, later in pairwise(instants))
            for instants in self.scrapes.values()
            if len(instants) > 1
        ]
        return max(steps, default=None)


def _step_of(instants: Sequence[float]) -> float:
    """How many seconds usually lie between two scrapes; the most that may where there is one only."""
    return median(later - earlier for earlier, later in pairwise(instants)) if len(instants) > 1 else _SLOWEST_STEP


def _is_one(instant: float, instants: Sequence[float]) -> bool:
    """Whether an instant is one of these, which are sorted, to the millisecond."""
    place = bisect_left(instants, instant - _SAME_INSTANT)
    return place < len(instants) and instants[place] <= instant + _SAME_INSTANT


class Life(NamedTuple):
    """What was seen of a target that came while its Prometheus was read: first and last scrape, in Unix seconds.

    `began` is the largest first value of its counters, `largest` the largest of all.
    """

    first: float
    last: float
    began: float = 0.0
    largest: float = 0.0


def short_lived(lives: Mapping[str, Life], fresh: Collection[str], step: float) -> frozenset[str]:
    """Of the `fresh` targets those that have just begun: others of their job came and went, each within an hour.

    `lives` are the targets seen coming, the fresh ones among them.
    """
    away = max(_GONE, _GONE_SCRAPES * step)
    by_job: dict[str, list[str]] = {}
    for target in lives:
        by_job.setdefault(_job(target), []).append(target)
    return frozenset(
        target
        for target in fresh
        if target in lives
        and any(_is_like(lives[target], lives[other], away) for other in by_job[_job(target)] if other != target)
    )


def _is_like(one: Life, other: Life, away: float) -> bool:
    """Whether `other` was short-lived and had gone when `one` came, or `one` itself had when `other` came."""
    if one.began > _TOO_LARGE * max(other.largest, 1.0):
        return False
    before = other.last - other.first <= _SHORT and other.last + away <= one.first
    return before or (one.last - one.first <= _SHORT and one.last + away <= other.first)


def _job(target: str) -> str:
    return target.partition(" ")[0]


def target_of(labels: Mapping[str, str]) -> str:
    """The target that a series was scraped from; "" where it was not scraped but pushed."""
    job, instance = labels.get("job", ""), labels.get("instance", "")
    return f"{job} {instance}" if instance else ""


def targets_of(
    states: Iterable[tuple[Mapping[str, str], Sequence[tuple[float, str]]]],
    samples: Callable[[], Iterable[tuple[str, Sequence[tuple[float, str]]]]],
    targets: Collection[str],
) -> Targets:
    """From the series `up` and `process_start_time_seconds`, and from the counters' own samples where these lack.

    `states` are (labels, points) of the former, `samples` (target, points) of the counters, `targets` their targets.
    """
    up: dict[str, set[float]] = {}
    alive: dict[str, set[float]] = {}
    began: dict[str, list[list[tuple[float, str]]]] = {}
    for labels, points in states:
        target = target_of(labels)
        if labels.get("__name__") == "up":
            up.setdefault(target, set()).update(instant for instant, value in points if value == "1")
        else:
            began.setdefault(target, []).append(list(points))
            alive.setdefault(target, set()).update(map(_before, points))
    scrapes = {target: sorted(up.get(target) or alive.get(target, set())) for target in up.keys() | alive.keys()}
    starts = {
        target: _merged(series, (at for other, points in samples() if other == target for at, _ in points))
        for target, series in began.items()
    }
    unknown: dict[str, set[float]] = {}
    steps: dict[str, float] = {}
    for target, points in samples() if any(not scrapes.get(target) for target in targets) else ():
        if not scrapes.get(target):
            unknown.setdefault(target, set()).update(map(_before, points))
            if len(points) > 1:
                steps[target] = max(steps.get(target, 0.0), (points[-1][0] - points[0][0]) / (len(points) - 1))
    pushed = {target: min(steps.get(target, _SLOWEST_STEP), _SLOWEST_STEP) for target in unknown}
    return Targets(scrapes | {target: sorted(instants) for target, instants in unknown.items()}, starts, pushed)


def _merged(series: Sequence[Sequence[tuple[float, str]]], counters: Iterable[float]) -> Starts:
    """The starts of one target; nothing where series of other labels contradict each other about them.

    Of copies of one series, which show the same starts at their own instants, the one that the `counters` came with.
    """
    found = Starts.of(sorted(point for points in series for point in points))
    if len(series) == 1 or not found.goes_back():
        return found
    values = [{value for _, value in points} for points in series]
    if not all(one <= max(values, key=len) for one in values):
        return Starts()
    return Starts.of(scraped_with(series, counters))


def scraped_with(
    copies: Sequence[Sequence[tuple[float, str]]], instants: Iterable[float]
) -> Sequence[tuple[float, str]]:
    """Of copies of a series the one that shares most instants with another series."""
    known = set(instants)
    return max(copies, key=lambda points: sum(at in known for at, _ in points))
