"""Projections per second of CPU for 1, 100 and 10,000 series, beside a floor taken in the same run.

    python tests/benchmarks/bench_projection.py

The floor is the plainest thing that answers with quantiles at all: a numpy bootstrap of the remaining days, one series
at a time. AutoETS of statsforecast runs beside it on a few series where that package is installed.
"""

from __future__ import annotations

import datetime as dt
import sys
import time
import tracemalloc
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from alertd.core.projection import DAY, LEVELS, Question, Series, project_each, project_many

MONTH = (dt.datetime(2026, 6, 1, tzinfo=dt.UTC), dt.datetime(2026, 7, 1, tzinfo=dt.UTC))
NOW = MONTH[0] + 12 * DAY


def histories(count: int) -> list[np.ndarray]:
    """Bursty daily spend of 20 to 200 days, every third series regular; the same every time."""
    chance = np.random.default_rng(7)
    found = []
    for number in range(count):
        days = int(chance.integers(20, 200))
        spend = chance.gamma(0.5, 20.0, days) * (chance.random(days) < 0.7)
        found.append(chance.normal(10.0, 1.0, days).clip(0.0) if number % 3 == 0 else spend)
    return found


def bootstrap(values: np.ndarray, left: int) -> np.ndarray:
    """The floor: 200 bootstraps of the last 28 days, and their quantiles."""
    chance = np.random.default_rng(1)
    drawn = chance.choice(values[-28:], (200, left))
    return values[-12:].sum() + np.quantile(drawn.sum(1), LEVELS)


def seconds(work: Callable[[], object], least: float = 0.3) -> float:
    """The best of some repetitions, in seconds of CPU: what else the machine does is left out."""
    best, spent = float("inf"), 0.0
    while spent < least:
        begin = time.process_time()
        work()
        took = time.process_time() - begin
        best, spent = min(best, took), spent + took
    return best


def auto_ets(some: list[np.ndarray]) -> float:
    """Seconds a series that AutoETS takes for the same quantiles, one series at a time as it comes."""
    models: Any = import_module("statsforecast.models")
    begin = time.process_time()
    for values in some:
        models.AutoETS(season_length=7).forecast(values, h=18, level=[20, 40, 60, 80])
    return (time.process_time() - begin) / len(some)


def main() -> None:
    """Print a table, and the ratios."""
    some = histories(10_000)
    questions = [Question(Series(NOW - values.size * DAY, values), *MONTH) for values in some]
    project_many(questions[:10])
    print(f"{'series':>8}{'projections/s':>16}{'ms each':>10}{'bootstrap/s':>14}{'ratio':>8}")
    for count in (1, 100, 10_000):
        ours = seconds(lambda count=count: sum(1 for _ in project_each(questions[:count]))) / count
        floor = seconds(lambda count=count: [bootstrap(v, 18) for v in some[: min(count, 1000)]]) / min(count, 1000)
        print(f"{count:>8}{1 / ours:>16,.0f}{ours * 1e3:>10.3f}{1 / floor:>14,.0f}{floor / ours:>8.2f}")
    tracemalloc.start()
    project_many(questions[:1000])
    print(f"peak while 1,000 are projected and kept: {tracemalloc.get_traced_memory()[1] / 1e6:.0f} MB")
    tracemalloc.stop()
    if find_spec("statsforecast") is None:
        print("AutoETS: statsforecast is not installed, so it was not compared")
        return
    ets = auto_ets(some[:20])
    print(f"AutoETS (statsforecast): {ets * 1e3:.1f} ms each, {ets / ours:,.0f} times as long")


if __name__ == "__main__":
    main()
