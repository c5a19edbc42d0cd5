"""The HTTP server and its application: probes, metrics, JSON API and pages over one View."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import h11
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from alertd.core.addresses import is_loopback, picture_key
from alertd.web.access import MCP, PROBES, AccessRules, Gate
from alertd.web.allowance import PATHS, Allowance, CurrentIndex, of_proxy
from alertd.web.api import Api
from alertd.web.identity import Identities, Network, Person
from alertd.web.layout import POLICY, form
from alertd.web.pages import Pages
from alertd.web.pictures import Pictures
from alertd.web.questions import Questions
from alertd.web.view import BudgetStatuses, View
from alertd.web.writes import roles_to_write
from alertd.web.writes import routes as write_routes

#: A request line with all its headers is smaller than this.
_MOST_HEADER_BYTES: Final = 16 * 1024
#: Connections on which no request is being answered. One more, and the oldest of the busiest address is closed, once
#: its request has had time to arrive: it may be a probe that stood in line behind hundreds of silent ones.
_MOST_IDLE: Final = 256
_GRACE_SECONDS: Final = 0.25
#: Beyond this, or half of the files that the process may have open, there is no such grace.
_MOST_OPEN: Final = 2000
#: Requests that are answered at the same time; the probes are answered beside them.
_MOST_REQUESTS: Final = 200
_KEEP_ALIVE_SECONDS: Final = 15
_FIRST_BYTE_SECONDS: Final = 1.0
_REQUEST_SECONDS: Final = 10.0

#: Answered at once, however many other requests are under way.
_NEVER_BUSY: Final = PROBES | PATHS
_BUSY: Final = PlainTextResponse("busy; try again in a second", 503, {"retry-after": "1"})


class ListenError(Exception):
    """The address cannot be listened on: which, why, and what to set."""


class _QuietServer(Server):
    """Leaves the signals to the daemon and reports when it accepts requests."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


class _IdleConnections:
    """The connections on which no request is being answered, oldest first, bounded by closing the oldest ones.

    The address that holds the most loses first, so that one client cannot keep the others out.
    """

    def __init__(self) -> None:
        #: By address, each with since when it is idle, by the loop's clock.
        self._of_address: dict[str, dict[_BoundedProtocol, float]] = {}
        self._count = 0
        self._most = min(_MOST_OPEN, max(_MOST_IDLE, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))

    def add(self, connection: _BoundedProtocol) -> None:
        now = connection.loop.time()
        own = self._of_address.setdefault(connection.address, {})
        self._count += connection not in own
        own[connection] = now
        while self._count > _MOST_IDLE:
            busiest = max(self._of_address.values(), key=len)
            oldest, since = next(iter(busiest.items()))
            if now - since < _GRACE_SECONDS and self._count <= self._most:
                break
            self.remove(oldest)
            oldest.transport.abort()

    def remove(self, connection: _BoundedProtocol) -> None:
        own = self._of_address.get(connection.address, {})
        if connection in own:
            del own[connection]
            self._count -= 1
        if not own:
            self._of_address.pop(connection.address, None)


class _BoundedProtocol(H11Protocol):
    """Closes the connection of a client that does not begin its request, or does not finish it, in time."""

    def __init__(self, *args: Any, patience: float, idle: _IdleConnections, **named: Any) -> None:
        super().__init__(*args, **named)
        self._patience, self._idle = patience, idle
        self._begun = 0.0
        self._timeout: asyncio.TimerHandle | None = None
        self.address = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        self._idle.add(self)
        self._begun = self.loop.time()
        self._close_after(min(_FIRST_BYTE_SECONDS, self._patience))

    def data_received(self, data: bytes) -> None:
        if self._timeout is None:
            self._begun = self.loop.time()
        self._close_after(self._begun + self._patience - self.loop.time())
        super().data_received(data)
        if self.conn.their_state not in {h11.IDLE, h11.SEND_BODY}:
            self._keep_open()
        if self.cycle is not None and not self.cycle.response_complete:
            self._idle.remove(self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            self._idle.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._keep_open()
        self._idle.remove(self)
        super().connection_lost(exc)

    def _close_after(self, seconds: float) -> None:
        self._keep_open()
        self._timeout = self.loop.call_later(max(seconds, 0.0), self.transport.abort)

    def _keep_open(self) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None


class _Direct:
    """Leads some paths to one application past everything further in: they are asked a thousand times a second."""

    def __init__(self, app: ASGIApp, paths: Collection[str], answering: ASGIApp) -> None:
        self._app, self._paths, self._answering = app, paths, answering

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._answering if scope["path"] in self._paths else self._app)(scope, receive, send)


