"""`alertd explain`: why a budget fired or did not, from the daemon's record of its last evaluation."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from alertd.commands._context import (
    budget_of,
    evaluate_now,
    given_labels,
    recorded,
    refusal,
    say,
    show_record,
    with_store,
)
from alertd.commands._prompts import PlainConsole
from alertd.commands._settings_args import add_settings_arguments, settings_of
from alertd.core.budgets import scope_text
from alertd.core.evaluation.state import LIFECYCLES, AlertLifecycle, State, StatusRecord
from alertd.core.messages.format import age
from alertd.terminal import printable

if TYPE_CHECKING:
    from alertd.ports import Store
    from alertd.settings import Settings

HELP: Final = "say why a budget fired, or did not"
EXAMPLES: Final = (
    "alertd explain research --env-file my.env",
    "alertd explain teams --scope team=research --env-file my.env",
    "alertd explain teams --env-file my.env --json",
)
ENDS: Final = "0 on success; 1 without such a budget or a database; 2 for wrong usage"
_NEED: Final = ("sources", "budgets")
#: An evaluation that is older than this many poll intervals gets a remark.
_INTERVALS: Final = 5
#: As many scopes are named where none fits.
_NAMED: Final = 8

Lifecycles = Mapping[str, AlertLifecycle]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which budget."""
    add_settings_arguments(parser)
    parser.add_argument("budget", help="the budget's name in the configuration; every scope of it")
    parser.add_argument(
        "--scope",
        action="append",
        default=[],
        metavar="LABEL=VALUE",
        help="for a budget with PER: only these scopes, such as team=research; an empty value: without the label",
    )
    parser.add_argument("--json", action="store_true", help="JSON lines, one a scope")


def run(args: argparse.Namespace) -> int:
    """0 if there is something to explain."""
    settings = settings_of(args, _NEED, plugins=False)
    budget = budget_of(settings, args.budget)
    name, wanted = budget.name, given_labels(budget, args.scope)
    records, lifecycles = with_store(settings, lambda store: _read(store, settings, name))
    now = datetime.now(UTC)
    if not records:
        records = [one for one in evaluate_now(settings_of(args, _NEED)) if one.answer["budget"] == name]
        if records:
            say(f"alertd run has not evaluated {name} yet; this is the result of an evaluation now.")
        else:
            say(f"No usage carries the labels in PER of {name} yet.")
    elif now - records[0].at > _INTERVALS * settings.poll_interval:
        say(f"The last evaluation of {name} is {age(now - records[0].at)} old; alertd run may not be running.")
    if wanted and records:
        records = _of_scope(records, wanted)
    if settings.dry_run:
        say("ALERTD_DRY_RUN is on: everything is evaluated, nothing is sent.")
    console = PlainConsole(highlight=False)
    for record in records:
        own = {identity: one for identity, one in lifecycles.items() if one.key.startswith(f"{record.name}/")}
        if args.json:
            print(json.dumps(_plain(record, own), default=str))
        else:
            show_record(console, record, own)
    return 0


def _of_scope(records: list[StatusRecord], wanted: Mapping[str, str]) -> list[StatusRecord]:
    """The records of the scopes with these values. SettingsError, with some that there are, if there is none."""
    scopes = [one.answer["scope"] for one in records]
    found = [
        record
        for record, scope in zip(records, scopes, strict=True)
        if isinstance(scope, dict)
        and all((scope.get(label) or "") in (value, value.strip()) for label, value in wanted.items())
    ]
    if found:
        return found
    first = "; ".join(scope_text(tuple(scope.items())) for scope in scopes[:_NAMED] if isinstance(scope, dict))
    more = f" and {len(scopes) - _NAMED} more" if len(scopes) > _NAMED else ""
    raise refusal("--scope", "no such scope has usage", f"there are: {printable(first)}{more}")


async def _read(store: Store, settings: Settings, name: str) -> tuple[list[StatusRecord], Lifecycles]:
    state = State.of(await store.memory())
    return await recorded(store, settings, name), dict(LIFECYCLES.items(state))


def _plain(record: StatusRecord, lifecycles: Lifecycles) -> dict[str, object]:
    names = ("budget", "scope", "amount", "currency", "data_until")
    period = record.answer["period"]
    return {
        **{name: record.answer[name] for name in names},
        "name": record.name,
        "evaluated_at": record.at,
        "period": record.name.rsplit("/", 1)[-1],
        "period_start": period["start"] if isinstance(period, dict) else None,
        "spent": record.answer["spent_at_least"],
        "status": record.answer.get("status", record.answer.get("state")),
        "flags": record.answer.get("flags", []),
        "price_version": record.price_version,
        "thresholds": [msgspec.to_builtins(one) for one in record.thresholds],
        "notes": list(record.notes),
        "alerts": {identity: msgspec.to_builtins(one) for identity, one in lifecycles.items()},
    }
