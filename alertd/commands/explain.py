"""`alertd explain`: why a budget fired, or did not: thresholds with their inputs, hindrances, what was told."""

from __future__ import annotations

import argparse
import json
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.markup import escape

from alertd.app import App
from alertd.commands._configured import add_settings_arguments, settings_of
from alertd.commands._state import budget_of, with_app
from alertd.core.judgement.explain import Explanation, explain
from alertd.core.messages.figures import used_of

HELP: Final = "say why a budget fired, or did not"
EXAMPLES: Final = (
    "alertd explain research --env-file my.env",
    "alertd explain teams --env-file my.env --json",
)
ENDS: Final = "0 where it is said; 1 where there is no such budget or no database; 2 for a wrong use"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which budget."""
    add_settings_arguments(parser)
    parser.add_argument("budget", help="the budget's name in the configuration; every scope of it")
    parser.add_argument("--json", action="store_true", help="JSON lines, one a scope")


def run(args: argparse.Namespace) -> int:
    """0 when there is something to explain."""
    settings = settings_of(args, need=("sources", "budgets"))
    budget = budget_of(settings, args.budget)

    async def look(app: App) -> list[Explanation]:
        facts, decisions = await app.judge.preview()
        return explain(facts, decisions.positions, budget.name)

    console = Console(highlight=False)
    for explanation in with_app(settings, look):
        if args.json:
            print(json.dumps(_plain(explanation), default=str))
        else:
            _show(console, explanation)
    return 0


def _show(console: Console, explanation: Explanation) -> None:
    position = explanation.position
    unit = position.amount.unit
    used = used_of(position.spent, position.amount.value, unit)
    console.print(f"[bold]{escape(position.name)}[/bold]: used {used}", soft_wrap=True)
    until = f"{position.data_until:%Y-%m-%d %H:%M} UTC" if position.data_until else "never"
    console.print(f"  data until {until}, prices {explanation.price_version}", markup=False)
    for reason in explanation.reasons:
        mark = "[bold red]stands[/bold red]    " if reason.stands else "does not  "
        told = f"; told {reason.told_at:%Y-%m-%d %H:%M} UTC" if reason.told_at else ""
        console.print(f"  {mark}{escape(f'{reason.threshold}: {reason.because}{told}')}", soft_wrap=True)
    for hindrance in explanation.hindrances:
        console.print(f"  but       {hindrance}", soft_wrap=True, markup=False)
    for identity, life in explanation.lives.items():
        console.print(f"  alert {identity[:6]} {life.key}: {life.state}", markup=False)
        for step in life.history:
            why = f": {step.reason}" if step.reason else ""
            console.print(f"    {step.at:%Y-%m-%d %H:%M} {step.what} by {step.by}{why}", markup=False, soft_wrap=True)


def _plain(explanation: Explanation) -> dict[str, Any]:
    position = explanation.position
    return {
        "budget": position.budget.name,
        "scope": dict(position.scope),
        "period": position.period.key,
        "spent": f"{position.spent:f}",
        "amount": f"{position.amount.value:f}",
        "currency": position.amount.unit,
        "data_until": position.data_until,
        "price_version": explanation.price_version,
        "thresholds": [
            {"threshold": r.threshold, "stands": r.stands, "because": r.because, "told_at": r.told_at}
            for r in explanation.reasons
        ],
        "hindrances": list(explanation.hindrances),
        "alerts": {identity: msgspec.to_builtins(life) for identity, life in explanation.lives.items()},
    }
