"""`alertd budgets propose`: amounts for budgets from what was spent, and what they would have announced.

0 if amounts were proposed; 1 if there is nothing to propose from.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from rich.markup import escape
from rich.progress import Progress

from alertd.commands._context import refusal
from alertd.commands._prompts import PlainConsole, plain_table
from alertd.commands._settings_args import add_settings_arguments
from alertd.commands._usage_files import FILE_HELP, add_reading_arguments
from alertd.core.budgets import Amount, Budget, Override, Scope, parse_threshold
from alertd.core.messages.format import amount as money
from alertd.core.periods import PeriodRule
from alertd.terminal import printable

if TYPE_CHECKING:
    from alertd.commands._cost_history import CostHistory
    from alertd.core.evaluation.replay import ReplayResult
    from alertd.core.evaluation.report import AmountProposal

_DAY: Final = timedelta(days=1)
_CENT: Final = Decimal("0.01")
_UTC: Final = ZoneInfo("UTC")
#: A scope below this share of all spend takes the amount of the small ones.
_SMALL: Final = Decimal("0.01")
#: How many idle scopes are named.
_NAMED: Final = 6


def add_propose(parser: argparse.ArgumentParser) -> None:
    """The options of `propose`: the history, the scopes, and the output file."""
    add = parser.add_argument
    add("--usage", type=Path, metavar="F", help=f"{FILE_HELP} (default: the ledger of the configured database)")
    add("--per", action="append", default=[], metavar="LABEL", help="one amount for every value of this label")
    add("--days", type=int, default=92, metavar="N", help="from the ledger: how many days back (%(default)s)")
    add("--currency", default="USD", metavar="CUR", help="of the amounts (%(default)s)")
    add("--prices", type=Path, action="append", default=[], metavar="F", help="your own price file")
    add("--write", type=Path, metavar="FOLDER", help="write proposal.env and proposal.csv there")
    add("--json", action="store_true", help="JSON instead of text")
    add_reading_arguments(parser)
    add_settings_arguments(parser)


def propose_amounts(args: argparse.Namespace) -> int:
    """0 if amounts were proposed; SettingsError if the file or the ledger cannot be used."""
    # Imported here, so that --help answers without numpy.
    from alertd.commands._cost_history import costs_of_file, costs_of_ledger  # noqa: PLC0415
    from alertd.core.evaluation.report import IDLE_DAYS, propose, split_idle  # noqa: PLC0415

    history = costs_of_file(args) if args.usage else costs_of_ledger(args)
    active, idle = split_idle(history.costs)
    if idle:
        named = ", ".join(map(_name, idle[:_NAMED])) + (f" and {len(idle) - _NAMED} more" if len(idle) > _NAMED else "")
        history.notes.append(f"no amount for what cost nothing for {IDLE_DAYS} days: {named}")
    proposals = propose(active, history.first, _UTC)
    if not proposals:
        print("nothing was spent in this time: there is nothing to propose from", file=sys.stderr)
        return 1
    budget = _budget(proposals, tuple(args.per), args.currency)
    result = _only(_replayed(history, budget), {one.scope for one in proposals})
    if args.write:
        _write(args.write, budget)
    if args.json:
        print(json.dumps(_answer(proposals, budget, result, history)))
    else:
        _show(proposals, budget, result, history, written=args.write)
    return 0


def _budget(proposals: Sequence[AmountProposal], per: tuple[str, ...], currency: str) -> Budget:
    """The proposed budget: with `per`, a table of the larger scopes; all others take the amount of the small ones."""
    total = sum((one.amount for one in proposals), Decimal(0))
    large = [one for one in proposals if one.amount >= total * _SMALL] if per else []
    small = [one.amount for one in proposals if one not in large]
    whole = Amount(max(small, default=min(one.amount for one in proposals)), currency)
    table = {_values(one.scope): Override(amount=Amount(one.amount, currency)) for one in large}
    middle = sorted(one.amount for one in proposals)[len(proposals) // 2]
    least = Amount(max(Decimal(1), middle / 50).to_integral_value(), currency)
    thresholds = tuple(
        map(
            parse_threshold,
            ("actual 80%", "actual 100%", "forecast 100%", f"burn_rate 10x over 1h and 5m above {least}"),
        )
    )
    name = "_".join(("per", *per)) if per else "all"
    return Budget(name, whole, PeriodRule("month", _UTC), per=per, thresholds=thresholds, table=table)


def _values(scope: Scope) -> tuple[str, ...]:
    """A scope as a row of a budget's table names it."""
    return tuple(value or "" for _, value in scope)


