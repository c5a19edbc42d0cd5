"""`alertd report`: a month of each team as an HTML page (also for paper and mail) and a CSV of its usage."""

from __future__ import annotations

import argparse
import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from alertd.commands._context import operations_of, refusal, with_daemon
from alertd.commands._settings_args import add_settings_arguments, settings_of, who
from alertd.core.actions.state_machine import Step, acts
from alertd.core.budgets import Where
from alertd.core.evaluation.state import REPORTED, State
from alertd.core.formats.table import spreadsheet_cell
from alertd.core.messages.format import amount, plural
from alertd.core.pricing.source_roles import counting
from alertd.operations.values import By
from alertd.ports import DeliveryError
from alertd.terminal import printable

if TYPE_CHECKING:
    from alertd.core.evaluation.report import ReportedStep, TeamReport
    from alertd.core.evaluation.values import Facts
    from alertd.core.pricing.showback import Share
    from alertd.daemon import Daemon
    from alertd.notifiers.email import Email

HELP: Final = "write a month's report of each team: HTML for a screen, mail and paper, and a CSV"
EXAMPLES: Final = (
    "alertd report --month 2026-10 --team search --out reports --env-file my.env",
    "alertd report --month 2026-10 --by project --out reports --env-file my.env",
    "alertd report --send mail --env-file my.env   # on the first of each month, by cron",
)
ENDS: Final = "0 if they were written and mailed; 1 if nothing is known of the month, or one was not; 2 for wrong usage"
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
    add("--out", type=Path, metavar="DIR", help="the folder, made if it is not there")
    add(
        "--send",
        metavar="NOTIFIER",
        help="mail each report once, by this notifier of the kind email",
    )
    add("--again", action="store_true", help="mail also those that were mailed before")


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
    if not (args.out or args.send):
        raise refusal("--out", "or --send is needed", "name a folder, or a notifier of the kind email")
    month = args.month or (datetime.now(settings.timezone).date().replace(day=1) - _DAY).replace(day=1)
    zone, currency = settings.timezone, args.currency.upper()

    async def work(daemon: Daemon) -> tuple[list[WrittenReport], bool]:
        mail = None if args.send is None else _mail(daemon, args.send)
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
        now = facts.context.now
        made = [WrittenReport(one, _csv(one, facts), now) for one in found if one.position.spent or args.team]
        mailed = [await _send(daemon, mail, one, again=args.again) for one in made] if mail is not None else []
        return made, all(mailed)

    found, is_mailed = with_daemon(settings, work)
    if not found:
        raise refusal("--by", f"no {args.by} spent anything in {month:%Y-%m}", "alertd check lists the labels")
    if args.out:
        for one in found:
            _write(args.out, one)
    return 0 if is_mailed else 1


class WrittenReport(NamedTuple):
    """A report, its CSV, and when it was made."""

    report: TeamReport
    csv: str
    now: datetime

    @property
    def name(self) -> str:
        """Its file's name, without an ending."""
        period = self.report.position.period
        return f"{_file_name(self.report.value)}-{period.start.astimezone(period.zone):%Y-%m}"

    def files(self) -> dict[str, bytes]:
        """Its page and its CSV, by file name."""
        # Imported here, so that --help answers without numpy.
        from alertd.web.report_page import report_page  # noqa: PLC0415

        return {f"{self.name}.html": report_page(self.report, self.now), f"{self.name}.csv": self.csv.encode()}


def _mail(daemon: Daemon, name: str) -> Email:
    """The notifier of a name, which has to be of the kind email."""
    notifiers = daemon.components.notifiers
    known = {other.replace("-", "_"): one for other, one in notifiers.items()}
    found: Any = known.get(name.strip().lower().replace("-", "_"))
    if found is None or not hasattr(found, "send_report"):
        mails = [one for one in sorted(notifiers) if hasattr(notifiers[one], "send_report")]
        raise refusal("--send", f"{name} is no notifier of the kind email", f"there are: {', '.join(mails) or 'none'}")
    if daemon.components.settings.dry_run:
        raise refusal("--send", "ALERTD_DRY_RUN is on: nothing is sent", "unset it, or write them by --out")
    mail: Email = found
    return mail


async def _send(daemon: Daemon, mail: Email, one: WrittenReport, *, again: bool) -> bool:
    """Mail one report unless it was mailed before, and remember it; False where the server did not take it."""
    # Imported here, so that --help answers without numpy.
    from alertd.core.evaluation.event_builder import event_of  # noqa: PLC0415
    from alertd.web.report_page import report_message  # noqa: PLC0415

    found, store = one.report, daemon.store
    key = f"{mail.name}/{found.label}={found.value}/{one.name[-7:]}"
    before = REPORTED.get(State.of(await store.memory()), key)
    if before is not None and not again:
        print(printable(f"{found.value}: was mailed on {before:%Y-%m-%d %H:%M} UTC; --again mails it anew"))
        return True
    identity = f"report/{key}" + (f"/{one.now.isoformat()}" if again else "")
    about = replace(event_of(found.position, "summary", "info", identity, one.now), scope=((found.label, found.value),))
    try:
        said = await mail.send_report(about, report_message(found, one.now), one.files(), identity)
    except DeliveryError as error:
        print(printable(f"{found.value}: not mailed: {error}"), file=sys.stderr)
        return False
    operations, by = operations_of(store, daemon.components.settings), By(who())
    await operations.commit(
        by,
        lambda _: operations.done("report", found.value, "mailed", f"{one.name} by {mail.name}", by=by,
                                  changes=REPORTED.put(one.now, key)),
    )  # fmt: skip
    print(printable(f"{found.value}: mailed to {said}"))
    return True


def _write(folder: Path, one: WrittenReport) -> None:
    found, name = one.report, one.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in one.files().items():
            (folder / file).write_bytes(content)
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
