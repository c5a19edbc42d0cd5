"""Projecting the parts and their mix against projecting the sum, on one developer's trace and on simulated teams.

    python tests/benchmarks/bench_parts.py [--data DIR]

Four ways to project a month of money, all by the same method:
    sum           the daily cost of everything
    models apart  each model by itself, added up as if they knew nothing of each other
    keys apart    each key by itself (simulated teams only: the trace has no keys)
    live parts    the daily cost of those keys and models that were used in the last two weeks
Lines that are drawn together (project_lines) answer what the sum does where prices are flat, and are left out here.
The trace is priced with made-up prices that rise from model to model. The teams are made up whole, so that what came is
known: keys with bursts, weekends, births and ends, and moves to models of another price.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from alertd.core.projection import (
    DAY,
    LEVELS,
    Question,
    Series,
    project,
    project_many,
)

CUTS = (3, 7, 14, 21, 28)
#: A key with a model that was not used for so long counts as ended.
ENDED_DAYS = 14
#: USD a million tokens of (input, cached input, output): made up, in the order of real ones.
PRICES = {
    "mini": (0.25, 0.025, 2.0), "gpt-5.1": (1.25, 0.125, 10.0), "gpt-5.2": (1.75, 0.175, 14.0),
    "gpt-5.3": (1.75, 0.175, 14.0), "gpt-5.4": (2.5, 0.25, 15.0), "gpt-5.5": (5.0, 0.5, 30.0),
    "gpt-5.6": (2.5, 0.25, 15.0), "claude": (5.0, 0.5, 25.0),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Usage:
    """Who used what: volume and cost as [keys x models x days]."""

    start: dt.datetime
    volume: np.ndarray
    cost: np.ndarray


def trace(file: Path) -> Usage:
    """One developer's days by model, priced."""
    rows = list(csv.DictReader(file.open(newline="")))
    dates = sorted(dt.date.fromisoformat(row["date"]) for row in rows)
    first, days = dates[0], (dates[-1] - dates[0]).days + 1
    volume, cost = (defaultdict(lambda: np.zeros(days)) for _ in range(2))
    for row in rows:
        price = next((PRICES[name] for name in PRICES if name in row["model"]), None)
        if price is None:
            continue
        fresh, cached, written = (float(row[f"{kind}_tokens"]) for kind in ("input", "cache_read", "output"))
        fresh = max(fresh - cached, 0.0)
        day = (dt.date.fromisoformat(row["date"]) - first).days
        volume[row["model"]][day] += fresh + 0.1 * cached + 8.0 * written
        cost[row["model"]][day] += (fresh * price[0] + cached * price[1] + written * price[2]) / 1e6
    start = dt.datetime(first.year, first.month, first.day, tzinfo=dt.UTC)
    return Usage(start, *(np.stack([part[name] for name in sorted(volume)])[None] for part in (volume, cost)))


def team(number: int) -> Usage:
    """A team of three to eight keys over seven months; each may be born, end, and move to a model of another price."""
    chance = np.random.default_rng(number)
    keys, models, days = int(chance.integers(3, 9)), 4, 210
    prices = np.exp(chance.normal(1.0, 1.0, models))
    volume = np.zeros((keys, models, days))
    weekday = np.where((np.arange(days) + number) % 7 < 5, 1.0, chance.uniform(0.0, 0.6))
    for key in range(keys):
        born, end = (0, days) if key == 0 else sorted(chance.choice(days, 2, replace=False))
        end = days if chance.random() < 0.7 else end
        level = np.exp(chance.normal(1.0, 1.2) + np.cumsum(chance.normal(0.0, 0.03, days)))
        busy = chance.random(days) < chance.uniform(0.4, 1.0)
        used = level * busy * weekday * chance.gamma(1.5, 1.0, days)
        used[:born] = used[end:] = 0.0
        moved = int(chance.integers(born, days)) if chance.random() < 0.7 else days
        before, after = chance.choice(models, 2, replace=False)
        volume[key, before, :moved], volume[key, after, moved:] = used[:moved], used[moved:]
    return Usage(dt.datetime(2026, 1, 1, tzinfo=dt.UTC), volume, volume * prices[None, :, None])


