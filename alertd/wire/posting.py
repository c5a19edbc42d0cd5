"""Posting a message over HTTP, on the house's one HTTP client: its problems become DeliveryErrors without secrets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

from alertd.core.messages.spans import clean
from alertd.options import Connection
from alertd.ports import DeliveryError
from alertd.wire.answers import Answer, HttpProblem
from alertd.wire.http import MEGABYTE, Access, Http
from alertd.wire.secrecy import longest_first, without

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
            )
        )

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The receiver's answer of 200 to 299. DeliveryError for everything else, by the table of `wire/answers.py`."""
        try:
            return await self._http.send("POST", url, content=body, headers=headers, limit=MEGABYTE, status_tells=True)
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
