"""Dedup keys: an alert is announced once per key. Only this file formats and parses them; no two labels collide.

budget/scope/period                                what the keys of a budget status begin with
budget/scope/period/basis/level/amount or episode  a threshold
source/name/what/episode                           a source that went stale, or returned
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from alertd.core.budgets import Scope

_STATUS_PARTS: Final = 3
_ALERT_PARTS: Final = 6
_SOURCE_PARTS: Final = 4
_SOURCE: Final = "source"
#: What parts a key, the labels of a scope, and a label from its value; the escape comes first.
_RESERVED: Final = (("%", "%25"), ("/", "%2F"), (",", "%2C"), ("=", "%3D"))


@dataclass(frozen=True, slots=True)
class StatusKey:
    """One budget, scope and period. `period` is its first day, or its first instant for periods under a day."""

    budget: str
    scope: Scope
    period: str

    def __str__(self) -> str:
        return status_name(self.budget, self.scope, self.period)

    @property
    def day(self) -> date | None:
        """The day on which the period begins; None where the key is of no calendar period."""
        try:
            return datetime.fromisoformat(self.period).date()
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class AlertKey:
    """A threshold of one budget, scope and period. `last` is the amount in force, or the number of the episode."""

    status: StatusKey
    basis: str
    level: str
    last: str

    def __str__(self) -> str:
        return f"{self.status}/{escape(self.basis)}/{escape(self.level)}/{escape(self.last)}"


@dataclass(frozen=True, slots=True)
class SourceKey:
    """A source's outage (`stale`) or return (`back`), by the number of its episode."""

    source: str
    what: str
    episode: int

    def __str__(self) -> str:
        return f"{_SOURCE}/{escape(self.source)}/{self.what}/{self.episode}"


def status_name(budget: str, scope: Scope, period: str) -> str:
    """`budget/scope/first day`, as records and keys name a budget status."""
    return f"{budget_scope(budget, scope)}/{escape(period)}"


def budget_scope(budget: str, scope: Scope) -> str:
    """`budget/scope`: what outlives a period."""
    return f"{escape(budget)}/{scope_key(scope)}"


def alert_key(status: str, basis: str, level: Decimal, last: Decimal | int) -> str:
    """The key of a threshold of a named budget status; numbers as plain decimals, so that 80 and 80.0 are one."""
    number = _number(last) if isinstance(last, Decimal) else str(last)
    return f"{status}/{basis}/{_number(level)}/{number}"


def summary_key(status: str, what: str) -> str:
    """The key of a summary of a named budget status: `first`, `closed`."""
    return f"{status}/summary/{what}"


def digest_key(status: str, day: date) -> str:
    """The key of a budget status in the digest of a day."""
    return f"{status}/digest/{day.isoformat()}"


def recovered_key(alert: str) -> str:
    """The key of the recovery from what was announced under `alert`."""
    return f"{alert}/recovered"


def repeat_key(alert: str, what: str, number: int) -> str:
    """The key of a repeat of what was announced under `alert`: "reminder", "escalation", "snooze over"."""
    return f"{alert}/{what.replace(' ', '-')}/{number}"


def monthly_key(kind: str, now: datetime, *names: str) -> str:
    """The key of what is announced once a calendar month: `drift/acme/2026-11`."""
    return "/".join((kind, *map(escape, names), f"{now:%Y-%m}"))


def named_key(kind: str, *names: str) -> str:
    """The key of what is announced once for ever: `unpriced/acme/llama`."""
    return "/".join((kind, *map(escape, names)))


@lru_cache(maxsize=65_536)
def scope_key(scope: Scope) -> str:
    """A scope inside a key; without a label and with an empty one is the same: `team=`."""
    return ",".join(f"{escape(name)}={escape(value or '')}" for name, value in scope)


def parse_status(text: str) -> StatusKey | None:
    """The budget, scope and period that a key (or a status name) begins with; None for a key of another kind."""
    parts = text.split("/", _STATUS_PARTS)[:_STATUS_PARTS]
    if len(parts) < _STATUS_PARTS or parts[0] == _SOURCE:
        return None
    scope = _scope(parts[1])
    return None if scope is None else StatusKey(unquote(parts[0]), scope, unquote(parts[2]))


def budget_of(status: str) -> str:
    """The budget of a named budget status; "" where it is no such name."""
    found = parse_status(status)
    return "" if found is None else found.budget


def parse_alert(text: str) -> AlertKey | None:
    """A threshold's key; None for a key of another kind."""
    parts = text.split("/")
    status = parse_status(text)
    if status is None or len(parts) != _ALERT_PARTS:
        return None
    basis, level, last = map(unquote, parts[_STATUS_PARTS:])
    return AlertKey(status, basis, level, last)


def parse_source(text: str) -> SourceKey | None:
    """A source's key; None for a key of another kind."""
    parts = text.split("/")
    if len(parts) != _SOURCE_PARTS or parts[0] != _SOURCE or not parts[3].isdigit():
        return None
    return SourceKey(unquote(parts[1]), parts[2], int(parts[3]))


def announced_of(announced: Iterable[str], status: str) -> list[str]:
    """The keys of thresholds that were announced for one budget status."""
    return [key for key in announced if key.startswith(f"{status}/") and parse_alert(key) is not None]


def announced_since(announced: Mapping[str, datetime], since: datetime) -> Mapping[str, int]:
    """How many thresholds were announced since then, by the name of their budget status."""
    found: dict[str, int] = {}
    for key, at in announced.items():
        if at >= since and (alert := parse_alert(key)) is not None:
            found[str(alert.status)] = found.get(str(alert.status), 0) + 1
    return found


def escape(text: str) -> str:
    """A part of a key without what parts keys."""
    for character, written in _RESERVED:
        text = text.replace(character, written)
    return text


def _scope(text: str) -> Scope | None:
    if not text:
        return ()
    pairs = [pair.split("=") for pair in text.split(",")]
    if any(len(pair) != 2 for pair in pairs):  # noqa: PLR2004 - a label and its value
        return None
    return tuple((unquote(name), unquote(value) or None) for name, value in pairs)


def _number(value: Decimal) -> str:
    return f"{value.normalize():f}"
