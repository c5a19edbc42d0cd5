"""`alertd alerts`: the open alerts, or all of the last weeks, with the handles that `alertd ack` takes."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime, timedelta
from typing import Final

from rich.table import Column, Table
from rich.text import Text

from alertd.commands._context import with_store
from alertd.commands._prompts import PlainConsole, plain_table
from alertd.commands._settings_args import add_settings_arguments, settings_of
from alertd.core.evaluation.state import LIFECYCLES, RESOLVED, AlertLifecycle, State
from alertd.core.messages import compose
from alertd.core.messages.format import age
from alertd.ports import AlertRow, Store
from alertd.terminal import printable

HELP: Final = "the open alerts with their handles; --all: every alert of the last five weeks"
EXAMPLES: Final = (
    "alertd alerts --env-file my.env",
    "alertd alerts --budget research --all --env-file my.env",
    "alertd alerts --handles                          # only the handles, one a line",
)
ENDS: Final = "0, also where no alert is open; 1 if the database does not answer; 2 for wrong usage"
_RECENT: Final = timedelta(days=35)
_HANDLE: Final = 6
_STYLES: Final = {"critical": "bold red", "warning": "yellow", "info": ""}

#: An alert as it was announced, with its lifecycle where people act on it.
Found = tuple[AlertRow, AlertLifecycle | None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which alerts, and the output."""
    add_settings_arguments(parser)
    parser.add_argument("--budget", help="only alerts of this budget")
    parser.add_argument("--all", action="store_true", help="also those that are over, of the last five weeks")
    parser.add_argument("--handles", action="store_true", help="only the handles, one a line")
    parser.add_argument("--json", action="store_true", help="JSON lines, one an alert")


def run(args: argparse.Namespace) -> int:
    """0."""
    settings = settings_of(args, plugins=False)
    found = with_store(settings, lambda store: _found(store, args))
    if args.handles or args.json:
        for row, life in found:
            print(row.event.id[:_HANDLE] if args.handles else json.dumps(_plain(row, life)))
        return 0
    if not found:
        print("No alert is open." if not args.all else "Nothing was announced in the last five weeks.")
        return 0
    PlainConsole().print(_table(found, datetime.now(UTC)))
    return 0


async def _found(store: Store, args: argparse.Namespace) -> list[Found]:
    """One row for all keys that were announced together, the newest first."""
    lives = dict(LIFECYCLES.items(State.of(await store.memory())))
    oldest = min((life.history[0].at for life in lives.values() if life.history), default=datetime.now(UTC))
    since = min(oldest, datetime.now(UTC) - _RECENT)
    rows = {row.event.id: row for row in await store.alerts(since) if args.budget in (None, row.event.budget)}
    found = [(row, lives.get(identity)) for identity, row in rows.items()]
    wanted = [(row, life) for row, life in found if args.all or (life is not None and life.state != RESOLVED)]
    return sorted(wanted, key=lambda pair: pair[0].at, reverse=True)


def _plain(row: AlertRow, life: AlertLifecycle | None) -> dict[str, object]:
    return {
        "handle": row.event.id[:_HANDLE],
        "id": row.event.id,
        "at": row.at.isoformat(),
        "state": life.state if life is not None else "announced",
        "severity": row.event.severity,
        "budget": row.event.budget,
        "scope": dict(row.event.scope),
        "said": compose([row.event], row.at).subject,
    }


def _table(found: list[Found], now: datetime) -> Table:
    """One line per alert, cut to the terminal's width."""
    columns = (
        Column("Handle", min_width=_HANDLE, no_wrap=True),
        Column("State", min_width=12, no_wrap=True),
        Column("Age", min_width=8, no_wrap=True),
        Column("Alert", no_wrap=True, ratio=1),
    )
    table = plain_table(*columns, expand=True)
    for row, life in found:
        said = printable(compose([row.event], row.at).subject)
        table.add_row(
            row.event.id[:_HANDLE],
            life.state if life is not None else "announced",
            age(now - row.at),
            Text(said, _STYLES.get(row.event.severity, ""), overflow="ellipsis"),
        )
    return table