def _replayed(history: CostHistory, budget: Budget) -> ReplayResult:
    # Imported here, so that --help answers without numpy.
    from alertd.core.evaluation.replay import replay  # noqa: PLC0415

    with Progress(console=PlainConsole(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("replaying the proposal", total=1.0)
        return replay(
            history.records,
            (budget,),
            history.book,
            history.exchange,
            lambda share: bar.update(task, completed=share),
        )


def _only(result: ReplayResult, scopes: Collection[Scope]) -> ReplayResult:
    """The replay of these scopes alone."""
    # Imported here, so that --help answers without numpy.
    from alertd.core.evaluation.replay import ReplayResult  # noqa: PLC0415

    return ReplayResult(
        [alert for alert in result.alerts if alert.scope in scopes],
        [point for point in result.points if point.place[1] in scopes],
        {place: at for place, at in result.crossings.items() if place[1] in scopes},
        result.unpriced,
    )


def _env(budget: Budget, table: str) -> str:
    """The lines of an env file."""
    prefix = f"ALERTD_BUDGETS__{budget.name.upper()}__"
    lines = [f"{prefix}AMOUNT={_plain(budget.amount)}"]
    if budget.per:
        lines += [f"{prefix}PER={','.join(budget.per)}", f"{prefix}TABLE_FILE={table}"]
    lines.append(f"{prefix}THRESHOLDS={json.dumps([str(one) for one in budget.thresholds])}")
    return "\n".join(lines) + "\n"


def _csv(budget: Budget) -> str:
    """The budget's table, for the teams to edit."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*budget.per, "amount", "channel", "owner"])
    for values, own in budget.table.items():
        rows.writerow([*values, _plain(own.amount or budget.amount), "", ""])
    return text.getvalue()


def _plain(amount: Amount) -> str:
    return f"{amount.value:f} {amount.unit}"


def _write(folder: Path, budget: Budget) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "proposal.env").write_text(_env(budget, str(folder / "proposal.csv")), encoding="utf-8")
        if budget.per:
            (folder / "proposal.csv").write_text(_csv(budget), encoding="utf-8")
    except OSError as error:
        raise refusal("--write", f"{folder} cannot be written ({error.strerror})", "name another folder") from error


def _answer(
    proposals: Sequence[AmountProposal], budget: Budget, result: ReplayResult, history: CostHistory
) -> dict[str, Any]:
    return {
        "proposals": [
            {
                "scope": dict(one.scope),
                "amount": f"{one.amount:f}",
                "currency": budget.amount.unit,
                "months": {f"{month:%Y-%m}": f"{cost:f}" for month, cost in one.months},
                "days": one.days,
                "likely": f"{one.likely:f}",
                "high": f"{one.high:f}",
                "exceeded": one.exceeded,
            }
            for one in proposals
        ],
        "env": _env(budget, "proposal.csv"),
        "table": _csv(budget) if budget.per else None,
        "replay": {**result.summary(), "alerts": dict(Counter(alert.threshold for alert in result.alerts))},
        "notes": list(history.notes),
    }


def _show(
    proposals: Sequence[AmountProposal],
    budget: Budget,
    result: ReplayResult,
    history: CostHistory,
    written: Path | None,
) -> None:
    # Imported here, so that --help answers without numpy.
    from alertd.core.evaluation.report import FEW_DAYS, WITHIN  # noqa: PLC0415

    console = PlainConsole(highlight=False)
    unit = budget.amount.unit
    months = sorted({month for one in proposals for month, _ in one.months})[-3:]
    names = ", ".join(budget.per) or "budget"
    table = plain_table(
        names, *(f"{month:%b}" for month in months), "next month", "80% below", "amount", "months above"
    )
    table.columns[0].min_width, table.columns[0].overflow = 18, "fold"
    for column in table.columns[1:]:
        column.justify = "right"
    shown_alone = [one for one in proposals if not budget.per or _values(one.scope) in budget.table]
    for one in shown_alone:
        cost_of = dict(one.months)
        few = f" ({one.days} days)" if one.days < FEW_DAYS else ""
        shown = (
            *(cost_of.get(month) for month in months), one.likely, one.high, one.amount
        )  # fmt: skip
        table.add_row(
            escape(printable(_name(one.scope))) + few,
            *("" if value is None else _figure(value, unit) for value in shown),
            f"{one.exceeded} of {len(one.months)}" if one.months else "-",
        )
    if others := len(proposals) - len(shown_alone):
        table.add_row(f"{others} smaller, each", *("" for _ in months), "", "", _figure(budget.amount.value, unit), "")
    console.print(table)
    console.print(
        f"In {unit}. An amount is what the next month stays within with a chance of {WITHIN:.0%}, as alertd projects"
        " it, rounded up."
    )
    for note in history.notes:
        console.print(f"[yellow]{escape(printable(note))}[/yellow]")
    console.print(escape(printable(_replay_text(result, by_day=history.by_day))))
    if written:
        files = "proposal.env and proposal.csv" if budget.per else "proposal.env"
        text = f"Written to {written}: {files}. Edit the amounts, then add the lines to your configuration."
        console.print(escape(printable(text)))
        return
    print(f"\n# proposal.env\n{_env(budget, 'proposal.csv')}", end="")
    if budget.per:
        print(f"\n# proposal.csv\n{_csv(budget)}", end="")


def _name(scope: Scope) -> str:
    return ", ".join(value or f"without a {label}" for label, value in scope) or "all"


def _figure(value: Decimal, unit: str) -> str:
    """An amount without its unit, which the table says once; what is spent and below a cent is no zero."""
    return "< 0.01" if 0 < value < _CENT else money(value, unit).removesuffix(f" {unit}")


def _replay_text(result: ReplayResult, *, by_day: bool) -> str:
    """The alerts that the proposal would have sent in the history it is based on, as text."""
    summary = result.summary()
    alerts = Counter(alert.threshold for alert in result.alerts)
    counted = ", ".join(f"{count} x {threshold}" for threshold, count in sorted(alerts.items())) or "no alert"
    lead = summary["median_lead_days"]
    ahead = f", {lead:.1f} days ahead (median)" if lead is not None else ""
    rates = " Its days are sums, so burn rates are not among them." if by_day else ""
    return (
        f"In the same time these amounts would have brought {counted}: {summary['crossings']} of {summary['periods']}"
        f" months went above their amount, a forecast came before {summary['caught']} of them{ahead}, and"
        f" {summary['false']} forecasts were false. These months are the ones that the amounts come from.{rates}"
    )
