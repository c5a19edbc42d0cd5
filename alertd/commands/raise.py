"""`alertd raise`: a higher amount for this period. Its thresholds are armed anew; the next period is as configured."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from typing import Any, Final

from alertd.commands._configured import add_settings_arguments, settings_of
from alertd.commands._state import budget_of, change_record, find_scope, known_scopes, refusal, who, with_store
from alertd.core.budgets import Amount, Budget, scope_text
from alertd.core.evaluation.keys import status_name
from alertd.core.evaluation.state import RAISED, RaisedAmount
from alertd.ports import Store
from alertd.terminal import printable

HELP: Final = "raise a budget's amount for its current period; re-arms its thresholds"
EXAMPLES: Final = (
    "alertd raise research 600 --env-file my.env",
    "alertd raise teams '600 USD' --scope team=research --env-file my.env",
    "alertd raise keys 5 --scope team= --scope key=orphan --env-file my.env   # usage without a team",
)
ENDS: Final = "0 where it is raised; 1 where there is no such budget, amount or database; 2 for a wrong use"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which budget, to what, and which of its scopes."""
    add_settings_arguments(parser)
    parser.add_argument("budget", help="the budget's name in the configuration")
    parser.add_argument("amount", help="600 (in the budget's unit), 600 USD or 8M tokens")
    parser.add_argument(
        "--scope",
        action="append",
        default=[],
        metavar="LABEL=VALUE",
        help="of a budget with PER: which scope, such as team=research; an empty value is usage without the label",
    )
    parser.add_argument("--by", default=who(), help="who raises it (default: you, %(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 when it is raised."""
    settings = settings_of(args, plugins=False)
    budget = budget_of(settings, args.budget)
    try:
        amount = Amount.parse(args.amount, budget.amount.unit)
    except ValueError as error:
        raise refusal("amount", str(error), f"for example 600 {budget.amount.unit}") from error
    said = with_store(settings, lambda store: _raise(store, budget, args.scope, amount, args.by))
    print(
        json.dumps(said)
        if args.json
        else f"{printable(str(said['position']))}: {amount} until {said['until']}, by {args.by}"
    )
    return 0


async def _raise(store: Store, budget: Budget, words: list[str], amount: Amount, by: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    series = await store.series()
    scope = find_scope(budget, words, series)
    period = budget.period.containing(now)
    name = status_name(budget.name, scope, period.key)
    override = budget.table.get(tuple(value or "" for _, value in scope)) if scope else None
    configured = override.amount if override is not None and override.amount is not None else budget.amount
    raised = RaisedAmount(amount.value, amount.unit, by, now)

    def change(before: RaisedAmount | None) -> RaisedAmount:
        inforce = configured if before is None else Amount(before.amount, before.unit)
        if before is not None and before.amount == amount.value:
            return before  # said twice
        if amount.value <= inforce.value:
            raise refusal(
                str(amount), f"{name} has {inforce} already: this would not raise it",
                f"give more than {inforce}; a lower amount is set in the configuration",
            )  # fmt: skip
        return raised

    await change_record(store, RAISED, name, change)
    if scope not in known_scopes(budget, series):
        text = scope_text(scope) or budget.name
        print(f"No usage with {text} yet; check the spelling.", file=sys.stderr)
    return {
        "position": name,
        "until": period.last_day.isoformat(),
        "amount": f"{amount.value:f}",
        "unit": amount.unit,
        "by": by,
        "at": now.isoformat(),
    }
