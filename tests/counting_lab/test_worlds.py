"""The two laws of counting over random worlds: never above the truth, below it only where it is said.

A seeded slice runs with the other tests; `-m chaos` runs thousands and prints what they were.
"""

from __future__ import annotations

import os
from collections import Counter
from decimal import Decimal
from time import monotonic

import pytest

from tests.counting_lab.laws import Reader, hold
from tests.counting_lab.plans import Accident, Plan, in_words, planned, shrunk

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
    "cached tokens waited for their input while the metric got its new name": Plan(
        seed=300221,
        accidents=(
            Accident("missing page part", 7, 5, 2),
            Accident("missing page part", 17, 1, 1),
            Accident("rename", 25, 0, 1),
        ),
        source="scrape",
        step=15,
        poll=3,
        shift=7,
    ),
    "an input counter went on at the full price while its cached counter was missing": Plan(
        seed=700112, accidents=(Accident("missing series", 24, 3, 1),), step=15, old=0
    ),
    "a new name was matched with another team's counter": Plan(
        seed=700083, accidents=(Accident("rename", 29, 0),), starts="created", replica="monitor"
    ),
    "labels changed, changed back and changed again, all between two readings": Plan(
        seed=730028,
        accidents=(Accident("relabel", 14, 8), Accident("relabel", 36, 0, 2)),
        poll=20,
        shift=7,
        cached_labels=("model", "team_alias", "api_key_alias"),
        old=0,
    ),
    "an input counter did not wait: an old state of a copy was taken for a process that ended": Plan(
        seed=810383,
        accidents=(Accident("missing page part", 48, 0),),
        replica="replica",
        cached_labels=("model", "team_alias", "api_key_alias"),
    ),
    "several processes answered, and a metric got its new name": Plan(
        seed=730107, accidents=(Accident("busy processes", 31, 8), Accident("rename", 42, 0, 1)), step=15, old=0
    ),
    "the process before a fall answered under a new name": Plan(
        seed=730060,
        accidents=(Accident("busy processes", 6, 20), Accident("rename", 25, 0)),
        source="scrape",
        poll=3,
        cached_labels=("model", "team_alias", "api_key_alias"),
    ),
    "labels changed for a moment while several processes answered": Plan(
        seed=730111,
        accidents=(Accident("busy processes", 28, 0, 2), Accident("relabel", 43, 2, 2)),
        step=15,
        shift=7,
        cached_labels=("model", "team_alias", "api_key_alias"),
    ),
    "a cached counter was missing until its process restarted: the last input of that one cost the full price": Plan(
        seed=820048,
        accidents=(Accident("restart", 29, 0, 2), Accident("missing page part", 25, 3)),
        starts="created",
        pods=2,
        shift=7,
        cached_labels=("model",),
    ),
    "cached tokens waited for an input that never came, and this was said while they grew only": Plan(
        seed=820095,
        accidents=(Accident("relabel", 17, 3), Accident("missing page part", 30, 20, 1)),
        source="pushed",
        step=15,
        cached_labels=("model",),
        life=10,
    ),
    "another key's counter was taken for the one before a restart, as it had the same start": Plan(
        seed=820619,
        accidents=(Accident("rename", 16, 0, 1), Accident("busy processes", 15, 1)),
        starts="process",
        source="scrape",
        shift=7,
        cached_labels=("model",),
    ),
    "cached tokens of a model whose input was missing were taken off another model for good": Plan(
        seed=820826,
        accidents=(Accident("missing page part", 13, 8, 2),),
        source="scrape",
        step=15,
        poll=20,
        shift=7,
        cached_labels=("model",),
        old=0,
    ),
    "a clock was set a second after the start of a process": Plan(
        seed=821723,
        accidents=(Accident("clock skew", 3, 2, 2),),
        starts="created",
        source="scrape",
        poll=3,
        cached_labels=("model", "team_alias", "api_key_alias"),
        old=0,
    ),
    "an input waited for an hour for the copy of its cached counter, which was left out": Plan(
        seed=822303,
        accidents=(Accident("relabel", 48, 0, 2),),
        pods=2,
        replica="monitor",
        shift=7,
        cached_labels=("model",),
    ),
    "labels changed after a clock had been ahead by seconds": Plan(
        seed=822305,
        accidents=(Accident("relabel", 30, 20, 2), Accident("clock skew", 17, 3, 1)),
        starts="process",
        source="scrape",
        poll=20,
        shift=7,
        old=0,
    ),
    "the copy of a new counter counted, as an answer that came late had lacked both": Plan(
        seed=821270, accidents=(Accident("late answers", 2, 2, 1),), starts="both", replica="replica", old=0
    ),
    "an older process answered under a new name, and counted as if it had just begun": Plan(
        seed=821482,
        accidents=(Accident("rename", 31, 0), Accident("busy processes", 26, 20)),
        starts="both",
        source="scrape",
        step=15,
        poll=20,
        old=0,
        uncached=20,
    ),
    "a process restarted with other labels, and got back the old ones": Plan(
        seed=830140,
        accidents=(Accident("relabel", 20, 1), Accident("restart", 20, 0, 2)),
        starts="process",
        pods=2,
        step=15,
        poll=3,
        replica="monitor",
        shift=7,
        cached_labels=("model", "team_alias", "api_key_alias"),
    ),
    "copies were found to be such after a restart: their counters got another name, and its end came again": Plan(
        seed=860219,
        accidents=(Accident("restart", 2, 0),),
        starts="both",
        step=15,
        replica="replica",
        shift=7,
        old=0,
        uncached=2,
    ),
    "copies were found to be such while a part of a page was missing": Plan(
        seed=912748,
        accidents=(Accident("missing page part", 2, 1),),
        starts="created",
        pods=2,
        step=15,
        poll=3,
        replica="monitor",
        shift=7,
        cached_labels=("model", "team_alias", "api_key_alias"),
        old=0,
        uncached=5,
    ),
    "alertd started anew, and looked for the labels of copies anew while answers came late": Plan(
        seed=10727,
        accidents=(Accident("late answers", 16, 20, 1), Accident("alertd away", 21, 0)),
        starts="both",
        pods=2,
        replica="replica",
        shift=7,
        cached_labels=("model", "team_alias", "api_key_alias"),
        uncached=2,
    ),
    "another process answered once before a restart, all in one window, and nothing was said": Plan(
        seed=11157,
        accidents=(Accident("busy processes", 42, 0), Accident("restart", 48, 0, 2)),
        starts="process",
        step=15,
        poll=20,
        replica="replica",
        shift=7,
        cached_labels=("model", "team_alias", "api_key_alias"),
        uncached=5,
    ),
    "labels changed before it was certain that a lower value was a restart, and were back in the same window": Plan(
        seed=911051,
        accidents=(Accident("relabel", 20, 3, 1), Accident("restart", 16, 0, 1)),
        pods=2,
        step=15,
        poll=3,
        replica="replica",
        shift=7,
        old=0,
        uncached=2,
    ),
    "an input that waited for its cached counter got other labels, and went on at the full price": Plan(
        seed=912467,
        accidents=(Accident("missing page part", 35, 20), Accident("relabel", 22, 20, 2)),
        source="scrape",
        poll=3,
        old=0,
    ),
    "a cached counter was first seen after its input, and nothing showed when it began": Plan(
        seed=11645,
        source="pushed",
        step=15,
        cached_labels=("model", "team_alias", "api_key_alias"),
        life=10,
        uncached=1,
    ),
    "an older process was first seen while its cached counters were not": Plan(
        seed=10991, accidents=(Accident("busy processes", 17, 3),), source="pushed", poll=3, shift=7, uncached=1
    ),
    "the input of a process without a start was lower after a restart, its cached counter was not": Plan(
        seed=11221, accidents=(Accident("restart", 13, 0),), pods=2, step=15, replica="monitor"
    ),
    "a metric got its new name at the moment of a dip": Plan(
        seed=11867,
        accidents=(Accident("dip", 41, 1), Accident("rename", 38, 3, 2)),
        pods=2,
        step=15,
        poll=20,
        replica="monitor",
        cached_labels=("model",),
    ),
    "a metric got its old name back at the moment of a dip": Plan(
        seed=11867,
        accidents=(Accident("dip", 41, 1), Accident("rename", 38, 3, 2), Accident("rename", 2, 0)),
        pods=2,
        step=15,
        poll=20,
        replica="monitor",
        cached_labels=("model",),
    ),
    "labels were dropped: the sum of several counters counted as one of them, and the others again": Plan(
        seed=6,
        accidents=(Accident("labels dropped", 38, 1, 1),),
        starts="both",
        step=15,
        replica="replica",
        shift=7,
        cached_labels=("model",),
    ),
    "labels were dropped and were back, all in one window": Plan(
        seed=0, accidents=(Accident("labels dropped", 26, 20),), starts="both", pods=2, poll=20, old=0, uncached=2
    ),
    "labels were dropped, and one of the counters that were back took all of the sum": Plan(
        seed=127, accidents=(Accident("labels dropped", 4, 1),), replica="monitor", uncached=1
    ),
    "labels were dropped while a counter was at zero, and it counted again once they were back": Plan(
        seed=176,
        accidents=(Accident("labels dropped", 3, 0),),
        poll=3,
        replica="replica",
        shift=7,
        cached_labels=("model", "team_alias", "api_key_alias"),
        old=0,
    ),
    "one of two gateways dropped its labels: cached tokens waited for its input, and were the other one's": Plan(
        seed=31,
        accidents=(Accident("labels dropped", 2, 60),),
        starts="both",
        pods=2,
        step=15,
        cached_labels=("model",),
        old=0,
        uncached=5,
    ),
    "a metric got its new name at the moment of a dip, and its start was known": Plan(
        seed=951509,
        accidents=(Accident("rename", 31, 3), Accident("dip", 34, 2, 2)),
        starts="process",
        step=15,
        poll=3,
        shift=7,
        cached_labels=("model", "team_alias", "api_key_alias"),
        old=0,
        uncached=1,
    ),
    "labels were dropped while another process was followed": Plan(
        seed=950146,
        accidents=(Accident("labels dropped", 44, 1, 2), Accident("another process", 35, 1, 1)),
        starts="created",
        step=15,
        poll=3,
        replica="receive_replica",
        uncached=5,
    ),
    "labels were dropped while another process answered that had been followed before": Plan(
        seed=990605,
        accidents=(Accident("another process", 6, 20), Accident("labels dropped", 21, 0)),
        starts="process",
        source="scrape",
        poll=3,
        shift=7,
        cached_labels=("model", "team_alias", "api_key_alias"),
    ),
    "a sum came while a younger process was followed, and got its parts back under a new name": Plan(
        seed=991707,
        accidents=(
            Accident("another process", 12, 3, 2),
            Accident("rename", 17, 0, 2),
            Accident("labels dropped", 15, 1),
        ),
        starts="created",
        step=15,
        replica="monitor",
        shift=7,
        uncached=20,
    ),
    "a sum that began with its oldest part was taken for the process before a younger part's restart": Plan(
        seed=992116,
        accidents=(Accident("restart", 32, 0), Accident("labels dropped", 41, 1, 2)),
        starts="both",
        step=15,
        poll=3,
        shift=7,
        old=0,
        uncached=5,
    ),
    "a counter began anew within a sum, and counted whole once its labels were back": Plan(
        seed=992589,
        accidents=(Accident("labels dropped", 16, 0, 2), Accident("restart", 13, 0, 2)),
        starts="created",
        step=15,
        cached_labels=("model", "team_alias", "api_key_alias"),
        uncached=2,
    ),
    "labels were dropped and came back under a new name, all in one window": Plan(
        seed=991619,
        accidents=(Accident("rename", 10, 0), Accident("labels dropped", 10, 0, 2)),
        starts="both",
        pods=2,
        poll=3,
        old=0,
        uncached=20,
    ),
    "labels were dropped at the moment of a dip, and came back higher": Plan(
        seed=990581,
        accidents=(Accident("labels dropped", 38, 1, 2), Accident("dip", 38, 1)),
        starts="both",
        source="scrape",
        cached_labels=("model", "team_alias", "api_key_alias"),
        uncached=5,
    ),
    "an older process answered under other labels, of which nothing was known": Plan(
        seed=992999,
        accidents=(Accident("rename", 5, 8), Accident("busy processes", 11, 3, 1), Accident("relabel", 42, 1)),
        starts="process",
        replica="receive_replica",
        shift=7,
        old=0,
        uncached=5,
    ),
    "a third process was taken for the one before a restart": Plan(
        seed=1200261,
        accidents=(Accident("busy processes", 28, 0), Accident("restart", 4, 0, 2), Accident("rename", 25, 2, 1)),
        starts="both",
        source="scrape",
        shift=7,
        cached_labels=("model", "team_alias", "api_key_alias"),
        old=0,
        uncached=20,
    ),
    "an input did not wait, as another counter had begun anew since: that was its first use": Plan(
        seed=991547,
        accidents=(Accident("restart", 18, 0, 1), Accident("missing series", 23, 2, 1)),
        starts="created",
        pods=2,
        step=15,
        replica="replica",
        shift=7,
        cached_labels=("model", "team_alias", "api_key_alias"),
    ),
    "labels were back while the cached counters were missing: the input went on at the full price": Plan(
        seed=992342,
        accidents=(Accident("missing page part", 40, 3), Accident("labels dropped", 31, 8, 1)),
        starts="process",
        poll=3,
        shift=7,
    ),
    "what a sum waited for was lost as its labels were back in the same window": Plan(
        seed=700259,
        accidents=(
            Accident("missing series", 4, 20),
            Accident("labels dropped", 14, 0, 2),
            Accident("relabel", 14, 1, 1),
        ),
        starts="created",
        poll=3,
        replica="replica",
        shift=7,
        cached_labels=("model", "team_alias", "api_key_alias"),
        old=0,
        uncached=2,
    ),
    "a sum that had been looked at was taken among the samples of its parts": Plan(
        seed=1302491,
        accidents=(Accident("new key", 2, 0, 1), Accident("new key", 26, 0), Accident("labels dropped", 46, 0)),
        starts="both",
        step=15,
        poll=3,
        shift=7,
        cached_labels=("model",),
    ),
    "a part of a page was missing for long, and its counters came back within a sum": Plan(
        seed=1400236,
        accidents=(Accident("missing series", 8, 20, 2), Accident("labels dropped", 28, 2)),
        starts="created",
        poll=3,
        replica="monitor",
        old=0,
        uncached=2,
    ),
    "a process without a start began anew under other labels, and got them back": Plan(
        seed=1400254,
        accidents=(Accident("relabel", 31, 3, 2), Accident("restart", 26, 0)),
        source="scrape",
        shift=7,
        cached_labels=("model",),
        old=0,
        uncached=5,
    ),
    "counters were back and lower after their labels had been dropped, and nothing was said": Plan(
        seed=1401111,
        accidents=(Accident("restart", 44, 0, 1), Accident("labels dropped", 41, 2, 1)),
        step=15,
        poll=3,
        replica="monitor",
        shift=7,
    ),
    "the process from before was back with a dip, and was taken for the progress of a young one": Plan(
        seed=1500023,
        accidents=(Accident("another process", 18, 20, 2), Accident("dip", 30, 5, 1)),
        source="scrape",
        step=15,
        poll=3,
        cached_labels=("model",),
        uncached=2,
    ),
    "a sum that was there again was taken for another name of one of its parts": Plan(
        seed=1600678,
        accidents=(Accident("labels dropped", 32, 0), Accident("labels dropped", 4, 0, 2)),
        starts="process",
        pods=2,
        poll=20,
        replica="replica",
        shift=7,
        cached_labels=("model",),
        old=0,
        uncached=20,
    ),
}


