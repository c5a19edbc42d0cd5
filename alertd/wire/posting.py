"""Posting a message over HTTP: one place that says which answers are retried. An error text never holds an address.

Redirects are followed only where they keep the method and stay on the same host: a receiver cannot send a message,
with its signature or token, to somebody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import httpx

from alertd.core.messages.spans import clean
from alertd.options import Connection
from alertd.ports import DeliveryError
from alertd.wire.trust import trust

#: Answers of 400 to 499 that a later try can change; every other one is about the message or the configuration.
RETRIED: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.LOCKED}
)
#: What a refusal usually means, and what to do about it.
_REMEDIES: Final = {
    HTTPStatus.UNAUTHORIZED: "its credentials are refused",
    HTTPStatus.FORBIDDEN: "its credentials are refused",
    HTTPStatus.NOT_FOUND: "there is no such address; check its URL",
    HTTPStatus.GONE: "it was removed; make a new one",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the message is too long for it",
}
_KEPT_METHOD: Final = frozenset({HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT})
_HOPS: Final = 3
_ANSWER_BYTES: Final = 64 * 1024
#: What is shorter is no secret, and cutting it out would only garble what is said.
_SECRET_LENGTH: Final = 6
_SAID_LENGTH: Final = 200
_LONGEST_WAIT: Final = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said: its status, the beginning of its body, its headers (lower case)."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def taken(self) -> bool:
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


class Poster:
    """Posts to one receiver. `secrets` are cut out of whatever it is quoted with."""

    def __init__(self, name: str, connection: Connection, secrets: Iterable[str] = ()) -> None:
        self._name = name
        self._timeout = connection.timeout.total_seconds()
        long = (secret for secret in secrets if len(secret) >= _SECRET_LENGTH)
        self._secrets = tuple(sorted(long, key=len, reverse=True))
        self._client = httpx.AsyncClient(
            proxy=connection.proxy,
            verify=trust(connection.ca_file),
            timeout=httpx.Timeout(self._timeout, connect=min(self._timeout, 10.0)),
            follow_redirects=False,
            trust_env=False,
        )

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The receiver's answer of 200 to 299. DeliveryError for everything else, by the status table."""
        answer = await self.ask(url, body, headers)
        if not answer.taken:
            raise self.refusal(answer)
        return answer

    async def ask(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Whatever the receiver answers. DeliveryError where there is no answer."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._hop(httpx.URL(url), body, headers)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise DeliveryError(
                f"{self._name}: its URL is none; write it as https://host/path", permanent=True
            ) from error
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
            raise DeliveryError(f"{self._name}: cannot connect: {self.harmless(str(error)) or 'timed out'}") from error
        except (httpx.TransportError, httpx.DecodingError, TimeoutError) as error:
            said = self.harmless(str(error)) or "timed out"
            raise DeliveryError(f"{self._name}: no whole answer: {said}", uncertain=True) from error

    async def close(self) -> None:
        await self._client.aclose()

    def refusal(self, answer: Answer) -> DeliveryError:
        """The error of an answer above 299: permanent, or to be retried, when."""
        said = self.harmless(answer.text)
        parts = (f"{self._name} answered {status_name(answer.status)}", _REMEDIES.get(HTTPStatus(answer.status), "")
                 if answer.status in set(HTTPStatus) else "", said)  # fmt: skip
        return DeliveryError(
            ": ".join(part for part in parts if part),
            permanent=is_permanent(answer.status),
            retry_after=retry_after(answer.headers),
        )

    def harmless(self, text: str) -> str:
        """Foreign text, short, on one line and without this receiver's secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return clean(text, _SAID_LENGTH)

    async def _hop(self, url: httpx.URL, body: bytes, headers: Mapping[str, str]) -> Answer:
        for _ in range(_HOPS):
            answer = await self._once(url, body, headers)
            target = url.join(answer.headers.get("location", "")) if answer.status in _KEPT_METHOD else url
            if target == url or _origin(target) != _origin(url):
                break
            url = target
        return answer

    async def _once(self, url: httpx.URL, body: bytes, headers: Mapping[str, str]) -> Answer:
        async with self._client.stream("POST", url, content=body, headers=dict(headers)) as response:
            kept = bytearray()
            async for piece in response.aiter_bytes():
                kept += piece[: _ANSWER_BYTES - len(kept)]
                if len(kept) >= _ANSWER_BYTES:
                    break
            lower = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status_code, kept.decode(errors="replace"), lower)


def is_permanent(status: int) -> bool:
    """Whether trying again cannot help: redirects elsewhere and refusals, but no fault of the receiver's own."""
    return status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in RETRIED


def status_name(status: int) -> str:
    """`503 Service Unavailable`."""
    return f"{status} {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else str(status)


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """The wait that `Retry-After` asks for, in seconds or as a date (against the answer's own `Date`)."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        wait = timedelta(seconds=float(text)) if text[0].isdigit() and " " not in text else _until(text, headers)
    except (ValueError, OverflowError, TypeError):
        return None
    return None if wait is None else min(max(wait, timedelta(0)), _LONGEST_WAIT)


def _until(text: str, headers: Mapping[str, str]) -> timedelta | None:
    if "date" not in headers:
        return None
    return parsedate_to_datetime(text) - parsedate_to_datetime(headers["date"])


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
