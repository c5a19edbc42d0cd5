"""Dedicated endpoints, billed by minute and replica until stopped: their runs from what was seen, and their cost.

Source: Together AI, llms-full.txt of 2025-11-08 ("per minute, even when not in use"). A minute that has begun counts;
a run over a month's end keeps its own minutes, each belonging to the month in which it begins, so months add up.

An endpoint seen running twice in a row ran in between; one that stopped between two looks ran until the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Run:
    """One run from start to stop with a number of replicas; `stopped` is None while it still runs."""

    started: datetime
    stopped: datetime | None = None
    replicas: int = 1


def replica_minutes(runs: Sequence[Run], start: datetime, end: datetime, now: datetime) -> int:
    """The minutes times replicas that began in [start, end), of runs observed until `now`. Times are aware."""
    return sum(run.replicas * _minutes(run, start, min(end, now)) for run in runs)


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


@dataclass(frozen=True, slots=True)
class EndpointObservation:
    """One observation of an endpoint: its replicas, price and labels."""

    name: str
    replicas: int
    cents_per_minute: Decimal
    created: datetime
    labels: Mapping[str, str] = field(default_factory=dict)
    model: str = ""


@dataclass(frozen=True, slots=True)
class RunAtPrice:
    """A run at one price."""

    run: Run
    cents_per_minute: Decimal


@dataclass(frozen=True, slots=True)
class EndpointRun:
    """All runs of one endpoint, oldest first."""

    model: str
    labels: Mapping[str, str]
    runs_at_price: tuple[RunAtPrice, ...] = ()

    def cents(self, start: datetime, end: datetime, now: datetime) -> Decimal:
        """What the minutes that began in [start, end) cost until `now`, exact."""
        return sum(
            (replica_minutes([one.run], start, end, now) * one.cents_per_minute for one in self.runs_at_price),
            Decimal(0),
        )

    @property
    def running(self) -> RunAtPrice | None:
        """The run that has not ended; None without one."""
        return self.runs_at_price[-1] if self.runs_at_price and self.runs_at_price[-1].run.stopped is None else None


def observe(
    lives: Mapping[str, EndpointRun], seen: Sequence[EndpointObservation], last: datetime | None, now: datetime
) -> dict[str, EndpointRun]:
    """The runs after an observation at `now`; the one before was at `last` (None: there was none).

    What is new since the last one has run since it was created; at the very first nobody knows, and it counts from
    now. What is not seen any more has stopped.
    """
    gone = {key: EndpointObservation(key, 0, Decimal(0), now, life.labels, life.model) for key, life in lives.items()}
    found = {**gone, **{one.name: one for one in seen}}
    return {key: _after(lives.get(key), one, last, now) for key, one in found.items()}


def to_json(lives: Mapping[str, EndpointRun], since: datetime) -> dict[str, Any]:
    """The runs as JSON values, without those that ended before `since`."""
    return {
        key: [life.model, dict(life.labels), [_to_json(one) for one in life.runs_at_price if _reaches(one, since)]]
        for key, life in lives.items()
        if any(_reaches(one, since) for one in life.runs_at_price)
    }


def from_json(values: Mapping[str, Any]) -> dict[str, EndpointRun]:
    """The runs that `to_json` wrote."""
    return {
        key: EndpointRun(model, labels, tuple(_from_json(*one) for one in runs_at_price))
        for key, (model, labels, runs_at_price) in values.items()
    }


def _after(life: EndpointRun | None, seen: EndpointObservation, last: datetime | None, now: datetime) -> EndpointRun:
    known = (
        EndpointRun(seen.model, seen.labels) if life is None else replace(life, model=seen.model, labels=seen.labels)
    )
    going = known.running
    if going and (going.run.replicas, going.cents_per_minute) == (seen.replicas, seen.cents_per_minute):
        return known
    runs_at_price = known.runs_at_price
    if going:
        runs_at_price = (*runs_at_price[:-1], replace(going, run=replace(going.run, stopped=now)))
    if seen.replicas:
        new = life is None and last is not None and seen.created > last
        runs_at_price = (
            *runs_at_price,
            RunAtPrice(Run(seen.created if new else now, None, seen.replicas), seen.cents_per_minute),
        )
    return replace(known, runs_at_price=runs_at_price)


def _reaches(one: RunAtPrice, since: datetime) -> bool:
    return one.run.stopped is None or one.run.stopped > since


def _to_json(one: RunAtPrice) -> list[object]:
    run = one.run
    stopped = run.stopped.isoformat() if run.stopped else None
    return [run.started.isoformat(), stopped, run.replicas, str(one.cents_per_minute)]


def _from_json(started: str, stopped: str | None, replicas: int, cents: str) -> RunAtPrice:
    end = datetime.fromisoformat(stopped) if stopped else None
    return RunAtPrice(Run(datetime.fromisoformat(started), end, replicas), Decimal(cents))
