"""What the first sample of a series counts, of which nothing was known before. The one place that decides.

seen                                                          counts
a series of the same model and meter vanished as this one     the difference, said: a relabel or a rename
came, at or below its value, from the same target or process
its counter began in the period, on a first read              the whole value
its counter began since this source was last read             the whole value
an earlier scrape of the same target lacked the series        the whole value (born)
its target is of a job whose processes come and go            the whole value, said as assumed
anything else (a first read, an unknown target)               0: the base, said where it was not there before
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from alertd.core.counting.scrapes import seconds

if TYPE_CHECKING:
    from alertd.core.counting.counters import CounterSamples, CounterState

#: How far the clocks of a target and of who scrapes it may differ.
SKEW: Final = 60.0
#: Starts of one process differ by no more than this.
SAME_START: Final = 1.0
#: How long before the last scrape without it a series may have been written down last: idle ones are, once an hour.
_REFRESH: Final = 3600.0
#: From how many seconds after the oldest scrape of a first read on a series is one that came, and no base of all.
_CAME: Final = 600.0
_LINE: Final = 12
#: A gap is `_GAP` times as long as the usual step, which more than `_FEW` samples show.
_GAP: Final = 1.5
_FEW: Final = 2

RELABELLED: Final = (
    "counters came in place of others that vanished with a lower value (a relabel, or a rename):"
    " only the difference counts; the figure is a lower bound"
)


Points = Sequence[tuple[float, str | float]]


class Sight(NamedTuple):
    """The first sample of a series that no earlier reading could have seen; `first` is its very first one.

    `before` is its state where it had been replaced by another one, and returns.
    """

    series: CounterSamples
    at: float
    value: int
    first: tuple[float, str | float]
    before: CounterState | None = None


@dataclass(slots=True)
class FirstSights:
    """The first samples of a reading, and what is known to decide what they count.

    `scrapes` are the sorted instants by target; `newborn` the targets taken to have begun with their first sample.
    `begun_since` is from when on a counter must have begun to be new.
    """

    scrapes: Mapping[str, Sequence[float]]
    newborn: Collection[str]
    begun_since: Callable[[], float]
    first_read: bool
    #: What the counting of them leaves behind.
    doubts: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    replaced: dict[str, Sight] = field(default_factory=dict)
    _sights: list[Sight] = field(default_factory=list)

    def add(self, sight: Sight) -> None:
        """Keep a first sample until all of the reading is known."""
        self._sights.append(sight)

    def resolve(
        self, given: Iterable[CounterSamples], states: Mapping[str, CounterState], changed: Mapping[str, CounterState]
    ) -> list[tuple[Sight, int, float]]:
        """Each first sample with what it counts, and since when. `changed` are the states after the reading."""
        if not self._sights:
            return []
        gone = self._gone(given, states, changed)
        found: list[tuple[Sight, int, float]] = []
        unknown: list[int] = []
        assumed: dict[str, int] = {}
        oldest = min((instants[0] for instants in self.scrapes.values() if instants), default=inf)
        for sight in sorted(self._sights, key=lambda one: -one.value):
            series, at, value, (seen, began), before = sight
            earlier = scrape_before(self.scrapes, series.target, seen if before is None else at)
            lower = gone.take(sight, seen if seen < at else earlier)
            if lower is not None:
                self.replaced[lower] = sight
                known = changed.get(lower) or states[lower]
                lower_value = max(counted_of(series, known), 0 if before is None else before.value)
                found.append((sight, value - lower_value, known.at if earlier is None else max(earlier, known.at)))
                self.doubts.append(f"{series.line.model} {series.line.meter}: {RELABELLED}")
            elif before is not None:
                unknown.append(max(0, value - before.value))
            elif series.created is not None and series.created < gone.youngest.get(kin_of(series), -inf) - SAME_START:
                unknown.append(value)  # older than a process that is followed: several answer
            elif (since := self._born(sight, earlier)) is not None:
                found.append((sight, value, since))
            elif series.created is None and series.target in self.newborn:
                assumed[series.target] = assumed.get(series.target, 0) + value
                found.append((sight, value, at))
            elif seen < at and (grown := value - round(seconds(str(began)) * float(series.scale))) > 0:
                found.append((sight, grown, seen))
            elif series.created is None and (not self.first_read or at > oldest + _CAME):
                unknown.append(value)
        if sum(unknown):
            self.doubts.append(_unknown(len(unknown), sum(unknown)))
        if assumed:
            self.assumed.append(_assumed(assumed.keys(), sum(assumed.values())))
        return found

    def _born(self, sight: Sight, earlier: float | None) -> float | None:
        """Since when a series is known to have counted, all of it; None where nothing shows it."""
        created = sight.series.created
        if created is not None and self.begun_since() <= created <= sight.at + SKEW:
            return min(created, sight.at)
        return earlier

    def _gone(
        self, given: Iterable[CounterSamples], states: Mapping[str, CounterState], changed: Mapping[str, CounterState]
    ) -> _Gone:
        lines = {kin_of(sight.series)[:_LINE] for sight in self._sights}
        last = {series.fingerprint: series.points[-1][0] for series in given if series.points}
        new = {sight.series.fingerprint: sight.at for sight in self._sights}
        newest = max(new.values())
        found = _Gone()
        for held in (changed, states):
            for name, state in held.items():
                if (
                    state.kin[:_LINE] in lines
                    and last.get(name, -inf) < newest
                    and (held is changed or name not in changed)
                ):
                    found.add(name, state, last.get(name, -inf))
        return found


def interludes(given: Sequence[CounterSamples], states: Mapping[str, CounterState]) -> dict[str, str]:
    """The series that are seen only while another one of the same model, meter and target is not, with that other one.

    That is a relabel that was taken back: the other one's difference counts what it can.
    """
    new: dict[str, dict[str, list[float]]] = {}
    for series in given:
        state = states.get(series.fingerprint)
        if (state is None or state.heir) and series.points:
            instants = new.setdefault(kin_of(series), {}).setdefault(series.fingerprint, [])
            instants += (series.points[0][0], series.points[-1][0])
    if not new:
        return {}
    others: dict[str, dict[str, list[float]]] = {}
    for series in given:
        if (kin := kin_of(series)) in new:
            others.setdefault(kin, {}).setdefault(series.fingerprint, []).extend(at for at, _ in series.points)
    found: dict[str, str] = {}
    for kin, each in new.items():
        whole = [(name, sorted(seen)) for name, seen in others[kin].items() if len(seen) > _FEW]
        for name, instants in each.items():
            fits = [other for other, seen in whole if name != other and _lies_within(instants, seen)]
            if fits:
                found[name] = fits[0]
    return found


def _lies_within(instants: Sequence[float], seen: Sequence[float]) -> bool:
    """Whether all of them lie in one gap of the other's samples, which usually follow each other sooner."""
    place = bisect_left(seen, min(instants))
    if not 0 < place < len(seen) or max(instants) >= seen[place]:
        return False
    return seen[place] - seen[place - 1] > _GAP * min(later - earlier for earlier, later in pairwise(seen))


