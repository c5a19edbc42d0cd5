"""Slack's Socket Mode: presses come over a WebSocket that alertd opens, so that no port of its own is needed.

The connection is `websockets`, not slack_sdk's own client, which takes proxies from the environment, reconnects without
a pause and cannot be cancelled. Every envelope is acknowledged as soon as it is read, before anything is done; a
connection that Slack is about to end is followed by another before it ends. Addresses outside of Slack are refused.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Any, Final
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from alertd.options import Connection
from alertd.ports import DeliveryError
from alertd.wire.slack import SlackBot
from alertd.wire.trust import trust

log = logging.getLogger(__name__)

#: websockets' own logger, which says nothing: it would print addresses, whose tickets are secrets.
_SILENT: Final = logging.getLogger("alertd.websockets")
_SILENT.setLevel(logging.CRITICAL + 1)

Heard = Callable[[Mapping[str, Any]], Awaitable[None]]

_HOST: Final = ".slack.com"
_ENVELOPE_BYTES: Final = 1024 * 1024
#: Between two openings at least; then twice as long after each failure, up to a minute.
_LEAST_SECONDS: Final = 1.0
_LONGEST_SECONDS: Final = 60.0
#: Replicas that lost the same server come back one by one.
_SPREAD: Final = SystemRandom()
#: What trying again cannot mend (a wrong token) is tried so often all the same: somebody may mend it.
_HOPELESS_SECONDS: Final = 600.0
#: How long a connection that Slack is about to end is still listened to.
_LINGER_SECONDS: Final = 30.0
_AT_ONCE: Final = 16


class _Connect(connect):
    """A redirect is no success: nobody else is given the ticket."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


@dataclass(slots=True)
class _Session:
    """One connection: whether Slack greeted it, for which app, and when another one should follow it."""

    over: asyncio.Event = field(default_factory=asyncio.Event)
    app: str = ""
    greeted: bool = False
    hopeless: bool = False


class SocketMode:
    """Listens for one app; envelopes go to whichever of its connections Slack chooses."""

    def __init__(self, name: str, app_token: str, api_url: str, connection: Connection) -> None:
        self._name = name
        self._app = SlackBot(name, app_token, api_url, connection)
        self._proxy = connection.proxy
        self._trust = trust(connection.ca_file)
        self._timeout = connection.timeout.total_seconds()
        self._at_work: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def address(self) -> str:
        """A WebSocket's address, good for one connection. DeliveryError."""
        url = str((await self._app.ask("apps.connections.open")).get("url", ""))
        if not _is_slacks(url, self._app.api_url):
            raise DeliveryError(f"{self._name}: Slack names an address for buttons that is not Slack's", permanent=True)
        return url

    async def listen(self, heard: Heard) -> None:
        """Hand on what is pressed, for ever; an outage is waited out. Ends only by being cancelled."""
        failures = 0
        async with asyncio.TaskGroup() as group:
            while True:
                session = _Session()
                group.create_task(self._session(session, heard))
                await session.over.wait()
                failures = 0 if session.greeted else failures + 1
                wait = min(_LEAST_SECONDS * 2 ** min(failures, 10), _LONGEST_SECONDS) * _SPREAD.uniform(0.75, 1.25)
                await asyncio.sleep(_HOPELESS_SECONDS if session.hopeless else wait)

    def close(self) -> None:
        self._app.close()

    async def _session(self, session: _Session, heard: Heard) -> None:
        """One connection until its end."""
        try:
            async with asyncio.timeout(None) as bound, self._opened(await self.address()) as socket:
                async for frame in socket:
                    if await self._frame(session, socket, frame, heard):
                        session.over.set()
                        bound.reschedule(asyncio.get_running_loop().time() + _LINGER_SECONDS)
            log.info("%s: Slack ended a connection for buttons", self._name)
        except DeliveryError as error:
            session.hopeless = error.permanent
            log.warning("%s: buttons are not heard: %s", self._name, error)
        except (OSError, TimeoutError, ValueError, WebSocketException) as error:
            if not session.over.is_set():
                log.warning("%s: the connection for buttons broke (%s)", self._name, type(error).__name__)
        finally:
            session.over.set()

    def _opened(self, url: str) -> _Connect:
        return _Connect(
            url,
            ssl=self._trust if url.startswith("wss:") else None,
            proxy=self._proxy,
            open_timeout=self._timeout,
            max_size=_ENVELOPE_BYTES,
            compression=None,
            user_agent_header="alertd",
            logger=_SILENT,
        )

    async def _frame(self, session: _Session, socket: ClientConnection, frame: str | bytes, heard: Heard) -> bool:
        """One frame; True where another connection should be opened now. What is no envelope is dropped."""
        try:
            envelope = json.loads(frame)
        except (ValueError, RecursionError):
            return False
        if not isinstance(envelope, dict):
            return False
        kind, payload = envelope.get("type"), envelope.get("payload")
        if isinstance(envelope.get("envelope_id"), str):
            await socket.send(json.dumps({"envelope_id": envelope["envelope_id"]}))
        if kind == "hello":
            session.greeted, session.app = True, _app_of(envelope)
            log.info("%s: buttons are heard", self._name)
        elif kind == "interactive" and isinstance(payload, dict) and payload.get("api_app_id") in {session.app, None}:
            self._hand_on(payload, heard)
        elif kind == "disconnect":
            session.hopeless = envelope.get("reason") == "link_disabled"
            return True
        return False

    def _hand_on(self, payload: Mapping[str, Any], heard: Heard) -> None:
        async def at_work() -> None:
            async with self._room:
                await heard(payload)

        task = asyncio.create_task(at_work(), name=f"{self._name} press")
        self._at_work.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._at_work.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("%s: a press broke", self._name, exc_info=task.exception())


def _app_of(hello: Mapping[str, Any]) -> str:
    found = hello.get("connection_info")
    return str(found.get("app_id", "")) if isinstance(found, dict) else ""


def _is_slacks(url: str, api_url: str) -> bool:
    """Slack's host over TLS, or the very host of a configured API, in the clear only where that one is."""
    found, api = urlsplit(url), urlsplit(api_url)
    if found.scheme == "wss" and (found.hostname or "").endswith(_HOST):
        return True
    return found.hostname == api.hostname and found.scheme in ({"ws", "wss"} if api.scheme == "http" else {"wss"})
