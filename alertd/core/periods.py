"""Budget periods: half-open windows of dates or hours, calendar, rolling or open; and quiet hours. Reads no clock."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final

_WRITTEN: Final = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A half-open interval of the local day, [start, end); it may pass midnight."""

    start: time
    end: time

    def __post_init__(self) -> None:
        if self.start == self.end:
            raise ValueError(f"{self}: quiet hours end when they start; write them as 22:00-07:00")

    def __contains__(self, local: time) -> bool:
        if self.start < self.end:
            return self.start <= local < self.end
        return local >= self.start or local < self.end

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"

    @classmethod
    def parse(cls, text: str) -> QuietHours:
        """`22:00-07:00`, in the zone of ALERTD_TIMEZONE. ValueError with the remedy."""
        found = _WRITTEN.fullmatch(text.strip())
        hours = [int(part) for part in found.groups()] if found else []
        if not hours or max(hours[0], hours[2]) > 23 or max(hours[1], hours[3]) > 59:  # noqa: PLR2004 - a clock's face
            raise ValueError(f"{text!r} are no quiet hours; write them as 22:00-07:00")
        return cls(time(hours[0], hours[1]), time(hours[2], hours[3]))


_MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}
KINDS: Final = ("hour", "day", "week", *_MONTHS)
ROLLING: Final = "rolling"
#: Opened by the first use after the last one closed.
WINDOW: Final = "window"
_HOUR: Final = timedelta(hours=1)
#: A window that rolls moves on by this: the width of the ledger's buckets.
_STEP: Final = 300
_DAYS_OF_WEEK: Final = 7
_DAYS_OF_MONTH: Final = 31


@dataclass(frozen=True, slots=True)
class Period:
    """A half-open window [start, end) of aware UTC instants, whose borders are local midnights of `zone`.

    Where `rolls` it is the window of that length that ends within minutes; else it may be an hour. Where it is
    `anchored` it is one of that length that begins with the first use in it, or would, if anything were used now.
    """

    start: datetime
    end: datetime
    zone: tzinfo
    rolls: timedelta | None = None
    anchored: bool = False

    @property
    def whole_days(self) -> bool:
        """Whether its borders are midnights."""
        return self.rolls is None and self.end - self.start > _HOUR

    @property
    def key(self) -> str:
        """What names it in an alert's key: the local date of its first day; windows that roll or open have one name."""
        if self.rolls is not None:
            return f"{WINDOW if self.anchored else ROLLING}-{int(self.rolls.total_seconds())}s"
        if not self.whole_days:
            return f"{self.start.astimezone(self.zone):%Y-%m-%dT%H%z}"
        return self.start.astimezone(self.zone).date().isoformat()

    @property
    def days(self) -> int:
        """Local days in the period (23- and 25-hour days count as one)."""
        return (self.end.astimezone(self.zone).date() - self.start.astimezone(self.zone).date()).days

    @property
    def last_day(self) -> date:
        return self.end.astimezone(self.zone).date() - timedelta(days=1)

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end

    def elapsed(self, now: datetime) -> float:
        """The share of the period that has passed at `now`, from 0 to 1."""
        return min(1.0, max(0.0, (now - self.start) / (self.end - self.start)))


