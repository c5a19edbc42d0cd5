"""`alertd check`: the configuration, and everything it names, tried; what the budgets resolve to now. Sends nothing."""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.markup import escape
from rich.table import Table

from alertd.commands._configured import add_settings_arguments, settings_of
from alertd.commands._console import Console
from alertd.commands._records import evaluate_with, show_record
from alertd.commands._state import build_app, database_warning
from alertd.core.counting.pseudonyms import Pseudonyms
from alertd.core.evaluation.budget_status import StatusEvaluator
from alertd.core.evaluation.minimum_spend import silenced_budgets, unconvertible_minimums
from alertd.core.evaluation.record import StatusRecord
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.faults import one_of
from alertd.core.messages.dates import age
from alertd.core.messages.figures import amount, plural
from alertd.core.messages.spans import clean
from alertd.core.pricing.prices import Unpriced
from alertd.core.pricing.second_opinion import disagreements
from alertd.loops.action_config import Action
from alertd.options import SourceOptions
from alertd.ports import DeliveryError, RevokerError, SourceError, StoreError
from alertd.settings import Settings
from alertd.terminal import printable

if TYPE_CHECKING:
    from alertd.app import App

HELP: Final = "validate everything and reach every source, notifier and database; say what the budgets match now"
EXAMPLES: Final = (
    "alertd check --env-file my.env",
    "alertd check --env-file my.env --json",
    "alertd check --now --env-file my.env             # what would fire now, for each budget, on which figures",
)
ENDS: Final = "0 where all is well; 1 on any fault; 2 for a wrong use"

#: What a row's text begins with that is no fault, and yet to be looked at.
_WARNING: Final = "warning: "
#: A row of text is cut after this many characters.
_LONGEST: Final = 4000
#: `--now` reads sources so long at the most.
_READ_FOR: Final = timedelta(seconds=60)


