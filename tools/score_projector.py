"""Score any projector of a month's total on daily series of people: an open benchmark.

    python tools/score_projector.py --data DIR -- alertd project      any command that speaks the contract below
    python tools/score_projector.py --data DIR --baseline run-rate    or `week`: a mean with a half-life of 7 days
    python tools/score_projector.py --simulate DIR --people 40        write simulated teams as such a folder

DIR holds `meta.csv` (series_id, family, group) and `daily.csv` (series_id, timestamp as 2026-03-01, value). A group is
a person or a team. The protocol, and how alertd does on 20 people, are in docs/projection-benchmark.md.

The projector reads one JSON job a line and answers each with one JSON object a line, in order:

    job     {"id", "start": "2026-01-01", "step": "1d", "values": [..], "period_start", "period_end", "budgets": [..]}
    answer  {"id", "quantiles": {"0.1": .., .., "0.9": ..}, "fires_below": .., "probability_over": [one a budget]}

`values` end where the projector stands. Quantiles are of the period's total. `fires_below` is the largest budget for
which it would warn now, `probability_over` the chance that the total exceeds each budget.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CUTS: Final = (1, 2, 3, 5, 7, 10, 14, 18, 21, 25, 28)
LEVELS: Final = np.arange(1, 10) / 10
#: Budgets by the total to come, which the warnings are scored on: the first two are exceeded.
WARNED: Final = (0.6, 0.8, 1.2, 1.5)
#: Budgets by the 30 days before the month, which the chances are scored on: they do not depend on what came.
ASKED: Final = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
EDGES: Final = (0.0, 0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.98, 1.001)
LEAST_MONTH: Final = 0.1
LEAST_PEOPLE: Final = 5
HALF: Final = 0.5
#: Of simulated teams: days of work in a week, the share with a nightly job, the share of keys that never end.
WORKDAYS: Final = 5
NIGHTLY: Final = 0.3
KEPT: Final = 0.7


@dataclass(frozen=True, slots=True)
class Look:
    """One day of one month of one series: what is handed over, and what came."""

    group: str
    series: str
    kind: str
    cut: int
    job: dict[str, Any]
    spent: float
    total: float
    month: float

    @property
    def empty(self) -> bool:
        """Whether hardly anything came: only chances are scored then, which must not be chosen by what came."""
        return self.total < LEAST_MONTH * self.month


def looks(folder: Path, family: str, cuts: Sequence[int] = CUTS) -> Iterator[Look]:
    """Each month from the 1st or the 15th (warm), or the first 30 days (cold), on each of the days."""
    with (folder / "meta.csv").open(newline="") as file:
        groups = {row["series_id"]: row["group"] for row in csv.DictReader(file) if row["family"] == family}
    days: dict[str, list[tuple[str, float]]] = defaultdict(list)
    with (folder / "daily.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["series_id"] in groups:
                days[row["series_id"]].append((row["timestamp"][:10], float(row["value"])))
    for name, points in days.items():
        points.sort()
        first, values = dt.date.fromisoformat(points[0][0]), np.array([value for _, value in points])
        for index, length, kind in _months(first, values.size):
            yield from _month(
                Look(groups[name], name, kind, 0, {}, 0.0, 0.0, 0.0), first, values, (index, length), cuts
            )


def _months(first: dt.date, days: int) -> Iterator[tuple[int, int, str]]:
    yield 0, 30, "cold"
    for index in range(5, days):
        day = first + dt.timedelta(days=index)
        if day.day in (1, 15):
            yield index, ((day.replace(day=1) + dt.timedelta(days=32)).replace(day=1) - day.replace(day=1)).days, "warm"


def _month(of: Look, first: dt.date, values: Floats, month_at: tuple[int, int], cuts: Sequence[int]) -> Iterator[Look]:
    index, length = month_at
    total, month = float(values[index : index + length].sum()), float(values.mean() * 30.0)
    if index + length > values.size:
        return
    before = float(values[max(0, index - 30) : index].sum())
    for cut in (cut for cut in cuts if cut < length):
        job = {
            "id": f"{of.series}/{index}/{cut}",
            "start": first.isoformat(),
            "step": "1d",
            "values": values[: index + cut].tolist(),
            "period_start": (first + dt.timedelta(days=index)).isoformat(),
            "period_end": (first + dt.timedelta(days=index + length)).isoformat(),
            "budgets": [part * before for part in ASKED] if of.kind == "warm" and before > 0 else [],
        }
        yield Look(of.group, of.series, of.kind, cut, job, float(values[index : index + cut].sum()), total, month)


def asked(command: list[str], jobs: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], float]:
    """The answers of a command, and milliseconds each, its start included."""
    begin = time.perf_counter()
    text = "".join(json.dumps(job) + "\n" for job in jobs)
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 the user's own
    if done.returncode:
        sys.exit(f"{command[0]} failed with {done.returncode}")
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
    if [answer["id"] for answer in answers] != [job["id"] for job in jobs]:
        sys.exit(f"{len(jobs)} jobs went in; {len(answers)} answers came out, or in another order")
    return answers, (time.perf_counter() - begin) / len(jobs) * 1e3


def baseline(name: str, look: Look) -> dict[str, Any]:
    """A point: what was spent, and the days left at the mean of the month so far, or of a memory of 7 days."""
    values, cut = np.array(look.job["values"]), look.cut
    weights = (
        0.5 ** (np.arange(values.size)[::-1] / 7.0) if name == "week" else np.arange(values.size) >= values.size - cut
    )
    days = (dt.date.fromisoformat(look.job["period_end"]) - dt.date.fromisoformat(look.job["period_start"])).days
    point = look.spent + float(weights @ values / weights.sum()) * (days - cut)
    chances = [float(point > budget) for budget in look.job["budgets"]]
    return {"quantiles": {f"{p:.1f}": point for p in LEVELS}, "fires_below": point, "probability_over": chances}


def over_people(rows: Iterable[tuple[str, str, float]]) -> tuple[float, float]:
    """The mean over looks, then series, then groups, of (group, series, figure); and its standard error over groups."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for group, series, figure in rows:
        found[group][series].append(figure)
    groups = np.array([np.mean([np.mean(own) for own in series.values()]) for series in found.values()])
    if not groups.size:
        return float("nan"), float("nan")
    return float(groups.mean()), float(groups.std(ddof=1) / np.sqrt(groups.size)) if groups.size > 1 else float("nan")


