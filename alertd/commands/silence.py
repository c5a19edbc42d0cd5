"""`alertd silence`: nobody is told of what matches, until an end and for a reason. What still stands then is told."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from datetime import timedelta
from typing import Any, Final

from alertd.app import App
from alertd.commands._configured import add_settings_arguments, settings_of
from alertd.commands._state import change_note, refusal, who, with_app
from alertd.core.budgets import Where, parse_duration
from alertd.core.judgement.silences import Silence, note_of, silences

HELP: Final = "hold back the alerts that match, until an end, for a reason; or list and end silences"
EXAMPLES: Final = (
    "alertd silence team=research --for 2h --reason 'load test' --env-file my.env",
    "alertd silence --env-file my.env                 # those in force",
    "alertd silence --end 5f124f --env-file my.env",
)
ENDS: Final = "0 where it is done; 1 where it cannot be; 2 for a wrong use"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to hold back and for how long; without any, the silences in force."""
    add_settings_arguments(parser)
    parser.add_argument("where", nargs="*", metavar="LABEL=PATTERN", help="budget=research, team=a: all have to match")
    parser.add_argument("--for", dest="duration", metavar="FOR", help="for how long: 2h, 1d; needed")
    parser.add_argument("--reason", default="", help="why; needed")
    parser.add_argument("--by", default=who(), help="who asks for it (default: you, %(default)s)")
    parser.add_argument("--end", metavar="ID", help="end the silence of this id now")
    parser.add_argument("--json", action="store_true", help="JSON lines, one a silence")


def run(args: argparse.Namespace) -> int:
    """0 when it was done."""
    where = _where(args.where)
    if (where.patterns or args.duration) and not (args.duration and args.reason):
        raise refusal("silence", "an end and a reason are needed", 'for example --for 2h --reason "load test"')
    try:
        duration = parse_duration(args.duration) if args.duration else None
    except ValueError as error:
        raise refusal("--for", str(error), "for example --for 2h") from error
    if duration == timedelta(0):
        raise refusal("--for", "it would be over at once", "for example --for 2h; --end ID ends one")
    for silence in with_app(settings_of(args), lambda app: _silence(app, args, where, duration)):
        _show(silence, as_json=args.json)
    return 0


def _where(words: list[str]) -> Where:
    """What `LABEL=PATTERN` words match together; one that could match nothing is refused."""
    patterns: dict[str, tuple[str, ...]] = {}
    for word in words:
        label, _, pattern = word.partition("=")
        if not (label and pattern):
            raise refusal(word, "it names no label and pattern", "write it as team=search")
        patterns[label] = (*patterns.get(label, ()), pattern)
    return Where.of(patterns)


async def _silence(app: App, args: argparse.Namespace, where: Where, duration: timedelta | None) -> list[Silence]:
    now = app.clock.now()
    if args.end:
        found = [one for one in await _all(app) if one.id == args.end]
        if not found:
            raise refusal(args.end, "no such silence", "alertd silence lists them")
        await change_note(app, note_of(found[0]), lambda _: None)
        return [Silence(found[0].id, found[0].where, now, "ended", args.by)]
    if duration is None:
        return [silence for silence in await _all(app) if silence.until > now]
    silence = Silence(secrets.token_hex(3), where, now + duration, args.reason, args.by)
    await change_note(app, note_of(silence), lambda _: silence.to_json())
    _, decisions = await app.judge.preview()
    if not any(silence.covers(one.budget.name, one.scope, now) for one in decisions.positions):
        print("it matches no budget and scope that there is now; alertd status lists them", file=sys.stderr)
    return [silence]


async def _all(app: App) -> list[Silence]:
    notes: dict[str, Any] = {name: value for name, (value, _) in (await app.store.memory()).items()}
    return list(silences(notes))


def _show(silence: Silence, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"id": silence.id, **silence.to_json()}))
        return
    where = ", ".join(f"{label}={','.join(patterns)}" for label, patterns in silence.where.patterns) or "everything"
    print(f"{silence.id}: {where} until {silence.until:%Y-%m-%d %H:%M} UTC, by {silence.by}: {silence.reason}")
