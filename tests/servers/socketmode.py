"""A WebSocket as Slack's Socket Mode has it, in a thread: it greets, hands out envelopes, disconnects when told to."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any, Final, Self

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

APP_ID: Final = "A0000TEST"


class SocketServer:
    """Listens on a free port of 127.0.0.1 within a `with`.

    `opened` counts all connections there were, `acknowledged` holds when each envelope id came back (seconds since it
    was sent); `alive` are the connections that are open.
    """

    def __init__(self) -> None:
        self.alive: list[ServerConnection] = []
        self.opened = 0
        self.acknowledged: dict[str, float] = {}
        self._sent: dict[str, float] = {}
        self._numbers = count(1)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}/link/?ticket=one-use"

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(5)

    def press(self, payload: Any, *, times: int = 1, on: int = 0, envelope_id: str = "", **more: Any) -> str:
        """Send an envelope over a connection, the same one so often; its id."""
        number = envelope_id or f"envelope-{next(self._numbers)}"
        body = {"type": "interactive", "envelope_id": number, "payload": payload, "accepts_response_payload": False}
        self._sent[number] = time.monotonic()
        for _ in range(times):
            self.say({**body, **more}, on=on)
        return number

    def say(self, body: Any, *, on: int = 0) -> None:
        """Send anything: an object as JSON, text and bytes as they are."""
        frame = body if isinstance(body, (str, bytes)) else json.dumps(body)
        self._do(self.alive[on].send(frame))

    def disconnect(self, reason: str, *, on: int = 0) -> None:
        """Tell a connection that it will end."""
        self.say({"type": "disconnect", "reason": reason}, on=on)

    def drop(self, *, on: int = 0) -> None:
        """End a connection without a word."""
        self._loop.call_soon_threadsafe(self.alive[on].transport.abort)

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(5)

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve(ready.set))
        self._loop.close()

    async def _serve(self, ready: Callable[[], None]) -> None:
        self._end = asyncio.Event()
        async with serve(self._talk, "127.0.0.1", 0, close_timeout=0.2) as server:
            self._port = next(iter(server.sockets)).getsockname()[1]
            ready()
            await self._end.wait()

    async def _talk(self, connection: ServerConnection) -> None:
        self.opened += 1
        await connection.send(
            json.dumps({"type": "hello", "num_connections": 1, "connection_info": {"app_id": APP_ID}})
        )
        self.alive.append(connection)
        try:
            async for frame in connection:
                number = json.loads(frame)["envelope_id"]
                self.acknowledged.setdefault(number, time.monotonic() - self._sent.get(number, 0.0))
        except ConnectionClosed:
            pass
        finally:
            self.alive.remove(connection)
