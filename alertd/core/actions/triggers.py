"""Which threshold an action answers, whether its reason still holds, and what becomes of it by time and data alone.

An action has one reason: a threshold of one budget status, in one episode, of one amount. An open action expires, is
restored, or is checked: did the usage stop?
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from alertd.core.actions.announcements import event_of_step
from alertd.core.actions.confirmation import Readings, find_jumps, is_jumpy, without_jumps
from alertd.core.actions.offenders import affordable_spend, choose_offenders, find_offenders, series_of, spent_between
from alertd.core.actions.policy import GRADES, ActionPolicy
from alertd.core.actions.state_machine import (
    APPROVED,
    AWAITING,
    DISOWNED,
    EXECUTING,
    OPEN,
    PAUSED,
    VERIFIED,
    Act,
    Step,
    acts,
)
from alertd.core.budgets import Actual, BurnRate, parse_threshold
from alertd.core.evaluation.keys import budget_of
from alertd.core.evaluation.state import RAISED, Silence, State, episode_of, silence_of, silences_of
from alertd.core.evaluation.thresholds import is_crossed, thresholds_of
from alertd.core.evaluation.values import BudgetStatus, Facts, SourceView
from alertd.core.events import Event
from alertd.core.messages.format import number
from alertd.core.messages.rich_text import clean

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class PlanContext:
    """Everything that is looked at: the facts and positions of the last evaluation, the notes as they are now.

    `is_new` says that the evaluation is new: only then is anything proposed. `before` is what each position had spent
    at the reading before, where that is known.
    """

    now: datetime
    terms: Mapping[str, ActionPolicy]
    facts: Facts
    statuses: Sequence[BudgetStatus]
    notes: Mapping[str, Any]
    dry_run: bool = False
    is_new: bool = True
    before: Mapping[str, Readings] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A threshold that fires, under a name that is the same for one episode and one amount."""

    basis: str
    threshold: str
    episode: str
    window: timedelta


def find_trigger(
    position: BudgetStatus, terms: ActionPolicy, notes: Mapping[str, object], now: datetime
) -> Trigger | None:
    """The first threshold that the action is asked to act upon and that fires now."""
    return next(firing_triggers(position, terms, notes, now), None)


def firing_triggers(
    position: BudgetStatus,
    terms: ActionPolicy,
    notes: Mapping[str, object],
    now: datetime,
    *,
    unless_over: bool = False,
) -> Iterator[Trigger]:
    """Every threshold to act upon that fires; with `unless_over` also one that may not be over yet.

    A burn rate that begins an action holds by what was surely spent.
    """
    burns = {window: burn.surely for window, burn in position.burns.items()}
    known = position if unless_over else replace(position, burns=burns)
    amount = f"{position.amount.value.normalize():f}"
    for text in terms.on:
        if text in {"burn_rate", "forecast"}:
            for threshold in thresholds_of(position):
                fires = is_crossed(known, threshold, now) if threshold.basis == text else False
                episode = episode_of(State(notes), position.name, threshold)
                if fires or (unless_over and fires is None and episode.open):
                    window = max(threshold.windows) if isinstance(threshold, BurnRate) else _DAY
                    yield Trigger(text, str(threshold), f"{text}/{episode.number}/{amount}", window)
            continue
        threshold = parse_threshold(text)
        if isinstance(threshold, Actual) and position.spent >= threshold.reached_at(position.amount):
            level = threshold.level(position.amount).normalize()
            yield Trigger("actual", text, f"actual/{level:f}/{amount}", _DAY)


def lost_reason(context: PlanContext, act: Act, *, begins: bool = False) -> str:
    """Why the reason of an action that waits does not hold any more; "" while it does, or while it is unknown.

    The same episode must still fire, of the same amount, unsilenced. `begins`: and the key must still be among those
    that have to stop for the pace to fit. Stale data end nothing: a guard holds the action back until they are new.
    """
    position = next((one for one in context.statuses if one.name == act.position), None)
    configured = _lost_by_configuration(context, act)
    return configured or ("" if position is None else next(_lost(context, act, position, begins=begins), ""))


