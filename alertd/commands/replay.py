"""`alertd replay`: evaluate the history in a usage file: which alerts would have come, and which were right."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from rich.markup import escape
from rich.progress import Progress

from alertd.clients.price_files import price_book
from alertd.clients.reference_rates import rates_of
from alertd.commands._context import refusal
from alertd.commands._prompts import PlainConsole, plain_table
from alertd.commands._usage_files import FILE_HELP, add_reading_arguments, read_file, said_of
from alertd.core.budgets import Budget, Threshold, parse_threshold, scope_text, typed_amount
from alertd.core.config_errors import unreadable
from alertd.core.formats.table import FormatError
from alertd.core.messages.format import amount
from alertd.core.periods import PeriodRule
from alertd.core.pricing.exchange_rates import Rate
from alertd.core.pricing.price_file import PriceFileError
from alertd.core.usage import BilledCost, Usage
from alertd.settings import Settings, load_settings
from alertd.terminal import printable

if TYPE_CHECKING:
    from alertd.core.evaluation.replay import ReplayAlert, ReplayResult

HELP: Final = "replay a usage file: which alerts would have come, how early, which were false, which were missed"
EXAMPLES: Final = (
    "alertd replay --usage usage.csv --budget '500 USD' --per team --picture replay.svg",
    "alertd replay --usage usage.csv --env-file my.env --try 'forecast 100% p80' --try 'forecast 100% p60'",
)
ENDS: Final = "0 if the file was replayed; 1 if the file or the budgets cannot be used; 2 for wrong usage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: the file, the budgets, and the rules to compare."""
    add = parser.add_argument
    add("--usage", type=Path, required=True, metavar="F", help=FILE_HELP)
    add("--env-file", type=Path, action="append", default=[], metavar="F", help="an env file with budgets")
    add("--config", type=Path, metavar="F", help="a TOML file with budgets")
    add("--budget", metavar="AMOUNT", help='one budget instead of the configured ones: "500 USD"')
    add(
        "--per",
        action="append",
        default=[],
        metavar="LABEL",
        help="with --budget: one budget for every value of this label",
    )
    add("--threshold", action="append", default=[], metavar="T", help='with --budget: "actual 80%%"; may be repeated')
    add("--try", dest="tries", action="append", default=[], metavar="T", help='compare a rule: "forecast 100%% p80"')
    add("--prices", type=Path, action="append", default=[], metavar="F", help="your own price file")
    add("--picture", type=Path, metavar="F.svg", help="write spend, projections and alerts as a picture")
    add("--json", action="store_true", help="JSON lines: one alert per line, the summary last")
    add_reading_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """0 if the file was replayed."""
    # Imported here, so that --help answers without numpy.
    from alertd.core.charts.timeline import timeline  # noqa: PLC0415
    from alertd.core.evaluation.replay import tried  # noqa: PLC0415

    usage = _usage(args)
    settings = _settings(args)
    budgets = _budgets(args, settings)
    rules: list[tuple[str, tuple[Budget, ...]]] = [("as configured", budgets)]
    rules += [(str(rule), tried(budgets, rule)) for rule in map(_threshold, args.tries)]
    records = [(name, _replayed(usage, of_rule, args, settings, name)) for name, of_rule in rules]
    if args.picture:
        _draw(args.picture, timeline(records[0][1], budgets[0].amount.unit))
    if args.json:
        for line in _not_counted(records[0][1], own_prices=bool(args.budget)):
            print(line, file=sys.stderr)
        _lines(records)
    else:
        _show(records, budgets, PlainConsole(highlight=False), own_prices=bool(args.budget))
    return 0


def _not_counted(record: ReplayResult, *, own_prices: bool) -> Iterator[str]:
    """What has no price or no rate of exchange, with the remedy: without a configuration, a file of --prices."""
    for (provider, model, meter), reason in sorted(record.unpriced.items()):
        what = " ".join(filter(None, (provider, model, meter))) if meter else f"the bill of {model or provider}"
        said = _SET_RATE.sub("give it", reason) if own_prices else reason
        yield printable(f"not counted: {what}: {said.replace('in a price file', 'in a file of --prices')}")


#: A configuration's way to give a rate, which a replay without one does not read.
_SET_RATE: Final = re.compile(r"set ALERTD_FX__\w+, or give it")


def _draw(path: Path, picture: bytes) -> None:
    try:
        path.write_bytes(picture)
    except OSError as error:
        raise refusal("--picture", f"{path} cannot be written ({error.strerror})", "name another place") from error


