"""From raw samples of cumulative counters, what was used: resets, new series, gaps. Nothing here reads a source.

samples of one reading -> per raw series: differences (tally) -> per ledger series: buckets (intervals) -> increments
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import inf
from typing import Final

from alertd.core.counting.falls import DOUBT
from alertd.core.counting.missing import waiting_inputs
from alertd.core.counting.relabels import interludes, joined
from alertd.core.counting.samples import (
    Counted,
    CounterSamples,
    CounterState,
    Increment,
)
from alertd.core.counting.tally import Tally

_WAITS: Final = (
    "some {0:,} cached tokens came without the input tokens that should include them, and wait for these: until then"
    " the figure is not exact. If this gateway counts cached tokens apart, set CACHED_APART=true"
)
_UNSEEN: Final = (
    "what was used in the up to {:,.0f} s between the last scrape of a process and its restart is in no figure:"
    " no scrape showed it"
)


def count(
    states: Mapping[str, CounterState],
    samples: Iterable[CounterSamples],
    scrapes: Mapping[str, Sequence[float]],
    *,
    first_read: bool,
    period_start: float,
    most: int | None = None,
    now: float = inf,
    newborn: Collection[str] = (),
) -> Counted:
    """The increments of one reading and the states after it; reading a window twice adds nothing.

    `scrapes` are the instants of each target's successful scrapes that the reading knows of, the last one before it
    among them where there was one. `first_read`: nothing of this source was read before. `period_start`, in Unix
    seconds: from when on a counter's beginning lies in a period that a budget needs. `most` counters are followed.
    `now` is the time of the reading: samples well ahead of it are not counted, and said. `newborn` are targets that are
    taken to have begun with their first sample.
    """
    given = samples if isinstance(samples, Sequence) else list(samples)
    merged, aside = joined(given, states)
    aside |= interludes(given, states)
    waits = waiting_inputs(given, states, {})
    vanished: dict[str, str] = {}
    while True:
        tally = Tally(
            states,
            scrapes,
            given,
            first_read=first_read,
            period_start=period_start,
            now=now,
            newborn=newborn,
            vanished=vanished,
        )
        left_out: set[str] = set()
        for series in _in_order(given, merged, vanished):
            if series.fingerprint in aside:
                tally.leave_aside(series, aside[series.fingerprint])
            elif most is not None and tally.states.is_beyond(series.fingerprint, most):
                left_out.add(series.fingerprint)
            elif series.period:
                tally.add_periods(series)
            elif (part := (series.fingerprint, series.created)) in waits:
                tally.add_until(series, waits[part])
            elif not tally.went_on(series):
                tally.add(series)
        tally.count_first_sights()
        found = waiting_inputs(given, states, tally.changed) if tally.cached_fell else waits
        if tally.sights.higher.keys() <= vanished.keys() and found.keys() <= waits.keys():
            break
        # What vanished as a new series came changes what this one counts, and inputs wait: once more.
        vanished |= tally.sights.higher
        waits = found | waits
    booked, netted = tally.buckets.settled(
        lambda: ((one.line, one.labels, one.within) for one in given),
        # While a part of a page is missing, a model without an input counter shows no other name.
        lambda line: bool(waits) or tally.states.has_line(line),
    )
    newest = max((one.points[-1][0] for one in given if one.points), default=0.0)
    waiting = settle(states, tally.changed, netted.debts, newest)
    doubts = tuple(dict.fromkeys((*tally.doubts.values(), *tally.sights.doubts, *netted.doubts, *waiting)))
    unseen = (_UNSEEN.format(tally.unseen),) if tally.unseen >= 1 else ()
    assumed = *tally.sights.assumed, *netted.assumed, *unseen
    increments, refused = tuple(map(Increment._make, booked)), tuple(dict.fromkeys(tally.refused))
    return Counted(increments, tally.changed, refused, len(left_out), doubts, assumed)


def settle(
    states: Mapping[str, CounterState], changed: dict[str, CounterState], debts: Mapping[str, int], newest: float
) -> tuple[str, ...]:
    """Keep in `changed` what of each series waits for its input; what is said of those that wait for long.

    What waits and does not change is said until it has not counted for an hour before the `newest` sample.
    """
    owing: list[int] = []  # for longer than since the last reading
    waits = dict.fromkeys(debts, 0)
    for fingerprint, owed in debts.items():
        # One that was replaced within the reading leaves it to the one in its place.
        last = _last_heir(states, changed, fingerprint) if owed else fingerprint
        waits[last] = waits.get(last, 0) + owed
    for fingerprint, owed in waits.items():
        state = changed.get(fingerprint) or states[fingerprint]
        if state.owed != owed:
            changed[fingerprint] = state._replace(owed=owed)
        if state.owed and owed and (owed != state.owed or newest - state.at <= DOUBT):
            owing.append(owed)
    return _waiting(owing)


def _last_heir(states: Mapping[str, CounterState], changed: Mapping[str, CounterState], name: str) -> str:
    """The series that counts in place of one, by fingerprint; itself where none does."""
    passed = {name}
    while (state := changed.get(name) or states.get(name)) is not None and state.heir and state.heir not in passed:
        if state.heir not in changed and state.heir not in states:
            break
        passed.add(name := state.heir)
    return name


def _in_order(
    given: Sequence[CounterSamples], merged: Mapping[str, CounterSamples], vanished: Mapping[str, str]
) -> Iterable[CounterSamples]:
    """The series with the samples of others that they have, and after all others those that go on from another one."""
    if not merged and not vanished:
        return given
    series = (merged.get(one.fingerprint, one) for one in given)
    return sorted(series, key=lambda one: one.fingerprint in vanished)


def _waiting(owing: Collection[int]) -> tuple[str, ...]:
    """What is said of cached tokens that wait for their input for longer than from one reading to the next."""
    much = sum(owing)
    return (_WAITS.format(much // (digit := 10 ** (len(str(much)) - 1)) * digit),) if much else ()
