"""An event's period as a picture for a message: spend, likely range, budget, today, with an axis and its values.

Everything comes from the event, so that a message tried again tomorrow shows what was evaluated today. A range that
goes far beyond the budget is cut at the upper edge and written there, so that it does not flatten the month.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Final

from alertd.core.budgets import TOKENS
from alertd.core.charts.html import COLOURS, Content, Markup, Point, element, line, polygon, rectangle
from alertd.core.events import Event
from alertd.core.messages.evidence import is_too_early, who
from alertd.core.messages.format import (
    dated,
    day,
    estimated,
    how_surely,
    money,
    period_name,
    soon_or_day,
    spent_of,
    zone_of,
)

WIDTH: Final = 1000
HEIGHT: Final = 500
_LEFT, _RIGHT, _TOP, _BOTTOM = 130.0, 160.0, 135.0, 60.0
#: Without a title and the line below it.
_TOP_ALONE: Final = 30.0
#: No text is smaller: a telephone shows a third of the width.
_FONT: Final = 26
_TITLE: Final = 38
#: As many letters of a title fit at its full size, also in a wide font.
_TITLE_LENGTH: Final = 38
#: The axis ends at this multiple of the budget at most, of what is spent where that is more.
_MOST: Final = 2.0
_DRAWN: Final = frozenset({"threshold", "recovered", "summary"})
_SPACE: Final = 1.12
#: Data older than this leave a gap that can be seen.
_GAP_FROM: Final = timedelta(hours=12)
#: The least distance of two labels at the right edge.
_APART: Final = 32.0
_THOUSAND: Final = 1000
#: Parts of the width near an end of the axis, where no third date fits.
_NEAR: Final = 0.15


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours; a ground of "" is transparent, for mails."""

    ground: str
    ink: str
    quiet: str
    faint: str
    beyond: str
    lines: dict[str, str]
    is_titled: bool = False


_DARK: Final = {"over": "#ff7a70", "runaway": "#ff7a70", "at_risk": "#f0a848", "on_track": "#6fa8e8"}
CHAT: Final = Theme("#ffffff", "#14171c", "#4b5360", "#dfe3e8", "#fdf1ef", COLOURS, is_titled=True)
LIGHT: Final = Theme("", "#14171c", "#4b5360", "#dfe3e8", "#fdf1ef", COLOURS)
DARK: Final = Theme("", "#f4f4f5", "#b4bac4", "#3f444c", "#3a2422", _DARK)


@dataclass(frozen=True, slots=True)
class _MessageFrame:
    """Where an instant and an amount lie in the picture."""

    start: datetime
    end: datetime
    zone: tzinfo
    highest: float
    top: float

    def x(self, instant: datetime) -> float:
        share = min(1.0, max(0.0, (instant - self.start) / (self.end - self.start)))
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * share

    def y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - self.top - _BOTTOM) * min(1.0, max(0.0, value / self.highest))

    def at(self, instant: datetime, value: float) -> Point:
        return self.x(instant), self.y(value)


def story(event: Event, now: datetime, theme: Theme = CHAT) -> Markup | None:
    """The picture, WIDTH by HEIGHT.

    None for what is not about a period's course: no budget, no days, a credit, a window that rolls, an action.
    """
    if event.kind not in _DRAWN or event.basis == "balance" or event.window is not None:
        return None
    if event.period_start is None or event.period_end is None or not event.amount or event.daily is None:
        return None
    budget, used = float(event.amount), float(event.spent or 0)
    reached = max(budget, used, *(float(value) for value in event.projected.values()))
    highest = min(reached * _SPACE, max(budget * _MOST, used * _SPACE))
    top = _TOP if theme.is_titled else _TOP_ALONE
    frame = _MessageFrame(event.period_start, event.period_end, zone_of(event), highest, top)
    colour = theme.lines.get(event.status or "unknown", theme.quiet)
    spent, fresh = _curve(event, frame), event.status not in {"unknown", ""}
    limit = frame.y(budget)
    shapes: list[Content] = [
        rectangle("ground", (0, 0, WIDTH, HEIGHT), theme.ground) if theme.ground else None,
        rectangle("beyond", (_LEFT, top, WIDTH - _LEFT - _RIGHT, limit - top), theme.beyond),
        *_axis(event, frame, theme),
        _gap(event, frame, now, theme),
        _range(event, frame, colour) if fresh and spent else None,
        line("limit", [(_LEFT, limit), (WIDTH - _RIGHT, limit)], theme.ink, 3),
        line("today", [(frame.x(now), top), (frame.x(now), HEIGHT - _BOTTOM)], theme.quiet, 2, dashed=True),
        *([line("spent", spent, colour, 6), *_value(event, frame, spent[-1], theme)] if spent else []),
        None if spent else _words("no spend seen in this period yet", _LEFT + 14, limit + 50, theme, "start"),
        *_dates(frame, now, theme),
        *(_ends(event, frame, colour, theme) if fresh and spent else []),
        *(_titles(event, now, theme) if theme.is_titled else []),
    ]
    return element("svg", shapes, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {HEIGHT}", width=WIDTH,
                   height=HEIGHT, font_family="Inter, DejaVu Sans, Liberation Sans, Helvetica, Arial, sans-serif",
                   font_size=_FONT)  # fmt: skip


