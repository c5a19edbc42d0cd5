"""Which thresholds are crossed now, and which of them were not announced yet. Nothing here announces."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from alertd.core.budgets import TOKENS, Actual, Amount, Anomaly, Balance, BurnRate, Forecast, Threshold
from alertd.core.evaluation.keys import alert_key
from alertd.core.evaluation.state import Episode
from alertd.core.evaluation.values import BudgetStatus

#: A standing forecast ends when the projection has fallen this far below where it fired, a burn rate likewise.
_CLEARED: Final = 0.9
_COOLED: Final = 0.5
#: It must stay there this long before it counts as ended, and is announced again at the earliest after the gap.
SETTLE: Final = timedelta(hours=6)
_LEAST_GAP: Final = timedelta(hours=24)
_LEAST_GAPS: Final = {"burn_rate": timedelta(hours=1), "balance": timedelta(0)}
_FULL: Final = Decimal(100)


@dataclass(frozen=True, slots=True)
class Reached:
    """A threshold that is crossed, with the key under which it is announced once."""

    threshold: Threshold
    level: Decimal
    key: str


def thresholds_of(position: BudgetStatus) -> tuple[Threshold, ...]:
    """The thresholds in force for a position: its table row's, else its budget's."""
    return position.override.thresholds or position.budget.thresholds


def key_of(position: BudgetStatus, threshold: Threshold, last: Decimal | int) -> str:
    """The key that a threshold is announced once under; `last` is the amount in force or the number of the episode."""
    return alert_key(position.name, threshold.basis, threshold.level(position.amount), last)


def newly_reached(position: BudgetStatus, announced: Container[str]) -> tuple[Reached, ...]:
    """The `actual` levels crossed now that were not announced yet, lowest first. One that was announced stays so."""
    reached = []
    for threshold in thresholds_of(position):
        if isinstance(threshold, Actual) and position.spent >= threshold.reached_at(position.amount):
            level = threshold.level(position.amount)
            key = key_of(position, threshold, position.amount.value)
            if key not in announced:
                reached.append(Reached(threshold, level, key))
    return tuple(sorted(reached, key=lambda item: item.level))


def is_crossed(position: BudgetStatus, threshold: Threshold, now: datetime) -> bool | None:
    """Whether a threshold is crossed: True, False once it has clearly ended, None in between."""
    match threshold:
        case Forecast():
            return _forecast(position, threshold, now)
        case BurnRate():
            return _burning(position, threshold)
        case Anomaly():
            return _unusual(position, threshold)
        case Balance():
            return _runs_low(position, threshold)
        case Actual():
            return None  # once crossed it stays announced: `newly_reached`


def _forecast(position: BudgetStatus, threshold: Forecast, now: datetime) -> bool | None:
    if position.spent >= threshold.reached_at(position.amount):
        return None  # the actual level says it
    if is_certain(position, threshold):
        return True
    level = float(threshold.reached_at(position.amount))
    if position.projection is None or may_have_crossed_unseen(position):
        return None
    bound = position.projection.fires_below(threshold.probability)
    if level >= bound:
        return False if level * _CLEARED >= bound else None
    return True if not position.idle and now < position.period.end else None


def is_certain(position: BudgetStatus, threshold: Forecast) -> bool:
    """Whether what is spent and committed alone goes over a forecast's level."""
    level = threshold.reached_at(position.amount)
    return position.spent < level < position.certain_total


def may_have_crossed_unseen(position: BudgetStatus) -> bool:
    """Whether what silent sources may have seen since could reach the next threshold."""
    return bool(position.stale_sources) and position.spent + position.unseen >= next_level(position)


def next_level(position: BudgetStatus) -> Decimal:
    """The spend at which the next `actual` threshold, or the amount, is reached."""
    levels = [t.reached_at(position.amount) for t in thresholds_of(position) if isinstance(t, Actual)]
    ahead = [level for level in (*levels, position.amount.value) if level > position.spent]
    return min(ahead, default=position.amount.value)


def _burning(position: BudgetStatus, threshold: BurnRate) -> bool | None:
    burns = [position.burns[window] for window in threshold.windows if window in position.burns]
    if len(burns) < len(threshold.windows):
        return None
    factor = float(threshold.factor)
    longest = max(burns, key=lambda burn: burn.window)
    above = reaches_minimum(position, threshold.minimum_spend, longest.window, longest.spent)
    if above and all(burn.factor >= factor for burn in burns):
        return True
    return False if longest.factor < factor * _COOLED else None


def _unusual(position: BudgetStatus, threshold: Anomaly) -> bool | None:
    today = position.today
    if today is None or position.stale_sources:
        return None
    above = reaches_minimum(position, threshold.minimum_spend, None, Decimal(str(today.spent)))
    if above and today.probability >= threshold.probability and today.spent > today.high:
        return True
    return False if today.probability < threshold.probability * _CLEARED else None


def reaches_minimum(position: BudgetStatus, floor: Amount | None, window: timedelta | None, spent: Decimal) -> bool:
    """Whether a window's spend is at least its floor.

    Where nobody knows the one in the unit of the other, money counts one for one, and between money and tokens there is
    no floor: nothing is hidden by what is not known.
    """
    unit = position.amount.unit
    if floor is None:
        return True
    if floor.unit != unit and (worth := position.worths.get((window, floor.unit))) is not None:
        return worth >= floor.value
    return (floor.unit != unit and TOKENS in {floor.unit, unit}) or spent >= floor.value


def _runs_low(position: BudgetStatus, threshold: Balance) -> bool | None:
    if position.balance is None:
        return None
    if position.balance <= threshold.amount.value:
        return True
    return False if position.balance * Decimal(str(_CLEARED)) > threshold.amount.value else None


def is_burning(position: BudgetStatus) -> bool:
    """Whether one of its burn-rate thresholds is crossed now; never by a source that went silent."""
    if position.silent:
        return False
    burning = (threshold for threshold in thresholds_of(position) if isinstance(threshold, BurnRate))
    return any(_burning(position, threshold) is True for threshold in burning)


def cooldown_of(threshold: Threshold) -> timedelta:
    """How long after an episode began the next may begin."""
    return _LEAST_GAPS.get(threshold.basis, _LEAST_GAP)


def advance(episode: Episode, threshold: Threshold, *, crossed: bool | None, now: datetime) -> tuple[Episode, str]:
    """The episode after one evaluation, and what is to be announced: "fired", "recovered" or nothing ("").

    Cooldown: it fires when it is crossed and no episode is open, at the earliest a least gap after the last one began.
    Hysteresis: it ends once it was clearly below for a while, so that a projection near its level does not flap.
    """
    if crossed:
        if episode.open:
            return Episode(episode.number, open=True, since=episode.since), ""
        if episode.since is not None and now - episode.since < cooldown_of(threshold):
            return episode, ""
        return Episode(episode.number + 1, open=True, since=now), "fired"
    if crossed is None or not episode.open:
        return episode, ""
    clear = episode.clear_since or now
    settle = timedelta(0) if threshold.basis in _LEAST_GAPS else SETTLE
    if now - clear >= settle:
        return Episode(episode.number, open=False, since=episode.since), "recovered"
    return Episode(episode.number, open=True, since=episode.since, clear_since=clear), ""


def severity(position: BudgetStatus, level: Decimal) -> str:
    """Of an `actual` level: critical from 100% on, below it info on track and a warning otherwise."""
    if level >= _FULL:
        return "critical"
    return "info" if position.status == "on_track" else "warning"