@pytest.fixture(scope="module")
def reader():
    return Reader()


@pytest.mark.parametrize("plan", NAMED.values(), ids=NAMED)
def test_a_world_that_once_broke_a_law_keeps_it(reader, plan):
    hold(plan, reader.run(plan))


@pytest.mark.parametrize("starts", ["process", "created", "both"])
@pytest.mark.parametrize("source", ["prometheus", "scrape"])
@pytest.mark.parametrize("uncached", [0, 1, 2, 5])
def test_restarts_of_a_gateway_that_shows_its_start_are_exact_and_nothing_is_said(reader, starts, source, uncached):
    restarts = Accident("restart", 20, 0), Accident("restart", 40, 0)
    for poll in (1, 3, 20) if source == "prometheus" else (1,):
        plan = Plan(seed=3, accidents=restarts, starts=starts, source=source, step=15, poll=poll, uncached=uncached)
        outcome = reader.run(plan)
        hold(plan, outcome)
        assert outcome.under == 0
        assert [text for step in outcome.steps for text in step.said] == []


@pytest.mark.parametrize("seed", range(24))
def test_whatever_happens_nothing_is_counted_too_high_and_nothing_is_lost_in_silence(reader, seed):
    plan = planned(seed, most=seed % 4)
    hold(plan, reader.run(plan))


