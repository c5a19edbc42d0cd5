"""What a projection is asked: a history of equal steps, a period, what is committed. NaN and infinity are refused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HOUR: Final = dt.timedelta(hours=1)
DAY: Final = dt.timedelta(days=1)
#: Beyond this, sums would no longer be finite.
LARGEST: Final = 1e200


def position(instant: dt.datetime, start: dt.datetime, step: dt.timedelta) -> float:
    """Steps between `start` and an instant: days on the wall clock of `start`'s zone, hours as they pass.

    Two fixed offsets are one zone before and after its clocks changed where both stand at the same time of day of
    their own: the days between are whole ones. UTC is a zone of its own.
    """
    if step == HOUR:
        return (instant.astimezone(dt.UTC) - start.astimezone(dt.UTC)) / HOUR
    own = instant.replace(tzinfo=None) - start.replace(tzinfo=None)
    fixed = isinstance(start.tzinfo, dt.timezone) and isinstance(instant.tzinfo, dt.timezone)
    if fixed and own % DAY == dt.timedelta(0):
        return float(own // DAY)
    return (instant.astimezone(start.tzinfo).replace(tzinfo=None) - start.replace(tzinfo=None)) / DAY


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Spend (or tokens) of equal consecutive steps from `start` on, in any one unit.

    `start` is aware; `step` is an hour or a day, a day counted on the wall clock of `start`'s zone. A correction may be
    negative. With `partial_until` the last value covers only the time before that instant: what is unseen is unknown
    and not zero. Without it every value is complete. No value at all is allowed: nothing is known yet.
    """

    start: dt.datetime
    values: Floats
    step: dt.timedelta = DAY
    partial_until: dt.datetime | None = None
    name: str = "series"

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float64)
        object.__setattr__(self, "values", values)
        if values.ndim != 1:
            raise ValueError(f"{self.name}: values are one list of numbers, not {values.ndim} dimensions")
        bad = np.flatnonzero(~(np.abs(values) <= LARGEST))
        if bad.size:
            raise ValueError(
                f"{self.name}: values[{bad[0]}] is {values[bad[0]]}, no amount; leave a step without usage at 0 and"
                " end the series where nothing is known yet"
            )
        if self.step not in (HOUR, DAY):
            raise ValueError(f"{self.name}: step is an hour or a day, not {self.step}")
        if self.start.utcoffset() is None:
            raise ValueError(f"{self.name}: start needs a time zone")
        if self.partial_until is not None:
            self._check_partial(self.partial_until)

    def _check_partial(self, until: dt.datetime) -> None:
        if until.utcoffset() is None:
            raise ValueError(f"{self.name}: partial_until needs a time zone")
        count = self.values.size
        if not count or not count - 1 < position(until, self.start, self.step) <= count:
            raise ValueError(
                f"{self.name}: partial_until {until.isoformat()} is not within the last of {count} steps from"
                f" {self.start.isoformat()}; it says until when the last value was seen"
            )


@dataclass(frozen=True, slots=True)
class Commitment:
    """Money that is certain to come: an endpoint billed by the minute, a running fine-tuning job.

    `amount` falls evenly on [start, end), or at once where both are equal. `in_series` says whether its past part is
    among the values of the series; it is then taken out before the rest is projected, so that it never counts twice.
    """

    amount: float
    start: dt.datetime
    end: dt.datetime
    in_series: bool = True

    def __post_init__(self) -> None:
        if not np.isfinite(self.amount):
            raise ValueError(f"a commitment's amount is finite, not {self.amount}")
        if self.end < self.start:
            raise ValueError(f"a commitment ends at {self.end.isoformat()}, before it starts")


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One series and the half-open period whose total is wanted; `opening` was spent in it before the first value."""

    series: Series
    period_start: dt.datetime
    period_end: dt.datetime
    commitments: Sequence[Commitment] = field(default=())
    opening: float = 0.0

    def __post_init__(self) -> None:
        for name, instant in (("period_start", self.period_start), ("period_end", self.period_end)):
            if instant.utcoffset() is None:
                raise ValueError(f"{self.series.name}: {name} needs a time zone")
        if self.period_end <= self.period_start:
            raise ValueError(
                f"{self.series.name}: period_end {self.period_end.isoformat()} is not after period_start"
                f" {self.period_start.isoformat()}"
            )
        if not np.isfinite(self.opening):
            raise ValueError(f"{self.series.name}: opening is finite, not {self.opening}")