class WebServer:
    """One listening socket. `start` gives the address with the real port; `stop` ends within the seconds given."""

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        *,
        patience: float = _REQUEST_SECONDS,
        listening: socket.socket | None = None,
    ) -> None:
        """Port 0 takes a free one. A request has `patience` seconds to arrive. `listening` serves a socket at hand."""
        self.host = host
        self._listening = listening
        self._patience = patience
        self._app = app
        self._requests = 0
        self._port = port
        self._server: _QuietServer | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Listen and serve; the address, as `http://127.0.0.1:9480`. Raises ListenError."""
        listening = self._listening or listen(self.host, self._port)
        config = Config(
            self._answer,
            interface="asgi3",
            http=partial(_BoundedProtocol, patience=self._patience, idle=_IdleConnections()),  # type: ignore[arg-type] # whatever makes a protocol
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
        )
        self._server = _QuietServer(config)
        self._task = asyncio.create_task(self._server.serve([listening]), name="web")
        await self._server.listening.wait()
        return url_of(listening)

    def replace(self, app: ASGIApp) -> None:
        """Answer further requests by another application, on the same socket."""
        self._app = app

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope = of_proxy(scope)
        if self._requests >= _MOST_REQUESTS and scope.get("path") not in _NEVER_BUSY:
            await _BUSY(scope, receive, send)
            return
        self._requests += 1
        try:
            with contextlib.suppress(ClientDisconnect):  # who hung up before the end of a form is no fault of anybody's
                await self._app(scope, receive, send)
        finally:
            self._requests -= 1

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


def listen(host: str, port: int, setting: str = "ALERTD_HTTP__LISTEN") -> socket.socket:
    """A socket that listens; port 0 takes a free one. Raises ListenError, which names the setting."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ListenError(
            f"{setting}={host}:{port}: {reason}; give another address, or port 0 for a free one"
        ) from error
    # asyncio sets it only where the socket names its protocol. Without it the body of an answer waits for the
    # acknowledgement of its headers, 40 ms on a connection that is kept open.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def url_of(listening: socket.socket) -> str:
    """Where it listens, as `http://127.0.0.1:9480`."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


__all__ = ["BudgetStatuses", "ListenError", "Person", "View", "WebServer", "build", "is_loopback", "listen", "url_of"]


def _with_mcp(path: str) -> Mapping[str, str]:
    """The changes, and the calls of agents, which only look by themselves: each tool asks as the caller."""
    return {"POST": "viewer"} if path == MCP else roles_to_write(path)


def build(
    view: View,
    *,
    token: str | None,
    open_metrics: bool,
    loopback: bool,
    people: Sequence[Person] = (),
    user_header: str = "",
    trusted_proxies: Sequence[Network] = (),
    mcp: Sequence[BaseRoute] = (),
) -> Starlette:
    """The application. `loopback` says that only this machine reaches it; elsewhere all but probes asks who it is."""
    identities = Identities(view.clock, view.records, token or None, people, user_header, trusted_proxies)
    access = AccessRules(identities, open_metrics, loopback, view.public_url)
    allowance = Allowance(view.clock, CurrentIndex(view), view.allowance)
    pages = Pages(view, guarded=access.guarded)
    pictures = Pictures(picture_key(token) if token else b"")
    reads = [*Api(view, allowance).routes(), *Questions(view).routes(), *pages.routes(), *pictures.routes()]
    gate = Middleware(
        Gate,
        access=access,
        policy=POLICY,
        form=form,
        roles_to_write=_with_mcp if mcp else roles_to_write,
        is_read=lambda path: any(route.path_regex.match(path) for route in reads),
    )
    application = Starlette(
        routes=[*mcp, *reads, *write_routes(view.operations, pages.refused)],
        middleware=[
            gate,
            Middleware(_Direct, paths=PATHS, answering=allowance),
            Middleware(GZipMiddleware, compresslevel=5),
        ],
        exception_handlers={404: pages.unknown, 405: pages.unknown},
    )
    application.router.redirect_slashes = False  # it would build an address from the Host header
    return application
