"""The status of a budget: the one function that works it out, which every event carries and everything shows.

over         what was seen is at least the amount, whatever else is late
runaway      a burn-rate threshold is crossed
at_risk      the forecast threshold at its default would fire, or money that is committed goes over the amount
unknown      what a silent source may have seen since could reach the next threshold, or nothing was seen at all
no_forecast  there is no projection yet; the run rate stays within the amount
on_track     the projection stays within the amount
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from alertd.core.evaluation.thresholds import is_burning, may_have_crossed_unseen
from alertd.core.evaluation.values import BudgetStatus

#: In this order: the first that holds is the status.
STATUSES: Final = ("over", "runaway", "at_risk", "unknown", "no_forecast", "on_track")
FLAGS: Final = ("runaway", "late", "rough")
#: Under this much history a projection is a wide range: it is marked rough.
ROUGH_UNTIL: Final = timedelta(days=3)
#: The run rate of less than this is no rate.
_LEAST_SEEN: Final = timedelta(hours=1)


def evaluate_status(position: BudgetStatus, now: datetime) -> tuple[str, tuple[str, ...]]:
    """One of STATUSES, and those of FLAGS that come with it."""
    burning = is_burning(position)
    rate = run_rate_total(position, now)
    rough = rate is not None if position.projection is None else _is_young(position)
    holds = {"runaway": burning, "late": bool(position.late), "rough": rough}
    return _status(position, rate, burning=burning), tuple(flag for flag in FLAGS if holds[flag])


def _status(position: BudgetStatus, rate: Decimal | None, *, burning: bool) -> str:
    amount, projection = position.amount.value, position.projection
    if position.spent >= amount and (position.matched or position.spent):
        return "over"
    if burning:
        return "runaway"
    if position.certain_total > amount or (rate is not None and rate > amount and projection is None):
        return "at_risk"
    if projection is not None and float(amount) < projection.fires_below():
        return "at_risk"
    if not position.seen or not position.matched or position.failed or may_have_crossed_unseen(position):
        return "unknown"
    return "no_forecast" if projection is None else "on_track"


def run_rate_total(position: BudgetStatus, now: datetime) -> Decimal | None:
    """The period's total at the rate so far: what serves while there is no projection. None where there is no rate."""
    if position.seen_until is None or not position.spent or now >= position.period.end:
        return None
    begins = (position.period.start, position.complete_from, position.used_since)
    begun = max(at for at in begins if at is not None)
    seen = position.seen_until - begun
    if seen < _LEAST_SEEN:
        return None
    left = position.period.end - position.seen_until
    return position.spent + position.spent * Decimal(repr(max(0.0, left / seen)))


def _is_young(position: BudgetStatus) -> bool:
    """Whether so little history lies behind the projection that its range is wide."""
    begins = [at for at in (position.complete_from, position.used_since) if at is not None]
    if position.seen_until is None or not begins:
        return False
    return position.seen_until - max(begins) < ROUGH_UNTIL
