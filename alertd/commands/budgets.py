"""`alertd budgets`: budgets as a TOML file, over the API of a running alertd: export them, plan a change, apply it.

And amounts for new ones: `propose`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from alertd.clients.local_files import read_text
from alertd.clients.own_api import OwnApi, OwnApiError
from alertd.commands._context import refusal
from alertd.plugin_options import canonical
from alertd.terminal import printable

HELP: Final = "budgets as code: export what is stored, plan a change, apply it; propose amounts from what was spent"
EXAMPLES: Final = (
    "alertd budgets export > budgets.toml",
    "alertd budgets plan budgets.toml --url https://alertd.example.com",
    "alertd budgets apply budgets.toml --delete",
    "alertd budgets propose --usage usage.csv --per team",
    "alertd budgets propose --per team --days 92 --write proposal --env-file my.env   # from the ledger",
)
ENDS: Final = "0 where it is done or nothing was to do; 1 where it is refused or changed meanwhile; 2 for wrong usage"
_HERE: Final = "http://127.0.0.1:9480"
_MOST_BYTES: Final = 1 << 20
#: What names a budget that is not stored, for a change.
_ABSENT: Final = "absent"
Settings = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BudgetChange:
    """One budget that differs: `before` and `after` are its settings, None where it is not there."""

    name: str
    before: Settings | None
    after: Settings | None
    tag: str

    def lines(self) -> list[str]:
        """The change as people read it, a line for each setting."""
        sign = "+" if self.before is None else "-" if self.after is None else "~"
        found = [f"{sign} {self.name}"]
        before, after = self.before or {}, self.after or {}
        for key in sorted(before.keys() | after.keys()):
            old, new = before.get(key), after.get(key)
            if old == new:
                continue
            if self.after is not None:
                found.append(f"    {key}: {'' if old is None else f'{old} -> '}{'(default)' if new is None else new}")
        return [printable(line) for line in found]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommand, the file, and the address of alertd."""
    # Imported here, so that --help answers without numpy.
    from alertd.commands._budget_proposals import add_propose  # noqa: PLC0415

    parts = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    for what, help_text in (
        ("export", "print what is stored in alertd"),
        ("plan", "show what a file would change"),
        ("apply", "change it"),
    ):
        part = parts.add_parser(what, help=help_text)
        add = part.add_argument
        add("file", nargs="?", type=Path, help="a TOML file of [budgets.NAME] tables with the keys of a budget")
        add(
            "--url",
            default=os.environ.get("ALERTD_URL", _HERE),
            help="where alertd is (default: ALERTD_URL, or %(default)s)",
        )
        add("--delete", action="store_true", help="also delete stored budgets that the file does not have")
        add("--if", dest="state", default="", metavar="STATE", help="apply only to the state that a plan showed")
        add("--reason", default="", help="the reason; stored in the audit")
        add("--json", action="store_true", help="JSON lines, one a change")
    add_propose(parts.add_parser("propose", help="propose amounts from the ledger or a usage file"))


def run(args: argparse.Namespace) -> int:
    """0 where it is done. The token is in ALERTD_TOKEN."""
    # Imported here, so that --help answers without numpy.
    from alertd.commands._budget_proposals import propose_amounts  # noqa: PLC0415

    if args.what == "propose":
        return propose_amounts(args)
    token = os.environ.get("ALERTD_TOKEN", "")
    api = OwnApi(args.url.rstrip("/"), {"authorization": f"Bearer {token}"} if token else {})
    try:
        return asyncio.run(_export(api) if args.what == "export" else _change(api, args))
    except OwnApiError as error:
        problem, _, remedy = str(error).partition("; ")
        raise refusal(args.url if not error.status else "alertd", problem, remedy) from error


async def _export(api: OwnApi) -> int:
    stored = await api.get("/api/v1/stored-budgets")
    for one in stored["budgets"]:
        print(f"# {printable(one['by'])}, {one['at']}\n[budgets.{one['name']}]")
        for key, value in sorted(one["settings"].items()):
            print(f"{key} = {json.dumps(value, ensure_ascii=False)}")
        print()
    if stored["configured"]:
        print(f"# in the configuration, not stored: {', '.join(stored['configured'])}")
    return 0


async def _change(api: OwnApi, args: argparse.Namespace) -> int:
    wanted = _wanted(args.file)
    stored = await api.get("/api/v1/stored-budgets")
    if taken := sorted(wanted.keys() & set(stored["configured"])):
        raise refusal(f"budgets.{taken[0]}", "is in alertd's configuration", "change it there, or leave it out here")
    known = {one["name"]: one for one in stored["budgets"]}
    state = sha256(json.dumps([(n, one["tag"]) for n, one in sorted(known.items())]).encode()).hexdigest()[:12]
    if args.state and args.state != state:
        at = max((one["at"] for one in stored["budgets"]), default=None)
        last = [f"{one['name']} by {one['by']}" for one in stored["budgets"] if one["at"] == at]
        who = f"; last changed: {', '.join(last)} at {at}" if last else ""
        raise refusal("--if", f"the budgets have changed since that plan{who}", "look at alertd budgets plan again")
    missing = {"settings": None, "tag": _ABSENT}
    before = {name: known.get(name, missing) for name in wanted.keys() | (known.keys() if args.delete else set())}
    changes = [
        BudgetChange(name, one["settings"], wanted.get(name), one["tag"])
        for name, one in sorted(before.items())
        if one["settings"] != wanted.get(name)
    ]
    for change in changes:
        if args.json:
            print(json.dumps({"budget": change.name, "before": change.before, "after": change.after}))
        else:
            print("\n".join(change.lines()))
        if args.what == "apply":
            sys.stdout.flush()
            await _apply(api, change, args.reason)
    if not args.json:
        print(_summary(changes, applied=args.what == "apply", state=state))
    return 0


async def _apply(api: OwnApi, change: BudgetChange, reason: str) -> None:
    path, headers = f"/api/v1/budgets/{change.name}", {"if-match": f'"{change.tag}"'}
    if change.after is None:
        await api.write("DELETE", path, {"reason": reason}, headers)
    else:
        await api.write("PUT", path, {"settings": dict(change.after), "reason": reason}, headers)


def _summary(changes: list[BudgetChange], *, applied: bool, state: str) -> str:
    if not changes:
        return "Nothing to change."
    count = f"{len(changes)} {'budget' if len(changes) == 1 else 'budgets'}"
    return f"{count} changed." if applied else f"{count} would change. State: {state}"


def _wanted(file: Path | None) -> dict[str, dict[str, str]]:
    """The budgets of the file, each setting as text. SettingsError."""
    if file is None:
        raise refusal("FILE", "required", "name a TOML file with [budgets.NAME] tables")
    try:
        held = tomllib.loads(read_text(file, _MOST_BYTES))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise refusal(str(file), f"not valid TOML: {error}", "alertd budgets export shows the form") from error
    except ValueError as error:
        problem, _, remedy = str(error).partition("; ")
        raise refusal(str(file), problem, remedy) from error
    budgets = held.pop("budgets", {})
    if held or not isinstance(budgets, dict) or not all(isinstance(one, dict) for one in budgets.values()):
        raise refusal(str(file), "holds something else than [budgets.NAME] tables", "keep only those")
    return {canonical(name): {key: _text(value) for key, value in one.items()} for name, one in budgets.items()}


def _text(value: Any) -> str:
    """A setting as env files have it: lists and maps as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, separators=(",", ":")) if isinstance(value, list | dict) else str(value)
