"""One clock that nobody waits for: an event loop on virtual time, and everything in the process that asks for the time.

`run_until` lets the loop go on to an instant. Where nothing is ready the time moves to the next timer, at once. Threads
are not used: what is handed to an executor runs in place, so that one seed decides the order of everything.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

import time_machine

from tests.simulation.machines import PROCESS

Result = TypeVar("Result")
#: Virtual seconds that two timers may differ by and still be due together.
_RESOLUTION: Final = 1e-9
#: The time moves on by this at least: what waits for less than a clock can show would wait again and again.
_STEP: Final = 1e-6


class StandstillError(Exception):
    """Nothing is ready and no timer is set: whoever waits would wait for ever."""


class _NoWaiting(selectors.SelectSelector):
    """Looks at the sockets without waiting, and moves the time on instead."""

    def __init__(self, advance: Callable[[float], None]) -> None:
        super().__init__()
        self._advance = advance

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise StandstillError
        if timeout > 0:
            self._advance(max(timeout, _STEP))
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is virtual. It uses no socket and no thread."""

    def __init__(self, start: datetime) -> None:
        self._seconds = 0.0
        self._epoch = start.timestamp()
        self._machine = time_machine.travel(start, tick=False)
        self._traveller = self._machine.start()
        super().__init__(_NoWaiting(self._advance))
        self._clock_resolution = _RESOLUTION

    def time(self) -> float:
        return self._seconds

    @property
    def now(self) -> datetime:
        """The true time of the world."""
        return datetime.fromtimestamp(self._epoch + self._seconds, UTC)

    def run_in_executor(self, executor: Any, func: Callable[..., Result], *args: Any) -> asyncio.Future[Result]:  # type: ignore[override]
        done: asyncio.Future[Result] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is whoever awaits it to handle, as with a thread
            done.set_exception(error)
        return done

    def add_signal_handler(self, sig: int, callback: Callable[..., object], *args: Any) -> None:
        """Kept with the simulated process, for `Process.signal`."""
        PROCESS.get().listen(sig, partial(callback, *args))

    def _write_to_self(self) -> None:
        """There is no other thread to be woken from."""

    def close(self) -> None:
        if not self.is_closed():
            self._machine.stop()
        super().close()

    def _advance(self, seconds: float) -> None:
        self._seconds += seconds
        self._traveller.shift(seconds)


def run(start: datetime, story: Callable[[VirtualLoop], Coroutine[Any, Any, Result]]) -> Result:
    """The outcome of a story in virtual time that begins at `start`; what it leaves behind is cancelled."""
    loop = VirtualLoop(start)
    loop.set_exception_handler(_left_behind)
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(story(loop))
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        asyncio.set_event_loop(None)
        loop.close()


def _left_behind(_loop: asyncio.AbstractEventLoop, _context: Mapping[str, Any]) -> None:
    """A killed daemon's tasks end without anybody to hear of it."""
