"""Messages about actions on keys: what is proposed, what was done, how to undo it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from alertd.core.events import ActionStep, BurnRateReached, Event, details_of
from alertd.core.messages import evidence
from alertd.core.messages.format import clock_time, zone_of
from alertd.core.messages.rich_text import Fact, Line, Said, bold, capital, clean, code, joined, name, plain

#: What an action's state means to its reader: the headline's words, and whether anything has changed.
_ACTION_STATES: Final = {
    "proposed": ("", ""),
    "approved": ("Approved", "alertd does it as soon as no guard holds it back"),
    "refused": ("Refused", "Nothing was done."),
    "expired": ("Nobody answered", "Nothing was done."),
    "executed": ("Done", "It is being checked now."),
    "verified": ("Done and checked", ""),
    "restored": ("Undone", "It works as before."),
    "failed": ("FAILED", "The spending continues. Act at the provider."),
    "rehearsed": ("Dry run, it would propose", "Nothing was done, and no approval is needed."),
    "held": ("Not done", "The spending may continue. Check at the provider."),
    "not_effective": ("Done, but the usage CONTINUES", "Act at the provider, or use a stronger operation."),
    "disowned": ("Left as it is", "alertd will no longer undo it."),
    "drifted": ("Changed by somebody else", "alertd leaves it as it is."),
    "not_restored": ("NOT undone", "It is still stopped. Undo it at the provider."),
}
#: Where a key's name goes: `block this key at the gateway`, `disable this OpenRouter key`.
_THIS: Final = re.compile(r"\bthis ((?:[\w-]+ )*?(?:key|project|policy|member|principal|endpoint|job|resource))\b")
#: States in which people weigh what would stop.
_ASKED: Final = frozenset({"proposed", "rehearsed"})
#: The number of characters of an id that are shown.
_SHORT: Final = 16


def action(event: Event, now: datetime) -> Said:
    """Done and checked: block key rag-indexer at the gateway"""
    step = details_of(event, ActionStep)
    state, after = _ACTION_STATES.get(step.state, (clean(step.state), ""))
    zone = zone_of(event)
    if step.state == "approved":
        after += f"{_until(step.expires, event, now, 'until')}; you get a message with the result."
    if step.state == "proposed":
        after = terms(step.reversible, _expiry(step.expires, event, now))
    what, target_name = clean(step.what) or clean(step.action), step.target
    called = step.provider.get("name", "") or target_name
    is_asked = step.state in _ASKED
    impact = clean(step.impact) if is_asked else ""
    error, restore = clean(step.error), clean(step.restore)
    facts = (
        Fact("Why", (plain(clean(event.reason)),) if event.reason else ()),
        Fact("Stops", (plain(impact),) if impact else ()),
        Fact("By", (name(step.by),) if step.by else ()),
        Fact("At", (plain(clock_time(event.at, zone, now)),) if step.state == "verified" else ()),
        *_budget(event, now, weighed=is_asked),
    )
    lines = (
        (plain(after.strip()),) if after else (),
        (plain("It answered: "), plain(error)) if error else (),
        _key(step.provider, target_name, event, now) if is_asked else (),
        (plain("To undo: "), code(restore)) if restore and not event.answer_url else (),
        _answer(event.handle, event) if step.state == "proposed" else (),
        evidence.to_do(event, commands=False),
    )
    asked = step.state == "proposed"
    headline = capital(_named(what, called)) if asked else (bold(f"{state}: "), *_named(what, called))
    return Said((*headline, *((bold("?"),) if asked else ())), lines, (), facts)


def _named(what: str, target: str) -> Line:
    """block key rag-indexer at the gateway; a name that fits nowhere comes last."""
    found = _THIS.search(what)
    if not target:
        return (bold(what),)
    if found is None:
        return (bold(f"{what}: "), name(target, "bold"))
    return (bold(f"{what[: found.start()]}{found[1]} "), name(target, "bold"), bold(what[found.end() :]))


def _budget(event: Event, now: datetime, *, weighed: bool) -> tuple[Fact, ...]:
    """The figures of the budget for which it was proposed; once it is over, whose it was."""
    if not event.budget:
        return ()
    whose = Fact("Budget", evidence.who(event, "plain"))
    if not weighed:
        return (whose,)
    used = evidence.spent(event)
    return (Fact("Budget", (*evidence.who(event, "plain"), plain(", "), *used.value)),
            evidence.likely_total(event, now), evidence.chance_of_going_over(event))  # fmt: skip


def _key(provider: Mapping[str, str], target: str, event: Event, now: datetime) -> Line:
    """The provider shows: rag-indexer (id 88dc28d0f030), owner ana@example.com, team search, last used 09:41"""
    if not provider:
        return ()
    shown = {label: clean(value) for label, value in provider.items()}
    problem = shown.pop("problem", "")
    called, known = shown.pop("name", ""), shown.pop("id", "")
    short = f"{known[:_SHORT]}…" if len(known) > _SHORT else known
    parts = [f"{called or 'no name'} (id {short})" if known else called]
    if target not in {provider.get("name"), provider.get("id")}:
        parts.append(f"{clean(target)[:_SHORT]} by TARGETS")
    used = _instant(shown.pop("last_used", ""))
    parts += [f"{label.replace('_', ' ')} {value}" for label, value in shown.items() if label != "state"]
    if used is not None:
        parts.append(f"last used {clock_time(used, zone_of(event), now)}")
    parts.append(shown.get("state", ""))
    provided: Line = (plain("The provider shows: "), plain(", ".join(filter(None, parts)))) if known or called else ()
    doubt: Line = (bold("Its provider: "), plain(problem)) if problem else ()
    return joined([provided, doubt], ". ")


def proposed(event: Event, now: datetime) -> Line:
    """Proposed: block this key. Can be undone. Expires 09:05; nothing is done until somebody approves."""
    action = details_of(event, BurnRateReached).proposed
    if action is None:
        return ()
    answer = _answer(action.handle, event)
    said = plain(f" {clean(action.what)}. {terms(action.reversible, _expiry(action.expires, event, now))}")
    return (bold("Proposed:"), said, *((plain(" "), *answer) if answer else ()))


def terms(reversible: bool | None, expires: str) -> str:  # noqa: FBT001 - what a step says of itself
    """Can be undone. Expires 09:05; nothing is done until somebody approves. `expires` is "" where it never does."""
    last = "nothing is done until somebody approves."
    return f"{_undo(reversible)} {f'Expires {expires}; {last}' if expires else last.capitalize()}".strip()


def _expiry(expires: datetime | None, event: Event, now: datetime) -> str:
    return "" if expires is None else clock_time(expires, zone_of(event), now)


def _undo(reversible: bool | None) -> str:  # noqa: FBT001 - what a step says of itself
    """`Can be undone.`, `CANNOT be undone.`, or nothing where it is not known."""
    return "" if reversible is None else "Can be undone." if reversible else "CANNOT be undone."


def _answer(handle: str, event: Event) -> Line:
    """Answer: `alertd actions approve a7f` or `alertd actions refuse a7f`; nothing where a page is for it."""
    handle = clean(handle)
    if event.answer_url or not handle:
        return ()
    approve, refuse = (code(f"alertd actions {word} {handle}") for word in ("approve", "refuse"))
    return (plain("Answer: "), approve, plain(" or "), refuse)


def _until(expires: datetime | None, event: Event, now: datetime, word: str) -> str:
    """`, expires 04:12` or `, until 04:12`; "" where no end is known."""
    return "" if expires is None else f", {word} {clock_time(expires, zone_of(event), now)}"


def _instant(text: str) -> datetime | None:
    """An instant that a provider gave as ISO text, UTC without an offset; None if it is invalid."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
