"""Input counters that wait for their counter of cached tokens, which is missing or went back.

A counter never leaves the page of a process. Where a cached counter that counted until lately is not among the samples,
and the input counter that includes it goes on, a part of the page is missing: the input would count its cached tokens
at the full price. So it would where the cached counter went back, and nothing shows why. So the input waits, for an
hour at most. It does not wait where

    the input's process began anew, or its value fell      the cached counter comes with its first cached tokens
    an input counter of the same labels is missing, too,   a process behind a collector ended
    and no other one came in its place
    the cached counter had counted nothing for minutes     collectors leave out what is idle

What waited when the process of the cached counter ended is lost: no page shows what it was of.

Cached tokens that are not counted, as nothing shows that they are new, may be included in the input counter: that
number of input tokens is held back for good, as they would be counted at the full price.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import inf
from typing import Final, NamedTuple

from alertd.core.counting.falls import DIPPED, SAME_START, SKEW, process
from alertd.core.counting.samples import (
    KIN,
    LABELS_KIN,
    TARGET_KIN,
    CounterSamples,
    CounterState,
    full_kin_of,
    kin_of,
    number_of,
)

#: For how many seconds an input counter waits.
_LONGEST: Final = 3600.0
#: Seconds after which a cached counter that counted nothing is idle. Longer pauses between readings prove nothing.
_IDLE: Final = 300.0

#: Seconds: a sample this long before a fall belongs to the time before it.
_BEFORE: Final = 0.001

WAITING: Final = (
    "its counter of cached tokens is missing or went back: what the input counts since waits for it, for an hour at"
    " most; the figure is a lower bound"
)

UNFALLEN: Final = (
    "its input began anew and it did not go back: it may have counted more since than its difference, so as much of the"
    " input is left out; the figure is a lower bound"
)


#: The samples of a series by its fingerprint, and those of one process of it by the start of that one.
Part = tuple[str, float | None]


class _Gap(NamedTuple):
    """What a cached counter lacks: samples after `since` and before `anew`, the first one of a younger process.

    `fell`: it went back. `is_seen`: the reading has samples of it from before.
    """

    since: float
    anew: float = inf
    fell: bool = False
    is_seen: bool = False


def waiting_inputs(
    given: Sequence[CounterSamples], states: Mapping[str, CounterState], changed: Mapping[str, CounterState]
) -> dict[Part, float]:
    """The input counters that wait, and up to when their samples do not, in Unix seconds.

    `states` are those before the reading, `changed` those of its counters as far as they are known.
    """
    cached = {name: state for name, state in states.items() if len(state.kin) > LABELS_KIN and not state.heir}
    if not cached:
        return {}
    new = [full_kin_of(one) for one in given if one.within is not None and one.points and _came(one, states)]
    came, same = {kin[:TARGET_KIN] for kin in new}, {kin[:LABELS_KIN] for kin in new}
    late = {
        name: gap for name, gap in _gaps(given, cached, changed).items() if cached[name].kin[:LABELS_KIN] not in same
    }
    if not late:
        return {}
    by_input: dict[str, list[str]] = {}
    for name in late:
        kin = cached[name].kin
        by_input.setdefault(kin[LABELS_KIN:] + kin[KIN:TARGET_KIN], []).append(name)
    moved = {
        series.fingerprint
        for series in given
        if series.fingerprint in late and series.points and series.points[0][1] != series.points[-1][1]
    }
    present = {series.fingerprint for series in given if series.points}
    #: By labels the input counter that is missing, as it was last seen to count: it does whenever its cached one does.
    gone: dict[str, CounterState] = {}
    for name, other in states.items():
        if other.kin[:TARGET_KIN] in by_input and not other.heir and name not in present:
            gone[other.kin[:LABELS_KIN]] = max(other, gone.get(other.kin[:LABELS_KIN], other), key=_at)
    restarts = _restarts(states, {kin[KIN:] for kin in by_input})
    inputs = [
        (one, kin_of(one), full_kin_of(one)[:LABELS_KIN]) for one in given if one.points and kin_of(one) in by_input
    ]
    known = {state.kin[:LABELS_KIN] for state in states.values() if state.kin[:TARGET_KIN] in by_input}
    followed = _followed(inputs, states, by_input)
    found: dict[Part, float] = {}
    for series, kin, labels in inputs:
        state = states.get(series.fingerprint)
        replaced = _came(series, states)
        if replaced:  # it may go on from one that waits
            state = gone.get(labels)
        for name in by_input[kin]:
            own = kin + cached[name].kin[TARGET_KIN:LABELS_KIN]
            ended = own in gone and gone[own].at >= cached[name].at - SKEW
            if (ended and not replaced) or (own in followed and own != labels):
                continue
            # Where another input came in place of the cached counter's own, it may be of that, unless another cached
            # counter came, too.
            is_replaced = own in known and own not in followed
            if cached[name].kin[:TARGET_KIN] in came if is_replaced else state is None:
                continue
            gap = _until_restart(late[name], series, cached[name], restarts.get(kin[KIN:], -inf))
            idle = name not in moved and _is_idle(gap, cached[name], state)
            if not idle and _lacks(series, state, gap):
                part = series.fingerprint, series.created
                found[part] = min(gap.since, found.get(part, inf))
    return found


def _until_restart(gap: _Gap, series: CounterSamples, cached: CounterState, restart: float) -> _Gap:
    """The gap as far as the process of an input counter goes.

    An input that began before the cached counter, and goes on after that went, shows that their process did not end.
    """
    alive = (
        series.created is not None
        and cached.created is not None
        and series.created - SAME_START <= cached.created
        and series.created <= gap.since
    )
    return gap._replace(anew=min(gap.anew, restart)) if restart > gap.since and not alive else gap


def _came(series: CounterSamples, states: Mapping[str, CounterState]) -> bool:
    """Whether a series is new, or back after another one stood in for it."""
    state = states.get(series.fingerprint)
    return state is None or bool(state.heir)


def _followed(
    inputs: Sequence[tuple[CounterSamples, str, str]], states: Mapping[str, CounterState], kins: Collection[str]
) -> set[str]:
    """The labels of the input counters that still count under these, and in place of which no other one came.

    `inputs` are the samples of a reading with their `kin` and labels.
    """
    came: dict[str, float] = {}
    last: dict[str, float] = {}
    for series, kin, labels in inputs:
        if _came(series, states):
            came[kin] = max(series.points[-1][0], came.get(kin, -inf))
        last[labels] = max(series.points[-1][0], last.get(labels, -inf))
    return {
        state.kin[:LABELS_KIN]
        for state in states.values()
        if (kin := state.kin[:TARGET_KIN]) in kins
        and not state.heir
        and last.get(state.kin[:LABELS_KIN], state.at) >= came.get(kin, -inf)
    }


def held_back(
    given: Sequence[CounterSamples],
    uncounted: Sequence[tuple[CounterSamples, int]],
    resets: Sequence[tuple[CounterSamples, float]],
    states: Mapping[str, CounterState],
    changed: Mapping[str, CounterState],
) -> list[tuple[CounterSamples, int, str]]:
    """The cached counters of which tokens may be among their input uncounted, up to how many, and what is said of it.

    `uncounted` are first samples, or a part of them. `resets` are the counters that began anew as far as their values
    show, and when: a cached counter of the same labels that did not go back then may have begun anew, too.
    """
    found = [(one, value, "") for one, value in uncounted]
    for one in given if resets else ():
        at = [
            at for reset, at in resets if reset.line == one.within and reset.target == one.target and _agree(one, reset)
        ]
        if at and (before := _unfallen(one, at[0], states.get(one.fingerprint))):
            found.append((one, before, UNFALLEN))
    return [(one, min(value, _grown(one, given, states, changed)), said) for one, value, said in found]


def _agree(one: CounterSamples, other: CounterSamples) -> bool:
    """Whether both have the same values of the labels that both have."""
    return all(one.labels[name] == other.labels[name] for name in one.labels.keys() & other.labels.keys())


def _unfallen(cached: CounterSamples, at: float, state: CounterState | None) -> int:
    """What a cached counter had counted before its input began anew; 0 where it went back, or has no later sample."""
    before, after = 0 if state is None or state.at >= at else state.value, -1
    for instant, value in cached.points:
        try:
            number = number_of(value, cached.scale) or 0
        except ValueError:
            continue
        before, after = (number, after) if instant < at else (before, number if after < 0 else after)
    return before if after >= before else 0


def _grown(
    cached: CounterSamples,
    given: Sequence[CounterSamples],
    states: Mapping[str, CounterState],
    changed: Mapping[str, CounterState],
) -> int:
    """What the input counters of a cached counter's target gained in a reading, at most."""
    names = {one.fingerprint for one in given if one.line == cached.within and one.target == cached.target}
    gained = 0
    for name in names & changed.keys():
        after, before = changed[name].value, states[name].value if name in states else 0
        gained += after - before if after >= before else after
    return gained


