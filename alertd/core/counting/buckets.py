"""What a reading changes in the ledger: records become buckets, a window replaces what it held. No storage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, NamedTuple

from alertd.core.money import Money
from alertd.core.usage import BilledCost, Labels, Line, Usage, currency_of

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NANO: Final = Decimal(10) ** 9


class Identity(NamedTuple):
    """What distinguishes the series of the ledger. `labels` are sorted by name; `billed` is a currency."""

    source: str
    line: Line
    labels: tuple[tuple[str, str], ...]
    billed: str = ""


class Bucket(NamedTuple):
    """The bucket [start, start + width) of one series, in Unix seconds."""

    series: int
    start: int
    width: int


class Closed(NamedTuple):
    """What was compacted: before `until`, a whole multiple of it, the ledger holds buckets of `width` seconds."""

    until: int
    width: int


def micros(instant: datetime) -> int:
    """Whole microseconds since 1970, exact; TypeError for a time without a zone."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def instant(since_1970: int) -> datetime:
    """The aware UTC time that `micros` was taken of."""
    return _EPOCH + timedelta(microseconds=since_1970)


def nanos(money: Money) -> int:
    """An amount in 10^-9 of its currency. What is finer is rounded half to even: at most half a nano a record."""
    return int((money.amount * _NANO).to_integral_value(ROUND_HALF_EVEN))


def identity(source: str, line: Line, labels: Labels, billed: str = "") -> Identity:
    """The series that this usage belongs to."""
    return Identity(source, line, tuple(sorted(labels.items())), billed)


def counted_identity(source: str, line: Line, labels: Labels) -> Identity:
    """The series that an increment of a counter belongs to: a counter of money feeds a billed one."""
    currency = currency_of(line)
    return identity(
        source, Line(line.provider, line.model, "", (), line.account) if currency else line, labels, currency
    )


def record_buckets(source: str, records: Iterable[Usage | BilledCost]) -> dict[tuple[Identity, int, int], int]:
    """The records as quantities by series, start and width; records of one bucket add up.

    A window that does not lie on whole seconds is widened to them. Billed money has meter "" and is in nanos.
    """
    found: dict[tuple[Identity, int, int], int] = {}
    for record in records:
        start = micros(record.start) // 1_000_000
        width = max(1, -(-micros(record.end) // 1_000_000) - start)
        match record:
            case Usage():
                key = identity(source, record.line, record.labels), start, width
                quantity = record.quantity
            case BilledCost():
                line = Line(record.provider, record.model, "")
                key = identity(source, line, record.labels, record.cost.currency), start, width
                quantity = nanos(record.cost)
        found[key] = found.get(key, 0) + quantity
    return found


def open_window(window: tuple[int, int], closed: Sequence[Closed]) -> tuple[int, int]:
    """The part of a window that may be replaced: an edge inside rolled-up time moves in to a whole rolled-up bucket."""
    start, end = window
    for level in closed:
        start += -start % level.width if start < level.until else 0
        end -= end % level.width if end < level.until else 0
    return start, max(start, end)


def replaced(
    held: Mapping[Bucket, int],
    read: Mapping[Bucket, int],
    window: tuple[int, int] | None,
    closed: Sequence[Closed] = (),
    *,
    partial: bool = False,
) -> dict[Bucket, int]:
    """The buckets that change, and to what, when `read` replaces what the ledger holds of one source.

    `held` are the source's buckets that start in the window, and any other that `read` names. What starts in the window
    and was not read again becomes 0. A partial reading only raises or adds. A correction that would cut a rolled-up
    bucket is left out: the whole bucket stays, so nothing is counted twice.
    """
    replaceable = open_window(window, closed) if window is not None and not partial else (0, 0)
    kept = {bucket: n for bucket, n in read.items() if not _cuts(bucket, replaceable, closed)}
    if partial:
        return {bucket: n for bucket, n in kept.items() if n > held.get(bucket, 0)}
    changes = {bucket: n for bucket, n in kept.items() if n != held.get(bucket, 0)}
    start, end = replaceable
    gone = (bucket for bucket in held if start <= bucket.start < end and bucket not in read)
    return changes | {bucket: 0 for bucket in gone if held[bucket] != 0}


def _cuts(bucket: Bucket, replaceable: tuple[int, int], closed: Sequence[Closed]) -> bool:
    """Whether a bucket would be counted beside a rolled-up one that holds it already."""
    if replaceable[0] <= bucket.start < replaceable[1]:
        return False
    return any(bucket.start < level.until and bucket.width < level.width for level in closed)
