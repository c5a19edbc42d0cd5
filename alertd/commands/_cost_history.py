"""Costs by day and scope, from a usage file or the ledger, on which proposals are based. Not a command."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from alertd.clients.price_files import price_book
from alertd.clients.reference_rates import rates_of
from alertd.commands._context import refusal, with_daemon
from alertd.commands._settings_args import settings_of
from alertd.commands._usage_files import read_file, said_of
from alertd.core.budgets import Scope
from alertd.core.config_errors import unreadable
from alertd.core.evaluation.replay import ledger_of
from alertd.core.formats.table import FormatError
from alertd.core.ledger.columns import Ledger
from alertd.core.money import Money
from alertd.core.pricing.costing import Exchange
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.price_file import PriceFileError
from alertd.core.pricing.showback import Share, shares
from alertd.core.pricing.source_roles import counting
from alertd.core.pricing.tariffs import LedgerTariff, exchange_of
from alertd.core.usage import BilledCost, Usage

if TYPE_CHECKING:
    from alertd.daemon import Daemon

_DAY: Final = timedelta(days=1)
_UTC: Final = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True)
class CostHistory:
    """Costs by day and scope, and as records to replay."""

    costs: Mapping[Scope, Sequence[Decimal]]
    first: date
    records: Sequence[Usage | BilledCost]
    book: PriceBook
    exchange: Exchange
    notes: list[str]
    #: Whether the records are sums of days: then nothing is said of burn rates.
    by_day: bool


def costs_of_file(args: argparse.Namespace) -> CostHistory:
    """The costs in `--usage`. SettingsError if the file or the price files cannot be used."""
    try:
        contents = read_file(args.usage, said_of(args))
        book = price_book(args.prices)
    except OSError as error:
        raise refusal(str(args.usage), unreadable(error), "name a file") from error
    except FormatError as error:
        raise refusal(str(args.usage), "; ".join(error.faults), "docs/files.md lists the formats") from error
    except PriceFileError as error:
        raise refusal("--prices", str(error), "config/prices.example.toml is an example") from error
    except ValueError as error:
        raise refusal("--columns", str(error), "write NAME=MEANING") from error
    records = contents.counted
    if not records:
        raise refusal(str(args.usage), "it holds no usage", "name a file with rows")
    first = min(one.start for one in records).astimezone(UTC).date()
    last = (max(one.end for one in records).astimezone(UTC) - timedelta(microseconds=1)).date()
    days = _days(first, last)
    exchange = exchange_of(rates_of(book, []))
    ledger = ledger_of(records)
    rows = shares(ledger, LedgerTariff(book, ledger), days, _UTC, by=args.per)
    costs, notes = _by_scope(rows, tuple(args.per), days, args.currency, exchange)
    return CostHistory(costs, first, records, book, exchange, notes, by_day=False)


def costs_of_ledger(args: argparse.Namespace) -> CostHistory:
    """The costs of the last `--days` whole days in the configured database. SettingsError if it does not answer."""
    last = datetime.now(UTC).date() - _DAY
    days = _days(last - (max(1, args.days) - 1) * _DAY, last)

    async def work(daemon: Daemon) -> CostHistory:
        facts, _ = await daemon.evaluation.preview()
        ledger = Ledger()
        ledger.add_series(await daemon.store.series())
        ledger.apply((await daemon.store.usage(datetime.combine(days[0], time(), UTC) - _DAY))[0])
        assert facts.book is not None  # noqa: S101 - a daemon's facts have one
        roles = facts.context.standings
        counted = counting(ledger.kinds, roles)
        rows = shares(ledger, LedgerTariff(facts.book, ledger, roles), days, _UTC, by=args.per, counted=counted)
        costs, notes = _by_scope(rows, tuple(args.per), days, args.currency, facts.context.exchange)
        begun = min((n for costs_of in costs.values() for n, cost in enumerate(costs_of) if cost), default=0)
        costs = {scope: costs_of[begun:] for scope, costs_of in costs.items()}
        records = list(_as_bills(costs, days[begun], args.currency))
        return CostHistory(costs, days[begun], records, facts.book, facts.context.exchange, notes, by_day=True)

    return with_daemon(settings_of(args), work)


def _days(first: date, last: date) -> list[date]:
    return [first + n * _DAY for n in range((last - first).days + 1)]


def _by_scope(
    rows: Iterable[Share], per: tuple[str, ...], days: Sequence[date], currency: str, exchange: Exchange
) -> tuple[dict[Scope, list[Decimal]], list[str]]:
    """The cost of every scope by day, in one currency; what is left out is noted, it is never a zero."""
    costs: dict[Scope, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * len(days))
    place = {day: n for n, day in enumerate(days)}
    left_out: dict[str, None] = {}
    for row in rows:
        if row.cost is None:
            left_out[f"not in the amounts: {row.reason}"] = None
            continue
        rate = Decimal(1) if row.currency == currency else exchange(row.currency, currency, row.day)
        if rate is None:
            left_out[f"not in the amounts: costs in {row.currency}; no rate to {currency} is known"] = None
            continue
        scope = tuple((name, row.labels.get(name) or None) for name in per)
        costs[scope][place[row.day]] += row.cost * rate
    return dict(costs), list(left_out)


def _as_bills(costs: Mapping[Scope, Sequence[Decimal]], first: date, currency: str) -> Iterator[BilledCost]:
    """The ledger's days as records: what a replay takes."""
    for scope, of_scope in costs.items():
        labels = {name: value for name, value in scope if value is not None}
        provider, model = labels.pop("provider", ""), labels.pop("model", "")
        for n, cost in enumerate(of_scope):
            if cost:
                start = datetime.combine(first + n * _DAY, time(), UTC)
                yield BilledCost(provider, start, start + _DAY, Money(cost, currency), labels, model, "ledger")
