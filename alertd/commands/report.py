"""`alertd report`: a month of each team as an HTML page (also for paper and mail) and a CSV of its usage."""

from __future__ import annotations

import argparse
import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from alertd.commands._context import refusal, with_daemon
from alertd.commands._settings_args import add_settings_arguments, settings_of
from alertd.core.actions.state_machine import Step, acts
from alertd.core.budgets import Where
from alertd.core.formats.table import spreadsheet_cell
from alertd.core.messages.format import amount, plural
from alertd.core.pricing.source_roles import counting
from alertd.terminal import printable

if TYPE_CHECKING:
    from alertd.core.evaluation.report import ReportedStep, TeamReport
    from alertd.core.evaluation.values import Facts
    from alertd.core.pricing.showback import Share
    from alertd.daemon import Daemon

HELP: Final = "write a month's report of each team: HTML for a screen, mail and paper, and a CSV"
EXAMPLES: Final = (
    "alertd report --month 2026-10 --team search --out reports --env-file my.env",
    "alertd report --month 2026-10 --by project --out reports --env-file my.env",
)
ENDS: Final = "0 if they were written; 1 if nothing is known of the month, or they cannot be; 2 for wrong usage"
_DAY: Final = timedelta(days=1)
#: The CSV's columns before and after the labels.
_FIXED: Final = ("date", "provider", "model", "key")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: the configuration, the month, the team, and where to write."""
    add_settings_arguments(parser)
    add = parser.add_argument
    add("--month", type=_month, metavar="YYYY-MM", help="the month (default: the last that has ended)")
    add("--team", action="append", default=[], metavar="NAME", help="only this team; may be repeated (default: all)")
    add("--by", default="team", metavar="LABEL", help="the label that names a team (default: %(default)s)")
    add("--currency", default="USD", metavar="CODE", help="for a team without a budget of its own (default: USD)")
    add("--out", type=Path, required=True, metavar="DIR", help="the folder, made if it is not there")


def _month(text: str) -> date:
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no month; write 2026-10") from None


def run(args: argparse.Namespace) -> int:
    """0 if they were written."""
    # Imported here, so that --help answers without numpy.
    from alertd.core.evaluation.report import ReportQuery, report, values_of  # noqa: PLC0415

    settings = settings_of(args)
    month = args.month or (datetime.now(settings.timezone).date().replace(day=1) - _DAY).replace(day=1)
    zone, currency = settings.timezone, args.currency.upper()

    async def work(daemon: Daemon) -> list[tuple[TeamReport, str, datetime]]:
        facts, _ = await daemon.evaluation.preview()
        start = datetime(month.year, month.month, 1, tzinfo=UTC) - 40 * _DAY
        oldest = facts.ledger.earliest()
        if oldest is None or oldest > (start + 70 * _DAY).timestamp():
            raise refusal("--month", f"nothing is known of {month:%Y-%m}", "name a later month")
        events = {row.event.id: row.event for row in await daemon.store.alerts(start)}
        done = list(_done(await daemon.store.audit(), facts))
        wanted = args.team or values_of(facts, args.by)
        asked = [ReportQuery(args.by, one, month, zone, currency) for one in wanted]
        found = [report(facts, one, events.values(), done) for one in asked]
        return [(one, _csv(one, facts), facts.context.now) for one in found if one.position.spent or args.team]

    found = with_daemon(settings, work)
    if not found:
        raise refusal("--by", f"no {args.by} spent anything in {month:%Y-%m}", "alertd check lists the labels")
    for one, text, now in found:
        _write(args.out, f"{_file_name(one.value)}-{month:%Y-%m}", one, text, now)
    return 0


def _write(folder: Path, name: str, found: TeamReport, text: str, now: datetime) -> None:
    # Imported here, so that --help answers without numpy.
    from alertd.web.report_page import report_page  # noqa: PLC0415

    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.html").write_bytes(report_page(found, now))
        (folder / f"{name}.csv").write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise refusal("--out", f"cannot be written ({error.strerror})", "name another folder") from error
    spent = amount(found.position.spent, found.position.amount.unit)
    print(f"{folder / name}.html, .csv: {printable(found.value)} {spent}, {plural(len(found.alerts), 'alert')}")


def _file_name(value: str) -> str:
    """A team's name as a file's: other characters than letters, digits, dots and dashes become dashes."""
    return re.sub(r"[^\w.-]+", "-", value).strip(".-")[:80] or "team"


def _done(steps: Iterable[Step], facts: Facts) -> Iterator[tuple[str, ReportedStep]]:
    """What people and alertd did, with the name of the budget status (or the words) that it was done to."""
    # Imported here, so that --help answers without numpy.
    from alertd.core.evaluation.report import ReportedStep  # noqa: PLC0415

    known = acts(facts.state.records)
    for step in steps:
        act = known.get(step.act)
        on = act.position if act is not None else str(step.evidence.get("on", ""))
        said = f"{act.what} ({act.target})" if act is not None else str(step.evidence.get("said", ""))
        yield on, ReportedStep(step.at, step.what, step.by, ": ".join(filter(None, (said, step.reason))))


def _csv(found: TeamReport, facts: Facts) -> str:
    """What the team used by day, provider, model and key: every digit; what has no price says why."""
    # Imported here, so that --help answers without numpy.
    from alertd.core.evaluation.event_builder import zone_name  # noqa: PLC0415
    from alertd.core.pricing.showback import shares  # noqa: PLC0415
    from alertd.core.pricing.tariffs import LedgerTariff  # noqa: PLC0415

    period, book = found.position.period, facts.book
    assert book is not None  # noqa: S101 - a daemon's facts have one
    first = period.start.astimezone(period.zone).date()
    days = [first + n * _DAY for n in range((period.last_day - first).days + 1)]
    roles = facts.context.standings
    tariff = LedgerTariff(book, facts.ledger, roles)
    counted = counting(facts.ledger.kinds, roles)
    zone, by = ZoneInfo(zone_name(period)), (found.label, *_FIXED[1:])
    where = Where.of({found.label: (found.value,)}).matches
    rows = shares(facts.ledger, tariff, days, zone, by=by, counted=counted, where=where)
    text = io.StringIO()
    columns = list(dict.fromkeys((_FIXED[0], found.label, *_FIXED[1:], "cost", "currency", "unpriced")))
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: spreadsheet_cell(text) for name, text in _plain(row).items()} for row in rows)
    return text.getvalue()


def _plain(row: Share) -> Mapping[str, str]:
    cost = "" if row.cost is None else f"{row.cost.normalize() + Decimal(0):f}"
    return {**row.labels, "date": row.day.isoformat(), "cost": cost, "currency": row.currency, "unpriced": row.reason}
