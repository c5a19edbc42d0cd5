"""Counters that simply went on, all at once: what the plain rule of `tally` counts of them, in a few passes.

    goes on here                 a known counter of the same process, its samples plain whole numbers, none lower than
                                 the one before, none late, and no gap
    one taken off another one    too, where the other one counts as much in the same buckets, nothing waits for its
                                 input, and no input for it

Whatever does not is left to the plain rule, which stays the reference: tests hold both against each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alertd.core.counting.columns import Increments, SampleColumns
from alertd.core.counting.counters import count
from alertd.core.counting.intervals import LONGEST, WIDTH
from alertd.core.counting.samples import Counted, CounterSamples
from alertd.core.counting.state_columns import Moved, StateColumns

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: The state of an idle series is written again after this many seconds, as `tally` does.
REFRESH: Final = 3600.0
#: An input waits for a counter of cached tokens that was seen within these seconds of the newest sample.
_LATELY: Final = 7200.0
_LARGEST: Final = 1 << 62
_EXACT: Final = float(1 << 53)


class Ordinary(NamedTuple):
    """What went on: what it adds, the states that moved; and the rows that the plain rule has to count."""

    increments: Increments
    moved: Moved
    rest: list[int]


class _Steps(NamedTuple):
    """The samples that are new, in order: the row of each, its time and value, and the value before."""

    rows: Ints
    at: Floats
    values: Ints
    before: Ints


def count_columns(
    states: StateColumns,
    samples: Sequence[CounterSamples],
    scrapes: Mapping[str, Sequence[float]],
    *,
    now: float = inf,
    **terms: Any,
) -> Counted:
    """As `counters.count`, to the token; what simply went on of a reading in columns is counted all at once."""
    quick = ordinary(states, samples, now) if isinstance(samples, SampleColumns) else None
    if quick is None or not isinstance(samples, SampleColumns):
        return count(states, samples, scrapes, now=now, **terms)
    if not quick.rest:
        return Counted(quick.increments, {}, moved=quick.moved)
    others = count(states, samples.rows(quick.rest), scrapes, now=now, **terms)
    added = quick.increments.beside(Increments.of(others.increments, samples.table.ledger))
    return replace(others, increments=added, moved=quick.moved)


def ordinary(states: StateColumns, given: SampleColumns, now: float) -> Ordinary | None:
    """What went on of a reading; None where the plain rule has to see all of it.

    That is where a series is new or comes back, or where one that is taken off another one is not as usual.
    """
    numbers = states.numbers_in(given.table)[given.samples.places]
    goes_on, steps = _going_on(states, given, numbers, now)
    rest: list[int] = np.flatnonzero(~goes_on).tolist()
    within = given.table.within[given.samples.places]
    if rest and _needs_all(states, given, numbers, rest):
        return None
    if states.has_within() and (rest or not _none_waits(states, given, numbers, within)):
        return None
    increments = _increments(given, steps, within)
    return None if increments is None else Ordinary(increments, _moved(states, numbers, steps), rest)


def _going_on(states: StateColumns, given: SampleColumns, numbers: Ints, now: float) -> tuple[Bools, _Steps]:
    """Which rows simply went on, and the new samples of these."""
    samples = given.samples
    lengths, at = samples.lengths, samples.at
    known = np.where(numbers < 0, 0, numbers)
    created, since = states.created[known], states.at[known]
    same = (created == given.created) | (np.isnan(created) & np.isnan(given.created))
    fine = (numbers >= 0) & states.plain[known] & given.table.is_simple[samples.places] & same & (lengths > 0)
    fine[list(given.parts)] = False
    if len(numbers):
        fine &= np.bincount(known, minlength=1)[known] == 1
    owner = np.repeat(np.arange(len(lengths)), lengths)
    first = np.zeros(len(at), np.bool_)
    first[(np.cumsum(lengths) - lengths)[lengths > 0]] = True
    late = np.zeros(len(at), np.bool_)
    late[1:] = at[1:] <= at[:-1]
    fine[owner[(late & ~first) | (at > now)]] = False
    picked = np.flatnonzero(fine[owner] & (at >= since[owner]))
    rows = owner[picked]
    values = samples.values[picked]
    # NaN fails each comparison; above the limit a float is not exact.
    plain = (values >= 0) & (values < _EXACT) & (values == np.floor(values))
    fine[rows[~plain]] = False
    kept = fine[rows]
    picked, rows, values = picked[kept], rows[kept], values[kept].astype(np.int64)
    steps = _steps(states, known, rows, at[picked], values)
    bad = _breaks(steps, since[rows])
    if bad.any():
        fine[rows[bad]] = False
        kept = fine[rows]
        steps = _Steps(*(column[kept] for column in steps))
    return fine, steps


def _steps(states: StateColumns, known: Ints, rows: Ints, at: Floats, values: Ints) -> _Steps:
    before = np.empty_like(values)
    before[1:] = values[:-1]
    begins = _begins(rows)
    before[begins] = states.value[known[rows[begins]]]
    return _Steps(rows, at, values, before)


def _begins(rows: Ints) -> Bools:
    """Where another row begins."""
    found = np.ones(len(rows), np.bool_)
    found[1:] = rows[1:] != rows[:-1]
    return found


def _breaks(steps: _Steps, since: Floats) -> Bools:
    """Which samples do not simply go on: a gap, a lower value, another value at the same instant."""
    last = np.empty_like(steps.at)
    last[1:] = steps.at[:-1]
    begins = _begins(steps.rows)
    last[begins] = since[begins]
    found: Bools = steps.at - last > LONGEST
    found |= (steps.values < steps.before) | ((steps.at == last) & (steps.values != steps.before))
    return found


def _needs_all(states: StateColumns, given: SampleColumns, numbers: Ints, rest: list[int]) -> bool:
    """Whether what one of the others counts may depend on all series.

    It is new, began anew, was replaced, comes in parts, or is taken off another one.
    """
    for row in rest:
        within = given.table.within[given.samples.places[row]]
        if numbers[row] < 0 or within >= 0 or row in given.parts:
            return True
        state, (one,) = states.at_number(int(numbers[row])), given.row(row)
        if state.heir or state.created != one.created:
            return True
    return False


def _none_waits(states: StateColumns, given: SampleColumns, numbers: Ints, within: Ints) -> bool:
    """Whether no input counter waits for its counter of cached tokens, which is there and as new as its target.

    Nothing is in `rest`, so that every counter of the reading went on.
    """
    samples = given.samples
    if not len(numbers):
        return False
    last = samples.at[np.cumsum(samples.lengths) - 1]
    target = given.table.target_of[samples.places]
    newest = np.full(len(given.table.targets), -inf)
    np.maximum.at(newest, target, last)
    cached = within >= 0
    first = float(samples.at[np.cumsum(samples.lengths) - samples.lengths].min())
    if any(fall.at > first for number, fall in states.falls.items() if states.is_within(number)):
        return False
    if (last[cached] < newest[target[cached]]).any():
        return False
    here = np.zeros(len(states), np.bool_)
    here[numbers] = True
    away = states.within_numbers()
    away = away[~here[away]]
    at = float(last.max())
    gone = map(states.at_number, away.tolist())
    return all(state.at < at - _LATELY and (state.fall is None or state.fall.low < 0) for state in gone)


def _increments(given: SampleColumns, steps: _Steps, within: Ints) -> Increments | None:
    """What the steps add by ledger series and bucket; None where more would be taken off a series than it counts."""
    moved = steps.values != steps.before
    rows, quantities = steps.rows[moved], steps.values[moved] - steps.before[moved]
    if len(quantities) and int(quantities.max()) > _LARGEST // (2 * len(quantities)):
        return None
    feeds = given.table.feeds[given.samples.places[rows]]
    starts = (-(-steps.at[moved] // WIDTH)).astype(np.int64) * WIDTH - WIDTH
    lesser = within[rows]
    taken = lesser >= 0
    if taken.any():
        feeds = np.concatenate([feeds, lesser[taken]])
        starts = np.concatenate([starts, starts[taken]])
        quantities = np.concatenate([quantities, -quantities[taken]])
    order = np.lexsort((starts, feeds))
    feeds, starts, quantities = feeds[order], starts[order], quantities[order]
    new = np.ones(len(feeds), np.bool_)
    new[1:] = (feeds[1:] != feeds[:-1]) | (starts[1:] != starts[:-1])
    begins = np.flatnonzero(new)
    sums = np.add.reduceat(quantities, begins) if len(begins) else quantities
    if (sums < 0).any():
        return None
    used = sums != 0
    feeds, starts = feeds[begins][used], starts[begins][used]
    return Increments(given.table.ledger, feeds, starts, np.full(len(feeds), WIDTH, np.int64), sums[used])


def _moved(states: StateColumns, numbers: Ints, steps: _Steps) -> Moved:
    """The states to write: where the value moved, or an hour after the last time."""
    ends = np.ones(len(steps.rows), np.bool_)
    ends[:-1] = steps.rows[1:] != steps.rows[:-1]
    own, at, values = numbers[steps.rows[ends]], steps.at[ends], steps.values[ends]
    kept = (values != states.value[own]) | (at - states.at[own] >= REFRESH)
    return Moved(own[kept], at[kept], values[kept])
