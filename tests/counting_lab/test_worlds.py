"""The two laws of counting over random worlds: never above the truth, below it only where it is said.

A seeded slice runs with the other tests; `-m chaos` runs thousands and prints what they were.
"""

from __future__ import annotations

import os
from collections import Counter
from time import monotonic

import pytest

from tests.counting_lab.laws import Reader, hold, planned
from tests.counting_lab.world import Accident, Plan

#: Worlds that once broke a law, by what was wrong.
NAMED = {
    "copies that are alike in the first window and whose start is known counted twice": Plan(
        seed=801087, starts="both", step=15, replica="monitor", cached_labels=("model",), old=0
    ),
    "the start of a metric that comes under its other name was asked of one of the two only": Plan(
        seed=864296, accidents=(Accident("rename", 20, 1),), starts="created", pods=2, poll=20
    ),
    "two copies of the starts contradicted each other while an old page answered": Plan(
        seed=450393,
        accidents=(Accident("another process", 45, 20, 2),),
        starts="process",
        pods=2,
        step=15,
        replica="receive_replica",
        shift=7,
        old=0,
    ),
    "counters that came after a first look at nothing lost their start": Plan(
        seed=371376, accidents=(Accident("rename", 36, 1, 2),), starts="both", old=0
    ),
    "labels changed and changed back within one window": Plan(
        seed=858005, accidents=(Accident("relabel", 44, 8, 2),), starts="both", poll=20, old=0
    ),
    "the process before came under a new name while another one was followed": Plan(
        seed=263799, accidents=(Accident("rename", 50, 5), Accident("another process", 45, 1)), starts="created", old=0
    ),
    "the starts of one copy were given to the samples of the other": Plan(
        seed=30038,
        accidents=(Accident("another process", 44, 2, 2),),
        starts="both",
        replica="receive_replica",
        shift=7,
        old=0,
    ),
    "a process restarted while its labels were others, all in one window": Plan(
        seed=40120,
        accidents=(Accident("relabel", 45, 5), Accident("restart", 47, 0)),
        starts="created",
        poll=20,
        old=0,
    ),
    "several processes answered for long while a metric got its new name": Plan(
        seed=30105, accidents=(Accident("rename", 28, 20), Accident("another process", 17, 20)), starts="created", old=0
    ),
    "an old page answered before labels changed and changed back, read from two copies": Plan(
        seed=50003,
        accidents=(Accident("relabel", 16, 20), Accident("old page", 13, 8)),
        starts="created",
        step=15,
        poll=20,
        replica="receive_replica",
        shift=7,
        old=0,
    ),
    "answers came late while the gateway restarted": Plan(
        seed=50129, accidents=(Accident("late answers", 40, 20), Accident("restart", 49, 1)), starts="both", old=0
    ),
    "labels changed after the exporter's clock was set": Plan(
        seed=60130,
        accidents=(Accident("relabel", 34, 8), Accident("clock skew", 32, 20)),
        starts="process",
        source="scrape",
        old=0,
    ),
    "a cached counter was missing for long": Plan(
        seed=30086, accidents=(Accident("missing series", 50, 20, 1),), source="scrape", old=0
    ),
}


@pytest.fixture(scope="module")
def reader():
    with Reader() as found:
        yield found


@pytest.mark.parametrize("plan", NAMED.values(), ids=NAMED)
def test_a_world_that_once_broke_a_law_keeps_it(reader, plan):
    hold(plan, reader.run(plan))


@pytest.mark.parametrize("seed", range(24))
def test_whatever_happens_nothing_is_counted_too_high_and_nothing_is_lost_in_silence(reader, seed):
    plan = planned(seed, most=seed % 4)
    hold(plan, reader.run(plan))


@pytest.mark.chaos
def test_the_laws_hold_in_thousands_of_worlds(reader):
    """LAB_WORLDS says how many, LAB_FIRST_SEED which."""
    worlds, first = int(os.environ.get("LAB_WORLDS", "2000")), int(os.environ.get("LAB_FIRST_SEED", "10000"))
    began, accidents, broken, over, under = monotonic(), Counter(), [], 0, 0
    for seed in range(first, first + worlds):
        plan = planned(seed, most=seed % 6)
        accidents.update(one.kind for one in plan.accidents)
        outcome = reader.run(plan)
        over = max(over, *outcome.over.values(), 0)
        under = max(under, *outcome.under.values(), 0)
        try:
            hold(plan, outcome)
        except AssertionError as error:
            broken.append(str(error))
    print(f"\n{worlds:,} worlds, {accidents.total():,} accidents in {monotonic() - began:.0f} s: {dict(accidents)}")
    print(f"largest over-count {over:,} tokens, largest under-count (said) {under:,}; {len(broken)} broke a law")
    assert broken == []
