"""Which threshold an action answers, and whether its reason still holds: what fires, on which readings, for how long.

An action has one reason: a threshold of one budget status, in one episode, of one amount. Nothing is planned here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from alertd.core.actions.confirmation import Readings, find_jumps, is_jumpy, without_jumps
from alertd.core.actions.offenders import affordable_spend, choose_offenders, find_offenders, series_of
from alertd.core.actions.policy import GRADES, ActionPolicy
from alertd.core.actions.state_machine import Act
from alertd.core.budgets import Actual, BurnRate, parse_threshold
from alertd.core.evaluation.keys import budget_of
from alertd.core.evaluation.state import RAISED, Silence, State, episode_of, silence_of, silences_of
from alertd.core.evaluation.thresholds import is_crossed, thresholds_of
from alertd.core.evaluation.values import BudgetStatus, Facts, SourceView
from alertd.core.messages.figures import number
from alertd.core.messages.spans import clean

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
    positions: Sequence[BudgetStatus]
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
    position: BudgetStatus, terms: ActionPolicy, notes: Mapping[str, Any], now: datetime
) -> Trigger | None:
    """The first threshold that the action is asked to act upon and that fires now."""
    return next(firing_triggers(position, terms, notes, now), None)


def firing_triggers(
    position: BudgetStatus, terms: ActionPolicy, notes: Mapping[str, Any], now: datetime, *, unless_over: bool = False
) -> Iterator[Trigger]:
    """Every threshold to act upon that fires; with `unless_over` also one that may not be over yet."""
    amount = f"{position.amount.value.normalize():f}"
    for text in terms.on:
        if text in {"burn_rate", "forecast"}:
            for threshold in thresholds_of(position):
                fires = is_crossed(position, threshold, now) if threshold.basis == text else False
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
    position = next((one for one in context.positions if one.name == act.position), None)
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
    context: PlanContext, position: BudgetStatus, noted: Mapping[str, Any] | None, trigger: Trigger
) -> Readings:
    """The readings since the one before the threshold fired, with the newest."""
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
