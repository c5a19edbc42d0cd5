"""From the options of actions to what the act loop works with. A credential that also reads is no credential to act."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import SecretStr

from alertd.core.actions.terms import Terms
from alertd.loops.act import Action
from alertd.options import Options, RevokerOptions
from alertd.ports import Revoker


def action_of(name: str, options: RevokerOptions, revoker: Revoker, others: Mapping[str, str]) -> Action:
    """One action; `others` are the credentials of everything else, with the places where they are configured."""
    terms = Terms(
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
        undone=options.undo,
        lacks=revoker.lacks or _shared(options, others),
    )
    return Action(terms, revoker)


def secrets_of(options: Options) -> Iterator[str]:
    """Every secret among a plug-in's options."""
    for field in type(options).model_fields:
        value = getattr(options, field)
        if isinstance(value, SecretStr) and value.get_secret_value():
            yield value.get_secret_value()


def _shared(options: RevokerOptions, others: Mapping[str, str]) -> str:
    place = others.get(options.token.get_secret_value()) if options.token is not None else None
    return "" if place is None else f"its credential is that of {place}, too: give it one of its own"
