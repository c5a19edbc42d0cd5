"""Why a threshold fires, or does not: its figures, and the rule that holds an alert back. Decides nothing itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from alertd.core.budgets import Actual, Anomaly, Balance, BurnRate, Forecast, Threshold, duration_text
from alertd.core.evaluation.record import ThresholdRecord
from alertd.core.evaluation.state import RESTORED, episode_of, silence_of, silences_of
from alertd.core.evaluation.thresholds import (
    SETTLE,
    cooldown_of,
    is_certain,
    is_crossed,
    key_of,
    reaches_minimum,
    thresholds_of,
)
from alertd.core.evaluation.values import BudgetStatus, Decisions, Facts
from alertd.core.messages.figures import amount

_SETTLING: Final = frozenset({"forecast", "anomaly"})


def after_decisions(facts: Facts, decisions: Decisions) -> Facts:
    """The facts with what was decided: what the next evaluation would find remembered."""
    announced = {key: alert.event.at for alert in decisions.alerts for key in alert.keys}
    state = facts.state.after(decisions.changes)
    return replace(facts, announced={**facts.announced, **announced}, state=state)


def explain_thresholds(facts: Facts, position: BudgetStatus) -> tuple[ThresholdRecord, ...]:
    """Every threshold of a budget status, in the order of the configuration. `facts` are those after the decisions."""
    return tuple(_explain(facts, position, threshold) for threshold in thresholds_of(position))


def explain_notes(facts: Facts, position: BudgetStatus) -> tuple[str, ...]:
    """What else bears upon its alerts: silences, late sources, what has no price."""
    return tuple(_notes(facts, position))


def _explain(facts: Facts, position: BudgetStatus, threshold: Threshold) -> ThresholdRecord:
    if isinstance(threshold, Actual):
        return _actual(facts, position, threshold)
    now = facts.context.now
    episode, crossed = episode_of(facts.state, position.name, threshold), is_crossed(position, threshold, now)
    announced = facts.announced.get(key_of(position, threshold, episode.number))
    held: list[str] = []
    if episode.open:
        if announced not in {None, now}:
            held.append("already announced: once an episode")
        if crossed is False and threshold.basis in _SETTLING:
            since = episode.clear_since or now
            held.append(f"hysteresis: it ends when it stays below until {_minute(since + SETTLE)}")
    elif crossed and episode.since is not None and now - episode.since < cooldown_of(threshold):
        until = _minute(episode.since + cooldown_of(threshold))
        held.append(f"cooldown: the last episode began at {_minute(episode.since)}, the next may begin at {until}")
    elif crossed:
        held.extend(_held(facts, position))
    elif crossed is None:
        held.extend(_rules(position, threshold, now))
    return ThresholdRecord(str(threshold), episode.open or bool(crossed), _figures(position, threshold), tuple(held),
                           announced)  # fmt: skip


def _actual(facts: Facts, position: BudgetStatus, threshold: Actual) -> ThresholdRecord:
    at = threshold.reached_at(position.amount)
    announced = facts.announced.get(key_of(position, threshold, position.amount.value))
    crossed = position.spent >= at
    held = ["already announced: once for this period and amount"] if announced not in {None, facts.context.now} else []
    if crossed and announced is None:
        held += _held(facts, position)
    because = f"spent {_money(position.spent, position)} against {_money(at, position)}"
    return ThresholdRecord(str(threshold), crossed, because, tuple(held), announced)


def _held(facts: Facts, position: BudgetStatus) -> Iterator[str]:
    """Why something that fires was not announced."""
    silence = silence_of(silences_of(facts.state), position.budget.name, position.scope, facts.context.now)
    if silence is not None:
        yield f"silence: until {_minute(silence.until)} by {silence.by}: {silence.reason}"
    if facts.catching_up:
        yield f"{', '.join(sorted(facts.catching_up))} is still being read up to the present"
    if position.stale_sources:
        yield f"no fresh data from {', '.join(position.stale_sources)}"


def _rules(position: BudgetStatus, threshold: Threshold, now: datetime) -> Iterator[str]:
    """The rules that keep a threshold from firing although its figures may say so."""
    if isinstance(threshold, Forecast) and position.projection is not None:
        level = threshold.reached_at(position.amount)
        if position.spent >= level:
            yield "already passed: the actual threshold says it"
        elif float(level) < position.projection.fires_below(threshold.probability):
            if now >= position.period.end:
                yield "the period has ended"
            elif position.idle:
                yield "nothing was used for a week"
        else:
            yield "within a tenth of where it would fire: it neither fires nor ends here"
    if isinstance(threshold, BurnRate):
        burns = [position.burns[window] for window in threshold.windows if window in position.burns]
        enough = len(burns) == len(threshold.windows) and all(burn.factor >= threshold.factor for burn in burns)
        longest = max(burns, key=lambda burn: burn.window, default=None)
        if (
            enough
            and longest is not None
            and not reaches_minimum(position, threshold.minimum_spend, longest.window, longest.spent)
        ):
            spent = _money(longest.spent, position)
            yield f"minimum spend: {spent} in {duration_text(longest.window)} is below {threshold.minimum_spend}"
    if isinstance(threshold, Anomaly) and position.today is not None:
        today = position.today
        spent_today = Decimal(str(today.spent))
        if today.probability >= threshold.probability and not reaches_minimum(
            position, threshold.minimum_spend, None, spent_today
        ):
            yield f"minimum spend: {_money(spent_today, position)} today is below {threshold.minimum_spend}"


def _figures(position: BudgetStatus, threshold: Threshold) -> str:
    """The figures that a threshold was decided on."""
    if isinstance(threshold, Forecast):
        return _forecast_figures(position, threshold)
    if isinstance(threshold, BurnRate):
        windows = [position.burns[window] for window in threshold.windows if window in position.burns]
        seen = (f"{duration_text(b.window)}: {_money(b.spent, position)}, {b.factor:.1f}x even pace" for b in windows)
        return "; ".join(seen) or "no usage in its windows"
    if isinstance(threshold, Anomaly) and position.today is not None:
        today = position.today
        spent = _money(Decimal(str(today.spent)), position)
        return f"{spent} today; a day like this or less has a probability of {today.probability:.1%}"
    if isinstance(threshold, Balance) and position.balance is not None:
        return f"{_money(position.balance, position)} left"
    return "no data yet"


def _forecast_figures(position: BudgetStatus, threshold: Forecast) -> str:
    level = threshold.reached_at(position.amount)
    if is_certain(position, threshold):
        total = _money(position.certain_total, position)
        return f"certain: spent and committed are {total} of {_money(level, position)}"
    if position.projection is None:
        return "no data yet" if position.data_until is None else "no projection yet: less than an hour of history"
    bound = position.projection.fires_below(threshold.probability)
    chance = position.projection.probability_over(float(level))
    return (
        f"it fires for levels below {_money(Decimal(repr(float(bound))), position)}, this one is "
        f"{_money(level, position)}; chance of going over {chance:.0%} ({position.projection.method})"
    )


def _notes(facts: Facts, position: BudgetStatus) -> Iterator[str]:
    if RESTORED.get(facts.state) is not None:
        yield "restored from a backup: nothing is announced until every source was read up to the present"
    if position.failed:
        yield f"it cannot be evaluated: {position.failed}"
    for name in position.stale_sources:
        yield f"{name} shows no fresh data"
    silence = silence_of(silences_of(facts.state), position.budget.name, position.scope, facts.context.now)
    if silence is not None:
        yield f"silenced until {_minute(silence.until)} by {silence.by}: {silence.reason}"
    for item in position.unpriced:
        yield f"{item.model} {item.meter} counts in no figure: {item.reason}"
    yield from _certain_notes(position)
    if not position.matched:
        yield "no usage matches this budget"
    if position.complete_from is not None:
        yield f"figures are complete only from {_minute(position.complete_from)}"


def _certain_notes(position: BudgetStatus) -> Iterator[str]:
    """What is committed: each contract with its rate, what it was charged and what is ahead."""
    certain = position.certain
    if certain is None:
        return
    for line in certain.lines:
        rate = f"{_money(line.cost, position)} a {line.per}" if line.per else f"{_money(line.cost, position)} once"
        until = f"until {_minute(line.until)}" if line.until else "until somebody stops it"
        yield (
            f"certain if nobody stops it: {line.name or line.source}, {rate}, {until}: "
            f"{_money(line.charged, position)} charged, {_money(line.ahead, position)} to come in this period"
        )
    if certain.ahead:
        out = f", used up at {_minute(certain.exhausted_at)}" if certain.exhausted_at is not None else ""
        total = _money(position.certain_total, position)
        yield f"certain in all: {total} of {_money(position.amount.value, position)}{out}"
    for name in certain.unconverted:
        yield f"{name} is committed in a currency without a rate to {position.amount.unit}: it is in no figure"


def _money(value: Decimal, position: BudgetStatus) -> str:
    return amount(value, position.amount.unit)


def _minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
