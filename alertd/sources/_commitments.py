"""The configured commitments (ALERTD_COMMITMENTS) as a source, like a bill.

Past charges go into the ledger hour by hour; future ones are reported as commitments. No request is made.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Final

from alertd.core.billing.commitments import charged_between
from alertd.core.messages.format import per_unit, plural
from alertd.core.money import Money
from alertd.core.usage import BilledCost, Committed
from alertd.ports import Look, Reading

NAME: Final = "commitments"
_HOUR: Final = timedelta(hours=1)
#: What is held already is written again so far back: nothing of it changes but the hour that goes on.
_AGAIN: Final = timedelta(hours=2)


class Commitments:
    """All commitments of the configuration."""

    def __init__(self, committed: Sequence[Committed], interval: timedelta) -> None:
        self.name = NAME
        self.interval, self.delay, self.stale_after = interval, timedelta(0), timedelta(days=1)
        self._committed = committed
        self._digest = sha256(repr(committed).encode()).hexdigest()[:16]

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """One reading: the charges of the hours since the last one, or of all since `since` where anything changed."""
        begun = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        start = begun
        known = _cursor(cursor)
        if known and known[0] == self._digest and known[1] <= begun:
            begun = known[1]
            start = max(begun, min(known[2], now).replace(minute=0, second=0, microsecond=0) - _AGAIN)
        end = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + _HOUR
        yield Reading(
            json.dumps([self._digest, begun.isoformat(), now.isoformat()]),
            now,
            records=tuple(self._charges(start, end, now)),
            window=(start, end),
            commitments=tuple(replace(one, start=_since(one, begun)) for one in self._committed),
        )

    async def look(self, now: datetime) -> Look:
        """The number of commitments and the charge of each, as text."""
        texts = (
            f"{one.name} {one.cost.amount:,.2f} {one.cost.currency} {per_unit(one.per)}" for one in self._committed
        )
        return Look(f"{plural(len(self._committed), 'commitment')}: {', '.join(texts)}", now)

    async def close(self) -> None:
        """Does nothing: there is no connection."""

    def _charges(self, start: datetime, end: datetime, now: datetime) -> Iterator[BilledCost]:
        for one in self._committed:
            hour = start
            while hour < end:
                amount = charged_between(one, hour, min(hour + _HOUR, now))
                if amount != Decimal(0):
                    cost = Money(amount, one.cost.currency)
                    yield BilledCost(one.provider, hour, hour + _HOUR, cost, one.labels, one.model, NAME, final=True)
                hour += _HOUR


def _since(one: Committed, begun: datetime) -> datetime:
    """The first of its hours that is held."""
    return one.start if one.start >= begun else one.start + (begun - one.start) // _HOUR * _HOUR


def _cursor(text: str | None) -> tuple[str, datetime, datetime] | None:
    """The configuration that was charged, since when, and up to when; None for what this release did not write."""
    try:
        digest, begun, read = json.loads(text or "")
        return str(digest), datetime.fromisoformat(begun), datetime.fromisoformat(read)
    except (ValueError, TypeError):
        return None
