"""Upkeep: what is old is rolled up, forgotten or deleted, in steps short enough that nobody waits for them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from alertd.ports import Clock, Store

log = logging.getLogger(__name__)

#: Usage older than this is kept by the quarter of an hour, the finest border that a zone's midnight falls on.
_FINE: Final = timedelta(days=2)
_COARSE_SECONDS: Final = 900


class Maintenance:
    """`tick` is one round. `obsolete_before` says which usage to delete; None where all is kept for good."""

    def __init__(self, store: Store, clock: Clock, obsolete_before: Callable[[datetime], datetime | None]) -> None:
        self._store = store
        self._clock = clock
        self._obsolete_before = obsolete_before

    async def tick(self) -> None:
        now = self._clock.now()
        await self._store.prune(now)
        while await self._store.roll_up(now - _FINE, _COARSE_SECONDS):
            pass
        await self._forget(now)

    async def _forget(self, now: datetime) -> None:
        """Delete usage that is older than it is to be kept; what an evaluation reads stays."""
        before, deleted = self._obsolete_before(now), 0
        if before is None:
            return
        while gone := await self._store.forget(before):
            deleted += gone
        if deleted:
            log.info("deleted %d rows of usage and series: what ended before %s", deleted, f"{before:%Y-%m-%d}")
