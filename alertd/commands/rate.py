"""`alertd rate`: price a usage file as the provider would bill it. It needs no configuration, database or network."""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from alertd.clients.price_files import price_book
from alertd.clients.reference_rates import rates_of
from alertd.commands._prompts import PlainConsole
from alertd.commands._rating import Rated, as_answer, show
from alertd.commands._usage_files import FILE_HELP, add_reading_arguments, month_said, read_file, said_of
from alertd.core.config_errors import unreadable
from alertd.core.formats.records import Contents
from alertd.core.formats.table import FormatError
from alertd.core.formats.times import month_of
from alertd.core.money import Money
from alertd.core.pricing.allocation import MICRO, share
from alertd.core.pricing.exchange_rates import NoRate
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.price_file import PriceFileError
from alertd.core.pricing.price_suggestions import price_blocks
from alertd.core.pricing.rating import Bill, rate
from alertd.core.usage import BilledCost, Line, Usage

HELP: Final = "price a usage file as the provider would bill it: each line, its rule, and why"
EXAMPLES: Final = (
    "alertd rate --usage usage.csv",
    "alertd rate --usage usage.csv --period 2026-03 --prices prices.toml --by project",
)
ENDS: Final = "0, also with unpriced usage; 1 if an exchange rate for --currency is missing; 2 for wrong usage or file"
#: The most unpriced models for which similar known models are listed.
_NEAREST_FOR: Final = 20
_LETTERS: Final = 3
_CENT: Final = Decimal("0.01")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: the file, the month of rows without a time, your prices, and the output."""
    parser.add_argument("--usage", required=True, type=Path, metavar="FILE", help=FILE_HELP)
    parser.add_argument(
        "--period", metavar="YYYY-MM", help="the month of rows without a time; otherwise the month to rate"
    )
    parser.add_argument(
        "--prices",
        action="append",
        default=[],
        type=Path,
        metavar="F.toml",
        help="your own prices, which override all others",
    )
    parser.add_argument(
        "--currency",
        type=_currency,
        metavar="EUR",
        help="also print the total in one currency, at the rates in --prices",
    )
    parser.add_argument("--by", metavar="LABEL", help="divide the bill by the values of a column (project, team, ...)")
    add_reading_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _currency(text: str) -> str:
    if not (text.isascii() and text.isalpha() and len(text) == _LETTERS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a currency; write three letters, such as EUR")
    return text.upper()


def run(args: argparse.Namespace) -> int:
    """Rate the file: 0, 2 if a file cannot be used, or 1 if an exchange rate is missing."""
    try:
        month = month_of(month_said(args.period)).date() if args.period else None
        book = price_book(args.prices)
        file = _read(args)
    except (OSError, PriceFileError, FormatError) as error:
        print(_placed(error, args.usage), file=sys.stderr)
        return 2
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    rated = _rated(args, file, book, month)
    if args.json:
        print(json.dumps(as_answer(rated), ensure_ascii=False))
    else:
        show(rated, PlainConsole())
    return 1 if isinstance(rated.converted, NoRate) else 0


def _read(args: argparse.Namespace) -> Contents:
    """Read the file; rows without a time belong to --period, else to this month, with a remark."""
    said = said_of(args, month=args.period or "")
    try:
        return read_file(args.usage, said)
    except FormatError as error:
        if args.period or "no column of times" not in str(error):
            raise
    now = datetime.now(UTC)
    read = read_file(args.usage, replace(said, month=f"{now:%Y-%m}"))
    return replace(
        read, notes=(*read.notes, f"no row has a time: taken as {now:%Y-%m} (set --period for another month)")
    )


def _rated(args: argparse.Namespace, file: Contents, book: PriceBook, month: date | None) -> Rated:
    usage = [used for used in file.usage if month is None or _month(used, book) == month]
    own = file.costs or file.reported
    billed = tuple(one for one in own if month is None or one.start.date().replace(day=1) == month)
    counts = bool(billed) and (not file.usage or (bool(file.costs) and file.layout != "free"))
    bill = rate(usage, book)
    unknown = list(dict.fromkeys(one.line.model for one in bill.unpriced if not one.known))[:_NEAREST_FOR]
    blocks = islice(price_blocks(book, (one.line for one in bill.unpriced), datetime.now(UTC).date()), _NEAREST_FOR)
    return Rated(
        bill=bill,
        billed=billed,
        counts=counts,
        notes=file.notes,
        nearest={model: book.nearest(model) for model in unknown},
        converted=_converted(_amounts(bill, billed, counts=counts), book, args.currency) if args.currency else None,
        shares=_shared(bill, billed, usage, book, args.by, counts=counts) if args.by else {},
        blocks=tuple(blocks),
    )


def _amounts(bill: Bill, billed: Iterable[BilledCost], *, counts: bool) -> Iterable[tuple[Money, date]]:
    """The parts of the totals: money and the day of its exchange rate."""
    if counts:
        return [(one.cost, one.start.date().replace(day=1)) for one in billed]
    return [(Money(line.cost, line.currency), line.month) for line in bill.lines]


def _shared(
    bill: Bill, billed: Iterable[BilledCost], usage: Iterable[Usage], book: PriceBook, label: str, *, counts: bool
) -> Mapping[str, Mapping[str, Decimal]]:
    if not counts:
        return _shares(bill, usage, book, label)
    parts: dict[str, dict[str, Decimal]] = {}
    for one in billed:
        part = parts.setdefault(one.labels.get(label, "(none)"), defaultdict(Decimal))
        part[one.cost.currency] += one.cost.amount
    return parts


def _converted(amounts: Iterable[tuple[Money, date]], book: PriceBook, currency: str) -> Money | NoRate:
    """All amounts in one currency, each at the rate of its month's first day."""
    rates = rates_of(book)
    total = Money(Decimal(0), currency)
    for amount, month in amounts:
        money = rates.convert(amount, total.currency, month)
        if isinstance(money, NoRate):
            pair = f"no rate from {money.base} to {money.quote} on {month}"
            return replace(money, reason=f"{pair}; give it as [[fx]] in a file of --prices")
        total += money
    return total


def _shares(bill: Bill, usage: Iterable[Usage], book: PriceBook, label: str) -> Mapping[str, Mapping[str, Decimal]]:
    parts: dict[str, dict[tuple[Line, date], int]] = {}
    for used in usage:
        where = (used.line, _month(used, book))
        part = parts.setdefault(used.labels.get(label, "(none)"), {})
        part[where] = part.get(where, 0) + used.quantity
    in_cents = all(total == total.quantize(_CENT) for total in bill.totals.values())
    return share(bill, parts, _CENT if in_cents else MICRO)


def _month(used: Usage, book: PriceBook) -> date:
    """The month of the provider's bill that a window belongs to."""
    return used.start.astimezone(ZoneInfo(book.zone_of(used.line))).date().replace(day=1)


def _placed(error: Exception, usage: Path) -> str:
    """An error with the name of its file."""
    if isinstance(error, PriceFileError):
        return str(error)
    if isinstance(error, OSError):
        return f"{getattr(error, 'filename', None) or usage}: {unreadable(error)}; check the path and its rights"
    return "\n".join(f"{usage}: {fault}" for fault in getattr(error, "faults", (str(error),)))