def _seen_until(event: Event) -> datetime | None:
    """The newest data of any source: the curve ends there, though a late source ends before."""
    return event.seen_until or event.data_until


def _curve(event: Event, frame: _MessageFrame) -> list[Point]:
    """What was spent by the end of each day, up to where the data end; empty where no day is known."""
    end = _seen_until(event)
    if end is None or event.spent is None:
        return []
    days = [(date.fromisoformat(first), float(value)) for first, value in event.daily or ()]
    total = max(0.0, float(event.spent) - sum(value for _, value in days))
    points = [frame.at(frame.start, total)]
    for first, value in days:
        following = first + timedelta(days=1)
        midnight = datetime(following.year, following.month, following.day, tzinfo=frame.zone)
        if midnight - timedelta(days=1) >= end and not value:
            break  # a day without data is no step upwards
        total += value
        points.append(frame.at(min(midnight, end), total))
    return points if days else []


def _range(event: Event, frame: _MessageFrame, colour: str) -> list[Markup]:
    """From what is spent to where the total probably ends: 80% of the outcomes, the middle one as a line."""
    low, middle, high = (event.projected.get(level) for level in ("0.1", "0.5", "0.9"))
    seen = _seen_until(event)
    if seen is None or low is None or middle is None or high is None or event.period_end is None:
        return []
    spent = float(event.spent or 0)
    begin = frame.at(seen, spent)
    edges = [_clipped(frame, seen, spent, event.period_end, float(value)) for value in (high, low, middle)]
    corner = frame.at(event.period_end, float(high))
    return [polygon("range", [begin, edges[0], corner, edges[1]], colour, 0.22),
            line("likely", [begin, edges[2]], colour, 4, dashed=True)]  # fmt: skip


def _clipped(frame: _MessageFrame, seen: datetime, spent: float, end: datetime, value: float) -> Point:
    """Where a straight course ends: at the period's end, or at the upper edge on the way there."""
    if value <= frame.highest or value <= spent:
        return frame.at(end, value)
    return frame.at(seen + (end - seen) * ((frame.highest - spent) / (value - spent)), frame.highest)


def _gap(event: Event, frame: _MessageFrame, now: datetime, theme: Theme) -> list[Markup]:
    """The interval without data: before the figures are complete, or since the data ended."""
    seen = _seen_until(event)
    if seen is not None and (now - seen > _GAP_FROM or event.status == "unknown"):
        begin, end, said = seen, frame.end, "no data"
    elif event.complete_from is not None:
        begin, end, said = frame.start, event.complete_from, "not seen"
    else:
        return []
    width = frame.x(end) - frame.x(begin)
    box = (frame.x(begin), frame.top, width, HEIGHT - frame.top - _BOTTOM)
    stroke = element("path", d="M0 0V14", stroke=theme.quiet, stroke_width=2)
    pattern = element("pattern", stroke, id="hatch", width=14, height=14, patternUnits="userSpaceOnUse",
                      patternTransform="rotate(45)")  # fmt: skip
    name = _words(said, frame.x(begin) + width / 2, HEIGHT - _BOTTOM - 16, theme)
    return [element("defs", pattern), rectangle("gap", box, "url(#hatch)", 0.5), name]


def _axis(event: Event, frame: _MessageFrame, theme: Theme) -> list[Markup]:
    """Zero, half of the budget and the budget, with their amounts."""
    if event.amount is None:
        return []
    said: list[Markup] = []
    for part in (Decimal(0), Decimal("0.5"), Decimal(1)):
        value, y = event.amount * part, frame.y(float(event.amount * part))
        if part != 1:
            said.append(line("grid", [(_LEFT, y), (WIDTH - _RIGHT, y)], theme.faint, 2))
        said.append(_words(_short(value, event.currency), _LEFT - 12, y + 9, theme, "end", bold=part == 1))
    said.append(_words("budget", _LEFT + 10, frame.y(float(event.amount)) - 10, theme, "start"))
    return said


def _short(value: Decimal, unit: str) -> str:
    """An amount for an axis: `$0`, `$250`, `$15k`."""
    if unit == TOKENS or (value and value < 1):
        return money(value, unit).removesuffix(" tokens")
    if value < 10 * _THOUSAND:
        return money(value, unit, whole=True)
    number, space, code = money(value / _THOUSAND, unit, whole=True).partition(" ")
    return f"{number}k{space}{code}"