def ways(usage: Usage, seen: int, period: tuple[dt.datetime, dt.datetime]) -> Iterator[tuple[str, tuple[float, ...]]]:
    """The nine quantiles of one month by each way, with the first `seen` days known."""
    cost = usage.cost[:, :, :seen]
    yield "sum", project(Series(usage.start, cost.sum((0, 1))), *period).quantiles
    yield "models apart", added_up(usage.start, cost.sum(0), period)
    if len(cost) > 1:
        yield "keys apart", added_up(usage.start, cost.sum(1), period)
    parts = cost.reshape(-1, cost.shape[2])
    live = parts[parts[:, -ENDED_DAYS:].any(1)] if parts[:, -ENDED_DAYS:].any() else parts
    opens = (period[0] - usage.start) // DAY
    paid = float(parts[:, opens:].sum() - live[:, opens:].sum())
    yield "live parts", project(Series(usage.start, live.sum(0)), *period, opening=paid).quantiles


def added_up(start: dt.datetime, parts: np.ndarray, period: tuple[dt.datetime, dt.datetime]) -> tuple[float, ...]:
    """The quantiles of the sum of parts that are projected one by one and know nothing of each other."""
    chance = np.random.default_rng(3)
    each = project_many([Question(Series(start, part), *period) for part in parts if part.any()])
    total = sum(chance.permutation(np.resize(projection.totals, 200)) for projection in each)
    return tuple(np.quantile(total, LEVELS))


def months(usage: Usage) -> Iterator[tuple[int, int, tuple[dt.datetime, dt.datetime]]]:
    """(first day, length, period) of each whole month after the first four weeks that begins on the 1st or the 15th."""
    days = usage.cost.shape[2]
    for index in range(28, days):
        begin = usage.start + index * DAY
        end = (begin + 32 * DAY).replace(day=1) if begin.day == 1 else (begin.replace(day=1) + 32 * DAY).replace(day=15)
        if begin.day in (1, 15) and index + (end - begin) // DAY <= days:
            yield index, (end - begin) // DAY, (begin, end)


def scores(usages: list[Usage]) -> dict[str, np.ndarray]:
    """By way, for each usage: nMAE, WQL, coverage of the 80% interval and its width."""
    by_usage = defaultdict(list)
    for usage in usages:
        figures = defaultdict(list)
        mean_month = usage.cost.sum() / usage.cost.shape[2] * 30.0
        for index, length, period in months(usage):
            total = usage.cost[:, :, index : index + length].sum()
            for cut in CUTS:
                for way, quantiles in ways(usage, index + cut, period):
                    q, p = np.array(quantiles), np.array(LEVELS)
                    pinball = 2.0 * np.maximum(p * (total - q), (p - 1.0) * (total - q)).mean()
                    inside = q[0] - 1e-9 * total <= total <= q[8] + 1e-9 * total
                    figures[way].append((abs(q[4] - total), pinball, inside * mean_month, q[8] - q[0]))
        for way, rows in figures.items():
            by_usage[way].append(np.mean(rows, axis=0) / mean_month)
    return {way: np.array(rows) for way, rows in by_usage.items()}


def main() -> None:
    """Print a table for the trace, where it is there, and one for the teams."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("ALERTD_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default, help="folder that holds trace/usage_daily.csv")
    parser.add_argument("--teams", type=int, default=40)
    args = parser.parse_args()
    tables = {f"{args.teams} simulated teams": [team(number) for number in range(args.teams)]}
    file = args.data / "trace" / "usage_daily.csv"
    if file.exists():
        tables = {"one developer's trace": [trace(file)], **tables}
    else:
        print(f"no trace: {file} is not there")
    for name, usages in tables.items():
        print(f"{name:<26}{'nMAE':>8}{'WQL':>8}{'cov80':>8}{'w80':>8}  WQL above the sum's")
        found = scores(usages)
        for way, figures in found.items():
            worse = figures[:, 1] - found["sum"][:, 1]
            error = worse.std(ddof=1) / np.sqrt(worse.size) if worse.size > 1 else float("nan")
            print(
                f"  {way:<24}" + "".join(f"{x:8.3f}" for x in figures.mean(0)) + f"{worse.mean():+9.4f} +-{error:.4f}"
            )


if __name__ == "__main__":
    main()
