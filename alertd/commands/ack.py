"""`alertd ack`: acknowledge an alert, or snooze it for a while; without a handle, list the open ones. Audited."""

from __future__ import annotations

import argparse
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from alertd.commands._context import operations_of, refusal, refused, with_store
from alertd.commands._settings_args import add_settings_arguments, settings_of, who
from alertd.core.budgets import parse_duration
from alertd.core.evaluation.state import LIFECYCLES, RESOLVED, AlertLifecycle, State
from alertd.operations.values import By, NotFoundError, OperationError
from alertd.ports import Store
from alertd.terminal import printable

if TYPE_CHECKING:
    from alertd.settings import Settings

HELP: Final = "acknowledge an alert by its handle, or snooze it; without a handle, list the open alerts"
EXAMPLES: Final = (
    "alertd ack --env-file my.env                     # the open alerts and their handles",
    "alertd ack 17bcc1 --env-file my.env",
    "alertd ack 17bcc1 --snooze 4h --reason 'load test' --env-file my.env",
)
ENDS: Final = (
    "0 where it is acknowledged or snoozed, also where it was before, or the open ones are listed; "
    "1 where no open alert has the handle; 2 for wrong usage"
)
#: The number of digits of a handle in messages.
_HANDLE: Final = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The handle, which every message shows, and the person."""
    add_settings_arguments(parser)
    parser.add_argument(
        "handle", nargs="?", default="", help="the handle that the message shows after `alertd ack`, or its beginning"
    )
    parser.add_argument("--snooze", metavar="FOR", help="instead, get no messages about it for this time: 1h, 1d")
    parser.add_argument("--by", default=who(), help="who acknowledges it (default: you, %(default)s)")
    parser.add_argument("--reason", default="", help="the reason; stored with it")
    parser.add_argument("--json", action="store_true", help="one JSON object; JSON lines for a list")


def run(args: argparse.Namespace) -> int:
    """0 when the alert is acknowledged or snoozed, also where it was before, or when the open ones are listed."""
    pause = _pause(args.snooze)
    if not args.handle:
        if pause is not None:
            raise refusal("--snooze", "it needs the alert's handle", "alertd ack lists the open alerts")
        return _list(with_store(settings_of(args, plugins=False), _open), as_json=args.json)
    settings = settings_of(args, plugins=False)
    lifecycle = with_store(settings, lambda store: _acknowledge(store, settings, args, pause))
    if args.json:
        print(json.dumps(_plain(lifecycle)))
    else:
        until = f" until {lifecycle.until:%Y-%m-%d %H:%M} UTC" if lifecycle.until else ""
        print(f"{printable(lifecycle.key)}: {lifecycle.state}{until}, by {printable(lifecycle.history[-1].by)}")
    return 0


async def _open(store: Store) -> list[tuple[str, AlertLifecycle]]:
    """The alerts that are not resolved, the newest first."""
    found = LIFECYCLES.items(State.of(await store.memory()))
    unresolved = [(identity, one) for identity, one in found if one.state != RESOLVED]
    return sorted(unresolved, key=lambda pair: (pair[1].history[0].at, pair[0]), reverse=True)


def _list(found: list[tuple[str, AlertLifecycle]], *, as_json: bool) -> int:
    if not found and not as_json:
        print("No alert is open.")
    for identity, one in found:
        if as_json:
            print(json.dumps({"handle": identity[:_HANDLE], "id": identity, **_plain(one)}))
            continue
        until = f" until {one.until:%Y-%m-%d %H:%M} UTC" if one.until else ""
        since = f"since {one.history[0].at:%Y-%m-%d %H:%M} UTC"
        print(f"{identity[:_HANDLE]}  {one.severity:<8}  {one.state}{until}  {since}  {printable(one.key)}")
    return 0


def _plain(lifecycle: AlertLifecycle) -> dict[str, object]:
    plain: dict[str, Any] = msgspec.to_builtins(lifecycle)
    return plain


def _pause(text: str | None) -> timedelta | None:
    try:
        pause = None if text is None else parse_duration(text)
    except ValueError as error:
        raise refusal("--snooze", str(error), "for example --snooze 1d") from error
    if pause == timedelta(0):
        raise refusal("--snooze", "it would end at once", "for example --snooze 1d")
    return pause


async def _acknowledge(
    store: Store, settings: Settings, args: argparse.Namespace, pause: timedelta | None
) -> AlertLifecycle:
    operations, by = operations_of(store, settings), By(args.by, reason=args.reason)
    try:
        if pause is None:
            outcome = await operations.acknowledge(args.handle, by)
        else:
            outcome = await operations.snooze(args.handle, pause, by)
    except NotFoundError as error:
        known = ", ".join(f"{identity[:_HANDLE]} ({one.key})" for identity, one in await _open(store))
        raise refusal(args.handle, error.problem, f"open ones are: {printable(known) or 'none'}") from error
    except OperationError as error:
        raise refused(args.handle, error) from error
    after = LIFECYCLES.get(State.of(await store.memory()), outcome.on)
    if after is None:
        raise refusal(args.handle, "this alert was deleted meanwhile", "alertd ack lists the open ones")
    return after
