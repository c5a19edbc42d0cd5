"""`alertd usage export`: export the ledger by day with its cost, for showback and chargeback."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from alertd.commands._context import refusal, with_daemon
from alertd.commands._settings_args import add_settings_arguments, settings_of
from alertd.core.budgets import Where
from alertd.core.formats.table import spreadsheet_cell
from alertd.core.pricing.source_roles import counting
from alertd.settings.parsers import read_where

if TYPE_CHECKING:
    from alertd.core.pricing.showback import Share
    from alertd.daemon import Daemon

HELP: Final = "export the ledger: usage and cost by day, for any labels and period"
EXAMPLES: Final = (
    "alertd usage export --period 2026-11 --by team,model --output november.csv --env-file my.env",
    "alertd usage export --from 2026-11-01 --to 2026-11-20 --where team=search --format jsonl --env-file my.env",
    "alertd usage export --period 2026-11 --format focus --output focus.csv --env-file my.env",
)
ENDS: Final = "0, also with unpriced usage, with a remark; 1 without a database; 2 for wrong usage"
_DAY: Final = timedelta(days=1)
_FIXED: Final = ("date", "basis", "quantity", "cost", "currency", "unpriced")
_FOCUS: Final = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart",
    "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost",
    "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "RegionId", "ServiceCategory", "ServiceName",
    "ServiceSubcategory", "SkuId", "SubAccountId", "SubAccountName", "Tags", "x_Basis",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _ExportRows:
    """The days that were exported, the columns of labels, and the rows."""

    columns: Sequence[str]
    rows: Sequence[Share]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `export`: period, labels, format and output."""
    parts = parser.add_subparsers(dest="part", required=True, metavar="PART")
    export = parts.add_parser("export", help="write usage and cost by day as CSV, JSON lines, Parquet or FOCUS 1.2")
    add = export.add_argument
    add("--period", metavar="YYYY-MM", help="one month")
    add("--from", dest="since", type=_day, metavar="DATE", help="the first day (default: of this month)")
    add("--to", dest="until", type=_day, metavar="DATE", help="the last day (default: today)")
    add("--timezone", default="UTC", metavar="ZONE", help="whose days (UTC)")
    add("--by", default="", metavar="LABELS", help="labels to group by, such as team,model (default: all labels)")
    add("--where", default="", metavar="LABELS", help="only this usage, as for a budget: team=search,model=gpt-*")
    add("--format", choices=("csv", "jsonl", "parquet", "focus"), default="csv", help="the format (csv)")
    add("--output", type=Path, metavar="FILE", help="the output file (default: standard output)")
    add_settings_arguments(export)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day; write 2026-11-19") from None


def run(args: argparse.Namespace) -> int:
    """0 if it was written; SettingsError if not."""
    # Imported here, so that --help answers without numpy.
    from alertd.core.ledger.columns import Ledger  # noqa: PLC0415
    from alertd.core.pricing.showback import columns_of, shares  # noqa: PLC0415
    from alertd.core.pricing.tariffs import LedgerTariff  # noqa: PLC0415

    zone, days = _days(args)
    by = [name.strip() for name in args.by.split(",") if name.strip()]
    try:
        where = read_where(args.where) if args.where else Where()
    except ValueError as error:
        raise refusal("--where", str(error), "write it as for a budget: team=search") from error
    if args.format == "focus":
        by = []
    settings = settings_of(args)

    async def work(daemon: Daemon) -> _ExportRows:
        facts, _ = await daemon.evaluation.preview()
        ledger = Ledger()
        ledger.add_series(await daemon.store.series())
        month = datetime(days[0].year, days[0].month, 1, tzinfo=UTC) - _DAY
        ledger.apply((await daemon.store.usage(month))[0])
        assert facts.book is not None  # noqa: S101 - a daemon's facts have one
        roles = facts.context.standings
        tariff = LedgerTariff(facts.book, ledger, roles)
        rows = shares(ledger, tariff, days, zone, by=by, counted=counting(ledger.kinds, roles), where=where.matches)
        return _ExportRows(columns_of(ledger.series, by), list(rows))

    found = with_daemon(settings, work)
    try:
        _write(args, found, zone)
    except OSError as error:
        raise refusal("--output", f"cannot be written ({error.strerror})", "name another place") from error
    _say(found)
    return 0


