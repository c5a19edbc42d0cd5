"""Carry out an action: its configuration from the options, and the steps on a key under a lease.

stop: find -> read, write it down -> write "send" down -> act -> read back
undo: read -> write "send" down -> restore -> read back what was written down
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from pydantic import SecretStr

from alertd.core.actions.announcements import event_of_step
from alertd.core.actions.guards import GuardContext, Hold, first_hold, is_own
from alertd.core.actions.policy import ActionPolicy
from alertd.core.actions.state_machine import Act, Step
from alertd.core.events import Event
from alertd.core.messages.rich_text import clean
from alertd.plugin_options import Options, RevokerOptions
from alertd.ports import Done, NewMessage, Observed, Revoker, RevokerError, SourceError, Target

#: What may be undone by itself unless the configuration says otherwise; a key that is off may be off for a leak by now.
_GENTLE: Final = frozenset({"warn", "throttle", "cheaper"})


@dataclass(frozen=True, slots=True)
class Action:
    """A configured action: its policy and its revoker."""

    terms: ActionPolicy
    revoker: Revoker


@dataclass(frozen=True, slots=True)
class ActionConfig:
    """What the configuration says of acting; replaced as a whole on a reload. `secrets` are alertd's own."""

    actions: Mapping[str, Action] = field(default_factory=dict)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    dry_run: bool = False
    messages: Callable[[Sequence[Event]], Sequence[NewMessage]] = lambda _: ()


def action_of(name: str, options: RevokerOptions, revoker: Revoker, others: Mapping[str, str]) -> Action:
    """One action; `others` are the credentials of everything else, with the places where they are configured."""
    terms = ActionPolicy(
        name=name,
        what=revoker.operation.what,
        undo=revoker.operation.undo,
        grade=revoker.operation.grade,
        reversible=revoker.operation.reversible,
        mode=options.mode,
        label=options.label,
        on=tuple(options.on),
        who=options.who,
        approvers=tuple(options.approvers),
        protect=tuple(options.protect),
        max_per_hour=options.max_per_hour,
        expiry=options.expiry,
        not_in_last=options.not_in_last,
        undone=options.undo or ("auto" if revoker.operation.grade in _GENTLE else "by_hand"),
        lacks=revoker.lacks or _shared(options, others),
    )
    return Action(terms, revoker)


def secrets_of(options: Options) -> Iterator[str]:
    """Every secret among a plug-in's options."""
    for name in type(options).model_fields:
        value = getattr(options, name)
        found = value.values() if isinstance(value, Mapping) else (value,)
        yield from (one.get_secret_value() for one in found if isinstance(one, SecretStr) and one.get_secret_value())


def _shared(options: RevokerOptions, others: Mapping[str, str]) -> str:
    place = others.get(options.token.get_secret_value()) if options.token is not None else None
    return "" if place is None else f"its credential is that of {place}, too: give it one of its own"


#: Writes events, steps and notes in one transaction; False where a revision was another's.
Write = Callable[[Sequence[Event], Sequence[Step], Mapping[str, tuple[Any, int]]], Awaitable[bool]]

#: How many characters of a provider's answer about a key are shown.
_SHOWN: Final = 200


class OvertakenError(Exception):
    """Another replica has taken over the act; this one must stop."""


class Work:
    """One act while a worker carries it out. Every step is stored before the next begins."""

    def __init__(self, act: Act, revision: int, write: Write, now: Callable[[], datetime]) -> None:
        self.act, self._revision, self._written, self.now = act, revision, write, now

    async def record(
        self,
        what: str,
        reason: str = "",
        request: str = "",
        notes: Mapping[str, tuple[Any, int]] | None = None,
        **changes: Any,
    ) -> None:
        """Record one step and announce it. OvertakenError if another replica has taken over the act."""
        after, step = self.act.after(what, self.now(), reason=reason, request=request, **changes)
        said = event_of_step(after, step)
        await self._write(after, (said,) if said else (), (step,), notes or {})

    async def keep(self, events: Sequence[Event], **changes: Any) -> None:
        """Record a change without a step: nothing happened to the key."""
        await self._write(replace(self.act, **changes), events, (), {})

    async def _write(
        self, after: Act, events: Sequence[Event], steps: Sequence[Step], notes: Mapping[str, tuple[object, int]]
    ) -> None:
        own = {after.note: (after.to_json(), self._revision)}
        if not await self._written(events, steps, {**notes, **own}):
            raise OvertakenError
        self.act, self._revision = after, self._revision + 1

    def unsent(self) -> None:
        """The request was refused: the next reader of the state must not think that it was carried out."""
        self.act = replace(self.act, sent=None)


async def stop(work: Work, action: Action, secrets: Sequence[str]) -> None:
    """Stop the key: find it, read and keep its state, act only if it differs, read back."""
    revoker, act = action.revoker, work.act
    target = await revoker.find(act.target)
    own = is_own(secrets, target.id, target.hint)
    block = found_block(action.terms, act, target, work.now(), own=own)
    if block is not None:
        raise RevokerError(f"{act.target}: {block.reason}", permanent=True)
    observed = await revoker.read(target)
    done_already = observed.acted or not observed.present
    if done_already:
        ours = act.sent is not None
        why = "it had been carried out" if ours else f"it was so already: {observed.said}"
        await work.record(
            "verify", why, observed.request, ours=ours, there=target.id, lease_until=None, looked=work.now(),
            **_changed(observed),
        )  # fmt: skip
        return
    if act.sent is not None and observed.acted is None and not revoker.operation.repeats:
        raise RevokerError("it may have been done, and its state cannot be read: look by hand", permanent=True)
    if act.before is None:
        kept = {"values": dict(observed.values), "said": observed.said}
        await work.record("read", observed.said, observed.request, there=target.id, before=kept, audited=kept)
    await _sent(work, revoker, target)