@dataclass(slots=True)
class Report:
    """What was tried: (what, its name, ok, what it said), and the budgets as they resolve."""

    rows: list[tuple[str, str, bool, str]] = field(default_factory=list)
    budgets: list[dict[str, Any]] = field(default_factory=list)
    #: What each threshold comes to now, where that was asked.
    now: list[StatusRecord] | None = None

    @property
    def sound(self) -> bool:
        return all(ok for _, _, ok, _ in self.rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the configuration is, and whether a machine reads the answer."""
    add_settings_arguments(parser)
    parser.add_argument(
        "--now",
        action="store_true",
        help="also say what would fire now; reads the sources where nothing is stored yet, and stores nothing",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 where all is well, 1 on any fault."""
    settings = settings_of(args, need=("sources", "budgets"))
    report = asyncio.run(_check(settings))
    if args.now and report.sound:
        report.now = asyncio.run(_evaluate(settings))
    if args.json:
        rows = [{"what": w, "name": n, "ok": ok, "said": said} for w, n, ok, said in report.rows]
        answer: dict[str, Any] = {"ok": report.sound, "checks": rows, "budgets": report.budgets}
        if report.now is not None:
            answer["now"] = [msgspec.to_builtins(record) for record in report.now]
        print(json.dumps(answer, indent=2, default=str))
    else:
        _show(report)
    return 0 if report.sound else 1


async def _check(settings: Settings) -> Report:
    report = Report()
    try:
        app = build_app(settings, lambda: settings)
    except StoreError as error:
        report.rows.append(("database", "", False, str(error)))
        return report
    count = ", ".join(
        plural(len(part), one)
        for part, one in ((settings.budgets, "budget"), (settings.sources, "source"), (settings.notifiers, "notifier"))
    )
    report.rows.append(("configuration", "", True, count))
    if settings.retention is not None:
        before = app.evaluation.obsolete_before(app.clock.now(), settings.retention)
        report.rows.append(("retention", "", True, f"usage that ended before {before:%Y-%m-%d} is deleted"))
    if not settings.notifiers:
        report.rows.append(
            ("configuration", "notifiers", False, "nobody would be told; set ALERTD_NOTIFIERS__OPS__KIND")
        )
    try:
        await _try(report, "database", "", _database(app, settings))
        for name, source in app.parts.sources.items():
            options = settings.sources[name].options if name in settings.sources else None
            hashes = options.pseudonyms() if isinstance(options, SourceOptions) else Pseudonyms()
            await _source(report, name, source, app.clock.now(), hashes)
        for name, notifier in app.parts.notifiers.items():
            await _try(report, "notifier", name, notifier.look)
        for name, action in app.actor.orders.actions.items():
            await _action(report, name, action)
        if all(row[2] for row in report.rows if row[0] == "database"):
            await _budgets(app, report)
    finally:
        await app.parts.close()
        await app.store.close()
    return report


async def _evaluate(settings: Settings) -> list[StatusRecord]:
    """What an evaluation comes to now. Where no usage is stored, the sources are read into a database that is gone."""
    app = build_app(settings, lambda: settings)
    try:
        await app.store.open()
        stored = bool(await app.store.series())
        found = await evaluate_with(app) if stored else []
    finally:
        await app.parts.close()
        await app.store.close()
    if stored:
        return found
    with tempfile.TemporaryDirectory(prefix="alertd-check-") as folder:
        trial = replace(settings, database=f"sqlite:///{folder}/alertd.db")
        app = build_app(trial, lambda: trial)
        try:
            await app.store.open()
            end = app.clock.now() + _READ_FOR
            while app.clock.now() < end and any(one.catching_up for one in app.parts.collects.values()):
                await asyncio.gather(*(one.tick() for one in app.parts.collects.values() if one.catching_up))
            return await evaluate_with(app)
        finally:
            await app.parts.close()
            await app.store.close()


async def _try(report: Report, what: str, name: str, look: Callable[[], Awaitable[str]]) -> None:
    try:
        report.rows.append((what, name, True, await look()))
    except (SourceError, DeliveryError, RevokerError, StoreError) as error:
        report.rows.append((what, name, False, str(error)))


async def _action(report: Report, name: str, action: Action) -> None:
    """An action that could not act is a fault only where its mode is to act."""
    terms = action.terms
    if terms.lacks:
        report.rows.append(("action", name, terms.mode == "dry_run", f"{terms.what}, mode {terms.mode}: {terms.lacks}"))
    else:
        await _try(report, "action", name, action.revoker.look)


def _database(app: App, settings: Settings) -> Callable[[], Awaitable[str]]:
    async def look() -> str:
        await app.store.open()
        await app.store.writable()
        warning = database_warning(settings)
        return f"{_WARNING}{warning}" if warning else "opened, migrated and writable"

    return look


async def _source(report: Report, name: str, source: Any, now: datetime, hashes: Pseudonyms) -> None:
    try:
        look = await source.look(now)
    except SourceError as error:
        report.rows.append(("source", name, False, str(error)))
        return
    since = timedelta(0) if look.latest is None else max(timedelta(0), now - look.latest)
    old = f"; newest data {age(since)} old" if look.latest is not None else ""
    if not look.problems:
        report.rows.append(("source", name, True, look.summary + old))
    report.rows.extend(("source", name, False, problem) for problem in look.problems)
    report.rows.extend(("source", name, True, f"{_WARNING}{remark}") for remark in look.remarks)
    for label, values in sorted(look.labels.items()):
        if not any(values):
            continue
        if label in hashes.names:
            values = sorted(map(hashes.of, values))  # noqa: PLW2901 - as the ledger has them
        shown = ", ".join(list(values)[:6]) + (f" and {len(values) - 6} more" if len(values) > 6 else "")  # noqa: PLR2004
        report.rows.append(("source", name, True, f"  label {label}: {shown}"))


async def _budgets(app: App, report: Report) -> None:
    facts, decisions = await app.evaluation.preview()
    if not app.evaluation.ledger.series:
        said = "what each matches is shown once alertd run has read the sources"
        report.rows.append(("budgets", "", True, said))
    for position in decisions.positions:
        report.budgets.append(_resolved(position, app))
    report.rows.extend(_prices(app))
    report.rows.extend(_nobody_has(app))
    floors = unconvertible_minimums(
        facts.budgets, facts.ledger, facts.context, StatusEvaluator(facts.ledger, facts.context).costs
    )
    small = silenced_budgets(list(facts.budgets))
    report.rows.extend(("budget", name, True, f"{_WARNING}THRESHOLDS: {what}") for name, what in (*floors, *small))


def _prices(app: App) -> Iterator[tuple[str, str, bool, str]]:
    """What has no price, and where two price lists disagree."""
    book, today = app.evaluation.terms.book, app.clock.now().date()
    lines = sorted({replace(row.line, account="") for row in app.evaluation.ledger.series if not row.billed})
    for line in lines:
        price = book.price(line, today)
        if isinstance(price, Unpriced):
            near = "" if price.known else ", ".join(book.nearest(line.model))
            said = f"{price.reason}{f'; nearest known: {near}' if near else ''}; alertd prices has the lines to paste"
            yield "price", f"{line.model} {line.meter}", True, f"{_WARNING}{said}"
    for one in disagreements(book, lines, today):
        yield "price", "", True, f"{_WARNING}{one.said}"


def _nobody_has(app: App) -> Iterator[tuple[str, str, bool, str]]:
    """Labels that budgets are cut by and no usage has: all of it would be nobody's."""
    known = {label for row in app.evaluation.ledger.series for label in row.all_labels()}
    for budget in app.evaluation.terms.budgets:
        for label in sorted(set(budget.per) - known) if known else ():
            yield "budget", budget.name, True, f"{_WARNING}PER: no usage has the label {label}; {one_of(label, known)}"


def _resolved(position: BudgetStatus, app: App) -> dict[str, Any]:
    budget = position.budget
    named = {name for names in budget.notify.values() for name in names}
    return {
        "budget": budget.name,
        "scope": dict(position.scope),
        "amount": f"{position.amount.value:f}",
        "unit": position.amount.unit,
        "channel": position.override.channel or budget.channel,
        "notify": sorted(named or app.parts.notifiers),
        "matches": position.matched,
        "spent": f"{position.spent:f}",
        "unpriced": sorted({one.reason for one in position.unpriced}),
    }


def _show(report: Report) -> None:
    console = Console(highlight=False)
    for what, name, ok, said in report.rows:
        mark = "[green]ok[/green]  " if ok else "[bold red]FAIL[/bold red]"
        if ok and said.startswith(_WARNING):
            mark, said = "[yellow]warn[/yellow]", said.removeprefix(_WARNING)  # noqa: PLW2901 - the mark says it
        indent = " " * (len(said) - len(said.lstrip(" ")))
        said = indent + clean(said, _LONGEST)  # noqa: PLW2901 - labels come from outside
        console.print(f"{mark} {escape(printable(f'{what} {name}'.rstrip()))}:", escape(said), soft_wrap=True)
    if report.budgets:
        _show_budgets(console, report)
    for record in report.now or ():
        show_record(console, record, preview=True)
    if report.now is not None:
        firing = sum(1 for record in report.now for one in record.thresholds if one.firing)
        console.print(f"{plural(firing, 'threshold')} would fire now." if firing else "Nothing would fire now.")


def _show_budgets(console: Console, report: Report) -> None:
    table = Table("budget", "scope", "amount", "goes to", "spent so far")
    for row in report.budgets:
        scope = ", ".join(f"{k}={clean(v, _LONGEST) if v else '(none)'}" for k, v in row["scope"].items())
        goes = ", ".join(row["notify"]) + (f" {row['channel']}" if row["channel"] else "")
        spent = amount(Decimal(row["spent"]), row["unit"]) if row["matches"] else "matches nothing yet"
        spent += " and what has no price" if row["unpriced"] else ""
        table.add_row(row["budget"], escape(scope), amount(Decimal(row["amount"]), row["unit"]), escape(goes), spent)
    console.print(table)
