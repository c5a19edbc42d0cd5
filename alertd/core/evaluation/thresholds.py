"""Which thresholds are crossed now, which were not announced yet, and the status that follows. Announces nothing.

over         what was seen is at least the amount, whatever else is late
runaway      a burn-rate threshold is crossed
at_risk      the forecast threshold at its default would fire, or money that is committed goes over the amount, or a
             window that use opened is full before it closes at the pace of the last half hour
unknown      what a silent source may have seen since could reach the next threshold, or nothing was seen at all
no_forecast  there is no projection yet; the run rate stays within the amount
on_track     the projection stays within the amount, or the period has ended within it
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from alertd.core.budgets import TOKENS, Actual, Amount, Anomaly, Balance, BurnRate, Forecast, Novel, Threshold
from alertd.core.evaluation.event_builder import credit_ends, event_id
from alertd.core.evaluation.keys import alert_key
from alertd.core.evaluation.state import Episode
from alertd.core.evaluation.values import BudgetStatus, NewValue

#: A standing forecast ends when the projection has fallen this far below where it fired, a burn rate likewise.
_CLEARED: Final = 0.9
_COOLED: Final = 0.5
#: What is above usual costs this many times the dearest hour.
_ABOVE_USUAL: Final = 1.25
#: It must stay there this long before it counts as ended, and is announced again at the earliest after the gap.
SETTLE: Final = timedelta(hours=6)
_LEAST_GAP: Final = timedelta(hours=24)
_LEAST_GAPS: Final = {"burn_rate": timedelta(hours=1), "balance": timedelta(0), "actual": timedelta(minutes=15)}
_FULL: Final = Decimal(100)


@dataclass(frozen=True, slots=True)
class Reached:
    """A threshold that is crossed, with the key under which it is announced once."""

    threshold: Threshold
    level: Decimal
    key: str


def thresholds_of(status: BudgetStatus) -> tuple[Threshold, ...]:
    """The thresholds in force for a status: its table row's, else its budget's."""
    return status.override.thresholds or status.budget.thresholds


def key_of(status: BudgetStatus, threshold: Threshold, last: Decimal | int) -> str:
    """The key that a threshold is announced once under; `last` is the amount in force or the number of the episode."""
    return alert_key(status.name, threshold.basis, threshold.level(status.amount), last)


def novel_key(status: BudgetStatus, one: NewValue) -> str:
    """The key that a new value is announced once under."""
    number = int.from_bytes(event_id(f"{one.label}={one.value}").encode()[:6])
    return alert_key(status.name, Novel.basis, Decimal(0), number)


def newly_reached(status: BudgetStatus, announced: Container[str]) -> tuple[Reached, ...]:
    """The `actual` levels crossed now that were not announced yet, lowest first. One that was announced stays so."""
    reached: list[Reached] = []
    if status.period.rolls is not None:
        return ()  # it falls again: `is_crossed`
    for threshold in thresholds_of(status):
        if isinstance(threshold, Actual) and status.spent >= threshold.reached_at(status.amount):
            level = threshold.level(status.amount)
            key = alert_key(status.name, threshold.basis, level, status.amount.value)
            if key not in announced:
                reached.append(Reached(threshold, level, key))
    return tuple(sorted(reached, key=lambda item: item.level))


def is_crossed(status: BudgetStatus, threshold: Threshold, now: datetime) -> bool | None:
    """Whether a threshold is crossed: True, False once it has clearly ended, None in between."""
    match threshold:
        case Forecast():
            return _forecast(status, threshold, now)
        case BurnRate():
            return _burning(status, threshold)
        case Anomaly():
            return _unusual(status, threshold)
        case Balance():
            return _runs_low(status, threshold, now)
        case Novel():
            return None  # each value is announced once: `threshold_alerts`
        case Actual():
            return _rolled(status, threshold)


def _rolled(status: BudgetStatus, threshold: Actual) -> bool | None:
    """Of a window that rolls; in a period, once crossed it stays announced: `newly_reached`."""
    level = threshold.reached_at(status.amount)
    if status.period.rolls is None:
        return None
    if status.spent >= level:
        return True
    return False if status.spent < level * Decimal(str(_CLEARED)) and not status.stale_sources else None


def _forecast(status: BudgetStatus, threshold: Forecast, now: datetime) -> bool | None:
    if status.spent >= threshold.reached_at(status.amount):
        return None  # the actual level says it
    if is_certain(status, threshold):
        return True
    level = float(threshold.reached_at(status.amount))
    if status.projection is None or may_have_crossed_unseen(status):
        return None
    bound = status.projection.fires_below(threshold.probability)
    if level >= bound:
        return False if level * _CLEARED >= bound else None
    if is_too_young(status, threshold):
        return None
    return True if not status.idle and now < status.period.end else None


def is_too_young(status: BudgetStatus, threshold: Forecast) -> bool:
    """Whether a forecast without a `p` waits: in the first week of use it fires from FIRST_WEEK_CHANCE on."""
    if threshold.probability is not None or status.projection is None or not _is_younger(status, FIRST_WEEK):
        return False
    return float(threshold.reached_at(status.amount)) >= status.projection.fires_below(FIRST_WEEK_CHANCE)


def is_certain(status: BudgetStatus, threshold: Forecast) -> bool:
    """Whether what is spent and committed alone goes over a forecast's level."""
    level = threshold.reached_at(status.amount)
    return status.spent < level < status.certain_total


