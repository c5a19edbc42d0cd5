"""`alertd top-up`: enter a payment into a budget's prepaid credit, or list those that were entered."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Final

from alertd.commands._context import budget_of, operations_of, refusal, refused, with_store
from alertd.commands._settings_args import add_settings_arguments, settings_of, who
from alertd.core.budgets import Amount
from alertd.core.evaluation.state import TOP_UPS, State, TopUp
from alertd.operations.values import By, OperationError
from alertd.ports import Store
from alertd.terminal import printable

if TYPE_CHECKING:
    from alertd.core.budgets import Budget
    from alertd.operations.values import ChangeOutcome
    from alertd.settings import Settings

HELP: Final = "enter a payment into a budget's prepaid credit, or what is left of it; without an amount, list them"
EXAMPLES: Final = (
    'alertd top-up acme "300 USD" --id invoice-2026-117 --reason "card of finance" --env-file my.env',
    "alertd top-up acme 412.30 --left --day 2026-12-01 --env-file my.env   # what the provider's console showed",
    "alertd top-up acme --env-file my.env",
    "alertd top-up acme --remove invoice-2026-117 --env-file my.env",
)
ENDS: Final = "0 if it was entered or listed; 1 without such a budget, payment or database; 2 for wrong usage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: the budget, the payment, its day and its id."""
    add_settings_arguments(parser)
    add = parser.add_argument
    add("budget", help="the budget's name in the configuration; it has a CREDIT there")
    add("amount", nargs="?", help="300 (in the budget's unit) or 300 USD")
    add("--day", default="", metavar="YYYY-MM-DD", help="the day of the payment (default: today in the budget's zone)")
    add("--left", action="store_true", help="the amount is what was left at the start of that day")
    add("--id", default="", metavar="ID", help="such as an invoice's number: the same id is entered once")
    add("--remove", default="", metavar="ID", help="take a payment back")
    add("--by", default=who(), help="who enters it (default: you, %(default)s)")
    add("--reason", default="", help="the reason; stored with it")
    add("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 if it was entered or listed."""
    settings = settings_of(args, plugins=False)
    budget = budget_of(settings, args.budget)
    if args.amount and args.remove:
        raise refusal("--remove", "goes without an amount", "take it back first, then enter another")
    if not (args.amount or args.remove):
        return _list(with_store(settings, _entered), budget, args)
    outcome = with_store(settings, lambda store: _change(store, settings, budget, args))
    if args.json:
        identity = outcome.on.partition("/")[2]
        print(json.dumps({"budget": budget.name, "id": identity, "said": outcome.said, "changed": outcome.changed,
                          "by": outcome.by, "at": outcome.at.isoformat()}))  # fmt: skip
    else:
        again = "" if outcome.changed else " It was entered before."
        print(printable(f"{outcome.on}: {outcome.said} By {args.by}.{again}"))
    return 0


async def _change(store: Store, settings: Settings, budget: Budget, args: argparse.Namespace) -> ChangeOutcome:
    operations, by = operations_of(store, settings), By(args.by, reason=args.reason)
    try:
        if args.remove:
            return await operations.remove_top_up(budget.name, args.remove, by)
        return await operations.top_up(budget.name, args.amount, by, day=args.day, left=args.left, identity=args.id)
    except OperationError as error:
        raise refused(args.amount or args.remove, error) from error


async def _entered(store: Store) -> dict[str, TopUp]:
    return dict(TOP_UPS.items(State.of(await store.memory())))


def _list(entered: dict[str, TopUp], budget: Budget, args: argparse.Namespace) -> int:
    """Every payment into the credit: those of the configuration, then those that were entered."""
    rows = [
        {"id": None, "day": str(one.day), "left": one.sets, "amount": f"{one.amount:f}", "by": None, "at": None,
         "reason": "configuration"}
        for one in budget.credit
    ]  # fmt: skip
    for key, one in sorted(entered.items(), key=lambda pair: pair[1].at):
        if one.budget == budget.name:
            rows.append({"id": key.partition("/")[2], "day": str(one.day), "left": one.left,
                         "amount": f"{one.amount:f}", "by": one.by, "at": one.at.isoformat(timespec="minutes"),
                         "reason": one.reason})  # fmt: skip
    if args.json:
        print(json.dumps({"budget": budget.name, "unit": budget.amount.unit, "payments": rows}))
        return 0
    for row in rows:
        what = "left" if row["left"] else "paid"
        entry = f"{row['id']}, by {row['by']} at {row['at']}" if row["id"] else "configuration"
        why = f": {row['reason']}" if row["id"] and row["reason"] else ""
        print(printable(f"{row['day']}  {what} {Amount.parse(str(row['amount']), budget.amount.unit)}  {entry}{why}"))
    if not rows:
        print(f"{printable(budget.name)} has no prepaid credit: give it CREDIT in the configuration.")
    return 0
