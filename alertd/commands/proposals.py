"""`alertd proposals`: changes that a program asked for and that wait for a person; accept or refuse one. Audited."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import Final

import msgspec

from alertd.commands._context import operations_of, refused, with_store
from alertd.commands._settings_args import add_settings_arguments, settings_of, who
from alertd.operations.proposals import accept, decline, proposal_text, proposals, state_of
from alertd.operations.values import By, OperationError
from alertd.ports import Store
from alertd.terminal import printable

HELP: Final = "list what programs proposed, and accept or refuse it"
EXAMPLES: Final = (
    "alertd proposals --env-file my.env",
    "alertd proposals accept 1a2b3c4d --reason 'load test' --env-file my.env",
    "alertd proposals refuse 1a2b3c4d --env-file my.env",
)
ENDS: Final = "0 where it is done or listed; 1 where there is no such proposal or it cannot be done; 2 for wrong usage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The answer, and the proposal."""
    add_settings_arguments(parser)
    parser.add_argument("what", nargs="?", choices=("list", "accept", "refuse"), default="list", help="default: list")
    parser.add_argument("proposal", nargs="?", default="", help="its id, as the list shows it")
    parser.add_argument("--by", default=who(), help="who answers (default: you, %(default)s)")
    parser.add_argument("--reason", default="", help="the reason; stored with it")
    parser.add_argument("--json", action="store_true", help="one JSON object; JSON lines for a list")


def run(args: argparse.Namespace) -> int:
    """0 where it is done or listed."""
    settings = settings_of(args, plugins=False)

    async def answered(store: Store) -> str:
        operations, by = operations_of(store, settings), By(args.by, reason=args.reason)
        if args.what == "accept":
            outcome = await accept(operations, args.proposal, by, may="editor")
        elif args.what == "refuse":
            outcome = await decline(operations, args.proposal, by)
        else:
            now = datetime.now(UTC)
            lines = [
                json.dumps({**msgspec.to_builtins(one), "state": state_of(one, now)})
                if args.json
                else f"{one.id}  {state_of(one, now):<8}  {printable(proposal_text(one))}"
                f"  by {printable(one.by)}: {printable(one.reason)}"
                for one in await proposals(operations)
            ]
            return "\n".join(lines) or ("" if args.json else "Nothing was proposed.")
        return json.dumps(msgspec.to_builtins(outcome)) if args.json else printable(outcome.said)

    try:
        said = with_store(settings, answered)
    except OperationError as error:
        raise refused(args.proposal or args.what, error) from error
    if said:
        print(said)
    return 0
