"""`alertd reconcile`: what was estimated beside what was billed, for days that are final, from the database alone."""

from __future__ import annotations

import argparse
import json
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from alertd.commands._configured import add_settings_arguments, settings_of
from alertd.commands._state import with_app
from alertd.core.billing.duplicate_sources import DuplicateSources
from alertd.core.billing.reconciled import AGREES, Reconciled, report
from alertd.core.evaluation.drift import compared

if TYPE_CHECKING:
    from alertd.app import App

HELP: Final = "what was estimated beside what was billed, and why they differ"
EXAMPLES: Final = (
    "alertd reconcile --env-file my.env",
    "alertd reconcile --days 90 --by team --level 5 --env-file my.env",
)
ENDS: Final = (
    "0 where all agrees; 1 on a drift beyond --level, on sources that look alike, or without a database; "
    "2 for a wrong use"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the configuration is, how far back, and which labels split the comparison."""
    add_settings_arguments(parser)
    parser.add_argument("--days", type=_days, default=60, metavar="N", help="how many days back (60)")
    parser.add_argument("--by", action="append", default=[], metavar="LABEL", help="apart for every value of a label")
    parser.add_argument(
        "--level", type=_percent, default=AGREES * 100, metavar="PERCENT", help="the drift that ends with 1 (2)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days; write 60")
    return int(text)


def _percent(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or found < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of percent; write 2 or 0.5")
    return found


def run(args: argparse.Namespace) -> int:
    """0 where everything agrees; 1 on a drift beyond the level, sources that look alike, or no database."""
    settings = settings_of(args)

    async def compare(app: App) -> tuple[tuple[Reconciled, ...], tuple[DuplicateSources, ...]]:
        facts, _ = await app.evaluation.preview()
        return compared(facts.ledger, facts.context, args.days, args.by)

    found, pairs = with_app(settings, compare)
    if args.json:
        print(
            json.dumps(
                {"reconciled": [one.to_json() for one in found], "alike": [pair.said for pair in pairs]}, indent=2
            )
        )
    else:
        lines = list(report(found, pairs))
        print("\n".join(lines) if lines else "No provider has both usage and a bill over days that are final.")
    return int(bool(pairs) or any(one.drifts(args.level / 100) for one in found))
