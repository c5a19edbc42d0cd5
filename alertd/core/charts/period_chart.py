"""One period as a picture for a page: spent, likely and its range, budget, thresholds, now. Fluid width, fixed height.

x is in percent and y in pixels, so that text never scales: one picture serves every width. Curves lie in a nested
picture of 3,000 by the height, which is stretched. Colours are classes of the page's style sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from alertd.core.budgets import TOKENS, Actual, BurnRate
from alertd.core.charts.budget_chart import spent_curve, ticks
from alertd.core.charts.html import Content, Markup, element
from alertd.core.evaluation.thresholds import thresholds_of
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.messages.format import clock_time, day, estimated, money, tokens
from alertd.core.periods import Period
from alertd.core.projection import FAN_LEVELS

_WIDTH: Final = 3000
_HEADROOM: Final = 1.15
#: The axis ends at this multiple of the largest of budget, spent and likely: what a wide range has above is written.
_ABOVE: Final = 1.4
#: The axis ends at this multiple of the budget at most; what is above is written. If it is over, a little higher.
_MOST: Final = 2.0
_MOST_OVER: Final = 2.3
_LABEL_GAP: Final = 15.0
_LOW, _MIDDLE, _HIGH = FAN_LEVELS.index(0.1), FAN_LEVELS.index(0.5), FAN_LEVELS.index(0.9)
_DATES: Final = 6
_LANE: Final = 16
_MOST_COLUMNS: Final = 100
#: Words nearer to an edge than this, in percent, are not centred.
_EDGE: Final = 15

Curve = Sequence[tuple[datetime, float]]


@dataclass(frozen=True, slots=True)
class ChartFigures:
    """What is drawn, in `unit`. `likely` are (instant, low, middle, high); `last` is the period before, moved here."""

    period: Period
    unit: str
    amount: float
    spent: Curve
    now: datetime
    status: str = "on_track"
    likely: Sequence[tuple[datetime, float, float, float]] = ()
    last: Curve = ()
    levels: Sequence[tuple[float, str]] = ()
    #: Times that were not seen.
    unseen: Sequence[tuple[datetime, datetime]] = ()
    at_least: bool = False
    title: str = ""
    #: While it runs away: what is spent a second at the rate of the last minutes.
    rate: float | None = None


def figures_of(position: BudgetStatus, now: datetime, last: Curve = ()) -> ChartFigures:
    """The figures of one budget's scope. While its status is unknown nothing is projected."""
    total, projection = float(position.amount.value), position.projection
    likely = (
        [
            (at, float(row[_LOW]), float(row[_MIDDLE]), float(row[_HIGH]))
            for at, row in zip(projection.instants, projection.fan, strict=True)
        ]
        if projection is not None and position.status != "unknown"
        else []
    )
    levels = [
        (float(level), f"{level / position.amount.value:.0%}")
        for one in thresholds_of(position)
        if isinstance(one, Actual)
        for level in (one.reached_at(position.amount),)
        if position.amount.value and level != position.amount.value
    ]
    start = position.period.start
    unseen = [(start, min(position.complete_from, now))] if position.complete_from is not None else []
    if position.seen_until is not None and position.stale_sources:
        unseen.append((position.seen_until, now))
    return ChartFigures(
        position.period, position.amount.unit, total, spent_curve(position), now, position.status,
        likely if len(likely) > 1 else [], last, sorted(set(levels)), unseen,
        at_least=position.status == "unknown" or bool(position.stale_sources),
        title=position.budget.name, rate=_running_rate(position),
    )  # fmt: skip


def _running_rate(position: BudgetStatus) -> float | None:
    """Spend a second in the shortest window of a budget that runs away; None for every other."""
    windows = [window for one in thresholds_of(position) if isinstance(one, BurnRate) for window in one.windows]
    burns = [position.burns[window] for window in sorted(windows) if window in position.burns]
    if position.status != "runaway" or not burns or burns[0].spent <= 0:
        return None
    return float(burns[0].spent) / burns[0].window.total_seconds()


@dataclass(frozen=True, slots=True)
class _PeriodFrame:
    period: Period
    highest: float
    height: float
    labels: list[tuple[float, str, str]] = field(default_factory=list)

    def share(self, at: datetime) -> float:
        return 100 * self.period.elapsed(at)

    def x(self, at: datetime) -> str:
        return f"{self.share(at):.2f}%"

    def y(self, value: float) -> float:
        return self.height * (1 - min(1.0, max(0.0, value / self.highest)))

    def points(self, curve: Curve) -> str:
        return "M" + " L".join(f"{self.share(at) * _WIDTH / 100:.0f} {self.y(value):.1f}" for at, value in curve)


