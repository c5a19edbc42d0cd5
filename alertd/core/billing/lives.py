"""What is billed by the minute and seen only now and then: its runs, and what they cost. Reads no clock, asks nobody.

What ran at one look and at the next is taken to have run in between; what stopped between two looks, until the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from alertd.core.pricing.endpoints import Run, replica_minutes


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at something that may run: how many replicas at which price, and what it can be attributed by."""

    name: str
    replicas: int
    cents_per_minute: Decimal
    born: datetime
    labels: Mapping[str, str] = field(default_factory=dict)
    model: str = ""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A run at one price."""

    run: Run
    cents_per_minute: Decimal


@dataclass(frozen=True, slots=True)
class Life:
    """All runs of one endpoint, oldest first."""

    model: str
    labels: Mapping[str, str]
    stretches: tuple[Stretch, ...] = ()

    def cents(self, start: datetime, end: datetime, now: datetime) -> Decimal:
        """What the minutes that began in [start, end) cost until `now`, exact."""
        return sum(
            (replica_minutes([one.run], start, end, now) * one.cents_per_minute for one in self.stretches), Decimal(0)
        )

    @property
    def running(self) -> Stretch | None:
        """The run that goes on."""
        return self.stretches[-1] if self.stretches and self.stretches[-1].run.stopped is None else None


def looked(lives: Mapping[str, Life], seen: Sequence[Seen], last: datetime | None, now: datetime) -> dict[str, Life]:
    """The lives after a look at `now`, the one before having been at `last` (None: this is the first).

    What is new since the last look has run since it was born; at the very first look nobody knows, and it counts from
    now. What is not seen any more has stopped.
    """
    gone = {key: Seen(key, 0, Decimal(0), now, life.labels, life.model) for key, life in lives.items()}
    found = {**gone, **{one.name: one for one in seen}}
    return {key: _after(lives.get(key), one, last, now) for key, one in found.items()}


def to_json(lives: Mapping[str, Life], since: datetime) -> dict[str, Any]:
    """The lives as JSON values, without runs that ended before `since`."""
    return {
        key: [life.model, dict(life.labels), [_to_json(one) for one in life.stretches if _reaches(one, since)]]
        for key, life in lives.items()
        if any(_reaches(one, since) for one in life.stretches)
    }


def from_json(values: Mapping[str, Any]) -> dict[str, Life]:
    """What `to_json` wrote."""
    return {
        key: Life(model, labels, tuple(_from_json(*one) for one in stretches))
        for key, (model, labels, stretches) in values.items()
    }


def _after(life: Life | None, seen: Seen, last: datetime | None, now: datetime) -> Life:
    known = Life(seen.model, seen.labels) if life is None else replace(life, model=seen.model, labels=seen.labels)
    going = known.running
    if going and (going.run.replicas, going.cents_per_minute) == (seen.replicas, seen.cents_per_minute):
        return known
    stretches = known.stretches
    if going:
        stretches = (*stretches[:-1], replace(going, run=replace(going.run, stopped=now)))
    if seen.replicas:
        new = life is None and last is not None and seen.born > last
        stretches = (*stretches, Stretch(Run(seen.born if new else now, None, seen.replicas), seen.cents_per_minute))
    return replace(known, stretches=stretches)


def _reaches(one: Stretch, since: datetime) -> bool:
    return one.run.stopped is None or one.run.stopped > since


def _to_json(one: Stretch) -> list[Any]:
    run = one.run
    stopped = run.stopped.isoformat() if run.stopped else None
    return [run.started.isoformat(), stopped, run.replicas, str(one.cents_per_minute)]


def _from_json(started: str, stopped: str | None, replicas: int, cents: str) -> Stretch:
    end = datetime.fromisoformat(stopped) if stopped else None
    return Stretch(Run(datetime.fromisoformat(started), end, replicas), Decimal(cents))
