"""Maintenance: what is old is rolled up, forgotten or deleted, in steps short enough that nobody waits for them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from alertd.core.evaluation.state import State
from alertd.core.evaluation.system_alerts import OTHER_DAEMON, OtherDaemon, announce_other_daemon
from alertd.core.evaluation.values import Decisions
from alertd.loops.evaluate import Evaluate
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


class OtherDaemonCheck:
    """Announces that two daemons use one SQLite file, and logs it in both. `place` is the database without secrets."""

    def __init__(self, store: Store, evaluate: Evaluate, clock: Clock, place: str) -> None:
        self._store, self._evaluate, self._clock, self._place = store, evaluate, clock, place
        self._is_shared = False

    async def tick(self) -> None:
        contended = await self._store.is_contended()

        def say(state: State) -> Decisions:
            decisions = announce_other_daemon(self._place, state, self._clock.now(), contended=contended)
            record = OTHER_DAEMON.get(State({**state.records, **decisions.changes}, {})) or OtherDaemon()
            if record.since is not None and not self._is_shared:
                log.warning("another alertd uses %s: stop one; one SQLite file serves one alertd", self._place)
            self._is_shared = record.since is not None
            return decisions

        await self._evaluate.announce(say)
