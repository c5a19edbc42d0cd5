"""From raw samples of cumulative counters, what was used: resets, births, gaps. Nothing here reads a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alertd.core.usage import Labels, Line


@dataclass(frozen=True, slots=True)
class CounterSamples:
    """The samples of one raw series in one reading, oldest first, and the ledger series that it feeds.

    `fingerprint` identifies the raw series (all its labels) within its source. `points` are (Unix seconds, value as
    text or number). `target` names the scrape target whose other scrapes tell a birth from a first sight. `created` is
    the counter's start (`_created`, or the process start) in Unix seconds, None where unknown.
    """

    fingerprint: str
    line: Line
    labels: Labels
    points: Sequence[tuple[float, str]]
    target: str = ""
    created: float | None = None


@dataclass(frozen=True, slots=True)
class CounterState:
    """Where a raw series stands: its last sample. Kept in the ledger beside the cursor."""

    at: float
    value: int
    created: float | None = None


@dataclass(frozen=True, slots=True)
class Increment:
    """A quantity to be added to one ledger series in the bucket [start, start + width), in Unix seconds."""

    line: Line
    labels: Labels
    start: int
    width: int
    quantity: int
