"""Format numbers, money, shares, dates and durations, once for every channel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from alertd.core.budgets import TOKENS
from alertd.core.events import Event, UnpricedUsage
from alertd.core.messages.rich_text import Line, Span, clean

_CENT: Final = Decimal("0.01")
#: Below this a difference is that of a division.
_EXACT: Final = Decimal("0.000001")
_THOUSAND: Final = 1000
_HUNDRED: Final = 100
_SCALES: Final = ((Decimal(10**12), "T"), (Decimal(10**9), "B"), (Decimal(10**6), "M"), (Decimal(10**3), "k"))
#: Currencies that people never write with decimals.
_WHOLE: Final = frozenset({"JPY", "KRW", "VND", "CLP", "ISK", "HUF", "IDR"})
#: Currencies that are written by a sign in front, and their hundredth.
_SIGNS: Final = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹"}
_CENTS: Final = {"USD": "¢", "EUR": " ct", "GBP": "p"}
_TEN: Final = 10
#: Amounts that people choose for a budget.
_ROUND_STEPS: Final = tuple(map(Decimal, ("1", "1.2", "1.5", "2", "2.5", "3", "4", "5", "6", "7", "8", "9", "10")))
#: A budget status in two words; its sign says it again without a colour.
STATUSES: Final = {
    "over": ("■", "over budget"),
    "runaway": ("◆", "running away"),
    "at_risk": ("▲", "at risk"),
    "unknown": ("?", "unknown"),
    "no_forecast": ("○", "no forecast yet"),
    "on_track": ("●", "on track"),
}
_CHANCE_FLOOR: Final = 0.01
_CHANCE_CEILING: Final = 0.99


def number(value: Decimal, unit: str) -> str:
    """An amount without its unit: 251.40, 1,204, 0.004; tokens as 5.2M. Zero is 0."""
    if unit == TOKENS:
        return tokens(value)
    size = abs(value)
    if not size:
        return "0"
    if round(size, 2) >= _THOUSAND or (unit in _WHOLE and size >= 1):
        return f"{value.quantize(Decimal(1), rounding=ROUND_HALF_EVEN):,f}"
    if size >= Decimal("0.1"):
        return f"{value.quantize(_CENT, rounding=ROUND_HALF_EVEN):f}"
    short = f"{_significant(value, 2).normalize():f}"
    whole, _, decimals = short.partition(".")
    return f"{whole}.{decimals:<02}"


def amount(value: Decimal, unit: str) -> str:
    """An amount with its currency: `251.40 USD`, `5.2M tokens`."""
    return f"{number(value, unit)} {unit}".rstrip()


def money(value: Decimal, unit: str, *, whole: bool = False) -> str:
    """An exact amount with its sign: `$424.50`, `$12,406`, `561M tokens`, `500 CHF`; `whole` units for tables."""
    if unit == TOKENS:
        return f"{tokens(value)} tokens"
    size = abs(value)
    is_round = abs(size - size.to_integral_value()) < _EXACT
    text = f"{size:,.0f}" if (whole and size >= 1) or (is_round and size) else number(size, unit)
    return _signed(text, unit, negative=value < 0)


def rate(value: Decimal, unit: str) -> str:
    """Money by time: `$28`, `$2.10`, `30¢`, `under 1¢`."""
    if unit == TOKENS:
        return f"{tokens(value)} tokens"
    if unit in _CENTS and 0 < abs(value) < 1:
        cents = abs(value) * _HUNDRED
        text = "under 1" if cents < 1 else f"{cents:.0f}"
        return f"{'-' if value < 0 and cents >= 1 else ''}{text}{_CENTS[unit]}"
    if abs(value) < _TEN:
        return money(value, unit)
    short = _significant(abs(value), 2 if abs(value) < _HUNDRED else 3)
    return _signed(f"{short:,.0f}", unit, negative=value < 0)


def estimated(value: Decimal, unit: str, spent: Decimal | None = None) -> str:
    """A projected amount with its sign, to three digits that matter: `$564`, `$1,540`, `779M tokens`."""
    text = estimate(abs(value), unit, spent)
    return f"{text} tokens" if unit == TOKENS else _signed(text, unit, negative=value < 0)


def _signed(text: str, unit: str, *, negative: bool) -> str:
    sign = _SIGNS.get(unit)
    minus = "-" if negative else ""
    return f"{minus}{sign}{text}" if sign else f"{minus}{text} {unit}".rstrip()


def spent_of(spent: Decimal, total: Decimal, unit: str) -> str:
    """`$81.20 of $100 (81%)`, `5.2M of 8M tokens (65%)`."""
    first = tokens(spent) if unit == TOKENS else money(spent, unit)
    return f"{first} of {money(total, unit)} ({percent(spent, total)})"


def used_of(spent: Decimal, total: Decimal, unit: str) -> str:
    """`81.20 of 100.00 USD (81%)`."""
    return f"{number(spent, unit)} of {amount(total, unit)} ({percent(spent, total)})"


def tokens(value: Decimal | int) -> str:
    """A count with at most three digits that matter: 950, 5.2k, 12.4M, 1.25B."""
    exact = Decimal(value)
    for scale, letter in _SCALES:
        short = _significant(exact / scale, 3)
        if abs(short) >= 1:
            return f"{short.normalize():f}{letter}"
    return f"{exact.quantize(Decimal(1)):f}"


def estimate(value: Decimal, unit: str, spent: Decimal | None = None) -> str:
    """A projected amount, to three digits that matter, and never below what is spent already."""
    if unit == TOKENS:
        return tokens(value)
    short = _significant(value, 3)
    if spent is not None and short < spent <= value:
        return number(value, unit)
    if abs(short) >= _HUNDRED or unit in _WHOLE:
        return f"{short:,.0f}"
    return number(short, unit)


def percent(part: Decimal, whole: Decimal) -> str:
    """A share in whole percent; 100% only if it is reached."""
    if not whole:
        return "of nothing" if part else "0%"
    share = part / whole * _HUNDRED
    if Decimal("99.5") <= share < _HUNDRED:
        return "99%"
    if 0 < share < Decimal("0.5"):
        return "under 1%"
    return f"{share.quantize(Decimal(1), rounding=ROUND_HALF_EVEN):,f}%"


def share_percent(share: float) -> str:
    """A share of 0 to 1 in whole percent."""
    return percent(Decimal(str(share)), Decimal(1))


def chance(probability: float) -> str:
    """A probability in percent that claims neither certainty."""
    if probability >= _CHANCE_CEILING:
        return "over 99%"
    if probability < _CHANCE_FLOOR:
        return "under 1%"
    return f"{probability * _HUNDRED:.0f}%"


def level_text(level: Decimal) -> str:
    """A threshold's level: `80%`, `62.5%`."""
    return f"{round(level, 1).normalize():f}%"


