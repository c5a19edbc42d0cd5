"""When which round runs: each at its own pace, by APScheduler. It knows no round but by its name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, timedelta

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobSubmissionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from alertd.ports import Clock

log = logging.getLogger(__name__)


class Timetable:
    """The rounds that run again and again. `skipped` is told the name of one that took longer than its pace."""

    def __init__(self, clock: Clock, skipped: Callable[[str], None]) -> None:
        self._clock = clock
        self._skipped = skipped
        self._paces: dict[str, timedelta] = {}
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._scheduler.add_listener(self._overrun, EVENT_JOB_MAX_INSTANCES)

    @property
    def names(self) -> frozenset[str]:
        """The rounds that are on it."""
        return frozenset(self._paces)

    def pace_of(self, name: str) -> timedelta | None:
        """How often a round runs; None where it is not on it."""
        return self._paces.get(name)

    def every(self, pace: timedelta, name: str, round_: Callable[[], Awaitable[object]]) -> None:
        """Run a round now, and again at this pace; one at a time."""

        async def run_unless_cut() -> None:
            try:
                await round_()
            except asyncio.CancelledError:
                log.info("%s was cut short: alertd stops", name)

        self._paces[name] = pace
        self._scheduler.add_job(
            run_unless_cut,
            "interval",
            seconds=pace.total_seconds(),
            id=name,
            name=name,
            next_run_time=self._clock.now(),
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
        )

    def hasten(self, name: str) -> None:
        """Run a round at once, if it is on it."""
        if name in self._paces:
            self._scheduler.modify_job(name, next_run_time=self._clock.now())

    def clear(self) -> None:
        """Take every round off it; those under way go on to their end."""
        self._scheduler.remove_all_jobs()
        self._paces.clear()

    def start(self) -> None:
        """Let the rounds begin."""
        self._scheduler.start()

    def pause(self) -> None:
        """Begin no round any more."""
        self._scheduler.pause()

    def end(self) -> None:
        """Let it go; rounds under way are not waited for."""
        self._scheduler.shutdown(wait=False)

    def _overrun(self, event: JobSubmissionEvent) -> None:
        self._skipped(event.job_id)