def _lost_by_configuration(context: PlanContext, act: Act) -> str:
    budget = budget_of(act.position)
    if act.action not in context.terms:
        return f"the action {act.action} is not configured any more"
    if act.period_end is not None and context.now >= act.period_end:
        return "a new period has begun"
    if all(one.name != budget for one in context.facts.budgets):
        return f"the budget {budget} was removed"
    if RAISED.get(State(context.notes), act.position) != RAISED.get(context.facts.state, act.position):
        return "the budget's amount was changed"
    return ""


def _lost(context: PlanContext, act: Act, position: BudgetStatus, *, begins: bool) -> Iterator[str]:
    terms = context.terms[act.action]
    if terms not in actions_of(context, position):
        yield f"the budget {position.budget.name} does not ask for {act.action} any more"
    silence = find_silence(context, position)
    if silence is not None:
        yield f"its alerts are silenced until {silence.until:%Y-%m-%d %H:%M} UTC, by {clean(silence.by, 60)}"
    if position.amount.value != Decimal(act.amount):
        how = "raised" if position.amount.value > Decimal(act.amount) else "lowered"
        yield f"the budget was {how} to {position.amount}"
    if position.data_until is None or (position.stale_sources and act.basis != "actual"):
        return
    firing = firing_triggers(position, terms, context.notes, context.now, unless_over=True)
    same = next((one for one in firing if one.episode == act.episode), None)
    if same is None:
        over = {"burn_rate": "the runaway is over", "forecast": "the forecast is below its level again"}
        yield over.get(act.basis, "the spend is below its level again")
    elif begins:
        found = find_offenders(context.facts, position, act.label, same.window, position.seen_until or context.now)
        fits = affordable_spend(position, same.basis, same.window, context.now)
        if all(one.name != act.target for one in choose_offenders(found, same.basis, terms.who, fits)):
            yield "this key is not the cause any more, or the pace fits without stopping it"


def find_silence(context: PlanContext, position: BudgetStatus) -> Silence | None:
    """The silence that suppresses the alerts of a budget status now."""
    return silence_of(silences_of(State(context.notes)), position.budget.name, position.scope, context.now)


def actions_of(context: PlanContext, position: BudgetStatus) -> list[ActionPolicy]:
    """The actions of a position that are configured, the gentlest first."""
    named = position.override.actions if position.override.actions is not None else position.budget.actions
    found = [context.terms[name] for name in named if name in context.terms]
    return sorted(found, key=lambda terms: GRADES.index(terms.grade))


def sources_of(context: PlanContext, position: BudgetStatus) -> tuple[SourceView, ...]:
    """The sources whose series a position is made of."""
    feeding = {context.facts.ledger.series[index].source for index in series_of(context.facts, position)}
    return tuple(view for name, view in sorted(context.facts.context.sources.items()) if name in feeding)


def readings_since(
    context: PlanContext, position: BudgetStatus, noted: Mapping[str, object] | None, trigger: Trigger
) -> Readings:
    """The readings from the last one before the threshold fired up to the newest."""
    known = Readings({}, position.spent)
    if noted is not None and noted["episode"] == trigger.episode:
        known = Readings.from_json(noted)
    elif position.name in context.before:
        known = context.before[position.name]
    return known.after(sources_of(context, position), position.spent)


def explain_jump(
    context: PlanContext, position: BudgetStatus, terms: ActionPolicy, trigger: Trigger, readings: Readings
) -> str:
    """What one reading alone explains, where the threshold fires only because of it; "" where it does not."""
    jumps = find_jumps(context.facts, position, readings)
    left = without_jumps(position, jumps)
    fires = any(one.episode == trigger.episode for one in firing_triggers(left, terms, context.notes, context.now))
    if not jumps or (fires and (trigger.basis != "forecast" or not is_jumpy(position, jumps))):
        return ""
    amount = f"{number(jumps[0].amount, position.amount.unit)} {position.amount.unit}"
    return (
        f"one reading alone explains it: {amount} at {jumps[0].at:%H:%M} UTC, over ten times the rate of any other; "
        "without it the threshold would not fire"
    )


