"""`alertd reconcile`: compare estimates with bills for final days, from the database alone."""

from __future__ import annotations

import argparse
import json
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from alertd.commands._context import with_daemon
from alertd.commands._settings_args import add_settings_arguments, settings_of

if TYPE_CHECKING:
    from alertd.core.billing.reconcile_figures import DuplicateSources, Reconciled
    from alertd.daemon import Daemon

HELP: Final = "compare estimates with bills, and say why they differ"
EXAMPLES: Final = (
    "alertd reconcile --env-file my.env",
    "alertd reconcile --days 90 --by team --level 5 --env-file my.env",
)
ENDS: Final = (
    "0 without a drift; 1 on a drift above --level, on possible duplicate sources, or without a database; "
    "2 for wrong usage"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: the configuration, how many days, and the labels to group by."""
    add_settings_arguments(parser)
    parser.add_argument("--days", type=_days, default=60, metavar="N", help="how many days back (60)")
    parser.add_argument(
        "--by", action="append", default=[], metavar="LABEL", help="compare every value of a label separately"
    )
    parser.add_argument(
        "--level",
        type=_percent,
        default=Decimal(2),
        metavar="PERCENT",
        help="the drift in percent above which the exit status is 1 (2)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days; write 60")
    return int(text)


def _percent(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or found < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage; write 2 or 0.5")
    return found


def run(args: argparse.Namespace) -> int:
    """0 without a drift; 1 on a drift above the level, possible duplicate sources, or no database."""
    # Imported here, so that --help answers without numpy.
    from alertd.core.billing.reconcile_figures import report  # noqa: PLC0415
    from alertd.core.evaluation.coverage import compared  # noqa: PLC0415

    settings = settings_of(args)

    async def compare(daemon: Daemon) -> tuple[tuple[Reconciled, ...], tuple[DuplicateSources, ...]]:
        facts, _ = await daemon.evaluation.preview()
        return compared(facts.ledger, facts.context, args.days, args.by)

    found, pairs = with_daemon(settings, compare)
    if args.json:
        print(
            json.dumps(
                {"reconciled": [one.to_json() for one in found], "duplicate_sources": [pair.said for pair in pairs]},
                indent=2,
            )
        )
    else:
        lines = list(report(found, pairs))
        print("\n".join(lines) if lines else "No provider has both usage and a bill for final days.")
    return int(bool(pairs) or any(one.drifts(args.level / 100) for one in found))