def period_chart(figures: ChartFigures, height: int = 262) -> Markup:
    """The picture, with one transparent column a day that says the day's figures on hovering."""
    ends = figures.likely[-1][1:] if figures.likely else ()
    seen = figures.spent[-1][1] if figures.spent else 0.0
    most = (_MOST_OVER if figures.status in ("over", "runaway") else _MOST) * figures.amount
    tallest = max([figures.amount, seen, *ends, *(value for _, value in figures.last)]) * _HEADROOM
    plain = max([figures.amount, seen, *ends[1:2]]) * _ABOVE
    highest = max(min(tallest, plain, most) if figures.amount else min(tallest, plain), seen * 1.05) or 1.0
    frame = _PeriodFrame(figures.period, highest, float(height))
    shapes: list[Content] = [
        element("title", _said(figures)),
        _hatching(),
        _zone(frame, figures),
        _grid(frame, figures),
        [_unseen(frame, begin, end) for begin, end in figures.unseen],
        _levels(frame, figures),
        element(
            "svg", _curves(frame, figures), x="0", y="0", width="100%", height=height,
            viewBox=f"0 0 {_WIDTH} {height}", preserveAspectRatio="none",
        ),
        _present(frame, figures),
        _ends(frame, figures),
        _columns(frame, figures),
        _dates(frame, figures),
    ]  # fmt: skip
    drawn = element(
        "svg", shapes, class_=f"chart k-{figures.status}", height=height, role="img", aria_label=_said(figures)
    )
    return element("div", drawn, class_="plot")


def lanes(sources: Sequence[tuple[str, datetime, bool]], period: Period, now: datetime) -> Markup | None:
    """Below a chart, a lane for each (source, data to, stale) that lags: filled while it was read, hatched to now."""
    if not sources or now not in period:
        return None
    shapes: list[Content] = [_hatching()]
    present = 100 * period.elapsed(now)
    for place, (name, until, stale) in enumerate(sources):
        y, share = place * _LANE, 100 * period.elapsed(max(until, period.start))
        words = f"{name} to {clock_time(until, period.zone, now)}{', too old' if stale else ''}"
        shapes.append(element("rect", class_="lane", x="0", y=y + 4, width=f"{share:.2f}%", height="5", rx="2.5"))
        shapes.append(element("rect", class_="lane late", x=f"{share:.2f}%", y=y + 4,
                              width=f"{max(0.0, present - share):.2f}%", height="5"))  # fmt: skip
        anchor = "end" if present > 100 - 2 * _EDGE else "start"
        beside = "-6" if anchor == "end" else "6"
        shapes.append(element("text", words, class_="halo minor", x=f"{present:.2f}%", dx=beside, y=y + 10,
                              text_anchor=anchor))  # fmt: skip
    height = len(sources) * _LANE
    said = "; ".join(f"{name} to {clock_time(until, period.zone, now)}" for name, until, _ in sources)
    return element("div", element("svg", shapes, class_="chart", height=height, role="img", aria_label=f"Late: {said}"),
                   class_="plot tight lanes")  # fmt: skip


def _said(figures: ChartFigures) -> str:
    """The picture in a sentence."""
    unit, seen = figures.unit, figures.spent[-1][1] if figures.spent else 0.0
    likely = f", likely {_estimate(figures.likely[-1][2], unit)} at its end" if figures.likely else ""
    least = "at least " if figures.at_least else ""
    return f"{figures.title}: {least}{_exact(seen, unit)} of {_exact(figures.amount, unit)}{likely}".strip(": ")


def _hatching() -> Markup:
    lines = element("path", class_="hatch", d="M0 0V6")
    return element(
        "defs",
        element("pattern", lines, id="hatch", width="6", height="6", patternUnits="userSpaceOnUse",
                patternTransform="rotate(45)"),
    )  # fmt: skip


def _zone(frame: _PeriodFrame, figures: ChartFigures) -> Markup | None:
    if not figures.amount or figures.amount >= frame.highest:
        return None
    return element("rect", class_="zone", x="0", y="0", width="100%", height=frame.y(figures.amount))


def _grid(frame: _PeriodFrame, figures: ChartFigures) -> list[Markup]:
    found = []
    for value in ticks(frame.highest):
        y = frame.y(value)
        found.append(element("line", class_="g-line" if value else "g-base", x1="0", x2="100%", y1=y, y2=y))
        if not figures.amount or abs(y - frame.y(figures.amount)) > _LABEL_GAP:
            found.append(element("text", axis_label(value, figures.unit), x="0", dx="-10", y=y + 4, text_anchor="end"))
    return found


