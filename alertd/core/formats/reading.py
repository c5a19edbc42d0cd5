"""A table becomes usage and billed costs: the one way in which files are read. It prices nothing.

    columns -> a plan -> sums of rows with equal keys -> the file's habits -> windows, lines, labels -> records

All faults come at once, each with its line or column; what had to be decided is said in notes. No cell is quoted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC
from zoneinfo import ZoneInfo

from alertd.core.formats.contents import Contents
from alertd.core.formats.figures import Figures
from alertd.core.formats.plan import Said, plan_of
from alertd.core.formats.records import Records
from alertd.core.formats.sums import Reader
from alertd.core.formats.table import Table
from alertd.core.formats.times import Times
from alertd.core.formats.unfolding import with_cells

__all__ = ["Contents", "read_table"]


def read_table(table: Table, said: Said | None = None, keep: Callable[[Sequence[str]], bool] | None = None) -> Contents:
    """The usage and the money of a table. `keep` is False for rows that are left out.

    Times without a zone are of the layout's zone (UTC); a day is a day. Raises FormatError with all its faults.
    """
    said = said or Said()
    table = with_cells(table)
    plan = plan_of(table, said)
    figures = Figures(said.decimals or "point", forced=said.decimals is not None)
    zone = UTC if plan.layout.zone == "UTC" else ZoneInfo(plan.layout.zone)
    times = Times(zone, said.dates or plan.layout.dates)
    times.weeks = any(one.column.name == "week" for one in plan.of("time"))
    reader = Reader(plan, figures, times, has_month=bool(said.month))
    sums = reader.sums(table, keep)
    habit = figures.habit()
    if habit != figures.decimals:
        figures = Figures(habit, forced=True)
        reader = Reader(plan, figures, times, has_month=bool(said.month))
        sums = reader.sums(table, keep)
    sums.raise_faults()
    if times.order is None:
        times.prove(start for start, _, _ in sums.groups)
    return Records(plan, said, reader, sums, times).contents()
