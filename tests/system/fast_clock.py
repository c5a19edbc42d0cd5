"""A clock that runs faster than the machine's and jumps: libfaketime, below the real daemon, which knows nothing of it.

Only the wall clock is another; what waits (the monotonic clock) waits real seconds. So a lease of two minutes ends
within seconds, and a request still has its time.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
#: What a test of it has to be marked with.
MARKS = [
    pytest.mark.integration,
    pytest.mark.skipif(LIBRARY is None, reason="no libfaketime: install Debian's faketime"),
]


class FastClock:
    """The time that the daemons of one test live in."""

    def __init__(self, file: Path, start: datetime, speed: int) -> None:
        self._file, self._start, self._speed = file, start, speed
        self._began = time.monotonic()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=(time.monotonic() - self._began) * self._speed)

    def jump(self, by: timedelta) -> None:
        """Set the clock, of every daemon that runs and of those to come."""
        self._start += by
        self.write()

    def write(self) -> None:
        """Before a daemon starts: a new process counts from what is written."""
        part = self._file.with_suffix(".part")
        part.write_text(f"@{self.now():%Y-%m-%d %H:%M:%S} x{self._speed}\n", encoding="utf-8")
        part.rename(self._file)

    def environment(self) -> dict[str, str]:
        """What a process needs to live in it."""
        return {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
            "TZ": "UTC",
        }
