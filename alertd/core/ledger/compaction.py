"""Which part of the ledger the evaluation needs in fine buckets, and where old ones may be folded: hours, then days.

What reads the ledger reads whole local days of the budgets' zones and of the providers' billing zones, but for the
windows of burn rates, the hours of what is younger than three days, the days that an anomaly is held against, and the
readings of two days that an action is held against.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from alertd.core.budgets import Anomaly, Budget, BurnRate, Override
from alertd.core.periods import PeriodRule, midnights

#: What is younger than three days is read by the hour.
_HOURLY: Final = timedelta(days=4)
#: What every budget is asked of as it came: what ran in the last hour, the pace of half an hour.
_FINE: Final = timedelta(hours=2)
#: An action looks for readings that stand out in the last 48 hours.
_ACTED_ON: Final = timedelta(hours=49)
_A_DAY: Final = timedelta(days=1)
_HOUR: Final = 3600
#: The first use of a window is looked for in this many of its lengths.
WINDOW_LOOK_BACK: Final = 2
#: What is usual on a day is read from the four weeks before it.
_USUAL: Final = timedelta(days=30)


def fine_buckets(budgets: Collection[Budget], lag: timedelta = timedelta(0)) -> timedelta:
    """How long ago usage is still needed as it came, where no source that is read in time is later than `lag`."""
    rows: list[Budget | Override] = [*budgets]
    rows += [row for budget in budgets for row in budget.table.values()]
    thresholds = [threshold for row in rows for threshold in row.thresholds or ()]
    windows = [2 * window for one in thresholds if isinstance(one, BurnRate) for window in one.windows]
    usual = [
        _USUAL for one in thresholds if isinstance(one, Anomaly) or (isinstance(one, BurnRate) and one.above_usual)
    ]
    lengths = [_looked_back(budget.period) for budget in budgets if budget.period.length is not None]
    acted = [_ACTED_ON for row in rows if row.actions]
    return max([_FINE, *windows, *usual, *lengths, *acted]) + min(lag, _HOURLY)


def _looked_back(period: PeriodRule) -> timedelta:
    """How far a window that rolls is summed, or how far back the first use of one that opens is looked for."""
    length = period.length or timedelta(0)
    return WINDOW_LOOK_BACK * length + _A_DAY if period.opens else length + _A_DAY


def zones_of(budgets: Iterable[Budget], billing: Iterable[str]) -> list[tzinfo]:
    """The zones by whose days anything is summed: budgets', those of providers' bills (by IANA name), and UTC."""
    zones: dict[str, tzinfo] = {"UTC": UTC, **{name: ZoneInfo(name) for name in billing}}
    zones |= {str(budget.period.zone): budget.period.zone for budget in budgets}
    return [zones[name] for name in sorted(zones)]


def edges(zones: Iterable[tzinfo], since: datetime, now: datetime, fine: timedelta) -> Sequence[int]:
    """Where buckets older than `fine` may be folded, in Unix seconds, from the last midnight of a zone before `since`.

    The midnights of all zones, and of the last days every hour.
    """
    found: set[int] = set()
    until = now - fine
    for zone in zones:
        first = since.astimezone(zone).date()
        days = (until.astimezone(zone).date() - first).days
        found.update(int(at) for at in midnights(zone, first, days)[1] if at <= until.timestamp())
    hourly = (now - max(fine, _HOURLY)).timestamp()
    last = max((at for at in found if at <= hourly), default=min(found))
    found.update(range(-(-last // _HOUR) * _HOUR, int(until.timestamp()) + 1, _HOUR))
    return sorted(found)
