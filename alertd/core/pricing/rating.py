"""Usage and a price book become a bill: every line by its provider's own rule, exact, one account and month at a time.

    usage -> sums per line and day -> one group per account, provider, month and rule -> billed lines -> Bill

What has no price is listed beside the lines and is no part of any total. Nothing here converts currencies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from alertd.core.pricing.price_book import Price, PriceBook, PricedLine, Unpriced
from alertd.core.pricing.price_history import WEEKEND
from alertd.core.pricing.rating_rules import BillingRule, FreeAllowance
from alertd.core.usage import TOKEN_METERS, Line, Modifiers, Usage

#: What counts for the size of a request.
_INPUT: Final = TOKEN_METERS - {"output", "batch_output", "training"}
_HOUR: Final = timedelta(hours=1)
_SATURDAY: Final = 5


@dataclass(frozen=True, slots=True)
class BillLine:
    """One line as the provider would print it. Quantities are in the meter's own unit, money is in `currency`.

    `gross` is the cost without the free allowance, `free_quantity` what the allowance took off. `at_most` is the
    dearest the line can be where the size of single requests decides its price and is not known; None: `cost` is it.
    """

    line: Line
    month: date
    price: Price
    rule: BillingRule
    quantity: int
    billed_quantity: int
    free_quantity: int
    gross: Decimal
    cost: Decimal
    at_most: Decimal | None = None

    @property
    def currency(self) -> str:
        return self.price.currency

    @property
    def unit(self) -> str:
        """The quantity that the unit price is for: "1000000 tokens"."""
        kind = "tokens" if self.line.meter in TOKEN_METERS else self.line.meter
        return f"{self.price.per} {kind}"

    @property
    def unit_price(self) -> Decimal:
        return self.price.amount

    @property
    def sentence(self) -> str:
        """Where the cost is from: the price and its assumptions, then the provider's rule."""
        said = (self.price.note, self.price.assumed, self.rule.sentence)
        return "; ".join(part for part in said if part)


@dataclass(frozen=True, slots=True)
class UnpricedLine:
    """Usage without a price, which is in no total. `known`: the model has prices, but not for this meter."""

    line: Line
    quantity: int
    reason: str
    known: bool = False


@dataclass(frozen=True, slots=True)
class Bill:
    """The lines of all accounts and months, and what could not be priced."""

    lines: tuple[BillLine, ...]
    unpriced: tuple[UnpricedLine, ...] = ()

    @property
    def totals(self) -> Mapping[str, Decimal]:
        """The total cost by currency; a currency whose lines cost nothing is included with 0."""
        totals: dict[str, Decimal] = defaultdict(Decimal)
        for line in self.lines:
            totals[line.currency] += line.cost
        return dict(totals)

    @property
    def at_most(self) -> Mapping[str, Decimal]:
        """The totals if every request had the dearest size."""
        totals: dict[str, Decimal] = defaultdict(Decimal)
        for line in self.lines:
            totals[line.currency] += line.cost if line.at_most is None else line.at_most
        return dict(totals)


class _RatedGroup(NamedTuple):
    account: str
    provider: str
    month: date
    rule: BillingRule


def rate(usage: Iterable[Usage], book: PriceBook) -> Bill:
    """Bill any usage: each month of the provider's zone by itself, with the price and rule of each day of use."""
    groups: dict[_RatedGroup, dict[PricedLine, int]] = {}
    unpriced: dict[tuple[Line, Unpriced], int] = {}
    for line, day, hour, quantity in _by_day(usage, book):
        tariff = book.tariff(line, day)
        if isinstance(tariff, Unpriced):
            unpriced[line, tariff] = unpriced.get((line, tariff), 0) + quantity
            continue
        if hour is not None:
            tariff = replace(tariff, price=tariff.price.in_hour(hour))
        group = _RatedGroup(line.account, tariff.price.provider, day.replace(day=1), tariff.rule)
        sums = groups.setdefault(group, {})
        sums[tariff] = sums.get(tariff, 0) + quantity
    return Bill(
        tuple(_billed(groups)),
        tuple(UnpricedLine(line, quantity, why.reason, why.known) for (line, why), quantity in unpriced.items()),
    )


def _by_day(usage: Iterable[Usage], book: PriceBook) -> Iterable[tuple[Line, date, int | None, int]]:
    """Sums by line and day in the provider's zone: the one loop over rows, with three look-ups per row.

    Where a price depends on the hour, and a window is in one hour, the sum of each hour of the UTC day; else None.
    """
    days: dict[str, dict[datetime, date]] = {}
    lines: dict[Line, tuple[ZoneInfo, dict[datetime, date], dict[tuple[date, int | None], int], bool]] = {}
    for used in usage:
        line, start = used.line, used.start
        found = lines.get(line)
        if found is None:
            zone = ZoneInfo(book.zone_of(line))
            found = lines[line] = (zone, days.setdefault(zone.key, {}), {}, book.is_hourly(line))
        zone, known, sums, hourly = found
        day = known.get(start)
        if day is None:
            day = known[start] = start.astimezone(zone).date()
        when = (day, _hour(used) if hourly else None)
        sums[when] = sums.get(when, 0) + used.quantity
    return ((line, *when, quantity) for line, (_, _, sums, _) in lines.items() for when, quantity in sums.items())