def _at(state: CounterState) -> float:
    return state.at


def _is_idle(gap: _Gap, cached: CounterState, state: CounterState | None) -> bool:
    """Whether a cached counter had counted nothing for long before it went."""
    return not gap.fell and (gap.since if gap.is_seen or state is None else state.at) - cached.at > _IDLE


def _lacks(series: CounterSamples, state: CounterState | None, gap: _Gap) -> bool:
    """Whether an input counter has new samples of the process whose cached counter is missing."""
    last = series.points[-1][0]
    if state is None:
        return gap.since < last <= gap.since + _LONGEST and last < gap.anew
    return max(gap.since, state.at) < last <= state.at + _LONGEST and last < gap.anew and _went_on(series, state)


def _gaps(
    given: Sequence[CounterSamples], cached: Mapping[str, CounterState], changed: Mapping[str, CounterState]
) -> dict[str, _Gap]:
    """By fingerprint the cached counters of which samples are missing, or which went back."""
    newest = max((series.points[-1][0] for series in given if series.points), default=-inf)
    oldest = min((series.points[0][0] for series in given if series.points), default=inf)
    ended = _ended(given, cached)
    found: dict[str, _Gap] = {}
    for name, state in cached.items():
        last, anew = ended.get(name, (-inf, inf))
        before, now = state.fall, changed.get(name, state).fall
        if now is not None and now.low >= 0 and now.doubt == DIPPED and newest - now.at <= _LONGEST:
            found[name] = _Gap(now.at - _BEFORE, fell=True, is_seen=last > -inf)
        elif last < newest and state.at >= newest - 2 * _LONGEST:
            found[name] = _Gap(last if last > -inf else state.at, anew, is_seen=last > -inf)
        elif before is not None and before.ended and before.is_restart() and before.at > oldest:
            found[name] = _Gap(_before_restart(given, name, state), before.at, is_seen=True)
    return found