def _levels(frame: _PeriodFrame, figures: ChartFigures) -> list[Markup]:
    """The budget as a line with its amount, and each threshold of what is spent as a dotted one."""
    found = []
    budget = frame.y(figures.amount)
    for level, words in figures.levels:
        y = frame.y(level)
        if level >= frame.highest:
            continue
        found.append(element("line", class_="g-thr", x1="0", x2="100%", y1=y, y2=y))
        if abs(y - budget) > _LABEL_GAP:
            found.append(element("text", words, class_="halo", x="0", dx="6", y=y - 4))
    if figures.amount and figures.amount <= frame.highest:
        found.append(element("line", class_="g-budget", x1="0", x2="100%", y1=budget, y2=budget))
        words = f"Budget {_exact(figures.amount, figures.unit)}"
        found.append(element("text", words, class_="b halo", x="0", dx="6", y=max(10.0, budget - 6)))
        short = axis_label(figures.amount, figures.unit)
        found.append(element("text", short, class_="b", x="0", dx="-10", y=budget + 4, text_anchor="end"))
    return found


def _unseen(frame: _PeriodFrame, begin: datetime, end: datetime) -> Markup:
    width = frame.share(end) - frame.share(begin)
    return element(
        "rect", element("title", "not seen"), fill="url(#hatch)", x=frame.x(begin), y="0", width=f"{width:.2f}%",
        height=frame.height,
    )  # fmt: skip


def _curves(frame: _PeriodFrame, figures: ChartFigures) -> list[Markup]:
    found = []
    if len(figures.last) > 1:
        found.append(element("path", class_="l last", d=frame.points(figures.last)))
    if figures.likely:
        low, middle, high = ([(at, values[level]) for at, *values in figures.likely] for level in range(3))
        found.append(element("path", class_="fan", d=f"{frame.points([*low, *reversed(high)])}Z"))
        found.append(element("path", class_="l alt" if figures.rate else "l main dash", d=frame.points(middle)))
    if figures.rate and figures.spent:
        found.append(element("path", class_="l main dash", d=frame.points(_going_on(frame, figures))))
    if len(figures.spent) > 1:
        found.append(element("path", class_="l main", d=frame.points(figures.spent)))
    return found


def _going_on(frame: _PeriodFrame, figures: ChartFigures) -> Curve:
    """The course at the rate of the last minutes, to the end of the period or the top of the picture."""
    (at, spent), rate = figures.spent[-1], figures.rate or 0.0
    seconds = (frame.highest - spent) / rate
    end = min(figures.period.end, at + timedelta(seconds=min(seconds, 1e9)))
    return [(at, spent), (end, spent + rate * (end - at).total_seconds())]


def _present(frame: _PeriodFrame, figures: ChartFigures) -> list[Markup]:
    """Now as a line, and what is spent by then as a dot with its figure."""
    if figures.now not in figures.period:
        return []
    zone, x = figures.period.zone, frame.x(figures.now)
    share = frame.share(figures.now)
    anchor = "middle" if _EDGE < share < 100 - _EDGE else "end" if share >= 100 - _EDGE else "start"
    said = f"now, {day(figures.now, zone)} {figures.now.astimezone(zone):%H:%M}"
    found = [
        element("line", class_="g-now", x1=x, x2=x, y1="-6", y2=frame.height),
        element("text", said, class_="ink", x=x, y="-10", text_anchor=anchor),
    ]
    if figures.spent:
        at, value = figures.spent[-1]
        left = frame.share(at) > 20  # noqa: PLR2004 - space for the figure
        found.append(element("circle", class_="dot", cx=frame.x(at), cy=frame.y(value), r="5"))
        words = f"{'≥ ' if figures.at_least else ''}{_exact(value, figures.unit)}"
        y = frame.y(value) - 9
        if figures.amount and abs(y - 4 - frame.y(figures.amount)) < _LABEL_GAP - 5:
            y = frame.y(figures.amount) - 10
        found.append(
            element("text", words, class_="b halo", x=frame.x(at), dx="-9" if left else "9", y=max(10.0, y),
                    text_anchor="end" if left else "start")
        )  # fmt: skip
    return found


