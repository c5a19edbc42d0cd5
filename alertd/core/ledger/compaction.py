"""Which part of the ledger the evaluation needs in fine buckets, and where old ones may be folded: at local midnights.

What reads the ledger reads whole local days of the budgets' zones and of the providers' billing zones, but for the
windows of burn rates, the hours of what is younger than three days, and the days that an anomaly is held against.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from alertd.core.budgets import Anomaly, Budget, BurnRate
from alertd.core.periods import PeriodRule, midnights

#: What is younger than three days is read by the hour; usage is compacted in the store after two.
_FINE: Final = timedelta(days=4)
_A_DAY: Final = timedelta(days=1)
#: The first use of a window is looked for in this many of its lengths.
WINDOW_LOOK_BACK: Final = 2
#: What is usual on a day is read from the four weeks before it.
_USUAL: Final = timedelta(days=30)


def fine_buckets(budgets: Collection[Budget]) -> timedelta:
    """How long ago usage is still needed as it came."""
    thresholds = [
        threshold
        for budget in budgets
        for listed in (budget.thresholds, *(row.thresholds or () for row in budget.table.values()))
        for threshold in listed
    ]
    windows = [2 * window for one in thresholds if isinstance(one, BurnRate) for window in one.windows]
    usual = [
        _USUAL for one in thresholds if isinstance(one, Anomaly) or (isinstance(one, BurnRate) and one.above_usual)
    ]
    lengths = [_looked_back(budget.period) for budget in budgets if budget.period.length is not None]
    return max([_FINE, *windows, *usual, *lengths])


def _looked_back(period: PeriodRule) -> timedelta:
    """How far a window that rolls is summed, or how far back the first use of one that opens is looked for."""
    length = period.length or timedelta(0)
    return WINDOW_LOOK_BACK * length + _A_DAY if period.opens else length + _A_DAY


def zones_of(budgets: Iterable[Budget], billing: Iterable[str]) -> list[tzinfo]:
    """The zones by whose days anything is summed: budgets', those of providers' bills (by IANA name), and UTC."""
    zones: dict[str, tzinfo] = {"UTC": UTC, **{name: ZoneInfo(name) for name in billing}}
    zones |= {str(budget.period.zone): budget.period.zone for budget in budgets}
    return [zones[name] for name in sorted(zones)]


def edges(zones: Iterable[tzinfo], since: datetime, until: datetime) -> Sequence[int]:
    """The midnights of all zones, in Unix seconds, from the last one before `since` to the last one before `until`."""
    found: set[int] = set()
    for zone in zones:
        first = since.astimezone(zone).date()
        days = (until.astimezone(zone).date() - first).days
        found.update(int(at) for at in midnights(zone, first, days)[1] if at <= until.timestamp())
    return sorted(found)
