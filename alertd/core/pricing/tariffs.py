"""Unit prices for a ledger: from the price book, with account-level rules, corrected by the provider's bill.

A linear price is the book's own. Where a rule binds a whole account (a free tier, billing units), the account's month
is rated as a whole and each unit carries what it came to: the parts add up, and no scope gets the free tier twice.

Only where the operator asks for it (ALERTD_CORRECT_ESTIMATES). Days that are final keep their own prices, so that the
comparison of estimate and bill never feeds on its own correction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from alertd.core.ledger.columns import Ledger, SeriesRow
from alertd.core.money import Money
from alertd.core.pricing.allocation import effective_prices
from alertd.core.pricing.costing import Exchange, NoPrice, Rate, Tariff, UnitPrice
from alertd.core.pricing.exchange_rates import NoRate, Rates, days_of_change
from alertd.core.pricing.joint_rate import rate_of
from alertd.core.pricing.price_book import PriceBook, PricedLine, Unpriced
from alertd.core.pricing.rating import rate
from alertd.core.pricing.source_roles import SourceRole, counting
from alertd.core.spellings import provider_id
from alertd.core.usage import METERS, Line, Usage


class LedgerTariff:
    """The unit prices of one ledger's lines, given its present usage."""

    def __init__(self, book: PriceBook, ledger: Ledger, standings: Mapping[str, SourceRole] | None = None) -> None:
        """`standings` say which source counts if several see the same traffic, so that a free tier is used once."""
        self._book = book
        self._ledger = ledger
        self._counted = counting(ledger.kinds, standings or {})
        self._months: dict[tuple[str, str, date], Mapping[tuple[Line, date], Fraction]] = {}
        self._nearest: dict[str, str] = {}

    @property
    def version(self) -> str:
        """A digest of every price: the same string, the same prices."""
        return self._book.version

    def rate_of(self, lines: Sequence[Line], day: date, unit: str, exchange: Exchange) -> Rate | None:
        """How these lines are billed together where that is not linear and they are their accounts' only ones."""
        found = rate_of(self._book, lines, day, unit, exchange)
        if found is None:
            return None
        own, sellers = set(lines), {self._seller(line, day) for line in lines}
        others = {row.line for row in self._ledger.kinds if not row.billed and self._counted(row)} - own
        return None if any(self._seller(line, day) in sellers for line in others) else found

    def zone(self, provider: str) -> str:
        """The IANA zone of a provider's billing days and months."""
        return self._book.zone(provider)

    def runs(self, line: Line, first: date, last: date) -> list[tuple[date, UnitPrice | NoPrice]]:
        """What a unit costs from each day on that something changes: a price, a rule, or the account's month."""
        history = self._book.history(line)
        if isinstance(history, Unpriced):
            return [(first, self.unit_price(line, first))]
        rules = self._book.rules(history[0].provider, line.meter)
        changes = {step for step in days_of_change(history, rules) if step is not None}
        if not all(rule.linear for rule in rules):
            month = first.replace(day=1)
            while month <= last:
                changes.add(month)
                month = _next(month)
        days = sorted({first, *(day for day in changes if first < day <= last)})
        return [(day, self.unit_price(line, day)) for day in days]

    def unit_price(self, line: Line, day: date) -> UnitPrice | NoPrice:
        """The price of one unit on a day of use, or the reason without one and the nearest price."""
        tariff = self._book.tariff(line, day)
        if isinstance(tariff, Unpriced):
            return NoPrice(tariff.reason, "" if tariff.known else self._near(line.model))
        price = tariff.price
        if tariff.linear:
            return UnitPrice(price.unit, price.currency, assumed=bool(price.assumed))
        return UnitPrice(self._effective(tariff, day), price.currency, assumed=bool(price.assumed))

    def _effective(self, tariff: PricedLine, day: date) -> Decimal:
        """The effective price of a unit in the account's month; the list price before any use."""
        month = day.replace(day=1)
        key = (tariff.line.account, tariff.price.provider, month)
        if key not in self._months:
            self._months[key] = self._rated(*key)
        found = self._months[key].get((tariff.line, month))
        return tariff.price.unit if found is None else Decimal(found.numerator) / Decimal(found.denominator)

    def _rated(self, account: str, provider: str, month: date) -> Mapping[tuple[Line, date], Fraction]:
        """The account's whole month as its provider bills it, by line; each day by its own price and rule."""
        zone = ZoneInfo(self._book.zone(provider))
        length = (_next(month) - month).days
        days = [_midnight(month + timedelta(days=number), zone) for number in range(length + 1)]
        if self._is_once(provider):  # what was used of the allowance in all the months before
            days.insert(0, datetime.fromtimestamp(0, UTC))
        sums = self._ledger.sums([day.timestamp() for day in days])
        used = [
            Usage(row.line, start, end, int(count))
            for row, counts in zip(self._ledger.series, sums, strict=True)
            if not row.billed
            and row.account == account
            and self._counted(row)
            and self._sold_by(row.line, provider, month)
            for (start, end), count in zip(pairwise(days), counts, strict=True)
            if count
        ]
        return effective_prices(rate(used, self._book))

    def _is_once(self, provider: str) -> bool:
        """Whether a provider gives a free allowance once and not every month."""
        rules = (rule for meter in METERS for rule in self._book.rules(provider, meter))
        return any(rule.free is not None and rule.free.period == "once" for rule in rules)

    def _sold_by(self, line: Line, provider: str, day: date) -> bool:
        return self._seller(line, day) == (line.account, provider)

    def _seller(self, line: Line, day: date) -> tuple[str, str]:
        tariff = self._book.tariff(line, day)
        return line.account, "" if isinstance(tariff, Unpriced) else tariff.price.provider

    def _near(self, model: str) -> str:
        if model not in self._nearest:
            self._nearest[model] = next(iter(self._book.nearest(model, 1)), "")
        return self._nearest[model]


