"""A call after every good round, to whatever notices that they have stopped. Its address is a secret."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from alertd.wire.http import MEGABYTE, Access, Http

_TIMEOUT: Final = timedelta(seconds=10)


class Heartbeat:
    """One address that is called with GET; what it answers is not read beyond its status."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = Http(Access(timeout=_TIMEOUT, secret_path=True))

    async def beat(self) -> None:
        """One call. Raises HttpProblem where it was not taken; nothing is tried again, the next round is near."""
        await self._http.send("GET", self._url, limit=MEGABYTE, status_tells=True)

    async def close(self) -> None:
        """Let the connection go."""
        await self._http.close()
