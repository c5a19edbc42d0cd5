"""What becomes of actions by time and data alone: what expires, is restored, and whether the usage stopped. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from alertd.core.actions.announcements import event_of_step
from alertd.core.actions.guards import PAUSED
from alertd.core.actions.offenders import find_offenders, spent_between
from alertd.core.actions.policy import ActionPolicy
from alertd.core.actions.state_machine import APPROVED, AWAITING, OPEN, VERIFIED, Act, Step, acts
from alertd.core.actions.triggers import PlanContext, actions_of, firing_triggers, lost_reason
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.events import Event

#: Usage may trickle on while a change propagates; this long after it the data must show that it stopped.
_PROPAGATES: Final = timedelta(minutes=5)
_WATCHED: Final = timedelta(minutes=15)
#: By grade: over this share of the pace before, the usage goes on.
_GOES_ON: Final = {"warn": Decimal("0.5"), "throttle": Decimal("0.5")}
_TRICKLE: Final = Decimal("0.1")
_KEPT: Final = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to commit: an act as it is now, the steps that led there, what is announced, and notes (None: gone)."""

    act: Act | None = None
    steps: tuple[Step, ...] = ()
    events: tuple[Event, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)


def follow_up(context: PlanContext) -> Iterator[Change]:
    """What becomes of acts by time and data alone."""
    by_name = {position.name: position for position in context.positions}
    for act in acts(context.notes).values():
        if act.state in {AWAITING, APPROVED} and act.expires is not None and context.now >= act.expires:
            why = "nobody answered in time" if act.state == AWAITING else f"it could not begin in time: {act.held}"
            yield _step(act, "expire", context.now, why)
        elif act.state in {AWAITING, APPROVED} and (lost := lost_reason(context, act)):
            yield _step(act, "expire", context.now, f"not done because {lost}")
        elif act.state == VERIFIED:
            move = _restore_when_due(context, act, by_name.get(act.position)) or _check_usage(
                context, act, by_name.get(act.position)
            )
            if move is not None:
                yield move
        elif act.state not in OPEN and act.since is not None and context.now - act.since > _KEPT:
            yield Change(notes={act.note: None})


def _restore_when_due(context: PlanContext, act: Act, position: BudgetStatus | None) -> Change | None:
    """The restore that the period's end or a raised budget asks for; only of what alertd itself changed."""
    terms = context.terms.get(act.action)
    if terms is None or not (act.ours and act.reversible) or terms.undone != "auto" or PAUSED in context.notes:
        return None
    if terms.mode_in_force(dry_run=context.dry_run) == "dry_run":
        return None
    if _needed_elsewhere(context, act, terms):
        return None
    if act.period_end is not None and context.now >= act.period_end:
        return _step(act, "restore", context.now, "a new period has begun")
    raised = position is not None and position.amount.value > Decimal(act.amount)
    if position is not None and raised and position.spent < position.amount.value:
        return _step(act, "restore", context.now, f"the budget was raised to {position.amount}")
    return None


def _needed_elsewhere(context: PlanContext, act: Act, terms: ActionPolicy) -> bool:
    """Whether another budget still asks for the same key to be off: one reason that ends turns on nothing."""
    for position in context.positions:
        if position.name == act.position or terms not in actions_of(context, position):
            continue
        trigger = next(firing_triggers(position, terms, context.notes, context.now, unless_over=True), None)
        if trigger is not None and position.data_until is not None:
            found = find_offenders(
                context.facts, position, act.label, trigger.window, position.seen_until or context.now
            )
            if any(one.name == act.target and one.spent for one in found):
                return True
    return False


def _check_usage(context: PlanContext, act: Act, position: BudgetStatus | None) -> Change | None:
    """Whether the usage stopped, once the data reach far enough beyond the act."""
    if act.usage or position is None or act.since is None or position.data_until is None or position.stale_sources:
        return None
    begin = act.since + _PROPAGATES
    if position.data_until < begin + _WATCHED:
        return None
    spent = spent_between(context.facts, position, (act.label, act.target), begin, position.data_until)
    hours = Decimal(repr((position.data_until - begin).total_seconds())) / 3600
    before = Decimal(act.evidence["recent"]) * 3600 / int(act.evidence["window_seconds"])
    pace = spent / hours
    what = "goes on" if pace > before * _GOES_ON.get(act.grade, _TRICKLE) else "stopped"
    reason = f"{spent:.2f} {position.amount.unit} since {begin:%H:%M} UTC, {pace:.2f} an hour; before {before:.2f}"
    return _step(act, what, context.now, reason, usage=what)


def _step(act: Act, what: str, now: datetime, reason: str, **changes: Any) -> Change:
    after, step = act.after(what, now, reason=reason, **changes)
    if what == "restore":
        after = replace(after, lease_until=None, not_before=None, attempts=0, sent=None, error="")
    said = event_of_step(after, step)
    return Change(after, (step,), (said,) if said else ())
