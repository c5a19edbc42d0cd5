"""What counting takes and keeps: the samples of raw series, the state of each, and what is added to the ledger.

Here is also which samples are believed: their timestamps, and their values as whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

from alertd.core.counting.falls import Fall
from alertd.core.usage import LARGEST_EXPONENT, Labels, Line

if TYPE_CHECKING:
    from alertd.core.counting.state_columns import Moved

#: A sample may be so far ahead of the clock that it is read by.
_AHEAD: Final = 300.0
#: No sample is of before the year 2000.
_OLDEST: Final = 946_684_800.0
_DECADES_SAID: Final = "its timestamps are decades away; these samples are not counted. Is their unit right?"
_AHEAD_SAID: Final = (
    "its timestamps are ahead of this machine's clock; these samples are not counted. Compare the clocks"
)
#: How many digits identify a line; a target, labels and the line of `within` likewise.
KIN: Final = 12
#: Up to here `kin` is of the line and the target, up to there of the labels.
TARGET_KIN: Final = 2 * KIN
LABELS_KIN: Final = 3 * KIN

_ONE: Final = Decimal(1)

Points = Sequence[tuple[float, str | float]]


# The first three are named tuples because a poll makes 100,000 of each.


class CounterSamples(NamedTuple):
    """The samples of one raw series in one reading, and the ledger series that it feeds.

    `fingerprint` identifies the raw series (all its labels) within its source. `points` are (Unix seconds, value as
    text or number), oldest first, cumulative; value x `scale`, rounded, is in the meter's own unit. `target` is the one
    whose other scrapes distinguish a new series from a first sight. `created` is the counter's start (`_created`, or
    the process start) in Unix seconds, None where unknown; a series that restarted within the reading comes as several
    CounterSamples of one fingerprint, in order of time. `within` is the line that counts these tokens too (an input
    counter that includes cached ones): they are taken off it. `period`, in seconds, says that the values are
    no running total: each is the usage of its own period.
    """

    fingerprint: str
    line: Line
    labels: Labels
    points: Points
    target: str = ""
    created: float | None = None
    within: Line | None = None
    scale: Decimal = _ONE
    period: float = 0.0


class CounterState(NamedTuple):
    """The state of a raw series: its last sample. Kept in the ledger beside the cursor.

    `owed` is what of a series that is `within` another waits for that one: it is counted with it.
    `value` is its maximum since the last reset, `fall` what is known of it where it went back. `kin` are digests of its
    line, its target, its labels and the line of its `within`, each of `KIN` digits; `heir` is the fingerprint of the
    series that came in its place. `seen` are the last points of a stream of deltas, and `created` up to when older ones
    are not remembered (see `streams`).
    """

    at: float
    value: int
    created: float | None = None
    owed: int = 0
    fall: Fall | None = None
    kin: str = ""
    heir: str = ""
    seen: str = ""

    def followed(self) -> tuple[float, int, Fall | None]:
        """Since when its samples are followed, from what value (-1: it is seen again, as if anew), after what fall."""
        return (self.at, -1, None) if self.heir else (self.at, self.value, self.fall)


class Increment(NamedTuple):
    """A quantity to be added to one ledger series in the bucket [start, start + width), in Unix seconds."""

    line: Line
    labels: Labels
    start: int
    width: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Counted:
    """What one reading adds, the states that changed (to be merged into the old ones), and the samples refused.

    `left_out`: how many new counters were not followed, because there are too many. `doubts`: why the figures are only
    a lower bound, series by series. `assumed`: what the figures take for granted.
    """

    increments: Sequence[Increment]
    states: dict[str, CounterState]
    refused: tuple[str, ...] = ()
    left_out: int = 0
    doubts: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    #: The series whose states are not kept any longer.
    forgotten: tuple[str, ...] = ()
    #: Beside `states` those of which only time and value moved, by number.
    moved: Moved | None = None


def believed(
    points: Sequence[tuple[float, str | float]], now: float
) -> tuple[Sequence[tuple[float, str | float]], str]:
    """The points whose timestamps can be, and what is said of those ahead of the clock or decades away."""
    if not points or (max(points)[0] <= now + _AHEAD and min(points)[0] >= _OLDEST):
        return points, ""
    why = _DECADES_SAID if min(points)[0] < _OLDEST else _AHEAD_SAID
    return [point for point in points if _OLDEST <= point[0] <= now + _AHEAD], why


def whole(value: str | float, scale: Decimal = _ONE) -> int | None:
    """A sample's value times `scale` as a whole number, half to even; None for NaN. ValueError for inf and negatives.

    The running total is rounded, not the difference, so that the differences still sum to the total.
    """
    try:
        number = Decimal(value) if isinstance(value, str) else Decimal(repr(value))
    except InvalidOperation:
        raise ValueError(f"{value!r} is no number") from None
    if number.is_nan():
        return None
    if number < 0 or not number.is_finite() or number.adjusted() + scale.adjusted() >= LARGEST_EXPONENT:
        raise ValueError(f"{str(value)[:40]} is no value of a counter")
    return int((number * scale).to_integral_value(ROUND_HALF_EVEN))


def number_of(value: str | float, scale: Decimal) -> int | None:
    """As `whole`, quick for the plain whole numbers that nearly all values are."""
    if (
        isinstance(value, str)
        and len(value) <= LARGEST_EXPONENT
        and value.isdecimal()
        and (scale is _ONE or scale == 1)
    ):
        return int(value)
    return whole(value, scale)


def kin_of(series: CounterSamples) -> str:
    """What identifies the model and meter of a series, and then its target: two digests in one text."""
    return line_of(series.line) + _digest(series.target)


def full_kin_of(series: CounterSamples) -> str:
    """What a state keeps: `kin_of`, then the digests of its labels and, where there is one, of its `within`."""
    labels = _digest("\x00".join(f"{name}\x01{value}" for name, value in sorted(series.labels.items())))
    return kin_of(series) + labels + (line_of(series.within) if series.within is not None else "")


def line_of(line: Line) -> str:
    """What identifies a model and meter: the beginning of the `kin` of their series."""
    return _digest(f"{line.provider}\x00{line.model}\x00{line.meter}")


@lru_cache(maxsize=10_000)
def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=KIN // 2).hexdigest()
