"""An amount over a stretch of time, given to the days it lies in: by time, and to the last nano of the sum. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta, tzinfo

from alertd.core.billing.backlog import next_midnight


def spread(nanos: int, start: datetime, end: datetime, zone: tzinfo) -> Iterator[tuple[date, int]]:
    """`nanos` by local day of [start, end), each day by its share of the time; what rounding leaves is the last day's.

    Where the stretch is empty, everything falls on the day of `start`.
    """
    given, total = 0, end - start
    at = start
    while next_midnight(at, zone) < end:
        border = next_midnight(at, zone)
        share = nanos * ((border - at) // timedelta(microseconds=1)) // (total // timedelta(microseconds=1))
        yield at.astimezone(zone).date(), share
        given, at = given + share, border
    yield at.astimezone(zone).date(), nanos - given
