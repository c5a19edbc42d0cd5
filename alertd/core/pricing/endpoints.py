"""A dedicated endpoint's life as minutes to be billed: by the minute and replica, used or not, until it is stopped.

Source: Together AI, llms-full.txt of 2025-11-08 ("per minute, even when not in use"). A minute that has begun counts;
a run over a month's end keeps its own minutes, each belonging to the month in which it begins, so months add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Final

from alertd.core.usage import Line, Usage

_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Run:
    """One run from start to stop with a number of replicas; `stopped` is None while it still runs."""

    started: datetime
    stopped: datetime | None = None
    replicas: int = 1


def runs_of(events: Iterable[tuple[datetime, int]]) -> tuple[Run, ...]:
    """The runs that a history of replica counts shows, oldest first: a count of 0 is a stop, a new count a new run."""
    runs: list[Run] = []
    replicas, since = 0, None
    for at, count in sorted(events):
        if count == replicas:
            continue
        if since is not None and replicas:
            runs.append(Run(since, at, replicas))
        replicas, since = count, at
    if replicas and since is not None:
        runs.append(Run(since, None, replicas))
    return tuple(runs)


def replica_minutes(runs: Sequence[Run], start: datetime, end: datetime, now: datetime) -> int:
    """The minutes times replicas that began in [start, end), of a life seen until `now`. Times are aware."""
    return sum(run.replicas * _minutes(run, start, min(end, now)) for run in runs)


def endpoint_usage(line: Line, runs: Sequence[Run], borders: Sequence[datetime], now: datetime) -> tuple[Usage, ...]:
    """The usage of one endpoint by window (between neighbouring borders), to be rated like any other meter."""
    return tuple(Usage(line, start, end, replica_minutes(runs, start, end, now)) for start, end in pairwise(borders))


def per_minute(cents_per_hour: Decimal) -> Decimal:
    """The price of a minute, in cents, of an interface that names the hour."""
    return cents_per_hour / 60


def _minutes(run: Run, start: datetime, end: datetime) -> int:
    """How many of a run's minutes begin in [start, end): the k-th begins k minutes after the run did."""
    last = end if run.stopped is None else min(end, run.stopped)
    return max(_begun(run.started, last) - _begun(run.started, min(start, last)), 0)


def _begun(started: datetime, at: datetime) -> int:
    """The minutes of a run that began before an instant."""
    return max(-(-(at - started) // _MINUTE), 0)
