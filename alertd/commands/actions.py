"""`alertd actions`: list, approve, refuse, restore or pause actions on keys, and see why others are not taken."""

from __future__ import annotations

import argparse
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from alertd.commands._context import refusal, refused, with_daemon, with_store
from alertd.commands._settings_args import add_settings_arguments, settings_of, who
from alertd.core.actions.state_machine import OPEN, PAUSED, Act, Step, acts
from alertd.core.budgets import parse_duration
from alertd.core.evaluation.state import State
from alertd.core.messages.rich_text import clean
from alertd.operations.values import By, ForbiddenError, OperationError

if TYPE_CHECKING:
    from alertd.core.evaluation.values import Decisions, Facts
    from alertd.daemon import Daemon
    from alertd.loops.execute import LastEvaluation
    from alertd.ports import Store

HELP: Final = "list, plan, approve, refuse, restore, disown or pause actions on keys"
EXAMPLES: Final = (
    "alertd actions --env-file my.env                                    # what is configured, every action, its audit",
    "alertd actions plan --env-file my.env                               # what alertd would do now, and why not more",
    "alertd actions approve a7f3c2 --by @ana --reason 'seen' --env-file my.env",
    "alertd actions pause --env-file my.env                              # --off: continue",
    "alertd actions report --since 7d --env-file my.env                  # which dry-run actions would have been right",
)
ENDS: Final = "0 where it is done; 1 where it cannot be, which is said; 2 for wrong usage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommand and, for some, the handle that the message shows."""
    add_settings_arguments(parser)
    parser.add_argument("what", nargs="?", default="list", choices=sorted(_DOES), help="default: %(default)s")
    parser.add_argument("handle", nargs="?", default="", help="for approve, refuse, restore and disown: the handle")
    parser.add_argument("--by", default=who(), help="who answers (default: you, %(default)s)")
    parser.add_argument("--reason", default="", help="the reason; stored in the audit")
    parser.add_argument("--off", action="store_true", help="for pause: continue")
    parser.add_argument("--since", default="31d", help="for report: how far back (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="JSON instead of text")
    parser.add_argument("--handles", action="store_true", help="only the handles of open actions, one a line")


def run(args: argparse.Namespace) -> int:
    """0 when it is done; 1 with the reason where it cannot be."""
    if args.handles:
        return with_store(settings_of(args, plugins=False), _handles)
    settings = settings_of(args)
    return with_daemon(settings, lambda daemon: _DOES[args.what](daemon, args))


async def _handles(store: Store) -> int:
    """The handles of the actions that wait, or can be undone; for shells to complete."""
    found = acts(State.of(await store.memory()).records).values()
    print("".join(f"{act.handle}\n" for act in found if act.state in OPEN), end="")
    return 0


async def _list(daemon: Daemon, args: argparse.Namespace) -> int:
    found = await _acts(daemon)
    steps = await daemon.store.audit()
    if args.json:
        shown = [{**act.to_json(), "audit": [_step(s) for s in steps if s.act == act.id]} for act in found.values()]
        print(json.dumps(shown, default=str))
        return 0
    paused = (await daemon.store.memory()).get(PAUSED, (None, 0))[0]
    if paused:
        print(f"paused since {paused['at'][:16]} by {paused['by']}; to continue: alertd actions pause --off")
    for name, action in daemon.actor.config.actions.items():
        lacks = f" - cannot act: {action.terms.lacks}" if action.terms.lacks else ""
        print(f"{name}: {action.terms.what}, mode {action.terms.mode}{lacks}")
    for act in found.values():
        at = f"{act.since:%Y-%m-%d %H:%M}" if act.since else ""
        usage = f", usage {act.usage}" if act.usage else ""
        print(f"{act.handle}  {act.state:<10} {at}  {act.action}: {clean(act.key_name)} ({clean(act.position)}){usage}")
        for step in steps:
            if step.act == act.id:
                print(
                    f"        {step.at:%m-%d %H:%M} {step.what} by {step.by}{': ' + step.reason if step.reason else ''}"
                )
    return 0


async def _plan(daemon: Daemon, args: argparse.Namespace) -> int:
    """What alertd would do now, each key as its provider shows it, and why other keys are not stopped."""
    facts, decisions = await daemon.evaluation.preview()
    outcome = await daemon.actor.preview(_last(facts, decisions))
    proposals = [move for move in outcome.changes if move.act is not None and move.act.steps == 2]  # noqa: PLR2004 - proposed just now
    rows = [{**move.act.to_json(), "provider": await _shown_by(daemon, move.act)} for move in proposals if move.act]
    if args.json:
        refrained = [{"action": r.action, "position": r.position, "target": r.target, "guard": r.guard,
                      "reason": r.reason} for r in outcome.withheld]  # fmt: skip
        print(json.dumps({"would": rows, "would_not": refrained}, default=str))
        return 0
    for row in rows:
        event, shown = row["event"], ", ".join(f"{name} {value}" for name, value in row["provider"].items())
        print(f"{row['action']}: {row['what']}: {clean(row['target'])} ({clean(row['position'])}) -> {row['state']}")
        print(f"  {clean(event['reason'])}; {(event['details'] or {}).get('impact', '')}")
        print(f"  the provider shows: {clean(shown)}")
    for item in outcome.withheld:
        target = f": {clean(item.target)}" if item.target else ""
        print(f"not {item.action}{target} ({clean(item.position)}): {clean(item.reason)} [{item.guard}]")
    if not (rows or outcome.withheld):
        print("no threshold fires that an action acts on")
    return 0


async def _shown_by(daemon: Daemon, act: Act) -> Mapping[str, str]:
    """A key as its provider shows it: name, id, owner, team, last use."""
    action = daemon.actor.config.actions[act.action]
    if action.revoker.lacks:
        return {"problem": action.revoker.lacks}
    describe = import_module("alertd.loops.executor").describe
    shown: Mapping[str, str] = await describe(act, action, daemon.actor.config.secrets, daemon.clock.now())
    return shown


async def _answer(daemon: Daemon, args: argparse.Namespace) -> int:
    """Approve, refuse, restore or disown: stored in the audit under a name and posted in the alert's thread."""
    act, by = await _one(daemon, args.handle), By(args.by, reason=args.reason)
    facts, decisions = await daemon.evaluation.preview() if args.what == "approve" else (None, None)
    seen = _last(facts, decisions) if facts is not None and decisions is not None else None
    operations = replace(daemon.operations, lost=lambda waiting: daemon.actor.lost(waiting, seen))
    answers = {
        "approve": operations.approve,
        "refuse": operations.refuse,
        "restore": operations.restore,
        "disown": operations.disown,
    }
    try:
        await answers[args.what](act.id, by)
    except OperationError as error:
        raise refused("--by" if isinstance(error, ForbiddenError) else args.handle, error) from error
    after = await _one(daemon, args.handle)
    print(json.dumps(after.to_json(), default=str) if args.json else f"{after.handle}: {after.state}, by {args.by}")
    return 0


async def _pause(daemon: Daemon, args: argparse.Namespace) -> int:
    by = By(args.by, reason=args.reason)
    await (daemon.operations.resume(by) if args.off else daemon.operations.pause(by))
    value = (await daemon.store.memory()).get(PAUSED, (None, 0))[0]
    print(json.dumps({"paused": value}) if args.json else "actions continue" if args.off else "actions are paused")
    return 0


async def _report(daemon: Daemon, args: argparse.Namespace) -> int:
    """The actions of dry run, and which of them would have been right."""
    try:
        since = daemon.clock.now() - parse_duration(args.since)
    except ValueError as error:
        raise refusal("--since", str(error), "for example --since 31d") from error
    facts, _ = await daemon.evaluation.preview()
    dry_run_outcomes = import_module("alertd.core.actions.dry_run_report").dry_run_outcomes
    found = dry_run_outcomes(list((await _acts(daemon)).values()), facts, since)
    if args.json:
        rows = [
            {
                "act": one.act.to_json(),
                "outcome": one.outcome,
                "saved": None if one.saved is None else str(one.saved),
                "currency": one.unit,
                "because": one.because,
            }
            for one in found
        ]
        print(json.dumps(rows, default=str))
        return 0
    for one in found:
        saved = "" if one.saved is None else f", would have saved up to {one.saved:.2f} {one.unit}"
        at = f"{one.act.since:%Y-%m-%d %H:%M}"
        print(f"{at} {one.act.action}: {one.act.what}: {clean(one.act.target)}: {one.outcome}, {one.because}{saved}")
    right, wrong = (sum(one.outcome == outcome for one in found) for outcome in ("right", "wrong"))
    left = len(found) - right - wrong
    print(f"{len(found)} since {since:%Y-%m-%d}: {right} would have been right, {wrong} wrong, {left} open")
    return 0


async def _acts(daemon: Daemon) -> dict[str, Act]:
    return acts({name: value for name, (value, _) in (await daemon.store.memory()).items()})


async def _one(daemon: Daemon, handle: str) -> Act:
    """The action with a handle. SettingsError lists the open ones."""
    known = await _acts(daemon)
    found = [act for act in known.values() if handle and act.id.startswith(handle.lower())]
    if len(found) != 1:
        listed = ", ".join(f"{act.handle} ({act.state}, {clean(act.key_name)})" for act in known.values())
        problem = "several actions have a handle with this beginning" if found else "no action has this handle"
        raise refusal(handle or "handle", problem, f"there are: {listed or 'none'}")
    return found[0]


def _last(facts: Facts, decisions: Decisions) -> LastEvaluation:
    """What the evaluation saw; imported here, so that `--help` starts fast."""
    found: LastEvaluation = import_module("alertd.loops.execute").LastEvaluation(facts, decisions.statuses)
    return found


def _step(step: Step) -> Mapping[str, Any]:
    return {"at": step.at.isoformat(), "what": step.what, "state": step.state, "by": step.by, "reason": step.reason,
            "request": step.request, "evidence": step.evidence}  # fmt: skip


_DOES: Final[Mapping[str, Callable[[Daemon, argparse.Namespace], Awaitable[int]]]] = {
    "list": _list,
    "plan": _plan,
    "approve": _answer,
    "refuse": _answer,
    "restore": _answer,
    "disown": _answer,
    "pause": _pause,
    "report": _report,
}
