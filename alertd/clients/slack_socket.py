"""Slack's Socket Mode by slack_sdk's own client: what people do comes over a WebSocket, without a port.

Every envelope is acknowledged before it is handled. Addresses outside of Slack, and redirects, are refused. Where
Slack gives no connection, the next try comes after a growing pause; after a permanent error, every ten minutes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from random import SystemRandom
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from alertd.clients.slack import SILENT, SlackBot
from alertd.plugin_options import Connection
from alertd.ports import DeliveryError

log = logging.getLogger(__name__)

#: Takes the type of an envelope and its payload.
Receive = Callable[[str, Mapping[str, Any]], Awaitable[None]]

_TYPES: Final = frozenset({"interactive", "slash_commands", "events_api"})

_HOST: Final = ".slack.com"
#: Between two openings at least; then twice as long after each failure, up to a minute.
_LEAST_SECONDS: Final = 1.0
_LONGEST_SECONDS: Final = 60.0
#: Replicas that lost the same server come back one by one.
_SPREAD: Final = SystemRandom()
#: How often an address is asked for where trying again cannot help (a wrong token): somebody may repair it.
_PERMANENT_SECONDS: Final = 600.0
#: How often the connection is checked, and a broken one replaced.
_PING_SECONDS: Final = 5.0
_MAX_CONCURRENT: Final = 16


class SocketMode:
    """Receives the interactions of one app; Slack chooses over which of its connections each one comes."""

    def __init__(self, name: str, app_token: str, api_url: str, connection: Connection) -> None:
        self._name = name
        self._token = app_token
        self.app = SlackBot(name, app_token, api_url, connection)

    async def address(self) -> str:
        """A WebSocket's address, good for one connection. DeliveryError."""
        url = str((await self.app.ask("apps.connections.open")).get("url", ""))
        if not _is_slacks(url, self.app.api_url):
            raise DeliveryError(f"{self._name}: Slack names an address for buttons that is not Slack's", permanent=True)
        return url

    async def listen(self, receive: Receive) -> None:
        """Pass each interaction to `receive`, until cancelled; an outage is waited out."""
        client = _Client(self, self._token, self._name)
        async with aiohttp.ClientSession(trust_env=False, middlewares=(client.connected,)) as session:
            await client.aiohttp_client_session.close()  # it follows redirects
            client.aiohttp_client_session = session
            client.proxy = self.app.proxy  # the client takes one from the environment where none is given
            envelopes = _Envelopes(self._name, receive)
            client.message_listeners += [client.note_hello, envelopes.note_app]
            client.socket_mode_request_listeners.append(envelopes.take)
            try:
                await client.connect_to_new_endpoint()
                await asyncio.Event().wait()
            finally:
                await client.close()
                envelopes.cancel()


class _Client(SocketModeClient):
    """slack_sdk's client, with addresses checked and failures waited out before they reach it."""

    def __init__(self, mode: SocketMode, app_token: str, name: str) -> None:
        super().__init__(app_token, SILENT, mode.app.client(), ping_interval=_PING_SECONDS)
        self._mode, self._name = mode, name
        self._asked: float | None = None
        #: How often an address was asked for since Slack last greeted a connection.
        self._tries = 0
        #: slack_sdk keeps no reference to the task that replaces a connection, and does not cancel it.
        self._connecting: set[asyncio.Task[Any]] = set()

    async def issue_new_wss_url(self) -> str:
        """Where to connect to. Until Slack greets a connection, each try waits twice as long as the last one."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        self._connecting.add(task)
        try:
            while True:
                await self._pause()
                self._tries += 1
                try:
                    return await self._mode.address()
                except DeliveryError as error:
                    log.warning("%s: interactions are not received: %s", self._name, error)
                    asked = error.retry_after.total_seconds() if error.retry_after else 0.0
                    await asyncio.sleep(_PERMANENT_SECONDS if error.permanent else asked)
        finally:
            self._connecting.discard(task)

    async def connected(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """An upgraded connection. An address is good for one try; it is secret, so no redirect is followed."""
        self.wss_uri = None
        try:
            async with asyncio.timeout(self._mode.app.timeout):
                answer = await handler(request)
        except (aiohttp.ClientError, OSError) as error:
            log.warning("%s: interactions are not received: no connection (%s)", self._name, type(error).__name__)
            raise
        if answer.status >= 300:  # noqa: PLR2004 - an upgrade is 101
            answer.close()
            log.warning("%s: interactions are not received: Slack answered %d", self._name, answer.status)
            raise aiohttp.ClientConnectionError(f"Slack answered {answer.status}")
        return answer

    async def note_hello(self, client: AsyncBaseSocketModeClient, message: dict[str, object], raw: str | None) -> None:
        """Note that Slack greets a connection: the next one need not wait."""
        del client, raw
        if message.get("type") == "hello":
            self._tries = 0

    async def close(self) -> None:
        """End the connection, and every attempt to open another."""
        try:
            await super().close()  # type: ignore[no-untyped-call]
        finally:
            for task in self._connecting:
                task.cancel()

    async def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        if self._asked is not None:
            wait = min(_LEAST_SECONDS * 2 ** min(max(self._tries - 1, 0), 10), _LONGEST_SECONDS)
            await asyncio.sleep(max(self._asked + wait * _SPREAD.uniform(0.75, 1.25) - loop.time(), 0.0))
        self._asked = loop.time()


class _Envelopes:
    """Takes what Slack sends: acknowledges it, and passes on the interactions of this app, 16 at once."""

    def __init__(self, name: str, receive: Receive) -> None:
        self._name, self._receive = name, receive
        self._app = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._concurrency = asyncio.Semaphore(_MAX_CONCURRENT)

    async def note_app(self, client: AsyncBaseSocketModeClient, message: dict[str, object], raw: str | None) -> None:
        """Note for which app Slack greets the connection."""
        del client, raw
        if message.get("type") == "hello":
            found = message.get("connection_info")
            self._app = str(found.get("app_id", "")) if isinstance(found, dict) else ""
            log.info("%s: interactions are received", self._name)

    async def take(self, client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        """Acknowledge an envelope, then pass on the interaction in it."""
        await client.send_socket_mode_response(SocketModeResponse(request.envelope_id))
        if request.type in _TYPES and request.payload.get("api_app_id") in {self._app, None}:
            self._start(request.type, request.payload)

    def cancel(self) -> None:
        """Cancel the interactions that are being answered."""
        for task in self._tasks:
            task.cancel()

    def _start(self, kind: str, payload: Mapping[str, object]) -> None:
        async def answer() -> None:
            async with self._concurrency:
                await self._receive(kind, payload)

        task = asyncio.create_task(answer(), name=f"{self._name} interaction")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("%s: an interaction failed", self._name, exc_info=task.exception())


def _is_slacks(url: str, api_url: str) -> bool:
    """Slack's host over TLS, or the very host of a configured API, in the clear only where that one is."""
    found, api = urlsplit(url), urlsplit(api_url)
    if found.scheme == "wss" and (found.hostname or "").endswith(_HOST):
        return True
    return found.hostname == api.hostname and found.scheme in ({"ws", "wss"} if api.scheme == "http" else {"wss"})
