"""Every HTTP conversation of the house. Nothing is taken from the environment, and no secret leaves in an error.

send -> bounded answer, or HttpProblem (a SourceError): what happened, whether trying again can help, and when
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar
from urllib.parse import quote, unquote, urlsplit

import httpx
import msgspec

from alertd.ports import SourceError
from alertd.wire.trust import trust

#: httpx writes whole URLs to the log, and a webhook's URL is a secret.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)

log = logging.getLogger(__name__)

T = TypeVar("T")
MEGABYTE: Final = 1 << 20
#: What a status of 300 and above means: may the same request be tried again? Unlisted: 5xx yes, all else no.
RETRIED: Final[Mapping[int, bool]] = MappingProxyType(
    {408: True, 423: True, 425: True, 429: True, 501: False, 505: False, 511: False}
)
#: After these the request may have been carried out all the same.
_UNCERTAIN: Final = frozenset({408, 500, 502, 504})
_MEANING: Final[Mapping[int, str]] = MappingProxyType(
    {
        401: "it wants other credentials",
        403: "these credentials may not do this",
        404: "there is nothing at this address",
        407: "the proxy wants credentials",
        429: "too many requests",
    }
)
_LONGEST_WAIT: Final = timedelta(minutes=15)
_REDIRECTS: Final = 3
#: What is this short is no secret; and of an address, what is shorter than this.
_NO_SECRET: Final = 3
_SECRET_PART: Final = 6
_TEXT: Final = 200


class HttpProblem(SourceError):  # noqa: N818 - it is also raised to notifiers, for whom it is no source's error
    """An answer that is no success, or none at all. `status` is None without an answer.

    `uncertain`: the request may have been carried out. `text` is the beginning of the answer, without secrets.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        permanent: bool = False,
        uncertain: bool = False,
        retry_after: timedelta | None = None,
        text: str = "",
    ) -> None:
        super().__init__(message, permanent=permanent, retry_after=retry_after)
        self.status, self.uncertain, self.text = status, uncertain, text


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a server and be let in. `secret_path`: its address is itself a secret, only the host is shown."""

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
    #: What else must not be shown: a signing key is never sent, and may be told back all the same.
    hidden: tuple[str, ...] = field(default=(), repr=False)

    def secrets(self) -> tuple[str, ...]:
        """Everything that must not be shown, the longest first."""
        userinfo = unquote((self.proxy or "").rpartition("@")[0].rpartition("/")[2])
        given = {self.bearer, self.password, userinfo.partition(":")[2], *self.headers.values(), *self.hidden}
        encoded = {_basic(login) for login in (userinfo, f"{self.username}:{self.password}") if login.strip(":")}
        return _longest_first(given | {form for secret in given for form in (quote(secret), quote(secret, safe=""))}
                              | encoded)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said, read to its end. `place` names it for people, without query and secrets."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    place: str = ""
    #: What is cut out of whatever is quoted of the body.
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def text(self) -> str:
        """The beginning of the body on one line, without secrets."""
        return " ".join(_without(self.secrets, self.body[:2000].decode(errors="replace")).split())[:_TEXT]

    def json(self) -> Any:
        """The body as JSON, its fractions as Decimal. HttpProblem where it is none (a page of a proxy, half a body)."""
        try:
            return json.loads(self.body, parse_float=Decimal)
        except ValueError as error:
            raise self.unreadable("is no JSON") from error

    def decoded(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The body as the decoder's type. HttpProblem where it is not."""
        try:
            return decoder.decode(self.body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self.unreadable(f"is not as expected: {error}") from error

    def unreadable(self, what: str) -> HttpProblem:
        """The problem of a body that cannot be used."""
        found = "is a web page; does a login or a proxy stand in front?" if self.is_html() else what
        return HttpProblem(f"{self.place}: the answer {found}", status=self.status)

    def is_html(self) -> bool:
        """Whether this is a page for people, such as a login in front of an API."""
        return "html" in self.headers.get("content-type", "") or self.body[:200].lstrip()[:5].lower() in {
            b"<html",
            b"<!doc",
        }


@dataclass(frozen=True, slots=True)
class _Request:
    """What stays the same over redirects and tries."""

    method: str
    parts: Mapping[str, Any] = field(repr=False)
    limit: int
    allowed: frozenset[int]


class Http:
    """One server's connections: timeouts, trust and credentials as `access` says, and as nothing else does."""

    def __init__(
        self,
        access: Access,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self._access, self._sleep, self._jitter = access, sleep, jitter
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
        attempts: int = 1,
        allowed: frozenset[int] = frozenset(),
    ) -> Answer:
        """The answer of status 2xx, or of one in `allowed`; HttpProblem for all else.

        `form`, `data` (JSON) or `content` is the body; an answer over `limit` bytes is refused. Up to `attempts` tries
        of what may be tried again, waiting as the server asks.
        """
        given = {"params": params, "data": form, "json": data, "content": content, "headers": headers}
        parts = {name: value for name, value in given.items() if value is not None}
        request = _Request(method, parts, limit, allowed)
        for attempt in range(1, attempts + 1):
            try:
                return await self._follow(url, request)
            except HttpProblem as problem:
                if problem.permanent or attempt == attempts:
                    raise
                await self._sleep(wait_before(attempt, problem.retry_after, self._jitter()).total_seconds())
        raise ValueError("attempts is at least 1")

    async def close(self) -> None:
        """Let the connections go."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _open(self) -> httpx.AsyncClient:
        access = self._access
        headers = dict(access.headers)
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
                return self._judged(answer, request.allowed)
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
                body = await _bounded(response, request.limit, place)
                log.debug("%s %s -> %d, %d bytes", request.method, place, response.status_code, len(body))
                answer = Answer(response.status_code, response.headers, body, place, self._secrets(url))
                return answer, response.next_request.url if response.next_request else None
        except (TimeoutError, httpx.TimeoutException) as error:
            reached = not isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout)
            raise HttpProblem(f"{place} did not answer within {self._seconds:g} s", uncertain=reached) from error
        except (httpx.ConnectError, httpx.ProxyError) as error:
            raise HttpProblem(f"{place} cannot be reached: {self._clean(str(error))}") from error
        except httpx.TransportError as error:
            what = self._clean(str(error)) or type(error).__name__
            raise HttpProblem(f"{place} broke off: {what}", uncertain=True) from error
        except (httpx.InvalidURL, ssl.SSLError, OSError, ValueError) as error:
            raise HttpProblem(f"{place} cannot be asked: {self._clean(str(error))}", permanent=True) from error

    def _judged(self, answer: Answer, allowed: frozenset[int]) -> Answer:
        status = answer.status
        if 200 <= status < 300 or status in allowed:  # noqa: PLR2004 - the class of successes
            return answer
        text = "a web page" if answer.is_html() else answer.text()
        meaning = f" ({_MEANING[status]})" if status in _MEANING else ""
        raise HttpProblem(
            f"{answer.place} answers {status}{meaning}" + (f": {text}" if text else ""),
            status=status,
            permanent=not may_retry(status),
            uncertain=status in _UNCERTAIN,
            retry_after=retry_after(answer.headers),
            text=text,
        )

    def _permit(self, method: str, origin: httpx.URL, onward: httpx.URL, answer: Answer) -> None:
        """Redirects that stay on the host and lose neither the request's body nor its encryption."""
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
        """What must not be shown of a conversation at this address."""
        known = self._access.secrets()
        return _longest_first({*known, *_parts_of(url)}) if self._access.secret_path else known

    def _clean(self, text: str) -> str:
        return _without(self._access.secrets(), text)


def may_retry(status: int) -> bool:
    """Whether the same request may succeed later, by the table."""
    return RETRIED.get(status, status >= 500)  # noqa: PLR2004 - the class of the server's faults


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """What Retry-After asks for, in seconds or as a date (counted from the answer's own Date), at most 15 minutes."""
    asked = headers.get("retry-after", "").strip()
    if not asked:
        return None
    if asked.isdecimal():
        return min(timedelta(seconds=min(int(asked), 10**6)), _LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(asked)
        now = parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC)
        return min(max(until - now, timedelta(0)), _LONGEST_WAIT)
    except (TypeError, ValueError):
        return None


def wait_before(attempt: int, asked: timedelta | None, jitter: float) -> timedelta:
    """How long to wait after try number `attempt`: as asked, else 1, 2, 4 ... 60 s, times 0.5 to 1.5 by `jitter`."""
    return asked if asked is not None else timedelta(seconds=min(2.0 ** (attempt - 1), 60.0) * (0.5 + jitter))


def _basic(login: str) -> str:
    """What Basic authentication sends: a secret in another writing."""
    return base64.b64encode(login.encode()).decode()


def _parts_of(url: str) -> set[str]:
    """The path and the query of an address that is a secret, whole and in parts, as they are sent and as they read."""
    parts = urlsplit(url)
    found = {parts.path.strip("/"), parts.query, *parts.path.split("/")}
    found |= {pair.partition("=")[2] for pair in parts.query.split("&")}
    return {form for part in found if len(part) >= _SECRET_PART for form in (part, unquote(part))}


def _longest_first(secrets: set[str]) -> tuple[str, ...]:
    return tuple(sorted((secret for secret in secrets if len(secret) > _NO_SECRET), key=len, reverse=True))


def _without(secrets: tuple[str, ...], text: str) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


async def _bounded(response: httpx.Response, limit: int, place: str) -> bytes:
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > limit:
            raise HttpProblem(f"{place} sends more than {limit // MEGABYTE} MB", status=413, permanent=True)
    return bytes(body)


def _trust(access: Access) -> ssl.SSLContext:
    if access.cert_file is None:
        return trust(access.ca_file)
    context = ssl.create_default_context(cafile=access.ca_file)
    context.load_cert_chain(access.cert_file, access.key_file)
    return context


def _upgraded(origin: httpx.URL, onward: httpx.URL) -> bool:
    plain = origin.scheme == "http" and origin.port is None
    return plain and onward.scheme == "https" and onward.port is None and onward.host == origin.host