def _ended(given: Sequence[CounterSamples], cached: Mapping[str, CounterState]) -> dict[str, tuple[float, float]]:
    """By fingerprint of a cached counter the last sample of the process known of it, and the first of a younger one."""
    found: dict[str, tuple[float, float]] = {}
    for series in given:
        if not series.points or (state := cached.get(series.fingerprint)) is None:
            continue
        last, anew = found.get(series.fingerprint, (-inf, inf))
        if process(state.at, state.created, series.created)[0]:
            found[series.fingerprint] = last, min(anew, series.points[0][0])
        else:
            found[series.fingerprint] = max(last, series.points[-1][0]), anew
    return found


def _restarts(states: Mapping[str, CounterState], targets: Collection[str]) -> dict[str, float]:
    """By the digest of a target when a scrape first showed its youngest process, of those known to have restarted."""
    found: dict[str, float] = {}
    for state in states.values():
        if (fall := state.fall) is not None and fall.is_restart() and (target := state.kin[KIN:TARGET_KIN]) in targets:
            found[target] = max(fall.at, found.get(target, -inf))
    return found


def _before_restart(given: Sequence[CounterSamples], name: str, state: CounterState) -> float:
    """The last sample of the process before the one that is known of a cached counter."""
    starts = ((one.created, one.points[-1][0]) for one in given if one.fingerprint == name and one.points)
    known = state.created or -inf
    return max((at for start, at in starts if start is not None and start < known - SAME_START), default=-inf)


def _went_on(series: CounterSamples, state: CounterState) -> bool:
    """Whether the process is the one that is known, as far as its start and its value show."""
    if series.created is not None and state.created is not None and abs(series.created - state.created) > SAME_START:
        return False
    try:
        number = number_of(series.points[-1][1], series.scale)
    except ValueError:
        return False
    return number is not None and number >= state.value
