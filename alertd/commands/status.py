"""`alertd status`: where every budget stands, worked out from the database, with or without a running daemon.

With `--watch` the table is drawn anew until Ctrl-C; where nobody watches a terminal, one table follows the other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from alertd.app import App
from alertd.commands._configured import add_settings_arguments, settings_of
from alertd.commands._state import budget_of, with_app
from alertd.core.budgets import duration_text, parse_duration
from alertd.core.evaluation.state import State
from alertd.core.judgement.occasions import state_of
from alertd.core.judgement.positions import Position
from alertd.core.messages import evidence, text_of
from alertd.core.messages.dates import age
from alertd.core.messages.figures import estimate, used_of
from alertd.ports import StoreError
from alertd.web.answers import budget_json, instant_text, worst_first
from alertd.web.wording import STATES, event_for

HELP: Final = "a table of the budgets: spent, projected low-likely-high, used up on, data age; --watch keeps it fresh"
EXAMPLES: Final = (
    "alertd status --env-file my.env",
    "alertd status teams --all --env-file my.env",
    "alertd status --watch --every 30s --env-file my.env",
)
ENDS: Final = "0, whatever the figures; 1 where there is no such budget or no database; 2 for a wrong use"
#: A budget without `PER` has a line before anything is used.
NOTHING: Final = "No budget is configured (ALERTD_BUDGETS__NAME__AMOUNT), or no usage was seen yet by what PER names."
_STYLES: Final = {"over": "bold red", "risk": "bold yellow", "unknown": "dim", "ok": "green"}
_COLUMNS: Final = ("Budget", "", "Used", "Likely total (80 %)", "Used up", "Last days", "Data")
#: Columns of a terminal on which the figures of a budget and its last days stand side by side.
_WIDE: Final = 110
_LEVELS: Final = "▁▂▃▄▅▆▇█"
_DAYS: Final = 14
_SHOWN: Final = 50
#: Lines of the screen that are not a budget's: head, foot, and one to type on.
_FRAME: Final = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the configuration is, which budget, and whether a machine reads the answer."""
    add_settings_arguments(parser)
    parser.add_argument("budget", nargs="?", help="only this budget of the configuration, with all of its scopes")
    parser.add_argument("--all", action="store_true", help=f"every scope, not only the {_SHOWN} worst")
    parser.add_argument("--json", action="store_true", help="one JSON object, as GET /api/v1/budgets has it")
    parser.add_argument("--watch", action="store_true", help="draw it anew until Ctrl-C; with --json, a line each time")
    parser.add_argument("--every", type=_pace, default="5s", metavar="5s", help="how often --watch does (%(default)s)")


def _pace(text: str) -> timedelta:
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if found < timedelta(seconds=1):
        raise argparse.ArgumentTypeError(f"{text} is too short; write 1s or longer")
    return found


def run(args: argparse.Namespace) -> int:
    """0; 1 where the database does not answer. No source or notifier is contacted."""
    settings = settings_of(args)
    only = budget_of(settings, args.budget).name if args.budget is not None else None
    try:
        return with_app(settings, lambda app: _watched(app, args, only) if args.watch else _once(app, args, only))
    except KeyboardInterrupt:
        if not args.watch:
            raise
        return 0


async def _once(app: App, args: argparse.Namespace, only: str | None) -> int:
    wanted, notes, now = await _standings(app, only)
    if args.json:
        print(json.dumps(_answer(wanted, notes, now), indent=2))
    else:
        show(wanted if args.all else wanted[:_SHOWN], len(wanted), now, Console())
    return 0


async def _watched(app: App, args: argparse.Namespace, only: str | None) -> int:
    """Draws until it is cancelled. A database that does not answer is said in the table's place, and asked again."""
    console = Console()
    with drawn(console) as draw:
        while True:
            try:
                wanted, notes, now = await _standings(app, only)
            except StoreError as error:
                draw(Text(f"alertd status: {error}", "red"))
            else:
                if args.json:
                    print(json.dumps(_answer(wanted, notes, now)), flush=True)
                else:
                    most = len(wanted) if args.all or not console.is_terminal else max(1, console.height - _FRAME)
                    draw(Group(table(wanted[:most], len(wanted), now, console.width), _foot(now, args.every)))
            await asyncio.sleep(args.every.total_seconds())


@contextmanager
def drawn(console: Console) -> Iterator[Callable[[RenderableType], None]]:
    """What draws one picture in the place of the last: on a terminal that can; elsewhere one below the other."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield console.print
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        yield lambda picture: live.update(picture, refresh=True)


def _foot(now: datetime, every: timedelta) -> Text:
    return Text(f"As of {now:%d %b %H:%M:%S} UTC, every {duration_text(every)}; Ctrl-C leaves", "dim")


def _answer(wanted: Sequence[Position], notes: State, now: datetime) -> dict[str, object]:
    found = [budget_json(position, notes, now) for position in wanted]
    return {"version": 1, "judged_at": instant_text(now), "budgets": found}


async def _standings(app: App, only: str | None) -> tuple[Sequence[Position], State, datetime]:
    """The positions of this moment, the worst first, and the judge's notes, from the database alone."""
    facts, decisions = await app.judge.preview()
    wanted = [position for position in worst_first(decisions.positions) if only in (None, position.budget.name)]
    return wanted, facts.state, facts.around.now


def show(positions: Sequence[Position], count: int, now: datetime, console: Console) -> None:
    """Print the table."""
    console.print(table(positions, count, now, console.width))


def table(positions: Sequence[Position], count: int, now: datetime, width: int) -> RenderableType:
    """The table of the positions, of so many in all; a name from outside is text, never mark-up.

    On a narrow terminal the last days are left out: cut off they say nothing, and they take the figures' room.
    """
    if not positions:
        return Text(NOTHING)
    shown = [name for name in _COLUMNS if name != "Last days" or width >= _WIDE]
    found = Table(*(_folded(name, width) for name in shown), box=None, pad_edge=False)
    for position in positions:
        cells = dict(zip(_COLUMNS, _row(position, now), strict=True))
        cells["Used"] = Text(_folded(cells["Used"].plain, width))
        found.add_row(*(cells[name] for name in shown))
    if count <= len(positions):
        return found
    return Group(found, Text(f"and {count - len(positions):,} more, all further from their limits; --all shows them"))


def _folded(words: str, width: int) -> str:
    """On a narrow terminal what is in brackets has a line of its own: `(59 %)` is not torn apart."""
    return words if width >= _WIDE else words.replace(" (", "\n(")


def _row(position: Position, now: datetime) -> list[Text]:
    event, state = event_for(position, now), state_of(position)
    unit, known = position.amount.unit, state != "unknown"
    used = used_of(position.spent, position.amount.value, unit) if position.data_until else "no data yet"
    likely = [estimate(event.projected[q], unit, position.spent) for q in ("0.1", "0.5", "0.9") if q in event.projected]
    out = evidence.runs_out(event, now) if state in {"over", "risk"} else ""
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
