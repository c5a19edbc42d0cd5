"""Written times as windows: a start and an end, a day for a date, a minute for an instant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, Literal

from alertd.core.formats.table import FormatError

DateOrder = Literal["dmy", "mdy"]
Window = tuple[datetime, datetime]

_MONTH: Final = re.compile(r"(\d{4})-?(0[1-9]|1[0-2])\Z")
#: 2026-W47, 2026W47, 2026-W47-1.
_WEEK: Final = re.compile(r"\d{4}-?W")
#: Programs write 0001-01-01, 1970-01-01 or 1899-12-30 for a time that they do not have.
_FIRST_YEAR: Final = 2000
_DIGITS: Final = re.compile(r"\d{9,20}(\.\d+)?\Z")
_PARTS: Final = re.compile(r"(\d{1,4})([/.\-])(\d{1,2})\2(\d{1,4})(?:[ T,]+(.*))?\Z")
_NO_SECONDS: Final = re.compile(r"(?::00)?(?:[.,]0+)?(?:Z|[ +-].*)?\Z")
#: What may be behind an ISO date's minute: seconds, and a zone that is understood. Nothing else is cut off.
_BEHIND_MINUTE: Final = re.compile(
    r"(?::\d{2}(?:[.,]\d+)?)?\s*(?:(Z|UTC|GMT)|([+-]\d{2})(?::?(\d{2}))?(?: [+-]\d{4}| UTC| Z)?)?\Z"
)
_ISO_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_CHINESE: Final = re.compile(r"(\d{4})年(\d{1,2})月(?:(\d{1,2})日)?(?:\s*(.*))?\Z")
_CLOCK: Final = re.compile(
    r"(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*([AaPp][Mm])?\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2})?\Z"
)
_NAMED: Final = re.compile(
    r"(?:[A-Za-z]{3,9},? )?(?:([A-Za-z]{3,9})\.?[ -](\d{1,2}),?[ -]|(\d{1,2})[ /-]([A-Za-z]{3,9})\.?,?[ /-])"
    r"(\d{4}|\d{2})(?:[, ]+(?:at )?(.*))?\Z"
)
#: November 2026, Nov-2026.
_NAMED_MONTH: Final = re.compile(r"([A-Za-z]{3,9})\.?[ -](\d{4})\Z")
#: 2026/11, 11/2026.
_SLASHED_MONTH: Final = re.compile(r"(?:(\d{4})[/.](0?[1-9]|1[0-2])|(0?[1-9]|1[0-2])[/.](\d{4}))\Z")
_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        [
            "jan january",
            "feb february",
            "mar march",
            "apr april",
            "may may",
            "jun june",
            "jul july",
            "aug august",
            "sep september sept",
            "oct october",
            "nov november",
            "dec december",
        ],
        start=1,
    )
    for name in names.split()
}
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)
_MINUTE: Final = timedelta(minutes=1)
_SECONDS_DIGITS: Final = 11
_MINUTE_TEXT: Final = 16


@dataclass(frozen=True, slots=True)
class Moment:
    """A written time: its start, and how exact it is."""

    at: datetime
    width: Literal["month", "day", "minute"]


@dataclass(slots=True)
class Times:
    """The times of one file. `cut` is called for every row, `windows` once, at its end."""

    zone: tzinfo | None = UTC
    order: DateOrder | None = None
    #: Whether a day is the first of a week.
    weeks: bool = False
    #: Whether a time has seconds, which buckets have not.
    has_seconds: bool = False
    #: Whether all times without an end are first days of months: each is its whole month.
    months: bool = False
    _known: dict[str, Moment] = field(default_factory=dict)

    def cut(self, text: str) -> str:
        """A time to its minute: what rows are summed by."""
        if len(text) > _MINUTE_TEXT and text[13] == ":" and text[4] == "-":
            if self.has_seconds:
                last = text[-1]
                if last == "Z":
                    return text[:_MINUTE_TEXT] + "Z"
                if last.isdigit() and "+" not in text[-6:] and "-" not in text[-6:]:
                    return text[:_MINUTE_TEXT]
            behind = _BEHIND_MINUTE.match(text, _MINUTE_TEXT)
            if behind is None:
                return text
            if not _NO_SECONDS.match(text, _MINUTE_TEXT):
                self.has_seconds = True
            zone = "Z" if behind[1] else f"{behind[2]}:{behind[3] or '00'}" if behind[2] else ""
            return text[:_MINUTE_TEXT] + zone
        if _DIGITS.match(text):
            seconds = _seconds(text)
            self.has_seconds = self.has_seconds or seconds % 60 != 0
            return str(seconds - seconds % 60)
        return text

    def moment(self, text: str) -> Moment:
        """The moment of a written time. ValueError where it is not a time; the text is never quoted."""
        known = self._known.get(text)
        if known is None:
            known = self._known[text] = self._moment(text.strip())
        return known

    def windows(self, written: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Window]:
        """The window of every (start, end) of the file, as `cut` left them; "" for a time that is not given.

        Without an end: times that are all midnights are days, all full hours are hours, others are minutes; where all
        are first days of months, of several, they are months.
        """
        pairs = list(dict.fromkeys(written))
        starts = [self.moment(start) for start, _ in pairs]
        open_starts = {one.at for one, (_, end) in zip(starts, pairs, strict=True) if not end and one.width != "month"}
        self.months = len(open_starts) > 1 and all((at.day, at.hour, at.minute) == (1, 0, 0) for at in open_starts)
        minutes = [one.at for one in starts if one.width == "minute"]
        width = _MINUTE
        if minutes and not self.has_seconds and all(one.minute == 0 for one in minutes):
            if all(one.hour == 0 for one in minutes):
                width = _DAY
            elif len(set(minutes)) > 1:
                width = _HOUR
        inclusive = self._ends_are_inclusive(pairs)
        return {
            pair: self._window(start, pair[1], width, inclusive=inclusive)
            for pair, start in zip(pairs, starts, strict=True)
        }

    def _window(self, start: Moment, end: str, width: timedelta, *, inclusive: bool) -> Window:
        if end:
            last = self.moment(end)
            ends = last.at
            if last.width == "day" and start.width != "minute" and inclusive:
                ends = _later(ends, _DAY)
            if ends < start.at:
                raise ValueError("a row ends before it starts")
            if ends > start.at:
                return start.at, ends
        if start.width == "month" or (self.months and not self.weeks):
            return start.at, _later(start.at, 32 * _DAY).replace(day=1)
        if start.width == "day":
            return start.at, _later(start.at, 7 * _DAY if self.weeks else _DAY)
        return start.at, _later(start.at, width)

    def _ends_are_inclusive(self, pairs: Iterable[tuple[str, str]]) -> bool:
        """Whether end dates are inclusive: some row spans one day, or the first to the last day of a month."""
        for start, end in pairs:
            if not end:
                continue
            first, last = self.moment(start), self.moment(end)
            if last.width != "day" or first.width != "day":
                continue
            if first.at == last.at or (first.at.day == 1 and (last.at + _DAY).day == 1):
                return True
        return False

    def prove(self, texts: Iterable[str]) -> None:
        """Settle the order of day and month in slashed dates by all times of the file. FormatError where it cannot."""
        seen: set[str] = set()
        for text in texts:
            found = _PARTS.match(text.strip())
            if not found or len(found[1]) == 4 or found[2] == ".":  # noqa: PLR2004 - a year
                continue
            first, second = int(found[1]), int(found[3])
            if first > 12 and second <= 12:  # noqa: PLR2004 - months
                seen.add("dmy")
            elif second > 12 and first <= 12:  # noqa: PLR2004 - months
                seen.add("mdy")
            elif first != second:
                seen.add("either")
        proved = seen - {"either"}
        if len(proved) > 1:
            raise FormatError("dates are written day first and month first in one file; write them as 2026-11-19")
        if proved:
            self.order = "dmy" if "dmy" in proved else "mdy"
        elif "either" in seen and self.order is None:
            raise FormatError(
                "no date of the file shows whether the day or the month comes first;"
                " say it (--dates dmy or --dates mdy), or write them as 2026-11-19"
            )

    def _moment(self, text: str) -> Moment:
        try:
            found = self._read(text)
        except (ValueError, OverflowError):
            found = None
        if found is None:
            raise ValueError("a time is a day or an instant (2026-11-19, 2026-11-19T08:00:00Z)")
        if found.at.year < _FIRST_YEAR:
            raise ValueError(
                f"the time is in {found.at.year}, as programs write it for a time that is missing: correct the row"
            )
        return found

    def _read(self, text: str) -> Moment | None:  # noqa: PLR0911 - one line a form
        if _WEEK.match(text):
            return None  # Python reads it as its Monday
        if month := _MONTH.match(text):
            return Moment(datetime(int(month[1]), int(month[2]), 1, tzinfo=self.zone), "month")
        if _DIGITS.match(text):
            return Moment(datetime.fromtimestamp(_seconds(text), UTC), "minute")
        if not text.isascii() and (chinese := _CHINESE.match(text)):
            year, of_year, day, clock = chinese.groups()
            if day is None:
                return Moment(datetime(int(year), int(of_year), 1, tzinfo=self.zone), "month")
            return self._at(int(year), int(of_year), int(day), clock)
        if named := _NAMED.match(text):
            name, day = (named[1], named[2]) if named[1] else (named[4], named[3])
            number = _MONTHS.get(name.lower())
            year_of = int(named[5]) + (2000 if len(named[5]) == 2 else 0)  # noqa: PLR2004 - 26
            return self._at(year_of, number, int(day), named[6]) if number else None
        if named := _NAMED_MONTH.match(text):
            number = _MONTHS.get(named[1].lower())
            return Moment(datetime(int(named[2]), number, 1, tzinfo=self.zone), "month") if number else None
        if slashed := _SLASHED_MONTH.match(text):
            first, last = (slashed[1], slashed[2]) if slashed[1] else (slashed[4], slashed[3])
            return Moment(datetime(int(first), int(last), 1, tzinfo=self.zone), "month")
        if (parts := _PARTS.match(text)) and not _ISO_DAY.match(text):
            return self._slashed(parts)
        written, text = text, text.removesuffix(" UTC").removesuffix(" GMT")
        try:
            start = datetime.fromisoformat(text)
        except ValueError:
            if parts := _PARTS.match(written):
                return self._slashed(parts)
            raise
        if text != written:
            start = start.replace(tzinfo=UTC)
        aware = start.replace(tzinfo=self.zone) if start.tzinfo is None else start
        return Moment(aware, "minute" if ":" in text or "T" in text else "day")

    def _slashed(self, parts: re.Match[str]) -> Moment | None:
        one, sign, two, three, clock = parts.groups()
        if len(one) == 4:  # noqa: PLR2004 - a year
            return self._at(int(one), int(two), int(three), clock)
        year = int(three) + (2000 if len(three) == 2 else 0)  # noqa: PLR2004 - 26
        order = "dmy" if sign == "." else self.order or ("dmy" if int(one) > 12 else "mdy")  # noqa: PLR2004 - months
        day, month = (int(one), int(two)) if order == "dmy" else (int(two), int(one))
        return self._at(year, month, day, clock)

    def _at(self, year: int, month: int, day: int, clock: str | None) -> Moment | None:
        if not clock:
            return Moment(datetime(year, month, day, tzinfo=self.zone), "day")
        found = _CLOCK.match(clock.strip())
        if found is None:
            return None
        hour = int(found[1])
        if found[4]:
            hour = hour % 12 + (12 if found[4].lower() == "pm" else 0)
        zone = self.zone
        if found[5] in {"Z", "UTC", "GMT"}:
            zone = UTC
        elif found[5]:
            zone = datetime.strptime(found[5].replace(":", ""), "%z").tzinfo or UTC
        seconds = int(found[3] or 0)
        self.has_seconds = self.has_seconds or seconds != 0
        return Moment(datetime(year, month, day, hour, int(found[2]), tzinfo=zone), "minute")


def month_of(text: str) -> datetime:
    """The first instant of a month written 2026-11, in UTC. Raises ValueError."""
    found = _MONTH.match(text.strip())
    if found is None:
        raise ValueError("a month is written 2026-11")
    return datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC)


def _seconds(text: str) -> int:
    """Seconds since 1970 of an epoch in seconds, milli-, micro- or nanoseconds."""
    whole = text.partition(".")[0]
    scale: int = 1000 ** max(0, (len(whole) - _SECONDS_DIGITS + 2) // 3)
    return int(whole) // scale


def _later(start: datetime, length: timedelta) -> datetime:
    try:
        return start + length
    except OverflowError:
        raise ValueError(f"{start:%Y-%m-%d} is the last day that a calendar holds") from None