def times(factor: Decimal | float) -> str:
    """A multiple: ×6.8, ×59, ×0.4."""
    exact = Decimal(str(factor))
    digits = 3 if abs(exact) >= _HUNDRED else 2
    return f"×{_significant(exact, digits).normalize():,f}"


def round_amount_above(value: Decimal) -> Decimal:
    """The next round amount for a budget: 564 gives 600."""
    if value <= 0:
        return Decimal(1)
    power = Decimal(10) ** value.adjusted()
    return next(step * power for step in _ROUND_STEPS if step * power > value)


def per_unit(unit: str) -> str:
    """The unit of a rate, with its article: `an hour`, `a day`."""
    return f"{'an' if unit == 'hour' else 'a'} {unit}"


def plural(count: int, one: str, many: str = "") -> str:
    """`1 budget`, `12 budgets`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _significant(value: Decimal, digits: int) -> Decimal:
    if not value:
        return Decimal(0)
    rounded = value.quantize(Decimal(1).scaleb(value.adjusted() - digits + 1), rounding=ROUND_HALF_EVEN)
    return Decimal(f"{rounded:f}")


_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS_IN_FULL: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_SOON: Final = timedelta(hours=20)
_MINUTE: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_DAYS_OF_WEEK: Final = 7
_MONTHS_OF_QUARTER: Final = 3
_MONTHS_OF_YEAR: Final = 12


def zone_of(event: Event) -> tzinfo:
    """The event's zone; UTC where its name is not known here."""
    try:
        return ZoneInfo(event.zone)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def place(zone: str) -> str:
    """What people call a zone: Berlin, New York, UTC."""
    return zone.rpartition("/")[2].replace("_", " ")


def day(instant: datetime, zone: tzinfo, *, weekday: bool = True) -> str:
    """`Fri 27 Nov`, or `27 Nov`."""
    local = instant.astimezone(zone).date()
    short = f"{local.day} {_MONTHS[local.month - 1]}"
    return f"{_DAYS[local.weekday()]} {short}" if weekday else short