def may_have_crossed_unseen(status: BudgetStatus) -> bool:
    """Whether what silent sources may have seen since could reach the next threshold."""
    return bool(status.stale_sources) and status.spent + status.unseen >= next_level(status)


def next_level(status: BudgetStatus) -> Decimal:
    """The spend at which the next `actual` threshold, or the amount, is reached."""
    levels = [t.reached_at(status.amount) for t in thresholds_of(status) if isinstance(t, Actual)]
    ahead = [level for level in (*levels, status.amount.value) if level > status.spent]
    return min(ahead, default=status.amount.value)


def _burning(status: BudgetStatus, threshold: BurnRate) -> bool | None:
    burns = [status.burns[window] for window in threshold.windows if window in status.burns]
    if len(burns) < len(threshold.windows):
        return None
    factor = float(threshold.factor)
    longest = max(burns, key=lambda burn: burn.window)
    above = reaches_minimum(status, threshold.minimum_spend, longest.window, longest.spent)
    if above and is_above_usual(status, threshold, longest.spent) and all(burn.factor >= factor for burn in burns):
        return True
    return False if longest.factor < factor * _COOLED else None


def is_above_usual(status: BudgetStatus, threshold: BurnRate, spent: Decimal) -> bool:
    """Whether a window cost a quarter more than the dearest hour at this time of day, where a threshold asks for it.

    Of a scope that is known for less than a week nobody knows what is usual: it is not above it.
    """
    if not threshold.above_usual:
        return True
    return status.dearest_hour is not None and float(spent) > _ABOVE_USUAL * status.dearest_hour


def _unusual(status: BudgetStatus, threshold: Anomaly) -> bool | None:
    today = status.today
    if today is None or status.stale_sources:
        return None
    above = reaches_minimum(status, threshold.minimum_spend, None, Decimal(str(today.spent)))
    if above and today.probability >= threshold.probability and today.spent > today.high:
        return True
    return False if today.probability < threshold.probability * _CLEARED else None


def reaches_minimum(status: BudgetStatus, minimum: Amount | None, window: timedelta | None, spent: Decimal) -> bool:
    """Whether a window's spend is at least the minimum spend.

    Where the spend is not known in the unit of the minimum, money counts one for one, and between money and tokens the
    minimum counts as reached.
    """
    unit = status.amount.unit
    if minimum is None:
        return True
    if minimum.unit != unit and (worth := status.worths.get((window, minimum.unit))) is not None:
        return worth >= minimum.value
    return (minimum.unit != unit and TOKENS in {minimum.unit, unit}) or spent >= minimum.value


def _runs_low(status: BudgetStatus, threshold: Balance, now: datetime) -> bool | None:
    if status.balance is None:
        return None
    if threshold.within is not None:
        out = credit_ends(status).likely
        if out is None:
            return None if status.projection is None else False
        return True if out - now <= threshold.within else False if (out - now) * _CLEARED > threshold.within else None
    level = Decimal(0) if threshold.amount is None else threshold.amount.value
    if status.balance <= level:
        return True
    return False if status.balance * Decimal(str(_CLEARED)) > level else None


