"""`alertd status`: the status of every budget, from the database, with or without a running daemon.

With `--watch` the table is updated until Ctrl-C; without a terminal, one table follows the other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

from rich.console import Group, RenderableType
from rich.table import Column
from rich.text import Text

from alertd.commands._context import (
    budget_of,
    evaluate_now,
    evaluate_with,
    is_current,
    recorded,
    with_daemon,
    with_store,
)
from alertd.commands._prompts import FRAME, PlainConsole, drawn, plain_table, sparkline
from alertd.commands._settings_args import add_settings_arguments, settings_of
from alertd.core.budgets import TOKENS, duration_text, parse_duration
from alertd.core.evaluation.state import StatusRecord
from alertd.core.evaluation.tree import Part, Row, tree_rows
from alertd.core.events import Event
from alertd.core.messages import evidence, text_of
from alertd.core.messages.format import STATUSES, age, estimate, percent, tokens, used_of
from alertd.core.messages.format import amount as figure
from alertd.ports import Store, StoreError
from alertd.terminal import printable

if TYPE_CHECKING:
    from alertd.daemon import Daemon
    from alertd.settings import Settings

HELP: Final = "a table of the budgets: spent, projected low-likely-high, used up on, data age; --watch updates it"
EXAMPLES: Final = (
    "alertd status --env-file my.env",
    "alertd status teams --all --env-file my.env",
    "alertd status --watch --every 30s --env-file my.env",
)
ENDS: Final = "0, whatever the figures; 1 without such a budget or a database; 2 for wrong usage"
#: A budget without `PER` has a line even without usage.
NOTHING: Final = "No budget is configured (ALERTD_BUDGETS__NAME__AMOUNT), or no usage carries the labels in PER yet."
_STYLES: Final = {
    "over": "bold red",
    "runaway": "bold red",
    "at_risk": "bold yellow",
    "unknown": "dim",
    "no_forecast": "dim",
    "on_track": "green",
}
_LIKELY: Final = "Likely total (range)"
#: Below _WIDE columns.
_NARROW: Final = ("Budget", "Status", "Used", "Spent of", "Likely", "Used up", "Data")
_RIGHT: Final = ("Used", "Spent of", "Likely")
_HUNDRED: Final = 100
_TREE: Final = ("Budget", Column("Spent", justify="right"), Column("Of", justify="right"), "", "")
_COLUMNS: Final = ("Budget", "", "Used", _LIKELY, "Used up", "Last days", "Data")
#: The least width of a terminal that shows the figures of a budget beside its last days.
_WIDE: Final = 150
_DAYS: Final = 14
_SHOWN: Final = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: the configuration, the budget, and the output."""
    add_settings_arguments(parser)
    parser.add_argument("budget", nargs="?", help="only this budget of the configuration, with all of its scopes")
    parser.add_argument("--names", action="store_true", help="only the names of the budgets, for shells to complete")
    parser.add_argument("--all", action="store_true", help=f"every scope, not only the {_SHOWN} worst")
    parser.add_argument("--tree", action="store_true", help="budgets below their parents (PARENT), to the cent")
    parser.add_argument("--json", action="store_true", help="one JSON object, as GET /api/v1/budgets has it")
    parser.add_argument("--watch", action="store_true", help="update it until Ctrl-C; with --json, one line each time")
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
    """0; 1 if the database does not answer. No source or notifier is contacted."""
    settings = settings_of(args, plugins=args.watch)
    if args.names:
        print("".join(f"{printable(name)}\n" for name in sorted(settings.budgets)), end="")
        return 0
    only = budget_of(settings, args.budget).name if args.budget is not None else None
    try:
        if args.watch:
            return with_daemon(settings, lambda daemon: _watched(daemon, settings, args, only))
    except KeyboardInterrupt:
        return 0
    found = with_store(settings, lambda store: _current(store, settings, only))
    wanted = _only(evaluate_now(settings_of(args)) if found is None else found, only)
    if args.json:
        print(json.dumps(_answer(wanted), indent=2))
    elif args.tree:
        PlainConsole().print(tree(wanted, len(wanted) if args.all else _SHOWN))
    else:
        show(wanted if args.all else wanted[:_SHOWN], len(wanted), datetime.now(UTC), PlainConsole())
    return 0


