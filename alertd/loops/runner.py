"""Run a round, time it, count it, and log its errors; the only place that catches unexpected exceptions of a loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from alertd.core.loop_stats import LoopStats
from alertd.ports import Clock, SourceError, StoreDamagedError, StoreError

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Runner:
    """Runs rounds by name, one at a time each. A round that is asked for while one runs is counted as skipped."""

    clock: Clock
    rounds: dict[str, LoopStats] = field(default_factory=dict)
    #: The rounds under way, by name, each with what is set when it ends.
    _running: dict[str, asyncio.Event] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    closing: bool = False
    #: Called when the database file is broken, which no further round can repair.
    damaged: Callable[[StoreDamagedError], None] = lambda _: None

    async def run(self, name: str, tick: Callable[[], Awaitable[object]]) -> bool:
        """One round; True where it went well. Never raises but to be cancelled."""
        seen = self.rounds.setdefault(name, LoopStats(name))
        if name in self._running or self.closing:
            seen.skipped += 1
            return False
        task = asyncio.current_task()
        self._running[name] = asyncio.Event()
        if task is not None:
            self._tasks.add(task)
        begin = self.clock.now()
        try:
            await tick()
        except (SourceError, StoreError) as error:
            seen.failures += 1
            seen.reasons[type(error).__name__] += 1
            if seen.last_error != str(error):
                log.warning("%s: %s", name, error)
            seen.last_error = str(error)
            if isinstance(error, StoreDamagedError):
                self.damaged(error)
            return False
        except Exception as error:
            seen.failures += 1
            seen.reasons[type(error).__name__] += 1
            seen.last_error = f"{type(error).__name__}: {error}"
            log.exception("%s failed unexpectedly; it goes on with the next round", name)
            return False
        else:
            seen.last_error = ""
            return True
        finally:
            self._running.pop(name).set()
            if task is not None:
                self._tasks.discard(task)
            seen.runs += 1
            end = self.clock.now()
            seen.last_seconds = (end - begin).total_seconds()
            seen.durations.add(seen.last_seconds)
            seen.last_end = end

    def forget(self, names: Iterable[str]) -> None:
        """Forget the figures of loops that no longer exist."""
        for name in names:
            self.rounds.pop(name, None)

    async def outlast_one(self, name: str) -> None:
        """Wait for the round of this name that is running now, if one is."""
        if name in self._running:
            await self._running[name].wait()

    async def outlast(self) -> None:
        """Wait for the rounds that are running now, not for those that begin meanwhile."""
        for ended in list(self._running.values()):
            await ended.wait()

    async def drain(self, seconds: float) -> None:
        """Take no more rounds and wait for those under way; after `seconds` they are cancelled."""
        self.closing = True
        tasks = {task for task in self._tasks if task is not asyncio.current_task()}
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=1)