def _hour(used: Usage) -> int | None:
    """The hour of the UTC day that a window is in; None where it is in several."""
    start = used.start.astimezone(UTC)
    begun = start.replace(minute=0, second=0, microsecond=0)
    if used.end > begun + _HOUR:
        return None
    return WEEKEND if start.weekday() >= _SATURDAY else start.hour


def _billed(groups: Mapping[_RatedGroup, Mapping[PricedLine, int]]) -> Iterable[BillLine]:
    """The groups in the order of their months and rules, so that the rest of a free allowance carries over."""
    consumed: dict[tuple[str, str, str, str], int] = {}
    for group in sorted(groups, key=lambda one: (one.provider, one.account, one.month, one.rule.since or date.min)):
        free = group.rule.free
        lines = tuple((_bounded(tariff, groups[group]), quantity) for tariff, quantity in groups[group].items())
        if free is None:
            yield from (_line(group, tariff, quantity, 0) for tariff, quantity in lines)
            continue
        for model, own in _sharing(free, lines):
            scope = (group.account, group.provider, str(group.month) if free.period == "month" else free.period, model)
            used = consumed.get(scope, 0) + free.used_elsewhere
            consumed[scope] = consumed.get(scope, 0) + sum(quantity for _, quantity in own)
            yield from _with_allowance(group, free, own, max(free.quantity - used, 0))


def _sharing(
    free: FreeAllowance, lines: tuple[tuple[PricedLine, int], ...]
) -> Iterable[tuple[str, tuple[tuple[PricedLine, int], ...]]]:
    """The lines that use up one allowance: all of an account, or those of each model."""
    if free.per == "account":
        return [("", lines)]
    models = dict.fromkeys(tariff.price.model for tariff, _ in lines)
    return [(model, tuple(one for one in lines if one[0].price.model == model)) for model in models]


def _bounded(tariff: PricedLine, sums: Mapping[PricedLine, int]) -> PricedLine:
    """The tariff without its ceiling if the model's whole input is too small for one request to reach it."""
    above = tariff.price.ceiling_above
    if not above:
        return tariff
    same = [one for one in sums if (one.line.provider, one.line.model) == (tariff.line.provider, tariff.line.model)]
    if sum(sums[one] for one in same if one.line.meter in _INPUT) > above:
        return tariff
    said = "at the price of small requests: all input together is less than a large one"
    return replace(tariff, price=replace(tariff.price, ceiling=None, note=said))


def _with_allowance(
    group: _RatedGroup, free: FreeAllowance, lines: tuple[tuple[PricedLine, int], ...], left: int
) -> Iterable[BillLine]:
    rule = group.rule
    if free.period == "none":
        left = 0
    if free.moment == "after_rounding":
        if sum(quantity for _, quantity in lines) <= left:
            yield from (_free_line(group, tariff, quantity) for tariff, quantity in lines)
            return
        left -= left % rule.unit
    granted = _granted(free, lines, left, rule)
    for index, (tariff, quantity) in enumerate(lines):
        yield _line(group, tariff, quantity, granted[index])


def _granted(
    free: FreeAllowance, lines: tuple[tuple[PricedLine, int], ...], left: int, rule: BillingRule
) -> Mapping[int, int]:
    """How much of the allowance each line gets, in the rule's order; among equal prices by name."""
    granted = {}
    for index in spending_order(free, [tariff for tariff, _ in lines]):
        quantity = lines[index][1]
        offered = rule.units(quantity) if free.moment == "after_rounding" else quantity
        granted[index] = min(left, max(offered, 0))
        left -= granted[index]
    return granted


def spending_order(free: FreeAllowance, tariffs: Sequence[PricedLine]) -> list[int]:
    """The lines in the order in which they use a free allowance; lines of equal price are ordered by name."""
    sign = {"dearest_first": -1, "cheapest_first": 1, "first_line": 0}[free.order]

    def place(index: int) -> tuple[Decimal, str, str, Modifiers]:
        line = tariffs[index].line
        return sign * tariffs[index].price.unit, line.model, line.meter, line.modifiers

    return sorted(range(len(tariffs)), key=place)


def _line(group: _RatedGroup, tariff: PricedLine, quantity: int, free_quantity: int) -> BillLine:
    """The bill line after its share of the allowance, which is taken before or after rounding as the rule says."""
    rule, price = group.rule, tariff.price
    gross = rule.rounded(price.of(rule.units(quantity)))
    if rule.free is not None and rule.free.moment == "after_rounding":
        billed = rule.units(quantity)
        cost = rule.rounded(price.of(billed - free_quantity))
    else:
        billed = rule.units(quantity - free_quantity)
        cost = rule.rounded(price.of(billed))
    at_most = None if price.ceiling is None else rule.rounded(price.ceiling * billed / price.per)
    return BillLine(tariff.line, group.month, price, rule, quantity, billed, free_quantity, gross, cost, at_most)


def _free_line(group: _RatedGroup, tariff: PricedLine, quantity: int) -> BillLine:
    gross = group.rule.rounded(tariff.price.of(group.rule.units(quantity)))
    nothing = group.rule.rounded(tariff.price.of(0))
    return BillLine(tariff.line, group.month, tariff.price, group.rule, quantity, 0, quantity, gross, nothing)