class _Gone:
    """The series that are not in the newest samples, by line."""

    def __init__(self) -> None:
        self._by_line: dict[str, list[tuple[str, CounterState, float]]] = {}
        #: By model, meter and target the youngest start that earlier readings knew.
        self.youngest: dict[str, float] = {}

    def add(self, name: str, state: CounterState, last: float) -> None:
        self._by_line.setdefault(state.kin[:_LINE], []).append((name, state, last))

    def take(self, sight: Sight, earlier: float | None) -> str | None:
        """The series that this one goes on from, each once: the one with the highest value at or below it."""
        series, at, value, _, before = sight
        kin = kin_of(series)
        held = self._by_line.get(kin[:_LINE], [])
        fits = [
            (counted_of(series, state), name, state, last)
            for name, state, last in held
            if name != series.fingerprint
            and last < at
            and state.at <= at
            and 0 < counted_of(series, state) <= value
            and (before is None or counted_of(series, state) >= before.value)
            and _is_same(series, kin, state, earlier)
        ]
        if not fits:
            return None
        _, name, state, last = max(fits, key=lambda one: one[:2])
        held.remove((name, state, last))
        return name


def counted_of(series: CounterSamples, state: CounterState) -> int:
    """What was counted of the process that a series is of: before a restart where it is older than the one followed."""
    older = series.created is not None and state.created is not None and series.created < state.created - SAME_START
    return state.value if not older else 0 if state.fall is None else state.fall.ended


def _is_same(series: CounterSamples, kin: str, state: CounterState, earlier: float | None) -> bool:
    """Whether both are of one process, as far as its start shows; else of one target, seen up to the scrape before."""
    if series.created is not None and state.created is not None:
        # A clock that is set moves a start: only one after the last sample is that of another process.
        began_before = series.created <= max(state.created + SAME_START, state.at - SKEW) and state.kin == kin
        return began_before or abs(series.created - state.created) <= SAME_START
    return state.kin == kin and earlier is not None and state.at >= earlier - _REFRESH - SKEW


def kin_of(series: CounterSamples) -> str:
    """What identifies the model and meter of a series, and then its target: two digests in one text."""
    line = series.line
    return _digest(f"{line.provider}\x00{line.model}\x00{line.meter}") + _digest(series.target)


@lru_cache(maxsize=10_000)
def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=_LINE // 2).hexdigest()


def scrape_before(scrapes: Mapping[str, Sequence[float]], target: str, instant: float) -> float | None:
    """The last scrape of a target before an instant."""
    instants = scrapes.get(target, ())
    place = bisect_left(instants, instant)
    return instants[place - 1] if place else None


def _unknown(series: int, value: int) -> str:
    counters = "a counter was" if series == 1 else f"{series:,} counters were"
    return (
        f"{counters} first seen at {value:,}; nothing tells when they began, so this is not counted:"
        " the figure is a lower bound"
    )


def _assumed(targets: Collection[str], value: int) -> str:
    jobs = sorted({target.partition(" ")[0] or "(none)" for target in targets})
    return (
        f"processes of job {', '.join(jobs[:3])} come and go: {len(targets):,} of them are taken to have begun with"
        f" their first sample, which counts {value:,}"
    )