def billing_zones(book: PriceBook, kinds: Iterable[SeriesRow]) -> frozenset[str]:
    """The IANA zones by whose days the providers of these series bill."""
    return frozenset(name for row in kinds for name in (book.zone_of(row.line), book.zone(provider_id(row.provider))))


@dataclass(frozen=True, slots=True)
class RateExchange:
    """One unit of a currency in another on a day, by known rates; None without a rate."""

    rates: Rates

    def __call__(self, base: str, quote: str, day: date) -> Decimal | None:
        found = self.rates.convert(Money(Decimal(1), base), quote, day)
        return None if isinstance(found, NoRate) else found.amount

    def said(self, base: str, quote: str, day: date) -> str:
        """`1 EUR is 1.08 USD, ECB reference rate of 2026-11-27`; "" without a rate."""
        value, used = self(base, quote, day), self.rates.used(base, quote, day)
        if value is None or not used:
            return ""
        sources = dict.fromkeys(one.source or "as configured" for one in used)
        return f"1 {base} is {round(value, 6).normalize():f} {quote}, {', '.join(sources)}"


def exchange_of(rates: Rates) -> RateExchange:
    """One unit of a currency in another on a day, by the configured rates; None without a rate."""
    return RateExchange(rates)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _next(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


@dataclass(frozen=True, slots=True)
class Correction:
    """The ratio of a provider's bill to the estimate, applied to the days from `since` on."""

    factor: Decimal
    since: date


def corrections(note: Mapping[str, Any] | None) -> dict[str, Correction]:
    """The corrections by provider that the evaluation recorded at its last comparison of estimates and bills."""
    found = (note or {}).items()
    return {name: Correction(Decimal(one["factor"]), date.fromisoformat(one["since"])) for name, one in found}


class CorrectedTariff:
    """Another tariff's prices, times the correction of the line's provider for the days that are not billed yet."""

    def __init__(self, tariff: Tariff, known: Mapping[str, Correction]) -> None:
        self._tariff = tariff
        self._known = known

    @property
    def version(self) -> str:
        """The prices' version, and that they are corrected."""
        return f"{self._tariff.version}, corrected by the bill"

    def zone(self, provider: str) -> str:
        """The IANA zone of a provider's billing days and months."""
        return self._tariff.zone(provider)

    def rate_of(self, lines: Sequence[Line], day: date, unit: str, exchange: Exchange) -> Rate | None:
        """As the tariff bills them; lines of a corrected provider are projected by their corrected unit prices."""
        if any(provider_id(line.provider) in self._known for line in lines):
            return None
        return self._tariff.rate_of(lines, day, unit, exchange)

    def runs(self, line: Line, first: date, last: date) -> Sequence[tuple[date, UnitPrice | NoPrice]]:
        """The tariff's runs, with another one from the first day that is not billed yet."""
        runs = list(self._tariff.runs(line, first, last))
        known = self._known.get(provider_id(line.provider))
        if known is None or known.since > last:
            return runs
        begin = max(first, known.since)
        before = [run for run in runs if run[0] < begin]
        after = [run for run in runs if run[0] > begin]
        at = next((price for day, price in reversed(runs) if day <= begin), runs[0][1])
        return [*before, *((day, _times(price, known.factor)) for day, price in [(begin, at), *after])]


def _times(price: UnitPrice | NoPrice, factor: Decimal) -> UnitPrice | NoPrice:
    return replace(price, amount=price.amount * factor) if isinstance(price, UnitPrice) else price