#: Usage may trickle on while a change propagates; this long after it the data must show that it stopped.
_PROPAGATES: Final = timedelta(minutes=5)
_WATCHED: Final = timedelta(minutes=15)
#: By grade: over this share of the pace before, the usage goes on.
_GOES_ON: Final = {"warn": Decimal("0.5"), "throttle": Decimal("0.5"), "cheaper": Decimal("0.5")}
_TRICKLE: Final = Decimal("0.1")
_KEPT: Final = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class ActionChange:
    """One thing to commit: an act as it is now, the steps that led there, what is announced, and notes (None: gone)."""

    act: Act | None = None
    steps: tuple[Step, ...] = ()
    events: tuple[Event, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)


def follow_up(context: PlanContext) -> Iterator[ActionChange]:
    """What becomes of acts by time and data alone."""
    by_name = {position.name: position for position in context.statuses}
    for act in acts(context.notes).values():
        waits = act.is_waiting(context.now)
        if waits and act.expires is not None and context.now >= act.expires:
            held = f"it could not begin in time: {act.held or act.error}"
            why = "nobody answered in time" if act.state == AWAITING else held
            yield _step(act, "expire", context.now, why)
        elif waits and (lost := lost_reason(context, act)):
            yield _step(act, "expire", context.now, f"not done because {lost}")
        elif act.state == VERIFIED:
            move = _restore_when_due(context, act, by_name.get(act.position)) or _check_usage(
                context, act, by_name.get(act.position)
            )
            if move is not None:
                yield move
        elif act.state not in OPEN and act.since is not None and context.now - act.since > _KEPT:
            yield ActionChange(notes={act.note: None})


def _restore_when_due(context: PlanContext, act: Act, position: BudgetStatus | None) -> ActionChange | None:
    """The restore that the period's end or a raised budget asks for; only of what alertd itself changed."""
    terms = context.terms.get(act.action)
    if terms is None or not (act.ours and act.reversible) or terms.undone != "auto" or PAUSED in context.notes:
        return None
    if terms.mode_in_force(dry_run=context.dry_run) == "dry_run":
        return None
    reason = _ended(context, act, position)
    if not reason or _held_by_another(context, act):
        return None
    # Asked last: it sums what every key spent, and this is asked again every few seconds.
    return None if _needed_elsewhere(context, act, terms) else _step(act, "restore", context.now, reason)


def _ended(context: PlanContext, act: Act, position: BudgetStatus | None) -> str:
    """Why what was done may be undone: its period is over, or its budget was raised; "" while neither is so."""
    if act.period_end is not None and context.now >= act.period_end:
        return "a new period has begun"
    if position is None or position.amount.value <= Decimal(act.amount) or position.spent >= position.amount.value:
        return ""
    return f"the budget was raised to {position.amount}"


def _held_by_another(context: PlanContext, act: Act) -> bool:
    """Whether another act keeps the same key off, as far or further: of another action, or disowned by a person since.

    An act that found the key off already changed nothing itself, and relies on the one that did.
    """
    by_name = {position.name: position for position in context.statuses}
    budgets = {budget.name for budget in context.facts.budgets}
    for other in acts(context.notes).values():
        same = other.there == act.there if other.there else (other.label, other.target) == (act.label, act.target)
        if other.id == act.id or not same or GRADES.index(other.grade) < GRADES.index(act.grade):
            continue
        if other.state == DISOWNED and (other.since is None or act.since is None or other.since >= act.since):
            return True
        configured = other.action in context.terms and budget_of(other.position) in budgets
        lasts = configured and not _ended(context, other, by_name.get(other.position))
        if lasts and other.state in {APPROVED, EXECUTING, VERIFIED}:
            return True
    return False


def _needed_elsewhere(context: PlanContext, act: Act, terms: ActionPolicy) -> bool:
    """Whether another budget still asks for the same key to be off: one reason that ends turns on nothing."""
    for position in context.statuses:
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


def _check_usage(context: PlanContext, act: Act, position: BudgetStatus | None) -> ActionChange | None:
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


def _step(act: Act, what: str, now: datetime, reason: str, **changes: Any) -> ActionChange:
    after, step = act.after(what, now, reason=reason, **changes)
    if what == "restore":
        after = replace(after, lease_until=None, not_before=None, attempts=0, sent=None, error="")
    said = event_of_step(after, step)
    return ActionChange(after, (step,), (said,) if said else ())