def _days(args: argparse.Namespace) -> tuple[ZoneInfo, list[date]]:
    try:
        zone = ZoneInfo(args.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise refusal("--timezone", "no such zone", "write one such as Europe/Paris") from error
    today = datetime.now(zone).date()
    first, last = args.since or today.replace(day=1), args.until or today
    if args.period:
        try:
            first = date.fromisoformat(f"{args.period}-01")
        except ValueError as error:
            raise refusal("--period", "it is no month", "write 2026-11") from error
        last = (first + 31 * _DAY).replace(day=1) - _DAY
    if last < first:
        raise refusal("--to", f"{last} is before {first}", "name a day that is not before --from")
    return zone, [first + n * _DAY for n in range((last - first).days + 1)]


def _say(found: _ExportRows) -> None:
    """Print the totals and the unpriced usage to standard error."""
    costs: dict[str, Decimal] = {}
    for row in found.rows:
        if row.cost is not None:
            costs[row.currency] = costs.get(row.currency, Decimal(0)) + row.cost
    said = ", ".join(f"{_digits(cost)} {currency}" for currency, cost in sorted(costs.items())) or "nothing"
    print(f"{len(found.rows)} rows, {said} in all", file=sys.stderr)
    for reason in sorted({row.reason for row in found.rows if row.reason})[:20]:
        print(f"unpriced, in no total: {reason}", file=sys.stderr)


def _write(args: argparse.Namespace, found: _ExportRows, zone: ZoneInfo) -> None:
    if args.format == "parquet":
        _parquet(args.output, found)
        return
    header = _FOCUS if args.format == "focus" else (*_FIXED[:1], *found.columns, *_FIXED[1:])
    rows = _focus(found, zone) if args.format == "focus" else map(_plain, found.rows)
    with _opened(args.output) as file:
        if args.format == "jsonl":
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            return
        writer = csv.DictWriter(file, header, restval="", lineterminator="\n")
        writer.writeheader()
        if args.format == "csv":
            rows = ({name: spreadsheet_cell(text) for name, text in row.items()} for row in rows)
        writer.writerows(rows)


@contextmanager
def _opened(path: Path | None) -> Iterator[IO[str]]:
    if path is None:
        yield sys.stdout
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        yield file


def _plain(row: Share) -> dict[str, str]:
    """A row as text: money with every digit, empty if unknown."""
    fields = {
        "date": row.day.isoformat(),
        "basis": row.basis,
        "quantity": "" if row.quantity is None else str(row.quantity),
        "cost": "" if row.cost is None else _digits(row.cost),
        "currency": row.currency,
        "unpriced": row.reason,
    }
    return {**{name: value for name, value in row.labels.items() if name not in fields}, **fields}


def _digits(amount: Decimal) -> str:
    """A number with every significant digit."""
    return f"{amount.normalize():f}"


def _parquet(path: Path | None, found: _ExportRows) -> None:
    if find_spec("pyarrow") is None:
        raise refusal("--format parquet", "it needs the extra `parquet`", "pip install 'alertd[parquet]'")
    if path is None:
        raise refusal("--format parquet", "it is no text", "name a file by --output")
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    rows = [_plain(row) for row in found.rows]
    names = (*_FIXED[:1], *found.columns, *_FIXED[1:])
    parquet.write_table(arrow.table({name: [row.get(name, "") for row in rows] for name in names}), path)


def _focus(found: _ExportRows, zone: ZoneInfo) -> Iterable[Mapping[str, str]]:
    """FOCUS 1.2 rows, without the unpriced ones: a FOCUS row has a cost."""
    for row in found.rows:
        if row.cost is None:
            continue
        labels = dict(row.labels)
        provider, model, meter, account = (labels.pop(name, "") for name in ("provider", "model", "meter", "account"))
        cost, unit = (
            f"{row.cost:f}",
            "Tokens" if row.quantity is not None and meter not in {"requests", "minutes"} else "",
        )
        month = row.day.replace(day=1)
        yield {
            "BilledCost": cost,
            "ContractedCost": cost,
            "EffectiveCost": cost,
            "ListCost": cost,
            "BillingCurrency": row.currency,
            "BillingAccountId": account or provider,
            "BillingAccountName": account or provider,
            "BillingPeriodStart": _instant(month, zone),
            "BillingPeriodEnd": _instant((month + 31 * _DAY).replace(day=1), zone),
            "ChargePeriodStart": _instant(row.day, zone),
            "ChargePeriodEnd": _instant(row.day + _DAY, zone),
            "ChargeCategory": "Usage",
            "ChargeFrequency": "Usage-Based",
            "ChargeDescription": " ".join(part for part in (model, meter) if part) or provider,
            "ConsumedQuantity": "" if row.quantity is None else str(row.quantity),
            "PricingQuantity": "" if row.quantity is None else str(row.quantity),
            "ConsumedUnit": unit,
            "PricingUnit": unit,
            "InvoiceIssuerName": provider,
            "ProviderName": provider,
            "PublisherName": provider,
            "ServiceCategory": "AI and Machine Learning",
            "ServiceSubcategory": "Generative AI",
            "ServiceName": model or provider,
            "SkuId": " ".join(part for part in (model, meter) if part),
            "RegionId": labels.get("region", ""),
            "SubAccountId": labels.get("project", labels.get("subaccount", "")),
            "SubAccountName": labels.get("project_name", labels.get("subaccount", "")),
            "Tags": json.dumps(labels, ensure_ascii=False, sort_keys=True),
            "x_Basis": row.basis,
        }


def _instant(day: date, zone: ZoneInfo) -> str:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
