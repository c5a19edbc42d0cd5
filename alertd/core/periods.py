"""Budget periods: half-open windows of local dates. Nothing here knows what time it is."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

_MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}
KINDS: Final = ("day", "week", *_MONTHS)
_DAYS_OF_WEEK: Final = 7
_DAYS_OF_MONTH: Final = 31


@dataclass(frozen=True, slots=True)
class Period:
    """A half-open window [start, end) of aware UTC instants, whose borders are local midnights of `zone`."""

    start: datetime
    end: datetime
    zone: tzinfo

    @property
    def key(self) -> str:
        """The local date of its first day: what names the period in an alert's key."""
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
    """How often a budget starts afresh: every day, week, month, quarter or year of an IANA zone.

    `start_day` is 1 to 7 for a week (1 is Monday) and 1 to 31 for months and longer, clamped to the last day of a
    short month; a period that starts on the 31st starts on 28 February.
    """

    kind: str
    zone: tzinfo
    start_day: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"a period is one of {', '.join(KINDS)}, not {self.kind!r}")
        highest = {"day": 1, "week": _DAYS_OF_WEEK}.get(self.kind, _DAYS_OF_MONTH)
        if not 1 <= self.start_day <= highest:
            raise ValueError(f"the start day of a {self.kind} is 1 to {highest}, not {self.start_day}")

    def containing(self, instant: datetime) -> Period:
        """The period that `instant` (aware) falls in."""
        return _period(self, instant.astimezone(self.zone).date())

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
