"""`alertd formats`: list the known layouts of usage and cost files, and the columns that identify each."""

from __future__ import annotations

import argparse
import json
from typing import Final

from rich.markup import escape

from alertd.commands._prompts import PlainConsole, plain_table
from alertd.core.formats.layout import known_layouts

HELP: Final = "list the known layouts of usage and cost files, and the columns that identify each"
EXAMPLES: Final = ("alertd formats", "alertd formats --json")
ENDS: Final = "0, always; 2 for wrong usage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="JSON instead of text")


def run(args: argparse.Namespace) -> int:
    """Always 0."""
    layouts = known_layouts()
    if args.json:
        print(
            json.dumps(
                [
                    {
                        "layout": one.name,
                        "title": one.title,
                        "recognised_by": list(one.recognised_by),
                        "money": one.money,
                    }
                    for one in layouts
                ]
            )
        )
        return 0
    table = plain_table("layout", "file", "recognised by")
    for one in layouts:
        table.add_row(one.name, escape(one.title), escape(", ".join(one.recognised_by)))
    console = PlainConsole(highlight=False)
    console.print(table)
    console.print(
        "Any other file needs a time, provider, model and tokens or cost: docs/files.md."
        " All are read by rate, replay and the kind csv.",
        soft_wrap=True,
    )
    return 0
