"""What was done to keys, or would be: every act with its audit as JSON. No credential, whatever a provider answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from alertd.core.actions.policy import ActionPolicy
from alertd.core.actions.state_machine import PAUSED, Act, acts
from alertd.core.budgets import scope_text
from alertd.core.evaluation.state import State
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.events import Event
from alertd.plugin_options import shown
from alertd.ports import Step
from alertd.web.answers import decimal_text, instant_text

#: Names in evidence that are no secret, though they look like one: what budgets and providers call a key.
_PLAIN: Final = frozenset({"key", "keys"})


def newest_first(notes: State) -> list[Act]:
    """Every act that is remembered, what happened last first."""
    return list(reversed(acts(notes.records).values()))


def steps_of(steps: Iterable[Step]) -> dict[str, list[Step]]:
    """The audit by act, each in its order."""
    found: dict[str, list[Step]] = {}
    for step in steps:
        found.setdefault(step.act, []).append(step)
    return found


def event_of_act(act: Act) -> Event:
    """The event that an act answers: its budget, scope and period."""
    return Event.from_json(act.event)


def is_about(act: Act, position: BudgetStatus) -> bool:
    """Whether an action belongs to this budget and scope, in any period."""
    event = event_of_act(act)
    return (event.budget, scope_text(event.scope)) == (position.budget.name, scope_text(position.scope))


def open_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Evidence without what is called a token, password or secret, at any depth."""
    return {name: _open(name, value) for name, value in values.items()}


def _open(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return open_values(value)
    if isinstance(value, list | tuple):
        return [_open(name, one) for one in value]
    return value if name in _PLAIN else shown(name, value)


def actions_json(
    found: Iterable[Act], steps: Iterable[Step], notes: State, terms: Iterable[ActionPolicy]
) -> dict[str, Any]:
    """The API's answer: what is configured, whether it is paused, and every act with its audit."""
    audit = steps_of(steps)
    return {
        "version": 1,
        "paused": paused_json(notes),
        "configured": [_terms(one) for one in terms],
        "actions": [act_json(act, audit.get(act.id, ())) for act in found],
    }


def paused_json(notes: State) -> dict[str, str] | None:
    """Since when, by whom and why everything is paused; None where it is not."""
    note = notes.records.get(PAUSED)
    if not isinstance(note, Mapping):
        return None
    return {"at": str(note.get("at", "")), "by": str(note.get("by", "")), "reason": str(note.get("reason", ""))}


def _terms(terms: ActionPolicy) -> dict[str, Any]:
    return {
        "name": terms.name,
        "what": terms.what,
        "undo": terms.undo,
        "mode": terms.mode,
        "grade": terms.grade,
        "reversible": terms.reversible,
        "label": terms.label,
        "on": list(terms.on),
        "approvers": list(terms.approvers),
        "lacks": terms.lacks,
    }


def act_json(act: Act, steps: Sequence[Step]) -> dict[str, Any]:
    """One act as the API has it."""
    event = event_of_act(act)
    return {
        "id": act.id,
        "handle": act.handle,
        "action": act.action,
        "what": act.what,
        "grade": act.grade,
        "reversible": act.reversible,
        "label": act.label,
        "target": act.target,
        "key_name": act.key_name,
        "provider_id": act.there,
        "budget": event.budget,
        "scope": dict(event.scope),
        "amount": decimal_text(event.amount),
        "currency": event.currency,
        "basis": act.basis,
        "state": act.state,
        "since": instant_text(act.since),
        "expires": instant_text(act.expires),
        "approved_by": act.approved_by,
        "done_by_alertd": act.ours,
        "usage_after": act.usage,
        "held": act.held,
        "error": act.error,
        "reason": event.reason,
        "evidence": open_values(act.evidence),
        "audit": [_step(step) for step in steps],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "number": step.number,
        "at": instant_text(step.at),
        "what": step.what,
        "state": step.state,
        "by": step.by,
        "reason": step.reason,
        "request": step.request,
        "evidence": open_values(step.evidence),
    }