@dataclass(frozen=True, slots=True)
class PeriodRule:
    """How often a budget starts afresh: every hour, day, week, month, quarter or year of an IANA zone.

    The kind `rolling` never does: it covers the last `length`. A `window` of that length opens with the first use after
    the last one closed. `start_day` is 1 to 7 for a week (1 is Monday)
    and 1 to 31 for months and longer, clamped to the last day of a short month; a period that starts on the 31st starts
    on 28 February.
    """

    kind: str
    zone: tzinfo
    start_day: int = 1
    length: timedelta | None = None

    def __post_init__(self) -> None:
        if (self.length is None) == (self.kind in {ROLLING, WINDOW}):
            raise ValueError("a rolling period and a window have a length, and no other has one")
        if self.kind not in {*KINDS, ROLLING, WINDOW}:
            raise ValueError(f"a period is one of {', '.join(KINDS)}, not {self.kind!r}")
        highest = {"hour": 1, ROLLING: 1, WINDOW: 1, "day": 1, "week": _DAYS_OF_WEEK}.get(self.kind, _DAYS_OF_MONTH)
        if not 1 <= self.start_day <= highest:
            raise ValueError(f"the start day of a {self.kind} is 1 to {highest}, not {self.start_day}")

    def containing(self, instant: datetime) -> Period:
        """The period that `instant` (aware) falls in.

        Of a window that rolls the one that ends next, of one that opens the one that use at this instant would open.
        """
        if self.length is not None and self.kind == WINDOW:
            return self.opened(datetime.fromtimestamp(int(instant.timestamp()) // _STEP * _STEP, UTC))
        if self.length is not None:
            end = datetime.fromtimestamp((int(instant.timestamp()) // _STEP + 1) * _STEP, UTC)
            return Period(end - self.length, end, self.zone, self.length)
        if self.kind == "hour":
            local = instant.astimezone(self.zone)
            start = instant.astimezone(UTC) - timedelta(
                minutes=local.minute, seconds=local.second, microseconds=local.microsecond
            )
            return Period(start, start + _HOUR, self.zone)
        return _period(self, instant.astimezone(self.zone).date())

    @property
    def whole_days(self) -> bool:
        """Whether its periods begin and end at midnight."""
        return self.kind not in {ROLLING, WINDOW, "hour"}

    @property
    def opens(self) -> bool:
        """Whether its periods begin with the first use in them."""
        return self.kind == WINDOW

    def opened(self, start: datetime) -> Period:
        """The window that first use opened."""
        assert self.length is not None  # noqa: S101 - a window has one
        return Period(start, start + self.length, self.zone, self.length, anchored=True)

    def __str__(self) -> str:
        return self.kind if self.length is None else f"{self.kind} {_length(self.length)}"

    def previous(self, period: Period) -> Period:
        return self.containing(period.start - timedelta(hours=1))

    def following(self, period: Period) -> Period:
        return self.containing(period.end)

    def of_day(self, day: date) -> Period:
        """The period that a local day falls in."""
        first = self._first_day(day)
        return Period(self._midnight(first), self._midnight(self._next(first)), self.zone)

    def _first_day(self, day: date) -> date:
        if self.kind == "day":
            return day
        if self.kind == "week":
            return day - timedelta(days=(day.isoweekday() - self.start_day) % _DAYS_OF_WEEK)
        months = _MONTHS[self.kind]
        first = _clamped(day.year, (day.month - 1) // months * months + 1, self.start_day)
        return first if first <= day else self._shifted(first, -months)

    def _next(self, first: date) -> date:
        if self.kind in _MONTHS:
            return self._shifted(first, _MONTHS[self.kind])
        return first + timedelta(days=1 if self.kind == "day" else _DAYS_OF_WEEK)

    def _shifted(self, first: date, months: int) -> date:
        count = first.year * 12 + first.month - 1 + months
        return _clamped(count // 12, count % 12 + 1, self.start_day)

    def _midnight(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=self.zone).astimezone(UTC)


def _length(length: timedelta) -> str:
    hours = int(length.total_seconds()) // 3600
    return f"{hours // 24}d" if hours % 24 == 0 else f"{hours}h"


@lru_cache(maxsize=4096)
def _period(rule: PeriodRule, day: date) -> Period:
    """The same periods are asked for thousands of budgets in every round."""
    return rule.of_day(day)


def _clamped(year: int, month: int, day: int) -> date:
    return date(year, month, min(day, calendar.monthrange(year, month)[1]))


def midnights(zone: tzinfo, first: date, count: int) -> tuple[list[date], list[float]]:
    """`count` local days from `first` on and their `count + 1` midnights in Unix seconds."""
    days = [date.fromordinal(first.toordinal() + number) for number in range(count + 1)]
    at = [datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC).timestamp() for day in days]
    return days[:-1], at
