"""The series that vanished as others came: which one a new series goes on from (a relabel, a rename, a copy)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from math import inf
from typing import Final, NamedTuple

from alertd.core.counting.falls import SAME_START, SKEW
from alertd.core.counting.samples import (
    KIN,
    LABELS_KIN,
    TARGET_KIN,
    CounterSamples,
    CounterState,
    full_kin_of,
    kin_of,
    line_of,
)

#: How long before the last scrape without it a series may have been written down last: idle ones are, once an hour.
_REFRESH: Final = 3600.0
#: A counter whose model got another name has no more than this many times the value before.
_MOST_GAINED: Final = 2
#: A sum that is lower than its parts were by more than a dip is not theirs.
_MOST_OF: Final = 0.9


class Sight(NamedTuple):
    """The first sample of a series that no earlier reading could have seen.

    `first` is the first sample of the series in this reading: when it was there, and the first value that is a number.
    `before` is its state where it had been replaced by another one, and returns. `since`: it is the first sample of a
    known series after a restart, and all of it was used since then, but for what another one counted in its place.
    """

    series: CounterSamples
    at: float
    value: int
    first: tuple[float, int]
    before: CounterState | None = None
    since: float | None = None


class Joint(NamedTuple):
    """What is left of each of the first samples, what was taken off them in all, and who goes on where.

    `lacking` is, by fingerprint of one that came, how much higher than all that came those were that vanished: a dip.
    """

    rest: list[int]
    taken: int
    heirs: dict[str, Sight]
    lacking: dict[str, int]


class Vanished:
    """The series that are not in the newest samples, by line.

    `states` are those before the reading, `new` the series that came.
    """

    def __init__(self, states: Mapping[str, CounterState], new: Iterable[CounterSamples]) -> None:
        self._by_line: dict[str, list[tuple[str, CounterState, float]]] = {}
        self._labelled: set[str] = set()
        #: Those of other models and meters, by target and labels.
        self._elsewhere: dict[str, list[tuple[str, CounterState, float]]] = {}
        #: By the digest of a target the oldest start known of its counters.
        self._oldest: dict[str, float] = {}
        #: By line and target those in place of which others came.
        self._replaced: dict[str, list[CounterState]] = {}
        self._states = states
        targets = {kin_of(series)[KIN:] for series in new if series.created is not None} if states else ()
        for state in states.values() if targets else ():
            if state.created is not None and (target := state.kin[KIN:TARGET_KIN]) in targets:
                self._oldest[target] = min(state.created, self._oldest.get(target, inf))
                if state.heir:
                    self._replaced.setdefault(state.kin[:TARGET_KIN], []).append(state)

    def is_foreign(self, series: CounterSamples) -> bool:
        """Whether it is of a process before those that are followed, and may have been counted under another name.

        It began before every counter that is known of its target, or before one of its line that vanished as it came.
        """
        start = series.created
        if start is None or not self._oldest:
            return False
        kin = kin_of(series)
        if start < self._oldest.get(kin[KIN:], -inf) - SKEW:
            return True
        came = series.points[0][0] if series.points else inf
        others = [state for state in self._replaced.get(kin, ()) if state.at >= came]
        return any(
            state.created is not None and start < state.created - SKEW
            for state in (*others, *(state for _, state, _ in self.left(kin)))
        )

    def has_labels(self, series: CounterSamples) -> bool:
        """Whether one that is gone fed the same ledger series."""
        return bool(self._labelled) and full_kin_of(series)[:LABELS_KIN] in self._labelled

    def add(self, name: str, state: CounterState, last: float) -> None:
        self._by_line.setdefault(state.kin[:KIN], []).append((name, state, last))
        self._labelled.add(state.kin[:LABELS_KIN])

    def add_other(self, name: str, state: CounterState, last: float) -> None:
        """Keep one of another model or meter: the name of the model may have changed, as by a relabel rule."""
        self._elsewhere.setdefault(state.kin[KIN:LABELS_KIN], []).append((name, state, last))

    def take_other(self, sight: Sight, earlier: float | None) -> str | None:
        """The series of another model that this one goes on from, once: same target, labels and process.

        It has to have most of the value that came: a counter that only got another name gained little meanwhile.
        """
        series, at, value = sight.series, sight.at, sight.value
        held = self._elsewhere.get(full_kin_of(series)[KIN:LABELS_KIN]) if self._elsewhere else None
        fits = [
            (state.value, name, state, last)
            for name, state, last in held or ()
            if name != series.fingerprint
            and last < at
            and state.at <= at
            and (len(state.kin) > LABELS_KIN) == (series.within is not None)
            and 0 < state.value <= value <= _MOST_GAINED * state.value
            and _goes_on(series, state, earlier)
        ]
        if not fits or held is None:
            return None
        _, name, state, last = max(fits, key=lambda one: one[:2])
        held.remove((name, state, last))
        return name

    def take(self, sight: Sight, earlier: float | None) -> str | None:
        """The series that this one goes on from, each once: the one with the highest value at or below it.

        One of the same target, then of the very same start, and then of the same labels goes before others.
        """
        series, at, value, _, before, _ = sight
        held = self._by_line.get(line_of(series.line))
        if not held:
            return None
        kin, labels = kin_of(series), full_kin_of(series)[:LABELS_KIN]
        fits = [
            (
                (
                    state.kin[:TARGET_KIN] == kin,
                    _has_same_start(series, state),
                    state.kin[:LABELS_KIN] == labels,
                    counted_of(series, state),
                ),
                name,
                state,
                last,
            )
            for name, state, last in held
            if name != series.fingerprint
            and last < at
            and state.at <= at
            and (
                is_sample_of(sight, kin, state)
                or _is_lower_page(series, state)
                or (
                    0 < counted_of(series, state) <= value
                    and (before is None or counted_of(series, state) >= before.value)
                    and _is_same(series, kin, state, earlier)
                )
            )
        ]
        if not fits:
            return None
        rank, name, state, last = max(fits, key=lambda one: one[:2])
        if not rank[2] and self.higher(sight, earlier) is not None:
            return None  # this one may go on from its own, and another one from that which would be taken
        held.remove((name, state, last))
        return name

    def __bool__(self) -> bool:
        return any(self._by_line.values())

    def is_sum(self, name: str) -> bool:
        """Whether several series went into this one."""
        return self._heirs[name] > 1

    @cached_property
    def _heirs(self) -> Counter[str]:
        return Counter(state.heir for state in self._states.values() if state.heir)

    def left(self, kin: str) -> list[tuple[str, CounterState, float]]:
        """Those of a line and a target from which none goes on."""
        return [one for one in self._by_line.get(kin[:KIN], []) if one[1].kin[:TARGET_KIN] == kin]

    def remove(self, kin: str, names: Collection[str]) -> None:
        """From these of a line others go on now."""
        self._by_line[kin[:KIN]] = [one for one in self._by_line.get(kin[:KIN], ()) if one[0] not in names]

    def copies_of(self, state: CounterState, value: int) -> list[str]:
        """Those left that were as the one that was taken, at the same time: not both are in the `value` that came."""
        return [
            name
            for name, other, _ in self._by_line.get(state.kin[:KIN], [])
            if other.kin[:LABELS_KIN] == state.kin[:LABELS_KIN]
            and other.created == state.created
            and abs(other.at - state.at) <= SKEW
            and other.value + state.value > value
        ]

    def higher(self, sight: Sight, earlier: float | None) -> str | None:
        """The series of the same labels that vanished with a higher value, where no start distinguishes them."""
        series, at, value, _, _, _ = sight
        if series.created is not None or earlier is None or not self._by_line:
            return None
        kin, labels = kin_of(series), full_kin_of(series)[:LABELS_KIN]
        fits = [
            (state.value, name)
            for name, state, last in self._by_line.get(kin[:KIN], [])
            if state.kin[:LABELS_KIN] == labels
            and name != series.fingerprint
            and state.created is None
            and last < at
            and state.at <= at
            and state.value > value
            and _is_same(series, kin, state, earlier)
        ]
        return min(fits)[1] if fits else None


def joint_of(
    came: Sequence[tuple[Sight, int]],
    left: Iterable[tuple[str, CounterState, float]],
    earlier: Callable[[Sight], float | None],
    oldest: float,
) -> Joint:
    """Take those that are `left` off the first samples that `came` as they vanished, as far as these are enough.

    `earlier` answers when the target was last seen without one of them. Where the reading, whose `oldest` sample that
    is, reaches back to then, it holds what vanished since.
    """
    joint = Joint([quantity for _, quantity in came], 0, {}, {})
    # Those that vanished in this reading before those that did earlier: a part of a page may be missing for long.
    for name, state, last in sorted(left, key=lambda one: (one[2] == -inf, -one[1].value)):
        fits = [
            place
            for place, (sight, _) in enumerate(came)
            if name != sight.series.fingerprint
            and last < sight.at
            and state.at <= sight.at
            and (
                last > -inf
                or oldest > (earlier(sight) or inf)
                or (joint.rest[place] < sight.value and _goes_on(sight.series, state, None))
            )
            and (sight.since is not None or _is_same(sight.series, kin_of(sight.series), state, earlier(sight)))
        ]
        total, all_ = sum(joint.rest[place] for place in fits), sum(came[place][0].value for place in fits)
        # A sum began with the oldest of its parts: it is older than the others, and no process before theirs.
        values = {counted_of(came[fits[0]][0].series, state) or state.value, state.value} if fits else set()
        value = next(
            (value for value in sorted(values, reverse=True) if all_ >= _MOST_OF * (all_ - total + value)), None
        )
        if value is None:
            continue
        fits.sort(key=lambda place: -joint.rest[place])
        joint.heirs[name], owed = came[fits[0]][0], min(value, total)
        joint = joint._replace(taken=joint.taken + owed)
        if value > total:
            joint.lacking[came[fits[0]][0].series.fingerprint] = value - total
        for place in fits:
            part = min(owed, joint.rest[place])
            joint.rest[place], owed = joint.rest[place] - part, owed - part
    return joint


def counted_of(series: CounterSamples, state: CounterState) -> int:
    """What was counted of the process that a series is of: before a restart where it is older than the one followed."""
    if not _is_older(series, state):
        return state.value
    ended = _ended_of(series, state)
    # Nothing shows a restart, and the starts are less than a minute apart: its clock was set.
    apart = (state.created or 0.0) - (series.created or 0.0)
    return state.value if not ended and apart <= SKEW else ended


def _ended_of(series: CounterSamples, state: CounterState) -> int:
    """What was counted of the process before the restart of a state, if a series is of that one."""
    fall = state.fall
    if fall is None or series.created is None:
        return 0
    return fall.ended if not fall.ended_start or abs(series.created - fall.ended_start) <= SKEW else 0


def is_unknown_process(series: CounterSamples, state: CounterState) -> bool:
    """Whether a series is of a process before the one that is followed, and what was counted of it is not known."""
    return _is_older(series, state) and counted_of(series, state) == 0


def is_sample_of(sight: Sight, kin: str, state: CounterState) -> bool:
    """Whether the first sample is the very one that is known under another name, as of a copy."""
    return state.kin[:TARGET_KIN] == kin and state.at == sight.at and state.value == sight.value


def _is_lower_page(series: CounterSamples, state: CounterState) -> bool:
    """Whether it is surely the same counter: of one target, labels and known start. A lower value is then a dip."""
    same = full_kin_of(series)[:LABELS_KIN] == state.kin[:LABELS_KIN]
    return same and series.created is not None and series.created == state.created


def _is_older(series: CounterSamples, state: CounterState) -> bool:
    """Whether a series is of a process before the one that is followed."""
    return series.created is not None and state.created is not None and series.created < state.created - SAME_START


def _has_same_start(series: CounterSamples, state: CounterState) -> bool:
    """Whether both are of one process; the start of the one before the restart of a state is not kept."""
    if series.created is None or state.created is None:
        return False
    before = _is_older(series, state) and _ended_of(series, state) > 0
    return before or abs(series.created - state.created) <= SAME_START


def _goes_on(series: CounterSamples, state: CounterState, earlier: float | None) -> bool:
    """Whether both have the same start; without one, whether this one was there up to the scrape before."""
    if series.created is None or state.created is None:
        return series.created is state.created and earlier is not None and state.at >= earlier - _REFRESH - SKEW
    return abs(series.created - state.created) <= SAME_START


def _is_same(series: CounterSamples, kin: str, state: CounterState, earlier: float | None) -> bool:
    """Whether both are of one process, as far as its start shows; else of one target, seen up to the scrape before."""
    if series.created is not None and state.created is not None:
        # A clock that is set moves a start: only one after the last sample is that of another process.
        began_before = (
            series.created <= max(state.created + SAME_START, state.at - SKEW) and state.kin[:TARGET_KIN] == kin
        )
        return began_before or _has_same_start(series, state)
    return state.kin[:TARGET_KIN] == kin and earlier is not None and state.at >= earlier - _REFRESH - SKEW
