"""`alertd rate`: a usage file priced as the provider would bill it. It needs no configuration, database or network."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from alertd.core.faults import unreadable
from alertd.core.money import Money
from alertd.core.pricing.fx import NoRate
from alertd.core.pricing.pricefile import PriceFileError
from alertd.core.pricing.prices import PriceBook
from alertd.core.pricing.usagefile import UsageFile, UsageFileError, has_time, month_of, read_usage
from alertd.core.rating import MICRO, Bill, BillLine, rate, share
from alertd.core.usage import Line, Usage
from alertd.wire.pricebook import price_book, rates_of

HELP: Final = "price a usage file as the provider would bill it: each line, its rule, and why"
EXAMPLES: Final = (
    "alertd rate --usage usage.csv",
    "alertd rate --usage usage.csv --period 2026-03 --prices prices.toml --by project",
)
ENDS: Final = (
    "0, also where something is unpriced; 1 where --currency wants a rate of exchange that is missing; "
    "2 for a wrong use or file"
)
#: Unpriced models for which the nearest known ones are looked up; beyond that the list itself says enough.
_NEAREST_FOR: Final = 20
_LETTERS: Final = 3
_AT_LEAST_CENTS: Final = 2
_CENT: Final = Decimal("0.01")
_SHORT: Final = {1_000_000: "1M", 1_000: "1k"}


@dataclass(frozen=True, slots=True)
class Rated:
    """All there is to show: the bill, how it was read, its total in one currency, and its shares."""

    bill: Bill
    notes: tuple[str, ...]
    nearest: Mapping[str, tuple[str, ...]]
    converted: Money | NoRate | None
    shares: Mapping[str, Mapping[str, Decimal]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file, the month of rows without a time, own prices, and how to show the answer."""
    parser.add_argument(
        "--usage", required=True, type=Path, metavar="F.csv", help="columns: provider,model,meter,quantity"
    )
    parser.add_argument(
        "--period", metavar="YYYY-MM", help="the month of rows without a time; of others, the one to rate"
    )
    parser.add_argument(
        "--prices", action="append", default=[], type=Path, metavar="F.toml", help="own prices, above all"
    )
    parser.add_argument(
        "--currency", type=_currency, metavar="EUR", help="the total in one currency, too, by the rates of --prices"
    )
    parser.add_argument("--by", metavar="LABEL", help="share the bill over the values of a column (project, team, ...)")
    parser.add_argument(
        "--cached",
        choices=("auto", "included", "disjoint"),
        default="auto",
        help="whether a file's input_tokens include its cached tokens (auto: unless there are more of them)",
    )
    parser.add_argument("--json", action="store_true", help="the answer for machines")


def _currency(text: str) -> str:
    if not (text.isascii() and text.isalpha() and len(text) == _LETTERS):
        raise argparse.ArgumentTypeError(f"{text!r} is no currency; write three letters, such as EUR")
    return text.upper()


def run(args: argparse.Namespace) -> int:
    """Rate the file; 0, or 2 where a file cannot be used, or 1 where a wanted rate of exchange is not known."""
    try:
        month = month_of(args.period) if args.period else None
        book = price_book(args.prices)
        file = _read(args, month)
    except (OSError, UnicodeDecodeError, csv.Error, PriceFileError, UsageFileError) as error:
        print(_placed(error, args.usage), file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"--period: {error}", file=sys.stderr)
        return 2
    rated = _rated(args, file, book, month)
    if args.json:
        print(json.dumps(as_answer(rated), ensure_ascii=False))
    else:
        show(rated, Console(emoji=False))
    return 1 if isinstance(rated.converted, NoRate) else 0


def as_answer(rated: Rated) -> dict[str, Any]:
    """The answer's JSON: quantities as whole numbers in the meter's own unit, money as plain decimal strings."""
    answer: dict[str, Any] = {
        "lines": [_line(line) for line in rated.bill.lines],
        "totals": {currency: plain(total) for currency, total in rated.bill.totals.items()},
        "unpriced": [
            {
                **_of(one.line),
                "quantity": one.quantity,
                "reason": one.reason,
                "nearest": list(rated.nearest.get(one.line.model, ())),
            }
            for one in rated.bill.unpriced
        ],
        "notes": list(rated.notes),
    }
    if rated.bill.at_most != rated.bill.totals:
        answer["at_most"] = {currency: plain(total) for currency, total in rated.bill.at_most.items()}
    if rated.shares:
        answer["shares"] = {
            part: {currency: plain(cost) for currency, cost in costs.items()} for part, costs in rated.shares.items()
        }
    match rated.converted:
        case Money():
            answer["converted"] = {rated.converted.currency: plain(rated.converted.amount)}
        case NoRate():
            answer["faults"] = [rated.converted.reason]
        case None:
            pass
    return answer


def plain(amount: Decimal) -> str:
    """Money without an exponent: every digit that says something, and at least the cents."""
    short = amount.normalize()
    exponent = short.as_tuple().exponent
    decimals = max(-exponent if isinstance(exponent, int) else 0, _AT_LEAST_CENTS)
    return f"{short:.{decimals}f}"


def show(rated: Rated, console: Console) -> None:
    """The bill for people: each line, and under them their rules and the sentences that justify them."""
    reasons: dict[tuple[str, str], int] = {}
    for heading, lines in groupby(rated.bill.lines, key=_heading):
        console.print(f"[bold]{escape(heading)}[/bold]")
        console.print(_table(lines, reasons))
    for (name, sentence), number in reasons.items():
        console.print(f"({number}) {name}: {escape(sentence)}", highlight=False, soft_wrap=True)
    for text in _summary(rated):
        console.print(text, highlight=False, soft_wrap=True)


