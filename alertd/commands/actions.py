"""`alertd actions`: what may be done to keys, by people: approve, refuse, restore, pause; and why not more is done."""

from __future__ import annotations

import argparse
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from alertd.commands._configured import add_settings_arguments, settings_of
from alertd.commands._state import change_note, refusal, who, with_app
from alertd.core.actions.announcements import event_of_step
from alertd.core.actions.guards import PAUSED
from alertd.core.actions.hindsight import hindsight
from alertd.core.actions.interactions import BEGINS_WITHIN
from alertd.core.actions.state_machine import AWAITING, RESTORING, STUCK, VERIFIED, Act, CannotHappenError, Step, acts
from alertd.core.budgets import parse_duration
from alertd.core.messages.spans import clean
from alertd.loops.execute import Seen
from alertd.loops.executor import describe

if TYPE_CHECKING:
    from alertd.app import App

HELP: Final = "list, plan, approve, refuse, restore, disown or pause what is done to keys"
EXAMPLES: Final = (
    "alertd actions --env-file my.env                                    # what is configured, every act, its audit",
    "alertd actions plan --env-file my.env                               # what would be done now, and why not more",
    "alertd actions approve a7f3c2 --by @ana --reason 'seen' --env-file my.env",
    "alertd actions pause --env-file my.env                              # --off: go on",
    "alertd actions report --since 7d --env-file my.env                  # which acts in dry run would have been right",
)
ENDS: Final = "0 where it is done; 1 where it cannot be, which is said; 2 for a wrong use"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and the handle that stands in the message where one is needed."""
    add_settings_arguments(parser)
    parser.add_argument("what", nargs="?", default="list", choices=sorted(_DOES), help="default: %(default)s")
    parser.add_argument("handle", nargs="?", default="", help="of approve, refuse, restore and disown")
    parser.add_argument("--by", default=who(), help="who answers (default: you, %(default)s)")
    parser.add_argument("--reason", default="", help="why; kept in the audit")
    parser.add_argument("--off", action="store_true", help="of pause: go on")
    parser.add_argument("--since", default="31d", help="of report: how far back (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="JSON instead of text")


def run(args: argparse.Namespace) -> int:
    """0 when it is done; 1 with the reason where it cannot be."""
    settings = settings_of(args)
    return with_app(settings, lambda app: _DOES[args.what](app, args))


async def _list(app: App, args: argparse.Namespace) -> int:
    found = await _acts(app)
    steps = await app.store.audit()
    if args.json:
        shown = [{**act.to_json(), "audit": [_step(s) for s in steps if s.act == act.id]} for act in found.values()]
        print(json.dumps(shown, default=str))
        return 0
    paused = (await app.store.memory()).get(PAUSED, (None, 0))[0]
    if paused:
        print(f"paused since {paused['at'][:16]} by {paused['by']}; go on: alertd actions pause --off")
    for name, action in app.actor.orders.actions.items():
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


async def _plan(app: App, args: argparse.Namespace) -> int:
    """What would be done now, with what hangs on it as its provider sees it; and why not more."""
    facts, decisions = await app.evaluation.preview()
    outcome = await app.actor.preview(Seen(facts, decisions.positions))
    proposals = [move for move in outcome.changes if move.act is not None and move.act.steps == 2]  # noqa: PLR2004 - proposed just now
    rows = [{**move.act.to_json(), "provider": await _shown_by(app, move.act)} for move in proposals if move.act]
    if args.json:
        refrained = [{"action": r.action, "position": r.position, "target": r.target, "guard": r.guard,
                      "reason": r.reason} for r in outcome.withheld]  # fmt: skip
        print(json.dumps({"would": rows, "would_not": refrained}, default=str))
        return 0
    for row in rows:
        event, shown = row["event"], ", ".join(f"{name} {value}" for name, value in row["provider"].items())
        print(f"{row['action']}: {row['what']}: {clean(row['target'])} ({clean(row['position'])}) -> {row['state']}")
        print(f"  {clean(event['reason'])}; {event['details'].get('impact', '')}")
        print(f"  its provider shows: {clean(shown)}")
    for item in outcome.withheld:
        target = f": {clean(item.target)}" if item.target else ""
        print(f"not {item.action}{target} ({clean(item.position)}): {clean(item.reason)} [{item.guard}]")
    if not (rows or outcome.withheld):
        print("no threshold stands that an action acts upon")
    return 0


async def _shown_by(app: App, act: Act) -> Mapping[str, str]:
    """What the provider shows of a key: name, id, owner, team, last use."""
    action = app.actor.orders.actions[act.action]
    if action.revoker.lacks:
        return {"problem": action.revoker.lacks}
    return await describe(act, action, app.actor.orders.secrets, app.clock.now())


async def _approve(app: App, args: argparse.Namespace) -> int:
    found = await _one(app, args.handle)
    action = app.actor.orders.actions.get(found.action)
    if action is None:
        raise refusal(found.action, "this action is not configured any more", "configure it again, or act by hand")
    refused = action.terms.refuses_approver(args.by)
    if refused:
        raise refusal("--by", refused, f"approvers are: {', '.join(action.terms.approvers) or 'anybody with a name'}")
    if found.expires is not None and found.state == AWAITING and app.clock.now() >= found.expires:
        raise refusal(args.handle, "it has expired", "alertd actions plan says what would be done now")
    if found.state == AWAITING:
        facts, decisions = await app.evaluation.preview()
        lost = await app.actor.lost(found, Seen(facts, decisions.positions))
        if lost:
            raise refusal(args.handle, f"nothing was done: {lost}", "alertd actions plan says what would be done now")
    begins = app.clock.now() + max(action.terms.expiry, BEGINS_WITHIN)
    return await _moved(app, args, "approve", approved_by=args.by, expires=begins)


async def _refuse(app: App, args: argparse.Namespace) -> int:
    return await _moved(app, args, "refuse")


async def _restore(app: App, args: argparse.Namespace) -> int:
    act = await _one(app, args.handle)
    if act.state == RESTORING:
        print(f"{act.handle}: is being restored already")
        return 0
    if act.state in {VERIFIED, STUCK} and not (act.ours and act.reversible):
        why = "it cannot be undone" if act.ours else "it was so before alertd came: not ours to undo"
        raise refusal(args.handle, why, "change it at its provider, if that is what you want")
    return await _moved(app, args, "restore", lease_until=None, not_before=None, attempts=0, sent=None, error="")


async def _disown(app: App, args: argparse.Namespace) -> int:
    """The action is taken out of alertd's hands: what it changed stays, and nothing undoes it any more."""
    return await _moved(app, args, "disown", lease_until=None, not_before=None, ours=False)


