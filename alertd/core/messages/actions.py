"""What is said of actions on keys: what is proposed, what was done, how to undo it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from alertd.core.events import Event
from alertd.core.messages import details, evidence
from alertd.core.messages.dates import clock_time, zone_of
from alertd.core.messages.spans import Line, Said, bold, clean, code, joined, name, plain

#: What an action's state means to its reader: the headline's words, and whether anything has changed.
_ACTION_STATES: Final = {
    "proposed": ("Proposed", "Nothing done yet."),
    "approved": ("Approved", "It is done as soon as no guard holds it back"),
    "refused": ("Refused", "Nothing was done."),
    "expired": ("Expired", "Nothing was done."),
    "executed": ("Done", "Being checked now."),
    "verified": ("Done and verified", ""),
    "restored": ("Undone", "It works as before."),
    "failed": ("FAILED", "The spend goes on: act by hand."),
    "rehearsed": ("Dry run: would have been proposed", "Nothing was done, nobody is asked."),
    "held": ("Not done", "The spend may go on: look by hand."),
    "not_effective": ("Done, but the usage GOES ON", "Act by hand, or try a harder lever."),
    "disowned": ("Left as it is", "alertd does not undo it any more."),
    "drifted": ("Changed by somebody else", "alertd leaves it as it is."),
    "not_restored": ("NOT undone", "It is still stopped: undo it by hand."),
}
#: States in which people weigh what would stop.
_ASKED: Final = frozenset({"proposed", "rehearsed"})
#: The number of characters of an id that are shown.
_SHORT: Final = 16
#: States after which nobody weighs the figures on which it was proposed.
_OVER: Final = frozenset({"refused", "expired", "restored", "drifted", "disowned"})


def action(event: Event, now: datetime) -> Said:
    """Done and verified: block this key `rag-indexer`"""
    state_name = details.words(event, "state")
    state, after = _ACTION_STATES.get(state_name, (clean(state_name), ""))
    if state_name == "approved":
        after += f"{_until(event.details, event, now, 'until')}; done or not done, that is said."
    if state_name == "verified":
        after = f"Done at {clock_time(event.at, zone_of(event), now)}."
    what, by = clean(details.words(event, "what")) or clean(details.words(event, "action")), details.words(event, "by")
    provider = details.table(event, "provider")
    called = str(provider.get("name", "")) or details.words(event, "target")
    target: Line = (bold(": "), name(called, "code")) if called else ()
    error, restore = clean(details.words(event, "error")), clean(details.words(event, "restore"))
    impact = clean(details.words(event, "impact")) if state_name in _ASKED else ""
    because: Line = (plain("Why: "), plain(clean(event.reason))) if event.reason else ()
    actor: Line = (plain("By "), name(by)) if by else ()
    answer = _answer(event.details, event, now) if state_name == "proposed" else ()
    lines = (
        joined([answer, actor, (plain(after),) if after else ()], ". "),
        (plain("It answered: "), plain(error)) if error else (),
        because,
        (plain(impact[:1].upper() + impact[1:]),) if impact else (),
        _key(provider, details.words(event, "target"), event, now) if state_name in _ASKED else (),
        _budget(event, weighed=state_name not in _OVER),
        evidence.contributors(event) if state_name not in _OVER else (),
        (plain("To undo: "), code(restore)) if restore else (),
        evidence.to_do(event, commands=False),
    )
    return (bold(f"{state}: {what}{_undo(event.details)}"), *target), lines, ()


def _budget(event: Event, *, weighed: bool) -> Line:
    """research used 180.00 of 500.00 USD (36 %), ...; once it is over, whose it was: Budget research"""
    if not event.budget:
        return ()
    if not weighed:
        return (plain("Budget "), *evidence.who(event, "plain"))
    return (*evidence.who(event, "plain"), plain(" "), *evidence.standing(event))


def _key(provider: Mapping[str, Any], target: str, event: Event, now: datetime) -> Line:
    """Its provider shows: rag-indexer (id 88dc28d0f030), owner ana@example.com, team search, last used 09:41"""
    if not provider:
        return ()
    shown = {name: clean(str(value)) for name, value in provider.items()}
    problem = shown.pop("problem", "")
    called, known = shown.pop("name", ""), shown.pop("id", "")
    short = f"{known[:_SHORT]}…" if len(known) > _SHORT else known
    parts = [f"{called or 'no name'} (id {short})" if known else called]
    if target not in {provider.get("name"), provider.get("id")}:
        parts.append(f"{clean(target)[:_SHORT]} by TARGETS")
    used = details.as_instant(shown.pop("last_used", None))
    parts += [f"{label.replace('_', ' ')} {value}" for label, value in shown.items() if label != "state"]
    if used is not None:
        parts.append(f"last used {clock_time(used, zone_of(event), now)}")
    parts.append(shown.get("state", ""))
    provided: Line = (plain("Its provider shows: "), plain(", ".join(filter(None, parts)))) if known or called else ()
    doubt: Line = (bold("Its provider: "), plain(problem)) if problem else ()
    return joined([provided, doubt], ". ")


def proposed(event: Event, now: datetime) -> Line:
    """Proposed: block this key (reversible); `alertd actions approve a7f`, expires 04:12. Nothing done yet."""
    action = details.table(event, "proposed")
    if not action:
        return ()
    what = plain(f" {clean(str(action.get('what', '')))}{_undo(action)}")
    return (
        bold("Proposed:"),
        *joined([(what,), _answer(action, event, now, refuse=False)], "; "),
        plain(". Nothing done yet."),
    )


def _undo(action: Mapping[str, Any]) -> str:
    return {True: " (reversible)", False: " (NOT reversible)"}.get(action.get("reversible", ""), "")


def _answer(action: Mapping[str, Any], event: Event, now: datetime, *, refuse: bool = True) -> Line:
    """`alertd actions approve a7f` or `alertd actions refuse a7f`, expires 04:12"""
    handle = clean(str(action.get("handle", "")))
    if not handle:
        return ()
    until = _until(action, event, now, "expires")
    other: Line = (plain(" or "), code(f"alertd actions refuse {handle}")) if refuse else ()
    return (code(f"alertd actions approve {handle}"), *other, plain(until))


def _until(action: Mapping[str, Any], event: Event, now: datetime, word: str) -> str:
    """`, expires 04:12` or `, until 04:12`; "" where no end is known."""
    expires = details.as_instant(action.get("expires"))
    return "" if expires is None else f", {word} {clock_time(expires, zone_of(event), now)}"
