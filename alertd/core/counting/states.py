"""The states of counters during a reading: which one a series goes on from, its own or that of another one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from math import inf

from alertd.core.counting.falls import SAME_START, SKEW, Fall, is_deep
from alertd.core.counting.samples import (
    KIN,
    LABELS_KIN,
    TARGET_KIN,
    CounterSamples,
    CounterState,
    full_kin_of,
    kin_of,
    line_of,
    number_of,
)
from alertd.core.usage import Line


def renamed(
    states: Mapping[str, CounterState], names: Mapping[str, str]
) -> tuple[dict[str, CounterState], tuple[str, ...]]:
    """The states of series that have another fingerprint now, under that one; and the fingerprints to forget.

    `names` leads from the old one to the new one. Of several that are one series now, the newest state goes on.
    """
    gone = tuple(name for name in names if name in states)
    if not gone:
        return {}, ()
    found: dict[str, CounterState] = {}
    for name in gone:
        new = names[name]
        known = found.get(new) or states.get(new)
        if known is None or known.at < states[name].at:
            found[new] = states[name]
    for name, state in states.items():
        if state.heir in names and name not in names:
            found.setdefault(name, state)
    return {name: _with_heir(state, names.get(state.heir, state.heir), name) for name, state in found.items()}, gone


def _with_heir(state: CounterState, heir: str, name: str) -> CounterState:
    return state._replace(heir="" if heir == name else heir)


class CounterStates:
    """The states `before` the reading and those that it `changed`, by fingerprint.

    `given` are all series of the reading. `vanished` are, by fingerprint of a new series, those that vanished with a
    higher value as it came.
    """

    def __init__(
        self, before: Mapping[str, CounterState], given: Sequence[CounterSamples], vanished: Mapping[str, str]
    ) -> None:
        self.before = before
        self.changed: dict[str, CounterState] = {}
        #: The series before, and its last sample: one that restarted comes in parts, one after the other.
        self.seen = "", -inf
        self._given, self._vanished = given, vanished
        self._fresh = 0

    def get(self, name: str) -> CounterState | None:
        """The state after what was counted of this reading so far."""
        return self.changed.get(name) or self.before.get(name)

    def has_line(self, line: Line) -> bool:
        """Whether a line was counted before this reading."""
        return any(state.kin[:KIN] == line_of(line) for state in self.before.values())

    def is_beyond(self, name: str, most: int) -> bool:
        """Whether this is a new counter, and there are as many as may be."""
        if name in self.before or name in self.changed:
            return False
        self._fresh += 1
        return len(self.before) + self._fresh > most

    def has_stand_in(self, series: CounterSamples, at: float) -> bool:
        """Whether a series that began anew after `at` may have been counted under another name since.

        One has the same start; or a counter of the new process, with other labels, was seen after this one began,
        which was not: it may be a sum that this one went into.
        """
        start = series.created
        if start is None:
            return False
        kin = kin_of(series)
        if any(
            abs(other - start) <= SAME_START
            for second in (-1, 0, 1)
            for other in self._starts.get((kin, int(start) + second), ())
        ):
            return True
        if self._latest.get(kin, -inf) < start:
            return False
        labels = full_kin_of(series)[:LABELS_KIN]
        return any(
            at - SKEW < (state.created or -inf) <= start <= state.at
            for state in self.before.values()
            if state.kin[:TARGET_KIN] == kin and state.kin[:LABELS_KIN] != labels and not state.heir
        )

    def stood_in(self, series: CounterSamples, since: float, fell: float, now: float) -> list[tuple[str, CounterState]]:
        """The counters that may have counted in place of one that began anew, and are gone.

        It was last seen at `since`, then lower from `fell` on, and is a restart for certain `now`. One of the same
        labels was there only in between: another name. One of other labels was there after it fell: a sum of several.
        """
        kin, labels = kin_of(series), full_kin_of(series)[:LABELS_KIN]
        found: list[tuple[str, CounterState]] = []
        for name in self._by_target.get(kin, ()):
            state = self.changed.get(name) or self.before[name]
            begin, end = (since, fell) if state.kin[:LABELS_KIN] == labels else (fell, now)
            is_gone = not state.heir and self._last.get(name, -inf) < now and begin < state.at <= end
            if name != series.fingerprint and is_gone and state.value:
                found.append((name, state))
        return found

    @cached_property
    def _by_target(self) -> dict[str, list[str]]:
        """By line and target the counters before the reading."""
        found: dict[str, list[str]] = {}
        for name, state in self.before.items():
            found.setdefault(state.kin[:TARGET_KIN], []).append(name)
        return found

    @cached_property
    def _latest(self) -> dict[str, float]:
        """By line and target the newest sample of the counters before the reading, of those whose start is known."""
        found: dict[str, float] = {}
        for state in self.before.values():
            if state.created is not None and not state.heir:
                kin = state.kin[:TARGET_KIN]
                found[kin] = max(state.at, found.get(kin, -inf))
        return found

    @cached_property
    def _starts(self) -> dict[tuple[str, int], list[float]]:
        """By line and target, and by second, the starts of the counters before the reading."""
        found: dict[tuple[str, int], list[float]] = {}
        for state in self.before.values():
            if state.created is not None and not state.heir:
                known = found.setdefault((state.kin[:TARGET_KIN], int(state.created)), [])
                if not known or known[-1] != state.created:
                    known.append(state.created)
        return found

    @cached_property
    def newest(self) -> float:
        """The newest sample of the readings before."""
        return max(state.at for state in self.before.values())

    def known(self, series: CounterSamples) -> CounterState | None:
        """The last known state of a series. An earlier part of this reading may have shown it unchanged, but later.

        One that comes back with a lower value than before goes on from the state of its heir: a process restarted.
        """
        name = series.fingerprint
        old = self.get(name)
        if old is None and (other := self._vanished.get(name)) is not None and self._may_be(series, other):
            state = self.changed.get(other) or self.before[other]
            came = series.points[0][0] if series.points else state.at
            self.changed[other] = state._replace(at=max(state.at, came), heir=name, owed=0)
            return state._replace(kin=full_kin_of(series))
        if old is None or not series.points:
            return old
        if old.heir and (heir := self.get(old.heir)) is not None and heir.at < series.points[-1][0]:
            number = _first_number(series, heir.at)
            ended = self._last.get(old.heir, -inf) <= heir.at and not self._is_sum(old.heir)
            is_lower = number < old.value and (ended or heir.at < series.points[0][0])
            if is_lower or (series.created is None and ended and number < heir.value):
                self.changed[old.heir] = heir._replace(heir=name)
                return old._replace(at=heir.at, value=heir.value, fall=heir.fall, heir="")
        return old._replace(at=self.seen[1]) if self.seen[0] == name and self.seen[1] > old.at else old

    def begin(self, series: CounterSamples) -> tuple[float, int, Fall | None]:
        """As `followed`, of a new series. Past the value of one that vanished as it came, it may be that one."""
        name = self._vanished.get(series.fingerprint)
        if name is None:
            return -inf, -1, None
        return -inf, -1, Fall(series.points[0][0], peak=(self.changed.get(name) or self.before[name]).value)

    def _may_be(self, series: CounterSamples, name: str) -> bool:
        """Whether a new series may be the one that vanished with a higher value, and no new process.

        It is not deep below it, or has its start; or a counter of the same target fell lately and it is not certain
        why: several processes may answer.
        """
        state = self.changed.get(name) or self.before[name]
        if series.created is not None and series.created == state.created:
            return True
        if series.points and not is_deep(_first_number(series), state.value):
            return True
        target = state.kin[KIN:TARGET_KIN]
        every: Iterable[CounterState] = chain(self.before.values(), self.changed.values())
        fallen = (one for one in every if one.fall is not None and one.kin[KIN:TARGET_KIN] == target)
        return any(one.fall is not None and one.fall.is_doubtful(state.at) for one in fallen)

    def _is_sum(self, name: str) -> bool:
        """Whether several series went into this one."""
        return sum(state.heir == name for state in self.before.values()) > 1

    @cached_property
    def _last(self) -> Mapping[str, float]:
        """When each series of the reading was last seen."""
        return {series.fingerprint: series.points[-1][0] for series in self._given if series.points}


def _first_number(series: CounterSamples, after: float = -inf) -> int:
    """The first value `after` a time; 0 without one that is a number."""
    try:
        return number_of(next(value for at, value in series.points if at > after), series.scale) or 0
    except ValueError:
        return 0
