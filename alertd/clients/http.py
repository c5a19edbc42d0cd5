"""The HTTP client: TLS, requests, redirects. It reads no environment variable, and no error holds a secret.

send -> bounded response, or HttpProblem (a SourceError): what happened, whether trying again can help, and when.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import logging
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

import certifi
import httpx

from alertd.clients.http_response import ACCEPTED, Answer, HttpProblem, TooLarge, Undecodable, read_body
from alertd.clients.redaction import in_address, longest_first, without

#: The system's own authorities are 0.2 MB.
_MOST_BYTES: Final = 16 * 1024 * 1024


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """A TLS context that verifies certificates and host names. `ca_file` is read at each call, so a reload is enough.

    Raises OSError (ssl.SSLError) where the file cannot be read or holds no certificate.
    """
    return _of_the_system() if ca_file is None else ssl.create_default_context(cafile=_bounded(ca_file))


def trust_with_certificate(ca_file: Path | None, cert_file: Path, key_file: Path | None) -> ssl.SSLContext:
    """The same with a client certificate. Raises OSError (ssl.SSLError)."""
    context = ssl.create_default_context(cafile=ca_file and _bounded(ca_file))
    context.load_cert_chain(_bounded(cert_file), key_file and _bounded(key_file))
    return context


def _bounded(file: Path) -> Path:
    """The path if it is a file of at most 16 MB: OpenSSL would hang on a pipe or a device. OSError otherwise."""
    if not (file.is_file() and file.stat().st_size <= _MOST_BYTES):
        raise OSError(errno.EINVAL, "it is no file of certificates", str(file))
    return file


@cache
def _of_the_system() -> ssl.SSLContext:
    context = ssl.create_default_context()  # reading 140 authorities takes longer than sending a message
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath):
        context.load_verify_locations(certifi.where())  # a slim image has none of its own
    return context


#: httpx writes whole URLs to the log, and a webhook's URL is a secret.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)

log = logging.getLogger(__name__)

MEGABYTE: Final = 1 << 20
_REDIRECTS: Final = 3
_READS: Final = frozenset({"GET", "HEAD"})
_QUOTED_BYTES: Final = re.compile(r"bytearray\(|\bb['\"]")
#: What is shorter is no secret.
_LEAST_SECRET: Final = 4


@dataclass(frozen=True, slots=True)
class Access:
    """Proxy, TLS, timeout and credentials for a server. `secret_path`: only the host of its URL may be shown."""

    proxy: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    timeout: timedelta = timedelta(seconds=30)
    bearer: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    cert_file: Path | None = None
    key_file: Path | None = None
    secret_path: bool = False
    #: Other secrets to hide: a signing key is never sent, but an answer may still contain it.
    hidden: tuple[str, ...] = field(default=(), repr=False)
    #: The fields of an error's JSON that may be shown (`ERROR_CODES`); of any other server only the status is.
    error_fields: tuple[str, ...] = ()

    def secrets(self) -> tuple[str, ...]:
        """Everything that must not be shown, the longest first."""
        userinfo = unquote((self.proxy or "").rpartition("@")[0].rpartition("/")[2])
        given = {self.bearer, self.password, userinfo.partition(":")[2], *self.headers.values(), *self.hidden}
        encoded = {_basic(login) for login in (userinfo, f"{self.username}:{self.password}") if login.strip(":")}
        written = {form for secret in given for form in (quote(secret), quote(secret, safe=""))}
        return longest_first(given | written | encoded, _LEAST_SECRET)


@dataclass(frozen=True, slots=True)
class _Request:
    """What stays the same over redirects."""

    method: str
    parts: Mapping[str, Any] = field(repr=False)
    limit: int
    allowed: frozenset[int]
    only_status: bool


class Http:
    """One server's connections: timeouts, trust and credentials as `access` says, and as nothing else does."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._seconds = access.timeout.total_seconds()
        self._client: httpx.AsyncClient | None = None

    async def send(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        form: Mapping[str, str] | None = None,
        data: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = 64 * MEGABYTE,
        allowed: frozenset[int] = frozenset(),
        only_status: bool = False,
    ) -> Answer:
        """The answer of status 2xx, or of one in `allowed`; HttpProblem for all else.

        `form`, `data` (JSON) or `content` is the body; an answer over `limit` bytes after decompression is refused.
        `only_status`: only the status matters; of a body that is too large or unreadable the beginning is kept.
        Nothing is retried here; the caller has a next round.
        """
        given = {"params": params, "data": form, "json": data, "content": content, "headers": headers}
        parts = {name: value for name, value in given.items() if value is not None}
        return await self._follow(url, _Request(method, parts, limit, allowed, only_status))

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _open(self) -> httpx.AsyncClient:
        access = self._access
        headers = {"Accept-Encoding": ACCEPTED, **access.headers}
        if access.bearer:
            headers["Authorization"] = f"Bearer {access.bearer}"
        basic = httpx.BasicAuth(access.username, access.password) if access.username else None
        return httpx.AsyncClient(
            verify=_trust(access),
            proxy=access.proxy,
            headers=headers,
            auth=basic,
            timeout=httpx.Timeout(self._seconds, connect=min(10.0, self._seconds)),
            trust_env=False,
            follow_redirects=False,
        )

    async def _follow(self, url: str, request: _Request) -> Answer:
        for _ in range(_REDIRECTS + 1):
            answer, onward = await self._once(url, request)
            if onward is None or answer.status in request.allowed:
                return answer.checked(request.allowed)
            self._permit(request.method, httpx.URL(url), onward, answer)
            url = str(onward)
        raise HttpProblem(f"{answer.place} redirects in circles", status=answer.status, permanent=True)

    async def _once(self, url: str, request: _Request) -> tuple[Answer, httpx.URL | None]:
        place = self._place(url)
        try:
            if self._client is None:
                self._client = self._open()
            async with (
                asyncio.timeout(self._seconds),
                self._client.stream(request.method, url, **request.parts) as response,
            ):
                body = await _body(response, request, place)
                log.debug("%s %s -> %d, %d bytes", request.method, place, response.status_code, len(body))
                known = self._secrets(url), self._access.error_fields
                answer = Answer(response.status_code, response.headers, body, place, *known)
                return answer, response.next_request.url if response.next_request else None
        except (TimeoutError, httpx.TimeoutException) as error:
            reached = not isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout)
            raise HttpProblem(f"{place} did not answer within {self._seconds:g} s", uncertain=reached) from error
        except (httpx.ConnectError, httpx.ProxyError) as error:
            raise HttpProblem(f"{place} cannot be reached: {self._clean(str(error))}") from error
        except httpx.TransportError as error:
            what = self._clean(_without_bytes(str(error))) or type(error).__name__
            raise HttpProblem(f"{place} broke off: {what}", uncertain=True) from error
        except (httpx.InvalidURL, ssl.SSLError, OSError, ValueError) as error:
            raise HttpProblem(f"{place} cannot be asked: {self._clean(str(error))}", permanent=True) from error

    def _permit(self, method: str, origin: httpx.URL, onward: httpx.URL, answer: Answer) -> None:
        """Raise HttpProblem for a redirect to another host, from https to http, or that would drop the body."""
        away = (onward.host, onward.port) != (origin.host, origin.port) and not _upgraded(origin, onward)
        downgraded = origin.scheme == "https" and onward.scheme != "https"
        loses_body = method not in {"GET", "HEAD"} and answer.status not in {307, 308}
        if away or downgraded or loses_body:
            where = f"{onward.scheme}://{onward.netloc.decode().rpartition('@')[2]}"
            raise HttpProblem(
                f"{answer.place} redirects to {where}, which is not followed; configure the address it means",
                status=answer.status,
                permanent=True,
            )

    def _place(self, url: str) -> str:
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, ValueError):
            return "the server"
        host = f"{parsed.scheme}://{parsed.netloc.decode().rpartition('@')[2]}"
        return host if self._access.secret_path else self._clean(host + parsed.path)

    def _secrets(self, url: str) -> tuple[str, ...]:
        """The secrets of the credentials and of this URL."""
        known = self._access.secrets()
        return longest_first((*known, *in_address(url))) if self._access.secret_path else known

    def _clean(self, text: str) -> str:
        return without(self._access.secrets(), text)