def _value(event: Event, frame: _MessageFrame, end: Point, theme: Theme) -> list[Markup]:
    """A dot where the data end, and how much it is; a label that would touch the budget's line moves above it."""
    x, y = end
    limit = frame.y(float(event.amount or 0))
    least = "≥ " if event.status == "unknown" else ""
    label = y - 22
    if limit - 4 < label + 6 and label - _FONT < limit + 4:
        label = limit - 12
    colour = theme.lines.get(event.status or "unknown", theme.quiet)
    halo = theme.ground or "none"
    text = element(
        "text", f"{least}{money(event.spent or Decimal(0), event.currency)}", x=max(x - 14, _LEFT + 150), y=label,
        text_anchor="end", fill=theme.ink, font_weight="bold", font_size=32, paint_order="stroke", stroke=halo,
        stroke_width=8,
    )  # fmt: skip
    return [element("circle", cx=x, cy=y, r=9, fill=colour), text]


def _dates(frame: _MessageFrame, now: datetime, theme: Theme) -> list[Markup]:
    last = frame.end - timedelta(seconds=1)
    y = HEIGHT - 22
    marks = [_words(day(frame.start, frame.zone, weekday=False), _LEFT, y, theme, "start"),
             _words(day(last, frame.zone, weekday=False), WIDTH - _RIGHT, y, theme, "end")]  # fmt: skip
    share = (frame.x(now) - _LEFT) / (WIDTH - _LEFT - _RIGHT)
    return [*marks, _words("now", frame.x(now), y, theme)] if _NEAR < share < 1 - _NEAR else marks


def _ends(event: Event, frame: _MessageFrame, colour: str, theme: Theme) -> list[Markup]:
    """Likely and range at the right, kept apart; what lies above the upper edge has an arrow; nothing too early."""
    if is_too_early(event):
        return []
    rows: list[tuple[float, str, bool]] = []
    for level in ("0.9", "0.5", "0.1"):
        value = event.projected.get(level)
        if value is None:
            continue
        text = estimated(value, event.currency, event.spent).removesuffix(" tokens")
        above = float(value) > frame.highest
        y = max(frame.y(float(value)) + 9, rows[-1][0] + _APART if rows else 0.0)
        if all(said.removeprefix("↑ ") != text for _, said, _ in rows):
            rows.append((y, f"↑ {text}" if above else text, level == "0.5"))
    return [
        _words(text, WIDTH - _RIGHT + 12, y, theme, "start", bold=bold, fill=colour if bold else theme.quiet)
        for y, text, bold in rows
    ]


def _titles(event: Event, now: datetime, theme: Theme) -> list[Markup]:
    """What it shows, and to when: pictures are passed on without their message."""
    zone, seen = zone_of(event), _seen_until(event)
    title = _title(event)
    size = max(_FONT, min(_TITLE, int(_TITLE * _TITLE_LENGTH / max(1, len(title)))))
    most = int(_TITLE_LENGTH * _TITLE / size)
    title = title if len(title) <= most else f"{title[: most - 1]}…"
    out = event.exhausted_at if event.status in {"at_risk", "runaway"} else None
    period = period_name(event, event.at)
    parts = [
        f"{period[:1].upper()}{period[1:]}",
        f"runs out {soon_or_day(out, zone, now)}" if out is not None and out > now else "",
        f"data to {dated(seen, zone)}" if seen is not None else "",
    ]
    below = " · ".join(part for part in parts if part)
    return [element("text", title, x=32, y=56, fill=theme.ink, font_weight="bold", font_size=size),
            element("text", below, x=32, y=98, fill=theme.quiet, font_size=_FONT)]  # fmt: skip


def _title(event: Event) -> str:
    whose = "".join(span.text for span in who(event))
    spent, amount = event.spent or Decimal(0), event.amount or Decimal(0)
    figures = spent_of(spent, amount, event.currency).rpartition(" (")[0]
    middle = event.projected.get("0.5")
    likely = ""
    if middle is not None and not is_too_early(event):
        likely = f"{estimated(middle, event.currency, spent)} of {money(amount, event.currency)}"
    is_ended = event.period_end is not None and event.period_end <= event.at
    match "" if is_ended else event.status:
        case "over":
            return f"{whose} is over: {figures}"
        case "runaway":
            return f"{whose} runs away: {figures}"
        case "at_risk":
            return f"{whose} {how_surely(event.probability_over)} go over: {likely or figures + ' so far'}"
        case "on_track":
            return f"{whose} is on track: {'likely ' + likely if likely else figures}"
        case "unknown":
            return f"{whose}: at least {figures}"
    return f"{whose}: {figures}"


def _words(
    text: str, x: float, y: float, theme: Theme, anchor: str = "middle", *, bold: bool = False, fill: str = ""
) -> Markup:
    ink = fill or (theme.ink if bold else theme.quiet)
    return element("text", text, x=x, y=y, text_anchor=anchor, fill=ink, font_weight="bold" if bold else None)
