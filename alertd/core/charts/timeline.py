"""A replay as a chart, one row per budget and scope: spend against the amount, each day's projection, the alerts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Final, NamedTuple

from alertd.core.budgets import Scope, scope_text
from alertd.core.charts.html import COLOURS, FAINT, Content, Markup, dot, line, picture, polygon, rectangle, words
from alertd.core.evaluation.replay import ReplayAlert, ReplayPoint, ReplayResult, by_scope
from alertd.core.messages.format import number

_WIDTH: Final = 1100.0
_ROW: Final = 150.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 84.0, 16.0, 26.0, 20.0
_MOST_ROWS: Final = 8
#: A row that never reached this share of its budget is left out, and counted.
_LEAST_SHARE: Final = Decimal("0.02")
#: How far above its budget a row reaches at the most.
_HEADROOM: Final = 2.0
_DOTS: Final = {"actual": "#444", "forecast": "#b85c00", "burn_rate": "#b3261e", "anomaly": "#7a3fb0"}


def timeline(record: ReplayResult, unit: str) -> Markup:
    """The budgets' scopes with the most spend, one below the other, over one axis of time."""
    rows = sorted(by_scope(record.points).items(), key=lambda item: -max(point.spent for point in item[1]))
    shown = [row for row in rows if any(point.spent >= point.amount * _LEAST_SHARE for point in row[1])] or rows[:1]
    rows, left_out = shown[:_MOST_ROWS], len(rows) - len(shown[:_MOST_ROWS])
    begin = min(point.at for point in record.points)
    span = max((max(point.at for point in record.points) - begin), timedelta(days=1))
    shapes: list[Content] = [rectangle("paper", (0, 0, _WIDTH, _ROW * len(rows) + 40), "#fff")]
    for place, (name, points) in enumerate(rows):
        alert = [one for one in record.alerts if (one.budget, one.scope) == name]
        shapes.append(_TimelineRow(name, points, alert, _Axis(begin, span, place * _ROW)).shapes(unit))
    shapes.append(_legend(_ROW * len(rows) + 22, left_out))
    return picture(shapes, _WIDTH, _ROW * len(rows) + 40, "timeline")


class _Axis(NamedTuple):
    begin: datetime
    span: timedelta
    top: float


class _TimelineRow:
    """One budget's scope over time."""

    def __init__(
        self, name: tuple[str, Scope], points: Sequence[ReplayPoint], alert: Sequence[ReplayAlert], axis: _Axis
    ) -> None:
        self.name, self.points, self.alert = name, points, alert
        self.begin, self.span, self.top = axis
        amount = max(float(point.amount) for point in points)
        seen = max(max(float(point.spent), point.high or 0.0) for point in points)
        self.highest = max(amount * 1.15, min(seen, amount * _HEADROOM)) or 1.0

    def shapes(self, unit: str) -> list[Content]:
        """Its frame, the fan of what was projected, the spend, the budget, and a dot for each alert."""
        budget, scope = self.name
        title = " · ".join(part for part in (budget, scope_text(scope)) if part)
        base = self.top + _ROW - _BOTTOM
        found: list[Content] = [
            line("base", [(_LEFT, base), (_WIDTH - _RIGHT, base)], FAINT, 1),
            words(title, _LEFT, self.top + 14, "start", "name"),
            words(
                f"{number(self.points[-1].amount, unit)} {unit}", _LEFT - 6, self._y(self.points[-1].amount) + 4, "end"
            ),
        ]
        for _, group in groupby(self.points, key=lambda point: point.place[2]):
            period = list(group)
            found += self._period(period)
        found += [self._alert(alert) for alert in self.alert]
        return found

    def _period(self, points: Sequence[ReplayPoint]) -> list[Content]:
        fan = [point for point in points if point.low is not None and point.high is not None]
        upper = [(self._x(point.at), self._y(point.high or 0)) for point in fan]
        lower = [(self._x(point.at), self._y(point.low or 0)) for point in reversed(fan)]
        first = self._x(points[0].at)
        return [
            line("edge", [(first, self.top + _TOP), (first, self.top + _ROW - _BOTTOM)], FAINT, 0.5, dashed=True),
            words(points[0].place[2], first + 3, self.top + _ROW - 6, "start", "date"),
            polygon("fan", [*upper, *lower], COLOURS["on_track"], 0.16) if len(fan) > 1 else None,
            line(
                "likely",
                [(self._x(one.at), self._y(one.likely or 0)) for one in fan],
                COLOURS["on_track"],
                0.8,
                dashed=True,
            ),
            line("amount", [(self._x(one.at), self._y(one.amount)) for one in points], COLOURS["over"], 1.2),
            line("spent", [(self._x(one.at), self._y(one.spent)) for one in points], "#222", 1.8),
        ]

    def _alert(self, alert: ReplayAlert) -> Markup:
        where = (self._x(alert.at), self._y(alert.spent))
        return dot(
            alert.basis, where, 4, _DOTS.get(alert.basis, "#444"), f"{alert.at:%Y-%m-%d %H:%M} {alert.threshold}"
        )

    def _x(self, at: datetime) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * ((at - self.begin) / self.span)

    def _y(self, value: Decimal | float) -> float:
        share = min(1.0, float(value) / self.highest)
        return self.top + _ROW - _BOTTOM - (_ROW - _TOP - _BOTTOM) * share


def _legend(top: float, left_out: int) -> list[Content]:
    found: list[Content] = [
        words("spent —   budget (red)   projected total, 80% (band)   alerts:", _LEFT, top, "start")
    ]
    for place, (basis, colour) in enumerate(_DOTS.items()):
        x = 450.0 + place * 110
        found += [dot(basis, (x, top - 4), 4, colour, basis), words(basis.replace("_", " "), x + 8, top, "start")]
    if left_out:
        found.append(words(f"{left_out} more spent little, or have no price", _WIDTH - _RIGHT, top, "end"))
    return found