def _without_bytes(text: str) -> str:
    """An error of the HTTP library without the bytes of the server that it quotes."""
    return _QUOTED_BYTES.split(text, maxsplit=1)[0].rstrip(" :")


def _basic(login: str) -> str:
    """A login as Basic authentication encodes it: also a secret."""
    return base64.b64encode(login.encode()).decode()


async def _body(response: httpx.Response, request: _Request, place: str) -> bytes:
    """The body of a response; of an error, as much of it as can be read."""
    only_status = request.only_status or not response.is_success
    try:
        return await read_body(response.headers, response.aiter_raw(), request.limit)
    except TooLarge as error:
        if only_status:
            return error.head
        raise HttpProblem(
            f"{place} sends more than {request.limit // MEGABYTE} MB",
            status=413,
            permanent=True,
            uncertain=request.method not in _READS,
        ) from error
    except Undecodable as error:
        if only_status:
            return b""
        raise HttpProblem(f"{place} {error}", uncertain=True) from error


def _trust(access: Access) -> ssl.SSLContext:
    if access.cert_file is None:
        return trust(access.ca_file)
    return trust_with_certificate(access.ca_file, access.cert_file, access.key_file)


def _upgraded(origin: httpx.URL, onward: httpx.URL) -> bool:
    plain = origin.scheme == "http" and origin.port is None
    return plain and onward.scheme == "https" and onward.port is None and onward.host == origin.host