async def _current(store: Store, settings: Settings, only: str | None) -> list[StatusRecord] | None:
    """The daemon's records; None if they are not current."""
    found = await recorded(store, settings, only)
    return found if await is_current(store, settings, found, only) else None


def _only(records: Sequence[StatusRecord], only: str | None) -> list[StatusRecord]:
    return [record for record in records if only in (None, record.answer["budget"])]


async def _watched(daemon: Daemon, settings: Settings, args: argparse.Namespace, only: str | None) -> int:
    """Update the table until cancelled.

    If the database does not answer, show that instead of the table and try again.
    """
    console = PlainConsole()
    with drawn(console) as draw:
        while True:
            try:
                found = await _current(daemon.store, settings, only)
                wanted, now = _only(await evaluate_with(daemon) if found is None else found, only), datetime.now(UTC)
            except StoreError as error:
                draw(Text(f"alertd status: {error}", "red"))
            else:
                if args.json:
                    print(json.dumps(_answer(wanted)), flush=True)
                else:
                    most = len(wanted) if args.all or not console.is_terminal else max(1, console.height - FRAME)
                    draw(Group(table(wanted[:most], len(wanted), now, console.width), _foot(now, args.every)))
            await asyncio.sleep(args.every.total_seconds())


def _foot(now: datetime, every: timedelta) -> Text:
    return Text(f"As of {now:%d %b %H:%M:%S} UTC, every {duration_text(every)}; Ctrl-C leaves", "dim")


def _answer(wanted: Sequence[StatusRecord]) -> dict[str, object]:
    at = max((record.at for record in wanted), default=datetime.now(UTC))
    evaluated = at.isoformat(timespec="seconds").replace("+00:00", "Z")
    return {"version": 1, "evaluated_at": evaluated, "budgets": [record.answer for record in wanted]}


def show(records: Sequence[StatusRecord], count: int, now: datetime, console: PlainConsole) -> None:
    """Print the table."""
    console.print(table(records, count, now, console.width))


def table(records: Sequence[StatusRecord], count: int, now: datetime, width: int) -> RenderableType:
    """The table of these budget statuses, of `count` in all; names are escaped.

    A budget is one line on every terminal: a narrow one has short figures, and a long name is cut.
    """
    if not records:
        return Text(NOTHING)
    wide = width >= _WIDE
    rows = plain_table(*(_COLUMNS if wide else map(_narrow, _NARROW)), expand=not wide)
    for record in records:
        rows.add_row(*(_row(record, now) if wide else _short_row(record, now)))
    below = [line for record in records for line in (_certain(record, now), _credit(record, now)) if line]
    found = Group(rows, *below)
    if count <= len(records):
        return found
    return Group(found, Text(f"and {count - len(records):,} more, all further from their limits; --all shows them"))


def tree(records: Sequence[StatusRecord], most: int) -> RenderableType:
    """Budgets below their parents: the figures of the rows below one add up to its own."""
    events = {record.name: Event.from_json(record.event) for record in records}
    parts = []
    for record in records:
        event, above = events[record.name], record.answer.get("parent")
        parent = (above["budget"], tuple(above["scope"].items())) if isinstance(above, dict) else None
        spent, amount = event.spent or Decimal(0), event.amount or Decimal(0)
        status = str(record.answer["status"])
        parts.append(Part((event.budget, event.scope), parent, spent, amount, event.currency, status))
    rows = plain_table(*_TREE)
    for row in tree_rows(parts, most):
        rows.add_row(*_tree_row(row))
    return rows if rows.row_count else Text("No budget has a PARENT.")


def _tree_row(row: Row) -> list[Text]:
    part, unit = row.part, row.part.unit
    said = {"others": f"{row.others:,} more", "rest": "in no part", "shared": "in several parts, counted once"}
    name = said.get(row.what) or text_of(evidence.who_is(part.key[0], part.key[1]))
    cells = [Text("  " * row.depth + name), Text(f"{row.spent:,f}")]
    if row.what != "scope":
        return [*cells, Text(), Text(), Text()]
    excess = f"parts have {figure(row.allocated, unit)}" if row.allocated and row.allocated > part.amount else ""
    return [*cells, Text(figure(part.amount, unit)), Text(" ".join(STATUSES[part.status]), _STYLES[part.status]),
            Text(excess, "yellow")]  # fmt: skip


