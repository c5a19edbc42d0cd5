"""`alertd silence`: hold back matching alerts until an end, with a reason.

Alerts that still fire then are announced.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from alertd.commands._context import known_scopes, operations_of, refusal, refused, with_store
from alertd.commands._settings_args import add_settings_arguments, settings_of, who
from alertd.core.budgets import Where, parse_duration
from alertd.core.evaluation.state import Silence, State, silences_of
from alertd.operations.values import By, OperationError, where_text
from alertd.ports import Store
from alertd.terminal import printable

if TYPE_CHECKING:
    from alertd.settings import Settings

HELP: Final = "hold back matching alerts until an end, with a reason; list or end silences"
EXAMPLES: Final = (
    "alertd silence team=research --for 2h --reason 'load test' --env-file my.env",
    "alertd silence --env-file my.env                 # the active silences",
    "alertd silence --end 5f124f --env-file my.env",
)
ENDS: Final = "0 where it is done; 1 where it cannot be; 2 for wrong usage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to hold back and for how long; without arguments, list the active silences."""
    add_settings_arguments(parser)
    parser.add_argument("where", nargs="*", metavar="LABEL=PATTERN", help="budget=research, team=a: all must match")
    parser.add_argument("--for", dest="duration", metavar="FOR", help="its duration: 2h, 1d; required")
    parser.add_argument("--reason", default="", help="why; needed")
    parser.add_argument("--by", default=who(), help="who asks for it (default: you, %(default)s)")
    parser.add_argument("--end", metavar="ID", help="end the silence of this id now")
    parser.add_argument("--json", action="store_true", help="JSON lines, one per silence")


def run(args: argparse.Namespace) -> int:
    """0 on success."""
    where = _where(args.where)
    if (where.patterns or args.duration) and not (args.duration and args.reason):
        raise refusal("silence", "an end and a reason are needed", 'for example --for 2h --reason "load test"')
    try:
        duration = parse_duration(args.duration) if args.duration else None
    except ValueError as error:
        raise refusal("--for", str(error), "for example --for 2h") from error
    if duration == timedelta(0):
        raise refusal("--for", "it would end at once", "for example --for 2h; --end ID ends one")
    settings = settings_of(args, plugins=False)
    for silence in with_store(settings, lambda store: _silence(store, settings, args, where, duration)):
        _show(silence, as_json=args.json)
    return 0


def _where(words: list[str]) -> Where:
    """The matcher of `LABEL=PATTERN` arguments; one that cannot match anything is refused."""
    patterns: dict[str, tuple[str, ...]] = {}
    for word in words:
        label, _, pattern = word.partition("=")
        if not (label and pattern):
            raise refusal(word, "it has no label and pattern", "write it as team=search")
        patterns[label] = (*patterns.get(label, ()), pattern)
    return Where.of(patterns)


async def _silence(
    store: Store, settings: Settings, args: argparse.Namespace, where: Where, duration: timedelta | None
) -> list[Silence]:
    now = datetime.now(UTC)
    operations, by = operations_of(store, settings), By(args.by, reason=args.reason)
    known_ones = {one.id: one for one in silences_of(State.of(await store.memory()))}
    try:
        if args.end:
            await operations.end_silence(args.end, by)
            return [Silence(args.end, known_ones[args.end].where, now, "ended", args.by)]
        if duration is None:
            return [silence for silence in known_ones.values() if silence.until > now]
        outcome = await operations.silence(dict(where.patterns), duration, by)
    except OperationError as error:
        raise refused(args.end or "silence", error) from error
    silence = Silence(outcome.on, dict(where.patterns), outcome.until or now, args.reason, args.by)
    series = await store.series()
    known = ((budget, scope) for budget in settings.budgets.values() for scope in known_scopes(budget, series))
    if not any(silence.covers(budget.name, scope, now) for budget, scope in known):
        print("it matches no budget or scope at present; alertd status lists them", file=sys.stderr)
    return [silence]


def _show(silence: Silence, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(silence).decode())
        return
    until = f"until {silence.until:%Y-%m-%d %H:%M} UTC"
    print(printable(f"{silence.id}: {where_text(silence.where)} {until}, by {silence.by}: {silence.reason}"))
