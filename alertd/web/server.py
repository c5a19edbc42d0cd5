"""Serves the application inside the daemon's own event loop: no signal handling and no access log of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import h11
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

#: A request line with all its headers is smaller than this.
_MOST_HEADER_BYTES: Final = 16 * 1024
_MOST_CONNECTIONS: Final = 200
_KEEP_ALIVE_SECONDS: Final = 15
_REQUEST_SECONDS: Final = 10.0


class ListenError(Exception):
    """The address cannot be listened on: which, why, and what to set."""


class _QuietServer(Server):
    """Leaves the signals to the daemon and tells when it takes requests."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


class _Impatient(H11Protocol):
    """Lets a client go that does not finish its request in time: many of those would keep everybody else out."""

    def __init__(self, *args: Any, patience: float, **named: Any) -> None:
        super().__init__(*args, **named)
        self._patience = patience
        self._bound: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        self._expect()
        super().data_received(data)
        if self.conn.their_state not in {h11.IDLE, h11.SEND_BODY}:
            self._be_patient()

    def connection_lost(self, exc: Exception | None) -> None:
        self._be_patient()
        super().connection_lost(exc)

    def _expect(self) -> None:
        """From its first byte on, or from the connection on, a request has so long to be whole."""
        if self._bound is None:
            self._bound = self.loop.call_later(self._patience, self.transport.abort)

    def _be_patient(self) -> None:
        if self._bound is not None:
            self._bound.cancel()
            self._bound = None


class WebServer:
    """One listening socket. `start` gives the address with the real port; `stop` ends within the seconds given."""

    def __init__(self, app: ASGIApp, host: str, port: int, *, patience: float = _REQUEST_SECONDS) -> None:
        """Port 0 takes a free one. A request has `patience` seconds to arrive."""
        self.host = host
        self._patience = patience
        self._app = app
        self._port = port
        self._server: _QuietServer | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Listen and serve; the address, as `http://127.0.0.1:9480`. Raises ListenError."""
        listening = self._listen()
        config = Config(
            self._answer,
            interface="asgi3",
            http=partial(_Impatient, patience=self._patience),  # type: ignore[arg-type] # whatever makes a protocol
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
        )
        self._server = _QuietServer(config)
        self._task = asyncio.create_task(self._server.serve([listening]), name="web")
        await self._server.listening.wait()
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{listening.getsockname()[1]}"

    def replace(self, app: ASGIApp) -> None:
        """Answer further requests by another application, on the same socket."""
        self._app = app

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(ClientDisconnect):  # who hung up before the end of a form is no fault of anybody's
            await self._app(scope, receive, send)

    async def stop(self, seconds: float = 2.0) -> None:
        """Take no more requests, finish those under way, and cut what is left after `seconds`."""
        if self._server is None or self._task is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, int(seconds))
        self._server.should_exit = True
        await asyncio.wait({self._task}, timeout=seconds + 1)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1)

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            return socket.create_server((self.host, self._port), family=family)
        except OSError as error:
            place = f"ALERTD_HTTP__LISTEN={self.host}:{self._port}"
            reason = error.strerror or str(error)
            raise ListenError(f"{place}: {reason}; give another address, or port 0 for a free one") from error