def _certain(record: StatusRecord, now: datetime) -> Text:
    """research: Certain until somebody stops it: acme/llama $644 more by Tue 1 Dec 00:00 ($3.25 an hour)."""
    event = Event.from_json(record.event)
    line = evidence.committed(event, now)
    return Text(f"{text_of(evidence.who(event))}: {text_of(line)}" if line else "", "yellow")


def _credit(record: StatusRecord, now: datetime) -> Text:
    """openrouter: Credit left: $42.10, used up Thu 26 Nov."""
    event = Event.from_json(record.event)
    line = evidence.credit(event, now)
    return Text(f"{text_of(evidence.who(event))}: {text_of(line)}" if line else "", "yellow")


def _narrow(name: str) -> Column:
    """A column of a narrow terminal; only the first one gives way."""
    first = name == _NARROW[0]
    justify: Literal["left", "right"] = "right" if name in _RIGHT else "left"
    return Column(name, justify=justify, no_wrap=True, overflow="ellipsis", ratio=1 if first else None)


def _short_row(record: StatusRecord, now: datetime) -> list[Text]:
    """The same in 80 columns: `research ▲ at risk 61% 304/500 USD 568 25 Nov 2 min`."""
    event, state = Event.from_json(record.event), str(record.answer["status"])
    unit, known, spent = event.currency, state != "unknown", event.spent or Decimal(0)
    amount = event.amount or Decimal(0)
    least = "≥" if event.data_until and (not known or record.answer["stale_sources"]) else ""
    likely = event.projected.get("0.5") if known else None
    out = evidence.runs_out(event, now).removeprefix("about ") if state in {"over", "runaway", "at_risk"} else ""
    short = {"over": "over", "runaway": "runaway", "no_forecast": "no forecast"}.get(state, STATUSES[state][1])
    seen = event.data_until is not None
    old = age(now - event.data_until).replace("under 1 min", "now") if event.data_until else "never"
    return [
        Text(text_of(evidence.who(event))),
        Text(f"{STATUSES[state][0]} {short}", _STYLES[state]),
        Text(f"{least}{percent(spent, amount)}".replace("under ", "<") if seen and amount else "–"),
        Text(
            f"{_round(spent, unit)}/{_round(amount, unit)} {'tok' if unit == TOKENS else unit}" if seen else "no data"
        ),
        Text("–" if likely is None else estimate(likely, unit, spent)),
        Text(out.partition(" ")[2] if out.count(" ") > 1 else out),
        Text(old, "" if known else "red"),
    ]


def _round(value: Decimal, unit: str) -> str:
    """`304`, `2.50`, `1.2B`: short enough for a column."""
    if unit == TOKENS:
        return tokens(value)
    return f"{value:,.0f}" if value >= _HUNDRED or value == value.to_integral_value() else f"{value:.2f}"


def _likely(figures: Sequence[str], event: Event) -> str:
    if evidence.is_too_early(event):
        return "too early"
    likely, *between = figures
    return likely if len(set(between)) == 1 else "{} ({} to {})".format(*figures)


def _row(record: StatusRecord, now: datetime) -> list[Text]:
    event, state = Event.from_json(record.event), str(record.answer["status"])
    unit, known, spent = event.currency, state != "unknown", event.spent or Decimal(0)
    used = used_of(spent, event.amount or Decimal(0), unit) if event.data_until else "no data yet"
    likely = [estimate(event.projected[q], unit, spent) for q in ("0.5", "0.1", "0.9") if q in event.projected]
    out = evidence.runs_out(event, now) if state in {"over", "runaway", "at_risk"} else ""
    daily = event.daily or ()
    return [
        Text(text_of(evidence.who(event))),
        Text(f"{' '.join(STATUSES[state])}", _STYLES[state]),
        Text(f"at least {used}" if event.data_until and (not known or record.answer["stale_sources"]) else used),
        Text(_likely(likely, event) if known and likely else "not known"),
        Text(out),
        Text(sparkline([float(day[1]) for day in daily[-_DAYS:]])),
        Text(f"{age(now - event.data_until)} old" if event.data_until else "never", "" if known else "red"),
    ]
