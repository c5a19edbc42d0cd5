"""Series of a Prometheus as they came: their labels, their points, and what their labels mean. It asks nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import msgspec

from alertd.core.counting.attribution import Attribution
from alertd.core.counting.copies import Series
from alertd.core.counting.scrapes import seconds
from alertd.ports import SourceError
from alertd.wire.promql import RawSeries

#: Of two copies of one series the first by name is kept while it lags no more than this, in seconds.
_COPY_LAG: Final = 120.0
#: Samples this far outside of the time that was asked for, in seconds, are not believed: one of tomorrow would hide
#: what its counter gains until then.
_ASIDE: Final = 300.0
_ENDINGS: Final = ("_total", "_sum")
_LABELS: Final = msgspec.json.Decoder(dict[str, str])


@dataclass(frozen=True, slots=True)
class Counter:
    """What the labels of a series mean; kept from poll to poll under the bytes that they came in."""

    text: bytes
    fingerprint: str
    metric: str
    target: str
    found: Attribution | None
    #: What it counts, where no rule of its metric takes it.
    unknown: str = ""
    scale: Decimal = Decimal(1)


def named_series(series: RawSeries) -> Series:
    """A series with its labels."""
    text = bytes(series.metric)
    return Series(text, labels_in(text), series.values)


def labels_in(text: bytes) -> dict[str, str]:
    """Labels as they came, as JSON. SourceError for what is none."""
    try:
        return _LABELS.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SourceError(f"a series has labels that are none: {text[:80]!r}") from error


def counts_on(series: RawSeries) -> bool:
    """Whether a series went on within what was asked for; of one sample, whether it counted anything at all."""
    if series.value is not None:
        return seconds(series.value[1]) > 0
    return bool(series.values) and series.values[0][1] != series.values[-1][1]


def created_name(metric: str) -> str:
    """What the metric is called that says when a counter began."""
    stem = next((metric.removesuffix(ending) for ending in _ENDINGS if metric.endswith(ending)), metric)
    return f"{stem}_created"


def inside(points: Sequence[tuple[float, str]], begin: float, end: float) -> Sequence[tuple[float, str]]:
    """The points of the time that was asked for, the very same where all are."""
    if not points:
        return points
    low, high = begin - _ASIDE, end + _ASIDE
    # Nearly always there are one or two, and this is asked of 100,000 series.
    if low <= points[0][0] <= high and low <= points[-1][0] <= high:
        few = len(points) <= 2  # noqa: PLR2004 - the first and the last
        if few or (min(points)[0] >= low and max(points)[0] <= high):
            return points
    return [point for point in points if low <= point[0] <= high]


def is_ahead(one: tuple[bytes, Sequence[tuple[float, str]]], other: tuple[bytes, Sequence[tuple[float, str]]]) -> bool:
    """Whether this copy of a series is the one to keep: the first by name, unless it has fallen behind."""
    lag = (one[1][-1][0] if one[1] else 0.0) - (other[1][-1][0] if other[1] else 0.0)
    return lag > _COPY_LAG or (one[0] < other[0] and lag >= -_COPY_LAG)