def figures(pairs: list[tuple[Look, dict[str, Any]]]) -> Iterator[tuple[str, tuple[float, float]]]:
    """Every figure by its name, with its standard error over people."""
    for kind in ("warm", "cold"):
        own = [
            (look, answer, _quantiles(look, answer)) for look, answer in pairs if look.kind == kind and not look.empty
        ]
        if not own:
            continue
        of: dict[str, Callable[[Look, dict[str, Any], Floats], float]] = {
            "nMAE": lambda look, _, q: abs(q[4] - look.total) / look.month,
            "WQL": lambda look, _, q: _pinball(q, look.total) / look.month,
            "above q90": lambda look, _, q: float(look.total > q[8] * (1 + 1e-9)),
            "below q10": lambda look, _, q: float(look.total < q[0] * (1 - 1e-9)),
            "width of 80%": lambda look, _, q: (q[8] - q[0]) / look.month,
        }
        for name, figure in of.items():
            yield f"{kind} {name}", over_people((x.group, x.series, figure(x, a, q)) for x, a, q in own)
        yield f"{kind} F1", _f1([(look, answer) for look, answer, _ in own])
        yield f"{kind} false months", over_people(_false([(look, answer) for look, answer, _ in own]))
        if kind == "cold":
            for cut in CUTS[:5]:
                rows = [(x.group, x.series, float(q[0] <= x.total * (1 + 1e-9) and x.total <= q[8] * (1 + 1e-9)))
                        for x, _, q in own if x.cut == cut]  # fmt: skip
                yield f"day {cut} inside 80%", over_people(rows)
    yield from _of_chances(pairs)


def _quantiles(look: Look, answer: dict[str, Any]) -> Floats:
    q = np.array([float(answer["quantiles"][f"{p:.1f}"]) for p in LEVELS])
    slack = 1e-6 * max(1.0, look.spent)
    if not np.isfinite(q).all() or (np.diff(q) < -slack).any() or q[0] < look.spent - slack:
        sys.exit(
            f"{look.job['id']}: quantiles are finite, in order and not below what is spent; these are {q.tolist()}"
        )
    return q


def _pinball(q: Floats, total: float) -> float:
    return float(2.0 * np.maximum(LEVELS * (total - q), (LEVELS - 1.0) * (total - q)).mean())


def _warned(pairs: list[tuple[Look, dict[str, Any]]]) -> Iterator[tuple[Look, float, bool]]:
    """Each look and budget that is not spent yet, and whether it warns."""
    for look, answer in pairs:
        for part in WARNED:
            if look.spent <= part * look.total:
                yield look, part, part * look.total < float(answer["fires_below"])


def _f1(pairs: list[tuple[Look, dict[str, Any]]]) -> tuple[float, float]:
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for look, part, warns in _warned(pairs):
        counts[look.group][0] += 2 * (warns and part < 1)
        counts[look.group][1] += warns + (part < 1)
    return over_people((group, "", right / max(1, all_)) for group, (right, all_) in counts.items())