def day_of(local: date) -> str:
    """A local day: `Fri 27 Nov`."""
    return f"{_DAYS[local.weekday()]} {local.day} {_MONTHS[local.month - 1]}"


def clock_time(instant: datetime, zone: tzinfo, now: datetime) -> str:
    """`04:50` today, `Fri 27 Nov 04:50` on another day."""
    local = instant.astimezone(zone)
    time = f"{local:%H:%M}"
    return time if local.date() == now.astimezone(zone).date() else f"{day(instant, zone)} {time}"


def soon_or_day(instant: datetime, zone: tzinfo, now: datetime) -> str:
    """When something will happen, no more precise than it is known: `about 04:50` within hours, else the day."""
    if abs(instant - now) > _SOON:
        return day(instant, zone)
    local = instant.astimezone(zone)
    near = datetime(local.year, local.month, local.day, local.hour, local.minute - local.minute % 10, tzinfo=zone)
    if near <= now < instant:
        near = local  # what is ahead is not said to be past
    return f"about {clock_time(near, zone, now)}"


def age(span: timedelta) -> str:
    """`2 min`, `3 h`, `2 days`: the largest unit that says enough."""
    if span < _MINUTE:
        return "under 1 min"
    if span < 2 * _HOUR:
        return f"{span // _MINUTE} min"
    if span < 2 * _DAY:
        return f"{span // _HOUR} h"
    return plural(span // _DAY, "day")


def period_name(event: Event, now: datetime) -> str:
    """`November`, `Q4`, `2026`, `today`, `this week`, or its days; "" where the event has no period."""
    if event.period_start is None or event.period_end is None:
        return ""
    zone = zone_of(event)
    if event.window is not None:
        opened = f"the window since {clock_time(event.period_start, zone, now)}"
        return opened if event.anchored else f"the last {window_length(event.window)}"
    if event.period_end - event.period_start <= _HOUR:
        return f"the hour from {event.period_start.astimezone(zone):%H:%M}"
    first = event.period_start.astimezone(zone).date()
    last = event.period_end.astimezone(zone).date() - timedelta(days=1)
    current = event.period_start <= now < event.period_end
    if first == last:
        return "today" if current else day(event.period_start, zone)
    if (last - first).days == _DAYS_OF_WEEK - 1:
        return "this week" if current else f"the week of {day(event.period_start, zone, weekday=False)}"
    return (
        _calendar_name(first, last) or f"{first.day} {_MONTHS[first.month - 1]} to {last.day} {_MONTHS[last.month - 1]}"
    )


def possessive(period: str) -> str:
    """`November's budget`, `the budget of 15 Nov to 14 Dec`, `the budget`."""
    if not period:
        return "the budget"
    of = " to " in period or period.startswith(("the week", "the last", "the hour", "the window"))
    return f"the budget of {period}" if of else f"{period}'s budget"


def window_length(window: timedelta) -> str:
    """`5 hours`, `7 days`: how long a window that rolls is."""
    hours = int(window / _HOUR)
    return plural(hours // 24, "day") if hours % 24 == 0 and hours > 24 else plural(hours, "hour")  # noqa: PLR2004 - hours of a day


def frees(event: Event, now: datetime) -> str:
    """`frees at 14:20 if nothing more is used`; "" where a window is below its amount, or for a period."""
    if event.frees_at is None:
        return ""
    at = clock_time(event.frees_at, zone_of(event), now)
    return f"frees at {at}, when it closes" if event.anchored else f"frees at {at} if nothing more is used"


def _calendar_name(first: date, last: date) -> str:
    months = (last.year - first.year) * _MONTHS_OF_YEAR + last.month - first.month + 1
    whole = first.day == 1 and (last + timedelta(days=1)).day == 1
    if not whole:
        return ""
    if months == 1:
        return _MONTHS_IN_FULL[first.month - 1]
    if months == _MONTHS_OF_QUARTER and (first.month - 1) % _MONTHS_OF_QUARTER == 0:
        return f"Q{(first.month - 1) // _MONTHS_OF_QUARTER + 1}"
    return str(first.year) if months == _MONTHS_OF_YEAR and first.month == 1 else ""


_TOP: Final = 3
_LATE: Final = timedelta(minutes=15)
_OWNER: Final = 60


def footer(event: Event, now: datetime, *extra: str) -> Line:
    """Data to Sat 21 Nov 08:03, Berlin · everything priced · owner @ana · no action needed"""
    zone = zone_of(event)
    parts = [data_age(event, now) or zone_named(event), *missing(event, now)]
    if event.period_end is not None and event.window is None and event.period_end <= now:
        parts.append(f"ended {day(event.period_end - timedelta(seconds=1), zone, weekday=False)}")
    if now - event.at > _LATE:
        parts.append(f"evaluated {clock_time(event.at, zone, now)}, delivered late")
    owner = f"owner {clean(event.owner, _OWNER)}" if event.owner else ""
    return (Span(" · ".join(part for part in (*parts, owner, *extra) if part), "italic"),)


def zone_named(event: Event) -> str:
    """`times in Berlin`, where no data's age names the zone of the times that are said."""
    return f"times in {place(event.zone)}" if event.since is not None else ""


def dated(instant: datetime, zone: tzinfo) -> str:
    """`Sat 21 Nov 09:38`: right on whatever day it is read."""
    return f"{day(instant, zone)} {instant.astimezone(zone):%H:%M}"


def data_age(event: Event, now: datetime) -> str:
    """Data to Sat 21 Nov 09:38, Berlin; how old it is only where it is late; complete once all was seen."""
    seen, zone = event.seen_until or event.data_until, zone_of(event)
    if seen is None:
        return ""
    if event.period_end is not None and min(seen, event.data_until or seen) >= event.period_end:
        return "Data complete"
    late = [
        f"{clean(name, 40)} to {clock_time(until, zone, now)} ({age(now - until)} behind)"
        for name, until in event.late
        if until < seen
    ]
    old = f" ({age(now - seen)} old)" if now - seen > _LATE else ""
    said = f"Data to {dated(seen, zone)}, {place(event.zone)}{old}"
    return f"{said}; {_listed(late)}" if late else said


def missing(event: Event, now: datetime) -> list[str]:
    """What the figures lack: what is unpriced, whose price is assumed, from when they are complete."""
    priced = ["everything priced"] if event.spent is not None else []
    said = [unpriced_text(event.unpriced)] if event.unpriced else priced
    if event.assumed_prices:
        said.append(f"assumed price: {_listed([clean(model, 40) for model in event.assumed_prices])}")
    if event.complete_from is not None:
        said.append(f"spend before {clock_time(event.complete_from, zone_of(event), now)} not seen")
    return said


def unpriced_text(items: Sequence[UnpricedUsage]) -> str:
    """no price, so not counted: gpt-6-mini 5.2M tokens"""
    by_model: dict[tuple[str, str], int] = {}
    without_rate = [f"no rate from {rate}, so not counted: {figure}" for rate, figure in lacking_rates(items)]
    for item in items:
        if item.rate:
            continue
        unit = item.meter if item.meter in {"requests", "minutes"} else TOKENS
        by_model[item.model, unit] = by_model.get((item.model, unit), 0) + item.quantity
    named = [f"{clean(model, 40)} {tokens(count)} {unit}" for (model, unit), count in by_model.items()]
    without_price = [f"no price, so not counted: {_listed(named)}"] if named else []
    return " · ".join([*without_price, *without_rate])


def lacking_rates(items: Iterable[UnpricedUsage]) -> Sequence[tuple[str, str]]:
    """Each rate of exchange that is missing (`USD to EUR`), and what needs it: money, tokens, or both."""
    found: dict[str, tuple[Decimal, int]] = {}
    for item in items:
        if item.rate:
            cost, quantity = found.get(item.rate, (Decimal(0), 0))
            found[item.rate] = (cost + (item.cost or Decimal(0)), quantity + item.quantity)
    rows = []
    for rate, (cost, quantity) in sorted(found.items()):
        parts = [money(cost, rate.partition(" ")[0])] if cost else []
        parts += [f"the price of {tokens(quantity)} tokens"] if quantity else []
        rows.append((rate, " and ".join(parts) or "usage"))
    return rows


def _listed(items: Sequence[str]) -> str:
    shown = ", ".join(items[:_TOP])
    return shown if len(items) <= _TOP else f"{shown} and {plural(len(items) - _TOP, 'other')}"


#: From which probability on a headline says what.
_CERTAINTY: Final = (
    (0.99, "will almost certainly"),
    (0.6, "will probably"),
    (0.0, "may"),
)


def how_surely(probability: float | None) -> str:
    """`may`, `will probably` or `will almost certainly`: what comes before "go over"."""
    return next(words for floor, words in _CERTAINTY if (probability or 0) >= floor)