def _ends(frame: _PeriodFrame, figures: ChartFigures) -> list[Markup]:
    """At the right edge: the likely total with its range, and the period before; labels keep apart."""
    labels: list[tuple[float, str, str]] = []
    if figures.likely:
        _, low, middle, high = figures.likely[-1]
        above = f"↑ {_estimate(high, figures.unit)}"
        labels.append((high, above if high > frame.highest else _estimate(high, figures.unit), ""))
        labels.append((middle, _estimate(middle, figures.unit), "b"))
        labels.append((low, _estimate(low, figures.unit), ""))
    if figures.last:
        before = figures.period.start - timedelta(hours=1)
        name = f"{before.astimezone(figures.period.zone):%b}" if 27 < figures.period.days < 32 else "last"  # noqa: PLR2004
        labels.append((figures.last[-1][1], f"{name} {_estimate(figures.last[-1][1], figures.unit)}", ""))
    labels.sort(key=lambda one: -one[0])
    places: list[float] = []
    for value, _, _ in labels:
        places.append(max(frame.y(value) + 4, places[-1] + _LABEL_GAP if places else 0.0))
    lowest = frame.height + 4
    for place in reversed(range(len(places))):  # none is below the axis
        places[place] = min(places[place], lowest)
        lowest = places[place] - _LABEL_GAP
    return [
        element("text", words, class_=kind or None, x="100%", dx="8", y=y)
        for (_, words, kind), y in zip(labels, places, strict=True)
    ]


def _columns(frame: _PeriodFrame, figures: ChartFigures) -> list[Markup]:
    """A column a day: what was spent on it and by its end, or what is likely by then."""
    zone, period, unit = figures.period.zone, figures.period, figures.unit
    if period.days > _MOST_COLUMNS:
        return []
    found, width = [], 100 / max(1, period.days)
    values = dict(figures.spent[1:])
    before = figures.spent[0][1] if figures.spent else 0.0
    for at, value in values.items():
        start = at - timedelta(seconds=1)
        if value == before and any(begin < at <= end for begin, end in figures.unseen):
            found.append(_column(frame, start, width, f"{day(start, zone)}: not seen"))
            continue
        words = f"{day(start, zone)}: {_exact(value - before, unit)} that day, {_exact(value, unit)} so far"
        share = f" ({value / figures.amount:.0%} of the budget)" if figures.amount else ""
        found.append(_column(frame, start, width, words + share))
        before = value
    for at, low, middle, high in figures.likely[1:]:
        start = at - timedelta(seconds=1)
        between = f"{_estimate(low, unit)} to {_estimate(high, unit)}"
        found.append(_column(frame, start, width, f"{day(start, zone)}: likely {_estimate(middle, unit)} ({between})"))
    return found


def _column(frame: _PeriodFrame, at: datetime, width: float, words: str) -> Markup:
    midnight = at.astimezone(frame.period.zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return element(
        "rect", element("title", words), class_="hit", x=frame.x(midnight), width=f"{width:.2f}%", y="0",
        height=frame.height,
    )  # fmt: skip


def _dates(frame: _PeriodFrame, figures: ChartFigures) -> list[Markup]:
    """The first and the last day, and some between them."""
    period, zone = figures.period, figures.period.zone
    found = []
    for place in range(_DATES + 1):
        at = period.start + (period.end - timedelta(seconds=1) - period.start) * place / _DATES
        words = day(at, zone, weekday=False) if period.days > 1 else clock_time(at, zone, at)
        anchor = "start" if place == 0 else "end" if place == _DATES else "middle"
        x = f"{100 * place / _DATES:.2f}%"
        found.append(element("line", class_="g-base", x1=x, x2=x, y1=frame.height, y2=frame.height + 4))
        found.append(
            element("text", words, class_="minor" if place % 2 else None, x=x, y=frame.height + 18, text_anchor=anchor)
        )
    return found


def _exact(value: float, unit: str) -> str:
    return money(Decimal(repr(round(value, 6))), unit)


def _estimate(value: float, unit: str) -> str:
    return estimated(Decimal(repr(round(value, 6))), unit)


def axis_label(value: float, unit: str) -> str:
    """An axis tick: `$15k`, `$0`, `$500`."""
    exact = Decimal(repr(round(value, 6)))
    if unit == TOKENS:
        return tokens(exact)
    short = tokens(exact) if abs(exact) >= 1000 else f"{exact.normalize():f}"  # noqa: PLR2004
    short = f"{exact:.2f}" if exact != exact.to_integral() and exact == round(exact, 2) else short
    return money(Decimal(1), unit).replace("1", short, 1)
