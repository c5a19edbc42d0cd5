"""Days, times and periods for people, in the budget's own zone. No clock: `now` is an argument everywhere."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from alertd.core.events import Event
from alertd.core.messages.figures import plural

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS_IN_FULL: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_SOON: Final = timedelta(hours=20)
_MINUTE: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_DAYS_OF_WEEK: Final = 7
_MONTHS_OF_QUARTER: Final = 3
_MONTHS_OF_YEAR: Final = 12


def zone_of(event: Event) -> tzinfo:
    """The event's zone; UTC where its name is not known here."""
    try:
        return ZoneInfo(event.zone)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def place(zone: str) -> str:
    """What people call a zone: Berlin, New York, UTC."""
    return zone.rpartition("/")[2].replace("_", " ")


def day(instant: datetime, zone: tzinfo, *, weekday: bool = True) -> str:
    """`Fri 27 Nov`, or `27 Nov`."""
    local = instant.astimezone(zone).date()
    short = f"{local.day} {_MONTHS[local.month - 1]}"
    return f"{_DAYS[local.weekday()]} {short}" if weekday else short


def clock_time(instant: datetime, zone: tzinfo, now: datetime) -> str:
    """`04:50` today, `Fri 27 Nov 04:50` on another day."""
    local = instant.astimezone(zone)
    time = f"{local:%H:%M}"
    return time if local.date() == now.astimezone(zone).date() else f"{day(instant, zone)} {time}"


def soon_or_day(instant: datetime, zone: tzinfo, now: datetime) -> str:
    """When something will happen, no more precise than it is known: `about 04:50` within hours, else the day."""
    if abs(instant - now) > _SOON:
        return day(instant, zone)
    local = instant.astimezone(zone)
    near = datetime(local.year, local.month, local.day, local.hour, local.minute - local.minute % 10, tzinfo=zone)
    return f"about {clock_time(near, zone, now)}"


def age(span: timedelta) -> str:
    """`2 min`, `3 h`, `2 days`: the largest unit that says enough."""
    if span < _MINUTE:
        return "under 1 min"
    if span < 2 * _HOUR:
        return f"{span // _MINUTE} min"
    if span < 2 * _DAY:
        return f"{span // _HOUR} h"
    return plural(span // _DAY, "day")


def period_name(event: Event, now: datetime) -> str:
    """`November`, `Q4`, `2026`, `today`, `this week`, or its days; "" where the event has no period."""
    if event.period_start is None or event.period_end is None:
        return ""
    zone = zone_of(event)
    first = event.period_start.astimezone(zone).date()
    last = event.period_end.astimezone(zone).date() - timedelta(days=1)
    current = event.period_start <= now < event.period_end
    if first == last:
        return "today" if current else day(event.period_start, zone)
    if (last - first).days == _DAYS_OF_WEEK - 1:
        return "this week" if current else f"the week of {day(event.period_start, zone, weekday=False)}"
    return (
        _calendar_name(first, last) or f"{first.day} {_MONTHS[first.month - 1]} to {last.day} {_MONTHS[last.month - 1]}"
    )


def possessive(period: str) -> str:
    """`November's budget`, `the budget of 15 Nov to 14 Dec`, `the budget`."""
    if not period:
        return "the budget"
    return f"the budget of {period}" if " to " in period or period.startswith("the week") else f"{period}'s budget"


def _calendar_name(first: date, last: date) -> str:
    months = (last.year - first.year) * _MONTHS_OF_YEAR + last.month - first.month + 1
    whole = first.day == 1 and (last + timedelta(days=1)).day == 1
    if not whole:
        return ""
    if months == 1:
        return _MONTHS_IN_FULL[first.month - 1]
    if months == _MONTHS_OF_QUARTER and (first.month - 1) % _MONTHS_OF_QUARTER == 0:
        return f"Q{(first.month - 1) // _MONTHS_OF_QUARTER + 1}"
    return str(first.year) if months == _MONTHS_OF_YEAR and first.month == 1 else ""
