"""Which stretch of days a source reads next, and how far it has come. It knows no provider and asks nobody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
        """What a cursor says; None where there is none or another release wrote it: the source is read anew."""
        begun, slash, read = (cursor or "").partition("/")
        try:
            return cls(datetime.fromisoformat(begun), datetime.fromisoformat(read)) if slash else None
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.begun.isoformat()}/{self.read.isoformat()}"


@dataclass(frozen=True, slots=True)
class Stretch:
    """Whole local days [start, end) that are read and replaced together, and the cursor once they are held."""

    start: datetime
    end: datetime
    come: Come
    progress: float | None = None

    def until(self, now: datetime, delay: timedelta) -> datetime:
        """Up to when the stretch is complete, of a source that is `delay` behind."""
        return max(self.start, min(self.end, now - delay))


def stretches(
    cursor: str | None,
    since: datetime,
    now: datetime,
    *,
    zone: tzinfo = UTC,
    reach_back: timedelta = timedelta(0),
    days: int = 31,
    at_most: timedelta | None = None,
) -> tuple[Stretch, ...]:
    """What is to be read: everything from `since` at first, then what is new and `reach_back` of what may still change.

    Stretches hold `days` at most and never cross the border of a month in `zone`. `at_most` is how far back the
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
        Stretch(low, high, Come(begun, max(low, min(high, now))), (number + 1) / count if count > 1 else None)
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
