"""`alertd status`: where every budget stands, worked out from the database, with or without a running daemon."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from alertd.app import App
from alertd.commands._configured import add_settings_arguments, settings_of
from alertd.commands._state import budget_of, with_app
from alertd.core.judgement.occasions import state_of
from alertd.core.judgement.positions import Position
from alertd.core.messages import evidence, text_of
from alertd.core.messages.dates import age
from alertd.core.messages.figures import estimate, used_of
from alertd.ports import StoreError
from alertd.web.answers import Notes, budget_json, instant_text, worst_first
from alertd.web.wording import STATES, event_for

HELP: Final = "a table of the budgets: spent, projected low-likely-high, used up on, data age"
_STYLES: Final = {"over": "bold red", "risk": "bold yellow", "unknown": "dim", "ok": "green"}
_LEVELS: Final = "▁▂▃▄▅▆▇█"
_DAYS: Final = 14
_SHOWN: Final = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the configuration is, which budget, and whether a machine reads the answer."""
    add_settings_arguments(parser)
    parser.add_argument("budget", nargs="?", help="only this budget, with all of its scopes")
    parser.add_argument("--all", action="store_true", help=f"every scope, not only the {_SHOWN} worst")
    parser.add_argument("--json", action="store_true", help="one JSON object, as GET /api/v1/budgets has it")


def run(args: argparse.Namespace) -> int:
    """0; 1 where the database does not answer. No source or notifier is contacted."""
    settings = settings_of(args)
    only = budget_of(settings, args.budget).name if args.budget is not None else None
    try:
        positions, notes, now = with_app(settings, _standings)
    except StoreError as error:
        print(f"alertd status: {error}", file=sys.stderr)
        return 1
    wanted = [position for position in worst_first(positions) if only in (None, position.budget.name)]
    if args.json:
        found = [budget_json(position, notes, now) for position in wanted]
        print(json.dumps({"version": 1, "judged_at": instant_text(now), "budgets": found}, indent=2))
    else:
        show(wanted if args.all else wanted[:_SHOWN], len(wanted), now, Console())
    return 0


async def _standings(app: App) -> tuple[Sequence[Position], Notes, datetime]:
    """The positions of this moment and the judge's notes, from the database alone."""
    facts, decisions = await app.judge.preview()
    return decisions.positions, facts.notes, facts.around.now


def show(positions: Sequence[Position], count: int, now: datetime, console: Console) -> None:
    """The table; a name from outside is text, never mark-up."""
    if not positions:
        console.print("No budget is configured: set ALERTD_BUDGETS__NAME__AMOUNT.")
        return
    table = Table("Budget", "", "Used", "Likely total (80 %)", "Used up", "Last days", "Data", box=None, pad_edge=False)
    for position in positions:
        table.add_row(*_row(position, now))
    console.print(table)
    if count > len(positions):
        console.print(f"and {count - len(positions):,} more, all further from their limits; --all shows them")


def _row(position: Position, now: datetime) -> list[Text]:
    event, state = event_for(position, now), state_of(position)
    unit, known = position.amount.unit, state != "unknown"
    used = used_of(position.spent, position.amount.value, unit) if position.data_until else "no data yet"
    likely = [estimate(event.projected[q], unit, position.spent) for q in ("0.1", "0.5", "0.9") if q in event.projected]
    out = evidence.runs_out(event, now) if known else ""
    return [
        Text(text_of(evidence.who(event))),
        Text(f"{STATES[state][0]} {STATES[state][1]}", _STYLES[state]),
        Text(used if known or not position.data_until else f"at least {used}"),
        Text(" – ".join(likely) if known and likely else "not known"),
        Text(out or "–"),
        Text(sparkline([float(spent) for _, spent in position.daily[-_DAYS:]])),
        Text(f"{age(now - position.data_until)} old" if position.data_until else "never", "" if known else "red"),
    ]


def sparkline(values: Sequence[float]) -> str:
    """One block a day, from the lowest to the highest; a day without spend is a blank."""
    highest = max(values, default=0.0)
    if highest <= 0:
        return ""
    top = len(_LEVELS) - 1
    return "".join(_LEVELS[round(value / highest * top)] if value > 0 else " " for value in values)