@pytest.mark.chaos
@pytest.mark.timeout(7200)
def test_the_laws_hold_in_thousands_of_worlds(reader):
    """LAB_WORLDS says how many, LAB_FIRST_SEED which."""
    worlds, first = int(os.environ.get("LAB_WORLDS", "2000")), int(os.environ.get("LAB_FIRST_SEED", "10000"))
    began, accidents, broken, over, under = monotonic(), Counter(), [], 0, 0
    costs = Decimal(0), Decimal(0)
    for seed in range(first, first + worlds):
        plan = planned(seed, most=seed % 6)
        accidents.update(one.kind for one in plan.accidents)
        outcome = reader.run(plan)
        over, under = max(over, outcome.over), max(under, outcome.under)
        costs = max(costs[0], outcome.money_over), max(costs[1], outcome.money_under)
        if outcome.broken:
            smallest = shrunk(plan, reader.fails)
            broken.append(f"{reader.run(smallest).broken[0]}; {in_words(smallest)}")
            print(f"\n{broken[-1]}\n  {smallest}", flush=True)
    print(f"\n{worlds:,} worlds, {accidents.total():,} accidents in {monotonic() - began:.0f} s: {dict(accidents)}")
    print(
        f"largest over-count {over:,} tokens, {costs[0]:.4f} USD (said); largest under-count (said) {under:,} tokens,"
        f" {costs[1]:.4f} USD; {len(broken)} broke a law"
    )
    assert broken == []
