"""`alertd erase`: replace one person's label value by a random pseudonym everywhere, or show what is kept of it."""

from __future__ import annotations

import argparse
import json
import secrets
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from alertd.commands._context import refusal, with_store
from alertd.commands._prompts import PlainConsole, plain_table
from alertd.commands._settings_args import add_settings_arguments, settings_of, who
from alertd.core.evaluation.state import Erasure
from alertd.terminal import printable

if TYPE_CHECKING:
    from alertd.ports import Store
    from alertd.settings import Settings

HELP: Final = "replace a person's label value by a random pseudonym everywhere; --show says what is kept of it"
EXAMPLES: Final = (
    "alertd erase user=ana@example.com --show --env-file my.env",
    'alertd erase user=ana@example.com --reason "left the company" --env-file my.env',
)
ENDS: Final = "0; 1 if the database does not answer or has nothing of it; 2 for wrong usage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options: the configuration, the label and its value, and whether it is only shown."""
    add_settings_arguments(parser)
    parser.add_argument("name", metavar="LABEL=VALUE", help="the label and its value, as the ledger has them")
    parser.add_argument("--show", action="store_true", help="say what is kept of it, and change nothing")
    parser.add_argument("--by", default=who(), help="who erases it (default: you, %(default)s)")
    parser.add_argument("--reason", default="", help="the reason; the audit keeps it, so name nobody in it")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """0; 1 where nothing is kept of the value."""
    settings = settings_of(args, plugins=False)
    label, sign, value = args.name.partition("=")
    if not (sign and label and value):
        raise refusal("LABEL=VALUE", "is not a label with a value", "write it as user=ana@example.com")
    pseudonym = "" if args.show else f"erased-{secrets.token_hex(4)}"
    found = with_store(settings, lambda store: _work(store, args, label, value, pseudonym))
    nothing = not sum(found.values())
    if args.json:
        print(json.dumps({"label": label, "pseudonym": pseudonym or None, "rows": found}))
        return int(nothing)
    if nothing:
        print(f"Nothing is kept of {printable(args.name)}; alertd check lists the labels.")
        return 1
    _show(found, label, pseudonym, settings)
    return 0


async def _work(store: Store, args: argparse.Namespace, label: str, value: str, pseudonym: str) -> dict[str, int]:
    erasure: Any = import_module("alertd.stores.erasure")
    database: Any = store.database  # type: ignore[attr-defined] # both stores are of SQL
    found: dict[str, int] = await database.read(partial(erasure.kept, label=label, value=value))
    if args.show or not sum(found.values()):
        return found
    record = Erasure(datetime.now(UTC), args.by, label, pseudonym, args.reason)
    changed: dict[str, int] = await database.write(partial(erasure.erase, erasure=record, value=value))
    return changed


def _show(found: dict[str, int], label: str, pseudonym: str, settings: Settings) -> None:
    places: dict[str, str] = import_module("alertd.stores.erasure").PLACES
    rows = plain_table("kept" if not pseudonym else "changed", "where")
    for place, count in found.items():
        if place != "audit":
            rows.add_row(f"{count:,}", places[place])
    console = PlainConsole(highlight=False)
    console.print(rows)
    if found["audit"]:
        console.print(Text(f"{found['audit']:,} entries of the audit of actions name it: these stay.", "yellow"))
    if not pseudonym:
        console.print("Not in the database: the configuration, the log, backups, and what was sent.")
        return
    console.print(f"It is {pseudonym} now; sums stay, and nothing leads back. The audit has that it happened.")
    console.print(f"New usage under the name is kept by name again: drop or hash {printable(label)} at its source.")
    if settings.budgets and any(label in budget.per for budget in settings.budgets.values()):
        console.print("A table of budgets may still list it: alertd check shows what it matches.")
