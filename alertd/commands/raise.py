"""`alertd raise`: set a higher amount for this period. Thresholds re-arm; the next period is as configured."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from alertd.commands._context import budget_of, find_scope, known_scopes, operations_of, refusal, refused, with_store
from alertd.commands._settings_args import add_settings_arguments, settings_of, who
from alertd.core.budgets import Amount, Budget, scope_text, typed_amount
from alertd.operations.values import By, OperationError
from alertd.ports import Store
from alertd.terminal import printable

if TYPE_CHECKING:
    from alertd.settings import Settings

HELP: Final = "raise a budget's amount for its current period; re-arms its thresholds"
EXAMPLES: Final = (
    "alertd raise research 600 --env-file my.env",
    "alertd raise teams '600 USD' --scope team=research --env-file my.env",
    "alertd raise keys 5 --scope team= --scope key=orphan --env-file my.env   # usage without a team",
)
ENDS: Final = "0 if it was raised; 1 without such a budget, amount or database; 2 for wrong usage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: the budget, its new amount, and its scope."""
    add_settings_arguments(parser)
    parser.add_argument("budget", help="the budget's name in the configuration")
    parser.add_argument("amount", help="600 (in the budget's unit), 600 USD or 8M tokens")
    parser.add_argument(
        "--scope",
        action="append",
        default=[],
        metavar="LABEL=VALUE",
        help="for a budget with PER: the scope, such as team=research; an empty value is usage without the label",
    )
    parser.add_argument(
        "--periods", type=int, default=1, metavar="N", help="for this period and those that follow, N in all"
    )
    parser.add_argument("--by", default=who(), help="who raises it (default: you, %(default)s)")
    parser.add_argument("--reason", default="", help="the reason; stored with it")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 if it was raised."""
    settings = settings_of(args, plugins=False)
    budget = budget_of(settings, args.budget)
    try:
        amount = typed_amount(args.amount, budget.amount.unit)
    except ValueError as error:
        raise refusal("amount", str(error), f"for example 600 {budget.amount.unit}") from error
    said = with_store(settings, lambda store: _raise(store, settings, budget, args, amount))
    print(
        json.dumps(said)
        if args.json
        else f"{printable(str(said['position']))}: {amount} until {said['until']}, by {args.by}"
    )
    return 0


async def _raise(
    store: Store, settings: Settings, budget: Budget, args: argparse.Namespace, amount: Amount
) -> dict[str, Any]:
    now = datetime.now(UTC)
    series = await store.series()
    scope, by = find_scope(budget, args.scope, series), By(args.by, reason=args.reason)
    period = budget.period.containing(now)
    try:
        operations = operations_of(store, settings)
        outcome = await operations.raise_amount(budget.name, scope, str(amount), by, periods=args.periods)
    except OperationError as error:
        raise refused(str(amount), error) from error
    if scope not in known_scopes(budget, series):
        text = scope_text(scope) or budget.name
        print(f"No usage with {text} yet; check the spelling.", file=sys.stderr)
    end = outcome.until or period.end
    last = period.last_day if end == period.end else (end - timedelta(hours=1)).astimezone(period.zone).date()
    return {
        "position": outcome.on,
        "until": last.isoformat(),
        "amount": f"{amount.value:f}",
        "unit": amount.unit,
        "by": by.name,
        "at": now.isoformat(),
    }