async def _pause(app: App, args: argparse.Namespace) -> int:
    now = app.clock.now()
    value = None if args.off else {"at": now.isoformat(), "by": args.by, "reason": args.reason}
    await change_note(app, PAUSED, lambda _: value)
    print(json.dumps({"paused": value}) if args.json else "actions go on" if args.off else "actions are paused")
    return 0


async def _report(app: App, args: argparse.Namespace) -> int:
    """What dry run would have done, and which of it would have been right."""
    try:
        since = app.clock.now() - parse_duration(args.since)
    except ValueError as error:
        raise refusal("--since", str(error), "for example --since 31d") from error
    facts, _ = await app.evaluation.preview()
    found = hindsight(list((await _acts(app)).values()), facts, since)
    if args.json:
        rows = [
            {
                "act": one.act.to_json(),
                "verdict": one.verdict,
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
        print(f"{at} {one.act.action}: {one.act.what}: {clean(one.act.target)}: {one.verdict}, {one.because}{saved}")
    right, wrong = (sum(one.verdict == verdict for one in found) for verdict in ("right", "wrong"))
    left = len(found) - right - wrong
    print(f"{len(found)} since {since:%Y-%m-%d}: {right} would have been right, {wrong} wrong, {left} open")
    return 0


async def _moved(app: App, args: argparse.Namespace, what: str, **changes: Any) -> int:
    """One step by a person, in the audit under their name, told in the alert's conversation."""
    while True:
        act = await _one(app, args.handle)
        notes = await app.store.memory()
        try:
            after, step = act.after(what, app.clock.now(), args.by, args.reason, **changes)
        except CannotHappenError as error:
            raise refusal(args.handle, str(error), "alertd actions shows its history") from error
        said = event_of_step(after, step)
        if await app.actor.write((said,) if said else (), (step,), {act.note: (after.to_json(), notes[act.note][1])}):
            break
    print(json.dumps(after.to_json(), default=str) if args.json else f"{after.handle}: {after.state}, by {args.by}")
    return 0


async def _acts(app: App) -> dict[str, Act]:
    return acts({name: value for name, (value, _) in (await app.store.memory()).items()})


async def _one(app: App, handle: str) -> Act:
    """The act of a handle. Raises SettingsError with the open ones."""
    known = await _acts(app)
    found = [act for act in known.values() if handle and act.id.startswith(handle.lower())]
    if len(found) != 1:
        listed = ", ".join(f"{act.handle} ({act.state}, {clean(act.key_name)})" for act in known.values())
        problem = "several acts have a handle that begins so" if found else "no act has this handle"
        raise refusal(handle or "handle", problem, f"there are: {listed or 'none'}")
    return found[0]


def _step(step: Step) -> Mapping[str, Any]:
    return {"at": step.at.isoformat(), "what": step.what, "state": step.state, "by": step.by, "reason": step.reason,
            "request": step.request, "evidence": step.evidence}  # fmt: skip


_DOES: Final[Mapping[str, Callable[[App, argparse.Namespace], Awaitable[int]]]] = {
    "list": _list,
    "plan": _plan,
    "approve": _approve,
    "refuse": _refuse,
    "restore": _restore,
    "disown": _disown,
    "pause": _pause,
    "report": _report,
}
