"""Explain why a threshold fires or not: its figures, and the rule that suppresses an alert."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final
from weakref import WeakKeyDictionary

from alertd.core.budgets import Actual, Anomaly, Balance, BurnRate, Forecast, Threshold, duration_text
from alertd.core.evaluation.event_builder import credit_ends
from alertd.core.evaluation.state import CARRIED, RESTORED, ThresholdRecord, episode_of, silence_of, silences_of
from alertd.core.evaluation.thresholds import (
    FIRST_WEEK_CHANCE,
    SETTLE,
    cooldown_of,
    is_above_usual,
    is_certain,
    is_crossed,
    is_too_young,
    key_of,
    reaches_minimum,
    thresholds_of,
)
from alertd.core.evaluation.values import BudgetStatus, Decisions, Facts
from alertd.core.ledger.columns import Ledger
from alertd.core.messages.format import amount, chance, per_unit
from alertd.core.pricing.costing import NoPrice
from alertd.core.pricing.tariffs import RateExchange

_SETTLING: Final = frozenset({"forecast", "anomaly"})


def after_decisions(facts: Facts, decisions: Decisions) -> Facts:
    """The facts with the state as it is after these decisions."""
    announced = {key: alert.event.at for alert in decisions.alerts for key in alert.keys}
    state = facts.state.after(decisions.changes)
    return replace(facts, announced={**facts.announced, **announced}, state=state)


def explain_thresholds(facts: Facts, status: BudgetStatus) -> tuple[ThresholdRecord, ...]:
    """Every threshold of a budget status, in the order of the configuration. `facts` are those after the decisions."""
    return tuple(_explain(facts, status, threshold) for threshold in thresholds_of(status))


def explain_notes(facts: Facts, status: BudgetStatus) -> tuple[str, ...]:
    """What else bears upon its alerts: silences, late sources, what has no price."""
    return tuple(_notes(facts, status))


def _explain(facts: Facts, status: BudgetStatus, threshold: Threshold) -> ThresholdRecord:
    if isinstance(threshold, Actual) and status.period.rolls is None:
        return _actual(facts, status, threshold)
    now = facts.context.now
    episode, crossed = episode_of(facts.state, status.name, threshold), is_crossed(status, threshold, now)
    announced = facts.announced.get(key_of(status, threshold, episode.number))
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
        held.extend(_held(facts, status))
    elif crossed is None:
        held.extend(_rules(status, threshold, now))
    return ThresholdRecord(str(threshold), episode.open or bool(crossed), _figures(status, threshold), tuple(held),
                           announced)  # fmt: skip


def _actual(facts: Facts, status: BudgetStatus, threshold: Actual) -> ThresholdRecord:
    at = threshold.reached_at(status.amount)
    announced = facts.announced.get(key_of(status, threshold, status.amount.value))
    crossed = status.spent >= at
    held = ["already announced: once for this period and amount"] if announced not in {None, facts.context.now} else []
    if crossed and announced is None:
        held += _held(facts, status)
    because = f"spent {_money(status.spent, status)} against {_money(at, status)}"
    return ThresholdRecord(str(threshold), crossed, because, tuple(held), announced)


def _held(facts: Facts, status: BudgetStatus) -> Iterator[str]:
    """Why something that fires was not announced."""
    silence = silence_of(silences_of(facts.state), status.budget.name, status.scope, facts.context.now)
    if silence is not None:
        yield f"silence: until {_minute(silence.until)} by {silence.by}: {silence.reason}"
    if facts.catching_up:
        yield f"{', '.join(sorted(facts.catching_up))} is still being read up to the present"
    if status.stale_sources:
        yield f"no fresh data from {', '.join(status.stale_sources)}"


def _rules(status: BudgetStatus, threshold: Threshold, now: datetime) -> Iterator[str]:
    """The rules that keep a threshold from firing although its figures may say so."""
    if isinstance(threshold, Forecast) and status.projection is not None:
        level = threshold.reached_at(status.amount)
        if status.spent >= level:
            yield "already passed: the actual threshold says it"
        elif float(level) < status.projection.fires_below(threshold.probability):
            if now >= status.period.end:
                yield "the period has ended"
            elif status.idle:
                yield "nothing was used for a week"
            elif is_too_young(status, threshold):
                yield f"the first week of use: until then it takes a chance of {chance(FIRST_WEEK_CHANCE)}"
        else:
            yield "within a tenth of where it would fire: it neither fires nor ends here"
    if isinstance(threshold, BurnRate):
        burns = [status.burns[window] for window in threshold.windows if window in status.burns]
        enough = len(burns) == len(threshold.windows) and all(burn.factor >= threshold.factor for burn in burns)
        longest = max(burns, key=lambda burn: burn.window, default=None)
        if (
            enough
            and longest is not None
            and not reaches_minimum(status, threshold.minimum_spend, longest.window, longest.spent)
        ):
            spent = _money(longest.spent, status)
            yield f"minimum spend: {spent} in {duration_text(longest.window)} is below {threshold.minimum_spend}"
        if enough and longest is not None and not is_above_usual(status, threshold, longest.spent):
            yield _not_above_usual(status, longest.spent, longest.window)
    if isinstance(threshold, Anomaly) and status.today is not None:
        today = status.today
        spent_today = Decimal(str(today.spent))
        if today.probability >= threshold.probability and not reaches_minimum(
            status, threshold.minimum_spend, None, spent_today
        ):
            yield f"minimum spend: {_money(spent_today, status)} today is below {threshold.minimum_spend}"


def _not_above_usual(status: BudgetStatus, spent: Decimal, window: timedelta) -> str:
    if status.dearest_hour is None:
        return "above usual: what is usual is known after a week of use"
    dearest = _money(Decimal(repr(status.dearest_hour)), status)
    span = f"{_money(spent, status)} in {duration_text(window)}"
    return f"above usual: {span} is not a quarter more than the dearest hour at this time of day, {dearest}"


def _figures(status: BudgetStatus, threshold: Threshold) -> str:
    """The figures that a threshold was decided on."""
    if isinstance(threshold, Forecast):
        return _forecast_figures(status, threshold)
    if isinstance(threshold, BurnRate):
        windows = [status.burns[window] for window in threshold.windows if window in status.burns]
        seen = (
            f"{duration_text(b.window)}: {_money(b.spent, status)}, {b.factor:.1f}x the budgeted rate" for b in windows
        )
        return "; ".join(seen) or "no usage in its windows"
    if isinstance(threshold, Anomaly) and status.today is not None:
        today = status.today
        spent = _money(Decimal(str(today.spent)), status)
        return f"{spent} today; a day like this or less has a probability of {today.probability:.1%}"
    if isinstance(threshold, Actual):
        at = _money(threshold.reached_at(status.amount), status)
        return f"spent {_money(status.spent, status)} in the window against {at}"
    if isinstance(threshold, Balance) and status.balance is not None:
        return "; ".join([f"{_money(status.balance, status)} left", *_credit_figures(status)])
    return "no data yet"


def _credit_figures(status: BudgetStatus) -> Iterator[str]:
    found, ends = status.credit, credit_ends(status)
    if ends.likely is not None:
        between = f" ({_minute(_utc(ends.low))} to {_minute(_utc(ends.high))})" if ends.low and ends.high else ""
        yield f"used up {_minute(_utc(ends.likely))}{between}"
    if found is None or found.paid is None or found.ledger is None:
        return
    spent = _money(found.paid - found.ledger, status)
    yield f"paid {_money(found.paid, status)} since {found.begin}, spent {spent}"
    if found.by and found.ledger != found.left:
        yield f"so {_money(found.ledger, status)} by the ledger; {found.by} shows {_money(found.left, status)}"


def _forecast_figures(status: BudgetStatus, threshold: Forecast) -> str:
    level = threshold.reached_at(status.amount)
    if is_certain(status, threshold):
        total = _money(status.certain_total, status)
        return f"certain: spent and committed are {total} of {_money(level, status)}"
    if status.projection is None:
        return "no data yet" if status.data_until is None else "no projection yet: less than an hour of history"
    bound = status.projection.fires_below(threshold.probability)
    probability = status.projection.probability_over(float(level))
    return (
        f"it fires for levels below {_money(Decimal(repr(float(bound))), status)}, this one is "
        f"{_money(level, status)}; chance of going over {chance(probability)} ({status.projection.method})"
    )


def _notes(facts: Facts, status: BudgetStatus) -> Iterator[str]:
    if RESTORED.get(facts.state) is not None:
        yield "restored from a backup: nothing is announced until every source was read up to the present"
    if status.failed:
        yield f"it cannot be evaluated: {status.failed}"
    for name in status.stale_sources:
        yield f"{name} shows no fresh data"
    carried = CARRIED.get(facts.state, status.name)
    if status.carried and carried is not None:
        what = "carried over from" if status.carried > 0 else "taken off for"
        yield f"the amount has {_money(abs(status.carried), status)} {what} the period that began on {carried.period}"
    elif carried is not None and carried.reason:
        yield f"nothing was carried over from the period that began on {carried.period}: {carried.reason}"
    for one in facts.context.top_ups.get(status.budget.name, ()):
        what = "credit left" if one.left else "credit paid"
        why = f": {one.reason}" if one.reason else ""
        yield f"{what} on {one.day}: {amount(one.amount, one.unit)}, entered by {one.by} at {_minute(one.at)}{why}"
    silence = silence_of(silences_of(facts.state), status.budget.name, status.scope, facts.context.now)
    if silence is not None:
        yield f"silenced until {_minute(silence.until)} by {silence.by}: {silence.reason}"
    for item in status.unpriced:
        what = item.model or item.provider
        what = f"{what} {item.meter}" if item.cost is None else f"the bill for {what}"
        yield f"{what} counts in no figure: {item.reason}"
    yield from _certain_notes(status)
    yield from _rate_notes(facts, status)
    if not status.matched:
        yield "no usage matches this budget"
    if status.complete_from is not None:
        yield f"figures are complete only from {_minute(status.complete_from)}"


def _rate_notes(facts: Facts, status: BudgetStatus) -> Iterator[str]:
    """The rates of today by which costs in other currencies are in the budget's, with their source and date."""
    exchange, day = facts.context.exchange, facts.context.now.astimezone(status.period.zone).date()
    if not isinstance(exchange, RateExchange):
        return
    for currency in _currencies(facts, day) - {status.amount.unit}:
        if said := exchange.said(currency, status.amount.unit, day):
            yield f"costs in {currency}: {said}"


