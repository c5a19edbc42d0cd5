"""What the act loop works with, and how it is made of options. A credential that also reads is none to act with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pydantic import SecretStr

from alertd.core.actions.policy import ActionPolicy
from alertd.core.events import Event
from alertd.options import Options, RevokerOptions
from alertd.ports import NewMessage, Revoker

#: What may be undone by itself unless the configuration says otherwise; a key that is off may be off for a leak by now.
_GENTLE: Final = frozenset({"warn", "throttle"})


@dataclass(frozen=True, slots=True)
class Action:
    """A configured action: what it may do, and how."""

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
        what=revoker.lever.what,
        undo=revoker.lever.undo,
        grade=revoker.lever.grade,
        reversible=revoker.lever.reversible,
        mode=options.mode,
        label=options.label,
        on=tuple(options.on),
        who=options.who,
        approvers=tuple(options.approvers),
        protect=tuple(options.protect),
        max_per_hour=options.max_per_hour,
        expiry=options.expiry,
        not_in_last=options.not_in_last,
        undone=options.undo or ("auto" if revoker.lever.grade in _GENTLE else "by_hand"),
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
