"""`alertd check`: validate the configuration, contact everything in it, and show what each budget matches.

Sends nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec
from rich.markup import escape

from alertd.commands._context import build_daemon, database_warning, evaluate_with, show_record
from alertd.commands._prompts import PlainConsole, plain_table
from alertd.commands._settings_args import add_settings_arguments, settings_of
from alertd.core.budgets import Budget
from alertd.core.config_errors import one_of
from alertd.core.counting.pseudonyms import Pseudonyms
from alertd.core.evaluation.state import StatusRecord
from alertd.core.messages.evidence import who_is
from alertd.core.messages.format import age, amount, lacking_rates, plural
from alertd.core.messages.rich_text import clean, text_of
from alertd.core.pricing.price_book import Unpriced
from alertd.core.pricing.price_suggestions import disagreements
from alertd.plugin_options import SourceOptions
from alertd.ports import DeliveryError, RevokerError, SourceError, StoreError
from alertd.settings import Settings
from alertd.terminal import printable

if TYPE_CHECKING:
    from alertd.core.evaluation.values import BudgetStatus
    from alertd.daemon import Daemon
    from alertd.loops.executor import Action

HELP: Final = "validate everything; contact every source, notifier and database; show what the budgets match now"
EXAMPLES: Final = (
    "alertd check --env-file my.env",
    "alertd check --env-file my.env --json",
    "alertd check --now --env-file my.env             # what would fire now, for each budget, on which figures",
)
ENDS: Final = "0 without faults; 1 on any fault; 2 for wrong usage"

#: The beginning of a row that is a warning, not a fault.
_WARNING: Final = "warning: "
#: The maximum length of a row of text.
_LONGEST: Final = 4000
#: As many values of a table are named in a warning.
_FEW: Final = 3
#: The maximum time that `--now` reads sources.
_READ_FOR: Final = timedelta(seconds=60)


@dataclass(slots=True)
class CheckReport:
    """The checks (kind, name, ok, answer), and the budgets with their scopes."""

    rows: list[tuple[str, str, bool, str]] = field(default_factory=list)
    budgets: list[dict[str, Any]] = field(default_factory=list)
    #: The state of each threshold now, with `--now`.
    now: list[StatusRecord] | None = None

    @property
    def sound(self) -> bool:
        return all(ok for _, _, ok, _ in self.rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: the configuration, and JSON output."""
    add_settings_arguments(parser)
    parser.add_argument(
        "--now",
        action="store_true",
        help="also show what would fire now; reads the sources if nothing is stored yet, and stores nothing",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 without faults, 1 on any fault."""
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


async def _check(settings: Settings) -> CheckReport:
    report = CheckReport()
    try:
        daemon = build_daemon(settings, lambda: settings)
    except StoreError as error:
        report.rows.append(("database", "", False, str(error)))
        return report
    count = ", ".join(
        plural(len(part), one)
        for part, one in ((settings.budgets, "budget"), (settings.sources, "source"), (settings.notifiers, "notifier"))
    )
    report.rows.append(("configuration", "", True, count))
    if settings.retention is not None:
        before = daemon.evaluation.obsolete_before(daemon.clock.now(), settings.retention)
        report.rows.append(("retention", "", True, f"usage that ended before {before:%Y-%m-%d} is deleted"))
    for label, length in settings.label_retention.items():
        unused = daemon.evaluation.idle_before(daemon.clock.now(), length)
        report.rows.append(
            ("retention", label, True, f"values that are unused since {unused:%Y-%m-%d} become pseudonyms")
        )
    if urlsplit(settings.public_url).path.strip("/"):
        said = "has a path, and the page's own links begin at /: serve alertd at the root of a host"
        report.rows.append(("configuration", "ALERTD_PUBLIC_URL", True, f"{_WARNING}{said}"))
    if not settings.notifiers:
        report.rows.append(
            (
                "configuration",
                "notifiers",
                False,
                "no notifier is configured, so nobody gets alerts; set ALERTD_NOTIFIERS__OPS__KIND",
            )
        )
    try:
        await _try(report, "database", "", _database(daemon, settings))
        for name, source in daemon.components.sources.items():
            options = settings.sources[name].options if name in settings.sources else None
            hashes = options.pseudonyms() if isinstance(options, SourceOptions) else Pseudonyms()
            await _source(report, name, source, daemon.clock.now(), hashes)
        for name, notifier in daemon.components.notifiers.items():
            await _try(report, "notifier", name, notifier.look)
        for name, action in daemon.actor.config.actions.items():
            await _action(report, name, action)
        if all(row[2] for row in report.rows if row[0] == "database"):
            try:
                await _budgets(daemon, report)
            except StoreError as error:
                report.rows.append(("database", "", False, str(error)))
    finally:
        await daemon.components.close()
        await daemon.store.close()
    return report


async def _evaluate(settings: Settings) -> list[StatusRecord]:
    """The result of an evaluation now. Without stored usage, the sources are read into a temporary database."""
    daemon = build_daemon(settings, lambda: settings)
    try:
        await daemon.store.open()
        stored = bool(await daemon.store.series())
        found = await evaluate_with(daemon) if stored else []
    finally:
        await daemon.components.close()
        await daemon.store.close()
    if stored:
        return found
    with tempfile.TemporaryDirectory(prefix="alertd-check-") as folder:
        trial = replace(settings, database=f"sqlite:///{folder}/alertd.db")
        daemon = build_daemon(trial, lambda: trial)
        try:
            await daemon.store.open()
            end = daemon.clock.now() + _READ_FOR
            while daemon.clock.now() < end and any(one.catching_up for one in daemon.components.collects.values()):
                await asyncio.gather(*(one.tick() for one in daemon.components.collects.values() if one.catching_up))
            return await evaluate_with(daemon)
        finally:
            await daemon.components.close()
            await daemon.store.close()


async def _try(report: CheckReport, what: str, name: str, look: Callable[[], Awaitable[str]]) -> None:
    try:
        report.rows.append((what, name, True, await look()))
    except (SourceError, DeliveryError, RevokerError, StoreError) as error:
        report.rows.append((what, name, False, str(error)))


async def _action(report: CheckReport, name: str, action: Action) -> None:
    """An action that cannot act is a fault only if its mode allows it to act."""
    terms = action.terms
    if terms.lacks:
        report.rows.append(("action", name, terms.mode == "dry_run", f"{terms.what}, mode {terms.mode}: {terms.lacks}"))
    else:
        await _try(report, "action", name, action.revoker.look)


def _database(daemon: Daemon, settings: Settings) -> Callable[[], Awaitable[str]]:
    async def look() -> str:
        await daemon.store.open()
        await daemon.store.writable()
        warning = database_warning(settings)
        return f"{_WARNING}{warning}" if warning else "opened, migrated and writable"

    return look


async def _source(report: CheckReport, name: str, source: Any, now: datetime, hashes: Pseudonyms) -> None:
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


async def _budgets(daemon: Daemon, report: CheckReport) -> None:
    # Imported here, so that --help answers without numpy.
    from alertd.core.evaluation.budget_status import StatusEvaluator  # noqa: PLC0415
    from alertd.core.evaluation.minimum_spend import silenced_budgets, unconvertible_minimums  # noqa: PLC0415

    facts, decisions = await daemon.evaluation.preview()
    if not daemon.evaluation.ledger.series:
        said = "shown after alertd run has read the sources"
        report.rows.append(("budgets", "", True, said))
    for position in decisions.statuses:
        report.budgets.append(_resolved(position, daemon))
    report.rows.extend(_prices(daemon))
    report.rows.extend(_nobody_has(daemon))
    report.rows.extend(_without_thresholds(daemon.evaluation.terms.budgets))
    report.rows.extend(_stars(daemon.evaluation.terms.budgets))
    report.rows.extend(_without_a_rate(decisions.statuses))
    report.rows.extend(_above_their_parents(decisions.statuses))
    floors = unconvertible_minimums(
        facts.budgets, facts.ledger, facts.context, StatusEvaluator(facts.ledger, facts.context).costs
    )
    small = silenced_budgets(list(facts.budgets))
    report.rows.extend(("budget", name, True, f"{_WARNING}THRESHOLDS: {what}") for name, what in (*floors, *small))


def _prices(daemon: Daemon) -> Iterator[tuple[str, str, bool, str]]:
    """Unpriced usage, and prices on which two lists disagree."""
    book, today = daemon.evaluation.terms.book, daemon.clock.now().date()
    lines = sorted({replace(row.line, account="") for row in daemon.evaluation.ledger.series if not row.billed})
    for line in lines:
        price = book.price(line, today)
        if isinstance(price, Unpriced):
            near = "" if price.known else ", ".join(book.nearest(line.model))
            said = (
                f"{price.reason}{f'; nearest known: {near}' if near else ''}; alertd prices prints the lines to paste"
            )
            yield "price", f"{line.model} {line.meter}", True, f"{_WARNING}{said}"
    for one in disagreements(book, lines, today):
        yield "price", "", True, f"{_WARNING}{one.said}"


def _nobody_has(daemon: Daemon) -> Iterator[tuple[str, str, bool, str]]:
    """Labels in a budget's PER that no usage has."""
    known = {label for row in daemon.evaluation.ledger.series for label in row.all_labels()}
    for budget in daemon.evaluation.terms.budgets:
        for label in sorted(set(budget.per) - known) if known else ():
            yield "budget", budget.name, True, f"{_WARNING}PER: no usage has the label {label}; {one_of(label, known)}"


def _without_thresholds(budgets: Iterable[Budget]) -> Iterator[tuple[str, str, bool, str]]:
    """Budgets that never alert."""
    for budget in budgets:
        if not budget.thresholds and not any(own.thresholds for own in budget.table.values()):
            yield "budget", budget.name, True, f"{_WARNING}THRESHOLDS is empty: it is shown, and never alerts"


def _stars(budgets: Iterable[Budget]) -> Iterator[tuple[str, str, bool, str]]:
    """Values with a star in a budget's table: a table has no patterns."""
    for budget in budgets:
        for value in sorted({value for values in budget.table for value in values if value and "*" in value})[:_FEW]:
            said = f"TABLE_FILE: {clean(value, 80)} is this very value, not a pattern; what is not listed has AMOUNT"
            yield "budget", budget.name, True, f"{_WARNING}{said}"


def _without_a_rate(statuses: Sequence[BudgetStatus]) -> Iterator[tuple[str, str, bool, str]]:
    """Rates of exchange that a budget needs and that nobody gave."""
    found = {(one.budget.name, lack.reason): None for one in statuses for lack in one.unpriced if lack.rate}
    for name, reason in found:
        yield "budget", name, True, f"{_WARNING}{reason}: what needs it is in no total"


def _above_their_parents(statuses: Sequence[BudgetStatus]) -> Iterator[tuple[str, str, bool, str]]:
    """Warnings about PARENT: children with more than their parent, usage in several children or outside the parent."""
    for one in statuses:
        found, name, unit = one.children, text_of(who_is(one.budget.name, one.scope, "plain")), one.amount.unit
        if found is not None and found.amount > one.amount.value:
            parts, own = amount(found.amount, unit), amount(one.amount.value, unit)
            said = f"its {plural(len(found.scopes), 'part')} may spend {parts} together, it {own}: all of them may be"
            yield "budget", name, True, f"{_WARNING}{said} within budget while it is not"
        if found is not None and found.overlapping:
            said = "some usage counts in several of its parts: together they spend more than it does"
            yield "budget", name, True, f"{_WARNING}{said}"
        if one.budget.parent and one.parent is None and one.matched:
            above = " nor ".join(one.budget.parent)
            said = f"is {'a part of neither' if len(one.budget.parent) > 1 else 'no part of'} {above}"
            yield "budget", name, True, f"{_WARNING}PARENT: {said}: some of its usage does not count there"


def _resolved(position: BudgetStatus, daemon: Daemon) -> dict[str, object]:
    budget = position.budget
    named = {name for names in budget.notify.values() for name in names}
    return {
        "budget": budget.name,
        "scope": dict(position.scope),
        "amount": f"{position.amount.value:f}",
        "unit": position.amount.unit,
        "channel": position.override.channel or budget.channel,
        "notify": sorted(named or daemon.components.notifiers),
        "matches": position.matched,
        "spent": f"{position.spent:f}",
        "unpriced": sorted({one.reason for one in position.unpriced}),
        "lacking": [
            *(["unpriced usage"] if any(not one.rate for one in position.unpriced) else []),
            *(f"{figure} without a rate" for _, figure in lacking_rates(position.unpriced)),
        ],
    }


def _show(report: CheckReport) -> None:
    console = PlainConsole(highlight=False)
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


def _show_budgets(console: PlainConsole, report: CheckReport) -> None:
    table = plain_table("budget", "scope", "amount", "goes to", "spent so far")
    for row in report.budgets:
        scope = ", ".join(f"{k}={clean(v, _LONGEST) if v else '(none)'}" for k, v in row["scope"].items())
        goes = ", ".join(row["notify"]) + (f" {row['channel']}" if row["channel"] else "")
        spent = amount(Decimal(row["spent"]), row["unit"]) if row["matches"] else "matches nothing yet"
        spent += "".join(f" and {one}" for one in row["lacking"])
        table.add_row(row["budget"], escape(scope), amount(Decimal(row["amount"]), row["unit"]), escape(goes), spent)
    console.print(table)
