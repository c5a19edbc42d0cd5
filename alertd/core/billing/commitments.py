"""Commitments (endpoints, contracts): what they cost so far, until the period ends, and when they alone use it up.

No forecast, no clock: a contract is arithmetic.

By the minute and by the hour, a unit that has begun is charged whole, k units after the start. A day, week, month or
year (of the calendar, in the commitment's zone) is spread over its hours, each charged as it begins, to the cent; a
commitment that starts or ends within one is charged its share. A commitment without `per` is charged once, at its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from alertd.core.money import Money
from alertd.core.usage import Committed

if TYPE_CHECKING:
    from alertd.core.pricing.costing import Exchange

PERS: Final = ("minute", "hour", "day", "week", "month", "year")
_HOUR: Final = timedelta(hours=1)
_MINUTE: Final = timedelta(minutes=1)
_CENT: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class CertainLine:
    """One commitment's part in a period, in the unit asked for; `cost` of one `per`, or the whole where that is ""."""

    name: str
    source: str
    cost: Decimal
    per: str
    since: datetime
    until: datetime | None
    charged: Decimal
    ahead: Decimal


@dataclass(frozen=True, slots=True)
class Certain:
    """What is certain in a period: `charged` is part of what was spent, `ahead` comes on top of it.

    `exhausted_at` is when what was spent and what is certain reach the amount; None where they do not in the period.
    `unconverted` names commitments in a currency without a rate of exchange: they are in no figure.
    """

    charged: Decimal
    ahead: Decimal
    lines: tuple[CertainLine, ...]
    exhausted_at: datetime | None = None
    unconverted: tuple[str, ...] = ()


def charged_between(one: Committed, start: datetime, end: datetime) -> Decimal:
    """What a commitment is charged in [start, end): the units, or hours of larger units, that begin in it."""
    if not one.per:
        due = one.end or one.start
        return one.cost.amount if start <= due < end else Decimal(0)
    if one.end is not None:
        end = min(end, one.end)
    if end <= max(start, one.start):
        return Decimal(0)
    if one.per in ("minute", "hour"):
        step = _MINUTE if one.per == "minute" else _HOUR
        units = _begun(one.start, end, step) - _begun(one.start, max(start, one.start), step)
        return one.cost.amount * units
    return _shares(one, max(start, one.start), end)


def certain_money(
    committed: Sequence[tuple[str, Committed]],
    *,
    unit: str,
    exchange: Exchange,
    start: datetime,
    end: datetime,
    now: datetime,
    spent: Decimal,
    amount: Decimal,
    seen: Mapping[str, datetime] | None = None,
) -> Certain:
    """What is certain for a budget scope's period [start, end), of the commitments that are in the scope.

    `committed` are commitments with their sources' names. `seen` is up to when a source's charges are in `spent`
    (`now`, where absent): what is charged after that is ahead.
    """
    lines: list[CertainLine] = []
    unconverted: list[str] = []
    known: list[tuple[Committed, datetime, Decimal]] = []
    for source, one in committed:
        rate = _rate(one.cost.currency, unit, now.date(), exchange)
        if rate is None:
            unconverted.append(one.name)
            continue
        border = max(start, min((seen or {}).get(source, now), now, end))
        if not one.per:  # a job that takes longer than it was thought to is still to be charged
            due = max(one.end or one.start, now)
            charged, ahead = Decimal(0), one.cost.amount if due < end else Decimal(0)
            border = now
        else:
            charged = charged_between(one, start, border) if one.counted else Decimal(0)
            ahead = charged_between(one, border, end)
        if charged or ahead:
            known.append((one, border, rate))
            lines.append(
                CertainLine(
                    one.name, source, one.cost.amount * rate, one.per, one.start, one.end, charged * rate, ahead * rate
                )
            )
    total_ahead = sum((line.ahead for line in lines), Decimal(0))
    exhausted = _exhausted(known, now, end, amount - spent, total_ahead)
    return Certain(
        sum((line.charged for line in lines), Decimal(0)), total_ahead, tuple(lines), exhausted, tuple(unconverted)
    )


