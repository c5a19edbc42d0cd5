"""Sample events of every kind: what `alertd test-notify` sends and what the gallery shows. All figures are made up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from alertd.core.events import Event
from alertd.core.messages.samples import standing, told
from alertd.core.messages.samples.told import digest

__all__ = ["NOW", "SAMPLES", "digest"]

#: The instant that pictures of samples are taken at: a Saturday morning in Berlin.
NOW: Final = datetime(2026, 11, 21, 7, 5, tzinfo=UTC)

#: What `--event` takes, and what the gallery shows, in its order.
SAMPLES: Final[Mapping[str, Callable[[datetime], tuple[Event, ...]]]] = {
    "actual": lambda now: (standing.actual(now),),
    "ahead": lambda now: (standing.ahead(now),),
    "over": lambda now: (standing.over(now),),
    "forecast": lambda now: (standing.forecast(now),),
    "certain": lambda now: (standing.certain(now),),
    "burn_rate": lambda now: (standing.burn_rate(now),),
    "anomaly": lambda now: (standing.anomaly(now),),
    "balance": lambda now: (standing.balance(now),),
    "recovered": lambda now: (standing.recovered(now),),
    "living": lambda now: (standing.living(now),),
    "source_stale": lambda now: (told.source_stale(now),),
    "source_back": lambda now: (told.source_back(now),),
    "unpriced": lambda now: (told.unpriced(now),),
    "unmatched": lambda now: (told.unmatched(now),),
    "uncovered": lambda now: (told.uncovered(now),),
    "first_start": lambda now: digest(now, "first_start"),
    "period_closed": lambda now: (told.closed(now),),
    "digest": digest,
    "proposed": lambda now: (told.proposed(now),),
    "action": lambda now: (told.action(now),),
    "test": lambda now: (told.test(now),),
}