def _usage(args: argparse.Namespace) -> tuple[Usage | BilledCost, ...]:
    path = args.usage
    try:
        return read_file(path, said_of(args)).counted
    except OSError as error:
        raise refusal(str(path), unreadable(error), "name a file") from error
    except FormatError as error:
        raise refusal(str(path), "; ".join(error.faults), "docs/files.md lists the formats") from error
    except ValueError as error:
        raise refusal("--columns", str(error), "write NAME=MEANING") from error


def _settings(args: argparse.Namespace) -> Settings | None:
    """The configuration, if budgets come from it."""
    if args.budget:
        return None
    return load_settings(os.environ, args.env_file, args.config, need=("budgets",))


def _budgets(args: argparse.Namespace, settings: Settings | None) -> tuple[Budget, ...]:
    if settings is not None:
        return tuple(settings.budgets.values())
    try:
        whole = typed_amount(args.budget)
    except ValueError as error:
        raise refusal("--budget", str(error), 'for example --budget "500 USD"') from error
    budget = Budget("budget", whole, PeriodRule("month", ZoneInfo("UTC")), per=tuple(args.per))
    if args.threshold:
        budget = replace(budget, thresholds=tuple(_threshold(text, "--threshold") for text in args.threshold))
    return (budget,)


def _threshold(text: str, option: str = "--try") -> Threshold:
    try:
        return parse_threshold(text)
    except ValueError as error:
        raise refusal(option, str(error), f'for example {option} "forecast 100% p80"') from error


def _replayed(
    usage: tuple[Usage | BilledCost, ...],
    budgets: tuple[Budget, ...],
    args: argparse.Namespace,
    settings: Settings | None,
    name: str,
) -> ReplayResult:
    """One rule's replay, with a bar on a terminal."""
    # Imported here, so that --help answers without numpy.
    from alertd.core.evaluation.replay import replay  # noqa: PLC0415
    from alertd.core.pricing.tariffs import exchange_of  # noqa: PLC0415

    try:
        book = price_book([*args.prices, *(settings.prices if settings else ())])
    except PriceFileError as error:
        raise refusal("--prices", str(error), "config/prices.example.toml is an example") from error
    rates = [Rate(base, quote, rate) for (base, quote), rate in settings.fx.items()] if settings else []
    with Progress(console=PlainConsole(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(escape(name), total=1.0)
        return replay(
            usage, budgets, book, exchange_of(rates_of(book, rates)), lambda share: bar.update(task, completed=share)
        )


def _lines(records: list[tuple[str, ReplayResult]]) -> None:
    for name, record in records:
        rule = {"rule": name} if len(records) > 1 else {}
        for alert in record.alerts:
            print(json.dumps({**rule, **_alert_of(alert)}))
        print(json.dumps({**rule, "summary": record.summary()}))


def _alert_of(alert: ReplayAlert) -> dict[str, object]:
    """An alert as JSON values."""
    level = alert.level
    return {
        "at": _instant(alert.at),
        "budget": alert.budget,
        "scope": dict(alert.scope),
        "period": alert.period,
        "basis": alert.basis,
        "level": int(level) if level == level.to_integral_value() else float(level),
        "spent": f"{alert.spent:f}",
        "projected": None if alert.projected is None else f"{alert.projected:f}",
        "exhausted_at": None if alert.exhausted_at is None else _instant(alert.exhausted_at),
    }


def _instant(at: Any) -> str:
    return str(at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"))


def _show(
    records: list[tuple[str, ReplayResult]], budgets: tuple[Budget, ...], console: PlainConsole, *, own_prices: bool
) -> None:
    first = records[0][1]
    table = plain_table("at", "budget", "threshold", "spent", "projected", "used up")
    unit = {budget.name: budget.amount.unit for budget in budgets}
    for alert in first.alerts:
        where = " ".join(part for part in (alert.budget, scope_text(alert.scope)) if part)
        projected = amount(alert.projected, unit[alert.budget]) if alert.projected is not None else ""
        gone = f"{alert.exhausted_at:%d %b}" if alert.exhausted_at else ""
        spent = amount(alert.spent, unit[alert.budget])
        table.add_row(f"{alert.at:%Y-%m-%d %H:%M}", escape(printable(where)), alert.threshold, spent, projected, gone)
    console.print(table)
    for line in _not_counted(first, own_prices=own_prices):
        console.print(f"[yellow]{escape(line)}[/yellow]")
    rules = plain_table("rule", "periods", "crossings", "caught", "missed", "false", "days ahead (median)")
    for name, record in records:
        summary = record.summary()
        lead = summary["median_lead_days"]
        counts = [str(summary[key]) for key in ("periods", "crossings", "caught", "missed", "false")]
        rules.add_row(name, *counts, "" if lead is None else f"{Decimal(str(lead)):.1f}")
    console.print(rules)
