"""An event's period as a picture for a message: spend, likely range, budget, today. Readable on a telephone; pure SVG.

Everything comes from the event, so that a message tried again tomorrow shows what was evaluated today.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Final

from alertd.core.charts.html import Content, Markup, element
from alertd.core.charts.svg import COLOURS, FAINT, INK, Point, line, polygon, rectangle
from alertd.core.events import Event
from alertd.core.messages import details
from alertd.core.messages.dates import day, zone_of
from alertd.core.messages.figures import amount, estimate

WIDTH: Final = 640
HEIGHT: Final = 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 16.0, 92.0, 30.0, 34.0
_SPACE: Final = 1.08
_FONT: Final = 17
#: Data older than this leave a gap that can be seen.
_GAP_FROM: Final = timedelta(hours=12)
_GAP: Final = 19.0


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where an instant and an amount lie in the picture."""

    start: datetime
    end: datetime
    zone: tzinfo
    highest: float

    def x(self, instant: datetime) -> float:
        share = min(1.0, max(0.0, (instant - self.start) / (self.end - self.start)))
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * share

    def y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * min(1.0, max(0.0, value / self.highest))

    def at(self, instant: datetime, value: float) -> Point:
        return self.x(instant), self.y(value)


def story(event: Event, now: datetime) -> Markup | None:
    """The picture, WIDTH by HEIGHT; None for an event of no budget, or one without its days."""
    if event.period_start is None or event.period_end is None or not event.amount or "daily" not in event.details:
        return None
    reached = [float(event.amount), float(event.spent or 0), *(float(value) for value in event.projected.values())]
    frame = _Frame(event.period_start, event.period_end, zone_of(event), max(reached) * _SPACE)
    spent, colour = _curve(event, frame), COLOURS[event.status or "unknown"]
    fresh = event.status not in {"unknown", ""}
    shapes: list[Content] = [
        rectangle("ground", (0, 0, WIDTH, HEIGHT), "#ffffff"),
        _gap(event, frame, now),
        _range(event, frame, colour) if fresh and spent else None,
        line("limit", [(_LEFT, frame.y(float(event.amount))), (WIDTH - _RIGHT, frame.y(float(event.amount)))], INK, 2,
             dashed=True),
        line("spent", spent, colour, 4) if spent else _words("no spend seen in this period yet", WIDTH / 2, HEIGHT / 2),
        line("today", [(frame.x(now), _TOP), (frame.x(now), HEIGHT - _BOTTOM)], FAINT, 1.5),
        *_dates(frame, now),
        *_figures(event, frame, fresh=fresh and bool(spent)),
    ]  # fmt: skip
    return element("svg", shapes, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {HEIGHT}", width=WIDTH,
                   height=HEIGHT, font_family="DejaVu Sans, Liberation Sans, Helvetica, Arial, sans-serif",
                   font_size=_FONT)  # fmt: skip


def _seen_until(event: Event) -> datetime | None:
    """The newest data of any source: the curve ends there, though a late source ends before."""
    return details.instant(event, "seen_until") or event.data_until


def _curve(event: Event, frame: _Frame) -> list[Point]:
    """What was spent by the end of each day, up to where the data end; empty where no day is known."""
    end = _seen_until(event)
    if end is None or event.spent is None:
        return []
    days = _days(event)
    total = max(0.0, float(event.spent) - sum(value for _, value in days))
    points = [frame.at(frame.start, total)]
    for first, value in days:
        total += value
        following = first + timedelta(days=1)
        midnight = datetime(following.year, following.month, following.day, tzinfo=frame.zone)
        points.append(frame.at(min(midnight, end), total))
    return points if days else []


def _days(event: Event) -> list[tuple[date, float]]:
    rows = ((str(row[0]), details.as_decimal(row[1])) for row in details.rows(event, "daily"))
    return [(date.fromisoformat(first), float(value)) for first, value in rows if value is not None]


def _range(event: Event, frame: _Frame, colour: str) -> list[Markup]:
    """From what is spent to where the total probably ends: 80 % of the outcomes, the middle one as a line."""
    low, middle, high = (event.projected.get(level) for level in ("0.1", "0.5", "0.9"))
    seen = _seen_until(event)
    if seen is None or low is None or middle is None or high is None or event.period_end is None:
        return []
    begin = frame.at(seen, float(event.spent or 0))
    ends = [frame.at(event.period_end, float(value)) for value in (high, low)]
    return [polygon("range", [begin, *ends], colour, 0.25),
            line("likely", [begin, frame.at(event.period_end, float(middle))], colour, 2.5, dashed=True)]  # fmt: skip


def _gap(event: Event, frame: _Frame, now: datetime) -> list[Markup]:
    """The interval without data: before the figures are complete, or since the data ended."""
    seen = _seen_until(event)
    if seen is not None and now - seen > _GAP_FROM:
        begin, end, said = seen, now, "no data"
    elif event.complete_from is not None:
        begin, end, said = frame.start, event.complete_from, "not seen"
    else:
        return []
    box = (frame.x(begin), _TOP, frame.x(end) - frame.x(begin), HEIGHT - _TOP - _BOTTOM)
    return [rectangle("gap", box, FAINT, 0.5), _words(said, (frame.x(begin) + frame.x(end)) / 2, HEIGHT - _BOTTOM - 8)]


def _dates(frame: _Frame, now: datetime) -> list[Markup]:
    last = frame.end - timedelta(seconds=1)
    marks = [_words(day(frame.start, frame.zone, weekday=False), _LEFT, HEIGHT - 10, "start"),
             _words(day(last, frame.zone, weekday=False), WIDTH - _RIGHT, HEIGHT - 10, "end")]  # fmt: skip
    inside = _LEFT + 90 < frame.x(now) < WIDTH - _RIGHT - 90
    return [*marks, _words("today", frame.x(now), HEIGHT - 10)] if inside else marks


def _figures(event: Event, frame: _Frame, *, fresh: bool) -> list[Markup]:
    """The budget above its line; likely and range at the right, kept apart."""
    if event.amount is None:
        return []
    said = [_words(amount(event.amount, event.currency), _LEFT + 2, frame.y(float(event.amount)) - 8, "start")]
    last = -_GAP
    for level in ("0.9", "0.5", "0.1") if fresh else ():
        value = event.projected.get(level)
        if value is None:
            continue
        last = max(frame.y(float(value)) + 6, last + _GAP)
        text = estimate(value, event.currency, event.spent)
        said.append(_words(text, WIDTH - _RIGHT + 8, last, "start", bold=level == "0.5"))
    return said


def _words(text: str, x: float, y: float, anchor: str = "middle", *, bold: bool = False) -> Markup:
    return element("text", text, x=x, y=y, text_anchor=anchor, fill=INK, font_weight="bold" if bold else None)
