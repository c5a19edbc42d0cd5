"""Sample events of every kind: what `alertd test-notify` sends and what the gallery shows. All figures are made up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from alertd.core.events import Event
from alertd.core.messages.samples import budget, system
from alertd.core.messages.samples.system import digest

__all__ = ["NOW", "SAMPLES", "digest"]

#: The instant that pictures of samples are taken at: a Saturday morning in Berlin.
NOW: Final = datetime(2026, 11, 21, 7, 5, tzinfo=UTC)

#: What `--event` takes, and what the gallery shows, in its order.
SAMPLES: Final[Mapping[str, Callable[[datetime], tuple[Event, ...]]]] = {
    "actual": lambda now: (budget.actual(now),),
    "ahead": lambda now: (budget.ahead(now),),
    "over": lambda now: (budget.over(now),),
    "forecast": lambda now: (budget.forecast(now),),
    "certain": lambda now: (budget.certain(now),),
    "burn_rate": lambda now: (budget.burn_rate(now),),
    "anomaly": lambda now: (budget.anomaly(now),),
    "balance": lambda now: (budget.balance(now),),
    "novel": lambda now: (budget.novel(now),),
    "window": lambda now: (budget.window(now),),
    "opened_window": lambda now: (budget.opened_window(now),),
    "recovered": lambda now: (budget.recovered(now),),
    "live_message": lambda now: (budget.live_message(now),),
    "source_stale": lambda now: (system.source_stale(now),),
    "source_back": lambda now: (system.source_back(now),),
    "unpriced": lambda now: (system.unpriced(now),),
    "unmatched": lambda now: (system.unmatched(now),),
    "uncovered": lambda now: (system.uncovered(now),),
    "first_start": lambda now: digest(now, "first_start"),
    "period_closed": lambda now: (system.closed(now),),
    "digest": digest,
    "proposed": lambda now: (system.proposed(now),),
    "action": lambda now: (system.action(now),),
    "test": lambda now: (system.test(now),),
}
