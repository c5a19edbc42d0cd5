"""`alertd ack`: somebody takes an alert on, or does not want to hear of it for a while. Audited, and idempotent."""

from __future__ import annotations

import argparse
import json
from datetime import timedelta
from typing import Any, Final

from alertd.app import App
from alertd.commands._configured import add_settings_arguments, settings_of
from alertd.commands._state import change_note, refusal, who, with_app
from alertd.core.budgets import parse_duration
from alertd.core.judgement.followups import NOTE, lives
from alertd.core.judgement.life import ACKNOWLEDGED, CannotHappenError, Life

HELP: Final = "acknowledge an alert by its handle, or snooze it"
EXAMPLES: Final = (
    "alertd ack 17bcc1 --env-file my.env",
    "alertd ack 17bcc1 --snooze 4h --reason 'load test' --env-file my.env",
)
ENDS: Final = (
    "0 where it is acknowledged or snoozed, also where it was before; 1 where no open alert has the handle; "
    "2 for a wrong use"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The handle, which stands in every message, and by whom."""
    add_settings_arguments(parser)
    parser.add_argument("handle", help="what the message shows after `alertd ack`, or its beginning")
    parser.add_argument("--snooze", metavar="FOR", help="hear nothing of it for so long instead: 1h, 1d")
    parser.add_argument("--by", default=who(), help="who takes it on (default: you, %(default)s)")
    parser.add_argument("--reason", default="", help="why; kept with it")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """0 when the alert is acknowledged or snoozed, also where it was before."""
    pause = _pause(args.snooze)
    life = with_app(settings_of(args), lambda app: _acknowledge(app, args, pause))
    if args.json:
        print(json.dumps(life.to_json()))
    else:
        until = f" until {life.until:%Y-%m-%d %H:%M} UTC" if life.until else ""
        print(f"{life.key}: {life.state}{until}, by {life.history[-1].by}")
    return 0


def _pause(text: str | None) -> timedelta | None:
    try:
        pause = None if text is None else parse_duration(text)
    except ValueError as error:
        raise refusal("--snooze", str(error), "for example --snooze 1d") from error
    if pause == timedelta(0):
        raise refusal("--snooze", "it would be over at once", "for example --snooze 1d")
    return pause


async def _acknowledge(app: App, args: argparse.Namespace, pause: timedelta | None) -> Life:
    notes = {name: value for name, (value, _) in (await app.store.memory()).items()}
    found = {identity: life for identity, life in lives(notes) if identity.startswith(args.handle.lower())}
    if len(found) != 1:
        known = ", ".join(f"{identity[:6]} ({life.key})" for identity, life in lives(notes) if life.state != "resolved")
        problem = "no alert has this handle" if not found else "several alerts have a handle that begins so"
        raise refusal(args.handle, problem, f"open ones are: {known or 'none'}")
    identity = next(iter(found))
    now = app.clock.now()

    def moved(value: Any) -> Any:
        life = Life.from_json(value)
        if pause is not None:
            return life.after("snooze", now, args.by, args.reason, until=now + pause).to_json()
        if life.state == ACKNOWLEDGED:
            return value
        return life.after("acknowledge", now, args.by, args.reason).to_json()

    try:
        return Life.from_json(await change_note(app, f"{NOTE}{identity}", moved))
    except CannotHappenError as error:
        raise refusal(args.handle, str(error), "alertd explain BUDGET shows its history") from error
