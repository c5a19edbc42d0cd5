"""Plan actions on keys: what to do now, what is withheld and why. Pure: facts in, changes out; the loop commits them.

budget statuses -> which thresholds fire -> guards -> which keys caused it -> guards of each key -> proposals
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from alertd.core.actions.announcements import base_event, event_of_step, evidence_of, held_event
from alertd.core.actions.guards import GuardContext, Hold, first_hold
from alertd.core.actions.offenders import (
    Offender,
    affordable_spend,
    choose_offenders,
    find_offenders,
    series_of,
)
from alertd.core.actions.policy import GRADES, ActionPolicy
from alertd.core.actions.state_machine import FAILED, OPEN, REHEARSED, VERIFIED, Act, acts
from alertd.core.actions.triggers import (
    ActionChange,
    PlanContext,
    Trigger,
    actions_of,
    explain_jump,
    find_silence,
    find_trigger,
    follow_up,
    readings_since,
    sources_of,
)
from alertd.core.budgets import duration_text
from alertd.core.evaluation.event_builder import event_id
from alertd.core.evaluation.keys import monthly_key
from alertd.core.evaluation.values import BudgetStatus, SourceView

_TRIGGER: Final = "trigger/"
_HELD: Final = "held/"


@dataclass(frozen=True, slots=True)
class Withheld:
    """Something that is not done, and why: for `alertd actions plan`."""

    action: str
    position: str
    target: str
    guard: str
    reason: str


@dataclass(frozen=True, slots=True)
class ActionPlan:
    """What to commit, and why not more."""

    changes: tuple[ActionChange, ...]
    withheld: tuple[Withheld, ...]


@dataclass(slots=True)
class _Draft:
    """The plan so far."""

    changes: list[ActionChange] = field(default_factory=list)
    withheld: list[Withheld] = field(default_factory=list)


def plan_actions(context: PlanContext) -> ActionPlan:
    """The changes of open actions, and new proposals. The same context gives the same plan."""
    draft = _Draft()
    draft.changes += follow_up(context)
    if not context.is_new:
        return ActionPlan(tuple(draft.changes), ())
    names = {position.name for position in context.statuses}
    for position in context.statuses:
        for action in actions_of(context, position):
            _plan_action(context, position, action, draft)
    kept = {n: value for n, value in context.notes.items() if n.startswith((_TRIGGER, _HELD))}
    gone = [n for n, value in kept.items() if value["position"] not in names]
    if gone and context.statuses:
        draft.changes.append(ActionChange(notes=dict.fromkeys(gone)))
    return ActionPlan(tuple(draft.changes), tuple(draft.withheld))


def guard_context(
    context: PlanContext, terms: ActionPolicy, position: BudgetStatus | None, basis: str, **more: Any
) -> GuardContext:
    """What the guards look at."""
    views: tuple[SourceView, ...] = ()
    drifting: tuple[str, ...] = ()
    if position is not None:
        members = [context.facts.ledger.series[index] for index in series_of(context.facts, position)]
        providers = sorted({row.provider for row in members})
        drifting = tuple(one for one in providers if monthly_key("drift", context.now, one) in context.facts.announced)
        views = sources_of(context, position)
    rehearsing = terms.mode_in_force(dry_run=context.dry_run) == "dry_run"
    return GuardContext(
        context.now, terms, position, basis, views, context.facts.catching_up, notes=context.notes,
        rehearsing=rehearsing, drifting=drifting, **more,
    )  # fmt: skip


def _plan_action(context: PlanContext, position: BudgetStatus, terms: ActionPolicy, draft: _Draft) -> None:
    """One action of one budget status: nothing fires, a guard holds it, or keys are to stop."""
    note = f"{_TRIGGER}{position.name}/{terms.name}"
    silenced = find_silence(context, position) is not None
    trigger = None if silenced else find_trigger(position, terms, context.notes, context.now)
    if trigger is None:
        if note in context.notes:
            draft.changes.append(ActionChange(notes={note: None}))
        return
    readings = readings_since(context, position, context.notes.get(note), trigger)
    jump = explain_jump(context, position, terms, trigger, readings) if readings.confirmed else ""
    case = guard_context(context, terms, position, trigger.basis, readings=readings, jump=jump)
    block = first_hold(case, "scope")
    if block is None or block.guard in {"confirmed", "jump"}:
        value = {"position": position.name, "episode": trigger.episode, **readings.to_json()}
        if context.notes.get(note) != value:
            draft.changes.append(ActionChange(notes={note: value}))
    if block is not None:
        _hold(context, case, trigger, draft, block=block)
        return
    until = position.seen_until or context.now
    found = find_offenders(context.facts, position, terms.label, trigger.window, until)
    fits = affordable_spend(position, trigger.basis, trigger.window, context.now)
    stopping = choose_offenders(found, trigger.basis, terms.who, fits)
    for one in stopping:
        _propose(context, case, trigger, draft, one=one, fits=fits)
    for one in found:
        if one not in stopping:
            named = one.name or f"usage without {terms.label}"
            reason = "the pace fits without stopping it" if one.name else "nobody can be named"
            draft.withheld.append(Withheld(terms.name, position.name, named, "cause", reason))


def _propose(
    context: PlanContext, scope: GuardContext, trigger: Trigger, draft: _Draft, *, one: Offender, fits: Decimal
) -> None:
    """One key: a proposal with its evidence, unless there is one already or a guard protects it."""
    terms, position = scope.terms, scope.position
    assert position is not None  # noqa: S101 - the guards of the scope passed
    why = _already(context, terms, position, trigger, one.name)
    if why:
        draft.withheld.append(Withheld(terms.name, position.name, one.name, "already", why))
        return
    block = first_hold(replace(scope, names=frozenset({one.name}), labels=one.labels), "key")
    if block is not None:
        _hold(context, scope, trigger, draft, block=block, target=one.name)
        return
    key = _key(terms, position, trigger, one.name)
    event = base_event(terms, position, one, key, context.now, window=duration_text(trigger.window))
    evidence = evidence_of(one, fits, scope.readings.increases, trigger.threshold)
    evidence["window_seconds"] = int(trigger.window.total_seconds())
    act = Act(
        id=event_id(key),
        action=terms.name,
        target=one.name,
        label=terms.label,
        position=position.name,
        episode=trigger.episode,
        basis=trigger.basis,
        what=terms.what,
        reversible=terms.reversible,
        grade=terms.grade,
        event=event.to_json(),
        evidence=evidence,
        amount=f"{position.amount.value:f}",
        period_end=position.period.end,
    )
    mode = terms.mode_in_force(dry_run=context.dry_run)
    what = {"dry_run": "rehearse", "approve": "ask", "auto": "permit"}[mode]
    proposed, first = act.after("propose", context.now, reason=event.reason, audited=evidence)
    expires = context.now + terms.expiry
    after, second = proposed.after(what, context.now, reason=f"mode is {mode}", expires=expires)
    said = event_of_step(after, second)
    draft.changes.append(ActionChange(after, (first, second), (said,) if said else ()))


def _already(context: PlanContext, terms: ActionPolicy, position: BudgetStatus, trigger: Trigger, target: str) -> str:
    """Why there is nothing to propose: it was answered on this episode, is under way, or a gentler action is first."""
    known = acts(context.notes)
    same = known.get(event_id(_key(terms, position, trigger, target)))
    if same is not None:
        return f"{same.state} already ({same.handle})"
    on_target = [act for act in known.values() if act.target == target and act.label == terms.label]
    for act in on_target:
        if act.action == terms.name and act.state in OPEN:
            return f"{act.state} for {act.position} ({act.handle})"
    for gentler in actions_of(context, position):
        if GRADES.index(gentler.grade) >= GRADES.index(terms.grade):
            break
        tried = [act for act in on_target if act.action == gentler.name and act.position == position.name]
        last = tried[-1] if tried else None
        helped_not = last is not None and (last.state == FAILED or (last.state == VERIFIED and last.usage == "goes on"))
        rehearsed = last is not None and last.state == REHEARSED
        if not (helped_not or rehearsed):
            return f"{gentler.name} is gentler and comes first"
    return ""


def _hold(
    context: PlanContext, case: GuardContext, trigger: Trigger, draft: _Draft, *, block: Hold, target: str = ""
) -> None:
    """Remember why an action is withheld and announce it once per episode, unless it waits for a second reading."""
    terms, position = case.terms, case.position
    assert position is not None  # noqa: S101 - the case of a position
    draft.withheld.append(Withheld(terms.name, position.name, target, block.guard, block.reason))
    under_way = any(
        (act.action, act.position, act.episode) == (terms.name, position.name, trigger.episode)
        for act in acts(context.notes).values()
    )
    quiet = case.rehearsing or block.guard == "confirmed" or (under_way and not target)
    note = f"{_HELD}{position.name}/{terms.name}/{trigger.episode}/{block.guard}/{target}"
    if quiet or note in context.notes:
        return
    event = held_event(terms, position, note, context.now, target=target, reason=block.reason)
    draft.changes.append(
        ActionChange(events=(event,), notes={note: {"position": position.name, "at": context.now.isoformat()}})
    )


def _key(terms: ActionPolicy, position: BudgetStatus, trigger: Trigger, target: str) -> str:
    return f"action/{terms.name}/{position.name}/{trigger.episode}/{target}"