_USED: Final[WeakKeyDictionary[Ledger, tuple[tuple[int, date], frozenset[str]]]] = WeakKeyDictionary()


def _currencies(facts: Facts, day: date) -> frozenset[str]:
    """The currencies in which the ledger's usage costs, by the prices of the day."""
    key = len(facts.ledger.kinds), day
    known = _USED.get(facts.ledger)
    if known is not None and known[0] == key:
        return known[1]
    found = {row.billed for row in facts.ledger.kinds if row.billed}
    for line in {row.line for row in facts.ledger.kinds if not row.billed}:
        prices = (price for _, price in facts.context.tariff.runs(line, day, day))
        found.update(price.currency for price in prices if not isinstance(price, NoPrice))
    _USED[facts.ledger] = key, frozenset(found)
    return _USED[facts.ledger][1]


def _certain_notes(status: BudgetStatus) -> Iterator[str]:
    """Notes on commitments: each with its rate, what was charged so far, and what is still to come."""
    certain = status.certain
    if certain is None:
        return
    for line in certain.lines:
        rate = f"{_money(line.cost, status)} {per_unit(line.per)}" if line.per else f"{_money(line.cost, status)} once"
        until = f"until {_minute(line.until)}" if line.until else "until somebody stops it"
        yield (
            f"certain if nobody stops it: {line.name or line.source}, {rate}, {until}: "
            f"{_money(line.charged, status)} charged, {_money(line.ahead, status)} to come in this period"
        )
    if certain.ahead:
        out = f", used up at {_minute(certain.exhausted_at)}" if certain.exhausted_at is not None else ""
        total = _money(status.certain_total, status)
        yield f"certain in all: {total} of {_money(status.amount.value, status)}{out}"
    for name in certain.unconverted:
        yield f"{name} is committed in a currency without a rate to {status.amount.unit}: it is in no figure"


def _money(value: Decimal, status: BudgetStatus) -> str:
    return amount(value, status.amount.unit)


def _utc(instant: datetime) -> datetime:
    return instant.astimezone(UTC)


def _minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
