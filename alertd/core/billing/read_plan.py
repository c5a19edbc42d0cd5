"""Which days a source reads next, how far it has come, and the days of a month-to-date figure that is read repeatedly.

An increase of a month-to-date figure is given to the time since its last update; the days always add up to the figure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Come:
    """How far a source has come: held from `begun` on, and read up to `read`. Its text is a cursor."""

    begun: datetime
    read: datetime

    @classmethod
    def of(cls, cursor: str | None) -> Come | None:
        """Parse a cursor; None without one, or if another release wrote it: the source is then read anew."""
        begun, slash, read = (cursor or "").partition("/")
        try:
            return cls(datetime.fromisoformat(begun), datetime.fromisoformat(read)) if slash else None
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.begun.isoformat()}/{self.read.isoformat()}"


@dataclass(frozen=True, slots=True)
class ReadWindow:
    """Whole local days [start, end) that are read and replaced together, and the cursor once they are held."""

    start: datetime
    end: datetime
    come: Come
    progress: float | None = None

    def until(self, now: datetime, delay: timedelta) -> datetime:
        """Up to when the window is complete, of a source that is `delay` behind."""
        return max(self.start, min(self.end, now - delay))


def plan_windows(
    cursor: str | None,
    since: datetime,
    now: datetime,
    *,
    zone: tzinfo = UTC,
    reach_back: timedelta = timedelta(0),
    days: int = 31,
    at_most: timedelta | None = None,
) -> tuple[ReadWindow, ...]:
    """What is to be read: everything from `since` at first, then what is new and `reach_back` of what may still change.

    Windows hold `days` at most and never cross the border of a month in `zone`. `at_most` is how far back the
    provider remembers. An earlier `since` than ever (a new budget) means reading from there again.
    """
    come = Come.of(cursor)
    first = floored(since if at_most is None else max(since, now - at_most), zone)
    if come is not None and first >= come.begun:
        oldest = come.begun if at_most is None else max(come.begun, floored(now - at_most, zone))
        begun, start = come.begun, max(oldest, floored(come.read - reach_back, zone))
    else:
        begun = start = first
    borders = list(_borders(start, floored(now, zone), zone, days))
    count = len(borders)
    return tuple(
        ReadWindow(low, high, Come(begun, max(low, min(high, now))), (number + 1) / count if count > 1 else None)
        for number, (low, high) in enumerate(borders)
    )


def floored(at: datetime, zone: tzinfo) -> datetime:
    """The midnight, in `zone`, that the local day of an instant begins with; as aware UTC."""
    return midnight(at.astimezone(zone).date(), zone)


def midnight(day: date, zone: tzinfo) -> datetime:
    """The beginning of a local day, as aware UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def next_midnight(at: datetime, zone: tzinfo) -> datetime:
    """The end of the local day that an instant lies in."""
    return midnight(at.astimezone(zone).date() + _DAY, zone)


def month_of(at: datetime, zone: tzinfo) -> date:
    """The first day of the local month of an instant."""
    return at.astimezone(zone).date().replace(day=1)


def next_month(month: date) -> date:
    """The first day of the month after."""
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)


def months(first: date, last: date) -> Iterator[date]:
    """The first days of the months from one to another, both included."""
    month = first.replace(day=1)
    while month <= last:
        yield month
        month = next_month(month)


def _borders(start: datetime, last: datetime, zone: tzinfo, days: int) -> Iterator[tuple[datetime, datetime]]:
    while start <= last:
        begin = start.astimezone(zone).date()
        end = min(begin + days * _DAY, next_month(begin), last.astimezone(zone).date() + _DAY)
        yield start, midnight(end, zone)
        start = midnight(end, zone)


def spread(nanos: int, start: datetime, end: datetime, zone: tzinfo) -> Iterator[tuple[date, int]]:
    """`nanos` by local day of [start, end), each day by its share of the time; what rounding leaves is the last day's.

    For an empty interval everything belongs to the day of `start`.
    """
    given, total = 0, end - start
    at = start
    while next_midnight(at, zone) < end:
        border = next_midnight(at, zone)
        share = nanos * ((border - at) // timedelta(microseconds=1)) // (total // timedelta(microseconds=1))
        yield at.astimezone(zone).date(), share
        given, at = given + share, border
    yield at.astimezone(zone).date(), nanos - given


#: The subject of a figure; equal in every update.
Key = tuple[str, ...]


@dataclass(slots=True)
class Month:
    """One month: when each scope was last updated, and by scope and key the quantity of each day (nanos, tokens)."""

    first: date
    updated: dict[str, datetime] = field(default_factory=dict)
    days: dict[str, dict[Key, dict[int, int]]] = field(default_factory=dict)

    def total(self, scope: str) -> int:
        """What all days of a scope add up to."""
        return sum(sum(days.values()) for days in self.days.get(scope, {}).values())

    def update(self, scope: str, at: datetime, figures: Mapping[Key, int], zone: tzinfo) -> bool:
        """Update a scope's figures as of `at`. False, and no change, if they are older than the stored ones.

        A figure that fell or is missing reduces the days since the last update. An increase after the month's end
        belongs to its last day.
        """
        begin, end = self.window(zone)
        last = self.updated.get(scope, begin)
        if at < last:
            return False
        held = self.days.setdefault(scope, {})
        stop = max(begin, min(at, end))
        start = min(last, stop, end - timedelta(seconds=1))
        for key in held.keys() | figures.keys():
            days = held.setdefault(key, {})
            grown = figures.get(key, 0) - sum(days.values())
            for day, share in spread(grown, start, stop, zone) if grown else ():
                days[day.day] = days.get(day.day, 0) + share
        self.updated[scope] = at
        return True

    def window(self, zone: tzinfo) -> tuple[datetime, datetime]:
        """The month as aware UTC, half-open."""
        return midnight(self.first, zone), midnight(next_month(self.first), zone)

    def by_day(self, zone: tzinfo) -> Iterator[tuple[str, Key, datetime, datetime, int]]:
        """Scope, key, the day's window and what it was given."""
        for scope, keys in self.days.items():
            for key, days in keys.items():
                for number, given in sorted(days.items()):
                    day = self.first.replace(day=number)
                    yield scope, key, midnight(day, zone), midnight(day + timedelta(days=1), zone), given


def remembered(cursor: str | None) -> dict[date, Month]:
    """The months that a cursor holds; a text of another release is forgotten, and everything is read anew."""
    try:
        return {
            date.fromisoformat(first): Month(
                date.fromisoformat(first),
                {scope: datetime.fromisoformat(at) for scope, at in value["updated"].items()},
                {
                    scope: {tuple(key): {int(day): int(n) for day, n in days.items()} for key, days in keys}
                    for scope, keys in value["days"].items()
                },
            )
            for first, value in json.loads(cursor or "{}").items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def to_remember(months: Mapping[date, Month], changing_from: date) -> str:
    """The cursor: everything of months that may still change, of earlier ones only that they were read."""
    return json.dumps(
        {
            str(first): {
                "updated": {scope: at.isoformat() for scope, at in month.updated.items()},
                "days": {scope: [[list(key), days] for key, days in keys.items()] for scope, keys in month.days.items()}
                if first >= changing_from
                else {},
            }
            for first, month in sorted(months.items())
        },
        separators=(",", ":"),
    )
