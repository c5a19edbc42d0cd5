"""What chat channels with a webhook have in common: compose, render, post, look for the host. Knows none of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec

from alertd.clients.http_response import ERROR_CODES, Answer
from alertd.clients.redaction import in_address
from alertd.clients.webhook import Poster, find_host
from alertd.core.events import Event
from alertd.core.messages import Message, compose
from alertd.plugin_options import NotifierOptions, Secret
from alertd.ports import Delivery, DeliveryError, Receipt

_HEADERS: Final = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "alertd"}
#: The text in place of a picture.
ALTERNATIVE: Final = "Spent so far, the likely range to the period's end, and the budget"
_system_now: Final = partial(datetime.now, UTC)
Render = Callable[[Message], dict[str, Any]]


class Posted:
    """Posts each delivery as one message. `fault` finds what an answer of 200 says went wrong; "" for nothing."""

    people = True

    def __init__(
        self,
        name: str,
        url: Secret,
        options: NotifierOptions,
        render: Render,
        *,
        fault: Callable[[Answer], str] = lambda _: "",
        url_of: Callable[[str, Delivery], str] = lambda url, _: url,
        now: Callable[[], datetime] = _system_now,
    ) -> None:
        self.name = name
        self._url = url.get_secret_value()
        self._proxied = options.proxy is not None
        self._render, self._fault, self._url_of, self._now = render, fault, url_of, now
        self._poster = Poster(name, options, in_address(self._url), error_fields=(*ERROR_CODES, "message"))

    def address(self, event: Event) -> str:
        return ""

    async def send(self, delivery: Delivery) -> Receipt:
        body = encoded(self._render(compose(delivery.events, self._now())))
        delivery.require_lease()
        answer = await self._poster.post(self._url_of(self._url, delivery), body, _HEADERS)
        fault = self._fault(answer)
        if fault:
            raise DeliveryError(f"{self.name}: {self._poster.harmless(fault)}")
        return Receipt(str(answer.status))

    async def look(self) -> str:
        """Whether the webhook's host has an address; a webhook cannot be tried without posting."""
        host = await find_host(self.name, self._url, proxied=self._proxied)
        return f"a webhook at {host}; to try it: alertd test-notify {self.name}"

    async def close(self) -> None:
        await self._poster.close()


def encoded(body: dict[str, object]) -> bytes:
    """A body as UTF-8 JSON."""
    return msgspec.json.encode(body)


def drafted(render: Render, suffix: str, delivery: Delivery, now: datetime) -> dict[str, bytes]:
    """A body as a file that people can read."""
    return {suffix: msgspec.json.format(encoded(render(compose(delivery.events, now))), indent=2)}


def fitting(lines: list[str], space: int) -> list[str]:
    """As many whole lines as have space together (a separator each), then how many do not."""
    kept: list[str] = []
    for count, line in enumerate(lines):
        short = line if len(line) <= space or kept else line[: space - 1] + "…"
        if len(short) + 40 > space and count < len(lines) - 1 and kept:
            return [*kept, f"… and {len(lines) - count} more lines"]
        if len(short) + 1 > space:
            return [*kept, f"… and {len(lines) - count} more lines"]
        kept.append(short)
        space -= len(short) + 1
    return kept
