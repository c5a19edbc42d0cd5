"""What a person reads on some days of a month, and whether it came true: sentences of the messages, as a table.

    python tools/projection_readings.py --data DIR [--people 5] [--series NAME ...]

DIR is a folder of daily series as tools/score_projector.py reads it. Of each person the month in the middle of the
first series is shown, with a budget of 1.5 times the 30 days before it: nothing is chosen by what came.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

import numpy as np
from score_projector import Look, looks

from alertd.core.events import Event
from alertd.core.messages import evidence
from alertd.core.messages.rich_text import joined, text_of
from alertd.core.projection import LEVELS, Projection, Question, Series, project_many

DAYS: Final = (1, 2, 5, 10, 20)
BUDGET: Final = 1.5


def sentence(projection: Projection, amount: float, instant: dt.datetime) -> str:
    """The line of a message about a budget of this amount."""
    event = Event(
        id="0",
        kind="threshold",
        severity="info",
        at=instant,
        amount=_figure(amount),
        currency="USD",
        spent=_figure(projection.spent),
        projected={str(p): _figure(q) for p, q in zip(LEVELS, projection.quantiles, strict=True)},
        probability_over=projection.probability_over(amount),
    )
    said = text_of(joined([evidence.likely(event), evidence.exceeding(event)], ", "))
    warns = projection.spent <= amount < projection.fires_below()
    return said + ("; alerts" if warns else "")


def _figure(value: float) -> Decimal:
    return Decimal(repr(round(value, 2)))


def readings(months: list[list[Look]]) -> Iterator[str]:
    """Rows of the table, in Markdown. Each series is told in such money that the 30 days before are 100 USD."""
    yield "| | day | spent | budget | what is read | total | over? |"
    yield "|---|---|---|---|---|---|---|"
    for month in months:
        asked = []
        first = dt.date.fromisoformat(month[0].job["start"])
        opens = (dt.date.fromisoformat(month[0].job["period_start"]) - first).days
        before = sum(month[0].job["values"][max(0, opens - 30) : opens])
        for look in month:
            start, begin, end = (
                dt.datetime.fromisoformat(look.job[name]).replace(tzinfo=dt.UTC)
                for name in ("start", "period_start", "period_end")
            )
            asked.append(Question(Series(start, np.array(look.job["values"]) * 100.0 / before), begin, end))
        for look, projection in zip(month, project_many(asked), strict=True):
            total, amount = look.total * 100.0 / before, BUDGET * 100.0
            line = sentence(projection, amount, asked[0].period_start + dt.timedelta(days=look.cut))
            over = "yes" if total > amount else "no"
            yield (
                f"| {look.group} | {look.cut} | {projection.spent:.0f} | {amount:.0f} | {line} | {total:.0f} | {over} |"
            )


def chosen(found: list[Look], people: int, names: list[str]) -> list[list[Look]]:
    """The looks at the middle warm month of the first series of each person that has a month before it."""
    series: dict[str, str] = {}
    for look in found:
        if look.kind == "warm" and look.job["budgets"] and (not names or look.series in names):
            series.setdefault(look.group, look.series)
    months = []
    for name in list(series.values())[:people]:
        own = [look for look in found if look.series == name and look.kind == "warm" and look.job["budgets"]]
        starts = sorted({look.job["period_start"] for look in own})
        middle = starts[len(starts) // 2]
        months.append([look for look in own if look.job["period_start"] == middle])
    return months


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with meta.csv and daily.csv")
    parser.add_argument("--people", type=int, default=5, help="of how many people")
    parser.add_argument("--series", nargs="*", default=[], help="only these series")
    args = parser.parse_args()
    for row in readings(chosen(list(looks(args.data, "llm", DAYS)), args.people, args.series)):
        print(row)
    return 0


if __name__ == "__main__":
    sys.exit(main())
