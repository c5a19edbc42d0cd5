"""OTLP/HTTP requests to the sources that take them: who sends, how large, in which form; and the protocol's answers.

POST -> token -> size, form, gzip -> source.take -> 200 once it is durable | 4xx is final | 429, 503: send again

Source: opentelemetry-proto, docs/specification.md (OTLP/HTTP). The few bytes of protobuf in an answer are written by
hand, so that its library is loaded only where requests are read.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from alertd.core.addresses import is_loopback
from alertd.ports import Clock, NotTakenError, Pushed, Source
from alertd.web.server import ListenError, WebServer

_CHUNK: Final = 1 << 16
#: `google.rpc.Code.UNKNOWN`: only the message of a status is used.
_UNKNOWN: Final = 2


class TooLargeError(ValueError):
    """A body is larger than allowed, perhaps only once it is decompressed."""


def unzipped(body: bytes, most: int) -> bytes:
    """A gzip body, decompressed. TooLargeError beyond `most` bytes; ValueError where it is no gzip."""
    out = bytearray()
    while body:
        unzip = zlib.decompressobj(wbits=31)
        try:
            while body and not unzip.eof:
                out += unzip.decompress(body, _CHUNK)
                body = unzip.unconsumed_tail
                if len(out) > most:
                    raise TooLargeError(f"the body is larger than {most:,} bytes once decompressed")
        except zlib.error:
            raise ValueError("the body is no gzip") from None
        if not unzip.eof:
            raise ValueError("the gzip body is cut short")
        body = unzip.unused_data
    return bytes(out)


def success(refused: int, reason: str, *, is_json: bool) -> bytes:
    """The answer to a request that was taken, all or but for `refused` points."""
    if not refused and not reason:
        return b"{}" if is_json else b""
    if is_json:
        return msgspec.json.encode({"partialSuccess": {"rejectedDataPoints": str(refused), "errorMessage": reason}})
    return _field(1, _number(1, refused) + _field(2, reason.encode()))


def failure(message: str, *, is_json: bool) -> bytes:
    """The body of an error: a `google.rpc.Status`."""
    if is_json:
        return msgspec.json.encode({"code": _UNKNOWN, "message": message})
    return _number(1, _UNKNOWN) + _field(2, message.encode())


def _field(number: int, value: bytes) -> bytes:
    return bytes((number << 3 | 2,)) + _varint(len(value)) + value


def _number(number: int, value: int) -> bytes:
    return bytes((number << 3,)) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


log = logging.getLogger(__name__)

_JSON: Final = "application/json"
_PROTOBUF: Final = "application/x-protobuf"
#: All requests together hold no more bytes than this times the largest one.
_AT_ONCE: Final = 4


class Receivers:
    """The ASGI layer that gives requests for the sources' paths to them, and all else to `app`."""

    def __init__(self, app: ASGIApp | None, sources: Mapping[str, Pushed], clock: Clock, *, loopback: bool) -> None:
        """`sources` by path. `loopback`: only this machine reaches the server, so that a token may be missing."""
        self._app = app
        self._endpoints = {path: _OtlpPath(source, clock, loopback) for path, source in sources.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.get(scope.get("path", "")) if scope["type"] == "http" else None
        if endpoint is not None:
            await (await endpoint.answer(Request(scope, receive)))(scope, receive, send)
        elif self._app is not None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await Response("not found; agents send to /v1/metrics\n", 404)(scope, receive, send)


class Receiving:
    """The servers of the sources that listen at an address of their own, and one task for each source that is sent to.

    `take_in` stores what waits at a source, by its name, and says whether it did.
    """

    def __init__(self, clock: Clock, take_in: Callable[[str], Awaitable[bool]]) -> None:
        self._clock, self._take_in = clock, take_in
        self._tasks: list[asyncio.Task[None]] = []
        self._servers: dict[str, WebServer] = {}
        #: Where each of them listens, by what was configured.
        self.addresses: dict[str, str] = {}

    async def start(self, sources: Mapping[str, Source]) -> None:
        """Receive for these sources from now on, and for no others."""
        pushed = pushed_sources(sources)
        self._cancel()
        self._tasks = [
            asyncio.create_task(self._follow(name, source), name=f"receive {name}") for name, source in pushed.items()
        ]
        wanted: dict[str, dict[str, Pushed]] = {}
        for source in pushed.values():
            if source.listen:
                wanted.setdefault(source.listen, {})[source.path] = source
        for listen in self._servers.keys() - wanted.keys():
            await self._servers.pop(listen).stop()
        for listen, by_path in wanted.items():
            host, _, port = listen.rpartition(":")
            host = host.strip("[]")
            app = Receivers(None, by_path, self._clock, loopback=is_loopback(host))
            if listen in self._servers:
                self._servers[listen].replace(app)
                continue
            server = WebServer(app, host, int(port))
            try:
                self.addresses[listen] = await server.start()
            except ListenError as error:
                log.error("LISTEN=%s: %s", listen, error.__cause__ or error)  # noqa: TRY400 - one line says all
                continue
            self._servers[listen] = server
            log.info("agents send to %s%s", self.addresses[listen], ", ".join(by_path))

    async def stop(self) -> None:
        """Take no more requests."""
        for server in self._servers.values():
            await server.stop()
        self._servers.clear()
        self._cancel()

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _follow(self, name: str, source: Pushed) -> None:
        while True:
            await source.arrived.wait()
            if not await self._take_in(name):
                source.refuse()


def pushed_sources(sources: Mapping[str, Source]) -> dict[str, Pushed]:
    """The sources to which usage is sent."""
    return {name: source for name, source in sources.items() if isinstance(source, Pushed)}


class _OtlpPath:
    """One source's path."""

    def __init__(self, source: Pushed, clock: Clock, loopback: bool) -> None:  # noqa: FBT001 - one private call
        self._source, self._clock, self._loopback = source, clock, loopback
        self._held = 0

    async def answer(self, request: Request) -> Response:  # noqa: PLR0911 - one for each answer of the protocol
        """The protocol's answer to a request."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        is_json = kind == _JSON
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else None
        sender = self._source.sender(given, loopback=self._loopback)
        coding = request.headers.get("content-encoding", "identity").strip().lower()
        if request.method != "POST":
            return _failed(
                405, f"{request.method[:10]} is not for this path; POST metrics to it", is_json, allow="POST"
            )
        if sender is None:
            return _failed(401, "a token is needed: the header Authorization: Bearer TOKEN", is_json)
        if kind not in {_JSON, _PROTOBUF} or coding not in {"gzip", "identity", ""}:
            said = f"the content type is {_JSON} or {_PROTOBUF}, the encoding gzip or none; gRPC is not served"
            return _failed(415, said, is_json)
        try:
            body = await self._body(request)
            return await self._take(body, sender, is_json=is_json, gzip=coding == "gzip")
        except TooLargeError as error:
            return _failed(413, str(error), is_json)
        except NotTakenError as error:
            return _failed(429 if error.is_full else 503, str(error), is_json, retry_after=str(error.retry_after))
        except ValueError as error:
            return _failed(400, str(error), is_json)

    async def _body(self, request: Request) -> bytes:
        """What is sent, within the bounds of one request and of all of them."""
        body, most = bytearray(), self._source.most_bytes
        try:
            async for chunk in request.stream():
                self._held += len(chunk)
                body += chunk
                if len(body) > most:
                    raise TooLargeError(f"a body is at most {most:,} bytes")
                if self._held > _AT_ONCE * most:
                    raise NotTakenError("too many requests at the same time; send again", retry_after=2)
        except ClientDisconnect:
            raise ValueError("the request is cut short") from None
        finally:
            self._held -= len(body)
        return bytes(body)

    async def _take(self, body: bytes, sender: str, *, is_json: bool, gzip: bool) -> Response:
        self._held += len(body)
        try:
            plain = await asyncio.to_thread(unzipped, body, self._source.most_bytes) if gzip else body
            taken = await self._source.take(plain, self._clock.now(), is_json=is_json, sender=sender)
        finally:
            self._held -= len(body)
        kind = _JSON if is_json else _PROTOBUF
        return Response(success(taken.refused, taken.reason, is_json=is_json), media_type=kind)


def _failed(status: int, message: str, is_json: bool, **headers: str) -> Response:  # noqa: FBT001 - one private call
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    media_type = _JSON if is_json else _PROTOBUF
    return Response(failure(message, is_json=is_json), status, named, media_type)
