"""Run each round at its own interval, by APScheduler. Rounds are known by name only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobSubmissionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from alertd.ports import Clock

log = logging.getLogger(__name__)


class Scheduler:
    """The rounds that run again and again.

    `skipped` is called with the name of one that took longer than its interval.
    """

    def __init__(self, clock: Clock, skipped: Callable[[str], None]) -> None:
        self._clock = clock
        self._skipped = skipped
        self._intervals: dict[str, timedelta] = {}
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._scheduler.add_listener(self._missed, EVENT_JOB_MAX_INSTANCES)

    @property
    def names(self) -> frozenset[str]:
        """The rounds that are on it."""
        return frozenset(self._intervals)

    def interval_of(self, name: str) -> timedelta | None:
        """How often a round runs; None where it is not on it."""
        return self._intervals.get(name)

    def every(self, interval: timedelta, name: str, round_: Callable[[], Awaitable[object]]) -> None:
        """Run a round now, and again at this interval; one at a time."""

        async def run_unless_cut() -> None:
            try:
                await round_()
            except asyncio.CancelledError:
                log.info("%s was cut short: alertd stops", name)

        self._intervals[name] = interval
        self._scheduler.add_job(
            run_unless_cut,
            "interval",
            seconds=interval.total_seconds(),
            id=name,
            name=name,
            next_run_time=self._clock.now(),
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
        )

    def run_now(self, name: str) -> None:
        """Run a round at once, if it is on it."""
        if name in self._intervals:
            self._scheduler.modify_job(name, next_run_time=self._clock.now())

    def run_by(self, name: str, at: datetime) -> None:
        """Run a round at this time, or earlier where it is due earlier; nothing where it is not on it."""
        job = self._scheduler.get_job(name)
        if job is not None and job.next_run_time is not None and at < job.next_run_time:
            self._scheduler.modify_job(name, next_run_time=at)

    def clear(self) -> None:
        """Take every round off it; those under way go on to their end."""
        self._scheduler.remove_all_jobs()
        self._intervals.clear()

    def start(self) -> None:
        """Let the rounds begin."""
        self._scheduler.start()

    def pause(self) -> None:
        """Begin no round any more."""
        self._scheduler.pause()

    def end(self) -> None:
        """Let it go; rounds under way are not waited for."""
        self._scheduler.shutdown(wait=False)

    def _missed(self, event: JobSubmissionEvent) -> None:
        self._skipped(event.job_id)
