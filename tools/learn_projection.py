"""Learn alertd/core/projection/table.py from a folder of daily series, and say how well it carries over.

    python tools/learn_projection.py --data DIR              print the scores, fitted and leave-one-group-out
    python tools/learn_projection.py --data DIR --write 2    and write the table as version 2

DIR holds `meta.csv` (series_id, family, group) and `daily.csv` (series_id, timestamp, value). A group is a person or a
source; every group counts the same. It uses numpy only and no chance: the same folder gives the same table.

Two things are learnt. The coefficients of a quantile regression on eight levels of a history. And two numbers of the
calibration: `growing`, the least for which at most ABOVE of the totals lie above the quantile of 0.9, and `lower`, for
which the chances of exceeding 0.5 to 3 times the 30 days before a month come true best (Brier). The others were set
once, on the same people.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alertd.core.projection import LEVELS, Question, Series
from alertd.core.projection.batch import drifted
from alertd.core.projection.learnt import SHIPPED, Calibration, Lesson, Taught, blended, calibrated
from alertd.core.projection.past import past_of, stacked
from alertd.core.projection.rates import active_day, levels

Floats = NDArray[np.float64]

CUTS: Final = (3, 5, 7, 10, 14, 18, 21, 25, 28)
#: How strongly the coefficients are held to zero, as a part of each column's own weight.
RIDGE: Final = 0.01
_CLOSE: Final = 1e-5
#: Which calibrations are tried, and the share of totals above the quantile of 0.9 that is allowed.
GROWING: Final = (0.4, 0.5, 0.6, 0.7, 0.8)
LOWER: Final = (0.75, 0.85, 0.95)
ABOVE: Final = 0.17
#: Budgets whose chances are scored, as multiples of the 30 days before the month.
BUDGETS: Final = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
_AT_ONCE: Final = 100
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


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """Cases as arrays: what is known of each, what came, and how much each counts."""

    totals: Floats
    months: Floats
    spent: Floats
    before: Floats
    left: Floats
    levels: Floats
    lesson: Lesson
    drift: Floats
    busy: Floats
    weights: Floats
    warm: NDArray[np.bool_]

    def only(self, rows: NDArray[np.intp]) -> Cases:
        """Some of the cases, each group counting the same again as long as whole groups are taken."""
        own = Lesson(self.lesson.rates[rows], self.lesson.weights[rows], self.lesson.burst[rows])
        rest = {name: getattr(self, name)[rows] for name in self.__slots__ if name != "lesson"}
        return Cases(**rest, lesson=own)

    def answers(self, by: Taught) -> Floats:
        """Totals of the runs [cases x runs], as the product would answer."""
        seen = self.lesson.weights.sum(1)
        lesson = replace(self.lesson, by=by)
        return self.spent[:, None] + calibrated(by.calibration, seen, self.busy, blended(lesson, self.left, self.drift))


def prepared(some: list[Case]) -> Cases:
    """The cases as arrays, each played out once, before others are asked."""
    pasts = [past_of(case.question) for case in some]
    of = stacked(pasts)
    drift, burst = [], []
    for begin in range(0, len(pasts), _AT_ONCE):
        _, ahead, bursts = drifted(stacked(pasts[begin : begin + _AT_ONCE]))
        drift.append(np.sort(ahead.sum(2), axis=1))
        burst.append(bursts)
    opens = [(case.question.period_start - case.question.series.start).days for case in some]
    return Cases(
        totals=np.array([case.total for case in some]),
        months=np.array([case.month for case in some]),
        spent=np.array([past.spent for past in pasts]),
        before=np.array(
            [case.question.series.values[max(0, at - 30) : at].sum() for case, at in zip(some, opens, strict=True)]
        ),
        left=of.left,
        levels=levels(of.rates, of.weights),
        lesson=Lesson(of.rates, of.weights, np.concatenate(burst)),
        drift=np.concatenate(drift),
        busy=active_day(of.rates, of.weights, 7.0) * of.left,
        weights=evenly(some),
        warm=np.array([case.kind == "warm" for case in some]),
    )


def taught_by(some: Cases, start: Floats | None = None) -> Taught:
    """What these cases teach."""
    columns = some.levels * (some.left / some.months)[:, None]
    table = learn(columns, (some.totals - some.spent) / some.months, some.weights, start)
    warm = some.only(np.flatnonzero(some.warm))
    found = SHIPPED.calibration
    for growing in GROWING:
        found = replace(found, growing=growing)
        if scores(warm, warm.answers(Taught(table, found)))["above"] <= ABOVE:
            break
    tried = [replace(found, lower=lower) for lower in LOWER]
    losses = [scores(warm, warm.answers(Taught(table, one)))["Brier"] for one in tried]
    return Taught(table, tried[int(np.argmin(losses))])


def scores(some: Cases, runs: Floats) -> dict[str, float]:
    """Figures of the answers [cases x runs], every group counted the same."""
    weights = some.weights / some.weights.sum()
    q, p = runs[:, 20:181:20], np.array(LEVELS)
    totals, months = some.totals[:, None], some.months
    pinball = 2.0 * np.maximum(p * (totals - q), (p - 1.0) * (totals - q)).mean(1)
    slack = 1e-9 * np.maximum(1.0, some.totals)
    above, below = some.totals > q[:, 8] + slack, some.totals < q[:, 0] - slack
    budgets = some.before[:, None] * np.array(BUDGETS)
    asked = budgets > some.spent[:, None]
    chances = (runs[:, None, :] > budgets[:, :, None]).mean(2)
    misses = np.where(asked, (chances - (totals > budgets)) ** 2, 0.0).sum(1) / np.maximum(asked.sum(1), 1)
    scored = weights * asked.any(1)
    figures = (np.abs(q[:, 4] - some.totals) / months, pinball / months, ~(above | below), (q[:, 8] - q[:, 0]) / months)
    nmae, wql, covered, width = (float(weights @ figure) for figure in figures)
    return {
        "nMAE": nmae, "WQL": wql, "cov80": covered, "w80": width, "above": float(weights @ above),
        "below": float(weights @ below), "Brier": float(scored @ misses) / max(float(scored.sum()), 1e-12),
    }  # fmt: skip


def main() -> int:
    """Learn, score, and write the table where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with meta.csv and daily.csv")
    parser.add_argument("--family", default="llm", help="which family of meta.csv to learn from")
    parser.add_argument("--write", type=int, metavar="VERSION", help="write the table under this version")
    args = parser.parse_args()
    listed = list(cases(args.data, args.family))
    some, groups = prepared(listed), np.array([case.group for case in listed])
    fitted = taught_by(some)
    together, apart = some.answers(fitted), np.empty((len(listed), some.drift.shape[1]))
    for group in sorted(set(groups)):
        own = np.flatnonzero(groups == group)
        apart[own] = some.only(own).answers(taught_by(some.only(np.flatnonzero(groups != group)), fitted.table))
    print(f"{len(listed)} cases of {len(set(groups))} groups; calibration {astuple(fitted.calibration)}")
    for kind in ("warm", "cold"):
        chosen = np.flatnonzero(some.warm == (kind == "warm"))
        for name, answers in (("fitted", together), ("leave one group out", apart)):
            figures = scores(some.only(chosen), answers[chosen])
            print(f"{kind}  {name:<20}" + "".join(f"  {key} {figure:.3f}" for key, figure in figures.items()))
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

#: {names} (learnt.Calibration).
CALIBRATION: Final = {calibration}
'''


def rendered(taught: Taught, version: int, groups: int) -> str:
    """The table as a module."""
    rows = "".join(f"    ({', '.join(f'{value:.4f}' for value in row)}),\n" for row in taught.table)
    names = ", ".join(field.name for field in fields(Calibration))
    of = astuple(taught.calibration)
    return HEAD.format(groups=groups, version=version, rows=rows, names=names, calibration=of)


if __name__ == "__main__":
    sys.exit(main())