async def _sent(work: Work, revoker: Revoker, target: Target) -> None:
    before = _observed(work.act)
    await work.record("send", f"{revoker.operation.what}: {target.id}", sent=work.now())
    reason = Event.from_json(work.act.event).reason
    done, problem = await _answered(work, revoker.act(target, before, work.act.id, reason))
    after = await revoker.read(target)
    if after.acted is None and problem is not None:
        raise problem
    if after.acted is False and after.present:
        raise problem or RevokerError(f"it answered {done.said!r}, but reads as before: {after.said}")
    how = "read back" if after.acted is not None else "by its answer; its state cannot be read"
    why = "; ".join(filter(None, (f"{after.said or done.said} ({how})", done.effect)))
    ours = after.present or not work.act.reversible
    await work.record(
        "verify", why, done.request, ours=ours, lease_until=None, looked=work.now(), error="", **_changed(after)
    )


async def undo(work: Work, revoker: Revoker, own: Collection[str] = ()) -> None:
    """Write back what was read before, where the key still is as alertd left it. `own` are alertd's other changes."""
    act = work.act
    target = Target(act.there, act.target)
    observed = await revoker.read(target)
    if not observed.present:
        await work.record("drift", f"{act.target} was deleted by somebody else", observed.request, lease_until=None)
        return
    if observed.acted is False and act.sent is None:
        await work.record("drift", f"somebody else undid it: {observed.said}", observed.request, lease_until=None)
        return
    if observed.acted is False and _as_before(revoker, act, observed):
        await work.record("restored", "it had been carried out", observed.request, lease_until=None)
        return
    changed = changed_since(act, observed, own) if act.sent is None else ""
    if changed:
        await work.record("drift", changed, observed.request, lease_until=None)
        return
    if act.sent is not None and observed.acted is None and not revoker.operation.repeats:
        raise RevokerError("it may have been undone, and its state cannot be read: look by hand", permanent=True)
    await work.record("send", f"{revoker.operation.undo}: {target.id}", sent=work.now())
    done, problem = await _answered(work, revoker.restore(target, _observed(act), f"{act.id}-undo", "restore"))
    after = await revoker.read(target)
    if after.acted or (after.acted is None and problem is not None) or not _as_before(revoker, act, after):
        raise problem or RevokerError(f"it answered, but is not yet as it was: {after.said}")
    why = "; ".join(filter(None, (f"as before: {after.said}", done.effect)))
    await work.record("restored", why, done.request, lease_until=None, error="", **_changed(after))


async def _answered(work: Work, change: Awaitable[Done]) -> tuple[Done, RevokerError | None]:
    """The provider's answer, and the problem if it is uncertain whether the change was made. A refusal is raised."""
    try:
        return await change, None
    except RevokerError as error:
        if error.uncertain:
            return Done(""), error
        work.unsent()
        raise
    except SourceError as error:
        return Done(""), RevokerError(str(error), uncertain=True)


def _as_before(revoker: Revoker, act: Act, after: Observed) -> bool:
    """Whether what was written down before is there again: a restore of several parts may have broken off."""
    if after.acted is None or not revoker.operation.exact:
        return True
    return all(after.values.get(name) == value for name, value in _observed(act).values.items())


def changed_since(act: Act, observed: Observed, own: Collection[str]) -> str:
    """Who changed the key at its provider after alertd, in words; "" if nobody did or the provider does not show it."""
    if not (act.changed_at and observed.changed_at) or observed.changed_at in {act.changed_at, *own}:
        return ""
    by = f" by {clean(observed.changed_by, 60)}" if observed.changed_by not in {"", act.changed_by} else ""
    return f"its provider shows a change{by} at {clean(observed.changed_at, 40)}, after alertd's own: it stays as it is"


def _changed(observed: Observed) -> dict[str, Any]:
    """What the provider shows as the last change, to be kept with the act."""
    return {"changed_at": observed.changed_at, "changed_by": observed.changed_by}


async def describe(act: Act, action: Action, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    """What the provider shows of a key, for the person who is asked: name, id, owner, groups, last use, its state.

    `problem` is why it could not be acted upon, or not be asked for.
    """
    try:
        target = await action.revoker.find(act.target)
        observed = await action.revoker.read(target)
    except (RevokerError, SourceError) as error:
        return {"problem": clean(str(error), _SHOWN)}
    block = found_block(action.terms, act, target, now, own=is_own(secrets, target.id, target.hint))
    groups = {kind: " / ".join(dict.fromkeys(reversed(values))) for kind, values in target.groups.items() if values}
    shown = {
        "name": target.name,
        "id": target.id,
        "owner": target.owner,
        **groups,
        "last_used": target.last_used.isoformat() if target.last_used is not None else "",
        **observed.impact,
        "state": observed.said,
        "problem": block.reason if block is not None else "" if observed.present else "there is no such key any more",
    }
    return {name: clean(value, _SHOWN) for name, value in shown.items() if value}


def found_block(terms: ActionPolicy, act: Act, target: Target, now: datetime, *, own: bool) -> Hold | None:
    """The guards that need the provider's answer about the key."""
    names = frozenset({act.target, target.id, target.name})
    used_by = act.evidence.get("groups", {})
    case = GuardContext(now, terms, None, act.basis, names=names, own=own, used_by=used_by, belongs_to=target.groups)
    return first_hold(case, "found")


def _observed(act: Act) -> Observed:
    before = act.before or {}
    return Observed(acted=False, values=before.get("values", {}), said=before.get("said", ""))
