"""`alertd prices`: list the price of every used model with its date and source, and compare it with another list."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from rich.markup import escape

from alertd.clients.price_files import price_book, price_list_file
from alertd.commands._context import refusal, with_store
from alertd.commands._prompts import PlainConsole, plain_table
from alertd.commands._settings_args import add_settings_arguments, settings_of
from alertd.core.messages.format import plural
from alertd.core.pricing.price_book import Price, PriceBook, Unpriced
from alertd.core.pricing.price_file import PriceFileError
from alertd.core.pricing.price_suggestions import Disagreement, disagreements, other_price, price_blocks, price_text
from alertd.core.usage import Line
from alertd.ports import SourceError, Store
from alertd.settings import Settings
from alertd.terminal import printable

HELP: Final = "the price of each used model, its date and list; where lists disagree; unpriced usage"
EXAMPLES: Final = (
    "alertd prices --env-file my.env                  # every used model; lines to paste for unpriced ones",
    "alertd prices diff --with litellm                # where another list differs by more than 10%",
    "alertd prices update --env-file my.env           # fetch ALERTD_PRICES__UPDATE_URL into LIST_FILE now",
)
ENDS: Final = "0; 1 if something has no price, `diff` finds a difference, or a list cannot be read; 2 for wrong usage"
_WHAT: Final = ("list", "diff", "update")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: the subcommand, the configuration, and the list to compare with."""
    parser.add_argument("what", nargs="?", choices=_WHAT, default="list", help="list (default), diff or update")
    add_settings_arguments(parser)
    parser.add_argument(
        "--with",
        dest="second",
        default="",
        metavar="FILE",
        help="LiteLLM's price table to compare with, or `litellm`: that of the installed package "
        "(ALERTD_PRICES__SECOND_OPINION)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """0; 1 if something is unpriced or differs, or a list cannot be read."""
    settings = settings_of(args)
    if args.what == "update":
        return _update(settings)
    book = _book(settings, args.second)
    if args.what == "diff" and book.second is None:
        raise refusal("prices diff", "there is no list to compare with", "give --with FILE, or --with litellm")

    async def used(store: Store) -> list[Line]:
        rows = await store.series()
        return sorted({replace(row.line, account="") for row in rows if not row.billed and (row.model or row.meter)})

    lines, today = with_store(settings, used), datetime.now(UTC).date()
    differing = list(disagreements(book, lines, today))
    if args.what == "diff":
        return _show_differences(differing, as_json=args.json)
    rows = [_row(book, line, today, differing) for line in lines]
    blocks = list(price_blocks(book, lines, today))
    if args.json:
        print(json.dumps({"version": book.version, "prices": rows, "blocks": blocks}, indent=2))
    else:
        _show(book, rows, differing, blocks)
    return int(any("reason" in row for row in rows))


def _book(settings: Settings, second: str) -> PriceBook:
    lists = settings.price_lists
    try:
        return price_book(settings.prices, second or lists.second_opinion, lists.file)
    except PriceFileError as error:
        problem, _, remedy = error.faults[0].partition("; ")
        raise refusal("--with" if second else "prices", problem, remedy) from error


def _row(book: PriceBook, line: Line, day: date, differing: Sequence[Disagreement]) -> dict[str, Any]:
    """One used line with its price, or the reason without one; money as decimal strings."""
    row: dict[str, Any] = {"provider": line.provider, "model": line.model, "meter": line.meter}
    row |= {"modifiers": dict(line.modifiers)} if line.modifiers else {}
    price = book.price(line, day)
    if isinstance(price, Unpriced):
        near = [] if price.known else list(book.nearest(line.model))
        return row | {"reason": price.reason, "nearest": near}
    theirs = other_price(book, line, price.per, day)
    return row | {
        "price": price_text(price.amount),
        "at_most": price_text(price.ceiling) if price.ceiling is not None else None,
        "per": price.per,
        "currency": price.currency,
        "since": price.since.isoformat() if price.since else None,
        "source": price.source,
        "assumed": price.assumed,
        "note": price.note,
        "other": {"price": price_text(theirs.amount), "source": theirs.source} if isinstance(theirs, Price) else None,
        "disagree": any(one.line == line for one in differing),
    }


def _show(
    book: PriceBook, rows: Sequence[dict[str, object]], differing: Sequence[Disagreement], blocks: Sequence[str]
) -> None:
    console = PlainConsole(highlight=False)
    priced, unpriced = [row for row in rows if "price" in row], [row for row in rows if "reason" in row]
    if priced:
        table = plain_table()
        for name in ("model", "price", "since", "source") + (("other list",) if book.second else ()):
            table.add_column(name, overflow="fold")
        for row in priced:
            table.add_row(*map(escape, _cells(row, with_other=book.second is not None)))
        console.print(table)
    elif not rows:
        console.print("No usage is stored yet; only prices of used models are shown.")
    for one in differing:
        console.print(f"[yellow]disagree[/yellow] {escape(printable(one.said))}", soft_wrap=True)
    for said in dict.fromkeys(map(_unpriced, unpriced)):
        console.print(f"[yellow]unpriced[/yellow] {escape(printable(said))}", soft_wrap=True)
    if blocks:
        print("\n# to paste into a file of ALERTD_PRICES__FILES, with the provider's figures:\n")
        print("\n\n".join(blocks))


def _unpriced(row: dict[str, Any]) -> str:
    near = f"; nearest known: {', '.join(row['nearest'])}" if row["nearest"] else ""
    return f"{row['reason']}{near}"


def _cells(row: dict[str, Any], *, with_other: bool) -> tuple[str, ...]:
    refined = " ".join(f"{name}={value}" for name, value in row.get("modifiers", {}).items())
    name = " ".join(part for part in (row["provider"], row["model"], row["meter"], refined) if part)
    most = f" to {price_text(row['at_most'])}" if row["at_most"] else ""
    figure = f"{price_text(row['price'])}{most} {row['currency']}/{row['per']:,}".replace("1,000,000", "1M")
    said = " · ".join(part for part in (row["source"], row["note"], row["assumed"]) if part)
    cells = (printable(name), figure, row["since"] or "always", printable(said))
    other = price_text(row["other"]["price"]) + (" differs" if row["disagree"] else "") if row["other"] else "–"
    return (*cells, other) if with_other else cells


def _show_differences(differing: Sequence[Disagreement], *, as_json: bool) -> int:
    if as_json:
        rows = [
            {
                "provider": one.line.provider,
                "model": one.line.model,
                "meter": one.line.meter,
                "price": price_text(one.ours.amount),
                "source": one.ours.source,
                "other": price_text(one.theirs.amount),
                "other_source": one.theirs.source,
                "per": one.ours.per,
                "currency": one.ours.currency,
            }
            for one in differing
        ]
        print(json.dumps({"disagreements": rows}, indent=2))
    else:
        print("\n".join(printable(one.said) for one in differing) or "The lists agree on all used models.")
    return int(bool(differing))


def _update(settings: Settings) -> int:
    lists = settings.price_lists
    if not lists.update_url or lists.file is None:
        raise refusal("ALERTD_PRICES__UPDATE_URL", "the download address is not set", "set it, and LIST_FILE")
    try:
        count = asyncio.run(_fetch(lists.update_url, lists.file))
    except SourceError as error:
        print(f"ALERTD_PRICES__UPDATE_URL: {error}", file=sys.stderr)
        return 1
    print(f"{lists.file}: {plural(count, 'provider')}")
    return 0


async def _fetch(url: str, file: Path) -> int:
    fetching = price_list_file(url, file)
    try:
        return await fetching.fetch()
    finally:
        await fetching.close()