def is_burning(status: BudgetStatus) -> bool:
    """Whether one of its burn-rate thresholds is crossed now; never by a source that went silent."""
    if status.silent:
        return False
    burning = (threshold for threshold in thresholds_of(status) if isinstance(threshold, BurnRate))
    return any(_burning(status, threshold) is True for threshold in burning)


def cooldown_of(threshold: Threshold) -> timedelta:
    """How long after an episode began the next may begin."""
    return _LEAST_GAPS.get(threshold.basis, _LEAST_GAP)


def advance(episode: Episode, threshold: Threshold, *, crossed: bool | None, now: datetime) -> tuple[Episode, str]:
    """The episode after one evaluation, and what to announce: "fired", "recovered" or nothing ("").

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


def severity(status: BudgetStatus, level: Decimal) -> str:
    """Of an `actual` level: critical from 100% on, below it info on track and a warning otherwise."""
    if level >= _FULL:
        return "critical"
    if status.period.rolls is not None:
        return "warning"  # nothing is foreseen for it
    return "info" if status.status == "on_track" else "warning"


#: In this order: the first that holds is the status.
STATUSES: Final = ("over", "runaway", "at_risk", "unknown", "no_forecast", "on_track")
FLAGS: Final = ("runaway", "late", "rough")
#: Under this much history a projection is a wide range: it is marked rough.
ROUGH_UNTIL: Final = timedelta(days=3)
#: In this time after the first use a forecast without a `p` fires from this chance on: docs/projection.md has why.
FIRST_WEEK: Final = timedelta(days=7)
FIRST_WEEK_CHANCE: Final = 0.8
#: The run rate of less than this is no rate.
_LEAST_SEEN: Final = timedelta(hours=1)


def evaluate_status(status: BudgetStatus, now: datetime) -> tuple[str, tuple[str, ...]]:
    """One of STATUSES, and those of FLAGS that come with it."""
    burning = is_burning(status)
    rate = run_rate_total(status, now)
    rough = rate is not None if status.projection is None else _is_younger(status, ROUGH_UNTIL)
    rough = rough and status.period.whole_days
    holds = {"runaway": burning, "late": bool(status.late), "rough": rough}
    return _status(status, rate, burning=burning, ended=now >= status.period.end), tuple(
        flag for flag in FLAGS if holds[flag]
    )


def _status(status: BudgetStatus, rate: Decimal | None, *, burning: bool, ended: bool) -> str:
    amount, projection = status.amount.value, status.projection
    if status.spent >= amount and (status.matched or status.spent):
        return "over"
    if burning:
        return "runaway"
    is_full_soon = rate is not None and rate > amount and projection is None
    if status.certain_total > amount or is_full_soon or status.full_at is not None:
        return "at_risk"
    if projection is not None and float(amount) < projection.fires_below():
        return "at_risk"
    if not status.seen or not status.matched or status.failed or may_have_crossed_unseen(status):
        return "unknown"
    return "no_forecast" if projection is None and not ended and status.period.whole_days else "on_track"


def run_rate_total(status: BudgetStatus, now: datetime) -> Decimal | None:
    """The period's total at the rate so far, used while there is no projection. None without a rate."""
    if status.seen_until is None or not status.spent or now >= status.period.end or status.period.rolls is not None:
        return None
    begins = (status.period.start, status.complete_from, status.used_since)
    begun = max(at for at in begins if at is not None)
    seen = status.seen_until - begun
    if seen < _LEAST_SEEN:
        return None
    left = status.period.end - status.seen_until
    return status.spent + status.spent * Decimal(repr(max(0.0, left / seen)))


def _is_younger(status: BudgetStatus, age: timedelta) -> bool:
    """Whether the projection has less history than this."""
    begins = [at for at in (status.complete_from, status.used_since) if at is not None]
    if status.seen_until is None or not begins:
        return False
    return status.seen_until - max(begins) < age
