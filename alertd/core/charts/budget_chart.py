"""One budget's period as a chart: spend, likely range, and thresholds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Final

from alertd.core.budgets import Actual
from alertd.core.charts.html import (
    COLOURS,
    FAINT,
    INK,
    Content,
    Markup,
    Point,
    dot,
    line,
    picture,
    polygon,
    rectangle,
    words,
)
from alertd.core.evaluation.thresholds import thresholds_of
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.messages.format import amount, day, level_text, number
from alertd.core.periods import Period
from alertd.core.projection import FAN_LEVELS

#: Bands of the fan: how likely the total lies inside, and how strongly they are drawn.
_BANDS: Final = ((0.05, 0.95, 0.14), (0.1, 0.9, 0.16), (0.25, 0.75, 0.22))
_MIDDLE: Final = 0.5
_SPACE: Final = 1.06
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 12.0, 14.0, 24.0
_STEPS: Final = (1, 2, 2.5, 5, 10)
_MOST_TICKS: Final = 5
_LEAST_WIDTH_OF_A_DATE: Final = 56.0
#: Levels closer than this have their words beside one another.
_LEAST_GAP: Final = 15.0
_BESIDE: Final = 100.0


@dataclass(frozen=True, slots=True)
class _BudgetFrame:
    """Where an instant and an amount lie in the picture."""

    period: Period
    highest: float
    width: float
    height: float

    def x(self, instant: datetime) -> float:
        return _LEFT + (self.width - _LEFT - _RIGHT) * self.period.elapsed(instant)

    def y(self, value: float) -> float:
        return self.height - _BOTTOM - (self.height - _TOP - _BOTTOM) * min(1.0, max(0.0, value / self.highest))

    def at(self, instant: datetime, value: float) -> Point:
        return self.x(instant), self.y(value)


def fan(position: BudgetStatus, width: int = 960, height: int = 320) -> Markup:
    """The period: what was spent as a curve, what is likely as a fan, thresholds as lines with a dot where reached.

    While the status is unknown, only the spend that was last seen is drawn.
    """
    past = spent_curve(position)
    frame = _BudgetFrame(position.period, _highest(position, past), width, height)
    unit, known = position.amount.unit, position.status != "unknown"
    shapes: list[Content] = [
        _unseen(position, frame),
        _grid(frame, unit),
        _dates(frame),
        _fan_bands(position, frame) if known else None,
        line("spent", [frame.at(*point) for point in past], COLOURS[position.status], 2.5),
        _levels(position, frame, past),
        _used_up(position, frame) if known else None,
    ]
    return picture(shapes, width, height, f"fan {position.status}")


def spent_curve(position: BudgetStatus) -> list[tuple[datetime, float]]:
    """What was spent in the period by the end of each day, up to where the data end."""
    days = [(date.fromisoformat(text), float(spent)) for text, spent in position.daily]
    total = float(position.spent) - sum(spent for _, spent in days)
    points = [(position.period.start, max(0.0, total))]
    end = position.seen_until or position.period.start
    for first, spent in days:
        total += spent
        following = first + timedelta(days=1)
        midnight = datetime(following.year, following.month, following.day, tzinfo=position.period.zone)
        points.append((min(midnight, end), total))
    return [point for point in points if point[0] <= end]


def _highest(position: BudgetStatus, past: Sequence[tuple[datetime, float]]) -> float:
    reached = [float(position.amount.value), *(value for _, value in past)]
    if position.projection is not None and position.status != "unknown":
        reached.append(position.projection.quantile(_BANDS[0][1]))
    return (max(reached) or 1.0) * _SPACE


def _unseen(position: BudgetStatus, frame: _BudgetFrame) -> Markup | None:
    """The part of the period before the figures are complete."""
    if position.complete_from is None:
        return None
    width = frame.x(position.complete_from) - _LEFT
    return rectangle("unseen", (_LEFT, _TOP, width, frame.height - _TOP - _BOTTOM), FAINT, 0.5, "not seen")


def _grid(frame: _BudgetFrame, unit: str) -> list[Markup]:
    lines = []
    for value in ticks(frame.highest):
        y = frame.y(value)
        lines += [
            line("grid", [(_LEFT, y), (frame.width - _RIGHT, y)], FAINT, 1),
            words(number(Decimal(repr(value)), unit), _LEFT - 6, y + 4, "end"),
        ]
    return lines


def ticks(highest: float) -> list[float]:
    """Round figures from 0 up, at most five."""
    power = 10.0 ** int(f"{highest / _MOST_TICKS:e}".partition("e")[2])
    step = next(step * power for step in _STEPS if step * power * _MOST_TICKS >= highest)
    return [count * step for count in range(int(highest / step) + 1)]


def _dates(frame: _BudgetFrame) -> list[Markup]:
    """Days under the picture, as many as fit, always the first."""
    borders = [frame.period.start + (frame.period.end - frame.period.start) * k / 6 for k in range(6)]
    fitting = int((frame.width - _LEFT - _RIGHT) / _LEAST_WIDTH_OF_A_DATE)
    step = max(1, -(-len(borders) // max(1, fitting)))
    return [
        words(day(instant, frame.period.zone, weekday=False), frame.x(instant), frame.height - 6, "start")
        for instant in borders[::step]
    ]


def _fan_bands(position: BudgetStatus, frame: _BudgetFrame) -> list[Markup]:
    projection = position.projection
    if projection is None or len(projection.instants) < 2:  # noqa: PLR2004 - no time is left
        return []
    colour = COLOURS[position.status]

    def edge(level: float) -> list[Point]:
        column = FAN_LEVELS.index(level)
        return [frame.at(at, float(row[column])) for at, row in zip(projection.instants, projection.fan, strict=True)]

    bands = [polygon("band", [*edge(low), *reversed(edge(high))], colour, opacity) for low, high, opacity in _BANDS]
    return [*bands, line("median", edge(_MIDDLE), colour, 1.5, dashed=True)]


def _levels(position: BudgetStatus, frame: _BudgetFrame, past: Sequence[tuple[datetime, float]]) -> list[Markup]:
    """A line for every level of the thresholds and for the amount, and a dot where the spend reached it."""
    total = float(position.amount.value)
    actual = [one for one in thresholds_of(position) if isinstance(one, Actual)]
    levels = {float(one.reached_at(position.amount)) for one in actual} | {total}
    shapes, last, x = [], -1e9, _LEFT
    for level in sorted(levels, key=lambda value: (value != total, -value)):
        y, whole = frame.y(level), level == total
        ends = [(_LEFT, y), (frame.width - _RIGHT, y)]
        said = (
            amount(position.amount.value, position.amount.unit)
            if whole
            else level_text(Decimal(repr(level / total * 100)))
            if total
            else ""
        )
        shapes.append(line("limit" if whole else "level", ends, INK, 1.5 if whole else 1, dashed=not whole))
        x = _LEFT + 4 if abs(y - last) >= _LEAST_GAP else x + _BESIDE
        shapes.append(words(said, x, y - 4, "start", "limit-words" if whole else "words"))
        last = y
        crossed = crossing(past, level)
        if crossed is not None:
            title = f"{said} reached {day(crossed, position.period.zone)}"
            shapes.append(dot("reached", (frame.x(crossed), y), 4, INK, title))
    return shapes


def _used_up(position: BudgetStatus, frame: _BudgetFrame) -> list[Markup]:
    """Where the budget is likely used up, as an interval on its line."""
    total = float(position.amount.value)
    exhausted = None if position.projection is None else position.projection.exhausted_at(total)
    if exhausted is None or float(position.spent) >= total:
        return []
    y, colour = frame.y(total), COLOURS["over"]
    title = f"runs out {day(exhausted.likely, position.period.zone)}"
    interval = [(frame.x(exhausted.low), y), (frame.x(exhausted.high), y)]
    return [line("used-up", interval, colour, 5), dot("used-up", (frame.x(exhausted.likely), y), 5, colour, title)]


def crossing(curve: Iterable[tuple[datetime, float]], level: float) -> datetime | None:
    """When the curve first reached the level, evenly within its step; None where it did not."""
    for (begin, low), (end, high) in pairwise(curve):
        if low < level <= high:
            return begin + (end - begin) * ((level - low) / (high - low))
    return None
