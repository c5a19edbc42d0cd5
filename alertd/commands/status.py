"""`alertd status`: where every budget stands, worked out from the database, with or without a running daemon.

With `--watch` the table is drawn anew until Ctrl-C; where nobody watches a terminal, one table follows the other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from alertd.commands._configured import add_settings_arguments, settings_of
from alertd.commands._console import Console
from alertd.commands._records import evaluate_now, evaluate_with, is_current, recorded
from alertd.commands._state import budget_of, with_app, with_store
from alertd.core.budgets import duration_text, parse_duration
from alertd.core.evaluation.record import StatusRecord
from alertd.core.events import Event
from alertd.core.messages import evidence, text_of
from alertd.core.messages.dates import age
from alertd.core.messages.figures import STATUSES, estimate, used_of
from alertd.ports import Store, StoreError

if TYPE_CHECKING:
    from alertd.app import App
    from alertd.settings import Settings

HELP: Final = "a table of the budgets: spent, projected low-likely-high, used up on, data age; --watch keeps it fresh"
EXAMPLES: Final = (
    "alertd status --env-file my.env",
    "alertd status teams --all --env-file my.env",
    "alertd status --watch --every 30s --env-file my.env",
)
ENDS: Final = "0, whatever the figures; 1 where there is no such budget or no database; 2 for a wrong use"
#: A budget without `PER` has a line before anything is used.
NOTHING: Final = "No budget is configured (ALERTD_BUDGETS__NAME__AMOUNT), or no usage was seen yet by what PER names."
_STYLES: Final = {
    "over": "bold red",
    "runaway": "bold red",
    "at_risk": "bold yellow",
    "unknown": "dim",
    "no_forecast": "dim",
    "on_track": "green",
}
_LIKELY: Final = "Likely total (range)"
_COLUMNS: Final = ("Budget", "", "Used", _LIKELY, "Used up", "Last days", "Data")
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
    settings = settings_of(args, plugins=args.watch)
    only = budget_of(settings, args.budget).name if args.budget is not None else None
    try:
        if args.watch:
            return with_app(settings, lambda app: _watched(app, settings, args, only))
    except KeyboardInterrupt:
        return 0
    found = with_store(settings, lambda store: _current(store, settings, only))
    wanted = _only(evaluate_now(settings_of(args)) if found is None else found, only)
    if args.json:
        print(json.dumps(_answer(wanted), indent=2))
    else:
        show(wanted if args.all else wanted[:_SHOWN], len(wanted), datetime.now(UTC), Console())
    return 0


async def _current(store: Store, settings: Settings, only: str | None) -> list[StatusRecord] | None:
    """The daemon's records; None where they do not speak for the present."""
    found = await recorded(store, settings, only)
    return found if await is_current(store, settings, found, only) else None


def _only(records: Sequence[StatusRecord], only: str | None) -> list[StatusRecord]:
    return [record for record in records if only in (None, record.answer["budget"])]


async def _watched(app: App, settings: Settings, args: argparse.Namespace, only: str | None) -> int:
    """Draws until it is cancelled. A database that does not answer is said in the table's place, and asked again."""
    console = Console()
    with drawn(console) as draw:
        while True:
            try:
                found = await _current(app.store, settings, only)
                wanted, now = _only(await evaluate_with(app) if found is None else found, only), datetime.now(UTC)
            except StoreError as error:
                draw(Text(f"alertd status: {error}", "red"))
            else:
                if args.json:
                    print(json.dumps(_answer(wanted)), flush=True)
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


def _answer(wanted: Sequence[StatusRecord]) -> dict[str, object]:
    at = max((record.at for record in wanted), default=datetime.now(UTC))
    evaluated = at.isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"version": 1, "evaluated_at": evaluated, "budgets": [record.answer for record in wanted]}


def show(records: Sequence[StatusRecord], count: int, now: datetime, console: Console) -> None:
    """Print the table."""
    console.print(table(records, count, now, console.width))


def table(records: Sequence[StatusRecord], count: int, now: datetime, width: int) -> RenderableType:
    """The table of these budget statuses, of so many in all; a name from outside is text, never mark-up.

    On a narrow terminal the last days are left out: cut off they say nothing, and they take the figures' room.
    """
    if not records:
        return Text(NOTHING)
    shown = [name for name in _COLUMNS if name != "Last days" or width >= _WIDE]
    columns = (Column(_folded(name, width), no_wrap=name == _LIKELY) for name in shown)
    rows = Table(*columns, box=None, pad_edge=False)
    for record in records:
        cells = dict(zip(_COLUMNS, _row(record, now), strict=True))
        for name in ("Used", _LIKELY):
            cells[name] = Text(_folded(cells[name].plain, width))
        rows.add_row(*(cells[name] for name in shown))
    certain = [_certain(record, now) for record in records]
    found = Group(rows, *(line for line in certain if line))
    if count <= len(records):
        return found
    return Group(found, Text(f"and {count - len(records):,} more, all further from their limits; --all shows them"))


def _certain(record: StatusRecord, now: datetime) -> Text:
    """research: certain if nobody stops it: acme/llama 644.00 USD more by Tue 1 Dec 00:00 (3.25 an hour)."""
    event = Event.from_json(record.event)
    line = evidence.committed(event, now)
    return Text(f"{text_of(evidence.who(event))}: {text_of(line)}" if line else "", "yellow")


def _folded(words: str, width: int) -> str:
    """On a narrow terminal what is in brackets has a line of its own: `(59 %)` is not torn apart."""
    return words if width >= _WIDE else words.replace(" (", "\n(")


def _row(record: StatusRecord, now: datetime) -> list[Text]:
    event, state = Event.from_json(record.event), str(record.answer["status"])
    unit, known, spent = event.currency, state != "unknown", event.spent or Decimal(0)
    used = used_of(spent, event.amount or Decimal(0), unit) if event.data_until else "no data yet"
    likely = [estimate(event.projected[q], unit, spent) for q in ("0.5", "0.1", "0.9") if q in event.projected]
    out = evidence.runs_out(event, now) if state in {"over", "runaway", "at_risk"} else ""
    daily = event.details.get("daily") or ()
    return [
        Text(text_of(evidence.who(event))),
        Text(f"{' '.join(STATUSES[state])}", _STYLES[state]),
        Text(f"at least {used}" if event.data_until and (not known or record.answer["stale_sources"]) else used),
        Text("{} ({} to {})".format(*likely) if known and likely else "not known"),
        Text(out),
        Text(sparkline([float(day[1]) for day in daily[-_DAYS:]])),
        Text(f"{age(now - event.data_until)} old" if event.data_until else "never", "" if known else "red"),
    ]


def sparkline(values: Sequence[float]) -> str:
    """One block a day, from the lowest to the highest; a day without spend is a blank."""
    highest = max(values, default=0.0)
    if highest <= 0:
        return ""
    top = len(_LEVELS) - 1
    return "".join(_LEVELS[round(value / highest * top)] if value > 0 else " " for value in values)
