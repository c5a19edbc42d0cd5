"""A replay as a picture: spend against its budget, each day's projection, the alerts; a row a budget's scope."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Final, NamedTuple

from alertd.core.budgets import Scope, scope_text
from alertd.core.evaluation.replay import Look, Record, Told, by_place
from alertd.core.messages.figures import number
from alertd.core.pictures.markup import Content, Markup
from alertd.core.pictures.shapes import COLOURS, FAINT, dot, line, picture, polygon, rectangle, words

_WIDTH: Final = 1100.0
_ROW: Final = 150.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 84.0, 16.0, 26.0, 20.0
_MOST_ROWS: Final = 8
#: A row that never reached this share of its budget is left out, and counted.
_TELLING: Final = Decimal("0.02")
#: How far above its budget a row reaches at the most.
_HEADROOM: Final = 2.0
_DOTS: Final = {"actual": "#444", "forecast": "#b85c00", "burn_rate": "#b3261e", "anomaly": "#7a3fb0"}


def timeline(record: Record, unit: str) -> Markup:
    """The budgets' scopes with the most spend, one below the other, over one axis of time."""
    rows = sorted(by_place(record.looks).items(), key=lambda item: -max(look.spent for look in item[1]))
    telling = [row for row in rows if any(look.spent >= look.amount * _TELLING for look in row[1])] or rows[:1]
    rows, left_out = telling[:_MOST_ROWS], len(rows) - len(telling[:_MOST_ROWS])
    begin = min(look.at for look in record.looks)
    span = max((max(look.at for look in record.looks) - begin), timedelta(days=1))
    shapes: list[Content] = [rectangle("paper", (0, 0, _WIDTH, _ROW * len(rows) + 40), "#fff")]
    for place, (name, looks) in enumerate(rows):
        told = [one for one in record.told if (one.budget, one.scope) == name]
        shapes.append(_Row(name, looks, told, _Axis(begin, span, place * _ROW)).shapes(unit))
    shapes.append(_legend(_ROW * len(rows) + 22, left_out))
    return picture(shapes, _WIDTH, _ROW * len(rows) + 40, "timeline")


class _Axis(NamedTuple):
    begin: datetime
    span: timedelta
    top: float


class _Row:
    """One budget's scope over time."""

    def __init__(self, name: tuple[str, Scope], looks: Sequence[Look], told: Sequence[Told], axis: _Axis) -> None:
        self.name, self.looks, self.told = name, looks, told
        self.begin, self.span, self.top = axis
        amount = max(float(look.amount) for look in looks)
        seen = max(max(float(look.spent), look.high or 0.0) for look in looks)
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
                f"{number(self.looks[-1].amount, unit)} {unit}", _LEFT - 6, self._y(self.looks[-1].amount) + 4, "end"
            ),
        ]
        for _, group in groupby(self.looks, key=lambda look: look.place[2]):
            period = list(group)
            found += self._period(period)
        found += [self._alert(told) for told in self.told]
        return found

    def _period(self, looks: Sequence[Look]) -> list[Content]:
        fan = [look for look in looks if look.low is not None and look.high is not None]
        upper = [(self._x(look.at), self._y(look.high or 0)) for look in fan]
        lower = [(self._x(look.at), self._y(look.low or 0)) for look in reversed(fan)]
        first = self._x(looks[0].at)
        return [
            line("edge", [(first, self.top + _TOP), (first, self.top + _ROW - _BOTTOM)], FAINT, 0.5, dashed=True),
            words(looks[0].place[2], first + 3, self.top + _ROW - 6, "start", "date"),
            polygon("fan", [*upper, *lower], COLOURS["on_track"], 0.16) if len(fan) > 1 else None,
            line(
                "likely",
                [(self._x(one.at), self._y(one.likely or 0)) for one in fan],
                COLOURS["on_track"],
                0.8,
                dashed=True,
            ),
            line("amount", [(self._x(one.at), self._y(one.amount)) for one in looks], COLOURS["over"], 1.2),
            line("spent", [(self._x(one.at), self._y(one.spent)) for one in looks], "#222", 1.8),
        ]

    def _alert(self, told: Told) -> Markup:
        where = (self._x(told.at), self._y(told.spent))
        return dot(told.basis, where, 4, _DOTS.get(told.basis, "#444"), f"{told.at:%Y-%m-%d %H:%M} {told.threshold}")

    def _x(self, at: datetime) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * ((at - self.begin) / self.span)

    def _y(self, value: Decimal | float) -> float:
        share = min(1.0, float(value) / self.highest)
        return self.top + _ROW - _BOTTOM - (_ROW - _TOP - _BOTTOM) * share


def _legend(top: float, left_out: int) -> list[Content]:
    found: list[Content] = [
        words("spent —   budget (red)   projected total, 80 % (band)   alerts:", _LEFT, top, "start")
    ]
    for place, (basis, colour) in enumerate(_DOTS.items()):
        x = 450.0 + place * 110
        found += [dot(basis, (x, top - 4), 4, colour, basis), words(basis.replace("_", " "), x + 8, top, "start")]
    if left_out:
        found.append(words(f"{left_out} more spent little, or have no price", _WIDTH - _RIGHT, top, "end"))
    return found
