"""Gauges per period against a known truth: fixed periods and rolling windows, busy or not, scraped at any pace.

The laws are those of counters: never above what was used, below it only where that is said.
"""

from __future__ import annotations

from itertools import accumulate
from random import Random

import pytest

from alertd.core.counting.counters import count
from alertd.core.counting.samples import CounterSamples
from alertd.core.usage import Line

NOON = 1_795_176_000.0
INPUT = Line("openai", "gpt-4o", "input")
PERIOD = 300
HOURS = 4
#: Seconds between scrapes, and by how many each of them may be off.
PACES = [
    (15, 0),
    (60, 0),
    (60, 0.05),
    (60, 5),
    (100, 0),
    (70, 3),
    (120, 0),
    (200, 0),
    (250, 10),
    (300, 0),
    (301, 0),
    (700, 0),
]


def used_by(random, often):
    """Tokens used up to each second, of every second or of a burst now and then."""
    return [0, *accumulate(random.randint(1, 5000) if random.random() < often else 0 for _ in range(HOURS * 3600))]


def scrapes(random, pace, off, lost):
    at, found = random.uniform(PERIOD, 2 * PERIOD), []
    while at < HOURS * 3600:
        if random.random() >= lost:
            found.append(min(max(at + random.uniform(-off, off), PERIOD), HOURS * 3600 - 1))
        at += pace
    return found


def read(values, polls):
    """What is counted of (instant, value), so many of them a reading; and whether a lower bound was said."""
    states, counted, said = {}, 0, False
    for place in range(0, len(values), polls):
        points = tuple((NOON + at, str(value)) for at, value in values[max(0, place - 1) : place + polls])
        given = [CounterSamples("a", INPUT, {}, points, period=float(PERIOD))]
        found = count(states, given, {}, first_read=not place, period_start=NOON)
        states |= found.states
        counted += sum(one.quantity for one in found.increments)
        said |= bool(found.doubts)
    return counted, said, states["a"]


ALL = pytest.mark.parametrize("often", [1.0, 0.02, 0.001], ids=["always", "often", "seldom"])
LOST = pytest.mark.parametrize("lost", [0.0, 0.1], ids=["all", "some lost"])


@ALL
@LOST
@pytest.mark.parametrize(("pace", "off"), PACES)
def test_fixed_periods_count_once_each_or_a_lower_bound_is_said(pace, off, lost, often):
    for seed in range(4):
        random = Random(f"{seed} {pace} {off}")
        used, phase = used_by(random, often), random.randint(0, PERIOD - 1)
        ends = [(at, phase + (int(at) - phase) // PERIOD * PERIOD) for at in scrapes(random, pace, off, lost)]
        values = [(at, used[end] - used[max(0, end - PERIOD)]) for at, end in ends]
        counted, said, _ = read(values, 1 + seed % 4)
        truth = sum(used[end] - used[max(0, end - PERIOD)] for end in {end for _, end in ends})
        assert counted <= truth
        assert said or counted == truth


@ALL
@LOST
@pytest.mark.parametrize(("pace", "off"), PACES)
def test_rolling_windows_never_count_a_second_twice_or_a_lower_bound_is_said(pace, off, lost, often):
    for seed in range(4):
        random = Random(f"{seed} {pace} {off}")
        used = used_by(random, often)
        values = [(int(at), used[int(at)] - used[int(at) - PERIOD]) for at in scrapes(random, pace, off, lost)]
        counted, said, state = read(values, 1 + seed % 4)
        # A scrape may come two seconds early or late: that much of each window is counted twice, or not.
        unsharp = 3 * 5000 * (HOURS * 3600 // PERIOD) if off else 0
        assert counted <= used[values[-1][0]] - used[values[0][0] - PERIOD] + unsharp
        assert said or counted >= used[int(state.at - NOON)] - used[values[0][0] - PERIOD] - unsharp
