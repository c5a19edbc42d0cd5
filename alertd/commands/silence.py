"""`alertd silence`: nobody is told of what matches, until an end and for a reason. What still stands then is told."""

from __future__ import annotations

import argparse
import secrets
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from alertd.commands._configured import add_settings_arguments, settings_of
from alertd.commands._state import change_record, known_scopes, refusal, who, with_store
from alertd.core.budgets import Where, parse_duration
from alertd.core.evaluation.state import SILENCES, Silence, State, silences_of
from alertd.ports import Store
from alertd.terminal import printable

if TYPE_CHECKING:
    from alertd.settings import Settings

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
    settings = settings_of(args, plugins=False)
    for silence in with_store(settings, lambda store: _silence(store, settings, args, where, duration)):
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


async def _silence(
    store: Store, settings: Settings, args: argparse.Namespace, where: Where, duration: timedelta | None
) -> list[Silence]:
    now = datetime.now(UTC)
    if args.end:
        found = [one for one in await _all(store) if one.id == args.end]
        if not found:
            raise refusal(args.end, "no such silence", "alertd silence lists them")
        await change_record(store, SILENCES, found[0].id, lambda _: None)
        return [Silence(found[0].id, found[0].where, now, "ended", args.by)]
    if duration is None:
        return [silence for silence in await _all(store) if silence.until > now]
    silence = Silence(secrets.token_hex(3), dict(where.patterns), now + duration, args.reason, args.by)
    await change_record(store, SILENCES, silence.id, lambda _: silence)
    series = await store.series()
    known = ((budget, scope) for budget in settings.budgets.values() for scope in known_scopes(budget, series))
    if not any(silence.covers(budget.name, scope, now) for budget, scope in known):
        print("it matches no budget and scope that there is now; alertd status lists them", file=sys.stderr)
    return [silence]


async def _all(store: Store) -> list[Silence]:
    return silences_of(State.of(await store.memory()))


def _show(silence: Silence, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(silence).decode())
        return
    where = ", ".join(f"{label}={','.join(patterns)}" for label, patterns in silence.where.items()) or "everything"
    until = f"until {silence.until:%Y-%m-%d %H:%M} UTC"
    print(printable(f"{silence.id}: {where} {until}, by {silence.by}: {silence.reason}"))
