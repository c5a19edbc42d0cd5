"""The record of an evaluation: what was seen, computed and decided for each budget status, with the rule that held.

The daemon writes it after each evaluation; `alertd explain` and `alertd status` read it, so that they never contradict.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec


class ThresholdRecord(msgspec.Struct, frozen=True):
    """One threshold: whether it fires, on which figures, what holds an alert back, and when it was announced last."""

    threshold: str
    firing: bool | None
    because: str
    held: tuple[str, ...] = ()
    announced_at: datetime | None = None


class StatusRecord(msgspec.Struct, frozen=True):
    """One budget, scope and period as it was evaluated at `at`.

    `answer` is what the API says of it, `event` its figures as messages see them; `rank` orders all, the worst first.
    """

    name: str
    at: datetime
    rank: int
    answer: dict[str, object]
    event: dict[str, object]
    price_version: str
    thresholds: tuple[ThresholdRecord, ...] = ()
    notes: tuple[str, ...] = ()


def encode_records(records: Iterable[StatusRecord]) -> str:
    """The records of one budget as a store keeps them."""
    return msgspec.json.encode(list(records)).decode()


def decode_records(text: str) -> list[StatusRecord]:
    """The records of one budget as they were written."""
    return msgspec.json.decode(text, type=list[StatusRecord])
