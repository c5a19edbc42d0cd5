"""Posting a message over HTTP, its signature, and the heartbeat. Errors become DeliveryErrors without secrets."""

from __future__ import annotations

import asyncio
import base64
import hmac
import socket
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from alertd.clients.http import MEGABYTE, Access, Http
from alertd.clients.http_response import Answer, HttpProblem
from alertd.clients.redaction import longest_first, without
from alertd.core.messages.rich_text import clean
from alertd.plugin_options import Connection, signing_key
from alertd.ports import DeliveryError

#: How far a sender's clock may be off, in seconds; as the libraries of Standard Webhooks have it.
_TOLERANCE: Final = 300
_TIME_DIGITS: Final = 12


def signed_headers(secret: str, identity: str, unix_time: int, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks 1.0: the id, the time of this try, and with a secret the v1 signature.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    headers = {"webhook-id": identity, "webhook-timestamp": str(unix_time)}
    if secret:
        headers["webhook-signature"] = f"v1,{_signature(secret, identity, unix_time, body)}"
    return headers


def is_signed(secret: str, headers: Mapping[str, str], identity: str, body: bytes, now: float) -> bool:
    """Whether an answer carries a v1 signature by the secret, over this id, within five minutes."""
    sent, given = headers.get("webhook-timestamp", ""), headers.get("webhook-signature", "")
    if headers.get("webhook-id") != identity or not (sent.isascii() and sent.isdigit()) or len(sent) > _TIME_DIGITS:
        return False
    wanted = _signature(secret, identity, int(sent), body)
    found = [part.partition(",") for part in given.split(" ")]
    matches = [hmac.compare_digest(wanted.encode(), value.encode()) for kind, _, value in found if kind == "v1"]
    return abs(now - int(sent)) <= _TOLERANCE and any(matches)


def _signature(secret: str, identity: str, unix_time: int, body: bytes) -> str:
    signed = f"{identity}.{unix_time}.".encode() + body
    return base64.b64encode(hmac.digest(signing_key(secret), signed, "sha256")).decode()


Login = tuple[str, str]

_SAID_LENGTH: Final = 400
#: What is shorter is no secret, and cutting it out would only garble what is said.
_SECRET_LENGTH: Final = 6


class Poster:
    """Posts to one receiver, whose addresses are secrets. `secrets` are cut out of whatever it is quoted with."""

    def __init__(
        self,
        name: str,
        connection: Connection,
        secrets: Iterable[str] = (),
        *,
        bearer: str = "",
        login: Login = ("", ""),
        error_fields: tuple[str, ...] = (),
    ) -> None:
        self._name = name
        self._secrets = longest_first(secrets, _SECRET_LENGTH)
        self._http = Http(
            Access(
                proxy=connection.proxy,
                ca_file=connection.ca_file,
                timeout=connection.timeout,
                secret_path=True,
                bearer=bearer,
                username=login[0],
                password=login[1],
                hidden=self._secrets,
                error_fields=error_fields,
            )
        )

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The receiver's answer of 200 to 299. DeliveryError for all else, by `clients/http_response.py`."""
        try:
            return await self._http.send("POST", url, content=body, headers=headers, limit=MEGABYTE, only_status=True)
        except HttpProblem as problem:
            raise self.delivery_error(problem) from problem

    def delivery_error(self, problem: HttpProblem) -> DeliveryError:
        """The same for the outbox: permanent, uncertain, to be retried when."""
        return DeliveryError(
            f"{self._name}: {self.harmless(str(problem))}",
            permanent=problem.permanent,
            retry_after=problem.retry_after,
            uncertain=problem.uncertain,
        )

    def harmless(self, text: str) -> str:
        """Foreign text, short, on one line and without this receiver's secrets."""
        return clean(without(self._secrets, text), _SAID_LENGTH)

    async def close(self) -> None:
        await self._http.close()


async def find_host(name: str, url: str, *, proxied: bool) -> str:
    """`host:port` of a URL that has an address; nothing is posted. DeliveryError where the host has none."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if not proxied:  # with a proxy, finding the address is the proxy's
        try:
            await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise DeliveryError(f"{name}: {host} has no address ({error.strerror})") from error
    return f"{host}:{port}"


_TIMEOUT: Final = timedelta(seconds=10)


class Heartbeat:
    """One address that is called with GET; only the status of the response is read."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = Http(Access(timeout=_TIMEOUT, secret_path=True))

    async def beat(self) -> None:
        """One call. Raises HttpProblem where it was not taken; nothing is tried again, the next round is near."""
        await self._http.send("GET", self._url, limit=MEGABYTE, only_status=True)

    async def close(self) -> None:
        """Close the connection."""
        await self._http.close()