def pieces(
    one: Committed, since: datetime, seen: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime, Decimal]]:
    """The charges of [since, end) as intervals that each carry an even amount: by month, with a border at `seen`."""
    if not one.per:
        due = max(one.end or one.start, seen)
        if since <= due < end:
            yield due, due, one.cost.amount
        return
    zone = ZoneInfo(one.zone)
    at, last = max(since, one.start), end if one.end is None else min(end, one.end)
    while at < last:
        local = at.astimezone(zone)
        month = _midnight(_next_month(local.date()), zone)
        border = min(month, last, *([seen] if at < seen else []))
        yield at, border, charged_between(one, at, border)
        at = border


def _exhausted(
    known: Sequence[tuple[Committed, datetime, Decimal]], now: datetime, end: datetime, left: Decimal, ahead: Decimal
) -> datetime | None:
    """The first minute at which the coming charges add up to `left`."""
    if left <= 0:
        return now
    if ahead < left or not known:
        return None

    def by(at: datetime) -> Decimal:
        return sum((_due(one, border, at, now) * rate for one, border, rate in known), Decimal(0))

    low, high = 0, max(0, -(-(end - now) // _MINUTE))
    while low < high:
        middle = (low + high) // 2
        if by(now + middle * _MINUTE) >= left:
            high = middle
        else:
            low = middle + 1
    return min(now + low * _MINUTE, end)


def _due(one: Committed, border: datetime, at: datetime, now: datetime) -> Decimal:
    if not one.per:
        return one.cost.amount if max(one.end or one.start, now) <= at else Decimal(0)
    return charged_between(one, border, max(at, border))


def _rate(base: str, quote: str, day: date, exchange: Exchange) -> Decimal | None:
    if base == quote:
        return Decimal(1)
    return exchange(base, quote, day)


def _begun(started: datetime, at: datetime, step: timedelta) -> int:
    """How many units begin before an instant."""
    return max(-(-(at - started) // step), 0)


def _shares(one: Committed, start: datetime, end: datetime) -> Decimal:
    """The charges of the hours that begin in [start, end), one calendar unit after the other."""
    zone = ZoneInfo(one.zone)
    quantum = min(_CENT, Decimal(1).scaleb(int(one.cost.amount.as_tuple().exponent)))
    total, at = Decimal(0), start
    while at < end:
        begin, after = _unit(one.per, at.astimezone(zone).date(), zone)
        hours = -(-(after - begin) // _HOUR)
        first = max(one.start, begin)
        low, high = (_hour_of(begin, first, edge) for edge in (at, min(after, end)))
        total += _cumulated(one.cost, high, hours, quantum) - _cumulated(one.cost, low, hours, quantum)
        at = after
    return total


def _hour_of(begin: datetime, first: datetime, at: datetime) -> int:
    """How many hours of a unit have begun before `at`; the hour in which the commitment starts begins with it."""
    if at <= first:
        return (first - begin) // _HOUR
    return -(-(at - begin) // _HOUR)


def _cumulated(cost: Money, hours: int, of: int, quantum: Decimal) -> Decimal:
    return (cost.amount * min(hours, of) / of).quantize(quantum, ROUND_HALF_EVEN)


def _unit(per: str, day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The calendar unit that a local day lies in."""
    if per == "day":
        first, after = day, day + timedelta(days=1)
    elif per == "week":
        first = day - timedelta(days=day.weekday())
        after = first + timedelta(days=7)
    elif per == "month":
        first = day.replace(day=1)
        after = _next_month(day)
    else:
        first, after = date(day.year, 1, 1), date(day.year + 1, 1, 1)
    return _midnight(first, zone), _midnight(after, zone)


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
