"""Reading `Event.details`, whose values are Decimal and datetime before the outbox and text after it.

Refuses nothing: what is absent or unreadable is None, and the sentence that needs it is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from alertd.core.events import Event


def decimal(event: Event, key: str) -> Decimal | None:
    """A figure of the event's details."""
    return as_decimal(event.details.get(key))


def as_decimal(value: Any) -> Decimal | None:
    """A finite figure, or None."""
    if value is None or isinstance(value, bool):
        return None
    try:
        read = Decimal(str(value))
    except InvalidOperation:
        return None
    return read if read.is_finite() else None


def instant(event: Event, key: str) -> datetime | None:
    """An aware instant of the event's details."""
    return as_instant(event.details.get(key))


def as_instant(value: Any) -> datetime | None:
    """An aware instant, from itself or its ISO text; UTC where the text names no offset."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def words(event: Event, key: str) -> str:
    """A text of the event's details, not cleaned; "" where absent."""
    value = event.details.get(key)
    return "" if value is None else str(value)


def table(event: Event, key: str) -> Mapping[str, Any]:
    """A mapping of the event's details; empty where absent."""
    value = event.details.get(key)
    return value if isinstance(value, Mapping) else {}


def rows(event: Event, key: str) -> Sequence[Any]:
    """A list of the event's details; empty where absent."""
    value = event.details.get(key)
    return value if isinstance(value, (list, tuple)) else ()