def _false(pairs: list[tuple[Look, dict[str, Any]]]) -> Iterator[tuple[str, str, float]]:
    """Whether each month and budget that lasted had a warning on any day."""
    months: dict[tuple[str, str, str, float], bool] = defaultdict(bool)
    for look, part, warns in _warned(pairs):
        if part > 1:
            months[look.group, look.series, look.job["period_start"], part] |= warns
    for (group, series, _, _), wrong in months.items():
        yield group, series, float(wrong)


def _of_chances(pairs: list[tuple[Look, dict[str, Any]]]) -> Iterator[tuple[str, tuple[float, float]]]:
    stated = []
    for look, answer in pairs:
        for budget, chance in zip(look.job["budgets"], answer["probability_over"], strict=True):
            if budget > look.spent:
                fires = budget < float(answer["fires_below"])
                stated.append((look.group, look.series, float(chance), float(look.total > budget), fires))
    yield "Brier of the chance", over_people((g, "", (p - y) ** 2) for g, _, p, y, _ in stated)
    yield (
        "warnings with a chance under one half",
        over_people((g, "", float(p < HALF)) for g, _, p, _, f in stated if f),
    )
    largest = 0.0
    for low, high in pairwise(EDGES):
        inside = [(g, p, y) for g, _, p, y, _ in stated if low <= p < high]
        said = over_people((g, "", p) for g, p, _ in inside)[0]
        came = over_people((g, "", y) for g, _, y in inside)[0]
        if len({g for g, _, _ in inside}) >= LEAST_PEOPLE:
            largest = max(largest, abs(said - came))
            yield f"stated {said:.2f}, came true", (came, float("nan"))
    yield "largest gap between the two", (largest, float("nan"))


def simulated(number: int) -> Floats:
    """230 days of a made-up team: keys that are born, grow, end and come back, busy weekdays, bursts, a nightly job."""
    chance, days = np.random.default_rng(number), 230
    week = np.where((np.arange(days) + number) % 7 < WORKDAYS, 1.0, chance.uniform(0.0, 0.6))
    whole = np.full(days, chance.gamma(1.0, 0.5) * (chance.random() < NIGHTLY))
    for key in range(int(chance.integers(1, 6))):
        born = 0 if key == 0 else int(chance.integers(days))
        end = days if chance.random() < KEPT else int(chance.integers(born, days)) + 1
        growth = np.exp(np.minimum(np.arange(days - born), 60) * max(0.0, chance.normal(0.01, 0.02)))
        level = np.exp(chance.normal(1.0, 1.0) + np.cumsum(chance.normal(0.0, 0.04, days - born))) * growth
        used = level * (chance.random(days - born) < chance.uniform(0.3, 1.0)) * chance.gamma(0.8, 1.25, days - born)
        whole[born:end] += (used * week[born:])[: end - born]
    return whole


def write_simulated(folder: Path, people: int) -> None:
    """A folder of simulated teams, the same for the same number."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "meta.csv").open("w", newline="") as meta, (folder / "daily.csv").open("w", newline="") as daily:
        metas, rows = csv.writer(meta), csv.writer(daily)
        metas.writerow(["series_id", "family", "group"])
        rows.writerow(["series_id", "timestamp", "value"])
        for number in range(people):
            metas.writerow([f"team-{number}", "llm", f"team-{number}"])
            for day, value in enumerate(simulated(number)):
                rows.writerow([f"team-{number}", dt.date(2026, 1, 8) + dt.timedelta(days=day), round(float(value), 6)])


def main() -> int:
    """Score, or write simulated teams."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with meta.csv and daily.csv")
    parser.add_argument("--family", default="llm", help="which family of meta.csv to score")
    parser.add_argument("--baseline", choices=("run-rate", "week"), help="score this instead of a command")
    parser.add_argument("--simulate", type=Path, metavar="DIR", help="write simulated teams there, and score nothing")
    parser.add_argument("--people", type=int, default=40, help="how many teams to simulate")
    parser.add_argument("command", nargs="*", help="the projector, after --")
    args = parser.parse_args()
    if args.simulate is not None:
        write_simulated(args.simulate, args.people)
        return 0
    if args.data is None or not (args.baseline or args.command):
        parser.error("name --data, and a --baseline or a command")
    found = list(looks(args.data, args.family))
    if args.baseline:
        answers = [baseline(args.baseline, look) for look in found]
    else:
        answers, each = asked(args.command, [look.job for look in found])
        print(f"{each:.2f} ms a projection, start included")
    print(
        f"{len(found)} looks at {len({look.series for look in found})} series of {len({look.group for look in found})}"
    )
    for name, (figure, error) in figures(list(zip(found, answers, strict=True))):
        print(f"{name:<40}{figure:8.3f}" + (f"  +-{error:6.3f}" if np.isfinite(error) else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