def _table(lines: Iterable[BillLine], reasons: dict[tuple[str, str], int]) -> Table:
    """The lines of one account and month; `reasons` numbers the sentences over all of them."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("line", overflow="fold")
    for name in ("quantity", "billed", "unit price", "cost", "why"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        number = reasons.setdefault((line.rule.name, line.sentence), len(reasons) + 1)
        table.add_row(*_row(line), f"({number})")
    return table


def _heading(line: BillLine) -> str:
    account = f" account {line.line.account}" if line.line.account else ""
    return f"{line.month:%Y-%m} {line.price.provider}{account}"


def _row(line: BillLine) -> tuple[str, ...]:
    refined = " ".join(f"{name}={value}" for name, value in line.line.modifiers)
    return (
        escape(f"{line.line.model} {line.line.meter} {refined}".rstrip()),
        f"{line.quantity:,}",
        f"{line.billed_quantity:,}",
        f"{plain(line.unit_price)}/{_SHORT.get(line.price.per, f'{line.price.per:,}')}",
        f"{plain(line.cost)}{'+' if line.at_most is not None else ''} {line.currency}",
    )


def _summary(rated: Rated) -> Iterable[str]:
    at_most = rated.bill.at_most
    for currency, total in rated.bill.totals.items():
        bound = f" (at most {plain(at_most[currency])}: some prices depend on each request's size)"
        yield f"[bold]total {plain(total)} {currency}[/bold]{bound if at_most[currency] != total else ''}, untaxed"
    match rated.converted:
        case Money():
            yield f"together {plain(rated.converted.amount)} {rated.converted.currency}"
        case NoRate():
            yield f"[red]{escape(rated.converted.reason)}[/red]"
        case None:
            pass
    for part, costs in rated.shares.items():
        yield escape(f"{part}: " + ", ".join(f"{plain(cost)} {currency}" for currency, cost in costs.items()))
    for reason, lines in groupby(rated.bill.unpriced, key=lambda one: one.reason):
        amounts = list(lines)
        said = ", ".join(f"{one.quantity:,} {one.line.meter}" for one in amounts)
        near = ", ".join(rated.nearest.get(amounts[0].line.model, ()))
        yield "[yellow]unpriced[/yellow] " + escape(f"{said}: {reason}" + (f"; nearest known: {near}" if near else ""))
    yield from (escape(f"note: {note}") for note in rated.notes)


def _read(args: argparse.Namespace, month: date | None) -> UsageFile:
    with args.usage.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        if month is not None or has_time(header):
            return read_usage(header, rows, month=month, cached=args.cached)
        now = datetime.now(UTC).date().replace(day=1)
        read = read_usage(header, rows, month=now, cached=args.cached)
        return replace(
            read, notes=(*read.notes, f"no row has a time: taken as used in {now:%Y-%m} (--period says another)")
        )


def _rated(args: argparse.Namespace, file: UsageFile, book: PriceBook, month: date | None) -> Rated:
    usage = [used for used in file.usage if month is None or _month(used, book) == month]
    bill = rate(usage, book)
    unknown = list(dict.fromkeys(one.line.model for one in bill.unpriced))[:_NEAREST_FOR]
    return Rated(
        bill=bill,
        notes=file.notes,
        nearest={model: book.nearest(model) for model in unknown},
        converted=_converted(bill, book, args.currency) if args.currency else None,
        shares=_shares(bill, usage, book, args.by) if args.by else {},
    )


def _converted(bill: Bill, book: PriceBook, currency: str) -> Money | NoRate:
    """The whole bill in one currency, each line at the rate of its month's first day."""
    rates = rates_of(book)
    total = Money(Decimal(0), currency)
    for line in bill.lines:
        money = rates.convert(Money(line.cost, line.currency), total.currency, line.month)
        if isinstance(money, NoRate):
            pair = f"no rate from {money.base} to {money.quote} on {line.month}"
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


def _of(line: Line) -> dict[str, Any]:
    named: dict[str, Any] = {"provider": line.provider, "model": line.model, "meter": line.meter}
    if line.modifiers:
        named["modifiers"] = dict(line.modifiers)
    if line.account:
        named["account"] = line.account
    return named


def _line(line: BillLine) -> dict[str, Any]:
    shown = {
        **_of(line.line),
        "provider": line.line.provider or line.price.provider,
        "month": f"{line.month:%Y-%m}",
        "quantity": line.quantity,
        "billed_quantity": line.billed_quantity,
        "unit": line.unit,
        "unit_price": plain(line.unit_price),
        "cost": plain(line.cost),
        "currency": line.currency,
        "rule": line.rule.name,
        "sentence": line.sentence,
        "price_source": line.price.source,
    }
    return shown if line.at_most is None else {**shown, "at_most": plain(line.at_most)}


def _placed(error: Exception, usage: Path) -> str:
    """An error with the file that it is about."""
    if isinstance(error, PriceFileError):
        return str(error)
    if isinstance(error, OSError | UnicodeDecodeError):
        return f"{getattr(error, 'filename', None) or usage}: {unreadable(error)}; check the path and its rights"
    return f"{usage}: {error}"
