"""`alertd raise`: a higher amount for this period. Its thresholds are armed anew; the next period is as configured."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Final

from alertd.app import App
from alertd.commands._configured import add_settings_arguments, settings_of
from alertd.commands._state import budget_of, change_note, refusal, scope_of, who, with_app
from alertd.core.budgets import Amount, Budget, Scope, scope_text
from alertd.core.judgement.positions import Position

HELP: Final = "raise a budget's amount for its current period; re-arms its thresholds"
EXAMPLES: Final = (
    "alertd raise research 600 --env-file my.env",
    "alertd raise teams '600 USD' --scope team=research --env-file my.env",
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
        help="of a budget with PER: which scope, such as team=research",
    )
    parser.add_argument("--by", default=who(), help="who raises it (default: you, %(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 when it is raised."""
    settings = settings_of(args)
    budget = budget_of(settings, args.budget)
    try:
        amount = Amount.parse(args.amount, budget.amount.unit)
    except ValueError as error:
        raise refusal("amount", str(error), f"for example 600 {budget.amount.unit}") from error
    scope = scope_of(budget, args.scope)
    said = with_app(settings, lambda app: _raise(app, budget, scope, amount, args.by))
    print(json.dumps(said) if args.json else f"{said['position']}: {amount} until {said['until']}, by {args.by}")
    return 0


async def _raise(app: App, budget: Budget, scope: Scope, amount: Amount, by: str) -> dict[str, Any]:
    period = budget.period.containing(app.clock.now())
    name = Position.name_of(budget.name, scope, period)
    value = {"amount": f"{amount.value:f}", "unit": amount.unit, "by": by, "at": app.clock.now().isoformat()}
    await change_note(app, f"raise/{name}", lambda _: value)
    _, decisions = await app.judge.preview()
    if name not in {position.name for position in decisions.positions}:
        print(f"nothing was used under {scope_text(scope)} in this period; is it spelt so?", file=sys.stderr)
    return {"position": name, "until": period.last_day.isoformat(), **value}
