"""Learn the table of alertd/core/projection/table.py from a folder of daily series, and say how well it carries over.

    python tools/learn_projection.py --data DIR              print the scores, fitted and leave-one-group-out
    python tools/learn_projection.py --data DIR --write 2    and write the table as version 2

DIR holds `meta.csv` (series_id, family, group) and `daily.csv` (series_id, timestamp, value). A group is a person or a
source; every group counts the same. It uses numpy only and no chance: the same folder gives the same table.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alertd.core.projection import LEVELS, Question, Series, project_many
from alertd.core.projection.past import past_of, stacked
from alertd.core.projection.rates import levels

Floats = NDArray[np.float64]

CUTS: Final = (3, 5, 7, 10, 14, 18, 21, 25, 28)
#: How strongly the coefficients are held to zero, as a part of each column's own weight.
RIDGE: Final = 0.01
_CLOSE: Final = 1e-5
TABLE: Final = Path(__file__).parents[1] / "alertd" / "core" / "projection" / "table.py"


@dataclass(frozen=True, slots=True)
class Case:
    """One instant of one month of one series: what can be seen, and what came."""

    group: str
    name: str
    kind: str
    question: Question
    total: float
    month: float


def cases(folder: Path, family: str) -> Iterator[Case]:
    """Each month that begins on the 1st or the 15th (warm), or with the series (cold), seen at each of CUTS."""
    with (folder / "meta.csv").open(newline="") as file:
        groups = {row["series_id"]: row["group"] for row in csv.DictReader(file) if row["family"] == family}
    days: dict[str, list[tuple[str, float]]] = defaultdict(list)
    with (folder / "daily.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["series_id"] in groups:
                days[row["series_id"]].append((row["timestamp"][:10], float(row["value"])))
    for name, points in days.items():
        points.sort()
        start = dt.datetime.fromisoformat(points[0][0]).replace(tzinfo=dt.UTC)
        yield from _months(groups[name], name, start, np.array([value for _, value in points]))


def _months(group: str, name: str, start: dt.datetime, values: Floats) -> Iterator[Case]:
    mean_month = values.mean() * 30.0
    begins = [(0, min(30, values.size), "cold")]
    for index in range(5, values.size):
        day = start + dt.timedelta(days=index)
        length = ((day.replace(day=1) + dt.timedelta(days=32)).replace(day=1) - day.replace(day=1)).days
        if day.day in (1, 15) and index + length <= values.size:
            begins.append((index, length, "warm"))
    for index, length, kind in begins:
        total = float(values[index : index + length].sum())
        if length < max(CUTS) or total < 0.1 * mean_month:
            continue
        for cut in (cut for cut in CUTS if cut < length):
            opens = start + dt.timedelta(days=index)
            question = Question(Series(start, values[: index + cut]), opens, opens + dt.timedelta(days=length))
            yield Case(group, name, kind, question, total, mean_month)


def evenly(some: list[Case]) -> Floats:
    """Weights by which groups count the same, series in a group, and instants in a series; warm and cold alike."""
    cuts = Counter((case.kind, case.group, case.name) for case in some)
    series = Counter((kind, group) for kind, group, _ in cuts)
    people = Counter(kind for kind, _ in series)
    return np.array([1.0 / (people[c.kind] * series[c.kind, c.group] * cuts[c.kind, c.group, c.name]) for c in some])


def quantile_regression(columns: Floats, wanted: Floats, weights: Floats, level: float, found: Floats) -> Floats:
    """Coefficients [columns] of least weighted pinball loss with a ridge, by majorising quadratics from `found`."""
    ridge = RIDGE * np.diag((weights[:, None] * columns**2).sum(0))
    for _ in range(60):
        near = weights / (1e-3 + np.abs(wanted - columns @ found))
        left = (columns * near[:, None]).T @ columns / 2.0 + ridge
        right = columns.T @ (near * wanted / 2.0 + weights * (level - 0.5))
        step = np.linalg.solve(left, right)
        if np.abs(step - found).max() < _CLOSE:
            return step
        found = step
    return found


def learn(columns: Floats, wanted: Floats, weights: Floats, start: Floats | None = None) -> Floats:
    """The coefficients of all quantiles [levels of history x 9], found faster from a good start."""
    start = np.zeros((columns.shape[1], len(LEVELS))) if start is None else start
    pairs = zip(LEVELS, start.T, strict=True)
    return np.stack([quantile_regression(columns, wanted, weights, *pair) for pair in pairs], axis=1)


def scores(some: list[Case], answers: Floats, kind: str) -> tuple[float, float, float, float]:
    """nMAE, WQL, coverage of the 80 % interval and its width in mean months, every group counted the same."""
    chosen = np.array([case.kind == kind for case in some])
    weights = evenly(some)[chosen]
    totals, months = (np.array([getattr(case, name) for case in some])[chosen] for name in ("total", "month"))
    q, p = answers[chosen], np.array(LEVELS)
    pinball = 2.0 * np.maximum(p * (totals[:, None] - q), (p - 1.0) * (totals[:, None] - q)).mean(1)
    slack = 1e-9 * np.maximum(1.0, totals)
    inside = (q[:, 0] - slack <= totals) & (totals <= q[:, 8] + slack)
    figures = (np.abs(q[:, 4] - totals) / months, pinball / months, inside, (q[:, 8] - q[:, 0]) / months)
    nmae, wql, covered, width = (float(weights @ figure) for figure in figures)
    return nmae, wql, covered, width


def answered(some: list[Case], coefficients: Floats) -> Floats:
    """The nine quantiles that the product would answer with these coefficients: [cases x 9]."""
    projections = project_many([case.question for case in some], table=coefficients)
    return np.array([projection.quantiles for projection in projections])


def main() -> int:
    """Learn, score, and write the table where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with meta.csv and daily.csv")
    parser.add_argument("--family", default="llm", help="which family of meta.csv to learn from")
    parser.add_argument("--write", type=int, metavar="VERSION", help="write the table under this version")
    args = parser.parse_args()
    some = list(cases(args.data, args.family))
    of = stacked([past_of(case.question) for case in some])
    months = np.array([case.month for case in some])
    columns = levels(of.rates, of.weights) * (of.left / months)[:, None]
    wanted = (
        np.array([case.total for case in some]) / months - np.array([past_of(c.question).spent for c in some]) / months
    )
    weights, groups = evenly(some), np.array([case.group for case in some])
    fitted = learn(columns, wanted, weights)
    apart = np.empty((len(some), 9))
    for group in sorted(set(groups)):
        others, own = groups != group, np.flatnonzero(groups == group)
        apart[own] = answered([some[k] for k in own], learn(columns[others], wanted[others], weights[others], fitted))
    together = answered(some, fitted)
    print(f"{len(some)} cases of {len(set(groups))} groups; nMAE, WQL, coverage of 80 %, its width")
    for kind in ("warm", "cold"):
        for name, answers in (("fitted", together), ("leave one group out", apart)):
            print(f"{kind}  {name:<20}" + "".join(f"{figure:8.3f}" for figure in scores(some, answers, kind)))
    if args.write is not None:
        TABLE.write_text(rendered(fitted, args.write, len(set(groups))), encoding="utf-8")
    return 0


HEAD: Final = '''"""What tools/learn_projection.py learnt from {groups} people: pooled figures, written by it."""

from __future__ import annotations

from typing import Final

VERSION: Final = {version}

#: [8 levels of a history (rates.levels) x 9 quantiles] of the coming daily rate.
COEFFICIENTS: Final = (
{rows})
'''


def rendered(coefficients: Floats, version: int, groups: int) -> str:
    """The table as a module."""
    rows = "".join(f"    ({', '.join(f'{value:.4f}' for value in row)}),\n" for row in coefficients)
    return HEAD.format(groups=groups, version=version, rows=rows)


if __name__ == "__main__":
    sys.exit(main())
