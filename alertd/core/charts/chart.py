"""A bar and a trend of one position as SVG, for a line of a table. They hold no words: those stand beside them."""

from __future__ import annotations

from typing import Final

from alertd.core.charts.html import Content, Markup
from alertd.core.charts.svg import COLOURS, FAINT, INK, path, picture, rectangle
from alertd.core.evaluation.values import BudgetStatus

_LOW, _MIDDLE, _HIGH = 0.1, 0.5, 0.9
_SPACE: Final = 1.06
_TREND_DAYS: Final = 21


def bar(position: BudgetStatus) -> Markup:
    """Spent as a solid bar, the likely range behind it, a line where the budget ends. 100 wide, 12 high, no words."""
    state, total = position.status, float(position.amount.value)
    spent, projection = float(position.spent), position.projection
    reach = [] if projection is None else [projection.quantile(_LOW), projection.quantile(_HIGH)]
    scale = 100.0 / ((max([total, spent, *reach]) or 1.0) * _SPACE)
    shapes: list[Content] = [rectangle("track", (0, 3, total * scale, 6), FAINT)]
    if reach and state != "unknown":
        likely = (reach[0] * scale, 3.0, max(0.5, (reach[1] - reach[0]) * scale), 6.0)
        shapes.append(rectangle("range", likely, COLOURS[state], 0.35))
    if position.data_until is not None:
        shapes.append(rectangle("spent", (0, 3, spent * scale, 6), COLOURS[state]))
    if projection is not None and state != "unknown":
        shapes.append(rectangle("likely", (projection.quantile(_MIDDLE) * scale - 0.3, 1.5, 0.6, 9), INK))
    shapes.append(rectangle("limit", (total * scale - 0.4, 0, 0.8, 12), INK))
    return picture(shapes, 100, 12, f"bar {state}", stretch=True)


def trend(position: BudgetStatus) -> Markup | None:
    """What was spent on each of the last days, as columns; None before there are two days."""
    days = [float(spent) for _, spent in position.daily[-_TREND_DAYS:]]
    if len(days) < 2:  # noqa: PLR2004 - one column is no trend
        return None
    highest, width = max(days) or 1.0, 100.0 / len(days)
    columns = "".join(
        f"M{index * width:.1f} 24h{width * 0.8:.1f}V{24 - 24 * spent / highest:.1f}h-{width * 0.8:.1f}z"
        for index, spent in enumerate(days)
        if spent > 0
    )
    return picture(path("column", columns, INK, 0.6), 100, 24, "trend", stretch=True)
